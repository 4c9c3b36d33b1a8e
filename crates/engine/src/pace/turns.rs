//! So many at a time, where the number changes.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Lets a changing number of holders in.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    limit: usize,
    taken: usize,
}

/// The right to read; dropping it lets the next one.
#[derive(Debug)]
pub struct Turn<'a>(&'a Turns);

impl Turns {
    pub(super) fn new(limit: usize) -> Self {
        Self { state: Mutex::new(State { limit: limit.max(1), taken: 0 }), freed: Notify::new() }
    }

    pub(super) fn limit(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).limit
    }

    /// Changes the number, which is at least one; who holds a turn keeps it.
    pub(super) fn set_limit(&self, limit: usize) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).limit = limit.max(1);
        self.freed.notify_waiters();
    }

    pub(super) async fn take(&self) -> Turn<'_> {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Registered before looking, so that nothing is freed unseen in between.
            freed.as_mut().enable();
            {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.taken < state.limit {
                    state.taken += 1;
                    return Turn(self);
                }
            }
            freed.await;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).taken -= 1;
        self.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_lower_limit_counts_from_the_next_turn_on() {
        let turns = Turns::new(2);
        let (first, second) = (turns.take().await, turns.take().await);
        assert!(turns.take().now_or_never().is_none());
        turns.set_limit(0);
        assert_eq!(turns.limit(), 1, "one may always read");
        drop(first);
        assert!(turns.take().now_or_never().is_none(), "one still reads");
        drop(second);
        let only = turns.take().now_or_never().unwrap();
        let mut next = Box::pin(turns.take());
        assert!(next.as_mut().now_or_never().is_none());
        turns.set_limit(2);
        let next = next.now_or_never().unwrap();
        assert!(turns.take().now_or_never().is_none());
        drop((only, next));
    }
}
