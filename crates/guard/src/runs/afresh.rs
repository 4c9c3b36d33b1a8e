//! How much of a run is in the database now: by what is still pending, by the schema, and by the fate of transactions.

use holdpoint_core::PointId;
use holdpoint_core::identity::{Identity, IdentityMatch};
use holdpoint_core::ledger::{RunStep, Verdict, newest};
use holdpoint_core::undoing::Afresh;
use holdpoint_operations::Context;
use holdpoint_operations::schema_check::Schema;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, identity};

use super::{Place, not_told_from_here};
use crate::plan::Project;
use crate::tools::{Pending, ToolName, read_tracking};
use crate::{Error, state};

/// A run's remark where something that it left, or may have left, was seen.
pub(crate) const CHANGED: &str = "the database is changed";

/// A look at the database of a run.
pub(crate) struct Look<'a> {
    pub(crate) context: &'a Context,
    pub(crate) place: &'a Place,
}

impl Look<'_> {
    /// Looks at what is there of a run. What cannot be read is said.
    pub(crate) async fn at(&self, steps: &[RunStep]) -> Afresh {
        let Some(step) = newest(steps) else { return Afresh::judge(None, None, None, false) };
        let mut not_known = Vec::new();
        let still = match self.still_pending(step).await {
            Ok(still) => still,
            Err(why) => {
                not_known.push(format!("what is still pending: {why}"));
                None
            }
        };
        let schema = match &step.point {
            None => {
                not_known.push("the schema before: the run relied on no restore point".to_owned());
                None
            }
            Some(point) => match self.schema_changes(point).await {
                Ok(changes) => Some(changes),
                Err(error) => {
                    not_known.push(format!("the schema: {error}"));
                    None
                }
            },
        };
        let pending = step.plan.as_ref().map(|plan| plan.pending.len());
        let nothing_kept = match self.nothing_kept(step).await {
            Ok(nothing) => nothing,
            Err(why) => {
                not_known.push(format!("what became of transactions: {why}"));
                false
            }
        };
        let outlived = outlived(steps);
        let mut found = Afresh::judge(pending, still, schema, nothing_kept && outlived.is_none());
        not_known.extend(outlived.map(str::to_owned));
        not_known.extend(not_told_from_here(step));
        found.not_known = not_known;
        if !nothing_kept {
            found.not_known.push(format!("rows: holdpoint compare before:{}", step.run));
        }
        found
    }

    /// Whether every transaction since the run's command began was aborted, by anybody and in any database of the
    /// server: nothing was kept then, no row either.
    async fn nothing_kept(&self, step: &RunStep) -> Result<bool, String> {
        let Some(seen) = &step.transactions else { return Err("the run did not note them".to_owned()) };
        let settings = &self.place.source.settings;
        let session = Session::connect(settings, &SessionPurpose::new("holdpoint runs")).await;
        let session = session.map_err(|error| error.to_string())?;
        let asked = async {
            let now = identity::read(&session).await?.identity;
            // Of another server, or of one that was brought back to an earlier time, the numbers say nothing.
            if Identity::compare(&step.identity, &now) != IdentityMatch::Same {
                return Ok(false);
            }
            state::nothing_kept_since(&seen.before, &session).await
        };
        let asked = asked.await;
        session.close().await;
        asked.map_err(|error: Error| error.to_string())
    }

    /// Of the run's migrations those that are still pending; `None` where the run had no plan, or holdpoint itself
    /// keeps the list.
    async fn still_pending(&self, step: &RunStep) -> Result<Option<Vec<String>>, String> {
        let Some(plan) = &step.plan else { return Err("the run had no plan".to_owned()) };
        let Some((project, connection)) = &self.place.project else {
            return Err("no project was found here".to_owned());
        };
        if project.found.tool.name().to_string() != plan.tool {
            return Err(format!(
                "the run was of {}, and the project here uses {}",
                plan.tool,
                project.found.tool.name()
            ));
        }
        if project.found.tool.name() == ToolName::PlainSql || project.found.table.is_none() {
            return Err(format!("{} has no table of its own", plan.tool));
        }
        let pending = pending(project, connection).await.map_err(|error| error.to_string())?;
        let is = |path: &str| pending.migrations.iter().any(|one| one.path == path);
        Ok(Some(plan.pending.iter().filter(|one| is(&one.path)).map(|one| one.path.clone()).collect()))
    }

    /// Schema objects that are not as the restore point recorded; the tool's own table that came with its first run is
    /// not among them.
    async fn schema_changes(&self, point: &PointId) -> Result<Vec<String>, Error> {
        let live = Schema::live(self.context, &self.place.source).await?;
        let table = self.place.project.as_ref().and_then(|(project, _)| project.found.table.clone());
        let changes = Schema::recorded(self.context, point).await?.changes(&live);
        let changes = changes.iter().filter(|change| !table.as_ref().is_some_and(|table| table.came_as(change)));
        Ok(changes.map(|change| change.name.clone()).collect())
    }
}

