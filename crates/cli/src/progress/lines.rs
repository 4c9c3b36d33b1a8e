//! Lines for logs: of each phase that takes its time where they are asked for, and of what is worth knowing always.

use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use holdpoint_core::progress::{Phase, Progress};

use super::meter::Meter;
use super::title;
use crate::quantity::{bytes, milliseconds};

const EVERY: Duration = Duration::from_secs(20);

/// Writes one line on stderr.
pub(super) fn say(message: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "holdpoint: {message}")
}

fn tell(message: &str) {
    if let Err(error) = say(message) {
        tracing::debug!(%error, "progress could not be shown");
    }
}

/// Writes notes alone: nothing else belongs into the mail of cron or the log of a pipeline unasked.
pub(super) struct Notes;

impl Progress for Notes {
    fn phase(&self, _: Phase, _: Option<u64>) {}

    fn advance(&self, _: u64) {}

    fn note(&self, message: &str) {
        tell(message);
    }
}

struct State {
    meter: Option<Meter>,
    told: Duration,
}

/// Writes a line when a phase begins, and every twenty seconds while bytes move.
pub(super) struct Lines {
    started: Instant,
    state: Mutex<State>,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), state: Mutex::new(State { meter: None, told: Duration::ZERO }) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State, Duration) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut state, self.started.elapsed())
    }
}

/// What a phase did when it ended: the mean, as nobody asks how fast it was last.
fn ended(meter: &Meter, now: Duration) -> String {
    let took = meter.took(now);
    let rate = (meter.moved as f64 / took.as_secs_f64().max(0.001)) as u64;
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    format!("{}: {} in {}, {}/s", title(meter.phase), bytes(meter.moved), milliseconds(ms), bytes(rate))
}

/// Where a phase stands, with its biggest item.
fn running(meter: &Meter, now: Duration) -> String {
    let of = meter.total.filter(|all| *all >= meter.moved).map(|all| format!(" of {}", bytes(all))).unwrap_or_default();
    let mut line = format!("{}: {}{of}", title(meter.phase), bytes(meter.moved));
    let outlook = meter.outlook(now);
    if !outlook.is_empty() {
        line = format!("{line}, {outlook}");
    }
    if let Some((name, item)) = meter.biggest(1, now).first() {
        let of = item.total.map(|all| format!(" of {}", bytes(all))).unwrap_or_default();
        line = format!("{line}; {name}: {}{of}", bytes(item.done));
    }
    line
}

impl Progress for Lines {
    fn phase(&self, phase: Phase, expected_bytes: Option<u64>) {
        let last = self.with(|state, now| {
            let last = state.meter.take().filter(|meter| meter.moved > 0).map(|meter| ended(&meter, now));
            *state = State { meter: Some(Meter::new(phase, expected_bytes, now)), told: now };
            last
        });
        if let Some(last) = last {
            tell(&last);
        }
        tell(title(phase));
    }

    fn advance(&self, bytes: u64) {
        let line = self.with(|state, now| {
            let meter = state.meter.as_mut()?;
            meter.advance(bytes, now);
            let due = now.saturating_sub(state.told) >= EVERY;
            due.then(|| {
                state.told = now;
                running(meter, now)
            })
        });
        if let Some(line) = line {
            tell(&line);
        }
    }

    fn note(&self, message: &str) {
        tell(message);
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
    fn a_line_tells_where_the_phase_stands() {
        let second = Duration::from_secs;
        let mut meter = Meter::new(Phase::CopyingData, Some(1 << 30), second(1));
        for at in 2..=21 {
            meter.advance(10 << 20, second(at));
        }
        assert_eq!(running(&meter, second(21)), "copying rows: 200.0 MiB of 1.0 GiB, 10.0 MiB/s, 1 min 22 s left");
        meter.item("public.orders", 100 << 20, Some(700 << 20), second(21));
        assert!(running(&meter, second(21)).ends_with("left; public.orders: 100.0 MiB of 700.0 MiB"));
        assert_eq!(ended(&meter, second(21)), "copying rows: 200.0 MiB in 20.0 s, 10.0 MiB/s");
    }
}
