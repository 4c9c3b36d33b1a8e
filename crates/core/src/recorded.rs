//! What a manifest records: an archive in the repository, or a snapshot of an RDS instance, of which the repository holds
//! nothing but the manifest.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::manifest::{self, Manifest};
use crate::retention::Aside;
use crate::{DatabaseName, Error, Identity, PointId, RunId};

/// The form of a snapshot's manifest, and the newest that this program knows. Programs that know archives alone refuse it as
/// one of a newer program.
pub const FORMAT: u32 = 2;

/// What kind of restore point it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointKind {
    /// An archive in the repository.
    #[default]
    Archive,
    /// A snapshot of the RDS instance that the database is on.
    RdsSnapshot,
}

/// A snapshot of an RDS instance, as RDS told it when it was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFacts {
    /// Its name.
    pub name: String,
    /// Its ARN, by which no other one of the name is taken for it.
    pub arn: String,
    /// The region that it lies in.
    pub region: String,
    /// The name that its instance had.
    pub instance: String,
    /// The resource id of its instance, which outlives renames.
    pub resource_id: String,
    /// The engine.
    pub engine: String,
    /// The engine's version.
    pub engine_version: Option<String>,
    /// When RDS says that it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// The size of the instance's storage in GiB, which bounds what it costs.
    pub storage_gib: Option<u32>,
    /// Whether it is encrypted.
    pub is_encrypted: bool,
    /// With which key.
    pub kms_key: Option<String>,
}

/// The commit record of a restore point that is a snapshot of an RDS instance: written when that is available.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotManifest {
    /// Version of this document's form: [`FORMAT`].
    pub format: u32,
    /// [`PointKind::RdsSnapshot`].
    pub kind: PointKind,
    /// The restore point; its time is the source server's when the snapshot was asked for.
    pub id: PointId,
    /// The database's folder.
    pub database: DatabaseName,
    /// Which repository it was written to.
    pub repository_id: String,
    /// The program that wrote it.
    pub holdpoint_version: String,
    /// The database that the folder is of; the snapshot holds the whole server.
    pub identity: Identity,
    /// `server_version` of its server.
    pub server_version: String,
    /// When the snapshot was asked for, by the source server's clock: what was committed before is in it.
    pub asked_at: DateTime<Utc>,
    /// The same moment by the store's clock, where that tells the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at_by_store: Option<DateTime<Utc>>,
    /// The snapshot.
    pub snapshot: SnapshotFacts,
    /// Why it was made.
    #[serde(default)]
    pub reason: Option<String>,
    /// The guarded run that made it.
    #[serde(default)]
    pub run: Option<RunId>,
    /// The commands that make an instance of it with the aws client alone.
    pub recipe: Vec<String>,
}

impl SnapshotManifest {
    /// Writes it as JSON for storage.
    ///
    /// Fails when it would be larger than [`LARGEST`](crate::manifest::LARGEST): such a manifest is a defect of the writer.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        manifest::stored_form(self)
    }
}

/// A manifest of either kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Recorded {
    /// Of an archive.
    Archive(Box<Manifest>),
    /// Of a snapshot.
    Snapshot(Box<SnapshotManifest>),
}

