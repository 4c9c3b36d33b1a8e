//! Tables that are gone entirely: made again with everything that was their own.
//!
//! pg_restore writes the statements (it is asked for text of the archive's head and touches no server); they run in the
//! one transaction that also brings the rows back. Tables that are gone together are made together, since views and
//! functions may be about several; what went with them, such as their schema and types, is made first.

use holdpoint_archive::{Selection, first_statement};
use holdpoint_core::digest::RowDigest;
use holdpoint_core::name::quote_literal;
use holdpoint_postgres::Session;
use holdpoint_postgres::programs::ProgramName;

use super::catalogue::Catalogue;
use super::counts;
use super::find::Known;
use super::plan::TableChange;
use super::script::{Ownership, Scripts};
use super::side::LACKS;
use super::source::{Facts, Proof};
use super::{RecoverOptions, belongings};
use crate::{Context, Error};

const WHAT: &str = "making a table again";
/// It is there already: a schema, a type, a function, a relation.
const THERE: [&str; 4] = ["42P06", "42710", "42723", "42P07"];

/// What makes tables again.
#[derive(Clone, Debug)]
pub(super) struct Again {
    pub(super) tables: Vec<AgainTable>,
    /// What went with them, each by itself, in the order of the contents.
    needed: Vec<Needed>,
    /// Everything that comes before the rows, and behind them.
    before: String,
    after: String,
    /// Foreign keys: their own, and those of other tables that pointed to them.
    keys: Vec<Key>,
    /// Default privileges of schemas that went with them: these are for what comes later.
    privileges: String,
}

/// A table that is made again.
#[derive(Clone, Debug)]
pub(super) struct AgainTable {
    /// Its place in the plan.
    pub(super) place: usize,
    /// The name for people.
    pub(super) name: String,
    /// As statements write it.
    quoted: String,
    side: String,
    /// The columns that are copied, quoted.
    columns: Option<String>,
    /// The rows, in the order of the columns.
    pub(super) digest: RowDigest,
}

/// A table of the source that the live database has not.
pub(super) struct Gone<'a> {
    /// Its place in the plan.
    pub(super) place: usize,
    pub(super) known: &'a Known,
    pub(super) side: String,
    pub(super) proof: Proof,
}

/// Something that a table needs.
#[derive(Clone, Debug)]
struct Needed {
    /// For people.
    name: String,
    statement: String,
}

#[derive(Clone, Debug)]
struct Key {
    /// Its name and table, for people.
    name: String,
    statement: String,
    pointing: bool,
}

