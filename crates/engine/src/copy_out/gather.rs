//! Rows as they arrive become stored pieces: cut at rows, digested while they are in the cache, compressed and hashed.

use holdpoint_archive::{COPY_END, Codec, PieceEncoder};
use holdpoint_core::digest::{ColumnOrder, RowDigest, RowDigester};
use sha2::{Digest, Sha256};
use tokio::task::{JoinHandle, JoinSet};

use super::output::{Output, Part};
use crate::Error;
use crate::piece_cutter::WorkedPiece;

/// Below it, handing the compression to another thread costs more than it brings.
const SMALL_BYTES: usize = 64 * 1024;

/// Makes pieces of one list of chunks at a time; one is filled while the one before it is compressed.
///
/// A piece ends at a row. A row larger than a piece is cut within, and its pieces hold nothing else, as those that the
/// pass-through cuts. Memory: two pieces before compression and one after it.
///
/// The last piece of a portion is compressed while the next portion is read already ([`leave`](Gather::leave)): waiting
/// for it would leave the server idle once a portion.
pub(super) struct Gather {
    codec: Codec,
    piece_bytes: usize,
    encoder: Option<PieceEncoder>,
    held: Vec<u8>,
    /// Where in `held` the last whole row ends.
    rows_end: usize,
    /// What is held goes on with a row that began in a piece before.
    within_row: bool,
    digester: RowDigester,
    /// Rows since the last beginning.
    rows: u64,
    compressing: Option<JoinHandle<Result<Compressed, Error>>>,
    /// What is put after the piece that is being compressed.
    following: Vec<Part>,
    /// The end of the portion before, at most one.
    left: JoinSet<Result<Spent, Error>>,
    spare: Vec<u8>,
}

struct Compressed {
    piece: WorkedPiece,
    spent: Spent,
}

/// What a compressed piece leaves to be used again.
struct Spent {
    encoder: PieceEncoder,
    raw: Vec<u8>,
}

/// A piece that is cut.
struct Cut {
    raw: Vec<u8>,
    digest: RowDigest,
    open: bool,
    end: bool,
}

impl Cut {
    fn compress(self, mut encoder: PieceEncoder) -> Result<Compressed, Error> {
        let Self { mut raw, digest, open, end } = self;
        let encoded = encoder.encode(&raw)?;
        let sha256 = Sha256::digest(&encoded.bytes).into();
        raw.clear();
        Ok(Compressed { piece: WorkedPiece { encoded, sha256, digest, open, end }, spent: Spent { encoder, raw } })
    }
}

impl Gather {
    pub(super) fn new(codec: Codec, piece_bytes: usize) -> Self {
        Self {
            codec,
            piece_bytes,
            encoder: None,
            held: Vec::new(),
            rows_end: 0,
            within_row: false,
            digester: RowDigester::default(),
            rows: 0,
            compressing: None,
            following: Vec::new(),
            left: JoinSet::new(),
            spare: Vec::new(),
        }
    }

    /// Begins the rows of a table, or of a part of one.
    pub(super) fn begin_rows(&mut self, order: Option<&ColumnOrder>) {
        self.held.clear();
        (self.rows_end, self.within_row, self.rows) = (0, false, 0);
        self.digester = RowDigester::with_order(order.cloned());
    }

    /// Adds rows.
    pub(super) async fn rows(&mut self, mut bytes: &[u8], output: &mut Output) -> Result<(), Error> {
        while self.within_row && !bytes.is_empty() {
            let Some(end) = memchr::memchr(b'\n', bytes) else { break };
            let (now, later) = bytes.split_at(end + 1);
            self.add(now)?;
            self.within_row = false;
            self.cut(self.held.len(), output).await?;
            bytes = later;
        }
        if let Some(end) = memchr::memrchr(b'\n', bytes) {
            self.rows_end = self.held.len() + end + 1;
        }
        self.add(bytes)?;
        if self.held.len() < self.piece_bytes {
            return Ok(());
        }
        if self.rows_end > 0 {
            return self.cut(self.rows_end, output).await;
        }
        self.within_row = true;
        self.cut(self.held.len(), output).await
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.held.capacity() == 0 && bytes.len() >= SMALL_BYTES {
            // Filled up to a piece and a batch; growing by doubling would copy all of it again and again.
            self.held.reserve(self.piece_bytes + 4 * SMALL_BYTES);
        }
        self.held.extend_from_slice(bytes);
        Ok(self.digester.push(bytes)?)
    }

