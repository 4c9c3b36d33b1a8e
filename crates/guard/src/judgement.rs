//! What a command did, told from what is found afterwards, not from what it said of itself.

use holdpoint_core::ledger::{Health, InForce, JudgementRecord, Verdict};
use holdpoint_core::quantity::listed;
use holdpoint_core::rehearsal::{LISTED, ObjectChange, ObjectEffect, Rehearsal, TableEffect};

use crate::shown_files::Shown;

/// How many names a reason lists.
const NAMED: usize = 5;
/// How an object is told that is another one than the rehearsal made of it.
pub(crate) const TO_ANOTHER: &str = "(to another definition)";

/// Everything that is found after a command.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence<'a> {
    /// It ended with exit code 0, by itself.
    pub(crate) succeeded: bool,
    /// `unchanged`, `changed` or `unknown`: the database against right before.
    pub(crate) database: &'static str,
    /// Schema objects that differ; `None` where the schema was not read.
    pub(crate) objects: Option<Vec<ObjectEffect>>,
    /// Indexes that were left invalid.
    pub(crate) invalid_indexes: Vec<String>,
    /// Tables of which nobody wrote a row while the command ran.
    pub(crate) unmoved: Vec<String>,
    /// The server began to count anew meanwhile: nobody can tell which rows were written.
    pub(crate) lost_count: bool,
    /// Transactions that were prepared, and neither committed nor rolled back.
    pub(crate) prepared: Vec<String>,
    /// What the backup's role may not read since.
    pub(crate) unreadable: Vec<String>,
    /// What was pending; `None` where nobody can tell.
    pub(crate) pending: Option<Vec<String>>,
    /// Whether the command is known to run all of that.
    pub(crate) runs_pending: bool,
    /// Whether nothing but runs tells what is applied, as for a folder without a tool.
    pub(crate) told_by_runs: bool,
    /// What of it still is; `None` where nobody can tell.
    pub(crate) still_pending: Option<Vec<String>>,
    /// What tells which of the pending migrations ran, the tool's table or the catalog, could not be read.
    pub(crate) unread: bool,
    /// What shows that files ran, of a folder without a tool; `None` of anything else, or where it was not read.
    pub(crate) shown: Option<Shown>,
    /// The tool commits what a migration did together with its record: what has none was not kept.
    pub(crate) commits_with_record: bool,
    /// The tool recorded something although nothing was pending.
    pub(crate) recorded_all_the_same: bool,
    /// Whether the copy was of the server's major: each writes definitions in its own way.
    pub(crate) same_major: bool,
    /// What it did on the copy.
    pub(crate) rehearsal: Option<&'a Rehearsal>,
}

/// How the schema differs from what the rehearsal saw.
#[derive(Debug, Default)]
struct Unlike {
    /// Changes that are not there.
    missing: Vec<String>,
    /// What is changed or gone, and was not there.
    unexpected: Vec<String>,
    /// What is new, and was not there: others may have made it.
    new: Vec<String>,
}

/// Judges; health and time-outs are filled in by whoever knows them.
pub(crate) fn judge(evidence: &Evidence<'_>) -> JudgementRecord {
    let expected = evidence.rehearsal.zip(evidence.objects.as_ref());
    let unlike = expected.and_then(|(rehearsal, objects)| compared(rehearsal, objects, evidence.same_major));
    let listed_pending = evidence.pending.as_ref().zip(evidence.still_pending.as_ref());
    let recorded = listed_pending
        .map(|(pending, still)| pending.iter().filter(|name| !still.contains(name)).cloned().collect::<Vec<String>>());
    // A command that does something else records nothing, and that says nothing of it.
    let recorded = recorded.filter(|recorded| evidence.runs_pending || !recorded.is_empty());
    let mut reasons = Vec::new();
    let verdict = verdict(evidence, recorded.as_deref(), unlike.as_ref(), &mut reasons);
    let mut wrong = wrongs(evidence, recorded.as_deref(), unlike.as_ref());
    let as_planned = evidence.succeeded && wrong.is_empty();
    if !evidence.succeeded && verdict == Verdict::FullyApplied {
        wrong.insert(0, "the command failed, and yet everything that was pending is applied".to_owned());
    }
    if let Some(new) = unlike.as_ref().map(|unlike| &unlike.new).filter(|new| !new.is_empty()) {
        wrong.push(format!("new, and not seen in the rehearsal: {}", listed(new, NAMED)));
    }
    if evidence.objects.is_none() {
        wrong.push("the schema was not read: nothing of it says what the command did".to_owned());
    }
    wrong.extend(reasons);
    let still_pending = evidence.still_pending.clone().filter(|_| evidence.pending.is_some());
    JudgementRecord {
        verdict,
        as_planned,
        recorded,
        still_pending,
        not_shown: not_shown(evidence),
        unlike_rehearsal: unlike.map(|unlike| {
            let mut all = [unlike.missing, unlike.unexpected, unlike.new].concat();
            all.truncate(LISTED);
            all
        }),
        invalid_indexes: evidence.invalid_indexes.clone(),
        unreadable: evidence.unreadable.clone(),
        health: Health::NotAsked,
        time_outs: InForce::NotShown,
        reasons: wrong,
    }
}

