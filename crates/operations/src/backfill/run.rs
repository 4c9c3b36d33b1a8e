//! A backfill from its beginning, or from where an earlier one stopped, to its report.

use std::time::Duration;

use holdpoint_core::progress::Phase;
use holdpoint_core::quantity::count;
use holdpoint_postgres::{Session, SessionPurpose};
use tokio::time::Instant;

use super::lock::alone;
use super::plan::Prepared;
use super::state::Progressed;
use super::walk::{Walk, first_batch};
use super::{BackfillOptions, BackfillReport};
use crate::{Clock, Error, Source};

/// Who is told, when to stop, and what the time is.
#[derive(Clone)]
pub struct BackfillContext {
    /// Whom to tell about progress.
    pub progress: std::sync::Arc<dyn holdpoint_core::progress::Progress>,
    /// Cancelled when the work shall end: the batch under way is rolled back.
    pub cancel: tokio_util::sync::CancellationToken,
    /// The clock of this machine.
    pub clock: Clock,
}

/// Fills the table.
///
/// Every batch is a transaction of its own. What was committed stays, whatever happens, and is recorded in the file that
/// the report names; an end before the end of the table leaves that file for `resume`.
///
/// # Errors
/// [`BackfillError`](super::BackfillError); [`Error::Interrupted`]; those of PostgreSQL.
pub async fn backfill(
    source: &Source,
    options: &BackfillOptions,
    context: &BackfillContext,
) -> Result<BackfillReport, Error> {
    let began = Instant::now();
    context.progress.phase(Phase::Preflight, None);
    let prepared = Prepared::make(source, options).await?;
    alone(&prepared).await?;
    let monitor = Session::connect(&source.settings, &SessionPurpose::new("holdpoint watch")).await?;
    let (state, resumed) = match prepared.earlier(options)? {
        Some(mut earlier) => {
            if let Some(renamed) = prepared.file.under_another_name(&prepared.what)? {
                prepared.file.replaces(&renamed)?;
            }
            earlier.what.table.clone_from(&prepared.what.table);
            if earlier.what.key_columns.is_none() {
                earlier.what.key_columns.clone_from(&prepared.what.key_columns);
            }
            (earlier, true)
        }
        None => {
            let end = prepared.end().await?.unwrap_or_default();
            (Progressed::begin(prepared.what.clone(), end, (context.clock)()), false)
        }
    };
    // From here on a file is there until the end, so that one that is gone means that somebody else came to the end.
    prepared.file.write(&state)?;
    let mut walk = Walk {
        source,
        options,
        context,
        prepared,
        monitor,
        written: state.clone(),
        is_alone: true,
        rows: first_batch(state.rows, options.batch_rows),
        state,
        retries: 0,
        waited_for_lag: Duration::ZERO,
    };
    walk.settle().await?;
    let resumed = resumed.then(|| walk.state.resumed());
    // An empty table has no end, and nothing to fill.
    let finished = walk.state.end.is_empty() || walk.walk_on(began).await?;
    let state_file = if finished {
        walk.prepared.file.demand_unchanged(&walk.written)?;
        walk.prepared.file.remove()?;
        None
    } else {
        walk.write_down()?;
        Some(walk.prepared.file.path().to_owned())
    };
    let mut warnings = walk.prepared.warnings.clone();
    let left = walk.state.walked.saturating_sub(walk.state.updated);
    if options.condition.is_none() && left > 0 {
        warnings.push(format!(
            "of the rows that were walked over, {} were not changed, although there is no --where: a trigger that returns NULL, a \
             rule DO INSTEAD NOTHING, or others that deleted rows meanwhile",
            count(left)
        ));
    }
    let report = BackfillReport {
        table: walk.prepared.subject.name.clone(),
        columns: walk.prepared.columns.clone(),
        finished,
        rows_updated: walk.state.updated,
        rows_walked: walk.state.walked,
        batches: walk.state.batches,
        retries: walk.retries,
        took_ms: milliseconds(began.elapsed()),
        waited_for_lag_ms: milliseconds(walk.waited_for_lag),
        resumed,
        state_file,
        warnings,
    };
    walk.monitor.close().await;
    walk.prepared.session.close().await;
    Ok(report)
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
