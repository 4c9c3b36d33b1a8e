//! A snapshot of the instance that a database is on, recorded as a restore point in the database's folder.
//!
//! The snapshot's tags say of which restore point it is before the manifest does, so that a killed `rds snapshot create` is
//! gone on with by the same command. The manifest is written when the snapshot is available.

use chrono::{DateTime, Utc};
use holdpoint_core::recorded::{FORMAT, SnapshotFacts};
use holdpoint_core::{DatabaseName, Identity, PointId, PointKind, Recorded, SnapshotManifest};
use holdpoint_postgres::{Session, SessionPurpose, identity, preflight};
use holdpoint_rds::{Error as Rds, Snapshot, marks};
use serde::Serialize;

use super::ControlPlane;
use super::left::Made;
use super::serving::serves_another;
use super::snapshots::finished;
use crate::backup::{Clocks, FolderOwner, claim_folder, folder_owner, shell};
use crate::{Context, Error, Source};

/// How a snapshot is made and recorded.
#[derive(Clone, Debug)]
pub struct RecordOptions {
    /// The instance.
    pub instance: String,
    /// The snapshot's name.
    pub name: String,
    /// Why it is made.
    pub reason: Option<String>,
    /// Whether its end is waited for; without that it is not recorded yet.
    pub waits: bool,
    /// Until when the store keeps its manifest at least.
    pub retain_until: Option<DateTime<Utc>>,
}

/// A snapshot that was made.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotMade {
    /// The snapshot.
    #[serde(flatten)]
    pub snapshot: Snapshot,
    /// The restore point that it is recorded as; `None` where it is none.
    pub point: Option<PointId>,
    /// What is worth knowing.
    pub remarks: Vec<String>,
}

/// What the server told right before the snapshot was asked for.
struct Asked {
    identity: Identity,
    version: String,
    at: DateTime<Utc>,
    at_by_store: Option<DateTime<Utc>>,
    unclaimed: bool,
}

/// Makes a snapshot of the instance that a database is on, waits for it and records it as a restore point of that database; or
/// goes on where a process that is gone began.
///
/// # Errors
/// [`Error::AnotherInstance`], [`Error::AnotherDatabase`]: nothing is made. What RDS refuses, and how the snapshot ended. After
/// a failure that leaves one behind, the error says so.
pub async fn create_recorded(
    plane: &ControlPlane,
    context: &Context,
    source: &Source,
    options: &RecordOptions,
) -> Result<SnapshotMade, Error> {
    let (asked, mut remarks) = ask(plane, context, source, options).await?;
    let id = PointId::new(asked.at, context.seed);
    let tags = tags(context, &id);
    if context.cancel.is_cancelled() {
        return Err(Error::Interrupted);
    }
    // Not ended in the middle: what RDS has heard of is to be known.
    let made = plane.rds.create_snapshot_of_point(&options.instance, &options.name, &tags, (plane.clock)());
    let (made, id, asked) = match made.await {
        Ok(made) => (made, id, asked),
        Err(error @ Rds::NameTaken { .. }) => {
            let Some((begun, id)) = begun(plane, context, options).await? else { return Err(error.into()) };
            remarks.push(format!("{} was begun before, for {id}", begun.name));
            // What its id says is all that is left of when it was asked for.
            let asked = Asked { at: id.at(), at_by_store: None, ..asked };
            (begun, id, asked)
        }
        Err(error) => return Err(plane.may_be_left(Made::Snapshot, &options.name, error.into())),
    };
    if !options.waits {
        remarks.push(format!("it is no restore point yet; once it is available: {}", again(context, options)));
        return Ok(SnapshotMade { snapshot: made, point: None, remarks });
    }
    let recorded = async {
        let snapshot = finished(plane, made, true).await?;
        let also = publish(plane, context, options, &snapshot, &id, asked).await?;
        Ok((snapshot, also))
    };
    match Box::pin(recorded).await {
        Ok((snapshot, also)) => {
            remarks.extend(also);
            Ok(SnapshotMade { snapshot, point: Some(id), remarks })
        }
        // What another process recorded is nothing to be dropped.
        Err(Error::Rds(error)) if matches!(*error, Rds::NameTaken { .. }) => Err(Error::Rds(error)),
        Err(failure) => {
            let (name, region) = (&options.name, plane.rds.region());
            let remains = format!(
                "the snapshot {name} in {region} may be there, costs, and is no restore point yet: {}; or drop it: holdpoint rds snapshot \
                 drop {name}",
                again(context, options)
            );
            Err(Error::LeftBehind { failure: Box::new(failure), remains })
        }
    }
}

/// The command that goes on with it.
fn again(context: &Context, options: &RecordOptions) -> String {
    let RecordOptions { instance, name, reason, .. } = options;
    let reason = reason.as_ref().map(|reason| format!(" --reason {}", shell(reason))).unwrap_or_default();
    format!("holdpoint rds snapshot create {instance} --name {name} --database {}{reason}", context.database)
}

