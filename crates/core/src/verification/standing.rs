//! What the verifications of a restore point say together.

use chrono::{DateTime, SubsecRound as _, Utc};
use serde::Serialize;

use super::{Level, Verdict, Verification};
use crate::retention::WRONG_CLOCK;

/// What the verifications of a restore point say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "standing")]
pub enum Standing {
    /// Proved, and nothing that was found since speaks against it.
    Proven {
        /// The highest level proved since the newest disproof.
        level: Level,
        /// When that was.
        at: DateTime<Utc>,
    },
    /// Disproved, and not proved at the same level or a higher one since.
    Disproved {
        /// When the newest such disproof was made.
        at: DateTime<Utc>,
    },
    /// No conclusive verification, or one that cannot be read and may be a disproof.
    Unproven,
}

impl Standing {
    /// The highest level that is proven; `None` where nothing is.
    pub fn level(self) -> Option<Level> {
        match self {
            Self::Proven { level, .. } => Some(level),
            Self::Disproved { .. } | Self::Unproven => None,
        }
    }
}

/// A record among a restore point's verifications that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableVerification {
    /// Its key below the repository's root.
    pub key: String,
    /// When the verification began, as the key says; `None` where it does not.
    pub at: Option<DateTime<Utc>>,
    /// Why it cannot be read.
    pub reason: String,
}

/// Whether what is dated so lies further ahead than clocks that are right differ.
pub fn is_ahead(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    at.signed_duration_since(now) > WRONG_CLOCK
}

/// Weighs the verifications of one restore point of the manifest with hash `manifest_sha256`.
///
/// Only conclusive ones count. Which of two is newer their dates say, unless one of them names the other's: see
/// [`newer_than`](Verification::newer_than). A disproof stands until the same level or a higher one is proved after it: reading the
/// stored bytes says nothing against a restore that failed. What was proved before the newest disproof counts for
/// nothing, whatever its level. A proof of the future says nothing: a clock ran ahead.
/// A record that cannot be read may be a disproof of any level: without a proof of level
/// *full* after it nothing is proven. A record of another manifest (one that was edited since) counts for nothing.
pub fn standing(
    verifications: &[Verification],
    unreadable: &[UnreadableVerification],
    manifest_sha256: &str,
    now: DateTime<Utc>,
) -> Standing {
    let of = |verdict: Verdict| {
        verifications.iter().filter(move |one| one.verdict == verdict && one.manifest_sha256 == manifest_sha256)
    };
    let proofs = || of(Verdict::Proved).filter(|one| !is_ahead(one.started_at, now));
    let disproofs = || of(Verdict::Disproved);
    let overturned =
        |disproof: &Verification| proofs().any(|proof| proof.level >= disproof.level && follows(proof, disproof));
    if let Some(at) = disproofs().filter(|one| !overturned(one)).map(|one| one.started_at).max() {
        return Standing::Disproved { at };
    }
    let outlived = |at: DateTime<Utc>| proofs().any(|proof| proof.level >= Level::Full && is_after(proof, at));
    if unreadable.iter().any(|one| !one.at.is_some_and(outlived)) {
        return Standing::Unproven;
    }
    let unreadable = || unreadable.iter().filter_map(|one| one.at);
    proofs()
        .filter(|proof| disproofs().all(|one| follows(proof, one)) && unreadable().all(|at| is_after(proof, at)))
        .max_by_key(|proof| (proof.level, proof.started_at))
        .map_or(Standing::Unproven, |proof| Standing::Proven { level: proof.level, at: proof.started_at })
}

/// Whether one was made after the other.
fn follows(one: &Verification, other: &Verification) -> bool {
    is_after(one, other.started_at) && !other.newer_than.contains(&as_in_keys(one.started_at))
}

/// Whether one was made after what is dated so.
fn is_after(one: &Verification, at: DateTime<Utc>) -> bool {
    one.started_at > at || one.newer_than.contains(&as_in_keys(at))
}

