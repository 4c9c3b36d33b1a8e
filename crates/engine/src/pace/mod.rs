//! How hard a backup may work on the server: bytes a second, and how many read at a time.
//!
//! Production comes first: a rate that was given is kept over all connections together, and where the number of workers
//! is ours to choose, fewer of them read when more do not help or when others at the server begin to wait.

mod adviser;
mod rate;
mod turns;

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use adviser::{Adviser, Window};
use rate::Rate;
pub use turns::Turn;
use turns::Turns;

/// How long throughput is measured before it is judged.
const WINDOW: Duration = Duration::from_secs(2);

/// The pace of one backup, shared by everybody who reads from the server.
#[derive(Debug)]
pub struct Pace {
    rate: Option<Rate>,
    turns: Turns,
    read: AtomicU64,
    /// Sum and number of what was seen since it was last judged.
    others_waiting: Mutex<(u64, u32)>,
    usual_waits: f64,
    most: usize,
    adaptive: bool,
}

impl Pace {
    /// Begins with `workers` readers at a time (at least one) and at most so many bytes a second, where that is given.
    ///
    /// `usual_waits`, where it is given, is how many sessions of others wait at the server anyhow, on average, and lets
    /// [`Pace::adapt`] change how many read.
    #[must_use]
    pub fn new(workers: usize, bytes_per_second: Option<NonZeroU64>, usual_waits: Option<f64>) -> Self {
        let most = workers.max(1);
        Self {
            rate: bytes_per_second.map(Rate::new),
            turns: Turns::new(most),
            read: AtomicU64::new(0),
            others_waiting: Mutex::new((0, 0)),
            usual_waits: usual_waits.unwrap_or(0.0),
            most,
            adaptive: usual_waits.is_some() && most > 1,
        }
    }

    /// A pace without any bound, for who reads alone.
    #[must_use]
    pub fn unbounded() -> Self {
        Self::new(1, None, None)
    }

    /// Waits until one more may read; dropping the turn lets the next one.
    ///
    /// To be asked for *before* a piece is taken from the ordered list: whoever holds a piece must never wait here, or
    /// the piece at the head of the window could wait for those behind it.
    pub async fn turn(&self) -> Turn<'_> {
        self.turns.take().await
    }

    /// Accounts for bytes that were read, and waits as long as the rate asks for before more may be.
    ///
    /// Not reading is what holds the server back: its sending blocks once the buffers in between are full.
    pub async fn read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
        if let Some(rate) = &self.rate {
            rate.spend(bytes).await;
        }
    }

    /// Tells how many sessions of others wait for the server's resources right now.
    pub fn others_wait(&self, sessions: u64) {
        let mut seen = self.others_waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = (seen.0.saturating_add(sessions), seen.1.saturating_add(1));
    }

    /// The average since it was last asked for; nothing where nobody looked.
    fn others_waited(&self) -> f64 {
        let mut seen = self.others_waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (sum, samples) = std::mem::take(&mut *seen);
        if samples == 0 { 0.0 } else { sum as f64 / f64::from(samples) }
    }

    /// How many may read at a time now.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.turns.limit()
    }

    /// Changes how many read at a time as the measurements advise; goes on until it is dropped.
    pub async fn adapt(&self) {
        if !self.adaptive {
            return std::future::pending().await;
        }
        let mut adviser = Adviser::new(self.most, self.usual_waits);
        let mut ticks = interval(WINDOW);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let (mut since, mut before) = (Instant::now(), self.read.load(Ordering::Relaxed));
        loop {
            ticks.tick().await;
            let (now, read) = (Instant::now(), self.read.load(Ordering::Relaxed));
            let window = Window {
                bytes_per_second: (read - before) as f64 / (now - since).as_secs_f64(),
                others_waiting: self.others_waited(),
            };
            (since, before) = (now, read);
            let advice = adviser.after(window);
            if advice != self.turns.limit() {
                tracing::debug!(workers = advice, rate = window.bytes_per_second, "another number of readers");
                self.turns.set_limit(advice);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_number_that_was_asked_for_stays() {
        let pace = Pace::new(4, None, None);
        assert!(pace.adapt().now_or_never().is_none());
        assert_eq!(pace.workers(), 4);
        let turns = [pace.turn().await, pace.turn().await, pace.turn().await, pace.turn().await];
        assert!(pace.turn().now_or_never().is_none());
        drop(turns);
        pace.read(u64::MAX).await;
    }

    #[test]
    fn waits_are_averaged_between_two_judgements() {
        let pace = Pace::new(2, None, Some(1.0));
        for sessions in [2, 4, 3] {
            pace.others_wait(sessions);
        }
        assert_eq!((pace.others_waited(), pace.others_waited()), (3.0, 0.0));
    }
}
