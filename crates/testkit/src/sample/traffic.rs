//! Sessions that change an awkward database while it is backed up.

use std::io::Write;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::cluster::Cluster;

/// What each session does again and again, every statement a transaction of its own. `:n` counts up.
const SESSIONS: [&[&str]; 3] = [
    &[
        "INSERT INTO app.orders (customer, net) SELECT min(id), :n % 1000 FROM app.customers;",
        "UPDATE app.orders SET net = net + 1 WHERE id = (SELECT max(id) FROM app.orders);",
        "DELETE FROM app.orders WHERE id = (SELECT max(id) - 20 FROM app.orders) AND id > 3000;",
        "SELECT nextval('app.ticks');",
    ],
    &[
        "INSERT INTO app.events VALUES (100000 + :n, timestamptz '2025-06-01 00:00:00+00' + :n * interval '1 hour', 'click', '{}');",
        "UPDATE app.events SET at = at + interval '1 year' WHERE id = 100000 + :n;",
        "DELETE FROM app.events WHERE id = 100000 + :n - 50;",
        "INSERT INTO app.by_status VALUES (100000 + :n, (enum_range(NULL::app.status))[:n % 5 + 1], 'traffic');",
        "DELETE FROM app.by_status WHERE id = 100000 + :n - 30;",
        "SELECT nextval('\"Ünïcode Schéma\".\"Séquence \"\"(odd)\"\"\"');",
    ],
    &[
        "SELECT lo_from_bytea(0, decode(md5(:n::text), 'hex'));",
        "SELECT lo_put(3000000002, :n % 1000, '\\xabcd');",
        "UPDATE app.zoo SET tx = md5(:n::text) WHERE id = 2;",
        "INSERT INTO \"dotted.schema\".\"UPPER\" (\"FROM stdin;\") VALUES (':n');",
        "DELETE FROM \"dotted.schema\".\"UPPER\" WHERE \"Id\" = (SELECT max(\"Id\") - 10 FROM \"dotted.schema\".\"UPPER\");",
        "UPDATE app.customers SET rating = 1 + :n % 2 WHERE id = 1000;",
    ],
];

/// Sessions at work; they end when the value is dropped.
#[derive(Debug)]
pub struct Traffic<'a> {
    cluster: &'a Cluster,
    database: String,
    stopping: Arc<AtomicBool>,
    sessions: Vec<(Child, JoinHandle<()>)>,
    started_at: u64,
}

/// Starts inserts, updates, deletes, `nextval` and changes of large objects in several sessions on the awkward
/// database. They go on until the value is dropped, at most `longest`. Returns when the first changes are committed.
///
/// # Panics
/// When a session cannot work.
#[must_use]
pub fn load_traffic<'a>(cluster: &'a Cluster, database: &str, longest: Duration) -> Traffic<'a> {
    let stopping = Arc::new(AtomicBool::new(false));
    let ends_at = Instant::now() + longest;
    let mut traffic = Traffic { cluster, database: database.into(), stopping, sessions: Vec::new(), started_at: 0 };
    traffic.started_at = traffic.ticks();
    for statements in SESSIONS {
        let mut psql = cluster.program("psql");
        psql.args(["-X", "-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1", "-d", database]);
        let mut child = psql.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("psql starts");
        let pipe = child.stdin.take().expect("the input is a pipe");
        let stopping = Arc::clone(&traffic.stopping);
        let feeder = thread::spawn(move || feed(pipe, statements, &stopping, ends_at));
        traffic.sessions.push((child, feeder));
    }
    traffic.wait_for_changes(3);
    traffic
}

fn feed(mut pipe: ChildStdin, statements: &[&str], stopping: &AtomicBool, ends_at: Instant) {
    for n in 1_u64.. {
        if stopping.load(Ordering::SeqCst) || Instant::now() > ends_at {
            return;
        }
        let round: String = statements.iter().map(|statement| statement.replace(":n", &n.to_string()) + "\n").collect();
        // Not ahead of the server by more than a pipe's buffer; a broken pipe is psql's error, which `stop` reports.
        if pipe.write_all(round.as_bytes()).is_err() {
            return;
        }
    }
}

impl Traffic<'_> {
    /// Returns how many rounds the first session has committed.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.ticks() - self.started_at
    }

    /// Waits until `rounds` more rounds are committed.
    ///
    /// # Panics
    /// When they are not within half a minute.
    pub fn wait_for_changes(&mut self, rounds: u64) {
        let wanted = self.ticks() + rounds;
        let deadline = Instant::now() + Duration::from_secs(300);
        while self.ticks() < wanted {
            if Instant::now() > deadline {
                panic!("the traffic does not move: {:?}", self.end());
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// Ends the sessions and returns how many rounds the first one has committed.
    ///
    /// # Panics
    /// When a session had failed on its own.
    pub fn stop(mut self) -> u64 {
        let failures = self.end();
        assert!(failures.is_empty(), "the traffic failed: {failures:?}");
        self.rounds()
    }

    fn ticks(&self) -> u64 {
        let value = self.cluster.psql(&self.database, "SELECT last_value FROM app.ticks");
        value.parse().expect("a sequence has a value")
    }

    /// Ends all sessions; returns what those said that had ended with an error before.
    fn end(&mut self) -> Vec<String> {
        self.stopping.store(true, Ordering::SeqCst);
        let mut failures = Vec::new();
        for (mut child, feeder) in self.sessions.drain(..) {
            let ended = child.try_wait().expect("psql can be waited for");
            if child.kill().is_err() {
                // It has ended.
            }
            let output = child.wait_with_output().expect("psql can be waited for");
            if ended.is_some_and(|status| !status.success()) {
                failures.push(String::from_utf8_lossy(&output.stderr).into_owned());
            }
            feeder.join().expect("the feeder does not panic");
        }
        failures
    }
}

impl Drop for Traffic<'_> {
    fn drop(&mut self) {
        // A failed session shows in what the test then misses; only `stop` looks.
        drop(self.end());
    }
}
