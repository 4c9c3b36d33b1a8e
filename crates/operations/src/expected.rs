//! What a restore point recorded: its manifest and, from the index, everything that is compared.

use bytes::Bytes;
use holdpoint_core::index::{IndexRecord, LargeObjectRecord, ObjectRecord, RoleRecord, SequenceRecord, TableRecord};
use holdpoint_core::{Manifest, PointId};
use holdpoint_engine::IndexReader;

use holdpoint_repository::StoredManifest;
use sha2::{Digest, Sha256};

use crate::{Context, Error};

/// The largest index that is read: 10 TB of data have about 100 MB.
pub(crate) const LARGEST_INDEX: u64 = 4 << 30;

/// What a restore point recorded.
///
/// Memory: the compressed index, and what is compared (tables, sequences, objects, large objects), but not the pieces.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) manifest: Manifest,
    pub(crate) index: Bytes,
    pub(crate) roles: Vec<String>,
    pub(crate) role_rights: Vec<RoleRecord>,
    pub(crate) objects: Vec<ObjectRecord>,
    pub(crate) sequences: Vec<SequenceRecord>,
    pub(crate) tables: Vec<TableRecord>,
    pub(crate) large_objects: Vec<LargeObjectRecord>,
}

/// Reads a manifest.
pub(crate) async fn manifest(context: &Context, point: &PointId) -> Result<StoredManifest, Error> {
    context.repository.manifest(&context.database, point).await.map_err(|error| match error {
        holdpoint_repository::Error::NotFound { .. } => Error::NoSuchPoint {
            selector: point.to_string(),
            database: context.database.to_string(),
            why: "it has no manifest, or is withdrawn".to_owned(),
        },
        error => error.into(),
    })
}

/// Reads an index, or roles and settings. What comes from a store and is not as its checksum says is read a second time: it may have
/// been spoilt on its way, and where it is wrong both times it is damaged where it lies.
///
/// # Errors
/// [`holdpoint_engine::Error::Damaged`] where it is wrong both times; those of the store.
pub(crate) async fn small(context: &Context, key: &str) -> Result<Bytes, Error> {
    let store = context.repository.store();
    let first = match store.get_small(key, LARGEST_INDEX).await {
        Err(holdpoint_repository::Error::Corrupt { detail, .. }) => detail,
        read => return Ok(read?.bytes),
    };
    tracing::debug!(key, detail = %first, "the object is read once more");
    match store.get_small(key, LARGEST_INDEX).await {
        Err(holdpoint_repository::Error::Corrupt { detail, .. }) => {
            let reason = format!("{detail}, twice");
            Err(holdpoint_engine::Error::Damaged { object: key.to_owned(), offset: 0, reason }.into())
        }
        read => Ok(read?.bytes),
    }
}

impl Expected {
    /// Reads manifest and index of a restore point.
    ///
    /// Fails when the index is not the one that the manifest names.
    pub(crate) async fn read(context: &Context, point: &PointId) -> Result<Self, Error> {
        Self::of(context, manifest(context, point).await?).await
    }

    /// Reads the index that a manifest names.
    pub(crate) async fn of(context: &Context, stored: StoredManifest) -> Result<Self, Error> {
        let object = &stored.manifest.index;
        let index = small(context, &object.key).await?;
        let mut expected = Self {
            manifest: stored.manifest,
            index,
            roles: Vec::new(),
            role_rights: Vec::new(),
            objects: Vec::new(),
            sequences: Vec::new(),
            tables: Vec::new(),
            large_objects: Vec::new(),
        };
        for record in expected.records()? {
            match record? {
                IndexRecord::Role(role) => {
                    expected.roles.push(role.name.clone());
                    expected.role_rights.push(role);
                }
                IndexRecord::Object(object) => expected.objects.push(object),
                IndexRecord::Sequence(sequence) => expected.sequences.push(sequence),
                IndexRecord::Table(table) => expected.tables.push(table),
                IndexRecord::LargeObject(object) => expected.large_objects.push(object),
                IndexRecord::Piece(_) | IndexRecord::LargeObjectBlock(_) => {}
            }
        }
        Ok(expected)
    }

    /// Fails unless the roles and settings, which nothing else reads, are there as they were written.
    pub(crate) async fn check_globals(&self, context: &Context) -> Result<(), Error> {
        let object = &self.manifest.globals;
        let found = small(context, &object.key).await?;
        if hex::encode(Sha256::digest(&found)) == object.sha256 {
            return Ok(());
        }
        let reason = "it is not what was written".to_owned();
        Err(holdpoint_engine::Error::Damaged { object: object.key.clone(), offset: 0, reason }.into())
    }

    /// Reads the index again, record by record.
    pub(crate) fn records(&self) -> Result<IndexReader, Error> {
        Ok(IndexReader::open(self.index.clone(), &self.manifest.index.sha256)?)
    }
}
