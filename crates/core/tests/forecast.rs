//! The time left, against what recorded runs of the program really took.
//!
//! `recorded.jsonl` is what `scripts/bench --record` wrote: the command and whether the machine was quiet, then one
//! phase of one run a line, as `[milliseconds, bytes]` and how long the phase took. On a quiet machine nine forecasts of
//! ten must keep what docs/progress.md promises, and hardly any may be off by more than twice that: a table of narrow rows
//! among wide ones is a surprise in a phase of five seconds. While others are at work no forecast can know when they
//! stop, so of a record made then most must come close.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that fails")]

use std::time::Duration;

use holdpoint_core::forecast::Forecast;
use serde_json::Value;

const RECORDED: &str = include_str!("recorded.jsonl");
/// From here on the time left is promised to be right.
const PROMISED_FROM: f64 = 0.20;
/// How far it may be off, as a share of the time that was really left.
const OFF_BY: f64 = 0.25;
/// Near the end a share of almost nothing means nothing: so much of the whole phase is always allowed.
const ALWAYS: f64 = 0.05;
/// Shorter phases are over before anybody reads a forecast, in seconds.
const WORTH_IT: f64 = 3.0;
/// Of a record of a quiet machine: so many forecasts are right, and so many off by at most twice as much.
const OF_QUIET: (f64, f64) = (0.9, 0.98);
/// Of a record that was made while others were at work: so many forecasts are off by at most twice as much.
const OF_LOADED: f64 = 0.75;

struct Phase {
    name: String,
    took: f64,
    total: u64,
    points: Vec<(f64, u64)>,
}

fn recorded() -> (bool, Vec<Phase>) {
    let mut lines = RECORDED.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let quiet = lines.next().unwrap()["quiet"].as_bool().unwrap();
    let seconds = |ms: &Value| ms.as_f64().unwrap() / 1000.0;
    let point = |point: &Value| (seconds(&point[0]), point[1].as_u64().unwrap());
    let phase = |line: Value| Phase {
        name: format!("{} {}: {}", line["suite"], line["case"], line["phase"]),
        took: seconds(&line["took_ms"]),
        total: line["total_bytes"].as_u64().unwrap_or(0),
        points: line["points"].as_array().unwrap().iter().map(point).collect(),
    };
    (quiet, lines.map(phase).filter(|phase| phase.took >= WORTH_IT && phase.total > 0).collect())
}

/// Every forecast after the promise begins: how far off, as a multiple of what is allowed, and what was said.
fn judged(phase: &Phase) -> Vec<(f64, String)> {
    let mut forecast = Forecast::default();
    let mut judged = Vec::new();
    for (at, moved) in &phase.points {
        let now = Duration::from_secs_f64(*at);
        forecast.observe(now, *moved);
        if (*moved as f64) < PROMISED_FROM * phase.total as f64 || *at >= phase.took {
            continue;
        }
        let really = phase.took - at;
        let said = forecast.remaining(now, *moved, phase.total).map(|left| left.as_secs_f64());
        let allowed = (OFF_BY * really).max(ALWAYS * phase.took);
        let off = said.map_or(f64::INFINITY, |said| (said - really).abs() / allowed);
        judged.push((off, format!("{} at {at:.1} s: {said:?} s left, really {really:.1} s: {off:.2}", phase.name)));
    }
    judged
}

/// The forecasts that break the promise, and whether the record as a whole does.
fn broken(quiet: bool, phases: &[Phase]) -> (Vec<String>, bool) {
    let all: Vec<(f64, String)> = phases.iter().flat_map(judged).collect();
    let share = |most: f64| all.iter().filter(|(off, _)| *off <= most).count() as f64 / all.len() as f64;
    let (right, close) = (share(1.0), share(2.0));
    let wrong: Vec<String> = all.into_iter().filter(|(off, _)| *off > 1.0).map(|(_, how)| how).collect();
    let fails = if quiet { right < OF_QUIET.0 || close < OF_QUIET.1 } else { close < OF_LOADED };
    (wrong, fails)
}

#[test]
fn the_time_left_is_right_once_a_fifth_is_done() {
    let (quiet, phases) = recorded();
    for phase in ["copying-data", "loading-rows", "comparing"] {
        let count = phases.iter().filter(|one| one.name.contains(phase)).count();
        assert!(count >= 2, "{count} recorded phases {phase} are long enough to be judged");
    }
    let (wrong, fails) = broken(quiet, &phases);
    assert!(!fails, "quiet machine: {quiet}; {} forecasts were wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// A test that could not fail would prove nothing.
#[test]
fn a_total_in_another_unit_would_be_noticed() {
    let (quiet, phases) = recorded();
    let halved: Vec<Phase> = phases.into_iter().map(|phase| Phase { total: phase.total * 2, ..phase }).collect();
    assert!(broken(quiet, &halved).1);
}
