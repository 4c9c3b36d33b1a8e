//! The connections by which a guard looks at its command are lost, and those of the command are not.

use holdpoint_testkit::FaultProxy;

use super::{Bench, Held, judged, wait};

/// Stands still in a transaction. Its shell, told to end, waits for a word of the test; what else is in its group does not.
const SCRIPT: &str = "trap 'touch ended; while [ ! -e back ]; do sleep 0.05; done; exit 1' TERM\n\
    sleep 3600 &\necho $! > beside\n\
    psql -X -q -v ON_ERROR_STOP=1 \"$DIRECT\" -1 -c 'CREATE TABLE shop.made ()' -c 'SELECT pg_advisory_xact_lock(7)' &\n\
    echo $! > client\nwait\nwait\nexit 0\n";

/// A server, whose database holdpoint reaches through a proxy alone, and the command past it.
struct Cut {
    bench: Bench,
    proxy: FaultProxy,
    held: Held,
}

impl Cut {
    /// `both`: also the connection string of migrations leads through the proxy.
    fn new(both: bool) -> Self {
        let mut bench = Bench::alone();
        let (cluster, database) = (bench.scene.cluster, bench.scene.database.clone());
        let proxy = FaultProxy::tcp(([127, 0, 0, 1], cluster.port()).into());
        let direct = cluster.tcp_url(&database);
        let port = |port: u16| format!(":{port}/");
        let through = direct.replace(&port(cluster.port()), &port(proxy.address().port()));
        assert_ne!(through, direct);
        bench.scene.place.set("HOLDPOINT_BACKUP_URL", &through).set("DIRECT", &direct);
        if both {
            bench.scene.place.set("DATABASE_URL", &through);
        }
        bench.write("apply.sh", SCRIPT);
        let held = bench.hold("SELECT pg_advisory_lock(7)");
        Self { bench, proxy, held }
    }

    fn lose(&self) {
        self.proxy.refuse(true);
        self.proxy.cut();
    }

    /// Whether the process lives whose number is in a file.
    fn lives(&self, file: &str) -> bool {
        let pid = std::fs::read_to_string(self.bench.scene.place.work().join(file)).unwrap();
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        state.is_ok_and(|state| !state.contains(") Z "))
    }

    fn there(&self, file: &str) -> bool {
        self.bench.scene.place.work().join(file).exists()
    }

    /// The bystander has what it had: nothing of anybody else's was cancelled.
    fn leaves_others_alone(&mut self) {
        let there = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' \
                     AND application_name = 'bystander' AND granted AND state = 'idle in transaction'";
        assert!(self.held.lives());
        assert_eq!(self.bench.sql(there), "1");
    }
}

#[test]
fn a_server_that_stays_away_ends_the_commands_group_and_cancels_what_its_sessions_do() {
    let mut cut = Cut::new(false);
    let mut run = cut.bench.start(&["--lock-timeout", "0"], &["sh", "apply.sh"]);
    run.wait_until("the migration stands still", super::LONG, || cut.bench.waits_for_a_lock());
    cut.lose();
    // Two minutes: by then nobody would know what the command does.
    run.wait_until("the command is ended", super::LONG * 3, || cut.there("ended"));
    wait("what else is in its group is ended", || !cut.lives("client") && !cut.lives("beside"));
    assert!(cut.bench.waits_for_a_lock(), "the end of a client does not end its statement");
    cut.proxy.refuse(false);
    cut.bench.write("back", "");
    let outcome = run.finish().ended_with(10);
    let report = outcome.json();
    assert_eq!(judged(&report), ("unchanged", false, "rolled_back"), "{report:#}");
    let warnings = report["warnings"].to_string();
    for told in [
        "the server stayed away, and the command was ended",
        "the run lock was lost",
        "cancelled the command's session",
    ] {
        assert!(warnings.contains(told), "{told}: {report:#}");
    }
    assert!(!cut.bench.waits_for_a_lock());
    assert_eq!(cut.bench.sql("SELECT to_regclass('shop.made') IS NULL"), "t");
    cut.leaves_others_alone();
}

#[test]
fn what_its_sessions_do_is_cancelled_by_the_way_of_migrations_where_the_backups_stays_lost() {
    // Each waits two minutes for the server.
    std::thread::scope(|both| {
        both.spawn(|| stays_lost(false));
        both.spawn(|| stays_lost(true));
    });
}

/// `both`: also the way of migrations is lost.
fn stays_lost(both: bool) {
    let mut cut = Cut::new(both);
    cut.bench.write("back", "");
    let flags = ["--lock-timeout", "0", "--command-timeout", "30s"];
    let mut run = cut.bench.start(&flags, &["sh", "apply.sh"]);
    run.wait_until("the migration stands still", super::LONG, || cut.bench.waits_for_a_lock());
    cut.lose();
    if !both {
        // Before anybody waits for the server: what holds locks holds them no longer than it must.
        run.wait_until("its sessions are cancelled", super::LONG, || !cut.bench.waits_for_a_lock());
    }
    let report = run.finish().ended_with(11).json();
    assert_eq!(judged(&report), ("unknown", false, "failed"), "{report:#}");
    let warnings = report["warnings"].to_string();
    for told in ["did not end within 30 s", "what the database looks like now could not be read"] {
        assert!(warnings.contains(told), "{told}: {report:#}");
    }
    let (cancelled, not) = ("cancelled the command's session", "what its sessions still do could not be cancelled");
    assert_eq!((warnings.contains(cancelled), warnings.contains(not)), (!both, both), "{report:#}");
    assert_eq!(cut.bench.waits_for_a_lock(), both);
    assert!(!cut.lives("client") && !cut.lives("beside"));
    cut.leaves_others_alone();
    cut.proxy.refuse(false);
    // Nobody looked: whether it is well is found when the server is there again, and somebody says so.
    let place = &cut.bench.scene.place;
    let latest = || place.holdpoint(&["runs", "--json"]).ended_with(0).json()["runs"][0].clone();
    assert_eq!((&latest()["standing"], &latest()["unsettled"]), (&"failed".into(), &true.into()), "{:#}", latest());
    let settled = place.holdpoint(&["settle", "latest", "--reason", "looked at it", "--json"]);
    if both {
        // Its session goes on, as was told.
        settled.ended_with(14);
        return;
    }
    let found = settled.ended_with(0).json();
    assert_eq!(found["found"]["applied"], "unchanged", "{found:#}");
}
