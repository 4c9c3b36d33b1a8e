use std::io::Write as _;
use std::time::{Duration, Instant};

use holdpoint_process::{Error, Program, Status, Stdin, Stdout, Survivors, TAIL_BYTES};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use crate::{is_running, wait_until};

fn shell(script: &str) -> Program {
    Program::new("/bin/sh").arguments(["-c", script]).variable("PATH", "/usr/bin:/bin")
}

#[tokio::test]
async fn passes_only_the_listed_environment() {
    let program = Program::new("/usr/bin/env").variable("LANG", "C").variable("X", "1").variable("X", "2");
    assert!(!format!("{program:?}").contains('2'), "values must not be shown");
    let (printed, _) = program.output(1000, Duration::from_secs(10), &CancellationToken::new()).await.unwrap();
    let mut lines: Vec<_> = printed.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    assert_eq!(lines, [b"LANG=C".as_slice(), b"X=2"]);
}

#[tokio::test]
async fn reports_code_signal_and_tail() {
    let ended = shell("echo words >&2; exit 3").start().unwrap().wait().await.unwrap();
    assert_eq!((ended.status, ended.stderr_tail.as_str()), (Status::Code(3), "words"));
    let error = ended.success("x").unwrap_err();
    assert_eq!(error.to_string(), "x ended with exit code 3: words");

    let ended = shell("kill -9 $$").start().unwrap().wait().await.unwrap();
    assert_eq!(ended.status, Status::Signal(9));
    assert_eq!(ended.status.to_string(), "signal 9 (SIGKILL)");
}

#[tokio::test]
async fn tells_a_missing_program_from_a_missing_directory() {
    assert!(matches!(Program::new("/no/such/program").start(), Err(Error::NotFound { .. })));
    let error = shell("true").working_directory("/no/such/directory").start().unwrap_err();
    assert!(matches!(error, Error::NotStarted { .. }), "{error}");
}

#[tokio::test]
async fn drains_a_flood_on_stderr_and_keeps_its_end() {
    // More than any pipe holds: the program would hang if nobody read.
    let script = "i=0; while [ $i -lt 20000 ]; do echo \"a line of stderr, number $i\" >&2; i=$((i+1)); done";
    let mut running = shell(script).start().unwrap();
    let ended = running.wait_within(Duration::from_secs(60), &CancellationToken::new(), Duration::from_secs(1)).await;
    let tail = ended.unwrap().stderr_tail;
    assert!(tail.len() <= TAIL_BYTES && tail.len() > TAIL_BYTES / 2);
    assert!(tail.ends_with("number 19999"));
}

#[tokio::test]
async fn pipes_both_ways() {
    let mut running = Program::new("/bin/cat").stdin(Stdin::Piped).stdout(Stdout::Piped).start().unwrap();
    let (mut stdin, mut stdout) = (running.take_stdin().unwrap(), running.take_stdout().unwrap());
    stdin.write_all(b"through").await.unwrap();
    drop(stdin);
    let mut text = String::new();
    stdout.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "through");
    assert!(running.wait().await.unwrap().is_success());

    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"from a file").unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let ended = Program::new("/bin/cat").stdin(Stdin::File(file)).stdout(Stdout::Tail).start().unwrap().wait().await;
    assert_eq!(ended.unwrap().stdout_tail, "from a file");
}

#[tokio::test]
async fn refuses_endless_output_and_endless_time() {
    let never = CancellationToken::new();
    let error = shell("yes").output(10_000, Duration::from_secs(30), &never).await.unwrap_err();
    assert!(matches!(error, Error::TooMuchOutput { limit_bytes: 10_000, .. }), "{error}");
    let error = shell("echo why >&2; sleep 60").output(10, Duration::from_secs(5), &never).await.unwrap_err();
    assert!(matches!(&error, Error::TimedOut { stderr_tail, .. } if stderr_tail == "why"), "{error}");
}

/// Starts a program whose grandchild ignores SIGTERM; returns it and the grandchild's process id. `first` has run by then.
async fn with_grandchild(first: &str, parent: &str) -> (holdpoint_process::Running, u32) {
    let script = format!("{first} (trap '' TERM; echo up; sleep 300) & echo $!; {parent}");
    let mut running = shell(&script).stdout(Stdout::Piped).start().unwrap();
    let mut stdout = running.take_stdout().unwrap();
    let mut text = String::new();
    while !(text.contains("up") && text.lines().count() == 2) {
        let mut buffer = [0; 64];
        let count = stdout.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the script ended: {text}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    let pid = text.lines().find_map(|line| line.parse().ok()).unwrap();
    assert!(is_running(pid));
    (running, pid)
}

#[tokio::test]
async fn cancelling_ends_the_whole_group() {
    let (mut running, grandchild) = with_grandchild("", "sleep 300").await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let error = running.wait_or_cancel(&cancel, Duration::from_secs(10)).await.unwrap_err();
    assert!(error.is_cancelled());
    wait_until("the grandchild is gone", || !is_running(grandchild));
}

#[tokio::test]
async fn kills_who_ignores_the_request() {
    let (mut running, grandchild) = with_grandchild("trap '' TERM;", "while :; do sleep 1; done").await;
    let started = Instant::now();
    let ended = running.terminate_group(Duration::from_millis(200)).await.unwrap();
    assert_eq!(ended.status, Status::Signal(9));
    assert!(started.elapsed() < Duration::from_secs(60));
    wait_until("the grandchild is gone", || !is_running(grandchild));
}

#[tokio::test]
async fn dropping_kills_and_reaps() {
    let (running, grandchild) = with_grandchild("", "sleep 300").await;
    let pid = running.pid();
    drop(running);
    wait_until("both are gone", || !is_running(pid) && !is_running(grandchild));
}

#[tokio::test]
async fn ends_or_leaves_survivors() {
    let after = Survivors::LeaveAfterSuccess;
    for (survivors, code, left) in [
        (Survivors::End, 0, false),
        (Survivors::Leave, 0, true),
        (Survivors::Leave, 1, true),
        (after, 0, true),
        (after, 1, false),
    ] {
        let script = format!("sleep 300 >/dev/null 2>&1 & echo $!; exit {code}");
        let ended = shell(&script).stdout(Stdout::Tail).survivors(survivors).start().unwrap().wait().await.unwrap();
        let pid: u32 = ended.stdout_tail.trim().parse().unwrap();
        if left {
            std::thread::sleep(Duration::from_millis(100));
            assert!(is_running(pid));
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        } else {
            wait_until("the survivor is gone", || !is_running(pid));
        }
    }
}

#[tokio::test]
async fn waiting_again_tells_the_same() {
    let mut running = shell("exit 7").start().unwrap();
    assert_eq!(running.wait().await.unwrap().status, Status::Code(7));
    assert!(running.has_ended().unwrap());
    assert_eq!(running.wait().await.unwrap().status, Status::Code(7));
    assert_eq!(running.terminate_group(Duration::ZERO).await.unwrap().status, Status::Code(7));
}

#[tokio::test]
async fn a_held_stream_does_not_hold_the_end() {
    let (mut running, grandchild) = with_grandchild("", "exec sleep 0.2").await;
    let started = Instant::now();
    assert!(running.wait().await.unwrap().is_success());
    assert!(started.elapsed() < Duration::from_secs(60));
    wait_until("the grandchild is gone", || !is_running(grandchild));
}
