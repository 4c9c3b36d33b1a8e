//! Guarded runs of real migration tools: what they did is told by what is found, whatever they say of it.

mod around;
mod cut_off;
mod drizzle;
mod each_tool;
mod faults;
mod locks;
mod maintenance;
mod node_pg_migrate;
mod on_failure;
mod origin;
mod plain_sql;
pub(crate) mod prisma;
mod rights;
mod time_outs;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST, migration_tool};
use holdpoint_tests::{Outcome, Place, Running};
use serde_json::Value;

use crate::scene::Scene;

/// For what a busy machine does late.
pub(crate) const LONG: Duration = Duration::from_secs(300);
/// A restore point that costs little: what is tested is what comes after it.
const CHEAP: [&str; 3] = ["--level", "stored", "--no-rehearse"];

/// A shop, and a project of it in the working directory.
pub(crate) struct Bench {
    pub(crate) scene: Scene,
}

#[expect(clippy::disallowed_methods, reason = "Node.js is wherever the machine has it")]
fn path() -> String {
    std::env::var("PATH").unwrap()
}

/// A server that may be restarted, and on which nobody else writes: not even autovacuum, whose transactions would leave
/// unknown what became of those of a run, after the minute in which it looks for work.
fn own_cluster() -> &'static Cluster {
    let options = ClusterOptions { configuration: vec!["autovacuum = off".into()], ..ClusterOptions::major(NEWEST) };
    Box::leak(Box::new(Cluster::start(options.with_tcp())))
}

impl Bench {
    /// On a server that these tests share: tools of Node.js come by TCP with a password.
    pub(crate) fn new() -> Self {
        Self::on(Self::shared())
    }

    /// On a server of its own: what others do to the shared catalogs would leave unknown what is unchanged.
    pub(crate) fn alone() -> Self {
        Self::on(own_cluster())
    }

    /// A database of a test's own making, beside those of the others.
    pub(crate) fn of_sql(sql: &str) -> Self {
        Self::of(Scene::of_sql(Self::shared(), Place::local(), sql))
    }

