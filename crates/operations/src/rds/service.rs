//! A cut-over of an instance whose databases are configured: their data are checked before it, and their folders follow to
//! the instance that serves after it.

use std::time::Duration;

use holdpoint_core::Identity;
use holdpoint_rds::{CutOverPlan, Endpoint, Error as Rds, Instance, Steps, marks};
use serde::Serialize;

use super::ControlPlane;
use super::data_check::{DataCheck, ServedDatabase};
use super::serving::identity_behind;
use super::verbs::{CutOverOutcome, cut_over};
use crate::Error;
use crate::adopt::adopt;

/// How often, and at most how far apart, the address is tried until it leads where it should: names are cached for a while.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(5);

/// A folder that belongs to the instance which serves now.
#[derive(Clone, Debug, Serialize)]
pub struct Followed {
    /// The folder's database.
    pub database: String,
    /// Why, as it was recorded.
    pub reason: String,
}

/// Whether a cut-over is still to be checked: one that was begun was checked before its first rename, and what goes back was
/// in service.
async fn is_to_be_checked(plane: &ControlPlane, plan: &CutOverPlan) -> Result<Option<Instance>, Error> {
    if plan.goes_back || plan.is_begun || plan.renames.is_empty() {
        return Ok(None);
    }
    by_resource(plane, &plan.new_resource, &plan.apart).await.map(Some)
}

/// Whether nothing can be held against the instance that a cut-over puts into service: no configured database is on it.
///
/// # Errors
/// What RDS refuses.
pub async fn lacks_a_check(plane: &ControlPlane, plan: &CutOverPlan, served: &[ServedDatabase]) -> Result<bool, Error> {
    Ok(served.is_empty() && plan.unchecked.is_none() && is_to_be_checked(plane, plan).await?.is_some())
}

/// Checks the data of the instance that a cut-over puts into service, unless the plan says why not.
///
/// # Errors
/// [`Error::InstanceDisproved`]; whatever keeps the data from being checked. Nothing is renamed.
pub async fn check_before_cut_over(
    plane: &ControlPlane,
    plan: &CutOverPlan,
    served: &[ServedDatabase],
) -> Result<Vec<DataCheck>, Error> {
    if served.is_empty() || plan.unchecked.is_some() {
        return Ok(Vec::new());
    }
    let Some(instance) = is_to_be_checked(plane, plan).await? else { return Ok(Vec::new()) };
    let Some(Endpoint { host, port }) = instance.endpoint else {
        return Err(Rds::Unready { subject: instance.name }.into());
    };
    let source = by_resource(plane, &plan.source_resource, &plan.name).await?;
    let restored_to = marks::instant(&instance.tags, marks::RESTORED_TO);
    let mut checks = Vec::new();
    for one in served {
        let there = one.source.settings.with_server(host.clone(), port);
        let checked = Box::pin(one.checked(&instance.name, there, &source, restored_to, plane));
        let check = tokio::select! {
            checked = checked => checked?,
            () = plane.cancel.cancelled() => return Err(Error::Interrupted),
        };
        plane.progress.note(&check.told());
        checks.push(check);
    }
    Ok(checks)
}

/// Makes the renames of a plan, and lets the folders of the databases follow. A way back ends with
/// [`note_taken_back`](super::note_taken_back).
///
/// # Errors
/// What RDS refuses, and [`Error::Halfway`]: planned and called again it goes on. A folder that does not follow is no error but told in the report.
pub async fn cut_over_served(
    plane: &ControlPlane,
    plan: CutOverPlan,
    checks: Vec<DataCheck>,
    served: &[ServedDatabase],
) -> Result<CutOverOutcome, Error> {
    let (resource, name) = match plan.goes_back {
        true => (&plan.source_resource, &plan.name),
        false => (&plan.new_resource, &plan.apart),
    };
    let endpoint = match served.is_empty() {
        true => None,
        false => match by_resource(plane, resource, name).await {
            Ok(found) => found.endpoint,
            Err(failure) => return Err(Box::pin(plane.between_renames(&plan, &Steps::default(), failure)).await),
        },
    };
    let mut expected = Vec::new();
    for one in served {
        // Between two renames it may not be reached; then RDS's own word has to do.
        let there = endpoint.as_ref().map(|at| one.source.settings.with_server(at.host.clone(), at.port));
        let found = match &there {
            Some(there) => identity_behind(there).await.ok(),
            None => None,
        };
        expected.push(found.map(|found| found.identity));
    }
    let mut outcome = cut_over(plane, plan).await?;
    outcome.checks = checks;
    let Some(serving) = outcome.done.as_ref().map(|done| done.serving.clone()) else { return Ok(outcome) };
    for (one, expected) in served.iter().zip(&expected) {
        if let Err(why) = follow(plane, &mut outcome, one, &serving, expected.as_ref()).await {
            outcome.open.push(format!(
                "the folder of {} still belongs to the instance before, and backups are refused ({why}): holdpoint adopt \
                 --database {} --reason 'rds cut-over'",
                one.name(),
                one.name()
            ));
        }
    }
    Ok(outcome)
}

