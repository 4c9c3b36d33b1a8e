//! A run that may be undone: what its ledger tells of it, and that nothing of that changed since it was looked at.

use holdpoint_core::ledger::{RunStep, newest};
use holdpoint_core::{PointId, PointKind, RunId};
use holdpoint_operations::{Context, catalogue};

use super::{UndoOptions, admission};
use crate::Error;
use crate::runs::{self, Alive};

/// A run that may be undone.
pub(super) struct Work<'a> {
    pub(super) context: &'a Context,
    pub(super) options: &'a UndoOptions,
    pub(super) run: RunId,
    pub(super) steps: Vec<RunStep>,
    /// Its newest step.
    pub(super) step: RunStep,
    /// Its restore point.
    pub(super) point: PointId,
    /// Whether that is a snapshot of the instance.
    pub(super) is_snapshot: bool,
    /// The runs after it, as they were when it was looked at.
    younger: Vec<admission::Run>,
    /// What younger runs left that were settled, in words.
    pub(super) standing: Vec<String>,
    /// The server process of the run itself, where it has the run lock and is undone under it.
    pub(super) held_by: Option<i32>,
}

impl<'a> Work<'a> {
    /// Reads the run, and refuses what cannot be undone; `held_by`: where it is the run itself that undoes, who has its
    /// lock.
    pub(super) async fn admitted(
        context: &'a Context,
        options: &'a UndoOptions,
        held_by: Option<i32>,
    ) -> Result<Self, Error> {
        let steps = runs::steps(context, &options.run).await?;
        let Some(step) = newest(&steps).cloned() else {
            return Err(Error::NoSuchRun { run: None, database: context.database.to_string() });
        };
        let run = step.run.clone();
        let younger = younger_than(context, &run).await?;
        admission::check(&run, &steps, &younger)?;
        let alive = Alive::read(&options.place.source).await?;
        if let Some(what) = if held_by.is_some() { alive.command_of(&step) } else { alive.of(&step) } {
            return Err(Error::StillAtWork { run: run.to_string(), what });
        }
        let too_old = |why: String| Error::CannotUndo {
            run: run.to_string(),
            why,
            advice: "undo it by hand, then settle it".to_owned(),
            first: Vec::new(),
        };
        let Some(point) = step.point.clone() else { return Err(too_old("it relied on no restore point".to_owned())) };
        let is_snapshot = match catalogue::show_any(context, &point).await {
            Ok(shown) => shown.manifest.kind() == PointKind::RdsSnapshot,
            Err(holdpoint_operations::Error::NoSuchPoint { .. }) => {
                return Err(too_old(format!("it is too old: its restore point {point} is gone")));
            }
            Err(error) => return Err(error.into()),
        };
        let standing = admission::settled_since(&younger);
        Ok(Self { context, options, run, steps, step, point, is_snapshot, younger, standing, held_by })
    }

    /// The restore point from before the first undo that was tried.
    pub(super) fn first_undo_point(&self) -> Option<PointId> {
        self.steps.iter().find_map(|step| step.undo.as_ref()?.point.clone())
    }

    /// Under the run lock: everything is as it was when the way was chosen and shown.
    pub(super) async fn as_shown(&self) -> Result<(), Error> {
        let steps = self.context.repository.steps(&self.context.database, &self.run).await?;
        let younger = younger_than(self.context, &self.run).await?;
        admission::check(&self.run, &steps, &younger)?;
        admission::same((&self.run, &self.steps, &self.younger), (&steps, &younger))
    }
}

/// The runs after a run, with their steps.
async fn younger_than(context: &Context, run: &RunId) -> Result<Vec<admission::Run>, Error> {
    let mut younger = Vec::new();
    for other in context.repository.runs(&context.database).await?.into_iter().filter(|other| other > run) {
        let steps = context.repository.steps(&context.database, &other).await?;
        younger.push((other, steps));
    }
    Ok(younger)
}
