//! Whether the application is well after the command.

use std::ffi::OsString;
use std::time::Duration;

use holdpoint_core::ledger::Health;
use holdpoint_operations::webhook;
use holdpoint_process::{Program, Stderr, Stdin, Stdout};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::HealthOptions;

/// How long a check's group has to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// Asks again and again until every check is green, or its tries are used up; the last reason, in words.
///
/// Cancelled before that, it says so: a check that somebody broke off says nothing of the application.
/// Checks run one after the other, so that the answer holds for all at about the same time.
pub(crate) async fn ask(
    options: &HealthOptions,
    environment: &[(OsString, OsString)],
    cancel: &CancellationToken,
) -> (Health, Option<String>) {
    if !options.any() {
        return (Health::NotAsked, None);
    }
    let mut why = String::new();
    for tried in 0..=options.retries {
        if tried > 0 {
            tokio::select! {
                () = sleep(options.pause) => {}
                () = cancel.cancelled() => {}
            }
        }
        if cancel.is_cancelled() {
            return (Health::Interrupted, None);
        }
        match once(options, environment, cancel).await {
            Ok(()) => return (Health::Green, None),
            Err(_) if cancel.is_cancelled() => return (Health::Interrupted, None),
            Err(reason) => why = reason,
        }
    }
    (Health::NeverGreen, Some(why))
}

async fn once(
    options: &HealthOptions,
    environment: &[(OsString, OsString)],
    cancel: &CancellationToken,
) -> Result<(), String> {
    if let Some(url) = &options.url {
        let answered = tokio::select! {
            answered = webhook::exchange(url, None, &[], options.timeout) => answered,
            () = cancel.cancelled() => return Err("interrupted".to_owned()),
        };
        match answered {
            Ok(status) if (200..300).contains(&status) => {}
            Ok(status) => return Err(format!("the health check answered {status}")),
            Err(reason) => return Err(format!("the health check did not answer: {reason}")),
        }
    }
    if let Some(line) = &options.command {
        let program = Program::new("/bin/sh")
            .arguments(["-c", line])
            .environment(environment.iter().cloned())
            .stdin(Stdin::Null)
            .stdout(Stdout::Null)
            .stderr(Stderr::Tail);
        let mut running = program.start().map_err(|error| error.to_string())?;
        match running.wait_within(options.timeout, cancel, GRACE).await {
            Ok(ended) if ended.is_success() => {}
            Ok(ended) => return Err(format!("the health command ended with {}", ended.status)),
            Err(holdpoint_process::Error::TimedOut { .. }) => {
                return Err(format!("the health command did not end within {} s", options.timeout.as_secs_f32()));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(command: &str, retries: u32) -> HealthOptions {
        let (timeout, pause) = (Duration::from_secs(60), Duration::from_millis(1));
        HealthOptions { command: Some(command.to_owned()), retries, timeout, pause, url: None }
    }

    #[tokio::test]
    async fn it_is_asked_until_it_is_green_or_the_tries_are_used_up() {
        let environment = [("PATH".into(), "/usr/bin:/bin".into())];
        let cancel = CancellationToken::new();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let nothing = ask(&HealthOptions::default(), &environment, &cancel).await;
        assert_eq!(nothing.0, Health::NotAsked);
        // Each try leaves a mark, and the third is green.
        let third = format!("echo >> {path}/tries; test $(wc -l < {path}/tries) -ge 3");
        let (health, why) = ask(&options(&third, 5), &environment, &cancel).await;
        assert_eq!((health, why), (Health::Green, None));
        let (health, why) = ask(&options("exit 3", 1), &environment, &cancel).await;
        assert_eq!(health, Health::NeverGreen);
        assert!(why.is_some());
    }

    #[tokio::test]
    async fn a_check_that_somebody_broke_off_says_nothing_of_the_application() {
        let environment = [("PATH".into(), "/usr/bin:/bin".into())];
        let folder = tempfile::tempdir().unwrap();
        let asked = folder.path().join("asked");
        let endless = options(&format!("echo > {}; exec sleep 600", asked.display()), 5);
        let cancel = CancellationToken::new();
        let interrupt = async {
            while !asked.exists() {
                sleep(Duration::from_millis(5)).await;
            }
            cancel.cancel();
        };
        let (answer, ()) = tokio::join!(ask(&endless, &environment, &cancel), interrupt);
        assert_eq!(answer, (Health::Interrupted, None));
        // Nothing is begun any more, and nothing is said of what failed before.
        std::fs::remove_file(&asked).unwrap();
        assert_eq!(ask(&endless, &environment, &cancel).await, (Health::Interrupted, None));
        assert!(!asked.exists());
        // Also in the rest after a check that failed.
        let cancel = CancellationToken::new();
        let failing = HealthOptions {
            pause: Duration::from_secs(600),
            ..options(&format!("echo > {}; exit 1", asked.display()), 5)
        };
        let interrupt = async {
            while !asked.exists() {
                sleep(Duration::from_millis(5)).await;
            }
            cancel.cancel();
        };
        let (answer, ()) = tokio::join!(ask(&failing, &environment, &cancel), interrupt);
        assert_eq!(answer.0, Health::Interrupted);
    }
}
