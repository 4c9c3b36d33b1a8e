//! The whole database as it was: restored beside, matched, and swapped for the live one, which is kept.

use holdpoint_core::ledger::RunState;
use holdpoint_core::quantity::listed;
use holdpoint_core::selector::Selector;
use holdpoint_core::undoing::Way;
use holdpoint_operations::restore::swap::{self, SwapOptions, SwapPlan, SwapReport, WrittenSince};
use holdpoint_operations::run_lock::RunLock;
use holdpoint_postgres::{Session, SessionPurpose, identity};
use holdpoint_review::{RenamedTable, ReviewOptions, review};

use super::lost::{Differences, Done};
use super::migrations::{no_way, of_run};
use super::record::Record;
use super::work::Work;
use crate::Error;
use crate::plan::sql::file;
use crate::tools::{Migration, Pending, TableName, Tracking};

/// How many tables a refusal names.
const NAMED: usize = 5;
/// The step as the ledger names it.
const SWAPPED: &str = "the restored database is in the live one's place";

/// A swap that nothing stands against.
pub(super) struct Restoring {
    options: SwapOptions,
    plan: SwapPlan,
    pub(super) written_since: Option<WrittenSince>,
    /// Tables that the run dropped.
    dropped: Vec<String>,
    warnings: Vec<String>,
}

impl Restoring {
    /// Looks at what stands in the way, and at what would be lost.
    ///
    /// # Errors
    /// [`Error::NoSuchWay`] with every obstacle; [`Error::DataLossNotAccepted`] where something was written since and
    /// nobody said that it may be lost.
    pub(super) async fn plan(work: &Work<'_>) -> Result<Self, Error> {
        let own = &work.options;
        let options = SwapOptions {
            from: Selector::Id(work.point.clone()),
            live: own.live.clone(),
            source: Some(own.place.source.settings.clone()),
            programs: own.place.source.programs.clone(),
            jobs: own.jobs,
            compare_up_to: own.compare_up_to.or(Some(u64::MAX)),
            held_by: work.held_by,
        };
        if work.step.state == RunState::Undoing && is_swapped(work).await? {
            return Err(Error::CannotUndo {
                run: work.run.to_string(),
                why: "its undo swapped the databases, and was killed before it could say so".to_owned(),
                advice: format!(
                    "let the folder follow the database: holdpoint leftovers --remove; look at it: holdpoint compare \
                     before:{0}; then: holdpoint settle {0} --reason TEXT",
                    work.run
                ),
                first: Vec::new(),
            });
        }
        let plan = swap::plan(work.context, &options).await?;
        if !plan.obstacles.is_empty() {
            let why = plan.obstacles.iter().map(|one| one.reason.as_str()).collect::<Vec<_>>().join("; ");
            return Err(no_way(work, "restore", why));
        }
        let written_since = swap::written_since(work.context, &options, &plan).await?;
        let Differences { lost, dropped } = differences(work, written_since.as_ref());
        let accepted = own.accept_data_loss_since.is_some_and(|since| since <= plan.snapshot_at);
        let mut warnings = plan.warnings.clone();
        if !lost.is_empty() && !accepted {
            if !own.dry_run {
                return Err(Error::DataLossNotAccepted {
                    run: work.run.to_string(),
                    way: Way::Restore,
                    since: plan.snapshot_at,
                    accepted: own.accept_data_loss_since,
                    lost: listed(&lost, NAMED),
                });
            }
            warnings.push(format!("--accept-data-loss-since is needed: {} would be lost", lost.join(", ")));
        }
        Ok(Self { options, plan, written_since, dropped, warnings })
    }

