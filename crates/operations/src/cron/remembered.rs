//! What is remembered of a run, and where: in the lease that it gives back, or with whoever ran it.

use std::collections::BTreeMap;
use std::time::Duration;

use holdpoint_core::cron::{CronEvent, CronHistory, Ended, Step, StepEnd};
use holdpoint_core::verification::{Level, Verdict};
use holdpoint_repository::Lease;
use tokio::time::sleep;

use super::{CronOptions, CronReport, Facts, Failed, LeaseLeft};
use crate::retention::NewestProof;
use crate::{Context, Error};

/// After how long a lease that could not be released is tried again.
const RELEASES_AFTER: &[Duration] = &[Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];

/// Gives the lease back with what is to be remembered of the run, and says in the report what is worth telling. That is
/// remembered, too, until somebody was told: this run may be killed before.
pub(super) async fn remember(
    context: &Context,
    options: &CronOptions,
    lease: &mut Lease,
    history: CronHistory,
    proven_before: bool,
    report: &mut CronReport,
) {
    let proved = |facts: &Option<Facts>| matches!(facts, Some(Facts::Verify { verdict: Verdict::Proved, .. }));
    let check = report.steps.iter().find(|one| one.step == Step::Check).map_or(StepEnd::NotRun, |one| one.end);
    let before = history.clone();
    let ended = Ended {
        at: (context.clock)(),
        failure: report.failure.as_ref().map(|failure| failure.kind.word()),
        proved: report.steps.iter().any(|one| proved(&one.facts)),
        proven: report.outlook.as_ref().is_some_and(|outlook| has_a_proven_archive(&outlook.proofs)),
        proven_before,
        check,
    };
    let (history, events) = history.after(ended);
    let history = match options.telling.webhook {
        Some(_) => history.until_told(&events),
        None => history,
    };
    report.events = events;
    match released(lease, &history, RELEASES_AFTER).await {
        Ok(true) => report.recorded = true,
        Ok(false) => return overtaken(options, lease, before, ended, report).await,
        Err(error) => {
            let unwritten = unwritten(&history, lease.history());
            report.left = Some(LeaseLeft { turn: options.turn.id.clone(), unwritten: Some(unwritten) });
            let why = Error::from(error).line();
            report.warnings.push(format!(
                "the lease could not be released, and is free a quarter of an hour after it was last renewed: {why}"
            ));
        }
    }
    report.history = Some(history);
}

/// Writes down what was told by now, where the lease that was given back is still as it was: another run that took it since
/// tells it once more. What fails is a warning of the report.
pub(super) async fn remember_told(lease: &mut Lease, report: &mut CronReport) {
    let Some(history) = report.history.as_ref().filter(|history| report.recorded && **history != *lease.history())
    else {
        return;
    };
    if let Err(error) = lease.release(history.clone()).await {
        let why = Error::from(error).line();
        report
            .warnings
            .push(format!("what the webhook was told could not be written down, and is told once more: {why}"));
    }
}

/// What is said of a run that lost its lease: it failed, whatever its steps did, as nobody kept another run off. Whoever took
/// the lease over counts it as killed and tells of it; where nobody did, it is counted and told here.
async fn overtaken(
    options: &CronOptions,
    lease: &Lease,
    history: CronHistory,
    ended: Ended<'_>,
    report: &mut CronReport,
) {
    let kind = report.failure.get_or_insert_with(|| Failed::of_step(&Error::LeaseLost, false)).kind;
    // Whether it is counted may not be known: better twice than never.
    if lease.is_overtaken().await.unwrap_or_default() {
        report.events.clear();
        report.warnings.push("another run took the lease over, counts this one as killed, and tells of it".to_owned());
        return;
    }
    let (history, _) = history.after(Ended { failure: Some(kind.word()), ..ended });
    report.events = vec![CronEvent::Failed];
    // It may be gone with the whole repository, and come back with it.
    report.left = Some(LeaseLeft { turn: options.turn.id.clone(), unwritten: None });
    report
        .warnings
        .push("the lease is gone, or of a run that knows nothing of this one: it is not remembered".to_owned());
    report.history = Some(history);
}

/// How many runs failed, by kind, that what is written does not count.
pub(super) fn unwritten(history: &CronHistory, written: &CronHistory) -> BTreeMap<String, u64> {
    let known = |kind| written.failures.get(kind).copied().unwrap_or_default();
    let more = history.failures.iter().map(|(kind, count)| (kind.clone(), count.saturating_sub(known(kind))));
    more.filter(|(_, count)| *count > 0).collect()
}

/// Whether an archive is proven: of level instance are snapshots alone, which no run proves by itself.
fn has_a_proven_archive(proofs: &[NewestProof]) -> bool {
    proofs.iter().any(|one| one.level != Level::Instance)
}

/// Releases the lease, again after each of these pauses: a good run whose lease stays would look killed.
pub(super) async fn released(
    lease: &mut Lease,
    history: &CronHistory,
    pauses: &[Duration],
) -> holdpoint_repository::Result<bool> {
    for pause in pauses {
        match lease.release(history.clone()).await {
            Err(error) => tracing::warn!(%error, "the lease could not be released; it is tried again"),
            released => return released,
        }
        sleep(*pause).await;
    }
    lease.release(history.clone()).await
}

#[cfg(test)]
mod tests {
    use holdpoint_core::PointId;

    use super::*;

    #[test]
    fn a_snapshot_alone_is_not_the_first_proof() {
        let at = "2026-11-21T02:43:00Z".parse().unwrap();
        let of = |level| NewestProof { level, point: PointId::new(at, 1), snapshot_at: at, proven_at: at };
        assert!(!has_a_proven_archive(&[]) && !has_a_proven_archive(&[of(Level::Instance)]));
        for level in [Level::Stored, Level::Sampled, Level::Full] {
            assert!(has_a_proven_archive(&[of(level), of(Level::Instance)]), "{level:?}");
        }
    }
}
