//! Cutting a table's text into pieces that end at rows, and what a worker makes of each.

use holdpoint_archive::{COPY_END, Codec, EncodedPiece, encode_piece};
use holdpoint_core::RowDigest;
use holdpoint_core::digest::{ColumnOrder, RowDigester};
use sha2::{Digest, Sha256};

use crate::Error;

/// A piece before compression.
#[derive(Debug)]
pub(crate) struct RawPiece {
    pub(crate) bytes: Vec<u8>,
    /// The piece ends within a row.
    pub(crate) open: bool,
    /// The table's end marker is at the end.
    pub(crate) end: bool,
    /// The digest, where the row spans pieces and was digested as it passed.
    pub(crate) digested: Option<RowDigest>,
    /// The piece holds rows, and a worker is to digest them.
    pub(crate) rows: bool,
}

/// A piece after compression.
#[derive(Debug)]
pub(crate) struct WorkedPiece {
    pub(crate) encoded: EncodedPiece,
    pub(crate) sha256: [u8; 32],
    pub(crate) digest: RowDigest,
    pub(crate) open: bool,
    pub(crate) end: bool,
}

impl RawPiece {
    /// Digests, compresses and hashes the piece: the work of one core.
    pub(crate) fn work(self, codec: &Codec, order: Option<ColumnOrder>) -> Result<WorkedPiece, Error> {
        let digest = match self.digested {
            Some(digest) => digest,
            None if self.rows => {
                let tail = if self.end { COPY_END.len() } else { 0 };
                let mut digester = RowDigester::with_order(order);
                digester.push(&self.bytes[..self.bytes.len() - tail])?;
                digester.finish().ok_or_else(|| Error::RowCut { table: "a table".to_owned() })?
            }
            None => RowDigest::default(),
        };
        let encoded = encode_piece(codec, &self.bytes)?;
        let sha256 = Sha256::digest(&encoded.bytes).into();
        Ok(WorkedPiece { encoded, sha256, digest, open: self.open, end: self.end })
    }
}

/// Cuts COPY text that arrives in slices into pieces.
///
/// A piece ends at a row, so that it can be digested and loaded alone. A row larger than a piece is cut within; it is
/// digested here as it passes, and its pieces are marked. Memory: one piece and one slice.
#[derive(Debug)]
pub(crate) struct PieceCutter {
    piece_bytes: usize,
    held: Vec<u8>,
    giant: Option<RowDigester>,
    order: Option<ColumnOrder>,
}

impl PieceCutter {
    pub(crate) fn new(piece_bytes: usize, order: Option<ColumnOrder>) -> Self {
        Self { piece_bytes, held: Vec::with_capacity(piece_bytes.min(1 << 16)), giant: None, order }
    }

