//! Rewrites an uncompressed archive with the crate's encoder, as the backup engine does.

use std::sync::Arc;

use bytes::Bytes;
use holdpoint_archive::{
    Adler32, BlockKind, Codec, Event, Head, Limits, PieceEncoder, StreamParser, close_large_objects, close_list,
    open_large_object, open_large_objects, open_table,
};

/// The bytes of one table or large object.
pub(crate) struct List {
    pub(crate) oid: u32,
    pub(crate) raw: Vec<u8>,
}

pub(crate) struct Block {
    pub(crate) dump_id: i32,
    pub(crate) kind: BlockKind,
    pub(crate) position: u64,
    pub(crate) lists: Vec<List>,
}

/// Takes an archive apart, pushing it in portions as a pipe would; data stay as stored.
pub(crate) fn take_apart(archive: &[u8]) -> (Arc<Head>, Vec<Block>) {
    let mut parser = StreamParser::new(Limits::default());
    let mut head = None;
    let mut blocks: Vec<Block> = Vec::new();
    for portion in archive.chunks(65_521) {
        parser.push(Bytes::copy_from_slice(portion));
        while let Some(event) = parser.next_event().unwrap() {
            let lists = blocks.last_mut().map(|block| &mut block.lists);
            match event {
                Event::Head(read) => head = Some(read),
                Event::BlockStart { dump_id, kind, position } => {
                    let lists = match kind {
                        BlockKind::TableData => vec![List { oid: 0, raw: Vec::new() }],
                        BlockKind::LargeObjects => Vec::new(),
                    };
                    blocks.push(Block { dump_id, kind, position, lists });
                }
                Event::LargeObjectStart { oid } => lists.unwrap().push(List { oid, raw: Vec::new() }),
                Event::Data(data) => lists.unwrap().last_mut().unwrap().raw.extend_from_slice(&data),
                Event::LargeObjectEnd | Event::BlockEnd { .. } => {}
            }
        }
    }
    parser.finish().unwrap();
    assert_eq!(parser.position(), archive.len() as u64);
    (head.unwrap(), blocks)
}

/// Writes the blocks, in their order, in pieces of at most `piece_bytes`.
pub(crate) fn put_together(head: &Head, blocks: &[Block], codec: &Codec, piece_bytes: usize) -> Vec<u8> {
    let mut encoder = PieceEncoder::new(codec).unwrap();
    let mut data = Vec::new();
    let mut positions = Vec::new();
    for block in blocks {
        positions.push((block.dump_id, (head.len() + data.len()) as u64));
        match block.kind {
            BlockKind::TableData => data.extend(open_table(block.dump_id, codec)),
            BlockKind::LargeObjects => data.extend(open_large_objects(block.dump_id)),
        }
        for list in &block.lists {
            if block.kind == BlockKind::LargeObjects {
                data.extend(open_large_object(list.oid, codec));
            }
            let mut adler = Adler32::EMPTY;
            let mut rest = &list.raw[..];
            loop {
                let (raw, later) = rest.split_at(piece_bytes.min(rest.len()));
                let piece = encoder.encode(raw).unwrap();
                adler = adler.combine(piece.adler, piece.raw_bytes);
                data.extend(piece.bytes);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            data.extend(close_list(codec, adler));
        }
        if block.kind == BlockKind::LargeObjects {
            data.extend(close_large_objects());
        }
    }
    [head.patched(codec.algorithm(), &positions).unwrap(), data].concat()
}
