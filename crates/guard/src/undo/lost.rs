//! What a restore of the whole database would lose, told apart by who did it: what the run itself dropped is no loss, what it
//! made or changed is told as that, and everything else is others'.

use holdpoint_core::ledger::RunStep;
use holdpoint_core::rehearsal::{LISTED, ObjectChange, ObjectEffect, RehearsalOutcome, TableEffect};
use holdpoint_operations::compare::ObjectChange as Since;
use holdpoint_operations::restore::swap::{ObjectSince, TableSince, WrittenSince};

use holdpoint_review::RenamedTable;

use super::at_risk::reviewed;
use super::proof::is_side;
use crate::judgement::unlike::{TO_ANOTHER, words};
use crate::shown_files::is_called;
use crate::tools::TableName;

/// What a run did to the tables, as its rehearsal saw and its review says; nothing here tells of others.
#[derive(Debug, Default)]
pub(super) struct Done {
    effects: Vec<TableEffect>,
    /// Tables with whole rows, or the whole of them, at risk by the review.
    whole: Vec<String>,
    /// Tables that the review says to be written, or of which columns are at risk.
    written: Vec<String>,
    /// Tables that the review says to get another name, with that; none where a rehearsal saw it.
    renamed: Vec<RenamedTable>,
    /// The command was not read, nor rehearsed: it may have done anything.
    anything: bool,
    /// Schema objects that the rehearsal saw change; `None` where there was none, or not all of them are told.
    objects: Option<Vec<ObjectEffect>>,
    /// The schema as the run left it.
    left_schema: Option<String>,
    /// What was not as in the rehearsal when the command had ended, as its judgement words it; `None` where nobody compared, or not
    /// all of it was kept.
    unlike: Option<Vec<String>>,
}

/// What differs from a restore point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Differences {
    /// What a restore would lose, by name, with what the run did there.
    pub(super) lost: Vec<String>,
    /// Tables that the run dropped: a restore brings them back, and loses nothing of them.
    pub(super) dropped: Vec<String>,
}

impl Done {
    /// Reads what the newest of a run's steps tells of it, and the others where that does not.
    ///
    /// `renamed` is what the review of the migrations says that gets another name.
    pub(super) fn of(steps: &[RunStep], step: &RunStep, renamed: Vec<RenamedTable>) -> Self {
        let rehearsal = step.rehearsal.as_deref().filter(|one| one.outcome == RehearsalOutcome::AsPlanned);
        let risk = reviewed(step).unwrap_or_default();
        let (columns, whole): (Vec<_>, Vec<_>) = risk.tables.into_iter().partition(|one| !one.columns.is_empty());
        let names = |tables: Vec<holdpoint_core::undoing::AtRisk>| tables.into_iter().map(|one| one.table);
        Self {
            objects: rehearsal.map(|one| one.objects.clone()).filter(|objects| objects.len() < LISTED),
            left_schema: steps.iter().rev().find_map(|step| step.schema_sha256.clone()),
            unlike: steps
                .iter()
                .rev()
                .find_map(|step| step.judgement.as_ref()?.unlike_rehearsal.clone())
                .filter(|unlike| unlike.len() < LISTED),
            anything: rehearsal.is_none() && (step.risk.is_none() || risk.everything),
            effects: rehearsal.map(|one| one.tables.clone()).unwrap_or_default(),
            whole: names(whole).collect(),
            written: names(columns).chain(risk.written).collect(),
            renamed: if rehearsal.is_none() { renamed } else { Vec::new() },
        }
    }

    /// Tells what of the differences would be lost; `own` is the tool's own table, whose rows change with every run.
    pub(super) fn differences(&self, written: Option<&WrittenSince>, own: Option<&TableName>) -> Differences {
        let mut all = Differences::default();
        let Some(written) = written else {
            all.lost.push("what was written since (it was not looked at)".to_owned());
            return all;
        };
        // First: a refusal names a few.
        all.lost.extend(self.objects_lost(written, own));
        for table in written.tables.iter().filter(|one| own.is_none_or(|own| own.to_string() != one.name)) {
            match self.lost(table, written) {
                Some(lost) => all.lost.push(lost),
                None => all.dropped.push(table.name.clone()),
            }
        }
        all.lost.extend(written.not_known.iter().map(|one| {
            let columns = self.effect(&one.name).is_some_and(|effect| {
                !(effect.columns_added.is_empty() && effect.columns_gone.is_empty()) || effect.rewritten
            });
            let why =
                if columns { "the run changed its columns: what others wrote is not told apart" } else { &one.why };
            format!("{} ({why})", one.name)
        }));
        if written.large_objects > 0 {
            all.lost.push(format!("{} large objects", written.large_objects));
        }
        all
    }

