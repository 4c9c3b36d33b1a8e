//! The emergency restore of the live database itself: `restore --swap` and `--swap-in`.

mod killed;
mod refused;
mod replaced;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST, quote_identifier};
use holdpoint_tests::{Place, assert_same, contents, resume, stop};
use serde_json::Value;

use crate::scene::{self, Scene};

/// A server of its own: what a swap keeps would be a leftover for the tests of others.
fn server() -> &'static Cluster {
    static SERVER: OnceLock<Cluster> = OnceLock::new();
    SERVER.get_or_init(|| {
        let options = ClusterOptions::major(NEWEST).with_configuration("max_prepared_transactions = 5");
        Cluster::start(options.with_configuration("wal_level = logical"))
    })
}

/// A shop with a restore point, and with much written since.
struct Damaged {
    scene: Scene,
    /// What the restore point holds.
    before: String,
    /// What the live database holds now.
    after: String,
}

const DAMAGE: &str = "DELETE FROM shop.order_lines WHERE id % 2 = 0; \
     INSERT INTO shop.events (at, kind, body) VALUES (now(), 'late', '{}'); \
     CREATE TABLE shop.new AS SELECT 1 AS a; DROP VIEW shop.turnover; ALTER TABLE shop.products DROP sku";

impl Damaged {
    fn on(cluster: &'static Cluster) -> Self {
        let scene = Scene::on(cluster, Place::local());
        scene.place.backup();
        let before = contents(cluster, &scene.database);
        scene.sql(DAMAGE);
        let after = contents(cluster, &scene.database);
        assert_ne!(before, after);
        Self { scene, before, after }
    }

    #[track_caller]
    fn assert_live_is(&self, wanted: &str) {
        assert_same("the live database", wanted, &contents(self.scene.cluster, &self.scene.database));
    }

    /// What the catalog says of the live database itself.
    fn properties(&self) -> String {
        self.scene.cluster.psql(
            "postgres",
            &format!(
                "SELECT pg_get_userbyid(datdba), datconnlimit, shobj_description(d.oid, 'pg_database'), datallowconn, \
                   (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce(datacl, acldefault('d', datdba))) a), \
                   (SELECT array_agg(coalesce(nullif(setrole, 0)::regrole::text, '') || setconfig::text ORDER BY setrole) \
                      FROM pg_db_role_setting WHERE setdatabase = d.oid) \
                 FROM pg_database d WHERE datname = '{}'",
                self.scene.database
            ),
        )
    }
}

fn text<'a>(report: &'a Value, key: &str) -> &'a str {
    report[key].as_str().unwrap_or_else(|| panic!("no {key} in {report:#}"))
}

fn is_open(cluster: &Cluster, database: &str) -> bool {
    let sql = format!("SELECT datallowconn FROM pg_database WHERE datname = '{database}'");
    cluster.psql("postgres", &sql) == "t"
}

/// Names of the databases that holdpoint made for the live one, or kept of it.
fn others(cluster: &Cluster, live: &str) -> Vec<String> {
    let sql = format!(
        "SELECT datname FROM pg_database WHERE datname ~ '^{live}_before_' \
            OR shobj_description(oid, 'pg_database') LIKE '%\"of\":\"{live}\"%' ORDER BY 1"
    );
    cluster.psql("postgres", &sql).lines().map(str::to_owned).collect()
}

