//! Restoring through one client program that reads a pipe.

use std::time::Duration;

use holdpoint_core::manifest::PointFormat;
use holdpoint_engine::ReadBack;
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::programs::{ClientProgram, PgRestore, Psql, judge};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::{Ownership, owned, read_archive};
use crate::expected::Expected;
use crate::{Context, Error};

/// Chunks that may wait for pg_restore.
const TEE: usize = 4;
const GRACE: Duration = Duration::from_secs(5);

/// Streams a point from the repository into one pg_restore (or psql, for SQL text), checked on its way.
///
/// Nothing of it touches the local disk. On failure the target is as it was where the ownership asks for one
/// transaction; else it holds a part.
pub(super) async fn restore(
    context: &Context,
    expected: &Expected,
    target: &ConnectionSettings,
    client: &ClientProgram,
    ownership: Ownership,
    jobs: usize,
) -> Result<ReadBack, Error> {
    let plain = expected.manifest.stored_as == PointFormat::Plain;
    let program = if plain {
        script(client, target, ownership)?.piped().await?
    } else {
        owned(PgRestore::of_stdin(client), ownership, ownership.one_transaction).into_database(target, "").await?
    };
    let mut running = program.start().map_err(holdpoint_postgres::Error::Process)?;
    let mut stdin =
        running.take_stdin().ok_or_else(|| Error::Internal("the client program has no stdin".to_owned()))?;
    let (send, receive) = mpsc::channel(TEE);
    // Hands the pipe back: whoever closes it says that the input is whole.
    let feed = async move {
        // Dropped with this block, so that the reader notices when pg_restore is gone; its own words then say why.
        let mut receive: mpsc::Receiver<bytes::Bytes> = receive;
        while let Some(bytes) = receive.recv().await {
            if stdin.write_all(&bytes).await.is_err() {
                break;
            }
        }
        stdin
    };
    let read = read_archive(context, expected, Some(send), jobs);
    tokio::pin!(read, feed);
    let mut fed = None;
    let read = loop {
        tokio::select! {
            read = &mut read => break read,
            stdin = &mut feed, if fed.is_none() => fed = Some(stdin),
        }
    };
    match read {
        Ok(read) => {
            let stdin = match fed {
                Some(stdin) => stdin,
                None => tokio::select! {
                    stdin = &mut feed => stdin,
                    () = context.cancel.cancelled() => {
                        running.terminate_group(GRACE).await.ok();
                        return Err(Error::Interrupted);
                    }
                },
            };
            // Only now may pg_restore see the end of its input: an end after a failed read would look like a good one.
            drop(stdin);
            let ended = running.wait_or_cancel(&context.cancel, GRACE).await;
            judge(client, ended.map_err(holdpoint_postgres::Error::Process)?)?;
            Ok(read)
        }
        Err(Error::Engine(holdpoint_engine::Error::NobodyReads)) => {
            let ended = running.wait_or_cancel(&context.cancel, GRACE).await;
            judge(client, ended.map_err(holdpoint_postgres::Error::Process)?)?;
            Err(Error::Internal("the client program stopped reading and yet ended well".to_owned()))
        }
        Err(error) => {
            // Not waiting for what is still to be written: a server that hangs would keep it from ever ending.
            running.terminate_group(GRACE).await.ok();
            Err(error)
        }
    }
}

/// SQL text cannot leave owners or grants out: they are statements like all others.
fn script(psql: &ClientProgram, target: &ConnectionSettings, ownership: Ownership) -> Result<Psql, Error> {
    if ownership.no_owner || ownership.no_privileges {
        return Err(Error::Usage("a restore point stored as SQL text cannot leave owners or grants out".to_owned()));
    }
    let call = Psql::new(psql, target);
    Ok(if ownership.one_transaction { call.single_transaction() } else { call })
}
