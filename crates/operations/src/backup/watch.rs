//! Looks after a backup while it holds its snapshot: the snapshot must live, must not grow too old, and nobody may wait
//! for our locks for too long. What says no ends the backup as an interruption would, with its own reason.

use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use holdpoint_engine::{Pace, copy_out};
use holdpoint_postgres::waiters::{Waiter, waiters, waiting_elsewhere};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, Snapshot, preflight};

use super::BackupLimits;
use super::passage::{StoredData, abort};
use crate::{Context, Error};

/// How often it is asked who waits; a shorter wait is not noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a failed look.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// A look that takes longer would itself be in the way.
const LOOK_WITHIN: Duration = Duration::from_secs(5);
/// Whoever waits for longer is told of, even where nobody set a limit.
const WORTH_A_WORD: Duration = Duration::from_secs(5);

/// Fewer are left alone: pg_dump or a copying session that was lost may need one.
const CONNECTIONS_KEPT: i64 = 2;

/// What is looked after, and what came of it.
pub(super) struct Watch<'a> {
    context: &'a Context,
    snapshot: &'a Snapshot,
    limits: BackupLimits,
    pace: &'a Pace,
    held_since: Instant,
    told: Mutex<Vec<Told>>,
}

/// One who waited, in the words of the last time it was seen.
struct Told {
    pid: i32,
    relation: Option<String>,
    line: String,
}

/// Makes up the `application_name` with which every session and child of one backup begins.
pub(super) fn name(seed: u64) -> String {
    format!("holdpoint backup {:08x}", seed & 0xffff_ffff)
}

impl<'a> Watch<'a> {
    /// `held_since`: when the snapshot was taken. The context's token is cancelled when something says no.
    pub(super) fn new(
        context: &'a Context,
        snapshot: &'a Snapshot,
        limits: BackupLimits,
        pace: &'a Pace,
        held_since: Instant,
    ) -> Self {
        Self { context, snapshot, limits, pace, held_since, told: Mutex::new(Vec::new()) }
    }

    /// Does the copying under this watch. When something says no, the copying is cancelled and waited for, so that its
    /// upload is aborted and what could not be removed is told.
    pub(super) async fn over(
        &self,
        copying: impl Future<Output = Result<StoredData, Error>>,
    ) -> Result<StoredData, Error> {
        let mut copying = pin!(copying);
        let reason = tokio::select! {
            biased;
            done = &mut copying => return done,
            reason = self.objection() => reason,
        };
        self.context.cancel.cancel();
        match copying.await {
            Ok(stored) => Err(abort(stored.upload, reason).await),
            Err(Error::LeftBehind { remains, .. }) => Err(Error::LeftBehind { failure: Box::new(reason), remains }),
            Err(_) => Err(reason),
        }
    }

    /// What is worth knowing afterwards: who waited.
    pub(super) fn warnings(&self) -> Vec<String> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().map(|one| format!("the backup held up others: {}", one.line)).collect()
    }

    /// Gives the reason why the backup must end; goes on for ever while there is none.
    async fn objection(&self) -> Error {
        tokio::select! {
            lost = copy_out::watch(self.snapshot) => lost.into(),
            old = self.age() => old,
            in_the_way = self.waiters() => in_the_way,
            () = self.pace.adapt() => Error::Internal("the pace ended by itself".to_owned()),
        }
    }

    async fn age(&self) -> Error {
        let Some(limit) = self.limits.max_snapshot_age else { return std::future::pending().await };
        tokio::time::sleep(limit.saturating_sub(self.held_since.elapsed())).await;
        Error::SnapshotTooOld { limit }
    }

    async fn waiters(&self) -> Error {
        let mut session = None;
        let mut failed_before = false;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let looked = match tokio::time::timeout(LOOK_WITHIN, self.look(&mut session)).await {
                Ok(looked) => looked,
                Err(_) => Err(Error::Internal("no answer".to_owned())),
            };
            match looked {
                Ok(Some(reason)) => return reason,
                Ok(None) => failed_before = false,
                Err(error) => {
                    session = None;
                    if !std::mem::replace(&mut failed_before, true) {
                        let note = format!("who waits for the backup cannot be seen now: {}", error.line());
                        self.context.progress.note(&note);
                    }
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        }
    }

    async fn look(&self, session: &mut Option<Session>) -> Result<Option<Error>, Error> {
        let settings: &ConnectionSettings = self.snapshot.session().settings();
        let ours = settings.application_name().unwrap_or_default();
        let session = match session {
            Some(session) => session,
            none => {
                // A name of its own, which no waiter waits for.
                let own = Session::connect(settings, &SessionPurpose::new("holdpoint watch")).await?;
                // Copying comes before looking, and the last connections are not ours to take.
                if preflight::headroom(&own).await?.left < CONNECTIONS_KEPT {
                    own.close().await;
                    return Err(Error::Usage("hardly a connection is left on the server".to_owned()));
                }
                none.insert(own)
            }
        };
        if self.limits.choose_jobs {
            self.pace.others_wait(waiting_elsewhere(session, ours).await?);
        }
        for waiter in waiters(session, ours).await? {
            let limit = self.limits.max_lock_wait.filter(|_| waiter.blocks_others());
            if limit.is_some_and(|limit| waiter.waiting_for >= limit) || waiter.waiting_for >= WORTH_A_WORD {
                self.tell(&waiter);
            }
            if let Some(limit) = limit.filter(|limit| waiter.waiting_for >= *limit) {
                return Ok(Some(Error::InTheWay { waiter: waiter.to_string(), limit }));
            }
        }
        Ok(None)
    }

    /// Tells of a waiter once, and keeps the newest words about it.
    fn tell(&self, waiter: &Waiter) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let line = waiter.to_string();
        match told.iter_mut().find(|one| one.pid == waiter.pid && one.relation == waiter.relation) {
            Some(one) => one.line = line,
            None => {
                self.context.progress.note(&format!("the backup holds up others: {line}"));
                told.push(Told { pid: waiter.pid, relation: waiter.relation.clone(), line });
            }
        }
    }
}
