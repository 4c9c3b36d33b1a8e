//! What the ledger says of guarded runs, and what the server says of those that did not end.
//!
//! A run whose newest step is `running` or `undoing` may be at work, or was killed. It is at work as long as a session
//! on the server carries its token, or holds the run lock in its name, or its process lives on this machine; else it is
//! *interrupted*, and how much of it is there is judged afresh. Of a process on another machine nothing can be told.

mod afresh;
mod alive;
mod owed;
mod report;
mod settle;

use std::time::Duration;

use holdpoint_core::RunId;
use holdpoint_core::ledger::{HookState, HooksRecord, RunState, RunStep, newest};
use holdpoint_core::selector::RunSelector;
use holdpoint_operations::{Context, Source};
use holdpoint_postgres::ConnectionSettings;
use holdpoint_repository::{Steps, UnreadableStep};

pub use alive::{Standing, this_process};
pub use owed::owed;
pub use report::{PreparedRun, RunReport, RunSummary, RunsReport};
pub use settle::{SettleOptions, SettleReport, settle};

use crate::Error;
use crate::plan::Project;
pub(crate) use afresh::{CHANGED, Look, pending};
pub(crate) use alive::{Alive, group_of, not_told_from_here, process_of, recorded};

/// How long the server may take to say what lives on it.
const ASK_WITHIN: Duration = Duration::from_secs(20);

/// Where it is looked what became of a run.
#[derive(Clone, Debug)]
pub struct Place {
    /// The database by the URL that backups use.
    pub source: Source,
    /// The project, and how migrations connect; `None` where no project was found.
    pub project: Option<(Project, ConnectionSettings)>,
}

/// Lists the runs of a database, the newest first; `most` of them.
///
/// Without a `place`, or where it cannot be reached, it is not known which runs are at work.
///
/// # Errors
/// Those of the repository.
pub async fn runs(context: &Context, place: Option<&Place>, most: usize) -> Result<RunsReport, Error> {
    let mut all = context.repository.runs(&context.database).await?;
    all.reverse();
    let count = all.len();
    let mut report = RunsReport { database: context.database.clone(), runs: Vec::new(), more: 0, warnings: Vec::new() };
    let mut alive = None;
    // A newer run that switched it off did so for all before it.
    let mut over = false;
    for run in all.into_iter().take(most) {
        let found = context.repository.readable_steps(&context.database, &run).await?;
        report.warnings.extend(found.unreadable.iter().map(UnreadableStep::words));
        if let Some(hidden) = found.hidden_end() {
            report.runs.extend(without_end(&found.read, hidden));
            continue;
        }
        let steps = found.read;
        let Some(step) = newest(&steps) else { continue };
        let standing = standing(step, place, &mut alive, &mut report.warnings).await;
        let found = match (standing, place) {
            (Standing::Interrupted | Standing::InterruptedInUndo, Some(place)) => {
                Some(Look { context, place }.at(&steps).await)
            }
            _ => None,
        };
        let mut summary = RunSummary::new(&steps, step, standing, found);
        summary.owed.take_if(|_| over);
        report.runs.push(summary);
        over |= step.hooks.as_ref().is_some_and(HooksRecord::is_over);
    }
    report.more = count.saturating_sub(most);
    Ok(report)
}

/// A run whose newest step cannot be read, as far as the others and that one's key tell; `None` where there are none.
fn without_end(read: &[RunStep], hidden: &UnreadableStep) -> Option<RunSummary> {
    let step = taken_at_its_key(read, hidden)?;
    let summary = RunSummary::new(read, &step, Standing::Unreadable, None);
    Some(RunSummary { verdict: None, owed: None, unsettled: hidden.may_be_unsettled(), ..summary })
}

/// What is known of the step that cannot be read: what the one before it knew, and where its key says that the run stands.
/// An unknown state counts as one in which the run may be at work.
fn taken_at_its_key(read: &[RunStep], hidden: &UnreadableStep) -> Option<RunStep> {
    let state = hidden.state.unwrap_or(RunState::Running);
    newest(read).map(|step| RunStep { n: hidden.n, state, ..step.clone() })
}

/// Tells everything about a run, as far as its steps can be read.
///
/// # Errors
/// [`Error::NoSuchRun`], and those of the repository; also where no step of it can be read.
pub async fn run(context: &Context, place: Option<&Place>, selector: &RunSelector) -> Result<RunReport, Error> {
    let found = readable(context, selector).await?;
    let mut warnings: Vec<String> = found.unreadable.iter().map(UnreadableStep::words).collect();
    if let Some(summary) = found.hidden_end().and_then(|hidden| without_end(&found.read, hidden)) {
        return Ok(RunReport { summary, steps: found.read, warnings });
    }
    let steps = found.read;
    let Some(step) = newest(&steps) else { return Err(no_such_run(context, selector)) };
    let standing = standing(step, place, &mut None, &mut warnings).await;
    let found = match (standing.needs_a_look(), place) {
        (true, Some(place)) => Some(Look { context, place }.at(&steps).await),
        _ => None,
    };
    let summary = RunSummary::new(&steps, step, standing, found);
    Ok(RunReport { summary, steps, warnings })
}

