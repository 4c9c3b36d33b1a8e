//! Comparing what a database held with what another holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::RowDigest;
use crate::index::{LargeObjectRecord, ObjectRecord, SequenceRecord, TableRecord};

/// What kind of thing differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Rows of a table or comparison group.
    Rows,
    /// A sequence's position.
    Sequence,
    /// A large object's content.
    LargeObject,
    /// A schema object.
    Object,
    /// Owner, grants, comment or settings of the database.
    DatabaseProperty,
    /// An extension or its version.
    Extension,
    /// Stored bytes that are not what was written.
    StoredBytes,
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Difference {
    /// What kind of thing.
    pub aspect: Aspect,
    /// Its name, such as `public.orders`.
    pub name: String,
    /// What was recorded; `None`: nothing of that name.
    pub expected: Option<String>,
    /// What was found; `None`: nothing of that name.
    pub found: Option<String>,
}

impl Difference {
    /// The difference as one line for people.
    pub fn line(&self) -> String {
        match (&self.expected, &self.found) {
            (Some(expected), Some(found)) => format!("{}: expected {expected}, found {found}", self.name),
            (Some(expected), None) => format!("{}: missing (expected {expected})", self.name),
            (None, Some(found)) => format!("{}: not in the restore point, found {found}", self.name),
            (None, None) => self.name.clone(),
        }
    }
}

/// Compares two maps of named things and lists what is missing, added or different.
pub fn compare_maps<V: PartialEq>(
    aspect: Aspect,
    expected: &BTreeMap<String, V>,
    found: &BTreeMap<String, V>,
    show: impl Fn(&V) -> String,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (name, was) in expected {
        let is = found.get(name);
        if is != Some(was) {
            differences.push(Difference {
                aspect,
                name: name.clone(),
                expected: Some(show(was)),
                found: is.map(&show),
            });
        }
    }
    for (name, is) in found {
        if !expected.contains_key(name) {
            differences.push(Difference { aspect, name: name.clone(), expected: None, found: Some(show(is)) });
        }
    }
    differences
}

/// Sums the tables' digests by comparison group.
pub fn groups<'a>(tables: impl IntoIterator<Item = &'a TableRecord>) -> BTreeMap<String, RowDigest> {
    let mut groups: BTreeMap<String, RowDigest> = BTreeMap::new();
    for table in tables {
        groups.entry(table.group.clone()).or_default().merge(&table.digest);
    }
    groups
}

/// Compares rows by comparison group.
pub fn compare_rows(expected: &BTreeMap<String, RowDigest>, found: &BTreeMap<String, RowDigest>) -> Vec<Difference> {
    compare_maps(Aspect::Rows, expected, found, ToString::to_string)
}

/// Compares sequences.
pub fn compare_sequences(expected: &[SequenceRecord], found: &[SequenceRecord]) -> Vec<Difference> {
    let map = |records: &[SequenceRecord]| -> BTreeMap<String, String> {
        records.iter().map(|one| (qualified(one.namespace.as_deref(), &one.name), one.position.clone())).collect()
    };
    compare_maps(Aspect::Sequence, &map(expected), &map(found), Clone::clone)
}

/// Compares large objects by OID, length and content.
pub fn compare_large_objects(expected: &[LargeObjectRecord], found: &[LargeObjectRecord]) -> Vec<Difference> {
    let map = |records: &[LargeObjectRecord]| -> BTreeMap<String, (u64, String)> {
        records.iter().map(|one| (format!("large object {}", one.oid), (one.bytes, one.digest.clone()))).collect()
    };
    compare_maps(Aspect::LargeObject, &map(expected), &map(found), |(bytes, digest)| {
        format!("{bytes} bytes, digest {digest}")
    })
}

/// Compares schema objects: identity and owner first, then text.
///
/// Several entries may share a name (overloaded comments, say), so entries are compared as multisets by name.
pub fn compare_objects(expected: &[ObjectRecord], found: &[ObjectRecord]) -> Vec<Difference> {
    let map = |records: &[ObjectRecord]| -> BTreeMap<String, Vec<(Option<String>, String)>> {
        let mut map: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for one in records {
            map.entry(object_name(one)).or_default().push((one.owner.clone(), one.sha256.clone()));
        }
        map.values_mut().for_each(|list| list.sort());
        map
    };
    compare_maps(Aspect::Object, &map(expected), &map(found), |list| {
        let one = |(owner, sha): &(Option<String>, String)| {
            let text = sha.get(..12).unwrap_or(sha);
            owner.as_ref().map_or_else(|| format!("text {text}"), |owner| format!("owner {owner}, text {text}"))
        };
        list.iter().map(one).collect::<Vec<_>>().join("; ")
    })
}

/// The name by which an object is compared and reported.
pub fn object_name(object: &ObjectRecord) -> String {
    format!("{} {}", object.description, qualified(object.namespace.as_deref(), &object.tag))
}

/// `schema.name`, or the name alone.
pub fn qualified(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) if !namespace.is_empty() => format!("{namespace}.{name}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(tag: &str, owner: &str, sha: &str) -> ObjectRecord {
        ObjectRecord {
            description: "FUNCTION".into(),
            namespace: Some("public".into()),
            tag: tag.into(),
            owner: Some(owner.into()),
            sha256: sha.into(),
        }
    }

    #[test]
    fn names_every_object_that_differs() {
        let was = [object("f()", "app", "11"), object("g()", "app", "22"), object("h()", "app", "33")];
        let is = [object("f()", "app", "11"), object("g()", "app", "99"), object("i()", "app", "33")];
        let lines: Vec<String> = compare_objects(&was, &is).iter().map(Difference::line).collect();
        assert_eq!(
            lines,
            [
                "FUNCTION public.g(): expected owner app, text 22, found owner app, text 99",
                "FUNCTION public.h(): missing (expected owner app, text 33)",
                "FUNCTION public.i(): not in the restore point, found owner app, text 33",
            ]
        );
        assert_eq!(compare_objects(&was, &[object("f()", "eve", "11"), was[1].clone(), was[2].clone()]).len(), 1);
    }

    #[test]
    fn doubled_entries_are_counted() {
        let one = [object("f()", "app", "11")];
        let two = [object("f()", "app", "11"), object("f()", "app", "11")];
        assert_eq!(compare_objects(&one, &two).len(), 1);
    }

    #[test]
    fn sequences_and_large_objects_by_value() {
        let seq = |position: &str| SequenceRecord { namespace: None, name: "s".into(), position: position.into() };
        assert!(compare_sequences(&[seq("5, true")], &[seq("5, true")]).is_empty());
        assert_eq!(compare_sequences(&[seq("5, true")], &[seq("5, false")]).len(), 1);
        let lo =
            |bytes, digest: &str| LargeObjectRecord { dump_id: 1, oid: 3_000_000_001, bytes, digest: digest.into() };
        assert_eq!(compare_large_objects(&[lo(1, "a")], &[]).len(), 1);
        assert_eq!(compare_large_objects(&[lo(1, "a")], &[lo(1, "b")])[0].name, "large object 3000000001");
    }
}
