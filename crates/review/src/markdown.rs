//! The review as text for a pull request.
//!
//! It names files, lines, objects and numbers; no text of a statement and no value of a row.

use std::fmt::Write as _;

use holdpoint_core::gate::Policy;

use crate::markdown_text::{code, escaped};
use crate::{Assessment, Finding, Requirement, ResolvedReview, Review, Rewrite, TableAtRisk, Through};

/// Longer lists are cut, and say so.
const LONGEST_LIST: usize = 50;

/// Writes a review that knows no catalog.
#[must_use]
pub fn markdown(review: &Review, assessment: &Assessment) -> String {
    let mut text = head(assessment);
    findings(&mut text, review);
    if review.everything_at_risk() {
        text.push_str("\n**Everything is at risk:** something could not be reviewed.\n");
    }
    advice(&mut text, review);
    text
}

/// Writes a review that knows the catalog: with tables at risk and their sizes.
#[must_use]
pub fn markdown_resolved(resolved: &ResolvedReview, assessment: &Assessment) -> String {
    let mut text = head(assessment);
    findings(&mut text, &resolved.review);
    if resolved.everything_at_risk {
        text.push_str("\n**Everything is at risk:** something could not be reviewed.\n");
    }
    tables(&mut text, &resolved.tables);
    if !resolved.unresolved.is_empty() {
        let names: Vec<String> = resolved.unresolved.iter().map(|name| code(&name.to_string())).collect();
        writeln!(text, "\nNot in the catalog: {}.", names.join(", ")).ok();
    }
    advice(&mut text, &resolved.review);
    text
}

fn head(assessment: &Assessment) -> String {
    let asked = match assessment.requirement {
        Requirement::Nothing => "nothing is asked for".to_owned(),
        Requirement::Warn => "to be looked at".to_owned(),
        Requirement::ProvenRestorePoint(Policy { level, max_age_seconds: ..=0 }) => {
            format!("a restore point made for this run and proven ({level}) is required")
        }
        Requirement::ProvenRestorePoint(Policy { level, max_age_seconds }) => {
            format!("a restore point proven ({level}) and not older than {} is required", age(max_age_seconds))
        }
        Requirement::Refuse => "refused without a waiver".to_owned(),
    };
    let mut text = format!("### Migration review: {asked}\n");
    for risk in assessment.risks.iter().filter(|risk| risk.waived.is_some()) {
        let reason = risk.waived.as_deref().unwrap_or_default();
        writeln!(text, "\nWaived: {} in {} ({})", risk.class.word(), place(&risk.file, risk.line), escaped(reason))
            .ok();
    }
    text
}

/// A line of a file: a file's name mentions nobody and links nowhere.
fn place(file: &str, line: impl std::fmt::Display) -> String {
    code(&format!("{file}:{line}"))
}

fn age(seconds: i64) -> String {
    match seconds {
        _ if seconds % 86_400 == 0 => format!("{} d", seconds / 86_400),
        _ if seconds % 3_600 == 0 => format!("{} h", seconds / 3_600),
        _ => format!("{seconds} s"),
    }
}

fn findings(text: &mut String, review: &Review) {
    text.push_str("\n| where | what | risks | locks | way back |\n|---|---|---|---|---|\n");
    let (mut shown, mut left) = (0, 0);
    for (file, finding) in review.findings() {
        if finding.risks() == [crate::RiskClass::Additive] {
            continue;
        }
        if shown == LONGEST_LIST {
            left += 1;
            continue;
        }
        shown += 1;
        let risks: Vec<&str> = finding.risks().iter().map(|risk| risk.word()).collect();
        let locks: Vec<String> = finding
            .locks
            .iter()
            .filter(|lock| lock.mode.blocks_writes())
            .map(|lock| format!("{} on {}", lock.mode, code(&lock.table.to_string())))
            .collect();
        writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            place(file, finding.line),
            what(finding),
            risks.join(", "),
            locks.join("<br>"),
            finding.way_back.words()
        )
        .ok();
    }
    if shown == 0 {
        text.push_str("| - | only adds | - | - | - |\n");
    }
    if left > 0 {
        writeln!(text, "\nand {left} more.").ok();
    }
}

fn what(finding: &Finding) -> String {
    let mut words = finding.kind.label().to_owned();
    if let Some(target) = &finding.target {
        let column = target.column.as_ref().map(|column| format!(".{}", crate::name::quoted(column)));
        write!(words, " {}", code(&format!("{}{}", target.name, column.unwrap_or_default()))).ok();
    }
    if let Some(why) = &finding.unreviewable {
        write!(words, ": {}", escaped(&why.to_string())).ok();
    }
    if finding.rewrite == Rewrite::Yes {
        words.push_str(", rewrites the table");
    } else if matches!(finding.rewrite, Rewrite::ByType { .. } | Rewrite::ByCatalog) {
        words.push_str(", may rewrite the table");
    }
    if !finding.transactional {
        words.push_str(", not in a transaction");
    }
    words
}

fn tables(text: &mut String, tables: &[TableAtRisk]) {
    if tables.is_empty() {
        text.push_str("\nNo table is at risk.\n");
        return;
    }
    text.push_str("\n| table at risk | loses | size | rows | through |\n|---|---|---|---|---|\n");
    for table in tables.iter().take(LONGEST_LIST) {
        let columns: Vec<String> = table.columns.iter().map(|column| code(column)).collect();
        let loses = match (table.loss.words(), columns.is_empty()) {
            (loss, true) => loss.to_owned(),
            (loss, false) => format!("{loss}: {}", columns.join(", ")),
        };
        let size = table.bytes.map_or_else(|| "unknown".to_owned(), bytes);
        let rows = table.rows.map_or_else(|| "unknown".to_owned(), |rows| format!("about {rows}"));
        writeln!(text, "| {} | {loses} | {size} | {rows} | {} |", code(&table.table.to_string()), through(table)).ok();
    }
    if tables.len() > LONGEST_LIST {
        writeln!(text, "\nand {} more.", tables.len() - LONGEST_LIST).ok();
    }
}

fn through(table: &TableAtRisk) -> String {
    match &table.through {
        None => "named".to_owned(),
        Some(Through::ForeignKey(name)) => format!("foreign key {}", code(name)),
        Some(Through::Parent(name)) => format!("part of {}", code(&name.to_string())),
        Some(Through::View(name)) => format!("view {}", code(&name.to_string())),
        Some(Through::DependsOn(name)) => format!("depends on {}", code(&name.to_string())),
        Some(Through::Trigger(name)) => format!("trigger {}", code(&name.to_string())),
        Some(Through::Schema(name)) => format!("schema {}", code(name)),
        Some(Through::Owner(name)) => format!("owned by {}", code(name)),
        Some(Through::Column(name)) => format!("column of {}", code(&name.to_string())),
    }
}

fn advice(text: &mut String, review: &Review) {
    let all: Vec<_> =
        review.files.iter().flat_map(|file| file.advice.iter().map(move |one| (&file.file, one))).collect();
    if all.is_empty() {
        return;
    }
    text.push_str("\n<details><summary>Advice (decides nothing)</summary>\n\n");
    for (file, one) in all.iter().take(LONGEST_LIST) {
        writeln!(text, "- {} {}: {}", place(file, one.line), code(&one.rule), escaped(&one.message)).ok();
    }
    if all.len() > LONGEST_LIST {
        writeln!(text, "- and {} more", all.len() - LONGEST_LIST).ok();
    }
    text.push_str("\n</details>\n");
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn bytes(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_their_unit() {
        assert_eq!(bytes(1536), "1.5 KiB");
    }
}
