//! The true list of pending migrations.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::rollback::{self, Rollback};
use super::{File, Finding, Found, ProjectFiles, Severity, Tool, ToolName, Tracking};
use super::{drizzle, flyway, node_pg_migrate, plain, prefix, prisma};

/// What a migration is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// SQL.
    Sql,
    /// A program, such as JavaScript or Java.
    Program,
}

/// A pending migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// The name by which the tool records it.
    pub name: String,
    /// The file's path below the folder of migrations, with `/`.
    pub path: String,
    /// SHA-256 of the file in lower-case hexadecimal.
    pub sha256: String,
    /// What it is written in.
    pub language: Language,
    /// What undoes it.
    pub rollback: Rollback,
    /// The SQL that runs, with placeholders replaced where the tool does so; empty for a program. Not recorded.
    #[serde(skip)]
    pub sql: String,
    /// The text of a program, of which only single words are looked for; empty for SQL. Not recorded.
    #[serde(skip)]
    pub program: String,
}

impl Migration {
    /// Whether its text holds a word, which is given in upper case.
    pub(crate) fn says(&self, word: &str) -> bool {
        [&self.sql, &self.program].iter().any(|text| text.to_ascii_uppercase().contains(word))
    }
}

/// A file that the tool runs at every migration, such as Flyway's `afterMigrate.sql`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The file's path below the folder of migrations, with `/`.
    pub path: String,
    /// SHA-256 of the file in lower-case hexadecimal.
    pub sha256: String,
    /// Whether it runs before the migrations.
    pub before: bool,
    /// The SQL that runs, with placeholders replaced. Not recorded.
    #[serde(skip)]
    pub sql: String,
}

/// What is pending in truth, and what the tool would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The tool.
    pub tool: ToolName,
    /// The migrations that are not applied, in the order in which the tool would run them.
    pub migrations: Vec<Migration>,
    /// The names of what the tool itself would run now, in its order, callbacks included; empty where it would refuse.
    pub runs: Vec<String>,
    /// Files that the tool runs around the others, whether anything is pending or not, and records nowhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<Callback>,
    /// The names of what is applied, in the order of the files.
    pub applied: Vec<String>,
    /// What does not fit, the gravest first.
    pub findings: Vec<Finding>,
}

impl Pending {
    /// Compares files with the tracking table; touches nothing.
    pub fn of(found: &Found, files: &ProjectFiles, tracking: &Tracking) -> Self {
        let state = match &found.tool {
            Tool::Drizzle(options) => drizzle::compare(options, files, tracking),
            Tool::Prisma(_) => prisma::compare(files, tracking),
            Tool::Flyway(options) => flyway::compare(options, files, tracking),
            Tool::NodePgMigrate(options) => node_pg_migrate::compare(options, files, tracking),
            Tool::PlainSql | Tool::Command => plain::compare(files, tracking),
        };
        state.finish(found, files, tracking)
    }

    /// Whether nothing is pending and nothing would be run.
    pub fn is_empty(&self) -> bool {
        self.migrations.is_empty() && self.runs.is_empty()
    }

    /// The findings that let no run begin.
    pub fn stops(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity() == Severity::Stop)
    }
}

/// A migration file as an adapter found it.
pub(super) struct Unit<'a> {
    pub(super) name: String,
    pub(super) file: Option<&'a File>,
    pub(super) applied: bool,
    /// The SQL, where it is not the file's text.
    pub(super) sql: Option<String>,
}

impl<'a> Unit<'a> {
    pub(super) fn new(name: impl Into<String>, file: Option<&'a File>, applied: bool) -> Self {
        Self { name: name.into(), file, applied, sql: None }
    }
}

/// What an adapter says.
pub(super) struct State<'a> {
    /// All migrations in the order of the tool.
    pub(super) units: Vec<Unit<'a>>,
    /// What the tool would run.
    pub(super) runs: Vec<String>,
    pub(super) findings: Vec<Finding>,
    pub(super) callbacks: Vec<Callback>,
    /// Whether equal numbers are looked for.
    pub(super) numbered: bool,
    /// Whether the tool refuses to start on a database that holds tables and none of its own.
    pub(super) wants_baseline: bool,
}

