//! What a tool is configured by, as hashes: so that nobody changes it between the plan and the run.
//!
//! The project that was found first decides what is pending, and the tool reads its files again when it runs. A flag in
//! a script of `package.json`, another folder in a configuration, or another version of the tool makes the plan one of
//! something else.

use std::path::Path;

use holdpoint_core::ledger::MigrationRecord;

use super::drizzle_config::config_file;
use super::files::{bounded, sha256};
use super::package::Package;
use super::prisma_config::PrismaFiles;
use super::{Error, Found, Tool};

const LIMIT: u64 = 16 << 20;
/// How far up packages are looked for, as Node does in a repository of several.
const UPWARD: usize = 4;

/// The files that configure a project's tool, and the tools themselves, each with its hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// What a record may hold.
    files: Vec<MigrationRecord>,
    /// Files of variables and tokens: hashes of files that hold a secret and little else stay in memory.
    variables: Vec<MigrationRecord>,
}

impl Configuration {
    /// Reads the files that are there.
    ///
    /// # Errors
    /// Where one of them cannot be read.
    pub fn read(found: &Found) -> Result<Self, Error> {
        let project = found.project.as_path();
        let mut read = Self::default();
        let mut names = vec!["package.json".to_owned()];
        let package = Package::read(project)?;
        let mut tools: &[&str] = &[];
        match &found.tool {
            Tool::Drizzle(_) => {
                names.extend(config_file(project, &package));
                tools = &["drizzle-kit", "drizzle-orm"];
            }
            Tool::Prisma(_) => {
                names.extend(PrismaFiles::look(project, &package)?.paths(project)?);
                tools = &["prisma", "@prisma/client"];
            }
            Tool::NodePgMigrate(_) => {
                let call = package.call("node-pg-migrate", &["up"]).unwrap_or_default();
                names.extend(call.flag(&["-f", "--config-file"]).map(str::to_owned));
                names.push("config/default.json".to_owned());
                tools = &["node-pg-migrate"];
            }
            Tool::Flyway(_) => {
                let known = ["conf/flyway.conf", "conf/flyway.toml", "flyway.conf", "flyway.toml", "flyway.user.toml"];
                names.extend(known.map(str::to_owned));
            }
            Tool::PlainSql | Tool::Command => {}
        }
        for name in names {
            read.files.extend(record(project, &name)?);
        }
        for tool in tools {
            let name = format!("node_modules/{tool}/package.json");
            for folder in project.ancestors().take(UPWARD) {
                if let Some(found) = record(folder, &name)? {
                    read.files.push(found);
                    break;
                }
            }
        }
        // A file that is new may win over those that were there; one that cannot be read now could not before.
        let mut connection = found.connection.clone();
        connection.dotenv.clear();
        connection.look_for_dotenv(project, &["prisma"])?;
        let there = connection.dotenv.iter().filter_map(|file| record(project, &file.path).ok().flatten());
        read.variables.extend(there);
        // It says which shell runs the scripts, and holds tokens.
        read.variables.extend(record(project, ".npmrc").ok().flatten());
        Ok(read)
    }

    /// What a record may hold of it.
    pub fn recorded(&self) -> &[MigrationRecord] {
        &self.files
    }

    /// The first file that is another one later, or only on one side.
    pub fn changed(&self, later: &Self) -> Option<String> {
        let all = |one: &Self| one.files.iter().chain(&one.variables).cloned().collect::<Vec<_>>();
        let (before, later) = (all(self), all(later));
        let only = |these: &[MigrationRecord], those: &[MigrationRecord]| {
            these.iter().find(|one| !those.contains(one)).map(|one| one.path.clone())
        };
        only(&later, &before).or_else(|| only(&before, &later))
    }
}

fn record(folder: &Path, name: &str) -> Result<Option<MigrationRecord>, Error> {
    let path = folder.join(name);
    if !path.is_file() {
        return Ok(None);
    }
    let sha256 = sha256(&bounded(&path, LIMIT)?);
    Ok(Some(MigrationRecord { path: name.to_owned(), sha256 }))
}

#[cfg(test)]
mod tests {
    use super::super::{Choice, find};
    use super::*;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let project = tempfile::tempdir().unwrap();
        for (path, text) in files {
            write(&project, path, text);
        }
        project
    }

    fn write(project: &tempfile::TempDir, path: &str, text: &str) {
        let path = project.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn whatever_changes_in_it_is_named() {
        let project = project(&[
            ("package.json", r#"{"devDependencies": {"drizzle-kit": "0.31.0"}}"#),
            ("drizzle.config.ts", "export default { dialect: 'postgresql', dbCredentials: { url: process.env.URL } }"),
            ("node_modules/drizzle-kit/package.json", r#"{"version": "0.31.0"}"#),
            (".env", "URL=postgres://ann:hush@h/d"),
        ]);
        let found = find(project.path(), &Choice::default()).unwrap().one().unwrap();
        let before = Configuration::read(&found).unwrap();
        assert_eq!(before.changed(&Configuration::read(&found).unwrap()), None);
        let names: Vec<&str> = before.recorded().iter().map(|one| one.path.as_str()).collect();
        assert_eq!(names, ["package.json", "drizzle.config.ts", "node_modules/drizzle-kit/package.json"]);
        for (path, text) in [
            ("package.json", r#"{"scripts": {"db:migrate": "drizzle-kit migrate --config other.ts"}}"#),
            ("drizzle.config.ts", "export default { out: 'other' }"),
            ("node_modules/drizzle-kit/package.json", r#"{"version": "0.32.0"}"#),
            (".env", "URL=postgres://ann:hush@other/d"),
            (".env.local", "URL=postgres://ann:hush@other/d"),
            (".npmrc", "script-shell=/tmp/other"),
        ] {
            let path_there = project.path().join(path);
            let text_before = std::fs::read_to_string(&path_there).ok();
            write(&project, path, text);
            let later = Configuration::read(&found).unwrap();
            assert_eq!(before.changed(&later).as_deref(), Some(path));
            match text_before {
                Some(text) => write(&project, path, &text),
                None => std::fs::remove_file(path_there).unwrap(),
            }
        }
        std::fs::remove_file(project.path().join("drizzle.config.ts")).unwrap();
        let later = Configuration::read(&found).unwrap();
        assert_eq!(before.changed(&later).as_deref(), Some("drizzle.config.ts"));
    }

    #[test]
    fn each_tool_has_its_own_files() {
        for (files, expected) in [
            (
                &[
                    ("prisma/schema.prisma", "datasource db { url = env(\"URL\") }"),
                    ("prisma.config.ts", "export default {}"),
                ][..],
                &["prisma.config.ts", "prisma/schema.prisma"][..],
            ),
            (&[("flyway.toml", "[flyway]\nlocations = [\"filesystem:db\"]\n"), ("db/V1__x.sql", "")], &["flyway.toml"]),
            (
                &[
                    ("package.json", r#"{"scripts": {"m": "node-pg-migrate -f c.json up"}}"#),
                    ("c.json", r#"{"migrations-dir": "db"}"#),
                ],
                &["package.json", "c.json"],
            ),
            (&[("migrations/1.sql", "")], &[]),
        ] {
            let project = project(files);
            let found = find(project.path(), &Choice::default()).unwrap().one().unwrap();
            let read = Configuration::read(&found).unwrap();
            let names: Vec<&str> = read.recorded().iter().map(|one| one.path.as_str()).collect();
            assert_eq!(names, expected);
        }
    }
}
