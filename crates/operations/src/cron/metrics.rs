//! Metrics in the text form of Prometheus, for the textfile collector of the node exporter.
//!
//! Names carry their unit. What is not known, since the repository could not be reached or another run is at it, is taken
//! over from the file as it was: a gap would silence the very alert that is due.

mod unrecorded;

use chrono::{DateTime, Utc};
use holdpoint_core::cron::StepEnd;

use super::CronReport;
use crate::retention::NewestProof;
pub use unrecorded::unrecorded;

/// A family of samples: name, kind, help.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: fn(&CronReport) -> Option<Vec<Sample>>,
}

/// Labels besides the database, and the value.
type Sample = (Vec<(&'static str, String)>, f64);

/// Writes the metrics of these databases; `previous` is the file as it was.
pub fn metrics(reports: &[CronReport], previous: &str) -> String {
    let mut text = String::new();
    for family in FAMILIES {
        let mut lines = Vec::new();
        for report in reports {
            let database = label("database", report.database.as_str());
            let samples = match (family.samples)(report) {
                None => unrecorded::samples(report, family.name, previous),
                samples => samples,
            };
            match samples {
                Some(samples) => lines.extend(samples.iter().map(|(labels, value)| {
                    let more: String = labels.iter().map(|(name, value)| format!(",{}", label(name, value))).collect();
                    format!("{}{{{database}{more}}} {}", family.name, number(*value))
                })),
                None => lines.extend(kept(previous, family.name, &database)),
            }
        }
        if !lines.is_empty() {
            let Family { name, kind, help, .. } = family;
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{}\n", lines.join("\n")));
        }
    }
    text
}

const TOTAL: &str = "holdpoint_cron_failures_total";
const UNRECORDED: &str = "holdpoint_cron_unrecorded_failures";
const SINCE: &str = "holdpoint_cron_unrecorded_since_timestamp_seconds";
const LEFT: &str = "holdpoint_cron_unreleased_run_timestamp_seconds";
const SUCCESS: &str = "holdpoint_cron_last_success_timestamp_seconds";

/// The lines of a database as they stood.
fn kept(previous: &str, name: &str, database: &str) -> Vec<String> {
    let head = format!("{name}{{{database}");
    let own = |line: &&str| line.strip_prefix(&head).is_some_and(|rest| rest.starts_with([',', '}']));
    previous.lines().filter(own).map(str::to_owned).collect()
}

/// In values of labels the text form escapes backslashes, quotes and line ends.
fn label(name: &str, value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{escaped}\"")
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp() as f64
}

fn one(value: f64) -> Option<Vec<Sample>> {
    Some(vec![(Vec::new(), value)])
}

/// A sample where there is something to say; otherwise none, and none is taken over.
fn perhaps(value: Option<f64>) -> Option<Vec<Sample>> {
    Some(value.into_iter().map(|value| (Vec::new(), value)).collect())
}

/// An instant of the newest proof of each level.
fn by_level(report: &CronReport, instant: fn(&NewestProof) -> DateTime<Utc>) -> Option<Vec<Sample>> {
    let sample = |one: &NewestProof| (vec![("level", one.level.word().to_owned())], seconds(instant(one)));
    Some(report.outlook.as_ref()?.proofs.iter().map(sample).collect())
}

/// Whether the run was one at all: what another run kept from beginning says nothing.
fn ran(report: &CronReport) -> Option<&CronReport> {
    (!report.is_kept_out()).then_some(report)
}

const FAMILIES: &[Family] = &[
    Family {
        name: "holdpoint_cron_last_run_timestamp_seconds",
        kind: "gauge",
        help: "When the last unattended run began, in seconds since 1970.",
        samples: |report| one(seconds(ran(report)?.started_at)),
    },
    Family {
        name: "holdpoint_cron_last_run_success",
        kind: "gauge",
        help: "1 where nothing failed in the last unattended run, else 0.",
        samples: |report| one(f64::from(u8::from(ran(report)?.failure.is_none()))),
    },
    Family {
        name: SUCCESS,
        kind: "gauge",
        help: "When the last unattended run ended in which nothing failed, in seconds since 1970.",
        samples: |report| perhaps(report.history.as_ref()?.succeeded_at.map(seconds)),
    },
    Family {
        name: "holdpoint_cron_duration_seconds",
        kind: "gauge",
        help: "How long the last unattended run took.",
        samples: |report| one(ran(report)?.took_ms as f64 / 1000.0),
    },
    Family {
        name: "holdpoint_cron_step_duration_seconds",
        kind: "gauge",
        help: "How long each step of the last unattended run took that ran.",
        samples: |report| {
            let begun = ran(report)?.steps.iter().filter(|one| matches!(one.end, StepEnd::Done | StepEnd::Failed));
            Some(begun.map(|one| (vec![("step", one.step.word().to_owned())], one.took_ms as f64 / 1000.0)).collect())
        },
    },
    Family {
        name: "holdpoint_cron_step_success",
        kind: "gauge",
        help: "1 for each step of the last unattended run that failed in nothing, 0 for one that failed or could not begin.",
        samples: |report| {
            let good = |end| matches!(end, StepEnd::Done | StepEnd::NotDue | StepEnd::Off);
            let one = |one: &super::StepReport| {
                (vec![("step", one.step.word().to_owned())], f64::from(u8::from(good(one.end))))
            };
            Some(ran(report)?.steps.iter().map(one).collect())
        },
    },
    Family {
        name: TOTAL,
        kind: "counter",
        help: "Unattended runs that failed, by kind of failure.",
        samples: |report| {
            let failures = &report.history.as_ref()?.failures;
            Some(failures.iter().map(|(kind, count)| (vec![("kind", kind.clone())], *count as f64)).collect())
        },
    },
    Family {
        name: UNRECORDED,
        kind: "gauge",
        help: "Unattended runs that failed, by kind, and could not write that down in the repository yet.",
        samples: |report| report.recorded.then(Vec::new),
    },
    Family {
        name: SINCE,
        kind: "gauge",
        help: "When the first of these runs began, in seconds since 1970.",
        samples: |report| report.recorded.then(Vec::new),
    },
    Family {
        name: LEFT,
        kind: "gauge",
        help: "When the run began that ended and could not give its lease back, in seconds since 1970.",
        samples: |report| report.recorded.then(Vec::new),
    },
    Family {
        name: "holdpoint_restore_points",
        kind: "gauge",
        help: "Restore points in the repository that can be read.",
        samples: |report| one(report.outlook.as_ref()?.points as f64),
    },
    Family {
        name: "holdpoint_restore_points_proven",
        kind: "gauge",
        help: "Restore points that are proven, and of which the store has everything.",
        samples: |report| one(report.outlook.as_ref()?.proven as f64),
    },
    Family {
        name: "holdpoint_restore_points_unusable",
        kind: "gauge",
        help: "Restore points that are disproved, have lost an object, or cannot be read.",
        samples: |report| one(report.outlook.as_ref()?.unusable as f64),
    },
    Family {
        name: "holdpoint_stored_bytes",
        kind: "gauge",
        help: "Bytes of all restore points.",
        samples: |report| one(report.outlook.as_ref()?.stored_bytes as f64),
    },
    Family {
        name: "holdpoint_newest_restore_point_timestamp_seconds",
        kind: "gauge",
        help: "The instant of the newest restore point, in seconds since 1970.",
        samples: |report| perhaps(report.outlook.as_ref()?.newest.as_ref().map(|newest| seconds(newest.snapshot_at))),
    },
    Family {
        name: "holdpoint_newest_restore_point_bytes",
        kind: "gauge",
        help: "Bytes of the newest restore point.",
        samples: |report| perhaps(report.outlook.as_ref()?.newest.as_ref().map(|newest| newest.stored_bytes as f64)),
    },
    Family {
        name: "holdpoint_proven_restore_point_timestamp_seconds",
        kind: "gauge",
        help: "The instant of the newest restore point proven at this level, in seconds since 1970.",
        samples: |report| by_level(report, |one| one.snapshot_at),
    },
    Family {
        name: "holdpoint_last_proof_timestamp_seconds",
        kind: "gauge",
        help: "When that restore point was proven at this level, in seconds since 1970.",
        samples: |report| by_level(report, |one| one.proven_at),
    },
    Family {
        name: "holdpoint_next_drop_timestamp_seconds",
        kind: "gauge",
        help: "When retention drops the next restore point if nothing but time passes, in seconds since 1970.",
        samples: |report| perhaps(report.outlook.as_ref()?.next_drop_at.map(seconds)),
    },
];

#[cfg(test)]
mod tests;
