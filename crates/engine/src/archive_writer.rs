//! Writing an archive in order: frames and pieces go to the upload, records to the index, positions to the head.

use bytes::Bytes;
use holdpoint_archive::{
    Adler32, Codec, Head, close_large_objects, close_list, open_large_object, open_large_objects, open_table,
};
use holdpoint_core::RowDigest;
use holdpoint_core::index::{
    IndexRecord, LargeObjectBlockRecord, LargeObjectRecord, PieceRecord, RoleRecord, TableRecord,
};
use holdpoint_core::manifest::Totals;
use holdpoint_repository::ObjectUpload;
use sha2::{Digest, Sha256};

use crate::piece_cutter::WorkedPiece;
use crate::{Contents, Error, FinishedIndex, IndexWriter, TablePlan};

/// Writes the blocks of an archive, in order, into an upload whose first bytes are held back for the head.
///
/// Whoever runs it must end the upload: [`finish`](Self::finish) hands it back. Memory: the compressed index and one
/// piece.
pub struct ArchiveWriter {
    upload: Box<dyn ObjectUpload>,
    codec: Codec,
    index: IndexWriter,
    blocks: Vec<(i32, u64)>,
    pieces_hash: Sha256,
    totals: Totals,
    list: OpenList,
    positions: bool,
}

/// The chunk list that is being written.
#[derive(Debug)]
struct OpenList {
    dump_id: i32,
    large_object: Option<u32>,
    block_at: u64,
    adler: Adler32,
    raw_bytes: u64,
    digest: RowDigest,
}

impl OpenList {
    fn new(dump_id: i32, block_at: u64) -> Self {
        let digest = RowDigest::default();
        Self { dump_id, large_object: None, block_at, adler: Adler32::EMPTY, raw_bytes: 0, digest }
    }
}

/// An archive whose blocks are all written; the upload still lacks its head.
pub struct StoredArchive {
    /// The upload: finish it with `head`, or abort it.
    pub upload: Box<dyn ObjectUpload>,
    /// The head, patched.
    pub head: Bytes,
    /// SHA-256 of the head, in hexadecimal.
    pub head_sha256: String,
    /// SHA-256 over every piece's hash and the head's, in hexadecimal.
    pub root_sha256: String,
    /// The index.
    pub index: FinishedIndex,
    /// Counts and sizes; what only the server knows is left at 0.
    pub totals: Totals,
    /// The archive's version, such as `1.16`.
    pub archive_version: String,
}

impl std::fmt::Debug for ArchiveWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveWriter").field("position", &self.upload.position()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for StoredArchive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredArchive").field("totals", &self.totals).finish_non_exhaustive()
    }
}

impl ArchiveWriter {
    /// Begins the archive: records roles, objects and sequences.
    ///
    /// `upload` must hold back exactly the head's length.
    pub fn new(
        upload: Box<dyn ObjectUpload>,
        codec: Codec,
        contents: &Contents,
        roles: &[RoleRecord],
    ) -> Result<Self, Error> {
        let mut index = IndexWriter::new()?;
        for role in roles {
            index.push(&IndexRecord::Role(role.clone()))?;
        }
        for object in &contents.objects {
            index.push(&IndexRecord::Object(object.clone()))?;
        }
        for sequence in &contents.sequences {
            index.push(&IndexRecord::Sequence(sequence.clone()))?;
        }
        let totals = Totals {
            tables: contents.tables.len() as u64,
            sequences: contents.sequences.len() as u64,
            objects: contents.objects.len() as u64,
            ..Totals::default()
        };
        let list = OpenList::new(0, 0);
        let (blocks, pieces_hash) = (Vec::new(), Sha256::new());
        Ok(Self { upload, codec, index, blocks, pieces_hash, totals, list, positions: true })
    }

