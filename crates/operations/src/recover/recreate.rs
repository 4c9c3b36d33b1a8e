//! A table that is gone entirely: made again with everything that was its own.
//!
//! pg_restore writes the statements (it is asked for text of the archive's head and touches no server); they run in the
//! one transaction that also brings the rows back.

use std::io::Write as _;
use std::time::Duration;

use holdpoint_archive::{Entry, EntryKind, Head, Section, Selection, first_statement};
use holdpoint_core::digest::RowDigest;
use holdpoint_core::name::quote_literal;
use holdpoint_postgres::Session;
use holdpoint_postgres::programs::{ClientProgram, PgRestore, ProgramName, judge};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::RecoverOptions;
use super::catalogue::Catalogue;
use super::find::Known;
use super::plan::TableChange;
use super::source::{Facts, Proof};
use crate::{Context, Error};

const WHAT: &str = "making a table again";
const GRACE: Duration = Duration::from_secs(5);

/// What makes a table again.
#[derive(Clone, Debug)]
pub(super) struct Again {
    /// The name for people.
    pub(super) name: String,
    /// As statements write it.
    pub(super) quoted: String,
    pub(super) side: String,
    /// Everything that comes before the rows, and behind them.
    before: String,
    after: String,
    /// Foreign keys: its own, and those of other tables that pointed to it.
    keys: Vec<Key>,
    /// The columns that are copied, quoted.
    columns: Option<String>,
    /// The rows, in the order of the columns.
    pub(super) digest: RowDigest,
}

#[derive(Clone, Debug)]
struct Key {
    /// Its name and table, for people.
    name: String,
    statement: String,
    pointing: bool,
}

/// Whose owners and grants are made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ownership {
    Recorded,
    Ours,
}

impl Again {
    /// Reads the statements, and tries them in a transaction that is taken back; what they lack is a refusal.
    pub(super) async fn plan(
        context: &Context,
        session: &Session,
        options: &RecoverOptions,
        (catalogue, facts): (&Catalogue, &Facts),
        known: &Known,
        (side, proof): (String, &Proof),
        entry: &mut TableChange,
    ) -> Result<Option<Self>, Error> {
        let Some((table, selection)) = catalogue.selection(known) else { return Ok(None) };
        let name = holdpoint_archive::quoted_name(table).and_then(|name| facts.sql(&name));
        let Some(quoted_table) = name else { return Ok(None) };
        let pg_restore = options.programs.find(ProgramName::PgRestore, session.server().major, &context.cancel).await?;
        let mut again = Self {
            name: entry.table.clone(),
            quoted: quoted_table,
            side,
            before: String::new(),
            after: String::new(),
            keys: keys(catalogue, facts, &selection),
            columns: proof.columns.clone(),
            digest: proof.digest,
        };
        let views = absent_views(session, catalogue, facts, &selection).await?;
        for ownership in [Ownership::Recorded, Ownership::Ours] {
            let script = |ids| script(&pg_restore, &catalogue.head, facts, ids, ownership);
            again.before = script(before(catalogue, &selection)).await?;
            again.after = script(after(catalogue, &selection, &views)).await?;
            match again.try_out(session).await? {
                None if ownership == Ownership::Recorded => break,
                None => {
                    entry.notes.push("owner and grants are left out: this role may not give them".to_owned());
                    entry.refusals.clear();
                    break;
                }
                Some(reason) => entry.refusals = vec![format!("the table is gone and cannot be made again: {reason}")],
            }
        }
        if entry.refusals.is_empty() {
            entry
                .notes
                .push(format!("the table is gone: it is made again with {}", counted(catalogue, &selection, &views)));
        }
        Ok(Some(again))
    }

