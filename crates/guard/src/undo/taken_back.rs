//! An undo by another RDS instance that `rds cut-over --back` takes back: the ledger says so.
//!
//! The database is then as the run left it, with all that was written until the undo. What ran on the instance that went out
//! of service is not in it.

use chrono::{DateTime, Utc};
use holdpoint_core::ledger::{RunState, RunStep, newest};
use holdpoint_core::undoing::{Afresh, Applied, Settlement, TakenBack, Way};
use holdpoint_operations::Context;
use holdpoint_operations::rds::RunTakenBack;

use super::admission;
use super::rds::{CUT_OVER, name};
use crate::{Error, runs};

/// What became of guarded runs by a way back of a cut-over.
#[derive(Clone, Debug, Default)]
pub struct LedgerFollows {
    /// One entry a run whose newest step says something else now.
    pub runs: Vec<RunTakenBack>,
    /// What is left to do.
    pub open: Vec<String>,
}

/// Writes into the ledger that the undo by the instance `apart` was taken back, which had the name `source`: the run stands
/// again where it stood before the undo, and younger runs on that instance are settled, as nothing of theirs is in the
/// database any more. Does nothing where `apart` is no undo's, or that is written already.
///
/// # Errors
/// Those of the repository: called again it goes on.
pub async fn taken_back(
    context: &Context,
    source: &str,
    apart: &str,
    operator: Option<String>,
) -> Result<LedgerFollows, Error> {
    let mut follows = LedgerFollows::default();
    let all = context.repository.runs(&context.database).await?;
    let Some(run) = all.iter().find(|run| name(source, run.as_str()).eq_ignore_ascii_case(apart)) else {
        return Ok(follows);
    };
    let steps = context.repository.steps(&context.database, run).await?;
    let Some(found) = Found::of(&steps) else { return Ok(follows) };
    if let Some(lives) = runs::process_of(found.newest) {
        follows.open.push(format!(
            "the undo of run {run} is at work ({lives}): once it has ended, see holdpoint show run:{run}"
        ));
        return Ok(follows);
    }
    let back = TakenBack { run: run.clone(), instance: apart.to_owned() };
    // The younger ones first: whoever is killed in between finds the run undone, and does it again.
    for other in all.iter().filter(|other| *other > run) {
        let steps = context.repository.steps(&context.database, other).await?;
        let Some(step) = newest(&steps).filter(|_| found.went_along(&steps)) else { continue };
        if matches!(step.state, RunState::Running | RunState::Undoing) {
            follows.open.push(format!(
                "run {other} was at work on {apart}, and what it did is not in {source}: once nothing of it lives, holdpoint \
                 settle {other} --reason 'it ran on {apart}'"
            ));
            continue;
        }
        let settled = settled(step, &back, (context.clock)(), operator.clone());
        context.repository.record_step(&context.database, &settled).await?;
        let told =
            format!("ran on the instance that is {apart} again: nothing of it is in {source}, and it is settled");
        follows.runs.push(RunTakenBack { database: context.database.to_string(), run: other.clone(), told });
    }
    let step = found.stands_again(&back, source, (context.clock)(), operator);
    context.repository.record_step(&context.database, &step).await?;
    let told = format!("is not undone any more: it stands as {} again", step.state.word());
    follows.runs.push(RunTakenBack { database: context.database.to_string(), run: run.clone(), told });
    Ok(follows)
}

/// A run whose newest step is of an undo by another instance.
struct Found<'a> {
    newest: &'a RunStep,
    /// The last one before that undo.
    before: &'a RunStep,
    /// When its instance came into the place of the live one.
    since: DateTime<Utc>,
}

impl<'a> Found<'a> {
    fn of(steps: &'a [RunStep]) -> Option<Self> {
        let by_rds = |step: &RunStep| step.undo.as_ref().is_some_and(|undo| undo.way == Way::Rds);
        let newest = newest(steps).filter(|step| by_rds(step))?;
        let before = steps.iter().filter(|step| !by_rds(step)).max_by_key(|step| step.n)?;
        let is_cut_over =
            |step: &RunStep| step.undo.as_ref().is_some_and(|undo| undo.done.iter().any(|done| done == CUT_OVER));
        let since = steps.iter().filter(|step| step.n > before.n && is_cut_over(step)).map(|step| step.at).min();
        Some(Self { newest, before, since: since.unwrap_or(newest.at) })
    }

