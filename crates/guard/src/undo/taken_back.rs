//! An undo by another RDS instance that `rds cut-over --back` takes back: the ledger says so.
//!
//! The database is then as the run left it, with all that was written until the undo. What ran on the instance that went out
//! of service is not in it.

use chrono::{DateTime, Utc};
use holdpoint_core::RunId;
use holdpoint_core::ledger::{RunState, RunStep, newest};
use holdpoint_core::undoing::{Afresh, Applied, Settlement, TakenBack, Way};
use holdpoint_operations::Context;
use holdpoint_operations::rds::RunTakenBack;
use holdpoint_postgres::error::line;

use super::admission;
use super::rds::cut_over::CUT_OVER;
use super::rds::names::name;
use crate::{Error, runs};

/// What became of guarded runs by a way back of a cut-over.
#[derive(Clone, Debug, Default)]
pub struct LedgerFollows {
    /// One entry a run whose newest step says something else now.
    pub runs: Vec<RunTakenBack>,
    /// What is left to do.
    pub open: Vec<String>,
    /// Whether the ledger does not say yet that the undo was taken back: the same way back records it once it can be.
    pub is_owed: bool,
}

/// The run that an instance was made to undo, by the name that it was made with; `source` is the name that the run's live
/// instance had.
#[must_use]
pub fn undoes(source: &str, made_as: &str) -> Option<RunId> {
    let (_, run) = made_as.rsplit_once("-undo-")?;
    let (at, rest) = run.split_once('-')?;
    let run: RunId = format!("{}-{}", at.to_ascii_uppercase(), rest.to_ascii_lowercase()).parse().ok()?;
    name(source, run.as_str()).eq_ignore_ascii_case(made_as).then_some(run)
}

/// Looks, before the instance `apart` goes out of service again, which had the name `source`, whether its undo is at work;
/// what the way back will not be able to record, in words. Of an instance that is no undo's it says nothing.
///
/// # Errors
/// [`Error::StillAtWork`]: nothing was renamed.
pub async fn before_taken_back(folders: &[&Context], source: &str, apart: &str) -> Result<Vec<String>, Error> {
    let Some(run) = undoes(source, apart) else { return Ok(Vec::new()) };
    let mut told = Vec::new();
    for context in folders {
        match context.repository.steps(&context.database, &run).await {
            Ok(steps) => {
                let Some(step) = newest(&steps) else { continue };
                if let Some(what) = runs::process_of(step) {
                    return Err(Error::StillAtWork { run: run.to_string(), what });
                }
                return Ok(runs::not_told_from_here(step).into_iter().collect());
            }
            Err(error) => told.push(format!("whether the undo of run {run} is at work is not known: {}", line(&error))),
        }
    }
    told.push(owed(&run, apart, "no folder that is at hand has that run"));
    Ok(told)
}

/// Writes into the ledger that the undo by the instance `apart` was taken back, which had the name `source`: the run stands
/// again where it stood before the undo, and younger runs on that instance are settled, as nothing of theirs is in the
/// database any more. `folders` are those of all databases of the instance. Does nothing where `apart` is no undo's, or that is
/// written already; what could not be written is owed, and called again it goes on.
pub async fn taken_back(folders: &[&Context], source: &str, apart: &str, operator: Option<String>) -> LedgerFollows {
    let mut follows = LedgerFollows::default();
    let Some(run) = undoes(source, apart) else { return follows };
    let back = TakenBack { run, instance: apart.to_owned() };
    if let Err(why) = record(folders, source, &back, operator, &mut follows).await {
        follows.is_owed = true;
        follows.open.push(owed(&back.run, apart, &why));
    }
    follows
}

/// What is left to do where the ledger could not be told.
fn owed(run: &RunId, apart: &str, why: &str) -> String {
    format!(
        "the ledger does not say that the undo of run {run} is taken back ({why}); where its folder is at hand, this records it: \
         holdpoint rds cut-over {apart} --back"
    )
}

/// As [`taken_back`]; why it could not be recorded.
async fn record(
    folders: &[&Context],
    source: &str,
    back: &TakenBack,
    operator: Option<String>,
    follows: &mut LedgerFollows,
) -> Result<(), String> {
    let TakenBack { run, instance: apart } = back;
    let mut of_run = None;
    for context in folders {
        let steps = context.repository.steps(&context.database, run).await.map_err(|error| line(&error))?;
        if !steps.is_empty() {
            of_run = Some((context, steps));
            break;
        }
    }
    let Some((home, steps)) = of_run else { return Err("no folder that is at hand has that run".to_owned()) };
    let Some(found) = Found::of(&steps) else { return Ok(()) };
    if let Some(lives) = runs::process_of(found.newest) {
        return Err(format!("it is at work, {lives}"));
    }
    // The younger ones first: whoever is killed in between finds the run undone, and does it again.
    for context in folders {
        let all = context.repository.runs(&context.database).await.map_err(|error| line(&error))?;
        for other in all.iter().filter(|other| *other > run) {
            let steps = context.repository.steps(&context.database, other).await.map_err(|error| line(&error))?;
            let Some(step) = newest(&steps).filter(|_| found.went_along(&steps)) else { continue };
            let database = context.database.to_string();
            if matches!(step.state, RunState::Running | RunState::Undoing) {
                follows.open.push(format!(
                    "run {other} was at work on {apart}, and what it did is not in {source}: once nothing of it lives, holdpoint \
                     settle {other} --database {database} --reason 'it ran on {apart}'"
                ));
                continue;
            }
            let settled = settled(step, back, (context.clock)(), operator.clone());
            context.repository.record_step(&context.database, &settled).await.map_err(|error| line(&error))?;
            let told =
                format!("ran on the instance that is {apart} again: nothing of it is in {source}, and it is settled");
            follows.runs.push(RunTakenBack { database, run: other.clone(), told });
        }
    }
    let step = found.stands_again(back, source, (home.clock)(), operator);
    home.repository.record_step(&home.database, &step).await.map_err(|error| line(&error))?;
    let told = format!("is not undone any more: it stands as {} again", step.state.word());
    follows.runs.push(RunTakenBack { database: home.database.to_string(), run: run.clone(), told });
    Ok(())
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
    fn an_instance_tells_by_its_name_which_run_it_undoes() {
        let run: RunId = "20261121T024300Z-k3f9".parse().unwrap();
        for source in ["shop", "shop-prod", &"a".repeat(63), "old-undo-shop"] {
            assert_eq!(undoes(source, &name(source, run.as_str())), Some(run.clone()), "{source}");
        }
        for other in
            ["shop-undo", "shop-undo-it", "cart-undo-20261121t024300z-k3f9", "shop-before-undo-20261121t024300z-k3f9"]
        {
            assert_eq!(undoes("shop", other), None, "{other}");
        }
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
