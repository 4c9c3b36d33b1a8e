//! The lease: one unattended run of a database at a time, over all machines that use the repository.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::cron::{CronHistory, LEASE_FORMAT, LeaseRecord, Turn, TurnBefore};
use holdpoint_core::{DatabaseName, layout};

use super::{LARGEST_RECORD, Repository, json, parse};
use crate::error::{Error, Result};
use crate::store::PutOptions;

/// How often a lease is tried for while others change it.
const TRIES: u32 = 5;
/// What is dated later than this is of a clock that was set back, not of one that is read in whole seconds.
const FUTURE: TimeDelta = TimeDelta::minutes(1);
/// No object has this ETag.
const NO_ETAG: &str = "\"00000000000000000000000000000000\"";

/// Who got the lease.
#[derive(Debug)]
pub enum LeaseTaken {
    /// Whoever asked.
    Ours(Box<Lease>),
    /// Another run has it.
    Others {
        /// Which: machine and process.
        owner: String,
        /// Since when, by its own clock.
        since: DateTime<Utc>,
        /// When it ends unless it is renewed, by the store's clock.
        until: DateTime<Utc>,
    },
    /// The store did not answer the write: whoever asks next may find that it was ours.
    Unanswered(Error),
}

/// The lease on a database, to be renewed before its time is over, and released.
///
/// One that is only dropped keeps others off until its time is over.
#[derive(Debug)]
pub struct Lease {
    repository: Repository,
    key: String,
    record: LeaseRecord,
    before: Option<TurnBefore>,
}

impl Repository {
    /// Takes the lease on a database for a turn, for `holds_for`, unless another run has it.
    ///
    /// Of any number of machines that ask at once one gets it, in a store that keeps conditional writes; see
    /// [`Lease::proves_conditional_writes`].
    ///
    /// # Errors
    /// What the store gives, and [`Error::NewerFormat`] or [`Error::InvalidRecord`] for a lease that cannot be read:
    /// nothing is taken then.
    pub async fn take_lease(
        &self,
        database: &DatabaseName,
        owner: &str,
        turn: &Turn,
        holds_for: Duration,
    ) -> Result<LeaseTaken> {
        let key = layout::lease(database);
        let mut record = LeaseRecord {
            format: LEASE_FORMAT,
            owner: owner.to_owned(),
            nonce: turn.id.clone(),
            taken_at: turn.began_at,
            holds_for_seconds: holds_for.as_secs(),
            written: 0,
            history: CronHistory::default(),
        };
        let (mut last, mut before) = (None, None);
        for _ in 0..TRIES {
            let written = match self.store.get_small(&key, LARGEST_RECORD).await {
                Ok(object) => {
                    let found: LeaseRecord = parse(&key, &object.bytes, LEASE_FORMAT)?;
                    if found.nonce == record.nonce {
                        // The answer to our own write was lost; over whose it was written is known since that try.
                        return Ok(self.ours(key, record, before));
                    }
                    let held = TimeDelta::seconds(i64::try_from(found.holds_for_seconds).unwrap_or(i64::MAX / 1000));
                    let server_time = self.store.server_time().await?;
                    // The store's clock was set back: a lease of the future would keep others off until that comes.
                    let future = object.modified_at > server_time + FUTURE;
                    let since = object.modified_at.min(server_time);
                    let until = since.checked_add_signed(held).unwrap_or(DateTime::<Utc>::MAX_UTC);
                    if until > server_time && found.holds_for_seconds > 0 {
                        if future {
                            self.date_anew(&key, &found, &object.etag).await;
                        }
                        return Ok(LeaseTaken::Others { owner: found.owner, since: found.taken_at, until });
                    }
                    record.history = found.history;
                    let ended = found.holds_for_seconds == 0;
                    before = Some(TurnBefore { turn: found.nonce, began_at: found.taken_at, ended });
                    self.store.put_if_matches(&key, json(&key, &record)?, &object.etag).await
                }
                Err(error) if error.is_not_found() => {
                    (record.history, before) = (CronHistory::default(), None);
                    self.store.put_new(&key, json(&key, &record)?, PutOptions::default()).await
                }
                Err(error) => return Err(error),
            };
            match written {
                Ok(_) => return Ok(self.ours(key, record, before)),
                Err(error @ (Error::AlreadyExists { .. } | Error::PreconditionFailed { .. })) => last = Some(error),
                Err(error) if error.is_transient() => return Ok(LeaseTaken::Unanswered(error)),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or(Error::AlreadyExists { key }))
    }

    /// Writes a lease as it is, so that its age counts from now; its owner, if there is one yet, still knows it again.
    async fn date_anew(&self, key: &str, found: &LeaseRecord, etag: &str) {
        let record = LeaseRecord { written: found.written + 1, ..found.clone() };
        let written = match json(key, &record) {
            Ok(body) => self.store.put_if_matches(key, body, etag).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::warn!(%error, key, "a lease of the future could not be dated anew");
        }
    }

    /// What is remembered of a database's unattended runs; nothing where there was none. A run that has not ended, or was
    /// killed, has begun.
    ///
    /// # Errors
    /// As [`Self::take_lease`].
    pub async fn cron_history(&self, database: &DatabaseName) -> Result<CronHistory> {
        let key = layout::lease(database);
        match self.store.get_small(&key, LARGEST_RECORD).await {
            Ok(object) => {
                let record: LeaseRecord = parse(&key, &object.bytes, LEASE_FORMAT)?;
                let mut history = record.history;
                if record.holds_for_seconds > 0 {
                    history.begun_at = history.begun_at.max(Some(record.taken_at));
                }
                Ok(history)
            }
            Err(error) if error.is_not_found() => Ok(CronHistory::default()),
            Err(error) => Err(error),
        }
    }

    fn ours(&self, key: String, record: LeaseRecord, before: Option<TurnBefore>) -> LeaseTaken {
        LeaseTaken::Ours(Box::new(Lease { repository: self.clone(), key, record, before }))
    }
}

impl Lease {
    /// What is remembered of runs, as it was last written.
    pub fn history(&self) -> &CronHistory {
        &self.record.history
    }

