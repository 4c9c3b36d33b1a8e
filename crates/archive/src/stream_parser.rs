//! Follows an archive as it streams by.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::chunk::chunk_length;
use crate::cursor::{INT_BYTES, int, oid};
use crate::{EntryKind, Error, Head, HeadParser};

/// What a [`StreamParser`] accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest head in bytes; it is the only part that is kept in memory.
    pub head_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes: HeadParser::DEFAULT_LIMIT }
    }
}

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// One list of chunks: the rows of one table.
    TableData,
    /// A list of chunks for each large object of a group.
    LargeObjects,
}

/// What a [`StreamParser`] met. Positions are bytes from the start of the archive.
#[derive(Debug, Clone)]
pub enum Event {
    /// Header and contents are complete; comes first and once.
    Head(Arc<Head>),
    /// A block begins.
    BlockStart {
        /// Its entry. An id that is not in the contents marks filler, which every reader skips.
        dump_id: i32,
        /// What it holds.
        kind: BlockKind,
        /// Its first byte: what an entry's offset names.
        position: u64,
    },
    /// The next large object of the block begins.
    LargeObjectStart {
        /// Its OID.
        oid: u32,
    },
    /// Stored bytes of the current table or large object, in order, compressed as the header says.
    ///
    /// They share the pushed buffers' memory and are never gathered: a chunk may come in several events.
    Data(Bytes),
    /// The current large object ends.
    LargeObjectEnd,
    /// The current block ends.
    BlockEnd {
        /// The first byte behind it.
        position: u64,
    },
}

enum State {
    Head(Box<HeadParser>),
    /// Before a block, or at the end of the archive.
    Border,
    /// Before the OID of the next large object, or before the end of the block.
    LargeObject,
    /// Before the length of the next chunk, or before the end of the list.
    Chunk(BlockKind),
    /// Inside a chunk.
    Data(BlockKind, u32),
    Failed,
}

/// Follows an archive that is pushed in portions of any size, and indexes it.
///
/// Push bytes, take events until there are none, push more; at the end of the input [`finish`](Self::finish) tells
/// whether the archive was complete. A well-formed archive still proves nothing about the program that wrote it: its
/// exit status decides.
pub struct StreamParser {
    state: State,
    queue: VecDeque<Bytes>,
    queued: usize,
    position: u64,
    head: Option<Arc<Head>>,
    seen: HashSet<i32>,
}

impl StreamParser {
    /// Starts at an archive's first byte.
    pub fn new(limits: Limits) -> Self {
        Self {
            state: State::Head(Box::new(HeadParser::new(limits.head_bytes))),
            queue: VecDeque::new(),
            queued: 0,
            position: 0,
            head: None,
            seen: HashSet::new(),
        }
    }

    /// Hands over the next bytes of the archive.
    pub fn push(&mut self, input: Bytes) {
        if !input.is_empty() {
            self.queued += input.len();
            self.queue.push_back(input);
        }
    }

    /// Returns the next event; `None` asks for more input.
    ///
    /// Errors where the archive contradicts its format or its contents: a block of an entry without data or of another
    /// kind, two blocks of one entry. The parser is spent then.
    pub fn next_event(&mut self) -> Result<Option<Event>, Error> {
        match self.step() {
            Err(error) => {
                self.state = State::Failed;
                Err(error)
            }
            step => step,
        }
    }

    /// Returns how far the archive has been read: events account for all bytes before this position.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Says whether the archive may end here: the head complete, no block open, all pushed bytes accounted for.
    ///
    /// Errors with [`Error::Truncated`] otherwise. That every entry with data had its block is checked by
    /// [`Head::patched`].
    pub fn finish(&mut self) -> Result<(), Error> {
        let at = self.position + self.queued as u64;
        match &self.state {
            State::Border if self.queued == 0 => Ok(()),
            State::Head(parser) => {
                Err(Error::Truncated { what: "head of the archive", at: at + parser.taken() as u64 })
            }
            State::Failed => Err(Error::AfterFailure),
            _ => Err(Error::Truncated { what: "block of the archive", at }),
        }
    }

