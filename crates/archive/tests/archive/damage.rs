//! Damaged input: an error, never a panic, a hang or a large allocation.

use holdpoint_archive::{
    Adler32, COPY_END, Codec, Error, Head, close_large_objects, close_list, decode_piece, encode_piece,
    open_large_object, open_large_objects, open_table, read_all,
};
use proptest::prelude::*;

use crate::blocks::{CODECS, chunks, decode, write_table};
use crate::fixture::{head, sample_archive, sample_entries};

fn table(codec: &Codec) -> (Vec<u8>, Vec<Vec<u8>>) {
    let rows: Vec<u8> = (0..400).flat_map(|row| format!("{row}\trow {}\n", row * row).into_bytes()).collect();
    write_table(codec, &[&rows[..1000], &rows[1000..], COPY_END])
}

/// A compressed archive with all kinds of blocks.
fn archive(codec: &Codec) -> Vec<u8> {
    let unpatched = head(16, 0, &sample_entries());
    let head = Head::parse(&unpatched).unwrap();
    let mut data = Vec::new();
    let mut blocks = Vec::new();
    for id in [30, 31, 32] {
        blocks.push((id, (unpatched.len() + data.len()) as u64));
        data.extend(open_table(id, codec));
        data.extend(table(codec).0.split_off(open_table(id, codec).len() - 6));
    }
    for id in [40, 41] {
        blocks.push((id, (unpatched.len() + data.len()) as u64));
        data.extend(open_large_objects(id));
        for raw in [&b""[..], b"object"] {
            let piece = encode_piece(codec, raw).unwrap();
            data.extend(open_large_object(3_000_000_001, codec));
            data.extend(piece.bytes);
            data.extend(close_list(codec, Adler32::EMPTY.combine(piece.adler, piece.raw_bytes)));
        }
        data.extend(close_large_objects());
    }
    [head.patched(codec.algorithm(), &blocks).unwrap(), data].concat()
}

#[test]
fn undamaged_archives_are_read() {
    for codec in CODECS {
        let archive = archive(&codec);
        let sizes = [1, 7, 4096, usize::MAX].map(|portion| read_all(&archive, portion).unwrap());
        assert!(sizes.iter().all(|size| *size == sizes[0] && *size > 10_000));
    }
    assert_eq!(read_all(&sample_archive(14).0, 64).unwrap(), 4 + 5 + 5 + 2 + 5 + 11 + 5 + 6);
}

#[test]
fn a_stream_cut_anywhere_is_an_error() {
    for codec in &CODECS[1..] {
        let (list, framed) = table(codec);
        let stored = chunks(&list).concat();
        for cut in 0..stored.len() {
            let error = decode(codec.algorithm(), &[&stored[..cut]]).map(drop);
            match (codec, error) {
                (Codec::Zstd { .. }, Ok(())) => {
                    // Whole frames are whole streams; the table's end marker is what is missing then.
                    let raw = decode(codec.algorithm(), &[&stored[..cut]]).unwrap();
                    assert!(cut > 0 && !raw.ends_with(COPY_END), "cut at {cut}");
                }
                (_, error) => assert!(matches!(error, Err(Error::Truncated { .. })), "{codec} cut at {cut}: {error:?}"),
            }
        }
        for cut in 1..framed[0].len() {
            assert!(
                decode_piece(codec.algorithm(), &framed[0][..cut], &mut Vec::new()).is_err(),
                "{codec} cut at {cut}"
            );
        }
    }
}

#[test]
fn a_flipped_bit_is_an_error() {
    for codec in &CODECS[1..] {
        let (list, _) = table(codec);
        let stored = chunks(&list).concat();
        for bit in 0..stored.len() * 8 {
            let mut damaged = stored.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let Ok(raw) = decode(codec.algorithm(), &[&damaged]) else { continue };
            // Some bits of a zlib header (its level) and of a frame's description carry no meaning.
            assert_eq!(raw, decode(codec.algorithm(), &[&stored]).unwrap(), "{codec} bit {bit}");
        }
    }
}

#[test]
fn bytes_behind_a_zlib_stream_are_an_error() {
    let (list, _) = table(&CODECS[1]);
    let stored = chunks(&list).concat();
    // A second whole stream is what stock pg_restore hangs on.
    for extra in [&b"\0"[..], &stored] {
        let error = decode(CODECS[1].algorithm(), &[&stored, extra]).unwrap_err();
        assert!(matches!(error, Error::TrailingBytes { .. }));
    }
    let mut wrong = stored.clone();
    *wrong.last_mut().unwrap() ^= 1;
    assert!(matches!(decode(CODECS[1].algorithm(), &[&wrong]), Err(Error::Decompress { .. })));
}

#[test]
fn a_gzip_piece_with_an_end_of_its_own_is_refused() {
    // Raw deflate that ends: "abc" stored, final.
    let framed = [&[0, 8, 0, 0, 0][..], &[1, 3, 0, 0xfc, 0xff, b'a', b'b', b'c']].concat();
    let decoded = decode_piece(CODECS[1].algorithm(), &framed, &mut Vec::new());
    assert!(matches!(decoded, Err(Error::TrailingBytes { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_damage_is_survived(
        codec in prop::sample::select(CODECS.to_vec()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in prop::option::of(any::<prop::sample::Index>()),
        portion in 1_usize..5000,
    ) {
        let mut archive = archive(&codec);
        for (at, byte) in damage {
            let at = at.index(archive.len());
            archive[at] = byte;
        }
        if let Some(cut) = cut {
            archive.truncate(cut.index(archive.len()));
        }
        // Ok or error, but it ends; and the portions do not decide which.
        prop_assert_eq!(read_all(&archive, portion).ok(), read_all(&archive, usize::MAX).ok());
    }

    #[test]
    fn random_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let start = head(16, 1, &[]);
        prop_assert!(read_all(&bytes, 100).is_err());
        drop(read_all(&[&start[..start.len() - 5], &bytes].concat(), 100));
        drop(read_all(&[&start[..], &bytes].concat(), 100));
        for codec in CODECS {
            drop(decode_piece(codec.algorithm(), &bytes, &mut Vec::new()));
            drop(decode(codec.algorithm(), &[&bytes]));
        }
    }
}
