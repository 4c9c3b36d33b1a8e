//! Everything this crate reads, over one input: for fuzzing and for tests of damaged archives.

use std::sync::Arc;

use bytes::Bytes;

use crate::{BlockDecoder, BlockKind, CopyStatement, CopyText, Error, Event, Head, Limits, StreamParser};

/// Reads an archive to its end, decompressing every block; returns the number of decompressed bytes.
///
/// Every output of the crate's readers is produced and dropped. `portion` is the size in which input is pushed.
#[doc(hidden)]
pub fn read_all(archive: &[u8], portion: usize) -> Result<u64, Error> {
    let mut parser = StreamParser::new(Limits { head_bytes: 64 << 20 });
    let mut contents: Option<Arc<Head>> = None;
    let mut decoder = None;
    let mut text = None;
    let mut open = None;
    let mut raw_bytes = 0;
    for input in archive.chunks(portion.max(1)) {
        parser.push(Bytes::copy_from_slice(input));
        while let Some(event) = parser.next_event()? {
            match event {
                Event::Head(head) => {
                    head.encoding()?;
                    for entry in head.entries() {
                        if let Some(statement) = &entry.copy_statement {
                            CopyStatement::parse(statement)?.columns_list();
                        }
                    }
                    contents = Some(head);
                }
                Event::BlockStart { dump_id, kind, .. } => {
                    open = Some(kind);
                    // Filler belongs to no entry, and its bytes to no codec.
                    if let Some((head, entry)) = contents.as_ref().and_then(|head| Some((head, head.entry(dump_id)?))) {
                        decoder = Some(BlockDecoder::new(head.header().algorithm)?);
                        text = entry.copy_statement.is_some().then(CopyText::new);
                    }
                }
                Event::Data(data) => {
                    if let Some(decoder) = &mut decoder {
                        decoder.push(&data, |raw| match &mut text {
                            Some(text) => text.push(raw, |_| Ok(())),
                            None => Ok::<_, Error>(()),
                        })?;
                    }
                }
                Event::LargeObjectStart { .. } => {}
                Event::LargeObjectEnd => {
                    if let Some(decoder) = &mut decoder {
                        raw_bytes += decoder.finish()?;
                    }
                }
                Event::BlockEnd { .. } => {
                    if let (Some(mut decoder), Some(BlockKind::TableData)) = (decoder.take(), open.take()) {
                        raw_bytes += decoder.finish()?;
                    }
                    if let Some(text) = text.take() {
                        text.finish()?;
                    }
                }
            }
        }
    }
    parser.finish()?;
    Ok(raw_bytes)
}
