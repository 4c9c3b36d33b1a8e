//! `watch`: who waits for whom, on a screen, as lines, once; and who is cancelled.

use std::io::Write as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::scene::Scene;

/// What nothing may print.
const VALUE: &str = "hush4711";
const WITHIN: Duration = Duration::from_secs(300);
/// Whether a look has come to its end.
const LOOKED: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holdpoint watch' \
                      AND datname = current_database() AND state = 'idle' AND query LIKE '%pg_replication_slots%'";

/// A psql that does what it is told; ended with the value.
pub(crate) struct Client<'a> {
    scene: &'a Scene,
    psql: Child,
    name: String,
}

impl<'a> Client<'a> {
    /// Begins a statement; whether it waits, the server knows.
    pub(crate) fn running(scene: &'a Scene, name: &str, sql: &str) -> Self {
        let mut psql = scene.cluster.program("psql");
        psql.args(["-X", "-q", "-d", &scene.database]).env("PGAPPNAME", name);
        let psql = psql.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut client = Self { scene, psql, name: name.to_owned() };
        client.say(sql);
        client
    }

    pub(crate) fn say(&mut self, sql: &str) {
        writeln!(self.psql.stdin.as_mut().unwrap(), "{sql}").unwrap();
    }

    /// Waits until its session is as wished.
    pub(crate) fn once(self, condition: &str) -> Self {
        let pid = format!("SELECT count(*) FROM pg_stat_activity WHERE {} AND {condition}", self.own());
        while self.scene.sql(&pid) != "1" {
            std::thread::sleep(Duration::from_millis(10));
        }
        self
    }

    fn own(&self) -> String {
        format!("datname = current_database() AND application_name = '{}'", self.name)
    }

    pub(crate) fn waiting(self) -> Self {
        self.once("wait_event_type = 'Lock'")
    }

    pub(crate) fn idle_in_transaction(self) -> Self {
        self.once("state = 'idle in transaction'")
    }

    pub(crate) fn pid(&self) -> String {
        self.scene.sql(&format!("SELECT pid FROM pg_stat_activity WHERE {}", self.own()))
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        let end = format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {}", self.own());
        self.scene.sql(&end);
        drop(self.psql.stdin.take());
        self.psql.wait().unwrap();
    }
}

fn holder(scene: &Scene) -> Client<'_> {
    let sql = format!("BEGIN; SELECT count(*) FROM shop.orders WHERE note = '{VALUE}';");
    Client::running(scene, "holder", &sql).idle_in_transaction()
}

