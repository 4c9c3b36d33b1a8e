//! The command while it runs on the copy: its words to whoever listens, its end within its time.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdpoint_core::Mask;
use holdpoint_process::{Ended, Program, Running, Stderr, Stdin, Stdout};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::JoinSet;

use super::{Listener, RehearseError};
use crate::running::Masked;

/// How long the command's group has to end by itself.
const GRACE: Duration = Duration::from_secs(5);
/// How long its streams may be held open by others after it has ended.
const DRAIN_FOR: Duration = Duration::from_secs(2);
/// A longer line is told in parts.
const LINE_BYTES: usize = 8 * 1024;

/// A command with everything that it needs.
pub(super) struct Child {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) folder: PathBuf,
    pub(super) time_limit: Duration,
    pub(super) mask: Mask,
    pub(super) listener: Listener,
    /// Who wants to know its process.
    pub(super) leader: tokio::sync::watch::Sender<Option<u32>>,
}

/// How the command came to its end.
pub(super) struct ChildEnd {
    pub(super) ended: Ended,
    pub(super) how: How,
}

/// Why the command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// By itself.
    ByItself,
    /// Its time was over.
    TimedOut,
    /// It was stopped for this reason.
    Stopped(Stop),
}

/// Why a command is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// A person asked for it.
    Interrupted,
    /// It reached for production.
    Escaped(String),
    /// Production can no longer be watched.
    WatchLost,
    /// The scratch server is gone.
    ScratchEnded(String),
}

impl Child {
    /// Runs the command to its end, or until `stop` says why it must not go on; its whole group has ended then.
    pub(super) async fn run(self, stop: impl Future<Output = Stop>) -> Result<ChildEnd, RehearseError> {
        let program = Program::new(self.program)
            .arguments(self.arguments)
            .environment(self.environment)
            .working_directory(self.folder)
            .stdin(Stdin::Null)
            .stdout(Stdout::Piped)
            .stderr(Stderr::Piped);
        let mut running = program.start()?;
        self.leader.send_replace(Some(running.pid()));
        let mut readers = JoinSet::new();
        let (mask, listener) = (self.mask, self.listener);
        if let Some(stream) = running.take_stdout() {
            readers.spawn(tell(stream, mask.clone(), Arc::clone(&listener)));
        }
        if let Some(stream) = running.take_stderr() {
            readers.spawn(tell(stream, mask, listener));
        }
        let how = tokio::select! {
            biased;
            ended = running.wait() => {
                ended?;
                How::ByItself
            }
            why = stop => How::Stopped(why),
            () = tokio::time::sleep(self.time_limit) => How::TimedOut,
        };
        let ended = end(&mut running, &how).await?;
        let told = async { while readers.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_FOR, told).await.is_err() {
            readers.abort_all();
        }
        Ok(ChildEnd { ended, how })
    }
}

async fn end(running: &mut Running, how: &How) -> Result<Ended, RehearseError> {
    Ok(match how {
        How::ByItself => running.wait().await?,
        // What reaches for production gets no time to go on.
        How::Stopped(Stop::Escaped(_)) => running.terminate_group(Duration::ZERO).await?,
        How::Stopped(_) | How::TimedOut => running.terminate_group(GRACE).await?,
    })
}

/// Reads a stream to its end and tells every line, masked.
async fn tell(mut stream: impl AsyncRead + Unpin, mask: Mask, listener: Listener) {
    let mut buffer = vec![0_u8; LINE_BYTES];
    let mut masked = Masked::new(mask);
    let mut line: Vec<u8> = Vec::new();
    let say = |line: &[u8]| listener(String::from_utf8_lossy(line).trim_end_matches('\r'));
    while let Ok(count) = stream.read(&mut buffer).await {
        let piece = if count == 0 { masked.end_line() } else { masked.take(&buffer[..count]) };
        for byte in piece {
            match byte {
                b'\n' => {
                    say(&line);
                    line.clear();
                }
                byte => line.push(byte),
            }
            // Cut between words.
            if line.len() >= LINE_BYTES {
                let end = line.iter().rposition(u8::is_ascii_whitespace).filter(|end| *end > 0).unwrap_or(line.len());
                say(&line[..end]);
                line.drain(..end);
            }
        }
        if count == 0 {
            break;
        }
    }
    if !line.is_empty() {
        say(&line);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    async fn run(script: &str, limit: Duration, stop: impl Future<Output = Stop>) -> (ChildEnd, Vec<String>) {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&lines);
        let child = Child {
            program: "/bin/sh".into(),
            arguments: ["-c", script].map(OsString::from).into(),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            folder: "/".into(),
            time_limit: limit,
            mask: Mask::new(["hunter2secret".to_owned()]),
            listener: Arc::new(move |line: &str| kept.lock().unwrap().push(line.to_owned())),
            leader: tokio::sync::watch::channel(None).0,
        };
        let end = child.run(stop).await.unwrap();
        let lines = lines.lock().unwrap().clone();
        (end, lines)
    }

    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn its_words_are_heard_without_secrets() {
        let script = "echo one; echo pg://u:hunter2secret@h >&2; printf 'no end hunter2secret'; cat; exit 3";
        let (end, mut lines) = run(script, LONG, std::future::pending()).await;
        assert_eq!((end.how, end.ended.status), (How::ByItself, holdpoint_process::Status::Code(3)));
        lines.sort();
        assert_eq!(lines, ["no end ***", "one", "pg://u:***@h"]);
    }

    #[tokio::test]
    async fn of_a_private_key_no_line_is_heard() {
        let key = "-----BEGIN PRIVATE KEY-----\nhush\nhush==\n-----END PRIVATE KEY-----";
        let (_, lines) = run(&format!("echo '{key}'; echo next"), LONG, std::future::pending()).await;
        assert_eq!(lines, ["-----BEGIN PRIVATE KEY-----***-----END PRIVATE KEY-----", "next"]);
    }

    #[tokio::test]
    async fn one_that_hangs_forks_and_ignores_signals_ends_with_its_group() {
        let script = "trap '' TERM INT HUP; sleep 100000 & sleep 100000";
        let (end, _) = run(script, Duration::from_millis(50), std::future::pending()).await;
        assert_eq!(end.how, How::TimedOut);
        let why = Stop::Escaped("seen".into());
        let (end, _) = run(script, LONG, std::future::ready(why.clone())).await;
        assert_eq!(end.how, How::Stopped(why));
    }

    #[tokio::test]
    async fn an_endless_line_is_told_in_parts() {
        let (_, lines) = run("head -c 100000 /dev/zero | tr '\\0' x", LONG, std::future::pending()).await;
        assert_eq!(lines.concat().len(), 100_000);
        assert!(lines.iter().all(|line| line.len() <= LINE_BYTES));
    }
}
