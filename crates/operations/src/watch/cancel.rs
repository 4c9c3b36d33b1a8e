//! Ends what one session does, or the session.

use std::time::Duration;

use holdpoint_postgres::Session;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{Activity, WatchError, activity};
use crate::Error;

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long is waited for the effect; a process reacts when it next looks for interrupts.
const WITHIN: Duration = Duration::from_secs(3);

/// What is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The statement (`pg_cancel_backend`): the client gets an error and may go on.
    Statement,
    /// The session (`pg_terminate_backend`): its transaction is rolled back and the client loses its connection.
    Session,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// The session as it was.
    pub session: Activity,
    /// What was to end.
    pub stop: Stop,
    /// Whether it ended within 3 s; some work looks for interrupts seldom.
    pub took_effect: bool,
}

/// Finds a session by its server process, and looks whether it may be cancelled.
///
/// # Errors
/// [`WatchError`] when it is not there, is of another database, one of holdpoint's own, or no session at all.
pub async fn find(session: &Session, pid: i32) -> Result<Activity, Error> {
    let Some(found) = activity::of_process(session, pid).await? else { return Err(WatchError::Gone { pid }.into()) };
    let sql = "SELECT pg_catalog.current_database()::text, pg_catalog.pg_backend_pid()";
    let row = session.query_one("looking where we are", sql, &[]).await?;
    let (here, own): (String, i32) = (row.get(0), row.get(1));
    match found.kind.as_deref() {
        // Of a session that this role may not see, not even that is told.
        None | Some("client backend" | "autovacuum worker") => {}
        Some(kind) => return Err(WatchError::NotASession { pid, kind: kind.to_owned() }.into()),
    }
    if found.database.as_ref() != Some(&here) {
        let database = found.database.clone().unwrap_or_else(|| "none".to_owned());
        return Err(WatchError::AnotherDatabase { name: found.name(), database, here }.into());
    }
    if pid == own || is_ours(&found.application_name) {
        return Err(WatchError::OneOfOurs { name: found.name() }.into());
    }
    Ok(found)
}

/// Tells holdpoint's own sessions by their name; those of a guarded command carry the run's token, `holdpoint:RUN`.
fn is_ours(application_name: &str) -> bool {
    application_name == "holdpoint" || application_name.starts_with("holdpoint ")
}

/// Ends the statement of a session that was [found](find) or [seen](super::look()), or the session itself, and waits for
/// a moment until that has happened.
///
/// A session that took the process's number meanwhile is left alone: the time at which it began tells them apart, and with `token`
/// that its `application_name` holds that, where its role hides the time.
///
/// # Errors
/// [`WatchError::Gone`], [`WatchError::NothingRuns`], [`WatchError::NotAllowed`].
pub async fn cancel(session: &Session, target: &Activity, stop: Stop, token: Option<&str>) -> Result<Stopped, Error> {
    let state = target.state.as_deref();
    if stop == Stop::Statement && state.is_some_and(|state| state.starts_with("idle")) {
        let state = state.unwrap_or_default().to_owned();
        return Err(WatchError::NothingRuns { name: target.name(), state }.into());
    }
    let function = match stop {
        Stop::Statement => "pg_cancel_backend",
        Stop::Session => "pg_terminate_backend",
    };
    let sql = format!(
        "SELECT pg_catalog.{function}(a.pid) FROM pg_catalog.pg_stat_activity a WHERE a.pid = $1 \
         AND a.backend_start IS NOT DISTINCT FROM $2 AND a.datname = pg_catalog.current_database() \
         AND a.pid <> pg_catalog.pg_backend_pid() \
         AND ($3::text IS NULL OR pg_catalog.strpos(a.application_name, $3) > 0)"
    );
    let sent = Instant::now();
    match session.query("cancelling", &sql, &[&target.pid, &target.backend_start, &token]).await {
        // No row: it is gone. False: it went at this very moment.
        Ok(rows) if !rows.first().is_some_and(|row| row.get(0)) => {
            return Err(WatchError::Gone { pid: target.pid }.into());
        }
        Ok(_) => {}
        Err(error) if error.sqlstate() == Some("42501") => {
            let said = error.said().unwrap_or_else(|| error.to_string());
            let role = session.settings().user().to_owned();
            return Err(WatchError::NotAllowed { role, name: target.name(), said }.into());
        }
        Err(error) => return Err(error.into()),
    }
    loop {
        let now = activity::of_process(session, target.pid).await?;
        let took_effect = now.is_none_or(|now| has_ended(target, &now, stop));
        if took_effect || sent.elapsed() >= WITHIN {
            return Ok(Stopped { session: target.clone(), stop, took_effect });
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Tells whether what was to end has ended, from how the process is now; where that is hidden, nobody knows.
fn has_ended(before: &Activity, now: &Activity, stop: Stop) -> bool {
    if now.backend_start != before.backend_start {
        return true;
    }
    let goes_on = now.state.as_deref() == Some("active") && now.state_ms >= before.state_ms;
    stop == Stop::Statement && !now.hidden && !goes_on
}

#[cfg(test)]
mod tests {
    use super::super::activity::sample;
    use super::*;

    #[test]
    fn another_statement_means_that_the_first_has_ended() {
        let before = sample(7);
        let later = Activity { state_ms: Some(1_040), ..before.clone() };
        assert!(!has_ended(&before, &later, Stop::Statement));
        let next = Activity { state_ms: Some(3), ..before.clone() };
        assert!(has_ended(&before, &next, Stop::Statement));
        assert!(!has_ended(&before, &next, Stop::Session));
        let idle = Activity { state: Some("idle".into()), ..before.clone() };
        assert!(has_ended(&before, &idle, Stop::Statement));
        let hidden = Activity { hidden: true, state: None, state_ms: None, ..before.clone() };
        assert!(!has_ended(&before, &hidden, Stop::Statement));
        let start = "2026-11-21T02:43:00Z".parse().ok();
        assert!(has_ended(&before, &Activity { backend_start: start, ..before.clone() }, Stop::Session));
    }

    #[test]
    fn the_commands_of_a_guarded_run_are_not_ours() {
        assert!(is_ours("holdpoint guard 20261121T024300Z-k3f9") && is_ours("holdpoint"));
        assert!(!is_ours("holdpoint:20261121T024300Z-k3f9") && !is_ours("holdpointless"));
    }
}
