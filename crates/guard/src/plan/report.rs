//! What a plan says.

use chrono::{DateTime, Utc};
use holdpoint_review::{
    Assessment, Finding as Effect, Made, Note, Requirement, ResolvedReview, Review, Role, TableAtRisk, Waiver,
};
use serde::Serialize;

use super::{Facts, Project, RollbackReview};
use crate::tools::{Callback, Finding, Migration, Pending, Severity, ToolName, Transactions};

/// What a plan comes to, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is pending.
    NothingPending,
    /// Nothing is asked for.
    Free,
    /// A person should look.
    Look,
    /// A proven restore point of a certain age does.
    RestorePoint,
    /// A restore point has to be made for the run, and proven: data may be lost.
    NewRestorePoint,
    /// Only a waiver lets it pass.
    Refused,
    /// The tool would refuse, or would do something else than the files say.
    Stopped,
}

/// Where knowledge about the database comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KnownFrom {
    /// From the database itself.
    Database,
    /// From an export.
    Export,
    /// Nothing is known but the files.
    Files,
}

/// What is known about the database.
#[derive(Clone, Debug, Serialize)]
pub struct Known {
    /// Where from.
    pub from: KnownFrom,
    /// The database's name.
    pub database: Option<String>,
    /// The server's version.
    pub server_version: Option<String>,
    /// When it was read.
    pub read_at: Option<DateTime<Utc>>,
    /// Whether the catalog is known: without it, so are no cascades and no sizes.
    pub catalog: bool,
}

impl Known {
    pub(super) fn new(from: KnownFrom, facts: Option<&Facts>, catalog: bool) -> Self {
        Self {
            from,
            database: facts.map(|facts| facts.database.clone()),
            server_version: facts.map(|facts| facts.server_version.clone()),
            read_at: facts.map(|facts| facts.read_at),
            catalog,
        }
    }
}

/// A finding about files and tracking table, with its words.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// What it means for a run.
    pub severity: Severity,
    /// What it is, in words.
    pub message: String,
    /// What to do.
    pub advice: String,
    /// The finding itself.
    #[serde(flatten)]
    pub finding: Finding,
}

/// A plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlanReport {
    /// What it comes to.
    pub verdict: Verdict,
    /// The tool.
    pub tool: ToolName,
    /// The folder of migrations, below the project's folder where it lies there.
    pub migrations: String,
    /// What the tool puts into one transaction.
    pub transactions: Transactions,
    /// What is known about the database.
    pub known: Known,
    /// The migrations that are not applied, in the order in which they would run.
    pub pending: Vec<Migration>,
    /// The names of what the tool itself would run, callbacks included; empty where it would refuse.
    pub runs: Vec<String>,
    /// Files that the tool runs at every migration.
    pub callbacks: Vec<Callback>,
    /// How many migrations are applied.
    pub applied: usize,
    /// What does not fit between files and tracking table, the gravest first.
    pub findings: Vec<Told>,
    /// The review of the pending SQL. Without a catalog its tables are those that the SQL names.
    pub review: ResolvedReview,
    /// The review of what undoes the pending migrations.
    pub rollback: RollbackReview,
    /// What the policy asks for.
    pub assessment: Assessment,
    /// Waivers that fit nothing.
    pub unused_waivers: Vec<Waiver>,
}

impl PlanReport {
    pub(super) fn new(
        project: &Project,
        known: Known,
        pending: Pending,
        review: ResolvedReview,
        assessment: Assessment,
        waivers: &[Waiver],
    ) -> Self {
        let found = &project.found;
        let verdict = verdict(&pending, assessment.requirement);
        let folder = found.migrations.strip_prefix(&found.project).unwrap_or(&found.migrations);
        let told = |finding: Finding| Told {
            severity: finding.severity(),
            message: finding.to_string(),
            advice: finding.advice(),
            finding,
        };
        Self {
            verdict,
            tool: found.tool.name(),
            migrations: folder.display().to_string(),
            // What a command lists is run by a command: of that nobody knows what it puts into a transaction.
            transactions: match pending.tool {
                ToolName::Command => Transactions::Unknown,
                _ => found.tool.transactions(),
            },
            known,
            runs: pending.runs,
            callbacks: pending.callbacks,
            applied: pending.applied.len(),
            findings: pending.findings.into_iter().map(told).collect(),
            pending: pending.migrations,
            unused_waivers: assessment.unused.iter().filter_map(|place| waivers.get(*place).cloned()).collect(),
            review,
            rollback: RollbackReview::default(),
            assessment,
        }
    }
}

