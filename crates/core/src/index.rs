//! The index of a restore point: one JSON record a line, kept beside the archive as `index.jsonl.zst`.
//!
//! Order: roles, objects, sequences, then the blocks in physical order: a block's pieces, then the table they belong
//! to; or for large objects each one's pieces, then the object, and after the last the block. With the archive's head
//! the records account for every byte of the archive: a reader that walks them needs no other parser, and holds one
//! record at a time.

use serde::{Deserialize, Serialize};

use crate::digest::RowDigest;

/// One line of the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum IndexRecord {
    /// A role that owns something or is named in a grant or policy.
    Role(RoleRecord),
    /// A schema object: one entry of the archive's contents.
    Object(ObjectRecord),
    /// A sequence's position.
    Sequence(SequenceRecord),
    /// A table with data.
    Table(TableRecord),
    /// A part of a table's or large-object block that can be fetched and decompressed alone.
    Piece(PieceRecord),
    /// A large object.
    LargeObject(LargeObjectRecord),
    /// A block of large objects.
    LargeObjectBlock(LargeObjectBlockRecord),
}

/// A role of the source server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleRecord {
    /// The role's name.
    pub name: String,
    /// It is a superuser: some objects can be owned by no other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub superuser: bool,
    /// The roles that it is a member of: what it may read and grant hangs on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub member_of: Vec<String>,
}

/// One entry of the archive's contents, by its identity and a hash of its text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// The entry's type as pg_dump names it, such as `TABLE` or `FK CONSTRAINT`.
    pub description: String,
    /// The schema, if the object is in one.
    pub namespace: Option<String>,
    /// The object's name in the archive.
    pub tag: String,
    /// The owner, if the entry has one.
    pub owner: Option<String>,
    /// SHA-256 of the entry's definition, drop statement, COPY statement, table access method, in hexadecimal.
    pub sha256: String,
}

/// A sequence's `SEQUENCE SET` entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceRecord {
    /// The schema.
    pub namespace: Option<String>,
    /// The sequence's name.
    pub name: String,
    /// The arguments after the name in the entry's `setval` call, such as `42, true`.
    pub position: String,
}

/// What happened to a table's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRecord {
    /// The entry's dump id in the archive.
    pub dump_id: i32,
    /// The schema.
    pub schema: String,
    /// The table's name.
    pub name: String,
    /// The table that the rows are loaded into as the COPY statement names it, quoted; a partition's root for tables
    /// that are loaded through it.
    pub target: String,
    /// The rows are loaded through the partitions' root, which is then the target.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub via_root: bool,
    /// The column list of the COPY statement, quoted; `None` for a table without columns to copy.
    pub columns: Option<String>,
    /// The condition that limits which rows were copied (extension configuration tables).
    pub filter: Option<String>,
    /// The comparison group: tables of one group are compared as one, because their rows may move between them.
    pub group: String,
    /// Rows and digest, in the group's column order.
    #[serde(flatten)]
    pub digest: RowDigest,
    /// Bytes of COPY text, without the end marker.
    pub data_bytes: u64,
    /// Position of the block in the archive.
    pub offset: u64,
    /// Length of the block in bytes.
    pub length: u64,
}

/// A piece of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceRecord {
    /// The block's dump id.
    pub dump_id: i32,
    /// The large object that it is a piece of; `None` for a table's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub large_object: Option<u32>,
    /// Position in the archive.
    pub offset: u64,
    /// Stored length in bytes, framing included.
    pub length: u64,
    /// Bytes after decompression.
    pub raw_bytes: u64,
    /// Rows that end in this piece.
    pub rows: u64,
    /// The table's end marker (`\\.` and three newlines) is at the end of this piece.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub end: bool,
    /// The piece ends within a row, which goes on in the next piece: they can only be loaded together.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// SHA-256 of the stored bytes, in hexadecimal.
    pub sha256: String,
}

/// A large object's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjectRecord {
    /// The dump id of the block that holds it.
    pub dump_id: i32,
    /// Its OID.
    pub oid: u32,
    /// Its length in bytes.
    pub bytes: u64,
    /// XXH3-128 of its content, 32 hexadecimal digits.
    pub digest: String,
}

/// A block of large objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjectBlockRecord {
    /// The entry's dump id in the archive.
    pub dump_id: i32,
    /// Position of the block in the archive.
    pub offset: u64,
    /// Length of the block in bytes.
    pub length: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_and_names_its_kind() {
        let record = IndexRecord::Table(TableRecord {
            dump_id: 7,
            schema: "odd \"schema\"".into(),
            name: "tab\there".into(),
            target: "\"odd \"\"schema\"\"\".x".into(),
            via_root: true,
            columns: Some("a, \"b,c\"".into()),
            filter: None,
            group: "g".into(),
            digest: RowDigest { rows: 2, sum: u128::MAX },
            data_bytes: 10,
            offset: 100,
            length: 50,
        });
        let line = serde_json::to_string(&record).unwrap();
        assert!(line.starts_with("{\"record\":\"table\""), "{line}");
        assert!(line.contains(&"f".repeat(32)));
        assert_eq!(serde_json::from_str::<IndexRecord>(&line).unwrap(), record);
    }
}
