//! Reading files, whole or in ranges.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};

use super::{blocking, etag_of};
use crate::error::{Error, Result};
use crate::reader::{FetchCount, ObjectReader};
use crate::store::SmallObject;

/// Bytes read from the disk at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// A file where a directory was expected means that the object is not there.
pub(super) fn open_error(action: &'static str, key: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => Error::NotFound { action, key: key.to_owned() },
        _ => Error::from_io(action, key, error),
    }
}

fn open_file(path: &Path, key: &str) -> Result<(File, std::fs::Metadata)> {
    let file = File::open(path).map_err(|e| open_error("read", key, e))?;
    let found = file.metadata().map_err(|e| open_error("read", key, e))?;
    if !found.is_file() {
        return Err(Error::NotFound { action: "read", key: key.to_owned() });
    }
    Ok((file, found))
}

pub(super) fn whole(path: &Path, key: &str, max_bytes: u64) -> Result<SmallObject> {
    let (file, found) = open_file(path, key)?;
    if found.len() > max_bytes {
        let detail = format!("{} bytes, at most {max_bytes} were expected", found.len());
        return Err(Error::TooLarge { action: "read", key: key.to_owned(), detail });
    }
    let fail = |e| Error::from_io("read", key, e);
    let mut bytes = Vec::new();
    file.take(max_bytes).read_to_end(&mut bytes).map_err(fail)?;
    let modified_at = found.modified().map_err(fail)?.into();
    Ok(SmallObject { bytes: bytes.into(), etag: etag_of(&found), modified_at })
}

pub(super) fn open(path: &Path, key: &str, range: Option<Range<u64>>, etag: Option<&str>) -> Result<ObjectReader> {
    let (file, found) = open_file(path, key)?;
    let actual = etag_of(&found);
    if etag.is_some_and(|expected| expected != actual) {
        return Err(Error::PreconditionFailed { action: "read", key: key.to_owned() });
    }
    let range = range.unwrap_or(0..found.len());
    let range_bytes = range.end.saturating_sub(range.start);
    if range_bytes > 0 && range.end > found.len() {
        let detail = format!("has {} bytes, bytes up to {} were asked for", found.len(), range.end);
        return Err(Error::Corrupt { action: "read", key: key.to_owned(), detail });
    }
    let fetched = FetchCount::default();
    let (file, owned_key, count) = (Arc::new(file), key.to_owned(), fetched.clone());
    let chunks = stream::try_unfold(range.start, move |offset| {
        let (file, key, count) = (Arc::clone(&file), owned_key.clone(), count.clone());
        async move {
            if offset >= range.end {
                return Ok(None);
            }
            let wanted = CHUNK_BYTES.min(range.end - offset);
            let chunk = blocking(move || {
                let mut chunk = vec![0; usize::try_from(wanted).unwrap_or_default()];
                file.read_exact_at(&mut chunk, offset).map_err(|e| match e.kind() {
                    io::ErrorKind::UnexpectedEof => {
                        let detail = "was cut shorter while it was read".to_owned();
                        Error::Corrupt { action: "read", key: key.clone(), detail }
                    }
                    _ => Error::from_io("read", &key, e),
                })?;
                Ok(Bytes::from(chunk))
            })
            .await?;
            count.add(chunk.len());
            Ok(Some((chunk, offset + wanted)))
        }
    });
    Ok(ObjectReader::new(key, actual, found.len(), range_bytes, fetched, chunks.boxed()))
}
