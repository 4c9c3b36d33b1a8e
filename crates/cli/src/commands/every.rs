//! One verb on every database of the configuration, or of the repository where none is configured.

use holdpoint_core::{DatabaseName, Mask, Shard};
use holdpoint_operations::{Error, ErrorKind};
use serde::Serialize;

use crate::failure::Failure;
use crate::invocation::Invocation;
use holdpoint::exit_code;

/// What `--all` did.
#[derive(Debug, Serialize)]
pub(crate) struct Every<Report> {
    /// The databases that were looked at.
    pub(crate) databases: Vec<Report>,
    /// Those that were not, each with the reason.
    pub(crate) failed: Vec<NotDone>,
}

/// A database on which nothing was done.
#[derive(Debug, Serialize)]
pub(crate) struct NotDone {
    /// Which.
    pub(crate) database: DatabaseName,
    /// What kind of failure it is: one exit code each.
    pub(crate) kind: ErrorKind,
    /// Why, with its causes.
    pub(crate) reason: String,
}

/// Does it for each database of a share, with what its section of the configuration says, and whether it has one; gives
/// the worst exit code with the reports.
pub(super) async fn every<Report>(
    invocation: &Invocation,
    shard: Option<Shard>,
    work: impl AsyncFn(&Invocation, bool) -> Result<(Report, u8), Failure>,
) -> Result<(Every<Report>, u8), Failure> {
    let names = match invocation.settings.config.database.is_empty() {
        false => invocation.settings.production("--all")?,
        true => invocation.open(&invocation.settings.repository()?, false).await?.databases().await?,
    };
    let mut mask = Mask::new(crate::secrets::known(&invocation.settings.variables));
    let (mut worst, mut done) = (exit_code::DONE, Every { databases: Vec::new(), failed: Vec::new() });
    for database in names.into_iter().filter(|name| shard.is_none_or(|shard| shard.holds(name))) {
        if invocation.cancel.is_cancelled() {
            return Err(Error::Interrupted.into());
        }
        let known = invocation.settings.config.database.contains_key(&database);
        let own = invocation.of_database(&database);
        match work(&own, known).await {
            Ok((report, code)) => {
                worst = exit_code::worst(worst, code);
                done.databases.push(report);
            }
            Err(failure) => {
                mask.learn(own.settings.passwords());
                let told = failure.told(&mask, invocation.cancel.is_cancelled());
                let reason = told.line();
                worst = exit_code::worst(worst, told.exit_code);
                done.failed.push(NotDone { database, kind: told.kind, reason });
            }
        }
    }
    Ok((done, worst))
}
