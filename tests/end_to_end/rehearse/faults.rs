//! Commands and servers that do not behave.

use std::path::{Path, PathBuf};
use std::time::Duration;

use holdpoint_testkit::{Cluster, NEWEST};
use holdpoint_tests::{Place, Running};
use serde_json::json;

use super::project::{Project, TOOL};
use crate::scene::Scene;

const LONG: Duration = Duration::from_secs(300);

/// A project with one pending migration, and a restore point.
fn pending() -> (Scene, Project) {
    pending_on(Cluster::shared(NEWEST))
}

fn pending_on(cluster: &'static Cluster) -> (Scene, Project) {
    let mut scene = Scene::on(cluster, Place::local());
    let project = Project::node_pg_migrate(&mut scene);
    project.migration("1_first", "SELECT 1;", "");
    project.run_on_production(&scene, &[]);
    scene.place.backup();
    project.migration("2_second", "ALTER TABLE shop.orders ADD COLUMN weight integer;", "");
    (scene, project)
}

/// Whether a process runs whose arguments hold a word.
fn runs(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let own = std::process::id().to_string();
    processes.filter(|entry| entry.file_name().to_string_lossy() != own).any(|entry| {
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).split('\0').any(|argument| argument == word)
    })
}

/// A number of seconds that no other process sleeps for.
fn sleeps() -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{}{number:02}", 1_000_000_000 + u64::from(std::process::id()))
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + LONG;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what}: not within {LONG:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn scratch_is_empty(scene: &Scene) -> bool {
    let left = std::fs::read_dir(scene.place.scratch()).unwrap().flatten();
    !left.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("holdpoint-"))
}

/// Starts a rehearsal of a command that says when it is there, and sleeps.
fn sleeping(scene: &Scene, seconds: &str, flags: &[&str]) -> Running {
    let script = format!("echo 'now asleep'; sleep {seconds}");
    let words = [&["rehearse"], flags, &["--", "sh", "-c", &script]].concat();
    let mut running = scene.place.start(&words);
    running.wait_until_said("now asleep");
    running
}

#[test]
fn a_command_that_hangs_forks_ignores_signals_and_prints_secrets() {
    let (mut scene, project) = pending();
    let before = scene.before();
    scene.place.set("API_TOKEN", "postgres://u:hunter2secret@other.example.invalid/x");
    let script = "echo \"secret $API_TOKEN and $PGPASSWORD\"; exit 3";
    let flags = ["--json", "--progress", "log"];
    let outcome = project.rehearse_command(&scene, &flags, &["sh", "-c", script]).ended_with(10);
    let said = outcome.stderr.lines().find(|line| line.contains("secret")).unwrap();
    // A variable that is named like a secret is one as a whole.
    assert!(said.ends_with("| secret *** and ***"), "{said}");
    assert!(!outcome.stdout.contains("hunter2secret") && !outcome.stderr.contains("hunter2secret"));
    for flags in [&["--json", "--time-limit", "2s"][..], &["--json", "--time-limit", "2s", "--shared-network"]] {
        let seconds = sleeps();
        let script = format!("trap '' TERM INT HUP; sleep {seconds} & (sleep {seconds} &); sleep {seconds}");
        let outcome = project.rehearse_command(&scene, flags, &["sh", "-c", &script]).ended_with(10);
        let rehearsal = &outcome.json()["rehearsal"];
        assert_eq!(rehearsal["outcome"], "timed_out", "{rehearsal:#}");
        wait_for("all of its processes end", || !runs(&seconds));
    }
    // One that daemonises ends too, in a network of its own.
    let seconds = sleeps();
    let script = format!("setsid sh -c 'trap \"\" TERM; sleep {seconds}' & node {TOOL} up");
    project.rehearse_command(&scene, &["--json"], &["sh", "-c", &script]).ended_with(0);
    wait_for("the daemon ends", || !runs(&seconds));
    scene.place.unset("API_TOKEN");
    scene.assert_untouched_but_proof(&before);
}

#[test]
fn a_command_that_fails_or_does_something_else() {
    let (scene, project) = pending();
    let before = scene.before();
    let report = project.rehearse_command(&scene, &["--json"], &["sh", "-c", "exit 7"]).ended_with(10).json();
    let rehearsal = &report["rehearsal"];
    assert_eq!((&rehearsal["outcome"], &rehearsal["exit_code"]), (&json!("failed"), &json!(7)), "{rehearsal:#}");
    let report = project.rehearse_command(&scene, &["--json"], &["sh", "-c", "kill -9 $$"]).ended_with(10).json();
    assert_eq!(report["rehearsal"]["signal"], 9, "{report:#}");
    let report = project.rehearse_command(&scene, &["--json"], &["true"]).ended_with(11).json();
    assert_eq!(report["rehearsal"]["outcome"], "not_as_planned", "{report:#}");
    // Nothing says that it did not go to production, where it could.
    let flags = ["--json", "--shared-network"];
    let report = project.rehearse_command(&scene, &flags, &["true"]).ended_with(13).json();
    assert_eq!(report["rehearsal"]["outcome"], "escaped", "{report:#}");
    let failure = project.rehearse_command(&scene, &["--json"], &["no-such-program"]).ended_with(2).failure();
    failure.says(&["no-such-program"]).hints(&["PATH"]);
    scene.assert_untouched_but_proof(&before);
}

