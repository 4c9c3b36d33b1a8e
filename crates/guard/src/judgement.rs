//! What a command did, told from what is found afterwards, not from what it said of itself.

#[cfg(test)]
mod fixture;
pub(crate) mod unlike;
mod unseen;
mod wrong;

use holdpoint_core::ledger::{Health, InForce, JudgementRecord, Verdict};
use holdpoint_core::quantity::listed;
use holdpoint_core::rehearsal::{LISTED, ObjectEffect, Rehearsal};

use self::unlike::{Unlike, compared};
use self::unseen::unread;
use self::wrong::wrongs;
use crate::shown_files::Shown;

/// How many names a reason lists.
const NAMED: usize = 5;

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

/// Whether nothing else keeps a run from being as planned: then nothing shows that anything is wrong.
pub(crate) fn is_in_doubt(evidence: &Evidence<'_>) -> bool {
    evidence.unread && !judge(evidence).as_planned && judge(&Evidence { unread: false, ..evidence.clone() }).as_planned
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

#[cfg(test)]
mod tests {
    use holdpoint_core::rehearsal::ObjectChange;

    use super::fixture::{all_applied, names, object, rehearsal};
    use super::*;

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
    fn nothing_pending() {
        let nothing =
            Evidence { pending: Some(Vec::new()), database: "unknown", objects: Some(Vec::new()), ..all_applied() };
        assert_eq!((judge(&nothing).verdict, judge(&nothing).as_planned), (Verdict::FullyApplied, true));
        let changed = Evidence { database: "changed", ..nothing };
        assert_eq!((judge(&changed).verdict, judge(&changed).as_planned), (Verdict::Unknown, false));
    }
}
