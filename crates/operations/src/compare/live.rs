//! The side that is a live database, read in one snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use holdpoint_archive::Head;
use holdpoint_core::index::LargeObjectRecord;
use holdpoint_core::manifest::{DatabaseProperties, Extension};
use holdpoint_engine::{Contents, DigestOptions, HeldSnapshot, digest_snapshot, read_head};
use holdpoint_postgres::catalog::database;
use holdpoint_postgres::identity;
use holdpoint_postgres::preflight;
use holdpoint_postgres::programs::{Cause, ClientProgram, PgDump, ProgramName, judge};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, Snapshot};

use super::parts::LeftOut;
use super::read_plan::{self, ReadPlan};
use super::recorded::Recorded;
use super::tables::TableNow;
use super::{CompareError, CompareOptions, Side, SideKind, large_objects};
use crate::backup::folder_owner;
use crate::{Context, Error, Source};

const GRACE: Duration = Duration::from_secs(5);
/// A connection that says nothing for longer may be forgotten on its way.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const PURPOSE: &str = "holdpoint compare";

/// What a live database held in a snapshot.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) side: Side,
    pub(super) head: Head,
    /// The major of the pg_dump that wrote it.
    pub(super) client_major: u32,
    pub(super) contents: Contents,
    pub(super) tables: BTreeMap<String, TableNow>,
    pub(super) large_objects: Option<Vec<LargeObjectRecord>>,
    pub(super) properties: DatabaseProperties,
    pub(super) extensions: Vec<Extension>,
    /// The tables, by OID, that were read with all their rows and columns.
    pub(super) read: BTreeSet<u32>,
    pub(super) not_read: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// The snapshot that everything is read in.
pub(super) struct Held {
    pub(super) side: Side,
    pub(super) snapshot: Snapshot,
    pub(super) settings: ConnectionSettings,
    pub(super) pg_options: String,
    pub(super) lock_wait: Duration,
    pub(super) notes: Vec<String>,
}

/// Connects and exports a snapshot; with `owner`, the database must be the one that its folder belongs to.
pub(super) async fn hold(source: &Source, owner: Option<&Context>, lock_wait: Duration) -> Result<Held, Error> {
    crate::backup::direct(source).await?;
    let session = Session::connect(&source.settings, &SessionPurpose::new(PURPOSE)).await?;
    let mut notes = Vec::new();
    if let Some(context) = owner {
        let identity = identity::read(&session).await?.identity;
        if let crate::backup::FolderOwner::Ours(warning) = folder_owner(context, &identity).await? {
            notes.extend(warning);
        }
    }
    let form = session.pin_text_form().await?;
    let settings = session.settings().with_application_name(PURPOSE);
    let snapshot = Snapshot::export(session).await?;
    let side = Side {
        kind: SideKind::Database,
        name: source.settings.redacted(),
        at: snapshot.taken_at(),
        server_version: snapshot.session().server().text.clone(),
    };
    Ok(Held { side, snapshot, settings, pg_options: form.pg_options(), lock_wait, notes })
}

impl Held {
    /// The snapshot, for sessions that read in it.
    pub(super) fn for_readers(&self) -> HeldSnapshot {
        HeldSnapshot { id: self.snapshot.id().to_owned(), lock_wait: self.lock_wait }
    }

    /// Does some work while the snapshot's connection is kept alive; its loss ends the work, and is what its failure is
    /// told as.
    pub(super) async fn during<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let watch = async {
            loop {
                tokio::time::sleep(KEEP_ALIVE).await;
                if let Some(lost) = self.lost().await {
                    return lost;
                }
            }
        };
        tokio::select! {
            outcome = work => match outcome {
                Ok(done) => Ok(done),
                // Without the snapshot others only say that there is none.
                Err(error) => Err(self.lost().await.unwrap_or(error)),
            },
            lost = watch => Err(lost),
        }
    }

    /// How the connection was lost, where it is; a transaction that a statement's failure ended only repeats that.
    async fn lost(&self) -> Option<Error> {
        let failed = self.snapshot.ping().await.err()?;
        (failed.sqlstate() != Some("25P02")).then(|| failed.into())
    }
}

/// Reads a live database beside a restore point.
pub(super) async fn read(
    context: &Context,
    source: &Source,
    own: bool,
    then: &Recorded,
    options: &CompareOptions,
) -> Result<Live, Error> {
    let held = hold(source, own.then_some(context), options.lock_wait).await?;
    let read = held.during(read_held(context, source, &held, then, options)).await;
    match read {
        Ok(live) => {
            held.snapshot.release().await?.close().await;
            Ok(live)
        }
        Err(_) if context.cancel.is_cancelled() => Err(Error::Interrupted),
        Err(error) => Err(error),
    }
}