    /// Whether a younger run ran on the instance, and may have left something there. Each restore begins a timeline of its own:
    /// one on the timeline of the source ran there.
    fn went_along(&self, steps: &[RunStep]) -> bool {
        let Some(first) = steps.iter().min_by_key(|step| step.n) else { return false };
        let on_source = first.identity.timeline.is_some() && first.identity.timeline == self.before.identity.timeline;
        admission::may_have_changed(steps)
            && first.at >= self.since
            && !on_source
            && newest(steps).is_none_or(|step| step.taken_back.is_none())
    }

    /// The run's next step: as it stood before the undo.
    fn stands_again(&self, back: &TakenBack, source: &str, at: DateTime<Utc>, operator: Option<String>) -> RunStep {
        let remark = format!(
            "its undo was taken back by holdpoint rds cut-over --back: {source} is as before the undo, and what served meanwhile \
             is {}",
            back.instance
        );
        RunStep {
            n: self.newest.n + 1,
            at,
            operator,
            hooks: self.newest.hooks.clone(),
            taken_back: Some(back.clone()),
            remarks: vec![remark],
            ..self.before.clone()
        }
    }
}

/// A younger run's next step: nothing of it is in the database.
fn settled(step: &RunStep, back: &TakenBack, at: DateTime<Utc>, operator: Option<String>) -> RunStep {
    let reason = format!("it ran on {}, which holdpoint rds cut-over --back took out of service", back.instance);
    let found =
        Afresh { applied: Applied::Unchanged, still_pending: None, schema_changes: None, not_known: Vec::new() };
    let settlement = Settlement { reason: reason.clone(), operator: operator.clone(), found };
    RunStep {
        n: step.n + 1,
        state: RunState::Settled,
        at,
        operator,
        taken_back: Some(back.clone()),
        remarks: vec![format!("settled: {reason}")],
        settlement: Some(settlement),
        ..step.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(run: &str, n: u32, state: &str, way: Option<&str>, timeline: u32) -> RunStep {
        let at: DateTime<Utc> = format!("2026-11-21T02:43:{n:02}Z").parse().unwrap();
        serde_json::from_value(serde_json::json!({
            "format": 1, "run": run, "n": n, "state": state, "at": at,
            "identity": { "system_identifier": "7", "database_oid": 5, "database": "shop", "timeline": timeline,
                          "endpoint": "db:5432", "resource_id": null },
            "command": ["x"], "point": null, "wal_position": null, "instant": null, "exit_code": 0, "signal": null,
            "operator": null,
            "undo": way.map(|way| serde_json::json!({ "way": way, "point": null, "done": [CUT_OVER] })),
        }))
        .unwrap()
    }

    #[test]
    fn the_run_stands_again_where_it_stood_and_what_ran_since_went_along() {
        const RUN: &str = "20261121T024300Z-k3f9";
        const YOUNGER: &str = "20261121T024310Z-k3f9";
        let mut steps = vec![
            step(RUN, 1, "running", None, 1),
            step(RUN, 2, "failed", None, 1),
            step(RUN, 3, "undo_failed", Some("rollback"), 1),
        ];
        assert!(Found::of(&steps).is_none(), "by another way");
        steps.extend([step(RUN, 4, "undoing", Some("rds"), 1), step(RUN, 5, "undone", Some("rds"), 1)]);
        let found = Found::of(&steps).unwrap();
        let back = TakenBack { run: RUN.parse().unwrap(), instance: "shop-undo".to_owned() };
        let again = found.stands_again(&back, "shop", steps[4].at, None);
        assert_eq!((again.n, again.state, again.taken_back.as_ref()), (6, RunState::UndoFailed, Some(&back)));
        assert_eq!(again.undo.as_ref().map(|undo| undo.way), Some(Way::Rollback), "as far as that one was");

        let ran = |n: u32, timeline| {
            [step(YOUNGER, n, "running", None, timeline), step(YOUNGER, n + 1, "succeeded", None, timeline)]
        };
        assert!(found.went_along(&ran(6, 2)));
        assert!(!found.went_along(&ran(6, 1)), "it ran on the source");
        assert!(!found.went_along(&ran(3, 2)), "it ran before the undo");
        let settled = settled(&ran(6, 2)[1], &back, steps[4].at, None);
        assert_eq!((settled.n, settled.state), (8, RunState::Settled));
        assert_eq!(settled.settlement.map(|settlement| settlement.found.applied), Some(Applied::Unchanged));

        steps.push(again);
        assert!(Found::of(&steps).is_none(), "it is written already");
    }
}
