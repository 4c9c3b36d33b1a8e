//! What goes with a CASCADE of the scripts that undo a run: what others made since, and the run did not.

use holdpoint_core::fingerprint::qualified;
use holdpoint_core::rehearsal::{LISTED, ObjectChange, Rehearsal, RehearsalOutcome, TableEffect};
use holdpoint_operations::schema_check::Schema;
use holdpoint_postgres::Session;
use holdpoint_review::{ObjectClass, Target};
use serde::Serialize;

use super::attempt::Work;
use super::recover::{connected, quoted};
use super::rollback::RollingBack;
use crate::Error;
use crate::plan::rollback::dropped_with_cascade;

/// Something that would go with what a script drops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GoesAlong {
    /// What it is, such as `table shop.tags`.
    pub object: String,
    /// How many rows it holds; `None` where it holds none of its own, or these could not be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

impl GoesAlong {
    /// In words, as what would be lost.
    pub(super) fn lost(&self) -> String {
        let rows = self.rows.map(|rows| format!(" with {rows} rows")).unwrap_or_default();
        format!("{}{rows} (goes with a CASCADE of the scripts)", self.object)
    }
}

/// An object that depends on what is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Dependent {
    object: String,
    /// Empty of what lies in no schema of its own.
    schema: String,
    name: String,
    /// The table that it is a bound of.
    of_table: String,
    /// It is a table, partitioned or not, or a materialized view.
    holds_rows: bool,
}

/// Finds what would go with the CASCADE of a script that is still to run, and that the run did not make; each once.
///
/// # Errors
/// [`Error::Interrupted`], and those of the repository and the server.
pub(super) async fn goes_along(work: &Work<'_>, rollback: &RollingBack) -> Result<Vec<GoesAlong>, Error> {
    let Some((project, _)) = work.options.place.project.as_ref().filter(|_| !rollback.to_run.is_empty()) else {
        return Ok(Vec::new());
    };
    let dropped = dropped_with_cascade(project, &rollback.migrations, &rollback.to_run);
    if dropped.is_empty() {
        return Ok(Vec::new());
    }
    let session = connected(work).await?;
    let found = tokio::select! {
        found = all(work, rollback, &session, &dropped) => found,
        () = work.context.cancel.cancelled() => Err(Error::Interrupted),
    };
    session.close().await;
    found
}

async fn all(
    work: &Work<'_>,
    rollback: &RollingBack,
    session: &Session,
    dropped: &[Target],
) -> Result<Vec<GoesAlong>, Error> {
    let mut found: Vec<Dependent> = Vec::new();
    for target in dropped {
        for one in dependents(session, target).await? {
            if !found.contains(&one) {
                found.push(one);
            }
        }
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    // A list that was cut says nothing of what is not in it.
    let is_whole = |one: &&Rehearsal| one.objects.len() < LISTED && one.tables.len() < LISTED;
    let rehearsal = work.step.rehearsal.as_deref().filter(|one| one.outcome == RehearsalOutcome::AsPlanned);
    let rehearsal = rehearsal.filter(is_whole);
    let then = Schema::recorded(work.context, &work.point).await?;
    let mut goes = Vec::new();
    for one in &found {
        let was_there = one.holds_rows && then.has_table(&qualified(Some(&one.schema), &one.name));
        let own = match rehearsal {
            Some(rehearsal) => is_made(rehearsal, one),
            None => {
                let said = |name: &str| rollback.migrations.iter().any(|migration| names(&migration.sql, name));
                said(&one.name) || !one.of_table.is_empty() && said(&one.of_table)
            }
        };
        if was_there || !own {
            goes.push(GoesAlong { object: one.object.clone(), rows: rows(session, one).await });
        }
    }
    Ok(goes)
}

/// Whether the rehearsal saw the run make an object of that name.
fn is_made(rehearsal: &Rehearsal, one: &Dependent) -> bool {
    let full = if one.schema.is_empty() { one.name.clone() } else { qualified(Some(&one.schema), &one.name) };
    let is = |name: &str| {
        let ends = |with: &str| name.strip_suffix(with).is_some_and(|rest| rest.ends_with(' '));
        ends(&full) || ends(&one.name) || name.contains(&format!(" {full}("))
    };
    let added = |change: ObjectChange| change == ObjectChange::Added;
    let column = one.object.starts_with("table column ");
    let table =
        |table: &TableEffect| table.added && table.table == full || column && table.columns_added.contains(&one.name);
    rehearsal.objects.iter().any(|object| added(object.change) && is(&object.name))
        || rehearsal.tables.iter().any(table)
}

/// Whether a text has a name as a word of its own.
fn names(sql: &str, name: &str) -> bool {
    let (sql, name) = (sql.to_lowercase(), name.to_lowercase());
    let part = |sign: Option<char>| sign.is_some_and(|sign| sign.is_alphanumeric() || sign == '_');
    sql.match_indices(&name)
        .any(|(at, found)| !part(sql[..at].chars().next_back()) && !part(sql[at + found.len()..].chars().next()))
}

/// Counts the rows of a table; `None` where it has none of its own, or they cannot be read.
async fn rows(session: &Session, one: &Dependent) -> Option<u64> {
    if !one.holds_rows {
        return None;
    }
    let table = quoted(&qualified(Some(&one.schema), &one.name));
    let sql = format!("SELECT pg_catalog.count(*) FROM {table}");
    let row = session.query_one("counting rows that go with a CASCADE", &sql, &[]).await;
    row.ok().and_then(|row| u64::try_from(row.get::<_, i64>(0)).ok())
}

/// What depends on the object that a script drops, as the server would find it; parts of what goes are left out, as are the
/// object itself and what stays where it is not there.
async fn dependents(session: &Session, target: &Target) -> Result<Vec<Dependent>, Error> {
    let class = match target.class {
        ObjectClass::Schema => "schema",
        ObjectClass::Table
        | ObjectClass::View
        | ObjectClass::MaterializedView
        | ObjectClass::Sequence
        | ObjectClass::Index => "relation",
        ObjectClass::Type | ObjectClass::Domain => "type",
        ObjectClass::Function => "function",
        ObjectClass::Extension => "extension",
        _ => return Ok(Vec::new()),
    };
    let parameters: [&(dyn holdpoint_postgres::ToSql + Sync); 4] =
        [&class, &target.name.schema, &target.name.name, &target.column];
    let rows = session.query("finding what goes with a CASCADE", DEPENDENTS, &parameters).await?;
    let one = |row: &holdpoint_postgres::Row| Dependent {
        object: row.get(0),
        schema: row.get(1),
        name: row.get(2),
        of_table: row.get(3),
        holds_rows: row.get(4),
    };
    Ok(rows.iter().map(one).collect())
}

const DEPENDENTS: &str = include_str!("cascades.sql");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_a_word_of_its_own() {
        assert!(names("CREATE TABLE ns.Mine (id int)", "mine") && names("mine", "mine"));
        assert!(!names("CREATE TABLE ns.mine_too (id int)", "mine") && !names("undermine", "mine"));
    }

    #[test]
    fn what_goes_is_told_with_its_rows() {
        let goes = |rows| GoesAlong { object: "table ns.mine".into(), rows }.lost();
        assert_eq!(goes(Some(50)), "table ns.mine with 50 rows (goes with a CASCADE of the scripts)");
        assert_eq!(goes(None), "table ns.mine (goes with a CASCADE of the scripts)");
    }
}
