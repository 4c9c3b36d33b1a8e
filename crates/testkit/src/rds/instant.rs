//! Instants as the service writes them: UTC, whole seconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::signature::timestamp;

/// Seconds since 1970, UTC.
pub(super) type Seconds = i64;

/// Returns the current second.
pub(super) fn now() -> Seconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Seconds::try_from(since.as_secs()).expect("a time of this age")
}

/// Writes `2026-11-21T03:17:47Z`.
pub(super) fn written(seconds: Seconds) -> String {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    // `20261121T031747Z`
    let plain = timestamp(UNIX_EPOCH + since);
    let part = |from, to| plain.get(from..to).unwrap_or_default();
    format!("{}-{}-{}:{}:{}", part(0, 4), part(4, 6), part(6, 11), part(11, 13), part(13, 16))
}

/// Reads `2026-11-21T03:17:47Z`; a fraction is cut off, as the service works in seconds. Other zones are none.
pub(super) fn read(text: &str) -> Option<Seconds> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    let numbers = |text: &str, sign| text.split(sign).map(|part| part.parse().ok()).collect::<Option<Vec<i64>>>();
    let [year, month, day] = numbers(date, '-')?.try_into().ok()?;
    let [hour, minute, second] = numbers(time, ':')?.try_into().ok()?;
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    // Howard Hinnant's `days_from_civil`, years beginning in March.
    let year = year - i64::from(month <= 2);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let year_of_era = year.rem_euclid(400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * shifted + 2) / 5 + day - 1;
    let days = year.div_euclid(400) * 146_097 + day_of_era - 719_468;
    valid.then_some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_the_same_second() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_231_067, "2026-11-21T03:17:47Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
        ] {
            assert_eq!((written(seconds).as_str(), read(text)), (text, Some(seconds)));
        }
        assert_eq!(read("2026-11-21T03:17:47.920866Z"), Some(1_795_231_067));
        for wrong in ["2026-11-21T03:17:47", "2026-11-21T03:17:47+01:00", "2026-13-21T03:17:47Z", "now"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
