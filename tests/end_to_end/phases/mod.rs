//! The program killed, and interrupted, at every named phase of a backup and a verification, on both adapters.

mod upload;

use std::time::Duration;

use holdpoint_testkit::NEWEST;
use holdpoint_testkit::fake::FakePrograms;
use holdpoint_tests::{alive_with, processes_with, wait_until_gone};

use crate::scene::Scene;

const BACKUP: [&str; 7] = [
    "preflight",
    "snapshot-exported",
    "reading-contents",
    "copying-data",
    "completing-upload",
    "storing-index",
    "publishing-manifest",
];
const VERIFY: [&str; 5] = ["starting-scratch", "restoring", "restored", "comparing", "recording-verification"];
/// The keeper asks the server to stop, waits, and removes; a busy machine takes its time.
const CLEANED_WITHIN: Duration = Duration::from_secs(120);
/// For a state that comes by itself.
const WELL_WITHIN: Duration = Duration::from_secs(300);

/// The leftovers but databases: the server is shared, and other tests restore into it meanwhile.
fn not_of_others(report: &serde_json::Value) -> Vec<&serde_json::Value> {
    let all = report["leftovers"].as_array().unwrap().iter();
    all.filter(|one| !one["kind"].as_str().unwrap().ends_with("_database")).collect()
}

