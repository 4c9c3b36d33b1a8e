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
pub(crate) mod rollback;
pub(crate) mod sql;

use holdpoint_review::{
    Catalog, ObjectName, ResolvedReview, ReviewOptions, RiskClass, RiskPolicy, TableAtRisk, Through, Waiver, assess,
    review, review_against,
};
use tokio_util::sync::CancellationToken;

pub use facts::Facts;
pub(crate) use facts::{catalog, of_ledger, tracking};
pub use markdown::markdown;
pub use pending_command::PendingCommand;
pub use project::Project;
pub use report::{Known, KnownFrom, PlanReport, Told, Verdict};
pub use rollback::RollbackReview;
pub(crate) use sql::plain_files;

use crate::tools::{Error, Finding, Pending, Tool, Tracking, applied_through, listed};

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
    let mut pending = pending(project, facts.map(|facts| &facts.tracking), options, cancel).await?;
    // A person who says what is applied knows better than the ledger.
    if let (Some(facts), None) = (facts, &options.applied_through) {
        let changed =
            facts.schema_changed_since.as_ref().map(|run| Finding::SchemaChangedSince { run: run.to_string() });
        let in_part = facts.applied_in_part_by.as_ref().map(|run| Finding::AppliedInPart { run: run.to_string() });
        let without = facts
            .without_evidence
            .iter()
            .map(|(run, migration)| Finding::WithoutEvidence { migration: migration.clone(), run: run.to_string() });
        pending.findings.extend(changed.into_iter().chain(in_part).chain(without));
        pending.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity()));
    }
    let files = sql::files(&project.found.tool, &pending);
    let (review, catalog) = match facts {
        Some(facts) => (review_against(&files, &ReviewOptions::default(), &facts.catalog), true),
        None => (report::unresolved(review(&files, &ReviewOptions::default())), false),
    };
    let known_catalog = facts.map(|facts| &facts.catalog);
    let (counting, void) = counting(&review, &options.waivers, known_catalog);
    let assessment = assess(&review.review, &options.policy, &counting, known_catalog);
    let known = Known::new(from, facts, catalog);
    let rollback = RollbackReview::of(project, &pending, known_catalog);
    let mut report = PlanReport { rollback, ..PlanReport::new(project, known, pending, review, assessment, &counting) };
    report.unused_waivers.extend(void);
    Ok(report)
}

/// A waiver for the data of one object does not count where data are reached through it that no waiver names, as by
/// CASCADE: who wrote it did not mean those. Partitions and columns are parts of the object.
fn counting(review: &ResolvedReview, waivers: &[Waiver], catalog: Option<&Catalog>) -> (Vec<Waiver>, Vec<Waiver>) {
    let named = |table: &ObjectName| {
        let mut objects = waivers.iter().filter_map(|waiver| waiver.object.as_deref());
        objects.any(|object| match catalog {
            Some(catalog) => catalog.named(object) == Some(table),
            None => ObjectName::typed(object).as_ref() == Some(table),
        })
    };
    let beyond = |table: &TableAtRisk| {
        let part = matches!(table.through, None | Some(Through::Parent(_) | Through::Column(_)));
        !part && !named(&table.table)
    };
    let reaches = review.tables.iter().any(beyond);
    let of_data = |waiver: &Waiver| matches!(waiver.rule, RiskClass::DestroysData | RiskClass::ChangesData);
    waivers.iter().cloned().partition(|waiver| !(reaches && waiver.object.is_some() && of_data(waiver)))
}

/// Lists what is pending, and reviews nothing; without `tracking` everything counts as pending.
///
/// # Errors
/// As [`plan`].
pub(crate) async fn pending(
    project: &Project,
    tracking: Option<&Tracking>,
    options: &PlanOptions,
    cancel: &CancellationToken,
) -> Result<Pending, Error> {
    let Project { found, files, .. } = project;
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
    let tracking = said.as_ref().or(tracking).unwrap_or(&nothing);
    Ok(Pending::of(found, files, tracking))
}
