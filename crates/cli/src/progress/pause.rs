//! Debug builds only: stops the program where a named phase begins, so that tests can kill or tamper there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdpoint_core::progress::{Phase, Progress};
use tokio_util::sync::CancellationToken;

use crate::variables::Variables;

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Where to stop, and how the outside is told.
pub(super) struct Pause {
    at: String,
    marker: PathBuf,
    cancel: CancellationToken,
}

/// Stops, then passes on.
pub(super) struct Paused {
    pause: Pause,
    shown: Arc<dyn Progress>,
}

impl Pause {
    /// Reads `HOLDPOINT_PAUSE_AT` (a phase's name) and `HOLDPOINT_PAUSE_MARKER` (a path): when the phase begins, the
    /// marker is made, and the program waits for `<marker>.go` or its cancellation.
    pub(super) fn wanted(variables: &Variables, cancel: &CancellationToken) -> Option<Self> {
        let at = variables.get("HOLDPOINT_PAUSE_AT")?.to_owned();
        if !Phase::ALL.iter().any(|phase| phase.name() == at) {
            tracing::error!(at, "HOLDPOINT_PAUSE_AT names no phase");
        }
        Some(Self { at, marker: variables.path("HOLDPOINT_PAUSE_MARKER")?, cancel: cancel.clone() })
    }

    pub(super) fn before(self, shown: Arc<dyn Progress>) -> Paused {
        Paused { pause: self, shown }
    }

    fn wait(&self) {
        if let Err(error) = std::fs::write(&self.marker, &self.at) {
            tracing::error!(%error, "the pause marker could not be made");
            return;
        }
        let mut go = self.marker.clone().into_os_string();
        go.push(".go");
        let go = PathBuf::from(go);
        while !go.exists() && !self.cancel.is_cancelled() {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Progress for Paused {
    fn phase(&self, phase: Phase, expected_bytes: Option<u64>) {
        if phase.name() == self.pause.at {
            // Other tasks go on as they would in life: pg_dump's output keeps flowing, signals are still seen.
            tokio::task::block_in_place(|| self.pause.wait());
        }
        self.shown.phase(phase, expected_bytes);
    }

    fn advance(&self, bytes: u64) {
        self.shown.advance(bytes);
    }

    fn note(&self, message: &str) {
        self.shown.note(message);
    }

    fn rest(&self) {
        self.shown.rest();
    }

    fn item(&self, name: &str, done: u64, total: Option<u64>) {
        self.shown.item(name, done, total);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use holdpoint_core::progress::Silent;

    use super::*;

    #[test]
    fn waits_at_its_phase_until_told() {
        let folder = tempfile::tempdir().unwrap();
        let marker = folder.path().join("here");
        let variables = Variables::new([
            ("HOLDPOINT_PAUSE_AT", "copying-data"),
            ("HOLDPOINT_PAUSE_MARKER", marker.to_str().unwrap()),
        ]);
        let paused = Pause::wanted(&variables, &CancellationToken::new()).unwrap().before(Arc::new(Silent));
        paused.phase(Phase::Preflight, None);
        assert!(!marker.exists());
        let go = folder.path().join("here.go");
        std::thread::scope(|scope| {
            let work = scope.spawn(|| paused.phase(Phase::CopyingData, None));
            let limit = Instant::now() + Duration::from_secs(300);
            while !marker.exists() && Instant::now() < limit {
                std::thread::sleep(LOOK_EVERY);
            }
            assert!(marker.exists() && !work.is_finished());
            std::fs::write(&go, "").unwrap();
        });
    }

    #[test]
    fn cancellation_ends_the_wait() {
        let folder = tempfile::tempdir().unwrap();
        let marker = folder.path().join("here");
        let variables =
            Variables::new([("HOLDPOINT_PAUSE_AT", "preflight"), ("HOLDPOINT_PAUSE_MARKER", marker.to_str().unwrap())]);
        let cancel = CancellationToken::new();
        cancel.cancel();
        Pause::wanted(&variables, &cancel).unwrap().before(Arc::new(Silent)).phase(Phase::Preflight, None);
        assert!(marker.exists());
    }
}