    /// Leaves positions and pieces out of the index: the archive is only on its way to become something else.
    pub fn without_positions(mut self) -> Self {
        self.positions = false;
        self
    }

    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        Ok(self.upload.write(Bytes::from(bytes)).await?)
    }

    fn open_list(&mut self, dump_id: i32, block_at: u64) {
        self.list = OpenList::new(dump_id, block_at);
    }

    async fn close_list(&mut self) -> Result<(), Error> {
        self.write(close_list(&self.codec, self.list.adler)).await
    }

    /// Opens a table's block.
    pub async fn open_table(&mut self, dump_id: i32) -> Result<(), Error> {
        let position = self.upload.position();
        self.blocks.push((dump_id, position));
        self.open_list(dump_id, position);
        self.write(open_table(dump_id, &self.codec)).await
    }

    /// Writes a piece of the open table or large object.
    pub(crate) async fn piece(&mut self, piece: WorkedPiece) -> Result<(), Error> {
        let WorkedPiece { encoded, sha256, digest, open, end } = piece;
        let offset = self.upload.position();
        let length = encoded.bytes.len() as u64;
        if length > 0 && self.positions {
            self.pieces_hash.update(sha256);
            self.index.push(&IndexRecord::Piece(PieceRecord {
                dump_id: self.list.dump_id,
                large_object: self.list.large_object,
                offset,
                length,
                raw_bytes: encoded.raw_bytes,
                rows: digest.rows,
                end,
                open,
                sha256: hex::encode(sha256),
            }))?;
        }
        if length > 0 {
            self.write(encoded.bytes).await?;
        }
        let list = &mut self.list;
        list.adler = list.adler.combine(encoded.adler, encoded.raw_bytes);
        list.raw_bytes += encoded.raw_bytes;
        list.digest.merge(&digest);
        Ok(())
    }

    /// Closes a table's block and records the table.
    pub async fn close_table(&mut self, plan: &TablePlan, filter: Option<String>) -> Result<(), Error> {
        self.close_list().await?;
        let list = &self.list;
        let data_bytes = list.raw_bytes.saturating_sub(holdpoint_archive::COPY_END.len() as u64);
        self.totals.rows += list.digest.rows;
        self.totals.data_bytes += data_bytes;
        self.index.push(&IndexRecord::Table(TableRecord {
            dump_id: list.dump_id,
            schema: plan.schema.clone(),
            name: plan.name.clone(),
            target: plan.target.clone(),
            via_root: plan.via_root,
            columns: plan.columns.clone(),
            filter,
            group: plan.group.clone(),
            digest: list.digest,
            data_bytes,
            offset: if self.positions { list.block_at } else { 0 },
            length: if self.positions { self.upload.position() - list.block_at } else { 0 },
        }))
    }

    /// Opens a block of large objects.
    pub async fn open_large_objects(&mut self, dump_id: i32) -> Result<(), Error> {
        let position = self.upload.position();
        self.blocks.push((dump_id, position));
        self.open_list(dump_id, position);
        self.write(open_large_objects(dump_id)).await
    }

    /// Opens a large object in the open block.
    pub async fn open_large_object(&mut self, oid: u32) -> Result<(), Error> {
        self.open_list(self.list.dump_id, self.list.block_at);
        self.list.large_object = Some(oid);
        self.write(open_large_object(oid, &self.codec)).await
    }

    /// Closes a large object and records it.
    pub async fn close_large_object(&mut self, oid: u32, digest: String) -> Result<(), Error> {
        self.close_list().await?;
        let bytes = self.list.raw_bytes;
        self.totals.large_objects += 1;
        self.totals.large_object_bytes += bytes;
        self.totals.data_bytes += bytes;
        let dump_id = self.list.dump_id;
        self.index.push(&IndexRecord::LargeObject(LargeObjectRecord { dump_id, oid, bytes, digest }))
    }

    /// Closes a block of large objects.
    pub async fn close_large_objects(&mut self) -> Result<(), Error> {
        self.write(close_large_objects()).await?;
        let (dump_id, offset) = (self.list.dump_id, self.list.block_at);
        let length = self.upload.position() - offset;
        if !self.positions {
            return Ok(());
        }
        self.index.push(&IndexRecord::LargeObjectBlock(LargeObjectBlockRecord { dump_id, offset, length }))
    }

    /// Ends the blocks, patches the head and ends the index.
    ///
    /// Fails when an entry of the contents has no block: the stream was cut. The upload is then aborted.
    pub async fn finish(self, head: &Head) -> Result<StoredArchive, Error> {
        let patched = match head.patched(self.codec.algorithm(), &self.blocks) {
            Ok(patched) => Bytes::from(patched),
            Err(error) => {
                self.upload.abort().await?;
                return Err(error.into());
            }
        };
        let head_hash: [u8; 32] = Sha256::digest(&patched).into();
        let root = self.pieces_hash.chain_update(head_hash).finalize();
        let version = head.header().version;
        Ok(StoredArchive {
            upload: self.upload,
            head: patched,
            head_sha256: hex::encode(head_hash),
            root_sha256: hex::encode(root),
            index: self.index.finish()?,
            totals: self.totals,
            archive_version: format!("{}.{}", version.major, version.minor),
        })
    }

    /// Ends the blocks of an archive that became something else, and hands over the sink and the index, to be continued.
    pub fn into_parts(self) -> (Box<dyn ObjectUpload>, IndexWriter, Totals) {
        (self.upload, self.index, self.totals)
    }

    /// Ends the upload and removes what it stored.
    pub async fn abort(self) -> Result<(), Error> {
        Ok(self.upload.abort().await?)
    }
}
