//! Restoring an archive from the repository into a database, and comparing what came out.

mod early;
mod head_file;
mod parallel;
mod schema;
mod single;
mod tuning;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use holdpoint_archive::Codec;
use holdpoint_core::PointId;
use holdpoint_core::fingerprint::{self, Difference, compare_large_objects, compare_rows, compare_sequences};
use holdpoint_core::index::{ObjectRecord, TableRecord};
use holdpoint_core::manifest::{Manifest, PointFormat};
use holdpoint_core::progress::Phase;
use holdpoint_core::verification::{Compared, Level, Obstacle, Verdict, Verification};
use holdpoint_engine::{
    ArchiveSource, Contents, DigestOptions, ReadBack, ReadBackOptions, digest_database, read_back, read_back_plain,
    read_head,
};
use holdpoint_postgres::programs::{ClientProgram, PgDump, PgRestore, ProgramName, judge};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use tokio::sync::mpsc;

pub(crate) use early::Early;
pub(crate) use head_file::HeadFile;
pub(crate) use schema::{compare_schema, leave_out_unasked, rewritten};
pub(crate) use tuning::TargetKind;

use crate::expected::Expected;
use crate::{Context, Error};

const GRACE: Duration = Duration::from_secs(5);

/// How pg_restore is asked to restore.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ownership {
    pub(crate) no_owner: bool,
    pub(crate) no_privileges: bool,
    /// All or nothing.
    pub(crate) one_transaction: bool,
}

/// Asks pg_restore for what the ownership says.
fn owned(mut call: PgRestore, ownership: Ownership, one_transaction: bool) -> PgRestore {
    call = call.no_tablespaces();
    if ownership.no_owner {
        call = call.no_owner();
    }
    if ownership.no_privileges {
        call = call.no_privileges();
    }
    if one_transaction { call.single_transaction() } else { call }
}

/// Up to this many objects are restored in one transaction: each takes a lock or two, and the smallest lock table that
/// servers have by default holds 6,400.
pub(crate) const ONE_TRANSACTION_OBJECTS: usize = 2000;

/// Archives of fewer bytes of rows than this, and of fewer objects than [`ONE_TRANSACTION_OBJECTS`], are restored by one
/// pg_restore in one transaction: starting several sessions would gain nothing.
pub const PARALLEL_ABOVE_BYTES: u64 = 32 << 20;

/// How a restore point is restored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) ownership: Ownership,
    /// How many pieces are checked and sessions work at a time.
    pub(crate) jobs: usize,
    /// From how many bytes of rows on several sessions load.
    pub(crate) parallel_above_bytes: u64,
    pub(crate) target: TargetKind,
    /// The role lacks rights by intention: what it is refused is gathered into [`Error::CouldNotRun`].
    pub(crate) lesser_role: bool,
}

/// Restores a point from the repository into a database, every byte checked before it reaches the server.
///
/// Small archives, and SQL text, go through one client program; others are loaded by several sessions. On failure the
/// target may hold a part: the caller empties or drops it. Begins the phase [`Phase::Restoring`] and those that follow.
/// Besides what was read, gives the digests that were made on the way.
pub(crate) async fn restore_archive(
    context: &Context,
    expected: &Expected,
    target: &ConnectionSettings,
    client: &ClientProgram,
    manner: &Manner,
) -> Result<(ReadBack, Early), Error> {
    let target = &with_money(target, &expected.manifest).await?;
    let small = expected.manifest.totals.data_bytes < manner.parallel_above_bytes
        && expected.objects.len() < ONE_TRANSACTION_OBJECTS
        && !manner.lesser_role;
    let by_one = small || expected.manifest.stored_as == PointFormat::Plain;
    // One client program reads what is stored from end to end; several sessions announce their own phases.
    context.progress.phase(Phase::Restoring, by_one.then_some(expected.manifest.archive.bytes));
    if !by_one {
        let head = HeadFile::fetch(context, expected).await?;
        if holdpoint_engine::can_be_loaded(head.head())? {
            return parallel::restore(context, expected, &head, target, client, manner).await;
        }
    }
    if manner.lesser_role {
        return Err(Error::CouldNotRun {
            obstacles: vec![Obstacle {
                reason: "this restore point can only be restored as a whole, by one client program".to_owned(),
                cure: "verify without --as".to_owned(),
            }],
        });
    }
    let read = single::restore(context, expected, target, client, manner.ownership, manner.jobs).await?;
    Ok((read, Early::default()))
}

