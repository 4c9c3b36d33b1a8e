//! The side schema: tables as they were, beside the live ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_engine::{digest_copy, digest_table};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};

use super::source::{Facts, Proof, Recovered};
use super::{RecoverError, RecoverMode, RecoverOptions};
use crate::{Context, Error};

/// What the comment of a side schema begins with; the instant follows, then from what it was made.
pub(crate) const SIDE_MARK: &str = "holdpoint: side tables made at ";
/// Table that a recorded definition makes for a moment: it is copied without what ties it to live objects, and dropped.
pub(super) const AS_DEFINED: &str = "holdpoint_definition";
/// Tables of fewer bytes are not worth other sessions.
const WORTH_SESSIONS: i64 = 32 << 20;
const REMOVE_WITHIN: Duration = Duration::from_secs(300);
/// A server that starts again needs a moment.
const TRIES: u32 = 60;
const TRY_EVERY: Duration = Duration::from_millis(500);
/// What a definition refers to is not there: a type, a function, a relation, a schema.
pub(super) const LACKS: [&str; 4] = ["42704", "42883", "42P01", "3F000"];

/// A side schema that is there.
#[derive(Clone, Debug)]
pub(super) struct SideSchema {
    /// Its name.
    pub(super) name: String,
    settings: ConnectionSettings,
    /// Publications that would send the side tables too, where they have to outlast this program.
    pub(super) unlogged_for: Vec<String>,
    /// The side tables' names, by the recovered tables' place.
    tables: Vec<String>,
}

/// Connects to the live database with the text form of values pinned and locks waited for so long.
pub(super) async fn connect(settings: &ConnectionSettings, lock_wait_seconds: u64) -> Result<Session, Error> {
    let session = Session::connect(settings, &SessionPurpose::new("holdpoint recover-table")).await?;
    session.pin_text_form().await?;
    session.run("setting the lock timeout", &format!("SET lock_timeout = '{lock_wait_seconds}s'")).await?;
    Ok(session)
}

/// Names the side tables: as the tables are called, with their schema where two are called alike.
fn table_names(tables: &[Recovered]) -> Vec<String> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for table in tables {
        *count.entry(&table.known.1).or_default() += 1;
    }
    let name = |table: &Recovered| match count.get(table.known.1.as_str()) {
        Some(1) => table.known.1.clone(),
        _ => table.name(),
    };
    tables.iter().map(name).collect()
}

fn unknown_form() -> Error {
    Error::Usage("its definition has a form that this version does not know".to_owned())
}

impl SideSchema {
    /// The name of a side table as statements write it.
    pub(super) fn quoted(&self, nth: usize) -> String {
        let table = self.tables.get(nth).map_or("", String::as_str);
        format!("{}.{}", quote_identifier(&self.name), quote_identifier(table))
    }

    /// How to connect to where it is.
    pub(super) fn settings(&self) -> &ConnectionSettings {
        &self.settings
    }

    /// Makes the schema and its empty tables, in one transaction.
    ///
    /// Nobody but this role may look into it. Each table is made by its recorded definition under another name, then
    /// copied with its columns alone: defaults, checks and inheritance would tie it to live objects, or have other rows
    /// refused than it had. Types that are gone since are made for that moment, and their columns become text.
    pub(super) async fn make(
        session: &Session,
        facts: &Facts,
        tables: &[Recovered],
        options: &RecoverOptions,
        tail: &str,
        at: DateTime<Utc>,
    ) -> Result<Self, Error> {
        const WHAT: &str = "making the side schema";
        let taken = "SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname::text, 'holdpoint_')";
        let rows = session.query(WHAT, taken, &[]).await?;
        let taken: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let names = (1..).map(|nth| match nth {
            1 => format!("holdpoint_{tail}"),
            nth => format!("holdpoint_{tail}_{nth}"),
        });
        let name = names.take(1000).find(|name| !taken.contains(name)).unwrap_or_default();
        let lasts = options.mode == RecoverMode::Side || options.keep_side;
        let unlogged_for = if lasts { sent_anyway(session).await? } else { Vec::new() };
        let settings = session.settings().clone();
        let side = Self { name, settings, unlogged_for, tables: table_names(tables) };
        session.run(WHAT, "BEGIN").await?;
        let made = side.make_within(session, facts, tables, options, at).await;
        let ended = session.run(WHAT, if made.is_ok() { "COMMIT" } else { "ROLLBACK" }).await;
        made?;
        ended?;
        Ok(side)
    }

