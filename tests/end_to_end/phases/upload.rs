//! The program killed, and interrupted, while parts of an archive are on their way.

use holdpoint_testkit::NEWEST;
use holdpoint_testkit::fake::FakePrograms;
use holdpoint_tests::{Running, alive_with, processes_with, wait_until_gone};

use super::{CLEANED_WITHIN, WELL_WITHIN};
use crate::scene::Scene;

/// More than the parts that are held back, so that an upload is under way long before everything is read.
const NOISE: &str = "CREATE TABLE shop.noise AS \
                     SELECT n, md5(n::text) || md5((-n)::text) AS body FROM generate_series(1, 600000) n";

/// One session copies, and its pg_dump stands still in the middle of the rows: parts are on their way, nothing moves.
fn stalled(scene: &mut Scene) -> (FakePrograms, Running) {
    let programs = FakePrograms::new(NEWEST);
    let whole = scene.cluster.pg_dump(&scene.database, &["-Fc", "-Z0"]).len() as u64;
    programs.stall_after("pg_dump", whole * 9 / 10);
    let proper = scene.place.environment()["HOLDPOINT_POSTGRESQL_DIRECTORY"].clone();
    scene.place.set("HOLDPOINT_POSTGRESQL_DIRECTORY", &programs.path().to_string_lossy());
    let mut run = scene.place.start(&["backup", "--compress", "none", "--jobs", "1", "--json"]);
    scene.place.set("HOLDPOINT_POSTGRESQL_DIRECTORY", &proper);
    let place = &scene.place;
    let asleep = || processes_with(place.path()).iter().any(|one| one.line.starts_with("sleep 3600"));
    run.wait_until("pg_dump stands still", WELL_WITHIN, || asleep() && !place.unfinished_uploads().is_empty());
    (programs, run)
}

/// Several sessions copy, which have most of a minute's work at this rate; the first of it is on its way.
fn slow(scene: &Scene) -> Running {
    let mut run = scene.place.start(&["backup", "--compress", "none", "--jobs", "2", "--max-rate", "1M", "--json"]);
    let copying = format!(
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = '{}' AND state = 'active' AND query LIKE '%COPY %'",
        scene.database
    );
    run.wait_until("an upload runs", WELL_WITHIN, || {
        !scene.place.unfinished_uploads().is_empty() && scene.cluster.psql("postgres", &copying) == "t"
    });
    run
}

fn killed_in_mid_upload(mut scene: Scene) {
    scene.sql(NOISE);
    let (programs, run) = stalled(&mut scene);
    run.kill();
    run.finish().ended_with(137);
    // The stand-in for pg_dump sleeps and so never meets the broken pipe that ends a real one.
    for asleep in processes_with(scene.place.path()).iter().filter(|one| one.line.starts_with("sleep 3600")) {
        holdpoint_tests::kill(asleep.pid);
    }
    wait_until_gone(programs.path(), CLEANED_WITHIN);
    scene.killed_mid_way();

    let run = slow(&scene);
    run.kill();
    run.finish().ended_with(137);
    scene.killed_mid_way();
    scene.place.backup();
}

fn interrupted_in_mid_upload(mut scene: Scene) {
    scene.sql(NOISE);
    let (programs, run) = stalled(&mut scene);
    run.interrupt();
    assert_eq!(run.finish().ended_with(130).failure().kind, "interrupted");
    wait_until_gone(programs.path(), CLEANED_WITHIN);
    scene.interrupted_mid_way();

    let run = slow(&scene);
    run.interrupt();
    assert_eq!(run.finish().ended_with(130).failure().kind, "interrupted");
    scene.interrupted_mid_way();
    scene.place.backup();
}

impl Scene {
    #[track_caller]
    fn killed_mid_way(&self) {
        self.assert_nothing_runs();
        assert_eq!(self.place.points(), [""; 0]);
        assert!(!self.place.unfinished_uploads().is_empty(), "the test killed it in the middle");
        self.sweep(&[]);
        assert_eq!(self.objects_beyond(&[]), [""; 0]);
    }

    #[track_caller]
    fn interrupted_mid_way(&self) {
        assert_eq!(self.place.unfinished_uploads(), [""; 0], "the upload is aborted");
        assert_eq!(alive_with(self.place.path()), [], "it has cleaned up itself");
        self.assert_nothing_runs();
        assert_eq!(self.place.points(), [""; 0]);
        assert_eq!(self.objects_beyond(&[]), [""; 0]);
    }
}

#[test]
fn killed_in_the_middle_of_an_upload() {
    killed_in_mid_upload(Scene::on_s3());
}

#[test]
fn killed_in_the_middle_of_a_file() {
    killed_in_mid_upload(Scene::local());
}

#[test]
fn interrupted_in_the_middle_of_an_upload() {
    interrupted_in_mid_upload(Scene::on_s3());
}

#[test]
fn interrupted_in_the_middle_of_a_file() {
    interrupted_in_mid_upload(Scene::local());
}
