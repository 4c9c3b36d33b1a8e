//! What the file remembers of runs that could not write it down in the repository, until one can.

use std::collections::BTreeMap;

use chrono::DateTime;
use holdpoint_core::DatabaseName;
use holdpoint_core::cron::{CronEvent, LeftLease, Unrecorded};

use super::{LEFT, SINCE, SUCCESS, Sample, TOTAL, UNRECORDED, kept, label, seconds};
use crate::cron::{CronReport, LeaseLeft};

/// How many runs failed, by kind.
type Counts = BTreeMap<String, u64>;

/// What runs of a database left in the file since they could not write it down in the repository.
pub fn unrecorded(previous: &str, database: &DatabaseName) -> Unrecorded {
    let instant = |name| -> Option<_> {
        let seconds: f64 = lines(previous, name, database).first()?.value.parse().ok()?;
        DateTime::from_timestamp(seconds as i64, 0)
    };
    let left = lines(previous, LEFT, database).first().and_then(|line| line.label("run"));
    let of = |left: Option<&String>| counts(previous, UNRECORDED, database, |line| line.label("run").as_ref() == left);
    Unrecorded {
        failures: of(None),
        since: instant(SINCE),
        succeeded_at: instant(SUCCESS),
        left: left.map(|turn| LeftLease { failures: of(Some(&turn)), turn }),
    }
}

/// What the file is to say of a run that could not write down in the repository how it ended; `None`: what it says already.
pub(super) fn samples(report: &CronReport, name: &str, previous: &str) -> Option<Vec<Sample>> {
    let database = &report.database;
    let failed = report.failure.as_ref().filter(|_| report.events.contains(&CronEvent::Failed));
    let own = failed.map(|failure| failure.kind.word());
    match (name, &report.left) {
        (LEFT, Some(left)) => Some(vec![(vec![("run", left.turn.clone())], seconds(report.started_at))]),
        (UNRECORDED, Some(LeaseLeft { turn, unwritten })) => {
            let all = || with(counts(previous, UNRECORDED, database, |_| true), own);
            let counts = unwritten.clone().unwrap_or_else(all);
            Some(counts.into_iter().map(|(kind, count)| sample(kind, Some(turn.clone()), count)).collect())
        }
        // Which one it was that the repository may have written down already is to be known on.
        (UNRECORDED, None) if own.is_some() => {
            let left = lines(previous, UNRECORDED, database).into_iter().filter_map(|line| {
                let (run, count) = (line.label("run")?, line.value.parse().ok()?);
                Some(sample(line.label("kind")?, Some(run), count))
            });
            let counts = with(counts(previous, UNRECORDED, database, |line| line.label("run").is_none()), own);
            Some(left.chain(counts.into_iter().map(|(kind, count)| sample(kind, None, count))).collect())
        }
        (TOTAL, _) if own.is_some() => {
            let counts = with(counts(previous, TOTAL, database, |_| true), own);
            Some(counts.into_iter().map(|(kind, count)| sample(kind, None, count)).collect())
        }
        // Whoever had the lease knows since when runs fail, and whether they do.
        (SINCE, Some(LeaseLeft { unwritten: Some(_), .. })) => {
            let since = report.history.as_ref().and_then(|history| history.failing_since);
            Some(since.into_iter().map(|since| (Vec::new(), seconds(since))).collect())
        }
        (SINCE, _) if own.is_some() => {
            let since = unrecorded(previous, database).since.unwrap_or(report.started_at);
            Some(vec![(Vec::new(), seconds(since))])
        }
        _ => None,
    }
}

fn sample(kind: String, run: Option<String>, count: u64) -> Sample {
    let kind = [("kind", kind)];
    (kind.into_iter().chain(run.map(|run| ("run", run))).collect(), count as f64)
}

fn with(mut counts: Counts, kind: Option<&str>) -> Counts {
    if let Some(kind) = kind {
        *counts.entry(kind.to_owned()).or_default() += 1;
    }
    counts
}

/// Counts by kind of failure, as they stand in the file, of those lines.
fn counts(previous: &str, name: &str, database: &DatabaseName, which: impl Fn(&Line) -> bool) -> Counts {
    let mut counts = Counts::new();
    for line in lines(previous, name, database).iter().filter(|line| which(line)) {
        if let (Some(kind), Ok(count)) = (line.label("kind"), line.value.parse::<u64>()) {
            *counts.entry(kind).or_default() += count;
        }
    }
    counts
}

/// A line of the file: its labels as they are written, and its value.
struct Line {
    labels: String,
    value: String,
}

impl Line {
    /// The value of a label of this program, none of which holds anything that is escaped.
    fn label(&self, name: &str) -> Option<String> {
        let (_, rest) = self.labels.split_once(&format!(",{name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    }
}

/// The lines of a database under a name.
fn lines(previous: &str, name: &str, database: &DatabaseName) -> Vec<Line> {
    let split = |line: String| {
        let (labels, value) = line.rsplit_once(' ')?;
        Some(Line { labels: labels.to_owned(), value: value.to_owned() })
    };
    kept(previous, name, &label("database", database.as_str())).into_iter().filter_map(split).collect()
}
