//! What symbols cost.

use super::block::BlockCode;
use super::symbols::{DISTANCE_SYMBOLS, FIRST_LENGTH, LENGTH_EXTRA, LENGTH_SYMBOL, distance_extra, distance_symbol};

/// Bits of symbols, extra bits included, as the code of the block before says.
pub(super) struct Prices {
    literals: [u8; 256],
    lengths: [u8; 32],
    distances: [u8; 32],
}

/// Price of a symbol that the last block did not use.
const RARE: u8 = 12;

impl Prices {
    /// A guess for the first block.
    pub(super) fn unknown() -> Self {
        let mut prices = Self { literals: [6; 256], lengths: [0; 32], distances: [0; 32] };
        for (price, extra) in prices.lengths.iter_mut().zip(LENGTH_EXTRA) {
            *price = 5 + extra;
        }
        for (symbol, price) in prices.distances.iter_mut().enumerate().take(DISTANCE_SYMBOLS) {
            *price = 5 + distance_extra(symbol) as u8;
        }
        prices
    }

    /// The prices of a block with this code.
    pub(super) fn of(code: &BlockCode) -> Self {
        let known = |length: u8| if length == 0 { RARE } else { length };
        let mut prices = Self { literals: [0; 256], lengths: [0; 32], distances: [0; 32] };
        for (price, &length) in prices.literals.iter_mut().zip(&code.literals.lengths) {
            *price = known(length);
        }
        let lengths = code.literals.lengths[FIRST_LENGTH..].iter().zip(LENGTH_EXTRA);
        for (price, (&length, extra)) in prices.lengths.iter_mut().zip(lengths) {
            *price = known(length) + extra;
        }
        for (symbol, (price, &length)) in prices.distances.iter_mut().zip(&code.distances.lengths).enumerate() {
            *price = known(length) + distance_extra(symbol) as u8;
        }
        prices
    }

    /// Bits saved by a match of the first `length` bytes of the word, 3 to 8, against literals.
    #[inline(always)]
    pub(super) fn gain(&self, word: u64, length: usize, distance: usize) -> i32 {
        let literals = word.to_le_bytes().map(|byte| i32::from(self.literals[usize::from(byte)]));
        // A loop up to the length would end where no one can guess.
        let counted = literals.iter().enumerate().map(|(at, &price)| if at < length { price } else { 0 });
        let length_price = self.lengths[usize::from(LENGTH_SYMBOL[length]) & 31];
        let distance_price = self.distances[distance_symbol(distance as u32) & 31];
        counted.sum::<i32>() - i32::from(length_price) - i32::from(distance_price)
    }
}
