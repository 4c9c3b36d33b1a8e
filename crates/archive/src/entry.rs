//! One entry of the contents, and how it is read.

use std::ops::Range;

use bytes::Bytes;

use crate::ArchiveVersion;
use crate::cursor::{Cursor, OFFSET_BYTES, Stop};

/// When pg_restore handles an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// Comments, grants and the like, which go with the entry they belong to.
    None,
    /// Definitions that must exist before data.
    PreData,
    /// Data.
    Data,
    /// Indexes, constraints, triggers and what else is made after data.
    PostData,
}

/// Where an entry's block lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryOffset {
    /// The writer could not tell (state 1): the archive was streamed and not patched.
    NotSet,
    /// The block's first byte, counted from the archive's (state 2).
    Set(u64),
    /// The entry has no block (state 3).
    NoData,
}

/// What an entry describes, as far as handling data needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// `TABLE DATA`: rows of one table.
    TableData,
    /// `BLOBS`: contents of a group of large objects.
    LargeObjects,
    /// `BLOB`: one large object without its contents (archives up to 1.15).
    LargeObject,
    /// `BLOB METADATA`: the OIDs of a group of large objects, one a line (from 1.16).
    LargeObjectMetadata,
    /// `SEQUENCE SET`: a sequence's value; a statement, no block.
    SequenceSet,
    /// `MATERIALIZED VIEW DATA`: a refresh; a statement, no block.
    MaterializedViewData,
    /// `STATISTICS DATA`: planner statistics (pg_dump 18); statements, no block.
    StatisticsData,
    /// `ENCODING`: the archive's encoding.
    Encoding,
    /// `STDSTRINGS`: how string literals are written.
    StandardStrings,
    /// `SEARCHPATH`: the search path under which definitions were read.
    SearchPath,
    /// Anything else.
    Other,
}

/// One entry of an archive's contents. Texts are bytes in the archive's encoding; `None` is the format's NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Above 0 and unique in the archive; neither dense nor ordered.
    pub dump_id: i32,
    /// Whether the archive holds a block for this entry.
    pub has_data: bool,
    /// The catalog that the object is in; 0 for table data.
    pub catalog_table_oid: u32,
    /// The object's OID there; for table data the table's.
    pub catalog_oid: u32,
    /// The object's name, unquoted for tables, sequences and their data.
    pub tag: Bytes,
    /// The kind in words, such as `TABLE DATA`.
    pub description: Bytes,
    /// When pg_restore handles it.
    pub section: Section,
    /// The statement that makes the object.
    pub definition: Option<Bytes>,
    /// The statement that drops the object.
    pub drop_statement: Option<Bytes>,
    /// For table data `COPY … FROM stdin;` and a newline, or NULL where rows are INSERT statements.
    pub copy_statement: Option<Bytes>,
    /// The schema's unquoted name.
    pub namespace: Option<Bytes>,
    /// The tablespace's name.
    pub tablespace: Option<Bytes>,
    /// The table's access method.
    pub table_access_method: Option<Bytes>,
    /// `pg_class.relkind` as a character code from archive version 1.16 on, else 0.
    pub relkind: i32,
    /// The owner's name.
    pub owner: Option<Bytes>,
    /// Ids this entry depends on; they may be absent from the contents and may repeat.
    pub dependencies: Vec<i32>,
    /// Where the block lies.
    pub offset: EntryOffset,
    /// The entry's bytes in [`Head::bytes`](crate::Head::bytes).
    pub span: Range<usize>,
    /// Where in [`Head::bytes`](crate::Head::bytes) the offset's nine bytes begin.
    pub offset_at: usize,
}

impl Entry {
    /// Returns what the entry describes.
    pub fn kind(&self) -> EntryKind {
        match &self.description[..] {
            b"TABLE DATA" => EntryKind::TableData,
            b"BLOBS" => EntryKind::LargeObjects,
            b"BLOB" => EntryKind::LargeObject,
            b"BLOB METADATA" => EntryKind::LargeObjectMetadata,
            b"SEQUENCE SET" => EntryKind::SequenceSet,
            b"MATERIALIZED VIEW DATA" => EntryKind::MaterializedViewData,
            b"STATISTICS DATA" => EntryKind::StatisticsData,
            b"ENCODING" => EntryKind::Encoding,
            b"STDSTRINGS" => EntryKind::StandardStrings,
            b"SEARCHPATH" => EntryKind::SearchPath,
            _ => EntryKind::Other,
        }
    }
}

/// A text's place in the growing head; small, because archives with a million entries exist.
#[derive(Clone, Copy)]
struct Text {
    start: u32,
    length: u32,
}

impl Text {
    const NULL: Self = Self { start: 0, length: u32::MAX };

    fn resolve(self, head: &Bytes) -> Option<Bytes> {
        let start = self.start as usize;
        (self.length != u32::MAX).then(|| head.slice(start..start + self.length as usize))
    }
}

/// The fields of an entry in the order of the format (`ReadToc` in pg_backup_archiver.c).
#[derive(Clone, Copy)]
enum Field {
    DumpId,
    HasData,
    CatalogTableOid,
    CatalogOid,
    Section,
    Text(usize),
    Relkind,
    WithOids,
    Dependencies,
    Offset,
}

