//! Finds matches: what can be said again by pointing back.
//!
//! Made for COPY text, where much has no match (hex of bytea, UUIDs, digits) and looking for one is what costs. Three
//! things keep that cheap: only five equal bytes meet in the table, so that hex seldom meets by chance; after some bytes
//! without a match the search takes longer steps, but never beyond a separator, after which a column begins that may have
//! been seen before; and a short match is taken only where the last block's code says that it is cheaper than literals.

use super::chains::Chains;
use super::prices::Prices;
use super::sequence::{Sequence, word_at};
use super::symbols::{FARTHEST, LONGEST, SHORTEST};

const TABLE_BITS: u32 = 13;
pub(super) const WORD_BYTES: usize = 8;
const HASHED_BYTES: u32 = 5;

/// A block ends after this many bytes (two stored blocks) or sequences, whichever comes first.
const BLOCK_BYTES: usize = 2 * 65_535;
const BLOCK_SEQUENCES: usize = 16 * 1024;

/// For so many bytes after a match, its distance is tried again: columns of equal width have equal distances.
const NEAR_BYTES: usize = 8;
/// A match of so many bytes is taken without asking for its price.
const SURE_BYTES: usize = 7;
/// A shorter one must be so many bits cheaper than literals; a smaller gain is not worth the better match that may begin
/// one byte later.
const LEAST_GAIN: i32 = 5;
/// The search's longest step.
const LONGEST_STEP: usize = 8;

/// Stands for the number of ways where there are chains.
const CHAINS: usize = 0;
const NONE: Match = Match { length: 0, distance: 0 };

/// How hard to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effort {
    /// Earlier positions that are tried. Up to 2 it is one table and the first match is taken; above, all positions are
    /// kept in chains, and a match waits for a longer one that begins a byte later.
    pub(crate) ways: usize,
    /// Within a match every such position is remembered.
    pub(crate) insert_step: usize,
    /// Binary logarithm of the bytes without match after which steps grow by one.
    pub(crate) patience: u32,
}

/// Finds matches within one piece.
pub(super) struct Matcher {
    /// For each hash the last two positions with it, the newer one low, each by its lowest 16 bits. What lies there is
    /// always compared, so a wrong entry costs time and nothing else.
    table: Box<[u32; 1 << TABLE_BITS]>,
    chains: Option<Chains>,
    effort: Effort,
}

#[derive(Clone, Copy)]
pub(super) struct Match {
    pub(super) length: usize,
    pub(super) distance: usize,
}

impl Matcher {
    pub(super) fn new(effort: Effort) -> Self {
        let chains = (effort.ways > 2).then(|| Chains::new(effort.ways));
        Self { table: Box::new([0; 1 << TABLE_BITS]), chains, effort }
    }

    /// Forgets the piece before, so that what is written depends on the piece alone.
    pub(super) fn clear(&mut self) {
        self.table.fill(0);
        self.chains.iter_mut().for_each(Chains::clear);
    }

    /// Parses one block, which begins at `from`, into `sequences`; returns where it ends.
    pub(super) fn parse(&mut self, raw: &[u8], from: usize, prices: &Prices, sequences: &mut Vec<Sequence>) -> usize {
        match self.effort.ways {
            1 => self.parse_with::<1>(raw, from, prices, sequences),
            2 => self.parse_with::<2>(raw, from, prices, sequences),
            _ => self.parse_with::<CHAINS>(raw, from, prices, sequences),
        }
    }

    fn parse_with<const WAYS: usize>(
        &mut self,
        raw: &[u8],
        from: usize,
        prices: &Prices,
        sequences: &mut Vec<Sequence>,
    ) -> usize {
        let Effort { insert_step, patience, .. } = self.effort;
        let end = raw.len().min(from + BLOCK_BYTES);
        // The last bytes of a piece cannot be read as a word; they become literals.
        let searched = end.min(raw.len().saturating_sub(WORD_BYTES));
        let (mut at, mut anchor, mut last_distance) = (from, from, 0);
        while at < searched {
            let Some(word) = word_at(raw, at) else { break };
            let mut found = self.find::<WAYS>(raw, at, word);
            let run = at - anchor;
            if run < NEAR_BYTES {
                let again = compare(raw, at, word, last_distance);
                found = if again.length >= found.length { again } else { found };
            }
            if !worth(prices, word, found) {
                let step = (1 + (run >> patience)).min(LONGEST_STEP);
                at += if step == 1 { 1 } else { step_to_separator(word, step) };
                continue;
            }
            let mut known = at + 1;
            while WAYS == CHAINS && found.length < LONGEST && known < searched {
                let Some(word) = word_at(raw, known) else { break };
                let later = self.find::<WAYS>(raw, known, word);
                known += 1;
                if later.length <= found.length || !worth(prices, word, later) {
                    break;
                }
                (at, found) = (known - 1, later);
            }
            let start = at - common_before(raw, anchor, at, found.distance);
            let length = (at - start + common_after(raw, at, found)).min(LONGEST);
            sequences.push(Sequence::new(start - anchor, length, found.distance));
            last_distance = found.distance;
            anchor = start + length;
            for inside in (known..anchor.min(searched)).step_by(insert_step) {
                self.insert::<WAYS>(word_at(raw, inside).unwrap_or(0), inside);
            }
            at = anchor;
            if sequences.len() >= BLOCK_SEQUENCES {
                return anchor;
            }
        }
        let end = end.max(anchor);
        if end > anchor {
            sequences.push(Sequence::literals(end - anchor));
        }
        end
    }