    /// Runs the statements without rows and takes them back; gives what the server says against them.
    async fn try_out(&self, session: &Session) -> Result<Option<String>, Error> {
        session.run(WHAT, "BEGIN").await?;
        let tried = async {
            session.run(WHAT, &self.before).await?;
            session.run(WHAT, &self.after).await
        };
        let tried = tried.await;
        session.run(WHAT, "ROLLBACK").await?;
        match tried {
            Ok(()) => Ok(None),
            Err(error) if error.sqlstate().is_some() => Ok(Some(error.said().unwrap_or_else(|| error.to_string()))),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the table and brings its rows back, within a transaction; gives how many.
    pub(super) async fn run(&self, session: &Session, entry: &mut TableChange) -> Result<(), Error> {
        session.run(WHAT, &self.before).await?;
        let columns = self.columns.as_deref().unwrap_or_default();
        let list = if columns.is_empty() { String::new() } else { format!("({columns}) OVERRIDING SYSTEM VALUE ") };
        let sql = format!("INSERT INTO {} {list}SELECT {columns} FROM {}", self.quoted, self.side);
        entry.inserted = session.execute(WHAT, &sql).await?;
        session.run(WHAT, &self.after).await?;
        Ok(())
    }

    /// Makes the foreign keys, once all tables are back: one that rows do not fit is left out and told.
    pub(super) async fn bind(&self, session: &Session, entry: &mut TableChange) -> Result<(), Error> {
        for key in &self.keys {
            session.run(WHAT, "SAVEPOINT foreign_key").await?;
            let Err(error) = session.execute(WHAT, &key.statement).await else { continue };
            let statement = key.statement.split_whitespace().collect::<Vec<_>>().join(" ");
            let why = match error.sqlstate() {
                // It is there: the table that points was made again in the same go.
                Some("42710") => None,
                Some("23503") => Some("rows do not fit it"),
                Some("42P01") if key.pointing => Some("the table that it was on is gone"),
                Some("42P01") => Some("the table that it points to is gone"),
                Some("42830") => Some("the table that it points to has no such key now"),
                _ => return Err(error.into()),
            };
            session.run(WHAT, "ROLLBACK TO SAVEPOINT foreign_key").await?;
            if let Some(why) = why {
                entry.notes.push(format!("foreign key {} is not made again ({why}): {statement}", key.name));
            }
        }
        Ok(())
    }

    /// The rows of the made table as a COPY that can be digested.
    pub(super) fn copy_out(&self, encoding: &str) -> String {
        let columns = self.columns.as_deref().unwrap_or_default();
        format!("COPY (SELECT {columns} FROM {}) TO STDOUT (ENCODING {})", self.quoted, quote_literal(encoding))
    }
}

/// Statements that foreign keys are made with.
fn keys(catalogue: &Catalogue, facts: &Facts, selection: &Selection) -> Vec<Key> {
    let own = catalogue.entries(&selection.entries).filter(|entry| entry.description == b"FK CONSTRAINT"[..]);
    let all = own.map(|entry| (entry, false)).chain(catalogue.entries(&selection.pointing).map(|entry| (entry, true)));
    all.filter_map(|(entry, pointing)| {
        let statement = facts.sql(first_statement(entry.definition.as_deref()?)?)?;
        Some(Key { name: facts.sql(&entry.tag)?, statement, pointing })
    })
    .collect()
}

/// Entries that are made before the rows: the tables, their sequences and defaults.
fn before(catalogue: &Catalogue, selection: &Selection) -> Vec<i32> {
    let entries = catalogue.entries(&selection.entries);
    let before = entries.filter(|entry| entry.section == Section::PreData && !joins_another(entry, selection));
    before.map(|entry| entry.dump_id).collect()
}

/// Whether an entry attaches a partition to a table that is there.
///
/// That comes when the partition has its indexes: otherwise it gets new ones for those of the table.
fn joins_another(entry: &Entry, selection: &Selection) -> bool {
    let parent = entry.dependencies.get(1);
    entry.description == b"TABLE ATTACH"[..] && parent.is_some_and(|parent| !selection.tables.contains(parent))
}

/// Entries that are made behind the rows: the sequences' values, indexes, constraints, triggers, views, grants.
fn after(catalogue: &Catalogue, selection: &Selection, views: &[i32]) -> Vec<i32> {
    let of_views = |entry: &&Entry| {
        let theirs: [&[u8]; 5] = [b"ACL", b"COMMENT", b"INDEX", b"RULE", b"MATERIALIZED VIEW DATA"];
        theirs.contains(&&entry.description[..]) && entry.dependencies.iter().any(|id| views.contains(id))
    };
    let rows = |entry: &Entry| matches!(entry.kind(), EntryKind::TableData | EntryKind::StatisticsData);
    let rank = |entry: &Entry| match &entry.description[..] {
        b"TABLE ATTACH" => 1,
        b"INDEX ATTACH" => 2,
        _ if entry.section == Section::None => 4,
        _ => 0,
    };
    let own = catalogue.entries(&selection.entries).filter(|entry| {
        let late = entry.section != Section::PreData || joins_another(entry, selection);
        late && !rows(entry) && entry.description != b"FK CONSTRAINT"[..]
    });
    let over = catalogue.entries(views).chain(catalogue.head.entries().iter().filter(of_views));
    let mut all: Vec<(u8, i32)> = own.map(|entry| (rank(entry), entry.dump_id)).collect();
    all.extend(over.map(|entry| (3, entry.dump_id)));
    // The order of the contents within each rank.
    all.sort_by_key(|(rank, _)| *rank);
    all.into_iter().map(|(_, id)| id).collect()
}

/// Views over the table that went with it.
async fn absent_views(
    session: &Session,
    catalogue: &Catalogue,
    facts: &Facts,
    selection: &Selection,
) -> Result<Vec<i32>, Error> {
    let mut absent = Vec::new();
    for entry in catalogue.entries(&selection.views) {
        let drop = entry.drop_statement.as_deref().unwrap_or_default();
        let name = drop.strip_prefix(b"DROP VIEW ").or_else(|| drop.strip_prefix(b"DROP MATERIALIZED VIEW "));
        let Some(name) = name.and_then(|name| name.strip_suffix(b";\n")).and_then(|name| facts.sql(name)) else {
            continue;
        };
        let row = session.query_one(WHAT, "SELECT to_regclass($1::text) IS NULL", &[&name]).await?;
        if row.get(0) {
            absent.push(entry.dump_id);
        }
    }
    Ok(absent)
}

fn counted(catalogue: &Catalogue, selection: &Selection, views: &[i32]) -> String {
    let entries = || catalogue.entries(&selection.entries);
    let count = |kinds: &[&[u8]]| entries().filter(|entry| kinds.contains(&&entry.description[..])).count();
    let parts: [(&str, usize); 9] = [
        ("indexes and constraints", count(&[b"INDEX", b"CONSTRAINT", b"CHECK CONSTRAINT"])),
        ("sequences", count(&[b"SEQUENCE"])),
        ("triggers and rules", count(&[b"TRIGGER", b"RULE"])),
        ("policies", count(&[b"POLICY"])),
        ("grants", count(&[b"ACL"])),
        ("comments", count(&[b"COMMENT"])),
        ("foreign keys", count(&[b"FK CONSTRAINT"])),
        ("foreign keys of other tables", selection.pointing.len()),
        ("views", views.len()),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{what}: {count}")).collect();
    if parts.is_empty() { "its columns alone".to_owned() } else { parts.join(", ") }
}

/// Has pg_restore write the statements of some entries, in this order, as text that a session can run.
async fn script(
    pg_restore: &ClientProgram,
    head: &Head,
    facts: &Facts,
    ids: Vec<i32>,
    ownership: Ownership,
) -> Result<String, Error> {
    if ids.is_empty() {
        return Ok(String::new());
    }
    let failed = |source| Error::Io { what: "asking pg_restore for statements".to_owned(), source };
    let mut list = tempfile::NamedTempFile::new().map_err(failed)?;
    for id in &ids {
        writeln!(list, "{id};").map_err(failed)?;
    }
    let mut call = PgRestore::of_stdin(pg_restore).use_list(list.path()).no_tablespaces();
    if ownership == Ownership::Ours {
        call = call.no_owner().no_privileges();
    }
    let mut running = call.into_script().start().map_err(holdpoint_postgres::Error::Process)?;
    let (stdin, stdout) = (running.take_stdin(), running.take_stdout());
    let (Some(mut stdin), Some(mut stdout)) = (stdin, stdout) else {
        return Err(Error::Internal("pg_restore has no pipes".to_owned()));
    };
    let bytes = head.bytes().clone();
    let feed = async move {
        // It stops reading when it has seen enough, and says itself where it has not.
        stdin.write_all(&bytes).await.ok();
        drop(stdin);
    };
    let mut text = Vec::new();
    let ((), read) = tokio::join!(feed, stdout.read_to_end(&mut text));
    read.map_err(failed)?;
    let ended = running.wait_or_cancel(&Default::default(), GRACE).await;
    judge(pg_restore, ended.map_err(holdpoint_postgres::Error::Process)?)?;
    let text = facts.sql(&text).ok_or_else(|| Error::Usage("the table's statements have no text".to_owned()))?;
    Ok(for_session(&text))
}

/// Leaves out what is psql's alone, and of the settings at the beginning those that are this session's: its encoding,
/// since the text is decoded already, and how long it waits.
fn for_session(text: &str) -> String {
    const OURS: [&str; 3] = ["SET client_encoding = ", "SET statement_timeout = ", "SET lock_timeout = "];
    let token = text.lines().find_map(|line| line.strip_prefix("\\restrict "));
    let mut beginning = true;
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        beginning &= !line.starts_with("-- Name: ");
        let psql = token.is_some_and(|token| {
            line.strip_prefix("\\restrict ").or_else(|| line.strip_prefix("\\unrestrict ")) == Some(token)
        });
        if psql || (beginning && OURS.iter().any(|setting| line.starts_with(setting))) {
            continue;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_for_psql_becomes_one_for_a_session() {
        let text = "\\restrict abc\n\nSET statement_timeout = 0;\nSET client_encoding = 'LATIN1';\n-- Name: t\nCREATE TABLE \
                    s.t (\n);\nCOMMENT ON TABLE s.t IS '\nSET lock_timeout = 1;\n\\restrict x\n';\n\\unrestrict abc\n";
        let kept = "\n-- Name: t\nCREATE TABLE s.t (\n);\nCOMMENT ON TABLE s.t IS '\nSET lock_timeout = 1;\n\\restrict x\n';\n";
        assert_eq!(for_session(text), kept);
    }
}
