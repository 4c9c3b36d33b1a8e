//! The swap itself: restore beside, match, exchange, adopt, say what stayed behind.

use std::time::Instant;

use chrono::SecondsFormat;
use holdpoint_core::fingerprint::Difference;
use holdpoint_core::manifest::DatabaseProperties;
use holdpoint_core::progress::Phase;
use holdpoint_postgres::{ConnectionSettings, Session, identity};

use super::{SwapOptions, SwapPlan, SwapReport, WrittenSince, adoption, fitness, obstacles, way_back, written_since};
use crate::expected::Expected;
use crate::restore::exchange::{Exchange, Exchanged, exchange, oid};
use crate::restore::mark::Successor;
use crate::restore::{RestoreReport, beside, maintenance, run};
use crate::run_lock::RunLock;
use crate::{Context, Error, database_properties};

/// Restores the planned point beside the live database, matches its fingerprint, and exchanges the two.
///
/// Until the restored copy is ready, a failure drops it and the live database was not touched. After that, the copy
/// stays ([`Error::NotSwapped`]), and the live database is in service again. Then the folder's identity follows, and the
/// database that was there stays, closed, under the planned name.
///
/// # Errors
/// [`Error::SwapRefused`] where the plan has obstacles; [`Error::Differs`] where the copy did not match.
pub async fn swap(context: &Context, options: &SwapOptions, plan: &SwapPlan) -> Result<SwapReport, Error> {
    Box::pin(restore_beside(context, options, plan, None)).await?.exchange().await
}

/// A restored and matched copy beside the live database, under the run lock: nobody migrates until the two are exchanged.
///
/// It has two endings: [`Self::exchange`] and [`Self::abandon`].
pub struct RestoredBeside<'a> {
    context: &'a Context,
    options: &'a SwapOptions,
    plan: &'a SwapPlan,
    began: Instant,
    live: ConnectionSettings,
    successor: String,
    successor_oid: u32,
    lock: RunLock,
    maintenance: Session,
    ready: Ready,
}

/// Restores the planned point beside the live database, and matches its fingerprint; the live one is not touched.
///
/// `held` is the run lock of that database, where the caller has it: it is kept from then on.
///
/// # Errors
/// As [`swap`]; the copy is gone then.
pub async fn restore_beside<'a>(
    context: &'a Context,
    options: &'a SwapOptions,
    plan: &'a SwapPlan,
    held: Option<RunLock>,
) -> Result<RestoredBeside<'a>, Error> {
    let began = Instant::now();
    refuse(plan)?;
    let session = obstacles::connect(&options.live).await?;
    // To the very server that was looked at, where the URL names several.
    let live = session.settings().clone();
    let seen = identity::read(&session).await?.identity;
    if seen.database_oid != plan.database_oid || seen.database != plan.database {
        let why = "another database has taken its name since the plan was made".to_owned();
        return Err(Error::ReplaceRefused { target: plan.live.clone(), why });
    }
    let successor = beside::name(context);
    // Before anything is made: a guarded command must not change what is about to be put aside.
    let lock = match held {
        Some(held) => held,
        None => RunLock::take(&live, plan.database_oid, LOCK_NAME, &context.cancel).await?,
    };
    let maintenance = maintenance::connect(&live, &successor).await?;
    let mark = Successor {
        of: plan.database.clone(),
        of_oid: plan.database_oid,
        from: plan.point.to_string(),
        keep_as: beside::free_name(&maintenance, &plan.database, Some(&plan.point)).await?,
        ready: false,
    };
    context.progress.phase(Phase::CreatingDatabase, None);
    let made = beside::create(&session, &maintenance, &successor, &mark).await;
    session.close().await;
    let prepared = async {
        made?;
        let work = Beside { context, options, plan, live: &live, successor: &successor, mark: &mark };
        tokio::select! {
            ready = work.ready(&maintenance) => ready,
            never = maintenance::keep_alive(lock.session()) => match never {},
        }
    };
    let ready = match prepared.await {
        Ok(ready) => ready,
        Err(failure) => return Err(abandoned(maintenance, &live, &successor, failure).await),
    };
    let maintenance =
        alive(maintenance, &live, &successor).await.map_err(|error| beside::remains(&successor, error))?;
    let successor_oid = match oid(&maintenance, &successor).await {
        Ok(oid) => oid,
        Err(failure) => return Err(abandoned(maintenance, &live, &successor, failure).await),
    };
    Ok(RestoredBeside { context, options, plan, began, live, successor, successor_oid, lock, maintenance, ready })
}