/// Why a run may have left something although every transaction since was aborted; `None` where nothing says so.
///
/// A sequence that was set back, a setting of the server and a replication slot outlive the transaction that made them.
fn outlived(steps: &[RunStep]) -> Option<&'static str> {
    let seen = || steps.iter().filter_map(|step| step.transactions.as_ref());
    if seen().any(|seen| !seen.beside.is_empty()) {
        return Some("what was changed beside the schema while its command ran: the run's remarks name it");
    }
    let judged = || steps.iter().filter_map(|step| step.judgement.as_ref().map(|judged| (step, judged.verdict)));
    if judged().all(|(_, verdict)| verdict == Verdict::Unknown) && seen().any(|seen| seen.outlives_transactions) {
        return Some("what no transaction takes back: it says, or may say, setval, ALTER SYSTEM or a replication slot");
    }
    // Who could not look found nothing.
    let otherwise = judged().any(|(step, verdict)| match verdict {
        Verdict::PartlyApplied | Verdict::FullyApplied => true,
        Verdict::Unknown => step.remarks.iter().any(|remark| remark == CHANGED),
        Verdict::Unchanged => false,
    });
    otherwise.then_some("what its own judgement found beside transactions: the run's remarks name it")
}

/// Reads what is pending.
pub(crate) async fn pending(project: &Project, connection: &ConnectionSettings) -> Result<Pending, Error> {
    let session = Session::connect(connection, &SessionPurpose::new("holdpoint runs")).await?;
    let tracking = read_tracking(&project.found, &session).await;
    session.close().await;
    Ok(Pending::of(&project.found, &project.files, &tracking?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn steps(transactions: Value, verdict: Option<&str>) -> Vec<RunStep> {
        let judgement = verdict.map(|verdict| {
            json!({ "verdict": verdict, "as_planned": false, "reasons": [], "health": "not_asked", "time_outs": "not_shown",
                    "recorded": null, "still_pending": null, "unlike_rehearsal": null, "invalid_indexes": [], "unreadable": [] })
        });
        let step = json!({
            "format": 1, "run": "20261121T024300Z-k3f9", "n": 1, "state": "failed", "at": "2026-11-21T02:43:00Z",
            "identity": { "system_identifier": "7", "database_oid": 5, "database": "shop", "timeline": 1,
                          "endpoint": "db:5432", "resource_id": null },
            "command": ["x"], "point": null, "wal_position": null, "instant": null, "exit_code": null, "signal": null,
            "operator": null, "transactions": transactions, "judgement": judgement
        });
        vec![serde_json::from_value(step).unwrap()]
    }

    #[test]
    fn what_outlives_a_transaction_is_no_unchanged_database() {
        let seen = |more: Value| {
            let mut seen = json!({ "before": "7:7:" });
            seen.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            seen
        };
        let says = || seen(json!({ "outlives_transactions": true }));
        let beside = seen(json!({ "beside": [{ "what": "replication slot cdc" }] }));
        assert_eq!(outlived(&steps(seen(json!({})), None)), None);
        assert_eq!(outlived(&steps(seen(json!({})), Some("unchanged"))), None);
        assert_eq!(outlived(&steps(says(), Some("unchanged"))), None, "it was looked at");
        assert!(outlived(&steps(says(), None)).is_some_and(|why| why.contains("setval")), "it was killed");
        assert!(outlived(&steps(beside, Some("unchanged"))).is_some_and(|why| why.contains("beside the schema")));
        for verdict in ["partly_applied", "fully_applied"] {
            assert!(outlived(&steps(seen(json!({})), Some(verdict))).is_some(), "{verdict}");
        }
        // Nobody could look then, or somebody did.
        let mut unknown = steps(seen(json!({})), Some("unknown"));
        assert_eq!(outlived(&unknown), None);
        assert!(outlived(&steps(says(), Some("unknown"))).is_some_and(|why| why.contains("setval")));
        unknown[0].remarks.push(CHANGED.to_owned());
        assert!(outlived(&unknown).is_some());
    }
}
