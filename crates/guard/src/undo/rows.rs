//! What the rows of a table, and where a sequence stands, show after an undo: as before, written by others, or open.
//!
//! *Written since* is only said of what was there already when the undo began, and of what neither the run nor its
//! undo writes, where something shows that the run left it alone: its rehearsal, or who wrote the rows last. Everything else that differs is open: nobody can tell whose it is.

use std::collections::BTreeSet;

use holdpoint_core::fingerprint::Difference;
use holdpoint_core::ledger::WrittenMeanwhile;
use holdpoint_core::quantity::listed;

use super::last_writers::LastWriters;

const NAMED: usize = 5;

/// How the rows of a table differ from those of a restore point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    /// Rows that it has and the restore point has not.
    pub(super) new: u64,
    /// Rows that the restore point alone has.
    pub(super) missing: u64,
    /// Rows with other values.
    pub(super) changed: u64,
    /// In which columns those differ; `None` where not all were looked at.
    pub(super) columns: Option<BTreeSet<String>>,
}

impl Rows {
    pub(super) fn any(&self) -> bool {
        self.new + self.missing + self.changed > 0
    }
}

/// What a run puts at stake in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stake {
    /// The columns whose values it may take or change; of all where there is none. `None`: it takes nothing.
    pub(super) at_risk: Option<Vec<String>>,
    /// The migrations add rows, or what undoes them writes.
    pub(super) written: bool,
    /// How many rows the run is known to have added; what undoes it may take as many away. `None`: nobody knows.
    pub(super) inserted: Option<u64>,
    /// The way brings rows back from the restore point.
    pub(super) brought_back: bool,
    /// Rows go, and none that stays is changed.
    pub(super) rows_only_go: bool,
    /// What was written there while the command ran, by it or by others; `None`: nobody knows.
    pub(super) meanwhile: Option<WrittenMeanwhile>,
    /// The columns whose values the run changed, as its rehearsal surely tells; `None` where nobody knows.
    pub(super) changed: Option<Vec<String>>,
    /// Who wrote its rows last, right before the undo; `None` where nobody knows.
    pub(super) writers: Option<LastWriters>,
}

impl Stake {
    /// Whether it is shown that the run did not write what differs in these columns (`None`: in any): by its rehearsal, which
    /// wrote rows there and left them alone; or by all the rows that it wrote, in which they are as before.
    fn left_alone(&self, columns: Option<&BTreeSet<String>>) -> bool {
        let by_rehearsal = self.changed.as_ref().is_some_and(|changed| match columns {
            Some(columns) => !columns.iter().any(|column| changed.contains(column)),
            None => changed.is_empty(),
        });
        by_rehearsal || self.writers.as_ref().is_some_and(|writers| writers.show(columns))
    }
}

/// What is shown, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// What shows that it is as before, or is others'.
    pub(super) proof: Vec<String>,
    /// What is not as before, or may not be.
    pub(super) open: Vec<String>,
    /// What a person should look at, though nothing shows that it is the run's.
    pub(super) look: Vec<String>,
}

/// Judges a table whose rows are not those of the run's restore point; `since` is how they differ from those right
/// before the undo.
pub(super) fn judge(table: &str, stake: &Stake, then: &Rows, since: &Rows) -> Told {
    let mut told = Told::default();
    let Some(at_risk) = stake.at_risk.as_deref().or(stake.written.then_some(&[][..])) else {
        if since.any() {
            let Rows { new, missing, changed, .. } = since;
            told.open.push(format!(
                "rows of {table} are others since the undo began ({new} new, {missing} gone, {changed} changed): by what \
                 it ran, or written meanwhile"
            ));
        } else {
            told_of_others(table, stake.meanwhile.as_ref(), &mut told);
        }
        return told;
    };
    told.open.extend(taken(table, stake, since));
    if then.new > 0 {
        let what = format!("{} rows of {table} are new", then.new);
        // What a recovery brings back is new against right before the undo, too.
        if stake.written || (since.new > 0 && !stake.brought_back) {
            told.open.push(format!("{what}: by the run or its undo, or written since"));
        } else {
            told.proof.push(format!("{what}: written since"));
        }
    }
    if then.missing > 0 {
        told.open.push(format!("{} rows of {table} are gone: deleted since, or not brought back", then.missing));
    }
    if then.changed > 0 {
        let others = then
            .columns
            .as_ref()
            .is_some_and(|columns| !columns.is_empty() && columns.iter().all(|column| !at_risk.contains(column)));
        let own = since.columns.as_ref().is_some_and(|columns| columns.iter().all(|column| at_risk.contains(column)));
        let others = stake.rows_only_go || (!at_risk.is_empty() && others);
        let left_alone = stake.left_alone(then.columns.as_ref());
        let harmless = !stake.written && others && (own || since.changed == 0) && left_alone;
        let names: Vec<String> = then.columns.iter().flatten().cloned().collect();
        let columns = if names.is_empty() { String::new() } else { format!(" in {}", listed(&names, NAMED)) };
        let what = format!("{} rows of {table} have other values{columns}", then.changed);
        if harmless {
            told.proof.push(format!("{what}: written since, for these were not at risk"));
        } else if !stake.written && others && !left_alone {
            told.open.push(format!(
                "{what}: these were not known to be at risk, and nothing shows that the run left them alone: changed by it and \
                 not brought back, or by others"
            ));
        } else {
            told.open.push(format!("{what}: written since, or not brought back"));
        }
    }
    told
}

