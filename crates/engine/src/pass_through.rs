//! The pass-through engine: pg_dump's own stream becomes a seekable, digested, compressed archive as it passes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use holdpoint_archive::{BlockKind, Codec, Event, Head, Limits, StreamParser};
use holdpoint_core::digest::{ColumnOrder, StreamHash};
use holdpoint_core::progress::Progress;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::piece_cutter::{PieceCutter, RawPiece, WorkedPiece};
use crate::{ArchiveWriter, Contents, Error, Pace, TablePlan};

/// How a stream is passed through.
#[derive(Clone, Debug)]
pub struct PassThroughOptions {
    /// How the archive is compressed.
    pub codec: Codec,
    /// How many pieces are compressed at a time.
    pub jobs: usize,
    /// Bytes of a piece before compression.
    pub piece_bytes: usize,
    /// Row conditions of extension configuration tables, by the table's OID.
    pub filters: BTreeMap<u32, String>,
}

const READ_BYTES: usize = 256 * 1024;

/// A `pg_dump -Fc` stream whose head has been read; the rest is still to come.
pub struct OpenedStream<R> {
    source: R,
    parser: StreamParser,
    buffer: BytesMut,
    /// The head.
    pub head: Arc<Head>,
}

impl<R> std::fmt::Debug for OpenedStream<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenedStream").finish_non_exhaustive()
    }
}

/// Reads header and contents, which come first, and stops there: pg_dump then waits in its pipe.
///
/// Memory: the head. Fails when the stream ends before the contents are complete; pg_dump's own words then say why.
pub async fn read_head<R: AsyncRead + Unpin>(mut source: R) -> Result<OpenedStream<R>, Error> {
    let mut parser = StreamParser::new(Limits::default());
    let mut buffer = BytesMut::new();
    loop {
        if let Some(event) = parser.next_event()? {
            let Event::Head(head) = event else { return Err(Error::Truncated("the contents")) };
            return Ok(OpenedStream { source, parser, buffer, head });
        }
        let Some(bytes) = read(&mut source, &mut buffer).await? else { return Err(Error::Truncated("the contents")) };
        parser.push(bytes);
    }
}

async fn read<R: AsyncRead + Unpin>(source: &mut R, buffer: &mut BytesMut) -> Result<Option<Bytes>, Error> {
    buffer.reserve(READ_BYTES);
    let read = source.read_buf(buffer).await.map_err(|error| Error::Pipe("from pg_dump", error))?;
    Ok(if read == 0 { None } else { Some(buffer.split().freeze()) })
}

/// What the producer hands to the writer, in the archive's order.
enum Part {
    OpenTable(i32),
    CloseTable(i32),
    OpenLargeObjects(i32),
    OpenLargeObject(u32),
    CloseLargeObject(u32, String),
    CloseLargeObjects,
    Piece(JoinHandle<Result<WorkedPiece, Error>>),
}

/// Passes the rest of the stream through into `writer`, which then holds every block that the contents announce.
///
/// The stream's end is not success: whoever started pg_dump must ask for its exit status before finishing the upload.
/// On failure nothing is published; the writer, which the caller keeps, is to be aborted. Memory: `2 x jobs + 2`
/// pieces, before and after compression.
pub async fn pass_through<R: AsyncRead + Unpin + Send>(
    stream: OpenedStream<R>,
    contents: &Contents,
    writer: &mut ArchiveWriter,
    options: &PassThroughOptions,
    pace: &Pace,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let expected: BTreeSet<i32> =
        stream.head.entries().iter().filter(|entry| entry.has_data).map(|entry| entry.dump_id).collect();
    let (send, mut receive) = mpsc::channel::<Part>(options.jobs.max(1) * 2);
    let produce = async move {
        let mut producer = Producer { contents, options, send, pace, progress, expected, block: Block::Between };
        producer.run(stream).await
    };
    let consume = async {
        while let Some(part) = receive.recv().await {
            write(writer, part, contents, options).await?;
        }
        Ok::<(), Error>(())
    };
    let work = async { tokio::try_join!(produce, consume).map(|((), ())| ()) };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled),
        outcome = work => outcome,
    }
}

async fn write(
    writer: &mut ArchiveWriter,
    part: Part,
    contents: &Contents,
    options: &PassThroughOptions,
) -> Result<(), Error> {
    match part {
        Part::OpenTable(dump_id) => writer.open_table(dump_id).await,
        Part::CloseTable(dump_id) => {
            let plan = table(contents, dump_id)?;
            writer.close_table(plan, options.filters.get(&plan.oid).cloned()).await
        }
        Part::OpenLargeObjects(dump_id) => writer.open_large_objects(dump_id).await,
        Part::OpenLargeObject(oid) => writer.open_large_object(oid).await,
        Part::CloseLargeObject(oid, digest) => writer.close_large_object(oid, digest).await,
        Part::CloseLargeObjects => writer.close_large_objects().await,
        Part::Piece(work) => {
            let piece = work.await.map_err(Error::Worker)??;
            writer.piece(piece).await
        }
    }
}

fn table(contents: &Contents, dump_id: i32) -> Result<&TablePlan, Error> {
    contents.tables.get(&dump_id).ok_or(Error::Truncated("a table that the contents do not name"))
}

/// Where the producer stands.
enum Block {
    Between,
    Table(Box<OpenTable>),
    LargeObjects,
    LargeObject(Box<OpenLargeObject>),
}

struct OpenTable {
    dump_id: i32,
    order: Option<ColumnOrder>,
    cutter: PieceCutter,
}