impl Recorded {
    /// Reads a manifest of either kind that was stored under the folder of `id`.
    ///
    /// Refuses a newer form, what does not parse, and a manifest that names another restore point.
    pub fn from_json(json: &[u8], id: &PointId) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let damaged = |reason: String| Error::Damaged { document: "manifest", reason };
        let form: Form = serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        if form.format <= manifest::FORMAT {
            return Ok(Self::Archive(Box::new(Manifest::from_json(json, id)?)));
        }
        if form.format > FORMAT {
            return Err(Error::NewerFormat { document: "manifest", found: form.format, known: FORMAT });
        }
        let read: SnapshotManifest = serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        if read.kind != PointKind::RdsSnapshot {
            return Err(damaged(format!("format {FORMAT} is that of snapshots, and it says it is another kind")));
        }
        if read.id != *id {
            return Err(damaged(format!("it names restore point {} but lies in the folder of {id}", read.id)));
        }
        Ok(Self::Snapshot(Box::new(read)))
    }

    /// The kind.
    pub fn kind(&self) -> PointKind {
        match self {
            Self::Archive(_) => PointKind::Archive,
            Self::Snapshot(_) => PointKind::RdsSnapshot,
        }
    }

    /// The restore point.
    pub fn id(&self) -> &PointId {
        match self {
            Self::Archive(one) => &one.id,
            Self::Snapshot(one) => &one.id,
        }
    }

    /// The database's folder.
    pub fn database(&self) -> &DatabaseName {
        match self {
            Self::Archive(one) => &one.database,
            Self::Snapshot(one) => &one.database,
        }
    }

    /// Which repository it was written to.
    pub fn repository_id(&self) -> &str {
        match self {
            Self::Archive(one) => &one.repository_id,
            Self::Snapshot(one) => &one.repository_id,
        }
    }

    /// Of which database it is.
    pub fn identity(&self) -> &Identity {
        match self {
            Self::Archive(one) => &one.identity,
            Self::Snapshot(one) => &one.identity,
        }
    }

    /// Its instant, by the source server's clock.
    pub fn snapshot_at(&self) -> DateTime<Utc> {
        match self {
            Self::Archive(one) => one.snapshot.at,
            Self::Snapshot(one) => one.asked_at,
        }
    }

    /// Its instant by the store's clock, where that is known; see [`Manifest::taken_at_by_store`]. Of a snapshot only what was
    /// recorded counts: its manifest may have been written hours after it.
    pub fn taken_at_by_store(&self, written_at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        match self {
            Self::Archive(one) => one.taken_at_by_store(written_at),
            Self::Snapshot(one) => one.asked_at_by_store,
        }
    }

    /// Why it counts for no other one in retention.
    pub fn aside(&self) -> Option<Aside> {
        match self {
            Self::Archive(one) => one.aside(),
            Self::Snapshot(_) => None,
        }
    }

    /// Why it was made.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Archive(one) => one.reason.as_deref(),
            Self::Snapshot(one) => one.reason.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "20261121T024300Z-k3f9";

    fn snapshot() -> SnapshotManifest {
        let at: DateTime<Utc> = "2026-11-21T02:43:00.5Z".parse().unwrap();
        SnapshotManifest {
            format: FORMAT,
            kind: PointKind::RdsSnapshot,
            id: ID.parse().unwrap(),
            database: "shop".parse().unwrap(),
            repository_id: "r".to_owned(),
            holdpoint_version: "0".to_owned(),
            identity: Identity {
                system_identifier: Some("7".to_owned()),
                database_oid: 5,
                database: "shop".to_owned(),
                timeline: Some(1),
                endpoint: "h:5432".to_owned(),
                resource_id: None,
            },
            server_version: "18.6".to_owned(),
            asked_at: at,
            asked_at_by_store: None,
            snapshot: SnapshotFacts {
                name: "kept".to_owned(),
                arn: "arn:aws:rds:eu-central-1:1:snapshot:kept".to_owned(),
                region: "eu-central-1".to_owned(),
                instance: "shop".to_owned(),
                resource_id: "db-1".to_owned(),
                engine: "postgres".to_owned(),
                engine_version: None,
                created_at: Some(at),
                storage_gib: Some(20),
                is_encrypted: false,
                kms_key: None,
            },
            reason: None,
            run: None,
            recipe: vec!["aws rds".to_owned()],
        }
    }

    #[test]
    fn a_snapshot_reads_back_and_is_newer_for_those_who_know_archives_alone() {
        let (written, id) = (snapshot(), ID.parse().unwrap());
        let json = written.to_json().unwrap();
        let read = Recorded::from_json(&json, &id).unwrap();
        assert_eq!(read, Recorded::Snapshot(Box::new(written.clone())));
        assert_eq!((read.kind(), read.snapshot_at(), read.id()), (PointKind::RdsSnapshot, written.asked_at, &id));
        assert_eq!(read.taken_at_by_store(Some(written.asked_at)), None, "when it was written says nothing");
        let refused = Manifest::from_json(&json, &id).unwrap_err();
        assert!(matches!(refused, Error::NewerFormat { found: 2, known: 1, .. }), "{refused}");
    }

    #[test]
    fn what_is_no_snapshot_of_that_point_is_refused() {
        let id: PointId = ID.parse().unwrap();
        let read = |one: &SnapshotManifest| Recorded::from_json(&one.to_json().unwrap(), &id).unwrap_err().to_string();
        let newer = read(&SnapshotManifest { format: 3, ..snapshot() });
        assert!(newer.contains("format 3, this program knows up to 2"), "{newer}");
        let other = SnapshotManifest { id: PointId::new(DateTime::UNIX_EPOCH, 1), ..snapshot() };
        assert!(read(&other).contains("lies in the folder of"), "{}", read(&other));
        let kind = read(&SnapshotManifest { kind: PointKind::Archive, ..snapshot() });
        assert!(kind.contains("another kind"), "{kind}");
        let archive = read(&SnapshotManifest { format: 1, ..snapshot() });
        assert!(archive.contains("damaged"), "a snapshot that says it is an archive: {archive}");
    }
}
