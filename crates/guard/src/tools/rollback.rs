//! What undoes a migration: the tool's own way back, or a script beside it in one of the layouts that teams use.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::prefix::number;
use super::{File, Finding, Language, Migration, ProjectFiles, Tool, flyway_name, node_pg_migrate};

/// Folders that hold scripts which undo migrations, in the folder of migrations or beside it.
pub(super) const FOLDERS: [&str; 5] = ["rollback", "rollbacks", "down", "downs", "undo"];

/// What undoes one migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Rollback {
    /// A script.
    Script {
        /// Its path: below the folder of migrations, or, where `beside` is set, below the project's folder.
        path: String,
        /// Whether it lies beside the folder of migrations.
        beside: bool,
        /// SHA-256 of the script in lower-case hexadecimal.
        sha256: String,
    },
    /// A part of the migration's own file, which the tool's own `down` runs.
    SameFile,
    /// The migration is a program; whether its `down` does anything only running it tells.
    Program,
    /// Several scripts could be meant.
    Ambiguous {
        /// Their paths.
        paths: Vec<String>,
    },
    /// Nothing.
    Missing,
}

/// Finds what undoes a migration; `all` are the names of all migrations.
pub(super) fn of(name: &str, file: &File, tool: &Tool, all: &BTreeSet<&str>, files: &ProjectFiles) -> Rollback {
    let is_sql = file.path.to_lowercase().ends_with(".sql");
    if matches!(tool, Tool::NodePgMigrate(_)) {
        if !is_sql {
            return Rollback::Program;
        }
        if node_pg_migrate::has_down(&file.text()) {
            return Rollback::SameFile;
        }
    }
    let here = files.migrations.iter().filter(|one| one.path != file.path && lies_right(one, file));
    let beside = files.rollbacks.iter();
    let candidates = here.map(|one| (one, false)).chain(beside.map(|one| (one, true)));
    let scripts = candidates.filter(|(one, _)| one.path.to_lowercase().ends_with(".sql"));
    let (mut exact, mut by_number) = (Vec::new(), Vec::new());
    for (script, beside) in scripts {
        match fit(name, file, script, tool) {
            Some(Fit::Name) => exact.push((script, beside)),
            Some(Fit::Number) => by_number.push((script, beside)),
            None => {}
        }
    }
    let shared = all.iter().filter(|one| !number(name).is_empty() && number(one) == number(name)).count() > 1;
    let paths = |found: &[(&File, bool)]| found.iter().map(|(script, _)| script.path.clone()).collect();
    match (exact.as_slice(), by_number.as_slice()) {
        ([(script, beside)], _) => script_of(script, *beside),
        ([], [(script, beside)]) if !shared => script_of(script, *beside),
        ([], []) => Rollback::Missing,
        ([], several) | (several, _) => Rollback::Ambiguous { paths: paths(several) },
    }
}

fn script_of(script: &File, beside: bool) -> Rollback {
    Rollback::Script { path: script.path.clone(), beside, sha256: script.sha256.clone() }
}

/// Whether a file lies where a script that undoes `file` may: beside it, or in a folder for rollbacks.
fn lies_right(one: &File, file: &File) -> bool {
    let folder = |path: &str| path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    let own = folder(&one.path);
    own == folder(&file.path) || own.split('/').any(|part| FOLDERS.contains(&part.to_lowercase().as_str()))
}

enum Fit {
    /// The name says which migration it undoes.
    Name,
    /// Only the number does.
    Number,
}

fn fit(name: &str, file: &File, script: &File, tool: &Tool) -> Option<Fit> {
    if let Tool::Flyway(options) = tool {
        return flyway_name::undoes(script.name(), file.name(), options).then_some(Fit::Name);
    }
    let stem = script.name().get(..script.name().len() - ".sql".len())?.to_lowercase();
    let own_folder = file.path.rsplit_once('/').map(|(folder, _)| folder);
    if own_folder.is_some() && script.path.rsplit_once('/').map(|(folder, _)| folder) == own_folder {
        return matches!(stem.as_str(), "down" | "rollback" | "undo").then_some(Fit::Name);
    }
    let name = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let name = name.strip_suffix(".sql").unwrap_or(&name);
    let name = name.strip_suffix(".up").unwrap_or(name);
    let first = number(name);
    let rest = name[first.len()..].trim_start_matches(['_', '-']);
    let in_folder = script.path.contains('/');
    for word in ["rollback", "down", "undo", "revert"] {
        let by_name = [
            format!("{name}.{word}"),
            format!("{name}_{word}"),
            format!("{name}-{word}"),
            format!("{word}_{name}"),
            format!("{word}-{name}"),
            format!("{first}_{word}_{rest}"),
            format!("{first}-{word}-{rest}"),
        ];
        if by_name.contains(&stem) {
            return Some(Fit::Name);
        }
        let by_number = [format!("{first}_{word}"), format!("{first}-{word}"), format!("{first}.{word}")];
        if !first.is_empty() && by_number.contains(&stem) {
            return Some(Fit::Number);
        }
    }
    match in_folder {
        true if stem == name => Some(Fit::Name),
        true if !first.is_empty() && stem == first => Some(Fit::Number),
        _ => None,
    }
}

