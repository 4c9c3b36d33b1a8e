//! Foreign keys that a change would break: rows that would refer to nothing, and rows of other tables that refer to
//! what would go.

use std::collections::BTreeMap;

use holdpoint_core::name::quote_identifier as quoted;
use holdpoint_postgres::Session;

use super::image::Which;
use super::keys::ForeignKey;
use super::losses::Losses;
use super::plan::{ForeignKeyCheck, TableChange};
use super::statements::Change;
use super::{RecoverError, RecoverMode, counts};
use crate::Error;

/// Rows of a table after the change, in its own columns; those of now where not all of its columns are filled.
fn after(key: &ForeignKey, changes: &BTreeMap<u32, &Change>) -> String {
    let columns = &key.to_columns;
    let list = columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let live = format!("SELECT {list} FROM {}{}", if key.to_only { "ONLY " } else { "" }, key.to_quoted);
    let known = |change: &&&Change| columns.iter().all(|name| change.knows(name)) && !change.part;
    match changes.get(&key.to).filter(known) {
        None => format!("({live})"),
        Some(change) => {
            let image = change.image(Which::All);
            match change.mode {
                RecoverMode::Replace => format!("(SELECT {list} FROM {image} m)"),
                _ => format!("({live} UNION ALL SELECT {list} FROM {image} m)"),
            }
        }
    }
}

/// Counts rows that foreign keys would refuse, over all tables that change together.
pub(super) async fn foreign_keys(
    session: &Session,
    changes: &[Change],
    keys: &[ForeignKey],
    into: &mut [TableChange],
) -> Result<(), Error> {
    let losses = Losses::of(changes, keys);
    for (change, into) in changes.iter().zip(into) {
        for key in keys {
            let own = (key.from == change.live.oid).then(|| outgoing(change, key, &losses.changes));
            let others = key.points_to(change.live.oid).then(|| incoming(change, key, &losses)).flatten();
            match own {
                Some(Outgoing::Counted(sql)) => count(session, key, &sql, false, into).await?,
                Some(Outgoing::Unknown) => into.notes.push(only_then(key)),
                Some(Outgoing::Untouched) | None => {}
            }
            let Some(sql) = others else { continue };
            if key.from_readable || key.only_refuses() {
                count(session, key, &sql, true, into).await?;
            } else if going(session, change, key, &losses, "").await? > 0 {
                into.refusals.push(unreadable(key));
            }
        }
    }
    Ok(())
}

async fn count(
    session: &Session,
    key: &ForeignKey,
    sql: &str,
    points_here: bool,
    into: &mut TableChange,
) -> Result<(), Error> {
    let rows = match counts::count(session, sql).await {
        Err(Error::Postgres(error)) if error.sqlstate() == Some("42501") => {
            into.notes.push(only_then(key));
            0
        }
        counted => counted?,
    };
    if rows > 0 {
        let (name, from, to) = (key.name.clone(), key.from_quoted.clone(), key.to_quoted.clone());
        let (on_delete, on_update) = (points_here.then_some(key.on_delete), points_here.then_some(key.on_update));
        into.foreign_keys.push(ForeignKeyCheck { name, from, to, rows, on_delete, on_update });
    }
    Ok(())
}

/// What a DELETE or UPDATE would do to rows that this role may not even look at.
fn unreadable(key: &ForeignKey) -> String {
    format!(
        "foreign key {} would change rows of {}, which this role may not read: GRANT SELECT on it",
        key.name, key.from_quoted
    )
}

fn only_then(key: &ForeignKey) -> String {
    format!("checked only when the change is made: foreign key {}", key.name)
}

/// What is known of the rows that refer by a foreign key of their own.
enum Outgoing {
    /// The statement that counts those which would refer to nothing.
    Counted(String),
    /// They refer with values that the server gives when they come.
    Unknown,
    /// They refer as before.
    Untouched,
}

