//! `holdpoint rehearse`.

use std::io::Write as _;
use std::sync::Arc;

use holdpoint_core::rehearsal::{Rehearsal, RehearsalOutcome};
use holdpoint_core::verification::{Level, Verification};
use holdpoint_core::{Mask, PointId};
use holdpoint_guard::plan::{KnownFrom, PlanReport, Project, Verdict, plan};
use holdpoint_guard::rehearse::{Listener, Network, RehearseOptions, refuse_early, rehearse};
use holdpoint_guard::tools;
use holdpoint_operations::selection;
use holdpoint_operations::verify::verify_and_keep;
use serde::Serialize;

use super::plan::{asked, connection, failed};
use super::{printed, verify};
use crate::arguments::{ProgressForm, RehearsalArguments, RehearseArguments};
use crate::failure::Failure;
use crate::invocation::{self, Invocation};
use crate::output;
use holdpoint::exit_code;

/// What `rehearse` found.
#[derive(Debug, Serialize)]
pub(crate) struct RehearseReport {
    /// What the plan came to; `None` without a migration tool.
    pub(crate) verdict: Option<Verdict>,
    /// The names of what is pending.
    pub(crate) pending: Vec<String>,
    /// The restore point.
    pub(crate) point: Option<PointId>,
    /// The verification of the copy.
    pub(crate) verification: Option<Verification>,
    /// The rehearsal; `None` where nothing is pending, or the copy was not proved.
    pub(crate) rehearsal: Option<Rehearsal>,
}

pub(super) async fn run(invocation: &Invocation, arguments: &RehearseArguments) -> Result<u8, Failure> {
    let planned = planned(invocation, arguments).await?;
    let mut report = RehearseReport {
        verdict: planned.as_ref().map(|(_, plan)| plan.verdict),
        pending: planned.iter().flat_map(|(_, plan)| plan.pending.iter().map(|one| one.name.clone())).collect(),
        point: None,
        verification: None,
        rehearsal: None,
    };
    if planned.as_ref().is_some_and(|(_, plan)| plan.pending.is_empty() && plan.runs.is_empty()) {
        printed(invocation.output.report(&report, output::rehearse))?;
        return Ok(exit_code::DONE);
    }
    let options = options(invocation, &arguments.command, &arguments.how, arguments.jobs)?;
    let proof = invocation.verify_options(&invocation::Verification {
        level: Level::Full,
        scratch_url: arguments.scratch_url.as_deref(),
        replace_missing_locale: arguments.replace_missing_locale,
        jobs: arguments.jobs,
        sample: None,
        restore_as: None,
    })?;
    let source = invocation.source()?;
    let project = planned.as_ref().map(|(project, _)| project);
    refuse_early(project, &source, &options).await?;
    let context = invocation.context(false).await?;
    let point = selection::resolve(&context, &arguments.from).await?;
    invocation.sweep().await;
    let kept = verify_and_keep(&context, &point, &proof).await?;
    let verdict = kept.report.verification.verdict;
    report.point = Some(point);
    report.verification = Some(kept.report.verification);
    let Some(mut copy) = kept.copy else {
        printed(invocation.output.report(&report, output::rehearse))?;
        return Ok(verify::code(verdict));
    };
    let pending = planned.as_ref().map_or(&[][..], |(_, plan)| &plan.pending);
    let rehearsed = rehearse(&context, &source, &mut copy, project, pending, &options).await;
    let closed = copy.close().await;
    let rehearsal = rehearsed?;
    closed?;
    let code = code(&rehearsal);
    report.rehearsal = Some(rehearsal);
    if let Err(failure) = printed(invocation.output.report(&report, output::rehearse)) {
        // What was found still decides, whoever reads of it.
        invocation.output.unprinted(&failure.told(&Mask::default(), false));
    }
    Ok(code)
}

/// The project and its plan; `None` where there is no migration tool and none was named.
async fn planned(
    invocation: &Invocation,
    arguments: &RehearseArguments,
) -> Result<Option<(Project, PlanReport)>, Failure> {
    let settings = &invocation.settings;
    let choice = settings.choice(&arguments.project);
    let project = match Project::open(&settings.project(&arguments.project)?, &choice) {
        Err(tools::Error::NoTool { .. }) => {
            tracing::warn!("no migration tool was found: what should be recorded is not known");
            return Ok(None);
        }
        opened => opened.map_err(failed)?,
    };
    let facts = asked(invocation, &project).await?;
    let options = settings.plan_options(&arguments.project, &arguments.waivers);
    let report = plan(&project, Some(&facts), KnownFrom::Database, &options, &invocation.cancel).await;
    Ok(Some((project, report.map_err(failed)?)))
}

/// How a command is rehearsed, as flags and file say.
pub(super) fn options(
    invocation: &Invocation,
    command: &[String],
    how: &RehearsalArguments,
    jobs: Option<usize>,
) -> Result<RehearseOptions, Failure> {
    let settings = &invocation.settings;
    let folder = std::env::current_dir()
        .map_err(|source| Failure::Io { what: "finding the working directory".to_owned(), source })?;
    let on_s3 = !settings.repository()?.url.is_local();
    Ok(RehearseOptions {
        command: command.to_vec(),
        environment: settings.child_environment(on_s3),
        folder,
        production: connection(invocation)?.settings,
        also_production: settings.every_connection(),
        network: network(how.shared_network)?,
        time_limit: how.time_limit(),
        rollback: !how.no_rollback,
        compare_up_to_bytes: how.compare_up_to,
        temporary: settings.scratch_directory(),
        jobs: settings.jobs(jobs),
        mask: Mask::new([crate::secrets::known(&settings.variables), settings.passwords()].concat()),
        listener: listener(invocation),
    })
}

/// Shows what the command prints: among the notes, and beside a JSON document on stderr, as a guarded command's.
fn listener(invocation: &Invocation) -> Listener {
    let progress = Arc::clone(&invocation.progress);
    let beside = invocation.output.json && invocation.settings.common.progress == ProgressForm::Auto;
    let quiet = invocation.settings.common.quiet;
    Arc::new(move |line: &str| {
        if !beside {
            progress.note(&format!("| {line}"));
        } else if !quiet && let Err(error) = writeln!(std::io::stderr().lock(), "| {line}") {
            tracing::debug!(%error, "stderr takes nothing");
        }
    })
}

/// The verb by which this program is its own rehearsal cell.
const CELL: &str = "rehearsal-cell";

fn network(shared: bool) -> Result<Network, Failure> {
    if shared {
        return Ok(Network::Shared);
    }
    let executable = std::env::current_exe()
        .map_err(|source| Failure::Io { what: "finding this program itself".to_owned(), source })?;
    Ok(Network::Own { executable, verb: vec![CELL.to_owned()] })
}

/// What the command did on the copy decides.
fn code(rehearsal: &Rehearsal) -> u8 {
    match rehearsal.outcome {
        RehearsalOutcome::AsPlanned => exit_code::DONE,
        RehearsalOutcome::NotAsPlanned => exit_code::APPLIED_IN_PART,
        RehearsalOutcome::Failed | RehearsalOutcome::TimedOut => exit_code::COMMAND_FAILED,
        RehearsalOutcome::Escaped => exit_code::WAY_BACK_FAILED,
    }
}