/// The pending files of a folder without a tool that nothing shows to have run: all of them where nobody could look.
fn not_shown(evidence: &Evidence<'_>) -> Vec<String> {
    match (&evidence.shown, evidence.told_by_runs) {
        (Some(shown), _) => shown.not_shown(),
        (None, true) => evidence.pending.clone().unwrap_or_default(),
        (None, false) => Vec::new(),
    }
}

/// What was found of the files, where something is missing of them that the command was to run: whatever is known of
/// it, who ran one of them runs them.
fn missing<'a>(evidence: &'a Evidence<'_>) -> Option<&'a Shown> {
    let shown = evidence.shown.as_ref().filter(|shown| !shown.missing.is_empty())?;
    let pending = evidence.pending.as_ref().map_or(0, Vec::len);
    (evidence.runs_pending || shown.not_shown().len() < pending).then_some(shown)
}

fn verdict(
    evidence: &Evidence<'_>,
    recorded: Option<&[String]>,
    unlike: Option<&Unlike>,
    reasons: &mut Vec<String>,
) -> Verdict {
    if evidence.database == "unchanged" {
        return Verdict::Unchanged;
    }
    let missing = missing(evidence).is_some();
    let whole =
        !missing && evidence.invalid_indexes.is_empty() && unlike.is_none_or(|unlike| unlike.missing.is_empty());
    let changed = evidence.database == "changed";
    match (recorded, evidence.still_pending.as_deref()) {
        (Some([]), Some([])) if !changed => {
            reasons.push("nothing was pending, and nothing is".to_owned());
            Verdict::FullyApplied
        }
        (Some([]), Some([])) => Verdict::Unknown,
        (Some(_), Some([])) if whole => Verdict::FullyApplied,
        (Some(recorded), Some(still)) if !recorded.is_empty() => {
            if !still.is_empty() {
                reasons.push(format!("recorded as applied: {}", listed(recorded, NAMED)));
            }
            Verdict::PartlyApplied
        }
        (Some([]), Some(_)) if changed && !evidence.succeeded && nothing_kept(evidence) => {
            reasons.push("none is recorded, and their tool records what it keeps: others changed the database meanwhile, or the command did so beside them".to_owned());
            Verdict::Unknown
        }
        // Of the pending list nothing is recorded, or nobody knows.
        _ if changed && !evidence.succeeded => Verdict::PartlyApplied,
        (None, _) if evidence.succeeded && changed && unlike.is_some() && unread(evidence, unlike).is_none() => {
            let unlike = unlike.is_some_and(|unlike| !unlike.missing.is_empty() || !unlike.unexpected.is_empty());
            if unlike || !whole { Verdict::PartlyApplied } else { Verdict::FullyApplied }
        }
        (None, _) if evidence.succeeded && changed && missing => Verdict::PartlyApplied,
        (None, _) if evidence.succeeded => {
            reasons.push("no list says what was to be applied: there is the command's word alone".to_owned());
            Verdict::Unknown
        }
        _ if changed => Verdict::PartlyApplied,
        _ => Verdict::Unknown,
    }
}

/// Whether a command that recorded nothing kept nothing, whoever changed whatever meanwhile.
fn nothing_kept(evidence: &Evidence<'_>) -> bool {
    evidence.commits_with_record && evidence.invalid_indexes.is_empty() && evidence.prepared.is_empty()
}

