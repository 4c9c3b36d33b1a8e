//! The manifest: the commit record of a restore point, published last and never changed.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::retention::Aside;
use crate::{DatabaseName, Error, Identity, PointId, RunId};

/// The form of an archive's manifest; that of a snapshot is [`crate::recorded::FORMAT`].
pub const FORMAT: u32 = 1;
/// The greatest size of a manifest in bytes.
pub const LARGEST: usize = 64 * 1024;

/// How the data are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointFormat {
    /// A custom-format archive, `archive.dump`.
    Archive,
    /// SQL text in gzip members, `dump.sql.gz`.
    Plain,
}

/// The commit record of a restore point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this document's form; a newer one than known is refused.
    pub format: u32,
    /// The restore point.
    pub id: PointId,
    /// The database's folder.
    pub database: DatabaseName,
    /// Which repository it was written to.
    pub repository_id: String,
    /// The program that wrote it.
    pub holdpoint_version: String,
    /// How the data are stored.
    pub stored_as: PointFormat,
    /// The source.
    pub identity: Identity,
    /// The source server and its settings.
    pub server: ServerFacts,
    /// The client program that made the contents, such as `pg_dump (PostgreSQL) 18.6`.
    pub client_version: String,
    /// The snapshot.
    pub snapshot: SnapshotFacts,
    /// When the work was done, by the source server's clock.
    pub timings: Timings,
    /// Its major: the server's, or a newer one by choice; pg_restore of an older one cannot read the archive.
    pub client_major: u32,
    /// How data are compressed: `none`, `gzip:4`, `zstd:1`.
    pub codec: String,
    /// pg_dump options that select what is dumped, as given.
    #[serde(default)]
    pub options: Vec<String>,
    /// What the archive does not cover, in words.
    #[serde(default)]
    pub not_covered: Vec<String>,
    /// Extensions of the source database.
    pub extensions: Vec<Extension>,
    /// Owner, grants, comment and settings of the database itself.
    pub database_properties: DatabaseProperties,
    /// Counts and sizes.
    pub totals: Totals,
    /// The archive.
    pub archive: ArchiveObject,
    /// The contents alone, as an archive without blocks, where the data are stored as SQL text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<StoredObject>,
    /// The index.
    pub index: StoredObject,
    /// Roles, database settings and grants as SQL.
    pub globals: StoredObject,
    /// Why the point was made.
    #[serde(default)]
    pub reason: Option<String>,
    /// A mark by which the point can be recognised; points that `undo` makes carry one and are never chosen.
    #[serde(default)]
    pub label: Option<String>,
    /// The guarded run that made it.
    #[serde(default)]
    pub run: Option<RunId>,
    /// The exact commands that restore this point with nothing but the aws client and PostgreSQL's programs.
    pub recipe: Vec<String>,
}

/// The source server and the database's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// `server_version_num`, such as 180006.
    pub version_num: u32,
    /// `server_version`.
    pub version: String,
    /// The database's encoding, such as `UTF8`.
    pub encoding: String,
    /// `libc`, `icu` or `builtin`.
    pub locale_provider: String,
    /// LC_COLLATE of the database.
    pub collate: String,
    /// LC_CTYPE of the database.
    pub ctype: String,
    /// The provider's locale (ICU or builtin).
    pub locale: Option<String>,
    /// Version of the collation as the provider named it when the database was made.
    pub collation_version: Option<String>,
    /// `lc_monetary`, without which money does not read back the same.
    pub lc_monetary: String,
    /// `xmloption`, without which xml may not read back.
    pub xmloption: String,
    /// Tablespaces that objects of the database lie in, other than the default.
    #[serde(default)]
    pub tablespaces: Vec<String>,
    /// `shared_preload_libraries`, some of which an extension may need.
    #[serde(default)]
    pub preload_libraries: String,
}

/// The snapshot that everything was read in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFacts {
    /// Its instant, by the source server's clock.
    pub at: DateTime<Utc>,
    /// The WAL position at that instant; absent where the role may not read it.
    pub wal_position: Option<String>,
    /// The timeline.
    pub timeline: Option<u32>,
    /// Whether it was read from a standby.
    pub standby: bool,
}

/// When the work was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// Start.
    pub started_at: DateTime<Utc>,
    /// The same moment by the store's clock; absent from manifests of earlier programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at_by_store: Option<DateTime<Utc>>,
    /// Milliseconds from the start until the data were stored.
    pub stored_for_ms: u64,
}

/// An extension of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The schema it is installed in.
    pub schema: String,
}

