//! What a backfill works on, looked at before anything is changed; and the dry run.

use std::sync::Arc;

use holdpoint_core::mask;
use holdpoint_core::progress::{Phase, Progress};
use holdpoint_postgres::{Session, SessionPurpose, identity};

use super::standing::Standing;
use super::state::{Progressed, What};
use super::state_file::StateFile;
use super::statement::{Place, Statements};
use super::subject::Subject;
use super::{BackfillError, BackfillOptions, BackfillPlan, clause, throttle};
use crate::{Error, Source};

/// So many characters of a line of a plan are shown.
const LONGEST_LINE: usize = 300;

/// A backfill that was looked at: everything that the server must agree with, it has.
pub(super) struct Prepared {
    pub(super) session: Session,
    /// When its server was started.
    pub(super) server_began: String,
    /// The name of the sessions, by which those who wait for them are found.
    pub(super) name: String,
    pub(super) subject: Subject,
    pub(super) columns: Vec<String>,
    pub(super) statements: Statements,
    pub(super) what: What,
    pub(super) file: StateFile,
    pub(super) warnings: Vec<String>,
}

impl Prepared {
    pub(super) async fn make(source: &Source, options: &BackfillOptions) -> Result<Self, Error> {
        let columns = clause::columns(&options.set)?;
        options.condition.as_deref().map(clause::condition).transpose()?;
        crate::backup::direct(source).await?;
        let session = Session::connect(&source.settings, &SessionPurpose::new("holdpoint backfill")).await?;
        // The limits of a session are for the application's short statements.
        let limits = format!(
            "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = {}",
            options.lock_wait.as_millis().max(1)
        );
        session.run("preparing the session", &limits).await?;
        // What is written down as committed must outlive a crash of the server.
        let lasting = "SELECT pg_catalog.set_config('synchronous_commit', 'on', false) \
                       WHERE pg_catalog.current_setting('synchronous_commit') = 'off'";
        session.query("preparing the session", lasting, &[]).await?;
        let subject = Subject::find(&session, options).await?;
        subject.refuse_columns(&session, &columns).await?;
        let name = format!("holdpoint backfill {}", subject.oid);
        let rename = "SELECT pg_catalog.set_config('application_name', $1, false)";
        session.query("naming the session", rename, &[&name]).await?;
        let statements = Statements::new(&subject, &options.set, options.condition.as_deref());
        accepted(&session, &statements).await?;
        let found = identity::read(&session).await?.identity;
        let key: Vec<String> = subject.key.iter().map(|column| column.name.clone()).collect();
        let what = What {
            system: found.system_identifier.unwrap_or(found.endpoint),
            timeline: found.timeline,
            database: found.database.clone(),
            table: subject.name.clone(),
            table_oid: subject.oid,
            key,
            key_columns: Some(subject.key.clone()),
            set: options.set.clone(),
            condition: options.condition.clone(),
        };
        let file = StateFile::of(&options.directory, &what);
        let server_began = session.server_began().await?;
        let mut warnings = Vec::new();
        if !throttle::sees_lag(&session).await? {
            let role = holdpoint_core::name::quote_identifier(session.settings().user());
            warnings.push(format!("the lag of standbys does not show to this role: GRANT pg_read_all_stats TO {role}"));
        }
        Ok(Self { session, server_began, name, subject, columns, statements, what, file, warnings })
    }

    /// What an earlier one left; read under the lock, or it may be another one's by the next statement.
    pub(super) fn earlier(&self, options: &BackfillOptions) -> Result<Option<Progressed>, BackfillError> {
        let table = self.subject.name.clone();
        let renamed = self.file.under_another_name(&self.what)?;
        if let Some(renamed) = renamed.as_ref().filter(|_| !options.resume)
            && let Some(found) = renamed.found()?
        {
            let rows = found.updated + found.pending.as_ref().map_or(0, |pending| pending.updated);
            let (earlier, file) = (found.what.table, renamed.path().to_owned());
            return Err(BackfillError::UnfinishedUnderAnotherName { table, earlier, file, rows });
        }
        let earlier = renamed.as_ref().unwrap_or(&self.file).read(&self.what)?;
        let file = self.file.path().to_owned();
        match &earlier {
            Some(earlier) if !options.resume => {
                let rows = earlier.updated + earlier.pending.as_ref().map_or(0, |pending| pending.updated);
                Err(BackfillError::Unfinished { table, file, rows })
            }
            None if options.resume => Err(BackfillError::NothingToResume { table, file }),
            _ => Ok(earlier),
        }
    }

    /// The largest key of the table: where a walk that begins now ends.
    pub(super) async fn end(&self) -> Result<Option<Place>, Error> {
        let rows = self.session.query("looking for the end", &self.statements.largest(), &[]).await?;
        rows.first().map(|row| self.place(row)).transpose()
    }

