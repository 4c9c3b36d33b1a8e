//! Whether a run may be undone at all: a rule over the ledger alone.

use holdpoint_core::RunId;
use holdpoint_core::ledger::{RunState, RunStep, newest};
use holdpoint_core::undoing::Applied;
use holdpoint_operations::selection::snapshot_way;

use crate::Error;
use crate::runs::CHANGED;

/// A run with its steps.
pub(super) type Run = (RunId, Vec<RunStep>);

/// Refuses a run that left nothing, is undone or settled, or on which younger ones stand.
///
/// `younger` are the runs after it. One that was settled does not stand in the way where it is known what it left.
pub(super) fn check(run: &RunId, steps: &[RunStep], younger: &[Run]) -> Result<(), Error> {
    let cannot = |why: String, advice: &str| {
        Err(Error::CannotUndo { run: run.to_string(), why, advice: advice.to_owned(), first: Vec::new() })
    };
    let Some(step) = newest(steps) else { return cannot("it has no record".to_owned(), "see: holdpoint runs") };
    match step.state {
        RunState::Undone => {
            return cannot("it is undone already".to_owned(), &format!("see how: holdpoint show run:{run}"));
        }
        RunState::Settled => {
            let how = step.settlement.as_ref().map(|settled| format!(": {}", settled.reason)).unwrap_or_default();
            let advice =
                format!("whoever settled it declared it done; a restore is still there: {}", whole(run, steps));
            return cannot(format!("it is settled{how}"), &advice);
        }
        RunState::RolledBack => {
            return cannot("its command failed and left nothing".to_owned(), "there is nothing to undo");
        }
        RunState::Started | RunState::Proven | RunState::Rehearsed | RunState::Prepared | RunState::Refused => {
            return cannot("its command never ran".to_owned(), "there is nothing to undo");
        }
        RunState::Running | RunState::Succeeded | RunState::Failed | RunState::Undoing | RunState::UndoFailed => {}
    }
    if !may_have_changed(steps) {
        return cannot("it left the database unchanged".to_owned(), "there is nothing to undo");
    }
    if step.point.is_none() {
        return cannot(
            "it relied on no restore point, as nothing was pending".to_owned(),
            "undo it by hand, then settle it",
        );
    }
    let mut standing: Vec<&Run> = younger
        .iter()
        .filter(|(_, steps)| may_have_changed(steps) && settled_as(steps).is_none_or(|found| found == Applied::Unknown))
        .collect();
    if !standing.is_empty() {
        standing.sort_by(|(one, _), (other, _)| other.cmp(one));
        let (settled, open): (Vec<&Run>, Vec<&Run>) =
            standing.iter().copied().partition(|(_, steps)| settled_as(steps).is_some());
        let first: Vec<String> = standing.iter().map(|(run, _)| run.to_string()).collect();
        let why = format!("younger runs changed the database since: {}", first.join(", "));
        let undo = open.iter().map(|(run, _)| format!("holdpoint undo {run}")).collect::<Vec<_>>().join("; ");
        let mut advice = Vec::new();
        if !undo.is_empty() {
            advice.push(format!("undo them first: {undo}"));
        }
        if let Some((other, _)) = settled.first() {
            // Who settled it took it as it was, and nobody can tell what that is: only all of it goes back.
            advice.push(format!(
                "{other} is settled, and what it left was not known: go back past it with {}",
                whole(run, steps)
            ));
        }
        return Err(Error::CannotUndo { run: run.to_string(), why, advice: advice.join("; "), first });
    }
    Ok(())
}

/// The command that restores all of a run's restore point beside the live database: an archive, or a snapshot of the instance.
fn whole(run: &RunId, steps: &[RunStep]) -> String {
    snapshot_way(steps).map_or_else(|| format!("holdpoint restore --from before:{run}"), str::to_owned)
}

/// Refuses where a run or those after it are not as they were when the way was shown.
pub(super) fn same(shown: (&RunId, &[RunStep], &[Run]), now: (&[RunStep], &[Run])) -> Result<(), Error> {
    let (run, steps, younger) = shown;
    let at = |steps: &[RunStep]| newest(steps).map(|step| step.n);
    let other = |all: &[Run], one: &Run| !all.iter().any(|(run, steps)| *run == one.0 && at(steps) == at(&one.1));
    let changed = now.1.iter().find(|one| other(younger, one)).or_else(|| younger.iter().find(|one| other(now.1, one)));
    let what = match changed {
        Some((other, _)) => format!("run {other} went on after this was looked at"),
        None if at(steps) != at(now.0) => "somebody else worked on it after this was looked at".to_owned(),
        None => return Ok(()),
    };
    let advice = format!("nothing was changed; look again: holdpoint undo {run} --dry-run");
    Err(Error::CannotUndo { run: run.to_string(), why: what, advice, first: Vec::new() })
}

