//! Puts a database that is there already in the live one's place: one that a swap kept, or one that it made ready.

use std::time::Instant;

use chrono::SecondsFormat;
use holdpoint_core::progress::Phase;
use holdpoint_core::verification::Obstacle;
use holdpoint_postgres::catalog::database;
use holdpoint_postgres::{ConnectionSettings, identity};
use serde::Serialize;

use super::run::{LOCK_NAME, adopt, all_carried, milliseconds};
use super::{SwapReport, fitness, obstacles, way_back};
use crate::restore::exchange::{Exchange, exchange};
use crate::restore::mark::{Details, Mark, Replaced};
use crate::restore::{beside, maintenance};
use crate::run_lock::RunLock;
use crate::{Context, Error};

/// Which database shall take the live one's place.
#[derive(Clone, Debug)]
pub struct SwapInOptions {
    /// The live database, as a role that may rename it.
    pub live: ConnectionSettings,
    /// The same database by the URL that backups use, where another one is configured.
    pub source: Option<ConnectionSettings>,
    /// The database to put in, on the same server, marked by holdpoint.
    pub name: String,
}

/// What putting it in would do, and what stands in its way.
#[derive(Clone, Debug, Serialize)]
pub struct SwapInPlan {
    /// The live database, without its password.
    pub live: String,
    /// Its name, which a person types to confirm.
    pub database: String,
    /// Its OID.
    pub database_oid: u32,
    /// The database that takes its place.
    pub successor: String,
    /// What that one is, in words.
    pub what: String,
    /// Under which name the live one will be kept.
    pub keep_as: String,
    /// How many sessions are in the live database now; they are ended.
    pub sessions: u64,
    /// What stands in the way: with any of them nothing is begun.
    pub obstacles: Vec<Obstacle>,
}

/// Looks at both databases, and changes nothing.
///
/// # Errors
/// [`Error::SwapRefused`] where there is no such database, or holdpoint's mark is not on it.
pub async fn plan_in(context: &Context, options: &SwapInOptions) -> Result<SwapInPlan, Error> {
    context.progress.phase(Phase::Preflight, None);
    let looking = maintenance::connect(&options.live, &format!("{}?", options.name)).await?;
    let all = maintenance::databases(&looking).await?;
    let refused = |reason: String| Error::SwapRefused {
        target: options.live.redacted(),
        obstacles: vec![Obstacle { reason, cure: "see which databases there are: holdpoint leftovers".to_owned() }],
    };
    let found = all.iter().find(|one| one.name == options.name);
    let found = found.ok_or_else(|| refused(format!("the server has no database {}", options.name)))?;
    let what = match found.mark() {
        Some(Mark::Successor(mark)) if !mark.ready => {
            return Err(refused(format!("{} was never restored to its end", found.name)));
        }
        Some(Mark::Successor(mark)) => format!("restored from {}, matched, and never put in", mark.from),
        Some(Mark::Replaced(mark)) => {
            format!("replaced at {}", mark.at.to_rfc3339_opts(SecondsFormat::Secs, true))
        }
        None => return Err(refused(format!("{} does not bear holdpoint's mark", found.name))),
    };
    let place = match found.mark() {
        Some(Mark::Successor(mark)) => Some(mark.of),
        Some(Mark::Replaced(mark)) => mark.more.was,
        None => None,
    };
    if place.as_deref().is_some_and(|place| place != options.live.database()) {
        let place = place.unwrap_or_default();
        return Err(refused(format!("{} belongs in the place of {place}", found.name)));
    }
    let live = all.iter().find(|one| one.name == options.live.database());
    let live = live.ok_or_else(|| refused(format!("the server has no database {}", options.live.database())))?;
    // Renamed by hand, it still bears its mark.
    if found.oid == live.oid {
        return Err(refused(format!("{} is the live database already", found.name)));
    }
    let mut stands = Vec::new();
    let other = obstacles::other_swaps(&looking, live.oid).await?;
    let alone = other.is_none();
    stands.extend(other);
    let point = match found.mark() {
        Some(Mark::Successor(mark)) => mark.from.parse().ok(),
        _ => None,
    };
    let keep_as = match point {
        Some(point) => beside::free_name(&looking, &live.name, Some(&point)).await?,
        None => beside::next_name(&looking, &found.name).await?,
    };
    // A killed swap left the live one closed, and this goes on where it ended; but by somebody else, perhaps, and later.
    let half_done = !live.open && found.mark().and_then(|mark| mark.takes()) == Some(live.oid);
    let sessions = if half_done {
        let server = obstacles::seen_from_beside(&looking, &live.name).await?;
        let seen = obstacles::Seen { session: &looking, server: &server, closed: true };
        stands.extend(seen.obstacles(context, options.source.as_ref()).await?);
        0
    } else {
        let session = obstacles::connect(&options.live).await?;
        let server = identity::read(&session).await?;
        let seen = obstacles::Seen { session: &session, server: &server, closed: false };
        stands.extend(seen.obstacles(context, options.source.as_ref()).await?);
        if alone {
            stands.extend(obstacles::guarded_run(&session, live.oid, None).await?);
        }
        let sessions = fitness::sessions(&session).await?;
        session.close().await;
        sessions
    };
    if matches!(found.mark(), Some(Mark::Successor(_))) {
        let properties = database::properties_of(&looking, Some(&live.name)).await?;
        if !beside::has(&looking, &found.name, &properties).await? {
            stands.extend(fitness::settings(&looking, &live.name).await?);
        }
    }
    let plan = SwapInPlan {
        live: options.live.redacted(),
        database: live.name.clone(),
        database_oid: live.oid,
        successor: found.name.clone(),
        what,
        keep_as,
        sessions,
        obstacles: stands,
    };
    looking.close().await;
    Ok(plan)
}