#[test]
fn swapped_with_its_properties_and_back() {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let damaged = Damaged::on(killed::own_server());
    let scene = &damaged.scene;
    let (cluster, live) = (scene.cluster, &scene.database);
    let role = format!("Owner {}", NEXT.fetch_add(1, Ordering::Relaxed));
    let (name, role) = (quote_identifier(live), quote_identifier(&role));
    scene.sql(&format!(
        "CREATE ROLE {role} LOGIN; ALTER DATABASE {name} OWNER TO {role}; REVOKE CONNECT ON DATABASE {name} FROM PUBLIC; \
         GRANT CONNECT ON DATABASE {name} TO pg_monitor; ALTER DATABASE {name} CONNECTION LIMIT 77; \
         COMMENT ON DATABASE {name} IS 'the shop''s own'; ALTER DATABASE {name} SET work_mem = '5MB'; \
         ALTER ROLE {role} IN DATABASE {name} SET search_path = shop, public"
    ));
    let properties = damaged.properties();
    let live_oid = format!("SELECT oid FROM pg_database WHERE datname = '{live}'");
    let oid = cluster.psql("postgres", &live_oid);

    let dry = scene.place.holdpoint(&["restore", "--from", "latest", "--swap", "--dry-run", "--json"]);
    let dry = dry.ended_with(0).json();
    assert_eq!(dry["plan"]["obstacles"], serde_json::json!([]), "{dry:#}");
    assert_eq!(dry["written_since"]["at_least"], true, "{dry:#}");
    damaged.assert_live_is(&damaged.after);
    assert_eq!(others(cluster, live), [""; 0]);

    let swap = ["restore", "--from", "latest", "--swap", "--yes", "--json"];
    let report = scene.place.holdpoint(&swap).ended_with(0).json();
    damaged.assert_live_is(&damaged.before);
    assert_eq!(damaged.properties(), properties);
    assert_ne!(cluster.psql("postgres", &live_oid), oid);
    let kept = text(&report, "kept_as").to_owned();
    assert_eq!(others(cluster, live), std::slice::from_ref(&kept));
    assert!(!is_open(cluster, &kept), "the old one is closed");
    // What only the old one holds.
    let since = &report["written_since"];
    assert_eq!(since["at_least"], false);
    let tables: Vec<&str> = since["tables"].as_array().unwrap().iter().map(|table| text(table, "name")).collect();
    assert_eq!(tables, ["shop.events", "shop.order_lines", "shop.new"], "{since:#}");
    let events = &since["tables"][0];
    assert_eq!(events["rows"].as_u64().unwrap(), events["rows_then"].as_u64().unwrap() + 1);
    assert_eq!(since["not_known"][0]["name"], "shop.products", "{since:#}");
    assert_eq!(since["unchanged"], 2, "{since:#}");
    // The folder followed.
    assert_eq!(report["adopted"], true);
    scene.place.backup();

    // The old one stays until it is old enough and somebody says so.
    scene.place.holdpoint(&["leftovers", "--remove"]).ended_with(0);
    assert_eq!(others(cluster, live), std::slice::from_ref(&kept));

    let back = ["restore", "--swap-in", &kept, "--yes", "--json"];
    let report = scene.place.holdpoint(&back).ended_with(0).json();
    damaged.assert_live_is(&damaged.after);
    assert_eq!(damaged.properties(), properties);
    assert_eq!(cluster.psql("postgres", &live_oid), oid);
    scene.place.backup();
    let kept = text(&report, "kept_as").to_owned();
    assert_eq!(others(cluster, live), std::slice::from_ref(&kept));
    let removed = ["leftovers", "--remove", "--min-age", "0s", "--json"];
    let removed = scene.place.holdpoint(&removed).json();
    let removed = removed["leftovers"].as_array().unwrap();
    assert!(removed.iter().any(|one| one["id"] == kept.as_str() && one["removed"] == true), "{removed:#?}");
    assert_eq!(others(cluster, live), [""; 0]);
}

#[test]
fn clients_that_come_again_and_again_do_not_stop_it() {
    let damaged = Damaged::on(server());
    let scene = &damaged.scene;
    let stopping = AtomicBool::new(false);
    let connects = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stopping.load(Ordering::Relaxed) {
                    // Half of them work when they are ended, the others have just come.
                    let mut psql = scene.cluster.program("psql");
                    psql.args([
                        "-X",
                        "-q",
                        "-d",
                        &scene.database,
                        "-c",
                        "SELECT count(*), pg_sleep(0.05) FROM shop.orders",
                    ]);
                    if psql.output().unwrap().status.success() {
                        connects.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let idle = scope.spawn(|| {
            let mut psql = scene.cluster.program("psql");
            psql.args(["-X", "-q", "-d", &scene.database, "-c", "SELECT pg_sleep(600)"]).output().unwrap()
        });
        let swap = ["restore", "--from", "latest", "--swap", "--yes", "--skip-compare", "--json"];
        let report = scene.place.holdpoint(&swap);
        let so_far = connects.load(Ordering::Relaxed);
        let deadline = std::time::Instant::now() + Duration::from_secs(300);
        while connects.load(Ordering::Relaxed) < so_far + 5 && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        stopping.store(true, Ordering::Relaxed);
        let after = connects.load(Ordering::Relaxed);
        assert!(!idle.join().unwrap().status.success(), "the long session was ended");
        let report = report.ended_with(0).json();
        assert!(report["sessions_ended"].as_u64().unwrap() >= 1, "{report:#}");
        assert_eq!(report["written_since"], Value::Null);
        assert!(after >= so_far + 5, "clients are served again");
    });
    damaged.assert_live_is(&damaged.before);
}