impl State<'_> {
    fn finish(self, found: &Found, files: &ProjectFiles, tracking: &Tracking) -> Pending {
        let Self { units, mut runs, mut findings, callbacks, numbered, wants_baseline } = self;
        let names: BTreeSet<&str> = units.iter().map(|unit| unit.name.as_str()).collect();
        let migrations: Vec<Migration> = units
            .iter()
            .filter(|unit| !unit.applied)
            .filter_map(|unit| {
                let file = unit.file?;
                let language = language(file);
                let rollback = rollback::of(&unit.name, file, &found.tool, &names, files);
                let sql = unit.sql.clone().unwrap_or_else(|| up_part(&found.tool, file));
                let (sql, program) = match language {
                    Language::Sql => (sql, String::new()),
                    Language::Program => (String::new(), file.text()),
                };
                let (name, path, sha256) = (unit.name.clone(), file.path.clone(), file.sha256.clone());
                Some(Migration { name, path, sha256, language, rollback, sql, program })
            })
            .collect();
        for migration in &migrations {
            findings.extend(rollback::finding(migration));
            if migration.language == Language::Program {
                findings.push(Finding::Unreviewable { migration: migration.name.clone(), way: way(&found.tool) });
            }
        }
        if numbered {
            let pending: Vec<String> = migrations.iter().map(|migration| migration.name.clone()).collect();
            findings.extend(prefix::shared(names.iter().copied(), &pending));
        }
        if let (Tracking::Absent { others }, Some(table)) = (tracking, &found.table) {
            let refused = wants_baseline && *others;
            findings.push(Finding::NoTrackingTable { table: table.to_string(), others: *others, refused });
        }
        if units.is_empty() {
            findings.push(Finding::NoMigrations);
        }
        let before = callbacks.iter().filter(|one| one.before).count();
        runs.splice(0..0, callbacks[..before].iter().map(|one| one.path.clone()));
        runs.extend(callbacks[before..].iter().map(|one| one.path.clone()));
        findings.extend(callbacks.iter().map(|one| Finding::Callback { file: one.path.clone() }));
        let refuses = findings.iter().any(is_refusal);
        if refuses {
            runs.clear();
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity()));
        let applied = units.iter().filter(|unit| unit.applied).map(|unit| unit.name.clone()).collect();
        Pending { tool: found.tool.name(), migrations, runs, callbacks, applied, findings }
    }
}

/// Whether the tool itself runs nothing because of it.
fn is_refusal(finding: &Finding) -> bool {
    match finding {
        Finding::EditedAfterApplied { refused, .. }
        | Finding::Orphan { refused, .. }
        | Finding::DuplicatePrefix { refused, .. }
        | Finding::NoTrackingTable { refused, .. } => *refused,
        Finding::OutOfOrder { effect, .. } => *effect == super::OrderEffect::Refuses,
        Finding::FailedRow { .. }
        | Finding::MissingFile { .. }
        | Finding::UnsupportedLayout { .. }
        | Finding::UnknownPlaceholder { .. } => true,
        _ => false,
    }
}

fn language(file: &File) -> Language {
    let is_sql = file.path.rsplit_once('.').is_some_and(|(_, kind)| kind.eq_ignore_ascii_case("sql"));
    if is_sql { Language::Sql } else { Language::Program }
}

fn up_part(tool: &Tool, file: &File) -> String {
    match tool {
        Tool::NodePgMigrate(_) => node_pg_migrate::up_part(&file.text()),
        _ => file.text(),
    }
}

fn way(tool: &Tool) -> String {
    match tool {
        Tool::NodePgMigrate(_) => "see its SQL by node-pg-migrate up --dry-run, against a copy: it runs the program, \
                                   takes the tool's lock and makes the tracking table where there is none"
            .to_owned(),
        _ => "nothing but the rehearsal shows what it does".to_owned(),
    }
}