/// Lists the prepared runs on which a guarded run could still rely, the newest first.
///
/// # Errors
/// Those of the repository.
pub async fn prepared(context: &Context, most: usize) -> Result<Vec<PreparedRun>, Error> {
    let now = (context.clock)();
    let mut found = Vec::new();
    for run in context.repository.runs(&context.database).await?.into_iter().rev().take(most) {
        let steps = context.repository.readable_steps(&context.database, &run).await?;
        let Some(step) = steps.newest().filter(|step| step.state == RunState::Prepared) else { continue };
        if let Some(prepared) = step.prepared.filter(|prepared| prepared.until > now) {
            found.push(PreparedRun { run, command: step.command.clone(), until: prepared.until });
        }
    }
    Ok(found)
}

/// The steps of the run that is meant, in order; never empty.
///
/// # Errors
/// [`Error::NoSuchRun`], and those of the repository; also where one of them cannot be read.
pub(crate) async fn steps(context: &Context, selector: &RunSelector) -> Result<Vec<RunStep>, Error> {
    let run = meant(context, selector).await?;
    let steps = context.repository.steps(&context.database, &run).await?;
    if steps.is_empty() { Err(no_such_run(context, selector)) } else { Ok(steps) }
}

/// The steps of the run that is meant, as far as they can be read; one at least can.
async fn readable(context: &Context, selector: &RunSelector) -> Result<Steps, Error> {
    let run = meant(context, selector).await?;
    let found = context.repository.readable_steps(&context.database, &run).await?;
    if found.read.is_empty() {
        // The first that cannot be read is told.
        context.repository.steps(&context.database, &run).await?;
        return Err(no_such_run(context, selector));
    }
    Ok(found)
}

async fn meant(context: &Context, selector: &RunSelector) -> Result<RunId, Error> {
    match selector {
        RunSelector::Id(run) => Ok(run.clone()),
        RunSelector::Latest => latest(context).await?.ok_or_else(|| no_such_run(context, selector)),
    }
}

/// The newest run whose command was started; without one the newest.
async fn latest(context: &Context) -> Result<Option<RunId>, Error> {
    let all = context.repository.runs(&context.database).await?;
    for run in all.iter().rev() {
        let steps = context.repository.readable_steps(&context.database, run).await?;
        if steps.may_have_been(0, &[RunState::Running]) {
            return Ok(Some(run.clone()));
        }
    }
    Ok(all.last().cloned())
}

fn no_such_run(context: &Context, selector: &RunSelector) -> Error {
    let run = match selector {
        RunSelector::Id(run) => Some(run.to_string()),
        RunSelector::Latest => None,
    };
    Error::NoSuchRun { run, database: context.database.to_string() }
}

/// How a run stands: as its newest step says, and for one that did not end as the server says.
async fn standing(
    step: &RunStep,
    place: Option<&Place>,
    alive: &mut Option<Result<Alive, ()>>,
    warnings: &mut Vec<String>,
) -> Standing {
    let lives = alive::lives_before_its_command(step);
    if lives == Some(false) {
        return Standing::InterruptedBeforeItsCommand;
    }
    // Of a process on another machine its lock tells, which it has from what it runs before its command on.
    let began = |hooks: &HooksRecord| hooks.before.as_ref().is_some_and(|before| before.state == HookState::Began);
    let asks = lives.is_none() && alive::is_before_its_command(step) && step.hooks.as_ref().is_some_and(began);
    if !asks && !matches!(step.state, RunState::Running | RunState::Undoing) {
        return Standing::of(step.state, None);
    }
    if process_of(step).or_else(|| group_of(step)).is_some() {
        return Standing::of(step.state, Some(true));
    }
    if alive.is_none() {
        let asked = match place {
            None => Err("no connection is configured".to_owned()),
            Some(place) => match tokio::time::timeout(ASK_WITHIN, Alive::read(&place.source)).await {
                Ok(Ok(found)) => Ok(found),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("the server did not answer within {} s", ASK_WITHIN.as_secs())),
            },
        };
        *alive = Some(asked.map_err(|why| {
            warnings.push(format!("which runs are at work is not known: {why}"));
        }));
    }
    match alive {
        Some(Ok(alive)) if asks && alive.of(step).is_none() => Standing::InterruptedBeforeItsCommand,
        Some(Ok(alive)) => Standing::of(step.state, Some(alive.of(step).is_some())),
        _ => Standing::of(step.state, None),
    }
}
