//! Durations, ages and instants, written for people and read from people; with sizes and counts as the core has them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdpoint_operations::retention::PinEnd;

pub(crate) use holdpoint_core::quantity::{bytes, count, counted, milliseconds};

/// Writes how long ago an instant was, in a sentence: `3 h ago`, or `in the future`.
pub(crate) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let age = age(at, now);
    if (now - at).num_seconds() < 0 { age } else { format!("{age} ago") }
}

/// Writes how long ago an instant was: `12 s`, `5 min`, `3 h`, `4 d`.
pub(crate) fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - at).num_seconds();
    match seconds {
        ..0 => "in the future".to_owned(),
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Writes an instant to the second, in UTC: `2026-11-21 02:43:00Z`.
pub(crate) fn instant(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Reads an instant with its time zone, or a duration.
pub(crate) fn parse_end(text: &str) -> Result<PinEnd, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(PinEnd::At(at.with_timezone(&Utc)));
    }
    let wrong =
        |_| format!("\"{text}\" is no end: write an instant such as 2026-12-31T00:00:00Z, or a time such as 30d");
    parse_duration(text).map(PinEnd::After).map_err(wrong)
}

/// Reads the name of a time zone.
pub(crate) fn parse_zone(text: &str) -> Result<chrono_tz::Tz, String> {
    text.parse().map_err(|_| format!("\"{text}\" is no time zone: write UTC, or a name such as Europe/Vienna"))
}

/// Reads a duration: `0`, or numbers each with s, m, h or d, such as `90m` or `1h30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a time: write 90s, 30m, 2h, 1h30m or 7d");
    let read = parse_short_duration(text).map_err(|_| wrong())?;
    if read.subsec_millis() == 0 { Ok(read) } else { Err(wrong()) }
}

/// Reads a duration that may be below a second: as [`parse_duration`], and `100ms`.
pub(crate) fn parse_short_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a time: write 100ms, 5s, 30m, 2h or 1h30m");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let mut milliseconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = UNITS.iter().find(|(unit, _)| rest[digits..].starts_with(unit));
        let (unit, factor) = unit.ok_or_else(wrong)?;
        milliseconds = number.checked_mul(*factor).and_then(|part| milliseconds.checked_add(part)).ok_or_else(wrong)?;
        rest = &rest[digits + unit.len()..];
    }
    // A century: what is longer is a slip, and would overflow dates.
    let is_long = milliseconds > 100 * 366 * 86_400_000;
    if text.is_empty() || is_long { Err(wrong()) } else { Ok(Duration::from_millis(milliseconds)) }
}

/// Reads how often is looked while something is waited for: as [`parse_short_duration`], with a pause in it.
pub(crate) fn parse_pause(text: &str) -> Result<Duration, String> {
    let pause = parse_short_duration(text)?;
    if pause < Duration::from_millis(10) { Err("is at least 10ms".to_owned()) } else { Ok(pause) }
}

/// Reads bytes a second: `0`, or a number with K, M or G, which count by 1024, such as `50M`.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is not a rate: write 500K, 50M or 1G, meaning bytes a second; K is 1024");
    scaled(text).ok_or_else(wrong)
}

/// Reads a number of bytes in the same way.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    scaled(text).ok_or_else(|| format!("\"{text}\" is not a size: write 0, 512K, 64M or 2G; K is 1024"))
}

fn scaled(text: &str) -> Option<u64> {
    let (number, unit) = match text.char_indices().last()? {
        (at, 'K' | 'k') => (&text[..at], 1 << 10),
        (at, 'M' | 'm') => (&text[..at], 1 << 20),
        (at, 'G' | 'g') => (&text[..at], 1 << 30),
        // A number in bytes is mostly a forgotten unit.
        _ if text == "0" => ("0", 1),
        _ => return None,
    };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u64>().ok().filter(|_| digits)?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_or_refused() {
        for (text, rate) in [("0", 0), ("1K", 1024), ("50M", 50 << 20), ("2g", 2 << 30)] {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
        for text in ["", "50", "M", "-1M", "+1M", "1.5M", "50MB", "99999999999999999999G", "18014398509481984K", "1é"]
        {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_or_refused() {
        assert_eq!((parse_bytes("0"), parse_bytes("8M")), (Ok(0), Ok(8 << 20)));
        assert!(parse_bytes("8MB").unwrap_err().contains("not a size"));
    }

    #[test]
    fn ages_round_down() {
        let now: DateTime<Utc> = "2026-11-21T12:00:00Z".parse().unwrap();
        let of = |seconds| age(now - chrono::TimeDelta::seconds(seconds), now);
        assert_eq!([of(0), of(119), of(7199), of(7200), of(172_800)], ["0 s", "119 s", "119 min", "2 h", "2 d"]);
        assert_eq!(of(-1), "in the future");
        let told = |seconds| ago(now - chrono::TimeDelta::seconds(seconds), now);
        assert_eq!([told(119), told(-3600)], ["119 s ago", "in the future"]);
    }

    #[test]
    fn times_are_read_or_refused() {
        for (text, seconds) in [("0", 0), ("90s", 90), ("1h30m", 5400), ("7d", 604_800)] {
            assert_eq!(parse_duration(text).unwrap().as_secs(), seconds, "{text}");
        }
        assert_eq!(parse_short_duration("1s250ms").unwrap().as_millis(), 1250);
        assert_eq!(parse_pause("10ms").unwrap().as_millis(), 10);
        assert!(["0", "0s", "9ms"].iter().all(|text| parse_pause(text).unwrap_err().contains("at least 10ms")));
        assert!(parse_duration("1s250ms").unwrap_err().contains("90s") && parse_short_duration("5").is_err());
        for text in ["", "5", "h", "1x", "-1s", "1.5h", "99999999999999999999s", "9999999999d", "1h 30m", "1é"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