    fn step(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let at = self.position;
            match &mut self.state {
                State::Failed => return Err(Error::AfterFailure),
                State::Head(parser) => {
                    let Some(front) = self.queue.front_mut() else { return Ok(None) };
                    let length = front.len();
                    let Some((head, rest)) = parser.push(front)? else {
                        self.queue.pop_front();
                        self.queued -= length;
                        continue;
                    };
                    let consumed = length - rest.len();
                    front.advance(consumed);
                    self.queued -= consumed;
                    self.position = head.len() as u64;
                    self.state = State::Border;
                    let head = Arc::new(head);
                    self.head = Some(Arc::clone(&head));
                    return Ok(Some(Event::Head(head)));
                }
                State::Border => {
                    let Some([kind, id @ ..]) = self.take::<{ 1 + INT_BYTES }>() else { return Ok(None) };
                    return self.open_block(kind, int(id, at + 1)?, at).map(Some);
                }
                State::LargeObject => {
                    let Some(bytes) = self.take::<INT_BYTES>() else { return Ok(None) };
                    match oid(bytes, at)? {
                        0 => return Ok(Some(self.close_block())),
                        oid => {
                            self.state = State::Chunk(BlockKind::LargeObjects);
                            return Ok(Some(Event::LargeObjectStart { oid }));
                        }
                    }
                }
                State::Chunk(kind) => {
                    let kind = *kind;
                    let Some(bytes) = self.take::<INT_BYTES>() else { return Ok(None) };
                    match (chunk_length(bytes, at)?, kind) {
                        (0, BlockKind::TableData) => return Ok(Some(self.close_block())),
                        (0, BlockKind::LargeObjects) => {
                            self.state = State::LargeObject;
                            return Ok(Some(Event::LargeObjectEnd));
                        }
                        (length, _) => self.state = State::Data(kind, length),
                    }
                }
                State::Data(kind, remaining) => {
                    let Some(front) = self.queue.front_mut() else { return Ok(None) };
                    let length = front.len().min(*remaining as usize);
                    let data = front.split_to(length);
                    if front.is_empty() {
                        self.queue.pop_front();
                    }
                    self.queued -= length;
                    self.position += length as u64;
                    // `length` is at most `remaining`.
                    *remaining -= length as u32;
                    if *remaining == 0 {
                        self.state = State::Chunk(*kind);
                    }
                    return Ok(Some(Event::Data(data)));
                }
            }
        }
    }

    /// Takes a value of fixed size, which may lie across pushed buffers.
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        if self.queued < N {
            return None;
        }
        let mut value = [0; N];
        let mut filled = 0;
        while filled < N {
            let front = self.queue.front_mut()?;
            let length = front.len().min(N - filled);
            front.copy_to_slice(&mut value[filled..filled + length]);
            filled += length;
            if front.is_empty() {
                self.queue.pop_front();
            }
        }
        self.queued -= N;
        self.position += N as u64;
        Some(value)
    }

    fn open_block(&mut self, kind: u8, dump_id: i32, position: u64) -> Result<Event, Error> {
        let kind = match kind {
            1 => BlockKind::TableData,
            3 => BlockKind::LargeObjects,
            _ => return Err(Error::Corrupt { what: "a block's kind is unknown", at: position }),
        };
        if let Some(entry) = self.head.as_deref().and_then(|head| head.entry(dump_id)) {
            let fits = match entry.kind() {
                EntryKind::TableData => kind == BlockKind::TableData,
                EntryKind::LargeObjects => kind == BlockKind::LargeObjects,
                _ => true,
            };
            if !entry.has_data || !fits {
                return Err(Error::UnexpectedBlock { dump_id });
            }
            if !self.seen.insert(dump_id) {
                return Err(Error::DuplicateBlock { dump_id });
            }
        }
        self.state = match kind {
            BlockKind::TableData => State::Chunk(kind),
            BlockKind::LargeObjects => State::LargeObject,
        };
        Ok(Event::BlockStart { dump_id, kind, position })
    }

    fn close_block(&mut self) -> Event {
        self.state = State::Border;
        Event::BlockEnd { position: self.position }
    }
}
