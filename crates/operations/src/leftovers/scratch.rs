//! Scratch servers whose keeper was killed.

use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use holdpoint_postgres::scratch::{self, SweepReport};

use super::{Found, Leftover, LeftoverKind, Unseen, What, settle};
use crate::{Context, Error};

/// Finds the scratch directories of killed keepers. Their free lock proves that nobody has them, whatever their age.
pub(super) async fn find(context: &Context, base: &Path, unseen: &mut Vec<Unseen>) -> Vec<Found> {
    let (folder, now) = (base.to_owned(), SystemTime::from((context.clock)()));
    let abandoned = blocking(move || scratch::abandoned(&folder, now)).await;
    let abandoned = match abandoned {
        Ok(abandoned) => abandoned,
        Err(error) => {
            unseen.push(Unseen { place: base.display().to_string(), reason: error.line() });
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for one in abandoned {
        let made = std::fs::metadata(&one.directory).and_then(|metadata| metadata.modified());
        let reason = match one.server_pid {
            Some(pid) => format!("its keeper is gone; its server still runs (process {pid})"),
            None => "its keeper is gone".to_owned(),
        };
        let leftover = Leftover {
            kind: LeftoverKind::ScratchServer,
            place: one.directory.display().to_string(),
            id: one.server_pid.map(|pid| pid.to_string()).unwrap_or_default(),
            since: made.ok().map(DateTime::<Utc>::from),
            bytes: None,
            dead: true,
            reason,
            removed: false,
            problem: None,
        };
        found.push(Found { leftover, what: What::Scratch });
    }
    found
}

/// Stops their servers and removes them.
pub(super) async fn remove(context: &Context, base: &Path, found: &mut [&mut Found]) {
    let (folder, now) = (base.to_owned(), SystemTime::from((context.clock)()));
    let swept = blocking(move || scratch::sweep(&folder, now)).await;
    for one in found {
        let removed = match &swept {
            Ok(report) => of(report, Path::new(&one.leftover.place)),
            Err(error) => Err(Error::Usage(error.line())),
        };
        settle(&mut one.leftover, removed);
    }
}

fn of(report: &SweepReport, directory: &Path) -> Result<(), Error> {
    if let Some((_, reason)) = report.kept.iter().find(|(kept, _)| kept == directory) {
        return Err(Error::Usage(reason.clone()));
    }
    // Not in the report at all: somebody else removed it meanwhile, or is doing so.
    if report.removed.iter().any(|one| one.directory == directory) || !directory.exists() {
        return Ok(());
    }
    Err(Error::Usage("somebody else holds it now".to_owned()))
}

async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Error>
where
    T: Send + 'static,
    E: Into<holdpoint_postgres::Error> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| error.into().into()),
        Err(error) => Err(Error::Internal(format!("looking for scratch servers broke off: {error}"))),
    }
}
