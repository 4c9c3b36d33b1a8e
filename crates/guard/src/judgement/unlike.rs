//! What a command did against what it did on the copy: objects that differ, and rows that nobody wrote.

use holdpoint_core::rehearsal::{LISTED, ObjectChange, ObjectEffect, Rehearsal, TableEffect};

use super::Evidence;

/// How an object is told that is another one than the rehearsal made of it.
pub(crate) const TO_ANOTHER: &str = "(to another definition)";

/// How the schema differs from what the rehearsal saw.
#[derive(Debug, Default)]
pub(super) struct Unlike {
    /// Changes that are not there.
    pub(super) missing: Vec<String>,
    /// What is changed or gone, and was not there.
    pub(super) unexpected: Vec<String>,
    /// What is new, and was not there: others may have made it.
    pub(super) new: Vec<String>,
}

/// Compares with the rehearsal; `None` where its list was cut.
pub(super) fn compared(rehearsal: &Rehearsal, now: &[ObjectEffect], same_major: bool) -> Option<Unlike> {
    if rehearsal.objects.len() >= LISTED {
        return None;
    }
    let mut unlike = Unlike::default();
    for expected in &rehearsal.objects {
        match now.iter().find(|found| found.is_of(expected)) {
            None => unlike.missing.push(words(&expected.name, expected.change)),
            // Of several changes to one object only some may have been made.
            Some(found) if same_major && expected.became_another(found) => {
                unlike.missing.push(format!("{} {TO_ANOTHER}", expected.name));
            }
            Some(_) => {}
        }
    }
    for found in now.iter().filter(|found| !rehearsal.objects.iter().any(|one| one.is_of(found))) {
        let list = if found.change == ObjectChange::Added { &mut unlike.new } else { &mut unlike.unexpected };
        list.push(words(&found.name, found.change));
    }
    Some(unlike)
}

/// A change of the schema, in words.
pub(crate) fn words(name: &str, change: ObjectChange) -> String {
    let change = match change {
        ObjectChange::Added => "new",
        ObjectChange::Changed => "changed",
        ObjectChange::Gone => "gone",
    };
    format!("{name} ({change})")
}

/// The tables whose rows the rehearsal wrote, and nobody did now: where no table of a tool's says what ran, or the command
/// recorded nothing in it, what should have written them did not.
///
/// Both are told by the server's counters and files: values also read otherwise where only a type was changed, such as by
/// `ALTER TYPE … RENAME VALUE`, which writes no row anywhere.
pub(super) fn untouched(evidence: &Evidence<'_>, recorded: Option<&[String]>) -> Vec<String> {
    let (Some(rehearsal), true, None) = (evidence.rehearsal, evidence.succeeded, recorded) else {
        return Vec::new();
    };
    let tables = rehearsal.tables.iter().filter(wrote).map(|one| &one.table);
    tables.filter(|table| evidence.unmoved.contains(table)).cloned().collect()
}

/// Whether rows of a table were written, on the copy.
pub(super) fn wrote(one: &&TableEffect) -> bool {
    one.rewritten || one.written.is_some_and(|rows| !rows.is_zero())
}

#[cfg(test)]
mod tests {
    use holdpoint_core::ledger::Verdict;
    use holdpoint_core::rehearsal::RowEffect;

    use super::super::fixture::{all_applied, names, object, rehearsal};
    use super::super::judge;
    use super::*;

    #[test]
    fn what_the_rehearsal_did_and_this_did_not_is_in_part() {
        let both = vec![object("TABLE public.a", ObjectChange::Added), object("TABLE public.b", ObjectChange::Gone)];
        let expected = rehearsal(both);
        let judged = judge(&Evidence { rehearsal: Some(&expected), ..all_applied() });
        assert_eq!((judged.verdict, judged.as_planned), (Verdict::PartlyApplied, false));
        assert_eq!(judged.unlike_rehearsal.unwrap(), ["TABLE public.b (gone)"]);
        // Others may make a table meanwhile, such as a partition; that one is gone needs a reason.
        let fewer = rehearsal(Vec::new());
        assert!(judge(&Evidence { rehearsal: Some(&fewer), ..all_applied() }).as_planned);
        let dropped = Evidence { objects: Some(vec![object("TABLE public.b", ObjectChange::Gone)]), ..all_applied() };
        assert!(!judge(&Evidence { rehearsal: Some(&fewer), ..dropped }).as_planned);
    }

    #[test]
    fn of_several_changes_to_one_object_all_have_to_be_there() {
        let changed = |before: &str, after: &str| ObjectEffect {
            before: Some(before.to_owned()),
            after: Some(after.to_owned()),
            ..object("TABLE public.a", ObjectChange::Changed)
        };
        let rehearsed = rehearsal(vec![changed("a", "abc")]);
        let of = |found: ObjectEffect, same_major| {
            let found =
                Evidence { objects: Some(vec![found]), same_major, rehearsal: Some(&rehearsed), ..all_applied() };
            judge(&Evidence { still_pending: None, told_by_runs: true, ..found })
        };
        assert!(of(changed("a", "abc"), true).as_planned);
        let part = of(changed("a", "ab"), true);
        assert_eq!((part.verdict, part.as_planned), (Verdict::PartlyApplied, false));
        assert_eq!(part.unlike_rehearsal.unwrap(), ["TABLE public.a (to another definition)"]);
        // Where it was another one, or another major writes it, nobody can tell.
        assert!(of(changed("b", "bc"), true).as_planned && of(changed("a", "ab"), false).as_planned);
        assert!(of(object("TABLE public.a", ObjectChange::Changed), true).as_planned);
    }

    #[test]
    fn rows_that_the_rehearsal_wrote_and_nobody_did_now_were_not_written() {
        let rows = Some(RowEffect { updated: 50, ..RowEffect::default() });
        let table = TableEffect { table: "public.a".into(), rows, ..TableEffect::default() };
        let rehearsed = |table: TableEffect| Rehearsal { tables: vec![table], ..rehearsal(Vec::new()) };
        let of = |rehearsed: &Rehearsal, unmoved: &[&str]| {
            let told_by_runs = Evidence { still_pending: None, told_by_runs: true, ..all_applied() };
            let found = Evidence { database: "unknown", objects: Some(Vec::new()), ..told_by_runs };
            judge(&Evidence { unmoved: names(unmoved), rehearsal: Some(rehearsed), ..found })
        };
        let counted = TableEffect { written: rows, ..table.clone() };
        let emptied = TableEffect { rewritten: true, ..table.clone() };
        for wrote in [counted, emptied] {
            let wrote = rehearsed(wrote);
            assert!(of(&wrote, &["public.b"]).as_planned && of(&wrote, &[]).as_planned);
            let skipped = of(&wrote, &["public.a", "public.b"]);
            assert!(!skipped.as_planned && skipped.reasons[0].contains("public.a"), "{skipped:?}");
        }
        assert!(of(&rehearsed(table), &["public.a"]).as_planned, "a label has another name: no row was written");
    }
}
