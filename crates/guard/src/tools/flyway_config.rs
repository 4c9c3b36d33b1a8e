//! Flyway's configuration: `flyway.toml`, `flyway.conf`, and what is true without one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use holdpoint_core::Secret;
use serde::{Deserialize, Serialize};

use super::files::bounded;
use super::{Connection, Error, TableName};

const LIMIT: u64 = 1 << 20;
/// The files in the order in which later ones win.
const FILES: [&str; 4] = ["conf/flyway.conf", "conf/flyway.toml", "flyway.conf", "flyway.toml"];
/// Where migrations lie when nothing says where.
const FOLDERS: [&str; 5] =
    ["sql", "migrations", "db/migration", "src/main/resources/db/migration", "database/migrations"];
const TABLE: &str = "flyway_schema_history";
/// Settings that are read here, or change neither what runs nor where.
const READ: [&str; 35] = [
    "baselineDescription",
    "baselineMigrationPrefix",
    "baselineOnMigrate",
    "baselineVersion",
    "cleanDisabled",
    "color",
    "connectRetries",
    "connectRetriesInterval",
    "createSchemas",
    "defaultSchema",
    "email",
    "environment",
    "group",
    "ignoreMigrationPatterns",
    "installedBy",
    "licenseKey",
    "locations",
    "lockRetryCount",
    "loggers",
    "outOfOrder",
    "outputQueryResults",
    "outputType",
    "placeholderPrefix",
    "placeholderReplacement",
    "placeholderSuffix",
    "repeatableSqlMigrationPrefix",
    "schemas",
    "sqlMigrationPrefix",
    "sqlMigrationSeparator",
    "sqlMigrationSuffixes",
    "table",
    "target",
    "undoSqlMigrationPrefix",
    "validateMigrationNaming",
    "validateOnMigrate",
];

/// What Flyway's configuration says about pending migrations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlywayOptions {
    /// Runs versions below the last applied one too.
    pub out_of_order: bool,
    /// Takes a database with tables and without history for one at `baseline_version`.
    pub baseline_on_migrate: bool,
    /// The version of that.
    pub baseline_version: String,
    /// The last version to run; `None` for all.
    pub target: Option<String>,
    /// Refuses when files and history do not fit.
    pub validate: bool,
    /// Kinds of migrations that validation passes over, such as `*:future`.
    pub ignored: Vec<String>,
    /// Runs all pending migrations in one transaction.
    pub group: bool,
    /// What versioned, repeatable, undo and baseline migrations begin with.
    pub prefixes: [String; 4],
    /// What ends the version.
    pub separator: String,
    /// What names of migrations end with.
    pub suffixes: Vec<String>,
    /// The values of placeholders; `None` where none are replaced.
    pub placeholders: Option<BTreeMap<String, String>>,
    /// What begins and ends a placeholder.
    pub placeholder_signs: (String, String),
    /// The schema that it puts before the role's search path; `None` where none is named.
    pub default_schema: Option<String>,
}

impl Default for FlywayOptions {
    fn default() -> Self {
        Self {
            out_of_order: false,
            baseline_on_migrate: false,
            baseline_version: "1".to_owned(),
            target: None,
            validate: true,
            ignored: vec!["*:future".to_owned()],
            group: false,
            prefixes: ["V", "R", "U", "B"].map(str::to_owned),
            separator: "__".to_owned(),
            suffixes: vec![".sql".to_owned()],
            placeholders: Some(BTreeMap::new()),
            placeholder_signs: ("${".to_owned(), "}".to_owned()),
            default_schema: None,
        }
    }
}

/// A configuration as keys and values, without the `flyway.` before keys.
#[derive(Debug, Default)]
pub(super) struct FlywayConfig {
    values: BTreeMap<String, String>,
    files: Vec<String>,
    connection: Connection,
    /// The server's address where it is written down.
    url: Option<Secret>,
    /// Settings of environments that are not read.
    unread: Vec<String>,
}

impl FlywayConfig {
    /// Reads the configuration files of a project; without any, `is_there` is false.
    pub(super) fn read(project: &Path) -> Result<Self, Error> {
        let mut config = Self::default();
        for name in FILES {
            let path = project.join(name);
            if !path.is_file() {
                continue;
            }
            let text = String::from_utf8_lossy(&bounded(&path, LIMIT)?).into_owned();
            if name.ends_with(".toml") {
                config.toml(&path, name, &text)?;
            } else {
                config.properties(name, &text);
            }
            config.files.push(name.to_owned());
        }
        Ok(config)
    }

    /// The configuration file that counts most.
    pub(super) fn file(&self) -> Option<&str> {
        self.files.last().map(String::as_str)
    }

