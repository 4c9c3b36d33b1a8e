//! The gate: whether a migration may start, decided from facts, with reasons.

pub mod pending;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use crate::PointId;
use crate::verification::{Level, Standing};

/// What the gate asks of a restore point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The level that a restore point must be proven at, or above.
    pub level: Level,
    /// The greatest age of the restore point's snapshot, in seconds.
    pub max_age_seconds: i64,
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
    /// Its snapshot's instant, by the source server's clock.
    pub snapshot_at: DateTime<Utc>,
    /// What its verifications say.
    pub standing: Standing,
    /// Whether it covers the whole database.
    pub complete: bool,
    /// Label of a point that must not be chosen.
    pub labelled: bool,
}

/// The gate's decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Decision {
    /// The migration may start.
    Go {
        /// The restore point that it relies on.
        point: PointId,
        /// Why.
        reasons: Vec<String>,
    },
    /// Nothing satisfies the policy: make a restore point and prove it first.
    MakeRestorePoint {
        /// Why each candidate does not do.
        reasons: Vec<String>,
    },
}

/// Decides whether one of the candidates lets a migration start at `now` (the source server's clock).
pub fn decide(policy: &Policy, candidates: &[Candidate], now: DateTime<Utc>) -> Decision {
    let mut reasons = Vec::new();
    let mut newest_first: Vec<&Candidate> = candidates.iter().collect();
    newest_first.sort_by_key(|one| std::cmp::Reverse(one.snapshot_at));
    for one in newest_first {
        match refuse(policy, one, now) {
            None => {
                let age = (now - one.snapshot_at).num_seconds();
                let reason = format!("{} is proven ({}) and {age} s old", one.point, level(one.standing));
                return Decision::Go { point: one.point.clone(), reasons: vec![reason] };
            }
            Some(reason) if reasons.len() < 5 => reasons.push(format!("{}: {reason}", one.point)),
            Some(_) => {}
        }
    }
    if reasons.is_empty() {
        reasons.push("there is no restore point yet".to_owned());
    }
    Decision::MakeRestorePoint { reasons }
}

fn level(standing: Standing) -> &'static str {
    match standing {
        Standing::Proven { level, .. } => level.word(),
        Standing::Disproved { .. } => "disproved",
        Standing::Unproven => "unproven",
    }
}

fn refuse(policy: &Policy, one: &Candidate, now: DateTime<Utc>) -> Option<String> {
    let age = now - one.snapshot_at;
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
        Candidate { point: PointId::new(snapshot_at, 1), snapshot_at, standing, complete: true, labelled: false }
    }

    fn proven(level: Level) -> Standing {
        Standing::Proven { level, at: at("03:00:00") }
    }

    #[test]
    fn goes_with_the_newest_that_satisfies() {
        let policy = Policy { level: Level::Full, max_age_seconds: 3600 };
        let list = [
            candidate("02:10:00", proven(Level::Full)),
            candidate("02:20:00", proven(Level::Full)),
            candidate("02:30:00", proven(Level::Stored)),
            candidate("02:40:00", Standing::Unproven),
        ];
        let Decision::Go { point, .. } = decide(&policy, &list, at("03:00:00")) else { panic!() };
        assert_eq!(point, list[1].point);
    }

    #[test]
    fn says_why_each_does_not_do() {
        let policy = Policy { level: Level::Full, max_age_seconds: 600 };
        let mut partial = candidate("02:59:00", proven(Level::Full));
        partial.complete = false;
        let mut undo = candidate("02:58:00", proven(Level::Full));
        undo.labelled = true;
        let list = [
            partial,
            undo,
            candidate("02:57:00", Standing::Disproved { at: at("02:58:00") }),
            candidate("01:00:00", proven(Level::Full)),
            candidate("03:00:01", proven(Level::Full)),
        ];
        let Decision::MakeRestorePoint { reasons } = decide(&policy, &list, at("03:00:00")) else { panic!() };
        let text = reasons.join("\n");
        for word in ["whole database", "undo", "disproved", "7200 s old", "future"] {
            assert!(text.contains(word), "{word} in {text}");
        }
    }

    #[test]
    fn by_default_every_run_makes_its_own_point() {
        let list = [candidate("02:59:59", proven(Level::Full))];
        assert!(matches!(decide(&Policy::default(), &list, at("03:00:00")), Decision::MakeRestorePoint { .. }));
        assert!(matches!(decide(&Policy::default(), &[], at("03:00:00")), Decision::MakeRestorePoint { .. }));
    }
}
