//! What is written, read by two other programs' inflate: zlib-rs and miniz_oxide.

use flate2::{Decompress, FlushDecompress, Status};
use proptest::prelude::*;

use super::*;

pub(crate) const EFFORTS: [Effort; 5] = [
    Effort { ways: 1, insert_step: 4, patience: 2 },
    Effort { ways: 2, insert_step: 1, patience: 3 },
    Effort { ways: 2, insert_step: 1, patience: 6 },
    Effort { ways: 6, insert_step: 1, patience: 5 },
    Effort { ways: 300, insert_step: 1, patience: 16 },
];

/// An empty final block.
const END: [u8; 2] = [0x03, 0x00];

fn read_by_zlib(stored: &[u8], raw_bytes: usize) -> Vec<u8> {
    let mut raw = Vec::with_capacity(raw_bytes + 1);
    let status = Decompress::new(false).decompress_vec(stored, &mut raw, FlushDecompress::Finish).unwrap();
    assert_eq!(status, Status::StreamEnd);
    raw
}

/// Every piece alone and all together are what went in, whoever reads it.
fn assert_reads_back(deflater: &mut Deflater, pieces: &[&[u8]]) {
    let mut stream = Vec::new();
    for raw in pieces {
        let mut stored = Vec::new();
        deflater.encode(raw, 100_000, |portion| stored.extend_from_slice(portion)).unwrap();
        // Stored blocks hold up to 65,535 bytes and have 5 bytes before them; the empty one at the end is one more.
        assert!(stored.len() <= raw.len() + raw.len() / 10_000 + 11, "{} of {}", stored.len(), raw.len());
        assert!(stored.ends_with(&[0, 0, 0xff, 0xff]));
        let alone = [&stored[..], &END].concat();
        assert!(read_by_zlib(&alone, raw.len()) == *raw);
        assert!(miniz_oxide::inflate::decompress_to_vec(&alone).unwrap() == *raw);
        stream.extend(stored);
    }
    stream.extend(END);
    let whole = pieces.concat();
    assert!(read_by_zlib(&stream, whole.len()) == whole);
    assert!(miniz_oxide::inflate::decompress_to_vec(&stream).unwrap() == whole);
}

fn random(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    })
}

/// Rows of a number, a word out of a few, random hex and a time.
fn rows(count: u64, seed: u64) -> Vec<u8> {
    let row = |(row, value): (u64, u64)| {
        format!(
            "{row}\tword{}\t\\\\x{value:08x}{:08x}\t2021-01-01 00:{:02}:00+00\n",
            value % 13,
            !value as u32,
            row % 60
        )
    };
    (0..count).zip(random(seed)).flat_map(|pair| row(pair).into_bytes()).collect()
}

#[test]
fn pieces_of_every_kind_read_back() {
    let noise: Vec<u8> = random(1).map(|value| value as u8).take(300_000).collect();
    let hex: Vec<u8> = random(2).map(|value| b"0123456789abcdef"[value as usize % 16]).take(300_000).collect();
    let zeros = vec![0; 700_000];
    let text = rows(20_000, 3);
    // The same random bytes again, at the farthest distance, one nearer, and one too far.
    let far = |distance: usize| [&noise[..distance], &noise[..100], &noise[..distance]].concat();
    let exact: Vec<u8> = noise[..65_535].iter().chain(&noise[..32_768]).chain(&noise[..32_768]).copied().collect();
    for effort in EFFORTS {
        let mut deflater = Deflater::new(effort);
        assert_reads_back(&mut deflater, &[&noise, &hex, &zeros, &text, &noise[..1], &zeros[..1], &text[..9]]);
        assert_reads_back(&mut deflater, &[&far(32_768), &far(32_767), &far(32_769), &exact]);
        // Around the sizes at which blocks and stored blocks end.
        for size in [65_534, 65_535, 65_536, 131_070, 131_071, 131_072, 131_073, 262_144] {
            assert_reads_back(&mut deflater, &[&noise[..size], &hex[..size], &zeros[..size], &text[..size]]);
        }
        for size in 0..600 {
            assert_reads_back(&mut deflater, &[&noise[..size], &zeros[..size], &text[..size], &hex[..size]]);
        }
    }
}

#[test]
fn text_after_text_of_another_kind_reads_back() {
    let hex: Vec<u8> = random(4).map(|value| b"0123456789abcdef"[value as usize % 16]).take(140_000).collect();
    let noise: Vec<u8> = random(5).map(|value| value as u8).take(150_000).collect();
    let mixed = [&rows(3000, 6)[..], &hex, &vec![b' '; 100_000], &noise, &rows(3000, 7), &hex, &noise].concat();
    for effort in EFFORTS {
        assert_reads_back(&mut Deflater::new(effort), &[&mixed]);
    }
}

#[test]
fn codes_of_the_greatest_length_read_back() {
    // Frequencies like the Fibonacci numbers would want codes of 20 and more bits. Pairs of distinct bytes keep matches
    // away as well as can be.
    let (mut count, mut next) = (1_usize, 1);
    let mut raw = Vec::new();
    for byte in 0..24_u8 {
        raw.extend((0..count).map(|_| byte * 7));
        (count, next) = (next, count + next);
    }
    let mut order = random(8);
    for at in (1..raw.len()).rev() {
        raw.swap(at, order.next().unwrap() as usize % (at + 1));
    }
    for effort in EFFORTS {
        assert_reads_back(&mut Deflater::new(effort), &[&raw]);
    }
}

#[test]
fn a_piece_is_written_the_same_after_any_other() {
    let (text, other) = (rows(9000, 9), rows(5000, 10));
    for effort in EFFORTS {
        let encode = |deflater: &mut Deflater, raw: &[u8]| {
            let mut stored = Vec::new();
            deflater.encode(raw, 1000, |portion| stored.push(portion.to_vec())).unwrap();
            assert!(stored.iter().rev().skip(1).all(|portion| portion.len() == 1000));
            stored.concat()
        };
        let mut used = Deflater::new(effort);
        encode(&mut used, &other);
        assert!(encode(&mut used, &text) == encode(&mut Deflater::new(effort), &text));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Texts in which anything may repeat anything: runs of earlier bytes, new bytes, bytes of a small alphabet.
    #[test]
    fn any_text_reads_back(
        parts in prop::collection::vec((0_u8..4, 1_usize..700, any::<u32>()), 0..60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        effort in prop::sample::select(EFFORTS.to_vec()),
    ) {
        let mut raw: Vec<u8> = Vec::new();
        for (kind, length, seed) in parts {
            let from = seed as usize % raw.len().max(1);
            match kind {
                0 => raw.extend(random(seed.into()).map(|value| value as u8).take(length)),
                1 => raw.extend(random(seed.into()).map(|value| b"0123456789abcdef\t\n"[value as usize % 18]).take(length)),
                2 if !raw.is_empty() => (0..length).for_each(|at| raw.push(raw[from + at])),
                _ => raw.extend(std::iter::repeat_n(seed as u8, length * 40)),
            }
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(raw.len() + 1)).chain([0, raw.len()]).collect();
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &raw[cut[0]..cut[1]]).collect();
        assert_reads_back(&mut Deflater::new(effort), &pieces);
    }
}