    fn properties(&mut self, name: &str, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '!'])) {
            if let Some((key, value)) = line.split_once('=') {
                self.set(name, key.trim().trim_start_matches("flyway."), value.trim());
            }
        }
    }

    fn toml(&mut self, path: &Path, name: &str, text: &str) -> Result<(), Error> {
        let bad = |reason: &str| Error::BadConfig { path: path.to_owned(), reason: reason.to_owned() };
        // The parser's own message would quote a line, which may hold a password.
        let table: toml::Table = text.parse().map_err(|_| bad("it is no TOML"))?;
        if let Some(toml::Value::Table(flyway)) = table.get("flyway") {
            self.tree(name, "", flyway);
        }
        if let Some(toml::Value::Table(environments)) = table.get("environments") {
            let used = self.values.get("environment").cloned().unwrap_or_else(|| "default".to_owned());
            for (environment, values) in environments {
                for key in values.as_table().into_iter().flat_map(toml::Table::keys) {
                    let whole = format!("environments.{environment}.{key}");
                    match key.as_str() {
                        "url" | "user" | "password" => {
                            self.place(name, &whole, values.get(key).and_then(|one| one.as_str()));
                        }
                        "schemas" | "displayName" => {}
                        _ => self.unread.push(whole),
                    }
                }
            }
            let of_used = |key: &str| environments.get(&used)?.get(key);
            if let Some(first) = of_used("schemas").and_then(|list| list.as_array()?.first()?.as_str()) {
                self.values.insert("schemas".to_owned(), first.to_owned());
            }
            if let Some(url) = of_used("url").and_then(toml::Value::as_str) {
                self.url = Some(Secret::from(url.to_owned()));
            }
        }
        Ok(())
    }

    fn tree(&mut self, name: &str, below: &str, table: &toml::Table) {
        for (key, value) in table {
            let key = if below.is_empty() { key.clone() } else { format!("{below}.{key}") };
            match value {
                toml::Value::Table(inner) => self.tree(name, &key, inner),
                toml::Value::Array(list) => {
                    let list: Vec<&str> = list.iter().filter_map(|one| one.as_str()).collect();
                    self.set(name, &key, &list.join(","));
                }
                toml::Value::String(text) => self.set(name, &key, text),
                other => self.set(name, &key, &other.to_string()),
            }
        }
    }

    fn set(&mut self, name: &str, key: &str, value: &str) {
        if matches!(key, "url" | "user" | "password") {
            self.place(name, key, Some(value));
            if key == "url" {
                self.url = Some(Secret::from(value.to_owned()));
            }
        } else {
            self.values.insert(key.to_owned(), value.to_owned());
        }
    }

    /// Notes where the connection is written down; `${env.NAME}` and `${NAME}` are variables.
    fn place(&mut self, name: &str, key: &str, value: Option<&str>) {
        let inner = value.and_then(|value| value.trim().strip_prefix("${")?.strip_suffix('}'));
        match inner {
            Some(variable) => self.connection.variable(variable.strip_prefix("env.").unwrap_or(variable)),
            None => self.connection.literal(name, key),
        }
    }

    /// The server's address where it is written down and names no variable.
    pub(super) fn url(&self) -> Option<&Secret> {
        self.url.as_ref().filter(|url| !url.expose().contains("${"))
    }

    /// A setting that is not read here, and may change what runs.
    pub(super) fn unread(&self) -> Option<&str> {
        let is_read = |key: &String| READ.contains(&key.as_str()) || key.starts_with("placeholders.");
        self.values.keys().find(|key| !is_read(key)).or(self.unread.first()).map(String::as_str)
    }

    /// The folder of migrations, where the configuration names one on the disk and no other.
    pub(super) fn disk_location(&self, project: &Path) -> Option<PathBuf> {
        match self.list("locations")?.as_slice() {
            [one] => Some(project.join(one.strip_prefix("filesystem:")?)),
            _ => None,
        }
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn list(&self, key: &str) -> Option<Vec<String>> {
        Some(self.get(key)?.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect())
    }

    /// The options; what is not set is Flyway's default.
    pub(super) fn options(&self) -> FlywayOptions {
        let default = FlywayOptions::default();
        let is = |key: &str, default: bool| self.get(key).map_or(default, |value| value.eq_ignore_ascii_case("true"));
        let text = |key: &str, default: &str| self.get(key).unwrap_or(default).to_owned();
        let keys =
            ["sqlMigrationPrefix", "repeatableSqlMigrationPrefix", "undoSqlMigrationPrefix", "baselineMigrationPrefix"];
        let mut prefixes = default.prefixes;
        for (prefix, key) in prefixes.iter_mut().zip(keys) {
            *prefix = text(key, prefix);
        }
        let given = self.values.iter().filter_map(|(key, value)| {
            let name = key.strip_prefix("placeholders.")?;
            Some((name.to_lowercase(), value.clone()))
        });
        FlywayOptions {
            out_of_order: is("outOfOrder", false),
            baseline_on_migrate: is("baselineOnMigrate", false),
            baseline_version: text("baselineVersion", "1"),
            target: self.get("target").filter(|target| *target != "latest").map(str::to_owned),
            validate: is("validateOnMigrate", true),
            ignored: self.list("ignoreMigrationPatterns").unwrap_or(default.ignored),
            group: is("group", false),
            prefixes,
            separator: text("sqlMigrationSeparator", "__"),
            suffixes: self.list("sqlMigrationSuffixes").unwrap_or(default.suffixes),
            placeholders: is("placeholderReplacement", true).then(|| given.collect()),
            placeholder_signs: (text("placeholderPrefix", "${"), text("placeholderSuffix", "}")),
            default_schema: self.default_schema(),
        }
    }

    /// The history table; Flyway makes it in the first schema, which is the role's own where none is named.
    pub(super) fn table(&self) -> TableName {
        TableName::new(self.default_schema().unwrap_or_else(|| "public".to_owned()), self.get("table").unwrap_or(TABLE))
    }

    fn default_schema(&self) -> Option<String> {
        let first = self.list("schemas").and_then(|schemas| schemas.into_iter().next());
        self.get("defaultSchema").map(str::to_owned).or(first)
    }

    /// Where the connection comes from.
    pub(super) fn connection(&self) -> Connection {
        let mut connection = self.connection.clone();
        for name in ["FLYWAY_URL", "FLYWAY_USER", "FLYWAY_PASSWORD"] {
            connection.variable(name);
        }
        connection
    }

    /// The folder of migrations and what names it.
    ///
    /// # Errors
    /// [`Error::Computed`] where several or none on the disk are named.
    pub(super) fn folder(&self, project: &Path) -> Result<(PathBuf, String), Error> {
        let file = self.file().unwrap_or_default();
        let Some(locations) = self.list("locations") else {
            let usual = FOLDERS.iter().find(|folder| holds_versions(&project.join(folder), &self.options()));
            return Ok((project.join(usual.copied().unwrap_or("sql")), "Flyway's default".to_owned()));
        };
        let disk = |location: &String| match location.split_once(':') {
            Some(("filesystem", path)) => Some(PathBuf::from(path)),
            Some(("classpath", path)) => Some(Path::new("src/main/resources").join(path)),
            _ => None,
        };
        match locations.iter().map(disk).collect::<Option<Vec<_>>>().as_deref() {
            Some([one]) => Ok((project.join(one), format!("locations in {file}"))),
            _ => Err(Error::Computed {
                path: project.join(file),
                key: "locations".to_owned(),
                option: "--migrations DIR, or one filesystem: location".to_owned(),
            }),
        }
    }
}

