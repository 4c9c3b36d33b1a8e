//! Withdrawing a restore point, without a lock and against whoever relies on it meanwhile.
//!
//! The order makes it safe (the design's section 3; `tests/withdrawal.rs` walks through every interleaving): whoever
//! withdraws writes a mark and then looks for pins; whoever relies writes a pin and then looks for marks, and only then
//! for the manifest. So at least one of the two sees the other. A killed withdrawal leaves a mark, behind which the
//! restore point is hidden, or a folder without a manifest; both are taken up again by the next one.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use holdpoint_core::{DatabaseName, PointId, Recorded, layout};
use serde_json::json as value;

use super::{Repository, json};
use crate::error::{Error, Result};
use crate::nonce::nonce;
use crate::store::{ObjectInfo, PutOptions};

/// Whoever wrote an older mark than this is not at work any more: a withdrawal that takes longer from its mark to its
/// first deletion gives up.
pub(super) const MARK_IS_DEAD: TimeDelta = TimeDelta::minutes(15);
/// How long a withdrawal may take from its mark to its first deletion.
const DECIDES_WITHIN: TimeDelta = TimeDelta::minutes(2);
/// What is dated later than this is of a clock that was set back, not of one that is read in whole seconds.
pub(super) const FUTURE: TimeDelta = TimeDelta::minutes(1);
/// How often what could not be deleted is tried in all.
const ATTEMPTS: u32 = 3;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// What came of a withdrawal.
#[derive(Debug)]
pub enum Withdrawal {
    /// The restore point is gone.
    Done {
        /// Bytes of what was deleted.
        bytes: u64,
        /// What could not be deleted, with the reason: objects without a manifest, which a later sweep finds. The folder
        /// where not even a list could be had of what is left.
        remains: Vec<(String, Error)>,
    },
    /// Somebody relies on it; it is as it was.
    Pinned {
        /// The pins' names.
        pins: Vec<String>,
    },
    /// The store keeps it from being deleted; it is as it was.
    Locked {
        /// The end of the longest lock; `None` for a legal hold, which has none.
        until: Option<DateTime<Utc>>,
    },
    /// It was not there any more: never was, or another withdrawal was done first.
    Gone,
    /// What lies outside the repository could not be dropped; it is as it was.
    Kept {
        /// Why.
        reason: String,
    },
    /// Whether what lies outside the repository is dropped is not known: it stays hidden, and the next withdrawal goes on.
    InDoubt {
        /// Why.
        reason: String,
    },
}

/// Why what lies outside the repository was not dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotDropped {
    /// Why.
    pub reason: String,
    /// It may be dropped all the same, or be dropped yet: nobody may rely on the restore point.
    pub in_doubt: bool,
}

/// What became of a restore point that was hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLongerHidden {
    /// Everybody sees it.
    Shown,
    /// Another withdrawal dropped it.
    Dropped,
}

impl Repository {
    /// Deletes a restore point unless somebody relies on it. Pins named in `over` were over when they were last read: each
    /// is read again under the mark, and counts where it holds by then, as one that was written anew under its name does.
    ///
    /// # Errors
    /// Those of the store, with the restore point as it was. [`Error::Hidden`] where the mark could not be removed again, be it
    /// that of a restore point that is pinned, or nobody knows whether the manifest is gone: the next withdrawal goes on with
    /// it, or shows it again.
    pub async fn withdraw(&self, database: &DatabaseName, id: &PointId, over: &[String]) -> Result<Withdrawal> {
        self.withdraw_with(database, id, over, None).await
    }

