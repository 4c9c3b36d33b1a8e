//! The plan: what becomes of each restore point, and why.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Aside, DropReason, Entry, Fate, Held, KeepReason, RetentionPlan, RetentionPolicy, Slot, Unit};
use crate::verification::{Level, Standing};
use crate::{Error, PointKind};

/// Decides about every restore point of one database. Each kind of restore point is planned for by itself: a snapshot of an
/// instance fills no slot of the archives, and an archive none of the snapshots.
///
/// The order of `points` does not matter. What is dropped by a policy is dropped by every policy that asks for less, and
/// a plan over what a plan kept drops nothing. What is set aside, or has a doubtful clock, changes the fate of no other.
///
/// # Errors
/// Those of [`RetentionPolicy::check`].
pub fn plan(points: &[Held], policy: &RetentionPolicy, now: DateTime<Utc>) -> Result<RetentionPlan, Error> {
    policy.check()?;
    let mut entries: Vec<Entry> = Vec::with_capacity(points.len());
    for kind in [PointKind::Archive, PointKind::RdsSnapshot] {
        entries.extend(of_one_kind(points.iter().filter(|one| one.kind == kind).collect(), policy, now));
    }
    entries.sort_by(|a, b| (b.snapshot_at, &b.id).cmp(&(a.snapshot_at, &a.id)));
    Ok(RetentionPlan { entries })
}

fn of_one_kind(mut points: Vec<&Held>, policy: &RetentionPolicy, now: DateTime<Utc>) -> Vec<Entry> {
    points.sort_by(|a, b| (b.snapshot_at, &b.id).cmp(&(a.snapshot_at, &a.id)));
    let all = 0..points.len();
    let proven: Vec<usize> =
        all.clone().filter(|at| points[*at].counts(now) && points[*at].level().is_some()).collect();
    let newest = [all.clone().find(|at| !points[*at].is_doubtful(now)), all.clone().find(|at| points[*at].counts(now))];
    let slots = Unit::ALL.map(|unit| (unit, Filled::new(unit, policy, &points, &proven)));
    let rules = Rules { policy, now, points: &points, newest, proven: &proven, slots: &slots };
    let entry = |at: usize| {
        let kept = rules.keep(at);
        let fate = if kept.is_empty() { Fate::Drop(rules.drop(at)) } else { Fate::Keep(kept) };
        let Held { id, kind, snapshot_at, standing, aside, .. } = points[at];
        let (kind, snapshot_at, standing) = (*kind, *snapshot_at, *standing);
        Entry { id: id.clone(), kind, snapshot_at, standing, aside: aside.clone(), fate }
    };
    all.map(entry).collect()
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
    /// Places of the newest of all, and of the newest that counts.
    newest: [Option<usize>; 2],
    /// Places of those that fill slots, the newest first.
    proven: &'a [usize],
    slots: &'a [(Unit, Filled)],
}

impl Rules<'_> {
    fn keep(&self, at: usize) -> Vec<KeepReason> {
        let point = self.points[at];
        let mut kept = Vec::new();
        kept.extend(self.newest.contains(&Some(at)).then_some(KeepReason::Newest));
        kept.extend(self.newest_proven(at).map(|level| KeepReason::NewestProven { level }));
        kept.extend(self.proven.is_empty().then_some(KeepReason::NothingProven));
        let holds = point.holds.iter().filter(|hold| hold.holds(self.now));
        kept.extend(holds.map(|hold| KeepReason::Held { hold: hold.clone() }));
        if point.is_doubtful(self.now) {
            kept.push(KeepReason::ClockDoubted { by_store: point.by_store });
            return kept;
        }
        let age = self.now.signed_duration_since(point.taken_at());
        kept.extend((age < self.policy.minimum_age).then_some(KeepReason::Young));
        kept.extend((point.aside == Some(Aside::Incomplete)).then_some(KeepReason::Incomplete));
        kept.extend((point.aside == Some(Aside::AnotherDatabase)).then_some(KeepReason::OfAnotherDatabase));
        match point.standing {
            Standing::Disproved { .. } => {}
            _ if point.aside.is_some() => kept.extend(self.of_its_kind(at)),
            Standing::Unproven => kept.extend(self.awaits(at)),
            Standing::Proven { .. } => kept.extend(self.fills(at)),
        }
        kept
    }

    /// How far a point is proven, where no newer one is proven as far.
    fn newest_proven(&self, at: usize) -> Option<Level> {
        let level = self.points[at].level();
        let mut newer = self.proven.iter().take_while(|one| **one < at);
        (self.proven.contains(&at) && newer.all(|one| self.points[*one].level() < level)).then_some(level).flatten()
    }

    /// The rules for which a point that is set aside is kept: its place among those of its kind, and the span.
    fn of_its_kind(&self, at: usize) -> Vec<KeepReason> {
        let point = self.points[at];
        let takes_a_place = |one: &&&Held| {
            let disproved = matches!(one.standing, Standing::Disproved { .. });
            // What nobody proved takes no place from what is proven.
            let good_enough = one.level().is_some() || point.level().is_none();
            one.is_like(point) && !disproved && good_enough && !one.is_doubtful(self.now)
        };
        let newer = self.points[..at].iter().filter(takes_a_place);
        let place = u32::try_from(newer.count() + 1).unwrap_or(u32::MAX);
        let among = place <= self.policy.minimum_count.max(1);
        let own = among.then_some(KeepReason::NewestOfItsKind { place });
        own.into_iter().chain(self.within(at).then_some(KeepReason::Within)).collect()
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
        if point.aside.is_some() {
            return vec![DropReason::BeyondItsKind];
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
