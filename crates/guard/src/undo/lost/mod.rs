//! What a restore of the whole database would lose, told apart by who did it: what the run itself dropped is no loss, what it
//! made or changed is told as that, and everything else is others'.

mod objects;

use holdpoint_core::ledger::RunStep;
use holdpoint_core::rehearsal::{LISTED, ObjectEffect, RehearsalOutcome, TableEffect};
use holdpoint_operations::restore::swap::{TableSince, WrittenSince};
use holdpoint_review::RenamedTable;

use super::at_risk::reviewed;
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
