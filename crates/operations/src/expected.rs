//! What a restore point recorded: its manifest and, from the index, everything that is compared.

use holdpoint_core::index::{IndexRecord, LargeObjectRecord, ObjectRecord, SequenceRecord, TableRecord};
use holdpoint_core::{Manifest, PointId};
use holdpoint_engine::IndexReader;

use crate::{Context, Error};

/// The largest index that is read: 10 TB of data have about 100 MB.
const LARGEST_INDEX: u64 = 4 << 30;

/// What a restore point recorded.
///
/// Memory: the compressed index, and what is compared (tables, sequences, objects, large objects), but not the pieces.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) manifest: Manifest,
    pub(crate) manifest_sha256: String,
    pub(crate) index: bytes::Bytes,
    pub(crate) roles: Vec<String>,
    pub(crate) objects: Vec<ObjectRecord>,
    pub(crate) sequences: Vec<SequenceRecord>,
    pub(crate) tables: Vec<TableRecord>,
    pub(crate) large_objects: Vec<LargeObjectRecord>,
}

impl Expected {
    /// Reads manifest and index of a restore point.
    ///
    /// Fails when the index is not the one that the manifest names.
    pub(crate) async fn read(context: &Context, point: &PointId) -> Result<Self, Error> {
        let stored = context.repository.manifest(&context.database, point).await.map_err(|error| match error {
            holdpoint_repository::Error::NotFound { .. } => Error::NoSuchPoint {
                selector: point.to_string(),
                database: context.database.to_string(),
                why: "it has no manifest, or is withdrawn".to_owned(),
            },
            error => error.into(),
        })?;
        let object = &stored.manifest.index;
        let index = context.repository.store().get_small(&object.key, LARGEST_INDEX).await?.bytes;
        let mut expected = Self {
            manifest: stored.manifest,
            manifest_sha256: stored.sha256,
            index,
            roles: Vec::new(),
            objects: Vec::new(),
            sequences: Vec::new(),
            tables: Vec::new(),
            large_objects: Vec::new(),
        };
        for record in expected.records()? {
            match record? {
                IndexRecord::Role(role) => expected.roles.push(role.name),
                IndexRecord::Object(object) => expected.objects.push(object),
                IndexRecord::Sequence(sequence) => expected.sequences.push(sequence),
                IndexRecord::Table(table) => expected.tables.push(table),
                IndexRecord::LargeObject(object) => expected.large_objects.push(object),
                IndexRecord::Piece(_) | IndexRecord::LargeObjectBlock(_) => {}
            }
        }
        Ok(expected)
    }

    /// Reads the index again, record by record.
    pub(crate) fn records(&self) -> Result<IndexReader, Error> {
        Ok(IndexReader::open(self.index.clone(), &self.manifest.index.sha256)?)
    }
}
