//! Restoring an archive from the repository into a database, and comparing what came out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use holdpoint_archive::Codec;
use holdpoint_core::PointId;
use holdpoint_core::fingerprint::{
    self, Aspect, Difference, compare_large_objects, compare_maps, compare_rows, compare_sequences, object_name,
};
use holdpoint_core::index::ObjectRecord;
use holdpoint_core::manifest::{Manifest, PointFormat};
use holdpoint_core::verification::{Compared, Level, Obstacle, Verdict, Verification};
use holdpoint_engine::{
    Contents, DigestOptions, ReadBack, ReadBackOptions, digest_database, read_back, read_back_plain, read_head,
};
use holdpoint_postgres::programs::{ClientProgram, PgDump, PgRestore, ProgramName, Psql, judge};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::expected::Expected;
use crate::{Context, Error};

/// Chunks that may wait for pg_restore.
const TEE: usize = 4;
const GRACE: Duration = Duration::from_secs(5);

/// How pg_restore is asked to restore.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ownership {
    pub(crate) no_owner: bool,
    pub(crate) no_privileges: bool,
    /// All or nothing.
    pub(crate) one_transaction: bool,
}

/// Up to this many objects are restored in one transaction: each takes a lock or two, and the smallest lock table that
/// servers have by default holds 6,400.
pub(crate) const ONE_TRANSACTION_OBJECTS: usize = 2000;