    /// The turn that it was taken over from; `None` of the first.
    pub fn before(&self) -> Option<&TurnBefore> {
        self.before.as_ref()
    }

    /// Writes down what is to be remembered while the run goes on, so that it outlives this one; `false` as for
    /// [`Self::renew`].
    ///
    /// # Errors
    /// As for [`Self::renew`].
    pub async fn remember(&mut self, history: CronHistory) -> Result<bool> {
        let record = LeaseRecord { written: self.record.written + 1, history, ..self.record.clone() };
        self.write(record).await
    }

    /// Proves that the store keeps conditions, by writes that must be refused: without them two runs could both
    /// believe that they have the lease. Leaves nothing.
    ///
    /// # Errors
    /// What keeps the writes from being tried at all.
    pub async fn proves_conditional_writes(&self) -> Result<bool> {
        let (store, body) = (&self.repository.store, json(&self.key, &self.record)?);
        match store.put_new(&self.key, body.clone(), PutOptions::default()).await {
            Err(Error::AlreadyExists { .. }) => {}
            Ok(_) => return Ok(false),
            Err(error) => return Err(error),
        }
        match store.put_if_matches(&self.key, body, NO_ETAG).await {
            Err(Error::PreconditionFailed { .. }) => Ok(true),
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Keeps others off for the whole time again; `false` says that another run has taken the lease.
    ///
    /// # Errors
    /// What the store gives: whether it is renewed is not known then.
    pub async fn renew(&mut self) -> Result<bool> {
        let record = LeaseRecord { written: self.record.written + 1, ..self.record.clone() };
        self.write(record).await
    }

    /// Lets others take the lease at once, and leaves them what is to be remembered; `false` as for [`Self::renew`].
    ///
    /// # Errors
    /// As for [`Self::renew`].
    pub async fn release(&mut self, history: CronHistory) -> Result<bool> {
        let written = self.record.written + 1;
        let record = LeaseRecord { written, holds_for_seconds: 0, history, ..self.record.clone() };
        self.write(record).await
    }

    async fn write(&mut self, record: LeaseRecord) -> Result<bool> {
        let (key, store) = (self.key.clone(), self.repository.store.clone());
        for _ in 0..TRIES {
            let object = match store.get_small(&key, LARGEST_RECORD).await {
                Ok(object) => object,
                Err(error) if error.is_not_found() => return Ok(false),
                Err(error) => return Err(error),
            };
            let found: LeaseRecord = parse(&key, &object.bytes, LEASE_FORMAT)?;
            if found.nonce != record.nonce {
                return Ok(false);
            }
            if found == record {
                // The answer to this very write was lost.
                self.record = record;
                return Ok(true);
            }
            match store.put_if_matches(&key, json(&key, &record)?, &object.etag).await {
                Ok(_) => {
                    self.record = record;
                    return Ok(true);
                }
                Err(Error::PreconditionFailed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
