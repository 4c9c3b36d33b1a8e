//! Whether a recovery can find the rows of the tables at risk again: where it is known before the command that it cannot, it is
//! no way back.

use std::collections::BTreeMap;

use holdpoint_core::fingerprint::schema_and_name;
use holdpoint_core::rehearsal::Rehearsal;
use holdpoint_core::undoing::AtRisk;
use holdpoint_postgres::catalog::table_form::table_form;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use holdpoint_review::{Kind, Loss, ObjectClass, ObjectName, Review};

use super::risk;
use crate::Error;
use crate::planned::Planned;
use crate::tools::Rollback;
use crate::undo::at_risk::{as_compared, keys_move, renamed_to, taken, widened};

/// What is known of what the run does to a table at risk.
#[derive(Clone, Copy, Debug, Default)]
struct Bearing<'a> {
    /// It is dropped, and comes back whole.
    dropped: bool,
    /// It gets another name.
    renamed: Option<&'a str>,
    /// The rehearsal shows that rows got other keys.
    keys_move: bool,
    /// The columns that get another name, with that, where nothing is there that renames them back.
    columns: &'a [(&'a str, &'a str)],
}

/// Why a recovery of what the run puts at risk can never work, in words, by the catalog of the live database before the command
/// and by the rehearsal; `None` where nothing says so, and where it is not known what is at risk.
pub(crate) async fn unrecoverable(
    live: &ConnectionSettings,
    planned: &Planned,
    rehearsal: Option<&Rehearsal>,
) -> Result<Option<String>, Error> {
    let mut risk = as_compared(risk(planned));
    let (Some(plan), false) = (&planned.report, risk.everything) else { return Ok(None) };
    risk.tables = widened(risk.tables, rehearsal);
    let effects = rehearsal.map(|one| one.tables.as_slice()).unwrap_or_default();
    for more in effects.iter().filter_map(taken) {
        if !risk.tables.iter().any(|one| one.table == more.table) {
            risk.tables.push(more);
        }
    }
    let own = rehearsal.and_then(|one| one.tracking.table.as_deref());
    let tables: Vec<&AtRisk> = risk.tables.iter().filter(|one| Some(one.table.as_str()) != own).collect();
    if tables.is_empty() {
        return Ok(None);
    }
    let renames = renames(&plan.review.review);
    let session = Session::connect(live, &SessionPurpose::new("holdpoint guard way back")).await?;
    let undone = plan.pending.iter().all(|one| !matches!(one.rollback, Rollback::Missing | Rollback::Ambiguous { .. }));
    let (mut why, mut any) = (None, false);
    for one in tables {
        let Some((schema, name)) = schema_and_name(&one.table) else { continue };
        let Some(form) = table_form(&session, &schema, &name).await? else {
            // Such as a sequence.
            any = true;
            continue;
        };
        let there = columns(&session, form.oid).await?;
        any |= one.columns.is_empty() || one.columns.iter().any(|column| there.contains(column));
        let effect = effects.iter().find(|effect| effect.table == one.table && !effect.added);
        let is = |other: &ObjectName| other.name == name && other.schema.as_ref().is_none_or(|one| *one == schema);
        let reviewed = plan.review.tables.iter().find(|table| is(&table.table));
        let renamed = renames.iter().find(|from| is(from)).map(|_| "another name");
        let said = plan.review.review.renamed_columns.iter().filter(|pair| is(&pair.table));
        // The last name of each; a column that is dropped under it is another matter.
        let said: BTreeMap<&str, &str> = said.map(|pair| (pair.before.as_str(), pair.now.as_str())).collect();
        let said = said.into_iter().filter(|(before, now)| before != now);
        let seen = effect.into_iter().flat_map(|effect| &effect.columns_renamed);
        let mut pairs: Vec<(&str, &str)> = seen.map(|pair| (pair.before.as_str(), pair.now.as_str())).collect();
        if rehearsal.is_none() {
            pairs.extend(said.filter(|_| reviewed.is_some_and(|table| table.loss < Loss::Column)));
        }
        let bearing = Bearing {
            dropped: effect.map_or(reviewed.is_some_and(|table| table.loss == Loss::Tables), |effect| effect.dropped),
            renamed: renamed_to(rehearsal, &one.table).or(renamed.filter(|_| rehearsal.is_none())),
            keys_move: keys_move(rehearsal, &one.table),
            columns: if undone { &[] } else { &pairs },
        };
        why = obstacle(one, &form.keys, bearing);
        if why.is_some() {
            break;
        }
    }
    session.close().await;
    let new = || "what it puts at risk comes with it: the restore point holds none of that".to_owned();
    Ok(why.or_else(|| (!any).then(new)))
}

