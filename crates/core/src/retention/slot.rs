//! Slots: the spans of the calendar for which one restore point is kept.

use std::fmt;

use chrono::{DateTime, Datelike as _, NaiveDate, Timelike as _, Utc};
use chrono_tz::Tz;
use serde::Serialize;

/// A span of the calendar that a policy can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// An hour of the clock.
    Hourly,
    /// A day.
    Daily,
    /// A week from Monday on, as ISO 8601 counts it.
    Weekly,
    /// A month.
    Monthly,
    /// A year.
    Yearly,
}

impl Unit {
    /// Every unit, the shortest first.
    pub const ALL: [Self; 5] = [Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly];

    /// The unit as the policy names it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }
}

/// One span of the calendar. Slots of one unit order by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// The hour that begins at this instant: where clocks go back, the hour that comes twice is two.
    Hour(DateTime<Utc>),
    /// A day.
    Day(NaiveDate),
    /// The week of this ISO year with this number.
    Week(i32, u32),
    /// The month of this year with this number.
    Month(i32, u32),
    /// A year.
    Year(i32),
}

impl Slot {
    /// The slot in which an instant lies by the calendar of a time zone.
    pub fn of(unit: Unit, instant: DateTime<Utc>, zone: Tz) -> Self {
        let local = instant.with_timezone(&zone);
        match unit {
            Unit::Hourly => {
                let since = i64::from(local.minute() * 60 + local.second());
                let began = instant.timestamp() - since;
                Self::Hour(DateTime::from_timestamp(began, 0).unwrap_or(instant))
            }
            Unit::Daily => Self::Day(local.date_naive()),
            Unit::Weekly => Self::Week(local.iso_week().year(), local.iso_week().week()),
            Unit::Monthly => Self::Month(local.year(), local.month()),
            Unit::Yearly => Self::Year(local.year()),
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hour(began) => write!(f, "{}", began.format("%Y-%m-%dT%H:%MZ")),
            Self::Day(day) => write!(f, "{day}"),
            Self::Week(year, week) => write!(f, "{year}-W{week:02}"),
            Self::Month(year, month) => write!(f, "{year}-{month:02}"),
            Self::Year(year) => write!(f, "{year}"),
        }
    }
}