/// Properties of the database itself, which an archive restored under another name does not carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseProperties {
    /// The owner.
    pub owner: String,
    /// Grants as ACL items, such as `app=CTc/owner`; `None` for the default.
    pub grants: Option<Vec<String>>,
    /// The comment.
    pub comment: Option<String>,
    /// Settings by `ALTER DATABASE … SET` and `ALTER ROLE … IN DATABASE … SET`.
    pub settings: Vec<DatabaseSetting>,
    /// The connection limit, -1 for none.
    pub connection_limit: i32,
}

/// One setting of a database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DatabaseSetting {
    /// The role it holds for; `None` for all.
    pub role: Option<String>,
    /// The parameter.
    pub name: String,
    /// The value as stored.
    pub value: String,
}

/// Counts and sizes of a restore point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Tables with data.
    pub tables: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of COPY text and large objects before compression.
    pub data_bytes: u64,
    /// Large objects.
    pub large_objects: u64,
    /// Their bytes.
    pub large_object_bytes: u64,
    /// Sequences.
    pub sequences: u64,
    /// Entries of the archive's contents.
    pub objects: u64,
    /// Bytes that the database occupied on the server.
    pub database_bytes: u64,
}

/// A stored object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    /// Its key below the repository's root.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// The stored archive.
///
/// Its first bytes are written last, so no flat hash can be made while it streams: head and pieces have their own, and
/// `root_sha256` binds them. The flat SHA-256 is recorded by the first verification that reads it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveObject {
    /// Its key below the repository's root.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// Length of header and contents, the first bytes of the object; 0 for plain text.
    pub head_bytes: u64,
    /// SHA-256 of the head, in hexadecimal.
    pub head_sha256: String,
    /// SHA-256 over every piece's hash in physical order and then the head's, each as 32 raw bytes.
    pub root_sha256: String,
    /// Full-object CRC64NVME as the store confirmed it, base64; `None` where a store knows only other checksums.
    pub crc64nvme: Option<String>,
    /// Archive version, such as `1.16`.
    pub archive_version: Option<String>,
}

/// A manifest as it is stored.
pub(crate) fn stored_form(manifest: &impl Serialize) -> Result<Vec<u8>, Error> {
    let damaged = |reason: String| Error::Damaged { document: "manifest", reason };
    let mut json = serde_json::to_vec_pretty(manifest).map_err(|error| damaged(error.to_string()))?;
    json.push(b'\n');
    if json.len() > LARGEST {
        return Err(damaged(format!("{} bytes are more than the {LARGEST} that a manifest may have", json.len())));
    }
    Ok(json)
}

impl Manifest {
    /// Writes the manifest as JSON for storage.
    ///
    /// Fails when it would be larger than [`LARGEST`]: such a manifest is a defect of the writer.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        stored_form(self)
    }

    /// Reads a manifest that was stored under the folder of `id`.
    ///
    /// Refuses a newer form, what does not parse, and a manifest that names another restore point.
    pub fn from_json(json: &[u8], id: &PointId) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let damaged = |reason: String| Error::Damaged { document: "manifest", reason };
        let form: Form = serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        if form.format > FORMAT {
            return Err(Error::NewerFormat { document: "manifest", found: form.format, known: FORMAT });
        }
        let manifest: Self = serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        if manifest.id != *id {
            return Err(damaged(format!("it names restore point {} but lies in the folder of {id}", manifest.id)));
        }
        Ok(manifest)
    }

    /// Why the restore point counts for no other one in retention; `None` for a whole one without a label.
    pub fn aside(&self) -> Option<Aside> {
        match &self.label {
            Some(label) => Some(Aside::Labelled { label: label.clone() }),
            None if self.options.is_empty() => None,
            None => Some(Aside::Partial { selection: self.options.clone() }),
        }
    }

    /// The snapshot's instant by the store's clock: as the manifest records it, else reckoned back from when the manifest
    /// was written; `None` where neither is known.
    ///
    /// What was copied to another place was written there later; what is recorded stays true.
    pub fn taken_at_by_store(&self, written_at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let Timings { started_at, started_at_by_store, stored_for_ms } = self.timings;
        let whole = TimeDelta::milliseconds(i64::try_from(stored_for_ms).unwrap_or(i64::MAX));
        // A clock that was set meanwhile, or a manifest that contradicts itself, says nothing of the time between.
        let until_snapshot = self.snapshot.at.signed_duration_since(started_at).clamp(TimeDelta::zero(), whole);
        match started_at_by_store {
            Some(started_at) => started_at.checked_add_signed(until_snapshot),
            None => written_at?.checked_sub_signed(whole - until_snapshot),
        }
    }

    /// The source server's major version.
    pub fn major(&self) -> u32 {
        self.server.version_num / 10_000
    }
}
