//! How many shall read at a time, judged by what came of it: a pure rule over measurements.
//!
//! Every now and then one reader less or more is tried. One that adds nothing (the bottleneck is the server, its disk,
//! the network or the upload) stays away, one that adds something stays; a try that did not pay is undone, and the next
//! is later. When clearly more sessions of others wait at the server than before the backup, one reader goes at once, and
//! comes back after a calm time.

/// A reader that adds less than this share of the throughput adds nothing.
const WORTH: f64 = 0.04;
/// Throughput below this share of what it was is a reason to look again: another table, another bottleneck.
const FALLEN: f64 = 0.8;
/// Windows over which a number of readers is measured.
const MEASURED: u32 = 2;
/// Windows until the first try with one less; it doubles with every try that did not pay.
const FIRST_TRY: u32 = 4;
const LATEST_TRY: u32 = 64;
/// So much more than before the backup, and one session besides, is no chance: samples of a moment vary.
const MORE: f64 = 1.5;
/// Windows without others' waits until a reader that went for their sake comes back.
const CALM: u32 = 5;

/// What was measured in one window of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) bytes_per_second: f64,
    /// Sessions of others that waited for the server's resources, on average.
    pub(super) others_waiting: f64,
}

#[derive(Debug)]
pub(super) struct Adviser {
    most: usize,
    now: usize,
    /// What the readers achieve, as far as it is measured.
    measured: Option<f64>,
    /// While a number is tried: the number and the throughput before.
    tried_from: Option<(usize, f64)>,
    /// Whether the next try is with one more.
    upward: bool,
    sum: f64,
    windows: u32,
    until_try: u32,
    between_tries: u32,
    /// Sessions that waited before the backup began.
    usual_waits: f64,
    calm_for: u32,
    gone_for_others: usize,
}

impl Adviser {
    /// `usual_waits`: how many sessions of others waited before anything was read.
    pub(super) fn new(most: usize, usual_waits: f64) -> Self {
        Self {
            most: most.max(1),
            now: most.max(1),
            measured: None,
            tried_from: None,
            upward: false,
            sum: 0.0,
            windows: 0,
            until_try: FIRST_TRY,
            between_tries: FIRST_TRY,
            usual_waits,
            calm_for: 0,
            gone_for_others: 0,
        }
    }

    /// Says how many shall read in the next window.
    pub(super) fn after(&mut self, window: Window) -> usize {
        if window.others_waiting > self.usual_waits * MORE + 1.0 {
            self.calm_for = 0;
            if self.now > 1 {
                self.gone_for_others += 1;
                self.change(self.now - 1);
            }
            return self.now;
        }
        self.calm_for += 1;
        if self.gone_for_others > 0 && self.calm_for >= CALM {
            self.calm_for = 0;
            self.gone_for_others -= 1;
            self.change(self.now + 1);
            return self.now;
        }
        self.sum += window.bytes_per_second;
        self.windows += 1;
        if self.windows < MEASURED {
            return self.now;
        }
        let throughput = self.sum / f64::from(self.windows);
        (self.sum, self.windows) = (0.0, 0);
        self.judge(throughput);
        self.now
    }

    fn judge(&mut self, throughput: f64) {
        if let Some((from, before)) = self.tried_from.take() {
            let pays = if self.now > from {
                throughput > before * (1.0 + WORTH)
            } else {
                throughput >= before * (1.0 - WORTH)
            };
            if pays {
                // Further on the same way, soon.
                self.measured = Some(throughput);
                self.between_tries = FIRST_TRY;
                self.until_try = 1;
            } else {
                self.between_tries = (self.between_tries * 2).min(LATEST_TRY);
                self.until_try = self.between_tries;
                self.upward = !self.upward;
                self.change(from);
            }
            return;
        }
        if self.measured.is_some_and(|before| throughput < before * FALLEN) {
            self.between_tries = FIRST_TRY;
            self.until_try = self.until_try.min(FIRST_TRY);
        }
        self.measured = Some(throughput);
        self.until_try = self.until_try.saturating_sub(1);
        let most = self.most.saturating_sub(self.gone_for_others).max(1);
        if self.until_try > 0 || throughput <= 0.0 || most == 1 {
            return;
        }
        self.upward = (self.upward && self.now < most) || self.now == 1;
        let from = self.now;
        self.change(if self.upward { from + 1 } else { from - 1 });
        self.tried_from = Some((from, throughput));
    }

    fn change(&mut self, readers: usize) {
        self.now = readers.clamp(1, self.most);
        self.measured = None;
        self.tried_from = None;
        (self.sum, self.windows) = (0.0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the rule against a machine whose throughput follows from the number of readers; gives how many read in each
    /// window.
    fn run(most: usize, windows: usize, machine: impl Fn(usize, usize) -> Window) -> Vec<usize> {
        let mut adviser = Adviser::new(most, 2.0);
        let mut now = most;
        (0..windows)
            .map(|window| {
                let used = now;
                now = adviser.after(machine(window, used));
                used
            })
            .collect()
    }

    fn quiet(bytes_per_second: f64) -> Window {
        Window { bytes_per_second, others_waiting: 2.0 }
    }

    #[test]
    fn what_scales_keeps_all_its_readers_nearly_always() {
        let used = run(8, 1000, |_, readers| quiet(readers as f64 * 50e6));
        let all = used.iter().filter(|readers| **readers == 8).count();
        assert!(all > 950, "only {all} of 1000 windows");
        assert!(used.iter().all(|readers| *readers >= 7), "never more than one is tried away");
    }

    #[test]
    fn readers_that_add_nothing_go_and_stay_away() {
        let used = run(8, 300, |_, readers| quiet((readers as f64).min(2.0) * 50e6));
        assert!(used[..100].contains(&2), "{used:?}");
        let few = used[100..].iter().filter(|readers| **readers == 2).count();
        assert!(few > 180, "{few} of 200: {used:?}");
    }

    #[test]
    fn a_bottleneck_that_goes_lets_readers_come_back() {
        let used = run(4, 400, |window, readers| {
            // The next table gives less to each reader, and something to all of them.
            let (useful, each) = if window < 100 { (1.0, 50e6) } else { (4.0, 20e6) };
            quiet((readers as f64).min(useful) * each)
        });
        assert_eq!(used[..100].iter().min(), Some(&1), "{used:?}");
        let all = used[200..].iter().filter(|readers| **readers == 4).count();
        assert!(all > 170, "{all} of 200: {used:?}");
    }

    #[test]
    fn readers_go_at_once_when_others_begin_to_wait_and_come_back_after() {
        let used = run(6, 120, |window, readers| Window {
            bytes_per_second: readers as f64 * 50e6,
            others_waiting: if (10..13).contains(&window) { 9.0 } else { 3.5 },
        });
        assert_eq!(used[13], used[10].min(6) - 3, "one less for each window in which others waited: {used:?}");
        assert!(used[60..].iter().all(|readers| *readers >= 5), "{used:?}");
    }

    #[test]
    fn one_reader_always_stays() {
        let used = run(2, 50, |window, _| Window { bytes_per_second: 0.0, others_waiting: window as f64 });
        assert!(used.iter().all(|readers| *readers >= 1) && used[40] == 1);
    }
}