#[test]
fn a_chain_is_shown_and_its_middle_cancelled() {
    let scene = Scene::local();
    let nothing = scene.place.holdpoint(&["watch", "--once"]).ended_with(0);
    assert!(nothing.stdout.contains("nobody waits"), "{nothing:?}");
    let holder = holder(&scene);
    let alter = format!("ALTER TABLE shop.orders ADD COLUMN x text DEFAULT '{VALUE}';");
    let alter = Client::running(&scene, "holdpoint:20261121T024300Z-k3f9", &alter).waiting();
    let reader =
        Client::running(&scene, "reader", &format!("SELECT * FROM shop.orders WHERE note = '{VALUE}';")).waiting();

    let text = scene.place.holdpoint(&["watch", "--once", "--longer-than", "0"]).ended_with(15).stdout;
    for words in [
        "waiting\n",
        "ACCESS EXCLUSIVE shop.orders",
        "ALTER TABLE shop.orders ADD COLUMN x text DEFAULT ***",
        "(ACCESS SHARE)",
        "first of its chain",
        "idle in a transaction\n",
        "worth a look:",
    ] {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
    let all = scene.place.holdpoint(&["watch", "--once", "--longer-than", "1h", "--json"]).ended_with(0);
    assert_eq!(all.json()["waits"].as_array().unwrap().len(), 2, "{all:?}");
    let run = ["watch", "--once", "--json", "--longer-than", "1h", "--run", "20261121T024300Z-k3f9"];
    let run = scene.place.holdpoint(&run).ended_with(0);
    assert_eq!(run.json()["sessions"].as_array().unwrap().len(), 1);
    for outcome in [&text, &all.stdout, &run.stdout] {
        assert!(!outcome.contains(VALUE), "{outcome}");
    }

    let pid = alter.pid();
    let asked = scene.place.holdpoint(&["watch", "--cancel", &pid]).ended_with(16);
    assert!(asked.stderr.contains("nobody confirmed") && asked.stderr.contains("ADD COLUMN"), "{asked:?}");
    let words = format!("watch --cancel {pid}");
    let no = scene.place.at_a_terminal(&words, "no").ended_with(16);
    assert!(no.stdout.contains("This will cancel the statement of process"), "{no:?}");
    scene.sql(&format!("SELECT 1 / count(*) FROM pg_locks WHERE pid = {pid} AND NOT granted"));
    let yes = scene.place.at_a_terminal(&words, "yes").ended_with(0);
    assert!(yes.stdout.contains("its statement was cancelled"), "{yes:?}");
    let reader = reader.once("state = 'idle'");

    // Only what was named was touched, and a session that runs nothing is ended as a whole, or not at all.
    let pid = holder.pid();
    let idle = scene.place.holdpoint(&["watch", "--cancel", &pid, "--yes", "--json"]).ended_with(3);
    idle.failure().says(&["runs no statement: it is idle in transaction"]).hints(&["--terminate"]);
    let ended = scene.place.holdpoint(&["watch", "--cancel", &pid, "--terminate", "--yes", "--json"]).ended_with(0);
    assert_eq!((ended.json()["stop"].as_str(), ended.json()["took_effect"].as_bool()), (Some("session"), Some(true)));
    let gone = scene.place.holdpoint(&["watch", "--cancel", &pid, "--yes", "--json"]).ended_with(6);
    gone.failure().says(&["there is no session with process"]).hints(&["holdpoint watch --once"]);
    assert!(!reader.pid().is_empty());
}

#[test]
fn whoever_must_not_be_cancelled_is_refused() {
    let scene = Scene::local();
    let elsewhere = scene.cluster.psql("postgres", "SELECT pg_backend_pid()");
    scene.place.holdpoint(&["watch", "--cancel", &elsewhere, "--yes"]).ended_with(6);
    let ours = Client::running(&scene, "holdpoint backup", "SELECT 1;").once("state = 'idle'");
    let refused =
        scene.place.holdpoint(&["watch", "--cancel", &ours.pid(), "--terminate", "--yes", "--json"]).ended_with(3);
    refused.failure().says(&["is a session of holdpoint itself"]).hints(&["Ctrl-C"]);
    let server = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'";
    let server = scene.sql(server);
    let refused = scene.place.holdpoint(&["watch", "--cancel", &server, "--yes", "--json"]).ended_with(3);
    refused.failure().says(&["is the server's checkpointer, not a session"]);
    let other = Scene::local();
    let theirs = Client::running(&other, "theirs", "BEGIN;").idle_in_transaction();
    let refused =
        scene.place.holdpoint(&["watch", "--cancel", &theirs.pid(), "--terminate", "--yes", "--json"]).ended_with(3);
    refused.failure().says(&["is a session of database", &other.database]).hints(&["--database"]);
    assert!(!theirs.pid().is_empty(), "it is still there");
    for words in [&["watch", "--terminate"][..], &["watch", "--once", "--cancel", "1"], &["watch", "--interval", "1ms"]]
    {
        scene.place.holdpoint(words).ended_with(2);
    }
}

#[test]
fn a_screen_is_drawn_until_q_and_lines_until_the_signal() {
    let scene = Scene::local();
    let _holder = holder(&scene);
    let screen = scene.place.at_a_terminal("watch --interval 200ms", "q").ended_with(0).stdout;
    assert!(screen.contains("\u{1b}[?1049h") && screen.ends_with("\u{1b}[?1049l"), "{screen:?}");
    assert!(screen.contains("idle in a transaction") && screen.contains("q quits"), "{screen:?}");

    let mut lines = scene.place.start(&["watch", "--json", "--interval", "200ms"]);
    lines.wait_until("it has looked", WITHIN, || scene.sql(LOOKED) == "1");
    lines.interrupt();
    let ended = lines.finish().ended_with(130);
    let first: serde_json::Value = serde_json::from_str(ended.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first["idle_in_transaction"][0]["application_name"], "holder");
}

/// That is when somebody watches.
#[test]
fn a_server_that_is_away_is_waited_for() {
    let cluster: &'static holdpoint_testkit::Cluster =
        Box::leak(Box::new(holdpoint_testkit::Cluster::new(holdpoint_testkit::NEWEST)));
    let scene = Scene::on(cluster, holdpoint_tests::Place::local());
    let mut watch = scene.place.start(&["watch", "--json", "--interval", "200ms"]);
    watch.wait_until("it is connected", WITHIN, || scene.sql(LOOKED) == "1");
    cluster.stop();
    watch.wait_until_said("trying again");
    cluster.resume();
    watch.wait_until("it is connected again", WITHIN, || scene.sql(LOOKED) == "1");
    watch.interrupt();
    watch.finish().ended_with(130);
    drop(scene);
    cluster.stop();
}
