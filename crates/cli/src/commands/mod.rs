//! The verbs: flags in, one call, a report out. Each returns the exit code of what it found.

mod adopt;
mod backfill;
mod backup;
mod catalogue;
mod check;
mod compare;
mod completions;
mod confirm;
mod cron;
mod demo;
mod doctor;
mod every;
mod guard;
mod init;
mod leftovers;
mod pins;
mod plan;
mod prepare;
mod prune;
mod rds;
mod recover_table;
mod rehearse;
mod restore;
mod runs;
mod status;
mod swap;
mod undo;
mod verify;
mod watch;

pub(crate) use check::CheckedAll;
pub(crate) use cron::{CronAll, unbegun};
pub(crate) use every::{Every, NotDone};
pub(crate) use rehearse::RehearseReport;
pub(crate) use status::Screen;
pub(crate) use swap::Preview;

use crate::arguments::Verb;
use crate::failure::Failure;
use crate::invocation::Invocation;
use holdpoint::exit_code;

/// Does what was asked.
///
/// # Errors
/// Whatever the verb could not do; its findings are exit codes.
pub(crate) async fn run(invocation: &Invocation, verb: &Verb) -> Result<u8, Failure> {
    if !only_reads(verb) {
        return work(invocation, verb).await;
    }
    // Nothing is half done: a store that answers slowly keeps nobody who wants to end.
    tokio::select! {
        biased;
        done = Box::pin(work(invocation, verb)) => done,
        () = invocation.cancel.cancelled() => Err(holdpoint_operations::Error::Interrupted.into()),
    }
}

/// Whether it writes nothing, neither to the repository nor to a database.
fn only_reads(verb: &Verb) -> bool {
    match verb {
        Verb::List | Verb::Show(_) | Verb::Runs(_) | Verb::Status => true,
        // What is read and found damaged is recorded as disproved.
        Verb::Check(arguments) => !arguments.repair && arguments.read_data.is_none(),
        Verb::Prune(arguments) => arguments.dry_run,
        _ => false,
    }
}

async fn work(invocation: &Invocation, verb: &Verb) -> Result<u8, Failure> {
    match verb {
        Verb::Init(arguments) => init::run(invocation, arguments).await,
        Verb::Doctor => doctor::run(invocation).await,
        Verb::Backup(arguments) => backup::run(invocation, arguments).await,
        Verb::List => catalogue::list(invocation).await,
        Verb::Show(arguments) => catalogue::show(invocation, arguments).await,
        Verb::Verify(arguments) => verify::run(invocation, arguments).await,
        Verb::Restore(arguments) => restore::run(invocation, arguments).await,
        Verb::RecoverTable(arguments) => recover_table::run(invocation, arguments).await,
        Verb::Compare(arguments) => compare::run(invocation, arguments).await,
        Verb::Prune(arguments) => prune::run(invocation, arguments).await,
        Verb::Pin(arguments) => pins::pin(invocation, arguments).await,
        Verb::Unpin(arguments) => pins::unpin(invocation, arguments).await,
        Verb::Check(arguments) => check::run(invocation, arguments).await,
        Verb::Cron(arguments) => cron::run(invocation, arguments).await,
        Verb::Adopt(arguments) => adopt::run(invocation, arguments).await,
        Verb::Leftovers(arguments) => leftovers::run(invocation, arguments).await,
        Verb::Rds(arguments) => rds::run(invocation, arguments).await,
        Verb::Plan(arguments) => plan::run(invocation, arguments).await,
        Verb::Rehearse(arguments) => rehearse::run(invocation, arguments).await,
        Verb::Prepare(arguments) => prepare::run(invocation, arguments).await,
        Verb::Guard(arguments) => guard::run(invocation, arguments).await,
        Verb::Undo(arguments) => undo::run(invocation, arguments).await,
        Verb::Runs(arguments) => runs::list(invocation, arguments).await,
        Verb::Settle(arguments) => runs::settle(invocation, arguments).await,
        Verb::Status => status::run(invocation).await,
        Verb::Watch(arguments) => watch::run(invocation, arguments).await,
        Verb::Backfill(arguments) => backfill::run(invocation, arguments).await,
        Verb::Demo => demo::run(invocation).await,
        Verb::Completions(arguments) => completions::run(invocation, arguments),
        // They run before the runtime exists; see main.
        Verb::ScratchKeeper | Verb::RehearsalCell { .. } => Ok(exit_code::INTERNAL),
    }
}

/// A report that cannot be printed is a failure of its own.
pub(crate) fn printed(result: std::io::Result<()>) -> Result<(), Failure> {
    result.map_err(Failure::Unprinted)
}
