//! The lease: one unattended run of a database at a time, over all machines that use the repository.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::cron::{CronHistory, KILLED, LEASE_FORMAT, LeaseRecord, Turn, TurnBefore};
use holdpoint_core::{DatabaseName, layout};

use super::{LARGEST_RECORD, Repository, json, parse, read_record};
use crate::error::{Error, Result};
use crate::store::{ObjectInfo, PutOptions, SmallObject};

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
    unreadable: bool,
}

impl Repository {
    /// Takes the lease on a database for a turn, for `holds_for`, unless another run has it.
    ///
    /// Of any number of machines that ask at once one gets it, in a store that keeps conditional writes; see
    /// [`Lease::proves_conditional_writes`].
    ///
    /// # Errors
    /// What the store gives, and [`Error::NewerFormat`] or [`Error::InvalidRecord`] for a lease that cannot be read:
    /// nothing is taken then. One that is damaged, and not written by a newer program, is taken over where it was written
    /// longer ago than `holds_for`; what it remembered is lost.
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
            overtook: None,
            history: CronHistory::default(),
        };
        let (mut last, mut before, mut unreadable) = (None, None, false);
        for _ in 0..TRIES {
            let written = match self.lease_object(&key).await {
                Ok((object, read)) => match read {
                    Ok(found) if found.nonce == record.nonce => {
                        // The answer to our own write was lost; over whose it was written is known since that try.
                        return Ok(self.ours(key, record, before, unreadable));
                    }
                    Ok(found) => {
                        let (until, free) = self.holds_until(&key, &found, &object).await?;
                        if !free {
                            return Ok(LeaseTaken::Others { owner: found.owner, since: found.taken_at, until });
                        }
                        record.history = found.history;
                        let ended = found.holds_for_seconds == 0;
                        record.overtook = (!ended).then(|| found.nonce.clone());
                        (before, unreadable) =
                            (Some(TurnBefore { turn: found.nonce, began_at: found.taken_at, ended }), false);
                        self.store.put_if_matches(&key, json(&key, &record)?, &object.etag).await
                    }
                    // What is damaged keeps others off as long as any lease that is not renewed.
                    Err(error @ Error::InvalidRecord { .. }) => {
                        if !self.is_over(&key, &object, holds_for).await? {
                            return Err(error);
                        }
                        (record.history, record.overtook) = (CronHistory::default(), None);
                        (before, unreadable) = (None, true);
                        self.store.put_if_matches(&key, json(&key, &record)?, &object.etag).await
                    }
                    Err(error) => return Err(error),
                },
                Err(error) if error.is_not_found() => {
                    (record.history, record.overtook) = (CronHistory::default(), None);
                    (before, unreadable) = (None, false);
                    self.store.put_new(&key, json(&key, &record)?, PutOptions::default()).await
                }
                Err(error) => return Err(error),
            };
            match written {
                Ok(_) => return Ok(self.ours(key, record, before, unreadable)),
                Err(error @ (Error::AlreadyExists { .. } | Error::PreconditionFailed { .. })) => last = Some(error),
                Err(error) if error.is_transient() => return Ok(LeaseTaken::Unanswered(error)),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or(Error::AlreadyExists { key }))
    }

    /// Reads a lease: the object, and what it says, or why that cannot be read. Of one whose bytes are wrong there are none.
    async fn lease_object(&self, key: &str) -> Result<(SmallObject, Result<LeaseRecord>)> {
        match read_record(&*self.store, key, LARGEST_RECORD).await {
            Ok(object) => {
                let read = parse(key, &object.bytes, LEASE_FORMAT);
                Ok((object, read))
            }
            Err(error @ Error::InvalidRecord { .. }) => {
                let ObjectInfo { etag, modified_at, .. } = self.store.head(key).await?;
                Ok((SmallObject { bytes: Bytes::new(), etag, modified_at }, Err(error)))
            }
            Err(error) => Err(error),
        }
    }

    /// Until when a lease keeps others off, by the store's clock, and whether that is over.
    async fn holds_until(&self, key: &str, found: &LeaseRecord, object: &SmallObject) -> Result<(DateTime<Utc>, bool)> {
        let server_time = self.store.server_time().await?;
        let until = until(object, found.holds_for_seconds, server_time);
        let free = until <= server_time || found.holds_for_seconds == 0;
        if !free && is_ahead(object, server_time) {
            let record = LeaseRecord { written: found.written + 1, ..found.clone() };
            self.date_anew(key, json(key, &record)?, &object.etag).await;
        }
        Ok((until, free))
    }

    /// The same of a lease that cannot be read, for as long as one holds that is not renewed.
    async fn is_over(&self, key: &str, object: &SmallObject, holds_for: Duration) -> Result<bool> {
        let server_time = self.store.server_time().await?;
        if is_ahead(object, server_time) {
            self.date_anew(key, object.bytes.clone(), &object.etag).await;
        }
        Ok(until(object, holds_for.as_secs(), server_time) <= server_time)
    }

    /// Writes a lease again, so that its age counts from now; its owner, if there is one yet, still knows it again.
    async fn date_anew(&self, key: &str, body: Bytes, etag: &str) {
        if let Err(error) = self.store.put_if_matches(key, body, etag).await {
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
        match read_record(&*self.store, &key, LARGEST_RECORD).await {
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

    fn ours(&self, key: String, record: LeaseRecord, before: Option<TurnBefore>, unreadable: bool) -> LeaseTaken {
        LeaseTaken::Ours(Box::new(Lease { repository: self.clone(), key, record, before, unreadable }))
    }
}

/// The store's clock was set back: a lease of the future would keep others off until that comes.
fn is_ahead(object: &SmallObject, now: DateTime<Utc>) -> bool {
    object.modified_at > now + FUTURE
}

/// Until when a lease keeps others off that holds for so many seconds after it was written.
fn until(object: &SmallObject, seconds: u64, now: DateTime<Utc>) -> DateTime<Utc> {
    let held = TimeDelta::seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 1000));
    object.modified_at.min(now).checked_add_signed(held).unwrap_or(DateTime::<Utc>::MAX_UTC)
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

    /// It was taken over from one that could not be read: what that remembered is lost.
    pub fn was_unreadable(&self) -> bool {
        self.unreadable
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

    /// Whether another turn took the lease over from this one, and so counts it as killed and tells of it: be it the one
    /// that has it now, or one in between. `false` where it is gone, or was made anew by somebody who knew of no turn.
    ///
    /// # Errors
    /// What the store gives, and what [`Repository::take_lease`] says of a lease that cannot be read.
    pub async fn is_overtaken(&self) -> Result<bool> {
        let object = match read_record(&*self.repository.store, &self.key, LARGEST_RECORD).await {
            Ok(object) => object,
            Err(error) if error.is_not_found() => return Ok(false),
            Err(error) => return Err(error),
        };
        let found: LeaseRecord = parse(&self.key, &object.bytes, LEASE_FORMAT)?;
        let killed = |history: &CronHistory| history.failures.get(KILLED).copied().unwrap_or_default();
        let counted = killed(&found.history) > killed(&self.record.history);
        Ok(found.nonce != self.record.nonce && (counted || found.overtook.as_ref() == Some(&self.record.nonce)))
    }

    async fn write(&mut self, record: LeaseRecord) -> Result<bool> {
        let (key, store) = (self.key.clone(), self.repository.store.clone());
        for _ in 0..TRIES {
            let object = match super::read_record(&*store, &key, LARGEST_RECORD).await {
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
