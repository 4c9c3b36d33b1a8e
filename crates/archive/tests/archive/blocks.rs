//! Writing blocks from pieces, and reading them.

use holdpoint_archive::{
    Adler32, Algorithm, BlockDecoder, COPY_END, Codec, Error, PieceEncoder, close_list, decode_piece, encode_piece,
    open_large_object, open_table,
};
use proptest::prelude::*;

pub(crate) const CODECS: [Codec; 4] =
    [Codec::None, Codec::Gzip { level: 4 }, Codec::Gzip { level: 1 }, Codec::Zstd { level: 1 }];

/// The chunks of a list, without their frames.
pub(crate) fn chunks(mut list: &[u8]) -> Vec<&[u8]> {
    let mut chunks = Vec::new();
    loop {
        let length = u32::from_le_bytes(list[1..5].try_into().unwrap()) as usize;
        assert_eq!(list[0], 0);
        if length == 0 {
            assert_eq!(list.len(), 5);
            return chunks;
        }
        chunks.push(&list[5..5 + length]);
        list = &list[5 + length..];
    }
}

/// The list of chunks of one table, written in pieces; and the pieces.
pub(crate) fn write_table(codec: &Codec, pieces: &[&[u8]]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut encoder = PieceEncoder::new(codec).unwrap();
    let mut adler = Adler32::EMPTY;
    let mut block = open_table(7, codec);
    let mut framed = Vec::new();
    for raw in pieces {
        let piece = encoder.encode(raw).unwrap();
        assert_eq!(piece.raw_bytes, raw.len() as u64);
        adler = adler.combine(piece.adler, piece.raw_bytes);
        block.extend_from_slice(&piece.bytes);
        framed.push(piece.bytes);
    }
    block.extend(close_list(codec, adler));
    (block.split_off(6), framed)
}

pub(crate) fn decode(algorithm: Algorithm, stored: &[&[u8]]) -> Result<Vec<u8>, Error> {
    let mut decoder = BlockDecoder::new(algorithm)?;
    let mut raw = Vec::new();
    for bytes in stored {
        decoder.push(bytes, |bytes| {
            raw.extend_from_slice(bytes);
            Ok::<_, Error>(())
        })?;
    }
    assert_eq!(decoder.finish()?, raw.len() as u64);
    Ok(raw)
}

/// Bytes of three kinds in turn: repeating, counting, random.
fn rows(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let random = std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    });
    let text = (0..).flat_map(|row| format!("{row}\tvalue of row {row}\t\\N\n").into_bytes());
    text.zip(random)
        .enumerate()
        .map(|(at, (text, random))| if at / 50_000 % 3 == 2 { random } else { text })
        .take(bytes)
        .collect()
}

#[test]
fn several_pieces_make_one_stream() {
    let raw = rows(2_000_000);
    for codec in CODECS {
        let pieces = [&raw[..700_001], b"", &raw[700_001..700_002], &raw[700_002..], COPY_END];
        let (list, framed) = write_table(&codec, &pieces);
        let stored = chunks(&list);
        assert!(stored.iter().all(|chunk| chunk.len() <= 1 << 20), "{codec}");
        let expected = [&raw[..], COPY_END].concat();
        assert_eq!(decode(codec.algorithm(), &stored).unwrap(), expected, "{codec}");
        for (framed, raw) in framed.iter().zip(pieces) {
            let mut alone = Vec::new();
            assert_eq!(decode_piece(codec.algorithm(), framed, &mut alone).unwrap(), raw.len() as u64);
            assert!(alone == raw, "{codec}");
        }
        if codec != Codec::None {
            assert!(list.len() < raw.len() * 3 / 4, "{codec}: {} of {}", list.len(), raw.len());
        }
    }
}

