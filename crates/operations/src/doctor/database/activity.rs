//! What goes on on the server now: locks, long transactions, connections, the clock.

use holdpoint_postgres::preflight::{self, Blocker, OpenTransaction};
use holdpoint_postgres::{Error, Session};

use super::{ANSWER_WITHIN, Findings, Subject};

/// A transaction that is open for longer is worth a line.
const LONG_SECONDS: u32 = 300;
/// Clocks that differ by more are worth a warning (design, section 3).
const SKEW_SECONDS: i64 = 60;
/// A backup's own: the snapshot's, pg_dump's, and one that looks after it.
const NEEDED_CONNECTIONS: i64 = 3;
/// Below this the application and a backup get into each other's way.
const EASY_CONNECTIONS: i64 = 10;
/// Lines of one kind before the rest is only counted.
const MOST_LINES: usize = 5;

pub(super) async fn examine(findings: &mut Findings<'_>, session: &Session, subject: &Subject) {
    locks(findings, session).await;
    transactions(findings, session).await;
    connections(findings, session).await;
    clock(findings, session, subject).await;
}

async fn locks(findings: &mut Findings<'_>, session: &Session) {
    const NAME: &str = "locks";
    let Some(blockers) = findings.tried(NAME, ANSWER_WITHIN, preflight::blockers(session)).await else { return };
    if blockers.is_empty() {
        return findings.ok(NAME, "nobody holds or waits for a table alone");
    }
    for blocker in blockers.iter().take(MOST_LINES) {
        let cure = blocker.pid.map_or_else(
            || "SELECT * FROM pg_prepared_xacts; then COMMIT PREPARED or ROLLBACK PREPARED".to_owned(),
            |pid| format!("wait for its end, or SELECT pg_terminate_backend({pid});"),
        );
        findings.warning(NAME, blocks(blocker), cure);
    }
    if let Some(more) = blockers.len().checked_sub(MOST_LINES + 1) {
        findings.warning(
            NAME,
            format!("and {} more", more + 1),
            "SELECT * FROM pg_locks WHERE mode = 'AccessExclusiveLock';",
        );
    }
}

fn blocks(blocker: &Blocker) -> String {
    let who = blocker.pid.map_or_else(|| "a prepared transaction".to_owned(), |pid| format!("process {pid}"));
    let role = blocker.user.as_ref().map(|user| format!(" of role {user}")).unwrap_or_default();
    let doing = blocker.doing.as_ref().map(|doing| format!(" ({doing})")).unwrap_or_default();
    let verb = if blocker.granted { "holds" } else { "waits for" };
    format!("{who}{role}{doing} {verb} an exclusive lock on {}: a backup waits behind it", blocker.relation)
}

async fn transactions(findings: &mut Findings<'_>, session: &Session) {
    const NAME: &str = "long transactions";
    let open = preflight::open_transactions(session, LONG_SECONDS);
    let Some(open) = findings.tried(NAME, ANSWER_WITHIN, open).await else { return };
    if open.is_empty() {
        return findings.ok(NAME, format!("none that this role sees is open for over {} minutes", LONG_SECONDS / 60));
    }
    let line = |one: &OpenTransaction| {
        let state = one.state.as_deref().unwrap_or("in a state that this role may not see");
        let role = one.user.as_ref().map(|user| format!(" of role {user}")).unwrap_or_default();
        format!("process {}{role} is {state}, since {}", one.pid, one.began_at.format("%Y-%m-%d %H:%M:%S UTC"))
    };
    for one in open.iter().take(MOST_LINES) {
        let cure =
            format!("a backup does not wait for it, a migration will: SELECT pg_terminate_backend({});", one.pid);
        findings.warning(NAME, line(one), cure);
    }
    if let Some(more) = open.len().checked_sub(MOST_LINES + 1) {
        findings.warning(NAME, format!("and {} more", more + 1), "SELECT * FROM pg_stat_activity ORDER BY xact_start;");
    }
}

async fn connections(findings: &mut Findings<'_>, session: &Session) {
    const NAME: &str = "connections left";
    const CURE: &str = "end idle connections, or raise max_connections, the database's or the role's CONNECTION LIMIT";
    let Some(room) = findings.tried(NAME, ANSWER_WITHIN, preflight::headroom(session)).await else { return };
    let detail = format!("{} for this role; {} of {} are in use", room.left, room.used, room.allowed);
    if room.left < NEEDED_CONNECTIONS {
        findings.failure(NAME, format!("{detail}; a backup needs {NEEDED_CONNECTIONS} at least"), CURE);
    } else if room.left < EASY_CONNECTIONS {
        findings.warning(NAME, detail, CURE);
    } else {
        findings.ok(NAME, detail);
    }
}

async fn clock(findings: &mut Findings<'_>, session: &Session, subject: &Subject) {
    const NAME: &str = "clock";
    let measured = async {
        let before = (subject.clock)();
        let there = preflight::clock(session).await?;
        let here = before + ((subject.clock)() - before) / 2;
        // To the nearest second: the moment of the server's answer is known no better than the way to it.
        Ok::<_, Error>(((there - here).num_milliseconds() + 500).div_euclid(1000))
    };
    let Some(skew) = findings.tried(NAME, ANSWER_WITHIN, measured).await else { return };
    let side = if skew < 0 { "behind" } else { "ahead of" };
    let detail = format!("the server's is {} s {side} this machine's", skew.abs());
    if skew.abs() > SKEW_SECONDS {
        findings.warning(NAME, format!("{detail}; ages follow the server's"), "set both clocks by NTP");
    } else {
        findings.ok(NAME, detail);
    }
}