/// Tells of a table that is not known to be the run's, and holds other rows than before since before the undo began.
fn told_of_others(table: &str, meanwhile: Option<&WrittenMeanwhile>, told: &mut Told) {
    let WrittenMeanwhile { inserted, updated, deleted, new_file, .. } = match meanwhile {
        Some(written) => written.clone(),
        None => {
            told.proof.push(format!(
                "rows of {table} were written since the restore point: nothing says that the run writes there, and whether it \
                 was while the command ran is not known"
            ));
            return;
        }
    };
    if inserted + updated + deleted == 0 && !new_file {
        let when = "since the restore point, and not while the command ran";
        told.proof.push(format!("rows of {table} were written {when}: they were not at risk"));
        return;
    }
    let emptied = if new_file { ", and it was emptied or written anew" } else { "" };
    let what = format!("{inserted} inserted, {updated} updated, {deleted} deleted{emptied}");
    told.proof
        .push(format!("rows of {table} were written since the restore point, also while the command ran ({what})"));
    if updated + deleted > 0 || new_file {
        told.look.push(format!(
            "rows of {table} went or changed while the command ran ({what}), by it or by others: nothing says that the run \
             writes there, and this way brings none of them back; holdpoint compare shows them"
        ));
    }
}

/// Tells rows that went since the undo began, where these are more than the run added.
fn taken(table: &str, stake: &Stake, since: &Rows) -> Option<String> {
    if since.missing <= stake.inserted.unwrap_or_default() {
        return None;
    }
    let whose = match stake.inserted {
        Some(0) => "and the run added none".to_owned(),
        Some(added) => format!("and the run added {added}"),
        None => "and nobody knows how many of them the run added".to_owned(),
    };
    let what = format!("{} rows of {table} that were there when the undo began are gone, {whose}", since.missing);
    Some(format!("{what}: taken by what it ran, or deleted meanwhile"))
}

/// Judges a table that went with the undo, and was a part of one that stays: others wrote into it through that one.
pub(super) fn judge_part(table: &str, of: &str, rows: u64, inserted: Option<u64>) -> Told {
    let stake = Stake { inserted, ..Stake::default() };
    let open = taken(table, &stake, &Rows { missing: rows, ..Rows::default() });
    let open = open.map(|open| format!("{open}; they are rows of {of}"));
    Told { open: open.into_iter().collect(), ..Told::default() }
}

/// Judges a sequence that stands elsewhere than in the restore point. One that came or is gone is told as an object.
pub(super) fn judge_sequence(difference: &Difference) -> Told {
    let (Some(then), Some(now)) = (&difference.expected, &difference.found) else { return Told::default() };
    let name = &difference.name;
    let further = match (position(then), position(now)) {
        (Some(then), Some(now)) => now > then,
        _ => false,
    };
    if further {
        let proof = vec![format!("{name} stands further ({then}, now {now}): numbers were given out since")];
        return Told { proof, ..Told::default() };
    }
    let open = vec![format!(
        "{name} is behind where it stood ({then}, now {now}): set by the run or its undo, unless it counts down; it may \
         give out numbers again"
    )];
    Told { open, ..Told::default() }
}

