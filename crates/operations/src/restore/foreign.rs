//! Dumps that holdpoint did not make: `.sql`, `.sql.gz`, `-Fc`, `-Fd`, `-Ft`, on this machine or in S3.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::TryStreamExt;
use holdpoint_core::progress::Phase;
use holdpoint_engine::{
    ForeignDump, ForeignForm, ForeignWatch, LOOK_BYTES, Wrapping, decompressed, directory_is_whole,
};
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::programs::{PgRestore, ProgramName, Psql, judge};
use holdpoint_repository::ObjectStore;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;

use super::folder_in_s3::{FolderInS3, folder_of};
use super::{RestoreOptions, RestoreReport, alone, target, vacuum};
use crate::recover::broken;
use crate::{Context, Error};

const GRACE: Duration = Duration::from_secs(5);
const BUFFER: usize = 1 << 20;

/// Restores a foreign dump into an empty database; it is streamed and never wholly on disk or in memory.
///
/// There is no fingerprint to match, and the report says so. A dump that ends early is an error: nothing of it stays,
/// except where the dump's own statements end the transaction.
pub(super) async fn restore(
    context: &Context,
    options: &RestoreOptions,
    place: &str,
    into: &ConnectionSettings,
) -> Result<RestoreReport, Error> {
    let session = target::connect(into).await?;
    alone::take(&session).await?;
    target::must_be_empty(&session).await?;
    let major = session.server().major;
    let mut report = RestoreReport {
        point: None,
        from: place.to_owned(),
        into: into.redacted(),
        dry_run: options.dry_run,
        read_bytes: 0,
        compared: None,
        differences: Vec::new(),
        kept_as: None,
        took_ms: 0,
        warnings: vec!["a foreign dump has no fingerprint: that everything ran is all that is known".to_owned()],
    };
    let path = Path::new(place.strip_prefix("file://").unwrap_or(place));
    if options.foreign.is_none() && path.is_dir() {
        if !path.join("toc.dat").is_file() {
            return Err(Error::NotADump { place: place.to_owned() });
        }
        let directory = path.to_owned();
        let looked = tokio::task::spawn_blocking(move || directory_is_whole(&directory));
        let looked = looked.await.map_err(|error| Error::Internal(error.to_string()))?;
        if let Err(reason) = looked.map_err(|source| reading(place, source))? {
            return Err(Error::CutDump { place: place.to_owned(), reason });
        }
        if options.dry_run {
            return Ok(report);
        }
        context.progress.phase(Phase::Restoring, None);
        let pg_restore = options.programs.find(ProgramName::PgRestore, major, &context.cancel).await?;
        let call = ownership(PgRestore::of_file(&pg_restore, path), options).single_transaction();
        let cancel = context.cancel.child_token();
        let restored = async { Ok(call.run_into(session.settings(), "", &cancel).await?) };
        alone::held(&session, &cancel, restored).await?;
    } else if let Some((store, prefix)) = folder_of(options.foreign.as_ref()).await {
        if options.dry_run {
            return Ok(report);
        }
        let folder = FolderInS3::open(store, &prefix, place).await?;
        report.read_bytes = folder.bytes;
        context.progress.phase(Phase::Restoring, Some(folder.bytes));
        let pg_restore = options.programs.find(ProgramName::PgRestore, major, &context.cancel).await?;
        let call = ownership(PgRestore::of_file(&pg_restore, folder.path()), options).single_transaction();
        let cancel = context.cancel.child_token();
        let done = CancellationToken::new();
        let mut feed = folder.feed(context, done.clone());
        let restored = async {
            let mut run = Box::pin(call.run_into(session.settings(), "", &cancel));
            let ended = tokio::select! {
                biased;
                error = broken(&mut feed) => {
                    cancel.cancel();
                    run.await.ok();
                    return Err(error);
                }
                ended = &mut run => ended,
            };
            done.cancel();
            ended?;
            match feed.join_next().await {
                Some(fed) => fed.map_err(|error| Error::Internal(error.to_string()))?,
                None => Ok(()),
            }
        };
        alone::held(&session, &cancel, restored).await?;
    } else {
        let (mut source, bytes) = open(context, options.foreign.as_ref(), place, path).await?;
        report.read_bytes = bytes;
        let first = source.fill_buf().await.map_err(|source| reading(place, source))?;
        let dump = recognise(first, place)?;
        if options.dry_run {
            return Ok(report);
        }
        context.progress.phase(Phase::Restoring, Some(bytes));
        let cancel = context.cancel.child_token();
        let context = &Context { cancel: cancel.clone(), ..context.clone() };
        let restored = stream(context, options, session.settings(), major, place, source, dump);
        alone::held(&session, &cancel, restored).await?;
    }
    context.progress.phase(Phase::Restored, None);
    context.progress.phase(Phase::Analyzing, None);
    vacuum::vacuum(&session, options.jobs, &mut report.warnings).await;
    Ok(report)
}

type Source = Box<dyn AsyncBufRead + Send + Unpin>;

