//! Pins: why a restore point may not be dropped, and until when.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::RunId;
use crate::ledger::{RunStep, newest};

/// The newest form of a pin that this program knows.
pub const FORMAT: u32 = 1;

/// How long the restore point of a run that ended well stays.
const AFTER_A_RUN: TimeDelta = TimeDelta::days(7);

/// One pin of a restore point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinRecord {
    /// Version of this document's form.
    pub format: u32,
    /// Why, in words.
    pub reason: String,
    /// When it was written, by the clock of the machine that did.
    pub at: DateTime<Utc>,
    /// Until when it holds; `None` without end, and for a run as long as [`of_run`] says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// The run that relies on the restore point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Who wrote it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
}

/// Until when the pin of a run holds, by the run's steps: seven days after its end, but as long as its preparation may
/// be relied on; `None` without end, where the run is not settled or its record is not there.
pub fn of_run(steps: &[RunStep]) -> Option<DateTime<Utc>> {
    let step = newest(steps)?;
    if step.state.unsettled() {
        return None;
    }
    let prepared = step.prepared.map(|prepared| prepared.until);
    Some(prepared.map_or(step.at + AFTER_A_RUN, |until| until.max(step.at + AFTER_A_RUN)))
}
