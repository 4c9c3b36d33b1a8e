//! How large objects compare: by content, of those that were not read by length, and their owners and grants.

use std::collections::BTreeMap;

use holdpoint_core::fingerprint::{Difference, compare_large_objects};
use holdpoint_core::index::{LargeObjectRecord, ObjectRecord};

use super::LargeObjectDifferences;
use crate::schema_check::comes_with_rows;

/// How many large objects are named.
const EXAMPLES: usize = 20;

/// What a side knows of its large objects.
#[derive(Clone, Copy, Debug)]
pub(super) struct LargeObjects<'a> {
    pub(super) contents: &'a [LargeObjectRecord],
    /// The side's objects, with those that say whose they are.
    pub(super) objects: &'a [ObjectRecord],
    /// The major of the pg_dump that wrote them: from 17 on several large objects are one entry.
    pub(super) client_major: u32,
}

/// Compares the large objects of two sides.
pub(super) fn compare(then: LargeObjects<'_>, now: LargeObjects<'_>) -> LargeObjectDifferences {
    let differences = compare_large_objects(then.contents, now.contents);
    let count = |is: fn(&Difference) -> bool| differences.iter().filter(|one| is(one)).count() as u64;
    let (gone, added) = (count(|one| one.found.is_none()), count(|one| one.expected.is_none()));
    // Where one came or went, those that belong to somebody else cannot be told from those in another entry.
    let comparable = gone + added == 0 && then.client_major == now.client_major;
    LargeObjectDifferences {
        gone,
        added,
        changed: count(|one| one.expected.is_some() && one.found.is_some()),
        owners_or_grants: comparable && described(then.objects) != described(now.objects),
        examples: differences.into_iter().take(EXAMPLES).collect(),
    }
}

/// What is said of large objects beside their content.
fn described(objects: &[ObjectRecord]) -> Vec<&ObjectRecord> {
    let mut described: Vec<&ObjectRecord> =
        objects.iter().filter(|one| comes_with_rows(one) && one.description != "STATISTICS DATA").collect();
    described.sort();
    described
}

/// Takes large objects that were not read for what is recorded, where they are as long; says how many these are.
pub(super) fn unread_as_recorded(found: &mut [LargeObjectRecord], recorded: &[LargeObjectRecord]) -> Option<String> {
    let unread = found.iter_mut().filter(|one| one.digest.is_empty());
    let known: BTreeMap<u32, &LargeObjectRecord> = recorded.iter().map(|one| (one.oid, one)).collect();
    let (mut objects, mut bytes) = (0_u64, 0_u64);
    for one in unread {
        (objects, bytes) = (objects + 1, bytes + one.bytes);
        if let Some(same) = known.get(&one.oid).filter(|known| known.bytes == one.bytes) {
            one.digest.clone_from(&same.digest);
        }
    }
    (objects > 0).then(|| {
        format!("the contents of {objects} large objects, {bytes} bytes and more than is read of them: by length alone")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(oid: u32, bytes: u64, digest: &str) -> LargeObjectRecord {
        LargeObjectRecord { dump_id: 1, oid, bytes, digest: digest.to_owned() }
    }

    fn metadata(owner: &str) -> ObjectRecord {
        ObjectRecord {
            description: "BLOB METADATA".into(),
            namespace: None,
            tag: "7".into(),
            owner: Some(owner.to_owned()),
            sha256: "1".into(),
        }
    }

    #[test]
    fn another_owner_is_a_difference_where_the_objects_are_the_same() {
        let (one, two) = ([object(7, 1, "a")], [object(7, 1, "a"), object(8, 1, "b")]);
        let (app, eve) = ([metadata("app")], [metadata("eve")]);
        let side = |contents, objects, client_major| LargeObjects { contents, objects, client_major };
        let differ = |now| compare(side(&one, &app, 18), now);
        assert_eq!(differ(side(&one, &app, 18)), LargeObjectDifferences::default());
        assert!(differ(side(&one, &eve, 18)).owners_or_grants);
        assert!(!differ(side(&one, &eve, 16)).owners_or_grants, "written otherwise");
        let added = differ(side(&two, &eve, 18));
        assert_eq!((added.added, added.owners_or_grants), (1, false));
    }

    #[test]
    fn what_was_not_read_is_compared_by_its_length_and_told() {
        let recorded = [object(7, 5, "a"), object(8, 5, "b"), object(9, 1, "c")];
        let mut found = [object(7, 5, ""), object(8, 6, ""), object(9, 1, "c")];
        let told = unread_as_recorded(&mut found, &recorded).unwrap();
        assert!(told.starts_with("the contents of 2 large objects, 11 bytes"), "{told}");
        let changed: Vec<String> =
            compare_large_objects(&recorded, &found).into_iter().map(|difference| difference.name).collect();
        assert_eq!(changed, ["large object 8"]);
        assert_eq!(unread_as_recorded(&mut found[2..], &recorded), None);
    }
}