/// Says what of settled younger runs is in the database: a person took it as it is, and it does not stand in the way.
pub(super) fn settled_since(younger: &[Run]) -> Vec<String> {
    let left = younger.iter().filter(|(_, steps)| may_have_changed(steps));
    let told = left.filter_map(|(run, steps)| {
        let found = settled_as(steps).filter(|found| !matches!(found, Applied::Unknown | Applied::Unchanged))?;
        Some(format!(
            "run {run} came after it and was settled as {}: what it left stays, but for what a way back takes along",
            found.words()
        ))
    });
    told.collect()
}

/// How a settled run was found by who settled it; `None` where it is not settled.
fn settled_as(steps: &[RunStep]) -> Option<Applied> {
    let step = newest(steps).filter(|step| step.state == RunState::Settled)?;
    Some(step.settlement.as_ref().map_or(Applied::Unknown, |settlement| settlement.found.applied))
}

/// Whether something of a run may be in the database.
pub(super) fn may_have_changed(steps: &[RunStep]) -> bool {
    let Some(step) = newest(steps) else { return false };
    let ran = steps.iter().any(|step| step.state == RunState::Running);
    let gone = matches!(step.state, RunState::RolledBack | RunState::Undone);
    let says = |words: &str| steps.iter().any(|step| step.remarks.iter().any(|remark| remark == words));
    let nothing_pending = step.plan.as_ref().is_some_and(|plan| plan.files().next().is_none());
    ran && !gone && !says("the database is unchanged") && (!nothing_pending || says(CHANGED))
}

#[cfg(test)]
mod tests {
    use RunState::{
        Failed, Proven, Refused, RolledBack, Running, Settled, Started, Succeeded, UndoFailed, Undoing, Undone,
    };

    use holdpoint_core::undoing::{Afresh, Settlement};

    use super::*;

    fn run(n: u8) -> RunId {
        format!("20261121T02430{n}Z-k3f9").parse().unwrap()
    }

    fn steps(n: u8, states: &[RunState]) -> Run {
        let step = |(place, state): (usize, &RunState)| -> RunStep {
            serde_json::from_value(serde_json::json!({
                "format": 1, "run": run(n), "n": place + 1, "state": state, "at": "2026-11-21T02:43:00Z",
                "identity": { "system_identifier": "7", "database_oid": 5, "database": "shop", "timeline": 1,
                              "endpoint": "db:5432", "resource_id": null },
                "command": ["x"], "point": "20261121T024300Z-k3f9", "wal_position": null, "instant": null,
                "exit_code": null, "signal": null, "operator": null
            }))
            .unwrap()
        };
        (run(n), states.iter().enumerate().map(step).collect())
    }

    fn refused(states: &[RunState], younger: &[Run]) -> Option<String> {
        let (run, steps) = steps(1, states);
        check(&run, &steps, younger).err().map(|error| error.to_string())
    }

    #[test]
    fn only_what_may_be_there_can_be_undone() {
        for states in [
            &[Started, Proven, Running][..],
            &[Started, Proven, Running, Failed],
            &[Started, Proven, Running, Succeeded],
            &[Started, Proven, Running, Succeeded, Undoing],
            &[Started, Proven, Running, Failed, Undoing, UndoFailed],
        ] {
            assert_eq!(refused(states, &[]), None, "{states:?}");
        }
        for (states, why) in [
            (&[Started, Refused][..], "never ran"),
            (&[Started, Proven], "never ran"),
            (&[Started, Proven, Running, RolledBack], "left nothing"),
            (&[Started, Proven, Running, Succeeded, Undoing, Undone], "undone already"),
            (&[Started, Proven, Running, Failed, Settled], "is settled"),
        ] {
            let said = refused(states, &[]).unwrap_or_default();
            assert!(said.contains(why), "{states:?}: {said}");
        }
    }

