//! Adler-32, the checksum at the end of a zlib stream.

/// The Adler-32 checksum of some bytes (RFC 1950, section 9).
///
/// Sums of pieces can be combined into the sum of the whole, which lets pieces of one stream be compressed in parallel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adler32(u32);

impl Adler32 {
    /// The sum of no bytes.
    pub const EMPTY: Self = Self(1);

    /// Computes the sum of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(zlib_rs::adler32::adler32(1, bytes))
    }

    /// Returns the sum of what this is the sum of, followed by `next_len` bytes whose sum is `next`.
    #[must_use]
    pub fn combine(self, next: Self, next_len: u64) -> Self {
        const BASE: u64 = 65_521;
        let (a1, b1) = (u64::from(self.0 & 0xffff), u64::from(self.0 >> 16));
        let (a2, b2) = (u64::from(next.0 & 0xffff), u64::from(next.0 >> 16));
        let low = (a1 + a2 + BASE - 1) % BASE;
        let high = (b1 + b2 + (next_len % BASE) * ((a1 + BASE - 1) % BASE)) % BASE;
        // Both halves are below 65,521, so the conversion cannot fail.
        Self(u32::try_from(high << 16 | low).unwrap_or_default())
    }

    /// Returns the number itself; a zlib stream ends with it, most significant byte first.
    pub fn value(self) -> u32 {
        self.0
    }
}

impl Default for Adler32 {
    fn default() -> Self {
        Self::EMPTY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_sums() {
        assert_eq!(Adler32::of(b"").value(), 1);
        assert_eq!(Adler32::of(b"Wikipedia").value(), 0x11e6_0398);
        // A sum of 1 does not mean "no bytes".
        assert_eq!(Adler32::of(&vec![0; 65_521]).value(), 1);
    }

    #[test]
    fn combines_over_lengths_beyond_the_base() {
        let whole = vec![0xff_u8; 300_000];
        for cut in [0, 1, 65_520, 65_521, 65_522, 131_042, 299_999, 300_000] {
            let (left, right) = whole.split_at(cut);
            let combined = Adler32::of(left).combine(Adler32::of(right), right.len() as u64);
            assert_eq!(combined, Adler32::of(&whole), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn combined_sums_equal_one_pass(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 0..8)) {
            let combined = pieces
                .iter()
                .fold(Adler32::EMPTY, |sum, piece| sum.combine(Adler32::of(piece), piece.len() as u64));
            prop_assert_eq!(combined, Adler32::of(&pieces.concat()));
        }
    }
}
