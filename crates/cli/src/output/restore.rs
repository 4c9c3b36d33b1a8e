//! `restore` for people.

use holdpoint_core::fingerprint::Difference;
use holdpoint_operations::restore::RestoreReport;

use super::table::{bullets, facts};
use crate::quantity::{bytes, counted, milliseconds};

/// Tells what was restored where, and whether it matched.
pub(crate) fn restore(report: &RestoreReport) -> String {
    let matched = report.compared.as_ref().map(|compared| {
        let counts = format!(
            "{}, {}, {}, {}, {}",
            counted(compared.tables, "table"),
            counted(compared.rows, "row"),
            counted(compared.sequences, "sequence"),
            counted(compared.large_objects, "large object"),
            counted(compared.objects, "schema object")
        );
        if report.differences.is_empty() { counts } else { format!("{counts}; NOT EQUAL") }
    });
    let nothing_to_match = || "nothing: the dump carries no fingerprint".to_owned();
    let mut text = if report.dry_run { "this would be restored:\n" } else { "restored\n" }.to_owned();
    text.push_str(&facts([
        ("  from", Some(report.from.clone())),
        ("  into", Some(report.into.clone())),
        ("  read", (!report.dry_run).then(|| bytes(report.read_bytes))),
        ("  matched", (!report.dry_run).then(|| matched.unwrap_or_else(nothing_to_match))),
        ("  kept as", report.kept_as.clone()),
        ("  took", (!report.dry_run).then(|| milliseconds(report.took_ms))),
    ]));
    text.push_str(&differences(&report.differences));
    text.push_str(&bullets("warnings", &report.warnings));
    text
}

/// Lists what differs; a screen full says enough, `--json` has everything.
pub(super) fn differences(all: &[Difference]) -> String {
    const SHOWN: usize = 40;
    let mut lines: Vec<String> = all.iter().take(SHOWN).map(Difference::line).collect();
    if all.len() > SHOWN {
        lines.push(format!("and {} more: see --json", all.len() - SHOWN));
    }
    bullets("differences", &lines)
}