impl Again {
    /// Reads the statements, and tries them in a transaction that is taken back; what they lack is a refusal.
    ///
    /// `entries` are the plan's.
    pub(super) async fn plan(
        context: &Context,
        session: &Session,
        options: &RecoverOptions,
        (catalogue, facts): (&Catalogue, &Facts),
        gone: &[Gone<'_>],
        entries: &mut [TableChange],
    ) -> Result<Option<Self>, Error> {
        let (mut tables, mut ids) = (Vec::new(), Vec::new());
        for Gone { place, known, side, proof } in gone {
            let Some((entry, _)) = catalogue.selection(known) else { continue };
            let name = holdpoint_archive::quoted_name(entry).and_then(|name| facts.sql(&name));
            let (Some(quoted), Some(planned)) = (name, entries.get(*place)) else { continue };
            ids.push(entry.dump_id);
            let (name, side) = (planned.table.clone(), side.clone());
            let (columns, digest) = (proof.columns.clone(), proof.digest);
            tables.push(AgainTable { place: *place, name, quoted, side, columns, digest });
        }
        if tables.is_empty() {
            return Ok(None);
        }
        let pg_restore = options.programs.find(ProgramName::PgRestore, session.server().major, &context.cancel).await?;
        let scripts = Scripts { pg_restore: &pg_restore, head: &catalogue.head, facts };
        let selection = Selection::of_tables(&catalogue.head, &ids);
        let views = belongings::absent_views(session, catalogue, facts, &selection).await?;
        let (keys, privileges) = (keys(catalogue, facts, &selection), String::new());
        let (needed, before, after) = (Vec::new(), String::new(), String::new());
        let mut again = Self { tables, needed, before, after, keys, privileges };
        let mut went = Vec::new();
        let mut refusal = None;
        for ownership in [Ownership::Recorded, Ownership::Ours] {
            again.needed.clear();
            again.before = scripts.of(&belongings::before_rows(catalogue, &selection), ownership).await?;
            again.after = scripts.of(&belongings::after_rows(catalogue, &selection, &views), ownership).await?;
            let mut tried = again.try_out(session).await?;
            if tried.as_ref().is_err_and(|lack| lack.of_something) {
                for one in belongings::needed(catalogue, &selection, &views) {
                    let ids: Vec<i32> = one.iter().map(|entry| entry.dump_id).collect();
                    let name = one.first().map(|entry| catalogue.called(entry)).unwrap_or_default();
                    again.needed.push(Needed { name, statement: scripts.of(&ids, ownership).await? });
                }
                again.privileges = scripts
                    .of(&belongings::default_privileges(session, catalogue, &selection).await?, ownership)
                    .await?;
                tried = again.try_out(session).await?;
            }
            match tried {
                Ok(made) => {
                    (went, refusal) = (made, None);
                    if ownership == Ownership::Ours {
                        again.note(entries, "owner and grants are left out: this role may not give them");
                    }
                    break;
                }
                Err(lack) => refusal = Some(lack.reason),
            }
        }
        for table in &again.tables {
            let Some(entry) = entries.get_mut(table.place) else { continue };
            if let Some(reason) = &refusal {
                entry.refusals.push(format!("the table is gone and cannot be made again: {reason}"));
            }
        }
        if refusal.is_none() {
            again.tell(catalogue, gone, &views, entries);
            if !went.is_empty() {
                again.note(entries, &format!("made again with it, since it is gone too: {}", went.join(", ")));
            }
        }
        Ok(Some(again))
    }

    /// Says of each table what comes back with it.
    fn tell(&self, catalogue: &Catalogue, gone: &[Gone<'_>], views: &[i32], entries: &mut [TableChange]) {
        for Gone { place, known, .. } in gone {
            let (Some((_, own)), Some(entry)) = (catalogue.selection(known), entries.get_mut(*place)) else { continue };
            let views = views.iter().filter(|id| own.views.contains(id)).count();
            entry.notes.push(format!(
                "the table is gone: it is made again with {}",
                belongings::counted(catalogue, &own, views)
            ));
        }
    }

    /// Adds a note about all of the tables to the first.
    fn note(&self, entries: &mut [TableChange], note: &str) {
        if let Some(entry) = self.tables.first().and_then(|table| entries.get_mut(table.place)) {
            entry.notes.push(note.to_owned());
        }
    }

    /// Runs the statements without rows and takes them back; gives what had to be made besides, or what the server says
    /// against them.
    async fn try_out(&self, session: &Session) -> Result<Result<Vec<String>, Lack>, Error> {
        session.run(WHAT, "BEGIN").await?;
        let tried = async {
            let made = self.make_needed(session).await?;
            session.run(WHAT, &self.before).await?;
            session.run(WHAT, &self.after).await?;
            session.run(WHAT, &self.privileges).await?;
            Ok::<_, holdpoint_postgres::Error>(made)
        };
        let tried = tried.await;
        session.run(WHAT, "ROLLBACK").await?;
        match tried {
            Ok(made) => Ok(Ok(made)),
            Err(error) => match error.sqlstate() {
                Some(state) => {
                    let of_something = LACKS.contains(&state);
                    Ok(Err(Lack { reason: error.said().unwrap_or_else(|| error.to_string()), of_something }))
                }
                None => Err(error.into()),
            },
        }
    }

    /// Makes what the tables need and the database has not; gives the names.
    async fn make_needed(&self, session: &Session) -> Result<Vec<String>, holdpoint_postgres::Error> {
        let mut made = Vec::new();
        for one in &self.needed {
            session.run(WHAT, "SAVEPOINT needed").await?;
            match session.run(WHAT, &one.statement).await {
                Ok(_) => made.push(one.name.clone()),
                Err(error) if error.sqlstate().is_some_and(|state| THERE.contains(&state)) => {
                    session.run(WHAT, "ROLLBACK TO SAVEPOINT needed").await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(made)
    }

    /// Makes the tables and brings their rows back, within a transaction.
    ///
    /// `made` are the plan's entries of [`Again::tables`], in their order.
    pub(super) async fn run(&self, session: &Session, made: &mut [TableChange]) -> Result<(), Error> {
        self.make_needed(session).await?;
        session.run(WHAT, &self.before).await?;
        for (table, entry) in self.tables.iter().zip(made.iter_mut()) {
            entry.inserted = session.execute(WHAT, &table.fill(session).await?).await?;
        }
        session.run(WHAT, &self.after).await?;
        for (table, entry) in self.tables.iter().zip(made.iter_mut()) {
            entry.sequences = counts::behind(session, &table.quoted).await?;
            for one in &entry.sequences {
                session.run(WHAT, &one.statement()).await?;
            }
        }
        Ok(())
    }

    /// Makes the foreign keys, once all tables are back: one that rows do not fit is left out and told.
    pub(super) async fn bind(&self, session: &Session, made: &mut [TableChange]) -> Result<(), Error> {
        for key in &self.keys {
            session.run(WHAT, "SAVEPOINT foreign_key").await?;
            let Err(error) = session.execute(WHAT, &key.statement).await else { continue };
            let statement = key.statement.split_whitespace().collect::<Vec<_>>().join(" ");
            let why = match error.sqlstate() {
                // It is there.
                Some("42710") => None,
                Some("23503") => Some("rows do not fit it"),
                Some("42P01" | "3F000") if key.pointing => Some("the table that it was on is gone"),
                Some("42P01" | "3F000") => Some("the table that it points to is gone"),
                Some("42830") => Some("the table that it points to has no such key now"),
                _ => return Err(error.into()),
            };
            session.run(WHAT, "ROLLBACK TO SAVEPOINT foreign_key").await?;
            if let (Some(why), Some(entry)) = (why, made.first_mut()) {
                entry.notes.push(format!("foreign key {} is not made again ({why}): {statement}", key.name));
            }
        }
        Ok(session.run(WHAT, &self.privileges).await?)
    }
}

/// What the server says against statements.
struct Lack {
    reason: String,
    /// Something that they name is not there.
    of_something: bool,
}

impl AgainTable {
    /// The statement that brings the rows back. Of types that are gone the side table has text.
    async fn fill(&self, session: &Session) -> Result<String, Error> {
        let sql = "SELECT quote_ident(n.attname), CASE WHEN n.atttypid <> s.atttypid THEN format_type(n.atttypid, n.atttypmod) END \
                   FROM pg_attribute n JOIN pg_attribute s ON s.attrelid = $2::text::regclass AND s.attname = n.attname \
                   WHERE n.attrelid = $1::text::regclass AND n.attnum > 0 AND n.attgenerated = '' \
                     AND NOT n.attisdropped AND NOT s.attisdropped ORDER BY n.attnum";
        let rows = session.query(WHAT, sql, &[&self.quoted, &self.side]).await?;
        let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let values = rows.iter().map(|row| match row.get::<_, Option<String>>(1) {
            Some(kind) => format!("CAST({} AS {kind})", row.get::<_, String>(0)),
            None => row.get(0),
        });
        let values = values.collect::<Vec<String>>().join(", ");
        let list =
            if names.is_empty() { String::new() } else { format!("({}) OVERRIDING SYSTEM VALUE ", names.join(", ")) };
        Ok(format!("INSERT INTO {} {list}SELECT {values} FROM {}", self.quoted, self.side))
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
