//! What the scripts that a recovery runs may take of tables that were there: others may have written there meanwhile.

use holdpoint_core::ledger::RunStep;
use holdpoint_core::rehearsal::RollbackEffect;
use holdpoint_core::undoing::{Loss, RollbackScript, ScriptsTake, Way, WayBack};

use super::rollback::RollingBack;
use super::work::Work;
use crate::plan::{Project, RollbackReview};
use crate::tools::{Pending, Tracking};
use crate::ways_back::{UNKNOWN, scripts_take, taken_by};

/// The tables, by name, that were there before the run and of which what undoes its migrations may take or change rows; none
/// where nothing is left to run.
pub(super) fn taken_by_scripts(work: &Work<'_>, rollback: &RollingBack) -> Vec<String> {
    if rollback.to_run.is_empty() {
        return Vec::new();
    }
    let changed = work.options.place.project.as_ref().filter(|_| !as_recorded(&work.step, &rollback.to_run));
    if let Some((project, _)) = changed {
        return taken_by(&scripts_take(&read_now(project, rollback)), None);
    }
    let ways = work.steps.iter().rev().find(|step| !step.ways_back.is_empty());
    let scripts = work.step.risk.as_ref().and_then(|risk| risk.scripts_take.as_ref());
    of_record(scripts, trial_of(&work.step), ways.map_or(&[], |step| &step.ways_back))
}

/// What would be lost, in words.
pub(super) fn lost(tables: &[String]) -> Vec<String> {
    let words = |table: &String| {
        let table = if table == UNKNOWN { "tables, nobody knows which" } else { table };
        format!("what others wrote into {table}, as far as the scripts take or change rows there,")
    };
    tables.iter().map(words).collect()
}

/// Whether the scripts are those that the run recorded.
fn as_recorded(step: &RunStep, scripts: &[RollbackScript]) -> bool {
    let recorded = step.plan.as_ref().and_then(|plan| plan.rollbacks.as_deref());
    recorded.is_some_and(|recorded| scripts.iter().all(|one| recorded.iter().any(|other| one.is_as(other))))
}

/// Reviews scripts that were changed since, after the run's migrations. The catalog of before is not there any more, so they
/// count by what their statements say.
fn read_now(project: &Project, rollback: &RollingBack) -> RollbackReview {
    let all = Pending::of(&project.found, &project.files, &Tracking::Absent { others: false });
    RollbackReview::of(project, &Pending { migrations: rollback.migrations.clone(), ..all }, None)
}

/// The trial of the scripts that the run recorded: one of others says nothing of them.
pub(super) fn trial_of(step: &RunStep) -> Option<&RollbackEffect> {
    let recorded = step.plan.as_ref()?.rollbacks.as_ref()?;
    let tried = step.rehearsal.as_ref()?.rollback.as_ref()?;
    Some(tried).filter(|tried| tried.failure.is_none() && tried.scripts == *recorded)
}

/// What the run recorded of its own scripts: by their review, and by the trial of them.
fn of_record(scripts: Option<&ScriptsTake>, tried: Option<&RollbackEffect>, ways: &[WayBack]) -> Vec<String> {
    match scripts {
        Some(scripts) => taken_by(scripts, tried),
        // An older version kept what a rollback loses, and not of which tables.
        None => {
            let own = ways.iter().find(|one| one.way == Way::Rollback);
            let nothing = own.and_then(|own| own.loss).is_some_and(Loss::is_nothing);
            taken_by(&ScriptsTake { anything: !nothing, tables: Vec::new() }, tried)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn the_review_and_a_trial_of_the_same_scripts_say_of_which_tables() {
        let names = |anything, tables: &[&str], took_from: Option<&[&str]>| {
            let tried = took_from
                .map(|took_from| RollbackEffect { took_from: Some(list(took_from)), ..RollbackEffect::default() });
            of_record(Some(&ScriptsTake { anything, tables: list(tables) }), tried.as_ref(), &[])
        };
        assert_eq!(names(false, &["shop.events"], None), ["shop.events"]);
        assert_eq!(names(false, &["shop.events"], Some(&["shop.tags"])), ["shop.events", "shop.tags"]);
        assert_eq!(names(true, &[], None), [UNKNOWN]);
        assert_eq!(names(true, &[], Some(&[])), [""; 0], "a program that took nothing");
        assert_eq!(names(false, &[], None), [""; 0]);
    }

    #[test]
    fn a_record_of_an_older_version_counts_by_what_its_rollback_loses() {
        let way = |loss: &str| -> WayBack {
            serde_json::from_value(serde_json::json!({ "way": "rollback", "title": "", "command": "", "seconds": null,
                "time_from": null, "data_lost": "", "loss": loss }))
            .unwrap()
        };
        assert_eq!(of_record(None, None, &[way("nothing")]), [""; 0]);
        assert_eq!(of_record(None, None, &[way("of_tables_at_risk")]), [UNKNOWN]);
        assert_eq!(of_record(None, None, &[]), [UNKNOWN]);
    }

    #[test]
    fn a_trial_of_other_scripts_does_not_count() {
        let script = |sha256: &str| RollbackScript {
            migration: "1.sql".into(),
            path: "down/1.sql".into(),
            sha256: sha256.into(),
            included: None,
        };
        let mut step: RunStep = serde_json::from_value(serde_json::json!({
            "format": 1, "run": "20261121T024300Z-k3f9", "n": 5, "state": "succeeded", "at": "2026-11-21T02:43:00Z",
            "identity": { "system_identifier": "7", "database_oid": 5, "database": "shop", "timeline": 1,
                          "endpoint": "db:5432", "resource_id": null },
            "command": ["x"], "point": null, "wal_position": null, "instant": null, "exit_code": 1, "signal": null,
            "operator": null, "plan": { "tool": "plain SQL", "pending": [] }
        }))
        .unwrap();
        assert!(!as_recorded(&step, &[script("a")]), "an older version recorded none");
        step.plan.as_mut().unwrap().rollbacks = Some(vec![script("a"), script("c")]);
        assert!(as_recorded(&step, &[script("a")]), "the other one is done");
        assert!(!as_recorded(&step, &[script("b")]));
        assert!(trial_of(&step).is_none(), "nobody tried them");
    }

    #[test]
    fn what_would_be_lost_is_told_with_its_table() {
        let told = lost(&["shop.events".to_owned(), UNKNOWN.to_owned()]);
        assert_eq!(told[0], "what others wrote into shop.events, as far as the scripts take or change rows there,");
        assert!(told[1].contains("nobody knows which"), "{told:?}");
    }
}
