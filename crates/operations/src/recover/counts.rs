//! Counting what a change would do, without doing it.

use holdpoint_core::name::quote_identifier as quoted;
use holdpoint_postgres::Session;

use super::live::{self, Sequence};
use super::plan::{SequenceMove, TableChange};
use super::statements::Change;
use super::{RecoverMode, Triggers};
use crate::Error;

pub(super) const WHAT: &str = "counting what would change";

/// Asks for one number.
pub(super) async fn count(session: &Session, sql: &str) -> Result<u64, Error> {
    Ok(unsigned(session.query_one(WHAT, sql, &[]).await?.get(0)))
}

fn unsigned(count: i64) -> u64 {
    count.unsigned_abs()
}

/// Counts what happens to one table's rows.
pub(super) async fn rows(session: &Session, change: &Change, into: &mut TableChange) -> Result<(), Error> {
    let row = session.query_one(WHAT, &change.count(), &[]).await?;
    let (found, missing, differing) = (unsigned(row.get(0)), unsigned(row.get(1)), unsigned(row.get(2)));
    into.found_rows = found;
    (into.inserted, into.changed) = match (change.part, change.mode) {
        (_, RecoverMode::Side) => (0, 0),
        (true, _) => (0, differing),
        (false, RecoverMode::Missing) => (missing, 0),
        (false, RecoverMode::Upsert | RecoverMode::Replace) => (missing, differing),
    };
    if change.part && missing > 0 {
        into.notes.push(format!(
            "{missing} rows of the restore point are not in the live table: no column of them is filled"
        ));
    }
    into.left = found - into.inserted - into.changed;
    if change.mode == RecoverMode::Replace {
        into.deleted = count(session, &change.count_beyond()).await?;
    }
    for filled in change.filled.iter().filter(|one| one.was.is_some()) {
        let (then, now) = (quoted(&filled.then), &filled.now);
        let value = match change.through_text.contains(&filled.then) {
            true => format!("CAST(CAST({then} AS text) AS {})", now.type_name),
            false => format!("CAST({then} AS {})", now.type_name),
        };
        let sql = format!("SELECT count(*) FROM {} WHERE {value}::text IS DISTINCT FROM {then}::text", change.side);
        let rounded = count(session, &sql).await?;
        if rounded > 0 {
            into.notes.push(format!("{rounded} values of {then} are written differently as {}", now.type_name));
        }
    }
    Ok(())
}

/// Finds the sequences that would otherwise give a number that a row has already.
pub(super) async fn sequences(session: &Session, change: &Change, into: &mut TableChange) -> Result<(), Error> {
    for sequence in &change.live.sequences {
        let filled = change.filled.iter().any(|one| one.now.name == sequence.column);
        if change.part || !filled || into.inserted + into.changed == 0 {
            continue;
        }
        let Some(move_to) = next(session, sequence, &change.mapped()).await? else { continue };
        into.sequences.push(move_to);
        if !sequence.may_set {
            into.refusals
                .push(format!("this role may not move sequence {}: GRANT SELECT, UPDATE on it", sequence.quoted));
        }
    }
    Ok(())
}

/// Finds the sequences of a table that was made again that stand behind its rows: not every source tells where they
/// stood.
pub(super) async fn behind(session: &Session, table: &str) -> Result<Vec<SequenceMove>, Error> {
    let row = session.query_one(WHAT, "SELECT $1::text::regclass::oid", &[&table]).await?;
    let mut found = Vec::new();
    for sequence in live::sequences(session, row.get(0)).await? {
        found.extend(next(session, &sequence, table).await?);
    }
    Ok(found)
}