/// Reads a whole archive back and loads the rows of some of its tables, by dump id, into an empty database, without
/// indexes, constraints and triggers.
///
/// Fails with [`Error::CouldNotRun`] for restore points of which no part can be loaded.
pub(crate) async fn load_some(
    context: &Context,
    expected: &Expected,
    target: &ConnectionSettings,
    pg_restore: &ClientProgram,
    manner: &Manner,
    only: &BTreeSet<i32>,
) -> Result<ReadBack, Error> {
    let cannot = |reason: &str| Error::CouldNotRun {
        obstacles: vec![Obstacle { reason: reason.to_owned(), cure: "verify at level full or stored".to_owned() }],
    };
    if expected.manifest.stored_as != PointFormat::Archive {
        return Err(cannot("no part of SQL text can be loaded by itself"));
    }
    let target = &with_money(target, &expected.manifest).await?;
    let head = HeadFile::fetch(context, expected).await?;
    if !holdpoint_engine::can_be_loaded(head.head())? {
        return Err(cannot("the archive has names that cannot be said in UTF-8, so only the whole can be loaded"));
    }
    parallel::load_some(context, expected, &head, target, pg_restore, manner, only).await
}

/// Adds the recorded `lc_monetary` to a connection: without it, money does not read back.
///
/// Fails with [`Error::CouldNotRun`] where the server does not know that locale.
async fn with_money(target: &ConnectionSettings, manifest: &Manifest) -> Result<ConnectionSettings, Error> {
    let locale = &manifest.server.lc_monetary;
    if matches!(locale.as_str(), "C" | "POSIX" | "") {
        return Ok(target.clone());
    }
    let session = Session::connect(target, &SessionPurpose::new("holdpoint restore")).await?;
    let set = format!("SET lc_monetary = {}", holdpoint_core::name::quote_literal(locale));
    let known = session.run("setting lc_monetary", &set).await;
    session.close().await;
    match known {
        Ok(()) => Ok(target.with_appended_options(&format!("-c lc_monetary={}", locale.replace(' ', "\\ ")))),
        Err(error) => Err(Error::CouldNotRun {
            obstacles: vec![Obstacle {
                reason: format!("the source's lc_monetary {locale} is not known: {}", crate::error::chain(&error)),
                cure: format!("install locale {locale} (Debian: locales-all) on the target's server"),
            }],
        }),
    }
}

/// The program that restores a point: pg_restore for an archive, psql for SQL text.
pub(crate) fn restoring_program(manifest: &Manifest) -> ProgramName {
    match manifest.stored_as {
        PointFormat::Archive => ProgramName::PgRestore,
        PointFormat::Plain => ProgramName::Psql,
    }
}

/// Reads the archive back from the repository, checking every byte.
pub(crate) async fn read_archive(
    context: &Context,
    expected: &Expected,
    tee: Option<mpsc::Sender<bytes::Bytes>>,
    jobs: usize,
) -> Result<ReadBack, Error> {
    let archive = &expected.manifest.archive;
    let options = ReadBackOptions { codec: codec(&expected.manifest)?, jobs };
    let index = expected.records()?;
    let progress = context.progress.as_ref();
    if expected.manifest.stored_as == PointFormat::Plain {
        let reader = context.repository.store().read(&archive.key, None, None).await?;
        return Ok(read_back_plain(reader, archive, index, tee, progress, &context.cancel).await?);
    }
    let source = ArchiveSource::open(Arc::clone(context.repository.store()), &archive.key).await?;
    Ok(read_back(source, archive, index, &options, tee, progress, &context.cancel).await?)
}

/// How rows of a restored database, in which nobody writes, are digested.
fn digest_options(manifest: &Manifest, jobs: usize) -> DigestOptions {
    DigestOptions {
        jobs,
        encoding: manifest.server.encoding.clone(),
        lc_monetary: Some(manifest.server.lc_monetary.clone()),
        large_objects: Some(u64::MAX),
        quiet: true,
        one_at_a_time: false,
    }
}

fn codec(manifest: &Manifest) -> Result<Codec, Error> {
    manifest.codec.parse().map_err(|_| Error::Internal(format!("codec {} is unknown", manifest.codec)))
}

/// What a live database holds, as far as it is compared.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) contents: Contents,
}

