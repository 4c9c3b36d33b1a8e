//! How far something in RDS is whose verb failed or was ended: asked for once more, as work that is dropped tells nothing.

use std::time::Duration;

use holdpoint_rds::{CutOverPlan, Error as Rds, Steps};

use super::ControlPlane;
use crate::Error;

/// So long RDS may take to answer whoever was ended.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

impl ControlPlane {
    /// The failure of a cut-over with where the names are, which command goes on, and which gives the source its name back; the
    /// failure alone where nothing was renamed.
    pub(super) async fn between_renames(&self, plan: &CutOverPlan, steps: &Steps, failure: Error) -> Error {
        // It says so itself, and no cut-over goes on.
        if matches!(&failure, Error::Rds(error) if matches!(**error, Rds::LeftAside { .. })) {
            return failure;
        }
        let Some(stands) = self.rds.names_left(plan, steps, ANSWERS_WITHIN).await else { return failure };
        let command =
            |back: &str| format!("holdpoint rds cut-over {}{back} --region {}", plan.apart, self.rds.region());
        let next = match plan.goes_back {
            true => format!("the same command goes on: {}", command(" --back")),
            false => format!(
                "the same command goes on: {}; its source gets its name back by: {}",
                command(""),
                command(" --back")
            ),
        };
        Error::Halfway { failure: Box::new(failure), stands, next }
    }
}
