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
    end: CancellationToken,
    left: Mutex<Duration>,
    least: Duration,
}

impl Ending {
    /// Once `end` is cancelled, requests that fail are waited for so long in all.
    #[must_use]
    pub fn after(end: CancellationToken, within: Duration) -> Self {
        Self(Some(Arc::new(Asked { end, left: Mutex::new(within), least: LEAST.min(within) })))
    }

    /// Waits for a request; `None` where it is given up.
    pub(super) async fn wait<T, E>(&self, request: impl Future<Output = Result<T, E>>) -> Option<Result<T, E>> {
        let Some(asked) = &self.0 else { return Some(request.await) };
        let mut request = pin!(request);
        tokio::select! {
            biased;
            done = &mut request => return Some(done),
            () = asked.end.cancelled() => {}
        }
        let (began, left) = (Instant::now(), asked.left());
        let done = timeout(left.max(asked.least), request).await.ok();
        if done.as_ref().is_none_or(Result::is_err) {
            let mut left = asked.left.lock().unwrap_or_else(PoisonError::into_inner);
            *left = left.saturating_sub(began.elapsed());
        }
        done
    }

    /// Whether the end was asked for and nothing is left of the time.
    pub(super) fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(|asked| asked.end.is_cancelled() && asked.left().is_zero())
    }
}

impl Asked {
    fn left(&self) -> Duration {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
