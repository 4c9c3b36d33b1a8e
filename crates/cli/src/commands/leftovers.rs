//! `holdpoint leftovers`.

use std::time::Duration;

use holdpoint::exit_code;
use holdpoint_operations::leftovers::{LeftoversOptions, Unseen, leftovers};
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::scratch::ScratchOptions;

use super::{printed, rds};
use crate::arguments::LeftoversArguments;
use crate::failure::Failure;
use crate::invocation::{Invocation, now};
use crate::output;
use crate::settings::Purpose;

pub(super) async fn run(invocation: &Invocation, arguments: &LeftoversArguments) -> Result<u8, Failure> {
    let named = arguments.into.as_deref().map(|into| invocation.settings.target(into)).transpose()?;
    let named = named.map(|target| target.settings);
    let context = match (invocation.settings.database_name(), &named) {
        // Whoever recovered from a dump needed no folder, and has none.
        (name, Some(target)) => {
            invocation.context_of(name.unwrap_or_else(|_| invocation.settings.name_of(target)), true).await?
        }
        (name, None) => invocation.context_of(name?, false).await?,
    };
    let mut options = options(invocation, arguments.remove && !arguments.dry_run, arguments.min_age, named);
    let unseen = match rds::instance(invocation).await {
        Ok(instance) => {
            options.instance = instance;
            None
        }
        Err(failure) => Some(Unseen { place: "RDS instances".to_owned(), reason: failure.to_string() }),
    };
    let mut report = leftovers(&context, &options).await?;
    report.unseen.extend(unseen);
    printed(
        invocation
            .output
            .report(&report, |report| output::leftovers(report, arguments.remove || arguments.dry_run, now())),
    )?;
    let kept = report.leftovers.iter().any(|one| one.problem.is_some()) || !report.unseen.is_empty();
    Ok(if kept { exit_code::FINDINGS } else { exit_code::DONE })
}

/// Where to look, what has to be that old, and whether it is removed.
pub(super) fn options(
    invocation: &Invocation,
    remove: bool,
    min_age: Duration,
    named: Option<ConnectionSettings>,
) -> LeftoversOptions {
    LeftoversOptions {
        remove,
        min_age_seconds: i64::try_from(min_age.as_secs()).unwrap_or(i64::MAX),
        scratch_directory: invocation.settings.scratch_directory(),
        servers: servers(invocation).into_iter().chain(named).collect(),
        instance: None,
    }
}

/// The servers on which databases may have been left: the source's, a given scratch server's, the targets'. One that
/// is not configured cannot have been used.
fn servers(invocation: &Invocation) -> Vec<ConnectionSettings> {
    let settings = &invocation.settings;
    let source = settings.connection(Purpose::Backup).ok().map(|chosen| chosen.settings);
    let scratch = match settings.scratch(None, 0) {
        Ok(ScratchOptions::Url(given)) => Some(given.settings),
        _ => None,
    };
    // Side schemas belong to the role that changes tables.
    let who = |one: &ConnectionSettings| (one.endpoint(), one.database().to_owned(), one.user().to_owned());
    let changing = settings.connection(Purpose::Migrate).ok().map(|chosen| chosen.settings);
    let changing = changing.filter(|one| source.as_ref().is_none_or(|other| who(other) != who(one)));
    source.into_iter().chain(changing).chain(scratch).chain(settings.every_target()).collect()
}
