//! Counting what a change would do, without doing it.

use std::collections::BTreeMap;

use holdpoint_core::name::quote_identifier as quoted;
use holdpoint_postgres::Session;

use super::keys::ForeignKey;
use super::plan::{ForeignKeyCheck, SequenceMove, TableChange, UniqueCheck};
use super::statements::Change;
use super::{RecoverMode, Triggers};
use crate::Error;

const WHAT: &str = "counting what would change";
/// An expression is about columns that the restore point does not have, or about the whole row.
const UNREADABLE: [&str; 3] = ["42703", "42P01", "42883"];

async fn count(session: &Session, sql: &str) -> Result<u64, Error> {
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

/// Counts rows that unique indexes, checks and not-null columns would refuse.
pub(super) async fn constraints(session: &Session, change: &Change, into: &mut TableChange) -> Result<(), Error> {
    let filled = |name: &String| change.filled.iter().any(|one| one.now.name == *name);
    for index in &change.unique {
        let is_key = change.key.as_ref().is_some_and(|key| key.name == index.name);
        if is_key || (!index.columns.is_empty() && !index.columns.iter().all(filled)) {
            continue;
        }
        add(session, &change.count_taken(index), format!("unique index {}", index.name), into).await?;
    }
    let checks = change.live.checks.iter().map(|(name, expression)| (format!("check {name}"), expression.clone()));
    let needed = change.filled.iter().filter(|one| one.now.not_null && one.nullable).map(|one| {
        let name = quoted(&one.now.name);
        (format!("not-null column {name}"), format!("s.{name} IS NOT NULL"))
    });
    let expressions: Vec<(String, String)> = checks.chain(needed).collect();
    if !expressions.is_empty() && !forbidden(session, change, &expressions, into).await? {
        // One of them is about something that the restore point does not have: each by itself.
        for one in expressions {
            if !forbidden(session, change, std::slice::from_ref(&one), into).await? {
                into.notes.push(format!("checked only when the change is made: {}", one.0));
            }
        }
    }
    if !change.live.exclusions.is_empty() {
        into.notes.push(format!("checked only when the change is made: {}", change.live.exclusions.join(", ")));
    }
    Ok(())
}

/// Counts rows that expressions forbid; says whether they could be read.
async fn forbidden(
    session: &Session,
    change: &Change,
    expressions: &[(String, String)],
    into: &mut TableChange,
) -> Result<bool, Error> {
    let texts: Vec<&str> = expressions.iter().map(|(_, text)| text.as_str()).collect();
    let counts: Vec<i64> = match session.query_one(WHAT, &change.count_forbidden(&texts), &[]).await {
        Ok(row) => row.get(0),
        Err(error) if error.sqlstate().is_some_and(|state| UNREADABLE.contains(&state)) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    for ((name, _), count) in expressions.iter().zip(counts).filter(|(_, count)| *count > 0) {
        into.constraints.push(UniqueCheck { name: name.clone(), rows: unsigned(count) });
    }
    Ok(true)
}

async fn add(session: &Session, sql: &str, name: String, into: &mut TableChange) -> Result<(), Error> {
    match count(session, sql).await {
        Ok(0) => Ok(()),
        Ok(rows) => {
            into.constraints.push(UniqueCheck { name, rows });
            Ok(())
        }
        Err(Error::Postgres(error)) if error.sqlstate().is_some_and(|state| UNREADABLE.contains(&state)) => {
            into.notes.push(format!("checked only when the change is made: {name}"));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Rows of a table after the change, in its own columns: `None` where its columns are not all known.
fn after(table: u32, quoted_live: &str, only: bool, columns: &[String], changes: &BTreeMap<u32, &Change>) -> String {
    let list = columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let live = format!("SELECT {list} FROM {}{quoted_live}", if only { "ONLY " } else { "" });
    let filled = |change: &&&Change| {
        columns.iter().all(|name| change.filled.iter().any(|one| one.now.name == *name)) && !change.part
    };
    match changes.get(&table).filter(filled) {
        None => format!("({live})"),
        Some(change) if change.mode == RecoverMode::Replace => format!("(SELECT {list} FROM {} m)", change.mapped()),
        Some(change) => format!("({live} UNION ALL SELECT {list} FROM {} m)", change.mapped()),
    }
}

/// Counts rows that foreign keys would refuse, over all tables that change together.
pub(super) async fn foreign_keys(
    session: &Session,
    changes: &[Change],
    keys: &[ForeignKey],
    into: &mut [TableChange],
) -> Result<(), Error> {
    let by_oid: BTreeMap<u32, &Change> = changes.iter().map(|change| (change.live.oid, change)).collect();
    for (change, into) in changes.iter().zip(into) {
        for key in keys {
            let check = if key.from == change.live.oid {
                outgoing(change, key, &by_oid)
            } else if key.to == change.live.oid && !by_oid.contains_key(&key.from) {
                incoming(change, key)
            } else {
                None
            };
            let Some((sql, on_delete)) = check else { continue };
            let rows = match count(session, &sql).await {
                Err(Error::Postgres(error)) if error.sqlstate() == Some("42501") => {
                    into.notes.push(format!("checked only when the change is made: foreign key {}", key.name));
                    continue;
                }
                counted => counted?,
            };
            if rows > 0 {
                let (from, to) = (key.from_quoted.clone(), key.to_quoted.clone());
                into.foreign_keys.push(ForeignKeyCheck { name: key.name.clone(), from, to, rows, on_delete });
            }
        }
    }
    Ok(())
}

/// Rows that come back and would refer to nothing.
fn outgoing(
    change: &Change,
    key: &ForeignKey,
    changes: &BTreeMap<u32, &Change>,
) -> Option<(String, Option<&'static str>)> {
    if !key.from_columns.iter().all(|name| change.filled.iter().any(|one| one.now.name == *name)) {
        return None;
    }
    let rows = match change.mode {
        // Rows that stay may lose what they refer to.
        RecoverMode::Replace => format!("{} s", change.mapped()),
        _ => format!("(SELECT s.* FROM {} WHERE {}) s", change.joined(), change.written()),
    };
    let referred = after(key.to, &key.to_quoted, key.to_only, &key.to_columns, changes);
    let pairs = key.to_columns.iter().zip(&key.operators).zip(&key.from_columns);
    let equal: Vec<String> =
        pairs.map(|((to, operator), from)| format!("p.{} {operator} s.{}", quoted(to), quoted(from))).collect();
    let known = key.from_columns.iter().map(|name| format!("s.{} IS NOT NULL", quoted(name))).collect::<Vec<_>>();
    // With MATCH FULL a row that is null in part is refused as well.
    let bound = known.join(if key.full { " OR " } else { " AND " });
    let sql = format!(
        "SELECT count(*) FROM {rows} WHERE ({bound}) AND NOT EXISTS (SELECT FROM {referred} p WHERE {})",
        equal.join(" AND ")
    );
    Some((sql, None))
}

/// Rows of other tables that refer to rows which would be deleted.
fn incoming(change: &Change, key: &ForeignKey) -> Option<(String, Option<&'static str>)> {
    let known = key.to_columns.iter().all(|name| change.filled.iter().any(|one| one.now.name == *name));
    if change.mode != RecoverMode::Replace || !known {
        return None;
    }
    let equal = |row: &str| -> String {
        let pairs = key.to_columns.iter().zip(&key.operators).zip(&key.from_columns);
        let pairs = pairs.map(|((to, operator), from)| format!("{row}.{} {operator} c.{}", quoted(to), quoted(from)));
        pairs.collect::<Vec<_>>().join(" AND ")
    };
    let sql = format!(
        "SELECT count(*) FROM {} c WHERE EXISTS (SELECT FROM {} t WHERE {}) \
           AND NOT EXISTS (SELECT FROM {} s WHERE {})",
        key.from_quoted,
        change.live.only(),
        equal("t"),
        change.mapped(),
        equal("s")
    );
    Some((sql, Some(key.on_delete)))
}

/// Finds the sequences that would otherwise give a number that a row has already.
pub(super) async fn sequences(session: &Session, change: &Change, into: &mut TableChange) -> Result<(), Error> {
    for sequence in &change.live.sequences {
        let filled = change.filled.iter().any(|one| one.now.name == sequence.column);
        if change.part || !filled || into.inserted + into.changed == 0 {
            continue;
        }
        let (greatest, beyond) = if sequence.increment > 0 { ("max", ">=") } else { ("min", "<=") };
        let sql = format!(
            "SELECT v.edge::int8 FROM (SELECT {greatest}(s.{column}) AS edge FROM {rows} s) v, {name} q \
             WHERE v.edge {beyond} CASE WHEN q.is_called THEN q.last_value + ({step}) ELSE q.last_value END",
            column = quoted(&sequence.column),
            rows = change.mapped(),
            name = sequence.quoted,
            step = sequence.increment
        );
        let rows = match session.query(WHAT, &sql, &[]).await {
            Ok(rows) => rows,
            Err(error) if error.sqlstate() == Some("42501") => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let Some(row) = rows.first() else { continue };
        into.sequences.push(SequenceMove { name: sequence.quoted.clone(), to: row.get(0) });
        if !sequence.may_set {
            into.refusals
                .push(format!("this role may not move sequence {}: GRANT SELECT, UPDATE on it", sequence.quoted));
        }
    }
    Ok(())
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
    if !live.materialized_views.is_empty() && change.mode != RecoverMode::Side {
        into.notes.push(format!("show old rows until REFRESH: {}", live.materialized_views.join(", ")));
    }
    if live.has_children {
        into.notes.push("tables that inherit from it are left alone".to_owned());
    }
}