/// Where a sequence has to stand so that it gives no number that these rows have; `None` where it does.
async fn next(session: &Session, sequence: &Sequence, rows: &str) -> Result<Option<SequenceMove>, Error> {
    let (greatest, beyond) = if sequence.increment > 0 { ("max", ">=") } else { ("min", "<=") };
    let sql = format!(
        "SELECT v.edge::int8 FROM (SELECT {greatest}(s.{column}) AS edge FROM {rows} s) v, {name} q \
         WHERE v.edge {beyond} CASE WHEN q.is_called THEN q.last_value + ({step}) ELSE q.last_value END",
        column = quoted(&sequence.column),
        name = sequence.quoted,
        step = sequence.increment
    );
    match session.query(WHAT, &sql, &[]).await {
        Ok(rows) => Ok(rows.first().map(|row| SequenceMove { name: sequence.quoted.clone(), to: row.get(0) })),
        Err(error) if error.sqlstate() == Some("42501") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Counts values that are no label of their enum any more.
pub(super) async fn labels(session: &Session, change: &Change) -> Result<Vec<String>, Error> {
    let mut lost = Vec::new();
    for one in change.filled.iter().filter(|one| one.was.is_some()) {
        let (then, kind) = (quoted(&one.then), &one.now.type_name);
        let sql = format!(
            "SELECT count(*) FROM {} WHERE {then} IS NOT NULL \
               AND EXISTS (SELECT FROM pg_enum WHERE enumtypid = to_regtype($1::text)) \
               AND NOT EXISTS (SELECT FROM pg_enum WHERE enumtypid = to_regtype($1::text) AND enumlabel = {then}::text)",
            change.side
        );
        let count: i64 = session.query_one(WHAT, &sql, &[kind]).await?.get(0);
        if count > 0 {
            lost.push(format!(
                "{count} values of {then} are no labels of {kind} any more: ALTER TYPE … ADD VALUE first"
            ));
        }
    }
    Ok(lost)
}

/// Says what keeps this role from even looking at the live table.
pub(super) fn barriers(change: &Change, into: &mut TableChange) {
    let live = &change.live;
    if live.row_security {
        into.refusals.push(
            "row security would hide rows from this role: connect as the table's owner or as a role with BYPASSRLS"
                .to_owned(),
        );
    }
    if !live.lacks.is_empty() {
        into.refusals.push(format!("this role lacks {} on {}", live.lacks.join(", "), live.quoted));
    }
}

/// Says what triggers and rules do, and what of the table itself stands in the way.
pub(super) fn nature(change: &Change, triggers: Triggers, into: &mut TableChange) {
    let live = &change.live;
    let what: Vec<String> = live
        .triggers
        .iter()
        .map(|trigger| format!("trigger {} on {}", quoted(&trigger.name), trigger.table))
        .chain(live.rules.iter().map(|rule| format!("rule {} on {}", quoted(&rule.name), rule.table)))
        .collect();
    if change.mode == RecoverMode::Side || what.is_empty() {
    } else if triggers == Triggers::Fire {
        if !live.rules.is_empty() {
            into.refusals.push("a rule would rewrite the change: leave --fire-triggers out".to_owned());
        }
        into.firing = what;
    } else {
        if !live.is_owner {
            into.refusals.push(format!(
                "only the table's owner can hold back {}: connect as the owner, or let them fire with --fire-triggers",
                what.join(", ")
            ));
        }
        into.held_back = what;
    }
    let identity = change.sets_identity();
    if !identity.is_empty() && change.mode != RecoverMode::Missing && into.changed > 0 && !live.is_owner {
        into.refusals.push(format!("only the table's owner can set identity column {}", identity.join(", ")));
    }
    if into.changed + into.deleted > 0 && !live.unidentified_for.is_empty() {
        into.refusals.push(format!(
            "publication {} sends changes and the table does not tell its rows apart: ALTER TABLE … REPLICA IDENTITY",
            live.unidentified_for.join(", ")
        ));
    }
    if !live.publications.is_empty() && change.mode != RecoverMode::Side {
        into.notes.push(format!("subscribers get the change too: publication {}", live.publications.join(", ")));
    }
    if !live.subscriptions.is_empty() && change.mode != RecoverMode::Side {
        into.notes.push(format!(
            "another server writes into it too, and may now meet rows that it does not expect: subscription {}",
            live.subscriptions.join(", ")
        ));
    }
    if !live.materialized_views.is_empty() && change.mode != RecoverMode::Side {
        into.notes.push(format!("show old rows until REFRESH: {}", live.materialized_views.join(", ")));
    }
    if live.has_children {
        into.notes.push("tables that inherit from it are left alone".to_owned());
    }
}
