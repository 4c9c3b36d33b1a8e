//! The command's sessions on the server, known by the run's token in their `application_name`.
//!
//! The end of a client does not end its statement: a migration that was killed goes on in the server until it is
//! cancelled there. Sessions without the token are never touched.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use holdpoint_core::RunId;
use holdpoint_postgres::Session;
use tokio::time::{Instant, sleep};

use crate::Error;

const POLL: Duration = Duration::from_millis(50);
/// How every run's token begins.
const TOKEN: &str = "holdpoint:";
/// How long a session may take to notice that its client is gone.
const NOTICE_WITHIN: Duration = Duration::from_secs(2);
/// How long a cancelled statement may take to end before its session is ended.
const CANCEL_WITHIN: Duration = Duration::from_secs(5);

/// The `application_name` that the command's sessions carry.
pub(crate) fn token(run: &RunId) -> String {
    format!("{TOKEN}{run}")
}

/// Lists server processes of this database whose `application_name` holds the text.
pub(crate) async fn named(session: &Session, text: &str) -> Result<Vec<i32>, Error> {
    Ok(names(session, text).await?.into_iter().map(|(pid, _)| pid).collect())
}

/// Lists server processes of this database that carry a run's token, with their `application_name`.
pub(crate) async fn carrying_a_token(session: &Session) -> Result<Vec<(i32, String)>, Error> {
    names(session, TOKEN).await
}

