//! Which way back comes first: the one that loses least, then the one that takes least time.

use holdpoint_core::rehearsal::RollbackEffect;
use holdpoint_core::undoing::{Loss, RiskRecord, ScriptsTake, Way, WayBack};

use crate::plan::RollbackReview;

/// How tables are called that nobody can name.
pub(crate) const UNKNOWN: &str = "tables that nobody knows";

/// What a rollback loses: as it was tried, else as far as the migrations or its own scripts put data at risk.
///
/// `tried` must be a trial of these very scripts. The tool's own records do not count: undoing a run puts them right.
pub(crate) fn loss_of_rollback(
    tried: Option<&RollbackEffect>,
    risk: &RiskRecord,
    scripts: &RollbackReview,
    table: Option<&str>,
) -> Loss {
    let Some(tried) = tried else {
        return if risk.any() || scripts.any() || !scripts.written.is_empty() {
            Loss::Unknown
        } else {
            Loss::NothingAsReviewed
        };
    };
    if tried.failure.is_some() || !tried.missing.is_empty() {
        return Loss::Unknown;
    }
    if !real_losses(tried, table).is_empty() {
        return Loss::Known;
    }
    // The copy has nobody else's rows: what takes rows of tables that were there may take others', too.
    if taken_from(tried, scripts).is_empty() { Loss::Nothing } else { Loss::OfTablesAtRisk }
}

/// The tables that were there before and of which scripts that were tried take or change rows: as they say themselves, and
/// as the trial showed.
pub(crate) fn taken_from(tried: &RollbackEffect, scripts: &RollbackReview) -> Vec<String> {
    taken_by(&super::scripts_take(scripts), Some(tried))
}

