//! `undo` for people.

use holdpoint_core::fingerprint::as_sql;
use holdpoint_core::ledger::RunState;
use holdpoint_guard::undo::{GoesAlong, Share, TakenRows, UndoPlan, UndoReport};

use super::runs::undoing;
use super::table::{bullets, facts};
use crate::quantity::milliseconds;

/// Tells what would be done, and what is lost by it.
pub(crate) fn undo_plan(plan: &UndoPlan) -> String {
    let mut text = format!("undo of run {} by {}\n", plan.run, plan.way.word());
    text.push_str(&facts([
        ("  restore point", Some(plan.point.to_string())),
        ("  lost by it", Some(plan.data_lost.clone())),
    ]));
    let first = vec!["make a restore point of the database as it is now".to_owned()];
    text.push_str(&bullets("steps", &[first, plan.steps.clone()].concat()));
    text.push_str(&bullets("done before", &plan.done));
    if let Some(since) = &plan.written_since {
        let tables = since.tables.iter();
        let lines: Vec<String> = tables
            .map(|one| match (one.rows_then, one.rows) {
                (Some(then), Some(now)) => format!("{} ({then} rows then, {now} now)", one.name),
                (Some(then), None) => format!("{} ({then} rows then, gone now)", one.name),
                (None, Some(now)) => format!("{} (new, with {now} rows)", one.name),
                (None, None) => format!("{} (new)", one.name),
            })
            .chain(since.not_known.iter().map(|one| format!("{}: not known, {}", one.name, one.why)))
            .collect();
        text.push_str(&bullets("differs from the restore point now, at least", &lines));
    }
    let written: Vec<String> = plan.taken.iter().filter(|one| !one.is_of_the_run()).map(taken).collect();
    text.push_str(&bullets("written into tables that are there", &written));
    let made: Vec<String> = plan.taken.iter().filter_map(made).collect();
    text.push_str(&bullets("goes with what the run made", &made));
    text.push_str(&bullets("rows of others may go or change by the scripts in", &plan.scripts_take));
    let along: Vec<String> = plan.goes_along.iter().map(along).collect();
    text.push_str(&bullets("goes with a CASCADE of the scripts, and the run did not make it", &along));
    let others: Vec<String> = plan.other_ways.iter().map(|one| format!("{}: {}", one.way.word(), one.title)).collect();
    text.push_str(&bullets("other ways", &others));
    text.push_str(&bullets("look at", &plan.warnings));
    text
}

/// How many rows of a table come back and are set back, and how many of them are others'.
fn taken(one: &TakenRows) -> String {
    let (gone, changed) = (share(one.come_back), share(one.set_back));
    let name = name(one);
    format!("{name}: rows deleted since that come back: {gone}; rows changed since that are set back: {changed}")
}

/// How many rows go with a table, or with columns, that the run made.
fn made(one: &TakenRows) -> Option<String> {
    let rows = match (&one.not_counted, one.goes) {
        (Some(why), _) => format!("not counted: {why}"),
        (None, goes) => share(goes?),
    };
    Some(format!("{}: rows written since the command began: {rows}", name(one)))
}

/// What goes with a CASCADE, with its rows.
fn along(one: &GoesAlong) -> String {
    let more = if one.more { "more than " } else { "" };
    one.rows.map_or_else(|| one.object.clone(), |rows| format!("{} ({more}{rows} rows)", one.object))
}

/// The table with its columns, as SQL names it.
fn name(one: &TakenRows) -> String {
    let table = as_sql(&one.table);
    if one.columns.is_empty() { table } else { format!("{table} ({})", one.columns.join(", ")) }
}

fn share(share: Share) -> String {
    match (share.others, share.may_be_others) {
        (0, 0) => share.rows.to_string(),
        (others, 0) => format!("{} ({others} by others)", share.rows),
        (0, perhaps) => format!("{} ({perhaps} may be by others)", share.rows),
        (others, perhaps) => format!("{} ({others} by others, {perhaps} may be)", share.rows),
    }
}

