//! The order of work until a person is asked: fetch, prove, count.

use std::time::Instant;

use holdpoint_core::PointId;
use holdpoint_core::progress::Phase;
use holdpoint_engine::set_money;

use super::error::told;
use super::find::{Known, find};
use super::plan::{RecoverPlan, TableChange};
use super::recovery::Recovery;
use super::side::{SideSchema, connect};
use super::source::{Facts, Proof, RecoverFrom, Recovered, Source};
use super::{RecoverError, RecoverMode, RecoverOptions, checks, past, tail, transaction};
use crate::{Context, Error, reading};

/// Fetches the wanted tables into a side schema, proves them, and counts what the mode would change.
///
/// Live tables are only read. With `dry_run` and mode side no rows are fetched: the side tables are made without any. On
/// failure, and when cancelled, the side schema is removed again, or the error says that it remains.
///
/// # Errors
/// [`RecoverError`] and those of the repository, the server and the selector.
pub async fn prepare(context: &Context, options: &RecoverOptions) -> Result<Recovery, Error> {
    match &options.from {
        RecoverFrom::Rds(of_then) => Box::pin(past::prepare(context, options, of_then)).await,
        _ => Box::pin(from_there(context, options)).await,
    }
}

/// As [`prepare`], of a source that is there.
pub(super) async fn from_there(context: &Context, options: &RecoverOptions) -> Result<Recovery, Error> {
    let began = Instant::now();
    checks::contradictions(options)?;
    context.progress.phase(Phase::Preflight, None);
    let (session, source) = match &options.from {
        RecoverFrom::Point(selector) => {
            tokio::try_join!(connect(&options.into, options.lock_wait_seconds), Source::point(context, selector))?
        }
        _ => {
            let session = connect(&options.into, options.lock_wait_seconds).await?;
            let source = Source::open(context, options, &session).await?;
            (session, source)
        }
    };
    set_money(&session, source.facts().lc_monetary.as_deref()).await?;
    let mut warnings = source.notes().to_vec();
    if let Some(point) = &source.facts().point {
        checks::same_database(context, &session, point, options, &mut warnings).await?;
    }
    let place = source.facts().place.clone();
    let mut wanted: Vec<Known> = find(&options.wanted, &source.known(), &place)?;
    let below = source.below(&wanted);
    wanted.retain(|one| !below.contains(one));
    let tables = source.tables(&wanted)?;
    checks::rights(&session).await?;
    let facts = source.facts();
    let stored: u64 = tables.iter().map(|table| table.recorded().1).sum();
    let mut recovery = Recovery {
        plan: RecoverPlan {
            from: facts.from.clone(),
            point: facts.point.clone(),
            into: options.into.redacted(),
            mode: options.mode,
            triggers: options.triggers,
            dry_run: options.dry_run,
            side_schema: None,
            tables: tables.iter().map(change_of).collect(),
            fetched_bytes: source.fetched_bytes() + stored,
            archive_bytes: facts.archive_bytes,
            warnings,
        },
        side: None,
        session,
        options: options.clone(),
        encoding: facts.encoding.clone(),
        changes: Vec::new(),
        places: Vec::new(),
        again: None,
        as_text: false,
        keys: Vec::new(),
        worked: began.elapsed(),
    };
    let unread = options.dry_run && options.mode == RecoverMode::Side;
    let work = async {
        match unread {
            true => recovery.try_out(context, source.facts(), &tables).await,
            false => recovery.fetch_and_count(context, &source, &tables).await,
        }
    };
    let work = Box::pin(async {
        tokio::select! {
            biased;
            () = context.cancel.cancelled() => Err(Error::Interrupted),
            worked = work => worked,
        }
    });
    let worked = held(context, facts.point.as_ref().filter(|_| !unread), work).await;
    source.close().await;
    recovery.worked = began.elapsed();
    let names: Vec<String> = tables.iter().map(Recovered::name).collect();
    let worked = worked.map_err(|error| told(error, &names.join(", "), options));
    if matches!(worked, Err(Error::Interrupted)) {
        transaction::cancel(&recovery.session).await;
    }
    match (worked, &recovery.side) {
        (Ok(()), _) => Ok(recovery),
        (Err(error), Some(side)) => Err(side.removed_after(error).await),
        (Err(error), None) => Err(error),
    }
}

/// Does what reads a source while the restore point that it is, if it is one, is held.
pub(super) async fn held<T>(
    context: &Context,
    point: Option<&PointId>,
    work: impl Future<Output = Result<T, Error>> + Unpin,
) -> Result<T, Error> {
    let Some(point) = point else { return work.await };
    match reading::held(context, point, work).await {
        Err(failure) => Err(reading::or_dropped(context, point, failure).await),
        worked => worked,
    }
}