impl PlanReport {
    /// The findings that let no run begin.
    pub fn stops(&self) -> impl Iterator<Item = &Told> {
        self.findings.iter().filter(|told| told.severity == Severity::Stop)
    }

    /// The findings that a person should look at.
    pub fn looks(&self) -> impl Iterator<Item = &Told> {
        self.findings.iter().filter(|told| told.severity == Severity::Warn)
    }

    /// Whether there is SQL that was reviewed: what is pending, and what the tool runs around it.
    pub fn has_sql(&self) -> bool {
        !self.review.review.files.is_empty()
    }

    /// What is to be known about files as a whole, in words.
    pub fn notes(&self) -> Vec<String> {
        let files = self.review.review.files.iter();
        files.flat_map(|file| file.notes.iter().map(|note| words_of(&file.file, note))).collect()
    }
}

fn words_of(file: &str, note: &Note) -> String {
    match note {
        Note::FailsInTransaction { line } => {
            format!("{file}:{line} cannot run in the transaction that surrounds it, and will fail")
        }
        Note::OwnTransaction { line } => {
            format!("{file}:{line} begins or ends a transaction by itself: a failure may leave a part of the file")
        }
        Note::NotAtomic => format!("{file} runs without a transaction: a failure leaves a part of it"),
        Note::HoldsLock { line, statements } => {
            format!("{file}:{line} takes a lock that stops everybody, and statements that follow hold it: {statements}")
        }
    }
}

fn verdict(pending: &Pending, requirement: Requirement) -> Verdict {
    if pending.stops().next().is_some() {
        return Verdict::Stopped;
    }
    let looks = pending.findings.iter().any(|finding| finding.severity() == Severity::Warn);
    if pending.is_empty() {
        return if looks { Verdict::Look } else { Verdict::NothingPending };
    }
    match requirement {
        Requirement::Nothing if looks => Verdict::Look,
        Requirement::Nothing => Verdict::Free,
        Requirement::Warn => Verdict::Look,
        Requirement::ProvenRestorePoint(policy) if policy.max_age_seconds > 0 => Verdict::RestorePoint,
        Requirement::ProvenRestorePoint(_) => Verdict::NewRestorePoint,
        Requirement::Refuse => Verdict::Refused,
    }
}

/// A review that knows no catalog, in the form of one that does: the tables at risk are those that the SQL names.
pub(super) fn unresolved(review: Review) -> ResolvedReview {
    let mut tables: Vec<TableAtRisk> = Vec::new();
    for (_, effect) in review.findings().filter(|(_, effect)| effect.loses.is_data()) {
        for table in named(effect) {
            match tables.iter_mut().find(|one| one.table == table.table) {
                None => tables.push(table),
                Some(there) if table.loss > there.loss => *there = table,
                Some(there) if there.columns.is_empty() || table.columns.is_empty() => there.columns.clear(),
                Some(there) => {
                    there.columns.extend(table.columns);
                    there.columns.sort();
                    there.columns.dedup();
                }
            }
        }
    }
    tables.sort_by(|one, other| one.table.cmp(&other.table));
    ResolvedReview { everything_at_risk: review.everything_at_risk(), review, tables, unresolved: Vec::new() }
}

pub(super) fn named(effect: &Effect) -> impl Iterator<Item = TableAtRisk> {
    let writes = effect.touches.iter().filter(|touch| touch.role == Role::Write && touch.made != Made::Yes);
    writes.map(|touch| TableAtRisk {
        table: touch.before.clone().unwrap_or_else(|| touch.table.clone()),
        loss: effect.loses,
        columns: touch.columns.clone(),
        // Without a catalog nobody knows which triggers and rules change rows along.
        rows_only_go: false,
        by_triggers: false,
        through: None,
        bytes: None,
        rows: None,
    })
}
