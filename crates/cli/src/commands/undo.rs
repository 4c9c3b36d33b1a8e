//! `holdpoint undo`, and the same at the end of a guarded run that failed.

use std::io::Write as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use holdpoint::exit_code;
use holdpoint_core::selector::RunSelector;
use holdpoint_core::undoing::Way;
use holdpoint_guard::Error;
use holdpoint_guard::runs::this_process;
use holdpoint_guard::undo::{Scripts, UndoEnd, UndoOptions, UndoQuestion, undo};
use holdpoint_operations::backup::BackupLimits;

use super::{confirm, guard, printed, rds, runs};
use crate::arguments::{Jobs, ProjectArguments, UndoArguments};
use crate::failure::Failure;
use crate::invocation::{Invocation, whole};
use crate::output;
use crate::settings::passing_on;

/// As long as a restore's change of live tables waits for them.
const LOCK_WAIT_SECONDS: u64 = 10;

pub(super) async fn run(invocation: &Invocation, arguments: &UndoArguments) -> Result<u8, Failure> {
    const WHAT: &str = "the database would be changed back";
    let wanted = Wanted {
        run: arguments.run.clone(),
        way: arguments.way.map(crate::arguments::WayBackFlag::way),
        accept_data_loss_since: arguments.accept_data_loss_since,
        scripts: if arguments.accept_changed_rollback { Scripts::Changed } else { Scripts::AsRecorded },
        compare_limit: Some(arguments.compare_limit),
        jobs: arguments.jobs.and_then(Jobs::number),
    };
    let mut options = options(invocation, &arguments.project, wanted)?;
    options.instance = match rds::instance(invocation).await {
        // Other ways need nothing of RDS.
        Err(_) if options.way.is_some_and(|way| way != Way::Rds) => None,
        instance => instance?,
    };
    options.dry_run = arguments.dry_run;
    options.unfinished = arguments.unfinished_script.map(crate::arguments::UnfinishedScript::unfinished);
    if !arguments.yes && !arguments.dry_run {
        let (own, progress) = (invocation.output.clone(), Arc::clone(&invocation.progress));
        let somebody = confirm::somebody_is_there(invocation, false, WHAT).is_ok();
        options.question = Some(UndoQuestion(Arc::new(move |plan| {
            progress.rest();
            own.aside(&output::undo_plan(plan));
            somebody && confirm::answered(WHAT)
        })));
    }
    let context = invocation.context(false).await?;
    invocation.output.keep_for_the_document().map_err(keeping)?;
    let flags = || guard::project_flags(&arguments.project);
    let failed = |error| match error {
        Error::NotConfirmed => confirm::needed(WHAT),
        error => Failure::Undo { error: Box::new(error), flags: flags() },
    };
    let report = undo(&context, &options).await.map_err(failed)?;
    printed(invocation.output.report(&report, output::undo))?;
    Ok(match report.end() {
        UndoEnd::Done => exit_code::DONE,
        UndoEnd::NotAsBefore => exit_code::APPLIED_IN_PART,
        UndoEnd::Interrupted => {
            tell(invocation, report.failure.as_deref());
            exit_code::INTERRUPTED
        }
        UndoEnd::Failed => {
            tell(invocation, report.failure.as_deref());
            exit_code::WAY_BACK_FAILED
        }
    })
}

/// What is asked of an undo.
pub(super) struct Wanted {
    pub(super) run: RunSelector,
    pub(super) way: Option<Way>,
    pub(super) accept_data_loss_since: Option<DateTime<Utc>>,
    pub(super) scripts: Scripts,
    pub(super) compare_limit: Option<u64>,
    pub(super) jobs: Option<usize>,
}

/// Reads flags and file.
pub(super) fn options(
    invocation: &Invocation,
    project: &ProjectArguments,
    wanted: Wanted,
) -> Result<UndoOptions, Failure> {
    let settings = &invocation.settings;
    let repository = settings.repository()?;
    let jobs = settings.jobs(wanted.jobs);
    let codec = "gzip".parse().map_err(|_| Failure::Internal("no gzip".to_owned()))?;
    let mut backup = whole(codec, (jobs, BackupLimits::default()));
    backup.retain_until = invocation.retain_until();
    let folder = settings.project(project)?;
    Ok(UndoOptions {
        run: wanted.run,
        way: wanted.way,
        dry_run: false,
        accept_data_loss_since: wanted.accept_data_loss_since,
        scripts: wanted.scripts,
        unfinished: None,
        question: None,
        place: runs::place(invocation, project)?,
        instance: None,
        live: settings.migrating()?.settings,
        backup,
        environment: settings.child_environment(!repository.url.is_local()),
        folder,
        temporary: settings.scratch_directory(),
        jobs,
        compare_up_to: wanted.compare_limit,
        lock_wait_seconds: LOCK_WAIT_SECONDS,
        operator: guard::operator(invocation),
        process: this_process(),
        mask: runs::mask(invocation),
        tee: Some(passing_on()),
    })
}

pub(super) fn keeping(source: std::io::Error) -> Failure {
    Failure::Io { what: "keeping stdout for the report".to_owned(), source }
}

/// The report has it; who reads stderr alone is told too.
fn tell(invocation: &Invocation, failure: Option<&str>) {
    let Some(failure) = failure.filter(|_| !invocation.output.json) else { return };
    if writeln!(std::io::stderr().lock(), "error: the undo failed: {failure}").is_err() {
        tracing::debug!("stderr takes nothing");
    }
}