    /// What of a table would be lost; `None`: it is gone, as the run left it.
    fn lost(&self, table: &TableSince, written: &WrittenSince) -> Option<String> {
        let name = &table.name;
        let effect = self.effect(name);
        let is = |names: &[String]| names.iter().any(|one| one == name);
        match (table.rows_then, table.rows) {
            (Some(_), None) => {
                if effect.is_some_and(|one| one.dropped || one.renamed_to.is_some())
                    || is(&self.whole)
                    || self.is_elsewhere(name, written)
                {
                    return None;
                }
                let who = if self.anything { "by the run or by others" } else { "not by the run" };
                Some(format!("that {name} was dropped ({who})"))
            }
            (None, _) => {
                let seen = self.effects.iter().find(|one| one.renamed_to.as_ref() == Some(name)).map(|old| &old.table);
                let said = self.renamed.iter().rev().find(|one| is_called(name, &one.now));
                let said = said.map(|one| one.before.to_string());
                Some(match seen.cloned().or(said) {
                    Some(old) => {
                        format!("{name} (the run renamed {old}, and others may have written there since)")
                    }
                    None if effect.is_some_and(|one| one.added) => format!("{name} (the run made it), with its rows"),
                    None => name.clone(),
                })
            }
            (Some(_), Some(_)) => {
                let rows = effect.is_some_and(|one| {
                    one.rows.or(one.written).is_some_and(|rows| !rows.is_zero())
                        || one.rewritten
                        || one.rows_before != one.rows_after
                });
                let own = rows || is(&self.whole) || is(&self.written);
                Some(if own { format!("{name} (the run wrote rows there, too)") } else { name.clone() })
            }
        }
    }

