//! The time left, against what recorded runs of the program really took.
//!
//! `recorded.jsonl` holds one phase of one run a line: `[milliseconds, bytes]` as progress told them, and how long the
//! phase took. Made by the command that its first line names; docs/progress.md says what is promised.

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
/// Shorter phases are over before anybody reads a forecast.
const WORTH_IT: f64 = 3.0;

struct Phase {
    name: String,
    took: f64,
    total: u64,
    points: Vec<(f64, u64)>,
}

fn recorded() -> Vec<Phase> {
    let lines = RECORDED.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
    let seconds = |ms: &Value| ms.as_f64().unwrap() / 1000.0;
    let phase = |line: Value| Phase {
        name: format!("{} {}: {}", line["suite"], line["case"], line["phase"]),
        took: seconds(&line["took_ms"]),
        total: line["total_bytes"].as_u64().unwrap_or(0),
        points: line["points"]
            .as_array()
            .unwrap()
            .iter()
            .map(|point| (seconds(&point[0]), point[1].as_u64().unwrap()))
            .collect(),
    };
    lines.map(phase).filter(|phase| phase.took >= WORTH_IT && phase.total > 0).collect()
}

/// The worst forecast after the promise begins: (how far off, as a multiple of what is allowed; what was said).
fn worst(phase: &Phase) -> (f64, String) {
    let mut forecast = Forecast::default();
    let mut worst = (0.0, String::new());
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
        if off > worst.0 {
            worst = (off, format!("at {at:.1} s: {said:?} s left, really {really:.1} s"));
        }
    }
    worst
}

#[test]
fn the_time_left_is_right_once_a_fifth_is_done() {
    let phases = recorded();
    assert!(phases.len() >= 10, "{} recorded phases are long enough to be judged", phases.len());
    let judged: Vec<(f64, String)> = phases
        .iter()
        .map(|phase| {
            let (off, how) = worst(phase);
            (off, format!("{} ({:.1} s): off by {off:.2} of what is allowed, {how}", phase.name, phase.took))
        })
        .collect();
    let wrong: Vec<&str> = judged.iter().filter(|(off, _)| *off > 1.0).map(|(_, how)| how.as_str()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), judged.len(), wrong.join("\n"));
}

/// A test that could not fail would prove nothing.
#[test]
fn a_wrong_total_would_be_noticed() {
    let phases: Vec<Phase> =
        recorded().into_iter().map(|phase| Phase { total: phase.total * 2, ..phase }).collect();
    let noticed = phases.iter().filter(|phase| worst(phase).0 > 1.0).count();
    assert!(noticed * 2 > phases.len(), "{noticed} of {}", phases.len());
}