/// Reads the contents that pg_dump would write for a database, without its rows.
///
/// pg_dump is stopped once its contents, which come first, are read.
pub(crate) async fn observe(
    context: &Context,
    settings: &ConnectionSettings,
    pg_dump: &ClientProgram,
    pg_options: &str,
) -> Result<Observed, Error> {
    let mut running = PgDump::new(pg_dump, settings, pg_options)
        .lock_wait_timeout(Duration::from_secs(30))
        .program()
        .await?
        .start()
        .map_err(holdpoint_postgres::Error::Process)?;
    let stdout = running.take_stdout().ok_or_else(|| Error::Internal("pg_dump has no stdout".to_owned()))?;
    let head = tokio::select! {
        head = read_head(stdout) => head,
        () = context.cancel.cancelled() => Err(holdpoint_engine::Error::Cancelled),
    };
    match head {
        Ok(stream) => {
            let contents = Contents::read(&stream.head)?;
            drop(stream);
            running.terminate_group(GRACE).await.ok();
            Ok(Observed { contents })
        }
        Err(error) => {
            let ended = running.wait_or_cancel(&context.cancel, GRACE).await;
            judge(pg_dump, ended.map_err(holdpoint_postgres::Error::Process)?)?;
            Err(error.into())
        }
    }
}

/// Compares rows of some tables of a database with what was recorded; gives the number of rows, and what differs.
pub(crate) async fn compare_some(
    context: &Context,
    expected: &Expected,
    tables: &[TableRecord],
    settings: &ConnectionSettings,
    jobs: usize,
) -> Result<(u64, Vec<Difference>), Error> {
    let options = DigestOptions { large_objects: None, ..digest_options(&expected.manifest, jobs) };
    let progress = Arc::clone(&context.progress);
    let live = digest_database(settings, tables, &options, progress, &context.cancel).await?;
    let rows = live.groups.values().map(|digest| digest.rows).sum();
    Ok((rows, compare_rows(&fingerprint::groups(tables), &live.groups)))
}

/// Compares rows, sequences and large objects of a database with what was recorded.
///
/// Tables whose `early` digest still holds are not read again.
pub(crate) async fn compare_data(
    context: &Context,
    expected: &Expected,
    observed: &Observed,
    early: Early,
    settings: &ConnectionSettings,
    jobs: usize,
) -> Result<(Compared, Vec<Difference>), Error> {
    let options = digest_options(&expected.manifest, jobs);
    let progress = Arc::clone(&context.progress);
    let known = early.still_true(settings, &expected.tables).await?;
    let left: Vec<TableRecord> =
        expected.tables.iter().filter(|table| !known.contains_key(&table.group)).cloned().collect();
    expected.tables.iter().filter(|table| known.contains_key(&table.group)).for_each(|table| {
        progress.advance(table.data_bytes);
    });
    let mut live = digest_database(settings, &left, &options, progress, &context.cancel).await?;
    live.groups.extend(known);
    let groups = fingerprint::groups(&expected.tables);
    let mut differences = compare_rows(&groups, &live.groups);
    differences.extend(compare_sequences(&expected.sequences, &observed.contents.sequences));
    differences.extend(compare_large_objects(&expected.large_objects, &live.large_objects));
    let compared = Compared {
        tables: expected.tables.len() as u64,
        rows: live.groups.values().map(|digest| digest.rows).sum(),
        sequences: expected.sequences.len() as u64,
        large_objects: expected.large_objects.len() as u64,
        objects: 0,
    };
    Ok((compared, differences))
}

/// What the proofs of a point say of its schema's texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Normal {
    /// The texts that the newest full proof found to be written differently after any restore; `None` without a proof.
    pub(crate) texts: Option<Vec<ObjectRecord>>,
    /// Verifications that cannot be read, in words.
    pub(crate) unreadable: Vec<String>,
}

/// Reads what the proofs of a point say of its schema's texts. Whoever changes something on the way to the comparison
/// reads it before.
pub(crate) async fn recorded_normal(context: &Context, point: &PointId) -> Result<Normal, Error> {
    let found = context.repository.verifications(&context.database, point).await?;
    let full = |one: &Verification| one.level >= Level::Full && one.verdict == Verdict::Proved;
    let texts = found.made.into_iter().rev().find(full).map(|one| one.normal);
    Ok(Normal { texts, unreadable: found.unreadable.into_iter().map(|one| one.reason).collect() })
}

/// The PGOPTIONS that pin the text form for children that connect to a database.
pub(crate) async fn pinned_options(settings: &ConnectionSettings) -> Result<String, Error> {
    let session = Session::connect(settings, &SessionPurpose::new("holdpoint compare")).await?;
    let form = session.pin_text_form().await?;
    session.close().await;
    Ok(form.pg_options())
}