    /// Ends the rows and tells how many there were; `last` says that the table ends with them.
    ///
    /// Fails when they stop within a row.
    pub(super) async fn end_rows(&mut self, table: &str, last: bool, output: &mut Output) -> Result<u64, Error> {
        if self.digester.rows().1 {
            return Err(Error::RowCut { table: table.to_owned() });
        }
        if last {
            let (digest, mut raw) = (self.digester.take(), std::mem::take(&mut self.held));
            raw.extend_from_slice(COPY_END);
            self.rows_end = 0;
            self.compress(Cut { raw, digest, open: false, end: true }, output).await?;
        } else if !self.held.is_empty() {
            self.cut(self.held.len(), output).await?;
        }
        Ok(self.rows)
    }

    /// Adds bytes of a large object; its hash is the caller's.
    pub(super) async fn bytes(&mut self, bytes: &[u8], output: &mut Output) -> Result<(), Error> {
        self.held.extend_from_slice(bytes);
        if self.held.len() < self.piece_bytes { Ok(()) } else { self.end_bytes(output).await }
    }

    /// Ends a large object's piece; without bytes it is the empty one that an empty object needs.
    pub(super) async fn end_bytes(&mut self, output: &mut Output) -> Result<(), Error> {
        let raw = std::mem::take(&mut self.held);
        self.compress(Cut { raw, digest: RowDigest::default(), open: false, end: false }, output).await
    }

    /// Tells whether bytes are held that are in no piece yet.
    pub(super) fn holds_bytes(&self) -> bool {
        !self.held.is_empty()
    }

    /// Cuts the first `length` bytes off as a piece.
    async fn cut(&mut self, length: usize, output: &mut Output) -> Result<(), Error> {
        let mut next = std::mem::take(&mut self.spare);
        next.extend_from_slice(&self.held[length..]);
        self.held.truncate(length);
        let raw = std::mem::replace(&mut self.held, next);
        self.rows_end = 0;
        let (digest, open) = (self.digester.take(), self.within_row);
        self.compress(Cut { raw, digest, open, end: false }, output).await
    }

    async fn compress(&mut self, cut: Cut, output: &mut Output) -> Result<(), Error> {
        self.rows += cut.digest.rows;
        self.finish(output).await?;
        self.settle().await?;
        let encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => PieceEncoder::new(&self.codec)?,
        };
        if cut.raw.len() < SMALL_BYTES {
            let Compressed { piece, spent } = cut.compress(encoder)?;
            self.take_back(spent);
            return output.put(Part::Piece(piece)).await;
        }
        self.compressing = Some(tokio::task::spawn_blocking(move || cut.compress(encoder)));
        Ok(())
    }

    /// Puts what is no piece, in its order.
    pub(super) async fn put(&mut self, part: Part, output: &mut Output) -> Result<(), Error> {
        if self.compressing.is_none() {
            return output.put(part).await;
        }
        self.following.push(part);
        Ok(())
    }

    /// Waits for the piece that is being compressed and gives it, and what follows it, to the output.
    pub(super) async fn finish(&mut self, output: &mut Output) -> Result<(), Error> {
        if let Some(compressing) = self.compressing.take() {
            let spent = ended(compressing, std::mem::take(&mut self.following), output).await?;
            self.take_back(spent);
        }
        Ok(())
    }

    /// Ends a portion, once its last piece is compressed; does not wait for that.
    pub(super) async fn leave(&mut self, mut output: Output) -> Result<(), Error> {
        let Some(compressing) = self.compressing.take() else { return output.end().await };
        let following = std::mem::take(&mut self.following);
        self.left.spawn(async move {
            let spent = ended(compressing, following, &mut output).await?;
            output.end().await?;
            Ok(spent)
        });
        Ok(())
    }

    /// Waits until the portion that was left has ended.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        while let Some(left) = self.left.join_next().await {
            self.take_back(left.map_err(Error::Worker)??);
        }
        Ok(())
    }

    fn take_back(&mut self, Spent { encoder, raw }: Spent) {
        self.encoder = Some(encoder);
        // A row far larger than a piece leaves no buffer of its size behind.
        if raw.capacity() <= 2 * self.piece_bytes && raw.capacity() > self.spare.capacity() {
            self.spare = raw;
        }
    }

    /// Forgets what is held, after a failure.
    pub(super) async fn reset(&mut self) {
        self.following.clear();
        if let Some(compressing) = self.compressing.take()
            && let Ok(Ok(Compressed { spent, .. })) = compressing.await
        {
            self.take_back(spent);
        }
        self.begin_rows(None);
    }
}

/// Waits for a piece and puts it, and what follows it.
async fn ended(
    compressing: JoinHandle<Result<Compressed, Error>>,
    following: Vec<Part>,
    output: &mut Output,
) -> Result<Spent, Error> {
    let Compressed { piece, spent } = compressing.await.map_err(Error::Worker)??;
    output.put(Part::Piece(piece)).await?;
    for part in following {
        output.put(part).await?;
    }
    Ok(spent)
}
