//! What an archive's contents say, in the words of the index.

use std::collections::BTreeMap;

use holdpoint_archive::{CopyStatement, Entry, EntryKind, Head};
use holdpoint_core::digest::ColumnOrder;
use holdpoint_core::fingerprint::{group_of_root, qualified};
use holdpoint_core::index::{ObjectRecord, SequenceRecord};
use holdpoint_core::name::archive_text;
use sha2::{Digest, Sha256};

use crate::Error;

/// What the contents of an archive say.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The archive's encoding, such as `UTF8`.
    pub encoding: String,
    /// Every schema object, except those of the database itself, which are compared by catalog.
    pub objects: Vec<ObjectRecord>,
    /// Every sequence's position.
    pub sequences: Vec<SequenceRecord>,
    /// Every table with data, by dump id.
    pub tables: BTreeMap<i32, TablePlan>,
}

/// A table whose data the archive holds.
#[derive(Clone, Debug)]
pub struct TablePlan {
    /// The table's OID in the source's `pg_class`.
    pub oid: u32,
    /// The schema.
    pub schema: String,
    /// The name.
    pub name: String,
    /// The table that rows are loaded into, quoted.
    pub target: String,
    /// Whether that is the partitions' root rather than the table itself.
    pub via_root: bool,
    /// The column list, quoted.
    pub columns: Option<String>,
    /// The comparison group.
    pub group: String,
    /// How to put a row's columns into the group's order.
    pub order: Option<ColumnOrder>,
}

const VIA_ROOT: &[u8] = b"-- load via partition root";

impl Contents {
    /// Reads the contents.
    ///
    /// Fails when a COPY statement does not parse, or leaves that are loaded through one root have other columns.
    pub fn read(head: &Head) -> Result<Self, Error> {
        let encoding = head.encoding()?.unwrap_or_else(|| "SQL_ASCII".to_owned());
        let mut contents = Self { encoding, objects: Vec::new(), sequences: Vec::new(), tables: BTreeMap::new() };
        let mut group_columns: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for entry in head.entries() {
            let description = entry.description.as_ref();
            if of_database(entry) {
                continue;
            }
            if description == b"SEQUENCE SET" {
                contents.sequences.push(contents.sequence(entry));
                continue;
            }
            contents.objects.push(contents.object(entry));
            if entry.kind() == EntryKind::TableData && entry.has_data {
                let plan = contents.table(entry, &mut group_columns)?;
                contents.tables.insert(entry.dump_id, plan);
            }
        }
        Ok(contents)
    }

    fn text(&self, bytes: &[u8]) -> String {
        archive_text(bytes, &self.encoding)
    }

    fn maybe(&self, bytes: Option<&bytes::Bytes>) -> Option<String> {
        bytes.filter(|bytes| !bytes.is_empty()).map(|bytes| self.text(bytes))
    }

    fn object(&self, entry: &Entry) -> ObjectRecord {
        let mut hash = Sha256::new();
        // The tablespace is left out: a scratch server has none, and verdicts name it among what is not compared.
        for part in [&entry.definition, &entry.drop_statement, &entry.copy_statement, &entry.table_access_method] {
            let bytes = part.as_deref().unwrap_or_default();
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        ObjectRecord {
            description: self.text(&entry.description),
            namespace: self.maybe(entry.namespace.as_ref()),
            tag: self.text(&entry.tag),
            owner: if has_own_owner(&entry.description) { self.maybe(entry.owner.as_ref()) } else { None },
            sha256: hex::encode(hash.finalize()),
        }
    }

    fn sequence(&self, entry: &Entry) -> SequenceRecord {
        let definition = self.text(entry.definition.as_deref().unwrap_or_default());
        // SELECT pg_catalog.setval('public.s', 42, true);
        let position = definition
            .rfind("', ")
            .map(|at| definition[at + 3..].trim_end().trim_end_matches(';').trim_end_matches(')').to_owned());
        SequenceRecord {
            namespace: self.maybe(entry.namespace.as_ref()),
            name: self.text(&entry.tag),
            position: position.unwrap_or(definition),
        }
    }

    fn table(&self, entry: &Entry, groups: &mut BTreeMap<String, Vec<Vec<u8>>>) -> Result<TablePlan, Error> {
        let statement = CopyStatement::parse(entry.copy_statement.as_deref().unwrap_or_default())?;
        let target = self.text(&statement.target);
        let schema = self.text(entry.namespace.as_deref().unwrap_or_default());
        let name = self.text(&entry.tag);
        let via_root = entry.definition.as_deref().is_some_and(|text| text.starts_with(VIA_ROOT));
        let group = if via_root { group_of_root(&target) } else { qualified(Some(&schema), &name) };
        let own: Vec<Vec<u8>> = statement.columns_list().into_iter().map(|column| column.to_vec()).collect();
        let first = groups.entry(group.clone()).or_insert_with(|| own.clone());
        let order = ColumnOrder::between(&own, first)?;
        let columns = statement.columns.as_ref().map(|columns| self.text(columns));
        Ok(TablePlan { oid: entry.catalog_oid, schema, name, target, via_root, columns, group, order })
    }
}

/// Whether an entry describes the database itself, which may have another name where it is restored.
fn of_database(entry: &Entry) -> bool {
    match entry.description.as_ref() {
        b"DATABASE" | b"DATABASE PROPERTIES" => true,
        b"ACL" | b"COMMENT" | b"SECURITY LABEL" => entry.tag.starts_with(b"DATABASE "),
        _ => false,
    }
}
/// Whether the owner that an entry names is one that a restore gives.
///
/// Rows, grants and comments belong to whom their object belongs to, and the object's own entry says who that is. Where
/// there is none, the object is an extension's, whose owner is whoever created the extension there.
fn has_own_owner(description: &[u8]) -> bool {
    !matches!(
        description,
        b"TABLE DATA" | b"STATISTICS DATA" | b"ACL" | b"DEFAULT ACL" | b"COMMENT" | b"SECURITY LABEL"
    )
}
