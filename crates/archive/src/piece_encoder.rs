//! Compresses pieces of a block, each by itself.

use std::io;

use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer};

use crate::chunk::{CHUNK_BYTES, put_chunk};
use crate::deflate::{Deflater, Effort};
use crate::{Adler32, Algorithm, Codec, Error};

/// A piece of a block as it is stored.
///
/// Pieces are compressed independently and can be decompressed alone by [`decode_piece`](crate::decode_piece); between
/// [`open_table`](crate::open_table) and [`close_list`](crate::close_list) they make, in the order of their rows, one
/// stream that stock pg_restore reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedPiece {
    /// The stored bytes, framed in chunks of at most 256 KiB.
    pub bytes: Vec<u8>,
    /// How many bytes went in.
    pub raw_bytes: u64,
    /// Sum of the bytes that went in, for gzip; [`Adler32::EMPTY`] for other codecs, which do not use it.
    pub adler: Adler32,
}

/// Encodes one piece. Where many are encoded, [`PieceEncoder`] keeps the compressor's memory between them.
pub fn encode_piece(codec: &Codec, raw: &[u8]) -> Result<EncodedPiece, Error> {
    PieceEncoder::new(codec)?.encode(raw)
}

/// Encodes pieces one after the other with the same compressor and buffer.
pub struct PieceEncoder {
    state: State,
    chunk: Vec<u8>,
}

enum State {
    None,
    Deflate(Box<Deflater>),
    Zstd(Encoder<'static>),
}

impl PieceEncoder {
    /// Sets up the compressor. Errors where zstd cannot.
    pub fn new(codec: &Codec) -> Result<Self, Error> {
        let state = match *codec {
            Codec::None => State::None,
            // Raw deflate: the block's frame holds the zlib header and the checksum.
            Codec::Gzip { level } => State::Deflate(Box::new(Deflater::new(effort(level)))),
            Codec::Zstd { level } => State::Zstd(zstd_encoder(level).map_err(compress(Algorithm::Zstd))?),
        };
        let chunk =
            if matches!(state, State::None | State::Deflate(_)) { Vec::new() } else { Vec::with_capacity(CHUNK_BYTES) };
        Ok(Self { state, chunk })
    }

    /// Encodes the next piece.
    ///
    /// gzip: raw deflate that ends in a full flush, so pieces share no history; no bytes give no bytes. zstd: one frame
    /// with content checksum that begins on a chunk of its own; no bytes give an empty frame. The encoder can be used
    /// again after an error.
    pub fn encode(&mut self, raw: &[u8]) -> Result<EncodedPiece, Error> {
        let mut bytes = Vec::new();
        let mut adler = Adler32::EMPTY;
        match &mut self.state {
            State::None => {
                bytes.reserve_exact(raw.len() + 8 * raw.len().div_ceil(CHUNK_BYTES));
                raw.chunks(CHUNK_BYTES).for_each(|chunk| put_chunk(&mut bytes, chunk));
            }
            State::Deflate(deflater) => {
                if !raw.is_empty() {
                    let put = |chunk: &[u8]| put_chunk(&mut bytes, chunk);
                    let encoded = deflater.encode(raw, CHUNK_BYTES, put).map_err(io::Error::other);
                    encoded.map_err(compress(Algorithm::Gzip))?;
                    adler = Adler32::of(raw);
                }
            }
            State::Zstd(encoder) => {
                encode_zstd(encoder, raw, &mut self.chunk, &mut bytes).map_err(compress(Algorithm::Zstd))?;
            }
        }
        Ok(EncodedPiece { bytes, raw_bytes: raw.len() as u64, adler })
    }
}

fn compress(algorithm: Algorithm) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Compress { algorithm, source }
}

/// How hard to look for matches at a level of gzip; what each costs and saves is in docs/performance.md.
fn effort(level: u32) -> Effort {
    match level {
        0 | 1 => Effort { ways: 1, insert_step: 4, patience: 2 },
        2 => Effort { ways: 1, insert_step: 2, patience: 3 },
        3 => Effort { ways: 1, insert_step: 1, patience: 3 },
        4 => Effort { ways: 2, insert_step: 1, patience: 3 },
        5 => Effort { ways: 4, insert_step: 1, patience: 4 },
        6 => Effort { ways: 32, insert_step: 1, patience: 4 },
        7 => Effort { ways: 64, insert_step: 1, patience: 5 },
        8 => Effort { ways: 128, insert_step: 1, patience: 6 },
        _ => Effort { ways: 512, insert_step: 1, patience: 16 },
    }
}

fn zstd_encoder(level: i32) -> io::Result<Encoder<'static>> {
    let mut encoder = Encoder::new(level)?;
    // Stock pg_restore does not notice a frame that is cut off; with the checksum it at least notices a changed one.
    encoder.set_parameter(CParameter::ChecksumFlag(true))?;
    if level == Codec::ZSTD_LEVEL {
        // 128 KiB instead of 512: a sixth faster, because it stays in the cache, and still smaller than gzip.
        encoder.set_parameter(CParameter::WindowLog(17))?;
    }
    Ok(encoder)
}

fn encode_zstd(encoder: &mut Encoder<'static>, raw: &[u8], chunk: &mut Vec<u8>, out: &mut Vec<u8>) -> io::Result<()> {
    encoder.reinit()?;
    encoder.set_pledged_src_size(Some(raw.len() as u64))?;
    let mut input = InBuffer::around(raw);
    loop {
        chunk.clear();
        let mut output = OutBuffer::around(chunk);
        let remaining = if input.pos() < raw.len() {
            encoder.run(&mut input, &mut output)?;
            1
        } else {
            encoder.finish(&mut output, false)?
        };
        put_chunk(out, chunk);
        if remaining == 0 {
            return Ok(());
        }
    }
}