/// As [`named`], with what the sessions call themselves.
pub(crate) async fn names(session: &Session, text: &str) -> Result<Vec<(i32, String)>, Error> {
    let sql = "SELECT pid, application_name FROM pg_catalog.pg_stat_activity \
               WHERE datname = pg_catalog.current_database() AND pg_catalog.strpos(application_name, $1) > 0 \
                 AND pid <> pg_catalog.pg_backend_pid() ORDER BY pid";
    let rows = session.query("looking for the command's sessions", sql, &[&text]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Waits a moment until no session of the name is left, and lists those that stay.
pub(crate) async fn wait_until_gone(session: &Session, text: &str) -> Result<Vec<i32>, Error> {
    wait(session, text, NOTICE_WITHIN).await
}

async fn wait(session: &Session, text: &str, limit: Duration) -> Result<Vec<i32>, Error> {
    let began = Instant::now();
    loop {
        let left = named(session, text).await?;
        if left.is_empty() || began.elapsed() >= limit {
            return Ok(left);
        }
        sleep(POLL).await;
    }
}

/// Lists server processes that may be at work for the command under another name: sessions of this database that began
/// since then, and are in a transaction that they do not leave within a moment.
///
/// A statement that has written nothing yet is in no list of transactions. `by` are the sessions that look: of another
/// role's sessions their times are hidden, unless a role may read all statistics.
pub(crate) async fn begun_since(by: &[&Session], since: DateTime<Utc>) -> Result<Vec<i32>, Error> {
    let began = Instant::now();
    let mut left = in_a_transaction(by, since).await?;
    while !left.is_empty() && began.elapsed() < NOTICE_WITHIN {
        sleep(POLL).await;
        // Who begins only now is nobody whom the command left.
        let now = in_a_transaction(by, since).await?;
        left.retain(|one| now.contains(one));
    }
    Ok(left.into_iter().map(|(pid, _)| pid).collect())
}

/// Sessions of this database, without ours, that began since then, and since when they are in their transaction.
async fn in_a_transaction(by: &[&Session], since: DateTime<Utc>) -> Result<BTreeSet<(i32, DateTime<Utc>)>, Error> {
    let sql = "SELECT pid, xact_start FROM pg_catalog.pg_stat_activity \
               WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid() \
                 AND backend_type = 'client backend' AND backend_start >= $1 AND xact_start IS NOT NULL \
                 AND application_name NOT LIKE 'holdpoint %'";
    let mut found = BTreeSet::new();
    for session in by {
        let rows = session.query("looking for the command's sessions", sql, &[&since]).await?;
        found.extend(rows.iter().map(|row| (row.get(0), row.get(1))));
    }
    Ok(found)
}

/// Says which sessions may be the command's, under another name.
pub(crate) fn perhaps_the_commands(pids: &[i32]) -> String {
    let list = pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (those, own) = if pids.len() == 1 { ("a session that", "it may be") } else { ("sessions that", "they may be") };
    format!(
        "{those} began while the command ran, under another name, and still in a transaction (process {list}): {own} the \
         command's, and keep what was written; holdpoint watch shows more, and watch --cancel PID ends a statement"
    )
}

/// As [`cancel_by`], with one session alone.
pub(crate) async fn cancel(session: &Session, run: &RunId) -> Result<Vec<String>, Error> {
    cancel_by(session, None, run).await
}

/// Cancels what the command's sessions are doing, and ends those that go on; returns what was done, in words.
///
/// `session` looks. `own` is of the role by which migrations connect, where that is another one: a role may always end
/// its own sessions, and one that only reads may not end others'. Their client is gone: nobody waits for them.
pub(crate) async fn cancel_by(session: &Session, own: Option<&Session>, run: &RunId) -> Result<Vec<String>, Error> {
    let token = token(run);
    let by: Vec<&Session> = own.into_iter().chain([session]).collect();
    let mut remarks = Vec::new();
    let idle = wait(session, &token, Duration::from_millis(300)).await?;
    if idle.is_empty() {
        return Ok(remarks);
    }
    signal(&by, "pg_cancel_backend", &idle, &token, &mut remarks).await;
    let left = wait(session, &token, CANCEL_WITHIN).await?;
    if left.is_empty() {
        return Ok(remarks);
    }
    signal(&by, "pg_terminate_backend", &left, &token, &mut remarks).await;
    let left = wait(session, &token, NOTICE_WITHIN).await?;
    if !left.is_empty() {
        remarks.push(still_there(&left));
    }
    Ok(remarks)
}

/// Signals those server processes that still carry the token: a number may be another session's by now. The first of the
/// sessions `by` that finds one and may signal it does.
async fn signal(by: &[&Session], function: &str, pids: &[i32], token: &str, remarks: &mut Vec<String>) {
    let sql = format!(
        "SELECT pg_catalog.{function}(pid) FROM pg_catalog.pg_stat_activity WHERE pid = $1 \
         AND datname = pg_catalog.current_database() AND pg_catalog.strpos(application_name, $2) > 0"
    );
    let word = if function == "pg_cancel_backend" { "cancelled" } else { "ended" };
    for pid in pids {
        let mut refused = None;
        for session in by {
            match session.query("cancelling the command's sessions", &sql, &[pid, &token]).await {
                // Gone, or not on the server that this session is on.
                Ok(rows) if rows.is_empty() => {}
                Ok(_) => {
                    refused = None;
                    remarks.push(format!("{word} the command's session {pid} on the server"));
                    break;
                }
                Err(error) => refused = Some(why_not(session, &error)),
            }
        }
        if let Some(why) = refused {
            let told = format!("the command's session {pid} on the server could not be {word}: {why}");
            // Where it may not be cancelled, it may not be ended either: told once.
            if !remarks.iter().any(|remark| remark.contains(&format!("session {pid} on the server could not be"))) {
                remarks.push(told);
            }
        }
    }
}

/// Why a session could not be signalled, with what allows it.
fn why_not(session: &Session, error: &holdpoint_postgres::Error) -> String {
    let said = error.said().unwrap_or_else(|| error.to_string());
    if error.sqlstate() == Some("42501") {
        let role = holdpoint_core::name::quote_identifier(session.settings().user());
        return format!("{said} (GRANT pg_signal_backend TO {role} allows it)");
    }
    said
}

/// The run whose token an `application_name` holds.
pub(crate) fn run_of(application_name: &str) -> Option<RunId> {
    let (_, after) = application_name.split_once("holdpoint:")?;
    let end = after.find(|sign: char| !sign.is_ascii_alphanumeric() && sign != '-').unwrap_or(after.len());
    after[..end].parse().ok()
}

/// Says which sessions of the command go on without it.
pub(crate) fn still_there(pids: &[i32]) -> String {
    let list = pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let those = if pids.len() == 1 { "a session of the command is" } else { "sessions of the command are" };
    format!("{those} still on the server (process {list}): it may still be working")
}

#[cfg(test)]
mod tests {
    use holdpoint_postgres::{ConnectionSettings, SessionPurpose};
    use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};

    use super::*;

    #[tokio::test]
    async fn a_number_that_is_another_sessions_by_now_is_not_signalled() {
        let cluster = Cluster::start(ClusterOptions::major(NEWEST));
        cluster.create_database("shop");
        let settings = ConnectionSettings::resolve(&cluster.url("shop"), &Default::default()).unwrap();
        let run: RunId = "20261121T024300Z-k3f9".parse().unwrap();
        let connect = async |name: &str| Session::connect(&settings, &SessionPurpose::new(name)).await.unwrap();
        let pid = async |session: &Session| -> Result<i32, holdpoint_postgres::Error> {
            Ok(session.query_one("a test", "SELECT pg_backend_pid()", &[]).await?.get(0))
        };
        let (own, other, of_run) = (connect("own").await, connect("pool").await, connect(&token(&run)).await);
        let pids = [pid(&other).await.unwrap(), pid(&of_run).await.unwrap()];
        let mut remarks = Vec::new();
        signal(&[&own], "pg_terminate_backend", &pids, &token(&run), &mut remarks).await;
        assert_eq!(remarks, [format!("ended the command's session {} on the server", pids[1])]);
        assert!(wait(&own, &token(&run), CANCEL_WITHIN).await.unwrap().is_empty());
        assert_eq!(pid(&other).await.unwrap(), pids[0], "it lives");
        assert!(pid(&of_run).await.is_err());
    }

    #[tokio::test]
    async fn who_began_meanwhile_and_stays_in_a_transaction_may_be_the_commands() {
        let cluster = Cluster::start(ClusterOptions::major(NEWEST));
        cluster.create_database("shop");
        let settings = ConnectionSettings::resolve(&cluster.url("shop"), &Default::default()).unwrap();
        let connect = async |name: &str| Session::connect(&settings, &SessionPurpose::new(name)).await.unwrap();
        let older = connect("pool").await;
        older.run("a test", "BEGIN").await.unwrap();
        let own = connect("holdpoint guard check").await;
        let since = holdpoint_postgres::preflight::clock(&own).await.unwrap();
        let (idle, inside, ours) = (connect("idle").await, connect("rails").await, connect("holdpoint guard").await);
        ours.run("a test", "BEGIN").await.unwrap();
        assert!(begun_since(&[&own], since).await.unwrap().is_empty());
        inside.run("a test", "BEGIN").await.unwrap();
        let pid: i32 = inside.query_one("a test", "SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        assert_eq!(begun_since(&[&own], since).await.unwrap(), [pid]);
        assert!(perhaps_the_commands(&[pid]).contains(&format!("(process {pid})")));
        inside.run("a test", "ROLLBACK").await.unwrap();
        assert!(begun_since(&[&own], since).await.unwrap().is_empty());
        drop(idle);
    }

    #[test]
    fn a_token_tells_its_run() {
        let run: RunId = "20261121T024300Z-k3f9".parse().unwrap();
        assert_eq!(run_of(&token(&run)), Some(run.clone()));
        assert_eq!(run_of(&format!("pool {} 1", token(&run))), Some(run));
        for other in ["", "psql", "holdpoint:", "holdpoint:x", "holdpoint-rehearsal:20261121T024300Z-k3f9"] {
            assert_eq!(run_of(other), None, "{other}");
        }
    }
}