/// The server's address in a project's Flyway configuration, where it is written down there.
pub fn flyway_url(project: &Path) -> Option<Secret> {
    FlywayConfig::read(project).ok()?.url().cloned()
}

/// Whether a folder holds versioned migrations of Flyway.
pub(super) fn holds_versions(folder: &Path, options: &FlywayOptions) -> bool {
    let names =
        std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.into_iter().any(|name| super::flyway_name::FlywayName::read(&name, options).is_some())
}

/// The usual folder that holds Flyway's migrations where no configuration says so.
pub(super) fn usual_folder(project: &Path) -> Option<&'static str> {
    let options = FlywayOptions::default();
    FOLDERS.into_iter().find(|folder| holds_versions(&project.join(folder), &options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let conf = "# x\nflyway.url=jdbc:postgresql://h/d?password=secret\nflyway.locations=filesystem:db\n\
                    flyway.outOfOrder=true\nflyway.schemas=app,other\nflyway.placeholders.Owner=me\nflyway.target=3\n";
        let toml = "[flyway]\nlocations = [\"filesystem:db\"]\noutOfOrder = true\nenvironment = \"prod\"\ntarget = \"3\"\n\
                    [flyway.placeholders]\nOwner = \"me\"\n[environments.prod]\n\
                    url = \"jdbc:postgresql://h/d?password=secret\"\nschemas = [\"app\"]\n";
        for (name, text) in [("flyway.conf", conf), ("flyway.toml", toml)] {
            let project = tempfile::tempdir().unwrap();
            std::fs::write(project.path().join(name), text).unwrap();
            let config = FlywayConfig::read(project.path()).unwrap();
            let options = config.options();
            assert!(options.out_of_order && options.validate);
            assert_eq!(options.target.as_deref(), Some("3"));
            assert_eq!(options.placeholders.unwrap()["owner"], "me");
            assert_eq!(config.table(), TableName::new("app", TABLE));
            assert_eq!(config.folder(project.path()).unwrap().0, project.path().join("db"));
            let connection = config.connection();
            assert_eq!(connection.literals.len(), 1, "{connection:?}");
            assert!(!format!("{config:?}").contains("secret"));
        }
    }

    #[test]
    fn a_broken_file_shows_none_of_its_lines() {
        let project = tempfile::tempdir().unwrap();
        std::fs::write(project.path().join("flyway.toml"), "[environments.default]\npassword = \"secret\n").unwrap();
        let error = FlywayConfig::read(project.path()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
