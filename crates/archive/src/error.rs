//! The facts that can stand between a caller and an archive.

use crate::{Algorithm, ArchiveVersion};

/// Says why an archive could not be read, patched or written.
///
/// Positions (`at`) are bytes from the start of the archive, or of the input where a part of an archive is read alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The first bytes are not `PGDMP`.
    #[error("input is not a PostgreSQL custom archive (it does not begin with PGDMP)")]
    NotAnArchive,
    /// The archive is older than 1.14 (pg_dump 12) or newer than 1.16 (pg_dump 18).
    #[error("archive version {version} is not supported (1.14, 1.15 and 1.16 are)")]
    UnsupportedVersion {
        /// The version in the archive's header.
        version: ArchiveVersion,
    },
    /// The header names another format than custom, such as tar (3), which also marks a directory's contents file.
    #[error("archive format {format} is not the custom format (1)")]
    UnsupportedFormat {
        /// The format byte of the header.
        format: u8,
    },
    /// The header names integer or offset widths that PostgreSQL does not write on any supported platform.
    #[error("integers of {int_bytes} bytes and offsets of {offset_bytes} bytes are not supported (4 and 8 are)")]
    UnsupportedWidths {
        /// Bytes of an integer's magnitude.
        int_bytes: u8,
        /// Bytes of an offset.
        offset_bytes: u8,
    },
    /// This crate does not read or write the algorithm (lz4).
    #[error("codec {algorithm} is not supported")]
    UnsupportedCodec {
        /// The algorithm asked for.
        algorithm: Algorithm,
    },
    /// The archive's version has no way to name the algorithm.
    #[error("archive version {version} cannot hold codec {algorithm}")]
    CodecNotInVersion {
        /// The algorithm asked for.
        algorithm: Algorithm,
        /// The version of the archive's head.
        version: ArchiveVersion,
    },
    /// A codec's text is not `none`, `gzip[:1-9]` or `zstd[:1-22]`.
    #[error("codec {text:?} is not one of none, gzip[:1-9], zstd[:1-22]")]
    InvalidCodec {
        /// The text as given.
        text: String,
    },
    /// The archive contradicts the format.
    #[error("archive is corrupt at byte {at}: {what}")]
    Corrupt {
        /// What is wrong there.
        what: &'static str,
        /// Where the wrong value begins.
        at: u64,
    },
    /// The head is, or claims to be, larger than the caller allows.
    #[error("header and contents of the archive need more than {limit} bytes")]
    HeadTooLarge {
        /// The cap that was given, in bytes.
        limit: usize,
    },
    /// The archive, block or piece ends too early.
    #[error("{what} is cut off at byte {at}")]
    Truncated {
        /// The part that is incomplete.
        what: &'static str,
        /// Where the input ended.
        at: u64,
    },
    /// Two entries of the contents share an id.
    #[error("contents name entry {dump_id} twice")]
    DuplicateEntry {
        /// The repeated id.
        dump_id: i32,
    },
    /// A block belongs to an entry that has no data, or to one of another kind.
    #[error("block of entry {dump_id} does not fit what the contents say about it")]
    UnexpectedBlock {
        /// The block's id.
        dump_id: i32,
    },
    /// Two blocks belong to one entry; a parallel pg_restore would lose the rows of one.
    #[error("entry {dump_id} has two blocks")]
    DuplicateBlock {
        /// The repeated id.
        dump_id: i32,
    },
    /// An entry with data has no block.
    #[error("entry {dump_id} has no block")]
    MissingBlock {
        /// The id without a block.
        dump_id: i32,
    },
    /// A position was given for an id that the contents do not have.
    #[error("block of entry {dump_id} is in no contents")]
    UnknownBlock {
        /// The unknown id.
        dump_id: i32,
    },
    /// Positions are not strictly ascending, or lie inside the head.
    #[error("position {position} of the block of entry {dump_id} is not after the block before it")]
    PositionOrder {
        /// The id whose position is wrong.
        dump_id: i32,
        /// The position as given.
        position: u64,
    },
    /// The blocks lie in an order to which the contents cannot be brought, so a piped restore would fail.
    #[error(
        "block of entry {dump_id} lies where the contents cannot follow (data of tables before large objects, dependencies first)"
    )]
    BlockOrder {
        /// The id of the misplaced block.
        dump_id: i32,
    },
    /// A compressed stream is damaged.
    #[error("{algorithm} data is corrupt")]
    Decompress {
        /// The stream's algorithm.
        algorithm: Algorithm,
        /// What the decompressor says.
        #[source]
        source: std::io::Error,
    },
    /// Bytes follow the end of a compressed stream; stock pg_restore would hang on them.
    #[error("bytes follow the end of the {algorithm} stream")]
    TrailingBytes {
        /// The stream's algorithm.
        algorithm: Algorithm,
    },
    /// The compressor could not be set up or run.
    #[error("compress with {algorithm}")]
    Compress {
        /// The stream's algorithm.
        algorithm: Algorithm,
        /// What the compressor says.
        #[source]
        source: std::io::Error,
    },
    /// The text of a table does not end in a line `\.` and two empty lines.
    #[error("COPY text does not end with its end marker")]
    CopyEndMissing,
    /// A COPY statement is not of the form that pg_dump writes.
    #[error("COPY statement is not understood at byte {at}")]
    CopyStatement {
        /// Byte of the statement.
        at: usize,
    },
    /// The ENCODING entry is not of the form that pg_dump writes.
    #[error("ENCODING entry of the archive is not understood")]
    Encoding,
    /// The writer that was given for decompressed bytes failed.
    #[error("write decompressed bytes")]
    Sink {
        /// The writer's error.
        #[source]
        source: std::io::Error,
    },
    /// A parser or decoder was used again after it had failed.
    #[error("archive reader is used after it failed")]
    AfterFailure,
}