const TAG: usize = 0;
const DESCRIPTION: usize = 1;
const FIELDS: [Field; 18] = [
    Field::DumpId,
    Field::HasData,
    Field::CatalogTableOid,
    Field::CatalogOid,
    Field::Text(TAG),
    Field::Text(DESCRIPTION),
    Field::Section,
    Field::Text(2),
    Field::Text(3),
    Field::Text(4),
    Field::Text(5),
    Field::Text(6),
    Field::Text(7),
    Field::Relkind,
    Field::Text(8),
    Field::WithOids,
    Field::Dependencies,
    Field::Offset,
];

/// An entry that is being read. It remembers its next field, so slow input is not read again from the entry's start.
pub(crate) struct RawEntry {
    next: usize,
    start: usize,
    end: usize,
    pub(crate) dump_id: i32,
    has_data: bool,
    catalog_table_oid: u32,
    catalog_oid: u32,
    section: Section,
    texts: [Text; 9],
    relkind: i32,
    dependencies: Vec<i32>,
    offset: EntryOffset,
}

impl RawEntry {
    pub(crate) fn new(start: usize) -> Self {
        Self {
            next: 0,
            start,
            end: start,
            dump_id: 0,
            has_data: false,
            catalog_table_oid: 0,
            catalog_oid: 0,
            section: Section::None,
            texts: [Text::NULL; 9],
            relkind: 0,
            dependencies: Vec::new(),
            offset: EntryOffset::NoData,
        }
    }

    /// Reads on from where the last call stopped, until the entry is complete.
    pub(crate) fn read(&mut self, cursor: &mut Cursor<'_>, version: ArchiveVersion) -> Result<(), Stop> {
        while let Some(field) = FIELDS.get(self.next) {
            self.read_field(*field, cursor, version)?;
            self.next += 1;
        }
        self.end = cursor.at;
        self.dependencies.shrink_to_fit();
        Ok(())
    }

    fn read_field(&mut self, field: Field, cursor: &mut Cursor<'_>, version: ArchiveVersion) -> Result<(), Stop> {
        let from = cursor.at;
        let corrupt = |what| Stop::Failed(Cursor::new(&[], from).corrupt(what));
        match field {
            Field::DumpId => {
                self.dump_id = cursor.int()?;
                if self.dump_id <= 0 {
                    return Err(corrupt("an entry's id is not above 0"));
                }
            }
            Field::HasData => self.has_data = cursor.int()? != 0,
            Field::CatalogTableOid => {
                self.catalog_table_oid = cursor.decimal()?.ok_or_else(|| corrupt("an entry has no catalog"))?;
            }
            Field::CatalogOid => {
                self.catalog_oid = cursor.decimal()?.ok_or_else(|| corrupt("an entry has no OID"))?;
            }
            Field::Section => {
                self.section = match cursor.int()? {
                    1 => Section::None,
                    2 => Section::PreData,
                    3 => Section::Data,
                    4 => Section::PostData,
                    _ => return Err(corrupt("an entry's section is unknown")),
                };
            }
            Field::Text(index) => {
                let text = match cursor.string()? {
                    // The parser's cap keeps every place below 4 GiB.
                    Some(span) => Text { start: span.start as u32, length: span.len() as u32 },
                    None if index == TAG || index == DESCRIPTION => {
                        return Err(corrupt("an entry has no name or no kind"));
                    }
                    None => Text::NULL,
                };
                self.texts[index] = text;
            }
            Field::Relkind if version.has_relkind() => self.relkind = cursor.int()?,
            Field::Relkind => {}
            // Tables with OIDs ended with PostgreSQL 12; the text has no reader any more.
            Field::WithOids => {
                cursor.string()?;
            }
            Field::Dependencies => {
                while let Some(dependency) = cursor.decimal()? {
                    self.dependencies.push(dependency);
                }
            }
            Field::Offset => {
                let bytes: [u8; OFFSET_BYTES] = cursor.bytes()?;
                let [state, position @ ..] = bytes;
                self.offset = match state {
                    1 => EntryOffset::NotSet,
                    2 => EntryOffset::Set(u64::from_le_bytes(position)),
                    3 => EntryOffset::NoData,
                    _ => return Err(corrupt("an offset's state is unknown")),
                };
            }
        }
        Ok(())
    }

    pub(crate) fn resolve(self, head: &Bytes) -> Entry {
        let [tag, description, definition, drop, copy, namespace, tablespace, access_method, owner] =
            self.texts.map(|text| text.resolve(head));
        Entry {
            dump_id: self.dump_id,
            has_data: self.has_data,
            catalog_table_oid: self.catalog_table_oid,
            catalog_oid: self.catalog_oid,
            tag: tag.unwrap_or_default(),
            description: description.unwrap_or_default(),
            section: self.section,
            definition,
            drop_statement: drop,
            copy_statement: copy,
            namespace,
            tablespace,
            table_access_method: access_method,
            relkind: self.relkind,
            owner,
            dependencies: self.dependencies,
            offset: self.offset,
            span: self.start..self.end,
            offset_at: self.end - OFFSET_BYTES,
        }
    }
}