/// The tables that were there before and of which scripts take or change rows: as their review says, and as a trial of them
/// showed, where there was one.
pub(crate) fn taken_by(scripts: &ScriptsTake, tried: Option<&RollbackEffect>) -> Vec<String> {
    let mut names = scripts.tables.clone();
    match tried.and_then(|tried| tried.took_from.as_ref()) {
        Some(took_from) => names.extend(took_from.iter().cloned()),
        None if scripts.anything => names.push(UNKNOWN.to_owned()),
        None => {}
    }
    names.sort();
    names.dedup();
    names
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
pub(crate) fn ranked(mut ways: Vec<WayBack>) -> Vec<WayBack> {
    let seconds = |one: &WayBack| one.seconds.unwrap_or(f64::INFINITY);
    let loss = |one: &WayBack| one.loss.unwrap_or(Loss::Unknown);
    ways.sort_by(|one, other| {
        let time = || seconds(one).total_cmp(&seconds(other));
        loss(one).cmp(&loss(other)).then_with(time).then_with(|| trouble(one.way).cmp(&trouble(other.way)))
    });
    ways
}

/// Of ways that lose the same in the same time, the one that does less to the live database.
fn trouble(way: Way) -> u8 {
    match way {
        Way::Rollback => 0,
        Way::Recover => 1,
        Way::Beside => 2,
        Way::Restore => 3,
        Way::Rds => 4,
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::undoing::{AtRisk, TimeFrom};

    use super::*;

    fn candidate(way: Way, loss: Loss, seconds: Option<f64>) -> WayBack {
        let (title, command, data_lost) = (String::new(), String::new(), String::new());
        let time_from = seconds.map(|_| TimeFrom::Estimated);
        WayBack { way, title, command, seconds, time_from, data_lost, loss: Some(loss), conditions: vec![] }
    }

    /// Scripts that take nothing that was there before.
    fn harmless() -> RollbackReview {
        RollbackReview::default()
    }

    fn order(ways: Vec<WayBack>) -> Vec<Way> {
        ranked(ways).into_iter().map(|one| one.way).collect()
    }

    fn at_risk() -> RiskRecord {
        let table = AtRisk { table: "shop.orders".into(), columns: vec!["note".into()], ..AtRisk::default() };
        RiskRecord { tables: vec![table], ..RiskRecord::default() }
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
        let loss = loss_of_rollback(None, &at_risk(), &harmless(), None);
        assert_eq!(loss, Loss::Unknown);
        let ways = vec![
            candidate(Way::Rollback, loss, Some(0.1)),
            candidate(Way::Restore, Loss::OfEverything, Some(3600.0)),
            candidate(Way::Recover, Loss::OfTablesAtRisk, Some(60.0)),
        ];
        assert_eq!(order(ways), [Way::Recover, Way::Restore, Way::Rollback]);
        // Where only something was added, it comes first: a restore loses what was written since.
        let loss = loss_of_rollback(None, &RiskRecord::default(), &harmless(), None);
        let ways = vec![candidate(Way::Beside, Loss::OfEverything, Some(1.0)), candidate(Way::Rollback, loss, None)];
        assert_eq!(order(ways), [Way::Rollback, Way::Beside]);
        let everything = RiskRecord { everything: true, ..RiskRecord::default() };
        assert_eq!(loss_of_rollback(None, &everything, &harmless(), None), Loss::Unknown);
    }

    #[test]
    fn scripts_that_nobody_tried_count_by_what_they_put_at_risk_themselves() {
        let none = RiskRecord::default();
        let takes = RollbackReview { tables: at_risk().tables, ..RollbackReview::default() };
        let unread = RollbackReview { everything_at_risk: true, ..RollbackReview::default() };
        for scripts in [&takes, &unread] {
            assert_eq!(loss_of_rollback(None, &none, scripts, None), Loss::Unknown);
        }
        assert_eq!(loss_of_rollback(None, &none, &harmless(), None), Loss::NothingAsReviewed);
        let adds = RollbackReview { written: vec!["shop.orders".into()], ..RollbackReview::default() };
        assert_eq!(loss_of_rollback(None, &none, &adds, None), Loss::Unknown, "rows may stay that were not there");
        assert_eq!(loss_of_rollback(Some(&tried(&[])), &none, &adds, None), Loss::Nothing);
        let ways = vec![
            candidate(Way::Rollback, loss_of_rollback(None, &none, &takes, None), None),
            candidate(Way::Restore, Loss::OfEverything, Some(3600.0)),
        ];
        assert_eq!(order(ways), [Way::Restore, Way::Rollback]);
    }

    #[test]
    fn a_trial_that_lost_nothing_knows_nothing_of_rows_that_others_write_meanwhile() {
        let loss = |took_from: Option<&[&str]>, scripts: &RollbackReview| {
            let names = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
            let tried = RollbackEffect { took_from: took_from.map(names), ..RollbackEffect::default() };
            loss_of_rollback(Some(&tried), &at_risk(), scripts, None)
        };
        let takes = RollbackReview { tables: at_risk().tables, ..RollbackReview::default() };
        let unread = RollbackReview { everything_at_risk: true, ..RollbackReview::default() };
        assert_eq!(loss(Some(&[]), &takes), Loss::OfTablesAtRisk, "the copy may have had no such row");
        assert_eq!(loss(Some(&["shop.orders"]), &unread), Loss::OfTablesAtRisk);
        assert_eq!(loss(None, &unread), Loss::OfTablesAtRisk, "an older version did not look");
        assert_eq!(loss(Some(&[]), &unread), Loss::Nothing, "a program that took nothing");
        assert_eq!(loss(Some(&["shop.orders"]), &harmless()), Loss::OfTablesAtRisk, "by a partition that goes");
        assert_eq!(loss(None, &harmless()), Loss::Nothing);
        assert!(!Loss::OfTablesAtRisk.is_nothing());
        let ways = vec![
            candidate(Way::Rollback, Loss::OfTablesAtRisk, Some(9.0)),
            candidate(Way::Recover, Loss::OfTablesAtRisk, Some(5.0)),
            candidate(Way::Restore, Loss::OfEverything, Some(1.0)),
        ];
        assert_eq!(order(ways), [Way::Recover, Way::Rollback, Way::Restore]);
    }

    #[test]
    fn what_a_trial_lost_is_known_and_the_tools_own_rows_do_not_count() {
        let table = Some("drizzle.__drizzle_migrations");
        let rows = "rows of shop.orders: 12 have lost their values in note";
        let own = "drizzle.__drizzle_migrations still records 0001_a: the tool would not run them again";
        assert_eq!(
            loss_of_rollback(Some(&tried(&[own, "SCHEMA drizzle stays"])), &at_risk(), &harmless(), table),
            Loss::Nothing
        );
        assert_eq!(loss_of_rollback(Some(&tried(&[own, rows])), &at_risk(), &harmless(), table), Loss::Known);
        assert_eq!(
            loss_of_rollback(Some(&tried(&["SCHEMA other stays"])), &at_risk(), &harmless(), table),
            Loss::Known
        );
        let failed = RollbackEffect { failure: Some("it ended with exit code 3".into()), ..RollbackEffect::default() };
        assert_eq!(loss_of_rollback(Some(&failed), &RiskRecord::default(), &harmless(), table), Loss::Unknown);
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
