//! Comparing what a database held with what another holds.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::RowDigest;
use crate::index::{LargeObjectRecord, ObjectRecord, SequenceRecord, TableRecord};
use crate::name::quote_identifier;

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

/// Compares named entries as multisets by name: entries that share one never hide each other.
fn compare_lists<T, V: Ord>(
    aspect: Aspect,
    expected: &[T],
    found: &[T],
    entry: impl Fn(&T) -> (String, V),
    show: impl Fn(&V) -> String,
) -> Vec<Difference> {
    let map = |records: &[T]| {
        let mut map: BTreeMap<String, Vec<V>> = BTreeMap::new();
        for (name, value) in records.iter().map(&entry) {
            map.entry(name).or_default().push(value);
        }
        map.values_mut().for_each(|list| list.sort());
        map
    };
    let show = |list: &Vec<V>| list.iter().map(&show).collect::<Vec<_>>().join("; ");
    compare_maps(aspect, &map(expected), &map(found), show)
}

/// Compares sequences.
pub fn compare_sequences(expected: &[SequenceRecord], found: &[SequenceRecord]) -> Vec<Difference> {
    let entry = |one: &SequenceRecord| (qualified(one.namespace.as_deref(), &one.name), one.position.clone());
    compare_lists(Aspect::Sequence, expected, found, entry, Clone::clone)
}

/// Compares large objects by OID, length and content.
pub fn compare_large_objects(expected: &[LargeObjectRecord], found: &[LargeObjectRecord]) -> Vec<Difference> {
    let entry = |one: &LargeObjectRecord| (format!("large object {}", one.oid), (one.bytes, one.digest.clone()));
    compare_lists(Aspect::LargeObject, expected, found, entry, |(bytes, digest)| {
        format!("{bytes} bytes, digest {digest}")
    })
}

/// Compares schema objects: identity and owner first, then text.
///
/// Several entries may share a name (overloaded comments, say), so entries are compared as multisets by name.
pub fn compare_objects(expected: &[ObjectRecord], found: &[ObjectRecord]) -> Vec<Difference> {
    let entry = |one: &ObjectRecord| (object_name(one), (one.owner.clone(), one.sha256.clone()));
    compare_lists(Aspect::Object, expected, found, entry, |(owner, sha)| {
        let text = sha.get(..12).unwrap_or(sha);
        owner.as_ref().map_or_else(|| format!("text {text}"), |owner| format!("owner {owner}, text {text}"))
    })
}

/// The name by which an object is compared and reported.
///
/// A tag may be more than a name, such as `COLUMN orders.id`, and stays as it is.
pub fn object_name(object: &ObjectRecord) -> String {
    match object.namespace.as_deref() {
        Some(namespace) if !namespace.is_empty() => {
            format!("{} {}.{}", object.description, part(namespace), object.tag)
        }
        _ => format!("{} {}", object.description, object.tag),
    }
}

/// `schema.name`, or the name alone: no two pairs give the same text.
///
/// A part in which a point or a quote would mislead is quoted.
pub fn qualified(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) if !namespace.is_empty() => format!("{}.{}", part(namespace), part(name)),
        _ => part(name).into_owned(),
    }
}

/// Schema and name of what [`qualified`] wrote, or SQL: a part may have quotes that it needs not. `None` for what has no
/// schema, or more than two parts.
pub fn schema_and_name(qualified: &str) -> Option<(String, String)> {
    let (schema, rest) = first_part(qualified)?;
    let (name, rest) = first_part(rest.strip_prefix('.')?)?;
    rest.is_empty().then_some((schema, name))
}

/// What [`qualified`] wrote as SQL reads it: a part that needs quotes there has them.
pub fn as_sql(qualified: &str) -> String {
    let needs = |part: &str| {
        let first = part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_' || !c.is_ascii());
        let of_a_name =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '$') || !c.is_ascii();
        !first || !part.chars().all(of_a_name)
    };
    let part = |part: &str| if needs(part) { crate::name::quote_identifier(part) } else { part.to_owned() };
    match schema_and_name(qualified) {
        Some((schema, name)) => format!("{}.{}", part(&schema), part(&name)),
        None => qualified.to_owned(),
    }
}

