//! The wait for the instant before the command: nothing runs until RDS can restore it.
//!
//! The run has its lock meanwhile. Writers go on, so what was proven before is looked at again by whoever waited.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdpoint_core::gate::pending::Decision;
use holdpoint_core::progress::Phase;
use holdpoint_core::quantity::milliseconds;
use holdpoint_operations::Error as OperationError;
use holdpoint_operations::rds::RdsSource;
use tokio::time::{Instant, timeout};

use crate::Error;
use crate::guarded::Guarded;
use crate::ledger_writer::LedgerWriter;
use crate::proven::Proven;
use crate::ways_back::Noted;

/// How long RDS may take for its last answer, when the time to wait is over.
const LAST_ANSWER: Duration = Duration::from_secs(30);

impl Guarded<'_> {
    /// How long a run waits at most; `None` where it does not wait.
    fn waits_for_at_most(&self) -> Option<Duration> {
        let seconds = self.preparation.options.window_policy.wait_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// Refuses a run that would wait for an instant that nothing goes back to, before anything is made for it; `doubts`
    /// says last why the configured instance does not.
    ///
    /// # Errors
    /// [`Error::NoInstant`].
    pub(crate) fn demand_instance(
        &self,
        decision: &Decision,
        instance: Option<&RdsSource>,
        doubts: &[String],
    ) -> Result<(), Error> {
        if self.waits_for_at_most().is_none() || instance.is_some() || !relies_on_a_point(decision) {
            return Ok(());
        }
        let unknown = || "no RDS instance is known that this database is on".to_owned();
        Err(self.no_instant(doubts.last().cloned().unwrap_or_else(unknown)))
    }

    /// Waits until RDS can restore the instant, where the policy asks for that and the run relies on a restore point; how
    /// long that took.
    ///
    /// # Errors
    /// [`Error::NoInstant`] where it does not come in time, or RDS does not tell; [`Error::Interrupted`]; those of the
    /// ledger, which is told first.
    pub(crate) async fn await_instant(
        &self,
        proven: &Proven,
        at: DateTime<Utc>,
        ledger: &mut LedgerWriter<'_>,
    ) -> Result<Option<Duration>, Error> {
        let Some(within) = self.waits_for_at_most().filter(|_| proven.relied.point.is_some()) else { return Ok(None) };
        let Some(mut source) = proven.instance.clone() else {
            return Err(self.no_instant("no RDS instance of this database goes back to one".to_owned()));
        };
        let context = self.preparation.context;
        let (name, at_most) = (source.instance.clone(), milliseconds(within.as_secs().saturating_mul(1000)));
        let written = Noted { at, waited: None }.written();
        ledger.remark(vec![format!("waits until RDS can restore {name} to {written}, for {at_most} at most")]).await?;
        context.progress.phase(Phase::WaitingForInstant, None);
        source.plane.waiting.give_up_after = within;
        source.plane.cancel = context.cancel.clone();
        let began = Instant::now();
        let why = match timeout(within.saturating_add(LAST_ANSWER), source.wait_until_restorable(at)).await {
            Ok(Ok(())) => return Ok(Some(began.elapsed())),
            Ok(Err(OperationError::Interrupted)) => return Err(Error::Interrupted),
            Ok(Err(error)) => error.line(),
            Err(_) => format!("RDS did not tell within {at_most}"),
        };
        Err(self.no_instant(format!("{name} cannot be restored to {written}: {why}")))
    }

    fn no_instant(&self, why: String) -> Error {
        let instance = self.preparation.options.instance.as_ref().map(|source| source.instance.clone());
        Error::NoInstant { instance, why: self.mask.script(&why) }
    }
}

/// Whether the run will rely on a restore point: one that is to be undone by nothing waits for nothing.
fn relies_on_a_point(decision: &Decision) -> bool {
    match decision {
        Decision::Go { point, .. } => point.is_some(),
        Decision::MakeRestorePoint { .. } => true,
        Decision::Refuse { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::gate::Policy;
    use holdpoint_core::verification::Level;

    use super::*;

    #[test]
    fn only_what_relies_on_a_restore_point_needs_an_instant() {
        let go = |point: Option<&str>| Decision::Go {
            point: point.map(|id| id.parse().unwrap()),
            reasons: Vec::new(),
            losses: Vec::new(),
        };
        assert!(!relies_on_a_point(&go(None)), "nothing is pending, or nothing is at risk");
        assert!(relies_on_a_point(&go(Some("20261121T024300Z-k3f9"))));
        assert!(!relies_on_a_point(&Decision::Refuse { reasons: Vec::new() }), "its own reasons are told");
        let policy = Policy { level: Level::Full, max_age_seconds: 0 };
        assert!(relies_on_a_point(&Decision::MakeRestorePoint { policy, reasons: Vec::new() }));
    }
}
