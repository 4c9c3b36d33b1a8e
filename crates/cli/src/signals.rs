//! Ctrl-C and SIGTERM: the first asks for a clean end, the second ends at once, unless what went on after the first asked
//! to be told of the next.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use holdpoint::exit_code;

/// Watches in the background until dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    _task: JoinSet<()>,
    /// What the next signal does.
    pub(crate) next: Next,
}

/// What the next signal cancels; `None` once it has: one more ends at once.
#[derive(Clone, Debug)]
pub(crate) struct Next(Arc<Mutex<Option<CancellationToken>>>);

impl Next {
    /// For work that goes on although a signal came: a token that the next one cancels.
    pub(crate) fn renew(&self) -> CancellationToken {
        let token = CancellationToken::new();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        token
    }

    fn take(&self) -> Option<CancellationToken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Begins to watch. The first signal cancels `cancel`: whoever works then undoes what is half done.
pub(crate) fn watch(cancel: &CancellationToken) -> std::io::Result<Watch> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let next = Next(Arc::new(Mutex::new(Some(cancel.clone()))));
    let asked = next.clone();
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            any(&mut interrupt, &mut terminate, &mut hangup).await;
            let Some(cancel) = asked.take() else { break };
            cancel.cancel();
            // An undo that goes on by itself after the first takes the next one.
            tell("interrupted: cleaning up; once more ends at once, or the undo of --on-failure, and leaves what is there");
        }
        tell("ended at once; see what was left: holdpoint leftovers");
        end_now();
    });
    Ok(Watch { _task: task, next })
}

async fn any(interrupt: &mut Signal, terminate: &mut Signal, hangup: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

fn tell(message: &str) {
    // The terminal may be gone; there is nobody else to tell.
    drop(writeln!(std::io::stderr(), "\nholdpoint: {message}"));
}

#[expect(clippy::exit, clippy::disallowed_methods, reason = "the second signal asks for just that")]
fn end_now() {
    std::process::exit(i32::from(exit_code::INTERRUPTED));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_cancels_once_unless_what_goes_on_asks_for_the_next() {
        let first = CancellationToken::new();
        let next = Next(Arc::new(Mutex::new(Some(first.clone()))));
        next.take().expect("the first signal cancels").cancel();
        assert!(first.is_cancelled() && next.take().is_none(), "a second one ends at once");
        let undo = next.renew();
        assert!(!undo.is_cancelled());
        next.take().expect("the next one cancels").cancel();
        assert!(undo.is_cancelled() && next.take().is_none());
    }
}
