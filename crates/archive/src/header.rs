//! The header: what an archive says about itself before its contents.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use crate::cursor::{Cursor, Stop};
use crate::{Algorithm, Error};

/// Where the compression field begins; it has the same width for every algorithm of one archive version.
pub(crate) const COMPRESSION_AT: usize = 11;

/// The version of an archive (not of a server or program).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchiveVersion {
    /// 1 since 7.1.
    pub major: u8,
    /// 14: pg_dump 12 to 15; 15: pg_dump 16; 16: pg_dump 17 and 18.
    pub minor: u8,
    /// Always 0 so far.
    pub revision: u8,
}

impl ArchiveVersion {
    pub(crate) fn has_algorithm_byte(self) -> bool {
        self.minor >= 15
    }

    pub(crate) fn has_relkind(self) -> bool {
        self.minor >= 16
    }
}

impl fmt::Display for ArchiveVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)?;
        if self.revision == 0 { Ok(()) } else { write!(formatter, "-{}", self.revision) }
    }
}

/// The header of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Decides the layout of everything that follows.
    pub version: ArchiveVersion,
    /// Bytes of an integer's magnitude: always 4.
    pub int_bytes: u8,
    /// Bytes of an offset: always 8.
    pub offset_bytes: u8,
    /// Always 1, custom.
    pub format: u8,
    /// How the data are compressed.
    pub algorithm: Algorithm,
    /// When the archive was begun, in the dumping host's local time: second, minute, hour, day, month from 0, years
    /// since 1900, daylight saving.
    pub created: [i32; 7],
    /// The database's name, in the archive's encoding.
    pub database: Option<Bytes>,
    /// The server's `server_version`.
    pub server_version: Option<Bytes>,
    /// The version of pg_dump.
    pub dump_version: Option<Bytes>,
}

/// A header whose texts are still spans of the growing head.
pub(crate) struct RawHeader {
    pub(crate) version: ArchiveVersion,
    pub(crate) algorithm: Algorithm,
    created: [i32; 7],
    texts: [Option<Range<usize>>; 3],
}

impl RawHeader {
    /// Reads the header; the cursor stands at the entry count afterwards.
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Stop> {
        for expected in *b"PGDMP" {
            if cursor.byte()? != expected {
                return Err(Error::NotAnArchive.into());
            }
        }
        let [major, minor, revision] = cursor.bytes()?;
        let version = ArchiveVersion { major, minor, revision };
        if !matches!((major, minor), (1, 14..=16)) {
            return Err(Error::UnsupportedVersion { version }.into());
        }
        let [int_bytes, offset_bytes] = cursor.bytes()?;
        if (int_bytes, offset_bytes) != (4, 8) {
            return Err(Error::UnsupportedWidths { int_bytes, offset_bytes }.into());
        }
        let format = cursor.byte()?;
        if format != 1 {
            return Err(Error::UnsupportedFormat { format }.into());
        }
        let unknown = cursor.corrupt("the compression is unknown");
        let algorithm = if version.has_algorithm_byte() {
            match cursor.byte()? {
                0 => Algorithm::None,
                1 => Algorithm::Gzip,
                2 => Algorithm::Lz4,
                3 => Algorithm::Zstd,
                _ => return Err(unknown.into()),
            }
        } else {
            match cursor.int()? {
                0 => Algorithm::None,
                -1 | 1..=9 => Algorithm::Gzip,
                _ => return Err(unknown.into()),
            }
        };
        let mut created = [0; 7];
        for field in &mut created {
            *field = cursor.int()?;
        }
        let texts = [cursor.string()?, cursor.string()?, cursor.string()?];
        Ok(Self { version, algorithm, created, texts })
    }

    pub(crate) fn resolve(self, head: &Bytes) -> Header {
        let [database, server_version, dump_version] = self.texts.map(|span| span.map(|span| head.slice(span)));
        Header {
            version: self.version,
            int_bytes: 4,
            offset_bytes: 8,
            format: 1,
            algorithm: self.algorithm,
            created: self.created,
            database,
            server_version,
            dump_version,
        }
    }
}
