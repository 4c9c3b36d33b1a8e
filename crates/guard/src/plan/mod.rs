//! What a migration will do: the truly pending migrations, the review of their SQL, what the policy asks for.
//!
//! Three steps, so that what is wrong with the project is told before anything is contacted: [`Project::open`] finds the
//! tool and reads its files, [`Facts::read`] asks the database (or [`Facts::from_json`] reads what was exported from it),
//! and [`plan`] compares and reviews. Nothing is written anywhere.

mod facts;
mod markdown;
mod pending_command;
mod project;
mod report;
mod sql;

use holdpoint_review::{ReviewOptions, RiskPolicy, Waiver, assess, review, review_against};
use tokio_util::sync::CancellationToken;

pub use facts::Facts;
pub use markdown::markdown;
pub use pending_command::PendingCommand;
pub use project::Project;
pub use report::{Known, KnownFrom, PlanReport, Told, Verdict};

use crate::tools::{Error, Pending, Tool, Tracking, applied_through, listed};

/// How a plan is made.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// The command that prints what is pending, instead of files and tracking table.
    pub pending_command: Option<PendingCommand>,
    /// For a folder without a tool: the last file that the database has, or `none`.
    pub applied_through: Option<String>,
    /// What is asked for each class of risk.
    pub policy: RiskPolicy,
    /// Risks that somebody takes, with the reason.
    pub waivers: Vec<Waiver>,
}

/// Makes a plan; without `facts` everything counts as pending and no cascade is known.
///
/// # Errors
/// When the command for pending migrations fails, a name means no file, or the facts are another project's.
pub async fn plan(
    project: &Project,
    facts: Option<&Facts>,
    from: KnownFrom,
    options: &PlanOptions,
    cancel: &CancellationToken,
) -> Result<PlanReport, Error> {
    if let Some(facts) = facts {
        facts.fit(project)?;
    }
    let pending = pending(project, facts, options, cancel).await?;
    let files = sql::files(&project.found.tool, &pending);
    let (review, catalog) = match facts {
        Some(facts) => (review_against(&files, &ReviewOptions::default(), &facts.catalog), true),
        None => (report::unresolved(review(&files, &ReviewOptions::default())), false),
    };
    let assessment = assess(&review.review, &options.policy, &options.waivers);
    let known = Known::new(from, facts, catalog);
    Ok(PlanReport::new(project, known, pending, review, assessment, &options.waivers))
}

async fn pending(
    project: &Project,
    facts: Option<&Facts>,
    options: &PlanOptions,
    cancel: &CancellationToken,
) -> Result<Pending, Error> {
    let Project { found, files } = project;
    if let Some(command) = &options.pending_command {
        let printed = command.run(&found.project, cancel).await?;
        return listed(&printed, &found.project, files);
    }
    let said = match (&options.applied_through, &found.tool) {
        (Some(name), Tool::PlainSql) => Some(applied_through(files, name)?),
        (Some(_), tool) => return Err(Error::OwnTable { tool: tool.name() }),
        (None, _) => None,
    };
    let nothing = Tracking::Absent { others: false };
    let tracking = said.as_ref().or_else(|| facts.map(|facts| &facts.tracking)).unwrap_or(&nothing);
    Ok(Pending::of(found, files, tracking))
}
