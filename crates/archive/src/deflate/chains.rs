//! All earlier positions with the same hash, the newest first, for those who would rather wait than store.

use super::matches::{Match, WORD_BYTES, common_after, compare};
use super::symbols::{FARTHEST, LONGEST};

const TABLE_BITS: u32 = 15;
/// Fewer than in the table of the fast levels: a match of four bytes is worth finding where time does not count.
const HASHED_BYTES: u32 = 4;

/// Chains of positions within the last 32 KiB, each by its lowest 16 bits. As with the table, what lies there is always
/// compared, so a wrong entry costs time and nothing else.
pub(super) struct Chains {
    newest: Box<[u16; 1 << TABLE_BITS]>,
    before: Box<[u16; FARTHEST]>,
    depth: usize,
}

impl Chains {
    /// Chains of which at most `depth` positions are tried.
    pub(super) fn new(depth: usize) -> Self {
        Self { newest: Box::new([0; 1 << TABLE_BITS]), before: Box::new([0; FARTHEST]), depth }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.newest.fill(0);
        self.before.fill(0);
    }

    /// Remembers the position; returns the newest before it with the same hash.
    #[inline(always)]
    pub(super) fn insert(&mut self, word: u64, at: usize) -> u16 {
        let hash = (word << (64 - 8 * HASHED_BYTES)).wrapping_mul(0x9e37_79b1_85eb_ca87) >> (64 - TABLE_BITS);
        let before = std::mem::replace(&mut self.newest[hash as usize], at as u16);
        self.before[at % FARTHEST] = before;
        before
    }

    /// Remembers the position and returns the longest match there, the nearest of equals.
    pub(super) fn find(&mut self, raw: &[u8], at: usize, word: u64) -> Match {
        let mut candidate = self.insert(word, at);
        let mut best = Match { length: 0, distance: 0 };
        let mut nearer = 0;
        for _ in 0..self.depth {
            let distance = at.wrapping_sub(candidate.into()) & 0xffff;
            // A chain that does not lead farther back has left the window.
            if distance <= nearer || distance > at.min(FARTHEST) {
                break;
            }
            let mut found = compare(raw, at, word, distance);
            if found.length == WORD_BYTES {
                found.length = common_after(raw, at, found);
            }
            if found.length > best.length {
                best = found;
                if best.length == LONGEST {
                    break;
                }
            }
            nearer = distance;
            candidate = self.before[usize::from(candidate) % FARTHEST];
        }
        best
    }
}
