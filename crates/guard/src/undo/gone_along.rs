//! Runs of other databases that go back with an RDS instance: their folders do not hear of it.

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::ledger::{RunState, RunStep, newest};
use holdpoint_core::quantity::listed;
use holdpoint_core::{Identity, RunId};
use holdpoint_operations::Context;
use holdpoint_postgres::error::line;

use super::admission;
use crate::Error;

/// How many runs a line holds.
const NAMED: usize = 10;
/// Runs that began longer before the instant are over by then, and not read.
const LONGEST: TimeDelta = TimeDelta::days(1);

/// Names the runs of other databases of the server that may have changed them since `since`, as far as their folders are in this
/// repository; also where they could not be looked for.
pub(super) async fn told(context: &Context, server: &Identity, since: DateTime<Utc>) -> Option<String> {
    match runs(context, server, since).await {
        Ok(runs) if runs.is_empty() => None,
        Ok(runs) => Some(format!(
            "runs of other databases go back with it, and their ledgers do not say so: {}",
            listed(&runs, NAMED)
        )),
        Err(error) => Some(format!("whether runs of other databases go back with it is not known: {}", line(&error))),
    }
}

async fn runs(context: &Context, server: &Identity, since: DateTime<Utc>) -> Result<Vec<String>, Error> {
    let repository = &context.repository;
    let mut found = Vec::new();
    for database in repository.databases().await?.into_iter().filter(|database| *database != context.database) {
        let near = |run: &RunId| run.at() + LONGEST >= since;
        for run in repository.runs(&database).await?.into_iter().filter(near) {
            if goes_back(&repository.steps(&database, &run).await?, server, since) {
                found.push(format!("{run} of {database}"));
            }
        }
    }
    Ok(found)
}

/// Whether a run was at work on the server after the instant, and may have left something there. Copies have the system identifier
/// of their source, and a timeline of their own.
fn goes_back(steps: &[RunStep], server: &Identity, since: DateTime<Utc>) -> bool {
    let Some(first) = steps.iter().min_by_key(|step| step.n) else { return false };
    let on_another = |one: Option<u32>, other: Option<u32>| one.zip(other).is_some_and(|(one, other)| one != other);
    let is_own = |step: &&RunStep| matches!(step.state, RunState::Running | RunState::Succeeded | RunState::Failed);
    first.identity.system_identifier.is_some()
        && first.identity.system_identifier == server.system_identifier
        && !on_another(first.identity.timeline, server.timeline)
        && steps.iter().filter(is_own).any(|step| step.at >= since)
        && newest(steps).is_some_and(|step| step.taken_back.is_none())
        && admission::may_have_changed(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(n: u32, state: &str, timeline: u32) -> RunStep {
        serde_json::from_value(serde_json::json!({
            "format": 1, "run": "20261121T024300Z-k3f9", "n": n, "state": state, "at": format!("2026-11-21T02:43:{n:02}Z"),
            "identity": { "system_identifier": "7", "database_oid": 5, "database": "cart", "timeline": timeline,
                          "endpoint": "db:5432", "resource_id": null },
            "command": ["x"], "point": null, "wal_position": null, "instant": null, "exit_code": 0, "signal": null,
            "operator": null,
        }))
        .unwrap()
    }

    #[test]
    fn what_another_database_s_run_did_on_the_server_since_goes_back() {
        let at = |seconds: u32| -> DateTime<Utc> { format!("2026-11-21T02:43:{seconds:02}Z").parse().unwrap() };
        let server = step(1, "running", 1).identity;
        let ran = [step(1, "started", 1), step(2, "running", 1), step(5, "succeeded", 1)];
        assert!(goes_back(&ran, &server, at(4)), "it was at work after the instant");
        assert!(!goes_back(&ran, &server, at(6)), "it had ended");
        let settled = [&ran[..], &[step(9, "settled", 1)]].concat();
        assert!(!goes_back(&settled, &server, at(6)), "somebody settled it since");
        assert!(!goes_back(&[&ran[..], &[step(7, "undone", 1)]].concat(), &server, at(4)), "it is undone");
        assert!(!goes_back(&[step(2, "running", 2), step(5, "succeeded", 2)], &server, at(4)), "on a copy");
        let other = Identity { system_identifier: Some("8".to_owned()), ..server };
        assert!(!goes_back(&ran, &other, at(4)), "on another server");
    }
}