async fn ask(
    plane: &ControlPlane,
    context: &Context,
    source: &Source,
    options: &RecordOptions,
) -> Result<(Asked, Vec<String>), Error> {
    let instance = plane.unless_ended(plane.rds.lone_instance(&options.instance)).await?;
    if let Some(why) = serves_another(instance.endpoint.as_ref(), &source.settings).await? {
        let (instance, database) = (instance.name, source.settings.redacted());
        return Err(Error::AnotherInstance { instance, database, why });
    }
    let session = Session::connect(&source.settings, &SessionPurpose::new("holdpoint rds snapshot")).await?;
    let server = identity::read(&session).await?;
    let at = preflight::clock(&session).await?;
    session.close().await;
    let clocks = Clocks::read(context, at).await?;
    let mut remarks = clocks.warnings()?;
    let owner = folder_owner(context, &server.identity).await?;
    let unclaimed = owner == FolderOwner::Nobody;
    if let FolderOwner::Ours(warning) = owner {
        remarks.extend(warning);
    }
    let version = server.version.text;
    let asked = Asked { identity: server.identity, version, at, at_by_store: clocks.store, unclaimed };
    Ok((asked, remarks))
}

/// By which a snapshot is known as that of a restore point.
pub(super) fn tags(context: &Context, id: &PointId) -> marks::Tags {
    tags_of(&context.database, context.repository.id(), id)
}

/// As [`tags`], of any folder.
pub(super) fn tags_of(database: &DatabaseName, repository: &str, id: &PointId) -> marks::Tags {
    [(marks::POINT, id.as_str()), (marks::FOLDER, database.as_str()), (marks::REPOSITORY, repository)]
        .map(|(key, value)| (key.to_owned(), marks::value(value)))
        .into()
}

/// The restore point of this folder whose snapshot it is, by its tags.
pub(super) fn point_of(context: &Context, snapshot: &Snapshot) -> Option<PointId> {
    let id: PointId = snapshot.tags.get(marks::POINT)?.parse().ok()?;
    let all = tags(context, &id);
    let same = all.iter().all(|(key, value)| snapshot.tags.get(key) == Some(value));
    (snapshot.is_ours && same).then_some(id)
}

/// A snapshot of the name that a process which is gone made for this folder, of the same instance.
async fn begun(
    plane: &ControlPlane,
    context: &Context,
    options: &RecordOptions,
) -> Result<Option<(Snapshot, PointId)>, Error> {
    let find = async {
        let snapshot = plane.rds.snapshot(&options.name).await?;
        let instance = plane.rds.instance(&options.instance).await?;
        Ok((snapshot, instance))
    };
    let (snapshot, instance) = plane.unless_ended(find).await?;
    let of_it = snapshot.resource_id == instance.resource_id;
    let id = point_of(context, &snapshot).filter(|_| of_it);
    Ok(match id {
        // One that is recorded is a name that is taken.
        Some(id) if !is_recorded(context, &id).await? => Some((snapshot, id)),
        _ => None,
    })
}

async fn is_recorded(context: &Context, id: &PointId) -> Result<bool, Error> {
    match context.repository.hidden(&context.database, id).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn publish(
    plane: &ControlPlane,
    context: &Context,
    options: &RecordOptions,
    snapshot: &Snapshot,
    id: &PointId,
    asked: Asked,
) -> Result<Option<String>, Error> {
    if context.cancel.is_cancelled() {
        return Err(Error::Interrupted);
    }
    if asked.unclaimed {
        claim_folder(context, &asked.identity, asked.at).await?;
    }
    let region = plane.rds.region().to_owned();
    let manifest = SnapshotManifest {
        format: FORMAT,
        kind: PointKind::RdsSnapshot,
        id: id.clone(),
        database: context.database.clone(),
        repository_id: context.repository.id().to_owned(),
        holdpoint_version: env!("CARGO_PKG_VERSION").to_owned(),
        identity: asked.identity,
        server_version: asked.version,
        asked_at: asked.at,
        asked_at_by_store: asked.at_by_store,
        recipe: recipe(&region, snapshot),
        snapshot: SnapshotFacts {
            name: snapshot.name.clone(),
            arn: snapshot.arn.clone(),
            region,
            instance: snapshot.instance.clone(),
            resource_id: snapshot.resource_id.clone(),
            engine: snapshot.engine.clone(),
            engine_version: snapshot.engine_version.clone(),
            created_at: snapshot.created_at,
            storage_gib: snapshot.storage_gib,
            is_encrypted: snapshot.is_encrypted,
            kms_key: snapshot.kms_key.clone(),
        },
        reason: options.reason.clone(),
        run: None,
    };
    match context.repository.publish_snapshot(&manifest, options.retain_until).await {
        Ok(()) => Ok(None),
        // Two went on with the same one.
        Err(holdpoint_repository::Error::AlreadyExists { .. }) => already(context, &manifest).await.map(Some),
        Err(error) => Err(error.into()),
    }
}

/// What is said where another process recorded the same snapshot first.
async fn already(context: &Context, manifest: &SnapshotManifest) -> Result<String, Error> {
    let (id, snapshot) = (&manifest.id, &manifest.snapshot);
    match context.repository.hidden(&context.database, id).await?.recorded {
        Recorded::Snapshot(other) if other.snapshot == *snapshot => Ok(format!("another process recorded it as {id}")),
        _ => Err(Rds::NameTaken { name: snapshot.name.clone() }.into()),
    }
}

/// The commands that make an instance of it with the aws client alone. What is not named, such as groups, has RDS's defaults.
fn recipe(region: &str, snapshot: &Snapshot) -> Vec<String> {
    let name = format!("{}-restored", snapshot.instance);
    vec![
        format!(
            "aws rds restore-db-instance-from-db-snapshot --region {} --db-snapshot-identifier {} --db-instance-identifier {}",
            shell(region),
            shell(&snapshot.name),
            shell(&name)
        ),
        format!(
            "aws rds wait db-instance-available --region {} --db-instance-identifier {}",
            shell(region),
            shell(&name)
        ),
    ]
}