    fn shared() -> &'static Cluster {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(|| Cluster::start(ClusterOptions::major(NEWEST).with_tcp()))
    }

    fn on(cluster: &'static Cluster) -> Self {
        Self::of(Scene::on(cluster, Place::local()))
    }

    fn of(mut scene: Scene) -> Self {
        let cluster = scene.cluster;
        scene.place.set("DATABASE_URL", &cluster.tcp_url(&scene.database));
        scene.place.set("PATH", &format!("{}:{}", cluster.bin_directory().display(), path()));
        for (name, value) in [
            ("NO_COLOR", "1"),
            // Prisma fetches engines that are absent; with a driver adapter it uses none of these.
            ("PRISMA_QUERY_ENGINE_LIBRARY", "/bin/true"),
            ("PRISMA_SCHEMA_ENGINE_BINARY", "/bin/true"),
            ("CHECKPOINT_DISABLE", "1"),
            ("PRISMA_HIDE_UPDATE_MESSAGE", "1"),
        ] {
            scene.place.set(name, value);
        }
        Self { scene }
    }

    pub(crate) fn with_tool(self, tool: &str) -> Self {
        let modules = migration_tool(tool).join("node_modules");
        std::os::unix::fs::symlink(modules, self.scene.place.work().join("node_modules")).unwrap();
        self
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.scene.place.work().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.scene.sql(sql)
    }

    /// What stock pg_dump says of the database, rows and all.
    pub(crate) fn contents(&self) -> String {
        holdpoint_tests::contents(self.scene.cluster, &self.scene.database)
    }

    /// Demands that exactly these parts of the database differ from what it was; see
    /// [`holdpoint_tests::differing_parts`].
    #[track_caller]
    pub(crate) fn differs_in(&self, before: &str, parts: &[&str]) {
        let mut expected = parts.to_vec();
        expected.sort_unstable();
        let mut found = holdpoint_tests::differing_parts(before, &self.contents());
        found.sort_unstable();
        assert_eq!(found, expected);
    }

    /// Demands that the database is what it was, to the last row.
    #[track_caller]
    pub(crate) fn is_as_before(&self, before: &str) {
        holdpoint_tests::assert_same("the database", before, &self.contents());
    }

    /// Undoes the newest run by this way, whatever was written since its restore point.
    #[track_caller]
    pub(crate) fn undo(&self, way: &str, flags: &[&str]) -> Value {
        let words =
            ["undo", "latest", "--way", way, "--accept-data-loss-since", "2026-01-01T00:00:00Z", "--yes", "--json"];
        let undone = self.scene.place.holdpoint(&[&words[..], flags].concat()).ended_with(0).json();
        assert_eq!(undone["state"], "undone", "{undone:#}");
        undone
    }

    /// Guards a command behind a cheap restore point.
    #[track_caller]
    pub(crate) fn guard(&self, flags: &[&str], command: &[&str], code: i32) -> Value {
        self.try_guard(flags, command).ended_with(code).json()
    }

    pub(crate) fn try_guard(&self, flags: &[&str], command: &[&str]) -> Outcome {
        self.start(flags, command).finish()
    }

    pub(crate) fn start(&self, flags: &[&str], command: &[&str]) -> Running {
        let how: &[&str] = if flags.contains(&"--rehearse") { &["--yes"] } else { &CHEAP };
        self.scene.place.start(&[&["guard", "--json"], how, flags, &["--"], command].concat())
    }

    /// Runs the tool without any guard.
    #[track_caller]
    pub(crate) fn bare(&self, command: &str) {
        holdpoint_tests::shell(&self.scene.place.work(), &self.scene.place.environment(), command).ended_with(0);
    }

    /// Whether the command's session waits for a lock right now.
    pub(crate) fn waits_for_a_lock(&self) -> bool {
        self.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND application_name LIKE 'holdpoint:%' AND wait_event_type = 'Lock'",
        ) != "0"
    }

    /// Waits until the guard has looked at the sessions of a command that stands still, and knows what it saw: a session of its watch
    /// asks the same once more, so that all between was answered. What is asked while that connects, is asked once.
    #[track_caller]
    pub(crate) fn wait_until_looked_at(&self) {
        let watched = "SELECT w.pid || ' ' || md5(w.query), w.query_start FROM pg_stat_activity w \
                       WHERE w.application_name = 'holdpoint guard watch' AND w.datname = current_database() \
                         AND w.query_start > (SELECT max(m.query_start) FROM pg_stat_activity m \
                           WHERE m.application_name LIKE 'holdpoint:%' AND m.datname = current_database())";
        let mut asked: BTreeMap<String, String> = BTreeMap::new();
        let mut again = |line: &str| {
            let (what, at) = line.split_once('|').unwrap();
            asked.entry(what.to_owned()).or_insert_with(|| at.to_owned()) != at
        };
        wait("it was looked at", || self.sql(watched).lines().any(&mut again));
    }

    /// A session that keeps what this statement took, until it is dropped.
    pub(crate) fn hold(&self, sql: &str) -> Held {
        let mut command = self.scene.cluster.program("psql");
        command.args(["-X", "-q", "-d", &self.scene.cluster.url(&self.scene.database)]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("psql starts");
        let named = format!("SET application_name = 'bystander'; BEGIN; {sql};\n");
        child.stdin.as_mut().unwrap().write_all(named.as_bytes()).unwrap();
        let held = Held { client: child, cluster: self.scene.cluster, database: self.scene.database.clone() };
        let there = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bystander' \
                     AND datname = current_database() AND state = 'idle in transaction' AND query NOT LIKE 'BEGIN%'";
        wait("the bystander holds it", || self.sql(there) == "1");
        held
    }
}

/// A session of somebody else.
pub(crate) struct Held {
    client: Child,
    cluster: &'static Cluster,
    database: String,
}

impl Held {
    /// Whether its client still runs.
    pub(crate) fn lives(&mut self) -> bool {
        self.client.try_wait().unwrap().is_none()
    }

    /// Ends it and returns when the server has let go of what it held, too.
    #[track_caller]
    pub(crate) fn release(self) {
        let (cluster, database) = (self.cluster, self.database.clone());
        drop(self);
        let there = "SELECT count(*) FROM pg_stat_activity \
                     WHERE application_name = 'bystander' AND datname = current_database()";
        wait("the bystander is gone", || cluster.psql(&database, there) == "0");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.client.kill().is_ok() && self.client.wait().is_err() {
            // It is gone either way.
        }
    }
}

#[track_caller]
pub(crate) fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The report's verdict, whether it is as planned, and the run's state.
pub(crate) fn judged(report: &Value) -> (&str, bool, &str) {
    let judgement = &report["judgement"];
    (report["verdict"].as_str().unwrap(), judgement["as_planned"].as_bool().unwrap(), report["state"].as_str().unwrap())
}

/// A list of the judgement.
pub(crate) fn list<'a>(report: &'a Value, name: &str) -> Vec<&'a str> {
    report["judgement"][name].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}
