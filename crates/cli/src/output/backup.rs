//! `backup` for people.

use holdpoint_operations::backup::{BackupReport, Engine};

use super::table::{bullets, facts};
use crate::quantity::{bytes, counted, instant, milliseconds};

/// Tells who copied the rows, and why not several sessions did.
fn engine(engine: &Engine) -> String {
    match engine {
        Engine::Parallel { sessions } => format!("copied by {sessions} sessions"),
        Engine::PassThrough { reason } => format!("copied by pg_dump alone: {reason}"),
    }
}

/// Tells what was made and what to do next.
pub(crate) fn backup(report: &BackupReport) -> String {
    let manifest = &report.manifest;
    let totals = &manifest.totals;
    let large_objects = (totals.large_objects > 0).then(|| counted(totals.large_objects, "large object"));
    let held = [counted(totals.tables, "table"), counted(totals.rows, "row"), counted(totals.sequences, "sequence")];
    let held = held.into_iter().chain(large_objects).collect::<Vec<_>>().join(", ");
    let size = format!("{} of {} ({})", bytes(manifest.archive.bytes), bytes(totals.data_bytes), manifest.codec);
    let mut text = format!("restore point {}\n", manifest.id);
    text.push_str(&facts([
        (
            "  database",
            Some(format!("{} ({} on {})", manifest.database, manifest.identity.database, manifest.identity.endpoint)),
        ),
        ("  snapshot", Some(instant(manifest.snapshot.at))),
        ("  holds", Some(held)),
        ("  stored", Some(size)),
        ("  took", Some(format!("{}, {}", milliseconds(report.took_ms), engine(&report.engine)))),
    ]));
    text.push_str(&bullets("not covered", &manifest.not_covered));
    text.push_str(&bullets("warnings", &report.warnings));
    text
}
