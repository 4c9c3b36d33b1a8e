use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use holdpoint_process::keeper::{
    Keeper, KeeperCommand, KeeperFile, KeeperSpec, SCRATCH_PREFIX, SOCKET_PREFIX, abandoned, sweep,
};
use holdpoint_process::{Error, Program, RunAs, Stdout};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio_util::sync::CancellationToken;

use crate::{is_running, stage, wait_until};

/// Writes what a postmaster writes, then stays.
const SERVER: &str = "cd data && printf '%s\\n\\n\\n\\n\\n\\n\\nready\\n' $$ > postmaster.pid && exec sleep 300";

fn shell(script: &str) -> KeeperCommand {
    KeeperCommand {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
    }
}

fn spec(base: &Path, server: &str) -> KeeperSpec {
    KeeperSpec {
        directory: base.join(format!("{SCRATCH_PREFIX}a")),
        folders: vec!["data".into()],
        files: vec![KeeperFile { path: "password".into(), text: "geheim".into() }],
        data_directory: "data".into(),
        socket_directory: Some(base.join("elsewhere").join(format!("{SOCKET_PREFIX}s"))),
        run_as: None,
        preparation: vec![shell("test \"$(cat password)\" = geheim && touch data/prepared")],
        server: shell(server),
        ready_within: Duration::from_secs(120),
        stop_grace: Duration::from_secs(5),
    }
}

#[expect(clippy::disallowed_methods, reason = "a test is as good an edge as the command line")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn base() -> tempfile::TempDir {
    let base = tempfile::tempdir().unwrap();
    fs::create_dir(base.path().join("elsewhere")).unwrap();
    base
}

async fn start(spec: &KeeperSpec) -> Result<Keeper, Error> {
    Keeper::start(&stage(), &["keeper".into()], spec, &CancellationToken::new()).await
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

fn is_empty(base: &Path) -> bool {
    fs::read_dir(base.join("elsewhere")).unwrap().next().is_none() && fs::read_dir(base).unwrap().count() == 1
}

#[tokio::test]
async fn keeps_a_server_until_it_is_stopped() {
    let base = base();
    let spec = spec(base.path(), SERVER);
    let keeper = start(&spec).await.unwrap();
    let server = keeper.server_pid();
    assert!(is_running(server));
    assert!(spec.directory.join("data/prepared").exists());
    let live = sweep(base.path(), now() + Duration::from_secs(3600)).unwrap();
    assert!(live.removed.is_empty() && live.kept.is_empty(), "a kept directory is not swept: {live:?}");
    keeper.stop().await.unwrap();
    assert!(!is_running(server));
    assert!(is_empty(base.path()));
}

#[tokio::test]
async fn dropping_the_handle_is_enough() {
    let base = base();
    let keeper = start(&spec(base.path(), SERVER)).await.unwrap();
    let server = keeper.server_pid();
    drop(keeper);
    wait_until("server and directory are gone", || !is_running(server) && is_empty(base.path()));
}

#[tokio::test]
async fn kill_9_of_the_parent_leaves_nothing() {
    let base = base();
    let spec = spec(base.path(), SERVER);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), serde_json::to_vec(&spec).unwrap()).unwrap();
    let program = Program::new(stage()).argument("parent").argument(file.path()).stdout(Stdout::Piped);
    let mut parent = program.start().unwrap();
    let mut lines = BufReader::new(parent.take_stdout().unwrap()).lines();
    let line = lines.next_line().await.unwrap().expect("the parent says ready");
    let pids: Vec<u32> = line.split_whitespace().skip(1).map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.iter().all(|&pid| is_running(pid)));
    kill(parent.pid(), Signal::KILL);
    parent.wait().await.unwrap();
    wait_until("keeper, server and directory are gone", || {
        is_empty(base.path()) && pids.iter().all(|&pid| !is_running(pid))
    });
}

#[tokio::test]
async fn a_signal_to_the_keeper_stops_all() {
    let base = base();
    let mut keeper = start(&spec(base.path(), SERVER)).await.unwrap();
    let server = keeper.server_pid();
    kill(keeper.pid(), Signal::TERM);
    assert_eq!(keeper.ended().await.reason, "lost its keeper");
    wait_until("server and directory are gone", || !is_running(server) && is_empty(base.path()));
    keeper.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_keeper_is_swept() {
    let base = base();
    let spec = spec(base.path(), SERVER);
    let mut keeper = start(&spec).await.unwrap();
    let server = keeper.server_pid();
    kill(keeper.pid(), Signal::KILL);
    keeper.ended().await;
    assert!(is_running(server), "nobody was there to stop it");
    let instant = now();
    let found = abandoned(base.path(), instant).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].directory.as_path(), found[0].server_pid), (spec.directory.as_path(), Some(server)));
    let base_path = base.path().to_owned();
    let report = tokio::task::spawn_blocking(move || sweep(&base_path, instant)).await.unwrap().unwrap();
    assert_eq!(report.removed.len(), 1, "{report:?}");
    assert_eq!(report.removed[0].server_pid, Some(server));
    assert!(!is_running(server) && is_empty(base.path()));
    keeper.stop().await.unwrap();
}

#[tokio::test]
async fn stop_cleans_after_a_killed_keeper() {
    let base = base();
    let keeper = start(&spec(base.path(), SERVER)).await.unwrap();
    let server = keeper.server_pid();
    kill(keeper.pid(), Signal::KILL);
    keeper.stop().await.unwrap();
    assert!(!is_running(server) && is_empty(base.path()));
}

