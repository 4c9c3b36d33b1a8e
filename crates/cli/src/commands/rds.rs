//! `holdpoint rds`.

use std::sync::Arc;

use holdpoint::exit_code;
use holdpoint_core::DatabaseName;
use holdpoint_operations::Context;
use holdpoint_operations::rds::{
    self, ClusterDropReport, ClusterPlan, ControlPlane, CutOverOutcome, DropOptions, DropReport, Moment, RdsReach,
    RdsSource, RecordOptions, RestoreOptions, RestorePlan, ServedDatabase, Snapshot, SnapshotDropReport, SnapshotMade,
    When,
};
use holdpoint_operations::retention::Outcome;

use super::confirm::{confirm, somebody_is_there};
use super::printed;
use crate::arguments::{
    DropInstanceArguments, NewInstanceArguments, RdsArguments, RdsVerb, ReachArguments, RestoreInstanceArguments,
    SnapshotVerb,
};
use crate::failure::Failure;
use crate::invocation::{Invocation, now};
use crate::output;

pub(super) async fn run(invocation: &Invocation, arguments: &RdsArguments) -> Result<u8, Failure> {
    let plane = plane(invocation, &arguments.reach).await?;
    match &arguments.verb {
        RdsVerb::Window(wanted) => {
            let window = rds::window(&plane, &wanted.source).await?;
            printed(invocation.output.report(&window, |window| output::rds_window(window, now())))?;
            Ok(if window.is_open() { exit_code::DONE } else { exit_code::FINDINGS })
        }
        RdsVerb::Plan(wanted) => {
            let options = at_an_instant(invocation, wanted).await?;
            if rds::is_cluster(&plane, &options.source).await? {
                return show_cluster(invocation, &rds::plan_cluster(&plane, &options).await?);
            }
            show(invocation, &rds::plan(&plane, &options).await?)
        }
        RdsVerb::Restore(wanted) => {
            let options = at_an_instant(invocation, wanted).await?;
            if rds::is_cluster(&plane, &options.source).await? {
                return restore_cluster(invocation, &plane, &options, &wanted.new).await;
            }
            restore(invocation, &plane, &options, &wanted.new).await
        }
        RdsVerb::Snapshot(wanted) => snapshot(invocation, &plane, &arguments.reach, &wanted.verb).await,
        RdsVerb::Wait(wanted) => {
            if rds::is_cluster(&plane, &wanted.name).await? {
                let report = Box::pin(rds::wait_cluster(&plane, &wanted.name)).await?;
                printed(invocation.output.report(&report, output::rds_cluster_restored))?;
                return Ok(exit_code::DONE);
            }
            let report = rds::wait(&plane, &wanted.name).await?;
            printed(invocation.output.report(&report, output::rds_restored))?;
            Ok(exit_code::DONE)
        }
        RdsVerb::CutOver(wanted) => {
            let mut plan = rds::plan_cut_over(&plane, &wanted.name, wanted.aside.as_deref(), wanted.back).await?;
            if let Some(reason) = &wanted.unchecked {
                plan.unchecked = Some(super::runs::mask(invocation).script(reason));
            }
            let served = served(invocation, &plan.name).await?;
            if rds::lacks_a_check(&plane, &plan, &served).await? {
                return Err(Failure::refused(
                    format!(
                        "nothing is there to check {} with: no configured database is on {}",
                        plan.apart, plan.name
                    ),
                    format!(
                        "name it in its database's section: rds_instance = \"{}\"; or cut over all the same: --unchecked \
                         'why the data are right'",
                        plan.name
                    ),
                ));
            }
            if !wanted.dry_run {
                somebody_is_there(invocation, wanted.yes, &format!("{} would be renamed", plan.name))?;
            }
            let checks = rds::check_before_cut_over(&plane, &plan, &served).await?;
            let planned = CutOverOutcome::planned(plan, checks);
            let report = if wanted.dry_run {
                planned
            } else {
                confirm(invocation, wanted.yes, output::rds_cut_over(&planned).trim_end())?;
                Box::pin(rds::cut_over_served(&plane, planned.plan, planned.checks, &served)).await?
            };
            printed(invocation.output.report(&report, output::rds_cut_over))?;
            Ok(if report.open.is_empty() { exit_code::DONE } else { exit_code::FINDINGS })
        }
        RdsVerb::List => {
            let report = rds::list(&plane).await?;
            printed(invocation.output.report(&report, |report| output::rds_list(report, now())))?;
            Ok(exit_code::DONE)
        }
        RdsVerb::Drop(wanted) => {
            let options = DropOptions {
                name: wanted.name.clone(),
                final_snapshot: wanted.final_snapshot.clone(),
                lift_protection: wanted.lift_protection,
            };
            if rds::is_cluster(&plane, &options.name).await? {
                return drop_cluster(invocation, &plane, &options, wanted).await;
            }
            let plan = rds::plan_drop(&plane, &options).await?;
            let report = if wanted.dry_run {
                DropReport { plan, dropped: false }
            } else {
                let what = output::rds_drop(&DropReport { plan: plan.clone(), dropped: false });
                somebody_is_there(invocation, wanted.yes, what.trim_end())?;
                confirm(invocation, wanted.yes, what.trim_end())?;
                rds::drop_instance(&plane, plan).await?
            };
            printed(invocation.output.report(&report, output::rds_drop))?;
            Ok(exit_code::DONE)
        }
    }
}