    /// Reads a key, whose last column says whether its text means it.
    pub(super) fn place(&self, row: &holdpoint_postgres::Row) -> Result<Place, Error> {
        let columns = self.subject.key.len();
        if row.get(columns) {
            return Ok((0..columns).map(|at| row.get(at)).collect());
        }
        let (key, table) = (self.what.key.join(", "), self.subject.name.clone());
        Err(BackfillError::KeyText { key, table }.into())
    }

    /// Refuses to go on where the table is not what it was when the walk began; within a transaction that has a lock of it,
    /// it stays so until the end of that.
    pub(super) async fn demand_same_table(&self) -> Result<(), Error> {
        let Subject { oid, name, quoted, key, .. } = &self.subject;
        let now = Standing::read(&self.session, *oid, quoted, &self.what.key).await?;
        Ok(now.demand(name, *oid, key, self.session.settings().user(), self.file.path())?)
    }

    /// How the server would do a batch; nothing of it is done.
    async fn explained(&self, after: Option<&Place>, end: &Place, rows: u64) -> Result<Vec<String>, Error> {
        let mut lines = Vec::new();
        for sql in [self.statements.end_of_batch(after.is_some(), rows), self.statements.update(after.is_some())] {
            let parameters = parameters(after, end);
            let explain = format!("EXPLAIN (COSTS OFF) {sql}");
            let found =
                self.session.query("asking how a batch would be done", &explain, &borrowed(&parameters)).await?;
            // Indents tell what belongs to what; values of keys must not show.
            lines.extend(found.iter().map(|row| {
                let line: String = row.get(0);
                let indent = line.len() - line.trim_start().len();
                format!("{}{}", " ".repeat(indent), mask::statement(&line, LONGEST_LINE))
            }));
        }
        Ok(lines)
    }
}

/// Both bounds, as the statements take them.
pub(super) fn parameters(after: Option<&Place>, to: &Place) -> Vec<String> {
    after.into_iter().flatten().chain(to).cloned().collect()
}

pub(super) fn borrowed(values: &[String]) -> Vec<&(dyn holdpoint_postgres::ToSql + Sync)> {
    values.iter().map(|value| value as _).collect()
}

/// Lets the server read the statements, in a transaction that is rolled back; nothing is run.
async fn accepted(session: &Session, statements: &Statements) -> Result<(), Error> {
    const WHAT: &str = "reading --set and --where";
    session.run(WHAT, "BEGIN").await?;
    let read = session.client().prepare(&statements.update(true)).await;
    session.run(WHAT, "ROLLBACK").await?;
    match read {
        Ok(_) => Ok(()),
        Err(error) => match error.as_db_error() {
            Some(said) => Err(BackfillError::NotTaken { said: said.message().to_owned() }.into()),
            None => Err(holdpoint_postgres::Error::Query { what: WHAT.to_owned(), source: error }.into()),
        },
    }
}

/// Says what a backfill would do; changes nothing.
///
/// # Errors
/// As [`backfill`](super::backfill), before its first batch.
pub async fn plan(
    source: &Source,
    options: &BackfillOptions,
    progress: &Arc<dyn Progress>,
) -> Result<BackfillPlan, Error> {
    progress.phase(Phase::Preflight, None);
    let prepared = Prepared::make(source, options).await?;
    let earlier = prepared.earlier(options)?;
    let end = match &earlier {
        Some(earlier) => Some(earlier.end.clone()),
        None => prepared.end().await?,
    };
    let rows = options.batch_rows;
    let (mut first_batch, mut last_batch) = (Vec::new(), Vec::new());
    if let Some(end) = &end {
        let after = earlier.as_ref().and_then(|earlier| earlier.after.clone());
        first_batch = prepared.explained(after.as_ref(), end, rows).await?;
        let before = prepared.statements.before(rows);
        let found = prepared.session.query("looking for the last batch", &before, &borrowed(end)).await?;
        let columns = prepared.subject.key.len();
        let before: Option<Place> = found.first().map(|row| (0..columns).map(|at| row.get(at)).collect());
        last_batch = prepared.explained(before.as_ref(), end, rows).await?;
    }
    let mut warnings = prepared.warnings.clone();
    let walks = first_batch.is_empty() || first_batch.iter().any(|line| line.contains(&prepared.subject.index));
    if !walks {
        warnings.push(format!(
            "the first batch would not be read by index {}: on a large table, ANALYZE it first",
            prepared.subject.index
        ));
    }
    let plan = BackfillPlan {
        table: prepared.subject.name.clone(),
        columns: prepared.columns.clone(),
        key: prepared.what.key.clone(),
        index: prepared.subject.index.clone(),
        table_bytes: prepared.subject.bytes,
        rows: prepared.subject.rows,
        batches: prepared.subject.rows.map(|all| all.div_ceil(rows.max(1))),
        first_batch,
        last_batch,
        resumes: earlier.as_ref().map(Progressed::resumed),
        warnings,
    };
    prepared.session.close().await;
    Ok(plan)
}
