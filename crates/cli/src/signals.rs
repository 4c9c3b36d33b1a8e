//! Ctrl-C and SIGTERM: the first asks for a clean end, the second ends at once.

use std::io::Write as _;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use holdpoint::exit_code;

/// Watches in the background until dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    _task: JoinSet<()>,
}

/// Begins to watch. The first signal cancels `cancel`: whoever works then undoes what is half done.
pub(crate) fn watch(cancel: &CancellationToken) -> std::io::Result<Watch> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let cancel = cancel.clone();
    let mut task = JoinSet::new();
    task.spawn(async move {
        any(&mut interrupt, &mut terminate, &mut hangup).await;
        cancel.cancel();
        tell("interrupted: cleaning up; once more ends at once and leaves what is there");
        any(&mut interrupt, &mut terminate, &mut hangup).await;
        tell("ended at once; see what was left: holdpoint leftovers");
        end_now();
    });
    Ok(Watch { _task: task })
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
