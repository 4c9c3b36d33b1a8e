//! A line for each phase that takes its time, for logs of CI and cron.

use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use holdpoint_core::progress::{Phase, Progress};

use super::title;
use crate::quantity::{bytes, milliseconds};

const EVERY: Duration = Duration::from_secs(20);

/// What the running phase has moved.
struct State {
    phase: Option<Phase>,
    since: Instant,
    told: Instant,
    moved: u64,
    expected: Option<u64>,
}

/// Writes a line when a phase begins, and every twenty seconds while bytes move.
pub(super) struct Lines {
    state: Mutex<State>,
}

impl Lines {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { state: Mutex::new(State { phase: None, since: now, told: now, moved: 0, expected: None }) }
    }
}

/// Writes one line on stderr.
pub(super) fn say(message: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "holdpoint: {message}")
}

fn tell(message: &str) {
    if let Err(error) = say(message) {
        tracing::debug!(%error, "progress could not be shown");
    }
}

impl State {
    fn line(&self, phase: Phase) -> String {
        let took = self.since.elapsed();
        let rate = (self.moved as f64 / took.as_secs_f64().max(0.001)) as u64;
        let of = self.expected.map(|all| format!(" of {}", bytes(all))).unwrap_or_default();
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        format!("{}: {}{of} in {}, {}/s", title(phase), bytes(self.moved), milliseconds(ms), bytes(rate))
    }
}

impl Progress for Lines {
    fn phase(&self, phase: Phase, expected_bytes: Option<u64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let last = state.phase.filter(|_| state.moved > 0).map(|last| state.line(last));
        let now = Instant::now();
        *state = State { phase: Some(phase), since: now, told: now, moved: 0, expected: expected_bytes };
        drop(state);
        if let Some(last) = last {
            tell(&last);
        }
        tell(title(phase));
    }

    fn advance(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.moved += bytes;
        let due = state.told.elapsed() >= EVERY;
        if let (true, Some(phase)) = (due, state.phase) {
            state.told = Instant::now();
            let line = state.line(phase);
            drop(state);
            tell(&line);
        }
    }

    fn note(&self, message: &str) {
        tell(message);
    }
}
