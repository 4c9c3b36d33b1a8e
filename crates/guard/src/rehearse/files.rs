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

/// A file of variables.
struct Variables {
    path: PathBuf,
    text: String,
}

/// A file of source or configuration: what matters of it.
struct Text {
    path: PathBuf,
    /// The line that names production, and what it names.
    names: Option<(usize, String)>,
    /// The line that lets files of variables win over the environment.
    overrides: Option<usize>,
}

/// Everything that was read.
#[derive(Default)]
struct Gathered {
    variables: Vec<Variables>,
    texts: Vec<Text>,
    files: usize,
}

impl Look<'_> {
    /// Looks at every file.
    pub(super) fn look(&self) -> Looked {
        let mut gathered = Gathered::default();
        for folder in &self.folders {
            if !self.folders.iter().any(|other| other != folder && folder.starts_with(other)) {
                self.gather(folder, 0, &mut gathered);
            }
        }
        let mut looked = Looked::default();
        if gathered.files >= FILES {
            looked.harmless.push(format!("the first {FILES} files were looked at, and no others"));
        }
        let overriding = self.overriding(&gathered.texts);
        for one in &gathered.variables {
            self.dotenv(one, overriding.as_deref(), &mut looked);
        }
        for one in &gathered.texts {
            self.text(one, &mut looked);
        }
        looked
    }

    /// What takes a file's values before the environment's, in words.
    fn overriding(&self, texts: &[Text]) -> Option<String> {
        let words = self.command.join(" ");
        if let Some(sign) = overrides(&words) {
            return Some(format!("the command ({})", sign.trim()));
        }
        let found = texts.iter().find_map(|one| Some((self.shown(&one.path), one.overrides?)));
        found.map(|(path, line)| format!("{}:{line}", path.display()))
    }

    fn shown(&self, path: &Path) -> PathBuf {
        let below = self.folders.iter().find_map(|folder| path.strip_prefix(folder).ok());
        below.unwrap_or(path).to_owned()
    }

    /// A file of variables, which the environment's beat unless somebody says otherwise.
    fn dotenv(&self, file: &Variables, overriding: Option<&str>, looked: &mut Looked) {
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

    fn text(&self, file: &Text, looked: &mut Looked) {
        let Some((line, what)) = &file.names else { return };
        let path = self.shown(&file.path);
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        let configures = CONFIGURATION.iter().any(|known| name.starts_with(known));
        let is_named = self.command.iter().any(|word| word.contains(&*path.to_string_lossy()));
        if configures || is_named || !self.apart {
            let cure = format!("it names {what}: take that from a variable, such as DATABASE_URL");
            looked.refused.push(NamingFile { path, line: *line, cure });
        } else {
            let why = format!("names {what}, which the command's network does not reach");
            looked.harmless.push(format!("{} ({why})", path.display()));
        }
    }

    fn gather(&self, folder: &Path, depth: usize, gathered: &mut Gathered) {
        let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if gathered.files >= FILES {
                return;
            }
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if depth < DEPTH && !name.starts_with('.') && !FOLDERS.contains(&name.as_str()) {
                    self.gather(&path, depth + 1, gathered);
                }
            } else if is_read(&path, &name) && path.metadata().is_ok_and(|one| one.is_file() && one.len() <= FILE_BYTES)
            {
                gathered.files += 1;
                let Ok(bytes) = fs::read(&path) else { continue };
                self.take(path, &String::from_utf8_lossy(&bytes), gathered);
            }
        }
    }

    /// Keeps of a file what matters.
    fn take(&self, path: PathBuf, text: &str, gathered: &mut Gathered) {
        if is_dotenv(&path) {
            gathered.variables.push(Variables { path, text: text.to_owned() });
            return;
        }
        let numbered = || text.lines().enumerate();
        let names = numbered().find_map(|(at, line)| Some((at + 1, self.production.named_in(line)?)));
        // Elsewhere the same words mean something else.
        let reads = text.contains("dotenv") || text.contains(".env") || text.contains("env-cmd");
        let overrides = numbered().find(|(_, line)| reads && overrides(line).is_some()).map(|(at, _)| at + 1);
        if names.is_some() || overrides.is_some() {
            gathered.texts.push(Text { path, names, overrides });
        }
    }
}

fn overrides(text: &str) -> Option<&'static str> {
    OVERRIDES.iter().find(|sign| text.contains(**sign)).copied()
}

fn is_read(path: &Path, name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let known = is_dotenv(path) || ENDINGS.contains(&ending);
    let configures = CONFIGURATION.iter().any(|one| name.starts_with(one));
    // An example says what to write, not where to go.
    let example = ["example", "sample", "template", "dist"].contains(&ending);
    (known || configures) && !example && !OTHERS.contains(&name)
}

fn is_dotenv(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(".env") || name.ends_with(".env")
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
