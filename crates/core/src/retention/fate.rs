//! What becomes of restore points, and why.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Aside, Hold, Slot, Unit};
use crate::verification::{Level, Standing};
use crate::{PointId, PointKind};

/// Why a restore point is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum KeepReason {
    /// No newer one is there.
    Newest,
    /// No newer one is there that is proven as far.
    NewestProven {
        /// How far it is proven.
        level: Level,
    },
    /// Nothing is proven: whatever is there may be the last hope.
    NothingProven,
    /// Somebody or something holds it.
    Held {
        /// What.
        hold: Hold,
    },
    /// Its instant lies in the future, or is not what the store's clock said: how old it is, and what is newer, nobody knows.
    ClockDoubted {
        /// Its instant by the store's clock, where that is known.
        by_store: Option<DateTime<Utc>>,
    },
    /// Objects of it are missing: it may be what is left after an accident.
    Incomplete,
    /// It is of a database that the folder never belonged to: what it does here nobody knows.
    OfAnotherDatabase,
    /// It is younger than the minimum age.
    Young,
    /// One of the newest proven ones.
    Last {
        /// Its place among them, from 1.
        place: u32,
    },
    /// Without it fewer than the minimum count would remain.
    MinimumCount,
    /// The newest proven one of a slot.
    Slot {
        /// The rule.
        unit: Unit,
        /// The slot.
        slot: Slot,
    },
    /// Not much older than the newest proven one.
    Within,
    /// Not proven, and a slot that it could fill has no proven one.
    AwaitsProof {
        /// The rule; `None` for the newest ones.
        unit: Option<Unit>,
    },
    /// One of the newest that are set aside for the same.
    NewestOfItsKind {
        /// Its place among them, from 1; of a proven one among those that are proven.
        place: u32,
    },
}

impl KeepReason {
    /// Whether others may go because a restore point is kept for this.
    fn justifies(&self) -> bool {
        matches!(
            self,
            Self::NewestProven { .. }
                | Self::Last { .. }
                | Self::MinimumCount
                | Self::Slot { .. }
                | Self::NewestOfItsKind { .. }
        )
    }
}

/// Why a restore point may be dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum DropReason {
    /// It was disproved, and others are proven.
    Disproved {
        /// When.
        at: DateTime<Utc>,
    },
    /// A slot that it lies in is filled by a newer proven one.
    Superseded {
        /// The rule.
        unit: Unit,
        /// The slot.
        slot: Slot,
        /// What fills it.
        by: PointId,
    },
    /// It is older than everything that the policy asks for.
    BeyondEveryRule,
    /// It is set aside, older than the minimum age, and newer ones of its kind are kept.
    BeyondItsKind,
}

/// What becomes of a restore point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "fate", content = "reasons")]
pub enum Fate {
    /// It is kept; at least one reason.
    Keep(Vec<KeepReason>),
    /// It is dropped; at least one reason.
    Drop(Vec<DropReason>),
}

/// One restore point of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The restore point.
    pub id: PointId,
    /// What it is.
    pub kind: PointKind,
    /// Its instant, by the source server's clock.
    pub snapshot_at: DateTime<Utc>,
    /// How far it is proven.
    pub standing: Standing,
    /// Why it counts for no other one; `None` where it does, or where only its clock is doubted.
    pub aside: Option<Aside>,
    /// What becomes of it.
    #[serde(flatten)]
    pub fate: Fate,
}

impl Entry {
    fn kept_for(&self) -> &[KeepReason] {
        match &self.fate {
            Fate::Keep(reasons) => reasons,
            Fate::Drop(_) => &[],
        }
    }

    /// Whether it is kept as the newest that is proven so far.
    pub fn is_newest_proven(&self) -> bool {
        self.kept_for().iter().any(|reason| matches!(reason, KeepReason::NewestProven { .. }))
    }

    /// Whether others may go because this one is kept.
    pub fn justifies(&self) -> bool {
        self.kept_for().iter().any(KeepReason::justifies)
    }

    /// Whether it is kept as one of the newest that are set aside for the same as another one.
    fn is_newest_of_the_kind_of(&self, other: &Self) -> bool {
        let like = matches!((&self.aside, &other.aside), (Some(one), Some(other)) if one.is_like(other));
        like && self.kept_for().iter().any(|reason| matches!(reason, KeepReason::NewestOfItsKind { .. }))
    }

    /// Whether it is kept because its clock is doubted.
    pub fn has_doubtful_clock(&self) -> bool {
        self.kept_for().iter().any(|reason| matches!(reason, KeepReason::ClockDoubted { .. }))
    }

    /// What fills the slots that it is dropped from.
    pub fn superseded_by(&self) -> impl Iterator<Item = &PointId> {
        let reasons = match &self.fate {
            Fate::Drop(reasons) => reasons.as_slice(),
            Fate::Keep(_) => &[],
        };
        reasons.iter().filter_map(|reason| match reason {
            DropReason::Superseded { by, .. } => Some(by),
            _ => None,
        })
    }
}

/// What becomes of every restore point of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RetentionPlan {
    /// Every restore point, the newest first.
    pub entries: Vec<Entry>,
}

impl RetentionPlan {
    /// What is dropped, the oldest first: whoever is interrupted has dropped what is least missed.
    pub fn drops(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev().filter(|entry| matches!(entry.fate, Fate::Drop(_)))
    }

    /// What is kept in the stead of one that is dropped as newer ones of its kind are there; of a proven one what is proven.
    pub fn newer_of_its_kind<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = &'a Entry> {
        let beyond = matches!(&entry.fate, Fate::Drop(why) if why.contains(&DropReason::BeyondItsKind));
        let proven = entry.standing.level().is_some();
        let good_enough = move |one: &Entry| one.standing.level().is_some() || !proven;
        self.keeps().filter(move |one| beyond && good_enough(one) && one.is_newest_of_the_kind_of(entry))
    }

    /// What is kept, the newest first.
    pub fn keeps(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| matches!(entry.fate, Fate::Keep(_)))
    }
}