/// Drops the copy, where the server can still be reached; the session may be lost, which may be why it failed.
async fn abandoned(maintenance: Session, live: &ConnectionSettings, successor: &str, failure: Error) -> Error {
    match alive(maintenance, live, successor).await {
        Ok(maintenance) => beside::abandon(&maintenance, successor, failure).await,
        Err(_) => beside::remains(successor, failure),
    }
}

impl RestoredBeside<'_> {
    /// The copy's OID: once the two are exchanged, that of the database in service.
    pub fn copy_oid(&self) -> u32 {
        self.successor_oid
    }

    /// Drops the copy; gives `failure` back, with what remains where that fails, too.
    pub async fn abandon(self, failure: Error) -> Error {
        abandoned(self.maintenance, &self.live, &self.successor, failure).await
    }

    /// Exchanges the two.
    ///
    /// # Errors
    /// [`Error::NotSwapped`]: the copy stays, and the live database is in service again.
    pub async fn exchange(self) -> Result<SwapReport, Error> {
        let Self { context, options, plan, began, live, successor, lock, maintenance, ready, .. } = self;
        let Ready { mut restored, places, before } = ready;
        let mut warnings = std::mem::take(&mut restored.warnings);
        let exchanged = async {
            let maintenance = alive(maintenance, &live, &successor).await?;
            // Hours may have passed.
            let bound = fitness::bound(&maintenance, &plan.database).await?;
            if !bound.is_empty() {
                return Err(Error::SwapRefused { target: plan.live.clone(), obstacles: bound });
            }
            let lock = if lock.is_held().await {
                lock
            } else {
                RunLock::take(&live, plan.database_oid, LOCK_NAME, &context.cancel).await?
            };
            let mut exchanged = exchange(context, &live, &maintenance, &places).await?;
            // Its session was one of those that were ended.
            drop(lock);
            exchanged.ended = exchanged.ended.saturating_sub(1);
            Ok((exchanged, maintenance))
        };
        let (mut exchanged, maintenance) = exchanged.await.map_err(|failure| Error::NotSwapped {
            failure: Box::new(failure),
            database: plan.database.clone(),
            copy: successor.clone(),
        })?;
        let maintenance = exchanged.reconnected.take().unwrap_or(maintenance);
        let reason = format!(
            "restore --swap of {} at {}; the database before is kept as {}",
            plan.point,
            exchanged.at.to_rfc3339_opts(SecondsFormat::Secs, true),
            places.keep_as
        );
        let adopted = adopt(context, &exchanged, reason, &mut warnings).await;
        warnings.extend(not_as_before(&live, &before).await);
        let old = live.with_database(&places.keep_as);
        let written_since = left_behind(context, options, plan, &old, &maintenance, &mut warnings).await;
        maintenance.close().await;
        Ok(SwapReport {
            point: Some(plan.point.clone()),
            live: plan.live.clone(),
            compared: restored.compared,
            swapped_at: exchanged.at,
            closed_for_ms: milliseconds(exchanged.closed_for),
            sessions_ended: exchanged.ended,
            way_back: way_back(&places.keep_as),
            kept_as: places.keep_as,
            written_since,
            adopted,
            took_ms: milliseconds(began.elapsed()),
            warnings,
        })
    }
}

/// How the session is called that has the run lock for a swap.
pub(super) const LOCK_NAME: &str = "holdpoint swap";

fn refuse(plan: &SwapPlan) -> Result<(), Error> {
    if plan.obstacles.is_empty() {
        return Ok(());
    }
    Err(Error::SwapRefused { target: plan.live.clone(), obstacles: plan.obstacles.clone() })
}

pub(super) fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A restored copy to which only the name is missing.
struct Ready {
    restored: RestoreReport,
    places: Exchange,
    /// The live database's properties.
    before: DatabaseProperties,
}

/// The database that is restored beside the live one.
struct Beside<'a> {
    context: &'a Context,
    options: &'a SwapOptions,
    plan: &'a SwapPlan,
    live: &'a ConnectionSettings,
    successor: &'a str,
    mark: &'a Successor,
}

