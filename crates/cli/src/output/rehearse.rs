//! `rehearse` for people.

use std::time::Duration;

use holdpoint_core::rehearsal::{LockEffect, ObjectChange, Rehearsal, RollbackEffect, RowEffect, TableEffect};

use super::table::{bullets, columns, facts, plain};
use super::verify::{proof, reasons};
use crate::commands::RehearseReport;
use crate::quantity::{counted, milliseconds};

/// Tells what the command did on the copy.
pub(crate) fn rehearse(report: &RehearseReport) -> String {
    let Some(rehearsal) = &report.rehearsal else {
        return match &report.verification {
            None => "nothing is pending: nothing was rehearsed\n".to_owned(),
            Some(one) => format!("nothing was rehearsed: the copy is not proved\n{}\n{}", proof(one), reasons(one)),
        };
    };
    let proof = report.verification.as_ref().map(proof);
    format!("{}{}", self::rehearsal(rehearsal), facts([("proof of the copy", proof)]))
}

/// Tells a rehearsal.
pub(crate) fn rehearsal(one: &Rehearsal) -> String {
    let ended = match (one.exit_code, one.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    };
    let mut text = format!("rehearsal on a copy of {}: {}\n", one.point, one.outcome.words());
    text.push_str(&bullets("because", &one.reasons));
    text.push_str(&facts([
        ("  command", Some(format!("{ended} after {}, as {}", milliseconds(one.took_ms), one.role))),
        ("  on", Some(one.measured_on.clone())),
        ("  recorded", recorded(one)),
        ("  apart", Some(isolation(one))),
        ("  locks", Some(sampling(one))),
    ]));
    text.push_str(&tables(&one.tables));
    let object = |object: &holdpoint_core::rehearsal::ObjectEffect| {
        let word = match object.change {
            ObjectChange::Added => "new",
            ObjectChange::Changed => "changed",
            ObjectChange::Gone => "gone",
        };
        format!("{word}: {}", object.name)
    };
    let objects: Vec<String> = one.objects.iter().map(object).collect();
    text.push_str(&bullets("schema objects", &objects));
    text.push_str(&bullets("invalid indexes", &one.invalid_indexes));
    text.push_str(&bullets("sequences that stand elsewhere", &one.sequences));
    let large = one.large_objects.as_ref().map(|rows| vec![row_effect(rows)]);
    text.push_str(&bullets("large objects", &large.unwrap_or_default()));
    text.push_str(&one.rollback.as_ref().map(rollback).unwrap_or_default());
    text.push_str(&bullets("cannot be told", &one.not_told));
    text.push_str(&bullets("warnings", &one.warnings));
    text
}

fn recorded(one: &Rehearsal) -> Option<String> {
    let tracking = &one.tracking;
    let table = tracking.table.as_ref()?;
    let recorded = counted(tracking.recorded.len() as u64, "migration");
    let as_pending = if tracking.exact == Some(true) { ", as pending" } else { ", NOT as pending" };
    Some(format!("{recorded} in {table}{as_pending}"))
}

fn isolation(one: &Rehearsal) -> String {
    let isolation = &one.isolation;
    let network = match (&isolation.why_not, isolation.namespace) {
        (_, true) => "in a network of its own".to_owned(),
        (Some(why), false) => format!("NOT in a network of its own ({why})"),
        (None, false) => "not in a network of its own".to_owned(),
    };
    let rewritten = match isolation.rewritten.len() {
        0 => String::new(),
        _ => format!(", led to the copy by {}", isolation.rewritten.join(", ")),
    };
    let held = isolation.held.as_ref().map(|table| format!(", {table} of production held")).unwrap_or_default();
    format!("{network}{rewritten}{held}")
}

fn sampling(one: &Rehearsal) -> String {
    let sampling = &one.sampling;
    let gap = short(sampling.longest_gap_us);
    let ddl = if sampling.at_ddl { ", and noted at the end of every DDL statement" } else { "" };
    let every = short(sampling.every_us);
    format!("looked for {} times, every {every} and once only after {gap}{ddl}", sampling.samples)
}

/// A time of which milliseconds are too coarse.
fn short(us: u64) -> String {
    if us >= 1_000_000 {
        milliseconds(us / 1000)
    } else {
        format!("{:.1} ms", Duration::from_micros(us).as_secs_f64() * 1e3)
    }
}

fn tables(list: &[TableEffect]) -> String {
    if list.is_empty() {
        return String::new();
    }
    let row = |one: &TableEffect| {
        let rows = match (&one.rows, &one.why) {
            (Some(rows), _) => row_effect(rows),
            (None, Some(why)) => format!("not told: {why}"),
            (None, None) if one.added => one.rows_after.map(|rows| counted(rows, "row")).unwrap_or_default(),
            (None, None) => String::new(),
        };
        let locks: Vec<String> = one.locks.iter().map(lock).collect();
        vec![one.table.clone(), what(one), rows, locks.join("; ")]
    };
    format!("\n{}\n", columns(&["TABLE", "WHAT", "ROWS", "LOCKS"], list.iter().map(row)))
}

fn what(one: &TableEffect) -> String {
    let mut words = Vec::new();
    words.extend(one.added.then(|| "new".to_owned()));
    words.extend(one.dropped.then(|| "DROPPED".to_owned()));
    words.extend(one.renamed_to.as_ref().map(|name| format!("renamed to {name}")));
    words.extend(one.rewritten.then(|| "written anew".to_owned()));
    words.extend((!one.columns_added.is_empty()).then(|| format!("new columns {}", one.columns_added.join(", "))));
    words.extend((!one.columns_gone.is_empty()).then(|| format!("LOST columns {}", one.columns_gone.join(", "))));
    words.join("; ")
}

fn row_effect(rows: &RowEffect) -> String {
    if rows.is_zero() {
        return "unchanged".to_owned();
    }
    let part = |count: u64, word: &str| (count > 0).then(|| format!("{count} {word}"));
    let parts = [part(rows.inserted, "inserted"), part(rows.updated, "updated"), part(rows.deleted, "deleted")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn lock(one: &LockEffect) -> String {
    let held = if one.held_us > 0 { format!(" for {}", short(one.held_us)) } else { String::new() };
    let waited = one.waited_us.map(|us| format!(", waited for {}", short(us))).unwrap_or_default();
    format!("{}{held}{waited}", one.mode)
}

fn rollback(one: &RollbackEffect) -> String {
    let head = match (&one.failure, one.complete) {
        (Some(why), _) => format!("FAILED: {why}"),
        (None, true) => "brings everything back".to_owned(),
        (None, false) if one.ran.is_empty() => "there is none".to_owned(),
        (None, false) => "does not bring everything back".to_owned(),
    };
    let ran = (!one.ran.is_empty()).then(|| format!("{} in {}", one.ran.join(", "), milliseconds(one.took_ms)));
    let mut text = plain(format!("rollback: {head}\n"));
    text.push_str(&facts([("  ran", ran)]));
    text.push_str(&bullets("nothing undoes", &one.missing));
    text.push_str(&bullets("lost by migration and rollback", &one.lost));
    text
}