/// Says that nothing undoes a migration, or that it is not clear what does.
pub(super) fn finding(migration: &Migration) -> Option<Finding> {
    let name = migration.name.clone();
    match &migration.rollback {
        Rollback::Missing if migration.language == Language::Sql => Some(Finding::NoRollback { migration: name }),
        Rollback::Ambiguous { paths } => Some(Finding::AmbiguousRollback { migration: name, paths: paths.clone() }),
        _ => None,
    }
}

/// Whether a file of a folder without a tool undoes rather than does.
pub(super) fn is_rollback(path: &str) -> bool {
    let path = path.to_lowercase();
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let stem = name.strip_suffix(".sql").unwrap_or(name);
    let words = ["rollback", "down", "undo", "revert"];
    folders.split('/').any(|part| FOLDERS.contains(&part))
        || words.iter().any(|word| {
            let ends = |sign: char| stem.strip_suffix(word).is_some_and(|rest| rest.ends_with(sign) || rest.is_empty());
            let begins = stem.strip_prefix(word).is_some_and(|rest| rest.starts_with(['_', '-']));
            ends('.')
                || ends('_')
                || ends('-')
                || begins
                || stem[number(stem).len()..].starts_with(&format!("_{word}_"))
        })
}

#[cfg(test)]
mod tests {
    use super::super::{DrizzleOptions, Files};
    use super::*;

    fn rollback(name: &str, migrations: &[&str], beside: &[&str]) -> Rollback {
        let empty = |paths: &[&str]| Files::new(paths.iter().map(|path| ((*path).to_owned(), "")));
        let files = ProjectFiles { migrations: empty(migrations), rollbacks: empty(beside) };
        let names: BTreeSet<&str> =
            migrations.iter().filter(|path| !is_rollback(path)).map(|path| path.trim_end_matches(".sql")).collect();
        let path = migrations.iter().find(|path| path.starts_with(name)).unwrap();
        of(name, files.migrations.get(path).unwrap(), &Tool::Drizzle(DrizzleOptions::default()), &names, &files)
    }

    fn path(rollback: &Rollback) -> &str {
        let Rollback::Script { path, .. } = rollback else { panic!("no script: {rollback:?}") };
        path
    }

    #[test]
    fn layouts_of_the_runbooks_are_found() {
        let nuclom = [
            "0001_add_video_processing.sql",
            "0002_add_integrations.sql",
            "0002_add_series_tables.sql",
            "rollbacks/0001_rollback_add_video_processing.sql",
            "rollbacks/0002_rollback_add_integrations.sql",
            "rollbacks/0002_rollback_add_series_tables.sql",
        ];
        for name in ["0002_add_integrations", "0002_add_series_tables"] {
            let rest = name.strip_prefix("0002_").unwrap();
            assert_eq!(path(&rollback(name, &nuclom, &[])), format!("rollbacks/0002_rollback_{rest}.sql"));
        }
        let found = rollback("0011_prefs", &["0011_prefs.sql"], &["drizzle/rollbacks/0011_rollback.sql"]);
        assert_eq!(path(&found), "drizzle/rollbacks/0011_rollback.sql");
        let folders = ["20240101000000_init/migration.sql", "20240101000000_init/down.sql"];
        assert_eq!(path(&rollback("20240101000000_init", &folders, &[])), "20240101000000_init/down.sql");
    }

    #[test]
    fn a_number_that_two_migrations_share_names_neither() {
        let files = ["0002_a.sql", "0002_b.sql"];
        let found = rollback("0002_a", &files, &["rollbacks/0002_rollback.sql"]);
        assert_eq!(found, Rollback::Ambiguous { paths: vec!["rollbacks/0002_rollback.sql".into()] });
        let exact = rollback("0002_a", &files, &["rollbacks/0002_rollback.sql", "rollbacks/0002_a.sql"]);
        assert_eq!(path(&exact), "rollbacks/0002_a.sql");
        assert_eq!(rollback("0002_a", &files, &["rollbacks/0003_a.sql"]), Rollback::Missing);
    }

    #[test]
    fn what_undoes_is_told_from_what_does() {
        for path in ["1_a.down.sql", "rollback/1_a.sql", "0002_rollback_x.sql", "1_a_rollback.sql", "undo_1.sql"] {
            assert!(is_rollback(path), "{path}");
        }
        for path in ["1_a.sql", "1_a.up.sql", "2_shutdown.sql", "3_countdown_table.sql", "4_markdown.sql"] {
            assert!(!is_rollback(path), "{path}");
        }
    }
}