async fn by_resource(plane: &ControlPlane, resource: &str, name: &str) -> Result<Instance, Error> {
    let found = plane.unless_ended(plane.rds.find_resource(resource)).await?;
    found.ok_or_else(|| Rds::Gone { subject: name.to_owned() }.into())
}

/// Records that a folder belongs to the instance that serves; a folder that belonged to nobody goes on so.
async fn follow(
    plane: &ControlPlane,
    outcome: &mut CutOverOutcome,
    served: &ServedDatabase,
    serving: &Instance,
    expected: Option<&Identity>,
) -> Result<(), String> {
    let Some(context) = &served.context else { return Ok(()) };
    let before = context.repository.identity(&context.database).await.map_err(|error| error.to_string())?;
    if before.is_none() {
        return Ok(());
    }
    leads_there(plane, served, expected, before.map(|before| before.identity).as_ref()).await?;
    let plan = &outcome.plan;
    let reason = if plan.goes_back {
        format!("rds cut-over --back: {} is again the instance that it was restored from", plan.name)
    } else {
        let to = marks::instant(&serving.tags, marks::RESTORED_TO);
        let to = to.map_or_else(String::new, |to| format!(" to {}", to.format("%Y-%m-%dT%H:%M:%SZ")));
        let check = outcome.checks.iter().find(|check| check.database == served.name());
        let unchecked = plan.unchecked.as_ref().map(|why| format!("; its data were not checked: {why}"));
        let check = check.map(|check| format!("; {}", check.told())).or(unchecked).unwrap_or_default();
        format!("rds cut-over: {} is the instance that was restored{to} as {}{check}", plan.name, plan.apart)
    };
    adopt(context, &served.source, &reason).await.map_err(|error| error.line())?;
    outcome.followed.push(Followed { database: served.name(), reason });
    Ok(())
}

/// Waits until the configured address leads to the instance that serves; why it does not, where it does not. `expected` is
/// what was found behind that before it was renamed, `before` that to which the folder belongs.
async fn leads_there(
    plane: &ControlPlane,
    served: &ServedDatabase,
    expected: Option<&Identity>,
    before: Option<&Identity>,
) -> Result<(), String> {
    let timeline = |identity: Option<&Identity>| identity.and_then(|identity| identity.timeline);
    let mut why = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::select! {
                () = tokio::time::sleep(plane.waiting.pause().min(PAUSE)) => {}
                () = plane.cancel.cancelled() => return Err("it was interrupted".to_owned()),
            }
        }
        match identity_behind(&served.source.settings).await {
            Ok(found) => match leads_elsewhere(timeline(expected), timeline(before), found.identity.timeline) {
                Some(elsewhere) => why = elsewhere,
                None => return Ok(()),
            },
            Err(error) => why = error.line(),
        }
    }
    Err(why)
}

/// Why what was found is not the instance that serves now, by the timelines: each restore begins one of its own. Where that of
/// the instance could not be read, it is any but the one to which the folder belongs; where none is told, RDS's word is all there
/// is.
fn leads_elsewhere(expected: Option<u32>, before: Option<u32>, found: Option<u32>) -> Option<String> {
    let found = found?;
    let right = match (expected, before) {
        (Some(expected), _) if found != expected => format!("timeline {expected}"),
        (None, Some(before)) if found == before => {
            format!("another than timeline {before}, to which its folder belongs")
        }
        _ => return None,
    };
    Some(format!("its address still leads to the instance that went aside: timeline {found}, and expected is {right}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_follows_to_the_expected_instance_alone() {
        let told = leads_elsewhere(Some(3), Some(2), Some(2)).unwrap();
        assert!(told.ends_with("went aside: timeline 2, and expected is timeline 3"), "{told}");
        assert_eq!(leads_elsewhere(Some(3), Some(2), Some(3)), None);
        // Between two renames nobody could ask it: it is not the one before.
        let told = leads_elsewhere(None, Some(2), Some(2)).unwrap();
        assert!(
            told.ends_with("timeline 2, and expected is another than timeline 2, to which its folder belongs"),
            "{told}"
        );
        assert_eq!(leads_elsewhere(None, Some(2), Some(3)), None);
        // The folder followed already.
        assert_eq!(leads_elsewhere(Some(3), Some(3), Some(3)), None);
        for found in [None, Some(2)] {
            assert_eq!(leads_elsewhere(None, None, found), None, "nothing tells them apart");
        }
        assert_eq!(leads_elsewhere(Some(3), Some(2), None), None);
    }
}