    /// Remembers the position; returns those before it with the same hash.
    #[inline(always)]
    fn insert<const WAYS: usize>(&mut self, word: u64, at: usize) -> u32 {
        if WAYS == CHAINS {
            return self.chains.as_mut().map_or(0, |chains| chains.insert(word, at).into());
        }
        // Knuth's multiplicative hash of the first bytes; the shift leaves as many bits as the table has.
        let hash = (word << (64 - 8 * HASHED_BYTES)).wrapping_mul(0x9e37_79b1_85eb_ca87) >> (64 - TABLE_BITS);
        let bucket = &mut self.table[hash as usize];
        let before = *bucket;
        *bucket = before << 16 | (at & 0xffff) as u32;
        before
    }

    /// Remembers the position and returns the longest match there, as far as the word shows.
    #[inline(always)]
    fn find<const WAYS: usize>(&mut self, raw: &[u8], at: usize, word: u64) -> Match {
        if WAYS == CHAINS {
            return self.chains.as_mut().map_or(NONE, |chains| chains.find(raw, at, word));
        }
        let bucket = self.insert::<WAYS>(word, at);
        let newer = compare(raw, at, word, at.wrapping_sub(bucket as usize) & 0xffff);
        if WAYS == 1 {
            return newer;
        }
        let older = compare(raw, at, word, at.wrapping_sub((bucket >> 16) as usize) & 0xffff);
        if older.length > newer.length { older } else { newer }
    }
}

/// Whether a match is cheaper than literals.
#[inline(always)]
fn worth(prices: &Prices, word: u64, found: Match) -> bool {
    found.length >= SURE_BYTES
        || (found.length >= SHORTEST && prices.gain(word, found.length, found.distance) >= LEAST_GAIN)
}

/// How many bytes of the word also lie `distance` before it; 0 for a distance that cannot be.
///
/// Without a branch on the data: in text without matches, it would be guessed wrong all the time.
#[inline(always)]
pub(super) fn compare(raw: &[u8], at: usize, word: u64, distance: usize) -> Match {
    let length = (word_at(raw, at.wrapping_sub(distance)).unwrap_or(0) ^ word).trailing_zeros() / 8;
    let possible = distance.wrapping_sub(1) < at.min(FARTHEST);
    Match { length: if possible { length as usize } else { 0 }, distance }
}

/// How many bytes before `at` and after `anchor` belong to the match, too.
#[inline(always)]
fn common_before(raw: &[u8], anchor: usize, at: usize, distance: usize) -> usize {
    let here = raw[anchor..at].iter().rev();
    let there = raw[..at - distance].iter().rev();
    here.zip(there).take_while(|(a, b)| a == b).count()
}

/// The whole length of a match from `at` on, of at most [`LONGEST`].
#[inline(always)]
pub(super) fn common_after(raw: &[u8], at: usize, found: Match) -> usize {
    if found.length < WORD_BYTES {
        return found.length;
    }
    let here = &raw[at..raw.len().min(at + LONGEST)];
    let there = &raw[at - found.distance..][..here.len()];
    let mut length = WORD_BYTES;
    while let (Some(a), Some(b)) = (word_at(here, length), word_at(there, length)) {
        if a != b {
            return length + ((a ^ b).trailing_zeros() / 8) as usize;
        }
        length += WORD_BYTES;
    }
    length + here[length..].iter().zip(&there[length..]).take_while(|(a, b)| a == b).count()
}

/// As many bytes as `step`, or fewer where a byte below `-` (tab, newline, blank, comma, quote) comes before.
#[inline(always)]
fn step_to_separator(word: u64, step: usize) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    // The highest bit of every byte that is below; also of some that follow such a byte, which does not matter.
    let rest = word >> 8;
    let below = rest.wrapping_sub(ONES * u64::from(b'-')) & !rest & (ONES << 7);
    step.min(1 + (below.trailing_zeros() / 8) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_end_at_separators() {
        let step = |text: &[u8; 8], step| step_to_separator(u64::from_le_bytes(*text), step);
        assert_eq!(step(b"0123456\t", 8), 7);
        assert_eq!(step(b"0\n23 56\t", 8), 1);
        assert_eq!(step(b"\t123456f", 5), 5);
        assert_eq!(step(b"\t12,456f", 2), 2);
    }

    #[test]
    fn matches_reach_from_the_literals_before_to_the_longest() {
        let effort = Effort { ways: 2, insert_step: 1, patience: 4 };
        let row: Vec<u8> = (0..=255).collect();
        let raw = [&row[..], &row, &row, b"tail"].concat();
        let mut sequences = Vec::new();
        let end = Matcher::new(effort).parse(&raw, 0, &Prices::unknown(), &mut sequences);
        assert_eq!(end, raw.len());
        let lengths: Vec<_> = sequences.iter().map(|sequence| (sequence.literals, sequence.length)).collect();
        assert_eq!(lengths, [(256, 258), (0, 254), (4, 0)]);
    }
}
