//! What of a row is its key, and what is compared.

use holdpoint_core::digest::hash;

use crate::Error;

/// Places of columns in the rows of one side.
///
/// Both sides must list the same columns in the same order here, wherever they stand in their rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowForm {
    /// How many columns a row has.
    pub width: usize,
    /// Where the key's columns stand.
    pub key: Vec<usize>,
    /// Where the compared columns stand, the key's among them.
    pub columns: Vec<usize>,
}

/// Reduces rows to hashes; keeps its memory from row to row.
#[derive(Debug)]
pub(crate) struct RowHasher {
    form: RowForm,
    ends: Vec<usize>,
    joined: Vec<u8>,
}

impl RowForm {
    /// Where each column of a row stands, taken apart.
    ///
    /// A raw tab separates columns and appears nowhere else: COPY writes tabs of the data as `\t`.
    pub(crate) fn split<'a>(&self, row: &'a [u8]) -> Result<Vec<&'a [u8]>, Error> {
        let columns: Vec<&[u8]> = row.split(|byte| *byte == b'\t').collect();
        self.check(columns.len())?;
        Ok(columns)
    }

    fn check(&self, found: usize) -> Result<(), Error> {
        if found == self.width {
            return Ok(());
        }
        Err(holdpoint_core::Error::ColumnCount { expected: self.width, found }.into())
    }
}

impl RowHasher {
    pub(crate) fn new(form: RowForm) -> Self {
        Self { ends: Vec::with_capacity(form.width), joined: Vec::new(), form }
    }

    /// Gives the hash of the key and that of all compared columns; `row` is without its newline.
    pub(crate) fn hash(&mut self, row: &[u8]) -> Result<(u128, u128), Error> {
        self.ends.clear();
        self.ends.extend(memchr::memchr_iter(b'\t', row));
        self.ends.push(row.len());
        self.form.check(self.ends.len())?;
        let key = hash_of(row, &self.ends, &self.form.key, &mut self.joined);
        let columns = hash_of(row, &self.ends, &self.form.columns, &mut self.joined);
        self.joined.shrink_to(1 << 20);
        Ok((key, columns))
    }
}

fn hash_of(row: &[u8], ends: &[usize], places: &[usize], joined: &mut Vec<u8>) -> u128 {
    let start = |place: usize| if place == 0 { 0 } else { ends[place - 1] + 1 };
    // Columns that stand one after the other need no copy.
    let neighbours = places.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    if let (true, Some(first), Some(last)) = (neighbours, places.first(), places.last()) {
        return hash(&row[start(*first)..ends[*last]]);
    }
    joined.clear();
    for (nth, place) in places.iter().enumerate() {
        if nth > 0 {
            joined.push(b'\t');
        }
        joined.extend_from_slice(&row[start(*place)..ends[*place]]);
    }
    hash(joined)
}

/// Cuts text into rows, whatever its slices.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Tells whether a row has begun that did not end.
    pub(crate) fn within_row(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Gives every row that ends in `bytes`, without its newline.
    pub(crate) fn push(
        &mut self,
        mut bytes: &[u8],
        each: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (row, after) = bytes.split_at(end);
            if self.rest.is_empty() {
                each(row)?;
            } else {
                self.rest.extend_from_slice(row);
                let whole = std::mem::take(&mut self.rest);
                each(&whole)?;
            }
            bytes = &after[1..];
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }
}

/// A value as COPY text has it, for people: what it stands for, cut to `most` bytes; `None` is NULL.
pub(crate) fn value(text: &[u8], most: usize) -> Option<Vec<u8>> {
    if text == b"\\N" {
        return None;
    }
    let mut value = Vec::with_capacity(text.len().min(most));
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        if value.len() >= most {
            value.extend_from_slice("…".as_bytes());
            break;
        }
        value.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'b') => 8,
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'v') => 11,
                Some(b'f') => 12,
                Some(b'r') => b'\r',
                Some(other) => other,
                None => b'\\',
            },
            byte => byte,
        });
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(width: usize, key: &[usize], columns: &[usize]) -> RowForm {
        RowForm { width, key: key.to_vec(), columns: columns.to_vec() }
    }

    #[test]
    fn the_same_row_in_another_order_is_the_same() {
        let mut one = RowHasher::new(form(3, &[0], &[0, 1, 2]));
        let mut other = RowHasher::new(form(4, &[3], &[3, 0, 2]));
        assert_eq!(one.hash(b"7\tx\\ty\t\\N").unwrap(), other.hash(b"x\\ty\tnew\t\\N\t7").unwrap());
        assert_ne!(one.hash(b"7\tx\ty").unwrap().1, one.hash(b"7\ty\tx").unwrap().1);
        assert_eq!(one.hash(b"7\tx\ty").unwrap().0, one.hash(b"7\ta\tb").unwrap().0);
    }

    #[test]
    fn columns_never_run_into_each_other() {
        let mut hasher = RowHasher::new(form(2, &[0, 1], &[1, 0]));
        assert_ne!(hasher.hash(b"ab\tc").unwrap().0, hasher.hash(b"a\tbc").unwrap().0);
        assert_eq!(RowHasher::new(form(1, &[0], &[0])).hash(b"").unwrap().0, holdpoint_core::digest::hash(b""));
    }

    #[test]
    fn a_row_of_another_width_is_refused() {
        let mut hasher = RowHasher::new(form(2, &[0], &[0, 1]));
        for row in [&b"a"[..], b"a\tb\tc", b""] {
            assert!(hasher.hash(row).is_err());
        }
        assert!(form(2, &[0], &[0]).split(b"a").is_err());
    }

    #[test]
    fn rows_are_whole_whatever_the_slices() {
        for step in 1..12 {
            let mut lines = Lines::default();
            let mut rows = Vec::new();
            for slice in b"one\n\ntwo\nthree\n".chunks(step) {
                lines
                    .push(slice, &mut |row| {
                        rows.push(String::from_utf8_lossy(row).into_owned());
                        Ok(())
                    })
                    .unwrap();
            }
            assert_eq!(rows, ["one", "", "two", "three"], "{step}");
            assert!(!lines.within_row());
        }
    }

    #[test]
    fn values_are_read_back_and_cut() {
        assert_eq!(value(b"\\N", 9), None);
        assert_eq!(value(b"a\\tb\\\\c\\n", 99).unwrap(), b"a\tb\\c\n");
        assert_eq!(value("äöü".as_bytes(), 4).unwrap(), "äö…".as_bytes());
    }
}
