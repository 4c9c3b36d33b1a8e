//! Bars with rate and remaining time, for a terminal. Work that ends within two seconds shows none.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use holdpoint_core::progress::{Phase, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::meter::Meter;
use super::{Screen, title};

const QUIET_FOR: Duration = Duration::from_secs(2);
const DRAW_EVERY: Duration = Duration::from_millis(120);
const KNOWN: &str = "{prefix:>26} {bar:30} {bytes}/{total_bytes} {msg}";
const UNKNOWN: &str = "{prefix:>26} {spinner} {bytes} {elapsed} {msg}";
const NO_BYTES: &str = "{prefix:>26} {spinner} {elapsed}";
/// One of the phase's items; a long name loses its end.
const ITEM: &str = "{prefix:>26!} {bar:30.dim} {bytes}/{total_bytes}";
/// Lines of items below the phase's bar: one for each of the usual jobs.
const ITEMS: usize = 2;

/// The bar of the phase that runs, on the screen.
pub(super) struct Bars {
    screen: Screen,
    started: Instant,
    current: Mutex<Option<Current>>,
}

struct Current {
    meter: Meter,
    bar: ProgressBar,
    template: &'static str,
    items: Vec<ProgressBar>,
}

impl Bars {
    /// Begins with nothing shown; a thread shows the bars when it took long enough to be worth one.
    pub(super) fn start(screen: &Screen) -> Arc<Self> {
        let bars = Arc::new(Self { screen: screen.clone(), started: Instant::now(), current: Mutex::new(None) });
        let weak = Arc::downgrade(&bars);
        std::thread::spawn(move || tick(&weak));
        bars
    }

    fn with<T>(&self, work: impl FnOnce(&mut Option<Current>, Duration) -> T) -> T {
        work(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner), self.started.elapsed())
    }

    /// Takes the running phase off the screen.
    fn clear(&self, current: &mut Option<Current>) {
        if let Some(last) = current.take() {
            for bar in last.items.iter().chain([&last.bar]) {
                bar.finish_and_clear();
                self.screen.bars().remove(bar);
            }
        }
    }

    /// Brings what is shown up to date.
    fn draw(&self) {
        self.with(|current, now| {
            let Some(current) = current else { return };
            current.bar.set_message(current.meter.outlook(now));
            current.bar.tick();
            let biggest = current.meter.biggest(ITEMS, now);
            for gone in current.items.drain(biggest.len().min(current.items.len())..) {
                gone.finish_and_clear();
                self.screen.bars().remove(&gone);
            }
            for (place, (name, item)) in biggest.into_iter().enumerate() {
                if place == current.items.len() {
                    let after = current.items.last().unwrap_or(&current.bar);
                    let bar = self.screen.bars().insert_after(after, ProgressBar::new(0));
                    bar.set_style(style(ITEM));
                    current.items.push(bar);
                }
                let bar = &current.items[place];
                bar.set_prefix(name.to_owned());
                bar.set_length(item.total.unwrap_or(item.done).max(item.done));
                bar.set_position(item.done);
            }
        });
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
        if shown {
            bars.draw();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants, and a test draws each.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

impl Progress for Bars {
    fn phase(&self, phase: Phase, expected_bytes: Option<u64>) {
        self.with(|current, now| {
            self.clear(current);
            let meter = Meter::new(phase, expected_bytes, now);
            let (bar, template) = match meter.total {
                Some(bytes) => (ProgressBar::new(bytes), KNOWN),
                None => (ProgressBar::no_length(), NO_BYTES),
            };
            bar.set_style(style(template));
            bar.set_prefix(title(phase));
            let bar = self.screen.bars().add(bar);
            *current = Some(Current { meter, bar, template, items: Vec::new() });
        });
    }

    fn advance(&self, bytes: u64) {
        self.with(|current, now| {
            let Some(current) = current else { return };
            current.meter.advance(bytes, now);
            let moved = current.meter.moved;
            // The expected bytes are an estimate, and over it nothing is known; a bar that is full would lie.
            let template = if current.meter.total.is_some_and(|total| total >= moved) { KNOWN } else { UNKNOWN };
            if template != current.template {
                current.bar.set_style(style(template));
                current.template = template;
            }
            current.bar.set_position(moved);
        });
    }

    fn rest(&self) {
        self.with(|current, _| self.clear(current));
    }

    fn note(&self, message: &str) {
        if let Err(error) = self.screen.bars().suspend(|| super::lines::say(message)) {
            tracing::debug!(%error, "a note could not be shown");
        }
    }

    fn item(&self, name: &str, done: u64, total: Option<u64>) {
        self.with(|current, now| {
            if let Some(current) = current {
                current.meter.item(name, done, total, now);
            }
        });
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.with(|current, _| self.clear(current));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bars: &Bars) -> (u64, &'static str, Vec<String>) {
        bars.with(|current, _| {
            let current = current.as_ref().unwrap();
            let items = current.items.iter().map(ProgressBar::prefix).collect();
            (current.bar.position(), current.template, items)
        })
    }

    #[test]
    fn every_template_is_valid() {
        for template in [KNOWN, UNKNOWN, NO_BYTES, ITEM] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn a_bar_that_is_over_full_is_none() {
        let bars = Bars::start(&Screen::new());
        bars.phase(Phase::CopyingData, Some(10));
        bars.advance(9);
        assert_eq!(shown(&bars), (9, KNOWN, vec![]));
        bars.advance(6);
        assert_eq!(shown(&bars), (15, UNKNOWN, vec![]));
        bars.phase(Phase::CompletingUpload, None);
        assert_eq!(shown(&bars).1, NO_BYTES);
        bars.advance(7);
        assert_eq!(shown(&bars), (7, UNKNOWN, vec![]));
    }

    #[test]
    fn the_biggest_items_have_lines_of_their_own() {
        let bars = Bars::start(&Screen::new());
        bars.phase(Phase::CopyingData, Some(1 << 40));
        for (name, total) in [("public.a", 1 << 30), ("public.b", 3 << 30), ("public.c", 2 << 30)] {
            bars.item(name, 1, Some(total));
        }
        bars.draw();
        assert_eq!(shown(&bars).2, ["public.b", "public.c"]);
        bars.item("public.b", 3 << 30, Some(3 << 30));
        bars.draw();
        assert_eq!(shown(&bars).2, ["public.c", "public.a"]);
        bars.phase(Phase::CompletingUpload, None);
        bars.draw();
        assert_eq!(shown(&bars).2, Vec::<String>::new());
    }
}
