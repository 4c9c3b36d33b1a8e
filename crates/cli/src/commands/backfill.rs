//! `holdpoint backfill`.

use std::sync::Arc;

use holdpoint::exit_code;
use holdpoint_operations::Source;
use holdpoint_operations::backfill::{BackfillContext, BackfillOptions, backfill, plan};

use super::printed;
use crate::arguments::BackfillArguments;
use crate::failure::Failure;
use crate::invocation::{Invocation, now};
use crate::output;
use crate::settings::Purpose;

/// The folder, in the working directory, for what a project keeps on this machine.
const FOLDER: &str = ".holdpoint";

pub(super) async fn run(invocation: &Invocation, arguments: &BackfillArguments) -> Result<u8, Failure> {
    let source = Source {
        settings: invocation.settings.connection(Purpose::Direct)?.settings,
        programs: invocation.settings.programs()?,
        client_major: None,
    };
    let options = BackfillOptions {
        table: arguments.table.clone(),
        set: arguments.set.clone(),
        condition: arguments.condition.clone(),
        key: arguments.key.clone().map(|columns| columns.0),
        batch_rows: arguments.batch,
        batch_time: arguments.batch_time,
        pause: arguments.pause,
        max_lag: arguments.max_lag,
        max_blocked: arguments.max_blocked,
        lock_wait: arguments.lock_wait,
        max_runtime: arguments.max_runtime,
        resume: arguments.resume,
        directory: arguments.state.clone().unwrap_or_else(|| FOLDER.into()),
    };
    if arguments.dry_run {
        let plan = plan(&source, &options, &invocation.progress).await?;
        printed(invocation.output.report(&plan, output::backfill_plan))?;
        return Ok(exit_code::DONE);
    }
    let context = BackfillContext {
        progress: Arc::clone(&invocation.progress),
        cancel: invocation.cancel.clone(),
        clock: Arc::new(now),
    };
    let report = backfill(&source, &options, &context).await?;
    printed(invocation.output.report(&report, output::backfill))?;
    Ok(if report.finished { exit_code::DONE } else { exit_code::COULD_NOT_RUN })
}