async fn plane(invocation: &Invocation, reach: &ReachArguments) -> Result<ControlPlane, Failure> {
    let RdsReach { options, waiting } = invocation.settings.rds_reach(reach);
    let (cancel, progress) = (invocation.cancel.clone(), Arc::clone(&invocation.progress));
    Ok(ControlPlane::connect(&options, waiting, Arc::new(now), cancel, progress).await?)
}

/// The RDS instance that the database is on, where one is configured.
pub(super) async fn instance(invocation: &Invocation) -> Result<Option<RdsSource>, Failure> {
    let Some(instance) = invocation.settings.rds_instance() else { return Ok(None) };
    let plane = Box::pin(plane(invocation, &ReachArguments::default())).await?;
    Ok(Some(RdsSource { plane, instance }))
}

/// The databases that are configured to be on an instance, each with its folder where there is one.
async fn served(invocation: &Invocation, instance: &str) -> Result<Vec<ServedDatabase>, Failure> {
    let mut served = Vec::new();
    for name in invocation.settings.databases_on(instance) {
        let own = invocation.of_database(&name);
        let context = match own.settings.repository() {
            Ok(chosen) if !chosen.defaulted => Some(own.context(false).await?),
            _ => own.context(false).await.ok(),
        };
        served.push(ServedDatabase { context, source: own.source()?, jobs: own.settings.jobs(None) });
    }
    Ok(served)
}

fn show(invocation: &Invocation, plan: &RestorePlan) -> Result<u8, Failure> {
    printed(invocation.output.report(plan, output::rds_plan))?;
    Ok(if plan.is_possible() { exit_code::DONE } else { exit_code::FINDINGS })
}

async fn restore(
    invocation: &Invocation,
    plane: &ControlPlane,
    options: &RestoreOptions,
    wanted: &NewInstanceArguments,
) -> Result<u8, Failure> {
    let plan = rds::plan(plane, options).await?;
    if wanted.dry_run {
        return show(invocation, &plan);
    }
    if plan.is_possible() {
        invocation.output.aside(&output::rds_plan(&plan));
    }
    let outcome = rds::restore(plane, &plan, !wanted.no_wait).await?;
    printed(invocation.output.report(&outcome, |report| match &report.finished {
        Some(finished) => output::rds_restored(finished),
        None => format!("{0} is being made; go on with: holdpoint rds wait {0}\n", report.begun.name),
    }))?;
    Ok(exit_code::DONE)
}