#[test]
fn an_interrupted_or_killed_rehearsal_leaves_nothing() {
    let (scene, _project) = pending();
    let before = scene.before();
    for flags in [&[][..], &["--shared-network"]] {
        let seconds = sleeps();
        let running = sleeping(&scene, &seconds, flags);
        running.interrupt();
        let told = running.finish().ended_with(130).stderr;
        assert!(told.contains("the rehearsal was interrupted while the command ran on the copy"), "{told}");
        wait_for("the command ends", || !runs(&seconds));
        scene.assert_untouched_but_proof(&before);
        let seconds = sleeps();
        let running = sleeping(&scene, &seconds, flags);
        running.kill();
        running.finish().ended_with(137);
        wait_for("the keeper removes the scratch server", || scratch_is_empty(&scene));
        if flags.is_empty() {
            wait_for("the command ends", || !runs(&seconds));
        } else {
            // It lives on where the page says that it is found, and nothing of it is holdpoint's.
            assert!(marked(&seconds), "the mark is in its environment");
            let text = scene.place.holdpoint(&["leftovers"]).ended_with(0).stdout;
            assert!(!text.contains(&seconds), "{text}");
            end(&seconds);
        }
        scene.assert_untouched_but_proof(&before);
    }
}

/// Whether a process with this word carries a rehearsal's mark in its environment.
fn marked(seconds: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let has = |text: Vec<u8>, word: &str| String::from_utf8_lossy(&text).contains(word);
        has(read("cmdline"), seconds) && has(read("environ"), "holdpoint-rehearsal:")
    })
}

/// Ends what a killed holdpoint left in this machine's network: there it is only known by its words.
fn end(seconds: &str) {
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&arguments).split('\0').any(|argument| argument == seconds)
            && let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
    }
}

/// The main process of the scratch server, by its own file.
fn scratch_server(scene: &Scene) -> rustix::process::Pid {
    let file = |folder: PathBuf| folder.join("data/postmaster.pid");
    let folders = std::fs::read_dir(scene.place.scratch()).unwrap().flatten();
    let path = folders.map(|entry| file(entry.path())).find(|path| Path::is_file(path)).expect("a scratch server");
    let text = std::fs::read_to_string(path).unwrap();
    rustix::process::Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap()
}

#[test]
fn a_scratch_server_that_dies_meanwhile() {
    let (scene, _project) = pending();
    let before = scene.before();
    for flags in [&["--json", "--progress", "log"][..], &["--json", "--progress", "log", "--shared-network"]] {
        let seconds = sleeps();
        let running = sleeping(&scene, &seconds, flags);
        rustix::process::kill_process(scratch_server(&scene), rustix::process::Signal::KILL).unwrap();
        let failure = running.finish().ended_with(5).failure();
        failure.says(&["the scratch server ended during the rehearsal"]).hints(&["disk and memory"]);
        wait_for("the command ends", || !runs(&seconds));
        wait_for("the scratch server is removed", || scratch_is_empty(&scene));
        scene.assert_untouched_but_proof(&before);
    }
}

/// Even production's own server: another database of it is none of the command's business, and is dropped.
#[test]
fn a_scratch_server_that_was_given() {
    // Nobody else makes databases and roles on this one.
    let (scene, project) = pending_on(super::escapes::cluster());
    let before = scene.before();
    let databases =
        || scene.cluster.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'holdpoint%'");
    let roles = || scene.cluster.psql("postgres", "SELECT string_agg(rolname, ',' ORDER BY 1) FROM pg_roles");
    let (databases_before, roles_before) = (databases(), roles());
    let url = scene.cluster.url("postgres");
    for flags in [&["--json"][..], &["--json", "--shared-network"]] {
        let flags = [flags, &["--scratch-url", &url]].concat();
        let report = project.rehearse(&scene, &flags).ended_with(0).json();
        let rehearsal = &report["rehearsal"];
        assert_eq!(rehearsal["outcome"], "as_planned", "{report:#}");
        assert_eq!(rehearsal["role"], scene.cluster.superuser(), "{rehearsal:#}");
        assert_eq!(rehearsal["isolation"]["namespace"], false, "{rehearsal:#}");
        let warnings = rehearsal["warnings"].to_string();
        assert!(warnings.contains("the copy is called holdpoint_scratch_"), "{warnings}");
        assert!(warnings.contains("may not do is not rehearsed"), "{warnings}");
        project.rehearse_command(&scene, &flags, &["sh", "-c", "exit 3"]).ended_with(10);
    }
    assert_eq!((databases(), roles()), (databases_before, roles_before));
    scene.assert_untouched_but_proof(&before);
}

#[test]
fn somebody_else_migrates() {
    let (scene, project) = pending();
    let before = scene.before();
    let session = crate::bad_input::database::Session::holding(&scene, "LOCK TABLE pgmigrations IN ROW EXCLUSIVE MODE");
    let failure = project.rehearse(&scene, &["--json"]).ended_with(14).failure();
    failure.says(&["public.pgmigrations of production is in use"]).hints(&["retry", "pg_locks"]);
    drop(session);
    scene.assert_untouched_but_proof(&before);
}
