//! Lines for the shell before and after the command: maintenance mode on, and off.

use std::time::Duration;

use holdpoint_core::RunId;
use holdpoint_process::{Program, Stderr, Stdin, Stdout};
use tokio_util::sync::CancellationToken;

use crate::run::GuardOptions;

/// How long a hook may take.
const LIMIT: Duration = Duration::from_secs(600);
/// How long its group has to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a line by `sh -c` with the command's environment and the run's id; why it failed, in words.
///
/// Its output goes where the command's goes. It ends with its whole group when `cancel` is cancelled.
pub(crate) async fn run(
    line: &str,
    options: &GuardOptions,
    run: &RunId,
    cancel: &CancellationToken,
) -> Result<(), String> {
    let program = Program::new("/bin/sh")
        .arguments(["-c", line])
        .environment(options.environment.iter().cloned())
        .variable("HOLDPOINT_RUN", run.as_str())
        .stdin(Stdin::Null)
        .stdout(Stdout::Inherit)
        .stderr(Stderr::Inherit);
    let mut running = program.start().map_err(|error| error.to_string())?;
    let ended = running.wait_within(LIMIT, cancel, GRACE).await.map_err(|error| error.to_string())?;
    if ended.is_success() { Ok(()) } else { Err(ended.status.to_string()) }
}
