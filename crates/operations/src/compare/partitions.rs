//! Under which other names the rows of a partition are known.

use std::collections::BTreeMap;

use holdpoint_archive::Head;
use holdpoint_core::fingerprint::qualified;
use holdpoint_engine::Contents;

use super::contents_keys::{ContentsKeys, Table};
use crate::Error;

/// Names for partitions, and for groups of them that are loaded through one root, the tables that each is a part of,
/// the nearest first, and after them those that are parts of it; as any of the sides has them.
pub(super) fn relatives(sides: &[&Head]) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let mut relatives: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for head in sides {
        let keys = ContentsKeys::read(head);
        for leaf in keys.partitions() {
            put(&mut relatives, name(leaf), keys.above(leaf).map(name));
        }
        for plan in Contents::read(head)?.tables.values().filter(|plan| plan.via_root) {
            let leaf = (plan.schema.clone(), plan.name.clone());
            put(&mut relatives, plan.group.clone(), keys.above(&leaf).chain([&leaf]).map(name));
        }
    }
    Ok(relatives)
}

fn put(relatives: &mut BTreeMap<String, Vec<String>>, table: String, more: impl Iterator<Item = String>) {
    let known = relatives.entry(table).or_default();
    for one in more {
        if !known.contains(&one) {
            known.push(one);
        }
    }
}

fn name(table: &Table) -> String {
    qualified(Some(&table.0), &table.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_twice_is_named_once() {
        let mut relatives = BTreeMap::new();
        let words = |names: &str| names.split(' ').map(str::to_owned).collect::<Vec<_>>();
        put(&mut relatives, "s.leaf".to_owned(), words("s.middle s.root").into_iter());
        put(&mut relatives, "s.leaf".to_owned(), words("s.other s.root").into_iter());
        assert_eq!(relatives["s.leaf"], words("s.middle s.root s.other"), "it was another's partition then");
    }
}
