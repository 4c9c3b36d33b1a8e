//! How fast long work goes, and how long it will still take.
//!
//! Pure: whoever shows progress says what was moved when. The test beside this crate replays recorded runs.

use std::time::Duration;

/// Observations closer together than this are taken as one: a piece is told in one instant, and was not made in it.
const APART: Duration = Duration::from_millis(100);
/// Nothing is said of a rate before this much time was seen.
const SEEN: Duration = Duration::from_secs(1);
/// How far back the rate looks, as a share of the time so far: far enough that one unusual table does not decide,
/// near enough that a change of weather is believed.
const LOOKS_BACK: f64 = 0.5;

/// The smoothed rate of one phase of the work.
///
/// Times are counted from the phase's beginning, bytes are all that it has moved so far. The newest observations weigh
/// most, and their weight falls with a time constant that grows with the phase: ten seconds after the beginning it is
/// seconds, after an hour it is minutes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forecast {
    at: Duration,
    moved: u64,
    /// Bytes a second, once anything was observed.
    rate: Option<f64>,
}

impl Forecast {
    /// Takes in that `moved` bytes in all were moved when `elapsed` had passed.
    pub fn observe(&mut self, elapsed: Duration, moved: u64) {
        if elapsed < self.at + APART {
            return;
        }
        self.rate = Some(self.rate_at(elapsed, moved));
        (self.at, self.moved) = (elapsed, moved);
    }

    /// The rate as if this had just been observed.
    fn rate_at(&self, elapsed: Duration, moved: u64) -> f64 {
        let (now, since) = (elapsed.as_secs_f64(), elapsed.saturating_sub(self.at).as_secs_f64());
        let newest = moved.saturating_sub(self.moved) as f64 / since.max(f64::EPSILON);
        match self.rate {
            None => newest,
            Some(_) if since <= 0.0 => self.rate.unwrap_or(newest),
            Some(rate) => {
                let weight = 1.0 - (-since / (LOOKS_BACK * now)).exp();
                rate + weight * (newest - rate)
            }
        }
    }

    /// Gives the bytes a second, `None` while too little was seen.
    pub fn bytes_per_second(&self) -> Option<u64> {
        let rate = self.rate.filter(|_| self.at >= SEEN && self.moved > 0)?;
        Some(rate as u64)
    }

    /// Gives how long the rest of `total` bytes will take, `None` while too little was seen, when nothing moves any
    /// more, and when more than `total` was moved, so that nobody knows the rest.
    pub fn remaining(&self, elapsed: Duration, moved: u64, total: u64) -> Option<Duration> {
        let left = total.checked_sub(moved)?;
        self.bytes_per_second()?;
        let rate = if elapsed > self.at { self.rate_at(elapsed, moved) } else { self.rate? };
        let seconds = left as f64 / rate;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Feeds a steady rate for some seconds.
    fn feed(forecast: &mut Forecast, from: (u64, u64), seconds: u64, rate: u64) -> (u64, u64) {
        let (mut at, mut moved) = from;
        for _ in 0..seconds * 10 {
            at += 100;
            moved += rate / 10;
            forecast.observe(Duration::from_millis(at), moved);
        }
        (at, moved)
    }

    fn seconds_left(forecast: &Forecast, (at, moved): (u64, u64), total: u64) -> Option<f64> {
        forecast.remaining(Duration::from_millis(at), moved, total).map(|left| left.as_secs_f64())
    }

    #[test]
    fn a_steady_rate_is_told_as_it_is() {
        let mut forecast = Forecast::default();
        let now = feed(&mut forecast, (0, 0), 10, 50 * MIB);
        let left = seconds_left(&forecast, now, now.1 + 500 * MIB).unwrap();
        assert!((left - 10.0).abs() < 0.1, "{left}");
        assert!(forecast.bytes_per_second().unwrap().abs_diff(50 * MIB) < MIB);
    }

    #[test]
    fn a_new_rate_is_believed_in_time() {
        let mut forecast = Forecast::default();
        let now = feed(&mut forecast, (0, 0), 60, 100 * MIB);
        let now = feed(&mut forecast, now, 60, 10 * MIB);
        // The mean since the beginning would say 55 MiB/s.
        let rate = forecast.bytes_per_second().unwrap();
        assert!(rate < 50 * MIB && rate > 10 * MIB, "{rate}");
        assert!(seconds_left(&forecast, now, now.1 + 100 * MIB).unwrap() > 2.0);
    }

    #[test]
    fn pieces_told_at_once_do_not_make_it_jump() {
        let mut forecast = Forecast::default();
        let (mut lowest, mut highest) = (f64::MAX, 0.0_f64);
        let total = 200 * 16 * MIB;
        for piece in 1..=100_u64 {
            // Two workers end their pieces almost together.
            let at = 1000 * (piece / 2 + 1) + piece % 2;
            forecast.observe(Duration::from_millis(at), piece * 16 * MIB);
            if piece > 40 {
                let left = seconds_left(&forecast, (at, piece * 16 * MIB), total).unwrap();
                let whole = left + at as f64 / 1000.0;
                (lowest, highest) = (lowest.min(whole), highest.max(whole));
            }
        }
        assert!(lowest > 90.0 && highest < 110.0, "{lowest} to {highest}");
    }

    #[test]
    fn a_standstill_is_noticed_without_an_observation() {
        let mut forecast = Forecast::default();
        let now = feed(&mut forecast, (0, 0), 20, 50 * MIB);
        let (then, later) =
            (seconds_left(&forecast, now, 2000 * MIB), seconds_left(&forecast, (60_000, now.1), 2000 * MIB));
        assert!(later > then, "{then:?}, {later:?}");
    }

    #[test]
    fn nothing_is_said_that_nobody_knows() {
        let mut forecast = Forecast::default();
        assert_eq!(seconds_left(&forecast, (0, 0), MIB), None);
        forecast.observe(Duration::from_millis(400), MIB);
        assert_eq!(seconds_left(&forecast, (400, MIB), 10 * MIB), None, "too soon");
        forecast.observe(Duration::from_millis(1400), 3 * MIB);
        assert!(seconds_left(&forecast, (1400, 3 * MIB), 10 * MIB).is_some());
        assert_eq!(seconds_left(&forecast, (1400, 3 * MIB), 2 * MIB), None, "the total was a guess, and too low");
        assert_eq!(seconds_left(&forecast, (1400, 3 * MIB), 3 * MIB), Some(0.0));
        let mut still = Forecast::default();
        still.observe(Duration::from_secs(5), 0);
        assert_eq!(seconds_left(&still, (5000, 0), MIB), None);
        assert_eq!(still.bytes_per_second(), None);
    }
}
