//! The bounded window: portions are dealt in order, copied side by side, and written in order.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::output::Outcome;
use super::plan::{Dealer, Plan, Portion};

/// Deals portions out, no more of them at a time than the window holds.
///
/// Permits are taken in the order in which portions are dealt, so the portion at the head always has one: it never
/// waits for those behind it, and they wait for nothing but it.
pub(super) struct Window {
    permits: Arc<Semaphore>,
    dealing: Mutex<Dealing>,
    portion_bytes: u64,
}

struct Dealing {
    dealer: Dealer,
    slots: Option<mpsc::UnboundedSender<Slot>>,
}

/// A portion's place in the order.
pub(super) struct Slot {
    pub(super) outcome: oneshot::Receiver<Outcome>,
    /// Given back when the portion is written.
    pub(super) permit: OwnedSemaphorePermit,
}

/// A portion to copy.
pub(super) struct Dealt {
    pub(super) portion: Portion,
    pub(super) to: oneshot::Sender<Outcome>,
}

impl Window {
    /// A window of `size` portions; the slots come in the archive's order and end with the last one.
    pub(super) fn new(size: usize, portion_bytes: u64) -> (Self, mpsc::UnboundedReceiver<Slot>) {
        let (send, slots) = mpsc::unbounded_channel();
        let dealing = Mutex::new(Dealing { dealer: Dealer::default(), slots: Some(send) });
        (Self { permits: Arc::new(Semaphore::new(size)), dealing, portion_bytes }, slots)
    }

    /// Gives the next portion when the window has room; `None` when all are dealt.
    pub(super) async fn take(&self, plan: &Plan) -> Option<Dealt> {
        let mut dealing = self.dealing.lock().await;
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let Some(portion) = dealing.dealer.deal(plan, self.portion_bytes) else {
            dealing.slots = None;
            return None;
        };
        let (to, outcome) = oneshot::channel();
        // The writer is gone only when it failed; then this task ends with it.
        dealing.slots.as_ref()?.send(Slot { outcome, permit }).ok()?;
        Some(Dealt { portion, to })
    }
}
