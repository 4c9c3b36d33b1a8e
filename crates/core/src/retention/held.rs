//! A restore point as retention sees it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::verification::{Level, Standing};
use crate::{PointId, PointKind};

/// A snapshot may be this far ahead of the clock of whoever asks; what is further ahead lies in the future.
const SKEW: TimeDelta = TimeDelta::minutes(1);
/// A source's clock that differs from the store's by more is wrong, and so is every instant that it stamped.
pub const WRONG_CLOCK: TimeDelta = TimeDelta::hours(1);

/// A restore point as retention sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub id: PointId,
    /// What it is: none of one kind goes because of one of another.
    pub kind: PointKind,
    /// Its instant, by the source server's clock.
    pub snapshot_at: DateTime<Utc>,
    /// The same instant by the store's clock, where that is known.
    pub by_store: Option<DateTime<Utc>>,
    /// How far it is proven.
    pub standing: Standing,
    /// Why it counts for no other one; `None` where it does.
    pub aside: Option<Aside>,
    /// What forbids dropping it, whatever the policy says.
    pub holds: Vec<Hold>,
}

/// Why a restore point counts for itself alone: it fills no slot, and no other one goes because of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Aside {
    /// It holds a part of the database only.
    Partial {
        /// Which part: the options by which it was made.
        selection: Vec<String>,
    },
    /// It carries a label: `undo` made it of a database that somebody wanted to get away from.
    Labelled {
        /// The label.
        label: String,
    },
    /// Objects of it are not there, or not as long as recorded.
    Incomplete,
    /// It is of a database that the folder never belonged to.
    AnotherDatabase,
}

impl Aside {
    /// Whether both are set aside for the same: parts that were selected alike, or any label.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Labelled { .. }, Self::Labelled { .. })) || self == other
    }
}

/// What forbids dropping a restore point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Hold {
    /// A pin.
    Pin {
        /// Its name.
        name: String,
        /// Until when; `None` without end.
        until: Option<DateTime<Utc>>,
    },
    /// The store itself refuses to delete it.
    ObjectLock {
        /// Until when; `None` without end (a legal hold).
        until: Option<DateTime<Utc>>,
    },
}

impl Hold {
    /// Whether it still holds.
    pub(super) fn holds(&self, now: DateTime<Utc>) -> bool {
        let (Self::Pin { until, .. } | Self::ObjectLock { until }) = self;
        until.is_none_or(|until| until > now)
    }
}

impl Held {
    /// Its instant by the clock that ages are reckoned by: the store's, else the source's.
    pub(super) fn taken_at(&self) -> DateTime<Utc> {
        self.by_store.unwrap_or(self.snapshot_at)
    }

    /// Whether its own instant cannot be believed: it lies in the future, or far from what the store's clock says.
    pub fn is_doubtful(&self, now: DateTime<Utc>) -> bool {
        let differs = |by_store: DateTime<Utc>| by_store.signed_duration_since(self.snapshot_at).abs() > WRONG_CLOCK;
        self.snapshot_at > now + SKEW || self.by_store.is_some_and(differs)
    }

    /// Whether others may go because of it, as far as its kind and its clock decide that.
    pub fn counts(&self, now: DateTime<Utc>) -> bool {
        self.aside.is_none() && !self.is_doubtful(now)
    }

    /// How far it is proven.
    pub(super) fn level(&self) -> Option<Level> {
        self.standing.level()
    }

    /// Whether both are set aside for the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        matches!((&self.aside, &other.aside), (Some(one), Some(other)) if one.is_like(other))
    }
}
