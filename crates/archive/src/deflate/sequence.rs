//! Literals and matches.

use super::symbols::{FARTHEST, LONGEST, SHORTEST};

/// Literals, then a match; without a match at the end of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) literals: u32,
    /// 0 where there is no match.
    pub(super) length: u16,
    pub(super) distance: u16,
}

impl Sequence {
    /// Literals and a match, whose length and distance must be such as deflate can say.
    #[inline(always)]
    pub(super) fn new(literals: usize, length: usize, distance: usize) -> Self {
        debug_assert!((SHORTEST..=LONGEST).contains(&length) && (1..=FARTHEST).contains(&distance));
        Self { literals: literals as u32, length: length as u16, distance: distance as u16 }
    }

    /// Literals alone.
    pub(super) fn literals(literals: usize) -> Self {
        Self { literals: literals as u32, length: 0, distance: 0 }
    }
}

/// The eight bytes at `at`, the first one lowest.
#[inline(always)]
pub(super) fn word_at(raw: &[u8], at: usize) -> Option<u64> {
    let bytes = raw.get(at..at.wrapping_add(8))?;
    bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Whether the sequences cover the text from `from` to its end, and every match repeats what lies at its distance.
pub(super) fn cover(sequences: &[Sequence], raw: &[u8], from: usize) -> bool {
    let (mut at, mut same) = (from, true);
    for sequence in sequences {
        at += sequence.literals as usize;
        let length = usize::from(sequence.length);
        let Some(there) = at.checked_sub(sequence.distance.into()) else { return false };
        same &= match (word_at(raw, at), word_at(raw, there)) {
            (Some(here), Some(there)) if length <= 8 => {
                // The mask keeps the bytes of the match.
                (here ^ there) & u64::MAX.checked_shr(64 - 8 * u32::from(sequence.length)).unwrap_or(0) == 0
            }
            _ => at + length <= raw.len() && raw[at..at + length] == raw[there..there + length],
        };
        at += length;
    }
    same && at == raw.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_text_says_covers_it() {
        let raw = b"abcdefghij.abcdefghij.abcdefghij.abc";
        let covers = |sequences: &[Sequence]| cover(sequences, raw, 0);
        assert!(covers(&[Sequence::literals(36)]));
        assert!(covers(&[Sequence::new(11, 22, 11), Sequence::new(0, 3, 11)]));
        assert!(covers(&[Sequence::new(11, 5, 11), Sequence::new(0, 8, 11), Sequence::literals(12)]));
        // Too short, too long, at the wrong distance, before the beginning, beyond the end.
        for wrong in [
            &[Sequence::literals(35)][..],
            &[Sequence::literals(37)],
            &[Sequence::new(11, 5, 10), Sequence::literals(20)],
            &[Sequence::new(11, 12, 10), Sequence::literals(13)],
            &[Sequence::new(11, 3, 12), Sequence::literals(22)],
            &[Sequence::new(11, 22, 11), Sequence::new(0, 4, 11)],
        ] {
            assert!(!covers(wrong), "{wrong:?}");
        }
    }
}
