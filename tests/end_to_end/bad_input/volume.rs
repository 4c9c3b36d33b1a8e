//! Disks that are too small, made of memory where this process may mount, else told of by stand-ins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use holdpoint_testkit::NEWEST;
use holdpoint_testkit::fake::FakePrograms;
use holdpoint_tests::{Outcome, is_root};

use super::failed;
use crate::scene::Scene;

/// A file system of a few megabytes.
struct Volume {
    path: PathBuf,
}

impl Volume {
    fn mount(path: &Path, megabytes: u32) -> Self {
        std::fs::create_dir_all(path).unwrap();
        system(&format!("mount -t tmpfs -o size={megabytes}m,mode=1777 tmpfs '{}'", path.display())).ended_with(0);
        Self { path: path.to_owned() }
    }

    fn fill(&self) {
        let file = std::fs::File::create(self.path.join("ballast")).unwrap();
        let mut file = std::io::BufWriter::new(file);
        while std::io::Write::write_all(&mut file, &[7; 65_536]).is_ok() {}
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: what a failed test left open must not keep it.
        let ended = system(&format!("umount -l '{}'", self.path.display()));
        assert!(std::thread::panicking() || ended.code == 0, "{ended:?}");
    }
}

fn system(script: &str) -> Outcome {
    let path = BTreeMap::from([("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())]);
    holdpoint_tests::shell(Path::new("/"), &path, script)
}

/// Rows that do not compress, so many megabytes.
fn noise(scene: &Scene, megabytes: u32) {
    scene.sql(&format!(
        "CREATE TABLE shop.noise AS SELECT n, decode(string_agg(md5(random()::text), ''), 'hex') AS body \
         FROM generate_series(1, {megabytes} * 32) n, generate_series(1, 2048) part GROUP BY n"
    ));
}

#[test]
fn what_could_not_be_recorded_is_not_verified() {
    if !is_root() {
        // A directory that cannot be written needs a mount where its owner may change its mode.
        return;
    }
    let mut scene = Scene::local();
    let folder = scene.place.path().join("mounted");
    let _volume = Volume::mount(&folder, 16);
    scene.place.use_folder(&folder);
    scene.place.holdpoint(&["init"]).ended_with(0);
    scene.place.backup();
    system(&format!("mount -o remount,ro '{}'", folder.display())).ended_with(0);
    let before = scene.before();
    for level in ["stored", "full"] {
        let refused =
            scene.place.holdpoint(&["verify", "latest", "--level", level, "--progress", "json"]).ended_with(8);
        let told = format!("{}{}", refused.stdout, refused.stderr);
        assert!(told.contains("could not be recorded") && told.contains("mounted read-only"), "{told}");
        assert!(!told.contains("restor") || !told.contains("phase"), "{told}");
    }
    scene.place.holdpoint(&["list"]).ended_with(0);
    scene.assert_untouched(&before);
}

#[test]
fn a_prune_frees_a_repository_that_is_full() {
    if !is_root() {
        // The room itself is tested where the store is; a disk can only be filled where one may be mounted.
        return;
    }
    let mut scene = Scene::local();
    let folder = scene.place.path().join("small");
    let volume = Volume::mount(&folder, 6);
    scene.place.use_folder(&folder);
    scene.place.holdpoint(&["init"]).ended_with(0);
    let made: Vec<String> =
        (0..3).map(|_| scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned()).collect();
    for id in &made {
        scene.place.holdpoint(&["verify", id, "--level", "stored"]).ended_with(0);
    }
    let reserve = folder.join(".holdpoint-reserve");
    assert_eq!(reserve.metadata().unwrap().len(), 256 << 10);
    volume.fill();
    // Nobody else takes the room, and a plan needs none.
    failed(&scene, &["backup"], 8).says(&["no space"]);
    let before = scene.before();
    let prune = ["prune", "--json", "--keep-last", "1", "--minimum-age", "0"];
    scene.place.holdpoint(&[&prune[..], &["--dry-run"]].concat()).ended_with(0);
    scene.assert_untouched(&before);
    assert_eq!(reserve.metadata().unwrap().len(), 256 << 10);
    let report = scene.place.holdpoint(&prune).ended_with(0).json();
    let outcomes: Vec<&str> =
        report["dropped"].as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!((outcomes, &report["warnings"]), (vec!["gone"; 2], &serde_json::json!([])), "{report:#}");
    assert_eq!(scene.place.points(), made[2..]);
    assert_eq!(reserve.metadata().unwrap().len(), 256 << 10, "what was freed is kept aside again");
    scene.place.holdpoint(&["verify", &made[2], "--level", "stored"]).ended_with(0);
}

#[test]
fn local_repository_full() {
    if !is_root() {
        // Without the right to mount, a limit on the size of files stands for the full disk.
        return limited();
    }
    let mut scene = Scene::local();
    let folder = scene.place.path().join("small");
    let _volume = Volume::mount(&folder, 12);
    scene.place.use_folder(&folder);
    scene.place.holdpoint(&["init"]).ended_with(0);
    scene.place.backup();
    noise(&scene, 24);
    let before = scene.before();
    failed(&scene, &["backup"], 8).says(&["archive.dump", "no space"]).hints(&["room"]);
    scene.assert_untouched(&before);
    scene.sql("DROP TABLE shop.noise");
    scene.place.backup();
}

fn limited() {
    let scene = Scene::local();
    noise(&scene, 24);
    let before = scene.before();
    let script = format!("ulimit -f 8192; exec '{}' backup --json", holdpoint_tests::program().display());
    let outcome = holdpoint_tests::shell(&scene.place.work(), &scene.place.environment(), &script).ended_with(8);
    assert_eq!(outcome.failure().kind, "repository");
    scene.assert_repository_untouched(&before);
}

#[test]
fn scratch_disk_too_small() {
    let scene = Scene::local();
    noise(&scene, 24);
    scene.place.backup();
    let said = if is_root() {
        let _volume = Volume::mount(&scene.place.scratch(), 40);
        let report = scene.place.holdpoint(&["verify", "--json"]).ended_with(5);
        report.stdout
    } else {
        full_by_stand_in(scene)
    };
    assert!(said.contains("free") || said.contains("pace"), "{said}");
}

fn full_by_stand_in(mut scene: Scene) -> String {
    let programs = FakePrograms::new(NEWEST);
    programs.replace("initdb", "echo 'initdb: error: could not write file: No space left on device' >&2; exit 1");
    scene.place.set("HOLDPOINT_POSTGRESQL_DIRECTORY", &programs.path().to_string_lossy());
    scene.place.holdpoint(&["verify", "--json"]).ended_with(5).stdout
}

#[test]
fn scratch_disk_full_during_the_restore() {
    let scene = Scene::local();
    noise(&scene, 24);
    scene.place.backup();
    if !is_root() {
        let said = full_by_stand_in(scene);
        assert!(said.contains("pace"), "{said}");
        return;
    }
    let volume = Volume::mount(&scene.place.scratch(), 600);
    let mut run = scene.place.start_paused(&["verify", "--json"], "restoring");
    run.wait_for_pause();
    volume.fill();
    run.go_on();
    let outcome = run.finish().ended_with(5);
    assert!(outcome.stdout.to_lowercase().contains("space"), "{}", outcome.stdout);
    assert_eq!(holdpoint_tests::alive_with(&scene.place.scratch()), []);
    let left: Vec<_> =
        std::fs::read_dir(scene.place.scratch()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["ballast"], "the scratch server is gone");
    let shown = scene.place.holdpoint(&["show", "--json"]).ended_with(0).json();
    assert_eq!(shown["standing"]["standing"], "unproven", "{shown:#}");
    drop(volume);
    scene.place.prove();
}