    /// Which changes of the schema would be lost that are not shown to be the run's, to the very definition that it made. Where the
    /// schema is as the run left it, these are what came while its command ran and was not in its rehearsal, or all where it was not
    /// held against that. Who changed an owner is only shown where the rehearsal saw nothing else change.
    ///
    /// Tables that are told with their rows are left out, and the tool's own table with what came with it.
    fn objects_lost(&self, written: &WrittenSince, own: Option<&TableName>) -> Vec<String> {
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

    /// Whether the review says that a table got another name, and that one came.
    fn is_elsewhere(&self, name: &str, written: &WrittenSince) -> bool {
        let came = |one: &RenamedTable| {
            written.tables.iter().any(|table| table.rows_then.is_none() && is_called(&table.name, &one.now))
        };
        self.renamed.iter().any(|one| is_called(name, &one.before) && came(one))
    }

    /// What the rehearsal saw of a table; of partitions that are loaded through one root what it saw of that.
    fn effect(&self, name: &str) -> Option<&TableEffect> {
        let root = name.strip_suffix(".*");
        self.effects.iter().find(|one| one.table == name || Some(one.table.as_str()) == root)
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::rehearsal::RowEffect;
    use holdpoint_operations::restore::swap::NotKnown;
    use holdpoint_review::ObjectName;

    use super::*;

    fn table(name: &str, rows_then: Option<u64>, rows: Option<u64>) -> TableSince {
        TableSince { name: name.to_owned(), rows_then, rows }
    }

    fn written(tables: Vec<TableSince>) -> WrittenSince {
        WrittenSince { tables, ..WrittenSince::default() }
    }

    fn told(done: &Done, table: TableSince) -> Differences {
        done.differences(Some(&written(vec![table])), None)
    }

    #[test]
    fn whatever_is_not_known_to_be_equal_may_be_lost() {
        let done = Done::default();
        let lost = |written: &WrittenSince, own| done.differences(Some(written), own).lost;
        let mut found = WrittenSince::default();
        assert_eq!(lost(&found, None), [""; 0]);
        assert_eq!(done.differences(None, None).lost.len(), 1);
        found.tables = vec![table("drizzle.__drizzle_migrations", Some(1), Some(2))];
        let own = TableName::new("drizzle", "__drizzle_migrations");
        assert_eq!(lost(&found, Some(&own)), [""; 0], "every run writes that one");
        assert_eq!(lost(&found, None).len(), 1);
        found.tables.push(table("shop.orders", Some(1), Some(2)));
        found.not_known.push(NotKnown { name: "shop.big".into(), why: "it is large".into() });
        found.large_objects = 2;
        let told = lost(&found, Some(&own));
        assert_eq!(told, ["shop.orders", "shop.big (it is large)", "2 large objects"]);
    }

    #[test]
    fn a_table_that_the_review_says_to_be_renamed_was_not_dropped_by_others() {
        let name = |name: &str| ObjectName::qualified("shop", name);
        let renamed = vec![RenamedTable { before: name("old"), now: name("new") }];
        let done = Done { renamed, ..Done::default() };
        let (gone, came) = (|| table("shop.old", Some(7), None), || table("shop.new", None, Some(7)));
        let both = done.differences(Some(&written(vec![gone(), came()])), None);
        assert_eq!(both.lost, ["shop.new (the run renamed shop.old, and others may have written there since)"]);
        assert_eq!(both.dropped, ["shop.old"]);
        assert_eq!(told(&done, gone()).lost, ["that shop.old was dropped (not by the run)"], "no table came for it");
    }

    #[test]
    fn what_others_changed_in_the_schema_is_a_loss_that_is_named() {
        let object = |object: &str, change, definition: Option<&str>| ObjectSince {
            object: object.into(),
            change,
            definition: definition.map(str::to_owned),
            owner: None,
        };
        let all = WrittenSince {
            tables: vec![table("shop.told_with_its_rows", None, Some(1))],
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

    #[test]
    fn what_the_run_dropped_is_no_loss_and_what_others_dropped_is_theirs() {
        let gone = || table("shop.old", Some(7), None);
        let by_rehearsal = TableEffect { table: "shop.old".into(), dropped: true, ..TableEffect::default() };
        let rehearsed = Done { effects: vec![by_rehearsal], ..Done::default() };
        let reviewed = Done { whole: vec!["shop.old".into()], ..Done::default() };
        for done in [&rehearsed, &reviewed] {
            assert_eq!(told(done, gone()), Differences { lost: vec![], dropped: vec!["shop.old".into()] });
        }
        assert_eq!(told(&Done::default(), gone()).lost, ["that shop.old was dropped (not by the run)"]);
        let anything = Done { anything: true, ..Done::default() };
        assert_eq!(told(&anything, gone()).lost, ["that shop.old was dropped (by the run or by others)"]);
        assert_eq!(told(&rehearsed, table("shop.old", Some(7), Some(8))).lost, ["shop.old"], "others made it again");
    }

    #[test]
    fn what_the_run_made_or_wrote_is_told_as_that() {
        let effect = |table: &str| TableEffect { table: table.into(), ..TableEffect::default() };
        let done = Done {
            effects: vec![
                TableEffect { added: true, ..effect("shop.new") },
                TableEffect { renamed_to: Some("shop.b".into()), ..effect("shop.a") },
                TableEffect {
                    written: Some(RowEffect { inserted: 1, updated: 0, deleted: 0 }),
                    ..effect("shop.log.*")
                },
                TableEffect { columns_gone: vec!["note".into()], ..effect("shop.orders") },
            ],
            written: vec!["shop.tags".into()],
            ..Done::default()
        };
        let all = WrittenSince {
            tables: vec![
                table("shop.new", None, None),
                table("shop.others", None, None),
                table("shop.a", Some(3), None),
                table("shop.b", None, None),
                table("shop.log.*", Some(1), Some(2)),
                table("shop.tags", Some(1), Some(2)),
                table("shop.events", Some(1), Some(2)),
            ],
            not_known: vec![NotKnown { name: "shop.orders".into(), why: "its columns are others".into() }],
            ..WrittenSince::default()
        };
        let told = done.differences(Some(&all), None);
        assert_eq!(
            told.lost,
            [
                "shop.new (the run made it), with its rows",
                "shop.others",
                "shop.b (the run renamed shop.a, and others may have written there since)",
                "shop.log.* (the run wrote rows there, too)",
                "shop.tags (the run wrote rows there, too)",
                "shop.events",
                "shop.orders (the run changed its columns: what others wrote is not told apart)",
            ]
        );
        assert_eq!(told.dropped, ["shop.a"]);
    }
}
