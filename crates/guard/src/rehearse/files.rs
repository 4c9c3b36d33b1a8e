//! Files of the project that name production: whether the command reads them, and what to change.

use std::fs;
use std::path::{Path, PathBuf};

use super::environment::value_for;
use super::production::Production;
use super::{Door, NamingFile};

/// More is no source text.
const FILE_BYTES: u64 = 1 << 20;
/// What is looked at of a project.
const FILES: usize = 20_000;
const DEPTH: usize = 8;
/// Folders that hold what others wrote, or nothing that runs.
const FOLDERS: [&str; 10] =
    ["node_modules", "vendor", "target", "dist", "build", "venv", "__pycache__", "docs", "doc", "coverage"];
/// Endings of what is run or read as configuration.
const ENDINGS: [&str; 22] = [
    "js",
    "cjs",
    "mjs",
    "ts",
    "cts",
    "mts",
    "jsx",
    "tsx",
    "json",
    "toml",
    "conf",
    "ini",
    "properties",
    "cfg",
    "sh",
    "bash",
    "py",
    "rb",
    "php",
    "prisma",
    "xml",
    "env",
];
/// Names of what tools read by themselves.
const CONFIGURATION: [&str; 15] = [
    "drizzle.config.",
    "prisma.config.",
    "schema.prisma",
    "flyway.",
    "knexfile.",
    "ormconfig.",
    "data-source.",
    "alembic.ini",
    "database.json",
    "database.yml",
    "liquibase.properties",
    "package.json",
    ".pgmigraterc",
    ".sequelizerc",
    "atlas.hcl",
];
/// Files of ours, and lists that no tool reads for a connection.
const OTHERS: [&str; 4] = ["holdpoint.toml", "package-lock.json", "tsconfig.json", "composer.lock"];
/// What makes a file's values win over the environment's.
const OVERRIDES: [&str; 20] = [
    "override: true",
    "override:true",
    "\"override\": true",
    "override = True",
    "override=True",
    "--override",
    "--overload",
    "--overwrite",
    ".overload(",
    "DOTENV_CONFIG_OVERRIDE",
    "env-cmd",
    "direnv ",
    "source .env",
    "source ./.env",
    ". .env",
    ". ./.env",
    "cat .env",
    "dotenv -o",
    "< .env",
    "export $(",
];

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Files that the command would take production from.
    pub(super) refused: Vec<NamingFile>,
    /// Files that name production where that does no harm, with the reason.
    pub(super) harmless: Vec<String>,
    /// Variables that a file would set to production where they are not set yet, with the value for the copy.
    pub(super) variables: Vec<(String, String)>,
}

/// Where is looked, and for what.
pub(super) struct Look<'a> {
    pub(super) folders: Vec<PathBuf>,
    pub(super) command: &'a [String],
    pub(super) production: &'a Production,
    pub(super) door: &'a Door,
    /// The command's network reaches nothing but the copy.
    pub(super) apart: bool,
}

/// A text file of the project.
struct Text {
    path: PathBuf,
    text: String,
}

impl Look<'_> {
    /// Looks at every file.
    pub(super) fn look(&self) -> Looked {
        let mut texts = Vec::new();
        for folder in &self.folders {
            if !self.folders.iter().any(|other| other != folder && folder.starts_with(other)) {
                gather(folder, 0, &mut texts);
            }
        }
        let mut looked = Looked::default();
        let overriding = self.overriding(&texts);
        for one in &texts {
            if is_dotenv(&one.path) {
                self.dotenv(one, overriding.as_deref(), &mut looked);
            } else {
                self.source(one, &mut looked);
            }
        }
        looked
    }

    /// What takes a file's values before the environment's, in words.
    fn overriding(&self, texts: &[Text]) -> Option<String> {
        let words = self.command.join(" ");
        let found = |text: &str| OVERRIDES.iter().find(|sign| text.contains(**sign));
        if let Some(sign) = found(&words) {
            return Some(format!("the command ({})", sign.trim()));
        }
        let code = texts.iter().filter(|one| !is_dotenv(&one.path));
        code.filter_map(|one| {
            let (line, sign) = one.text.lines().enumerate().find_map(|(at, line)| Some((at + 1, found(line)?)))?;
            // Words that mean nothing elsewhere than in code that reads such files.
            let plain = sign.contains("verride") || sign.contains("env");
            let reads = one.text.contains("env");
            (plain && reads).then(|| format!("{}:{line}", self.shown(&one.path).display()))
        })
        .next()
    }

    fn shown(&self, path: &Path) -> PathBuf {
        let below = self.folders.iter().find_map(|folder| path.strip_prefix(folder).ok());
        below.unwrap_or(path).to_owned()
    }

    /// A file of variables, which the environment's beat unless somebody says otherwise.
    fn dotenv(&self, file: &Text, overriding: Option<&str>, looked: &mut Looked) {
        let mut names = Vec::new();
        for (at, line) in file.text.lines().enumerate() {
            let Some((name, value)) = assignment(line) else { continue };
            let Some(new) = value_for(value, self.production, self.door) else { continue };
            if let Some(by) = overriding {
                let cure = format!("{name} leads to production, and {by} lets this file win: take that out");
                looked.refused.push(NamingFile { path: self.shown(&file.path), line: at + 1, cure });
                return;
            }
            names.push(name.to_owned());
            looked.variables.push((name.to_owned(), new));
        }
        if !names.is_empty() {
            let path = self.shown(&file.path);
            looked.harmless.push(format!("{} ({} set already, to the copy)", path.display(), names.join(", ")));
        }
    }

    fn source(&self, file: &Text, looked: &mut Looked) {
        let named =
            file.text.lines().enumerate().find_map(|(at, line)| Some((at + 1, self.production.named_in(line)?)));
        let Some((line, what)) = named else { return };
        let path = self.shown(&file.path);
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        let configures = CONFIGURATION.iter().any(|known| name.starts_with(known));
        let is_named = self.command.iter().any(|word| word.contains(&*path.to_string_lossy()));
        if configures || is_named || !self.apart {
            let cure = format!("it names {what}: take that from a variable, such as DATABASE_URL");
            looked.refused.push(NamingFile { path, line, cure });
        } else {
            looked
                .harmless
                .push(format!("{} (names {what}, which the command's network does not reach)", path.display()));
        }
    }
}

