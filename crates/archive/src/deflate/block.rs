//! Writes one deflate block in the cheapest of its three forms (RFC 1951, section 3.2).

use super::Wrong;
use super::bits::BitWriter;
use super::header::Header;
use super::huffman::Code;
use super::sequence::{Sequence, cover};
use super::symbols::{
    DISTANCE_SYMBOLS, END_OF_BLOCK, FIRST_LENGTH, LENGTH_BASE, LENGTH_EXTRA, LENGTH_SYMBOL, LITERAL_SYMBOLS, LONGEST,
    distance_extra, distance_symbol,
};

/// How often each symbol occurs in a block.
pub(super) struct Frequencies {
    pub(super) literals: [u32; LITERAL_SYMBOLS],
    pub(super) distances: [u32; DISTANCE_SYMBOLS],
}

/// Longest code of a literal or length.
const LITERAL_LIMIT: usize = 14;
const DISTANCE_LIMIT: usize = 15;
// What is added between two flushes, here and in `write_symbols`: four literals, or a match with its extra bits.
const _: () = assert!(4 * LITERAL_LIMIT <= BitWriter::FREE_BITS);
const _: () = assert!(LITERAL_LIMIT + 5 + DISTANCE_LIMIT + 13 <= BitWriter::FREE_BITS);
const STORED_BYTES: usize = 65_535;

/// Code lengths of a block.
pub(super) struct BlockCode {
    pub(super) literals: Code<LITERAL_SYMBOLS>,
    pub(super) distances: Code<DISTANCE_SYMBOLS>,
}

impl Frequencies {
    pub(super) fn of(raw: &[u8], sequences: &[Sequence]) -> Self {
        // Four counters for each, since counting the same byte twice in a row waits for the first.
        let mut bytes = [[0_u32; 256]; 4];
        let mut lengths = [0_u32; 32];
        let mut distances = [0_u32; 32];
        let mut rest = raw;
        for sequence in sequences {
            let (literals, after) = rest.split_at(sequence.literals as usize);
            let (four, few) = literals.as_chunks::<4>();
            for &[a, b, c, d] in four {
                bytes[0][usize::from(a)] += 1;
                bytes[1][usize::from(b)] += 1;
                bytes[2][usize::from(c)] += 1;
                bytes[3][usize::from(d)] += 1;
            }
            for (counts, &byte) in bytes.iter_mut().zip(few) {
                counts[usize::from(byte)] += 1;
            }
            let length = usize::from(sequence.length);
            if length > 0 {
                lengths[usize::from(LENGTH_SYMBOL[length]) & 31] += 1;
                distances[distance_symbol(sequence.distance.into()) & 31] += 1;
            }
            rest = &after[length..];
        }
        let mut frequencies = Self { literals: [0; LITERAL_SYMBOLS], distances: [0; DISTANCE_SYMBOLS] };
        for (byte, count) in frequencies.literals[..256].iter_mut().enumerate() {
            *count = bytes.iter().map(|counts| counts[byte]).sum();
        }
        frequencies.literals[END_OF_BLOCK] = 1;
        frequencies.literals[FIRST_LENGTH..].copy_from_slice(&lengths[..LITERAL_SYMBOLS - FIRST_LENGTH]);
        frequencies.distances.copy_from_slice(&distances[..DISTANCE_SYMBOLS]);
        frequencies
    }

    fn extra_bits(&self) -> u64 {
        let lengths =
            self.literals[FIRST_LENGTH..].iter().zip(LENGTH_EXTRA).map(|(&n, extra)| u64::from(n) * u64::from(extra));
        let distances =
            self.distances.iter().enumerate().map(|(symbol, &n)| u64::from(n) * u64::from(distance_extra(symbol)));
        lengths.sum::<u64>() + distances.sum::<u64>()
    }
}

