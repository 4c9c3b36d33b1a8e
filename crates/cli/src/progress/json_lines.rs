//! One JSON object a line on stderr, for programs that watch.

use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use holdpoint_core::progress::{Phase, Progress};
use serde::Serialize;

const EVERY: Duration = Duration::from_millis(500);

/// What a line says.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    /// A phase begins.
    Phase { phase: &'a str, expected_bytes: Option<u64> },
    /// The phase has moved so much.
    Moved { phase: &'a str, bytes: u64 },
    /// Something worth knowing.
    Note { message: &'a str },
}

struct State {
    phase: Option<Phase>,
    moved: u64,
    told: Instant,
}

/// Writes the lines.
pub(super) struct JsonLines {
    state: Mutex<State>,
}

impl JsonLines {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State { phase: None, moved: 0, told: Instant::now() }) }
    }
}

fn tell(event: &Event<'_>) {
    let written =
        serde_json::to_string(event).map_err(io::Error::from).and_then(|line| writeln!(io::stderr().lock(), "{line}"));
    if let Err(error) = written {
        tracing::debug!(%error, "progress could not be shown");
    }
}

impl Progress for JsonLines {
    fn phase(&self, phase: Phase, expected_bytes: Option<u64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let last = std::mem::replace(&mut *state, State { phase: Some(phase), moved: 0, told: Instant::now() });
        drop(state);
        if let (Some(phase), 1..) = (last.phase, last.moved) {
            tell(&Event::Moved { phase: phase.name(), bytes: last.moved });
        }
        tell(&Event::Phase { phase: phase.name(), expected_bytes });
    }

    fn advance(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.moved += bytes;
        if state.told.elapsed() < EVERY {
            return;
        }
        state.told = Instant::now();
        let (phase, moved) = (state.phase, state.moved);
        drop(state);
        if let Some(phase) = phase {
            tell(&Event::Moved { phase: phase.name(), bytes: moved });
        }
    }

    fn note(&self, message: &str) {
        tell(&Event::Note { message });
    }
}