fn show_cluster(invocation: &Invocation, plan: &ClusterPlan) -> Result<u8, Failure> {
    printed(invocation.output.report(plan, output::rds_cluster_plan))?;
    Ok(if plan.is_possible() { exit_code::DONE } else { exit_code::FINDINGS })
}

async fn restore_cluster(
    invocation: &Invocation,
    plane: &ControlPlane,
    options: &RestoreOptions,
    wanted: &NewInstanceArguments,
) -> Result<u8, Failure> {
    let plan = rds::plan_cluster(plane, options).await?;
    if wanted.dry_run {
        return show_cluster(invocation, &plan);
    }
    if plan.is_possible() {
        invocation.output.aside(&output::rds_cluster_plan(&plan));
    }
    let outcome = Box::pin(rds::restore_cluster(plane, &plan, !wanted.no_wait)).await?;
    printed(invocation.output.report(&outcome, |report| match &report.finished {
        Some(finished) => output::rds_cluster_restored(finished),
        None => format!(
            "{0} is being made, and has no instance yet; go on with: holdpoint rds wait {0}\n",
            report.begun.name
        ),
    }))?;
    Ok(exit_code::DONE)
}

async fn drop_cluster(
    invocation: &Invocation,
    plane: &ControlPlane,
    options: &DropOptions,
    wanted: &DropInstanceArguments,
) -> Result<u8, Failure> {
    let plan = rds::plan_drop_cluster(plane, options).await?;
    let report = if wanted.dry_run {
        ClusterDropReport { plan, dropped: false }
    } else {
        let what = output::rds_cluster_drop(&ClusterDropReport { plan: plan.clone(), dropped: false });
        somebody_is_there(invocation, wanted.yes, what.trim_end())?;
        confirm(invocation, wanted.yes, what.trim_end())?;
        Box::pin(rds::drop_cluster(plane, plan)).await?
    };
    printed(invocation.output.report(&report, output::rds_cluster_drop))?;
    Ok(exit_code::DONE)
}

async fn snapshot(
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
                reason: reason.as_deref().map(|reason| super::runs::mask(invocation).script(reason)),
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
            let options = RestoreOptions { snapshot: Some(snapshot.clone()), ..like(&source, When::Latest, new) };
            return restore(invocation, plane, &options, new).await;
        }
        SnapshotVerb::Drop { name, dry_run, yes } => {
            let snapshot = rds::plan_drop_snapshot(plane, name).await?;
            if !dry_run {
                let point = snapshot.tags.get(rds::POINT_TAG);
                let point = point.map(|id| format!(", tagged as restore point {id}")).unwrap_or_default();
                confirm(invocation, *yes, &format!("to be dropped for ever: the snapshot {name}{point}"))?;
                if !Box::pin(withdrawn(invocation, reach, &snapshot)).await? {
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

/// What was typed as what RDS is asked; only `before:RUN` opens the repository.
async fn at_an_instant(invocation: &Invocation, wanted: &RestoreInstanceArguments) -> Result<RestoreOptions, Failure> {
    let context = match &wanted.at {
        Moment::BeforeRun(_) => Some(invocation.context(false).await?),
        Moment::Latest | Moment::At(_) => None,
    };
    let to = rds::resolve(context.as_ref(), &wanted.at).await?;
    Ok(RestoreOptions { copy_on_write: wanted.copy_on_write, ..like(&wanted.source, to, &wanted.new) })
}

fn like(source: &str, to: When, wanted: &NewInstanceArguments) -> RestoreOptions {
    let target = wanted.into.clone().unwrap_or_else(|| format!("{source}-restored"));
    let mut options = RestoreOptions::new(source, target, to);
    if wanted.temporary {
        options = options.temporary();
    }
    if wanted.single_az {
        options.multi_az = Some(false);
    }
    options.class.clone_from(&wanted.class);
    options
}
