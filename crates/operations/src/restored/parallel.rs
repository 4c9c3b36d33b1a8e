//! Restoring by several sessions: pg_restore for everything but rows, and rows by the engine's loader.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use holdpoint_archive::{EntryKind, Head, Section};
use holdpoint_core::progress::Phase;
use holdpoint_engine::{ArchiveSource, DigestOptions, LoadOptions, ReadBack, ReadBackOptions, load};
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::programs::{ClientProgram, PgRestore, RestoreSection};

use super::tuning::Tuning;
use super::{Early, HeadFile, Manner, TargetKind, codec, digest_options, owned};
use crate::expected::Expected;
use crate::{Context, Error};

/// The entries of the data section that have no block: statements, which pg_restore runs by themselves; and what must not
/// run before the rows are in.
#[derive(Debug, Default, PartialEq, Eq)]
struct Statements {
    /// Needed by the rows: large objects are created.
    before: Vec<i32>,
    /// Positions of sequences, grants and comments on large objects, statistics.
    after: Vec<i32>,
    /// Grants on what the pre-data section makes. pg_restore, when it restores all in one, grants after the rows: an owner
    /// may have taken its own right to write away.
    grants: Vec<i32>,
}

impl Statements {
    /// Finds them as pg_restore's `--section` counts them: entries without a section of their own belong to the one
    /// before (`ProcessArchiveRestoreOptions` in pg_backup_archiver.c).
    fn of(head: &Head) -> Self {
        let mut found = Self::default();
        let mut section = Section::PreData;
        for entry in head.entries() {
            if entry.section != Section::None {
                section = entry.section;
            }
            if section == Section::PreData && entry.description.as_ref() == b"ACL" {
                found.grants.push(entry.dump_id);
            }
            if section == Section::Data && !entry.has_data {
                match entry.kind() {
                    EntryKind::LargeObjectMetadata => found.before.push(entry.dump_id),
                    _ => found.after.push(entry.dump_id),
                }
            }
        }
        found
    }
}

/// Restores an archive: its pre-data section, rows and large objects by `jobs` sessions, what else is in the data
/// section, the post-data section by `jobs` sessions.
///
/// On a scratch server rows are digested while indexes are made. On failure the target holds a part of it.
pub(super) async fn restore(
    context: &Context,
    expected: &Expected,
    head: &HeadFile,
    target: &ConnectionSettings,
    pg_restore: &ClientProgram,
    manner: &Manner,
) -> Result<(ReadBack, Early), Error> {
    let total: u64 = expected.tables.iter().map(|table| table.data_bytes).sum();
    let largest = expected.tables.iter().map(|table| table.data_bytes).max().unwrap_or(0);
    let one_table = largest.saturating_mul(manner.jobs as u64) > total;
    let tuning = Tuning::choose(target, manner.jobs, one_table).await?;
    let statements = Statements::of(head.head());
    let run = async |call: PgRestore, settings: &[(String, String)]| {
        let call = if manner.lesser_role { call.keep_going() } else { call };
        let ran = call.run_into(target, &Tuning::options(settings), &context.cancel).await;
        ran.map_err(|error| match error {
            error if error.is_cancelled() => Error::Interrupted,
            holdpoint_postgres::Error::ProgramFailed { stderr_tail, .. } if manner.lesser_role => {
                Error::CouldNotRun { obstacles: crate::verify::refused(&stderr_tail) }
            }
            error => error.into(),
        })
    };
    let call = || owned(PgRestore::of_file(pg_restore, head.path()), manner.ownership, false);
    let run_listed = async |ids: &[i32]| {
        if ids.is_empty() {
            return Ok(());
        }
        let list = list_file(ids)?;
        run(call().use_list(list.path()), &tuning.session).await
    };
    run(call().section(RestoreSection::PreData).no_privileges(), &tuning.session).await?;
    run_listed(&statements.before).await?;
    let read = rows(context, expected, target, manner, &tuning, None).await?;
    run_listed(&statements.after).await?;
    if !manner.ownership.no_privileges {
        run_listed(&statements.grants).await?;
    }
    context.progress.phase(Phase::BuildingIndexes, None);
    let jobs = u32::try_from(manner.jobs.max(1)).unwrap_or(1);
    let settings = [tuning.session.as_slice(), tuning.indexes.as_slice()].concat();
    let options =
        DigestOptions { large_objects: None, one_at_a_time: true, ..digest_options(&expected.manifest, manner.jobs) };
    let post_data = run(call().section(RestoreSection::PostData).jobs(jobs), &settings);
    // A key is made under a lock that no reader shares: with one table both would only wait for each other. And who
    // waits for a new database is served by its indexes first.
    if one_table || manner.target == TargetKind::New {
        post_data.await?;
        return Ok((read, Early::default()));
    }
    let (made, early) = tokio::join!(post_data, Early::digest(context, target, &expected.tables, &options));
    made?;
    // What failed here is tried again when everything is compared, and says so there.
    Ok((read, early.unwrap_or_default()))
}

/// Makes the pre-data section, reads the whole archive back and loads the rows of some tables.
pub(super) async fn load_some(
    context: &Context,
    expected: &Expected,
    head: &HeadFile,
    target: &ConnectionSettings,
    pg_restore: &ClientProgram,
    manner: &Manner,
    only: &BTreeSet<i32>,
) -> Result<ReadBack, Error> {
    let tuning = Tuning::choose(target, manner.jobs, false).await?;
    let call = owned(PgRestore::of_file(pg_restore, head.path()), manner.ownership, false);
    let call = call.section(RestoreSection::PreData);
    call.run_into(target, &Tuning::options(&tuning.session), &context.cancel).await?;
    rows(context, expected, target, manner, &tuning, Some(only)).await
}

async fn rows(
    context: &Context,
    expected: &Expected,
    target: &ConnectionSettings,
    manner: &Manner,
    tuning: &Tuning,
    only: Option<&BTreeSet<i32>>,
) -> Result<ReadBack, Error> {
    let archive = &expected.manifest.archive;
    let table_bytes: BTreeMap<i32, u64> =
        expected.tables.iter().map(|table| (table.dump_id, table.data_bytes)).collect();
    let options = LoadOptions {
        read: ReadBackOptions { codec: codec(&expected.manifest)?, jobs: manner.jobs },
        session: tuning.session.clone(),
        freeze: tuning.freeze,
        only: only.cloned(),
        table_bytes,
    };
    context.progress.phase(Phase::LoadingRows, Some(expected.manifest.totals.data_bytes));
    let source = ArchiveSource::open(Arc::clone(context.repository.store()), &archive.key).await?;
    let index = expected.records()?;
    let loaded = load(source, archive, index, target, &options, &context.progress, &context.cancel).await;
    loaded.map_err(|error| match error {
        holdpoint_engine::Error::Cancelled => Error::Interrupted,
        error => error.into(),
    })
}

/// Writes a list file for pg_restore, which reads the number at the beginning of each line.
fn list_file(ids: &[i32]) -> Result<tempfile::NamedTempFile, Error> {
    let io = |source| Error::Io { what: "writing a list of entries to a temporary file".to_owned(), source };
    let mut file = tempfile::NamedTempFile::new().map_err(io)?;
    let lines: String = ids.iter().map(|id| format!("{id};\n")).collect();
    file.write_all(lines.as_bytes()).map_err(io)?;
    Ok(file)
}