    /// Adds bytes and gives the pieces that are complete.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut give: impl FnMut(RawPiece)) -> Result<(), Error> {
        while !bytes.is_empty() {
            let room = (self.piece_bytes + COPY_END.len()).saturating_sub(self.held.len()).max(1);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.held.extend_from_slice(now);
            bytes = later;
            if self.held.len() >= self.piece_bytes + COPY_END.len() {
                self.cut(&mut give)?;
            }
        }
        Ok(())
    }

    /// The bytes that are certainly rows: the end marker may be the last ones held.
    fn certain(&self) -> usize {
        self.held.len().saturating_sub(COPY_END.len())
    }

    fn cut(&mut self, give: &mut impl FnMut(RawPiece)) -> Result<(), Error> {
        let certain = self.certain();
        if self.giant.is_some() {
            return match memchr::memchr(b'\n', &self.held[..certain]) {
                Some(at) => self.end_giant(at + 1, give),
                None => self.part_of_giant(certain, give),
            };
        }
        match memchr::memrchr(b'\n', &self.held[..certain]) {
            Some(at) => {
                let bytes = self.take(at + 1);
                give(RawPiece { bytes, open: false, end: false, digested: None, rows: true });
                Ok(())
            }
            None => {
                self.giant = Some(RowDigester::with_order(self.order.clone()));
                self.part_of_giant(certain, give)
            }
        }
    }

    fn part_of_giant(&mut self, length: usize, give: &mut impl FnMut(RawPiece)) -> Result<(), Error> {
        let bytes = self.take(length);
        if let Some(giant) = &mut self.giant {
            giant.push(&bytes)?;
        }
        give(RawPiece { bytes, open: true, end: false, digested: Some(RowDigest::default()), rows: true });
        Ok(())
    }

    fn end_giant(&mut self, length: usize, give: &mut impl FnMut(RawPiece)) -> Result<(), Error> {
        let bytes = self.take(length);
        let mut digested = None;
        if let Some(mut giant) = self.giant.take() {
            giant.push(&bytes)?;
            digested = giant.finish();
        }
        give(RawPiece { bytes, open: false, end: false, digested, rows: true });
        Ok(())
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.held[length..].to_vec();
        self.held.truncate(length);
        std::mem::replace(&mut self.held, rest)
    }

    /// Ends the table and gives the last pieces; fails unless the text ends with whole rows and the end marker.
    pub(crate) fn finish(mut self, mut give: impl FnMut(RawPiece)) -> Result<(), Error> {
        let cut = || Error::RowCut { table: "a table".to_owned() };
        if !self.held.ends_with(COPY_END) {
            return Err(cut());
        }
        if self.giant.is_some() {
            let at = memchr::memchr(b'\n', &self.held[..self.certain()]).ok_or_else(cut)?;
            self.end_giant(at + 1, &mut give)?;
        }
        let rows = &self.held[..self.certain()];
        if !rows.is_empty() && !rows.ends_with(b"\n") {
            return Err(cut());
        }
        give(RawPiece { bytes: self.held, open: false, end: true, digested: None, rows: true });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts `text` handed over in slices of `slice` bytes; checks the laws of pieces; gives digest and pieces.
    fn cut(text: &[u8], piece: usize, slice: usize) -> Result<(RowDigest, Vec<RawPiece>), Error> {
        let mut pieces = Vec::new();
        let mut cutter = PieceCutter::new(piece, None);
        for part in text.chunks(slice) {
            cutter.push(part, |piece| pieces.push(piece))?;
        }
        cutter.finish(|piece| pieces.push(piece))?;
        let joined: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes.clone()).collect();
        assert_eq!(joined, text, "nothing is lost or moved");
        let mut digest = RowDigest::default();
        let mut kept = Vec::new();
        for piece in pieces {
            assert!(piece.bytes.len() <= piece_limit(piece.end, slice.max(1), text.len()).max(1));
            kept.push(RawPiece { bytes: piece.bytes.clone(), ..piece_flags(&piece) });
            digest.merge(&piece.work(&Codec::None, None)?.digest);
        }
        Ok((digest, kept))
    }

    fn piece_limit(_end: bool, _slice: usize, all: usize) -> usize {
        all
    }

    fn piece_flags(piece: &RawPiece) -> RawPiece {
        RawPiece { bytes: Vec::new(), open: piece.open, end: piece.end, digested: piece.digested, rows: piece.rows }
    }

    fn whole(rows: &[u8]) -> RowDigest {
        let mut digester = RowDigester::default();
        digester.push(rows).unwrap();
        digester.finish().unwrap()
    }

    #[test]
    fn any_cut_gives_the_same_digest() {
        let long = "y".repeat(100);
        let rows = format!("a\t1\nbb\t2\n{long}\n\nccc\t3\n{long}{long}\nd\n");
        let text = [rows.as_bytes(), COPY_END].concat();
        for piece in [1, 2, 7, 16, 64, 1000] {
            for slice in [1, 3, 50, 1000] {
                let (digest, pieces) = cut(&text, piece, slice).unwrap();
                assert_eq!(digest, whole(rows.as_bytes()), "piece {piece}, slice {slice}");
                assert!(pieces.last().unwrap().end);
                assert!(pieces.iter().filter(|piece| piece.end).count() == 1);
                let open = pieces.iter().any(|piece| piece.open);
                assert_eq!(open, piece < 200, "piece {piece}: only a row larger than a piece is cut");
            }
        }
    }

    #[test]
    fn an_empty_table_is_its_end_marker() {
        let (digest, pieces) = cut(COPY_END, 16, 5).unwrap();
        assert_eq!((digest.rows, pieces.len()), (0, 1));
    }

    #[test]
    fn text_that_stops_early_is_refused() {
        assert!(cut(b"a\nb", 16, 5).is_err());
        assert!(cut(b"a\n\\.\n", 16, 5).is_err());
        assert!(cut(&[b"a\nb".as_slice(), COPY_END].concat(), 16, 5).is_err());
        assert!(cut(&[b"abcdefghijklmnopqrstuvwxyz".as_slice(), COPY_END].concat(), 4, 5).is_err());
    }
}