async fn read_held(
    context: &Context,
    source: &Source,
    held: &Held,
    then: &Recorded,
    options: &CompareOptions,
) -> Result<Live, Error> {
    let session = held.snapshot.session();
    must_read_everything(session, then).await?;
    let manifest = &then.expected.manifest;
    let mut notes = held.notes.clone();
    let pg_dump = pg_dump(context, source, session.server().major, manifest.client_major, &mut notes).await?;
    let client_major = pg_dump.version.major;
    let head = contents(context, held, &pg_dump).await?;
    let contents = Contents::read(&head)?;
    let sizes = read_plan::sizes(session).await?;
    let plan = ReadPlan::make(then, &contents, &sizes, options.quick);
    let mut not_read = Vec::new();
    let large_objects = wanted_large_objects(session, then, options, &mut not_read).await?;
    let digest = DigestOptions {
        jobs: options.jobs,
        encoding: manifest.server.encoding.clone(),
        lc_monetary: Some(manifest.server.lc_monetary.clone()),
        large_objects,
        quiet: false,
        one_at_a_time: true,
    };
    let progress = Arc::clone(&context.progress);
    let snapshot = held.for_readers();
    let mut found =
        digest_snapshot(&held.settings, &snapshot, &plan.digested, &plan.counted, &digest, progress, &context.cancel)
            .await?;
    let mut objects = std::mem::take(&mut found.large_objects);
    not_read.extend(large_objects::unread_as_recorded(&mut objects, &then.expected.large_objects));
    Ok(Live {
        side: held.side.clone(),
        head,
        client_major,
        read: plan.read(&found),
        tables: plan.tables(&found, held.lock_wait),
        large_objects: large_objects.map(|_| objects),
        properties: database::properties(session).await?,
        extensions: database::extensions(session).await?,
        contents,
        not_read,
        notes,
    })
}

/// Fails where rights or row security would hide rows: what cannot be read cannot be called equal.
async fn must_read_everything(session: &Session, then: &Recorded) -> Result<(), Error> {
    if !then.expected.manifest.options.is_empty() {
        // A part was asked for; pg_dump and COPY refuse what cannot be read of it.
        return Ok(());
    }
    let role = holdpoint_postgres::catalog::roles::own_rights(session).await?.name;
    let objects: Vec<String> =
        preflight::unreadable_relations(session).await?.into_iter().map(|relation| relation.name).collect();
    if !objects.is_empty() {
        return Err(Error::CannotRead { role, objects, grant: None });
    }
    let tables: Vec<String> = preflight::filtered_tables(session).await?.into_iter().map(|table| table.name).collect();
    if tables.is_empty() { Ok(()) } else { Err(Error::RowSecurity { role, tables }) }
}

/// How many bytes of large objects are read, where they are; what keeps from it is told.
async fn wanted_large_objects(
    session: &Session,
    then: &Recorded,
    options: &CompareOptions,
    not_read: &mut Vec<String>,
) -> Result<Option<u64>, Error> {
    if LeftOut::of(&then.expected.manifest.options).large_objects {
        return Ok(None);
    }
    match preflight::unreadable_large_objects(session).await? {
        Some(hidden) => {
            let owners = hidden.owners.join(", ");
            not_read.push(format!("large objects: {} of {owners} cannot be read by this role", hidden.count));
            Ok(None)
        }
        None => Ok(Some(options.quick.unwrap_or(u64::MAX))),
    }
}

/// Finds the pg_dump that writes as the one that made the restore point did, where it is here.
async fn pg_dump(
    context: &Context,
    source: &Source,
    major: u32,
    recorded: u32,
    notes: &mut Vec<String>,
) -> Result<ClientProgram, Error> {
    let find = |wanted| source.programs.find_for_server(ProgramName::PgDump, major, wanted, &context.cancel);
    if recorded > major
        && let Ok(same) = find(Some(recorded)).await
    {
        return Ok(same);
    }
    let found = find(source.client_major).await?;
    if found.version.major != recorded {
        notes.push(format!(
            "definitions are written by pg_dump {} now and were by pg_dump {recorded}: some may differ in form alone",
            found.version.major
        ));
    }
    Ok(found)
}

/// Reads what pg_dump would write before any rows, in the snapshot; then pg_dump is ended and its locks are gone.
async fn contents(context: &Context, held: &Held, pg_dump: &ClientProgram) -> Result<Head, Error> {
    let mut running = PgDump::new(pg_dump, &held.settings, &held.pg_options)
        .snapshot(held.snapshot.id())
        .lock_wait_timeout(held.lock_wait)
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
            let head = Head::clone(&stream.head);
            drop(stream);
            running.terminate_group(GRACE).await.ok();
            Ok(head)
        }
        Err(error) => {
            let ended = running.wait_or_cancel(&context.cancel, GRACE).await;
            match judge(pg_dump, ended.map_err(holdpoint_postgres::Error::Process)?) {
                Ok(_) => Err(error.into()),
                Err(failed) => Err(locked(failed, held.lock_wait)),
            }
        }
    }
}

/// Tells a lock that somebody else kept from other failures of pg_dump.
fn locked(failed: holdpoint_postgres::Error, waited: Duration) -> Error {
    match &failed {
        holdpoint_postgres::Error::ProgramFailed { cause, .. } if **cause == Cause::LockTimeout => {
            CompareError::Locked { seconds: waited.as_secs(), source: Box::new(failed) }.into()
        }
        _ => failed.into(),
    }
}
