//! Running the guarded command: in a group and, where there is a terminal, a foreground of its own.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use holdpoint_core::Mask;
use holdpoint_core::progress::Phase;
use holdpoint_operations::Context;
use holdpoint_operations::run_lock::RunLock;
use holdpoint_process::{Ended, Mark, Program, Running, Status, Stderr, Stdin, Stdout, Survivors, group_is_there};
use tokio::sync::oneshot;

use crate::Error;
use crate::run::GuardOptions;
use crate::running::Channel;
use crate::running::environment::{TimeOuts, variable};
use crate::running::live::{Live, Observed};
use crate::running::output::{Recorder, Stored};

/// How long the command's group has to end by itself when it is cut off.
const GRACE: Duration = Duration::from_secs(10);
/// How often the run lock is looked at while the command runs; it keeps the connection alive, too.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// What is told once the run lock is lost.
pub(crate) const LOCK_LOST: &str = "the run lock was lost while the command ran: another run may have started";

/// Why a command did not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CutOff {
    /// A person asked for it.
    Interrupted,
    /// Its time was over.
    TimedOut(Duration),
    /// The server stayed away.
    Lost,
}

/// How the command ended.
#[derive(Debug)]
pub(crate) struct CommandEnd {
    /// `None` when it could not be started, or the system cannot tell.
    pub(crate) ended: Option<Ended>,
    /// It was ended for this reason.
    pub(crate) cut_off: Option<CutOff>,
    /// It was started.
    pub(crate) started: bool,
    /// What it left at work on the server was cancelled before anybody looked there.
    pub(crate) cancelled: bool,
    /// Somebody asked for an end while it was waited for a server that was away.
    pub(crate) unwaited: bool,
    /// What was seen of it on the server.
    pub(crate) observed: Observed,
    /// What it wrote, as far as it is kept.
    pub(crate) output: Option<Stored>,
    /// What is worth knowing.
    pub(crate) warnings: Vec<String>,
}

impl CommandEnd {
    /// Whether it came to its end by itself, and said that all went well.
    pub(crate) fn ended_well(&self) -> bool {
        self.cut_off.is_none() && matches!(self.ended, Some(Ended { status: Status::Code(0), .. }))
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

/// What the command runs with.
pub(crate) struct Call<'a> {
    pub(crate) context: &'a Context,
    pub(crate) options: &'a GuardOptions,
    pub(crate) lock: &'a RunLock,
    pub(crate) time_outs: &'a TimeOuts,
    pub(crate) live: Live<'a>,
    pub(crate) mask: &'a Mask,
}

impl Call<'_> {
    /// Runs the command to its end, or ends its whole group: when the run is cancelled, when its time is over, or when
    /// the server stays away.
    ///
    /// `told` hears which process leads the command's group.
    ///
    /// Never fails: what goes wrong from here on is told in the result, because the database may have changed.
    pub(crate) async fn run(&self, told: oneshot::Sender<Mark>) -> CommandEnd {
        let Self { context, options, .. } = self;
        context.progress.phase(Phase::RunningCommand, None);
        let mut end = CommandEnd {
            ended: None,
            cut_off: None,
            started: false,
            cancelled: false,
            unwaited: false,
            observed: Observed::default(),
            output: None,
            warnings: self.time_outs.warnings.clone(),
        };
        if context.cancel.is_cancelled() {
            end.cut_off = Some(CutOff::Interrupted);
            return end;
        }
        let mut running = match self.start() {
            Ok(running) => running,
            Err(error) => {
                end.warnings.push(format!("the command could not be started: {}", with_source(&error)));
                return end;
            }
        };
        end.started = true;
        // Whoever listens is there until the end; one that ended already has no mark.
        let pid = running.pid();
        let leader = Mark::of(pid);
        match leader.clone() {
            Some(mark) => {
                told.send(mark).ok();
            }
            None => drop(told),
        }
        let recorder = Recorder::of(&mut running, options.run.tee.as_ref(), self.mask);
        let limit = options.run.command_timeout;
        let time_is_over = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        // Whether the run lock's session answers: what else asks the server may find no connection.
        let answers = AtomicBool::new(true);
        tokio::select! {
            ended = watched(context, &mut running, self.lock, &answers, &mut end.warnings) => match ended {
                Ok(ended) => end.ended = Some(ended),
                Err(error) => end.warnings.push(with_source(&error)),
            },
            () = context.cancel.cancelled() => end.cut_off = Some(CutOff::Interrupted),
            () = time_is_over => end.cut_off = limit.map(CutOff::TimedOut),
            _lost = self.live.watch(&mut end.observed, &answers) => end.cut_off = Some(CutOff::Lost),
        }
        if let Some(why) = end.cut_off {
            let told = match why {
                CutOff::Interrupted => "ending the command".to_owned(),
                CutOff::TimedOut(limit) => {
                    format!("the command did not end within {} s, and was ended", limit.as_secs_f32())
                }
                CutOff::Lost => "the server stayed away, and the command was ended".to_owned(),
            };
            context.progress.note(&told);
            end.warnings.extend(Some(told).filter(|_| why != CutOff::Interrupted));
            match running.terminate_group(GRACE).await {
                Ok(ended) => end.ended = Some(ended),
                Err(error) => end.warnings.push(with_source(&error)),
            }
        }
        end.output = recorder.finish(self.mask).await;
        // One that ended at once has no mark, and its number is nobody else's while something of its group is left.
        let goes_on =
            || leader.as_ref().map_or_else(|| group_is_there(pid), |leader| leader.group_lives() == Some(true));
        if end.ended_well() && goes_on() {
            let told = format!(
                "processes that the command started go on without it (process group {pid}): they are left alone"
            );
            context.progress.note(&told);
            end.warnings.push(told);
        }
        end
    }

    fn start(&self) -> Result<Running, holdpoint_process::Error> {
        let mut words = self.options.command.iter();
        let kept = |channel| self.options.run.kept.contains(&channel);
        Program::new(words.next().map_or("", String::as_str))
            .arguments(words)
            .environment(self.time_outs.variables.iter().cloned())
            .stdin(Stdin::Inherit)
            .stdout(if kept(Channel::Out) { Stdout::Piped } else { Stdout::Inherit })
            .stderr(if kept(Channel::Err) { Stderr::Piped } else { Stderr::Inherit })
            .in_foreground()
            .survivors(Survivors::LeaveAfterSuccess)
            .start()
    }
}

/// Waits for the command and looks after the run lock meanwhile.
async fn watched(
    context: &Context,
    running: &mut Running,
    lock: &RunLock,
    answers: &AtomicBool,
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
            answers.store(false, Ordering::Relaxed);
            context.progress.note(LOCK_LOST);
            warnings.push(LOCK_LOST.to_owned());
        }
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use holdpoint_core::gate::pending::WindowPolicy;
    use holdpoint_core::risk::RiskPolicy;

    use super::*;
    use crate::running::RunOptions;

    pub(crate) fn options(command: &[&str], environment: &[(&str, &str)]) -> GuardOptions {
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
            project_flags: Vec::new(),
            way_back: None,
            on_failure: None,
            instance: None,
            run: RunOptions::default(),
        }
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
