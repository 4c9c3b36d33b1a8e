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
    /// What was not done, each with the reason.
    pub(crate) failed: Vec<NotDone>,
}

/// What was not done, or not to its end.
#[derive(Debug, Serialize)]
pub(crate) struct NotDone {
    /// On which database; `None` for what belongs to none of them.
    pub(crate) database: Option<DatabaseName>,
    /// What kind of failure it is: one exit code each.
    pub(crate) kind: ErrorKind,
    /// Why, with its causes.
    pub(crate) reason: String,
}

impl NotDone {
    /// Tells a failure without secrets, with its exit code.
    pub(super) fn of(invocation: &Invocation, database: Option<DatabaseName>, failure: &Failure) -> (Self, u8) {
        let mut mask = Mask::new(crate::secrets::known(&invocation.settings.variables));
        mask.learn(invocation.settings.passwords());
        let told = failure.told(&mask, invocation.cancel.is_cancelled());
        let reason = told.line();
        (Self { database, kind: told.kind, reason }, told.exit_code)
    }

    /// As it is listed.
    pub(crate) fn line(&self) -> String {
        match &self.database {
            Some(database) => format!("{database}: {}", self.reason),
            None => format!("what belongs to no database: {}", self.reason),
        }
    }
}

/// Does it for each database of a share, with what its section of the configuration says, and whether it has one; gives
/// the worst exit code with the reports. After a signal nothing more is begun: what was done is told, and what was not, and
/// the code is that of the signal.
pub(super) async fn every<Report>(
    invocation: &Invocation,
    shard: Option<Shard>,
    work: impl AsyncFn(&Invocation, bool) -> Result<(Report, u8), Failure>,
) -> Result<(Every<Report>, u8), Failure> {
    let names = match invocation.settings.config.database.is_empty() {
        false => invocation.settings.production("--all")?,
        true => invocation.open(&invocation.settings.repository()?, false).await?.databases().await?,
    };
    let (mut worst, mut done) = (exit_code::DONE, Every { databases: Vec::new(), failed: Vec::new() });
    let mut interrupted = false;
    for database in names.into_iter().filter(|name| shard.is_none_or(|shard| shard.holds(name))) {
        let known = invocation.settings.config.database.contains_key(&database);
        let own = invocation.of_database(&database);
        let worked = match invocation.cancel.is_cancelled() {
            true => Err(Error::Interrupted.into()),
            false => work(&own, known).await,
        };
        let code = match worked {
            Ok((report, code)) => {
                done.databases.push(report);
                code
            }
            Err(failure) => {
                let (not_done, code) = NotDone::of(&own, Some(database), &failure);
                done.failed.push(not_done);
                code
            }
        };
        worst = exit_code::worst(worst, code);
        interrupted |= code == exit_code::INTERRUPTED;
    }
    Ok((done, if interrupted { exit_code::INTERRUPTED } else { worst }))
}
