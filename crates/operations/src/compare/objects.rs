//! Which schema objects differ, and in what.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_core::fingerprint::object_name;
use holdpoint_core::index::ObjectRecord;
use serde::Serialize;

use crate::schema_check::comes_with_rows;

/// How a schema object differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectChange {
    /// Its definition.
    Definition,
    /// Its owner, and nothing else.
    Owner,
    /// It is in the restore point alone.
    Gone,
    /// It is on the other side alone.
    Added,
}

/// A schema object that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectDifference {
    /// Its kind and name, such as `TABLE public.orders`.
    pub object: String,
    /// How it differs.
    pub change: ObjectChange,
    /// The owners in the restore point, where they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_then: Option<String>,
    /// The owners on the other side, where they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_now: Option<String>,
    /// The definitions as a unified diff, where it was asked for and both could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
}

/// Schema objects of one side; `normal` are those that any restore writes differently, as a full proof found them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Objects<'a> {
    pub(crate) recorded: &'a [ObjectRecord],
    pub(crate) normal: &'a [ObjectRecord],
}

/// Objects by name; several entries may share one.
type ByName<'a> = BTreeMap<String, Vec<&'a ObjectRecord>>;

fn by_name(objects: &[ObjectRecord]) -> ByName<'_> {
    let mut map: ByName<'_> = BTreeMap::new();
    for object in objects.iter().filter(|object| is_schema(object)) {
        map.entry(object_name(object)).or_default().push(object);
    }
    map.values_mut().for_each(|list| list.sort());
    map
}

/// Rows are told by their table, and what comes with them by what it belongs to.
fn is_schema(object: &ObjectRecord) -> bool {
    object.description != "TABLE DATA" && !comes_with_rows(object)
}

/// How many objects of a side are compared.
pub(crate) fn count(objects: &[ObjectRecord]) -> u64 {
    objects.iter().filter(|object| is_schema(object)).count() as u64
}

fn owners(list: &[&ObjectRecord]) -> Vec<String> {
    list.iter().filter_map(|object| object.owner.clone()).collect()
}

fn texts<'a>(list: &[&'a ObjectRecord]) -> Vec<&'a str> {
    let mut texts: Vec<&str> = list.iter().map(|object| object.sha256.as_str()).collect();
    texts.sort_unstable();
    texts
}

