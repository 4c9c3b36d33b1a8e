//! Running the guarded command: in a group and, where there is a terminal, a foreground of its own.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use holdpoint_core::RunId;
use holdpoint_core::progress::Phase;
use holdpoint_operations::Context;
use holdpoint_operations::run_lock::RunLock;
use holdpoint_process::{Ended, Program, Running, Status, Stderr, Stdin, Stdout};

use crate::run::GuardOptions;
use crate::{Error, sessions};

/// How long the command's group has to end by itself when the run is cancelled.
const GRACE: Duration = Duration::from_secs(10);
/// How often the run lock is looked at while the command runs; it keeps the connection alive, too.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// A migration that waits longer for a lock holds up everybody who comes after it.
const LOCK_TIMEOUT: &str = "-c lock_timeout=5s";

/// How the command ended.
#[derive(Debug)]
pub(crate) struct CommandEnd {
    /// `None` when it could not be started, or the system cannot tell.
    pub(crate) ended: Option<Ended>,
    /// It was ended because the run was cancelled.
    pub(crate) interrupted: bool,
    /// It was started.
    pub(crate) started: bool,
    /// What is worth knowing.
    pub(crate) warnings: Vec<String>,
}

impl CommandEnd {
    /// Whether its sessions may go on in the server without it.
    pub(crate) fn was_cut_off(&self) -> bool {
        self.interrupted || matches!(self.ended, Some(Ended { status: Status::Signal(_), .. }))
    }
}

/// Makes sure, before anything long begins, that there is a command and that its program is there.
pub(crate) fn check(options: &GuardOptions) -> Result<(), Error> {
    is_there(&options.command, &options.environment)
}

/// As [`check`], for a command and its environment.
pub(crate) fn is_there(command: &[String], environment: &[(OsString, OsString)]) -> Result<(), Error> {
    let Some(program) = command.first().filter(|word| !word.is_empty()) else {
        return Err(Error::Usage("there is no command to guard".to_owned()));
    };
    let runnable =
        |path: &Path| path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    let found = if program.contains('/') {
        runnable(Path::new(program))
    } else {
        let path = variable(environment, "PATH").unwrap_or_else(|| OsStr::new("/usr/bin:/bin"));
        std::env::split_paths(path).any(|folder| runnable(&folder.join(program)))
    };
    if found { Ok(()) } else { Err(Error::CommandNotFound { program: program.clone() }) }
}

fn variable<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    environment.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
}

/// The environment that was given, with the run's token and a lock time-out for every program that uses libpq or
/// follows its variables; a lock time-out that is set already stays.
fn environment(options: &GuardOptions, run: &RunId) -> Vec<(OsString, OsString)> {
    let mut environment = options.environment.clone();
    environment.push(("PGAPPNAME".into(), sessions::token(run).into()));
    let given = variable(&options.environment, "PGOPTIONS").unwrap_or_default();
    if !given.to_string_lossy().contains("lock_timeout") {
        let mut value = given.to_owned();
        if !value.is_empty() {
            value.push(" ");
        }
        value.push(LOCK_TIMEOUT);
        environment.push(("PGOPTIONS".into(), value));
    }
    environment
}

/// Runs the command to its end; when the run is cancelled, ends its whole group.
///
/// Never fails: what goes wrong from here on is told in the result, because the database may have changed.
pub(crate) async fn run(context: &Context, options: &GuardOptions, run: &RunId, lock: &RunLock) -> CommandEnd {
    context.progress.phase(Phase::RunningCommand, None);
    let mut end = CommandEnd { ended: None, interrupted: false, started: false, warnings: Vec::new() };
    let mut words = options.command.iter();
    let program = Program::new(words.next().map_or("", String::as_str))
        .arguments(words)
        .environment(environment(options, run))
        .stdin(Stdin::Inherit)
        .stdout(Stdout::Inherit)
        .stderr(Stderr::Inherit)
        .in_foreground();
    let mut running = match program.start() {
        Ok(running) => running,
        Err(error) => {
            end.warnings.push(format!("the command could not be started: {}", with_source(&error)));
            return end;
        }
    };
    end.started = true;
    tokio::select! {
        ended = watched(context, &mut running, lock, &mut end.warnings) => match ended {
            Ok(ended) => end.ended = Some(ended),
            Err(error) => end.warnings.push(with_source(&error)),
        },
        () = context.cancel.cancelled() => {
            end.interrupted = true;
        }
    }
    if end.interrupted {
        context.progress.note("ending the command");
        match running.terminate_group(GRACE).await {
            Ok(ended) => end.ended = Some(ended),
            Err(error) => end.warnings.push(with_source(&error)),
        }
    }
    end
}

