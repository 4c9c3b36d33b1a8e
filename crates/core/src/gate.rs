//! The gate: whether a migration may start, decided from facts, with reasons.

pub mod pending;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use crate::verification::{Level, Standing};
use crate::{PointId, PointKind};

/// What the gate asks of a restore point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The level that a restore point must be proven at, or above.
    pub level: Level,
    /// The greatest age of the restore point's snapshot, in seconds.
    pub max_age_seconds: i64,
}

impl Policy {
    /// What kind of restore point it asks for: level *instance* is that of snapshots alone, and no other level is theirs.
    pub fn kind(&self) -> PointKind {
        if self.level == Level::Instance { PointKind::RdsSnapshot } else { PointKind::Archive }
    }
}

impl Default for Policy {
    /// Fully proven, and made for this very run: any row written since the snapshot is lost by going back.
    fn default() -> Self {
        Self { level: Level::Full, max_age_seconds: 0 }
    }
}

/// A restore point as the gate sees it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Which.
    pub point: PointId,
    /// An archive, or a snapshot of the instance.
    pub kind: PointKind,
    /// Its snapshot's instant, by the source server's clock.
    pub snapshot_at: DateTime<Utc>,
    /// What its verifications say.
    pub standing: Standing,
    /// Whether it covers the whole database.
    pub complete: bool,
    /// Label of a point that must not be chosen.
    pub labelled: bool,
}

fn level(standing: Standing) -> &'static str {
    match standing {
        Standing::Proven { level, .. } => level.word(),
        Standing::Disproved { .. } => "disproved",
        Standing::Unproven => "unproven",
    }
}

/// Says why a restore point does not satisfy a policy at `now`, by the source server's clock; `None` where it does.
pub fn refuse(policy: &Policy, one: &Candidate, now: DateTime<Utc>) -> Option<String> {
    let age = now - one.snapshot_at;
    if one.kind != policy.kind() {
        return Some(match one.kind {
            PointKind::Archive => "an archive, and a snapshot of the instance is asked for".to_owned(),
            PointKind::RdsSnapshot => format!("a snapshot of the instance, and level {} is asked for", policy.level),
        });
    }
    if one.labelled {
        return Some("made by undo".to_owned());
    }
    if !one.complete {
        return Some("does not cover the whole database".to_owned());
    }
    if age < Duration::zero() {
        return Some("its snapshot is in the future".to_owned());
    }
    if age > Duration::seconds(policy.max_age_seconds) {
        return Some(format!("{} s old, {} s allowed", age.num_seconds(), policy.max_age_seconds));
    }
    match one.standing {
        Standing::Proven { level, .. } if level >= policy.level => None,
        Standing::Proven { level, .. } => Some(format!("proven only at level {level}, {} is asked for", policy.level)),
        Standing::Disproved { .. } => Some("disproved".to_owned()),
        Standing::Unproven => Some("not proven".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-21T{text}Z").parse().unwrap()
    }

    fn candidate(time: &str, standing: Standing) -> Candidate {
        let snapshot_at = at(time);
        Candidate {
            point: PointId::new(snapshot_at, 1),
            kind: PointKind::Archive,
            snapshot_at,
            standing,
            complete: true,
            labelled: false,
        }
    }

    fn proven(level: Level) -> Standing {
        Standing::Proven { level, at: at("03:00:00") }
    }

    #[test]
    fn says_why_each_does_not_do() {
        let policy = Policy { level: Level::Full, max_age_seconds: 600 };
        let good = candidate("02:57:00", proven(Level::Full));
        let why = |one: &Candidate| refuse(&policy, one, at("03:00:00")).unwrap_or_default();
        assert_eq!(why(&good), "");
        for (one, word) in [
            (Candidate { complete: false, ..good.clone() }, "whole database"),
            (Candidate { labelled: true, ..good.clone() }, "undo"),
            (Candidate { standing: Standing::Disproved { at: at("02:58:00") }, ..good.clone() }, "disproved"),
            (Candidate { standing: Standing::Unproven, ..good.clone() }, "not proven"),
            (Candidate { standing: proven(Level::Stored), ..good }, "only at level stored"),
            (candidate("01:00:00", proven(Level::Full)), "7200 s old"),
            (candidate("03:00:01", proven(Level::Full)), "future"),
        ] {
            assert!(why(&one).contains(word), "{word} in {}", why(&one));
        }
    }

    #[test]
    fn a_snapshot_does_for_level_instance_alone_and_an_archive_never_for_that() {
        let of = |level| Policy { level, max_age_seconds: 600 };
        let archive = candidate("02:57:00", proven(Level::Full));
        let snapshot = Candidate { kind: PointKind::RdsSnapshot, ..candidate("02:57:00", proven(Level::Instance)) };
        let why = |level, one: &Candidate| refuse(&of(level), one, at("03:00:00")).unwrap_or_default();
        assert_eq!((why(Level::Instance, &snapshot), why(Level::Full, &archive)), (String::new(), String::new()));
        assert!(why(Level::Instance, &archive).contains("an archive"));
        for level in [Level::Stored, Level::Sampled, Level::Full] {
            assert!(why(level, &snapshot).contains("a snapshot of the instance"), "{level}");
        }
        let unproven = Candidate { standing: Standing::Unproven, ..snapshot.clone() };
        assert_eq!(why(Level::Instance, &unproven), "not proven");
    }
}
