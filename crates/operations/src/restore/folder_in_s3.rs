//! A folder made by `pg_dump -Fd` that lies in S3: pg_restore reads it through named pipes, so that no table of it is ever
//! on disk.
//!
//! `toc.dat` and the lists of large objects are small and become files; every other file becomes a pipe, which is fed from
//! S3 once pg_restore opens it. pg_restore reads one file after the other, each from its beginning to its end
//! (`pg_backup_directory.c`).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use holdpoint_engine::FileEnd;
use holdpoint_postgres::programs::{make_fifo, open_fifo};
use holdpoint_repository::ObjectStore;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::Sender;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::foreign::reading;
use crate::{Context, Error};

/// More files than this are a folder of large objects, which take a pipe each.
const MOST_FILES: usize = 100_000;
/// The contents and the lists of large objects.
const LARGEST_LIST: u64 = 256 << 20;
/// How often it is looked which pipe was opened: at first, and when nothing was for a while.
const LOOK: Duration = Duration::from_millis(1);
const REST: Duration = Duration::from_millis(10);
const RESTLESS_LOOKS: u32 = 50;

/// A folder's files as pg_restore sees them, in a private temporary folder that is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct FolderInS3 {
    folder: tempfile::TempDir,
    pipes: Vec<(PathBuf, String)>,
    store: Arc<dyn ObjectStore>,
    place: String,
    /// Pipes whose file could not be read: closed, they would look like an end.
    broken: Arc<Mutex<Vec<Sender>>>,
    /// Bytes of all files together.
    pub(crate) bytes: u64,
}

/// The prefix of the folder's keys, where a key names the folder or its contents; empty for the store's own.
pub(crate) async fn folder_of(
    stored: Option<&(Arc<dyn ObjectStore>, String)>,
) -> Option<(&Arc<dyn ObjectStore>, String)> {
    let (store, key) = stored?;
    let prefix = match key.strip_suffix("toc.dat") {
        Some(prefix) if prefix.is_empty() || prefix.ends_with('/') => prefix.to_owned(),
        _ => format!("{}/", key.trim_end_matches('/')),
    };
    store.head(&format!("{prefix}toc.dat")).await.is_ok().then_some((store, prefix))
}

impl FolderInS3 {
    /// Lists the folder and makes its pipes.
    ///
    /// # Errors
    /// Those of the store and of the temporary folder; a folder of too many files.
    pub(crate) async fn open(store: &Arc<dyn ObjectStore>, prefix: &str, place: &str) -> Result<Self, Error> {
        let io = |source| Error::Io { what: "making pipes for a folder in S3".to_owned(), source };
        let folder = tempfile::Builder::new().prefix("holdpoint-folder-").tempdir().map_err(io)?;
        let mut opened = Self {
            folder,
            pipes: Vec::new(),
            store: Arc::clone(store),
            place: place.to_owned(),
            broken: Arc::default(),
            bytes: 0,
        };
        let mut pages = store.list(prefix);
        while let Some(page) = pages.try_next().await? {
            for object in page {
                let Some(name) = object.key.strip_prefix(prefix).filter(|name| is_of_a_dump(name)) else { continue };
                opened.bytes += object.size_bytes;
                let path = opened.folder.path().join(name);
                if name == "toc.dat" || name.ends_with(".toc") {
                    let list = store.get_small(&object.key, LARGEST_LIST).await?;
                    std::fs::write(&path, &list.bytes).map_err(io)?;
                } else {
                    make_fifo(&path).map_err(io)?;
                    opened.pipes.push((path, object.key.clone()));
                }
                if opened.pipes.len() > MOST_FILES {
                    return Err(Error::Usage(format!(
                        "{place} holds more than {MOST_FILES} files: copy it here and name the copy (aws s3 cp \
                         --recursive {place} FOLDER)"
                    )));
                }
            }
        }
        drop(pages);
        Ok(opened)
    }

    /// The folder that pg_restore is given.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Feeds each pipe once it is opened, until `done` is cancelled and no file is under way.
    ///
    /// Fails when *reading* fails, or a file ends within its rows. Its pipe stays open as long as this lives, so that
    /// pg_restore is ended before it takes the end for a good one.
    pub(crate) fn feed(&self, context: &Context, done: CancellationToken) -> JoinSet<Result<(), Error>> {
        let mut feed = JoinSet::new();
        let mut waiting = self.pipes.clone();
        let (store, place, progress) = (Arc::clone(&self.store), self.place.clone(), Arc::clone(&context.progress));
        let broken = Arc::clone(&self.broken);
        feed.spawn(async move {
            let mut looks = 0_u32;
            while !done.is_cancelled() {
                let opened = next_opened(&waiting).map_err(|source| reading(&place, source))?;
                let Some((nth, mut sender)) = opened else {
                    looks += 1;
                    let pause = if looks < RESTLESS_LOOKS { LOOK } else { REST };
                    tokio::select! {
                        () = done.cancelled() => break,
                        () = tokio::time::sleep(pause) => continue,
                    }
                };
                looks = 0;
                let (path, key) = waiting.swap_remove(nth);
                if let Err(error) =
                    pass(&store, &key, &path, &mut sender, &place, |bytes| progress.advance(bytes)).await
                {
                    broken.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
                    return Err(error);
                }
            }
            Ok(())
        });
        feed
    }
}

/// The first pipe that somebody reads.
fn next_opened(waiting: &[(PathBuf, String)]) -> std::io::Result<Option<(usize, Sender)>> {
    for (nth, (path, _)) in waiting.iter().enumerate() {
        if let Some(sender) = open_fifo(path)? {
            return Ok(Some((nth, sender)));
        }
    }
    Ok(None)
}

async fn pass(
    store: &Arc<dyn ObjectStore>,
    key: &str,
    path: &Path,
    sender: &mut Sender,
    place: &str,
    moved: impl Fn(u64),
) -> Result<(), Error> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut end = FileEnd::of(&name);
    let mut reader = store.read(key, None, None).await?;
    while let Some(bytes) = reader.try_next().await? {
        moved(bytes.len() as u64);
        end.iter_mut().for_each(|end| end.push(&bytes));
        if sender.write_all(&bytes).await.is_err() {
            // It says itself why it reads no more.
            return Ok(());
        }
    }
    if end.is_some_and(|end| !end.is_whole()) {
        return Err(Error::CutDump { place: place.to_owned(), reason: format!("{name} ends within its rows") });
    }
    Ok(())
}

/// The names that pg_dump gives the files of a folder; nothing else becomes a file here, whatever lies there.
fn is_of_a_dump(name: &str) -> bool {
    let bare = [".gz", ".lz4", ".zst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let of_table = bare.strip_suffix(".dat").is_some_and(|id| digits(id.strip_prefix("blob_").unwrap_or(id)));
    let list = bare.strip_suffix(".toc").and_then(|text| text.strip_prefix("blobs"));
    let list = list.is_some_and(|id| id.is_empty() || id.strip_prefix('_').is_some_and(digits));
    name == "toc.dat" || of_table || (list && bare == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_a_dump_become_files() {
        for name in ["toc.dat", "3417.dat.gz", "1.dat", "2.dat.zst", "blob_16400.dat.lz4", "blobs.toc", "blobs_12.toc"]
        {
            assert!(is_of_a_dump(name), "{name}");
        }
        for name in
            ["../x.dat", "a/1.dat", "x.dat", "toc.dat.gz", "blobs_.toc", "notes.txt", "", ".dat", "1.dat.gz.bak"]
        {
            assert!(!is_of_a_dump(name), "{name}");
        }
    }
}
