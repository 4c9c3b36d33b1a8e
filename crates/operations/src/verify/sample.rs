//! Which tables a *sampled* verification loads.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_core::index::TableRecord;
use sha2::{Digest, Sha256};

use super::SampleOptions;
use crate::Error;

/// The tables that are loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    /// Their dump ids.
    pub(super) dump_ids: BTreeSet<i32>,
    /// Their comparison groups.
    pub(super) groups: BTreeSet<String>,
    /// Bytes of their rows.
    pub(super) bytes: u64,
}

/// Chooses the named tables, and of the rest, in an order that the seed gives, as many as make the share of the bytes;
/// of a rest that is not empty at least one.
///
/// Tables of one comparison group go together. Fails for a name that is no table with rows: whoever asks for a table at
/// risk must not believe that it was looked at.
pub(super) fn choose(tables: &[TableRecord], options: &SampleOptions, seed: u64) -> Result<Chosen, Error> {
    let mut groups: BTreeMap<&str, Vec<&TableRecord>> = BTreeMap::new();
    for table in tables {
        groups.entry(&table.group).or_default().push(table);
    }
    let mut chosen = Chosen::default();
    for name in &options.tables {
        let named = |table: &&TableRecord| format!("{}.{}", table.schema, table.name) == *name || table.name == *name;
        let found: BTreeSet<&str> = tables.iter().filter(named).map(|table| table.group.as_str()).collect();
        if found.is_empty() {
            return Err(Error::Usage(format!("the restore point has no rows of a table {name}")));
        }
        found.iter().for_each(|group| chosen.add(group, &groups));
    }
    let mut rest: Vec<(&str, u64)> = groups
        .iter()
        .filter(|(group, _)| !chosen.groups.contains(**group))
        .map(|(group, tables)| (*group, tables.iter().map(|table| table.data_bytes).sum()))
        .collect();
    rest.sort_by_key(|(group, _)| Sha256::digest([&seed.to_be_bytes()[..], group.as_bytes()].concat()));
    let all: u64 = rest.iter().map(|(_, bytes)| bytes).sum();
    let wanted = u128::from(all) * u128::from(options.percent) / 100;
    let (mut taken, mut any) = (0_u128, false);
    for (group, bytes) in &rest {
        if taken + u128::from(*bytes) <= wanted {
            chosen.add(group, &groups);
            (taken, any) = (taken + u128::from(*bytes), any || *bytes > 0);
        }
    }
    if let (false, Some((group, _))) = (any, rest.iter().find(|(_, bytes)| *bytes > 0))
        && options.percent > 0
    {
        chosen.add(group, &groups);
    }
    Ok(chosen)
}

impl Chosen {
    fn add(&mut self, group: &str, groups: &BTreeMap<&str, Vec<&TableRecord>>) {
        if !self.groups.insert(group.to_owned()) {
            return;
        }
        for table in groups.get(group).into_iter().flatten() {
            self.dump_ids.insert(table.dump_id);
            self.bytes += table.data_bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::digest::RowDigest;

    use super::*;

    fn tables() -> Vec<TableRecord> {
        let table = |dump_id: i32, name: &str, group: &str, data_bytes| TableRecord {
            dump_id,
            schema: "s".into(),
            name: name.into(),
            target: String::new(),
            via_root: false,
            columns: None,
            filter: None,
            group: group.into(),
            digest: RowDigest::default(),
            data_bytes,
            offset: 0,
            length: 0,
        };
        let many = (0..40).map(|n| table(100 + n, &format!("t{n}"), &format!("s.t{n}"), 100));
        many.chain([table(1, "leaf1", "s.root.*", 500), table(2, "leaf2", "s.root.*", 500)]).collect()
    }

    fn options(percent: u8, named: &[&str]) -> SampleOptions {
        SampleOptions { percent, tables: named.iter().map(|name| (*name).to_owned()).collect(), seed: None }
    }

    #[test]
    fn the_named_ones_and_a_share_of_the_rest_by_the_seed() {
        let one = choose(&tables(), &options(10, &["s.leaf1"]), 1).unwrap();
        assert!(one.dump_ids.is_superset(&BTreeSet::from([1, 2])), "leaves of one root go together");
        assert_eq!(one.bytes, 1000 + 400);
        assert_eq!(one, choose(&tables(), &options(10, &["leaf2"]), 1).unwrap(), "the same seed, the same tables");
        assert_ne!(one, choose(&tables(), &options(10, &["s.leaf1"]), 2).unwrap());
    }

    #[test]
    fn nothing_named_is_passed_over_and_something_is_always_loaded() {
        assert!(choose(&tables(), &options(10, &["s.nothing"]), 1).is_err());
        assert_eq!(choose(&tables(), &options(100, &[]), 1).unwrap().dump_ids.len(), 42);
        assert!(!choose(&tables()[40..], &options(1, &[]), 1).unwrap().dump_ids.is_empty());
        assert_eq!(choose(&tables(), &options(0, &["t1"]), 1).unwrap().dump_ids.len(), 1);
    }
}