    /// As [`Self::withdraw`], for a restore point of which a part lies elsewhere: `outside` drops that, under the mark, once
    /// nobody relies on it, and before the manifest that names it is deleted. Where it gives a reason why not, the restore
    /// point is shown again, unless that leaves in doubt whether it is dropped. It is only polled then. A kill in between leaves a mark, and the next withdrawal does it again.
    ///
    /// # Errors
    /// As [`Self::withdraw`].
    pub async fn withdraw_with(
        &self,
        database: &DatabaseName,
        id: &PointId,
        over: &[String],
        outside: Option<BoxFuture<'_, std::result::Result<(), NotDropped>>>,
    ) -> Result<Withdrawal> {
        let objects = self.objects(database, id).await?;
        let manifest = layout::manifest(database, id);
        if objects.is_empty() {
            return Ok(Withdrawal::Gone);
        }
        let began = self.store.server_time().await?;
        if let Some(lock) = self.locked(&objects, began).await? {
            return Ok(Withdrawal::Locked { until: lock.until });
        }
        let mark = format!("{}{}.json", layout::withdrawn(database, id), nonce()?);
        self.store.put_new(&mark, json(&mark, &value!({ "format": 1, "at": began }))?, PutOptions::default()).await?;
        match self.relied_on(database, id, over, &mark, began).await {
            Ok(pins) if pins.is_empty() => {}
            Ok(pins) => {
                self.unmark((database, id), &mark, &objects, began).await?;
                return Ok(Withdrawal::Pinned { pins });
            }
            Err(error) => {
                self.unmark((database, id), &mark, &[], began).await?;
                // Another withdrawal was done first, and took this one's mark with the rest.
                let gone =
                    error.is_not_found() && matches!(self.store.head(&manifest).await, Err(e) if e.is_not_found());
                return if gone { Ok(Withdrawal::Gone) } else { Err(error) };
            }
        }
        let half_gone = outside.is_some();
        if let Some(outside) = outside
            && let Err(NotDropped { reason, in_doubt }) = outside.await
        {
            if in_doubt {
                return Ok(Withdrawal::InDoubt { reason });
            }
            self.unmark((database, id), &mark, &objects, began).await?;
            return Ok(Withdrawal::Kept { reason });
        }
        if let Err(error) = self.store.delete(&manifest).await {
            // A deletion of which nothing is known may still happen: the mark stays, and the point hidden. So is one whose other
            // part is gone.
            if error.is_transient() || half_gone {
                return Err(Error::Hidden { key: layout::point(database, id), source: Box::new(error) });
            }
            self.unmark((database, id), &mark, &[], began).await?;
            return Err(error);
        }
        // From here on there is no restore point: what is left are orphans.
        let prefix = layout::withdrawn(database, id);
        let objects = match self.objects(database, id).await {
            Ok(objects) if objects.is_empty() => return Ok(Withdrawal::Gone),
            Ok(objects) => objects,
            Err(error) => {
                let remains = vec![(layout::point(database, id), error)];
                return Ok(Withdrawal::Done { bytes: 0, remains });
            }
        };
        let (marks, data): (Vec<_>, Vec<_>) = objects.iter().partition(|one| one.key.starts_with(&prefix));
        let keys = |objects: &[&ObjectInfo]| objects.iter().map(|one| one.key.clone()).collect::<Vec<_>>();
        let mut remains = self.delete_all(keys(&data)).await;
        if remains.is_empty() {
            // Last, so that whoever looks meanwhile sees a mark or nothing.
            remains = self.delete_all(keys(&marks)).await;
        }
        let stays = |one: &&ObjectInfo| remains.iter().any(|(key, _)| *key == one.key) || one.key == manifest;
        let bytes = objects.iter().filter(|one| !stays(one)).map(|one| one.size_bytes).sum();
        Ok(Withdrawal::Done { bytes, remains })
    }

    /// Shows a restore point again that killed withdrawals hid; `None` where one may still be at work on it.
    ///
    /// # Errors
    /// Those of the store, and [`Error::NotWhole`] where its objects are gone, as a sweep had begun with them; it stays
    /// hidden then.
    pub async fn show_again(&self, database: &DatabaseName, id: &PointId) -> Result<Option<NoLongerHidden>> {
        let now = self.store.server_time().await?;
        let marks = self.listed(&layout::withdrawn(database, id)).await?;
        let of_the_future: Vec<String> =
            marks.iter().filter(|mark| mark.modified_at > now + FUTURE).map(|mark| mark.key.clone()).collect();
        if !of_the_future.is_empty() {
            self.mark_anew(database, id, of_the_future, now).await?;
            return Ok(None);
        }
        if !marks.iter().all(|mark| is_dead(mark, now)) {
            return Ok(None);
        }
        let hidden = match self.hidden(database, id).await {
            Ok(hidden) => hidden,
            Err(error) if error.is_not_found() => return Ok(Some(NoLongerHidden::Dropped)),
            Err(error) => return Err(error),
        };
        let faults = match &hidden.recorded {
            Recorded::Archive(manifest) => self.objects_faults(manifest).await?,
            Recorded::Snapshot(_) => Vec::new(),
        };
        if !faults.is_empty() {
            // Whoever drops it deletes the manifest first.
            let head = self.store.head(&layout::manifest(database, id)).await;
            if head.is_err_and(|error| error.is_not_found()) {
                return Ok(Some(NoLongerHidden::Dropped));
            }
            let stays = Some("a killed sweep hides it".to_owned());
            return Err(Error::NotWhole { key: layout::manifest(database, id), faults, stays });
        }
        let keys = marks.into_iter().map(|mark| mark.key).collect();
        self.delete_all(keys).await.into_iter().try_for_each(|(_, error)| Err(error))?;
        Ok(Some(NoLongerHidden::Shown))
    }