    #[test]
    fn younger_runs_go_first_and_only_those_that_changed_something() {
        let older = [Started, Proven, Running, Succeeded];
        let harmless = [
            steps(2, &[Started, Refused]),
            steps(3, &[Started, Running, RolledBack]),
            steps(4, &[Started, Running, Succeeded, Undoing, Undone]),
        ];
        assert_eq!(refused(&older, &harmless), None);
        let mut unchanged = steps(5, &[Started, Running, Succeeded]);
        unchanged.1[2].remarks.push("the database is unchanged".to_owned());
        assert_eq!(refused(&older, &[unchanged]), None);
        let mut nothing_pending = steps(5, &[Started, Running, Succeeded]);
        nothing_pending.1[2].plan = Some(holdpoint_core::ledger::PlanRecord::default());
        assert_eq!(refused(&older, std::slice::from_ref(&nothing_pending)), None);
        nothing_pending.1[2].remarks.push(CHANGED.to_owned());
        assert!(refused(&older, &[nothing_pending]).is_some(), "nothing was pending, and yet it changed something");
        let (run, own) = steps(1, &older);
        let several =
            [steps(6, &older), steps(7, &[Started, Running, Failed]), steps(8, &[Started, Running, Failed, Settled])];
        let Err(Error::CannotUndo { first, .. }) = check(&run, &own, &several) else { panic!() };
        let names: Vec<String> = [8, 7, 6].map(|n| self::run(n).to_string()).into();
        assert_eq!(first, names, "in reverse order; a settled one's changes are there");
    }

    #[test]
    fn what_came_between_the_look_and_the_lock_is_refused() {
        let (run, own) = steps(1, &[Started, Proven, Running, Succeeded]);
        let shown = [steps(2, &[Started, Refused])];
        let now = |own: &[RunStep], younger: &[Run]| {
            same((&run, &steps(1, &[Started, Proven, Running, Succeeded]).1, &shown), (own, younger))
                .map_err(|error| error.to_string())
        };
        assert_eq!(now(&own, &shown), Ok(()));
        let one_more = [shown[0].clone(), steps(3, &[Started, Running])];
        assert!(now(&own, &one_more).unwrap_err().contains(&format!("run {} went on", self::run(3))));
        let further = [steps(2, &[Started, Refused, Refused])];
        assert!(now(&own, &further).is_err());
        assert!(now(&own, &[]).is_err(), "a run that is gone");
        let own = steps(1, &[Started, Proven, Running, Succeeded, Undoing]).1;
        assert!(now(&own, &shown).unwrap_err().contains("somebody else worked on it"));
    }

    #[test]
    fn a_settled_younger_run_stands_in_the_way_only_where_nobody_knows_what_it_left() {
        let (run, own) = steps(1, &[Started, Proven, Running, Succeeded]);
        let settled = |applied: Applied| {
            let mut younger = steps(2, &[Started, Proven, Running, Failed, Settled]);
            younger.1[4].settlement = Some(Settlement {
                reason: "looked at it".to_owned(),
                operator: None,
                found: Afresh { applied, still_pending: None, schema_changes: None, not_known: Vec::new() },
            });
            [younger]
        };
        for applied in [Applied::Unchanged, Applied::Partly, Applied::Fully] {
            assert!(check(&run, &own, &settled(applied)).is_ok(), "{applied:?}");
            assert_eq!(settled_since(&settled(applied)).len(), usize::from(applied != Applied::Unchanged));
        }
        let Err(Error::CannotUndo { advice, .. }) = check(&run, &own, &settled(Applied::Unknown)) else { panic!() };
        let said = format!(
            "is settled, and what it left was not known: go back past it with holdpoint restore --from before:{run}"
        );
        assert!(advice.contains(&said) && !advice.contains("undo them first"), "{advice}");
        assert_eq!(settled_since(&settled(Applied::Unknown)), [""; 0]);
        // No selector of restores finds a snapshot.
        let mut on_snapshot = own.clone();
        let command = "holdpoint rds snapshot restore holdpoint-a --into shop-beside";
        on_snapshot[2].ways_back = vec![
            serde_json::from_value(
                serde_json::json!({ "way": "beside", "title": "", "command": command, "seconds": null,
                "time_from": null, "data_lost": "" }),
            )
            .unwrap(),
        ];
        let Err(Error::CannotUndo { advice, .. }) = check(&run, &on_snapshot, &settled(Applied::Unknown)) else {
            panic!()
        };
        assert!(advice.ends_with(&format!("go back past it with {command}")), "{advice}");
        on_snapshot[3].state = Settled;
        let Err(Error::CannotUndo { advice, .. }) = check(&run, &on_snapshot, &[]) else { panic!() };
        assert!(advice.ends_with(&format!("a restore is still there: {command}")), "{advice}");
    }
}