/// Waits for the command and looks after the run lock meanwhile.
async fn watched(
    context: &Context,
    running: &mut Running,
    lock: &RunLock,
    warnings: &mut Vec<String>,
) -> Result<Ended, holdpoint_process::Error> {
    let mut held = true;
    loop {
        let tick = tokio::time::sleep(WATCH_EVERY);
        tokio::select! {
            biased;
            ended = running.wait() => return ended,
            () = tick, if held => {}
        }
        held = tokio::select! {
            biased;
            ended = running.wait() => return ended,
            held = lock.is_held() => held,
        };
        if !held {
            let warning = "the run lock was lost while the command ran: another run may have started".to_owned();
            context.progress.note(&warning);
            warnings.push(warning);
        }
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

#[cfg(test)]
mod tests {
    use holdpoint_core::gate::pending::WindowPolicy;
    use holdpoint_core::risk::RiskPolicy;

    use super::*;

    fn options(command: &[&str], environment: &[(&str, &str)]) -> GuardOptions {
        GuardOptions {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            environment: environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            migrations: crate::Migrations::Unknown("a test".to_owned()),
            policy: RiskPolicy::default(),
            window_policy: WindowPolicy::default(),
            rehearsal: Err("a test".to_owned()),
            deadline: None,
            question: None,
            unproven: None,
            operator: None,
            own_flags: Vec::new(),
            way_back: None,
        }
    }

    fn run_id() -> RunId {
        "20261121T024300Z-k3f9".parse().unwrap()
    }

    #[test]
    fn a_lock_timeout_is_added_and_never_replaced() {
        let options_of = |environment: &[(&str, &str)]| {
            let environment = super::environment(&options(&["true"], environment), &run_id());
            variable(&environment, "PGOPTIONS").map(|value| value.to_string_lossy().into_owned())
        };
        assert_eq!(options_of(&[]).as_deref(), Some("-c lock_timeout=5s"));
        assert_eq!(options_of(&[("PGOPTIONS", "-c a=b")]).as_deref(), Some("-c a=b -c lock_timeout=5s"));
        let own = "-c lock_timeout=1min";
        assert_eq!(options_of(&[("PGOPTIONS", own)]).as_deref(), Some(own));
    }

    #[test]
    fn the_token_wins_over_a_given_name() {
        let environment = super::environment(&options(&["true"], &[("PGAPPNAME", "mine")]), &run_id());
        assert_eq!(variable(&environment, "PGAPPNAME").unwrap(), "holdpoint:20261121T024300Z-k3f9");
        assert!(sessions::token(&run_id()).len() < 64, "longer names are cut by the server");
    }

    #[test]
    fn a_program_that_is_not_there_is_told_before_anything_else() {
        let path = [("PATH", "/usr/bin:/bin")];
        assert!(check(&options(&["sh"], &path)).is_ok());
        assert!(check(&options(&["/bin/sh"], &[])).is_ok());
        for command in [&["no-such-program"][..], &["/bin/no-such-program"], &["/etc/passwd"], &["/bin"]] {
            let error = check(&options(command, &path)).unwrap_err();
            assert!(matches!(error, Error::CommandNotFound { .. }), "{command:?}: {error}");
        }
        for command in [&[][..], &[""]] {
            assert!(matches!(check(&options(command, &path)), Err(Error::Usage(_))));
        }
    }
}
