//! What is wrong with the database, or happens to it during the backup.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::Duration;

use holdpoint_testkit::fake::FakePrograms;
use holdpoint_testkit::{Cluster, NEWEST};

use super::{failed, refused};
use crate::scene::{Scene, name};

/// A session that holds what it has locked until it is dropped.
pub(crate) struct Session<'a> {
    scene: &'a Scene,
    psql: Child,
}

impl<'a> Session<'a> {
    pub(crate) fn holding(scene: &'a Scene, sql: &str) -> Self {
        let mut psql = scene.cluster.program("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &scene.database]);
        let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let input = psql.stdin.as_mut().unwrap();
        writeln!(input, "SET application_name = 'holding'; BEGIN; {sql}; SELECT pg_sleep(600);").unwrap();
        let asleep = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                      AND application_name = 'holding' AND query LIKE '%pg_sleep%' AND wait_event = 'PgSleep'";
        while scene.sql(asleep) != "1" {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { scene, psql }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // A sleeping server process does not notice that its client is gone.
        self.scene.sql(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'holding' \
                        AND datname = current_database()",
        );
        self.psql.wait().unwrap();
    }
}

/// A role that may log in and read everything but what the test takes away.
fn role(scene: &mut Scene, rights: &str) -> String {
    let role = name("reader");
    scene.sql(&format!("CREATE ROLE {role} LOGIN; {}", rights.replace("ROLE", &role)));
    let url = scene.cluster.url_as(&role, &scene.database);
    scene.place.set("DATABASE_URL", &url);
    role
}

#[test]
fn role_without_select_on_one_table() {
    let mut scene = Scene::local();
    let role = role(
        &mut scene,
        "GRANT USAGE ON SCHEMA shop TO ROLE; GRANT SELECT ON ALL TABLES IN SCHEMA shop TO ROLE; \
         GRANT SELECT ON ALL SEQUENCES IN SCHEMA shop TO ROLE; REVOKE SELECT ON shop.orders FROM ROLE",
    );
    refused(&scene, &["backup"], 7).says(&["shop.orders", &role]).hints(&["GRANT", "pg_read_all_data"]);
    scene.sql(&format!("GRANT SELECT ON shop.orders TO {role}"));
    scene.place.backup();
}

#[test]
fn large_object_that_the_role_may_not_read() {
    let mut scene = Scene::local();
    scene.sql("SELECT lo_from_bytea(4100000000, 'not for everybody')");
    let role = role(&mut scene, "GRANT pg_read_all_data TO ROLE");
    let cure = format!("GRANT SELECT ON LARGE OBJECT 4100000000 TO \"{role}\";");
    refused(&scene, &["backup"], 7).says(&["large object", &role]).hints(&[&cure]);
    scene.sql(&cure);
    scene.place.backup();
}

#[test]
fn forced_row_security_hides_rows() {
    let mut scene = Scene::local();
    scene.sql(
        "ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; \
         CREATE POLICY half ON shop.orders USING (id % 2 = 0)",
    );
    let role = role(&mut scene, "GRANT pg_read_all_data TO ROLE");
    refused(&scene, &["backup"], 7).says(&["shop.orders", "row security", &role]).hints(&["BYPASSRLS"]);
    // The tables' owner is bound by FORCE too.
    scene.sql(&format!("ALTER TABLE shop.orders OWNER TO {role}"));
    refused(&scene, &["backup"], 7).says(&["shop.orders", "row security"]);
    scene.sql(&format!("ALTER ROLE {role} BYPASSRLS"));
    scene.place.backup();
}

#[test]
fn database_dropped_during_the_backup() {
    for phase in ["snapshot-exported", "reading-contents", "copying-data"] {
        let scene = Scene::local();
        scene.sql("INSERT INTO shop.events (at, kind, body) SELECT now(), md5(n::text), '{}' FROM generate_series(1, 100000) n");
        scene.place.backup();
        let before = scene.before();
        let mut run = scene.place.start_paused(&["backup", "--json"], phase);
        run.wait_for_pause();
        scene.cluster.drop_database(&scene.database);
        run.go_on();
        let failure = run.finish().ended_with(7).failure();
        assert!(!failure.told.is_empty(), "{phase}");
        scene.assert_repository_untouched(&before);
        assert_eq!(scene.place.points().len(), 1, "{phase}: the earlier restore point stays");
    }
}

#[test]
fn server_killed_during_the_backup() {
    let mut scene = Scene::local();
    let own = Cluster::new(18);
    holdpoint_testkit::sample::load_shop(&own, "mortal", 40_000);
    scene.place.source(&own, "mortal");
    scene.place.backup();
    let before = scene.before();
    let mut run = scene.place.start_paused(&["backup", "--json"], "copying-data");
    run.wait_for_pause();
    own.kill();
    run.go_on();
    assert_eq!(run.finish().ended_with(7).failure().kind, "postgres");
    own.resume();
    scene.assert_repository_untouched(&before);
    scene.place.backup();
}

#[test]
fn table_dropped_during_the_backup() {
    let scene = Scene::local();
    let before = scene.before();
    let mut run = scene.place.start_paused(&["backup", "--json"], "snapshot-exported");
    run.wait_for_pause();
    scene.sql("DROP TABLE shop.events");
    run.go_on();
    run.finish().ended_with(7).failure().says(&["events"]);
    scene.assert_repository_untouched(&before);
    scene.place.backup();
    scene.place.prove();
}

/// The snapshot has lost the table's rows; the next one has what is there now.
#[test]
fn table_truncated_before_pg_dump_locks_it() {
    let scene = Scene::local();
    // Whoever copies notices it.
    for engine in [&["--parallel-from", "0"][..], &["--jobs", "1"]] {
        for change in [
            "TRUNCATE shop.events; INSERT INTO shop.events (at, kind, body) VALUES (now(), 'anew', '{}')",
            "ALTER TABLE shop.orders ALTER COLUMN note TYPE varchar(400); ALTER TABLE shop.orders ALTER COLUMN note TYPE text",
            "VACUUM FULL shop.customers",
        ] {
            let points = scene.place.points().len();
            let mut run = scene.place.start_paused(&[&["backup", "--json"], engine].concat(), "snapshot-exported");
            run.wait_for_pause();
            // Not as one transaction, in which VACUUM would not run.
            change.split("; ").for_each(|statement| drop(scene.sql(statement)));
            let expected = scene.before().database;
            run.go_on();
            let outcome = run.finish().ended_with(0);
            let warnings = outcome.json()["warnings"].to_string();
            let table = change.split("shop.").nth(1).and_then(|rest| rest.split([' ', ';']).next()).unwrap();
            assert!(warnings.contains(&format!("shop.{table} was truncated or rewritten")), "{change}: {warnings}");
            assert_eq!(scene.place.points().len(), points + 1, "{change}: one is published, not two");
            assert_eq!(scene.place.unfinished_uploads(), [""; 0]);
            let target = scene.empty_database();
            let url = scene.cluster.url(&target);
            scene.place.holdpoint(&["restore", "--from", "latest", "--into", &url]).ended_with(0);
            holdpoint_tests::assert_same(change, &expected, &holdpoint_tests::contents(scene.cluster, &target));
            scene.cluster.drop_database(&target);
        }
    }
    scene.place.prove();
}

/// Something truncates a table again and again, always between snapshot and lock.
#[test]
fn table_truncated_each_time_before_pg_dump_locks_it() {
    let mut scene = Scene::local();
    scene.place.backup();
    let proper = scene.place.environment()["HOLDPOINT_POSTGRESQL_DIRECTORY"].clone();
    let programs = FakePrograms::new(NEWEST);
    let times = scene.place.path().join("times");
    programs.replace(
        "pg_dump",
        &format!(
            "case \" $* \" in *' --version '*|*' -V '*) exec \"$REAL\" \"$@\";; esac\n\
             \"${{REAL%/*}}/psql\" -X -q -d '{}' -c 'TRUNCATE shop.events' || exit 9\n\
             echo once >>'{}'\nexec \"$REAL\" \"$@\"",
            scene.cluster.url(&scene.database),
            times.display()
        ),
    );
    scene.place.set("HOLDPOINT_POSTGRESQL_DIRECTORY", &programs.path().to_string_lossy());
    let before = scene.place.tree();
    for engine in [&["--parallel-from", "0"][..], &["--jobs", "1"]] {
        let failure = failed(&scene, &[&["backup"], engine].concat(), 7);
        failure.says(&["shop.events was truncated or rewritten"]).hints(&["--exclude-table-data"]);
        assert_eq!(std::fs::read_to_string(&times).unwrap(), "once\n".repeat(3), "three snapshots were tried");
        std::fs::remove_file(&times).unwrap();
        assert_eq!(before, scene.place.tree(), "nothing is published");
        assert_eq!(scene.place.unfinished_uploads(), [""; 0]);
    }
    scene.place.set("HOLDPOINT_POSTGRESQL_DIRECTORY", &proper);
    scene.place.backup();
    scene.place.prove();
}

#[test]
fn table_dropped_once_pg_dump_holds_it() {
    let scene = Scene::local();
    let expected = scene.before().database;
    let mut run = scene.place.start_paused(&["backup", "--json"], "copying-data");
    run.wait_for_pause();
    let mut psql = scene.cluster.program("psql");
    let mut waiting =
        psql.args(["-X", "-q", "-d", &scene.database, "-c", "TRUNCATE shop.order_lines, shop.events"]).spawn().unwrap();
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock' \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while scene.sql(waits) == "0" {
        std::thread::sleep(Duration::from_millis(10));
    }
    run.go_on();
    run.finish().ended_with(0);
    assert!(waiting.wait().unwrap().success(), "the change went through once the backup was over");
    assert_eq!(scene.sql("SELECT count(*) FROM shop.events"), "0");
    scene.place.prove();
    let target = scene.empty_database();
    let url = scene.cluster.url(&target);
    scene.place.holdpoint(&["restore", "--from", "latest", "--into", &url]).ended_with(0);
    holdpoint_tests::assert_same("the snapshot", &expected, &holdpoint_tests::contents(scene.cluster, &target));
    scene.cluster.drop_database(&target);
}

#[test]
fn table_locked_during_the_backup() {
    let scene = Scene::local();
    scene.place.backup();
    let before = scene.place.tree();
    let session = Session::holding(&scene, "LOCK TABLE shop.orders IN ACCESS EXCLUSIVE MODE");
    failed(&scene, &["backup", "--lock-wait", "1s"], 7).says(&["lock", "orders"]).hints(&["--lock-wait"]);
    assert_eq!(before, scene.place.tree());
    drop(session);
    scene.place.backup();
}

#[test]
fn clone_of_the_database() {
    let mut scene = Scene::local();
    let source = Cluster::new(18);
    holdpoint_testkit::sample::load_shop(&source, "shop", 400);
    scene.place.source(&source, "shop");
    scene.place.backup();
    let before = scene.place.tree();

    // A physical copy has the same system identifier and the same database.
    let clone = Cluster::new(18);
    clone.stop();
    source.stop();
    std::fs::remove_dir_all(clone.data_directory()).unwrap();
    let copy = format!("cp -a '{}' '{}'", source.data_directory().display(), clone.data_directory().display());
    holdpoint_tests::shell(scene.place.path(), &scene.place.environment(), &copy).ended_with(0);
    source.resume();
    clone.resume();
    scene.place.source(&clone, "shop");
    failed(&scene, &["backup"], 3).says(&["shop", "another database", "endpoint"]).hints(&["holdpoint adopt --reason"]);
    assert_eq!(before, scene.place.tree());

    // Another database of the same server is none of its business either.
    source.create_database("other");
    scene.place.source(&source, "other");
    failed(&scene, &["backup"], 3).says(&["another database", "other"]);
    assert_eq!(before, scene.place.tree());
    scene.place.source(&source, "shop");
    scene.place.backup();

    // A move that is recorded is one.
    scene.place.source(&clone, "shop");
    let before = scene.place.tree();
    failed(&scene, &["adopt", "--reason", "moved"], 16).hints(&["--yes"]);
    assert_eq!(before, scene.place.tree());
    scene.place.holdpoint(&["adopt", "--reason", "moved to the new server", "--yes"]).ended_with(0);
    scene.place.backup();
    scene.place.source(&source, "shop");
    failed(&scene, &["backup"], 3).says(&["another database"]);
}

#[test]
fn no_such_restore_point() {
    let scene = Scene::local();
    refused(&scene, &["verify", "latest"], 6).says(&["latest", "shop"]).hints(&["holdpoint list"]);
    refused(&scene, &["show", "20261121T024300Z-k3f9"], 6).says(&["20261121T024300Z-k3f9"]);
    scene.place.backup();
    refused(&scene, &["show", "proven"], 6).says(&["proven"]);
}
