//! `list` and `show` for people.

use chrono::{DateTime, Utc};
use holdpoint_core::verification::{Standing, Verdict, Verification};
use holdpoint_core::{Manifest, Recorded, SnapshotManifest};
use holdpoint_operations::catalogue::{ListReport, PointSummary, ShowReport};

use super::table::{bullets, columns, facts};
use crate::quantity::{age, ago, bytes, count, counted, instant, milliseconds};

/// One line a restore point, the oldest first.
pub(crate) fn list(report: &ListReport, now: DateTime<Utc>) -> String {
    if report.points.is_empty() && report.unreadable.is_empty() {
        return format!("no restore points of {} yet: holdpoint backup makes one\n", report.database);
    }
    let headings = ["RESTORE POINT", ">AGE", ">ROWS", ">STORED", "STANDING", "PINS", "REASON"];
    let row = |point: &PointSummary| {
        let remark = [point.label.clone(), point.reason.clone()].into_iter().flatten().collect::<Vec<_>>().join(": ");
        vec![
            point.id.to_string(),
            age(point.snapshot_at, now),
            point.rows.map(count).unwrap_or_default(),
            match &point.snapshot {
                Some(name) => format!("snapshot {name}"),
                None => bytes(point.stored_bytes),
            },
            match point.incomplete.is_empty() {
                true => standing(&point.standing),
                false => format!("{}, INCOMPLETE", standing(&point.standing)),
            },
            pins(&point.pins, &point.over_pins),
            remark,
        ]
    };
    let mut text = columns(&headings, report.points.iter().map(row));
    let mut unreadable: Vec<String> =
        report.unreadable.iter().map(|one| format!("{}: {}", one.id, one.reason)).collect();
    unreadable.extend(report.points.iter().flat_map(|point| &point.unreadable).map(|one| one.reason.clone()));
    unreadable.extend(report.points.iter().flat_map(|point| &point.unreadable_pins).map(|one| one.reason.clone()));
    text.push_str(&bullets("cannot be read", &unreadable));
    let incomplete: Vec<String> = report.points.iter().flat_map(|point| point.incomplete.clone()).collect();
    text.push_str(&bullets("gone, or cut off: holdpoint check", &incomplete));
    text
}

/// Says in a few words what the verifications say together.
pub(super) fn standing(standing: &Standing) -> String {
    match standing {
        Standing::Proven { level, .. } => format!("proven ({level})"),
        Standing::Disproved { .. } => "DISPROVED".to_owned(),
        Standing::Unproven => "unproven".to_owned(),
    }
}

