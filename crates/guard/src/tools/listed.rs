//! What a command prints as pending (`--pending-cmd`): for every tool that has no adapter.

use std::path::Path;

use holdpoint_core::Mask;

use super::files::bounded;
use super::pending::Language;
use super::prefix;
use super::rollback::{self, Rollback};
use super::{Error, File, Files, Finding, Migration, Pending, ProjectFiles, Tool, ToolName};

/// A file that a line names by its path may have so many bytes.
const LIMIT: u64 = 32 << 20;

/// Makes a pending list of what a command printed: one path or name of a migration file a line.
///
/// A line is a path (absolute, or below the project), or the name of one file in `files`, with or without extension.
/// Lines that are empty or begin with `#` do not count. The tool's own view is that it runs exactly these.
///
/// # Errors
/// [`Error::UnknownLine`] for a line that names no file, or several: what cannot be read cannot be reviewed.
pub fn listed(output: &str, project: &Path, files: &ProjectFiles) -> Result<Pending, Error> {
    let lines = output.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut migrations = Vec::new();
    let mut findings = Vec::new();
    for line in lines {
        let file = named(line, project, &files.migrations)?;
        let name = file.name().rsplit_once('.').map_or(file.name(), |(name, _)| name).to_owned();
        let is_sql = file.path.to_lowercase().ends_with(".sql");
        let all = [name.as_str()].into_iter().collect();
        let rollback = if is_sql { rollback::of(&name, &file, &Tool::Command, &all, files) } else { Rollback::Program };
        let migration = Migration {
            name,
            path: file.path.clone(),
            sha256: file.sha256.clone(),
            language: if is_sql { Language::Sql } else { Language::Program },
            rollback,
            sql: if is_sql { file.text() } else { String::new() },
            program: if is_sql { String::new() } else { file.text() },
        };
        findings.extend(rollback::finding(&migration));
        if !is_sql {
            let way = "nothing but the rehearsal shows what it does".to_owned();
            findings.push(Finding::Unreviewable { migration: migration.name.clone(), way });
        }
        migrations.push(migration);
    }
    let runs: Vec<String> = migrations.iter().map(|migration: &Migration| migration.name.clone()).collect();
    findings.extend(prefix::shared(runs.iter().map(String::as_str), &runs));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity()));
    Ok(Pending { tool: ToolName::Command, migrations, runs, callbacks: Vec::new(), applied: Vec::new(), findings })
}

/// The file that a line names.
fn named(line: &str, project: &Path, files: &Files) -> Result<File, Error> {
    if let Some(file) = files.get(line) {
        return Ok(file.clone());
    }
    let path = project.join(line);
    if path.is_file() {
        let content = bounded(&path, LIMIT)?;
        let shown = path.strip_prefix(project).unwrap_or(&path).to_string_lossy().into_owned();
        let mut read = Files::new([(shown.clone(), content)]);
        return read.take(&shown).ok_or_else(|| Error::UnknownLine { line: Mask::default().script(line) });
    }
    let stem = |file: &&File| file.name().rsplit_once('.').map_or(file.name(), |(stem, _)| stem) == line;
    let mut found = files.iter().filter(|file| file.name() == line || stem(file));
    match (found.next(), found.next()) {
        (Some(file), None) => Ok(file.clone()),
        _ => Err(Error::UnknownLine { line: Mask::default().script(line) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_files_by_path_or_name() {
        let project = tempfile::tempdir().unwrap();
        std::fs::create_dir(project.path().join("db")).unwrap();
        std::fs::write(project.path().join("db/3_c.py"), "x").unwrap();
        let migrations = Files::new([("1_a.sql", "a"), ("sub/2_b.sql", "b"), ("other/9.sql", ""), ("sub/9.sql", "")]);
        let files = ProjectFiles { migrations, rollbacks: Files::default() };
        let found = listed("# pending\n\n1_a\n 2_b.sql \ndb/3_c.py\n", project.path(), &files).unwrap();
        assert_eq!(found.names(), ["1_a", "2_b", "3_c"]);
        assert_eq!(found.runs, found.names());
        assert_eq!(found.said().len(), 1, "the program cannot be read: {:?}", found.said());
        for line in ["9.sql", "4_d", "../../etc", "Traceback (most recent call last):"] {
            assert!(matches!(listed(line, project.path(), &files), Err(Error::UnknownLine { .. })), "{line}");
        }
        assert!(listed("\n", project.path(), &files).unwrap().is_empty());
    }
}
