//! The plan: what becomes of each restore point, and why.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{RetentionPolicy, Slot, Unit};
use crate::verification::Standing;
use crate::{Error, PointId};

/// A snapshot may be this far ahead of the clock of whoever asks; what is further ahead fills no slot.
const SKEW: TimeDelta = TimeDelta::minutes(1);

/// A restore point as retention sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub id: PointId,
    /// Its instant, by the source server's clock.
    pub snapshot_at: DateTime<Utc>,
    /// How far it is proven.
    pub standing: Standing,
    /// What forbids dropping it, whatever the policy says.
    pub holds: Vec<Hold>,
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
    fn holds(&self, now: DateTime<Utc>) -> bool {
        let (Self::Pin { until, .. } | Self::ObjectLock { until }) = self;
        until.is_none_or(|until| until > now)
    }
}

/// Why a restore point is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum KeepReason {
    /// No newer one is there.
    Newest,
    /// No newer proven one is there.
    NewestProven,
    /// Nothing is proven: whatever is there may be the last hope.
    NothingProven,
    /// Somebody or something holds it.
    Held {
        /// What.
        hold: Hold,
    },
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
    /// Its instant, by the source server's clock.
    pub snapshot_at: DateTime<Utc>,
    /// How far it is proven.
    pub standing: Standing,
    /// What becomes of it.
    #[serde(flatten)]
    pub fate: Fate,
}

impl Entry {
    /// Whether it is kept as the newest proven one.
    pub fn is_newest_proven(&self) -> bool {
        matches!(&self.fate, Fate::Keep(reasons) if reasons.contains(&KeepReason::NewestProven))
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

    /// What is kept, the newest first.
    pub fn keeps(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| matches!(entry.fate, Fate::Keep(_)))
    }
}

/// Decides about every restore point of one database.
///
/// The order of `points` does not matter. What is dropped by a policy is dropped by every policy that asks for less, and
/// a plan over what a plan kept drops nothing. A point further in the future than a minute is kept and fills no slot.
///
/// # Errors
/// Those of [`RetentionPolicy::check`].
pub fn plan(points: &[Held], policy: &RetentionPolicy, now: DateTime<Utc>) -> Result<RetentionPlan, Error> {
    policy.check()?;
    let mut points: Vec<&Held> = points.iter().collect();
    points.sort_by(|a, b| (b.snapshot_at, &b.id).cmp(&(a.snapshot_at, &a.id)));
    let fill = |at: usize| is_proven(points[at]) && points[at].snapshot_at <= now + SKEW;
    let proven: Vec<usize> = (0..points.len()).filter(|at| fill(*at)).collect();
    let slots = Unit::ALL.map(|unit| (unit, Filled::new(unit, policy, &points, &proven)));
    let rules = Rules { policy, now, points: &points, proven: &proven, slots: &slots };
    let entry = |at: usize| {
        let kept = rules.keep(at);
        let fate = if kept.is_empty() { Fate::Drop(rules.drop(at)) } else { Fate::Keep(kept) };
        let Held { id, snapshot_at, standing, .. } = points[at];
        Entry { id: id.clone(), snapshot_at: *snapshot_at, standing: *standing, fate }
    };
    Ok(RetentionPlan { entries: (0..points.len()).map(entry).collect() })
}

fn is_proven(point: &Held) -> bool {
    matches!(point.standing, Standing::Proven { .. })
}

/// The slots of one unit that are kept, each with the newest proven point in it.
struct Filled {
    by: BTreeMap<Slot, usize>,
    /// The oldest slot that is kept; `None` where there are not as many yet as the policy asks for.
    oldest: Option<Slot>,
    asked: bool,
}

impl Filled {
    fn new(unit: Unit, policy: &RetentionPolicy, points: &[&Held], proven: &[usize]) -> Self {
        let wanted = policy.slots(unit) as usize;
        let mut by = BTreeMap::new();
        for at in proven {
            // The newest comes first and stays.
            by.entry(Slot::of(unit, points[*at].snapshot_at, policy.zone)).or_insert(*at);
        }
        while by.len() > wanted {
            by.pop_first();
        }
        let oldest = (by.len() == wanted).then(|| by.keys().next().copied()).flatten();
        Self { by, oldest, asked: wanted > 0 }
    }