/// Appends the block from `from` to the end of `raw`, which the sequences make up, and returns the code that fits it best
/// (even where another form was cheaper).
///
/// Errors where the sequences do not say what the text says, or where the block is not as long as it was counted to be.
/// That cannot happen while this module is right. It is compared nevertheless, because the text may become someone's
/// only copy and comparing costs little.
pub(super) fn write_block(
    bits: &mut BitWriter,
    raw: &[u8],
    from: usize,
    sequences: &[Sequence],
) -> Result<BlockCode, Wrong> {
    if !cover(sequences, raw, from) {
        return Err(Wrong::Sequences { from });
    }
    let raw = &raw[from..];
    let frequencies = Frequencies::of(raw, sequences);
    let dynamic = BlockCode {
        literals: Code::of_frequencies(&frequencies.literals, LITERAL_LIMIT),
        distances: Code::of_frequencies(&frequencies.distances, DISTANCE_LIMIT),
    };
    let header = Header::of(&dynamic);
    let fixed = fixed_code();
    let extra = frequencies.extra_bits();
    let cost =
        |code: &BlockCode| code.literals.cost(&frequencies.literals) + code.distances.cost(&frequencies.distances);
    let dynamic_bits = 3 + header.cost() + cost(&dynamic) + extra;
    let fixed_bits = 3 + cost(&fixed) + extra;
    let stored_bits = raw.len() as u64 * 8 + 40 * raw.len().div_ceil(STORED_BYTES) as u64;
    let expected = dynamic_bits.min(fixed_bits);
    if stored_bits < expected {
        write_stored(bits, raw);
        return Ok(dynamic);
    }
    // Not more than a few bytes over the stored size, as just compared.
    bits.reserve(expected.div_ceil(8) as usize);
    let before = bits.total();
    if fixed_bits <= dynamic_bits {
        bits.put(0b01 << 1, 3);
        write_symbols(bits, raw, sequences, &fixed);
    } else {
        bits.put(0b10 << 1, 3);
        header.write(bits);
        write_symbols(bits, raw, sequences, &dynamic);
    }
    let written = bits.total() - before;
    if written == expected { Ok(dynamic) } else { Err(Wrong::Length { expected, written }) }
}

/// Appends stored blocks; of no bytes, one that is empty.
pub(super) fn write_stored(bits: &mut BitWriter, raw: &[u8]) {
    let mut rest = raw;
    loop {
        let (part, after) = rest.split_at(rest.len().min(STORED_BYTES));
        bits.reserve(part.len() + 8);
        bits.put(0, 3);
        bits.align();
        // At most 65,535.
        let length = part.len() as u64;
        bits.put(length | (!length & 0xffff) << 16, 32);
        bits.put_bytes(part);
        rest = after;
        if rest.is_empty() {
            return;
        }
    }
}

/// The code of fixed blocks (RFC 1951, section 3.2.6).
fn fixed_code() -> BlockCode {
    // Two symbols more than can occur: they take part in the code.
    let mut lengths = [8; 288];
    lengths[144..256].fill(9);
    lengths[256..280].fill(7);
    BlockCode { literals: Code::of_lengths(lengths).first(), distances: Code::of_lengths([5; 32]).first() }
}

/// A symbol's code in the low bits and its length from bit 24.
fn packed(code: u16, length: u8) -> u32 {
    u32::from(code) | u32::from(length) << 24
}

fn write_symbols(bits: &mut BitWriter, raw: &[u8], sequences: &[Sequence], code: &BlockCode) {
    let mut literal_codes = [0_u32; 256];
    for (symbol, packed_code) in literal_codes.iter_mut().enumerate() {
        *packed_code = packed(code.literals.bits[symbol], code.literals.lengths[symbol]);
    }
    // A length's code with its extra bits.
    let mut length_codes = [0_u32; LONGEST + 1];
    for (length, packed_code) in length_codes.iter_mut().enumerate().skip(3) {
        let symbol = usize::from(LENGTH_SYMBOL[length]);
        let bits = code.literals.lengths[FIRST_LENGTH + symbol];
        let extra = (length - usize::from(LENGTH_BASE[symbol])) as u32;
        *packed_code = (u32::from(code.literals.bits[FIRST_LENGTH + symbol]) | extra << bits)
            | u32::from(bits + LENGTH_EXTRA[symbol]) << 24;
    }
    let mut distance_codes = [0_u32; 32];
    for (symbol, packed_code) in distance_codes.iter_mut().enumerate().take(DISTANCE_SYMBOLS) {
        *packed_code = packed(code.distances.bits[symbol], code.distances.lengths[symbol]);
    }
    let add = |bits: &mut BitWriter, packed: u32| bits.add(u64::from(packed & 0xff_ffff), packed >> 24);
    let mut rest = raw;
    for sequence in sequences {
        let (literals, after) = rest.split_at(sequence.literals as usize);
        let (four, few) = literals.as_chunks::<4>();
        for &[a, b, c, d] in four {
            add(bits, literal_codes[usize::from(a)]);
            add(bits, literal_codes[usize::from(b)]);
            add(bits, literal_codes[usize::from(c)]);
            add(bits, literal_codes[usize::from(d)]);
            bits.flush();
        }
        if !few.is_empty() {
            for &byte in few {
                add(bits, literal_codes[usize::from(byte)]);
            }
            bits.flush();
        }
        let length = usize::from(sequence.length);
        if length > 0 {
            add(bits, length_codes[length]);
            let from_zero = u32::from(sequence.distance) - 1;
            let symbol = distance_symbol(sequence.distance.into());
            add(bits, distance_codes[symbol & 31]);
            let extra = distance_extra(symbol);
            bits.add(u64::from(from_zero & ((1 << extra) - 1)), extra);
            bits.flush();
        }
        rest = &after[length..];
    }
    bits.put(code.literals.bits[END_OF_BLOCK].into(), code.literals.lengths[END_OF_BLOCK].into());
}
