//! `holdpoint recover-table`.

use holdpoint::exit_code;
use holdpoint_core::selector::Selector;
use holdpoint_operations::rds::{Moment, When, resolve};
use holdpoint_operations::recover::{
    Past, RecoverFrom, RecoverMode, RecoverOptions, RecoverReport, Recovery, Target, Triggers, Wanted, prepare,
};

use holdpoint_postgres::ConnectionSettings;

use super::{confirm, printed, rds, restore};
use crate::arguments::RecoverTableArguments;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::settings::Purpose;

pub(super) async fn run(invocation: &Invocation, arguments: &RecoverTableArguments) -> Result<u8, Failure> {
    let options = options(invocation, arguments).await?;
    if let (RecoverFrom::Rds(past), true) = (&options.from, options.dry_run) {
        // What would change is only known to an instance that costs, so none is made to say it.
        let plan = past.plan().await?;
        printed(invocation.output.report(&plan, output::rds_plan))?;
        return Ok(if plan.is_possible() { exit_code::DONE } else { exit_code::REFUSED });
    }
    let changing = options.mode != RecoverMode::Side && !options.dry_run;
    if changing {
        // Nobody wants to wait for the rows to hear then that nobody can be asked.
        confirm::somebody_is_there(invocation, arguments.yes, "live tables would be changed")?;
    }
    let context = match &options.from {
        RecoverFrom::Point(_) => invocation.context(false).await?,
        // Such a source needs no repository and no folder, so none has to be there.
        _ => invocation.context_of(invocation.settings.name_of(&options.into), true).await?,
    };
    let recovery = prepare(&context, &options).await?;
    let report = if !changing {
        if options.dry_run { recovery.abandon().await? } else { recovery.keep().await }
    } else if !recovery.plan().refusals().is_empty() {
        invocation.progress.rest();
        invocation.output.aside(&output::recovery_plan(recovery.plan()));
        recovery.apply(&context).await?
    } else if !recovery.plan().changes_anything() {
        recovery.abandon().await?
    } else {
        confirmed(invocation, arguments, recovery).await?.apply(&context).await?
    };
    let elsewhere = arguments.into.as_ref().map(|named| elsewhere(named, &report));
    printed(invocation.output.report(&report, |report| output::recover_table(report, elsewhere.as_deref())))?;
    Ok(code(&report))
}

/// How a person names the database that was named with `--into` once more: without its password.
fn elsewhere(named: &str, report: &RecoverReport) -> String {
    let url = named.contains("://") || named.contains('=');
    if url { format!("'{}'", report.plan.into) } else { named.to_owned() }
}

/// A dry run tells by its code whether the change could be made.
fn code(report: &RecoverReport) -> u8 {
    if report.plan.refusals().is_empty() { exit_code::DONE } else { exit_code::REFUSED }
}

/// Shows the plan and asks; without a yes nothing stays.
async fn confirmed(
    invocation: &Invocation,
    arguments: &RecoverTableArguments,
    recovery: Recovery,
) -> Result<Recovery, Failure> {
    invocation.progress.rest();
    invocation.output.aside(&output::recovery_plan(recovery.plan()));
    match confirm::confirm(
        invocation,
        arguments.yes,
        &format!("live tables of {} will be changed", recovery.plan().into),
    ) {
        Ok(()) => Ok(recovery),
        Err(refused) => {
            recovery.abandon().await?;
            Err(refused)
        }
    }
}

async fn from(invocation: &Invocation, arguments: &RecoverTableArguments) -> Result<RecoverFrom, Failure> {
    match (&arguments.from, &arguments.from_database) {
        (_, Some(database)) => Ok(RecoverFrom::Database(Box::new(named(invocation, database)?))),
        (Some(Selector::Foreign(place)), _) => {
            let stored = restore::foreign(invocation, place).await?;
            Ok(RecoverFrom::Dump { place: place.clone(), stored })
        }
        (Some(Selector::RdsInstant(at)), _) => past(invocation, &Moment::At(*at)).await,
        (Some(Selector::RdsBeforeRun(run)), _) => past(invocation, &Moment::BeforeRun(run.clone())).await,
        (Some(selector), _) => Ok(RecoverFrom::Point(selector.clone())),
        (None, None) => Err(Failure::usage("nothing says where from", "give --from POINT or --from-database TARGET")),
    }
}

/// The instance that the configured database is on, at an instant; only `before:RUN` opens the repository.
async fn past(invocation: &Invocation, moment: &Moment) -> Result<RecoverFrom, Failure> {
    let Some(source) = rds::instance(invocation).await? else {
        return Err(Failure::usage(
            "no RDS instance is configured for this database",
            "name it: rds_instance in the database's section of holdpoint.toml, or HOLDPOINT_RDS_INSTANCE",
        ));
    };
    let context = match moment {
        Moment::BeforeRun(_) | Moment::Point(_) => Some(invocation.context(false).await?),
        Moment::Latest | Moment::At(_) => None,
    };
    let When::At(at) = resolve(context.as_ref(), moment).await? else {
        return Err(holdpoint_operations::Error::Internal("an instant that is none".to_owned()).into());
    };
    let settings = invocation.settings.connection(Purpose::Migrate)?.settings;
    Ok(RecoverFrom::Rds(Box::new(Past { source, at, settings })))
}

fn named(invocation: &Invocation, database: &str) -> Result<ConnectionSettings, Failure> {
    Ok(invocation.settings.named_database("--from-database", database)?.settings)
}

async fn options(invocation: &Invocation, arguments: &RecoverTableArguments) -> Result<RecoverOptions, Failure> {
    let settings = &invocation.settings;
    let (into, target) = match &arguments.into {
        Some(text) => (settings.target(text)?.settings, Target::Named),
        None => (settings.connection(Purpose::Migrate)?.settings, Target::SameDatabase),
    };
    let wanted = match &arguments.schema {
        Some(schema) => Wanted::Schema(schema.clone()),
        None => Wanted::Tables(arguments.tables.clone()),
    };
    Ok(RecoverOptions {
        from: from(invocation, arguments).await?,
        wanted,
        into,
        target,
        mode: arguments.mode.into(),
        only_missing: Vec::new(),
        condition: arguments.condition.clone(),
        columns: arguments.columns.clone(),
        renamed: arguments.renamed.clone(),
        now_named: arguments.now_named.clone(),
        triggers: if arguments.fire_triggers { Triggers::Fire } else { Triggers::HeldBack },
        lock_wait_seconds: arguments.lock_wait.as_secs().max(1),
        jobs: settings.jobs(arguments.jobs),
        keep_side: arguments.keep_side,
        dry_run: arguments.dry_run,
        programs: settings.programs()?,
    })
}