#[derive(Default)]
struct OpenLargeObject {
    oid: u32,
    held: Vec<u8>,
    given: bool,
    hash: StreamHash,
}

struct Producer<'a> {
    contents: &'a Contents,
    options: &'a PassThroughOptions,
    send: mpsc::Sender<Part>,
    pace: &'a Pace,
    progress: &'a dyn Progress,
    expected: BTreeSet<i32>,
    block: Block,
}

impl Producer<'_> {
    async fn run<R: AsyncRead + Unpin>(&mut self, stream: OpenedStream<R>) -> Result<(), Error> {
        let OpenedStream { mut source, mut parser, mut buffer, .. } = stream;
        loop {
            while let Some(event) = parser.next_event()? {
                match event {
                    // One event a row: this path must stay short.
                    Event::Data(bytes) => {
                        let pieces = self.data(&bytes)?;
                        if !pieces.is_empty() {
                            self.give(pieces).await?;
                        }
                    }
                    event => self.border(event).await?,
                }
            }
            match read(&mut source, &mut buffer).await? {
                Some(bytes) => {
                    self.progress.advance(bytes.len() as u64);
                    self.pace.read(bytes.len() as u64).await;
                    parser.push(bytes);
                }
                None => break,
            }
        }
        parser.finish()?;
        if !self.expected.is_empty() {
            return Err(Error::BlocksMissing(self.expected.len()));
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<Vec<RawPiece>, Error> {
        let mut pieces = Vec::new();
        match &mut self.block {
            Block::Table(table) => table.cutter.push(bytes, |piece| pieces.push(piece))?,
            Block::LargeObject(object) => {
                object.hash.update(bytes);
                object.held.extend_from_slice(bytes);
                if object.held.len() >= self.options.piece_bytes {
                    object.given = true;
                    pieces.push(large_object_piece(std::mem::take(&mut object.held)));
                }
            }
            Block::Between | Block::LargeObjects => return Err(Error::Truncated("data outside a block")),
        }
        Ok(pieces)
    }

    async fn border(&mut self, event: Event) -> Result<(), Error> {
        match (event, std::mem::replace(&mut self.block, Block::Between)) {
            (Event::BlockStart { dump_id, kind, .. }, Block::Between) => self.open(dump_id, kind).await,
            (Event::BlockEnd { .. }, Block::Table(table)) => {
                let OpenTable { dump_id, order, cutter } = *table;
                let mut pieces = Vec::new();
                cutter.finish(|piece| pieces.push(piece)).map_err(|error| self.named(error, dump_id))?;
                self.give_in_order(pieces, order.as_ref()).await?;
                self.hand(Part::CloseTable(dump_id)).await
            }
            (Event::LargeObjectStart { oid }, Block::LargeObjects) => {
                self.block = Block::LargeObject(Box::new(OpenLargeObject { oid, ..OpenLargeObject::default() }));
                self.hand(Part::OpenLargeObject(oid)).await
            }
            (Event::LargeObjectEnd, Block::LargeObject(object)) => {
                self.block = Block::LargeObjects;
                // An empty object still needs a complete empty stream.
                if !object.held.is_empty() || !object.given {
                    self.give(vec![large_object_piece(object.held)]).await?;
                }
                self.hand(Part::CloseLargeObject(object.oid, object.hash.hex())).await
            }
            (Event::BlockEnd { .. }, Block::LargeObjects) => self.hand(Part::CloseLargeObjects).await,
            _ => Err(Error::Truncated("an order of blocks that no archive has")),
        }
    }

    async fn open(&mut self, dump_id: i32, kind: BlockKind) -> Result<(), Error> {
        if !self.expected.remove(&dump_id) {
            return Err(Error::Truncated("a block that the contents do not name, or name once"));
        }
        match kind {
            BlockKind::TableData => {
                let order = table(self.contents, dump_id)?.order.clone();
                let cutter = PieceCutter::new(self.options.piece_bytes, order.clone());
                self.block = Block::Table(Box::new(OpenTable { dump_id, order, cutter }));
                self.hand(Part::OpenTable(dump_id)).await
            }
            BlockKind::LargeObjects => {
                self.block = Block::LargeObjects;
                self.hand(Part::OpenLargeObjects(dump_id)).await
            }
        }
    }

    fn named(&self, error: Error, dump_id: i32) -> Error {
        match (error, self.contents.tables.get(&dump_id)) {
            (Error::RowCut { .. }, Some(plan)) => Error::RowCut { table: plan.group.clone() },
            (error, _) => error,
        }
    }

    async fn give(&self, pieces: Vec<RawPiece>) -> Result<(), Error> {
        let order = if let Block::Table(table) = &self.block { table.order.as_ref() } else { None };
        self.give_in_order(pieces, order).await
    }

    async fn give_in_order(&self, pieces: Vec<RawPiece>, order: Option<&ColumnOrder>) -> Result<(), Error> {
        for piece in pieces {
            let (codec, order) = (self.options.codec, order.cloned());
            let work = tokio::task::spawn_blocking(move || piece.work(&codec, order));
            self.hand(Part::Piece(work)).await?;
        }
        Ok(())
    }

    async fn hand(&self, part: Part) -> Result<(), Error> {
        // The writer is gone only when it failed; its error is the one that is reported.
        self.send.send(part).await.map_err(|_| Error::Cancelled)
    }
}

fn large_object_piece(bytes: Vec<u8>) -> RawPiece {
    RawPiece { bytes, open: false, end: false, digested: None, rows: false }
}
