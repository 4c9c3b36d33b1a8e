//! What a person asks of retention.

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::Unit;
use crate::Error;

/// How much is kept. Every rule keeps; what none keeps may be dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// How many of the newest proven points.
    pub last: u32,
    /// For how many hours, the newest proven point of each.
    pub hourly: u32,
    /// For how many days.
    pub daily: u32,
    /// For how many weeks.
    pub weekly: u32,
    /// For how many months.
    pub monthly: u32,
    /// For how many years.
    pub yearly: u32,
    /// Everything that is at most this much older than the newest proven point.
    pub within: Option<TimeDelta>,
    /// As [`Self::last`], but no rule by itself: a floor below which nothing goes.
    pub minimum_count: u32,
    /// Nothing younger is dropped, by the clock of whoever asks.
    pub minimum_age: TimeDelta,
    /// Whose calendar cuts days, weeks, months and years.
    pub zone: Tz,
}

impl Default for RetentionPolicy {
    /// No rule at all: [`Self::check`] refuses it. A floor of one point and an age of a day.
    fn default() -> Self {
        Self {
            last: 0,
            hourly: 0,
            daily: 0,
            weekly: 0,
            monthly: 0,
            yearly: 0,
            within: None,
            minimum_count: 1,
            minimum_age: TimeDelta::days(1),
            zone: Tz::UTC,
        }
    }
}

impl RetentionPolicy {
    /// How many slots of a unit are kept.
    pub fn slots(&self, unit: Unit) -> u32 {
        match unit {
            Unit::Hourly => self.hourly,
            Unit::Daily => self.daily,
            Unit::Weekly => self.weekly,
            Unit::Monthly => self.monthly,
            Unit::Yearly => self.yearly,
        }
    }

    /// Refuses a policy that keeps nothing by a rule of its own, and spans below zero.
    ///
    /// # Errors
    /// [`Error::EmptyRetention`], [`Error::NegativeRetention`].
    pub fn check(&self) -> Result<(), Error> {
        for (name, span) in [("within", self.within), ("minimum age", Some(self.minimum_age))] {
            if span.is_some_and(|span| span < TimeDelta::zero()) {
                return Err(Error::NegativeRetention { what: name });
            }
        }
        let slots = Unit::ALL.iter().any(|unit| self.slots(*unit) > 0);
        let within = self.within.is_some_and(|span| span > TimeDelta::zero());
        if self.last > 0 || slots || within { Ok(()) } else { Err(Error::EmptyRetention) }
    }
}
