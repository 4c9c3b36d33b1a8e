//! What a restore would lose of the schema: changes that are not shown to be the run's.

use holdpoint_core::rehearsal::{ObjectChange, ObjectEffect};
use holdpoint_operations::compare::ObjectChange as Since;
use holdpoint_operations::restore::swap::{ObjectSince, WrittenSince};

use super::Done;
use crate::judgement::unlike::{TO_ANOTHER, words};
use crate::tools::TableName;
use crate::undo::proof::is_side;

impl Done {
    /// Which changes of the schema would be lost that are not shown to be the run's, to the very definition that it made. Where the
    /// schema is as the run left it, these are what came while its command ran and was not in its rehearsal, or all where it was not
    /// held against that. Who changed an owner is only shown where the rehearsal saw nothing else change.
    ///
    /// Tables that are told with their rows are left out, and the tool's own table with what came with it.
    pub(super) fn objects_lost(&self, written: &WrittenSince, own: Option<&TableName>) -> Vec<String> {
        let as_left = self.left_schema.is_some() && self.left_schema == written.schema_sha256;
        let with_rows = |name: &str| {
            written.tables.iter().any(|one| one.name == name) || written.not_known.iter().any(|one| one.name == name)
        };
        let of_the_tool = |one: &ObjectSince, own: &TableName| {
            one.object == format!("TABLE {own}") || one.change == Since::Added && own.names(&one.object)
        };
        let told = |one: &&ObjectSince| {
            !one.object.strip_prefix("TABLE ").is_some_and(with_rows)
                && !is_side(&one.object)
                && !own.is_some_and(|own| of_the_tool(one, own))
        };
        let mut lost = Vec::new();
        for one in written.objects.iter().filter(told) {
            let change = match one.change {
                Since::Added => ObjectChange::Added,
                Since::Gone => ObjectChange::Gone,
                Since::Definition | Since::Owner => ObjectChange::Changed,
            };
            let seen = self.objects.iter().flatten().find(|seen| seen.name == one.object && seen.change == change);
            let own_words = [words(&one.object, change), format!("{} {TO_ANOTHER}", one.object)];
            // Of a run that nobody rehearsed nobody can tell what came while its command ran.
            let as_rehearsed = as_left
                && match (&self.objects, &self.unlike) {
                    (None, _) => true,
                    (Some(_), Some(unlike)) => !own_words.iter().any(|words| unlike.contains(words)),
                    (Some(_), None) => false,
                };
            let is_made = |seen: &&ObjectEffect| seen.after.is_some() && (as_rehearsed || seen.after == one.definition);
            if let Some(seen) = seen.filter(is_made).filter(|_| one.owner.is_some()) {
                let alone = seen.before == seen.after;
                if !(as_rehearsed && alone) {
                    lost.push(format!("that the owner of {} was changed (by the run or by others)", one.object));
                }
                continue;
            }
            // Nobody tells others' grants from the run's.
            let who = match seen {
                _ if as_rehearsed => continue,
                Some(_) if one.change == Since::Gone => continue,
                Some(seen) if seen.after.is_some() && seen.after == one.definition => continue,
                Some(_) => "the run changed it, too",
                None if self.objects.is_some() => "not by the run",
                None => "by the run or by others",
            };
            lost.push(match one.change {
                Since::Added => format!("{} ({who})", one.object),
                Since::Gone => format!("that {} was dropped ({who})", one.object),
                Since::Definition | Since::Owner => format!("that {} was changed ({who})", one.object),
            });
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_operations::restore::swap::TableSince;

    use super::*;

    #[test]
    fn what_others_changed_in_the_schema_is_a_loss_that_is_named() {
        let object = |object: &str, change, definition: Option<&str>| ObjectSince {
            object: object.into(),
            change,
            definition: definition.map(str::to_owned),
            owner: None,
        };
        let all = WrittenSince {
            tables: vec![TableSince { name: "shop.told_with_its_rows".into(), rows_then: None, rows: Some(1) }],
            objects: vec![
                object("INDEX shop.ours", Since::Added, Some("1")),
                object("FUNCTION shop.both()", Since::Definition, Some("theirs")),
                object("FUNCTION shop.f()", Since::Added, Some("2")),
                object("POLICY shop.orders mine", Since::Gone, None),
                object("ACL shop.TABLE orders", Since::Definition, None),
                object("TABLE shop.told_with_its_rows", Since::Added, Some("3")),
                object("TABLE ATTACH shop.e_2024", Since::Gone, None),
                object("TABLE drizzle.__drizzle_migrations", Since::Definition, Some("4")),
                object("TRIGGER drizzle.__drizzle_migrations audit", Since::Definition, Some("5")),
                object("SEQUENCE holdpoint_20261121t224847z_adnx.s", Since::Added, Some("6")),
            ],
            schema_sha256: Some("b".into()),
            ..WrittenSince::default()
        };
        let own = TableName::new("drizzle", "__drizzle_migrations");
        let lost = |done: &Done| {
            let mut lost = done.differences(Some(&all), Some(&own)).lost;
            assert_eq!(lost.pop().as_deref(), Some("shop.told_with_its_rows"));
            lost
        };
        let effect = |name: &str, change, after: Option<&str>| ObjectEffect {
            name: name.into(),
            change,
            before: None,
            after: after.map(str::to_owned),
        };
        let objects = vec![
            effect("INDEX shop.ours", ObjectChange::Added, Some("1")),
            effect("FUNCTION shop.both()", ObjectChange::Changed, Some("ours")),
            effect("FUNCTION shop.f()", ObjectChange::Gone, None),
            effect("ACL shop.TABLE orders", ObjectChange::Changed, None),
        ];
        let compared = || Done { unlike: Some(Vec::new()), ..Done::default() };
        let rehearsed = || Done { objects: Some(objects.clone()), left_schema: Some("a".into()), ..compared() };
        let told = [
            "that FUNCTION shop.both() was changed (the run changed it, too)",
            "FUNCTION shop.f() (not by the run)",
            "that POLICY shop.orders mine was dropped (not by the run)",
            "that ACL shop.TABLE orders was changed (the run changed it, too)",
            "that TABLE ATTACH shop.e_2024 was dropped (not by the run)",
            "that TRIGGER drizzle.__drizzle_migrations audit was changed (not by the run)",
        ];
        assert_eq!(lost(&rehearsed()), told);
        let as_left = || Done { left_schema: Some("b".into()), ..rehearsed() };
        assert_eq!(lost(&as_left()), [""; 0], "as the run left it");
        let unlike = ["FUNCTION shop.f() (new)", "FUNCTION shop.both() (to another definition)"];
        let meanwhile = Done { unlike: Some(unlike.map(str::to_owned).to_vec()), ..as_left() };
        assert_eq!(lost(&meanwhile), told[..2], "others did it while the command ran");
        assert_eq!(lost(&Done { unlike: None, ..as_left() }), told, "nobody compared it, or the list was cut");
        let anybody = lost(&Done::default());
        assert_eq!((anybody.len(), anybody[0].as_str()), (7, "INDEX shop.ours (by the run or by others)"));
        let unrehearsed = Done { left_schema: Some("b".into()), ..Done::default() };
        assert_eq!(lost(&unrehearsed), [""; 0], "as the run left it");
    }

    #[test]
    fn a_change_of_the_owner_is_the_runs_only_where_its_rehearsal_shows_that_alone() {
        let one = |owner: Option<&str>| WrittenSince {
            objects: vec![ObjectSince {
                object: "VIEW shop.v".into(),
                change: Since::Definition,
                definition: Some("now".into()),
                owner: owner.map(str::to_owned),
            }],
            schema_sha256: Some("b".into()),
            ..WrittenSince::default()
        };
        let lost = |before: &str, left: &str, owner: Option<&str>| {
            let seen = ObjectEffect {
                name: "VIEW shop.v".into(),
                change: ObjectChange::Changed,
                before: Some(before.into()),
                after: Some("now".into()),
            };
            let done = Done {
                objects: Some(vec![seen]),
                left_schema: Some(left.into()),
                unlike: Some(Vec::new()),
                ..Done::default()
            };
            done.differences(Some(&one(owner)), None).lost
        };
        let told = ["that the owner of VIEW shop.v was changed (by the run or by others)"];
        for left in ["a", "b"] {
            assert_eq!(lost("then", left, None), [""; 0], "{left}: the run's own definition");
            assert_eq!(lost("then", left, Some("eve")), told, "{left}: who knows");
        }
        assert_eq!(
            lost("now", "b", Some("eve")),
            [""; 0],
            "the run changed that alone, and nobody changed anything since"
        );
        assert_eq!(lost("now", "a", Some("eve")), told, "somebody changed the schema since");
    }
}