    async fn make_within(
        &self,
        session: &Session,
        facts: &Facts,
        tables: &[Recovered],
        options: &RecoverOptions,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        const WHAT: &str = "making the side schema";
        let schema = quote_identifier(&self.name);
        let mark = quote_literal(&format!("{SIDE_MARK}{} from {}", at.to_rfc3339(), facts.place));
        session.run(WHAT, &format!("CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS {mark}")).await?;
        // Default privileges may have let others in.
        let others = "SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END \
                      FROM pg_namespace, aclexplode(nspacl) WHERE nspname = $1::text AND grantee <> nspowner";
        for row in session.query(WHAT, others, &[&self.name]).await? {
            let role: String = row.get(0);
            session.run(WHAT, &format!("REVOKE ALL ON SCHEMA {schema} FROM {role}")).await?;
        }
        // Rows that go into live tables at once need not survive a crash of the server; and a subscriber that is sent
        // rows of a table which it does not have stops.
        let lasts = options.mode == RecoverMode::Side || options.keep_side;
        let kind = if lasts && self.unlogged_for.is_empty() { "" } else { "UNLOGGED " };
        for (nth, table) in tables.iter().enumerate() {
            let defined = format!("{schema}.{AS_DEFINED}");
            let failed = |source: Error| RecoverError::Definition { table: table.name(), source: Box::new(source) };
            let made = as_defined(session, facts, table, &defined).await.map_err(failed)?;
            let copy = format!(
                "CREATE {kind}TABLE {} (LIKE {defined} INCLUDING COMMENTS INCLUDING COMPRESSION INCLUDING GENERATED \
                 INCLUDING STORAGE); DROP TABLE {defined}",
                self.quoted(nth)
            );
            session.run(WHAT, &copy).await?;
            if !made.is_empty() {
                let types: Vec<&str> = made.iter().filter_map(|one| named_type(&one.drop)).collect();
                self.become_text(session, nth, Some(&types)).await?;
                for one in made.iter().rev() {
                    session.query("dropping what a definition needed", &one.drop, &[]).await?;
                }
            }
        }
        Ok(())
    }

    /// Empties the side tables and makes text of their columns of types that are not PostgreSQL's own: those may not
    /// take the values any more that they had.
    pub(super) async fn empty_as_text(&self, session: &Session) -> Result<(), Error> {
        for nth in 0..self.tables.len() {
            session.run("emptying a side table", &format!("TRUNCATE {}", self.quoted(nth))).await?;
            self.become_text(session, nth, None).await?;
        }
        Ok(())
    }

    /// Makes text of columns of these types, or of all that are not PostgreSQL's own. Text holds the same bytes.
    async fn become_text(&self, session: &Session, nth: usize, types: Option<&[&str]>) -> Result<(), Error> {
        const WHAT: &str = "loading columns as text";
        let table = self.quoted(nth);
        let sql = "SELECT quote_ident(a.attname), a.attgenerated <> '' FROM pg_attribute a \
                   JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace \
                   WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped \
                     AND (a.attgenerated <> '' OR CASE WHEN $2::text[] IS NULL THEN n.nspname <> 'pg_catalog' \
                          ELSE EXISTS (SELECT FROM unnest($2::text[]) w WHERE to_regtype(w)::oid IN (t.oid, t.typelem)) END) \
                   ORDER BY a.attgenerated = ''";
        let rows = session.query(WHAT, sql, &[&table, &types]).await?;
        for row in &rows {
            let (column, generated): (String, bool) = (row.get(0), row.get(1));
            // What is generated of such a column cannot be any more; it is not copied either.
            let change =
                if generated { format!("DROP COLUMN {column}") } else { format!("ALTER COLUMN {column} TYPE text") };
            session.run(WHAT, &format!("ALTER TABLE {table} {change}")).await?;
        }
        Ok(())
    }

