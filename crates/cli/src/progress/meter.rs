//! What the running phase has moved, how fast, and which of its items are the biggest.

use std::collections::BTreeMap;
use std::time::Duration;

use holdpoint_core::forecast::Forecast;
use holdpoint_core::progress::Phase;

use crate::quantity::{bytes, milliseconds};

/// Items that have said nothing for so long are not at work, whatever they announced.
const AT_WORK: Duration = Duration::from_secs(10);
/// Smaller ones come and go too fast to be read.
const WORTH_A_LINE: u64 = 8 << 20;

/// A named part of a phase, such as a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) done: u64,
    pub(super) total: Option<u64>,
    told: Duration,
}

/// The running phase. All times are counted from the beginning of the work.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) phase: Phase,
    pub(super) moved: u64,
    /// What was announced; nothing is known of the rest once more was moved.
    pub(super) total: Option<u64>,
    began: Duration,
    forecast: Forecast,
    items: BTreeMap<String, Item>,
}

impl Meter {
    /// Begins a phase.
    pub(super) fn new(phase: Phase, total: Option<u64>, now: Duration) -> Self {
        let total = total.filter(|bytes| *bytes > 0);
        Self { phase, moved: 0, total, began: now, forecast: Forecast::default(), items: BTreeMap::new() }
    }

    /// Counts bytes.
    pub(super) fn advance(&mut self, bytes: u64, now: Duration) {
        self.moved += bytes;
        self.forecast.observe(self.took(now), self.moved);
    }

    /// Notes how far an item is; one that is done is forgotten.
    pub(super) fn item(&mut self, name: &str, done: u64, total: Option<u64>, now: Duration) {
        if total.is_some_and(|total| done >= total) {
            self.items.remove(name);
        } else if let Some(known) = self.items.get_mut(name) {
            *known = Item { done, total, told: now };
        } else {
            self.items.insert(name.to_owned(), Item { done, total, told: now });
        }
    }

    /// How long the phase runs.
    pub(super) fn took(&self, now: Duration) -> Duration {
        now.saturating_sub(self.began)
    }

    pub(super) fn bytes_per_second(&self) -> Option<u64> {
        self.forecast.bytes_per_second()
    }

    /// How long the phase will still take, where that can be known.
    pub(super) fn remaining(&self, now: Duration) -> Option<Duration> {
        self.forecast.remaining(self.took(now), self.moved, self.total?)
    }

    /// The biggest items at work, at most `count`.
    pub(super) fn biggest(&self, count: usize, now: Duration) -> Vec<(&str, Item)> {
        let size = |item: &Item| item.total.unwrap_or(item.done);
        let at_work = |item: &Item| now.saturating_sub(item.told) < AT_WORK && size(item) >= WORTH_A_LINE;
        let mut items: Vec<(&str, Item)> =
            self.items.iter().filter(|(_, item)| at_work(item)).map(|(name, item)| (name.as_str(), *item)).collect();
        items.sort_by_key(|(_, item)| std::cmp::Reverse(size(item)));
        items.truncate(count);
        items
    }

    /// Rate and remaining time for people: `52.3 MiB/s, 1 min 35 s left`; empty where nothing can be said.
    pub(super) fn outlook(&self, now: Duration) -> String {
        let rate = self.bytes_per_second().map(|rate| format!("{}/s", bytes(rate)));
        let left = self.remaining(now).map(|left| format!("{} left", roughly(left)));
        [rate, left].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Writes a duration that nobody knows to the tenth of a second.
fn roughly(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => milliseconds(seconds.saturating_mul(1000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_phase_counts_from_its_own_beginning() {
        let mut meter = Meter::new(Phase::CopyingData, Some(500 * MIB), seconds(100));
        for second in 101..=110 {
            meter.advance(10 * MIB, seconds(second));
        }
        assert_eq!(meter.outlook(seconds(110)), "10.0 MiB/s, 40 s left");
        assert_eq!(meter.took(seconds(110)), seconds(10));
    }

    #[test]
    fn what_nobody_knows_is_not_said() {
        let mut meter = Meter::new(Phase::CopyingData, None, seconds(0));
        assert_eq!(meter.outlook(seconds(1)), "");
        meter.advance(10 * MIB, seconds(5));
        assert_eq!(meter.outlook(seconds(5)), "2.0 MiB/s");
        let mut over = Meter::new(Phase::CopyingData, Some(5), seconds(0));
        over.advance(10 * MIB, seconds(5));
        assert_eq!(over.outlook(seconds(5)), "2.0 MiB/s");
        assert_eq!(Meter::new(Phase::CopyingData, Some(0), seconds(0)).total, None);
    }

    #[test]
    fn the_biggest_at_work_are_shown() {
        let mut meter = Meter::new(Phase::CopyingData, None, seconds(0));
        meter.item("public.orders", 3 * MIB, Some(900 * MIB), seconds(1));
        meter.item("public.lines", 5 * MIB, Some(2000 * MIB), seconds(1));
        meter.item("public.notes", 1, Some(100 * MIB), seconds(1));
        meter.item("public.small", 1, Some(MIB), seconds(1));
        let names =
            |meter: &Meter, now| meter.biggest(2, now).iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&meter, seconds(2)), ["public.lines", "public.orders"]);
        meter.item("public.lines", 2000 * MIB, Some(2000 * MIB), seconds(3));
        assert_eq!(names(&meter, seconds(3)), ["public.orders", "public.notes"], "what is done is gone");
        meter.item("public.notes", 2, Some(100 * MIB), seconds(15));
        assert_eq!(names(&meter, seconds(15)), ["public.notes"], "what stopped is not shown for ever");
    }

    #[test]
    fn a_forecast_is_as_rough_as_it_is() {
        assert_eq!(roughly(Duration::from_millis(9_900)), "9 s");
        assert_eq!(roughly(Duration::from_millis(95_400)), "1 min 35 s");
    }
}