/// Exchanges the planned databases; the one that was live stays, closed, under the planned name.
///
/// A restored copy gets the live one's owner, grants and settings as they are by now; one that was live before has its
/// own.
///
/// A failure leaves the live database in service and the other one as it was.
///
/// # Errors
/// [`Error::SwapRefused`] where the plan has obstacles; what [`exchange`] says.
pub async fn swap_in(context: &Context, options: &SwapInOptions, plan: &SwapInPlan) -> Result<SwapReport, Error> {
    let began = Instant::now();
    if !plan.obstacles.is_empty() {
        return Err(Error::SwapRefused { target: plan.live.clone(), obstacles: plan.obstacles.clone() });
    }
    let maintenance = maintenance::connect(&options.live, &plan.successor).await?;
    // To the very server that was looked at, where the URL names several.
    let live = maintenance.settings().with_database(&plan.database);
    let all = maintenance::databases(&maintenance).await?;
    let named = |name: &str| all.iter().find(|one| one.name == name);
    // A killed swap left it closed: then no command is at work in it, and none can come.
    let lock = match named(&plan.database) {
        Some(found) if found.open => Some(RunLock::take(&live, plan.database_oid, LOCK_NAME, &context.cancel).await?),
        _ => None,
    };
    let live_comment = named(&plan.database).and_then(|found| found.comment.clone());
    let mark = named(&plan.successor).and_then(|found| found.mark());
    let new_comment = match mark {
        Some(Mark::Replaced(mark)) => {
            // So that whoever comes after a kill knows why the live one is closed.
            let more = Details { takes: Some(plan.database_oid), ..mark.more.clone() };
            let text = Mark::Replaced(Replaced { at: mark.at, more }).text();
            let sql = maintenance::comment(&plan.successor, Some(&text));
            maintenance.run("marking the database to put in", &sql).await?;
            mark.more.comment
        }
        Some(Mark::Successor(mark)) => {
            // It was made ready a while ago, and what was set or granted since is meant for the database in service.
            let properties = database::properties_of(&maintenance, Some(&plan.database)).await?;
            if !beside::has(&maintenance, &plan.successor, &properties).await? {
                let successor = &plan.successor;
                let failures =
                    beside::prepare_again(&maintenance, successor, &properties, &mark, &context.cancel).await?;
                all_carried(&plan.live, failures)?;
            }
            live_comment.clone()
        }
        None => live_comment.clone(),
    };
    maintenance.run("closing the database to put in", &maintenance::allow(&plan.successor, false)).await?;
    let places = Exchange {
        live: plan.database.clone(),
        live_oid: plan.database_oid,
        live_comment,
        new_comment,
        successor: plan.successor.clone(),
        keep_as: plan.keep_as.clone(),
    };
    let mut exchanged = exchange(context, &live, &maintenance, &places).await?;
    // Its session was one of those that were ended.
    exchanged.ended = exchanged.ended.saturating_sub(usize::from(lock.is_some()));
    drop(lock);
    let reason = format!(
        "restore --swap-in of {} at {}; the database before is kept as {}",
        plan.successor,
        exchanged.at.to_rfc3339_opts(SecondsFormat::Secs, true),
        places.keep_as
    );
    let mut warnings = Vec::new();
    let adopted = adopt(context, &exchanged, reason, &mut warnings).await;
    exchanged.reconnected.unwrap_or(maintenance).close().await;
    Ok(SwapReport {
        point: None,
        live: plan.live.clone(),
        compared: None,
        swapped_at: exchanged.at,
        closed_for_ms: milliseconds(exchanged.closed_for),
        sessions_ended: exchanged.ended,
        way_back: way_back(&places.keep_as),
        kept_as: places.keep_as,
        written_since: None,
        adopted,
        took_ms: milliseconds(began.elapsed()),
        warnings,
    })
}
