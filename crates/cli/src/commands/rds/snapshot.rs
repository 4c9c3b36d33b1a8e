//! `holdpoint rds snapshot`.

use holdpoint::exit_code;
use holdpoint_core::DatabaseName;
use holdpoint_operations::Context;
use holdpoint_operations::rds::{
    self, ControlPlane, RecordOptions, RestoreOptions, Snapshot, SnapshotDropReport, SnapshotMade, When,
};
use holdpoint_operations::retention::Outcome;

use super::super::confirm::confirm;
use super::super::{printed, runs};
use super::{like, restore};
use crate::arguments::{ReachArguments, SnapshotVerb};
use crate::failure::Failure;
use crate::invocation::{Invocation, now};
use crate::output;

pub(super) async fn snapshot(
    invocation: &Invocation,
    plane: &ControlPlane,
    reach: &ReachArguments,
    verb: &SnapshotVerb,
) -> Result<u8, Failure> {
    match verb {
        SnapshotVerb::Create { instance, name, reason, unrecorded, no_wait } => {
            let name = name.clone().unwrap_or_else(|| format!("{instance}-{}", now().format("%Y%m%dt%H%M%Sz")));
            let wanted = RecordOptions {
                instance: instance.clone(),
                name,
                reason: reason.as_deref().map(|reason| runs::mask(invocation).script(reason)),
                waits: !no_wait,
                retain_until: invocation.retain_until(),
            };
            let made = Box::pin(create_snapshot(invocation, plane, reach, &wanted, *unrecorded)).await?;
            printed(invocation.output.report(&made, output::rds_snapshot_made))?;
        }
        SnapshotVerb::Copy { from, name, kms_key, no_wait } => {
            let made = rds::copy_snapshot(plane, from, name, kms_key.as_deref(), !no_wait).await?;
            printed(invocation.output.report(&made, output::rds_snapshot))?;
        }
        SnapshotVerb::List { instance } => {
            let report = rds::list_snapshots(plane, instance.as_deref()).await?;
            printed(invocation.output.report(&report, |report| output::rds_snapshots(report, now())))?;
        }
        SnapshotVerb::Restore { snapshot, new } => {
            let source = rds::source_of_snapshot(plane, snapshot).await?;
            let like = like(plane, &source, When::Latest, new).await?;
            let options = RestoreOptions { snapshot: Some(snapshot.clone()), ..like };
            return restore(invocation, plane, &options, new).await;
        }
        SnapshotVerb::Drop { name, dry_run, yes } => {
            let snapshot = rds::plan_drop_snapshot(plane, name).await?;
            if !dry_run {
                let point = snapshot.tags.get(rds::POINT_TAG);
                let point = point.map(|id| format!(", tagged as restore point {id}")).unwrap_or_default();
                confirm(invocation, *yes, &format!("to be dropped for ever: the snapshot {name}{point}"))?;
                if !Box::pin(withdrawn(invocation, reach, &snapshot)).await? {
                    Box::pin(refuse_recorded(invocation, &snapshot)).await?;
                    rds::drop_snapshot(plane, &snapshot).await?;
                }
            }
            let report = SnapshotDropReport { snapshot, dropped: !dry_run };
            printed(invocation.output.report(&report, output::rds_snapshot_dropped))?;
        }
    }
    Ok(exit_code::DONE)
}

/// Withdraws the restore point that a snapshot is, where it is one of a configured database's folder, and drops both; tells
/// whether it was one. What is tagged as a restore point that cannot be looked at here, with its pins, is refused.
async fn withdrawn(invocation: &Invocation, reach: &ReachArguments, snapshot: &Snapshot) -> Result<bool, Failure> {
    let name = &snapshot.name;
    let Some(point) = snapshot.tags.get(rds::POINT_TAG) else { return Ok(false) };
    let Some(folder) = snapshot.tags.get(rds::FOLDER_TAG).and_then(|name| name.parse::<DatabaseName>().ok()) else {
        return Err(elsewhere(name, point, "no folder is tagged, so its pins cannot be looked at"));
    };
    let context = context_at(&invocation.of_database(&folder), reach, false).await?;
    match rds::withdraw_snapshot(&context, snapshot).await? {
        rds::Withdrawn::IsNone => Ok(false),
        rds::Withdrawn::Elsewhere { point, repository } => {
            let own = context.repository.id();
            Err(elsewhere(name, &point, &format!("it was made in repository {repository}, and this one is {own}")))
        }
        rds::Withdrawn::Point(_, None | Some(Outcome::Gone { .. } | Outcome::Remains { .. })) => Ok(true),
        rds::Withdrawn::Point(id, Some(Outcome::Pinned { pins })) => Err(Failure::refused(
            format!("{name} is restore point {id}, and pinned: {}", pins.join(", ")),
            format!("see its pins: holdpoint show {id}; holdpoint unpin {id} --name NAME"),
        )),
        rds::Withdrawn::Point(id, Some(outcome)) => {
            let why = match outcome {
                Outcome::Failed { reason } | Outcome::Unjustified { reason } => reason,
                _ => "the store locks its manifest".to_owned(),
            };
            Err(Failure::refused(format!("{name} is restore point {id}: {why}"), "holdpoint check".to_owned()))
        }
    }
}