/// Streams a point from the repository into pg_restore (or psql, for SQL text), checked on its way.
///
/// Nothing of it touches the local disk. On failure the target holds a part of the data.
pub(crate) async fn restore_archive(
    context: &Context,
    expected: &Expected,
    target: &ConnectionSettings,
    client: &ClientProgram,
    ownership: Ownership,
    jobs: usize,
) -> Result<ReadBack, Error> {
    let plain = expected.manifest.stored_as == PointFormat::Plain;
    let target = &with_money(target, &expected.manifest).await?;
    let program = if plain {
        script(client, target, ownership)?.piped()
    } else {
        archive(client, ownership).into_database(target, "")
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

fn archive(pg_restore: &ClientProgram, ownership: Ownership) -> PgRestore {
    let mut call = PgRestore::of_stdin(pg_restore).no_tablespaces();
    if ownership.no_owner {
        call = call.no_owner();
    }
    if ownership.no_privileges {
        call = call.no_privileges();
    }
    if ownership.one_transaction {
        call = call.single_transaction();
    }
    call
}

/// SQL text cannot leave owners or grants out: they are statements like all others.
fn script(psql: &ClientProgram, target: &ConnectionSettings, ownership: Ownership) -> Result<Psql, Error> {
    if ownership.no_owner || ownership.no_privileges {
        return Err(Error::Usage("a restore point stored as SQL text cannot leave owners or grants out".to_owned()));
    }
    let call = Psql::new(psql, target);
    Ok(if ownership.one_transaction { call.single_transaction() } else { call })
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
    let codec: Codec = expected
        .manifest
        .codec
        .parse()
        .map_err(|_| Error::Internal(format!("codec {} is unknown", expected.manifest.codec)))?;
    let reader = context.repository.store().read(&archive.key, None, None).await?;
    let options = ReadBackOptions { codec, jobs };
    let index = expected.records()?;
    let progress = context.progress.as_ref();
    if expected.manifest.stored_as == PointFormat::Plain {
        return Ok(read_back_plain(reader, archive, index, tee, progress, &context.cancel).await?);
    }
    Ok(read_back(reader, archive, index, &options, tee, progress, &context.cancel).await?)
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

/// Compares rows, sequences and large objects of a database with what was recorded.
pub(crate) async fn compare_data(
    context: &Context,
    expected: &Expected,
    observed: &Observed,
    settings: &ConnectionSettings,
    jobs: usize,
) -> Result<(Compared, Vec<Difference>), Error> {
    let options = DigestOptions {
        jobs,
        encoding: expected.manifest.server.encoding.clone(),
        lc_monetary: Some(expected.manifest.server.lc_monetary.clone()),
        large_objects: true,
    };
    let progress = Arc::clone(&context.progress);
    let live = digest_database(settings, &expected.tables, &options, progress, &context.cancel).await?;
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

/// Schema objects by their name; several entries may share one.
type ByName<'a> = BTreeMap<String, Vec<&'a ObjectRecord>>;

fn by_name(objects: &[ObjectRecord]) -> ByName<'_> {
    let mut map: ByName<'_> = BTreeMap::new();
    for object in objects {
        map.entry(object_name(object)).or_default().push(object);
    }
    map.values_mut().for_each(|list| list.sort());
    map
}

/// How schema objects differ.
#[derive(Clone, Debug, Default)]
pub(crate) struct SchemaDifferences {
    /// Same name, same owner, other text.
    pub(crate) text: Vec<Difference>,
    /// Missing, added, or of another owner.
    pub(crate) other: Vec<Difference>,
}

impl SchemaDifferences {
    /// All of them.
    pub(crate) fn all(self) -> Vec<Difference> {
        [self.other, self.text].concat()
    }
}

/// Compares schema objects of a restored database with what was recorded.
///
/// `normal` are the objects as any restore of the archive writes them: PostgreSQL rewrites some texts once (`IN` lists,
/// `BETWEEN`), so where only the text differs from what was recorded, equal to *that* is equal. Names and owners must
/// always be as recorded.
pub(crate) fn compare_schema(
    expected: &[ObjectRecord],
    observed: &[ObjectRecord],
    normal: Option<&[ObjectRecord]>,
) -> SchemaDifferences {
    let normal = normal.map(by_name).unwrap_or_default();
    let recorded = by_name(expected);
    let observed = by_name(observed);
    let owners = |list: &[&ObjectRecord]| -> Vec<Option<String>> { list.iter().map(|one| one.owner.clone()).collect() };
    let same_owners = |name: &String| match (recorded.get(name), observed.get(name)) {
        (Some(was), Some(is)) => owners(was) == owners(is),
        _ => false,
    };
    let mut accepted = recorded.clone();
    for (name, rewritten) in &normal {
        if same_owners(name) && observed.get(name) == Some(rewritten) {
            accepted.insert(name.clone(), rewritten.clone());
        }
    }
    let differences = compare_maps(Aspect::Object, &accepted, &observed, |list| {
        let one = |object: &&ObjectRecord| {
            let text = object.sha256.get(..12).unwrap_or(&object.sha256);
            object.owner.as_ref().map_or_else(|| format!("text {text}"), |owner| format!("owner {owner}, text {text}"))
        };
        list.iter().map(one).collect::<Vec<_>>().join("; ")
    });
    let (text, other) = differences.into_iter().partition(|difference| same_owners(&difference.name));
    SchemaDifferences { text, other }
}

/// Leaves out of a restored part of a database the rows that were not asked for: its tables are there, empty, and a dump
/// of them has entries that the part has not.
pub(crate) fn leave_out_unasked(manifest: &Manifest, expected: &[ObjectRecord], observed: &mut Vec<ObjectRecord>) {
    if manifest.options.is_empty() {
        return;
    }
    let asked: BTreeSet<String> = expected.iter().map(object_name).collect();
    observed.retain(|object| object.description != "TABLE DATA" || asked.contains(&object_name(object)));
}

/// The objects of `normal` whose names are written differently than recorded: what a later restore compares with.
pub(crate) fn rewritten(expected: &[ObjectRecord], normal: &[ObjectRecord]) -> Vec<ObjectRecord> {
    let recorded = by_name(expected);
    let changed = |name: &String, list: &Vec<&ObjectRecord>| recorded.get(name).is_some_and(|was| was != list);
    let normal = by_name(normal).into_iter().filter(|(name, list)| changed(name, list));
    normal.flat_map(|(_, list)| list.into_iter().cloned()).collect()
}

/// The texts that the newest full proof of a point found to be written differently after any restore; `None` without a
/// proof.
pub(crate) async fn recorded_normal(context: &Context, point: &PointId) -> Result<Option<Vec<ObjectRecord>>, Error> {
    let verifications = context.repository.verifications(&context.database, point).await?;
    let full = |one: &Verification| one.level >= Level::Full && one.verdict == Verdict::Proved;
    Ok(verifications.into_iter().rev().find(full).map(|one| one.normal))
}

/// The PGOPTIONS that pin the text form for children that connect to a database.
pub(crate) async fn pinned_options(settings: &ConnectionSettings) -> Result<String, Error> {
    let session = Session::connect(settings, &SessionPurpose::new("holdpoint compare")).await?;
    let form = session.pin_text_form().await?;
    session.close().await;
    Ok(form.pg_options())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(tag: &str, owner: &str, sha256: &str) -> ObjectRecord {
        ObjectRecord {
            description: "CHECK CONSTRAINT".into(),
            namespace: Some("public".into()),
            tag: tag.into(),
            owner: Some(owner.into()),
            sha256: sha256.into(),
        }
    }

    #[test]
    fn a_text_that_every_restore_rewrites_is_equal() {
        let recorded = [object("c", "app", "IN list"), object("d", "app", "same")];
        let rewritten = [object("c", "app", "ANY array"), object("d", "app", "same")];
        let plain = compare_schema(&recorded, &rewritten, None);
        assert_eq!((plain.text.len(), plain.other.len()), (1, 0));
        assert!(compare_schema(&recorded, &rewritten, Some(&rewritten)).all().is_empty());
        let kept = super::rewritten(&recorded, &rewritten);
        assert_eq!(kept, rewritten[..1], "only what changed is kept");
        assert!(compare_schema(&recorded, &rewritten, Some(&kept)).all().is_empty());
    }

    #[test]
    fn a_change_of_text_owner_or_presence_is_never_excused() {
        let recorded = [object("c", "app", "IN list")];
        let rewritten = [object("c", "app", "ANY array")];
        let other = [object("c", "app", "something else")];
        assert_eq!(compare_schema(&recorded, &other, Some(&rewritten)).text.len(), 1);
        let stolen = [object("c", "eve", "ANY array")];
        assert_eq!(compare_schema(&recorded, &stolen, Some(&stolen)).other.len(), 1);
        assert_eq!(compare_schema(&recorded, &[], Some(&[])).other.len(), 1, "missing from every restore is missing");
        assert_eq!(compare_schema(&recorded, &[], Some(&rewritten)).other.len(), 1);
        assert_eq!(compare_schema(&[], &recorded, Some(&recorded)).other.len(), 1, "added by every restore is added");
    }
}
