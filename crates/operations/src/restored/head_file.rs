//! An archive's first bytes on disk, for pg_restore.

use std::path::Path;

use holdpoint_archive::Head;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::expected::Expected;
use crate::{Context, Error};

/// An archive's header and contents in a temporary file that only its owner may read; removed when dropped.
///
/// It is stretched, without taking disk, to the archive's full length, since pg_restore schedules its jobs by where
/// blocks lie. It serves everything that has no block.
#[derive(Debug)]
pub(crate) struct HeadFile {
    file: NamedTempFile,
    head: Head,
}

impl HeadFile {
    /// Fetches the head and compares it with the manifest; of SQL text the contents that lie beside it.
    pub(crate) async fn fetch(context: &Context, expected: &Expected) -> Result<Self, Error> {
        let manifest = &expected.manifest;
        let (key, bytes, sha256, length) = match &manifest.contents {
            Some(contents) => (&contents.key, contents.bytes, &contents.sha256, contents.bytes),
            None => {
                let archive = &manifest.archive;
                (&archive.key, archive.head_bytes, &archive.head_sha256, archive.bytes)
            }
        };
        // Too short an object is damage, as in all that the engine reads.
        let reader = context.repository.store().read(key, Some(0..bytes), None).await;
        let reader = reader.map_err(holdpoint_engine::Error::from)?;
        let head = reader.read_to_end(bytes).await.map_err(holdpoint_engine::Error::from)?;
        if hex::encode(Sha256::digest(&head)) != *sha256 {
            let reason = "the contents are not what was written".to_owned();
            return Err(holdpoint_engine::Error::Damaged { object: key.clone(), offset: 0, reason }.into());
        }
        let io = |source| Error::Io { what: "writing the archive's head to a temporary file".to_owned(), source };
        let file = NamedTempFile::new().map_err(io)?;
        std::fs::write(file.path(), &head).map_err(io)?;
        file.as_file().set_len(length).map_err(io)?;
        let head = Head::parse(&head).map_err(holdpoint_engine::Error::from)?;
        Ok(Self { file, head })
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }
}
