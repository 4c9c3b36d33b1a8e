//! What the team has to undo the migrations: the tool's own way down, or scripts; newest first.

use std::path::PathBuf;

use holdpoint_core::undoing::RollbackScript;

use crate::plan::Project;
use crate::tools::{Migration, NodePgMigrateOptions, Rollback, Tool};
use crate::undo::included::included_sha256;

/// One thing to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A script, by psql.
    Script(PathBuf),
    /// The tool's own command, which undoes so many migrations.
    Tool { words: Vec<String>, migrations: usize },
}

/// What undoes the migrations, in their order, by the files as they were read; what nothing undoes is left out.
pub(crate) fn scripts(project: &Project, migrations: &[&Migration]) -> Vec<RollbackScript> {
    let found = &project.found;
    let below = |path: PathBuf| path.strip_prefix(&found.project).unwrap_or(&path).to_string_lossy().into_owned();
    let script = |one: &&Migration| {
        let (path, sha256) = match &one.rollback {
            Rollback::Script { path, beside, sha256 } => {
                let folder = if *beside { &found.project } else { &found.migrations };
                (folder.join(path), sha256)
            }
            Rollback::SameFile | Rollback::Program => (found.migrations.join(&one.path), &one.sha256),
            Rollback::Ambiguous { .. } | Rollback::Missing => return None,
        };
        let by_psql = matches!(one.rollback, Rollback::Script { .. });
        let working = std::env::current_dir().unwrap_or_default();
        let included = by_psql.then(|| included_sha256(&path, &working)).flatten();
        Some(RollbackScript { migration: one.path.clone(), path: below(path), sha256: sha256.clone(), included })
    };
    migrations.iter().filter_map(script).collect()
}

/// What to run, and what nothing undoes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) steps: Vec<Step>,
    pub(crate) missing: Vec<String>,
}

impl Step {
    /// The step in words.
    pub(crate) fn words(&self, project: &Project) -> String {
        match self {
            Self::Script(path) => {
                path.strip_prefix(&project.found.project).unwrap_or(path).to_string_lossy().into_owned()
            }
            Self::Tool { migrations, .. } => format!("{} down {migrations}", project.found.tool.name()),
        }
    }
}

/// What undoes the migrations, given in the order in which they ran.
pub(crate) fn steps(project: &Project, migrations: &[&Migration], command: &[String]) -> Steps {
    let mut all = Steps::default();
    let mut down = 0;
    for migration in migrations.iter().rev() {
        let own = matches!(migration.rollback, Rollback::SameFile | Rollback::Program);
        if own {
            down += 1;
            continue;
        }
        all.add_tool(project, command, &mut down);
        match &migration.rollback {
            Rollback::Script { path, beside, .. } => {
                let folder = if *beside { &project.found.project } else { &project.found.migrations };
                all.steps.push(Step::Script(folder.join(path)));
            }
            Rollback::Ambiguous { paths } => {
                all.missing.push(format!("{} (several scripts could be meant: {})", migration.name, paths.join(", ")));
            }
            Rollback::Missing | Rollback::SameFile | Rollback::Program => all.missing.push(migration.name.clone()),
        }
    }
    all.add_tool(project, command, &mut down);
    all
}

impl Steps {
    fn add_tool(&mut self, project: &Project, command: &[String], count: &mut usize) {
        let migrations = std::mem::take(count);
        if migrations > 0 {
            self.steps.push(Step::Tool { words: down(project, command, migrations), migrations });
        }
    }
}

/// The command that undoes so many migrations by node-pg-migrate, the one tool that has a way down: the team's own
/// command where it calls the tool itself, else the tool of the project.
fn down(project: &Project, command: &[String], migrations: usize) -> Vec<String> {
    let calls = |word: &String| {
        let name = word.rsplit('/').next().unwrap_or(word);
        matches!(name, "node-pg-migrate" | "node-pg-migrate.js" | "node-pg-migrate.ts")
    };
    let at = command.iter().position(calls);
    let up = at.and_then(|at| command[at..].iter().position(|word| word == "up").map(|place| at + place));
    if let Some(up) = up {
        let mut words = command.to_vec();
        words[up] = "down".to_owned();
        // A number of migrations would stand there.
        if words.get(up + 1).is_some_and(|word| word.parse::<usize>().is_ok()) {
            words.remove(up + 1);
        }
        words.insert(up + 1, migrations.to_string());
        return words;
    }
    let found = &project.found;
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let mut words = vec![
        text(found.project.join("node_modules/.bin/node-pg-migrate")),
        "down".to_owned(),
        migrations.to_string(),
        "--migrations-dir".to_owned(),
        text(found.migrations.clone()),
    ];
    if let Some(table) = &found.table {
        words.extend(["--migrations-schema".to_owned(), table.schema.clone()]);
        words.extend(["--migrations-table".to_owned(), table.name.clone()]);
    }
    if let Tool::NodePgMigrate(NodePgMigrateOptions { single_transaction: false, .. }) = &found.tool {
        words.push("--no-single-transaction".to_owned());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::{Choice, Language};

    fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, Project) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let project = Project::open(folder.path(), &Choice::default()).unwrap();
        (folder, project)
    }

    fn migration(name: &str, rollback: Rollback) -> Migration {
        let (name, path, sha256) = (name.to_owned(), format!("{name}.sql"), String::new());
        Migration { name, path, sha256, language: Language::Sql, rollback, sql: String::new(), program: String::new() }
    }

    #[test]
    fn the_newest_is_undone_first_and_what_nothing_undoes_is_told() {
        let package = ("package.json", "{\"devDependencies\":{\"node-pg-migrate\":\"9\"}}");
        let (_folder, project) = project(&[package, ("migrations/1_a.sql", "")]);
        let script = |path: &str, beside| Rollback::Script { path: path.into(), beside, sha256: String::new() };
        let all = [
            migration("1", script("rollback/1.sql", true)),
            migration("2", Rollback::SameFile),
            migration("3", Rollback::Program),
            migration("4", Rollback::Missing),
            migration("5", Rollback::SameFile),
        ];
        let all: Vec<&Migration> = all.iter().collect();
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let found = steps(&project, &all, &words("npx node-pg-migrate -m db up 3"));
        assert_eq!(found.missing, ["4"]);
        assert_eq!(
            found.steps,
            [
                Step::Tool { words: words("npx node-pg-migrate -m db down 1"), migrations: 1 },
                Step::Tool { words: words("npx node-pg-migrate -m db down 2"), migrations: 2 },
                Step::Script(project.found.project.join("rollback/1.sql")),
            ]
        );
        let Step::Tool { words: own, .. } = &steps(&project, &all, &words("npm run migrate")).steps[0] else {
            panic!()
        };
        assert!(own[0].ends_with("node_modules/.bin/node-pg-migrate"), "{own:?}");
        assert_eq!(own[1..3], ["down", "1"]);
        assert_eq!(found.steps[2].words(&project), "rollback/1.sql");
    }
}
