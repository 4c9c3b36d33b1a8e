//! Comparing schema objects of a restored database with those that were recorded.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_core::fingerprint::{Aspect, Difference, compare_maps, object_name};
use holdpoint_core::index::ObjectRecord;
use holdpoint_core::manifest::Manifest;

/// Schema objects by their name; several entries may share one.
type ByName<'a> = BTreeMap<String, Vec<&'a ObjectRecord>>;

fn by_name(objects: &[ObjectRecord]) -> ByName<'_> {
    let mut map: ByName<'_> = BTreeMap::new();
    for object in objects {
        map.entry(object_name(object)).or_default().push(object);
    }
    map.values_mut().for_each(|list| list.sort());
    map
}

/// How schema objects differ.
#[derive(Clone, Debug, Default)]
pub(crate) struct SchemaDifferences {
    /// Same name, same owner, other text.
    pub(crate) text: Vec<Difference>,
    /// Missing, added, or of another owner.
    pub(crate) other: Vec<Difference>,
}

impl SchemaDifferences {
    /// All of them.
    pub(crate) fn all(self) -> Vec<Difference> {
        [self.other, self.text].concat()
    }
}

/// Compares schema objects of a restored database with what was recorded.
///
/// `normal` are the objects as any restore of the archive writes them: PostgreSQL rewrites some texts once (`IN` lists,
/// `BETWEEN`), so where only the text differs from what was recorded, equal to *that* is equal. Names and owners must
/// always be as recorded.
pub(crate) fn compare_schema(
    expected: &[ObjectRecord],
    observed: &[ObjectRecord],
    normal: Option<&[ObjectRecord]>,
) -> SchemaDifferences {
    let normal = normal.map(by_name).unwrap_or_default();
    let recorded = by_name(expected);
    let observed = by_name(observed);
    let owners = |list: &[&ObjectRecord]| -> Vec<Option<String>> { list.iter().map(|one| one.owner.clone()).collect() };
    let same_owners = |name: &String| match (recorded.get(name), observed.get(name)) {
        (Some(was), Some(is)) => owners(was) == owners(is),
        _ => false,
    };
    let mut accepted = recorded.clone();
    for (name, rewritten) in &normal {
        if same_owners(name) && observed.get(name) == Some(rewritten) {
            accepted.insert(name.clone(), rewritten.clone());
        }
    }
    let differences = compare_maps(Aspect::Object, &accepted, &observed, |list| {
        let one = |object: &&ObjectRecord| {
            let text = object.sha256.get(..12).unwrap_or(&object.sha256);
            object.owner.as_ref().map_or_else(|| format!("text {text}"), |owner| format!("owner {owner}, text {text}"))
        };
        list.iter().map(one).collect::<Vec<_>>().join("; ")
    });
    let (text, other) = differences.into_iter().partition(|difference| same_owners(&difference.name));
    SchemaDifferences { text, other }
}

/// Leaves out of a restored part of a database the rows that were not asked for: its tables are there, empty, and a dump
/// of them has entries that the part has not.
pub(crate) fn leave_out_unasked(manifest: &Manifest, expected: &[ObjectRecord], observed: &mut Vec<ObjectRecord>) {
    if manifest.options.is_empty() {
        return;
    }
    let asked: BTreeSet<String> = expected.iter().map(object_name).collect();
    observed.retain(|object| object.description != "TABLE DATA" || asked.contains(&object_name(object)));
}

/// The objects of `normal` whose names are written differently than recorded: what a later restore compares with.
pub(crate) fn rewritten(expected: &[ObjectRecord], normal: &[ObjectRecord]) -> Vec<ObjectRecord> {
    let recorded = by_name(expected);
    let changed = |name: &String, list: &Vec<&ObjectRecord>| recorded.get(name).is_some_and(|was| was != list);
    let normal = by_name(normal).into_iter().filter(|(name, list)| changed(name, list));
    normal.flat_map(|(_, list)| list.into_iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(tag: &str, owner: &str, sha256: &str) -> ObjectRecord {
        ObjectRecord {
            description: "CHECK CONSTRAINT".into(),
            namespace: Some("public".into()),
            tag: tag.into(),
            owner: Some(owner.into()),
            sha256: sha256.into(),
        }
    }

    #[test]
    fn a_text_that_every_restore_rewrites_is_equal() {
        let recorded = [object("c", "app", "IN list"), object("d", "app", "same")];
        let rewritten = [object("c", "app", "ANY array"), object("d", "app", "same")];
        let plain = compare_schema(&recorded, &rewritten, None);
        assert_eq!((plain.text.len(), plain.other.len()), (1, 0));
        assert!(compare_schema(&recorded, &rewritten, Some(&rewritten)).all().is_empty());
        let kept = super::rewritten(&recorded, &rewritten);
        assert_eq!(kept, rewritten[..1], "only what changed is kept");
        assert!(compare_schema(&recorded, &rewritten, Some(&kept)).all().is_empty());
    }

    #[test]
    fn a_change_of_text_owner_or_presence_is_never_excused() {
        let recorded = [object("c", "app", "IN list")];
        let rewritten = [object("c", "app", "ANY array")];
        let other = [object("c", "app", "something else")];
        assert_eq!(compare_schema(&recorded, &other, Some(&rewritten)).text.len(), 1);
        let stolen = [object("c", "eve", "ANY array")];
        assert_eq!(compare_schema(&recorded, &stolen, Some(&stolen)).other.len(), 1);
        assert_eq!(compare_schema(&recorded, &[], Some(&[])).other.len(), 1, "missing from every restore is missing");
        assert_eq!(compare_schema(&recorded, &[], Some(&rewritten)).other.len(), 1);
        assert_eq!(compare_schema(&[], &recorded, Some(&recorded)).other.len(), 1, "added by every restore is added");
    }
}