/// The columns of a table.
async fn columns(session: &Session, table: u32) -> Result<Vec<String>, Error> {
    let sql = "SELECT attname::pg_catalog.text FROM pg_catalog.pg_attribute \
               WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped";
    let rows = session.query("reading the columns of a table at risk", sql, &[&table]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The tables that the pending SQL renames, by their names of before.
pub(crate) fn renames(review: &Review) -> Vec<&ObjectName> {
    let findings = review.findings().map(|(_, finding)| finding);
    let targets = findings.filter(|one| one.kind == Kind::Rename).filter_map(|one| one.target.as_ref());
    let tables = targets.filter(|target| target.class == ObjectClass::Table && target.column.is_none());
    tables.map(|target| target.before.as_ref().unwrap_or(&target.name)).collect()
}

/// Why the rows of a table cannot be found again by what it is like before the command.
fn obstacle(one: &AtRisk, keys: &[Vec<String>], run: Bearing<'_>) -> Option<String> {
    let table = &one.table;
    if let Some(other) = run.renamed {
        return Some(format!("the run renames {table} to {other}, and its rows are found by their table's name"));
    }
    if run.dropped {
        return None;
    }
    if let Some((column, now)) = run.columns.iter().find(|(column, _)| one.columns.iter().any(|one| one == column)) {
        return Some(format!(
            "the run renames {column} of {table} to {now}, and nothing is there that renames it back"
        ));
    }
    let Some(first) = keys.first() else {
        return Some(format!(
            "rows of {table} cannot be told apart: it has no primary key and no unique index without NULL"
        ));
    };
    let told = |columns: &[String]| {
        format!("the run changes {} of {table}, which is what its rows are told apart by", columns.join(", "))
    };
    if !keys.iter().any(|key| !key.iter().any(|column| one.columns.contains(column))) {
        let moved: Vec<String> = first.iter().filter(|column| one.columns.contains(column)).cloned().collect();
        return Some(told(&moved));
    }
    run.keys_move.then(|| told(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_key_that_stays_or_another_name_is_not_found_again() {
        let key = |columns: &[&str]| columns.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let at_risk = |columns: &[&str]| AtRisk { table: "s.t".into(), columns: key(columns), ..AtRisk::default() };
        let why =
            |columns: &[&str], keys: &[Vec<String>], run| obstacle(&at_risk(columns), keys, run).unwrap_or_default();
        let run = Bearing::default();
        assert_eq!(why(&["x"], &[key(&["id"])], run), "");
        assert_eq!(why(&[], &[key(&["id"])], run), "", "whole rows, by their key");
        assert!(why(&["x"], &[], run).contains("rows of s.t cannot be told apart"));
        assert!(why(&[], &[], run).contains("cannot be told apart"));
        assert_eq!(why(&[], &[], Bearing { dropped: true, ..run }), "", "it comes back whole");
        assert!(why(&["a"], &[key(&["a", "b"])], run).starts_with("the run changes a of s.t"));
        assert_eq!(why(&["a"], &[key(&["a", "b"]), key(&["c"])], run), "", "another key stays");
        assert!(why(&[], &[key(&["id"])], Bearing { keys_move: true, ..run }).starts_with("the run changes id of s.t"));
        let renamed = Bearing { renamed: Some("s.u"), ..run };
        assert!(why(&["x"], &[key(&["id"])], renamed).starts_with("the run renames s.t to s.u"));
    }
}