/// Reads one part, quoted or up to the next point, and gives what follows it.
fn first_part(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let (part, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
        return (!part.is_empty() && !part.contains('"')).then(|| (part.to_owned(), rest));
    };
    let mut part = String::new();
    loop {
        let (before, after) = rest.split_once('"')?;
        part.push_str(before);
        let Some(more) = after.strip_prefix('"') else { return Some((part, after)) };
        part.push('"');
        rest = more;
    }
}

/// The comparison group of tables that are loaded through a partitions' root, quoted as in the COPY statement.
///
/// It has three parts, so it is never a table's own.
pub fn group_of_root(root: &str) -> String {
    format!("{root}.*")
}

fn part(name: &str) -> Cow<'_, str> {
    if name.is_empty() || name.contains(['.', '"']) { quote_identifier(name).into() } else { name.into() }
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
    fn names_are_told_as_sql_reads_them() {
        for (given, expected) in [
            ("shop.orders", "shop.orders"),
            ("My Schema.Order Details", "\"My Schema\".\"Order Details\""),
            ("public.t;x", "public.\"t;x\""),
            ("public.\"a.b\"", "public.\"a.b\""),
            ("public.tä_1$", "public.tä_1$"),
            ("public.1st", "public.\"1st\""),
            ("shop.log.*", "shop.log.*"),
            ("orders", "orders"),
        ] {
            assert_eq!(as_sql(given), expected);
        }
        assert_eq!(as_sql(&as_sql("My Schema.a")), as_sql("My Schema.a"));
    }

    #[test]
    fn a_qualified_name_is_read_as_it_was_written() {
        for (schema, name) in [
            ("public", "my table"),
            ("public", "t;x"),
            ("public", "a, (b)"),
            ("Odd", "Orders"),
            ("s.t", "a.b"),
            ("s", "q\"t"),
            ("s", "$1"),
            ("s", "tä"),
        ] {
            let written = qualified(Some(schema), name);
            assert_eq!(schema_and_name(&written), Some((schema.to_owned(), name.to_owned())), "{written}");
        }
        let table = ("public".to_owned(), "my table".to_owned());
        assert_eq!(schema_and_name("public.\"my table\""), Some(table), "as SQL writes it");
        for other in ["t", "", "s.", ".t", "s.t.*", "s.\"t", "s.a\"b", &group_of_root("s.t")] {
            assert_eq!(schema_and_name(other), None, "{other}");
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
    fn no_two_names_are_one_key() {
        let pairs = [
            (Some("x"), "a.b"),
            (Some("x.a"), "b"),
            (None, "x.a.b"),
            (Some("x"), "\"a.b\""),
            (Some("x\".\"a"), "b"),
            (Some("x"), "a"),
            (None, "x.a"),
            (Some("x"), ""),
            (None, "x"),
        ];
        let mut keys: Vec<String> = pairs.iter().map(|(schema, name)| qualified(*schema, name)).collect();
        keys.extend(["x.a", "\"x.a\".b", "x.\"a.b\""].map(group_of_root));
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), pairs.len() + 3, "{keys:?}");
        assert_eq!(qualified(Some("odd schema"), "Orders"), "odd schema.Orders");
    }

    #[test]
    fn sequences_with_points_in_their_names_are_each_compared() {
        let seq = |schema: &str, name: &str, position: &str| SequenceRecord {
            namespace: Some(schema.into()),
            name: name.into(),
            position: position.into(),
        };
        let was = [seq("x", "a.b", "1, true"), seq("x.a", "b", "2, true")];
        for is in [[seq("x", "a.b", "9, true"), was[1].clone()], [was[0].clone(), seq("x.a", "b", "9, true")]] {
            assert_eq!(compare_sequences(&was, &is).len(), 1);
        }
        assert_eq!(compare_sequences(&was, &was[..1])[0].name, "\"x.a\".b");
        // Even entries of one name are all compared.
        let doubled = [was[0].clone(), was[0].clone()];
        assert_eq!(compare_sequences(&doubled, &[was[0].clone(), seq("x", "a.b", "9, true")]).len(), 1);
        assert_eq!(compare_sequences(&doubled, &doubled[..1]).len(), 1);
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
