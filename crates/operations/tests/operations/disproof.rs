//! What verification must notice, and what it must not blame on the restore point.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdpoint_core::fingerprint::Aspect;
use holdpoint_core::progress::{Phase, Progress};
use holdpoint_core::verification::{Level, Standing, Verdict};
use holdpoint_operations::Context;
use holdpoint_operations::backup::backup;
use holdpoint_operations::catalogue::show;
use holdpoint_operations::verify::verify;
use holdpoint_testkit::{Cluster, ClusterOptions};

use crate::support;

/// Runs SQL in the restored scratch database at the moment when nothing is compared yet.
struct Tamper {
    scratch: &'static Cluster,
    sql: String,
    done: AtomicBool,
}

impl Progress for Tamper {
    fn phase(&self, phase: Phase, _: Option<u64>) {
        if phase != Phase::Restored {
            return;
        }
        let find = "SELECT datname FROM pg_database WHERE datname LIKE 'holdpoint\\_scratch\\_%\\_restored'";
        let database = self.scratch.psql("postgres", find);
        assert_eq!(database.lines().count(), 1, "{database}");
        self.scratch.psql(database.trim(), &self.sql);
        self.done.store(true, Ordering::SeqCst);
    }
    fn advance(&self, _: u64) {}
    fn note(&self, _: &str) {}
}

const SCHEMA: &str = "
    CREATE ROLE reader;
    CREATE TABLE t (id int PRIMARY KEY, name varchar(3) CHECK (name IN ('a', 'b', 'c')), n numeric);
    INSERT INTO t SELECT i, substr('abc', 1 + i % 3, 1), i / 3.0 FROM generate_series(1, 500) i;
    CREATE TABLE no_key (a int);
    INSERT INTO no_key VALUES (1), (1), (2);
    CREATE INDEX by_name ON t (name);
    CREATE SEQUENCE s; SELECT setval('s', 100);
    CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
    GRANT SELECT ON t TO reader;
    CREATE POLICY p ON t USING (name IN ('a', 'b'));
    SELECT lo_from_bytea(4000000000, 'a large object');
    CREATE VIEW v AS SELECT * FROM t WHERE n BETWEEN 1 AND 2;
    COMMENT ON TABLE t IS 'kept';
";

struct Scene {
    place: support::Place,
    scratch: &'static Cluster,
    point: holdpoint_core::PointId,
}