    /// Writes a mark in the stead of those that a clock which ran ahead dated: how old they are nobody can tell, so their age
    /// counts from now. Whoever wrote one, and is at work still, finds it gone and gives up.
    async fn mark_anew(
        &self,
        database: &DatabaseName,
        id: &PointId,
        of_the_future: Vec<String>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mark = format!("{}{}.json", layout::withdrawn(database, id), nonce()?);
        self.store.put_new(&mark, json(&mark, &value!({ "format": 1, "at": now }))?, PutOptions::default()).await?;
        self.delete_all(of_the_future).await.into_iter().try_for_each(|(_, error)| Err(error))
    }

    /// Under the mark: the pins that count.
    async fn relied_on(
        &self,
        database: &DatabaseName,
        id: &PointId,
        over: &[String],
        mark: &str,
        began: DateTime<Utc>,
    ) -> Result<Vec<String>> {
        let pins = self.pins(database, id).await?;
        let (ended, mut pins): (Vec<String>, Vec<String>) = pins.into_iter().partition(|name| over.contains(name));
        pins.extend(self.holding(database, id, &ended).await?);
        self.still_at_work(database, id, mark, began).await?;
        Ok(pins)
    }

    /// Fails where whoever wrote a mark was stopped since, and may have been taken for dead.
    pub(super) async fn still_at_work(
        &self,
        database: &DatabaseName,
        id: &PointId,
        mark: &str,
        began: DateTime<Utc>,
    ) -> Result<()> {
        self.store.head(mark).await?;
        let elapsed = self.store.server_time().await?.signed_duration_since(began);
        // A clock that was set back tells nothing of how long it took.
        if elapsed > DECIDES_WITHIN || elapsed < -FUTURE {
            return Err(Error::Timeout { action: "withdraw", key: layout::point(database, id), attempts: 0 });
        }
        Ok(())
    }

    /// Removes the own mark, and those of withdrawals that were killed; [`Error::Hidden`] where that fails.
    pub(super) async fn unmark(
        &self,
        (database, id): (&DatabaseName, &PointId),
        mark: &str,
        objects: &[ObjectInfo],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let dead = objects.iter().filter(|one| one.key.contains("/withdrawn/") && is_dead(one, now));
        let keys = dead.map(|one| one.key.clone()).chain([mark.to_owned()]).collect();
        match self.delete_all(keys).await.into_iter().next() {
            None => Ok(()),
            Some((_, error)) => Err(Error::Hidden { key: layout::point(database, id), source: Box::new(error) }),
        }
    }

    /// Deletes objects, those that could not be deleted again; gives what remains.
    pub(super) async fn delete_all(&self, mut keys: Vec<String>) -> Vec<(String, Error)> {
        let mut failed = Vec::new();
        for attempt in 1..=ATTEMPTS {
            if keys.is_empty() {
                return Vec::new();
            }
            let results = self.store.delete_many(&keys).await;
            failed = results.into_iter().filter_map(|(key, result)| Some((key, result.err()?))).collect();
            keys = failed.iter().map(|(key, _)| key.clone()).collect();
            if attempt < ATTEMPTS && !keys.is_empty() {
                tokio::time::sleep(PAUSE * attempt).await;
            }
        }
        failed
    }

    /// Everything that lies in a restore point's folder, but what is not ours by its name.
    pub(super) async fn objects(&self, database: &DatabaseName, id: &PointId) -> Result<Vec<ObjectInfo>> {
        self.listed(&layout::point(database, id)).await
    }
}

/// Whether whoever wrote this mark is at work no more.
fn is_dead(mark: &ObjectInfo, now: DateTime<Utc>) -> bool {
    now.signed_duration_since(mark.modified_at) > MARK_IS_DEAD
}