/// What is not as planned although the command succeeded, in words.
fn wrongs(evidence: &Evidence<'_>, recorded: Option<&[String]>, unlike: Option<&Unlike>) -> Vec<String> {
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

/// What a command that says success may have done or not, as far as nobody could look at it, in words.
///
/// What a tool's table says tells it; of a command of which nothing is known, and that recorded nothing, it does not.
fn unseen(evidence: &Evidence<'_>, recorded: Option<&[String]>) -> Option<String> {
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
fn unread(evidence: &Evidence<'_>, unlike: Option<&Unlike>) -> Option<String> {
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

/// Whether nothing else keeps a run from being as planned: then nothing shows that anything is wrong.
pub(crate) fn is_in_doubt(evidence: &Evidence<'_>) -> bool {
    evidence.unread && !judge(evidence).as_planned && judge(&Evidence { unread: false, ..evidence.clone() }).as_planned
}

/// Whether rows of a table were written, on the copy.
fn wrote(one: &&TableEffect) -> bool {
    one.rewritten || one.written.is_some_and(|rows| !rows.is_zero())
}

/// The tables whose rows the rehearsal wrote, and nobody did now: where no table of a tool's says what ran, or the command
/// recorded nothing in it, what should have written them did not.
///
/// Both are told by the server's counters and files: values also read otherwise where only a type was changed, such as by
/// `ALTER TYPE … RENAME VALUE`, which writes no row anywhere.
fn untouched(evidence: &Evidence<'_>, recorded: Option<&[String]>) -> Vec<String> {
    let (Some(rehearsal), true, None) = (evidence.rehearsal, evidence.succeeded, recorded) else {
        return Vec::new();
    };
    let tables = rehearsal.tables.iter().filter(wrote).map(|one| &one.table);
    tables.filter(|table| evidence.unmoved.contains(table)).cloned().collect()
}

/// Compares with the rehearsal; `None` where its list was cut.
fn compared(rehearsal: &Rehearsal, now: &[ObjectEffect], same_major: bool) -> Option<Unlike> {
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

#[cfg(test)]
mod tests {
    use holdpoint_core::rehearsal::RowEffect;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn object(name: &str, change: ObjectChange) -> ObjectEffect {
        ObjectEffect { name: name.to_owned(), change, before: None, after: None }
    }

    /// Two migrations of a tool whose command is known, all recorded.
    fn all_applied() -> Evidence<'static> {
        Evidence {
            succeeded: true,
            database: "changed",
            objects: Some(vec![object("TABLE public.a", ObjectChange::Added)]),
            pending: Some(names(&["1", "2"])),
            runs_pending: true,
            still_pending: Some(Vec::new()),
            ..Evidence::default()
        }
    }

    fn rehearsal(objects: Vec<ObjectEffect>) -> Rehearsal {
        let json = serde_json::json!({ "format": 1, "point": "20261121T024300Z-k3f9", "started_at": "2026-11-21T02:43:00Z",
            "outcome": "as_planned", "reasons": [], "command": [], "exit_code": 0, "signal": null, "took_ms": 1,
            "measured_on": "", "role": "", "isolation": { "namespace": false, "why_not": null, "rewritten": [],
            "harmless": [], "held": null, "watched": true }, "tracking": { "table": null, "pending": [], "recorded": [],
            "exact": null }, "tables": [], "sampling": { "samples": 0, "every_us": 0, "longest_gap_us": 0,
            "at_ddl": false }, "objects": objects, "invalid_indexes": [], "sequences": [], "large_objects": null,
            "rollback": null, "not_told": [], "warnings": [], "looked_for_ms": 0 });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn all_recorded_is_applied_in_full_whatever_the_command_says() {
        let judged = judge(&all_applied());
        assert_eq!((judged.verdict, judged.as_planned), (Verdict::FullyApplied, true));
        assert_eq!(judged.recorded.unwrap(), ["1", "2"]);
        let judged = judge(&Evidence { succeeded: false, ..all_applied() });
        assert_eq!((judged.verdict, judged.as_planned), (Verdict::FullyApplied, false));
        assert!(judged.reasons[0].contains("the command failed, and yet"), "{judged:?}");
    }

    #[test]
    fn what_others_changed_is_no_part_of_a_migration_that_would_have_its_record() {
        let failed = || Evidence { succeeded: false, still_pending: Some(names(&["1", "2"])), ..all_applied() };
        assert_eq!(judge(&failed()).verdict, Verdict::PartlyApplied);
        let judged = judge(&Evidence { commits_with_record: true, ..failed() });
        assert_eq!((judged.verdict, judged.as_planned), (Verdict::Unknown, false));
        assert!(judged.reasons.iter().any(|reason| reason.contains("others changed the database")), "{judged:?}");
        for more in [
            Evidence { invalid_indexes: names(&["public.i"]), ..failed() },
            Evidence { prepared: names(&["x"]), ..failed() },
            Evidence { still_pending: Some(names(&["2"])), ..failed() },
        ] {
            let judged = judge(&Evidence { commits_with_record: true, ..more });
            assert_eq!(judged.verdict, Verdict::PartlyApplied, "{judged:?}");
        }
    }

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
    fn a_failure_is_in_part_where_something_stayed() {
        let failed = Evidence { succeeded: false, still_pending: Some(names(&["1", "2"])), ..all_applied() };
        assert_eq!(judge(&failed).verdict, Verdict::PartlyApplied);
        let unlisted = Evidence { pending: None, still_pending: None, ..failed };
        assert_eq!(judge(&unlisted).verdict, Verdict::PartlyApplied);
        let unseen = Evidence { database: "unknown", ..unlisted };
        assert_eq!(judge(&unseen).verdict, Verdict::Unknown);
    }

    #[test]
    fn without_a_list_the_rehearsal_tells() {
        let rehearsed = rehearsal(vec![object("TABLE public.a", ObjectChange::Added)]);
        let unlisted = Evidence { pending: None, still_pending: None, runs_pending: false, ..all_applied() };
        let judged = judge(&unlisted);
        assert_eq!((judged.verdict, judged.as_planned), (Verdict::Unknown, true));
        let judged = judge(&Evidence { rehearsal: Some(&rehearsed), ..unlisted });
        assert_eq!((judged.verdict, judged.as_planned), (Verdict::FullyApplied, true));
    }

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

    #[test]
    fn nothing_pending() {
        let nothing =
            Evidence { pending: Some(Vec::new()), database: "unknown", objects: Some(Vec::new()), ..all_applied() };
        assert_eq!((judge(&nothing).verdict, judge(&nothing).as_planned), (Verdict::FullyApplied, true));
        let changed = Evidence { database: "changed", ..nothing };
        assert_eq!((judge(&changed).verdict, judge(&changed).as_planned), (Verdict::Unknown, false));
    }
}
