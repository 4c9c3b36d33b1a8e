//! Making a restore point, in the order that makes its success true.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use holdpoint_core::manifest::{
    ArchiveObject, FORMAT, LARGEST, Manifest, SnapshotFacts, StoredObject, Timings, Totals,
};
use holdpoint_core::progress::Phase;
use holdpoint_core::{PointId, layout};
use holdpoint_engine::Pace;
use holdpoint_postgres::catalog::{database, relations, roles};
use holdpoint_postgres::identity::ServerIdentity;
use holdpoint_postgres::programs::{ClientProgram, ProgramName};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, Snapshot};
use holdpoint_repository::{PutOptions, Uploaded};
use sha2::{Digest, Sha256};

use super::checks::{Checked, check, refuse_known_pooler};
use super::passage::StoredFacts;
use super::unpublished::{self, Unpublished};
use super::watch::{self, Watch};
use super::{BackupOptions, BackupReport, claim_folder, globals, limits, recipe};
use crate::{Context, Error, Source};

/// Makes a restore point of a live database and publishes it.
///
/// Success is returned only after pg_dump's exit status, the archive's own completeness, the completed upload and the
/// published manifest, in that order. On any failure nothing is published: the upload is aborted, children are ended,
/// and the error says what could not be removed. Memory: as the engine's and the upload's documentation say.
pub async fn backup(context: &Context, source: &Source, options: &BackupOptions) -> Result<BackupReport, Error> {
    let began = Instant::now();
    context.progress.phase(Phase::Preflight, None);
    refuse_known_pooler(source)?;
    let session = Session::connect(&source.settings, &SessionPurpose::new(watch::name(context.seed))).await?;
    let checked = check(context, source, options, &session).await?;
    let programs = Programs::find(context, source, &session).await?;
    let (jobs, pace) = limits::pace(&session, options).await?;
    let pace = Arc::new(pace);
    // What ends this backup alone must not end what else the caller does.
    let context = &Context { cancel: context.cancel.child_token(), ..context.clone() };
    let work = Backup { context, options, jobs, pace, programs, checked, began };
    // Boxed, as it is large: whoever awaits it may have little stack.
    Box::pin(work.run(session)).await
}

pub(super) struct Programs {
    pub(super) pg_dump: ClientProgram,
    pub(super) pg_dumpall: ClientProgram,
    pub(super) pg_restore: ClientProgram,
}

impl Programs {
    async fn find(context: &Context, source: &Source, session: &Session) -> Result<Self, Error> {
        let major = session.server().major;
        let find = |name| source.programs.find_for_server(name, major, source.client_major, &context.cancel);
        Ok(Self {
            pg_dump: find(ProgramName::PgDump).await?,
            pg_dumpall: find(ProgramName::PgDumpall).await?,
            pg_restore: find(ProgramName::PgRestore).await?,
        })
    }
}

pub(super) struct Backup<'a> {
    pub(super) context: &'a Context,
    pub(super) options: &'a BackupOptions,
    pub(super) jobs: usize,
    pub(super) pace: Arc<Pace>,
    pub(super) programs: Programs,
    pub(super) checked: Checked,
    pub(super) began: Instant,
}

/// What the snapshot's own session read.
pub(super) struct SourceFacts {
    pub(super) id: PointId,
    pub(super) snapshot: SnapshotFacts,
    pub(super) server: holdpoint_core::manifest::ServerFacts,
    pub(super) extensions: Vec<holdpoint_core::manifest::Extension>,
    pub(super) properties: holdpoint_core::manifest::DatabaseProperties,
    pub(super) roles: Vec<holdpoint_core::index::RoleRecord>,
    pub(super) database_bytes: u64,
    pub(super) filters: BTreeMap<u32, String>,
}

/// How often a snapshot is taken anew because a table was truncated or rewritten before it was locked.
const SNAPSHOTS: u32 = 3;

