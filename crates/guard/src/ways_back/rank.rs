//! Which way back comes first: the one that loses least, then the one that takes least time.

use holdpoint_core::rehearsal::RollbackEffect;
use holdpoint_core::undoing::{RiskRecord, Way, WayBack};

/// What going a way loses, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loss {
    /// Nothing: it was tried on a copy, and everything was as before.
    Nothing,
    /// Nothing that was there before, as the review says; nobody tried it.
    NothingAsReviewed,
    /// What others wrote since into the tables at risk.
    OfTablesAtRisk,
    /// What anybody wrote since.
    OfEverything,
    /// Data that were there before, as the trial showed.
    Known,
    /// Data may be lost, and nobody tried it.
    Unknown,
}

/// A way back, and what it loses.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) way: WayBack,
    pub(crate) loss: Loss,
}

/// What a rollback loses: as it was tried, else as far as data are at risk.
///
/// The tool's own records do not count: undoing a run puts them right.
pub(crate) fn loss_of_rollback(tried: Option<&RollbackEffect>, risk: &RiskRecord, table: Option<&str>) -> Loss {
    let Some(tried) = tried else {
        return if risk.any() { Loss::Unknown } else { Loss::NothingAsReviewed };
    };
    if tried.failure.is_some() || !tried.missing.is_empty() {
        return Loss::Unknown;
    }
    if real_losses(tried, table).is_empty() { Loss::Nothing } else { Loss::Known }
}

/// What a tried rollback does not bring back, without what only the tool's own table still says.
pub(crate) fn real_losses<'a>(tried: &'a RollbackEffect, table: Option<&str>) -> Vec<&'a str> {
    let own = |line: &str| {
        table.is_some_and(|table| {
            let schema = table.split('.').next().unwrap_or_default();
            line.contains(table) || line == format!("SCHEMA {schema} stays")
        })
    };
    tried.lost.iter().map(String::as_str).filter(|line| !own(line)).collect()
}

/// Puts the best first.
pub(crate) fn ranked(mut ways: Vec<Candidate>) -> Vec<WayBack> {
    let seconds = |one: &Candidate| one.way.seconds.unwrap_or(f64::INFINITY);
    ways.sort_by(|one, other| {
        let loss = one.loss.cmp(&other.loss);
        let time = || seconds(one).total_cmp(&seconds(other));
        loss.then_with(time).then_with(|| trouble(one.way.way).cmp(&trouble(other.way.way)))
    });
    ways.into_iter().map(|one| one.way).collect()
}

/// Of ways that lose the same in the same time, the one that does less to the live database.
fn trouble(way: Way) -> u8 {
    match way {
        Way::Rollback => 0,
        Way::Recover => 1,
        Way::Beside => 2,
        Way::Restore => 3,
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::undoing::{AtRisk, TimeFrom};

    use super::*;

    fn candidate(way: Way, loss: Loss, seconds: Option<f64>) -> Candidate {
        let (title, command, data_lost) = (String::new(), String::new(), String::new());
        let time_from = seconds.map(|_| TimeFrom::Estimated);
        Candidate { way: WayBack { way, title, command, seconds, time_from, data_lost, conditions: vec![] }, loss }
    }

    fn order(ways: Vec<Candidate>) -> Vec<Way> {
        ranked(ways).into_iter().map(|one| one.way).collect()
    }

    fn at_risk() -> RiskRecord {
        let table = AtRisk { table: "shop.orders".into(), columns: vec!["note".into()] };
        RiskRecord { everything: false, tables: vec![table] }
    }

    fn tried(lost: &[&str]) -> RollbackEffect {
        RollbackEffect { lost: lost.iter().map(|one| (*one).to_owned()).collect(), ..RollbackEffect::default() }
    }

    #[test]
    fn a_rollback_that_was_tried_and_loses_nothing_beats_all_however_long_it_takes() {
        let rollback = candidate(Way::Rollback, Loss::Nothing, Some(900.0));
        let others = [
            candidate(Way::Beside, Loss::OfEverything, Some(1.0)),
            candidate(Way::Recover, Loss::OfTablesAtRisk, None),
        ];
        assert_eq!(order([others.to_vec(), vec![rollback]].concat()), [Way::Rollback, Way::Recover, Way::Beside]);
    }

    #[test]
    fn what_nobody_tried_never_beats_a_proven_way_where_data_were_lost() {
        let loss = loss_of_rollback(None, &at_risk(), None);
        assert_eq!(loss, Loss::Unknown);
        let ways = vec![
            candidate(Way::Rollback, loss, Some(0.1)),
            candidate(Way::Restore, Loss::OfEverything, Some(3600.0)),
            candidate(Way::Recover, Loss::OfTablesAtRisk, Some(60.0)),
        ];
        assert_eq!(order(ways), [Way::Recover, Way::Restore, Way::Rollback]);
        // Where only something was added, it comes first: a restore loses what was written since.
        let loss = loss_of_rollback(None, &RiskRecord::default(), None);
        let ways = vec![candidate(Way::Beside, Loss::OfEverything, Some(1.0)), candidate(Way::Rollback, loss, None)];
        assert_eq!(order(ways), [Way::Rollback, Way::Beside]);
        let everything = RiskRecord { everything: true, tables: vec![] };
        assert_eq!(loss_of_rollback(None, &everything, None), Loss::Unknown);
    }

    #[test]
    fn what_a_trial_lost_is_known_and_the_tools_own_rows_do_not_count() {
        let table = Some("drizzle.__drizzle_migrations");
        let rows = "rows of shop.orders: 12 have lost their values in note";
        let own = "drizzle.__drizzle_migrations still records 0001_a: the tool would not run them again";
        assert_eq!(loss_of_rollback(Some(&tried(&[own, "SCHEMA drizzle stays"])), &at_risk(), table), Loss::Nothing);
        assert_eq!(loss_of_rollback(Some(&tried(&[own, rows])), &at_risk(), table), Loss::Known);
        assert_eq!(loss_of_rollback(Some(&tried(&["SCHEMA other stays"])), &at_risk(), table), Loss::Known);
        let failed = RollbackEffect { failure: Some("it ended with exit code 3".into()), ..RollbackEffect::default() };
        assert_eq!(loss_of_rollback(Some(&failed), &RiskRecord::default(), table), Loss::Unknown);
        let ways = vec![
            candidate(Way::Rollback, Loss::Known, Some(0.1)),
            candidate(Way::Beside, Loss::OfEverything, Some(60.0)),
            candidate(Way::Recover, Loss::OfTablesAtRisk, Some(90.0)),
        ];
        assert_eq!(order(ways), [Way::Recover, Way::Beside, Way::Rollback]);
    }

    #[test]
    fn of_equal_losses_the_faster_and_of_equal_times_the_milder() {
        let ways = vec![
            candidate(Way::Restore, Loss::OfEverything, Some(10.0)),
            candidate(Way::Beside, Loss::OfEverything, Some(10.0)),
            candidate(Way::Recover, Loss::OfEverything, None),
        ];
        assert_eq!(order(ways), [Way::Beside, Way::Restore, Way::Recover], "a time that is not known is the longest");
    }
}
