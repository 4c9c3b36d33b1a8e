//! What a command that says success may have done or not, because nobody could look at it.

use holdpoint_core::quantity::listed;
use holdpoint_core::rehearsal::Rehearsal;

use super::unlike::{Unlike, wrote};
use super::{Evidence, NAMED};

/// What a command that says success may have done or not, as far as nobody could look at it, in words.
///
/// What a tool's table says tells it; of a command of which nothing is known, and that recorded nothing, it does not.
pub(super) fn unseen(evidence: &Evidence<'_>, recorded: Option<&[String]>) -> Option<String> {
    if !evidence.succeeded || recorded.is_some() {
        return None;
    }
    let pending = evidence.pending.as_ref().filter(|pending| !pending.is_empty());
    if evidence.objects.is_none() && evidence.shown.is_none() {
        // The tool's table was read: only a command that did something on the copy was to do it here.
        if evidence.still_pending.is_some() && !evidence.rehearsal.is_some_and(Rehearsal::left_something) {
            return None;
        }
        let what = match (pending, evidence.rehearsal) {
            (Some(pending), _) => listed(pending, NAMED),
            (None, Some(rehearsal)) if rehearsal.left_something() => "what the rehearsal ran".to_owned(),
            (None, _) => return None,
        };
        return Some(format!(
            "the command ended with success, and nothing could be looked at afterwards: whether it ran {what} is not known"
        ));
    }
    if evidence.objects.is_some() && !evidence.lost_count {
        return None;
    }
    // The schema shows, and rows do not.
    let files = evidence.shown.as_ref().map(|shown| shown.without_evidence.as_slice()).unwrap_or_default();
    let tables: Vec<String> =
        evidence.rehearsal.iter().flat_map(|one| &one.tables).filter(wrote).map(|one| one.table.clone()).collect();
    let what = match (files, tables.as_slice()) {
        ([], []) => return None,
        ([], tables) => format!("wrote the rows of {} that the rehearsal wrote", listed(tables, NAMED)),
        (files, _) => format!("ran {}", listed(files, NAMED)),
    };
    Some(format!(
        "the command ended with success, and nobody can tell which rows were written: whether it {what} is not known"
    ))
}

/// What a command that is known to run the pending migrations may have passed over, where what tells that could not be read, in
/// words. A copy on which it changed the schema alone tells it, too: rows may have been written by others.
pub(super) fn unread(evidence: &Evidence<'_>, unlike: Option<&Unlike>) -> Option<String> {
    if !evidence.succeeded || !evidence.unread || !evidence.runs_pending {
        return None;
    }
    let pending = evidence.pending.as_ref().filter(|pending| !pending.is_empty())?;
    let schema_alone = |one: &Rehearsal| !one.objects.is_empty() && !one.tables.iter().any(|table| wrote(&table));
    if unlike.is_some() && evidence.rehearsal.is_some_and(schema_alone) {
        return None;
    }
    let names = listed(pending, NAMED);
    Some(format!(
        "the command ended with success, and what was recorded could not be read: whether it ran {names} is not known"
    ))
}

#[cfg(test)]
mod tests {
    use holdpoint_core::ledger::Verdict;
    use holdpoint_core::rehearsal::{ObjectChange, ObjectEffect, RowEffect, TableEffect};

    use super::super::fixture::{all_applied, names, object, rehearsal};
    use super::super::{is_in_doubt, judge};
    use super::*;
    use crate::shown_files::Shown;

    #[test]
    fn what_was_recorded_and_could_not_be_read_is_no_success() {
        let unread = || Evidence { still_pending: None, unread: true, ..all_applied() };
        for told_by_runs in [false, true] {
            let judged = judge(&Evidence { told_by_runs, ..unread() });
            assert_eq!((judged.verdict, judged.as_planned), (Verdict::Unknown, false), "{judged:?}");
            assert!(judged.reasons[0].contains("whether it ran 1, 2 is not known"), "{judged:?}");
        }
        assert!(is_in_doubt(&unread()), "nothing shows that anything is wrong");
        assert!(!is_in_doubt(&Evidence { invalid_indexes: names(&["public.i"]), ..unread() }));
        assert!(!is_in_doubt(&Evidence { succeeded: false, ..unread() }));
        // A schema that is as the copy's shows it; rows do not, which others may have written, nor a copy on which nothing changed.
        let schema = rehearsal(vec![object("TABLE public.a", ObjectChange::Added)]);
        let judged = judge(&Evidence { rehearsal: Some(&schema), ..unread() });
        assert_eq!((judged.verdict, judged.as_planned), (Verdict::FullyApplied, true), "{judged:?}");
        let rewritten = TableEffect { table: "public.b".into(), rewritten: true, ..TableEffect::default() };
        let rows = Rehearsal { tables: vec![rewritten], ..schema };
        for copy in [rows, rehearsal(Vec::new())] {
            let judged = judge(&Evidence { rehearsal: Some(&copy), ..unread() });
            assert_eq!((judged.verdict, judged.as_planned), (Verdict::Unknown, false), "{judged:?}");
        }
        // Nothing was to be run, or nobody knows what is.
        assert!(judge(&Evidence { pending: Some(Vec::new()), database: "unknown", ..unread() }).as_planned);
        assert!(judge(&Evidence { runs_pending: false, ..unread() }).as_planned);
    }

