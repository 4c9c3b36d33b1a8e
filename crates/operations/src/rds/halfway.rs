//! How far something in RDS is whose verb failed or was ended: asked for once more, as work that is dropped tells nothing.

use std::future::Future;
use std::time::Duration;

use holdpoint_rds::{CutOverPlan, Error as Rds, Made, Steps};

use super::ControlPlane;
use crate::Error;

/// So long RDS may take to answer whoever was ended.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

impl ControlPlane {
    /// The failure of a cut-over with where the names are, which command goes on, and which gives the source its name back; the
    /// failure alone where nothing was renamed.
    pub(super) async fn between_renames(&self, plan: &CutOverPlan, steps: &Steps, failure: Error) -> Error {
        // It says so itself, and no cut-over goes on.
        if matches!(&failure, Error::Rds(error) if matches!(**error, Rds::LeftAside { .. })) {
            return failure;
        }
        let Some(stands) = self.rds.names_left(plan, steps, ANSWERS_WITHIN).await else { return failure };
        let command =
            |back: &str| format!("holdpoint rds cut-over {}{back} --region {}", plan.apart, self.rds.region());
        let next = match plan.goes_back {
            true => format!("the same command goes on: {}", command(" --back")),
            false => format!(
                "the same command goes on: {}; its source gets its name back by: {}",
                command(""),
                command(" --back")
            ),
        };
        Error::Halfway { failure: Box::new(failure), stands, next }
    }

    /// The end of a drop that was interrupted, with what of it is there by `made`, and the `command` that goes on; other failures
    /// say that themselves.
    pub(super) async fn ended_drop(
        &self,
        planned: &Made,
        command: String,
        made: impl Future<Output = Result<Vec<Made>, Rds>>,
        failure: Error,
    ) -> Error {
        if !matches!(failure, Error::Interrupted) {
            return failure;
        }
        let seen = match tokio::time::timeout(ANSWERS_WITHIN, made).await {
            Ok(Ok(made)) => Some(made.into_iter().find(|one| one.resource_id == planned.resource_id)),
            Ok(Err(_)) | Err(_) => None,
        };
        let region = self.rds.region();
        let is_gone = matches!(seen, Some(None));
        let stands = stands(planned, seen.as_ref().map(Option::as_ref));
        let next = match is_gone {
            true => format!("whether it is gone: holdpoint rds list --region {region}"),
            false => format!("the same command goes on: {command} --region {region}"),
        };
        Error::Halfway { failure: Box::new(failure), stands, next }
    }
}

/// What of an instance or cluster that was being dropped is there; `None` where RDS does not answer.
fn stands(planned: &Made, seen: Option<Option<&Made>>) -> String {
    let name = &planned.name;
    let Some(seen) = seen else {
        return format!("how far the drop of {name} is, is not known: it costs until it is gone");
    };
    let Some(seen) = seen else { return format!("RDS does not show {name} any more") };
    let gone: Vec<&str> =
        planned.members.iter().filter(|member| !seen.members.contains(member)).map(String::as_str).collect();
    let gone = if gone.is_empty() { String::new() } else { format!("; gone: {}", gone.join(", ")) };
    let is_lifted = planned.is_protected && !seen.is_protected;
    let lifted = if is_lifted { "; it is not protected against deletion any more" } else { "" };
    format!("{} is {}, and costs until it is gone{gone}{lifted}", seen.name, seen.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_of_a_drop_that_was_ended_is_told() {
        let made = |status: &str, members: &[&str], is_protected| {
            let (name, resource_id) = ("pool".to_owned(), "cluster-POOL".to_owned());
            let members = members.iter().map(|&member| member.to_owned()).collect();
            let status = status.to_owned();
            Made { name, resource_id, status, members, is_protected, ..Made::default() }
        };
        let planned = made("available", &["pool-1", "pool-2"], true);
        assert_eq!(
            stands(&planned, Some(Some(&made("available", &["pool-2"], false)))),
            "pool is available, and costs until it is gone; gone: pool-1; it is not protected against deletion any more"
        );
        let as_before = stands(&planned, Some(Some(&planned)));
        assert_eq!(as_before, "pool is available, and costs until it is gone");
        assert_eq!(stands(&planned, Some(None)), "RDS does not show pool any more");
        assert!(stands(&planned, None).contains("not known"));
    }
}
