//! Rows that are listed: their keys, and what tells which columns differ.

use std::collections::HashMap;

use holdpoint_core::digest::hash;

use crate::Error;
use crate::compare_rows::{RowValue, RowsOptions};
use crate::compare_rows_form::{RowForm, value};

/// Bytes of a value that are kept.
const LONGEST: usize = 200;

/// A row that was fetched again.
#[derive(Clone, Debug)]
pub(crate) struct RowSample {
    pub(crate) key: Vec<RowValue>,
    /// Every compared column, where values were asked for.
    pub(crate) values: Vec<RowValue>,
    hashes: Vec<u128>,
}

/// The rows of one side that were asked for, by the hash of their key.
#[derive(Debug)]
pub(crate) struct Samples {
    rows: HashMap<u128, RowSample>,
    key: Vec<usize>,
    values: bool,
}

impl Samples {
    pub(crate) fn new(options: &RowsOptions) -> Self {
        Self { rows: HashMap::new(), key: options.key.clone(), values: options.values }
    }

    /// Keeps what is needed of a row; `row` is without its newline.
    pub(crate) fn keep(&mut self, key: u128, form: &RowForm, row: &[u8]) -> Result<(), Error> {
        let all = form.split(row)?;
        let compared: Vec<&[u8]> = form.columns.iter().map(|place| all[*place]).collect();
        let read = |text: &&[u8]| value(text, LONGEST);
        let sample = RowSample {
            key: self.key.iter().filter_map(|place| compared.get(*place)).map(read).collect(),
            values: if self.values { compared.iter().map(read).collect() } else { Vec::new() },
            hashes: compared.iter().map(|text| hash(text)).collect(),
        };
        self.rows.insert(key, sample);
        Ok(())
    }

    pub(crate) fn get(&self, key: u128) -> Option<&RowSample> {
        self.rows.get(&key)
    }
}

/// A key in the order in which people look for it: numbers by value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyPart {
    Number(i128),
    Text(RowValue),
}

impl RowSample {
    /// Lists the compared columns in which two rows differ.
    pub(crate) fn differs_in(&self, other: &Self) -> Vec<usize> {
        let pairs = self.hashes.iter().zip(&other.hashes).enumerate();
        pairs.filter(|(_, (one, other))| one != other).map(|(column, _)| column).collect()
    }

    /// Gives the order of a key.
    pub(crate) fn order(key: &[RowValue]) -> Vec<KeyPart> {
        let part = |value: &RowValue| {
            let number = value.as_deref().and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
            number.map_or_else(|| KeyPart::Text(value.clone()), KeyPart::Number)
        };
        key.iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_listed_as_people_count() {
        let key = |text: &str| vec![Some(text.as_bytes().to_vec())];
        let mut keys = [key("10"), key("9"), vec![None], key("a"), key("-1")];
        keys.sort_by_key(|key| RowSample::order(key));
        assert_eq!(keys, [key("-1"), key("9"), key("10"), vec![None], key("a")]);
    }

    #[test]
    fn only_what_was_asked_for_is_kept() {
        let mut options = RowsOptions { limit: 1, memory_bytes: 1, directory: "/".into(), key: vec![1], values: false };
        let form = RowForm { width: 3, key: vec![2], columns: vec![0, 2] };
        let mut samples = Samples::new(&options);
        samples.keep(7, &form, b"secret\tx\tk").unwrap();
        let sample = samples.get(7).unwrap();
        assert_eq!((sample.key.clone(), sample.values.len()), (vec![Some(b"k".to_vec())], 0));
        assert!(!format!("{:?}", sample.values).contains("secret"));
        options.values = true;
        let mut other = Samples::new(&options);
        other.keep(7, &form, b"other\tx\tk").unwrap();
        assert_eq!(other.get(7).unwrap().values, [Some(b"other".to_vec()), Some(b"k".to_vec())]);
        assert_eq!(sample.differs_in(other.get(7).unwrap()), [0]);
    }
}
