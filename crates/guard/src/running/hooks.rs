//! Lines for the shell before and after the command: maintenance mode on, and off.

use std::time::Duration;

use holdpoint_core::{Mask, RunId};
use holdpoint_process::{Program, Stdin};
use tokio_util::sync::CancellationToken;

use super::output::{Recorder, streams};
use crate::run::GuardOptions;

/// How long a hook may take.
const LIMIT: Duration = Duration::from_secs(600);
/// How long its group has to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a line by `sh -c` with the command's environment and the run's id; why it failed, in words.
///
/// Its output goes where a kept stream of the command's goes, without secrets. It ends with its whole group when `cancel` is cancelled.
pub(crate) async fn run(
    line: &str,
    options: &GuardOptions,
    run: &RunId,
    mask: &Mask,
    cancel: &CancellationToken,
) -> Result<(), String> {
    let tee = options.run.tee.as_ref();
    let (stdout, stderr) = streams(tee);
    let program = Program::new("/bin/sh")
        .arguments(["-c", line])
        .environment(options.environment.iter().cloned())
        .variable("HOLDPOINT_RUN", run.as_str())
        .stdin(Stdin::Null)
        .stdout(stdout)
        .stderr(stderr);
    let mut running = program.start().map_err(|error| error.to_string())?;
    let recorder = Recorder::of(&mut running, tee, mask);
    let ended = running.wait_within(LIMIT, cancel, GRACE).await;
    recorder.finish(mask).await;
    let ended = ended.map_err(|error| error.to_string())?;
    if ended.is_success() { Ok(()) } else { Err(ended.status.to_string()) }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::command::tests::options;
    use crate::running::Tee;

    #[tokio::test]
    async fn what_a_line_writes_is_passed_on_without_secrets() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listener = Arc::clone(&heard);
        let url = "postgres://ann:hunter2secret@db/shop";
        let mut options = options(&["true"], &[("PATH", "/usr/bin:/bin"), ("DATABASE_URL", url)]);
        options.run.tee = Some(Tee::new(move |_, piece| listener.lock().unwrap().extend_from_slice(piece)));
        let run_id = "20261121T024300Z-k3f9".parse().unwrap();
        let line = "echo off for $HOLDPOINT_RUN; echo $DATABASE_URL >&2; exit 3";
        let ended = run(line, &options, &run_id, &Mask::default(), &CancellationToken::new()).await;
        assert_eq!(ended, Err("exit code 3".to_owned()));
        let heard = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
        assert!(heard.contains("off for 20261121T024300Z-k3f9") && heard.contains("postgres://ann:***@db"), "{heard}");
        assert!(!heard.contains("hunter2"), "{heard}");
    }
}
