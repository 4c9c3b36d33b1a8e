//! What went with columns that are back: their sequences, indexes, constraints, statistics, triggers, views, comments and
//! grants, made again by what pg_restore writes for them.

use holdpoint_archive::{Entry, Selection};
use holdpoint_core::name::quote_identifier;
use holdpoint_postgres::Session;
use holdpoint_postgres::programs::ProgramName;

use super::catalogue::Catalogue;
use super::columns_then::{CheckThen, TableThen};
use super::find::{Known, find};
use super::point::PointArchive;
use super::script::{Ownership, Scripts};
use super::side::connect;
use super::source::Source;
use super::{RecoverOptions, run};
use crate::{Context, Error};

const WHAT: &str = "making what went with a column again";

/// What became of the things that went with columns, each as people call it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WentWith {
    /// They are there again.
    pub made: Vec<String>,
    /// They are not, each with what the server says.
    pub not_made: Vec<String>,
}

/// Makes again what belonged to a table, and is not there any more; and says and grants again what was said of and
/// granted on some of its columns, which are there again and filled.
///
/// Each is made by itself: what the server refuses is told, and the rest is made. What is there already stays as it is, so
/// that whoever was killed can call it again. Indexes are made as pg_restore makes them: the table is not written
/// meanwhile. A restore point that is stored as SQL text has no list of such things: nothing is made.
///
/// # Errors
/// Those of the repository, of pg_restore, and of a server that does not answer; what was made stays.
pub async fn make_what_went_with(
    context: &Context,
    options: &RecoverOptions,
    then: &TableThen,
    columns: &[String],
) -> Result<WentWith, Error> {
    let session = connect(&options.into, options.lock_wait_seconds).await?;
    let source = Source::open(context, options, &session).await?;
    let made = match &source {
        Source::Point(archive) => {
            let work = Box::pin(make(context, &session, archive, options, (then, columns)));
            run::held(context, archive.facts.point.as_ref(), work).await
        }
        Source::Dump(_) | Source::Database(_) => Ok(WentWith::default()),
    };
    source.close().await;
    session.close().await;
    made
}

async fn make(
    context: &Context,
    session: &Session,
    archive: &PointArchive,
    options: &RecoverOptions,
    (then, columns): (&TableThen, &[String]),
) -> Result<WentWith, Error> {
    let PointArchive { facts, catalogue, .. } = archive;
    let pg_restore = options.programs.find(ProgramName::PgRestore, session.server().major, &context.cancel).await?;
    let scripts = Scripts { pg_restore: &pg_restore, head: &catalogue.head, facts };
    let mut went = WentWith::default();
    for known in find(&options.wanted, &catalogue.known(), &facts.place)? {
        let Some((_, selection)) = catalogue.selection(&known) else { continue };
        let ids: Vec<i32> =
            selection.entries.iter().chain(&selection.views).chain(&selection.pointing).copied().collect();
        let mut made = Vec::new();
        // Sequences come before defaults, and these before what may use the columns.
        for entry in in_order(catalogue, &ids) {
            if is_there(session, catalogue, entry).await? != Some(false) {
                continue;
            }
            let with_it = [vec![entry.dump_id], followers(catalogue, &selection, entry)].concat();
            let script = scripts.of(&with_it, Ownership::Recorded).await?;
            went.tell(&catalogue.called(entry), alone(session, &script).await?);
            made.push(entry.dump_id);
        }
        // An index takes its place in that of a partitioned table when both are there.
        let joins = |entry: &&Entry| {
            entry.description == b"INDEX ATTACH"[..] && entry.dependencies.iter().any(|id| made.contains(id))
        };
        for entry in in_order(catalogue, &ids).filter(joins) {
            let script = scripts.of(&[entry.dump_id], Ownership::Recorded).await?;
            went.tell(&catalogue.called(entry), alone(session, &script).await?);
        }
        for check in &then.checks {
            if let Some(said) = add_check(session, &known, check).await? {
                went.tell(&format!("check {} of {}.{}", check.name, known.0, known.1), said);
            }
        }
        let said: Vec<i32> = in_order(catalogue, &ids)
            .filter(|entry| is_of_columns(catalogue, entry, &known.1, columns, &then.checks))
            .map(|entry| entry.dump_id)
            .collect();
        if !said.is_empty() {
            let script = scripts.of(&said, Ownership::Recorded).await?;
            let what = format!("comments and grants of columns of {}.{}", known.0, known.1);
            went.tell(&what, alone(session, &script).await?);
        }
    }
    Ok(went)
}

impl WentWith {
    /// Notes how making one ended.
    fn tell(&mut self, what: &str, refused: Result<(), String>) {
        match refused {
            Ok(()) => self.made.push(what.to_owned()),
            Err(said) => self.not_made.push(format!("{what} was not made again: {said}")),
        }
    }
}

/// The entries in the order of the contents.
fn in_order<'a>(catalogue: &'a Catalogue, ids: &'a [i32]) -> impl Iterator<Item = &'a Entry> {
    catalogue.head.entries().iter().filter(|entry| ids.contains(&entry.dump_id))
}

