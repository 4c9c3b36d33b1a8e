//! Pins that hold nothing any more, and go with a prune.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use holdpoint_core::PointId;
use holdpoint_core::quantity::counted;
use serde::Serialize;

use super::PruneReport;
use crate::retention::dead::Outcome;
use crate::retention::hidden::Hidden;
use crate::retention::prune::Dropped;
use crate::{Context, Error, reading};

/// A pin that holds nothing any more and goes, or would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GonePin {
    /// Of which restore point.
    pub point: PointId,
    /// The pin's name.
    pub name: String,
    /// It goes with its restore point; else it is a reader's that is over.
    pub with_point: bool,
    /// Why it could not be removed: the next prune does, and nobody is held by it.
    pub problem: Option<String>,
}

/// The pins that go: all of what is dropped, and those of readers that are over. One by hand that is over stays with its
/// restore point, until somebody pins anew under its name or removes it: there may be another one by then.
pub(super) fn going(report: &PruneReport, pins: Vec<(PointId, String)>, now: DateTime<Utc>) -> Vec<GonePin> {
    let drops = report.plan.drops().chain(report.hidden.iter().filter_map(Hidden::drop));
    let drops: BTreeSet<&PointId> = drops.map(|entry| &entry.id).collect();
    let gone = pins.into_iter().filter_map(|(point, name)| {
        let with_point = drops.contains(&point);
        (with_point || reading::is_over(&name, now)).then_some(GonePin { point, name, with_point, problem: None })
    });
    let mut gone: Vec<GonePin> = gone.collect();
    gone.sort_by(|one, other| (&one.point, &one.name).cmp(&(&other.point, &other.name)));
    gone
}

/// Removes readers' pins that are over: nobody else writes under their names. Those of what stayed after all stay with it, and
/// after a signal only what went with its restore point is told.
pub(super) async fn remove_pins(
    context: &Context,
    report: &mut PruneReport,
    gone: &BTreeSet<PointId>,
    now: DateTime<Utc>,
) {
    report.pins.iter_mut().for_each(|pin| pin.with_point = gone.contains(&pin.point));
    let over = |pin: &GonePin| !report.interrupted && reading::is_over(&pin.name, now);
    report.pins.retain(|pin| pin.with_point || over(pin));
    let remains = |one: &&Dropped| matches!(one.outcome, Outcome::Remains { .. });
    for one in report.dropped.iter().filter(remains) {
        // Which of them could not be deleted.
        let left = context.repository.pins(&context.database, &one.point).await.unwrap_or_default();
        let pins = report.pins.iter_mut().filter(|pin| pin.point == one.point && left.contains(&pin.name));
        pins.for_each(|pin| pin.problem = Some("it remains with other objects of its restore point".to_owned()));
    }
    for pin in report.pins.iter_mut().filter(|pin| !pin.with_point) {
        let removed = context.repository.unpin(&context.database, &pin.point, &pin.name).await;
        pin.problem = removed.err().map(|error| Error::from(error).line());
    }
    let problems =
        report.pins.iter().filter(|pin| !pin.with_point).filter_map(|pin| Some((pin, pin.problem.as_ref()?)));
    if let Some((pin, problem)) = problems.clone().next() {
        let pins = counted(problems.count() as u64, "pin");
        report.warnings.push(format!(
            "{pins}, over by now, could not be removed, which holds nobody: later prunes do. {} of {}: {problem}",
            pin.name, pin.point
        ));
    }
}