/// A role that owns the database and may create databases is enough.
#[test]
fn swapped_by_its_owner() {
    let cluster = server();
    let live = scene::name("owned");
    cluster.psql("postgres", &format!("CREATE ROLE {live} LOGIN CREATEDB"));
    cluster.psql("postgres", &format!("CREATE DATABASE {live} OWNER {live}"));
    cluster.psql_as(&live, &live, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS a");
    let mut place = Place::local();
    place.source(cluster, &live).set("DATABASE_URL", &cluster.url_as(&live, &live));
    place.backup();
    cluster.psql_as(&live, &live, "DELETE FROM t");
    let report = place.holdpoint(&["restore", "--from", "latest", "--swap", "--yes", "--json"]).ended_with(0).json();
    assert_eq!(cluster.psql_as(&live, &live, "SELECT count(*) FROM t"), "1000");
    assert_eq!(report["written_since"]["tables"][0]["rows"], 0, "{report:#}");
    let kept = text(&report, "kept_as");
    place.holdpoint(&["restore", "--swap-in", kept, "--yes"]).ended_with(0);
    assert_eq!(cluster.psql_as(&live, &live, "SELECT count(*) FROM t"), "0");
    place.backup();
}

/// The oldest major and one in between: renames, comments and closing are one transaction there, too.
#[test]
fn swapped_on_older_servers() {
    for major in [14, 16] {
        let damaged = Damaged::on(Box::leak(Box::new(Cluster::start(ClusterOptions::major(major)))));
        let scene = &damaged.scene;
        let properties = damaged.properties();
        let swap = ["restore", "--from", "latest", "--swap", "--yes", "--json"];
        let report = scene.place.holdpoint(&swap).ended_with(0).json();
        damaged.assert_live_is(&damaged.before);
        assert_eq!(damaged.properties(), properties, "{major}");
        scene.place.holdpoint(&["restore", "--swap-in", text(&report, "kept_as"), "--yes"]).ended_with(0);
        damaged.assert_live_is(&damaged.after);
    }
}

/// The server ends the session that does it: the live database is opened by another one.
#[test]
fn the_session_is_lost_while_the_database_is_closed() {
    for phase in ["ending-sessions", "swapping"] {
        let damaged = Damaged::on(Box::leak(Box::new(Cluster::start(ClusterOptions::major(NEWEST)))));
        let scene = &damaged.scene;
        let swap = ["restore", "--from", "latest", "--swap", "--yes", "--skip-compare", "--json"];
        let mut run = scene.place.start_paused(&swap, phase);
        run.wait_for_pause();
        assert!(!is_open(scene.cluster, &scene.database));
        let end = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name LIKE 'holdpoint swap %'";
        assert_eq!(scene.cluster.psql("postgres", end), "t", "{phase}");
        run.go_on();
        run.finish().ended_with(7).failure().says(&["was not swapped"]).hints(&["--swap-in"]);
        damaged.assert_live_is(&damaged.after);
        let copy = others(scene.cluster, &scene.database).remove(0);
        scene.place.holdpoint(&["restore", "--swap-in", &copy, "--yes"]).ended_with(0);
        damaged.assert_live_is(&damaged.before);
    }
}

/// The server itself goes down while the database is closed, and comes back.
#[test]
fn the_server_restarts_while_the_database_is_closed() {
    let damaged = Damaged::on(Box::leak(Box::new(Cluster::start(ClusterOptions::major(NEWEST)))));
    let scene = &damaged.scene;
    let swap = ["restore", "--from", "latest", "--swap", "--yes", "--skip-compare", "--json"];
    let rows = scene.sql("SELECT to_regclass('shop.new'), count(*) FROM shop.order_lines");
    let mut run = scene.place.start_paused(&swap, "swapping");
    run.wait_for_pause();
    scene.cluster.kill();
    run.go_on();
    scene.cluster.resume();
    run.finish().ended_with(7).failure().says(&["was not swapped"]);
    // A crash lets sequences jump ahead, so rows are counted.
    assert_eq!(scene.sql("SELECT to_regclass('shop.new'), count(*) FROM shop.order_lines"), rows);
}

/// A server process that is stuck leaves the live database as it was, and the copy ready.
#[test]
fn a_session_that_does_not_end() {
    // A server of its own: others, which drop databases, would wait for the process, too.
    let damaged = Damaged::on(Box::leak(Box::new(Cluster::start(ClusterOptions::major(NEWEST)))));
    let scene = &damaged.scene;
    let mut idle = scene.cluster.program("psql");
    idle.args(["-X", "-q", "-d", &scene.database, "-c", "SELECT pg_sleep(601)"]);
    let mut idle = idle.spawn().unwrap();
    let there =
        format!("SELECT pid FROM pg_stat_activity WHERE datname = '{}' AND query ~ 'sleep.601'", scene.database);
    let pid = loop {
        if let Ok(pid) = scene.cluster.psql("postgres", &there).parse::<u32>() {
            break pid;
        }
        assert!(idle.try_wait().unwrap().is_none(), "psql ended");
        std::thread::sleep(Duration::from_millis(10));
    };
    stop(pid);
    let swap = ["restore", "--from", "latest", "--swap", "--yes", "--skip-compare", "--json"];
    let failure = scene.place.holdpoint(&swap).ended_with(14).failure();
    failure.says(&["do not end", &format!("process {pid}"), "was not swapped"]).hints(&["end their work", "--swap-in"]);
    let open = is_open(scene.cluster, &scene.database);
    resume(pid);
    assert!(open, "in service as before");
    assert!(!idle.wait().unwrap().success(), "it ended as it was told to, once it could");
    damaged.assert_live_is(&damaged.after);
    let copy = others(scene.cluster, &scene.database).remove(0);
    scene.place.holdpoint(&["restore", "--swap-in", &copy, "--yes"]).ended_with(0);
    damaged.assert_live_is(&damaged.before);
}

/// At a terminal the database's name is typed, after what would stay behind was shown.
#[test]
fn a_person_types_the_name() {
    let damaged = Damaged::on(server());
    let scene = &damaged.scene;
    let swap = "restore --from latest --swap --no-progress";
    let shown = scene.place.at_a_terminal(swap, "yes").ended_with(16).stdout;
    for words in
        ["this would be swapped", "shop.order_lines: 1,000 rows, had 2,000", &format!("Type {}", scene.database)]
    {
        assert!(shown.contains(words), "{words} is not in {shown}");
    }
    damaged.assert_live_is(&damaged.after);
    let shown = scene.place.at_a_terminal(swap, &scene.database).ended_with(0).stdout;
    assert!(shown.contains("way back") && shown.contains("--swap-in"), "{shown}");
    damaged.assert_live_is(&damaged.before);
}

/// What appears in the way while the copy is made does not cost the copy.
#[test]
fn a_ready_copy_survives_what_stops_the_exchange() {
    let damaged = Damaged::on(server());
    let scene = &damaged.scene;
    let swap = ["restore", "--from", "latest", "--swap", "--yes", "--skip-compare", "--json"];
    let mut run = scene.place.start_paused(&swap, "comparing");
    run.wait_for_pause();
    let gid = format!("stuck_{}", scene.database);
    scene.sql(&format!("BEGIN; DELETE FROM shop.new; PREPARE TRANSACTION '{gid}'"));
    run.go_on();
    let failure = run.finish().ended_with(3).failure().says(&["prepared transactions", &gid, "was not swapped"]);
    failure.hints(&["ROLLBACK PREPARED", "--swap-in"]);
    let copy = others(scene.cluster, &scene.database).remove(0);
    assert!(is_open(scene.cluster, &scene.database));
    scene.sql(&format!("ROLLBACK PREPARED '{gid}'"));
    damaged.assert_live_is(&damaged.after);
    scene.place.holdpoint(&["restore", "--swap-in", &copy, "--yes"]).ended_with(0);
    damaged.assert_live_is(&damaged.before);
    scene.place.backup();
}
