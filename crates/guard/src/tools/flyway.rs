//! Flyway: versions above the last applied one, then repeatable migrations that changed.
//!
//! Source: flyway-core, `ChecksumCalculator.java`, `resolver/sql/SqlMigrationResolver.java`, `info/MigrationInfoImpl.java`;
//! the history table from flyway-database-postgresql. Validation runs before `migrate` unless it is turned off.

use super::flyway_callbacks::callbacks;
use super::flyway_checksum::checksum;
use super::flyway_history::History;
use super::flyway_name::{FlywayName, Kind, Version};
use super::flyway_placeholders::replaced;
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
    let callbacks = callbacks(options, files);
    let Comparing { units, runs, findings, .. } = comparing;
    State { units, runs, findings, callbacks, numbered: false, wants_baseline: !options.baseline_on_migrate }
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
            if baseline.as_ref().is_some_and(|baseline| version <= *baseline)
                || target.as_ref().is_some_and(|target| version > *target)
            {
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
        let versions: Vec<&Version> = scripts
            .iter()
            .filter(|one| one.name.kind != Kind::Undo)
            .filter_map(|one| one.name.version.as_ref())
            .collect();
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
            self.findings.push(Finding::EditedAfterApplied {
                migration,
                recorded,
                found,
                refused: self.options.validate,
            });
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::fixture::{scene, table};
    use super::super::{Pending, Severity, Tool};
    use super::*;

    const COLUMNS: [&str; 7] = ["installed_rank", "version", "description", "type", "script", "checksum", "success"];
    const FILES: [(&str, &str); 4] = [
        ("V001__one.sql", "CREATE TABLE one (id int);\n"),
        ("V002__two.sql", "CREATE TABLE two (id int);\n"),
        ("sub/V010__ten.sql", "CREATE TABLE ten (id int);\n"),
        ("R__views.sql", "CREATE OR REPLACE VIEW v AS SELECT '${who}';\n"),
    ];

    fn options(change: impl FnOnce(&mut FlywayOptions)) -> FlywayOptions {
        let placeholders = Some([("who".to_owned(), "me".to_owned())].into());
        let mut options = FlywayOptions { placeholders, ..FlywayOptions::default() };
        change(&mut options);
        options
    }

    fn pending(options: FlywayOptions, files: &[(&str, &str)], tracking: &Tracking) -> Pending {
        scene(Tool::Flyway(Box::new(options)), files).pending(tracking)
    }

    /// Rows of version, kind, script and checksum; those without a checksum take their file's.
    fn history(rows: &[(&str, &str, &str, Option<i32>, bool)]) -> Tracking {
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|(version, kind, script, sum, success)| {
                let text = FILES.iter().find(|(path, _)| path == script).map_or("", |(_, text)| text);
                let description = script.split("__").nth(1).unwrap_or("").trim_end_matches(".sql").to_owned();
                let sum = sum.unwrap_or_else(|| checksum(text)).to_string();
                ["1", version, &description, kind, script, &sum, if *success { "true" } else { "false" }]
                    .map(str::to_owned)
                    .into()
            })
            .collect();
        let rows: Vec<Vec<&str>> = rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
        table(&COLUMNS, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[test]
    fn versions_above_the_last_and_changed_repeatables_are_pending() {
        let one = ("1", "SQL", "V001__one.sql", None, true);
        let views = ("NULL", "SQL", "R__views.sql", None, true);
        let found = pending(options(|_| ()), &FILES, &history(&[one, views]));
        assert_eq!(found.names(), ["V002__two.sql", "sub/V010__ten.sql"]);
        assert_eq!(found.runs, found.names());
        assert_eq!(found.said(), []);
        let changed = ("NULL", "SQL", "R__views.sql", Some(7), true);
        let found = pending(options(|_| ()), &FILES, &history(&[one, changed]));
        assert_eq!(found.names(), ["V002__two.sql", "sub/V010__ten.sql", "R__views.sql"]);
        assert!(found.migrations[2].sql.contains("SELECT 'me'"), "placeholders are replaced");
        // Newer versions of the tool record the checksum with placeholders replaced.
        let replaced =
            ("NULL", "SQL", "R__views.sql", Some(checksum("CREATE OR REPLACE VIEW v AS SELECT 'me';\n")), true);
        assert_eq!(pending(options(|_| ()), &FILES, &history(&[one, replaced])).runs.len(), 2);
        let target = options(|options| options.target = Some("2".to_owned()));
        assert_eq!(pending(target, &FILES, &history(&[one, views])).runs, ["V002__two.sql"]);
    }

    #[test]
    fn callbacks_run_whatever_is_pending() {
        let files = [
            ("V001__one.sql", "CREATE TABLE one (id int);\n"),
            ("afterMigrate__grants.sql", "GRANT SELECT ON one TO ${who};\n"),
            ("sub/beforeMigrate.sql", "DROP TABLE two;\n"),
            ("beforeClean.sql", "SELECT 1;\n"),
            ("afterMigrateNotes.sql", "SELECT 2;\n"),
        ];
        let found = pending(options(|_| ()), &files, &history(&[("1", "SQL", "V001__one.sql", None, true)]));
        assert_eq!((found.names(), found.is_empty()), (vec![], false));
        assert_eq!(found.runs, ["sub/beforeMigrate.sql", "afterMigrate__grants.sql"]);
        let sql: Vec<&str> = found.callbacks.iter().map(|one| one.sql.as_str()).collect();
        assert_eq!(sql, ["DROP TABLE two;\n", "GRANT SELECT ON one TO me;\n"]);
        assert!(found.said().iter().all(|(severity, _)| *severity == Severity::Note), "{:?}", found.said());
        let all = pending(options(|_| ()), &files, &Tracking::Absent { others: false });
        assert_eq!(all.runs, ["sub/beforeMigrate.sql", "V001__one.sql", "afterMigrate__grants.sql"]);
    }

    #[test]
    fn a_version_below_the_last_is_refused_ignored_or_run() {
        let rows = history(&[
            ("1", "SQL", "V001__one.sql", None, true),
            ("10", "SQL", "sub/V010__ten.sql", None, true),
            ("NULL", "SQL", "R__views.sql", None, true),
        ]);
        let refused = pending(options(|_| ()), &FILES, &rows);
        assert_eq!((refused.names(), refused.runs.len()), (vec!["V002__two.sql"], 0));
        assert_eq!(refused.said()[0].0, Severity::Stop);
        let ignored = pending(options(|options| options.validate = false), &FILES, &rows);
        assert_eq!((ignored.names(), ignored.runs.len()), (vec!["V002__two.sql"], 0));
        assert!(ignored.said()[0].1.contains("the tool ignores it"));
        let run = pending(options(|options| options.out_of_order = true), &FILES, &rows);
        assert_eq!(run.runs, ["V002__two.sql"]);
        assert_eq!(run.said()[0].0, Severity::Warn);
    }

    #[test]
    fn edits_failures_duplicates_and_orphans_are_refused() {
        let views = ("NULL", "SQL", "R__views.sql", None, true);
        let one = ("1", "SQL", "V001__one.sql", None, true);
        for (rows, files, expected) in [
            (
                vec![("1", "SQL", "V001__one.sql", Some(1), true), views],
                FILES.to_vec(),
                "was edited after it was applied",
            ),
            (
                vec![one, ("2", "SQL", "V002__two.sql", None, false), views],
                FILES.to_vec(),
                "V002__two.sql failed earlier",
            ),
            (vec![one, views], [FILES.to_vec(), vec![("V2__again.sql", "")]].concat(), "have the same number V002"),
            (
                vec![one, ("5", "SQL", "V5__gone.sql", Some(1), true), views],
                FILES.to_vec(),
                "V5__gone.sql is recorded as applied",
            ),
        ] {
            let found = pending(options(|_| ()), &files, &history(&rows));
            let is_said =
                |(severity, said): &(Severity, String)| *severity == Severity::Stop && said.contains(expected);
            assert!(found.said().iter().any(is_said), "{:?}", found.said());
            assert!(found.runs.is_empty());
        }
        // A version above all files is from the future, which validation passes over.
        let future =
            pending(options(|_| ()), &FILES, &history(&[one, ("99", "SQL", "V99__later.sql", Some(1), true), views]));
        assert!(
            future
                .said()
                .contains(&(Severity::Warn, "V99__later.sql is recorded as applied and has no file here".to_owned()))
        );
    }

    #[test]
    fn undone_baselined_and_repaired_versions_are_what_the_last_row_says() {
        let views = ("NULL", "SQL", "R__views.sql", None, true);
        let two = ("2", "SQL", "V002__two.sql", None, true);
        let undone = history(&[
            ("1", "SQL", "V001__one.sql", None, true),
            two,
            ("2", "UNDO_SQL", "U2__two.sql", Some(3), true),
            views,
        ]);
        assert_eq!(pending(options(|_| ()), &FILES, &undone).runs, ["V002__two.sql", "sub/V010__ten.sql"]);
        let baseline = history(&[("2", "BASELINE", "<< Flyway Baseline >>", Some(0), true), views]);
        let found = pending(options(|_| ()), &FILES, &baseline);
        assert_eq!(found.runs, ["sub/V010__ten.sql"]);
        assert_eq!(found.said(), []);
    }

    #[test]
    fn a_database_without_history_needs_a_baseline_unless_it_is_empty() {
        let files = [&FILES[..], &[("B2__all.sql", "")]].concat();
        let empty = pending(options(|_| ()), &files, &Tracking::Absent { others: false });
        assert_eq!(empty.runs, ["B2__all.sql", "sub/V010__ten.sql", "R__views.sql"]);
        let filled = pending(options(|_| ()), &FILES, &Tracking::Absent { others: true });
        assert!(filled.runs.is_empty() && filled.stops().count() == 1);
        let baselined = options(|options| options.baseline_on_migrate = true);
        let found = pending(baselined, &FILES, &Tracking::Absent { others: true });
        assert_eq!(found.runs, ["V002__two.sql", "sub/V010__ten.sql", "R__views.sql"]);
    }

    #[test]
    fn unknown_placeholders_stop() {
        let none = options(|options| options.placeholders = Some(BTreeMap::new()));
        let found = pending(none, &FILES, &Tracking::Absent { others: false });
        assert_eq!(found.said()[0], (Severity::Stop, "R__views.sql has placeholders without a value: who".to_owned()));
        let off = options(|options| options.placeholders = None);
        assert_eq!(pending(off, &FILES, &Tracking::Absent { others: false }).runs.len(), 4);
        let own = [("V1__x.sql", "SELECT '${flyway:database}', '${open';")];
        assert_eq!(pending(options(|_| ()), &own, &Tracking::Absent { others: false }).stops().count(), 0);
    }
}
