//! Writing an undo's steps into the ledger of its run.

use holdpoint_core::PointId;
use holdpoint_core::ledger::{RunState, RunStep};
use holdpoint_core::undoing::{UndoRecord, Way};
use holdpoint_operations::Context;

use super::UndoOptions;
use crate::Error;

/// The ledger of a run that is being undone.
pub(super) struct Record<'a> {
    context: &'a Context,
    step: RunStep,
    pub(super) undo: UndoRecord,
}

impl<'a> Record<'a> {
    /// Goes on after the run's newest step; what an undo that broke off did by the same way is kept.
    pub(super) fn after(context: &'a Context, step: &RunStep, way: Way, options: &UndoOptions) -> Self {
        let kept = step.undo.clone().filter(|undo| undo.way == way && step.state != RunState::Undone);
        let fresh = UndoRecord {
            way,
            point: None,
            copy_oid: None,
            done: Vec::new(),
            proof: Vec::new(),
            not_as_before: Vec::new(),
        };
        let mut undo = UndoRecord { proof: Vec::new(), not_as_before: Vec::new(), ..kept.unwrap_or(fresh) };
        if step.state == RunState::UndoFailed {
            // It ended, and others may have written since: what is there now is in no restore point.
            undo.point = None;
        }
        let (operator, process) = (options.operator.clone(), options.process.clone());
        Self { context, step: RunStep { operator, process, ..step.clone() }, undo }
    }

    /// Notes the restore point that was made before.
    pub(super) fn made(&mut self, point: PointId) {
        self.undo.point = Some(point);
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

    /// Writes that a step is done: from now on it is not done again.
    pub(super) async fn done(&mut self, what: &str) -> Result<(), Error> {
        self.undo.done.push(what.to_owned());
        self.write(RunState::Undoing, vec![format!("done: {what}")]).await
    }

    /// Writes the next step.
    pub(super) async fn write(&mut self, state: RunState, remarks: Vec<String>) -> Result<(), Error> {
        let step = RunStep {
            n: self.step.n + 1,
            state,
            at: (self.context.clock)(),
            undo: Some(self.undo.clone()),
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