impl Beside<'_> {
    /// Restores and matches it, and gives it the live database's properties.
    async fn ready(&self, maintenance: &Session) -> Result<Ready, Error> {
        if let Some(obstacle) = obstacles::other_swaps(maintenance, self.plan.database_oid).await? {
            return Err(Error::SwapRefused { target: self.plan.live.clone(), obstacles: vec![obstacle] });
        }
        let now = beside::properties(self.live).await?;
        all_carried(&self.plan.live, beside::rehearse(maintenance, self.successor, &now, &self.mark.of).await?)?;
        let into = self.live.with_database(self.successor);
        let options = self.options.restore(&self.plan.point);
        let restored = tokio::select! {
            restored = run::restore_point(self.context, &options, &into, run::Properties::Untouched) => restored?,
            never = maintenance::keep_alive(maintenance) => match never {},
        };
        if !restored.differences.is_empty() {
            return Err(Error::Differs { differences: restored.differences });
        }
        // As they are now: somebody may have changed them while the copy was made.
        let before = beside::properties(self.live).await?;
        let places = Exchange {
            live: self.mark.of.clone(),
            live_oid: self.mark.of_oid,
            live_comment: before.comment.clone(),
            new_comment: before.comment.clone(),
            successor: self.successor.to_owned(),
            keep_as: self.mark.keep_as.clone(),
        };
        let cancel = &self.context.cancel;
        let failures = beside::prepare(maintenance, self.successor, &before, self.mark, cancel).await?;
        all_carried(&self.plan.live, failures)?;
        beside::mark_ready(maintenance, self.successor, self.mark).await?;
        Ok(Ready { restored, places, before })
    }
}

/// Refuses a copy that lacks a setting or a grant of the live database.
pub(super) fn all_carried(live: &str, failures: Vec<String>) -> Result<(), Error> {
    if failures.is_empty() {
        return Ok(());
    }
    let obstacles = failures.into_iter().map(fitness::not_carried).collect();
    Err(Error::SwapRefused { target: live.to_owned(), obstacles })
}

/// The session, or another one where it was lost meanwhile.
pub(super) async fn alive(maintenance: Session, live: &ConnectionSettings, successor: &str) -> Result<Session, Error> {
    if maintenance.ping().await.is_ok() {
        return Ok(maintenance);
    }
    maintenance::connect(live, successor).await
}

/// Lets the folder follow. The swap is done: a failure is a warning that the report also has as a fact.
pub(super) async fn adopt(
    context: &Context,
    exchanged: &Exchanged,
    reason: String,
    warnings: &mut Vec<String>,
) -> bool {
    context.progress.phase(Phase::RecordingIdentity, None);
    match adoption::follow(context, exchanged.oid, exchanged.at, reason).await {
        Ok(()) => true,
        Err(error) => {
            warnings.push(format!(
                "backups are refused until you record it: holdpoint adopt --reason \"restore --swap\" ({})",
                error.line()
            ));
            false
        }
    }
}

/// Connects to the database in service, as an application would, and compares its properties with those before.
async fn not_as_before(live: &ConnectionSettings, before: &DatabaseProperties) -> Vec<String> {
    match beside::properties(live).await {
        Ok(now) => {
            let differences = database_properties::compare((before, &[]), (&now, &[]));
            differences.iter().map(Difference::line).collect()
        }
        Err(error) => vec![format!("the database in service was not looked at: {}", error.line())],
    }
}

/// Compares the database that was there with the restore point: nobody can write to it any more, and nobody waits.
///
/// It is open for that long, under a name that only this process knows.
async fn left_behind(
    context: &Context,
    options: &SwapOptions,
    plan: &SwapPlan,
    old: &ConnectionSettings,
    maintenance: &Session,
    warnings: &mut Vec<String>,
) -> Option<WrittenSince> {
    const WHAT: &str = "reading the database that was there";
    let limit = options.compare_up_to?;
    let name = old.database();
    let compared = async {
        let expected = Expected::read(context, &plan.point).await?;
        maintenance.run(WHAT, &maintenance::allow(name, true)).await?;
        written_since::compare(context, &expected, options, old, limit).await
    };
    let compared = compared.await;
    if let Err(error) = maintenance.run(WHAT, &maintenance::allow(name, false)).await {
        warnings.push(format!("{name} stays open: {}", Error::from(error).line()));
    }
    compared.map_err(|error| warnings.push(format!("what was written since is not known: {}", error.line()))).ok()
}