/// Tells what was done, and what shows that it worked.
pub(crate) fn undo(report: &UndoReport) -> String {
    if report.dry_run {
        return undo_plan(&report.plan);
    }
    let how = match (report.state, &report.failure) {
        (Some(RunState::Undone), _) => "undone",
        (_, Some(_)) if report.interrupted => "INTERRUPTED in its undo",
        (_, Some(_)) => "UNDO FAILED",
        _ => "the way was gone, and NOT EVERYTHING IS AS BEFORE",
    };
    let mut text = format!("run {}: {how}\n", report.plan.run);
    text.push_str(&facts([("  took", Some(milliseconds(report.took_ms)))]));
    text.push_str(&bullets("why", report.failure.as_slice()));
    if let Some(record) = &report.undo {
        text.push_str(&undoing(record));
    }
    if let Some(swap) = &report.swap {
        text.push_str(&super::swap(swap));
    }
    text.push_str(&bullets("look at", &report.warnings));
    if report.interrupted || report.state == Some(RunState::UndoFailed) {
        text.push_str(&bullets("what now", &what_now(&report.plan)));
    }
    text
}

/// What can be done about an undo that failed: commands to paste, with the flags that the run recorded.
fn what_now(plan: &UndoPlan) -> Vec<String> {
    let own = plan.command.clone().unwrap_or_else(|| format!("holdpoint undo {} --way {}", plan.run, plan.way.word()));
    let mut now = vec![format!("go on by the same way: {own}")];
    now.extend(plan.other_ways.iter().map(|one| format!("or by {}: {}", one.way.word(), one.command)));
    now.push(format!("or put it right by hand, and then say so: holdpoint settle {} --reason TEXT", plan.run));
    now
}

#[cfg(test)]
mod tests {
    use holdpoint_core::undoing::{Way, WayBack};

    use super::*;

    #[test]
    fn what_is_taken_of_others_is_told() {
        let of = |rows, others, may_be_others| Share { rows, others, may_be_others };
        let one = TakenRows {
            table: "s.t".into(),
            columns: vec!["a".into()],
            come_back: of(3, 0, 0),
            set_back: of(6, 1, 2),
            goes: None,
            not_counted: None,
        };
        assert_eq!(
            taken(&one),
            "s.t (a): rows deleted since that come back: 3; rows changed since that are set back: 6 (1 by others, 2 may be)"
        );
    }

    #[test]
    fn what_to_do_after_an_undo_that_failed_is_told_as_commands_with_their_flags() {
        let way = |way: Way, flags: &str| WayBack {
            way,
            title: String::new(),
            command: format!("holdpoint undo 20261121T024300Z-k3f9 --way {}{flags}", way.word()),
            seconds: None,
            time_from: None,
            data_lost: String::new(),
            loss: None,
            conditions: Vec::new(),
        };
        let mut plan = UndoPlan {
            run: "20261121T024300Z-k3f9".parse().unwrap(),
            way: Way::Rollback,
            point: "20261121T024200Z-aaaa".parse().unwrap(),
            steps: Vec::new(),
            scripts_take: Vec::new(),
            goes_along: Vec::new(),
            done: Vec::new(),
            data_lost: String::new(),
            written_since: None,
            taken: Vec::new(),
            command: Some(way(Way::Rollback, " --database shop").command),
            other_ways: vec![way(Way::Recover, " --database shop")],
            warnings: Vec::new(),
        };
        let told = what_now(&plan);
        assert!(told[0].ends_with("--way rollback --database shop"), "{told:?}");
        assert!(told[1].ends_with("--way recover --database shop"), "{told:?}");
        assert!(told[2].contains("holdpoint settle 20261121T024300Z-k3f9"), "{told:?}");
        assert!(!told.concat().contains("--way WAY"), "{told:?}");
        plan.command = None;
        assert!(what_now(&plan)[0].ends_with("holdpoint undo 20261121T024300Z-k3f9 --way rollback"));
    }
}
