//! The head of an archive: header and contents.

use std::collections::HashMap;

use bytes::Bytes;

use crate::entry::RawEntry;
use crate::header::RawHeader;
use crate::{Entry, EntryKind, Error, HeadParser, Header};

/// Header and contents of an archive, read, with the raw bytes kept.
///
/// Texts of entries share the raw bytes' memory.
#[derive(Debug, Clone)]
pub struct Head {
    bytes: Bytes,
    header: Header,
    entries: Vec<Entry>,
    by_id: HashMap<i32, usize>,
}

impl Head {
    pub(crate) fn resolve(bytes: Bytes, header: RawHeader, entries: Vec<RawEntry>) -> Result<Self, Error> {
        let mut by_id = HashMap::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            if by_id.insert(entry.dump_id, index).is_some() {
                return Err(Error::DuplicateEntry { dump_id: entry.dump_id });
            }
        }
        let header = header.resolve(&bytes);
        let entries = entries.into_iter().map(|entry| entry.resolve(&bytes)).collect();
        Ok(Self { bytes, header, entries, by_id })
    }

    /// Reads a head from the first bytes of an archive.
    ///
    /// `bytes` may go on behind the head. Errors as [`HeadParser::push`] does, and with [`Error::Truncated`] where the
    /// head is not complete.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        match HeadParser::default().push(bytes)? {
            Some((head, _)) => Ok(head),
            None => Err(Error::Truncated { what: "head of the archive", at: bytes.len() as u64 }),
        }
    }

    /// Returns the header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the entries in the order of the contents.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the entry with this id.
    pub fn entry(&self, dump_id: i32) -> Option<&Entry> {
        self.by_id.get(&dump_id).and_then(|index| self.entries.get(*index))
    }

    pub(crate) fn index_of(&self, dump_id: i32) -> Option<usize> {
        self.by_id.get(&dump_id).copied()
    }

    /// Returns the raw head, exactly as it was read.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the head's length in bytes, which is where the first block begins; patching does not change it.
    #[expect(clippy::len_without_is_empty, reason = "a head is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the archive's encoding as PostgreSQL names it, `None` where the contents do not tell.
    ///
    /// Errors with [`Error::Encoding`] where the entry is not `SET client_encoding = '…';`.
    pub fn encoding(&self) -> Result<Option<String>, Error> {
        let Some(entry) = self.entries.iter().find(|entry| entry.kind() == EntryKind::Encoding) else {
            return Ok(None);
        };
        let name = entry
            .definition
            .as_deref()
            .and_then(|definition| std::str::from_utf8(definition).ok())
            .and_then(|definition| definition.trim_end().strip_prefix("SET client_encoding = '"))
            .and_then(|rest| rest.strip_suffix("';"))
            .filter(|name| !name.is_empty() && !name.contains('\''));
        name.map(|name| Some(name.to_owned())).ok_or(Error::Encoding)
    }
}
