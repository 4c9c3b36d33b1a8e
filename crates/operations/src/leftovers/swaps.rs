//! What a swap that was killed leaves beside databases to drop: a live one that is closed, a folder that did not follow.

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_postgres::ConnectionSettings;

use super::databases::Row;
use super::{Found, Leftover, LeftoverKind, What, judge_age};
use crate::restore::{Mark, Successor};
use crate::{Context, Error};

fn put_in(name: &str) -> String {
    format!("holdpoint restore --swap-in {}", crate::backup::shell(name))
}

/// Finds live databases that are closed because a swap wanted to rename them, and was killed.
pub(super) fn closed(server: &ConnectionSettings, rows: &[Row]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for successor in rows {
        let Some(oid) = successor.mark.as_ref().and_then(Mark::closes) else { continue };
        let Some(live) = rows.iter().find(|row| row.oid == oid && !row.open) else { continue };
        let place = format!("{}/{}", server.endpoint(), live.name);
        if found.iter().any(|known| known.leftover.place == place) {
            continue;
        }
        // Of several, one whose swap was killed says nothing of another that is at work.
        let takes_it = |row: &&Row| row.mark.as_ref().and_then(Mark::closes) == Some(oid);
        let worker = rows.iter().filter(takes_it).find_map(|row| row.worker);
        let (dead, reason) = match worker {
            Some(pid) => (false, format!("a swap is at work on it: process {pid} of the server")),
            None => {
                let go_on = put_in(&successor.name);
                (true, format!("a swap that was killed left it closed; opened again by --remove; or go on: {go_on}"))
            }
        };
        let leftover = Leftover {
            kind: LeftoverKind::ClosedDatabase,
            place,
            id: live.name.clone(),
            since: None,
            bytes: None,
            dead,
            reason,
            removed: false,
            problem: None,
        };
        let what = What::Closed { server: Box::new(server.clone()), name: live.name.clone() };
        found.push(Found { leftover, what });
    }
    found
}

/// Finds out whether the folder still belongs to a database that a swap has replaced since.
pub(super) async fn stale_identity(
    context: &Context,
    server: &ConnectionSettings,
    rows: &[Row],
    now: DateTime<Utc>,
) -> Result<Option<Found>, Error> {
    let Some(recorded) = context.repository.identity(&context.database).await? else { return Ok(None) };
    let recorded = recorded.identity;
    let replaced = rows.iter().find(|row| row.oid == recorded.database_oid);
    let Some((Some(Mark::Replaced(mark)), old)) = replaced.map(|row| (row.mark.clone(), row)) else { return Ok(None) };
    // The same OID may be another server's, so everything else that is known must agree.
    let same = recorded.endpoint == server.endpoint() && mark.more.was.as_deref() == Some(recorded.database.as_str());
    let Some(live) = rows.iter().find(|row| same && row.name == recorded.database) else { return Ok(None) };
    let working = rows.iter().find_map(|row| row.worker);
    let (dead, reason) = match working {
        Some(pid) => (false, format!("a swap is at work: process {pid} of the server")),
        None => (
            true,
            format!(
                "a swap that was killed has replaced that database by {}; recorded by --remove, until then backups are \
                 refused",
                live.name
            ),
        ),
    };
    let leftover = Leftover {
        kind: LeftoverKind::StaleIdentity,
        place: holdpoint_core::layout::database(&context.database),
        id: format!("belongs to {}", old.name),
        since: Some(mark.at),
        bytes: None,
        dead,
        reason,
        removed: false,
        problem: None,
    };
    Ok(Some(Found { leftover, what: What::Identity { oid: live.oid, at: now, replaced: old.name.clone() } }))
}

/// Judges a restored copy whose process is gone: one that is not ready is worth nothing, the other hours of work.
pub(super) fn judge_copy(
    mark: &Successor,
    row: &Row,
    since: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    min_age: TimeDelta,
) -> (bool, String) {
    if !mark.ready {
        return (true, format!("a restore of {} that was killed", mark.from));
    }
    let (dead, _) = judge_age(since, Some(now), min_age);
    (dead, format!("{} restored and matched; to put it in {}'s place: {}", mark.from, mark.of, put_in(&row.name)))
}
