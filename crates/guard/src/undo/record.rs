//! Writing an undo's steps into the ledger of its run.

use holdpoint_core::PointId;
use holdpoint_core::ledger::{RunState, RunStep};
use holdpoint_core::undoing::{BegunScript, UndoRecord, Way};
use holdpoint_operations::Context;

use super::UndoOptions;
use super::comeback::brings_back;
use crate::Error;

/// What an undo that broke off did, and is not done again. By another way a script that ran counts, too; what came back
/// from the restore point does not, for that way may have taken it again.
pub(super) fn kept(step: &RunStep, way: Way) -> Vec<String> {
    let Some(undo) = step.undo.as_ref().filter(|_| step.state != RunState::Undone) else { return Vec::new() };
    undo.done.iter().filter(|done| undo.way == way || !brings_back(done)).cloned().collect()
}

/// The ledger of a run that is being undone.
pub(super) struct Record<'a> {
    context: &'a Context,
    step: RunStep,
    pub(super) undo: UndoRecord,
    /// What a person should look at, though it is undone.
    pub(super) look: Vec<String>,
}

impl<'a> Record<'a> {
    /// Goes on after the run's newest step; what an undo that broke off did is kept, see [`kept`].
    pub(super) fn after(context: &'a Context, step: &RunStep, way: Way, options: &UndoOptions) -> Self {
        let same = step.undo.clone().filter(|undo| undo.way == way && step.state != RunState::Undone);
        let fresh = UndoRecord {
            way,
            point: None,
            copy_oid: None,
            done: kept(step, way),
            begun: step.undo.as_ref().filter(|_| step.state != RunState::Undone).and_then(|undo| undo.begun.clone()),
            proof: Vec::new(),
            not_as_before: Vec::new(),
        };
        let mut undo = UndoRecord { not_as_before: Vec::new(), ..same.unwrap_or(fresh) };
        if way != Way::Rds {
            // What showed that an instance is the database of then is not shown again.
            undo.proof.clear();
        }
        // The other ways keep what was live aside.
        let takes = matches!(way, Way::Rollback | Way::Recover);
        if step.state == RunState::UndoFailed || takes && step.process.is_none() {
            // It ended, by itself or by a person, and others may have written since: what is there now is in no restore
            // point.
            undo.point = None;
        }
        let (operator, process) = (options.operator.clone(), options.process.clone());
        Self { context, step: RunStep { operator, process, ..step.clone() }, undo, look: Vec::new() }
    }

    /// Notes the restore point that was made before.
    pub(super) fn made(&mut self, point: PointId) {
        self.undo.point = Some(point);
    }

    /// Forgets the process that does it: its end is written, and nobody has to look whether it lives.
    pub(super) fn leaves_no_process(&mut self) {
        self.step.process = None;
    }

    /// Whether a step was done before.
    pub(super) fn has_done(&self, what: &str) -> bool {
        self.undo.done.iter().any(|one| one == what)
    }

    /// Writes which copy is about to take the live database's place.
    pub(super) async fn exchanges(&mut self, copy_oid: u32) -> Result<(), Error> {
        self.undo.copy_oid = Some(copy_oid);
        self.write(
            RunState::Undoing,
            vec![format!("the restored copy has OID {copy_oid}, and takes the live one's place")],
        )
        .await
    }

    /// Writes that a script is about to begin.
    pub(super) async fn begins(&mut self, begun: BegunScript) -> Result<(), Error> {
        let within = begun.transaction.as_ref().map(|number| format!(" in transaction {number}")).unwrap_or_default();
        let remark = format!("begins{within}: {}", begun.script);
        self.undo.begun = Some(begun);
        self.write(RunState::Undoing, vec![remark]).await
    }

    /// Notes that a script ended without having done anything that has to be known; the next step says so.
    pub(super) fn ended(&mut self) {
        self.undo.begun = None;
    }

    /// Notes that a script failed, and nobody can tell what of it is done; the next step says so, and a person is asked.
    pub(super) fn failed(&mut self, how: &str) {
        if let Some(begun) = &mut self.undo.begun {
            begun.failed = Some(how.to_owned());
        }
    }

    /// Writes that a step is done: from now on it is not done again.
    pub(super) async fn done(&mut self, what: &str) -> Result<(), Error> {
        self.undo.done.push(what.to_owned());
        self.undo.begun = None;
        self.write(RunState::Undoing, vec![format!("done: {what}")]).await
    }

    /// Writes the next step.
    pub(super) async fn write(&mut self, state: RunState, remarks: Vec<String>) -> Result<(), Error> {
        let step = RunStep {
            n: self.step.n + 1,
            state,
            at: (self.context.clock)(),
            undo: Some(self.undo.clone()),
            taken_back: None,
            // The schema is not as the command left it any more.
            schema_sha256: None,
            remarks,
            ..self.step.clone()
        };
        self.context.repository.record_step(&self.context.database, &step).await?;
        self.step.n = step.n;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_ran_by_another_way_is_not_run_again() {
        let step = |way: &str, state: &str| -> RunStep {
            serde_json::from_value(serde_json::json!({
                "format": 1, "run": "20261121T024300Z-k3f9", "n": 5, "state": state, "at": "2026-11-21T02:43:00Z",
                "identity": { "system_identifier": "7", "database_oid": 5, "database": "shop", "timeline": 1,
                              "endpoint": "db:5432", "resource_id": null },
                "command": ["x"], "point": null, "wal_position": null, "instant": null, "exit_code": 1, "signal": null,
                "operator": null,
                "undo": { "way": way, "point": null, "done": ["sql/rollback/2.sql (2.sql)",
                          "found that note of s.t is gone", "rows of s.t from the restore point"] }
            }))
            .unwrap()
        };
        assert_eq!(kept(&step("recover", "undoing"), Way::Recover).len(), 3);
        for (by, way) in [("rollback", Way::Recover), ("recover", Way::Rollback), ("recover", Way::Restore)] {
            assert_eq!(kept(&step(by, "undo_failed"), way).len(), 2, "{by}");
        }
        assert_eq!(kept(&step("rollback", "undone"), Way::Rollback), [""; 0]);
    }
}