fn change_of(table: &Recovered) -> TableChange {
    let (rows, stored_bytes, _) = table.recorded();
    TableChange { table: table.name(), recorded_rows: rows, stored_bytes, found_rows: rows, ..TableChange::default() }
}

impl Recovery {
    async fn fetch_and_count(&mut self, context: &Context, source: &Source, tables: &[Recovered]) -> Result<(), Error> {
        let options = self.options.clone();
        let bytes: u64 = tables.iter().map(|table| table.recorded().2).sum();
        let bytes = Some(bytes).filter(|bytes| *bytes > 0);
        context.progress.phase(Phase::FetchingTables, bytes);
        let tail = tail(self.plan.point.as_ref());
        let at = (context.clock)();
        let facts = source.facts();
        let side = SideSchema::make(&self.session, facts, tables, &options, &tail, at).await?;
        self.plan.side_schema = Some(side.name.clone());
        let side = self.side.insert(side).clone();
        if !side.unlogged_for.is_empty() {
            self.plan.warnings.push(format!(
                "the side tables are unlogged, so a crash of the server empties them: publication {} would send them",
                side.unlogged_for.join(", ")
            ));
        }
        for (nth, table) in self.plan.tables.iter_mut().enumerate() {
            table.side = Some(side.quoted(nth));
        }
        let proofs = match self.load(context, source, &side, tables).await {
            Err(error) if is_refused_value(&error) => {
                // A type does not take values any more that it had. As text they are the same bytes.
                side.empty_as_text(&self.session).await?;
                self.as_text = true;
                let note = "some values do not fit the types of now: columns of such types were loaded as text";
                self.plan.warnings.push(note.to_owned());
                self.load(context, source, &side, tables).await?
            }
            loaded => loaded?,
        };
        for (entry, proof) in self.plan.tables.iter_mut().zip(&proofs) {
            entry.recorded_rows = proof.digest.rows;
            entry.found_rows = proof.digest.rows;
        }
        if let (Some(condition), Some(table)) = (&options.condition, tables.first()) {
            side.select(&self.session, 0, table, condition).await?;
            let sql = format!("SELECT count(*) FROM {}", side.quoted(0));
            let found: i64 = self.session.query_one("counting rows", &sql, &[]).await?.get(0);
            if let Some(entry) = self.plan.tables.first_mut() {
                entry.found_rows = found.unsigned_abs();
            }
        }
        if options.mode == RecoverMode::Side || options.keep_side {
            self.plan.warnings.extend(side.index(&self.session, facts, tables, &proofs).await);
        }
        self.count(context, source, &side, tables, &proofs).await
    }

    /// Makes the side tables without rows, and asks the server whether it knows the condition.
    async fn try_out(&mut self, context: &Context, facts: &Facts, tables: &[Recovered]) -> Result<(), Error> {
        let options = self.options.clone();
        let tail = tail(self.plan.point.as_ref());
        let side = SideSchema::make(&self.session, facts, tables, &options, &tail, (context.clock)()).await?;
        let side = self.side.insert(side).clone();
        match (&options.condition, tables.first()) {
            (Some(condition), Some(table)) => side.select(&self.session, 0, table, condition).await,
            _ => Ok(()),
        }
    }

    /// Loads the side tables and compares what lies there with what was read.
    async fn load(
        &mut self,
        context: &Context,
        source: &Source,
        side: &SideSchema,
        tables: &[Recovered],
    ) -> Result<Vec<Proof>, Error> {
        let (bytes, proofs) = source.load(context, side, tables, self.options.jobs).await?;
        self.plan.fetched_bytes = source.fetched_bytes() + bytes;
        context.progress.phase(Phase::MatchingTables, None);
        side.prove(context, &self.session, source.facts(), tables, &proofs, self.options.jobs).await?;
        Ok(proofs)
    }
}

/// Whether the server refused a value, or took it for another: types are not what they were.
fn is_refused_value(error: &Error) -> bool {
    let of_server = match error {
        Error::Engine(holdpoint_engine::Error::Postgres(error)) | Error::Postgres(error) => Some(error),
        Error::Recover(RecoverError::SideDiffers { .. }) => return true,
        _ => None,
    };
    of_server.and_then(|error| error.sqlstate()).is_some_and(|state| state.starts_with("22") || state.starts_with("23"))
}
