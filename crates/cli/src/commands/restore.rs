//! `holdpoint restore`.

use std::sync::Arc;

use holdpoint_core::selector::Selector;
use holdpoint_operations::restore::{Replace, RestoreOptions, restore};
use holdpoint_repository::{ObjectStore, RepositoryUrl};

use super::{confirm, printed, swap};
use crate::arguments::RestoreArguments;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::settings::{ChosenTarget, Purpose};
use holdpoint::exit_code;

pub(super) async fn run(invocation: &Invocation, arguments: &RestoreArguments) -> Result<u8, Failure> {
    let settings = &invocation.settings;
    if arguments.swap || arguments.swap_in.is_some() {
        return swap::run(invocation, arguments).await;
    }
    let (Some(from), Some(into)) = (&arguments.from, &arguments.into) else {
        return Err(Failure::usage("--from and --into are needed", "see holdpoint help restore"));
    };
    let target = settings.target(into)?;
    let replace = replace(invocation, arguments, &target)?;
    // Without a source there is nothing that could be replaced by mistake, and restoring needs none.
    let source = settings.connection(Purpose::Backup).ok().map(|chosen| chosen.settings);
    let (context, foreign) = match from {
        // Such a dump needs no repository and no folder, so none has to be there.
        Selector::Foreign(place) => {
            let context = invocation.context_of(settings.name_of(&target.settings), true).await?;
            (context, foreign(invocation, place).await?)
        }
        _ => (invocation.context(false).await?, None),
    };
    let options = RestoreOptions {
        from: from.clone(),
        into: target.settings,
        programs: settings.programs()?,
        jobs: settings.jobs(arguments.jobs),
        parallel_above_bytes: holdpoint_operations::PARALLEL_ABOVE_BYTES,
        replace,
        no_owner: arguments.no_owner,
        no_privileges: arguments.no_privileges,
        source,
        dry_run: arguments.dry_run,
        foreign,
    };
    let report = restore(&context, &options).await?;
    printed(invocation.output.report(&report, output::restore))?;
    Ok(if report.differences.is_empty() { exit_code::DONE } else { exit_code::DISPROVED })
}

/// Finds the store of a foreign dump on S3, and the key in it.
pub(super) async fn foreign(
    invocation: &Invocation,
    place: &str,
) -> Result<Option<(Arc<dyn ObjectStore>, String)>, Failure> {
    if !place.starts_with("s3://") {
        return Ok(None);
    }
    let Some((folder, key)) = place.rsplit_once('/').filter(|(folder, key)| *folder != "s3:/" && !key.is_empty())
    else {
        return Err(Failure::usage(format!("{place} names no object"), "write s3://bucket/path/to/the.dump"));
    };
    let url: RepositoryUrl = folder.parse()?;
    Ok(Some((invocation.store(&url).await?, key.to_owned())))
}

/// Only a target that the configuration marks may be replaced, and a person says so too.
fn replace(
    invocation: &Invocation,
    arguments: &RestoreArguments,
    target: &ChosenTarget,
) -> Result<Option<Replace>, Failure> {
    if !arguments.replace {
        return Ok(None);
    }
    let name = target.settings.redacted();
    if !target.replaceable {
        return Err(Failure::refused(
            format!("{name} may not be replaced: the configuration does not mark it as non-production"),
            "write a [target.NAME] with its url and production = false, or restore into an empty database",
        ));
    }
    if !arguments.dry_run {
        confirm::confirm(invocation, arguments.yes, &format!("everything in {name} will be replaced"))?;
    }
    Ok(Some(Replace { after_sql: arguments.after_sql.clone(), keep_old: arguments.keep_old }))
}
