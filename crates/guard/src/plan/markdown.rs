//! A plan as text for a pull request: names, lines and numbers, no text of a statement and no value of a row.

use std::fmt::Write as _;

use holdpoint_review::markdown_text::{code, escaped};

use super::{KnownFrom, PlanReport, Verdict};
use crate::tools::{Migration, Rollback, Severity, Transactions};

/// Longer lists are cut, and say so.
const LONGEST_LIST: usize = 50;

/// Writes a plan as Markdown.
#[must_use]
pub fn markdown(report: &PlanReport) -> String {
    let mut text = format!("## Migration plan: {}\n\n{}\n", report.verdict.words(), head(report));
    pending(&mut text, report);
    findings(&mut text, report);
    for waiver in &report.unused_waivers {
        writeln!(text, "\nThe waiver for {} fits nothing.", waiver.rule.word()).ok();
    }
    if report.has_sql() {
        text.push('\n');
        text.push_str(&match report.known.catalog {
            true => holdpoint_review::markdown_resolved(&report.review, &report.assessment),
            false => holdpoint_review::markdown(&report.review.review, &report.assessment),
        });
    }
    if report.has_sql() {
        notes(&mut text, report);
        undoing(&mut text, report);
        unknown(&mut text, report);
    }
    text
}

impl Verdict {
    /// What it means, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::NothingPending => "nothing is pending",
            Self::Free => "nothing is asked for",
            Self::Look => "to be looked at",
            Self::RestorePoint => "an older proven restore point does",
            Self::NewRestorePoint => "a new proven restore point is needed",
            Self::Refused => "refused without a waiver",
            Self::Stopped => "no run can begin",
        }
    }
}

impl Transactions {
    /// What it means, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Batch => "all in one transaction",
            Self::Each => "each in a transaction of its own",
            Self::None => "without a transaction",
            Self::Unknown => "in transactions that are not known",
        }
    }
}

impl Rollback {
    /// What undoes the migration, in words; paths as they are.
    pub fn words(&self) -> String {
        match self {
            Self::Script { path, .. } => path.clone(),
            Self::SameFile => "its own part for the way down".to_owned(),
            Self::Program => "a program, perhaps".to_owned(),
            Self::Ambiguous { paths } => format!("not clear: {}", paths.join(", ")),
            Self::Missing => "nothing".to_owned(),
        }
    }
}

fn head(report: &PlanReport) -> String {
    let count = report.pending.len();
    let of = format!("{} pending, {} applied", count, report.applied);
    let how = if count > 0 { format!(", {}", report.transactions.words()) } else { String::new() };
    let known = &report.known;
    let database = known.database.as_deref().map(code).unwrap_or_default();
    let at = known.read_at.map(|at| at.format("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default();
    let from = match known.from {
        KnownFrom::Database => format!("Database {database}, read {at}."),
        KnownFrom::Export => format!("Database {database}, exported {at}."),
        KnownFrom::Files => "No database was asked.".to_owned(),
    };
    format!("{} in {}: {of}{how}. {from}", report.tool, code(&report.migrations))
}

fn pending(text: &mut String, report: &PlanReport) {
    if report.pending.is_empty() {
        return;
    }
    text.push_str("\n| pending | the tool runs it | undone by |\n|---|---|---|\n");
    for one in report.pending.iter().take(LONGEST_LIST) {
        let runs = if report.runs.contains(&one.name) { "yes" } else { "**no**" };
        writeln!(text, "| {} | {runs} | {} |", code(&one.name), undone_by(one)).ok();
    }
    if report.pending.len() > LONGEST_LIST {
        writeln!(text, "\nand {} more.", report.pending.len() - LONGEST_LIST).ok();
    }
}

fn undone_by(migration: &Migration) -> String {
    match &migration.rollback {
        Rollback::Script { path, .. } => code(path),
        other => escaped(&other.words()),
    }
}

fn findings(text: &mut String, report: &PlanReport) {
    // Each pending migration's line says already what undoes it.
    let told: Vec<_> = report.findings.iter().filter(|one| one.severity > Severity::Note).collect();
    if told.is_empty() {
        return;
    }
    text.push_str("\n| | files and tracking table | what to do |\n|---|---|---|\n");
    for one in told.iter().take(LONGEST_LIST) {
        let severity = if one.severity == Severity::Stop { "**stop**" } else { "look" };
        writeln!(text, "| {severity} | {} | {} |", escaped(&one.message), escaped(&one.advice)).ok();
    }
    if told.len() > LONGEST_LIST {
        writeln!(text, "\nand {} more.", told.len() - LONGEST_LIST).ok();
    }
}

fn notes(text: &mut String, report: &PlanReport) {
    let notes = report.notes();
    if notes.is_empty() {
        return;
    }
    text.push('\n');
    for note in notes.iter().take(LONGEST_LIST) {
        writeln!(text, "- {}", escaped(note)).ok();
    }
    if notes.len() > LONGEST_LIST {
        writeln!(text, "- and {} more", notes.len() - LONGEST_LIST).ok();
    }
}

/// What the scripts that undo the migrations put at risk themselves.
fn undoing(text: &mut String, report: &PlanReport) {
    let places = &report.rollback.places;
    if places.is_empty() {
        return;
    }
    text.push_str("\nWhat undoes the migrations puts data at risk itself; only a rehearsal shows what it loses:\n\n");
    for place in places.iter().take(LONGEST_LIST) {
        writeln!(text, "- {}", escaped(place)).ok();
    }
    if places.len() > LONGEST_LIST {
        writeln!(text, "- and {} more", places.len() - LONGEST_LIST).ok();
    }
}

/// What is told of tables where no catalog is known.
fn unknown(text: &mut String, report: &PlanReport) {
    if report.known.catalog {
        return;
    }
    let tables = &report.review.tables;
    if !tables.is_empty() {
        let named = tables.iter().take(LONGEST_LIST);
        let named: Vec<String> =
            named.map(|one| format!("{} ({})", code(&one.table.to_string()), one.loss.words())).collect();
        let more = if tables.len() > LONGEST_LIST { ", and more" } else { "" };
        writeln!(text, "\nTables at risk that are named: {}{more}.", named.join(", ")).ok();
    }
    text.push_str("\nNo catalog is known: tables that are reached through keys, triggers or views are not told.\n");
}