/// Opens a dump for reading; gives its bytes and how many there are.
pub(crate) async fn open(
    context: &Context,
    stored: Option<&(Arc<dyn ObjectStore>, String)>,
    place: &str,
    path: &Path,
) -> Result<(Source, u64), Error> {
    if let Some((store, key)) = stored {
        let reader = match store.read(key, None, None).await {
            Err(holdpoint_repository::Error::NotFound { .. }) => {
                return Err(Error::NoSuchPoint {
                    selector: place.to_owned(),
                    database: context.database.to_string(),
                    why: "there is no such object".to_owned(),
                    hidden: false,
                });
            }
            read => read?,
        };
        let bytes = reader.object_bytes();
        let stream = reader.map_err(|error| std::io::Error::other(error.to_string()));
        return Ok((Box::new(BufReader::with_capacity(BUFFER, StreamReader::new(stream))), bytes));
    }
    let file = tokio::fs::File::open(path).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::NoSuchPoint {
            selector: place.to_owned(),
            database: context.database.to_string(),
            why: "there is no such file".to_owned(),
            hidden: false,
        },
        _ => reading(place, source),
    })?;
    let bytes = file.metadata().await.map_err(|source| reading(place, source))?.len();
    Ok((Box::new(BufReader::with_capacity(BUFFER, file)), bytes))
}

pub(crate) fn reading(place: &str, source: std::io::Error) -> Error {
    Error::Io { what: format!("reading {place}"), source }
}

/// Tells the form of a dump by its first bytes.
pub(crate) fn recognise(first: &[u8], place: &str) -> Result<ForeignDump, Error> {
    let first = &first[..first.len().min(LOOK_BYTES)];
    ForeignDump::recognise(first).ok_or_else(|| Error::NotADump { place: place.to_owned() })
}

async fn stream(
    context: &Context,
    options: &RestoreOptions,
    into: &ConnectionSettings,
    major: u32,
    place: &str,
    source: Source,
    dump: ForeignDump,
) -> Result<(), Error> {
    let mut source = BufReader::with_capacity(BUFFER, decompressed(source, dump.wrapping));
    let form = if dump.wrapping == Wrapping::None {
        dump.form
    } else {
        let first = source.fill_buf().await.map_err(|source| reading(place, source))?;
        recognise(first, place)?.form
    };
    let find = |name| options.programs.find(name, major, &context.cancel);
    let (client, program) = match form {
        ForeignForm::Plain => {
            let psql = find(ProgramName::Psql).await?;
            let program = Psql::new(&psql, into).single_transaction().piped().await?;
            (psql, program)
        }
        ForeignForm::Custom | ForeignForm::Tar | ForeignForm::Directory => {
            let pg_restore = find(ProgramName::PgRestore).await?;
            let call = ownership(PgRestore::of_stdin(&pg_restore), options).single_transaction();
            let program = call.into_database(into, "").await?;
            (pg_restore, program)
        }
    };
    let mut running = program.start().map_err(holdpoint_postgres::Error::Process)?;
    let mut stdin =
        running.take_stdin().ok_or_else(|| Error::Internal("the client program has no stdin".to_owned()))?;
    let watch = ForeignWatch::new(form);
    let fed = tokio::select! {
        fed = feed(context, place, source, &mut stdin, watch) => fed,
        () = context.cancel.cancelled() => Ok(()),
    };
    if let Err(broken) = fed {
        // The dump is cut or damaged: end the program before it takes the end of its input for success, or loops.
        running.terminate_group(GRACE).await.ok();
        return Err(broken);
    }
    drop(stdin);
    let ended = running.wait_or_cancel(&context.cancel, GRACE).await;
    if context.cancel.is_cancelled() {
        return Err(Error::Interrupted);
    }
    judge(&client, ended.map_err(holdpoint_postgres::Error::Process)?)?;
    Ok(())
}

/// Hands the dump to the program. Fails only when *reading* fails: a program that stops reading says why by itself.
///
/// The caller closes the pipe, and only after a good end: closing it after a failed read would look like one.
async fn feed(
    context: &Context,
    place: &str,
    mut source: impl AsyncRead + Unpin,
    stdin: &mut (impl tokio::io::AsyncWrite + Unpin),
    mut watch: ForeignWatch,
) -> Result<(), Error> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(256 * 1024);
        if source.read_buf(&mut buffer).await.map_err(|source| reading(place, source))? == 0 {
            break;
        }
        let bytes = buffer.split().freeze();
        context.progress.advance(bytes.len() as u64);
        watch.push(bytes.clone())?;
        if stdin.write_all(&bytes).await.is_err() {
            return Ok(());
        }
    }
    Ok(watch.finish()?)
}

fn ownership(call: PgRestore, options: &RestoreOptions) -> PgRestore {
    let call = call.no_tablespaces();
    let call = if options.no_owner { call.no_owner() } else { call };
    if options.no_privileges { call.no_privileges() } else { call }
}