/// Compares schema objects: names, then owners and definitions.
///
/// PostgreSQL writes some definitions differently after every restore (`IN` lists, `BETWEEN`); where one side is a
/// restored copy of the other, its text is the other's normal one, and that is no difference.
pub(crate) fn compare(then: Objects<'_>, now: Objects<'_>) -> Vec<ObjectDifference> {
    let (was, is) = (by_name(then.recorded), by_name(now.recorded));
    let (was_normal, is_normal) = (by_name(then.normal), by_name(now.normal));
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let mut differences = Vec::new();
    for name in names {
        let difference = |change| ObjectDifference {
            object: name.clone(),
            change,
            owner_then: None,
            owner_now: None,
            definition: None,
        };
        match (was.get(name), is.get(name)) {
            (Some(_), None) => differences.push(difference(ObjectChange::Gone)),
            (None, Some(_)) => differences.push(difference(ObjectChange::Added)),
            (None, None) => {}
            (Some(one), Some(other)) => {
                let forms = |list: &[&'_ ObjectRecord], normal: Option<&Vec<&'_ ObjectRecord>>| {
                    let mut forms = vec![texts(list).join(" ")];
                    forms.extend(normal.map(|list| texts(list).join(" ")));
                    forms
                };
                let accepted = forms(one, was_normal.get(name));
                let same_text = forms(other, is_normal.get(name)).iter().any(|form| accepted.contains(form));
                let (owner_then, owner_now) = (owners(one), owners(other));
                let same_owner = owner_then == owner_now;
                if !(same_text && same_owner) {
                    let change = if same_text { ObjectChange::Owner } else { ObjectChange::Definition };
                    differences.push(ObjectDifference {
                        owner_then: (!same_owner).then(|| owner_then.join(", ")),
                        owner_now: (!same_owner).then(|| owner_now.join(", ")),
                        ..difference(change)
                    });
                }
            }
        }
    }
    without_followers(differences)
}

/// Leaves out what only follows from its table or view: the refresh of a materialized view that is gone itself.
fn without_followers(differences: Vec<ObjectDifference>) -> Vec<ObjectDifference> {
    let names: BTreeSet<String> = differences.iter().map(|one| one.object.clone()).collect();
    let follows = |one: &ObjectDifference| {
        one.object.strip_prefix("MATERIALIZED VIEW DATA ").is_some_and(|view| {
            names.contains(&format!("MATERIALIZED VIEW {view}")) && one.change != ObjectChange::Definition
        })
    };
    differences.into_iter().filter(|one| !follows(one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(description: &str, tag: &str, owner: &str, sha256: &str) -> ObjectRecord {
        let namespace = Some("public".to_owned());
        let owner = Some(owner.to_owned());
        ObjectRecord { description: description.into(), namespace, tag: tag.into(), owner, sha256: sha256.into() }
    }

    fn found(then: &[ObjectRecord], now: &[ObjectRecord], normal: &[ObjectRecord]) -> Vec<(String, ObjectChange)> {
        let then = Objects { recorded: then, normal };
        compare(then, Objects { recorded: now, normal: &[] }).into_iter().map(|one| (one.object, one.change)).collect()
    }

    #[test]
    fn every_kind_of_change_has_its_name() {
        let then = [
            object("TABLE", "a", "app", "1"),
            object("TABLE DATA", "a", "app", "1"),
            object("VIEW", "b", "app", "1"),
            object("VIEW", "c", "app", "1"),
            object("MATERIALIZED VIEW", "m", "app", "1"),
            object("MATERIALIZED VIEW DATA", "m", "app", "1"),
        ];
        let now = [
            object("TABLE", "a", "app", "2"),
            object("TABLE DATA", "a", "app", "2"),
            object("VIEW", "b", "eve", "1"),
            object("VIEW", "d", "app", "1"),
        ];
        let text = |name: &str, change| (name.to_owned(), change);
        assert_eq!(
            found(&then, &now, &[]),
            [
                text("MATERIALIZED VIEW public.m", ObjectChange::Gone),
                text("TABLE public.a", ObjectChange::Definition),
                text("VIEW public.b", ObjectChange::Owner),
                text("VIEW public.c", ObjectChange::Gone),
                text("VIEW public.d", ObjectChange::Added),
            ]
        );
        let changed = compare(Objects { recorded: &then, normal: &[] }, Objects { recorded: &now, normal: &[] });
        assert_eq!((changed[2].owner_then.as_deref(), changed[2].owner_now.as_deref()), (Some("app"), Some("eve")));
    }

    #[test]
    fn what_every_restore_rewrites_is_no_change() {
        let then = [object("CHECK CONSTRAINT", "c", "app", "IN")];
        let now = [object("CHECK CONSTRAINT", "c", "app", "ANY")];
        assert_eq!(found(&then, &now, &[]).len(), 1);
        assert_eq!(found(&then, &now, &now), []);
        let other = [object("CHECK CONSTRAINT", "c", "app", "other")];
        assert_eq!(found(&then, &other, &now).len(), 1);
        // A restored copy that became a restore point itself, compared with its original.
        let back = compare(Objects { recorded: &now, normal: &[] }, Objects { recorded: &then, normal: &now });
        assert!(back.is_empty(), "{back:?}");
        let stolen = [object("CHECK CONSTRAINT", "c", "eve", "ANY")];
        assert_eq!(found(&then, &stolen, &now), [("CHECK CONSTRAINT public.c".to_owned(), ObjectChange::Owner)]);
    }

    #[test]
    fn entries_that_share_a_name_are_all_compared() {
        let twice = [object("FUNCTION", "f()", "app", "1"), object("FUNCTION", "f()", "app", "2")];
        assert_eq!(found(&twice, &twice[..1], &[]).len(), 1);
        let turned = [twice[1].clone(), twice[0].clone()];
        assert_eq!(found(&twice, &turned, &[]), []);
    }
}
