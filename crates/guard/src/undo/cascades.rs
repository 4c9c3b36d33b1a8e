//! What goes with a CASCADE of the scripts that undo a run: what others made since, and the run did not.

use holdpoint_core::fingerprint::qualified;
use holdpoint_core::rehearsal::{LISTED, ObjectChange, Rehearsal, RehearsalOutcome, TableEffect};
use holdpoint_operations::schema_check::Schema;
use holdpoint_postgres::Session;
use holdpoint_review::{ObjectClass, ObjectName};
use serde::Serialize;

use super::live::{connected, quoted};
use super::rollback::RollingBack;
use super::work::Work;
use crate::Error;
use crate::plan::Project;
use crate::plan::rollback::{Cascade, cascades};

/// Something that would go with what a script drops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GoesAlong {
    /// What it is, such as `table shop.tags`.
    pub object: String,
    /// How many rows it holds; `None` where it holds none of its own, or these could not be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// It holds more rows than that: counting ended there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// So many rows of a table are counted.
const COUNTED: u64 = 1_000_000;

impl GoesAlong {
    /// In words, as what would be lost.
    pub(super) fn lost(&self) -> String {
        let more = if self.more { "more than " } else { "" };
        let rows = self.rows.map(|rows| format!(" with {more}{rows} rows")).unwrap_or_default();
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

impl Dependent {
    fn of(row: &holdpoint_postgres::Row) -> Self {
        Self { object: row.get(0), schema: row.get(1), name: row.get(2), of_table: row.get(3), holds_rows: row.get(4) }
    }

    /// What depends on a kind of object that is not followed, by the statement's first words.
    fn not_known(statement: &str) -> Self {
        let object = format!("whatever depends on it by {statement} … CASCADE");
        Self { object, schema: String::new(), name: String::new(), of_table: String::new(), holds_rows: false }
    }
}

/// Finds what would go with the CASCADE of a script that is still to run, and that the run did not make; each once.
///
/// # Errors
/// [`Error::Interrupted`], and those of the repository and the server.
pub(super) async fn goes_along(work: &Work<'_>, rollback: &RollingBack) -> Result<Vec<GoesAlong>, Error> {
    let dropped = dropped(work, rollback);
    if dropped.is_empty() {
        return Ok(Vec::new());
    }
    let session = connected(work).await?;
    let found = tokio::select! {
        found = counted(work, rollback, &session, &dropped) => found,
        () = work.context.cancel.cancelled() => Err(Error::Interrupted),
    };
    session.close().await;
    found
}

/// The same, by their names alone: no row is read.
///
/// # Errors
/// As [`goes_along`].
pub(super) async fn named_along(work: &Work<'_>, rollback: &RollingBack) -> Result<Vec<String>, Error> {
    let dropped = dropped(work, rollback);
    if dropped.is_empty() {
        return Ok(Vec::new());
    }
    let session = connected(work).await?;
    let found = tokio::select! {
        found = all(work, rollback, &session, &dropped) => found,
        () = work.context.cancel.cancelled() => Err(Error::Interrupted),
    };
    session.close().await;
    Ok(found?.into_iter().map(|one| one.object).collect())
}

/// What the scripts that are still to run say CASCADE to.
fn dropped(work: &Work<'_>, rollback: &RollingBack) -> Vec<Cascade> {
    let project = work.options.place.project.as_ref().filter(|_| !rollback.to_run.is_empty());
    let dropped = |(project, _): &(Project, _)| cascades(project, &rollback.migrations, &rollback.to_run);
    project.map(dropped).unwrap_or_default()
}

async fn counted(
    work: &Work<'_>,
    rollback: &RollingBack,
    session: &Session,
    dropped: &[Cascade],
) -> Result<Vec<GoesAlong>, Error> {
    let mut goes = Vec::new();
    for one in all(work, rollback, session, dropped).await? {
        let (rows, more) = rows(session, &one, COUNTED).await;
        goes.push(GoesAlong { object: one.object, rows, more });
    }
    Ok(goes)
}

/// What goes with it and is not the run's.
async fn all(
    work: &Work<'_>,
    rollback: &RollingBack,
    session: &Session,
    dropped: &[Cascade],
) -> Result<Vec<Dependent>, Error> {
    let mut found: Vec<Dependent> = Vec::new();
    for target in dropped {
        for one in dependents(session, target).await? {
            if !found.contains(&one) {
                found.push(one);
            }
        }
    }
    if found.is_empty() {
        return Ok(found);
    }
    // A list that was cut says nothing of what is not in it.
    let is_whole = |one: &&Rehearsal| one.objects.len() < LISTED && one.tables.len() < LISTED;
    let rehearsal = work.step.rehearsal.as_deref().filter(|one| one.outcome == RehearsalOutcome::AsPlanned);
    let rehearsal = rehearsal.filter(is_whole);
    let then = Schema::recorded(work.context, &work.point).await?;
    found.retain(|one| {
        let was_there = one.holds_rows && then.has_table(&qualified(Some(&one.schema), &one.name));
        let own = match rehearsal {
            Some(rehearsal) => is_made(rehearsal, one),
            None => {
                let said = |name: &str| rollback.migrations.iter().any(|migration| names(&migration.sql, name));
                said(&one.name) || !one.of_table.is_empty() && said(&one.of_table)
            }
        };
        was_there || !own || one.name.is_empty()
    });
    Ok(found)
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

/// Counts the rows of a table, up to so many, and says whether there are more; `None` where it has none of its own, or they
/// cannot be read.
async fn rows(session: &Session, one: &Dependent, most: u64) -> (Option<u64>, bool) {
    if !one.holds_rows {
        return (None, false);
    }
    let table = quoted(&qualified(Some(&one.schema), &one.name));
    let sql = format!("SELECT pg_catalog.count(*) FROM (SELECT FROM {table} LIMIT {}) AS counted", most + 1);
    let row = session.query_one("counting rows that go with a CASCADE", &sql, &[]).await;
    let rows = row.ok().and_then(|row| u64::try_from(row.get::<_, i64>(0)).ok());
    (rows.map(|rows| rows.min(most)), rows.is_some_and(|rows| rows > most))
}

/// What depends on the object that a script drops, as the server would find it; parts of what goes are left out, as are the
/// object itself and what stays where it is not there.
async fn dependents(session: &Session, cascade: &Cascade) -> Result<Vec<Dependent>, Error> {
    let target = match cascade {
        Cascade::Drops(target) => target,
        Cascade::Empties(table) => return emptied(session, table).await,
    };
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
        ObjectClass::Constraint => "constraint",
        ObjectClass::Collation => "collation",
        _ => return Ok(vec![Dependent::not_known(&target.name.name)]),
    };
    let parameters: [&(dyn holdpoint_postgres::ToSql + Sync); 4] =
        [&class, &target.name.schema, &target.name.name, &target.column];
    let rows = session.query("finding what goes with a CASCADE", DEPENDENTS, &parameters).await?;
    Ok(rows.iter().map(Dependent::of).collect())
}

/// The tables that are emptied with one, as they refer to it or to another one that is; of partitions their root.
async fn emptied(session: &Session, table: &ObjectName) -> Result<Vec<Dependent>, Error> {
    const WHAT: &str = "finding what is emptied with a CASCADE";
    let rows = session.query(WHAT, EMPTIED, &[&table.schema, &table.name]).await?;
    Ok(rows.iter().map(Dependent::of).collect())
}

const DEPENDENTS: &str = include_str!("cascades.sql");
const EMPTIED: &str = include_str!("emptied.sql");

#[cfg(test)]
mod tests {
    use holdpoint_postgres::{ConnectionSettings, SessionPurpose};
    use holdpoint_review::Target;
    use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};

    use super::*;

    #[tokio::test]
    async fn a_table_is_counted_up_to_so_many_rows() {
        let cluster = Cluster::start(ClusterOptions::major(NEWEST));
        cluster.create_database("shop");
        cluster.psql("shop", "CREATE TABLE kept AS SELECT generate_series(1, 4)");
        let settings = ConnectionSettings::resolve(&cluster.url("shop"), &Default::default()).unwrap();
        let session = Session::connect(&settings, &SessionPurpose::new("a test")).await.unwrap();
        let one = |name: &str, holds_rows| Dependent {
            object: format!("table public.{name}"),
            schema: "public".into(),
            name: name.into(),
            of_table: String::new(),
            holds_rows,
        };
        assert_eq!(rows(&session, &one("kept", true), 4).await, (Some(4), false));
        assert_eq!(rows(&session, &one("kept", true), 3).await, (Some(3), true));
        assert_eq!(rows(&session, &one("kept", false), 3).await, (None, false));
        assert_eq!(rows(&session, &one("gone", true), 3).await, (None, false));
        session.close().await;
    }

    #[tokio::test]
    async fn what_hangs_on_constraints_and_collations_and_is_emptied_is_found() {
        let cluster = Cluster::start(ClusterOptions::major(NEWEST));
        cluster.create_database("shop");
        cluster.psql(
            "shop",
            "CREATE COLLATION public.own (locale = 'C'); \
             CREATE TABLE tags (id integer PRIMARY KEY, word text COLLATE own); \
             CREATE TABLE mine (id integer PRIMARY KEY REFERENCES tags); CREATE TABLE theirs (id integer REFERENCES mine); \
             CREATE TABLE parts (id integer REFERENCES tags) PARTITION BY LIST (id); \
             CREATE TABLE part PARTITION OF parts FOR VALUES IN (1); CREATE TABLE child () INHERITS (tags); \
             CREATE VIEW counted AS SELECT id, word FROM tags GROUP BY id",
        );
        let settings = ConnectionSettings::resolve(&cluster.url("shop"), &Default::default()).unwrap();
        let session = Session::connect(&settings, &SessionPurpose::new("a test")).await.unwrap();
        let drops = |class, name: &str, column: Option<&str>| {
            Cascade::Drops(Target {
                class,
                name: ObjectName::unqualified(name),
                before: None,
                column: column.map(str::to_owned),
                cascade: true,
                if_exists: false,
            })
        };
        for (cascade, goes) in [
            (
                drops(ObjectClass::Constraint, "tags", Some("tags_pkey")),
                &[
                    "table constraint mine_id_fkey on public.mine",
                    "table constraint parts_id_fkey on public.part",
                    "table constraint parts_id_fkey on public.parts",
                    "view public.counted",
                ][..],
            ),
            (drops(ObjectClass::Constraint, "theirs", Some("theirs_id_fkey")), &[]),
            (
                drops(ObjectClass::Collation, "own", None),
                &["table column public.child.word", "table column public.tags.word", "view public.counted"],
            ),
            (
                Cascade::Empties(ObjectName::unqualified("tags")),
                &["contents of table public.mine", "contents of table public.parts", "contents of table public.theirs"],
            ),
            (Cascade::Empties(ObjectName::qualified("public", "theirs")), &[]),
            (drops(ObjectClass::Other, "DROP OPERATOR", None), &["whatever depends on it by DROP OPERATOR … CASCADE"]),
        ] {
            let found: Vec<String> =
                dependents(&session, &cascade).await.unwrap().into_iter().map(|one| one.object).collect();
            assert_eq!(found, goes, "{cascade:?}");
        }
        session.close().await;
    }

    #[test]
    fn a_name_is_found_as_a_word_of_its_own() {
        assert!(names("CREATE TABLE ns.Mine (id int)", "mine") && names("mine", "mine"));
        assert!(!names("CREATE TABLE ns.mine_too (id int)", "mine") && !names("undermine", "mine"));
    }

    #[test]
    fn what_goes_is_told_with_its_rows() {
        let goes = |rows, more| GoesAlong { object: "table ns.mine".into(), rows, more }.lost();
        assert_eq!(goes(Some(50), false), "table ns.mine with 50 rows (goes with a CASCADE of the scripts)");
        assert_eq!(goes(Some(50), true), "table ns.mine with more than 50 rows (goes with a CASCADE of the scripts)");
        assert_eq!(goes(None, false), "table ns.mine (goes with a CASCADE of the scripts)");
    }
}
