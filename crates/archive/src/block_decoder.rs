//! Decompresses what is stored between the chunk borders of one table or large object.

use std::io;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use crate::{Algorithm, Error};

/// Decompressed bytes are passed on in portions of at most this size.
const BUFFER_BYTES: usize = 128 * 1024;

/// Decompresses the stored bytes of one list of chunks (the data of one table, or of one large object).
///
/// Memory is bounded whatever the input claims or expands to: output leaves in portions of at most 128 KiB, and zstd's
/// window is at most 128 MiB as in stock pg_restore.
pub struct BlockDecoder {
    state: State,
    raw_bytes: u64,
    failed: bool,
}

enum State {
    None,
    Gzip(Inflater),
    Zstd(Unzstd),
}

impl BlockDecoder {
    /// Sets up the decompressor. Errors with [`Error::UnsupportedCodec`] for lz4.
    pub fn new(algorithm: Algorithm) -> Result<Self, Error> {
        let state = match algorithm {
            Algorithm::None => State::None,
            Algorithm::Gzip => State::Gzip(Inflater::new(true)),
            Algorithm::Zstd => State::Zstd(Unzstd::new()?),
            Algorithm::Lz4 => return Err(Error::UnsupportedCodec { algorithm }),
        };
        Ok(Self { state, raw_bytes: 0, failed: false })
    }

    /// Takes in more stored bytes and passes the decompressed ones to `sink`.
    ///
    /// Errors where the stream is damaged, where bytes follow the end of a zlib stream, and with the sink's own error;
    /// the decoder is spent then.
    pub fn push<E: From<Error>>(
        &mut self,
        input: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.failed {
            return Err(Error::AfterFailure.into());
        }
        let raw_bytes = &mut self.raw_bytes;
        let mut counted = |raw: &[u8]| {
            *raw_bytes += raw.len() as u64;
            sink(raw)
        };
        let pushed = match &mut self.state {
            State::None if input.is_empty() => Ok(()),
            State::None => counted(input),
            State::Gzip(inflater) => inflater.push(input, &mut counted),
            State::Zstd(unzstd) => unzstd.push(input, &mut counted),
        };
        self.failed = pushed.is_err();
        pushed
    }

    /// Ends the list, returns how many bytes were decompressed, and makes the decoder ready for the next list.
    ///
    /// Errors unless the stream came to its proper end: deflate's end and a right Adler-32, or a complete zstd frame.
    /// Stock pg_restore does not notice zstd data that are cut off; this does.
    pub fn finish(&mut self) -> Result<u64, Error> {
        if self.failed {
            return Err(Error::AfterFailure);
        }
        let complete = match &mut self.state {
            State::None => true,
            State::Gzip(inflater) => inflater.ended(),
            State::Zstd(unzstd) => unzstd.complete(),
        };
        if !complete {
            self.failed = true;
            return Err(Error::Truncated { what: "compressed data of a block", at: self.raw_bytes });
        }
        match &mut self.state {
            State::None => {}
            State::Gzip(inflater) => inflater.reset(),
            State::Zstd(unzstd) => unzstd.reset()?,
        }
        Ok(std::mem::take(&mut self.raw_bytes))
    }
}

/// Inflates a zlib stream, or raw deflate.
pub(crate) struct Inflater {
    inflate: Decompress,
    zlib: bool,
    ended: bool,
    buffer: Vec<u8>,
}

impl Inflater {
    pub(crate) fn new(zlib: bool) -> Self {
        Self { inflate: Decompress::new(zlib), zlib, ended: false, buffer: vec![0; BUFFER_BYTES] }
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    fn reset(&mut self) {
        self.inflate.reset(self.zlib);
        self.ended = false;
    }

    pub(crate) fn push<E: From<Error>>(
        &mut self,
        mut input: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !input.is_empty() {
            if self.ended {
                return Err(Error::TrailingBytes { algorithm: Algorithm::Gzip }.into());
            }
            let consumed = self.inflate_into(input, sink)?;
            input = &input[consumed..];
        }
        Ok(())
    }

    /// Inflates until the decompressor holds nothing back; returns how much of the input it took.
    fn inflate_into<E: From<Error>>(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let corrupt = |source| Error::Decompress { algorithm: Algorithm::Gzip, source };
        let mut consumed = 0;
        loop {
            let (total_in, total_out) = (self.inflate.total_in(), self.inflate.total_out());
            let rest = &input[consumed..];
            let status = self
                .inflate
                .decompress(rest, &mut self.buffer, FlushDecompress::None)
                .map_err(|error| corrupt(error.into()))?;
            // Both differences are bounded by the slices' lengths.
            let taken = (self.inflate.total_in() - total_in) as usize;
            let made = (self.inflate.total_out() - total_out) as usize;
            consumed += taken;
            if made > 0 {
                sink(&self.buffer[..made])?;
            }
            if status == Status::StreamEnd {
                self.ended = true;
                return Ok(consumed);
            }
            if consumed == input.len() && made < self.buffer.len() {
                return Ok(consumed);
            }
            if taken == 0 && made == 0 {
                return Err(corrupt(io::Error::other("the decompressor makes no progress")).into());
            }
        }
    }
}

/// Decompresses zstd frames that follow each other.
pub(crate) struct Unzstd {
    decoder: Decoder<'static>,
    complete: bool,
    buffer: Vec<u8>,
}

impl Unzstd {
    pub(crate) fn new() -> Result<Self, Error> {
        let decoder = Decoder::new().map_err(corrupt_zstd)?;
        Ok(Self { decoder, complete: false, buffer: vec![0; BUFFER_BYTES] })
    }

    /// Says whether the input so far ends with a complete frame.
    pub(crate) fn complete(&self) -> bool {
        self.complete
    }

    fn reset(&mut self) -> Result<(), Error> {
        self.complete = false;
        self.decoder.reinit().map_err(corrupt_zstd)
    }

    pub(crate) fn push<E: From<Error>>(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut from = InBuffer::around(input);
        let mut held_back = false;
        while from.pos() < input.len() || held_back {
            let before = from.pos();
            let mut to = OutBuffer::around(&mut self.buffer[..]);
            let hint = self.decoder.run(&mut from, &mut to).map_err(corrupt_zstd)?;
            let made = to.pos();
            self.complete = hint == 0;
            // A full buffer may mean that more is waiting (or that it just fitted), unless the frame is over.
            held_back = made == self.buffer.len() && hint != 0;
            if made > 0 {
                sink(&self.buffer[..made])?;
            }
            if from.pos() == before && made == 0 {
                if before == input.len() {
                    break;
                }
                return Err(corrupt_zstd(io::Error::other("the decompressor makes no progress")).into());
            }
        }
        Ok(())
    }
}

fn corrupt_zstd(source: io::Error) -> Error {
    Error::Decompress { algorithm: Algorithm::Zstd, source }
}
