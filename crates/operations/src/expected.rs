//! What a restore point recorded: its manifest and, from the index, everything that is compared.

use bytes::Bytes;
use holdpoint_core::index::{IndexRecord, LargeObjectRecord, ObjectRecord, RoleRecord, SequenceRecord, TableRecord};
use holdpoint_core::{Manifest, PointId};
use holdpoint_engine::IndexReader;

use holdpoint_repository::{Error as Store, StoredManifest};
use sha2::{Digest, Sha256};

use crate::catalogue::no_such_point;
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
    match context.repository.manifest(&context.database, point).await {
        Err(holdpoint_repository::Error::NotFound { .. }) => Err(no_such_point(context, point).await),
        read => Ok(read?),
    }
}

/// Reads an index, or the contents of a plain dump. What comes from a store and is not as its checksum says is read a second
/// time, and told where it came as written then; where it is wrong both times it is damaged where it lies.
///
/// # Errors
/// [`holdpoint_engine::Error::Damaged`] where it is wrong both times; those of the store.
pub(crate) async fn small(context: &Context, key: &str) -> Result<Bytes, Error> {
    match context.repository.small(key, LARGEST_INDEX).await {
        Err(Store::InvalidRecord { source, .. }) => Err(damaged(key, source.to_string())),
        read => Ok(read?),
    }
}

/// The same, read once: for whoever reads everything again, and tells of it.
async fn small_once(context: &Context, key: &str) -> Result<Bytes, Error> {
    match context.repository.store().get_small(key, LARGEST_INDEX).await {
        Err(Store::Corrupt { detail, .. }) => Err(damaged(key, detail)),
        read => Ok(read?.bytes),
    }
}

fn damaged(key: &str, reason: String) -> Error {
    holdpoint_engine::Error::Damaged { object: key.to_owned(), offset: 0, reason }.into()
}

impl Expected {
    /// Reads manifest and index of a restore point.
    ///
    /// Fails when the index is not the one that the manifest names.
    pub(crate) async fn read(context: &Context, point: &PointId) -> Result<Self, Error> {
        let manifest = manifest(context, point).await?.manifest;
        let index = small(context, &manifest.index.key).await?;
        Self::with(manifest, index)
    }

    /// Reads the index that a manifest names, once: for whoever reads everything again where something is damaged.
    pub(crate) async fn read_once(context: &Context, manifest: Manifest) -> Result<Self, Error> {
        let index = small_once(context, &manifest.index.key).await?;
        Self::with(manifest, index)
    }

    fn with(manifest: Manifest, index: Bytes) -> Result<Self, Error> {
        let mut expected = Self {
            manifest,
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

    /// Fails unless the roles and settings, which nothing else reads, are there as they were written; reads them once.
    pub(crate) async fn check_globals(&self, context: &Context) -> Result<(), Error> {
        let object = &self.manifest.globals;
        let found = small_once(context, &object.key).await?;
        if hex::encode(Sha256::digest(&found)) == object.sha256 {
            return Ok(());
        }
        Err(damaged(&object.key, "it is not what was written".to_owned()))
    }

    /// Reads the index again, record by record.
    pub(crate) fn records(&self) -> Result<IndexReader, Error> {
        Ok(IndexReader::open(self.index.clone(), &self.manifest.index.sha256)?)
    }
}
