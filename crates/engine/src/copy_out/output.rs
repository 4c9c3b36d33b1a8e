//! What a portion became, on its way from the session that copied it to the one place that writes.

use tokio::sync::{mpsc, oneshot};

use super::plan::Portion;
use crate::Error;
use crate::piece_cutter::WorkedPiece;

/// What is to be written, in the archive's order.
pub(super) enum Part {
    OpenTable(usize),
    Piece(WorkedPiece),
    CloseTable(usize),
    OpenLargeObjects(i32),
    OpenLargeObject(u32),
    CloseLargeObject(u32, String),
    CloseLargeObjects,
    /// A lock was refused: the coordinator is to copy this.
    Refused(Portion),
    /// The portion is complete.
    End,
}

impl Part {
    fn bytes(&self) -> usize {
        match self {
            Self::Piece(piece) => piece.encoded.bytes.len(),
            _ => 0,
        }
    }
}

/// How a portion reaches the writer.
pub(super) enum Outcome {
    /// Complete.
    Whole(Vec<Part>),
    /// As it is copied, because it is larger than its buffer.
    Live(mpsc::Receiver<Part>),
}

/// Holds a portion until it is complete, or streams it once it is larger than its buffer.
///
/// The stream waits until everything before the portion is written, so a portion never holds more than its buffer and
/// the pieces under way.
pub(super) struct Output {
    held: Vec<Part>,
    held_bytes: usize,
    put: usize,
    buffer_bytes: usize,
    to: Option<oneshot::Sender<Outcome>>,
    live: Option<mpsc::Sender<Part>>,
}

impl Output {
    pub(super) fn new(buffer_bytes: usize, to: oneshot::Sender<Outcome>) -> Self {
        Self { held: Vec::new(), held_bytes: 0, put: 0, buffer_bytes, to: Some(to), live: None }
    }

    /// Parts that are written as they come: nothing is held.
    pub(super) fn live() -> (Self, mpsc::Receiver<Part>) {
        let (send, receive) = mpsc::channel(1);
        (Self { held: Vec::new(), held_bytes: 0, put: 0, buffer_bytes: 0, to: None, live: Some(send) }, receive)
    }

    /// Tells whether parts have left that cannot be taken back.
    pub(super) fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// Takes everything back; only while nothing has left.
    pub(super) fn clear(&mut self) {
        self.held.clear();
        (self.held_bytes, self.put) = (0, 0);
    }

    /// Where the portion stands, for [`back_to`](Self::back_to).
    pub(super) fn mark(&self) -> usize {
        self.put
    }

    /// Takes back what was put since the mark; tells whether that was possible.
    pub(super) fn back_to(&mut self, mark: usize) -> bool {
        if self.is_live() {
            return self.put == mark;
        }
        self.held.truncate(mark);
        self.held_bytes = self.held.iter().map(Part::bytes).sum();
        self.put = self.held.len();
        true
    }

    pub(super) async fn put(&mut self, part: Part) -> Result<(), Error> {
        self.put += 1;
        if self.live.is_none() {
            self.held_bytes += part.bytes();
            self.held.push(part);
            if self.held_bytes <= self.buffer_bytes {
                return Ok(());
            }
            let (send, receive) = mpsc::channel(1);
            // The writer is gone only when it failed; its error is the one that is reported.
            self.to.take().and_then(|to| to.send(Outcome::Live(receive)).ok()).ok_or(Error::Cancelled)?;
            for part in std::mem::take(&mut self.held) {
                send.send(part).await.map_err(|_| Error::Cancelled)?;
            }
            self.live = Some(send);
            return Ok(());
        }
        match &self.live {
            Some(live) => live.send(part).await.map_err(|_| Error::Cancelled),
            None => Ok(()),
        }
    }

    /// Ends the portion.
    pub(super) async fn end(mut self) -> Result<(), Error> {
        match (self.live, self.to.take()) {
            (Some(live), _) => live.send(Part::End).await.map_err(|_| Error::Cancelled),
            (None, Some(to)) => {
                self.held.push(Part::End);
                to.send(Outcome::Whole(self.held)).map_err(|_| Error::Cancelled)
            }
            (None, None) => Ok(()),
        }
    }
}