    /// Digests the side tables and compares them with the rows as they were read.
    ///
    /// Small ones are read by this session, which has the source's form of money; others by several.
    pub(super) async fn prove(
        &self,
        context: &Context,
        session: &Session,
        facts: &Facts,
        tables: &[Recovered],
        proofs: &[Proof],
        jobs: usize,
    ) -> Result<(), Error> {
        for (nth, (table, proof)) in tables.iter().zip(proofs).enumerate() {
            let target = facts.target(&self.settings, String::new());
            let columns = proof.columns.as_deref();
            let progress = Arc::clone(&context.progress);
            let name = self.quoted(nth);
            let size = "SELECT pg_table_size($1::text::regclass)";
            let bytes: i64 = session.query_one("reading a table's size", size, &[&name]).await?.get(0);
            let found = if bytes < WORTH_SESSIONS {
                let list = columns.map(|columns| format!(" ({columns})")).unwrap_or_default();
                let encoding = quote_literal(&facts.encoding);
                let sql = format!("COPY {name}{list} TO STDOUT (ENCODING {encoding})");
                digest_copy(session, "reading a side table", &sql, progress.as_ref()).await?
            } else {
                digest_table(&target, &name, columns, jobs, progress, &context.cancel).await?
            };
            if found != proof.digest {
                let (table, expected) = (table.name(), proof.digest);
                return Err(RecoverError::SideDiffers { table, expected, found }.into());
            }
        }
        Ok(())
    }

    /// Makes the indexes that the tables had; what cannot be made becomes a warning.
    pub(super) async fn index(
        &self,
        session: &Session,
        facts: &Facts,
        tables: &[Recovered],
        proofs: &[Proof],
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        for (nth, (table, proof)) in tables.iter().zip(proofs).enumerate() {
            for definition in table.indexes.iter().chain(&proof.indexes) {
                let made = match about(facts, definition, &table.quoted, &self.quoted(nth)) {
                    Some(statement) => {
                        session.query("making an index", &statement, &[]).await.map(drop).map_err(Error::from)
                    }
                    None => Err(unknown_form()),
                };
                if let Err(error) = made {
                    warnings.push(format!(
                        "an index of the side table of {} was not made: {}",
                        table.name(),
                        error.line()
                    ));
                }
            }
        }
        warnings
    }