/// Runs statements in a transaction of their own; gives what the server says against them.
async fn alone(session: &Session, script: &str) -> Result<Result<(), String>, Error> {
    session.run(WHAT, "BEGIN").await?;
    let ran = session.run(WHAT, script).await;
    let ended = session.run(WHAT, if ran.is_ok() { "COMMIT" } else { "ROLLBACK" }).await;
    match ran.and(ended) {
        Ok(()) => Ok(Ok(())),
        Err(error) if error.sqlstate().is_some() => Ok(Err(error.said().unwrap_or_else(|| error.to_string()))),
        Err(error) => Err(error.into()),
    }
}

/// Whether the thing that an entry makes is there; `None` for what is no thing of its own.
async fn is_there(session: &Session, catalogue: &Catalogue, entry: &Entry) -> Result<Option<bool>, Error> {
    // The tag of what belongs to a table is the table's name and its own.
    let of_table = |catalog: &str, table: &str, name: &str| {
        format!(
            "pg_class c JOIN {catalog} o ON o.{table} = c.oid JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relname || ' ' || o.{name} = $2::text"
        )
    };
    let thing = match &entry.description[..] {
        b"INDEX" | b"SEQUENCE" | b"VIEW" | b"MATERIALIZED VIEW" => {
            "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = $2::text".to_owned()
        }
        b"STATISTICS" => {
            "pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxname = $2::text".to_owned()
        }
        b"CONSTRAINT" | b"CHECK CONSTRAINT" | b"FK CONSTRAINT" => of_table("pg_constraint", "conrelid", "conname"),
        b"TRIGGER" => of_table("pg_trigger", "tgrelid", "tgname"),
        b"POLICY" => of_table("pg_policy", "polrelid", "polname"),
        b"RULE" => of_table("pg_rewrite", "ev_class", "rulename"),
        b"DEFAULT" => of_table("pg_attribute", "attrelid", "attname") + " AND o.atthasdef",
        _ => return Ok(None),
    };
    let sql = format!("SELECT EXISTS (SELECT FROM {thing} AND n.nspname = $1::text)");
    let (schema, tag) = catalogue.name_of(entry);
    Ok(Some(session.query_one(WHAT, &sql, &[&schema, &tag]).await?.get(0)))
}

/// What is made together with a thing: its values, its owner, its comment, its grants, and what a view shows.
fn followers(catalogue: &Catalogue, selection: &Selection, head: &Entry) -> Vec<i32> {
    const THEIRS: [&[u8]; 5] = [b"SEQUENCE OWNED BY", b"SEQUENCE SET", b"COMMENT", b"ACL", b"SECURITY LABEL"];
    const OF_VIEWS: [&[u8]; 3] = [b"RULE", b"INDEX", b"MATERIALIZED VIEW DATA"];
    let of_view = selection.views.contains(&head.dump_id);
    let follows = |entry: &&Entry| {
        let description = &&entry.description[..];
        let theirs = THEIRS.contains(description) || of_view && OF_VIEWS.contains(description);
        theirs && entry.dependencies.contains(&head.dump_id)
    };
    catalogue.head.entries().iter().filter(follows).map(|entry| entry.dump_id).collect()
}

/// Adds a check of the table's definition; `None` where it is there.
async fn add_check(session: &Session, table: &Known, check: &CheckThen) -> Result<Option<Result<(), String>>, Error> {
    let name = format!("{}.{}", quote_identifier(&table.0), quote_identifier(&table.1));
    let sql = "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass($1::text) AND conname = $2::text)";
    if session.query_one(WHAT, sql, &[&name, &check.name]).await?.get(0) {
        return Ok(None);
    }
    let add = format!("ALTER TABLE {name} ADD CONSTRAINT {} {}", quote_identifier(&check.name), check.definition);
    alone(session, &add).await.map(Some)
}

/// Whether an entry is a comment on, a label of, or a grant on one of these columns, or a comment on a check.
fn is_of_columns(catalogue: &Catalogue, entry: &Entry, table: &str, columns: &[String], checks: &[CheckThen]) -> bool {
    let about: [&[u8]; 3] = [b"COMMENT", b"ACL", b"SECURITY LABEL"];
    if !about.contains(&&entry.description[..]) {
        return false;
    }
    let (_, tag) = catalogue.name_of(entry);
    // pg_dump quotes names in tags where statements have to.
    let written = |name: &str| [name.to_owned(), quote_identifier(name)];
    let of = |kind: &str, name: &str, between: &str, table_first: bool| {
        written(name).iter().any(|name| {
            written(table).iter().any(|table| {
                let (first, second) = if table_first { (table, name) } else { (name, table) };
                tag == format!("{kind} {first}{between}{second}")
            })
        })
    };
    columns.iter().any(|column| of("COLUMN", column, ".", true))
        || checks.iter().any(|check| of("CONSTRAINT", &check.name, " ON ", false))
}
