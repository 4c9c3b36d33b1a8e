//! What surrounds the pieces of a block.
//!
//! A table's block is [`open_table`], pieces, [`close_list`]. A block of large objects is [`open_large_objects`], for
//! each object [`open_large_object`], pieces, [`close_list`], and at last [`close_large_objects`].

use crate::chunk::{put_chunk, put_int, put_oid};
use crate::{Adler32, Codec};

/// The first two bytes of a zlib stream: deflate, 32 KiB window, default level (RFC 1950).
const ZLIB_HEADER: [u8; 2] = [0x78, 0x9c];

/// An empty final deflate block (fixed codes), which ends a stream after the flush that every piece ends with.
pub(crate) const DEFLATE_END: [u8; 2] = [0x03, 0x00];

/// Opens the block of one table.
pub fn open_table(dump_id: i32, codec: &Codec) -> Vec<u8> {
    let mut frame = vec![1];
    put_int(&mut frame, dump_id);
    open_list(&mut frame, codec);
    frame
}

/// Opens the block of a group of large objects.
pub fn open_large_objects(dump_id: i32) -> Vec<u8> {
    let mut frame = vec![3];
    put_int(&mut frame, dump_id);
    frame
}

/// Opens one large object in its group's block.
///
/// An empty large object still needs one piece, encoded from no bytes: with zstd it is the empty frame without which
/// its stream would not be complete.
pub fn open_large_object(oid: u32, codec: &Codec) -> Vec<u8> {
    let mut frame = Vec::new();
    put_oid(&mut frame, oid);
    open_list(&mut frame, codec);
    frame
}

/// Closes what [`open_table`] or [`open_large_object`] opened.
///
/// `adler` is the sum over all pieces between, combined in their order; it is written for gzip only.
pub fn close_list(codec: &Codec, adler: Adler32) -> Vec<u8> {
    let mut frame = Vec::new();
    if let Codec::Gzip { .. } = codec {
        let mut end = DEFLATE_END.to_vec();
        end.extend_from_slice(&adler.value().to_be_bytes());
        put_chunk(&mut frame, &end);
    }
    put_int(&mut frame, 0);
    frame
}

/// Closes what [`open_large_objects`] opened.
pub fn close_large_objects() -> Vec<u8> {
    let mut frame = Vec::new();
    put_int(&mut frame, 0);
    frame
}

fn open_list(frame: &mut Vec<u8>, codec: &Codec) {
    if let Codec::Gzip { .. } = codec {
        put_chunk(frame, &ZLIB_HEADER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_what_pg_backup_custom_reads() {
        let gzip = Codec::Gzip { level: 4 };
        assert_eq!(open_table(258, &Codec::None), [1, 0, 2, 1, 0, 0]);
        assert_eq!(open_table(258, &gzip), [1, 0, 2, 1, 0, 0, 0, 2, 0, 0, 0, 0x78, 0x9c]);
        assert_eq!(open_large_objects(7), [3, 0, 7, 0, 0, 0]);
        assert_eq!(open_large_object(3_000_000_001, &Codec::None), [1, 0xff, 0xa1, 0x2f, 0x4d]);
        assert_eq!(close_list(&Codec::Zstd { level: 1 }, Adler32::EMPTY), [0; 5]);
        assert_eq!(close_list(&gzip, Adler32::EMPTY), [0, 6, 0, 0, 0, 3, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(close_large_objects(), [0; 5]);
    }
}
