//! When time alone would drop a restore point.

use chrono::{DateTime, Utc};

use super::{Fate, Held, Hold, RetentionPolicy, plan};
use crate::Error;

/// Tells when the next restore point would be dropped if nothing but time passed: `now` where one would be already,
/// `None` where none ever would.
///
/// Time alone ends only what protects by age: the minimum age, pins, Object Lock, an instant in the future. Whatever else drops one, such as a newer
/// proven restore point, is not foreseen here.
///
/// # Errors
/// Those of [`RetentionPolicy::check`].
pub fn next_drop(
    points: &[Held],
    policy: &RetentionPolicy,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Error> {
    let ages = points.iter().filter_map(|point| point.taken_at().checked_add_signed(policy.minimum_age));
    // What was stamped in the future is none any more then.
    let stamped = points.iter().map(|point| point.snapshot_at);
    let holds = points.iter().flat_map(|point| &point.holds);
    let ends = holds.filter_map(|hold| match hold {
        Hold::Pin { until, .. } | Hold::ObjectLock { until } => *until,
    });
    let mut instants: Vec<DateTime<Utc>> = ages.chain(stamped).chain(ends).filter(|at| *at > now).collect();
    instants.push(now);
    instants.sort_unstable();
    instants.dedup();
    for at in instants {
        if plan(points, policy, at)?.entries.iter().any(|entry| matches!(entry.fate, Fate::Drop(_))) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::PointId;
    use crate::verification::{Level, Standing};

    fn at(hour: u32) -> DateTime<Utc> {
        format!("2026-11-21T{hour:02}:00:00Z").parse().unwrap()
    }

    fn point(hour: u32, holds: Vec<Hold>) -> Held {
        let standing = Standing::Proven { level: Level::Full, at: at(hour) };
        Held {
            kind: crate::PointKind::Archive,
            id: PointId::new(at(hour), u64::from(hour)),
            snapshot_at: at(hour),
            by_store: None,
            standing,
            aside: None,
            holds,
        }
    }

    #[test]
    fn the_next_drop_is_when_age_or_a_pin_ends() {
        let policy = RetentionPolicy { last: 1, minimum_age: TimeDelta::hours(6), ..RetentionPolicy::default() };
        let next = |points: &[Held], now| next_drop(points, &policy, at(now)).unwrap();
        let free = [point(1, vec![]), point(2, vec![])];
        assert_eq!(next(&free, 3), Some(at(7)), "an hour past one, and six hours old then");
        assert_eq!(next(&free, 9), Some(at(9)), "already");
        let pin = |until| vec![Hold::Pin { name: "audit".to_owned(), until }];
        assert_eq!(next(&[point(1, pin(Some(at(12)))), point(2, vec![])], 3), Some(at(12)));
        assert_eq!(next(&[point(1, pin(None)), point(2, vec![])], 3), None, "for ever");
        assert_eq!(next(&[point(1, vec![])], 3), None, "the only one stays");
        assert!(next_drop(&free, &RetentionPolicy::default(), at(3)).is_err(), "no rule");
    }
}
