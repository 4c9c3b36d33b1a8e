//! How the reading of a dump ends: well, cut, or with the reason of the program that makes text of it.

use std::io::ErrorKind::UnexpectedEof;
use std::time::Duration;

use holdpoint_postgres::programs::{ClientProgram, Running, judge};
use tokio::task::JoinSet;

use super::RecoverError;
use crate::{Context, Error};

const GRACE: Duration = Duration::from_secs(5);

/// Waits until the program cannot be fed any more; where it was fed to the end, for ever.
///
/// It must not be left to the program to end then: pg_restore asks a tar archive that is cut for more without end.
pub(crate) async fn broken(feed: &mut JoinSet<Result<(), Error>>) -> Error {
    while let Some(fed) = feed.join_next().await {
        match fed {
            Ok(Ok(())) => {}
            Ok(Err(broken)) => return broken,
            Err(error) => return Error::Internal(error.to_string()),
        }
    }
    std::future::pending().await
}

/// Says of a dump that ends early, holds several databases, or has other line ends, that it does, and which it is.
pub(super) fn cut(place: &str, error: Error) -> Error {
    let within = match &error {
        Error::Engine(holdpoint_engine::Error::SeveralDatabases) => {
            return RecoverError::SeveralDatabases { place: place.to_owned() }.into();
        }
        Error::Engine(holdpoint_engine::Error::LineEnds) => {
            return RecoverError::LineEnds { place: place.to_owned() }.into();
        }
        Error::Engine(holdpoint_engine::Error::Truncated(within)) => within,
        Error::Engine(holdpoint_engine::Error::Pipe(_, source)) if source.kind() == UnexpectedEof => {
            "its compressed form"
        }
        _ => return error,
    };
    Error::CutDump { place: place.to_owned(), reason: format!("it ended within {within}") }
}

/// Ends the program that makes text of a dump which cannot be read.
pub(super) async fn stopped(program: Option<(Running, ClientProgram)>, error: Error) -> Error {
    if let Some((mut running, _)) = program {
        running.terminate_group(GRACE).await.ok();
    }
    error
}

/// Demands that dump and program ended well.
pub(super) async fn ended(
    context: &Context,
    program: Option<(Running, ClientProgram)>,
    mut feed: JoinSet<Result<(), Error>>,
) -> Result<(), Error> {
    while let Some(fed) = feed.join_next().await {
        fed.map_err(|error| Error::Internal(error.to_string()))??;
    }
    if let Some((mut running, client)) = program {
        let ended = running.wait_or_cancel(&context.cancel, GRACE).await.map_err(holdpoint_postgres::Error::Process)?;
        judge(&client, ended)?;
    }
    Ok(())
}

/// Why a text could not be read to its end: the dump's or the program's own reason, where they have one.
pub(super) async fn why(
    program: Option<(Running, ClientProgram)>,
    mut feed: JoinSet<Result<(), Error>>,
    error: Error,
) -> Error {
    if let Some(Ok(Err(broken))) = feed.try_join_next() {
        return stopped(program, broken).await;
    }
    if let Some((mut running, client)) = program {
        let by_itself = running.has_ended().unwrap_or(false);
        let ended = running.terminate_group(GRACE).await;
        if let (true, Ok(ended)) = (by_itself, ended)
            && let Err(failed) = judge(&client, ended)
        {
            return failed.into();
        }
    }
    error
}