#[tokio::test]
async fn kills_a_server_that_does_not_stop() {
    let base = base();
    let stubborn = SERVER.replace("exec sleep 300", "trap '' QUIT TERM; while :; do sleep 0.1; done");
    let mut spec = spec(base.path(), &stubborn);
    spec.stop_grace = Duration::from_millis(200);
    let keeper = start(&spec).await.unwrap();
    let server = keeper.server_pid();
    keeper.stop().await.unwrap();
    assert!(!is_running(server) && is_empty(base.path()));
}

#[tokio::test]
async fn says_why_the_server_did_not_start() {
    let base = base();
    let error = start(&spec(base.path(), "echo no such locale >&2; exit 1")).await.unwrap_err();
    assert_eq!(error.to_string(), "scratch server: sh ended with exit code 1: no such locale");
    assert!(is_empty(base.path()));

    let mut unprepared = spec(base.path(), SERVER);
    unprepared.preparation.push(KeeperCommand { program: "/no/such/initdb".into(), ..shell("") });
    let error = start(&unprepared).await.unwrap_err();
    assert!(error.to_string().contains("initdb could not be started"), "{error}");
    assert!(is_empty(base.path()));

    let mut slow = spec(base.path(), "exec sleep 300");
    slow.ready_within = Duration::from_millis(300);
    let error = start(&slow).await.unwrap_err();
    assert!(error.to_string().contains("was not ready within 0.3 s"), "{error}");
    assert!(is_empty(base.path()));
}

#[tokio::test]
async fn says_that_the_server_died() {
    let base = base();
    let mut keeper = start(&spec(base.path(), SERVER)).await.unwrap();
    kill(keeper.server_pid(), Signal::KILL);
    assert_eq!(keeper.ended().await.reason, "ended with signal 9 (SIGKILL)");
    keeper.stop().await.unwrap();
    assert!(is_empty(base.path()));
}

#[tokio::test]
async fn cancelling_the_start_leaves_nothing() {
    let base = base();
    let mut spec = spec(base.path(), SERVER);
    spec.preparation.push(shell("sleep 300"));
    let cancel = CancellationToken::new();
    let canceller = async {
        while !spec.directory.join("data/prepared").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cancel.cancel();
    };
    let arguments = ["keeper".into()];
    let stage = stage();
    let (started, ()) = tokio::join!(Keeper::start(&stage, &arguments, &spec, &cancel), canceller);
    assert!(started.unwrap_err().is_cancelled());
    assert!(is_empty(base.path()));
}

#[tokio::test]
async fn refuses_what_is_not_its_own() {
    let base = base();
    let existing = spec(base.path(), SERVER);
    fs::create_dir(&existing.directory).unwrap();
    fs::write(existing.directory.join("precious"), "x").unwrap();
    assert!(matches!(start(&existing).await, Err(Error::ScratchFailed { .. })));
    assert!(existing.directory.join("precious").exists());
    fs::remove_dir_all(&existing.directory).unwrap();

    let mut misnamed = spec(base.path(), SERVER);
    misnamed.directory = base.path().join("precious");
    assert!(matches!(start(&misnamed).await, Err(Error::ScratchFailed { .. })));

    let mut outside = spec(base.path(), SERVER);
    outside.folders.push("../outside".into());
    assert!(matches!(start(&outside).await, Err(Error::ScratchFailed { .. })));
    assert!(!base.path().join("outside").exists());

    let silent = Keeper::start(Path::new("/bin/true"), &[], &existing, &CancellationToken::new()).await;
    assert!(matches!(silent, Err(Error::KeeperSilent { .. })));
}

#[test]
fn sweeps_only_old_directories_of_ours() {
    let base = base();
    let path = |name: &str| -> PathBuf { base.path().join(format!("{SCRATCH_PREFIX}{name}")) };
    fs::create_dir(path("young")).unwrap();
    fs::create_dir(base.path().join("other-directory")).unwrap();
    let target = tempfile::tempdir().unwrap();
    fs::write(target.path().join("precious"), "x").unwrap();
    std::os::unix::fs::symlink(target.path(), path("link")).unwrap();
    let instant = now();
    assert_eq!(sweep(base.path(), instant).unwrap().removed, []);
    assert!(path("young").exists());
    let later = sweep(base.path(), instant + Duration::from_secs(120)).unwrap();
    assert_eq!(later.removed.len(), 1);
    assert!(!path("young").exists() && base.path().join("other-directory").exists());
    assert!(target.path().join("precious").exists());
    assert!(sweep(&base.path().join("absent"), instant).unwrap().removed.is_empty());
}

#[test]
fn a_stale_process_number_is_nobodys_server() {
    let base = base();
    let data = base.path().join(format!("{SCRATCH_PREFIX}stale")).join("data");
    fs::create_dir_all(&data).unwrap();
    // This very process lives, and does not work in that directory.
    fs::write(data.join("postmaster.pid"), format!("{}\n", std::process::id())).unwrap();
    let report = sweep(base.path(), now() + Duration::from_secs(120)).unwrap();
    assert_eq!(report.removed[0].server_pid, None);
}

#[tokio::test]
async fn as_root_the_server_is_another_user() {
    let Some(user) = RunAs::for_server(None).unwrap() else { return };
    let base = base();
    fs::set_permissions(base.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut spec = spec(base.path(), SERVER);
    spec.run_as = Some(user);
    let keeper = start(&spec).await.unwrap();
    let owner = |path: &Path| std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).unwrap());
    assert_eq!(owner(&spec.directory.join("data")), user.uid);
    assert_eq!(owner(&spec.directory), 0);
    assert_eq!(owner(Path::new(&format!("/proc/{}", keeper.server_pid()))), user.uid);
    keeper.stop().await.unwrap();
    assert!(is_empty(base.path()));
}

#[test]
fn users_are_found_by_name() {
    assert_eq!(RunAs::named("root").unwrap().uid, 0);
    assert!(matches!(RunAs::named("no-such-user-here"), Err(Error::NoSuchUser { .. })));
}
