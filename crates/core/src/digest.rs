//! The row digest: how many rows a table holds and an order-free sum over their text.
//!
//! Unit: one row in COPY text form without its newline, in UTF-8 or the archive's encoding, as read by a session with
//! pinned output settings. The digest is the sum modulo 2^128 of the rows' XXH3-128, so parts may be made anywhere, in
//! any order, and merged. It detects accidents, not forgery.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::Error;

/// Row count and order-free digest of a set of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDigest {
    /// Number of rows.
    pub rows: u64,
    /// Sum modulo 2^128 of every row's hash; 32 hexadecimal digits when written.
    #[serde(rename = "digest", with = "hexadecimal")]
    pub sum: u128,
}

impl RowDigest {
    /// Adds one row, given without its newline.
    pub fn add_row(&mut self, row: &[u8]) {
        self.add_hash(xxh3_128(row));
    }

    /// Adds one row by its hash, as [`hash`] gives it.
    pub fn add_hash(&mut self, hash: u128) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    /// Adds all rows of another digest.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// The sum as 32 hexadecimal digits.
    pub fn hex(&self) -> String {
        format!("{:032x}", self.sum)
    }
}

/// The XXH3-128 of a row's text, or of a part of it.
pub fn hash(text: &[u8]) -> u128 {
    xxh3_128(text)
}

impl fmt::Display for RowDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, digest {}", self.rows, self.hex())
    }
}

/// Hashes a byte string that arrives in slices, such as a large object.
#[derive(Default)]
pub struct StreamHash(Xxh3);

impl fmt::Debug for StreamHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamHash")
    }
}

impl StreamHash {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The XXH3-128 of everything added, as 32 hexadecimal digits.
    pub fn hex(&self) -> String {
        format!("{:032x}", self.0.digest128())
    }
}

/// Reads 32 hexadecimal digits.
pub fn parse_sum(text: &str) -> Result<u128, Error> {
    let plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !plain {
        return Err(Error::InvalidDigest(text.to_owned()));
    }
    u128::from_str_radix(text, 16).map_err(|_| Error::InvalidDigest(text.to_owned()))
}

mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(sum: &u128, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{sum:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        super::parse_sum(&text).map_err(D::Error::custom)
    }
}

impl FromStr for RowDigest {
    type Err = Error;
    /// Reads `rows:digest`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (rows, sum) = text.split_once(':').ok_or_else(|| Error::InvalidDigest(text.to_owned()))?;
        let rows = rows.parse().map_err(|_| Error::InvalidDigest(text.to_owned()))?;
        Ok(Self { rows, sum: parse_sum(sum)? })
    }
}

/// Digests a stream of COPY text that arrives in slices of any size.
///
/// A raw newline ends a row and appears nowhere else: COPY writes newlines of the data as `\n`, and no encoding that a
/// server can have uses the byte within a character. Memory: a row that spans slices is hashed as it passes and never
/// gathered, unless its columns must change places, when one row is held.
#[derive(Debug, Default)]
pub struct RowDigester {
    digest: RowDigest,
    open: Option<StreamHash>,
    order: Option<ColumnOrder>,
    held: Vec<u8>,
    permuted: Vec<u8>,
}

/// Puts the columns of a row into another order.
///
/// Needed for leaves that are loaded through their root: their columns may stand in another order than the root's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnOrder(Vec<usize>);

impl ColumnOrder {
    /// The order that turns rows with columns `from` into rows with columns `to`; `None` when nothing moves.
    ///
    /// The lists must name the same columns, else the rows cannot be compared and an error says so.
    pub fn between<T: PartialEq>(from: &[T], to: &[T]) -> Result<Option<Self>, Error> {
        let mismatch = || Error::ColumnCount { expected: to.len(), found: from.len() };
        if from.len() != to.len() {
            return Err(mismatch());
        }
        if from == to {
            return Ok(None);
        }
        let places = to.iter().map(|wanted| from.iter().position(|have| have == wanted).ok_or_else(mismatch));
        Ok(Some(Self(places.collect::<Result<_, _>>()?)))
    }

    fn apply(&self, row: &[u8], into: &mut Vec<u8>) -> Result<(), Error> {
        into.clear();
        let columns: Vec<&[u8]> = row.split(|byte| *byte == b'\t').collect();
        if columns.len() != self.0.len() {
            return Err(Error::ColumnCount { expected: self.0.len(), found: columns.len() });
        }
        for (nth, place) in self.0.iter().enumerate() {
            if nth > 0 {
                into.push(b'\t');
            }
            into.extend_from_slice(columns[*place]);
        }
        Ok(())
    }
}

impl RowDigester {
    /// A digester that first puts each row's columns into `order`.
    pub fn with_order(order: Option<ColumnOrder>) -> Self {
        Self { order, ..Self::default() }
    }

