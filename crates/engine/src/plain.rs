//! `--format plain`: the archive stream becomes SQL text on its way, stored as gzip members.
//!
//! pg_dump's stream is passed through as for an archive, so rows are digested and counted as they pass, and piped into
//! `pg_restore --file=-`, which writes the SQL. What it writes is cut at lines into gzip members that are compressed
//! independently; together they are one valid gzip file.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::{GzDecoder, GzEncoder};
use futures_util::future::BoxFuture;
use holdpoint_core::index::{IndexRecord, PieceRecord};
use holdpoint_core::manifest::ArchiveObject;
use holdpoint_core::progress::Progress;
use holdpoint_repository::{Crc64, ObjectReader, ObjectUpload, Uploaded};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Error, IndexReader, ReadBack};

/// Feeds an archive, as it is written, to a program's stdin.
///
/// It stands where an upload stands, so one writer serves both; nothing is stored by it.
pub struct PipeSink<W> {
    pipe: W,
    head: Option<Bytes>,
    position: u64,
}

impl<W> std::fmt::Debug for PipeSink<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PipeSink").field("position", &self.position).finish_non_exhaustive()
    }
}

impl<W: AsyncWrite + Unpin + Send + 'static> PipeSink<W> {
    /// Begins with the head as pg_dump wrote it: a reader of a pipe needs no positions.
    pub fn new(pipe: W, head: Bytes) -> Self {
        let position = head.len() as u64;
        Self { pipe, head: Some(head), position }
    }

    async fn begin(&mut self) -> Result<(), holdpoint_repository::Error> {
        let Some(head) = self.head.take() else { return Ok(()) };
        self.put(&head).await
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), holdpoint_repository::Error> {
        self.pipe.write_all(bytes).await.map_err(|source| holdpoint_repository::Error::Io {
            action: "write",
            key: "the pipe to pg_restore".to_owned(),
            attempts: 0,
            source: source.into(),
        })
    }
}

impl<W: AsyncWrite + Unpin + Send + 'static> ObjectUpload for PipeSink<W> {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), holdpoint_repository::Error>> {
        Box::pin(async move {
            self.begin().await?;
            self.position += bytes.len() as u64;
            self.put(&bytes).await
        })
    }

    fn position(&self) -> u64 {
        self.position
    }

    fn finish(mut self: Box<Self>, _: Bytes) -> BoxFuture<'static, Result<Uploaded, holdpoint_repository::Error>> {
        Box::pin(async move {
            self.begin().await?;
            let size_bytes = self.position;
            Ok(Uploaded { size_bytes, etag: String::new(), crc64nvme: Crc64::default(), confirmed: None })
        })
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<(), holdpoint_repository::Error>> {
        Box::pin(async { Ok(()) })
    }
}

/// How SQL text is stored.
#[derive(Clone, Copy, Debug)]
pub struct PlainOptions {
    /// gzip's level.
    pub level: u32,
    /// How many members are compressed at a time.
    pub jobs: usize,
    /// Bytes of a member before compression.
    pub member_bytes: usize,
}

/// SQL text whose members are all written; the upload is to be finished or aborted.
pub struct StoredPlain {
    /// The upload; nothing of it is held back.
    pub upload: Box<dyn ObjectUpload>,
    /// The members, in order. Memory: about 120 bytes a member.
    pub members: Vec<PieceRecord>,
    /// SHA-256 over the members' hashes and that of the (empty) head, in hexadecimal.
    pub root_sha256: String,
}

impl std::fmt::Debug for StoredPlain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredPlain").field("members", &self.members.len()).finish_non_exhaustive()
    }
}

struct Member {
    bytes: Vec<u8>,
    raw_bytes: u64,
    sha256: [u8; 32],
}

fn member(text: &[u8], level: u32) -> io::Result<Member> {
    let mut gzip = GzEncoder::new(Vec::with_capacity(text.len() / 3), Compression::new(level));
    gzip.write_all(text)?;
    let bytes = gzip.finish()?;
    let sha256 = Sha256::digest(&bytes).into();
    Ok(Member { bytes, raw_bytes: text.len() as u64, sha256 })
}