    /// Leaves only the rows for which a person's condition is true.
    ///
    /// The condition is read as in any session of the database: with its own search path and time zone.
    pub(super) async fn select(
        &self,
        session: &Session,
        nth: usize,
        table: &Recovered,
        condition: &str,
    ) -> Result<(), Error> {
        const WHAT: &str = "applying the condition";
        let own =
            "BEGIN; SET LOCAL search_path TO DEFAULT; SET LOCAL TimeZone TO DEFAULT; SET LOCAL DateStyle TO DEFAULT";
        session.run(WHAT, own).await?;
        let alias = quote_identifier(&table.known.1);
        let sql = format!("DELETE FROM {} AS {alias} WHERE ({condition}\n) IS NOT TRUE", self.quoted(nth));
        let deleted = session.query(WHAT, &sql, &[]).await;
        let ended = session.run(WHAT, if deleted.is_ok() { "COMMIT" } else { "ROLLBACK" }).await;
        match deleted {
            Ok(_) => Ok(ended?),
            Err(error) if error.sqlstate().is_some() => {
                let said = error.said().unwrap_or_else(|| error.to_string());
                Err(RecoverError::Condition { table: table.name(), said }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Drops the schema with everything in it, through a session of its own; waits for a server that starts again.
    pub(super) async fn remove(&self) -> Result<(), Error> {
        let sql = format!("DROP SCHEMA IF EXISTS {} CASCADE", quote_identifier(&self.name));
        let once = || async {
            let session = Session::connect(&self.settings, &SessionPurpose::new("holdpoint recover-table")).await?;
            session.run("removing the side schema", &sql).await?;
            session.close().await;
            Ok::<_, holdpoint_postgres::Error>(())
        };
        let dropping = async {
            let mut tries = 0;
            loop {
                match once().await {
                    Err(error) if error.is_transient() && tries < TRIES => tokio::time::sleep(TRY_EVERY).await,
                    dropped => return Ok(dropped?),
                }
                tries += 1;
            }
        };
        match tokio::time::timeout(REMOVE_WITHIN, dropping).await {
            Ok(dropped) => dropped,
            Err(_) => Err(Error::Usage(format!("no answer within {} s", REMOVE_WITHIN.as_secs()))),
        }
    }

    /// After a failure: removes the schema, or adds to the error that it remains.
    pub(super) async fn removed_after(&self, error: Error) -> Error {
        match self.remove().await {
            Ok(()) => error,
            Err(second) => Error::LeftBehind {
                failure: Box::new(error),
                remains: format!("the side schema {} remains: {}", self.name, second.line()),
            },
        }
    }
}

/// Finds the publications that send every table, also one that is just made.
async fn sent_anyway(session: &Session) -> Result<Vec<String>, Error> {
    let sql = "SELECT pubname::text FROM pg_publication WHERE puballtables ORDER BY 1";
    let rows = session.query("looking for publications of all tables", sql, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Makes a statement of the source about another table, as text.
fn about(facts: &Facts, definition: &[u8], quoted: &[u8], to: &str) -> Option<String> {
    facts.sql(&holdpoint_archive::retargeted(definition, quoted, to.as_bytes())?)
}

/// What a definition needed besides.
pub(super) struct Made {
    pub(super) make: String,
    drop: String,
}

/// Makes a table by its recorded definition under another name, within a transaction; gives back what it needed besides.
pub(super) async fn as_defined(
    session: &Session,
    facts: &Facts,
    table: &Recovered,
    defined: &str,
) -> Result<Vec<Made>, Error> {
    const WHAT: &str = "making the table as it was";
    let statement = about(facts, &table.definition, &table.quoted, defined).ok_or_else(unknown_form)?;
    session.run(WHAT, "SAVEPOINT definition").await?;
    // In the extended protocol one statement is all that is taken.
    let Err(error) = session.query(WHAT, &statement, &[]).await else { return Ok(Vec::new()) };
    if table.prerequisites.is_empty() || !error.sqlstate().is_some_and(|state| LACKS.contains(&state)) {
        return Err(error.into());
    }
    session.run(WHAT, "ROLLBACK TO SAVEPOINT definition").await?;
    let mut made = Vec::new();
    for (make, drop) in &table.prerequisites {
        let (Some(make), Some(drop)) = (facts.sql(make), facts.sql(drop)) else { continue };
        session.run(WHAT, "SAVEPOINT needed").await?;
        match session.query(WHAT, &make, &[]).await {
            Ok(_) => made.push(Made { make, drop }),
            // It is there, or cannot be: then the definition says what is missing.
            Err(error) if error.sqlstate().is_some() => session.run(WHAT, "ROLLBACK TO SAVEPOINT needed").await?,
            Err(error) => return Err(error.into()),
        }
    }
    session.query(WHAT, &statement, &[]).await?;
    Ok(made)
}

/// The type that a statement drops.
fn named_type(drop: &str) -> Option<&str> {
    let name = drop.strip_prefix("DROP TYPE ").or_else(|| drop.strip_prefix("DROP DOMAIN "))?;
    name.strip_suffix(';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_from_other_things_that_are_dropped() {
        assert_eq!(named_type("DROP TYPE public.\"Mo;od\";"), Some("public.\"Mo;od\""));
        assert_eq!(named_type("DROP DOMAIN s.d;"), Some("s.d"));
        assert_eq!(named_type("DROP FUNCTION s.f();"), None);
    }
}