    /// Adds the next bytes of COPY text.
    ///
    /// Fails only when columns must change places and a row has another number of columns than announced.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while let Some(end) = memchr(bytes) {
            let (row, rest) = bytes.split_at(end);
            self.end_row(row)?;
            bytes = &rest[1..];
        }
        if !bytes.is_empty() {
            if self.order.is_some() {
                self.held.extend_from_slice(bytes);
            } else {
                self.open.get_or_insert_default().update(bytes);
            }
        }
        Ok(())
    }

    fn end_row(&mut self, row: &[u8]) -> Result<(), Error> {
        if let Some(order) = &self.order {
            if self.held.is_empty() {
                order.apply(row, &mut self.permuted)?;
            } else {
                self.held.extend_from_slice(row);
                order.apply(&self.held, &mut self.permuted)?;
                self.held.clear();
                self.held.shrink_to(1 << 20);
            }
            self.digest.add_row(&self.permuted);
        } else if let Some(mut open) = self.open.take() {
            open.update(row);
            self.digest.add_hash(open.0.digest128());
        } else {
            self.digest.add_row(row);
        }
        Ok(())
    }

    /// Takes the digest of the rows that ended since the last call; a row under way goes on.
    pub fn take(&mut self) -> RowDigest {
        std::mem::take(&mut self.digest)
    }

    /// Rows ended so far, and whether a row is under way.
    pub fn rows(&self) -> (u64, bool) {
        (self.digest.rows, self.open.is_some() || !self.held.is_empty())
    }

    /// The digest of all rows.
    ///
    /// Returns `None` when the text stops within a row: the data were cut.
    pub fn finish(self) -> Option<RowDigest> {
        if self.rows().1 { None } else { Some(self.digest) }
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(text: &[u8]) -> RowDigest {
        let mut digester = RowDigester::default();
        digester.push(text).unwrap();
        digester.finish().unwrap()
    }

    #[test]
    fn counts_and_tells_rows_apart() {
        assert_eq!(digest(b"").rows, 0);
        assert_eq!(digest(b"\n\n").rows, 2, "rows without columns are rows");
        assert_ne!(digest(b"a\nb\n"), digest(b"a\na\n"));
        assert_ne!(digest(b"a\na\n"), digest(b"b\nb\n"), "a doubled row does not cancel out");
        assert_eq!(digest(b"a\nb\n"), digest(b"b\na\n"), "order does not matter");
    }

    #[test]
    fn a_cut_row_gives_no_digest() {
        let mut digester = RowDigester::default();
        digester.push(b"a\nb").unwrap();
        assert_eq!(digester.rows(), (1, true));
        assert_eq!(digester.finish(), None);
    }

    #[test]
    fn taking_splits_the_digest_between_rows() {
        let mut digester = RowDigester::default();
        digester.push(b"a\nb").unwrap();
        let mut sum = digester.take();
        assert_eq!((sum.rows, digester.rows()), (1, (0, true)));
        digester.push(b"c\n").unwrap();
        sum.merge(&digester.take());
        assert_eq!(sum, digest(b"a\nbc\n"));
    }

    #[test]
    fn columns_change_places() {
        let order = ColumnOrder::between(&["a", "b", "c"], &["c", "a", "b"]).unwrap();
        let mut digester = RowDigester::with_order(order);
        digester.push(b"1\t2").unwrap();
        digester.push(b"\t3\n4\t5\t6\n").unwrap();
        assert_eq!(digester.finish().unwrap(), digest(b"3\t1\t2\n6\t4\t5\n"));
        assert!(ColumnOrder::between(&["a"], &["b"]).is_err());
        assert_eq!(ColumnOrder::between(&["a"], &["a"]).unwrap(), None);
    }

    #[test]
    fn a_row_with_a_column_missing_is_refused() {
        let order = ColumnOrder::between(&["a", "b"], &["b", "a"]).unwrap();
        assert!(RowDigester::with_order(order).push(b"1\n").is_err());
    }

    #[test]
    fn written_and_read_back() {
        let json = serde_json::to_string(&digest(b"a\n")).unwrap();
        assert_eq!(serde_json::from_str::<RowDigest>(&json).unwrap(), digest(b"a\n"));
        assert!(serde_json::from_str::<RowDigest>("{\"rows\":1,\"digest\":\"xyz\"}").is_err());
    }

    proptest! {
        #[test]
        fn slices_do_not_matter(text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\t'), Just(b'x'), any::<u8>()], 0..400), cuts in proptest::collection::vec(0usize..400, 0..8)) {
            let mut text = text;
            text.push(b'\n');
            let whole = digest(&text);
            let mut digester = RowDigester::default();
            let mut places: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            places.extend([0, text.len()]);
            places.sort_unstable();
            for pair in places.windows(2) {
                digester.push(&text[pair[0]..pair[1]]).unwrap();
            }
            prop_assert_eq!(digester.finish(), Some(whole));
        }
    }
}
