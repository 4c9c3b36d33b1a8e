//! Flyway: versions above the last applied one, then repeatable migrations that changed.
//!
//! Source: flyway-core, `ChecksumCalculator.java`, `resolver/sql/SqlMigrationResolver.java`, `info/MigrationInfoImpl.java`;
//! the history table from flyway-database-postgresql. Validation runs before `migrate` unless it is turned off.

use std::collections::BTreeMap;

use super::flyway_history::History;
use super::flyway_name::{FlywayName, Kind, Version};
use super::pending::{State, Unit};
use super::{File, Finding, FlywayOptions, OrderEffect, ProjectFiles, Tracking};

struct Script<'a> {
    name: FlywayName,
    file: &'a File,
}

pub(super) fn compare<'a>(options: &FlywayOptions, files: &'a ProjectFiles, tracking: &'a Tracking) -> State<'a> {
    let read = |file: &'a File| Some(Script { name: FlywayName::read(file.name(), options)?, file });
    let scripts: Vec<Script<'a>> = files.migrations.iter().filter_map(read).collect();
    let history = tracking.table().map(History::read).unwrap_or_default();
    let mut comparing = Comparing { options, history, units: Vec::new(), runs: Vec::new(), findings: Vec::new() };
    let fresh = matches!(tracking, Tracking::Absent { .. });
    comparing.failures();
    comparing.versions(&scripts, fresh, matches!(tracking, Tracking::Absent { others: true }));
    comparing.orphans(&scripts);
    comparing.repeatables(&scripts);
    let Comparing { units, runs, findings, .. } = comparing;
    State { units, runs, findings, numbered: false, wants_baseline: !options.baseline_on_migrate }
}

struct Comparing<'a, 'o> {
    options: &'o FlywayOptions,
    history: History<'a>,
    units: Vec<Unit<'a>>,
    runs: Vec<String>,
    findings: Vec<Finding>,
}

