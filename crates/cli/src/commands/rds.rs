//! `holdpoint rds`.

mod snapshot;

use std::sync::Arc;

use holdpoint::exit_code;
use holdpoint_guard::undo::{before_taken_back, undoes};
use holdpoint_operations::Context;
use holdpoint_operations::rds::{
    self, ClusterDropReport, ClusterPlan, ControlPlane, CutOverOutcome, CutOverPlan, DropOptions, DropReport, Moment,
    RdsSource, RestoreOptions, RestorePlan, ServedDatabase, When,
};

use super::confirm::{confirm, somebody_is_there};
use super::printed;
use crate::arguments::{
    DropInstanceArguments, NewInstanceArguments, RdsArguments, RdsVerb, ReachArguments, RestoreInstanceArguments,
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
            let options = at_an_instant(invocation, &plane, wanted).await?;
            if rds::is_cluster(&plane, &options.source).await? {
                return show_cluster(invocation, &rds::plan_cluster(&plane, &options).await?);
            }
            show(invocation, &rds::plan(&plane, &options).await?)
        }
        RdsVerb::Restore(wanted) => {
            let options = at_an_instant(invocation, &plane, wanted).await?;
            if rds::is_cluster(&plane, &options.source).await? {
                return restore_cluster(invocation, &plane, &options, &wanted.new).await;
            }
            restore(invocation, &plane, &options, &wanted.new).await
        }
        RdsVerb::Snapshot(wanted) => snapshot::snapshot(invocation, &plane, &arguments.reach, &wanted.verb).await,
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
            refuse_what_was_taken_back(&plan)?;
            let served = served(invocation, &plan.name).await?;
            if plan.goes_back {
                let told = before_taken_back(&folders(&served), &plan.name, &plan.apart).await?;
                plan.warnings.extend(told);
            }
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
                if planned.plan.goes_back {
                    // The question may have stood for hours.
                    before_taken_back(&folders(&served), &planned.plan.name, &planned.plan.apart).await?;
                }
                let mut done = Box::pin(rds::cut_over_served(&plane, planned.plan, planned.checks, &served)).await?;
                if done.plan.goes_back {
                    taken_back(invocation, &plane, &mut done, &served).await;
                }
                done
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
    let (cancel, progress) = (invocation.cancel.clone(), Arc::clone(&invocation.progress));
    Ok(ControlPlane::connect(invocation.settings.rds_reach(reach), Arc::new(now), cancel, progress).await?)
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

/// The folders that there are.
fn folders(served: &[ServedDatabase]) -> Vec<&Context> {
    served.iter().filter_map(|one| one.context.as_ref()).collect()
}

/// Refuses to put into service once more what undid a guarded run until that was taken back: the ledger says that the run
/// stands, and the data are those of then and of what was written meanwhile.
fn refuse_what_was_taken_back(plan: &CutOverPlan) -> Result<(), Failure> {
    let run = plan.taken_back.as_deref().filter(|_| !plan.goes_back).and_then(|was| undoes(&plan.name, was));
    let Some(run) = run else { return Ok(()) };
    let apart = &plan.apart;
    Err(Failure::refused(
        format!(
            "{apart} undid run {run} until that was taken back, and may hold what was written to it meanwhile: in service again, \
             it would make the run's ledger wrong"
        ),
        format!("holdpoint rds drop {apart}, then holdpoint undo {run} --way rds, which makes another"),
    ))
}

/// Lets the ledgers tell that the undo of a run was taken back, where the instance that went out of service was one; then the
/// way back is at its end. What fails of that is left to do, as the renames are made.
async fn taken_back(
    invocation: &Invocation,
    plane: &ControlPlane,
    done: &mut CutOverOutcome,
    served: &[ServedDatabase],
) {
    let CutOverPlan { name, apart, .. } = &done.plan;
    let operator = super::guard::operator(invocation);
    let told = Box::pin(holdpoint_guard::undo::taken_back(&folders(served), name, apart, operator)).await;
    done.runs.extend(told.runs);
    done.open.extend(told.open);
    if told.is_owed {
        return;
    }
    if let Err(error) = rds::note_taken_back(plane, &done.plan).await {
        done.open.push(format!(
            "the tags of {apart} do not say that this came to its end ({}): holdpoint rds cut-over {apart} --back",
            error.line()
        ));
    }
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

/// What was typed as what RDS is asked; only `before:RUN` and a restore point open the repository.
async fn at_an_instant(
    invocation: &Invocation,
    plane: &ControlPlane,
    wanted: &RestoreInstanceArguments,
) -> Result<RestoreOptions, Failure> {
    let context = match &wanted.at {
        Moment::BeforeRun(_) | Moment::Point(_) => Some(invocation.context(false).await?),
        Moment::Latest | Moment::At(_) => None,
    };
    let to = rds::resolve(context.as_ref(), &wanted.at).await?;
    let like = like(plane, &wanted.source, to, &wanted.new).await?;
    Ok(RestoreOptions { copy_on_write: wanted.copy_on_write, ..like })
}

async fn like(
    plane: &ControlPlane,
    source: &str,
    to: When,
    wanted: &NewInstanceArguments,
) -> Result<RestoreOptions, Failure> {
    let target = match &wanted.into {
        Some(into) => into.clone(),
        None => rds::name_for_restore(plane, source).await?,
    };
    let mut options = RestoreOptions::new(source, target, to);
    if wanted.temporary {
        options = options.temporary();
    }
    if wanted.single_az || wanted.multi_az {
        options.multi_az = Some(wanted.multi_az);
    }
    options.class.clone_from(&wanted.class);
    Ok(options)
}
