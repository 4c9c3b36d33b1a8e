//! Where sequences stand: behind where they were, further, or nearly exhausted.

use std::collections::BTreeMap;

use holdpoint_core::quantity::listed;
use holdpoint_postgres::{Row, Session};

use super::LISTED;
use crate::Error;

/// The sequences by their names; one that begins anew at its end may be anywhere, and is not among them.
#[derive(Debug)]
pub(super) struct Sequences(BTreeMap<String, Position>);

/// Where a sequence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    /// The last value that was given out; `None` where none was.
    last: Option<i64>,
    /// Whether it counts down.
    down: bool,
    /// The last value that it may give out, and the first.
    end: i64,
    start: i64,
}

impl Position {
    /// Whether it is behind where it stood before.
    fn is_behind(self, before: Self) -> bool {
        match (before.last, self.last) {
            (Some(_), None) => true,
            (Some(before), Some(now)) if self.down => now > before,
            (Some(before), Some(now)) => now < before,
            (None, _) => false,
        }
    }

    /// Whether less than a tenth of its values is left.
    fn nearly_exhausted(self) -> bool {
        let Some(last) = self.last else { return false };
        let all = i128::from(self.end).abs_diff(i128::from(self.start));
        i128::from(self.end).abs_diff(i128::from(last)) < all / 10
    }
}

impl Sequences {
    /// Reads where every sequence stands that the role may read.
    pub(super) async fn read(session: &Session) -> Result<Self, Error> {
        let sql = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), \
                          pg_catalog.pg_sequence_last_value(c.oid), s.seqincrement < 0, \
                          CASE WHEN s.seqincrement < 0 THEN s.seqmin ELSE s.seqmax END, s.seqstart \
                   FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   WHERE NOT s.seqcycle AND c.relpersistence <> 't' \
                     AND CASE WHEN c.relkind = 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT,USAGE') END";
        let rows = session.query("reading where sequences stand", sql, &[]).await?;
        let one = |row: &Row| Position { last: row.get(1), down: row.get(2), end: row.get(3), start: row.get(4) };
        Ok(Self(rows.iter().map(|row| (row.get(0), one(row))).collect()))
    }

    /// Sequences that came so far meanwhile that less than a tenth of their values is left.
    pub(super) fn exhausted(&self, later: &Self) -> Vec<String> {
        let new = |(name, now): &(&String, &Position)| {
            now.nearly_exhausted() && !self.0.get(*name).is_some_and(|before| before.nearly_exhausted())
        };
        let words = |(name, now): (&String, &Position)| Some(format!("{name} (at {})", now.last?));
        later.0.iter().filter(new).filter_map(words).collect()
    }

    /// Which sequences are further than before, in words: that is never taken back.
    pub(super) fn moved_on(&self, later: &Self) -> Option<String> {
        let further = |(name, now): (&String, &Position)| {
            let before = self.0.get(name)?;
            (before.last != now.last && !now.is_behind(*before)).then_some(format!("{name} (at {})", now.last?))
        };
        let names: Vec<String> = later.0.iter().filter_map(further).collect();
        (!names.is_empty())
            .then(|| format!("sequences that are further, which nothing takes back: {}", listed(&names, LISTED)))
    }

    /// Sequences that are behind where they were, and were not made anew otherwise.
    pub(super) fn set_back(&self, later: &Self) -> Vec<String> {
        let behind = |(name, before): (&String, &Position)| {
            let now = later.0.get(name).filter(|now| now.down == before.down)?;
            now.is_behind(*before).then(|| name.clone())
        };
        self.0.iter().filter_map(behind).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_behind_where_it_would_give_out_numbers_again() {
        let at = |last, down| Position { last, down, end: if down { -100 } else { 1_000 }, start: 0 };
        for (before, now, down, behind) in [
            (Some(100), Some(1), false, true),
            (Some(100), None, false, true),
            (Some(100), Some(100), false, false),
            (Some(100), Some(101), false, false),
            (None, Some(1), false, false),
            (None, None, false, false),
            (Some(-5), Some(-1), true, true),
            (Some(-5), Some(-9), true, false),
        ] {
            assert_eq!(at(now, down).is_behind(at(before, down)), behind, "{before:?} {now:?} {down}");
        }
    }

    #[test]
    fn a_sequence_is_nearly_exhausted_with_less_than_a_tenth_left() {
        let at = |last, end, start| Position { last, down: end < start, end, start }.nearly_exhausted();
        assert!(at(Some(i64::MAX), i64::MAX, 1) && at(Some(95), 100, 1) && at(Some(-95), -100, -1));
        assert!(!at(Some(85), 100, 1) && !at(None, 100, 1) && !at(Some(1_000_000), i64::MAX, 1));
        assert!(at(Some(i64::MIN), i64::MIN, i64::MAX) && !at(Some(0), i64::MIN, i64::MAX));
    }
}