/// Stores SQL text from a program's stdout as gzip members.
///
/// The end of the text is not success: ask for the program's exit status before finishing the upload. On failure the
/// upload is aborted. Memory: `2 x jobs + 2` members.
pub async fn store_plain<R: AsyncRead + Unpin + Send>(
    mut text: R,
    mut upload: Box<dyn ObjectUpload>,
    options: PlainOptions,
) -> Result<StoredPlain, Error> {
    let (send, mut receive) = mpsc::channel::<JoinHandle<io::Result<Member>>>(options.jobs.max(1) * 2);
    let produce = async move {
        let mut buffer = BytesMut::new();
        loop {
            let room = options.member_bytes.saturating_sub(buffer.len()).max(1);
            buffer.reserve(room.min(256 * 1024));
            let read = text.read_buf(&mut buffer).await.map_err(|error| Error::Pipe("from pg_restore", error))?;
            if read > 0 && buffer.len() < options.member_bytes {
                continue;
            }
            if !buffer.is_empty() {
                let text = buffer.split().freeze();
                let work = tokio::task::spawn_blocking(move || member(&text, options.level));
                send.send(work).await.map_err(|_| Error::Cancelled)?;
            }
            if read == 0 {
                return Ok::<(), Error>(());
            }
        }
    };
    let mut members = Vec::new();
    let mut root = Sha256::new();
    let consume = async {
        while let Some(work) = receive.recv().await {
            let member = work.await.map_err(Error::Worker)?.map_err(|error| Error::Pipe("to gzip", error))?;
            root.update(member.sha256);
            members.push(PieceRecord {
                dump_id: 0,
                large_object: None,
                offset: upload.position(),
                length: member.bytes.len() as u64,
                raw_bytes: member.raw_bytes,
                rows: 0,
                end: false,
                open: false,
                sha256: hex::encode(member.sha256),
            });
            upload.write(member.bytes.into()).await?;
        }
        Ok::<(), Error>(())
    };
    match tokio::try_join!(produce, consume) {
        Ok(((), ())) => {
            let root_sha256 = hex::encode(root.chain_update(Sha256::digest(b"")).finalize());
            Ok(StoredPlain { upload, members, root_sha256 })
        }
        Err(error) => {
            upload.abort().await?;
            Err(error)
        }
    }
}

/// Reads stored SQL text back: every member's hash, every byte decompressed; gives the text to `tee`, checked.
///
/// Rows are not counted: SQL text is compared by restoring it. Memory: two members.
pub async fn read_back_plain(
    mut reader: ObjectReader,
    archive: &ArchiveObject,
    index: IndexReader,
    tee: Option<mpsc::Sender<Bytes>>,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<ReadBack, Error> {
    let work = async {
        let (mut flat, mut root, mut position) = (Sha256::new(), Sha256::new(), 0);
        let mut buffer = BytesMut::new();
        let damaged = |offset: u64, reason: String| Error::Damaged { object: archive.key.clone(), offset, reason };
        for record in index {
            let IndexRecord::Piece(record) = record? else { continue };
            let length =
                usize::try_from(record.length).map_err(|_| damaged(position, "a length beyond memory".into()))?;
            while buffer.len() < length {
                let Some(chunk) = reader.next_chunk().await? else {
                    return Err(damaged(position, "the object ends here".into()));
                };
                flat.update(&chunk);
                progress.advance(chunk.len() as u64);
                buffer.extend_from_slice(&chunk);
            }
            let stored = buffer.split_to(length).freeze();
            let checked = tokio::task::spawn_blocking(move || check_member(&stored, &record));
            let (text, sha256) = checked.await.map_err(Error::Worker)?.map_err(|reason| damaged(position, reason))?;
            root.update(sha256);
            position += length as u64;
            if let Some(tee) = &tee {
                tee.send(text.into()).await.map_err(|_| Error::NobodyReads)?;
            }
        }
        if !buffer.is_empty() || reader.next_chunk().await?.is_some() {
            return Err(damaged(position, "bytes follow the last member".into()));
        }
        let root = hex::encode(root.chain_update(Sha256::digest(b"")).finalize());
        if root != archive.root_sha256 {
            return Err(damaged(0, format!("root SHA-256 is {root}, expected {}", archive.root_sha256)));
        }
        let sha256 = hex::encode(flat.finalize());
        Ok(ReadBack { sha256, bytes: position, ..ReadBack::default() })
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled),
        outcome = work => outcome,
    }
}

fn check_member(stored: &[u8], record: &PieceRecord) -> Result<(Vec<u8>, [u8; 32]), String> {
    let sha256: [u8; 32] = Sha256::digest(stored).into();
    if hex::encode(sha256) != record.sha256 {
        return Err(format!("a member has SHA-256 {}, expected {}", hex::encode(sha256), record.sha256));
    }
    let mut gzip = GzDecoder::new(Vec::new());
    gzip.write_all(stored).map_err(|error| error.to_string())?;
    let text = gzip.finish().map_err(|error| error.to_string())?;
    if text.len() as u64 != record.raw_bytes {
        return Err(format!("a member holds {} bytes, expected {}", text.len(), record.raw_bytes));
    }
    Ok((text, sha256))
}