fn as_in_keys(at: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(3)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::Verdict::{CouldNotRun, Disproved, Proved};
    use super::*;
    use crate::verification::tests::made;

    fn say(list: &[Verification]) -> Standing {
        standing(list, &[], "aa", now())
    }

    /// After all of them.
    fn now() -> DateTime<Utc> {
        made(Proved, Level::Full, 59).started_at
    }

    fn level_of(standing: Standing) -> Option<Level> {
        standing.level()
    }

    #[test]
    fn only_what_is_conclusive_counts_and_the_highest_proof_since_a_disproof() {
        assert_eq!(say(&[]), Standing::Unproven);
        assert_eq!(say(&[made(CouldNotRun, Level::Full, 1)]), Standing::Unproven);
        let full = made(Proved, Level::Full, 1);
        assert_eq!(level_of(say(&[full.clone(), made(CouldNotRun, Level::Full, 2)])), Some(Level::Full));
        assert_eq!(level_of(say(&[made(Proved, Level::Stored, 3), full.clone()])), Some(Level::Full));
        assert!(matches!(say(&[full.clone(), made(Disproved, Level::Stored, 2)]), Standing::Disproved { .. }));
        let after = [full.clone(), made(Disproved, Level::Stored, 2), made(Proved, Level::Stored, 3)];
        assert_eq!(level_of(say(&after)), Some(Level::Stored), "an older full proof does not outlive a disproof");
        assert_eq!(standing(&[full], &[], "bb", now()), Standing::Unproven, "the manifest was edited");
    }

    #[test]
    fn a_level_that_restores_less_says_nothing_against_a_disproof() {
        let failed = made(Disproved, Level::Full, 2);
        let read = [made(Proved, Level::Stored, 3), made(Proved, Level::Sampled, 4)];
        let both = [&[failed.clone()][..], &read].concat();
        assert_eq!(say(&both), Standing::Disproved { at: failed.started_at });
        let again = [&both[..], &[made(Proved, Level::Full, 5)]].concat();
        assert_eq!(level_of(say(&again)), Some(Level::Full));
        // A second disproof of a lower level is a disproof of its own.
        let second = [&again[..], &[made(Disproved, Level::Stored, 6)]].concat();
        assert!(matches!(say(&second), Standing::Disproved { .. }));
        let third = [&second[..], &[made(Proved, Level::Sampled, 7)]].concat();
        assert_eq!(level_of(say(&third)), Some(Level::Sampled), "what was proved before counts no more");
        // Of the same moment nobody knows which came first.
        assert!(matches!(say(&[failed, made(Proved, Level::Full, 2)]), Standing::Disproved { .. }));
    }

    #[test]
    fn a_proof_of_the_future_outlives_no_disproof_and_proves_nothing() {
        let (ahead, disproof) = (made(Proved, Level::Full, 5), made(Disproved, Level::Stored, 3));
        let weighed = |list: &[Verification], before: TimeDelta| standing(list, &[], "aa", ahead.started_at - before);
        let (within, beyond) = (WRONG_CLOCK, WRONG_CLOCK + TimeDelta::seconds(1));
        assert_eq!(weighed(std::slice::from_ref(&ahead), within).level(), Some(Level::Full), "clocks differ");
        assert_eq!(weighed(std::slice::from_ref(&ahead), beyond), Standing::Unproven);
        let both = [disproof.clone(), ahead.clone()];
        assert_eq!(weighed(&both, beyond), Standing::Disproved { at: disproof.started_at });
        let earlier = [made(Proved, Level::Stored, 1), ahead.clone()];
        assert_eq!(weighed(&earlier, beyond).level(), Some(Level::Stored), "it takes nothing from others");
        let of_the_future = [made(Proved, Level::Full, 1), made(Disproved, Level::Full, 5)];
        assert!(matches!(weighed(&of_the_future, beyond), Standing::Disproved { .. }), "what speaks against it counts");
    }

    #[test]
    fn what_was_made_after_a_record_of_the_future_is_newer_than_that() {
        let later = |mut one: Verification, than: &Verification| {
            one.newer_than.push(than.started_at);
            one
        };
        let ahead = made(Proved, Level::Full, 50);
        let disproof = later(made(Disproved, Level::Stored, 3), &ahead);
        let found = [ahead.clone(), disproof.clone()];
        // Also when its date has come.
        assert_eq!(say(&found), Standing::Disproved { at: disproof.started_at });
        let again = [&found[..], &[made(Proved, Level::Stored, 4)]].concat();
        assert_eq!(say(&again).level(), Some(Level::Stored), "healed and proved, whatever the date of the first proof");
        // A disproof of a clock that ran ahead does not stand until its date has come.
        let wrong = made(Disproved, Level::Full, 50);
        let healed = [wrong.clone(), later(made(Proved, Level::Full, 4), &wrong)];
        assert_eq!(say(&healed).level(), Some(Level::Full));
        assert!(matches!(say(&[wrong, made(Proved, Level::Full, 4)]), Standing::Disproved { .. }));
        let unreadable =
            UnreadableVerification { key: "k".to_owned(), at: Some(ahead.started_at), reason: "r".to_owned() };
        let weighed = |one: Verification| standing(&[one], std::slice::from_ref(&unreadable), "aa", now());
        assert_eq!(weighed(made(Proved, Level::Full, 4)), Standing::Unproven);
        assert_eq!(weighed(later(made(Proved, Level::Full, 4), &ahead)).level(), Some(Level::Full));
    }

    #[test]
    fn a_record_that_cannot_be_read_may_be_a_disproof() {
        let unreadable = |minute: Option<u32>| UnreadableVerification {
            key: "k".to_owned(),
            at: minute.map(|minute| made(Proved, Level::Full, minute).started_at),
            reason: "r".to_owned(),
        };
        let weighed = |list: &[Verification], minute| standing(list, &[unreadable(minute)], "aa", now());
        let full = made(Proved, Level::Full, 3);
        assert_eq!(weighed(&[], Some(1)), Standing::Unproven);
        assert_eq!(level_of(weighed(std::slice::from_ref(&full), Some(2))), Some(Level::Full), "proved since");
        for minute in [Some(3), Some(4), None] {
            assert_eq!(weighed(std::slice::from_ref(&full), minute), Standing::Unproven, "{minute:?}");
        }
        assert_eq!(weighed(&[made(Proved, Level::Stored, 3)], Some(2)), Standing::Unproven, "it may be of level full");
        let disproof = made(Disproved, Level::Stored, 4);
        assert!(matches!(weighed(&[full, disproof], Some(2)), Standing::Disproved { .. }), "what is known stands");
    }

    /// Every history of up to five verdicts, against the rule said in other words: walk through time, remember the
    /// disproofs that nothing overturned and the proofs since the last disproof.
    #[test]
    fn every_short_history_is_weighed_as_if_it_was_lived_through() {
        let kinds: Vec<(Verdict, Level)> = [Proved, Disproved, CouldNotRun]
            .into_iter()
            .flat_map(|verdict| [Level::Stored, Level::Sampled, Level::Full].map(|level| (verdict, level)))
            .collect();
        let mut count = 0;
        for length in 0..=5_u32 {
            for code in 0..kinds.len().pow(length) {
                let mut rest = code;
                let history: Vec<Verification> = (0..length)
                    .map(|minute| {
                        let (verdict, level) = kinds[rest % kinds.len()];
                        rest /= kinds.len();
                        made(verdict, level, minute)
                    })
                    .collect();
                let (mut open, mut proved): (Vec<&Verification>, Option<&Verification>) = (Vec::new(), None);
                for one in &history {
                    match one.verdict {
                        CouldNotRun => {}
                        Disproved => {
                            proved = None;
                            open.push(one);
                        }
                        Proved => {
                            open.retain(|disproof| disproof.level > one.level);
                            proved = Some(proved.filter(|best| best.level > one.level).unwrap_or(one));
                        }
                    }
                }
                let expected = match (open.last(), proved) {
                    (Some(disproof), _) => Standing::Disproved { at: disproof.started_at },
                    (None, Some(proof)) => Standing::Proven { level: proof.level, at: proof.started_at },
                    (None, None) => Standing::Unproven,
                };
                assert_eq!(say(&history), expected, "{history:#?}");
                let mut turned = history.clone();
                turned.reverse();
                assert_eq!(say(&turned), expected, "the order of the listing does not matter");
                count += 1;
            }
        }
        assert_eq!(count, 1 + 9 + 81 + 729 + 6_561 + 59_049);
    }
}