fn is_dotenv(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(".env") || name.ends_with(".env")
}

fn gather(folder: &Path, depth: usize, texts: &mut Vec<Text>) {
    let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if texts.len() >= FILES {
            return;
        }
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            if depth < DEPTH && !name.starts_with('.') && !FOLDERS.contains(&name.as_str()) {
                gather(&path, depth + 1, texts);
            }
            continue;
        }
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        let is_read =
            is_dotenv(&path) || ENDINGS.contains(&ending) || CONFIGURATION.iter().any(|known| name.starts_with(known));
        // An example says what to write, not where to go.
        let example = ["example", "sample", "template", "dist"].contains(&ending);
        if !is_read || example || OTHERS.contains(&name.as_str()) {
            continue;
        }
        if path.metadata().is_ok_and(|found| found.is_file() && found.len() <= FILE_BYTES)
            && let Ok(bytes) = fs::read(&path)
        {
            texts.push(Text { path, text: String::from_utf8_lossy(&bytes).into_owned() });
        }
    }
}

/// `NAME=value`, with `export`, quotes and a comment behind, as such files have it.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let value = value.trim();
    let quoted = value.chars().next().filter(|sign| matches!(sign, '"' | '\'' | '`'));
    let value = match quoted {
        Some(sign) => value[1..].split(sign).next().unwrap_or_default(),
        None => value.split(" #").next().unwrap_or_default().trim(),
    };
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use holdpoint_core::Secret;
    use holdpoint_postgres::ConnectionSettings;
    use holdpoint_postgres::connection::Environment;

    use super::*;

    async fn look(files: &[(&str, &str)], command: &[&str], apart: bool) -> Looked {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let url = "postgres://app:hunter2@db.example.invalid:6543/shop";
        let production = Production::of(&[ConnectionSettings::resolve(url, &Environment::default()).unwrap()]).await;
        let door = Door { port: 7, user: "app".into(), password: Secret::new("new"), database: "shop".into() };
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let folders = vec![folder.path().to_owned()];
        Look { folders, command: &command, production: &production, door: &door, apart }.look()
    }

    const ENV: (&str, &str) = (
        ".env.production",
        "# x\nexport DATABASE_URL=\"postgres://app:hunter2@db.example.invalid:6543/shop\" # y\nA=b\n",
    );

    #[tokio::test]
    async fn a_file_of_variables_does_no_harm_unless_it_wins() {
        let found = look(&[ENV, (".env.example", ENV.1)], &["npm", "run", "x"], true).await;
        assert!(found.refused.is_empty(), "{found:?}");
        assert_eq!(
            found.variables,
            [("DATABASE_URL".to_owned(), "postgres://app:new@127.0.0.1:7/shop?sslmode=disable".to_owned())]
        );
        assert!(found.harmless[0].starts_with(".env.production (DATABASE_URL"), "{found:?}");
        let code = ("db.js", "require('dotenv').config({ path: '.env.production', override: true })\n");
        for (files, command) in [
            (vec![ENV, code], &["node", "db.js"][..]),
            (vec![ENV], &["sh", "-c", "set -a; . ./.env.production; npm run x"]),
            (vec![ENV], &["npx", "env-cmd", "-f", ".env.production", "x"]),
        ] {
            let found = look(&files, command, true).await;
            assert_eq!(found.refused.len(), 1, "{command:?}: {found:?}");
            assert_eq!((found.refused[0].path.as_path(), found.refused[0].line), (Path::new(".env.production"), 2));
        }
    }

    #[tokio::test]
    async fn a_text_that_names_production_is_refused_where_it_is_read_or_may_be() {
        let text = "const url = 'postgres://x@db.example.invalid/shop'\n";
        for (path, command, apart, refused) in [
            ("drizzle.config.ts", "npm", true, true),
            ("scripts/migrate.js", "scripts/migrate.js", true, true),
            ("scripts/migrate.js", "npm", true, false),
            ("scripts/migrate.js", "npm", false, true),
            ("node_modules/x/index.js", "npm", false, false),
            ("README.md", "npm", false, false),
            ("holdpoint.toml", "npm", false, false),
        ] {
            let found = look(&[(path, text)], &[command], apart).await;
            assert_eq!(!found.refused.is_empty(), refused, "{path} {command} {apart}: {found:?}");
            if refused {
                assert!(found.refused[0].cure.contains("the host db.example.invalid"), "{found:?}");
            }
        }
        let found = look(&[("scripts/migrate.js", text)], &["npm"], true).await;
        assert!(found.harmless[0].starts_with("scripts/migrate.js (names the host"), "{found:?}");
    }
}