async fn scene(name: &str) -> Scene {
    let cluster = Cluster::start(ClusterOptions::major(17));
    cluster.create_database("source");
    cluster.psql("source", SCHEMA);
    let scratch: &'static Cluster = Box::leak(Box::new(Cluster::start(ClusterOptions::major(17))));
    let place = support::place(name).await;
    let source = support::source(&cluster, "source");
    let made = backup(&place.context, &source, &support::backup_options()).await.unwrap();
    Scene { place, scratch, point: made.manifest.id }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_is_disproved_and_named() {
    let scene = scene("damage").await;
    for (sql, aspect, name) in [
        ("UPDATE t SET n = n + 1 WHERE id = 77", Aspect::Rows, "public.t"),
        ("DELETE FROM t WHERE id = 77", Aspect::Rows, "public.t"),
        ("INSERT INTO no_key VALUES (2)", Aspect::Rows, "public.no_key"),
        ("DELETE FROM no_key WHERE a = 2; INSERT INTO no_key VALUES (1)", Aspect::Rows, "public.no_key"),
        ("SELECT setval('s', 99)", Aspect::Sequence, "public.s"),
        ("SELECT setval('s', 100, false)", Aspect::Sequence, "public.s"),
        ("SELECT lo_put(4000000000, 0, 'A')", Aspect::LargeObject, "large object 4000000000"),
        ("SELECT lo_unlink(4000000000)", Aspect::LargeObject, "large object 4000000000"),
        ("DROP INDEX by_name", Aspect::Object, "INDEX public.by_name"),
        (
            "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
            Aspect::Object,
            "FUNCTION public.f()",
        ),
        ("REVOKE SELECT ON t FROM reader", Aspect::Object, "ACL public.TABLE t"),
        ("ALTER TABLE t OWNER TO reader", Aspect::Object, "TABLE public.t"),
        ("COMMENT ON TABLE t IS 'changed'", Aspect::Object, "COMMENT public.TABLE t"),
        ("ALTER POLICY p ON t USING (name IN ('a', 'b', 'c'))", Aspect::Object, "POLICY public.t p"),
        ("CREATE TABLE added ()", Aspect::Object, "TABLE public.added"),
        ("DROP TABLE no_key", Aspect::Rows, "public.no_key"),
        ("CREATE EXTENSION hstore", Aspect::Extension, "extension hstore"),
    ] {
        let tamper = Arc::new(Tamper { scratch: scene.scratch, sql: sql.to_owned(), done: AtomicBool::new(false) });
        let context = Context { progress: Arc::clone(&tamper) as Arc<dyn Progress>, ..scene.place.context.clone() };
        let options = support::verify_options(scene.scratch, Level::Full);
        let found = verify(&context, &scene.point, &options).await.unwrap().verification;
        assert!(tamper.done.load(Ordering::SeqCst));
        assert_eq!(found.verdict, Verdict::Disproved, "{sql}");
        let named = found.differences.iter().any(|one| one.aspect == aspect && one.name == name);
        assert!(named, "{sql}: {:#?}", found.differences);
        let standing = show(&context, &scene.point).await.unwrap().standing;
        assert!(matches!(standing, Standing::Disproved { .. }), "{sql}");
    }
    // Untouched, the same point is proved: nothing above was blamed on the archive.
    let options = support::verify_options(scene.scratch, Level::Full);
    let found = verify(&scene.place.context, &scene.point, &options).await.unwrap().verification;
    assert_eq!(found.verdict, Verdict::Proved, "{:#?}", found.differences);
    assert!(!found.normal.is_empty(), "IN lists are rewritten by a restore");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_scratch_server_lacks_is_never_a_disproof() {
    let scene = scene("obstacles").await;
    let verdict = async |scratch: &Cluster| {
        let options = support::verify_options(scratch, Level::Full);
        let found = verify(&scene.place.context, &scene.point, &options).await.unwrap().verification;
        (found.verdict, found.obstacles)
    };
    let older = Cluster::start(ClusterOptions::major(16));
    let mut options = support::verify_options(&older, Level::Full);
    options.programs = support::programs(scene.scratch);
    let found = verify(&scene.place.context, &scene.point, &options).await.unwrap().verification;
    assert_eq!(found.verdict, Verdict::CouldNotRun);
    assert!(found.obstacles[0].reason.contains("PostgreSQL 16"), "{:?}", found.obstacles);

    let (without_programs, obstacles) = verdict(&older).await;
    assert_eq!(without_programs, Verdict::CouldNotRun);
    assert!(obstacles[0].reason.contains("17"), "{obstacles:?}");

    scene.scratch.stop();
    let (gone, obstacles) = verdict(scene.scratch).await;
    assert_eq!(gone, Verdict::CouldNotRun, "{obstacles:?}");
    let standing = show(&scene.place.context, &scene.point).await.unwrap().standing;
    assert_eq!(standing, Standing::Unproven, "nothing conclusive was found");
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_bytes_that_changed_are_disproved_and_named() {
    let scene = scene("bytes").await;
    let manifest = show(&scene.place.context, &scene.point).await.unwrap().manifest;
    let path = scene.place.directory.path().join(&manifest.archive.key);
    let whole = std::fs::read(&path).unwrap();
    for (what, bytes) in [
        ("flipped", {
            let mut bytes = whole.clone();
            bytes[whole.len() / 2] ^= 1;
            bytes
        }),
        ("cut", whole[..whole.len() - 100].to_vec()),
        ("empty", Vec::new()),
    ] {
        std::fs::write(&path, bytes).unwrap();
        for level in [Level::Stored, Level::Full] {
            let options = support::verify_options(scene.scratch, level);
            let found = verify(&scene.place.context, &scene.point, &options).await.unwrap().verification;
            assert_eq!(found.verdict, Verdict::Disproved, "{what} {level}: {:?}", found.obstacles);
            assert_eq!(found.differences[0].aspect, Aspect::StoredBytes);
        }
    }
    std::fs::remove_file(&path).unwrap();
    let options = support::verify_options(scene.scratch, Level::Full);
    let found = verify(&scene.place.context, &scene.point, &options).await.unwrap().verification;
    assert_eq!(found.verdict, Verdict::Disproved);
    let left = scene.scratch.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'holdpoint%'");
    assert_eq!(left.trim(), "0");
}

/// Drops a restore point when its verification is about to read it, as a prune of another machine that sees no pin.
struct Drops {
    folder: std::path::PathBuf,
}

impl Progress for Drops {
    fn phase(&self, phase: Phase, _: Option<u64>) {
        if phase == Phase::StartingScratch {
            std::fs::remove_file(self.folder.join("manifest.json")).unwrap();
            std::fs::remove_dir_all(&self.folder).unwrap();
        }
    }
    fn advance(&self, _: u64) {}
    fn note(&self, _: &str) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_meanwhile_is_not_disproved() {
    let scene = scene("dropped").await;
    let folder = scene.place.directory.path().join("dropped/restore-points").join(scene.point.as_str());
    let drops = Arc::new(Drops { folder: folder.clone() });
    let context = Context { progress: drops as Arc<dyn Progress>, ..scene.place.context.clone() };
    let options = support::verify_options(scene.scratch, Level::Full);
    let error = verify(&context, &scene.point, &options).await.unwrap_err();
    assert!(matches!(error, holdpoint_operations::Error::Dropped { .. }), "{error:?}");
    assert_eq!(error.kind(), holdpoint_operations::ErrorKind::NotFound);
    assert!(!folder.exists(), "nothing is recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_missing_object_beside_the_archive_is_disproved_and_recorded() {
    let scene = scene("beside").await;
    let manifest = show(&scene.place.context, &scene.point).await.unwrap().manifest;
    let options = support::verify_options(scene.scratch, Level::Full);
    let proved = verify(&scene.place.context, &scene.point, &options).await.unwrap().verification;
    assert_eq!(proved.verdict, Verdict::Proved, "{:#?}", proved.differences);
    for key in [&manifest.index.key, &manifest.globals.key] {
        let path = scene.place.directory.path().join(key);
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        let found = verify(&scene.place.context, &scene.point, &options).await.unwrap().verification;
        assert_eq!(found.verdict, Verdict::Disproved, "{key} flipped");
        std::fs::remove_file(&path).unwrap();
        let found = verify(&scene.place.context, &scene.point, &options).await.unwrap().verification;
        assert_eq!(found.verdict, Verdict::Disproved, "{key} missing");
        let standing = show(&scene.place.context, &scene.point).await.unwrap().standing;
        assert!(matches!(standing, Standing::Disproved { .. }), "{key}");
        std::fs::write(&path, whole).unwrap();
    }
}

/// What is read back differs, and the note says why: the statement that would have made it equal was refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_property_that_cannot_be_applied_is_noted_with_the_servers_words() {
    let scene = scene("properties").await;
    let key = holdpoint_core::layout::manifest(&scene.place.context.database, &scene.point);
    let path = scene.place.directory.path().join(key);
    let mut manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let setting = serde_json::json!({ "role": null, "name": "no_such_setting", "value": "1" });
    manifest["database_properties"]["settings"] = serde_json::json!([setting]);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, manifest.to_string()).unwrap();
    let options = support::verify_options(scene.scratch, Level::Full);
    let found = verify(&scene.place.context, &scene.point, &options).await.unwrap().verification;
    assert_eq!(found.verdict, Verdict::Disproved, "{:#?}", found.obstacles);
    let differs = found.differences.iter().any(|one| one.aspect == Aspect::DatabaseProperty);
    assert!(differs, "{:#?}", found.differences);
    let note = found.notes.iter().find(|note| note.contains("could not be applied")).expect("a note");
    assert!(note.contains("unrecognized configuration parameter \"no_such_setting\""), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_handed_on_and_rights_by_membership_restore_as_they_were() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("granted");
    cluster.psql(
        "granted",
        "CREATE ROLE u1; CREATE ROLE u2; CREATE ROLE base; CREATE ROLE derived; GRANT base TO derived;
         CREATE TABLE t (id int); INSERT INTO t VALUES (1);
         GRANT SELECT ON t TO u1 WITH GRANT OPTION; SET ROLE u1; GRANT SELECT ON t TO u2; RESET ROLE;
         GRANT SELECT ON t TO base; GRANT CREATE, USAGE ON SCHEMA public TO derived;
         SET ROLE derived; CREATE MATERIALIZED VIEW m AS SELECT * FROM t; RESET ROLE;",
    );
    let scratch = Cluster::start(ClusterOptions::major(18));
    let place = support::place("granted").await;
    let source = support::source(&cluster, "granted");
    let made = backup(&place.context, &source, &support::backup_options()).await.unwrap().manifest;
    let options = support::verify_options(&scratch, Level::Full);
    let found = verify(&place.context, &made.id, &options).await.unwrap().verification;
    assert_eq!(found.verdict, Verdict::Proved, "{:#?} {:#?}", found.differences, found.obstacles);
    assert!(found.normal.is_empty(), "nothing had to be excused: {:#?}", found.normal);
}
