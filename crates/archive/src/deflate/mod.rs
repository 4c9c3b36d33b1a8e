//! A deflate compressor for COPY text (RFC 1951).
//!
//! What it must never do: write anything that another inflate reads differently. It compares every match with the text
//! before it says it, and every block with the size computed from the counts of its symbols.

mod bits;
mod block;
mod chains;
mod header;
mod huffman;
mod matches;
mod prices;
mod sequence;
mod symbols;

use bits::BitWriter;
use block::{write_block, write_stored};
use matches::Matcher;
use prices::Prices;
use sequence::Sequence;

pub(crate) use matches::Effort;

/// The compressor found itself to be wrong; nothing of the piece may be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Wrong {
    /// The matches do not say what the text says.
    #[error("the block at byte {from} of a piece does not repeat what it points to")]
    Sequences { from: usize },
    /// The bits written are not those counted.
    #[error("a block of {expected} bits came out as {written}")]
    Length { expected: u64, written: u64 },
}

/// Compresses pieces one after the other with the same memory.
pub(crate) struct Deflater {
    matcher: Matcher,
    sequences: Vec<Sequence>,
    bits: BitWriter,
}

impl Deflater {
    pub(crate) fn new(effort: Effort) -> Self {
        Self { matcher: Matcher::new(effort), sequences: Vec::new(), bits: BitWriter::new() }
    }

    /// Compresses one piece as raw deflate that shares no history with others and ends in an empty stored block, as zlib's
    /// full flush does: a byte border where another piece, or the end of the stream, may follow.
    ///
    /// The output leaves in portions of `portion_bytes`; only the last may be smaller. It depends on nothing but the
    /// piece and the effort. Can be used again after an error.
    pub(crate) fn encode(&mut self, raw: &[u8], portion_bytes: usize, mut put: impl FnMut(&[u8])) -> Result<(), Wrong> {
        self.bits.clear();
        self.matcher.clear();
        let mut prices = Prices::unknown();
        let mut from = 0;
        while from < raw.len() {
            self.sequences.clear();
            let to = self.matcher.parse(raw, from, &prices, &mut self.sequences);
            let code = write_block(&mut self.bits, &raw[..to], from, &self.sequences)?;
            prices = Prices::of(&code);
            from = to;
            let whole = self.bits.bytes().len() / portion_bytes * portion_bytes;
            if whole > 0 {
                self.bits.bytes()[..whole].chunks(portion_bytes).for_each(&mut put);
                self.bits.take(whole);
            }
        }
        write_stored(&mut self.bits, b"");
        self.bits.bytes().chunks(portion_bytes).for_each(put);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