/// Refuses a snapshot that a manifest in the repository names whose restore point its tags do not: tags are anybody's to change,
/// and pins are looked at by the restore point.
async fn refuse_recorded(invocation: &Invocation, snapshot: &Snapshot) -> Result<(), Failure> {
    let settings = &invocation.settings;
    let chosen = match settings.repository() {
        // Without a home there is no default either.
        Err(_) if settings.common.repository.is_none() && settings.config.repository.url.is_none() => return Ok(()),
        chosen => chosen?,
    };
    let repository = match invocation.open(&chosen, false).await {
        Err(failure) if is_no_repository(&failure) => return Ok(()),
        opened => opened?,
    };
    let Some(found) = rds::recorded_as(&repository, snapshot).await? else { return Ok(()) };
    let name = &snapshot.name;
    let tags: Vec<String> = found.tags.iter().map(|(key, value)| format!("Key={key},Value={value}")).collect();
    Err(Failure::refused(
        format!("{name} is restore point {} of {}, though its tags do not say so", found.point, found.database),
        format!(
            "to drop both, give it its tags back, then the same again: aws rds add-tags-to-resource --resource-name {} --tags {}",
            snapshot.arn,
            tags.join(" ")
        ),
    ))
}

/// The refusal of a snapshot that is tagged as a restore point of which nothing can be seen here.
fn elsewhere(name: &str, point: &str, why: &str) -> Failure {
    Failure::refused(
        format!("the snapshot {name} is tagged as restore point {point}: {why}"),
        format!(
            "drop it with the repository that it was made in: --repository URL; where that is gone for good: aws rds \
             delete-db-snapshot --db-snapshot-identifier {name}"
        ),
    )
}

/// A context that asks the RDS which this command's own flags name.
async fn context_at(own: &Invocation, reach: &ReachArguments, writes: bool) -> Result<Context, Failure> {
    let mut context = own.context(writes).await?;
    context.rds = own.settings.rds_reach(reach);
    Ok(context)
}

/// Makes a snapshot, and records it as a restore point of the database that is configured to be on the instance.
async fn create_snapshot(
    invocation: &Invocation,
    plane: &ControlPlane,
    reach: &ReachArguments,
    wanted: &RecordOptions,
    unrecorded: bool,
) -> Result<SnapshotMade, Failure> {
    let RecordOptions { instance, name, waits, .. } = wanted;
    let plain = async |why: String| {
        let snapshot = rds::create_snapshot(plane, instance, name, *waits).await?;
        Ok(SnapshotMade { snapshot, point: None, remarks: vec![format!("it is no restore point: {why}")] })
    };
    if unrecorded {
        return plain("--unrecorded".to_owned()).await;
    }
    let mut databases = invocation.settings.databases_on(instance);
    if databases.len() > 1
        && let Ok(chosen) = invocation.settings.database_name()
        && databases.contains(&chosen)
    {
        databases = vec![chosen];
    }
    let database = match databases.as_slice() {
        [] => return plain(format!("no configured database has rds_instance = \"{instance}\"")).await,
        [database] => database,
        several => {
            let names: Vec<&str> = several.iter().map(DatabaseName::as_str).collect();
            return Err(Failure::usage(
                format!("of which database is it a restore point: {}", names.join(", ")),
                "say it: --database NAME; or make the snapshot alone: --unrecorded",
            ));
        }
    };
    let own = invocation.of_database(database);
    let context = match own.settings.repository() {
        Ok(chosen) if !chosen.defaulted => context_at(&own, reach, true).await?,
        _ => match context_at(&own, reach, false).await {
            Ok(context) => context,
            Err(failure) if is_no_repository(&failure) => {
                return plain("there is no repository yet: holdpoint init".to_owned()).await;
            }
            Err(failure) => return Err(failure),
        },
    };
    Ok(rds::create_recorded(plane, &context, &own.source()?, wanted).await?)
}

/// Whether a repository could not be opened because there is none. One that is there and cannot be read is no such one: whoever
/// makes a snapshot wants it recorded there.
fn is_no_repository(failure: &Failure) -> bool {
    matches!(failure, Failure::Repository(error) if error.is_no_repository())
}
