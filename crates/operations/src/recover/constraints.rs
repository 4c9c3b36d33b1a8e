//! What the live table forbids of the rows that would be written: unique indexes, checks, not-null columns, partitions.

use holdpoint_core::name::quote_identifier as quoted;
use holdpoint_postgres::Session;

use super::plan::{TableChange, UniqueCheck};
use super::statements::Change;
use super::{RecoverMode, counts};
use crate::Error;

/// An expression is about columns whose values the server alone will know, or about the whole row.
const UNREADABLE: [&str; 3] = ["42703", "42P01", "42883"];

/// Counts rows that the live table would refuse; what can only show when the change is made becomes a note.
pub(super) async fn count(session: &Session, change: &Change, into: &mut TableChange) -> Result<(), Error> {
    for index in &change.unique {
        let is_key = change.key.as_ref().is_some_and(|key| key.name == index.name);
        let untouched =
            change.part && !index.columns.is_empty() && !index.columns.iter().any(|one| change.touches(one));
        if is_key || untouched {
            continue;
        }
        taken(session, change, index, into).await?;
    }
    let checks = change.live.checks.iter().map(|(name, expression)| (format!("check {name}"), expression.clone()));
    let filled = change.filled.iter().filter(|one| one.now.not_null && one.nullable).map(|one| &one.now.name);
    let generated = change.live.columns.iter().filter(|one| one.generated && one.not_null).map(|one| &one.name);
    let needed = filled.chain(generated).map(|name| {
        let name = quoted(name);
        (format!("not-null column {name}"), format!("s.{name} IS NOT NULL"))
    });
    let expressions: Vec<(String, String)> = checks.chain(needed).collect();
    if !expressions.is_empty() && !forbidden(session, change, &expressions, into).await? {
        // One of them is about something that cannot be known: each by itself.
        for one in expressions {
            if !forbidden(session, change, std::slice::from_ref(&one), into).await? {
                into.notes.push(only_then(&one.0));
            }
        }
    }
    if let Some(bounds) = &change.live.bounds {
        places(session, change, bounds, into).await?;
    }
    let later = [&change.live.exclusions[..], &change.live.of_partitions].concat();
    if !later.is_empty() && into.inserted + into.changed > 0 {
        into.notes.push(only_then(&later.join(", ")));
    }
    Ok(())
}

fn only_then(what: &str) -> String {
    format!("checked only when the change is made: {what}")
}

/// Counts rows whose values in a unique index are another row's.
async fn taken(
    session: &Session,
    change: &Change,
    index: &super::keys::UniqueIndex,
    into: &mut TableChange,
) -> Result<(), Error> {
    let name = format!("unique index {}", index.name);
    match counts::count(session, &change.count_taken(index)).await {
        Ok(0) => Ok(()),
        Ok(rows) => {
            into.constraints.push(UniqueCheck { name, rows });
            Ok(())
        }
        Err(error) if unreadable(&error) => {
            into.notes.push(only_then(&name));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn unreadable(error: &Error) -> bool {
    matches!(error, Error::Postgres(error) if error.sqlstate().is_some_and(|state| UNREADABLE.contains(&state)))
}

/// Counts rows that expressions forbid; says whether they could be read.
async fn forbidden(
    session: &Session,
    change: &Change,
    expressions: &[(String, String)],
    into: &mut TableChange,
) -> Result<bool, Error> {
    let texts: Vec<&str> = expressions.iter().map(|(_, text)| text.as_str()).collect();
    let Some(found) = ask(session, change, &texts).await? else { return Ok(false) };
    for ((name, _), rows) in expressions.iter().zip(found).filter(|(_, rows)| *rows > 0) {
        into.constraints.push(UniqueCheck { name: name.clone(), rows });
    }
    Ok(true)
}

/// Counts, for each expression, the rows that it forbids; `None` where one cannot be read.
async fn ask(session: &Session, change: &Change, expressions: &[&str]) -> Result<Option<Vec<u64>>, Error> {
    match session.query_one(counts::WHAT, &change.count_forbidden(expressions), &[]).await.map_err(Error::from) {
        Ok(row) => Ok(Some(row.get::<_, Vec<i64>>(0).into_iter().map(i64::unsigned_abs).collect())),
        Err(error) if unreadable(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Counts rows that no partition takes, or that do not belong into the one that was asked for.
async fn places(session: &Session, change: &Change, bounds: &str, into: &mut TableChange) -> Result<(), Error> {
    let Some(found) = ask(session, change, &[bounds]).await? else {
        into.notes.push(only_then("whether every row finds a partition"));
        return Ok(());
    };
    let rows = found.first().copied().unwrap_or_default();
    if rows > 0 {
        let table = &change.live.quoted;
        let way = match change.mode {
            RecoverMode::Replace => "make one for them first",
            _ => "make one for them first, or leave them out with --where",
        };
        into.refusals.push(match change.live.kind {
            'p' => format!("{rows} rows belong into no partition of {table}: {way}"),
            _ => format!("{rows} rows do not belong into the partition {table} any more: recover the whole table"),
        });
    }
    Ok(())
}
