//! Bytes a second, over everybody who shares the value.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What was not read for a while may be made up for, but only so much of it: production shall not see a burst.
const BURST: Duration = Duration::from_millis(200);

/// A bucket of time: every byte takes its share of a second, and whoever spent more than there was waits.
#[derive(Debug)]
pub(super) struct Rate {
    bytes_per_second: NonZeroU64,
    /// Until when everything that was read has been paid for.
    paid_until: Mutex<Instant>,
}

impl Rate {
    pub(super) fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, paid_until: Mutex::new(Instant::now()) }
    }

    /// Pays for bytes that were read, and waits until they are.
    pub(super) async fn spend(&self, bytes: u64) {
        sleep_until(self.due(bytes, Instant::now())).await;
    }

    /// Pays for bytes that were read by `now`, and gives the instant from which on more may be.
    fn due(&self, bytes: u64, now: Instant) -> Instant {
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let price = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second.get() as f64);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        *paid_until = (*paid_until).max(earliest) + price;
        *paid_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(bytes_per_second: u64) -> (Rate, Instant) {
        let rate = Rate::new(NonZeroU64::new(bytes_per_second).unwrap());
        let began = *rate.paid_until.lock().unwrap();
        (rate, began)
    }

    #[test]
    fn rest_is_not_saved_up() {
        let (rate, began) = rate(1000);
        let rested = began + Duration::from_secs(60);
        let due = rate.due(1000, rested);
        assert_eq!(due - rested, Duration::from_millis(800), "a fifth of a second may be made up for");
        assert_eq!(rate.due(5000, due) - due, Duration::from_secs(5));
    }

    /// Readers with large and small portions who all wait as they are told read what the rate allows, and nearly as much.
    #[test]
    fn a_rate_is_kept_by_all_together() {
        let (rate, began) = rate(1_000_000);
        let mut readers = [(64_000, began), (1_000, began), (300_000, began)];
        let mut read = 0;
        loop {
            let Some((portion, free)) = readers.iter_mut().min_by_key(|(_, free)| *free) else { return };
            let elapsed = (*free - began).as_secs_f64();
            // Ahead of its time: a portion of each, and the burst.
            assert!(read as f64 <= elapsed * 1e6 + 565_000.0, "{read} bytes in {elapsed} s");
            if elapsed > 10.0 {
                break assert!(read as f64 >= elapsed * 0.95e6, "only {read} bytes in {elapsed} s");
            }
            read += *portion;
            *free = rate.due(*portion, *free);
        }
    }
}
