//! What comes before the symbols of a dynamic block (RFC 1951, section 3.2.7).

use super::bits::BitWriter;
use super::block::BlockCode;
use super::huffman::Code;
use super::symbols::FIRST_LENGTH;

/// The order in which the lengths of the code length code are written.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The code lengths of a block, themselves compressed.
pub(super) struct Header {
    literal_count: usize,
    distance_count: usize,
    /// Symbol and value of its extra bits.
    symbols: Vec<(u8, u8)>,
    frequencies: [u32; 19],
    code: Code<19>,
    order_count: usize,
}

/// Extra bits of symbols 16 to 18.
const REPEAT_EXTRA: [u32; 3] = [2, 3, 7];

fn repeat_extra(symbol: u8) -> u32 {
    symbol.checked_sub(16).map_or(0, |repeat| REPEAT_EXTRA[usize::from(repeat)])
}

impl Header {
    pub(super) fn of(block: &BlockCode) -> Self {
        let count =
            |lengths: &[u8], least: usize| lengths.iter().rposition(|&n| n > 0).map_or(least, |n| least.max(n + 1));
        let literal_count = count(&block.literals.lengths, FIRST_LENGTH);
        let distance_count = count(&block.distances.lengths, 1);
        let lengths = [&block.literals.lengths[..literal_count], &block.distances.lengths[..distance_count]].concat();
        let mut symbols = Vec::with_capacity(lengths.len());
        for run in lengths.chunk_by(|a, b| a == b) {
            let (value, mut left) = (run[0], run.len());
            if value == 0 {
                while left >= 3 {
                    let taken = left.min(138);
                    symbols.push(if taken <= 10 { (17, taken as u8 - 3) } else { (18, taken as u8 - 11) });
                    left -= taken;
                }
            } else if left >= 4 {
                symbols.push((value, 0));
                left -= 1;
                while left >= 3 {
                    let taken = left.min(6);
                    symbols.push((16, taken as u8 - 3));
                    left -= taken;
                }
            }
            symbols.extend(std::iter::repeat_n((value, 0), left));
        }
        let mut frequencies = [0; 19];
        symbols.iter().for_each(|&(symbol, _)| frequencies[usize::from(symbol)] += 1);
        let code = Code::of_frequencies(&frequencies, 7);
        let order_count = ORDER.iter().rposition(|&symbol| code.lengths[symbol] > 0).map_or(4, |at| (at + 1).max(4));
        Self { literal_count, distance_count, symbols, frequencies, code, order_count }
    }

    pub(super) fn cost(&self) -> u64 {
        let extra: u32 = self.symbols.iter().map(|&(symbol, _)| repeat_extra(symbol)).sum();
        14 + 3 * self.order_count as u64 + self.code.cost(&self.frequencies) + u64::from(extra)
    }

    pub(super) fn write(&self, bits: &mut BitWriter) {
        bits.put((self.literal_count - 257) as u64, 5);
        bits.put((self.distance_count - 1) as u64, 5);
        bits.put((self.order_count - 4) as u64, 4);
        for &symbol in &ORDER[..self.order_count] {
            bits.put(self.code.lengths[symbol].into(), 3);
        }
        for &(symbol, extra) in &self.symbols {
            let at = usize::from(symbol);
            bits.put(self.code.bits[at].into(), self.code.lengths[at].into());
            bits.put(extra.into(), repeat_extra(symbol));
        }
    }
}
