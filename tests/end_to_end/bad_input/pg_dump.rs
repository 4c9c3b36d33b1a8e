//! What is wrong with pg_dump, or happens to it.

use std::path::Path;

use holdpoint_testkit::fake::FakePrograms;
use holdpoint_testkit::{Cluster, MAJORS, NEWEST, sample};
use holdpoint_tests::Place;

use super::failed;
use crate::scene::{Scene, name};

/// The newest major of which this machine has no other installation that would be found instead.
fn lonely_major() -> u32 {
    let installed = |major: &u32| Path::new(&format!("/usr/lib/postgresql/{major}")).exists();
    MAJORS.into_iter().rev().find(|major| !installed(major)).expect("a major that only the cache has")
}

fn place_with(programs: &FakePrograms, major: u32) -> (Place, &'static Cluster, String) {
    let cluster = Cluster::shared(major);
    let database = name("dumped");
    sample::load_shop(cluster, &database, 400);
    let mut place = Place::local();
    place.source(cluster, &database);
    place.set("HOLDPOINT_POSTGRESQL_DIRECTORY", &programs.path().to_string_lossy());
    (place, cluster, database)
}

fn nothing_stored(place: &Place) {
    let tree = place.tree();
    let stored: Vec<&String> = tree.objects.keys().filter(|key| key.contains("/restore-points/")).collect();
    assert!(stored.is_empty(), "{stored:?}");
    assert_eq!(place.unfinished_uploads(), [""; 0]);
    assert_eq!(place.points(), [""; 0]);
}

#[test]
fn absent() {
    let major = lonely_major();
    let programs = FakePrograms::new(major);
    programs.remove("pg_dump");
    let (place, cluster, database) = place_with(&programs, major);
    let failure = place.holdpoint(&["backup", "--json"]).ended_with(7).failure();
    failure.says(&[&format!("pg_dump {major}"), &programs.path().to_string_lossy()]).hints(&["install"]);
    nothing_stored(&place);
    cluster.drop_database(&database);
}

#[test]
fn older_than_the_server() {
    let major = lonely_major();
    let programs = FakePrograms::new(major);
    programs.claim_version("pg_dump", "13.9");
    let (place, cluster, database) = place_with(&programs, major);
    let failure = place.holdpoint(&["backup", "--json"]).ended_with(7).failure();
    failure.says(&["pg_dump", "13", &major.to_string()]);
    nothing_stored(&place);
    cluster.drop_database(&database);
}

/// A shop whose dump is cut in many places by many kinds of death.
struct Cut {
    scene: Scene,
    programs: FakePrograms,
    whole: u64,
    head: u64,
}

impl Cut {
    fn new(mut scene: Scene) -> Self {
        let programs = FakePrograms::new(NEWEST);
        scene.place.set("HOLDPOINT_POSTGRESQL_DIRECTORY", &programs.path().to_string_lossy());
        scene.place.backup();
        let shown = scene.place.holdpoint(&["show", "--json"]).ended_with(0).json();
        let head = shown["manifest"]["archive"]["head_bytes"].as_u64().unwrap();
        let whole = scene.cluster.pg_dump(&scene.database, &["-Fc", "-Z0"]).len() as u64;
        Self { scene, programs, whole, head }
    }

    /// Nothing, in the magic, the header, the contents, at their end, in the rows, at the last byte, after it.
    fn places(&self) -> Vec<u64> {
        let (head, whole) = (self.head, self.whole);
        vec![0, 1, 5, 100, head / 2, head - 1, head, head + 3, (head + whole) / 2, whole - 200, whole - 1]
    }

    fn fails(&self, what: &str) {
        let before = self.scene.place.tree();
        let failure = failed(&self.scene, &["backup"], 7);
        assert!(failure.told.contains("pg_dump"), "{what}: {failure:?}");
        assert_eq!(before, self.scene.place.tree(), "{what}");
        assert_eq!(self.scene.place.unfinished_uploads(), [""; 0], "{what}");
    }

    fn killed(&self) {
        for bytes in self.places().into_iter().chain([self.whole]) {
            self.programs.kill_after("pg_dump", bytes);
            self.fails(&format!("killed after {bytes} of {}", self.whole));
        }
    }
}

#[test]
fn killed_at_any_byte_with_a_folder() {
    Cut::new(Scene::local()).killed();
}

#[test]
fn killed_at_any_byte_with_a_bucket() {
    Cut::new(Scene::on_s3()).killed();
}

#[test]
fn failing_at_any_byte() {
    let cut = Cut::new(Scene::local());
    for bytes in cut.places().into_iter().chain([cut.whole]) {
        cut.programs.fail_after("pg_dump", bytes, "pg_dump: error: out of everything", 1);
        let before = cut.scene.place.tree();
        failed(&cut.scene, &["backup"], 7).says(&["pg_dump", "out of everything"]);
        assert_eq!(before, cut.scene.place.tree(), "after {bytes}");
    }
}

#[test]
fn ending_too_early_with_success() {
    let cut = Cut::new(Scene::local());
    for bytes in cut.places() {
        cut.programs.cut_silently_after("pg_dump", bytes);
        let before = cut.scene.place.tree();
        let outcome = cut.scene.place.holdpoint(&["backup", "--json"]);
        assert_ne!(outcome.code, 0, "{bytes} of {} are no backup", cut.whole);
        assert_eq!(outcome.ended_with(7).failure().kind, "postgres");
        assert_eq!(before, cut.scene.place.tree(), "after {bytes}");
    }
    // The whole of it, by the same stand-in, is one.
    cut.programs.cut_silently_after("pg_dump", cut.whole + 100_000);
    cut.scene.place.backup();
    cut.scene.place.prove();
}

#[test]
fn killed_while_sql_text_is_made() {
    let cut = Cut::new(Scene::local());
    for bytes in cut.places() {
        cut.programs.kill_after("pg_dump", bytes);
        let before = cut.scene.place.tree();
        failed(&cut.scene, &["backup", "--format", "plain"], 7);
        assert_eq!(before, cut.scene.place.tree(), "after {bytes}");
    }
}