/// Everything about one restore point.
pub(crate) fn show(report: &ShowReport<Recorded>, now: DateTime<Utc>) -> String {
    let mut text = format!("restore point {}: {}\n", report.manifest.id(), standing(&report.standing));
    let recipe = match &report.manifest {
        Recorded::Archive(manifest) => {
            text.push_str(&archive(manifest, &pins(&report.pins, &report.over_pins), now));
            &manifest.recipe
        }
        Recorded::Snapshot(manifest) => {
            text.push_str(&snapshot(manifest, &pins(&report.pins, &report.over_pins), now));
            &manifest.recipe
        }
    };
    if !report.verifications.is_empty() {
        text.push_str("\nverifications:\n");
        text.push_str(&columns(
            &["  AT", "LEVEL", "VERDICT", ">TOOK", "ON", "REMARK"],
            report.verifications.iter().map(verification),
        ));
    }
    let pins = report.unreadable_pins.iter().map(|one| one.reason.clone());
    let unreadable: Vec<String> = report.unreadable.iter().map(|one| one.reason.clone()).chain(pins).collect();
    text.push_str(&bullets("cannot be read", &unreadable));
    text.push_str("\nrestore without holdpoint:\n");
    for line in recipe {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

/// Pins by their names, those that are over as such.
fn pins(holding: &[String], over: &[String]) -> String {
    let over = over.iter().map(|name| format!("{name} (over)"));
    holding.iter().cloned().chain(over).collect::<Vec<_>>().join(", ")
}

/// A snapshot of the instance, which holds all its databases.
fn snapshot(manifest: &SnapshotManifest, pins: &str, now: DateTime<Utc>) -> String {
    let made = &manifest.snapshot;
    let engine = made.engine_version.as_deref().unwrap_or(&manifest.server_version);
    let key = if made.is_encrypted { "encrypted" } else { "not encrypted" };
    let size = made.storage_gib.map(|gib| format!("{gib} GiB of storage, ")).unwrap_or_default();
    facts([
        ("  snapshot", Some(format!("{} of the RDS instance {} in {}", made.name, made.instance, made.region))),
        (
            "  database",
            Some(format!("{} ({} on {})", manifest.database, manifest.identity.database, manifest.identity.endpoint)),
        ),
        ("  asked for", Some(format!("{}, {}", instant(manifest.asked_at), ago(manifest.asked_at, now)))),
        ("  made", made.created_at.map(instant)),
        ("  engine", Some(format!("{} {engine}", made.engine))),
        ("  holds", Some(format!("{size}{key}"))),
        ("  ARN", Some(made.arn.clone())),
        ("  made by", Some(format!("holdpoint {}", manifest.holdpoint_version))),
        ("  reason", manifest.reason.clone()),
        ("  pins", Some(pins.to_owned())),
        ("  restore", Some(format!("holdpoint rds snapshot restore {} --into NAME", made.name))),
    ])
}

fn archive(manifest: &Manifest, pins: &str, now: DateTime<Utc>) -> String {
    let totals = &manifest.totals;
    let server = &manifest.server;
    let wal = manifest.snapshot.wal_position.as_ref().map(|position| format!(" at {position}")).unwrap_or_default();
    let extensions: Vec<String> =
        manifest.extensions.iter().map(|one| format!("{} {}", one.name, one.version)).collect();
    let text = facts([
        (
            "  database",
            Some(format!("{} ({} on {})", manifest.database, manifest.identity.database, manifest.identity.endpoint)),
        ),
        ("  snapshot", Some(format!("{}{wal}, {}", instant(manifest.snapshot.at), ago(manifest.snapshot.at, now)))),
        (
            "  server",
            Some(format!(
                "PostgreSQL {}, {}, {} {}",
                server.version, server.encoding, server.locale_provider, server.collate
            )),
        ),
        ("  made by", Some(format!("{}, holdpoint {}", manifest.client_version, manifest.holdpoint_version))),
        ("  reason", manifest.reason.clone()),
        ("  label", manifest.label.clone()),
        ("  run", manifest.run.as_ref().map(ToString::to_string)),
        (
            "  holds",
            Some(format!(
                "{}, {}, {}, {} ({}), {}",
                counted(totals.tables, "table"),
                counted(totals.rows, "row"),
                counted(totals.sequences, "sequence"),
                counted(totals.large_objects, "large object"),
                bytes(totals.large_object_bytes),
                counted(totals.objects, "schema object")
            )),
        ),
        (
            "  stored",
            Some(format!("{} of {} ({})", bytes(manifest.archive.bytes), bytes(totals.data_bytes), manifest.codec)),
        ),
        ("  archive", Some(manifest.archive.key.clone())),
        ("  extensions", Some(extensions.join(", "))),
        ("  options", Some(manifest.options.join(" "))),
        ("  pins", Some(pins.to_owned())),
        ("  stored in", Some(milliseconds(manifest.timings.stored_for_ms))),
    ]);
    text + &bullets("not covered", &manifest.not_covered)
}

fn verification(one: &Verification) -> Vec<String> {
    let remark = match one.verdict {
        Verdict::Proved => one.notes.first().cloned(),
        Verdict::Disproved => one.differences.first().map(|first| match one.differences.len() {
            1 => first.line(),
            more => format!("{} and {} more", first.line(), more - 1),
        }),
        Verdict::CouldNotRun => one.obstacles.first().map(|first| first.reason.clone()),
    };
    vec![
        format!("  {}", instant(one.started_at)),
        one.level.to_string(),
        one.verdict.to_string(),
        milliseconds(one.took_ms),
        one.measured_on.clone(),
        remark.unwrap_or_default(),
    ]
}