    #[test]
    fn where_nobody_could_look_nothing_is_missing_of_the_rehearsal() {
        let expected = rehearsal(vec![object("TABLE public.a", ObjectChange::Added)]);
        let unseen = || Evidence { objects: None, database: "unknown", rehearsal: Some(&expected), ..all_applied() };
        let judged = judge(&unseen());
        assert_eq!((judged.verdict, judged.as_planned), (Verdict::FullyApplied, true), "{judged:?}");
        assert_eq!(judged.unlike_rehearsal, None);
        assert!(judged.reasons[0].contains("the schema was not read"), "{judged:?}");
        // Without a tool's table there is nothing but the command's word, which is not that it did what it did on the copy.
        let judged = judge(&Evidence { pending: None, still_pending: None, ..unseen() });
        assert_eq!((judged.verdict, judged.as_planned), (Verdict::Unknown, false), "{judged:?}");
        assert!(judged.reasons[0].contains("whether it ran what the rehearsal ran"), "{judged:?}");
        let judged = judge(&Evidence { pending: None, still_pending: None, rehearsal: None, ..unseen() });
        assert_eq!((judged.verdict, judged.as_planned), (Verdict::Unknown, true), "{judged:?}");
        // Nor is that of a command that was to run something is not taken for it.
        let judged = judge(&Evidence { still_pending: None, ..unseen() });
        assert_eq!((judged.verdict, judged.as_planned), (Verdict::Unknown, false), "{judged:?}");
        assert!(judged.reasons[0].contains("whether it ran 1"), "{judged:?}");
        // What no backup may read any more is wrong all the same, and nothing else is.
        let judged = judge(&Evidence { database: "changed", unreadable: names(&["public.s"]), ..unseen() });
        assert!(!judged.as_planned && !judged.reasons.iter().any(|one| one.contains("rehearsal did")), "{judged:?}");
        // A schema that was read, and in which nothing changed, does lack it.
        assert!(!judge(&Evidence { objects: Some(Vec::new()), ..unseen() }).as_planned);
    }

    #[test]
    fn rows_that_nobody_could_count_are_not_taken_for_written() {
        let rows = Some(RowEffect { updated: 50, ..RowEffect::default() });
        let table = TableEffect { table: "public.a".into(), rows, written: rows, ..TableEffect::default() };
        let rehearsed = Rehearsal { tables: vec![table], ..rehearsal(Vec::new()) };
        let shown = |files: &[&str]| Some(Shown { without_evidence: names(files), ..Shown::default() });
        let of = |objects: Option<Vec<ObjectEffect>>, files: &[&str], rehearsal| {
            let told_by_runs = Evidence { still_pending: None, told_by_runs: true, lost_count: true, ..all_applied() };
            judge(&Evidence { database: "unknown", objects, shown: shown(files), rehearsal, ..told_by_runs })
        };
        for objects in [Some(Vec::new()), None] {
            let judged = of(objects.clone(), &["1"], Some(&rehearsed));
            assert!(!judged.as_planned && judged.reasons[0].contains("whether it ran 1 is not known"), "{judged:?}");
            assert_eq!(judged.not_shown, ["1"]);
            let judged = of(objects.clone(), &["1"], None);
            assert!(!judged.as_planned && judged.reasons[0].contains("whether it ran 1 is not known"), "{judged:?}");
            let judged = of(objects.clone(), &[], Some(&rehearsed));
            assert!(!judged.as_planned && judged.reasons[0].contains("wrote the rows of public.a"), "{judged:?}");
            assert!(of(objects, &[], None).as_planned, "everything of its files shows");
        }
        // The tool's own table tells what ran.
        let listed = Evidence { lost_count: true, rehearsal: Some(&rehearsed), database: "unknown", ..all_applied() };
        assert!(judge(&Evidence { objects: Some(Vec::new()), ..listed }).as_planned);
    }
}
