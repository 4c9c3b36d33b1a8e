//! Reads the head of an archive from input that arrives in portions.

use bytes::Bytes;

use crate::cursor::{Cursor, Stop};
use crate::entry::RawEntry;
use crate::header::RawHeader;
use crate::{Error, Head};

/// Portions by which input is taken in, so that data behind the head are not copied along with it.
const STEP_BYTES: usize = 64 * 1024;

/// Reads a head from input of any portioning.
///
/// Work is proportional to the input, however it is portioned; memory to the bytes that really arrived, never to a
/// length they claim.
pub struct HeadParser {
    limit: usize,
    buffer: Vec<u8>,
    /// Where the next value begins.
    at: usize,
    /// Nothing can be read before the buffer is this long.
    needed: usize,
    header: Option<RawHeader>,
    count: Option<i32>,
    entries: Vec<RawEntry>,
    partial: Option<RawEntry>,
}

impl HeadParser {
    /// The cap on a head's size unless another one is given: 1 GiB, about four million entries.
    pub const DEFAULT_LIMIT: usize = 1 << 30;

    /// Starts a parser that refuses heads of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.min(u32::MAX as usize - 1),
            buffer: Vec::new(),
            at: 0,
            needed: 0,
            header: None,
            count: None,
            entries: Vec::new(),
            partial: None,
        }
    }

    /// Takes in more of the archive. `None` asks for more; otherwise the head and the part of `input` behind it.
    ///
    /// The parser is spent after it gave a head or an error. Errors: not an archive, a version, format or width that is
    /// not supported, a value that contradicts the format, a head above the limit.
    pub fn push<'i>(&mut self, input: &'i [u8]) -> Result<Option<(Head, &'i [u8])>, Error> {
        let mut rest = input;
        while !rest.is_empty() {
            let missing = self.needed.saturating_sub(self.buffer.len());
            let room = self.limit.saturating_sub(self.buffer.len());
            let take = missing.max(STEP_BYTES).min(rest.len()).min(room);
            if take == 0 {
                return Err(Error::HeadTooLarge { limit: self.limit });
            }
            let (now, later) = rest.split_at(take);
            self.buffer.extend_from_slice(now);
            rest = later;
            if self.buffer.len() < self.needed {
                continue;
            }
            match self.advance() {
                Ok(header) => {
                    // Before `now` the head was incomplete, so what is left over is all of this input.
                    let surplus = self.buffer.len() - self.at;
                    self.buffer.truncate(self.at);
                    let bytes = Bytes::from(std::mem::take(&mut self.buffer));
                    let head = Head::resolve(bytes, header, std::mem::take(&mut self.entries))?;
                    return Ok(Some((head, &input[input.len() - rest.len() - surplus..])));
                }
                Err(Stop::Need(needed)) if needed > self.limit => {
                    return Err(Error::HeadTooLarge { limit: self.limit });
                }
                Err(Stop::Need(needed)) => self.needed = needed,
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Returns how many bytes were taken in so far.
    pub(crate) fn taken(&self) -> usize {
        self.buffer.len()
    }

    /// Reads as far as the buffer goes, keeping the place of the first value that is not complete.
    fn advance(&mut self) -> Result<RawHeader, Stop> {
        let mut cursor = Cursor::new(&self.buffer, self.at);
        let header = match self.header.take() {
            Some(header) => header,
            None => RawHeader::read(&mut cursor)?,
        };
        let outcome = Self::read_entries(&mut cursor, &header, &mut self.count, &mut self.entries, &mut self.partial);
        self.at = cursor.at;
        match outcome {
            Ok(()) => Ok(header),
            Err(stop) => {
                self.header = Some(header);
                Err(stop)
            }
        }
    }

    fn read_entries(
        cursor: &mut Cursor<'_>,
        header: &RawHeader,
        count: &mut Option<i32>,
        entries: &mut Vec<RawEntry>,
        partial: &mut Option<RawEntry>,
    ) -> Result<(), Stop> {
        let count = match *count {
            Some(known) => known,
            None => {
                let at = cursor.at;
                let read = cursor.int()?;
                if read < 0 {
                    return Err(Error::Corrupt { what: "the number of entries is negative", at: at as u64 }.into());
                }
                *count.insert(read)
            }
        };
        while (entries.len() as u64) < u64::from(count.unsigned_abs()) {
            let mut entry = partial.take().unwrap_or_else(|| RawEntry::new(cursor.at));
            if let Err(stop) = entry.read(cursor, header.version) {
                *partial = Some(entry);
                return Err(stop);
            }
            entries.push(entry);
        }
        Ok(())
    }
}

impl Default for HeadParser {
    fn default() -> Self {
        Self::new(Self::DEFAULT_LIMIT)
    }
}
