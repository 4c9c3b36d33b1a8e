//! Ids that sort by time and can be read aloud: `20261121T024300Z-k3f9`. The first letter of the tail is the thirty-second
//! of the second, so that two of one second sort in their order; the others are drawn.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::Error;

const TIME_FORM: &str = "%Y%m%dT%H%M%SZ";
/// Digits without i, l, o and u, so that nothing is misread or offensive by accident.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A clock that went back by more is wrong, and no id is made for a time that is not.
const MOMENT: TimeDelta = TimeDelta::seconds(30);

fn form(at: DateTime<Utc>, seed: u64) -> String {
    let mut text = at.format(TIME_FORM).to_string();
    text.push('-');
    let part = u64::from(at.timestamp_subsec_micros().min(999_999)) * 32 / 1_000_000;
    for number in [part, seed, seed >> 5, seed >> 10] {
        text.push(char::from(LETTERS[(number & 31) as usize]));
    }
    text
}

fn check(text: &str) -> Result<DateTime<Utc>, Error> {
    let invalid = || Error::InvalidId(text.to_owned());
    let (time, tail) = text.split_once('-').ok_or_else(invalid)?;
    if time.len() != 16 || tail.len() != 4 || !tail.bytes().all(|byte| LETTERS.contains(&byte)) {
        return Err(invalid());
    }
    let at = NaiveDateTime::parse_from_str(time, TIME_FORM).map_err(|_| invalid())?;
    Ok(at.and_utc())
}

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Makes the id of the instant `at`, to a thirty-second of a second, with a tail drawn from 15 bits of `seed`.
            pub fn new(at: DateTime<Utc>, seed: u64) -> Self {
                Self(form(at, seed))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The instant that the id carries, in whole seconds.
            pub fn at(&self) -> DateTime<Utc> {
                check(&self.0).unwrap_or(DateTime::UNIX_EPOCH)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                check(text).map(|_| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

id! {
    /// Names a restore point; its time is the source server's at the snapshot.
    PointId
}
id! {
    /// Names a guarded run; its time is the source server's when the run began.
    RunId
}

impl RunId {
    /// Makes the id of a run that begins at `at` after `newest`: it sorts after that one, although both may have begun
    /// in one second, or the clock went back by a moment.
    pub fn after(newest: Option<&Self>, at: DateTime<Utc>, seed: u64) -> Self {
        let own = Self::new(at, seed);
        match newest {
            Some(newest) if *newest >= own && newest.at() - at < MOMENT => {
                Self::new(newest.at() + TimeDelta::seconds(1), seed)
            }
            _ => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_by_time_and_reads_back() {
        let early = PointId::new("2026-11-21T02:43:00Z".parse().unwrap(), 0xfffff);
        let late = PointId::new("2026-11-21T02:43:01Z".parse().unwrap(), 0);
        assert!(early < late);
        assert_eq!(early.as_str(), "20261121T024300Z-0zzz");
        assert_eq!(early.as_str().parse::<PointId>().unwrap(), early);
        assert_eq!(late.at().to_rfc3339(), "2026-11-21T02:43:01+00:00");
    }

    #[test]
    fn two_of_one_second_sort_in_their_order() {
        let at = |text: &str, seed| PointId::new(text.parse().unwrap(), seed);
        let parts = ["02:43:00.000", "02:43:00.032", "02:43:00.5", "02:43:00.999999", "02:43:01"];
        let ids = parts.map(|time| at(&format!("2026-11-21T{time}Z"), 0x7fff - u64::from(time.as_bytes()[7])));
        assert!(ids.is_sorted() && ids[0] < ids[1], "{ids:?}");
        assert_eq!(at("2026-11-21T02:43:00.999999Z", 0).as_str(), "20261121T024300Z-z000");
        let leap = DateTime::from_timestamp(1_483_228_799, 1_500_000_000).unwrap();
        assert!(PointId::new(leap, 0).as_str().ends_with("-z000"), "a leap second");
    }

    #[test]
    fn runs_of_one_second_sort_in_their_order() {
        let at: DateTime<Utc> = "2026-11-21T02:43:00Z".parse().unwrap();
        let first = RunId::after(None, at, 0xfffff);
        let second = RunId::after(Some(&first), at, 0);
        let third = RunId::after(Some(&second), at, 0);
        assert!(first < second && second < third, "{first} {second} {third}");
        assert_eq!(RunId::after(Some(&first), at + TimeDelta::seconds(1), 7).at(), at + TimeDelta::seconds(1));
        let far = RunId::new(at + TimeDelta::hours(1), 0);
        assert_eq!(RunId::after(Some(&far), at, 0).at(), at, "no clock is followed that was an hour fast");
    }

    #[test]
    fn refuses_what_is_not_an_id() {
        for text in ["", "latest", "20261121T024300Z", "20261121T024300Z-K3F9", "20261321T024300Z-k3f9", "../x-abcd"] {
            assert!(text.parse::<PointId>().is_err(), "{text}");
        }
    }
}