    /// Whether a point that is not proven could still fill this slot.
    fn awaits(&self, slot: Slot) -> bool {
        self.asked && !self.by.contains_key(&slot) && self.oldest.is_none_or(|oldest| slot > oldest)
    }
}

struct Rules<'a> {
    policy: &'a RetentionPolicy,
    now: DateTime<Utc>,
    /// The newest first.
    points: &'a [&'a Held],
    /// Places of those that fill slots, the newest first.
    proven: &'a [usize],
    slots: &'a [(Unit, Filled)],
}

impl Rules<'_> {
    fn keep(&self, at: usize) -> Vec<KeepReason> {
        let point = self.points[at];
        let mut kept = Vec::new();
        kept.extend((at == 0).then_some(KeepReason::Newest));
        kept.extend((self.proven.first() == Some(&at)).then_some(KeepReason::NewestProven));
        kept.extend(self.proven.is_empty().then_some(KeepReason::NothingProven));
        let holds = point.holds.iter().filter(|hold| hold.holds(self.now));
        kept.extend(holds.map(|hold| KeepReason::Held { hold: hold.clone() }));
        let age = self.now.signed_duration_since(point.snapshot_at);
        kept.extend((age < self.policy.minimum_age || age < -SKEW).then_some(KeepReason::Young));
        match point.standing {
            Standing::Disproved { .. } => {}
            Standing::Unproven => kept.extend(self.awaits(at)),
            Standing::Proven { .. } => kept.extend(self.fills(at)),
        }
        kept
    }

    /// The rules for which a proven point is kept.
    fn fills(&self, at: usize) -> Vec<KeepReason> {
        let mut kept = Vec::new();
        if let Some(place) = self.proven.iter().position(|one| *one == at) {
            let place = u32::try_from(place + 1).unwrap_or(u32::MAX);
            kept.extend((place <= self.policy.last).then_some(KeepReason::Last { place }));
            kept.extend((place <= self.policy.minimum_count).then_some(KeepReason::MinimumCount));
        }
        for (unit, filled) in self.slots {
            let slot = filled.by.iter().find(|(_, by)| **by == at);
            kept.extend(slot.map(|(slot, _)| KeepReason::Slot { unit: *unit, slot: *slot }));
        }
        kept.extend(self.within(at).then_some(KeepReason::Within));
        kept
    }

    /// The rules for which a point that nobody proved stays until it is proven or its place is taken.
    fn awaits(&self, at: usize) -> Vec<KeepReason> {
        let mut kept = Vec::new();
        let newest = self.policy.last.max(self.policy.minimum_count) as usize;
        // The last of the newest proven ones that are kept; before it, this one could be among them.
        let bound = newest.checked_sub(1).map(|last| self.proven.get(last));
        let among = bound.is_some_and(|bound| bound.is_none_or(|bound| at < *bound));
        kept.extend(among.then_some(KeepReason::AwaitsProof { unit: None }));
        for (unit, filled) in self.slots {
            let slot = Slot::of(*unit, self.points[at].snapshot_at, self.policy.zone);
            kept.extend(filled.awaits(slot).then_some(KeepReason::AwaitsProof { unit: Some(*unit) }));
        }
        kept.extend(self.within(at).then_some(KeepReason::Within));
        kept
    }

    /// Whether a point lies in the span that ends at the newest proven one, or now where that is earlier.
    fn within(&self, at: usize) -> bool {
        let (Some(span), Some(newest)) = (self.policy.within, self.proven.first()) else { return false };
        let end = self.points[*newest].snapshot_at.min(self.now);
        span > TimeDelta::zero() && end.signed_duration_since(self.points[at].snapshot_at) <= span
    }

    fn drop(&self, at: usize) -> Vec<DropReason> {
        let point = self.points[at];
        if let Standing::Disproved { at } = point.standing {
            return vec![DropReason::Disproved { at }];
        }
        let superseded = self.slots.iter().filter_map(|(unit, filled)| {
            let slot = Slot::of(*unit, point.snapshot_at, self.policy.zone);
            let by = self.points[*filled.by.get(&slot)?].id.clone();
            Some(DropReason::Superseded { unit: *unit, slot, by })
        });
        let reasons: Vec<DropReason> = superseded.collect();
        if reasons.is_empty() { vec![DropReason::BeyondEveryRule] } else { reasons }
    }
}
