//! Bars with rate and remaining time, for a terminal. Work that ends within two seconds shows none.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use holdpoint_core::progress::{Phase, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Screen, title};

const QUIET_FOR: Duration = Duration::from_secs(2);
const DRAW_EVERY: Duration = Duration::from_millis(120);
const KNOWN: &str = "{prefix:>26} {bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} left";
const UNKNOWN: &str = "{prefix:>26} {spinner} {bytes} {elapsed}";
const NO_BYTES: &str = "{prefix:>26} {spinner} {elapsed}";

/// The bar of the phase that runs, on the screen.
pub(super) struct Bars {
    screen: Screen,
    started: Instant,
    current: Mutex<Option<Current>>,
}

struct Current {
    bar: ProgressBar,
    /// Bytes were told, or announced.
    counts: bool,
}

impl Bars {
    /// Begins with nothing shown; a thread shows the bars when it took long enough to be worth one.
    pub(super) fn start(screen: &Screen) -> Arc<Self> {
        let bars = Arc::new(Self { screen: screen.clone(), started: Instant::now(), current: Mutex::new(None) });
        let weak = Arc::downgrade(&bars);
        std::thread::spawn(move || tick(&weak));
        bars
    }

    fn with<T>(&self, work: impl FnOnce(&mut Option<Current>) -> T) -> T {
        work(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn tick(bars: &Weak<Bars>) {
    let mut shown = false;
    loop {
        std::thread::sleep(DRAW_EVERY);
        let Some(bars) = bars.upgrade() else { return };
        if !shown && bars.started.elapsed() >= QUIET_FOR {
            bars.screen.bars().set_draw_target(ProgressDrawTarget::stderr());
            shown = true;
        }
        let bar = bars.with(|current| current.as_ref().map(|one| one.bar.clone()));
        if let (true, Some(bar)) = (shown, bar) {
            bar.tick();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants, and a test draws each.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

impl Progress for Bars {
    fn phase(&self, phase: Phase, expected_bytes: Option<u64>) {
        let (bar, template) = match expected_bytes.filter(|bytes| *bytes > 0) {
            Some(bytes) => (ProgressBar::new(bytes), KNOWN),
            None => (ProgressBar::no_length(), NO_BYTES),
        };
        bar.set_style(style(template));
        bar.set_prefix(title(phase));
        self.with(|current| {
            if let Some(last) = current.take() {
                last.bar.finish_and_clear();
                self.screen.bars().remove(&last.bar);
            }
            let bar = self.screen.bars().add(bar);
            *current = Some(Current { bar, counts: template == KNOWN });
        });
    }

    fn advance(&self, bytes: u64) {
        self.with(|current| {
            let Some(current) = current else { return };
            if !current.counts {
                current.bar.set_style(style(UNKNOWN));
                current.counts = true;
            }
            current.bar.inc(bytes);
            // The expected bytes are an estimate; a bar that is over full says nothing.
            if current.bar.length().is_some_and(|length| current.bar.position() > length) {
                current.bar.set_length(current.bar.position());
            }
        });
    }

    fn note(&self, message: &str) {
        if let Err(error) = self.screen.bars().suspend(|| super::lines::say(message)) {
            tracing::debug!(%error, "a note could not be shown");
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.with(|current| {
            if let Some(last) = current.take() {
                last.bar.finish_and_clear();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_valid() {
        for template in [KNOWN, UNKNOWN, NO_BYTES] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn more_bytes_than_expected_make_the_bar_longer() {
        let bars = Bars::start(&Screen::new());
        bars.phase(Phase::CopyingData, Some(10));
        bars.advance(15);
        assert_eq!(bars.with(|current| current.as_ref().and_then(|one| one.bar.length())), Some(15));
        bars.phase(Phase::CompletingUpload, None);
        bars.advance(7);
        assert_eq!(bars.with(|current| current.as_ref().map(|one| one.bar.position())), Some(7));
    }
}
