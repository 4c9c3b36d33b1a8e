//! How long a store that does not answer is waited for once the end was asked for.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::{Duration, Instant, timeout};
use tokio_util::sync::CancellationToken;

/// For so long, in all, requests that fail are waited for after a signal: whoever sent it, such as systemd or Kubernetes, kills what
/// does not end. The units of `config/` allow more.
pub const ENDS_WITHIN: Duration = Duration::from_secs(300);

/// What each request has where nothing is left of that: a store that answers again is heard.
const LEAST: Duration = Duration::from_secs(5);

/// When waiting for a store ends; by default as the other times say.
///
/// What it ends fails with [`Error::Timeout`](crate::Error::Timeout), as what outlasts any other time: whoever cleans up then says
/// what remains. Requests that succeed take nothing from it, so work that goes on after a signal is not cut short.
#[derive(Debug, Clone, Default)]
pub struct Ending(Option<Arc<Asked>>);

#[derive(Debug)]
struct Asked {
    within: Duration,
    now: Mutex<Now>,
}

/// By what the end is asked for, and what is left from then on.
#[derive(Debug, Clone)]
struct Now {
    end: CancellationToken,
    left: Duration,
}

impl Ending {
    /// Once `end` is cancelled, requests that fail are waited for so long in all.
    #[must_use]
    pub fn after(end: CancellationToken, within: Duration) -> Self {
        Self(Some(Arc::new(Asked { within, now: Mutex::new(Now { end, left: within }) })))
    }

    /// For work that goes on after a signal, such as an undo: from here on `end` asks for the end, and all of the time is left.
    pub fn renew(&self, end: CancellationToken) {
        if let Some(asked) = &self.0 {
            *asked.now.lock().unwrap_or_else(PoisonError::into_inner) = Now { end, left: asked.within };
        }
    }

    /// Waits for a request; `None` where it is given up.
    pub(super) async fn wait<T, E>(&self, request: impl Future<Output = Result<T, E>>) -> Option<Result<T, E>> {
        let Some(asked) = &self.0 else { return Some(request.await) };
        let mut request = pin!(request);
        tokio::select! {
            biased;
            done = &mut request => return Some(done),
            () = asked.is_cancelled() => {}
        }
        let (began, left) = (Instant::now(), asked.now().left);
        let done = timeout(left.max(LEAST.min(asked.within)), request).await.ok();
        if done.as_ref().is_none_or(Result::is_err) {
            let mut now = asked.now.lock().unwrap_or_else(PoisonError::into_inner);
            now.left = now.left.saturating_sub(began.elapsed());
        }
        done
    }

    /// Whether the end was asked for and nothing is left of the time.
    pub(super) fn is_over(&self) -> bool {
        self.0.as_ref().map(|asked| asked.now()).is_some_and(|now| now.end.is_cancelled() && now.left.is_zero())
    }
}

impl Asked {
    fn now(&self) -> Now {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Until the end is asked for; a request that began before the work went on counts by what it began with.
    async fn is_cancelled(&self) {
        self.now().end.cancelled_owned().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_goes_on_after_a_signal_has_all_of_the_time_again() {
        let (first, next) = (CancellationToken::new(), CancellationToken::new());
        let within = Duration::from_millis(200);
        let ending = Ending::after(first.clone(), within);
        first.cancel();
        let silent = || std::future::pending::<Result<(), ()>>();
        assert!(ending.wait(silent()).await.is_none() && ending.is_over());
        ending.renew(next.clone());
        let slow = async {
            tokio::time::sleep(within * 3).await;
            Ok::<(), ()>(())
        };
        assert!(ending.wait(slow).await.is_some() && !ending.is_over(), "nobody asked for this end");
        next.cancel();
        assert!(ending.wait(silent()).await.is_none() && ending.is_over());
    }
}