/// Rows that come back and would refer to nothing.
fn outgoing(change: &Change, key: &ForeignKey, changes: &BTreeMap<u32, &Change>) -> Outgoing {
    if change.part && !key.from_columns.iter().any(|name| change.touches(name)) {
        return Outgoing::Untouched;
    }
    if !key.from_columns.iter().all(|name| change.knows(name)) {
        return Outgoing::Unknown;
    }
    // With replace rows that stay may lose what they refer to.
    let rows = change.image(if change.mode == RecoverMode::Replace { Which::All } else { Which::Written });
    let known = key.from_columns.iter().map(|name| format!("s.{} IS NOT NULL", quoted(name))).collect::<Vec<_>>();
    // With MATCH FULL a row that is null in part is refused as well.
    let bound = known.join(if key.full { " OR " } else { " AND " });
    Outgoing::Counted(format!(
        "SELECT count(*) FROM {rows} s WHERE ({bound}) AND NOT EXISTS (SELECT FROM {} p WHERE {})",
        after(key, changes),
        key.equal("p", "s")
    ))
}

/// Rows that stay and refer to live rows which would be deleted, or whose value would change under them: by the change
/// itself, or by what foreign keys do to tables that change with it.
///
/// Also where a row with that value comes in: until then the foreign key has done what it does on DELETE. Rows of a
/// table that changes in the same go do not stay where the restore point has them: they come back after it.
fn incoming(change: &Change, key: &ForeignKey, losses: &Losses<'_>) -> Option<String> {
    let stays = match losses.changes.get(&key.from) {
        Some(other) if other.mode == RecoverMode::Replace => return None,
        Some(other) => format!(" AND NOT EXISTS (SELECT FROM {} s WHERE {})", other.mapped(), other.same_key_as("c")),
        None => String::new(),
    };
    let table = change.live.only();
    let lost = losses.ways(change, key).into_iter().map(|way| format!("SELECT t.* FROM {table} t WHERE {way}"));
    let lost: Vec<String> = lost.collect();
    if lost.is_empty() {
        return None;
    }
    let refers = format!("EXISTS (SELECT FROM ({}) t WHERE {})", lost.join(" UNION ALL "), key.equal("t", "c"));
    // One that waits until the end only looks at what is there then.
    let looks_late = key.deferrable && key.on_delete == "NO ACTION" && key.on_update == "NO ACTION";
    let comes = match looks_late && key.to_columns.iter().all(|name| change.fills(name)) {
        true => format!(" AND NOT EXISTS (SELECT FROM {} s WHERE {})", change.mapped(), key.equal("s", "c")),
        false => String::new(),
    };
    Some(format!("{}SELECT count(*) FROM {} c WHERE {refers}{comes}{stays}", losses.with(), key.referring()))
}

/// Counts the live rows that are lost to what refers to them, whether anything does or not; `lock` takes hold of them.
async fn going(
    session: &Session,
    change: &Change,
    key: &ForeignKey,
    losses: &Losses<'_>,
    lock: &str,
) -> Result<u64, Error> {
    let (with, table) = (losses.with(), change.live.only());
    let mut rows = 0;
    for way in losses.ways(change, key) {
        let sql = format!("{with}SELECT count(*) FROM (SELECT FROM {table} t WHERE {way}{lock}) held");
        rows += counts::count(session, &sql).await?;
    }
    Ok(rows)
}

/// Demands, with the live tables locked, that nothing came since the plan that refers to what goes; from here on
/// nothing can.
pub(super) async fn hold(session: &Session, changes: &[Change], keys: &[ForeignKey]) -> Result<(), Error> {
    let losses = Losses::of(changes, keys);
    let mut reasons = Vec::new();
    for change in changes {
        for key in keys.iter().filter(|key| key.points_to(change.live.oid)) {
            let Some(sql) = incoming(change, key, &losses) else { continue };
            // Who is about to refer to such a row holds it, and is waited for; who comes later waits.
            let going = going(session, change, key, &losses, " FOR UPDATE").await?;
            if !key.from_readable {
                if going > 0 && !key.only_refuses() {
                    reasons.push(format!("{}: {}", change.name, unreadable(key)));
                }
                continue;
            }
            let rows = counts::count(session, &sql).await?;
            if rows > 0 {
                reasons.push(format!(
                    "{}: since the plan was made {rows} rows of {} came to refer by {} to rows that would be deleted or \
                     changed",
                    change.name, key.from_quoted, key.name
                ));
            }
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(RecoverError::Refused { reasons }.into()) }
}
