//! One JSON object a line on stderr, for programs that watch. docs/progress.md says what the fields mean; they stay.

use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use holdpoint_core::progress::{Phase, Progress};
use serde::Serialize;

use super::meter::Meter;

const EVERY: Duration = Duration::from_millis(500);
/// Items named in a line.
const ITEMS: usize = 4;

/// What a line says.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    /// A phase begins.
    Phase { elapsed_ms: u64, phase: &'a str, total_bytes: Option<u64> },
    /// The phase has moved so much.
    Moved {
        elapsed_ms: u64,
        phase: &'a str,
        bytes: u64,
        total_bytes: Option<u64>,
        bytes_per_second: Option<u64>,
        eta_seconds: Option<u64>,
        items: Vec<ItemLine<'a>>,
    },
    /// Something worth knowing.
    Note { elapsed_ms: u64, message: &'a str },
}

/// A table or another part that moves.
#[derive(Debug, Serialize)]
struct ItemLine<'a> {
    name: &'a str,
    bytes: u64,
    total_bytes: Option<u64>,
}

struct State {
    meter: Option<Meter>,
    told: Duration,
}

/// Writes the lines.
pub(super) struct JsonLines {
    started: Instant,
    state: Mutex<State>,
}

impl JsonLines {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), state: Mutex::new(State { meter: None, told: Duration::ZERO }) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State, Duration) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut state, self.started.elapsed())
    }
}

impl Drop for JsonLines {
    fn drop(&mut self) {
        self.with(|state, now| {
            if let Some(line) = state.meter.as_ref().and_then(|meter| last(meter, now)) {
                write(&line);
            }
        });
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn moved(meter: &Meter, now: Duration) -> Event<'_> {
    let item = |(name, item): (_, super::meter::Item)| ItemLine { name, bytes: item.done, total_bytes: item.total };
    Event::Moved {
        elapsed_ms: ms(now),
        phase: meter.phase.name(),
        bytes: meter.moved,
        total_bytes: meter.total,
        bytes_per_second: meter.bytes_per_second(),
        eta_seconds: meter.remaining(now).map(|left| left.as_secs_f64().round() as u64),
        items: meter.biggest(ITEMS, now).into_iter().map(item).collect(),
    }
}

/// The last line of a phase that moved anything.
fn last(meter: &Meter, now: Duration) -> Option<String> {
    (meter.moved > 0).then(|| line(&moved(meter, now))).flatten()
}

fn line(event: &Event<'_>) -> Option<String> {
    serde_json::to_string(event).inspect_err(|error| tracing::debug!(%error, "progress could not be written")).ok()
}

fn write(line: &str) {
    if let Err(error) = writeln!(io::stderr().lock(), "{line}") {
        tracing::debug!(%error, "progress could not be shown");
    }
}

impl Progress for JsonLines {
    fn phase(&self, phase: Phase, expected_bytes: Option<u64>) {
        // Written while locked: no line of the last phase may follow.
        self.with(|state, now| {
            let meter = Meter::new(phase, expected_bytes, now);
            let begins = Event::Phase { elapsed_ms: ms(now), phase: phase.name(), total_bytes: meter.total };
            let ended = state.meter.as_ref().and_then(|meter| last(meter, now));
            for line in [ended, line(&begins)].into_iter().flatten() {
                write(&line);
            }
            *state = State { meter: Some(meter), told: now };
        });
    }

    fn advance(&self, bytes: u64) {
        self.with(|state, now| {
            let Some(meter) = &mut state.meter else { return };
            meter.advance(bytes, now);
            if now.saturating_sub(state.told) >= EVERY {
                state.told = now;
                if let Some(line) = line(&moved(meter, now)) {
                    write(&line);
                }
            }
        });
    }

    fn note(&self, message: &str) {
        self.with(|_, now| {
            if let Some(line) = line(&Event::Note { elapsed_ms: ms(now), message }) {
                write(&line);
            }
        });
    }

    fn item(&self, name: &str, done: u64, total: Option<u64>) {
        self.with(|state, now| {
            if let Some(meter) = &mut state.meter {
                meter.item(name, done, total, now);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_documented() {
        let second = Duration::from_secs;
        let mut meter = Meter::new(Phase::CopyingData, Some(400 << 20), second(2));
        meter.advance(50 << 20, second(7));
        meter.item("public.orders", 30 << 20, Some(200 << 20), second(7));
        let said: serde_json::Value = serde_json::from_str(&line(&moved(&meter, second(7))).unwrap()).unwrap();
        let expected = serde_json::json!({
            "event": "moved", "elapsed_ms": 7000, "phase": "copying-data", "bytes": 52428800, "total_bytes": 419430400,
            "bytes_per_second": 10485760, "eta_seconds": 35,
            "items": [{"name": "public.orders", "bytes": 31457280, "total_bytes": 209715200}],
        });
        assert_eq!(said, expected);
        let page = include_str!("../../../../docs/progress.md");
        for key in expected.as_object().unwrap().keys() {
            assert!(page.contains(&format!("| `{key}` |")), "docs/progress.md does not name {key}");
        }
        assert!(page.contains(&line(&moved(&meter, second(7))).unwrap()), "the page's sample is not what is written");
        let begins = line(&Event::Phase { elapsed_ms: 2000, phase: "copying-data", total_bytes: Some(419430400) });
        assert!(page.contains(&begins.unwrap()));
    }

    #[test]
    fn a_phase_that_moved_nothing_ends_without_a_line() {
        assert_eq!(last(&Meter::new(Phase::Preflight, None, Duration::ZERO), Duration::from_secs(1)), None);
    }
}