/// Where a sequence stands, as `setval` takes it: the value, and whether it was given out.
fn position(text: &str) -> Option<(i64, bool)> {
    let (value, given) = text.split_once(',')?;
    Some((value.trim().parse().ok()?, given.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use holdpoint_core::fingerprint::Aspect;

    use super::*;

    fn rows(new: u64, missing: u64, changed: u64, columns: &[&str]) -> Rows {
        Rows { new, missing, changed, columns: Some(columns.iter().map(|one| (*one).to_owned()).collect()) }
    }

    fn at_risk(columns: &[&str]) -> Stake {
        let at_risk = Some(columns.iter().map(|one| (*one).to_owned()).collect());
        Stake { at_risk, changed: Some(columns.iter().map(|one| (*one).to_owned()).collect()), ..Stake::default() }
    }

    fn is_open(stake: &Stake, then: &Rows, since: &Rows) -> bool {
        !judge("s.orders", stake, then, since).open.is_empty()
    }

    #[test]
    fn rows_that_a_migration_added_are_not_as_before() {
        let (added, none) = (rows(3, 0, 0, &[]), Rows::default());
        let written = Stake { written: true, ..Stake::default() };
        assert!(is_open(&written, &added, &none), "although they were there when the undo began");
        assert!(!is_open(&Stake::default(), &added, &none), "others wrote them before the undo");
        assert!(!is_open(&at_risk(&["note"]), &added, &none));
    }

    #[test]
    fn what_differs_since_the_undo_began_is_never_called_written_since() {
        let (then, since) = (rows(0, 0, 2, &["total"]), rows(0, 0, 1, &["total"]));
        assert!(is_open(&Stake::default(), &then, &since), "nobody knew that its script writes this table");
        assert!(!is_open(&at_risk(&["note"]), &then, &Rows::default()));
        assert!(is_open(&at_risk(&["note"]), &then, &since), "a column that was not at risk, by the script");
        let unknown = Rows { columns: None, ..since };
        assert!(is_open(&at_risk(&["note"]), &then, &unknown));
        assert!(!is_open(&at_risk(&["note"]), &then, &rows(0, 0, 9, &["note"])), "the way wanted that");
        assert!(is_open(&at_risk(&["note"]), &rows(1, 0, 0, &[]), &rows(1, 0, 0, &[])));
        let recovery = Stake { brought_back: true, ..at_risk(&["note"]) };
        assert!(!is_open(&recovery, &rows(1, 0, 0, &[]), &rows(1, 0, 0, &[])));
    }

    #[test]
    fn other_values_are_others_only_where_something_shows_that_the_run_left_them_alone() {
        let (then, none) = (rows(0, 0, 9, &["total"]), Rows::default());
        let stake = |changed: Option<&[&str]>, writers: Option<(u64, u64)>, updated: Option<u64>| Stake {
            changed: changed.map(|all| all.iter().map(|one| (*one).to_owned()).collect()),
            writers: writers.map(|(changed, equal)| LastWriters {
                compared: ["total".to_owned()].into_iter().collect(),
                changed,
                equal,
                counted: updated.map(|updated| WrittenMeanwhile { updated, ..WrittenMeanwhile::default() }),
            }),
            ..at_risk(&["note"])
        };
        let open = |stake: Stake| judge("s.orders", &stake, &then, &none).open;
        let told = open(stake(None, None, Some(9)));
        assert!(told[0].contains("in total: these were not known to be at risk, and nothing shows"), "{told:?}");
        assert!(open(stake(Some(&["note"]), None, None)).is_empty(), "the rehearsal changed the other column");
        assert!(!open(stake(Some(&["note", "total"]), None, None)).is_empty(), "a trigger set it, too");
        for (writers, updated, shown, why) in [
            ((1, 8), Some(9), false, "a row that was written last while the command ran"),
            ((0, 9), Some(9), true, "all rows that were written while it ran have it as before"),
            ((0, 8), Some(9), false, "one of them was written again since, and hides what the run did there"),
            ((0, 0), Some(9), false, "all of them were"),
            ((0, 0), Some(0), true, "nobody wrote while it ran"),
            ((0, 9), None, false, "nobody counted"),
        ] {
            assert_eq!(open(stake(None, Some(writers), updated)).is_empty(), shown, "{why}");
        }
        let mut came_again = stake(None, Some((0, 0)), Some(0));
        let counted = came_again.writers.as_mut().and_then(|writers| writers.counted.as_mut()).unwrap();
        (counted.inserted, counted.deleted) = (1, 1);
        assert!(!open(came_again).is_empty(), "a row went and came again");
        let other = Rows { columns: Some(["more".to_owned()].into_iter().collect()), ..then.clone() };
        let judged = judge("s.orders", &stake(None, Some((0, 9)), Some(9)), &other, &none);
        assert!(!judged.open.is_empty(), "a column that was not looked at: {judged:?}");
    }

    #[test]
    fn what_was_written_while_the_command_ran_is_never_called_not_at_risk() {
        let told = |meanwhile: Option<WrittenMeanwhile>| {
            let stake = Stake { meanwhile, ..Stake::default() };
            judge("s.orders", &stake, &Rows::default(), &Rows::default())
        };
        let rows = |inserted, updated, deleted| {
            Some(WrittenMeanwhile { table: "s.orders".into(), inserted, updated, deleted, new_file: false })
        };
        let not_then = told(rows(0, 0, 0));
        assert!(not_then.proof[0].ends_with("not while the command ran: they were not at risk"), "{not_then:?}");
        assert!(not_then.look.is_empty());
        let inserted = told(rows(3, 0, 0));
        assert!(inserted.proof[0].contains("(3 inserted, 0 updated, 0 deleted)") && inserted.look.is_empty());
        for gone in [rows(0, 0, 50), rows(0, 1, 0), rows(0, 0, 0).map(|one| WrittenMeanwhile { new_file: true, ..one })]
        {
            let gone = told(gone);
            assert!(
                !gone.proof[0].contains("not at risk") && gone.look[0].contains("brings none of them back"),
                "{gone:?}"
            );
        }
        let unknown = told(None);
        assert!(unknown.proof[0].ends_with("whether it was while the command ran is not known"), "{unknown:?}");
    }

    #[test]
    fn where_rows_only_go_what_has_other_values_is_others() {
        let changed = rows(0, 0, 2, &["total"]);
        let deletes = Stake { rows_only_go: true, changed: Some(Vec::new()), ..at_risk(&[]) };
        assert!(!is_open(&deletes, &changed, &Rows::default()));
        assert!(is_open(&deletes, &changed, &changed), "the undo wrote them");
        assert!(is_open(&Stake { written: true, ..deletes }, &changed, &Rows::default()));
    }

    #[test]
    fn rows_that_a_reviewed_script_changes_are_open() {
        let damaged = rows(0, 0, 7, &["total"]);
        let written = Stake { written: true, ..Stake::default() };
        assert!(is_open(&written, &damaged, &damaged));
        assert!(is_open(&Stake { written: true, ..at_risk(&["note"]) }, &damaged, &Rows::default()));
        assert!(is_open(&at_risk(&[]), &damaged, &Rows::default()), "whole rows are at risk");
    }

    #[test]
    fn rows_that_went_are_open_beyond_what_the_run_added() {
        let stake = |inserted| Stake { written: true, inserted, ..Stake::default() };
        let gone =
            |inserted| judge("s.orders", &stake(inserted), &Rows::default(), &rows(0, 3, 0, &[])).open.first().cloned();
        assert_eq!(gone(Some(3)), None, "its own, and the table holds what it held");
        assert!(gone(Some(2)).unwrap().starts_with("3 rows of s.orders that were there when the undo began are gone"));
        assert!(gone(None).unwrap().contains("nobody knows how many"));
        assert!(gone(Some(0)).unwrap().contains("the run added none"));
        let went = |rows, inserted| judge_part("s.orders_2027", "s.orders", rows, inserted).open.len();
        assert_eq!((went(0, None), went(2, Some(2)), went(2, Some(0)), went(2, None)), (0, 0, 1, 1));
    }

    #[test]
    fn a_sequence_that_is_behind_is_open() {
        let stands = |then: Option<&str>, now: Option<&str>| {
            let (expected, found) = (then.map(str::to_owned), now.map(str::to_owned));
            let told =
                judge_sequence(&Difference { aspect: Aspect::Sequence, name: "s.inv_id_seq".into(), expected, found });
            (told.proof.len(), told.open.len())
        };
        assert_eq!(stands(Some("42, true"), Some("7, true")), (0, 1));
        assert_eq!(stands(Some("42, true"), Some("42, false")), (0, 1));
        assert_eq!(stands(Some("42, true"), Some("50, true")), (1, 0));
        assert_eq!(stands(Some("42, true"), Some("?")), (0, 1));
        assert_eq!(stands(Some("42, true"), None), (0, 0), "the schema tells that");
    }
}