impl Scene {
    /// No server, no child and no data directory is left of a run that is gone.
    #[track_caller]
    pub(crate) fn assert_nothing_runs(&self) {
        wait_until_gone(self.place.path(), CLEANED_WITHIN);
        let sessions = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
            self.database
        );
        let deadline = std::time::Instant::now() + CLEANED_WITHIN;
        while self.cluster.psql("postgres", &sessions) != "0" {
            assert!(std::time::Instant::now() < deadline, "sessions are left on the source");
            std::thread::sleep(Duration::from_millis(20));
        }
        while !self.scratch_entries().is_empty() {
            assert!(std::time::Instant::now() < deadline, "left in the scratch folder: {:?}", self.scratch_entries());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn scratch_entries(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.place.scratch()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    /// What was left is found, and removed where that is asked for; then only whole restore points remain.
    #[track_caller]
    pub(crate) fn sweep(&self, points: &[String]) {
        let report = self.place.holdpoint(&["leftovers", "--json"]).ended_with(0).json();
        let found = report["leftovers"].as_array().unwrap().clone();
        let expected = self.objects_beyond(points).len() + self.place.unfinished_uploads().len();
        if expected > 0 {
            assert!(!found.is_empty(), "{:?} are not found", self.objects_beyond(points));
        }
        let kept = self.place.tree();
        self.place.holdpoint(&["leftovers", "--remove", "--dry-run", "--min-age", "0s"]).ended_with(0);
        assert_eq!(kept, self.place.tree(), "a dry run removes nothing");
        let report = self.place.holdpoint(&["leftovers", "--remove", "--min-age", "0s", "--json"]).ended_with(0).json();
        for leftover in not_of_others(&report) {
            assert_eq!(leftover["removed"], true, "{leftover:#}");
        }
        assert_eq!(self.place.unfinished_uploads(), [""; 0]);
        assert_eq!(self.objects_beyond(points), [""; 0], "objects of no restore point remain");
        let report = self.place.holdpoint(&["leftovers", "--json"]).ended_with(0).json();
        assert!(not_of_others(&report).is_empty(), "{report:#}");
    }

    /// Objects below `restore-points` that belong to none of the restore points that are listed.
    fn objects_beyond(&self, points: &[String]) -> Vec<String> {
        let keys = self.place.tree().objects.into_keys();
        keys.filter(|key| key.contains("/restore-points/") && !points.iter().any(|id| key.contains(&format!("/{id}/"))))
            .collect()
    }

    fn killed_in_backup(&self, phase: &str) {
        let before = self.place.points();
        let mut run = self.place.start_paused(&["backup", "--parallel-from", "0"], phase);
        run.wait_for_pause();
        run.kill();
        run.finish().ended_with(137);
        self.assert_nothing_runs();
        let points = self.place.points();
        assert_eq!(points, before, "{phase}: a backup that was killed publishes nothing");
        self.sweep(&points);
        self.place.backup();
        assert_eq!(self.place.points().len(), before.len() + 1, "{phase}: the next backup works");
    }

    fn killed_in_verify(&self, phase: &str) {
        let mut run = self.place.start_paused(&["verify"], phase);
        run.wait_for_pause();
        run.kill();
        run.finish().ended_with(137);
        self.assert_nothing_runs();
        let points = self.place.points();
        self.sweep(&points);
        assert_eq!(self.standing(), "unproven", "{phase}: nothing was concluded");
    }

    fn standing(&self) -> String {
        let report = self.place.holdpoint(&["show", "--json"]).ended_with(0).json();
        report["standing"]["standing"].as_str().unwrap().to_owned()
    }

    fn interrupted(&self, command: &[&str], phase: &str) {
        let before = (self.place.points(), self.place.tree());
        let mut run = self.place.start_paused(&[command, &["--json"]].concat(), phase);
        run.wait_for_pause();
        run.interrupt();
        let failure = run.finish().ended_with(130).failure();
        assert_eq!(failure.kind, "interrupted", "{phase}: {failure:?}");
        // It has cleaned up itself: nothing is waited for.
        assert_eq!(alive_with(self.place.path()), [], "{phase}");
        assert_eq!(self.scratch_entries(), [""; 0], "{phase}");
        assert_eq!(self.place.unfinished_uploads(), [""; 0], "{phase}");
        assert_eq!(self.place.points(), before.0, "{phase}: nothing is published");
        assert_eq!(before.1, self.place.tree(), "{phase}");
    }
}

fn every_phase_killed(scene: &Scene) {
    for phase in BACKUP {
        scene.killed_in_backup(phase);
    }
    for phase in VERIFY {
        scene.killed_in_verify(phase);
    }
    scene.place.prove();
    assert_eq!(scene.standing(), "proven");
}

#[test]
fn killed_at_every_phase_with_a_folder() {
    every_phase_killed(&Scene::local());
}

#[test]
fn killed_at_every_phase_with_a_bucket() {
    every_phase_killed(&Scene::on_s3());
}

fn every_phase_interrupted(scene: &Scene) {
    for phase in BACKUP {
        scene.interrupted(&["backup"], phase);
        scene.interrupted(&["backup", "--parallel-from", "0"], phase);
    }
    scene.place.backup();
    let (recording, before) = VERIFY.split_last().unwrap();
    for phase in before {
        scene.interrupted(&["verify"], phase);
        assert_eq!(scene.standing(), "unproven", "{phase}");
    }
    // The verdict is known by then: it is recorded and told, for nobody wants to wait for it again.
    let mut run = scene.place.start_paused(&["verify", "--json"], recording);
    run.wait_for_pause();
    run.interrupt();
    assert_eq!(run.finish().ended_with(0).json()["verification"]["verdict"], "proved");
    assert_eq!(scene.standing(), "proven");
}

#[test]
fn interrupted_at_every_phase_with_a_folder() {
    every_phase_interrupted(&Scene::local());
}

#[test]
fn interrupted_at_every_phase_with_a_bucket() {
    every_phase_interrupted(&Scene::on_s3());
}

/// The first Ctrl-C asks pg_dump to end and waits for it; this one does not listen. The second waits for nobody.
#[test]
fn interrupted_twice_ends_at_once() {
    let mut scene = Scene::local();
    scene.place.backup();
    let points = scene.place.points();
    let proper = scene.place.environment()["HOLDPOINT_POSTGRESQL_DIRECTORY"].clone();
    let programs = FakePrograms::new(NEWEST);
    let version = "case \" $* \" in *' --version '*|*' -V '*) exec \"$REAL\" \"$@\";; esac";
    let deaf = "trap '' TERM INT HUP\n\"$REAL\" \"$@\" 2>/dev/null | head -c 40000\nexec sleep 3600";
    programs.replace("pg_dump", &format!("{version}\n{deaf}"));
    scene.place.set("HOLDPOINT_POSTGRESQL_DIRECTORY", &programs.path().to_string_lossy());

    let mut run = scene.place.start(&["backup", "--json"]);
    let asleep = || processes_with(scene.place.path()).into_iter().filter(|one| one.line.starts_with("sleep 3600"));
    run.wait_until("pg_dump stands still", WELL_WITHIN, || asleep().count() == 1);
    run.interrupt();
    run.wait_until_said("once more ends at once");
    run.interrupt();
    let outcome = run.finish().ended_with(130);
    assert!(outcome.stderr.contains("ended at once; see what was left: holdpoint leftovers"), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "", "nothing was awaited that could be told");
    // It did not wait for the deaf one, which is ended by hand.
    assert_eq!(asleep().count(), 1);
    asleep().for_each(|one| holdpoint_tests::kill(one.pid));
    scene.assert_nothing_runs();
    assert_eq!(scene.place.points(), points, "nothing is published");
    scene.sweep(&points);
    scene.place.set("HOLDPOINT_POSTGRESQL_DIRECTORY", &proper);
    scene.place.backup();
}
