//! Reads one stored piece alone, as after a ranged read.

use std::io::Write;

use crate::block_decoder::{Inflater, Unzstd};
use crate::block_frame::DEFLATE_END;
use crate::chunk::Chunks;
use crate::{Algorithm, Error};

/// Decodes one piece, as [`PieceEncoder`](crate::PieceEncoder) framed it, into `out`; returns the number of bytes
/// written there.
///
/// The output is passed on in portions, so that a writer with a limit bounds what a hostile piece can cost. Errors where
/// the piece is not complete to the byte or damaged, where the algorithm is not supported, and where `out` fails; `out`
/// holds a part then. A gzip piece carries no checksum of its own: what is intact is for the caller's hash to say.
pub fn decode_piece(algorithm: Algorithm, framed: &[u8], out: &mut impl Write) -> Result<u64, Error> {
    let mut written = 0;
    let mut sink = |raw: &[u8]| {
        written += raw.len() as u64;
        out.write_all(raw).map_err(|source| Error::Sink { source })
    };
    let cut_off = || Error::Truncated { what: "piece", at: framed.len() as u64 };
    match algorithm {
        Algorithm::None => Chunks::new(framed).try_for_each(|chunk| sink(chunk?))?,
        Algorithm::Gzip => {
            let mut inflater = Inflater::new(false);
            for chunk in Chunks::new(framed) {
                inflater.push(chunk?, &mut sink)?;
                if inflater.ended() {
                    return Err(Error::TrailingBytes { algorithm });
                }
            }
            // Only at the border that a flush leaves does the empty final block end the stream.
            inflater.push(&DEFLATE_END, &mut |_: &[u8]| Err(cut_off()))?;
            if !inflater.ended() {
                return Err(cut_off());
            }
        }
        Algorithm::Zstd => {
            let mut unzstd = Unzstd::new()?;
            for chunk in Chunks::new(framed) {
                unzstd.push(chunk?, &mut sink)?;
            }
            if !unzstd.complete() {
                return Err(cut_off());
            }
        }
        Algorithm::Lz4 => return Err(Error::UnsupportedCodec { algorithm }),
    }
    Ok(written)
}