    pub(super) fn words(&self) -> Vec<String> {
        let mut words = vec![
            format!("restore {} beside {} and match its fingerprint", self.plan.point, self.plan.live),
            format!(
                "end {} sessions and exchange the two; the live one is kept as {}",
                self.plan.sessions, self.plan.keep_as
            ),
        ];
        if !self.dropped.is_empty() {
            words.push(format!("that brings back what the run dropped: {}", listed(&self.dropped, NAMED)));
        }
        words
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// Under the run lock: nothing else would be lost than was shown, whatever was accepted.
    ///
    /// What is written while the copy is made is told once the two are exchanged.
    pub(super) async fn as_shown(&self, work: &Work<'_>) -> Result<(), Error> {
        let now = swap::written_since(work.context, &self.options, &self.plan).await?;
        let shown = differences(work, self.written_since.as_ref()).lost;
        let more = more(&shown, differences(work, now.as_ref()).lost);
        if more.is_empty() {
            return Ok(());
        }
        let more = listed(&more, NAMED);
        Err(Error::CannotUndo {
            run: work.run.to_string(),
            why: format!("more would be lost than was shown: {more}"),
            advice: format!("nothing was changed; look again: holdpoint undo {} --way restore --dry-run", work.run),
            first: Vec::new(),
        })
    }

    /// Restores beside and exchanges, all under the run lock `held`.
    pub(super) async fn go(
        &self,
        work: &Work<'_>,
        record: &mut Record<'_>,
        held: RunLock,
    ) -> Result<SwapReport, Error> {
        let looked_at = differences(work, self.written_since.as_ref()).lost;
        let beside = swap::restore_beside(work.context, &self.options, &self.plan, Some(held));
        let beside = Box::pin(beside).await?;
        match record.exchanges(beside.copy_oid()).await {
            Ok(()) => {}
            Err(Error::Repository(failure)) => return Err(beside.abandon(failure.into()).await.into()),
            Err(failure) => return Err(failure),
        }
        let report = Box::pin(beside.exchange()).await?;
        record.done(SWAPPED).await?;
        let proof = &mut record.undo.proof;
        proof.push(format!("the restored copy matched the fingerprint of {} before the swap", self.plan.point));
        proof.push(format!("the database before is kept as {}, closed and whole", report.kept_as));
        record.undo.not_as_before.extend(report.warnings.iter().cloned());
        let lost = differences(work, report.written_since.as_ref()).lost;
        // Whoever accepted a loss accepted what was shown.
        let lost = more(&looked_at, lost);
        if !lost.is_empty() {
            record.undo.not_as_before.push(format!(
                "written after the look and before the exchange, and now in {} alone: {}; holdpoint restore --swap-in {} \
                 puts it back",
                report.kept_as,
                listed(&lost, NAMED),
                report.kept_as
            ));
        }
        Ok(report)
    }
}

/// Whether the undo that broke off exchanged the databases: it said so, or the live one has the OID of its copy.
async fn is_swapped(work: &Work<'_>) -> Result<bool, Error> {
    let Some(undo) = &work.step.undo else { return Ok(false) };
    if undo.done.iter().any(|one| one == SWAPPED) {
        return Ok(true);
    }
    let Some(copy) = undo.copy_oid else { return Ok(false) };
    let session = Session::connect(&work.options.live, &SessionPurpose::new("holdpoint undo")).await?;
    let read = identity::read(&session).await;
    session.close().await;
    Ok(read?.identity.database_oid == copy)
}

/// The tool's own table, whose rows change with every run.
fn tracking<'a>(work: &'a Work<'_>) -> Option<&'a TableName> {
    let (project, _) = work.options.place.project.as_ref()?;
    project.found.table.as_ref()
}

/// What of the losses was not shown.
fn more(shown: &[String], lost: Vec<String>) -> Vec<String> {
    lost.into_iter().filter(|one| !shown.contains(one)).collect()
}

/// What differs from the run's restore point, told apart by what the run did.
fn differences(work: &Work<'_>, written: Option<&WrittenSince>) -> Differences {
    Done::of(&work.steps, &work.step, renamed_tables(work)).differences(written, tracking(work))
}

/// The tables that the review of the run's migrations says to get another name, with that.
fn renamed_tables(work: &Work<'_>) -> Vec<RenamedTable> {
    let Ok((project, plan)) = of_run(work, "restore") else { return Vec::new() };
    let all = Pending::of(&project.found, &project.files, &Tracking::Absent { others: false }).migrations;
    let own =
        |one: &&Migration| plan.pending.iter().any(|record| record.path == one.path && record.sha256 == one.sha256);
    let files: Vec<_> = all.iter().filter(own).map(|one| file(&project.found.tool, one)).collect();
    review(&files, &ReviewOptions { advice: false, ..ReviewOptions::default() }).renamed_tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_rows_of_what_was_shown_are_no_other_loss() {
        let names = |names: &[&str]| names.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let shown = names(&["shop.orders"]);
        assert_eq!(more(&shown, names(&["shop.orders"])), [""; 0]);
        assert_eq!(more(&shown, names(&["shop.orders", "2 large objects"])), ["2 large objects"]);
    }
}
