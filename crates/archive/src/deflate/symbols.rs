//! The alphabets of deflate (RFC 1951, section 3.2.5).

/// Literals, the end of a block, and lengths.
pub(super) const LITERAL_SYMBOLS: usize = 286;
/// Distances.
pub(super) const DISTANCE_SYMBOLS: usize = 30;
/// Ends a block.
pub(super) const END_OF_BLOCK: usize = 256;
/// The symbol of length 3.
pub(super) const FIRST_LENGTH: usize = 257;
/// Shortest match that has a symbol.
pub(super) const SHORTEST: usize = 3;
/// Longest match that has a symbol.
pub(super) const LONGEST: usize = 258;
/// Farthest distance that has a symbol.
pub(super) const FARTHEST: usize = 32 * 1024;

/// Extra bits of every length symbol.
pub(super) const LENGTH_EXTRA: [u8; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];

/// Least length of every length symbol.
pub(super) const LENGTH_BASE: [u16; 29] = length_bases();

/// Number of the length symbol of every length; below 3 it means nothing.
pub(super) const LENGTH_SYMBOL: [u8; LONGEST + 1] = length_symbols();

const fn length_bases() -> [u16; 29] {
    let mut bases = [3; 29];
    let mut symbol = 1;
    while symbol < 28 {
        bases[symbol] = bases[symbol - 1] + (1 << LENGTH_EXTRA[symbol - 1]);
        symbol += 1;
    }
    bases[28] = 258;
    bases
}

const fn length_symbols() -> [u8; LONGEST + 1] {
    let mut symbols = [0; LONGEST + 1];
    let mut symbol = 0;
    while symbol < 29 {
        let mut length = LENGTH_BASE[symbol] as usize;
        while length <= LONGEST {
            symbols[length] = symbol as u8;
            length += 1;
        }
        symbol += 1;
    }
    symbols
}

/// The distance symbol of a distance, 1 to 32,768.
#[inline(always)]
pub(super) fn distance_symbol(distance: u32) -> usize {
    let from_zero = distance.wrapping_sub(1);
    if from_zero < 2 {
        return from_zero as usize & 1;
    }
    let log = from_zero.ilog2();
    (2 * log + ((from_zero >> (log - 1)) & 1)) as usize
}

/// Extra bits of a distance symbol.
#[inline(always)]
pub(super) const fn distance_extra(symbol: usize) -> u32 {
    (symbol as u32 / 2).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_the_standards() {
        assert_eq!(LENGTH_BASE[8..12], [11, 13, 15, 17]);
        assert_eq!(LENGTH_BASE[24..], [131, 163, 195, 227, 258]);
        for (length, symbol) in [(3, 0), (10, 7), (11, 8), (12, 8), (13, 9), (257, 27), (258, 28)] {
            assert_eq!(LENGTH_SYMBOL[length], symbol, "{length}");
        }
        for (distance, symbol, extra) in [
            (1, 0, 0),
            (2, 1, 0),
            (3, 2, 0),
            (4, 3, 0),
            (5, 4, 1),
            (6, 4, 1),
            (7, 5, 1),
            (8193, 26, 12),
            (32768, 29, 13),
        ] {
            assert_eq!((distance_symbol(distance), distance_extra(symbol)), (symbol, extra), "{distance}");
        }
    }
}
