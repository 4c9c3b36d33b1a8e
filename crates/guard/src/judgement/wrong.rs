//! What is not as planned, in words.

use holdpoint_core::quantity::listed;
use holdpoint_core::rehearsal::Rehearsal;

use super::unlike::{Unlike, untouched};
use super::unseen::{unread, unseen};
use super::{Evidence, NAMED, missing};

/// What is not as planned although the command succeeded, in words.
pub(super) fn wrongs(evidence: &Evidence<'_>, recorded: Option<&[String]>, unlike: Option<&Unlike>) -> Vec<String> {
    let mut wrong = Vec::new();
    let nothing_pending = evidence.pending.as_ref().is_some_and(Vec::is_empty);
    if evidence.succeeded && evidence.runs_pending && nothing_pending && evidence.database == "changed" {
        let schema = evidence.objects.as_ref().is_some_and(|objects| !objects.is_empty());
        let what = if schema { "schema" } else { "database" };
        wrong.push(format!("nothing was pending, and yet the {what} changed while the command ran"));
    }
    if evidence.succeeded && nothing_pending && evidence.recorded_all_the_same {
        wrong.push(
            "nothing was pending, and yet the tool recorded something: it read other files or settings".to_owned(),
        );
    }
    // Whatever is known of the command: who records one of them runs them, and passed over the others.
    if recorded.is_some()
        && evidence.succeeded
        && let Some(still) = evidence.still_pending.as_ref().filter(|still| !still.is_empty())
    {
        let names = listed(still, NAMED);
        wrong.push(format!("the command ended with success, but these are still pending: {names}"));
    }
    // A server that was restarted took what it counted with it: nothing shows what a command did of which nothing is known.
    if evidence.succeeded
        && evidence.lost_count
        && recorded.is_none()
        && evidence.rehearsal.is_none()
        && let Some(still) = evidence.still_pending.as_ref().filter(|still| !still.is_empty())
    {
        wrong.push(format!(
            "the command ended with success, whether it did anything is not known, and these are still pending: {}",
            listed(still, NAMED)
        ));
    }
    wrong.extend(unseen(evidence, recorded).or_else(|| unread(evidence, unlike)));
    if evidence.succeeded && evidence.database == "unchanged" {
        let rehearsed = evidence.rehearsal.map(Rehearsal::left_something);
        let pending = evidence.pending.as_ref().filter(|pending| !pending.is_empty());
        // No table says what ran: a command that skipped everything looks like one that ran.
        if let (Some(pending), None, true) = (pending, rehearsed, evidence.told_by_runs) {
            let names = listed(pending, NAMED);
            wrong.push(format!(
                "the command ended with success and changed nothing: whether it ran {names} is not shown"
            ));
        } else if rehearsed == Some(true) {
            wrong.push("the rehearsal changed the copy, and the command left the database unchanged".to_owned());
        }
    }
    if let Some(shown) = missing(evidence).filter(|_| evidence.succeeded) {
        let missing = listed(&shown.missing_words(), NAMED);
        wrong
            .push(format!("the command ended with success, and not everything is there that its files say: {missing}"));
    }
    let untouched = untouched(evidence, recorded);
    if !untouched.is_empty() && evidence.database != "unchanged" {
        let names = listed(&untouched, NAMED);
        wrong.push(format!("the rehearsal wrote rows of {names}, and nobody wrote any of them while the command ran"));
    }
    if let Some(unlike) = unlike {
        if !unlike.missing.is_empty() {
            wrong.push(format!("the rehearsal did, and this did not: {}", listed(&unlike.missing, NAMED)));
        }
        if !unlike.unexpected.is_empty() {
            wrong.push(format!("the rehearsal did not, and now it is: {}", listed(&unlike.unexpected, NAMED)));
        }
    }
    if !evidence.invalid_indexes.is_empty() {
        wrong.push(format!("invalid indexes were left: {}", listed(&evidence.invalid_indexes, NAMED)));
    }
    if !evidence.prepared.is_empty() {
        let names = evidence.prepared.iter().map(|gid| format!("'{}'", gid.replace('\'', "''"))).collect::<Vec<_>>();
        let first = names.first().map(String::as_str).unwrap_or_default();
        wrong.push(format!(
            "prepared transactions were left, which hold their locks: {} (COMMIT PREPARED {first}, or ROLLBACK PREPARED {first})",
            listed(&names, NAMED)
        ));
    }
    if !evidence.unreadable.is_empty() {
        let names = listed(&evidence.unreadable, NAMED);
        wrong.push(format!("the backup's role may not read or lock {names}: the next restore point would fail"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use holdpoint_core::ledger::Verdict;
    use holdpoint_core::rehearsal::ObjectChange;

    use super::super::fixture::{all_applied, names, object, rehearsal};
    use super::super::judge;
    use super::*;

    #[test]
    fn a_skipped_migration_is_not_as_planned_although_the_command_succeeded() {
        let judged = judge(&Evidence { still_pending: Some(names(&["2"])), ..all_applied() });
        assert_eq!((judged.verdict, judged.as_planned), (Verdict::PartlyApplied, false));
        assert!(judged.reasons.iter().any(|reason| reason.contains("still pending: 2")), "{judged:?}");
        // Whatever is known of the command.
        let script = Evidence { runs_pending: false, still_pending: Some(names(&["2"])), ..all_applied() };
        assert_eq!((judge(&script).verdict, judge(&script).as_planned), (Verdict::PartlyApplied, false));
        // Of a script that recorded nothing only a server that lost its count says nothing.
        let nothing = |lost_count| {
            let pending = Some(names(&["1", "2"]));
            let evidence = Evidence { still_pending: pending, database: "unknown", lost_count, ..all_applied() };
            judge(&Evidence { runs_pending: false, ..evidence }).as_planned
        };
        assert!(nothing(false) && !nothing(true));
        let pending = Some(names(&["1", "2"]));
        let unread = Evidence { still_pending: pending, database: "unknown", objects: None, ..all_applied() };
        let unread = Evidence { runs_pending: false, ..unread };
        let rehearsed = rehearsal(vec![object("TABLE public.a", ObjectChange::Added)]);
        assert!(!judge(&Evidence { rehearsal: Some(&rehearsed), ..unread.clone() }).as_planned, "it ran on the copy");
        let judged = judge(&unread);
        assert!(judged.as_planned, "the tool's table was read: {judged:?}");
        // Nothing was recorded, and nothing shows that anything was kept.
        let none = Evidence { still_pending: Some(names(&["1", "2"])), database: "unknown", ..all_applied() };
        assert_eq!((judge(&none).verdict, judge(&none).as_planned), (Verdict::Unknown, false));
        let none = Evidence { database: "unchanged", ..none };
        assert_eq!((judge(&none).verdict, judge(&none).as_planned), (Verdict::Unchanged, false));
    }

    #[test]
    fn a_migration_that_was_skipped_without_a_word_is_not_as_planned() {
        let skipped = Evidence {
            database: "unchanged",
            objects: Some(Vec::new()),
            still_pending: None,
            told_by_runs: true,
            ..all_applied()
        };
        let judged = judge(&skipped);
        assert_eq!((judged.verdict, judged.as_planned), (Verdict::Unchanged, false));
        assert!(judged.reasons[0].contains("whether it ran 1, 2 is not shown"), "{judged:?}");
        let rehearsed = rehearsal(vec![object("TABLE public.a", ObjectChange::Added)]);
        let judged = judge(&Evidence { rehearsal: Some(&rehearsed), ..skipped });
        assert_eq!((judged.verdict, judged.as_planned), (Verdict::Unchanged, false));
        let names_it = judged.reasons.iter().any(|reason| reason.contains("this did not: TABLE public.a (new)"));
        assert!(names_it, "{judged:?}");
        // What had no effect on the copy has none here, and a command that runs no migrations needs none.
        let nothing = rehearsal(Vec::new());
        let skipped =
            || Evidence { database: "unchanged", objects: Some(Vec::new()), still_pending: None, ..all_applied() };
        assert!(judge(&Evidence { rehearsal: Some(&nothing), told_by_runs: true, ..skipped() }).as_planned);
        assert!(judge(&Evidence { pending: Some(Vec::new()), told_by_runs: true, ..skipped() }).as_planned);
    }

    #[test]
    fn invalid_indexes_and_what_no_backup_can_read_are_not_as_planned() {
        let judged = judge(&Evidence { invalid_indexes: names(&["public.i"]), ..all_applied() });
        assert_eq!((judged.verdict, judged.as_planned), (Verdict::PartlyApplied, false));
        let judged = judge(&Evidence { prepared: names(&["it's"]), ..all_applied() });
        assert!(!judged.as_planned && judged.reasons[0].contains("COMMIT PREPARED 'it''s'"), "{judged:?}");
        let judged = judge(&Evidence { unreadable: names(&["public.a"]), ..all_applied() });
        assert_eq!((judged.verdict, judged.as_planned), (Verdict::FullyApplied, false));
    }
}