impl<'a> Comparing<'a, '_> {
    fn failures(&mut self) {
        for row in &self.history.failed {
            self.findings.push(Finding::FailedRow { migration: row.text("script").to_owned() });
        }
    }

    fn versions(&mut self, scripts: &[Script<'a>], fresh: bool, others: bool) {
        let of = |kind: Kind| {
            let with = |script: &&Script<'a>| script.name.kind == kind;
            let mut found: Vec<(Version, &'a File)> =
                scripts.iter().filter(with).filter_map(|one| Some((one.name.version.clone()?, one.file))).collect();
            found.sort_by(|one, other| one.0.cmp(&other.0));
            found
        };
        let versioned = of(Kind::Versioned);
        self.duplicates(&versioned);
        // A new database begins with the last baseline migration; one with tables at the configured version.
        let mut baseline = self.history.baseline.clone();
        if fresh && others && self.options.baseline_on_migrate {
            baseline = Version::read(&self.options.baseline_version);
        } else if fresh && let Some((version, file)) = of(Kind::Baseline).pop() {
            self.pending(&file.path, file);
            baseline = Some(version);
        }
        let target = self.options.target.as_deref().and_then(|target| Version::read(target.trim_end_matches('?')));
        let last = self.history.last().map(|(version, row)| (version.clone(), row.text("script")));
        for (version, file) in versioned {
            if let Some(row) = self.history.version(&version).filter(|row| !row.text("type").contains("BASELINE")) {
                let recorded = row.get("checksum").map(str::to_owned);
                self.compare_checksum(file, recorded.as_deref());
                self.units.push(Unit::new(&file.path, Some(file), true));
                continue;
            }
            if baseline.as_ref().is_some_and(|baseline| version <= *baseline) || target.as_ref().is_some_and(|target| version > *target) {
                continue;
            }
            let before = last.as_ref().filter(|(last, _)| version < *last);
            if let Some((_, after)) = before {
                let effect = match (self.options.out_of_order, self.options.validate && !self.ignores("ignored")) {
                    (true, _) => OrderEffect::Runs,
                    (false, true) => OrderEffect::Refuses,
                    (false, false) => OrderEffect::Ignores,
                };
                let (migration, after) = (file.path.clone(), (*after).to_owned());
                self.findings.push(Finding::OutOfOrder { migration, after, effect });
                if effect == OrderEffect::Runs {
                    self.pending(&file.path, file);
                } else {
                    let unit = self.unit(&file.path, file);
                    self.units.push(unit);
                }
            } else {
                self.pending(&file.path, file);
            }
        }
    }

    fn duplicates(&mut self, versioned: &[(Version, &File)]) {
        for pair in versioned.chunk_by(|one, other| one.0 == other.0).filter(|same| same.len() > 1) {
            let migrations: Vec<String> = pair.iter().map(|(_, file)| file.path.clone()).collect();
            let name = migrations[0].rsplit('/').next().unwrap_or_default();
            let prefix = name.split(self.options.separator.as_str()).next().unwrap_or_default().to_owned();
            self.findings.push(Finding::DuplicatePrefix { prefix, migrations, pending: true, refused: true });
        }
    }

    /// Applied versions without a file: validation calls those above the last file's version *future* and passes over
    /// them by default.
    fn orphans(&mut self, scripts: &[Script<'a>]) {
        let versions: Vec<&Version> =
            scripts.iter().filter(|one| one.name.kind != Kind::Undo).filter_map(|one| one.name.version.as_ref()).collect();
        let missing: Vec<(bool, String)> = self
            .history
            .applied()
            .filter(|(version, _)| !versions.contains(&version))
            .map(|(version, row)| (versions.iter().all(|one| *one < version), row.text("script").to_owned()))
            .collect();
        for (is_future, recorded) in missing {
            let ignored = self.ignores(if is_future { "future" } else { "missing" });
            self.findings.push(Finding::Orphan { recorded, refused: self.options.validate && !ignored });
        }
    }

    fn repeatables(&mut self, scripts: &[Script<'a>]) {
        let mut repeatable: Vec<&Script<'a>> = scripts.iter().filter(|one| one.name.kind == Kind::Repeatable).collect();
        repeatable.sort_by(|one, other| one.name.description.cmp(&other.name.description));
        for script in repeatable {
            let recorded = self.history.repeatable(&script.name.description).and_then(|row| row.get("checksum"));
            let text = replaced(self.options, &script.file.text()).0;
            let checksums = [checksum(&script.file.text()), checksum(&text)].map(|one| one.to_string());
            if recorded.is_some_and(|recorded| checksums.iter().any(|one| one == recorded)) {
                self.units.push(Unit::new(&script.file.path, Some(script.file), true));
            } else {
                self.pending(&script.file.path, script.file);
            }
        }
    }

    fn compare_checksum(&mut self, file: &File, recorded: Option<&str>) {
        let found = checksum(&file.text()).to_string();
        if let Some(recorded) = recorded.filter(|recorded| *recorded != found) {
            let (migration, recorded) = (file.path.clone(), recorded.to_owned());
            self.findings.push(Finding::EditedAfterApplied { migration, recorded, found, refused: self.options.validate });
        }
    }

    fn pending(&mut self, name: &str, file: &'a File) {
        let unit = self.unit(name, file);
        self.runs.push(unit.name.clone());
        self.units.push(unit);
    }

    fn unit(&mut self, name: &str, file: &'a File) -> Unit<'a> {
        let (sql, unknown) = replaced(self.options, &file.text());
        if !unknown.is_empty() {
            self.findings.push(Finding::UnknownPlaceholder { migration: name.to_owned(), names: unknown });
        }
        Unit { name: name.to_owned(), file: Some(file), applied: false, sql: Some(sql) }
    }

    fn ignores(&self, state: &str) -> bool {
        self.options.ignored.iter().any(|pattern| {
            let (kind, what) = pattern.split_once(':').unwrap_or(("*", pattern));
            matches!(kind, "*" | "versioned") && (what == "*" || what == state)
        })
    }
}

/// The checksum that Flyway records: CRC-32 over the lines without their ends, the first without a byte order mark, as
/// a signed number.
pub(super) fn checksum(text: &str) -> i32 {
    let mut crc = !0_u32;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // As Java's BufferedReader: a line ends with \n, \r or \r\n.
    for byte in text.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')) {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    (!crc).cast_signed()
}

/// Replaces placeholders; gives the names of those without a value. Flyway's own begin with `flyway:`.
fn replaced(options: &FlywayOptions, text: &str) -> (String, Vec<String>) {
    let Some(values) = &options.placeholders else { return (text.to_owned(), Vec::new()) };
    let (begin, end) = &options.placeholder_signs;
    let mut unknown: BTreeMap<String, ()> = BTreeMap::new();
    let (mut done, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(begin.as_str()) {
        let after = &rest[at + begin.len()..];
        let Some(length) = after.find(end.as_str()) else { break };
        let name = &after[..length];
        done.push_str(&rest[..at]);
        match values.get(&name.to_lowercase()) {
            Some(value) => done.push_str(value),
            None => {
                done.push_str(&rest[at..at + begin.len() + length + end.len()]);
                if !name.starts_with("flyway:") {
                    unknown.insert(name.to_owned(), ());
                }
            }
        }
        rest = &after[length + end.len()..];
    }
    done.push_str(rest);
    (done, unknown.into_keys().collect())
}
