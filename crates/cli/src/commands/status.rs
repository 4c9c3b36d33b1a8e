//! `holdpoint status`.

use std::time::Duration;

use holdpoint::exit_code;
use holdpoint_guard::runs::{self, PreparedRun, RunSummary, Standing};
use holdpoint_operations::leftovers::leftovers as find_leftovers;
use holdpoint_operations::status::{StatusReport, status};
use serde::Serialize;

use super::{leftovers, printed, rds};
use crate::arguments::ProjectArguments;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;

/// How many runs, the newest, are looked at.
const LOOKED_AT: usize = 50;
/// How long looking for leftovers may take: a screen is waited for.
const LOOK_WITHIN: Duration = Duration::from_secs(15);

/// One screen.
#[derive(Debug, Serialize)]
pub(crate) struct Screen {
    /// Restore points and what is wrong.
    #[serde(flatten)]
    pub(crate) report: StatusReport,
    /// Runs that nobody has settled, and how they stand.
    pub(crate) unsettled_runs: Vec<RunSummary>,
    /// Prepared runs that are valid.
    pub(crate) prepared: Vec<PreparedRun>,
    /// How many things holdpoint made and did not remove; `None` where they could not be looked for.
    pub(crate) leftovers: Option<usize>,
    /// Whether some place could not be looked at, where more may be.
    pub(crate) unseen: bool,
}

pub(super) async fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let context = invocation.context(false).await?;
    let mut report = status(&context).await?;
    let place = super::runs::place(invocation, &ProjectArguments::default()).ok();
    let listed = runs::runs(&context, place.as_ref(), LOOKED_AT).await?;
    // What cannot be read was told by both.
    let more: Vec<String> = listed.warnings.into_iter().filter(|one| !report.warnings.contains(one)).collect();
    report.warnings.extend(more);
    report.warnings.extend(listed.runs.iter().filter_map(|run| run.owed.clone()));
    for step in &report.unsettled {
        // Older ones than were looked at are told by their newest step.
        let standing = listed.runs.iter().find(|run| run.run == step.run).map(|run| run.standing);
        let told = match standing {
            Some(Standing::Running | Standing::Undoing) => continue,
            Some(standing) => standing.words(),
            None => step.state.word(),
        };
        report.warnings.push(format!("run {} is {told}: nobody has settled it", step.run));
    }
    let mut options = leftovers::options(invocation, false, Duration::ZERO, None);
    let found = tokio::time::timeout(LOOK_WITHIN, async {
        let unseen = match Box::pin(rds::instance(invocation)).await {
            Ok(instance) => {
                options.instance = instance;
                false
            }
            Err(_) => true,
        };
        let found = find_leftovers(&context, &options).await?;
        Ok::<_, holdpoint_operations::Error>((found.leftovers.len(), unseen || !found.unseen.is_empty()))
    });
    let found = found.await.ok().and_then(Result::ok);
    let screen = Screen {
        unsettled_runs: listed.runs.into_iter().filter(|run| run.unsettled).collect(),
        prepared: runs::prepared(&context, LOOKED_AT).await?,
        leftovers: found.map(|(count, _)| count),
        unseen: found.is_none_or(|(_, unseen)| unseen),
        report,
    };
    printed(invocation.output.report(&screen, output::status))?;
    Ok(exit_code::DONE)
}