#[test]
fn zstd_frames_begin_on_chunks() {
    let raw = rows(900_000);
    let (list, _) = write_table(&Codec::Zstd { level: 3 }, &[&raw[..400_000], &raw[400_000..], COPY_END]);
    let frames = chunks(&list).into_iter().filter(|chunk| chunk.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
    // Bit 2 of the frame header's descriptor: content checksum.
    assert_eq!(frames.inspect(|frame| assert_eq!(frame[4] & 4, 4)).count(), 3);
}

#[test]
fn an_empty_object_is_a_complete_stream() {
    for codec in CODECS {
        let piece = encode_piece(&codec, b"").unwrap();
        let list = [open_large_object(5, &codec).split_off(5), piece.bytes, close_list(&codec, piece.adler)].concat();
        assert_eq!(decode(codec.algorithm(), &chunks(&list)).unwrap(), b"", "{codec}");
        assert_eq!(chunks(&list).is_empty(), codec == Codec::None);
    }
    let gzip = encode_piece(&Codec::Gzip { level: 9 }, b"").unwrap();
    assert_eq!((gzip.bytes.as_slice(), gzip.adler), (&b""[..], Adler32::EMPTY));
}

#[test]
fn a_decoder_serves_list_after_list() {
    for codec in CODECS {
        let mut decoder = BlockDecoder::new(codec.algorithm()).unwrap();
        for raw in [&b"first"[..], b"second one", COPY_END] {
            let (list, _) = write_table(&codec, &[raw]);
            let mut out = Vec::new();
            for chunk in chunks(&list) {
                let keep = |bytes: &[u8]| {
                    out.extend_from_slice(bytes);
                    Ok::<_, Error>(())
                };
                decoder.push(chunk, keep).unwrap();
            }
            assert_eq!((decoder.finish().unwrap(), out.as_slice()), (raw.len() as u64, raw));
        }
    }
}

#[test]
fn the_sinks_error_comes_through() {
    #[derive(Debug, PartialEq)]
    struct Full;
    impl From<Error> for Full {
        fn from(error: Error) -> Self {
            assert!(matches!(error, Error::AfterFailure));
            Self
        }
    }
    for codec in CODECS {
        let (list, framed) = write_table(&codec, &[b"abc"]);
        let mut decoder = BlockDecoder::new(codec.algorithm()).unwrap();
        let pushed = chunks(&list).into_iter().try_for_each(|chunk| decoder.push(chunk, |_| Err(Full)));
        assert_eq!(pushed, Err(Full));
        assert_eq!(decoder.push(b"more", |_| Err(Full)), Err(Full));
        assert!(matches!(decoder.finish(), Err(Error::AfterFailure)));
        let mut one = [0_u8; 1];
        let decoded = decode_piece(codec.algorithm(), &framed[0], &mut &mut one[..]);
        assert!(matches!(decoded, Err(Error::Sink { .. })));
    }
}

#[test]
fn lz4_is_refused() {
    assert!(matches!(BlockDecoder::new(Algorithm::Lz4), Err(Error::UnsupportedCodec { .. })));
    assert!(matches!(decode_piece(Algorithm::Lz4, b"", &mut Vec::new()), Err(Error::UnsupportedCodec { .. })));
}

#[test]
fn expansion_leaves_in_small_portions() {
    // 256 MiB of zeros from some 250 KB (gzip) or 10 KB (zstd).
    for codec in &CODECS[1..] {
        let mut encoder = PieceEncoder::new(codec).unwrap();
        let piece = encoder.encode(&vec![0; 256 << 20]).unwrap();
        let list = [open_table(1, codec).split_off(6), piece.bytes, close_list(codec, piece.adler)].concat();
        let mut decoder = BlockDecoder::new(codec.algorithm()).unwrap();
        let mut largest = 0;
        for chunk in chunks(&list) {
            let measure = |bytes: &[u8]| {
                largest = largest.max(bytes.len());
                Ok::<_, Error>(())
            };
            decoder.push(chunk, measure).unwrap();
        }
        assert_eq!(decoder.finish().unwrap(), 256 << 20);
        assert!(largest <= 128 << 10);
    }
}

proptest! {
    #[test]
    fn pieces_round_trip(
        level in 1_u32..=9,
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..6),
        portion in 1_usize..600,
    ) {
        for codec in [Codec::None, Codec::Gzip { level }, Codec::Zstd { level: 1 + level as i32 % 5 }] {
            let borrowed: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).chain([COPY_END]).collect();
            let (list, framed) = write_table(&codec, &borrowed);
            let stored = chunks(&list).concat();
            // Portions that do not respect chunk borders do not matter to our reader.
            let portions: Vec<&[u8]> = stored.chunks(portion).collect();
            prop_assert_eq!(decode(codec.algorithm(), &portions).unwrap(), borrowed.concat());
            for (framed, raw) in framed.iter().zip(borrowed) {
                let mut alone = Vec::new();
                decode_piece(codec.algorithm(), framed, &mut alone).unwrap();
                prop_assert_eq!(alone, raw);
            }
        }
    }
}