impl Backup<'_> {
    async fn run(mut self, mut session: Session) -> Result<BackupReport, Error> {
        let form = session.pin_text_form().await?;
        let settings = session.settings().clone();
        let mut snapshots = 1;
        let (snapshot, facts, stored) = loop {
            let held_since = Instant::now();
            let snapshot = Snapshot::export(session).await?;
            let facts = self.facts(&snapshot).await?;
            fits_a_manifest(&facts)?;
            self.context.progress.phase(Phase::SnapshotExported, None);
            let watch = Watch::new(self.context, &snapshot, self.options.limits, &self.pace, held_since);
            let stored = self.copy(&snapshot, &watch, &settings, &form.pg_options(), &facts).await;
            let warnings = watch.warnings();
            self.checked.warnings.extend(warnings);
            match stored {
                Err(Error::Engine(holdpoint_engine::Error::Rewritten { table })) if snapshots < SNAPSHOTS => {
                    let what = format!("{table} was truncated or rewritten while the backup began");
                    self.context.progress.note(&format!("{what}: beginning again"));
                    self.checked.warnings.push(format!("{what}: it began again with a new snapshot"));
                    session = snapshot.release().await?;
                    snapshots += 1;
                }
                Err(Error::Engine(error @ holdpoint_engine::Error::Rewritten { .. })) => {
                    return Err(Error::SourceChanged(error.to_string()));
                }
                stored => break (snapshot, facts, stored?),
            }
        };
        let engine = stored.facts.engine.clone();
        // Everything is read: vacuum and whoever waits may go on, whatever the store still takes.
        snapshot.release().await.ok();
        let stored = self.complete(stored).await?;
        let unpublished = Unpublished { context: self.context, format: self.options.format, id: &facts.id };
        let manifest = match self.described(&settings, &facts, stored).await {
            Ok(manifest) => manifest,
            Err(failure) => return Err(unpublished.clean(failure).await),
        };
        let manifest = match self.context.repository.publish(&manifest, self.options.retain_until).await {
            Ok(stored) => stored.manifest,
            Err(failure) => return Err(unpublished.clean_unless_asked(failure).await),
        };
        let took_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(BackupReport { manifest, engine, took_ms, warnings: self.checked.warnings })
    }

    async fn facts(&self, snapshot: &Snapshot) -> Result<SourceFacts, Error> {
        let session = snapshot.session();
        let filters = relations::configuration_tables(session).await?;
        Ok(SourceFacts {
            id: PointId::new(snapshot.taken_at(), self.context.seed),
            snapshot: SnapshotFacts {
                at: snapshot.taken_at(),
                wal_position: snapshot.wal_position().map(str::to_owned),
                timeline: snapshot.timeline(),
                standby: snapshot.in_recovery(),
            },
            server: database::server_facts(session).await?,
            extensions: database::extensions(session).await?,
            properties: database::properties(session).await?,
            roles: roles::list(session).await?,
            database_bytes: database::size_bytes(session).await?.unwrap_or(0),
            filters: filters.into_iter().filter_map(|table| Some((table.oid, table.condition?))).collect(),
        })
    }

    /// Stores what belongs to the archive, and describes everything; all that is left is to publish it.
    async fn described(
        &self,
        settings: &ConnectionSettings,
        facts: &SourceFacts,
        (stored, uploaded): (StoredFacts, Uploaded),
    ) -> Result<Manifest, Error> {
        let context = self.context;
        context.progress.phase(Phase::StoringIndex, None);
        let stored_for_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let globals = globals::globals(context, &self.programs.pg_dumpall, settings, &facts.properties).await?;
        let index = self.put(layout::index(&context.database, &facts.id), stored.index.bytes).await?;
        let globals = self.put(layout::globals(&context.database, &facts.id), globals.into()).await?;
        let contents = match stored.contents {
            Some(head) => Some(self.put(layout::contents(&context.database, &facts.id), head).await?),
            None => None,
        };
        let key = unpublished::data_key(self.options.format, &context.database, &facts.id);
        let url = context.repository.store().url();
        let manifest = Manifest {
            format: FORMAT,
            id: facts.id.clone(),
            database: context.database.clone(),
            repository_id: context.repository.id().to_owned(),
            holdpoint_version: env!("CARGO_PKG_VERSION").to_owned(),
            stored_as: self.options.format,
            identity: self.server().identity.clone(),
            server: facts.server.clone(),
            client_version: self.programs.pg_dump.to_string(),
            client_major: self.programs.pg_dump.version.major,
            snapshot: facts.snapshot.clone(),
            timings: Timings {
                started_at: self.checked.started_at,
                started_at_by_store: self.checked.started_at_by_store,
                stored_for_ms,
            },
            codec: stored.codec.to_string(),
            options: selection_words(&self.options.selection),
            not_covered: self.not_covered(),
            extensions: facts.extensions.clone(),
            database_properties: facts.properties.clone(),
            totals: Totals { database_bytes: facts.database_bytes, ..stored.totals },
            recipe: recipe::recipe(&url.object(&key), &url.object(&globals.key), self.options.format, &facts.server),
            archive: ArchiveObject {
                key,
                bytes: uploaded.size_bytes,
                head_bytes: stored.head_bytes,
                head_sha256: stored.head_sha256,
                root_sha256: stored.root_sha256,
                crc64nvme: Some(uploaded.crc64nvme.base64()),
                archive_version: stored.archive_version,
            },
            contents,
            index,
            globals,
            reason: self.options.reason.clone(),
            label: self.options.label.clone(),
            run: self.options.run.clone(),
        };
        context.progress.phase(Phase::PublishingManifest, None);
        if context.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        if self.checked.unclaimed {
            claim_folder(context, &self.server().identity, self.checked.started_at).await?;
        }
        Ok(manifest)
    }

    fn not_covered(&self) -> Vec<String> {
        let (client, server) = (self.programs.pg_dump.version.major, self.server().version.major);
        let mut list = self.checked.not_covered.clone();
        let selection = selection_words(&self.options.selection);
        if !selection.is_empty() {
            list.push(format!("everything but {}", selection.join(" ")));
        }
        if client > server {
            list.push(format!(
                "made by pg_dump {client} from PostgreSQL {server}: pg_restore {client} is needed, and it may not load \
                 into PostgreSQL {server}"
            ));
        }
        list
    }

    fn server(&self) -> &ServerIdentity {
        &self.checked.server
    }

    async fn put(&self, key: String, bytes: Bytes) -> Result<StoredObject, Error> {
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let length = bytes.len() as u64;
        self.context
            .repository
            .store()
            .put_new(&key, bytes, PutOptions { retain_until: self.options.retain_until })
            .await?;
        Ok(StoredObject { key, bytes: length, sha256 })
    }
}

/// Fails now, not after the copy, when what a manifest must hold of the database is more than one may have.
fn fits_a_manifest(facts: &SourceFacts) -> Result<(), Error> {
    let held = serde_json::to_vec(&(&facts.properties, &facts.extensions))
        .map_err(|error| Error::Internal(error.to_string()))?
        .len();
    if held > LARGEST / 4 * 3 {
        return Err(Error::TooManyProperties { held, limit: LARGEST });
    }
    Ok(())
}

fn selection_words(selection: &holdpoint_postgres::programs::DumpSelection) -> Vec<String> {
    let lists = [
        ("--schema", &selection.schemas),
        ("--exclude-schema", &selection.exclude_schemas),
        ("--table", &selection.tables),
        ("--exclude-table", &selection.exclude_tables),
        ("--exclude-table-data", &selection.exclude_table_data),
        ("--extension", &selection.extensions),
    ];
    lists.iter().flat_map(|(option, list)| list.iter().map(move |pattern| format!("{option}={pattern}"))).collect()
}
