//! node-pg-migrate's settings: flags of the script that calls it, and a JSON configuration file.

use std::ffi::OsString;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::bounded;
use super::package::{Call, Package};
use super::{Choice, Connection, Error, Found, TableName, Tool};

const LIMIT: u64 = 1 << 20;
const DEPENDENCY: &str = "node-pg-migrate";

/// What node-pg-migrate's settings say about pending migrations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePgMigrateOptions {
    /// Refuses where rows and files are in different orders.
    pub check_order: bool,
    /// Runs all pending migrations in one transaction.
    pub single_transaction: bool,
    /// The search path that it sets before it runs anything.
    pub schemas: Vec<String>,
}

/// Whether a project uses it.
pub(super) fn is_used(package: &Package) -> bool {
    package.depends_on(DEPENDENCY) || package.call(DEPENDENCY, &[]).is_some()
}

/// What flags and configuration say; a flag counts less than the configuration, as in the tool.
pub(super) fn found(project: &Path, package: &Package, choice: &Choice) -> Result<Found, Error> {
    let call = package.call(DEPENDENCY, &["up"]).unwrap_or_default();
    let mut connection = Connection { pg_variables: true, ..Connection::default() };
    let config = config(project, &call, &mut connection)?;
    let text = |key: &str, short: &[&str]| {
        let in_config = config.as_ref().and_then(|(_, json)| json.get(key)?.as_str()).map(str::to_owned);
        let long = format!("--{key}");
        let names: Vec<&str> = short.iter().copied().chain([long.as_str()]).collect();
        in_config.or_else(|| call.flag(&names).map(str::to_owned))
    };
    if let Some(name) = beside(project, package, &call)? {
        if choice.migrations.is_none() || choice.table.is_none() {
            let (key, option) = (section(&call).to_owned(), "--migrations DIR and --migrations-table SCHEMA.TABLE");
            return Err(Error::Computed { path: project.join(name), key, option: option.to_owned() });
        }
        connection.computed(&name, section(&call));
    }
    let switch = |key: &str, default: bool| {
        let in_config = config.as_ref().and_then(|(_, json)| json.get(key)?.as_bool());
        in_config.or_else(|| call.switch(key)).unwrap_or(default)
    };
    let computed = |key: &str, option: &str| Error::Computed {
        path: config.as_ref().map_or_else(|| project.join("package.json"), |(name, _)| project.join(name)),
        key: key.to_owned(),
        option: option.to_owned(),
    };
    if switch("use-glob", false) && choice.migrations.is_none() {
        return Err(computed("use-glob", "--migrations DIR, where the files lie in one folder"));
    }
    if text("ignore-pattern", &[]).is_some() {
        return Err(computed("ignore-pattern", "--pending-cmd COMMAND"));
    }
    let named = text("migrations-dir", &["-m"]);
    let named_by = named.as_ref().map_or("node-pg-migrate's default", |_| "migrations-dir").to_owned();
    let migrations =
        choice.migrations.clone().unwrap_or_else(|| named.unwrap_or_else(|| "migrations".to_owned()).into());
    let schemas =
        config.as_ref().and_then(|(_, json)| json.get("schema")?.as_array()?.first()?.as_str()).map(str::to_owned);
    let first = schemas.clone().or_else(|| text("schema", &["-s"]));
    let all = config.as_ref().and_then(|(_, json)| json.get("schema")?.as_array().cloned());
    let all: Option<Vec<String>> =
        all.map(|all| all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect());
    let path = all.unwrap_or_else(|| vec![first.unwrap_or_else(|| "public".to_owned())]);
    let schema = text("migrations-schema", &[]).or(schemas).or_else(|| text("schema", &["-s"]));
    let name = text("migrations-table", &["-t"]).unwrap_or_else(|| "pgmigrations".to_owned());
    let table =
        choice.table.clone().unwrap_or_else(|| TableName::new(schema.unwrap_or_else(|| "public".to_owned()), name));
    connection.variable(text("database-url-var", &["-d"]).unwrap_or_else(|| "DATABASE_URL".to_owned()));
    connection.look_for_dotenv(project, &[])?;
    let options = NodePgMigrateOptions {
        check_order: switch("check-order", true),
        single_transaction: call.switch("single-transaction").unwrap_or(true),
        schemas: path,
    };
    let migrations = project.join(migrations);
    let tool = Tool::NodePgMigrate(options);
    Ok(Found { tool, project: project.to_owned(), migrations, named_by, table: Some(table), connection })
}

/// The section of the configuration: a file that a flag names, or `config/default.json` of the package `config`.
fn config(project: &Path, call: &Call, connection: &mut Connection) -> Result<Option<(String, Value)>, Error> {
    let named = call.flag(&["-f", "--config-file"]).map(str::to_owned);
    let usual = || Some("config/default.json".to_owned()).filter(|name| project.join(name).is_file());
    let Some(name) = named.or_else(usual) else { return Ok(None) };
    let path = project.join(&name);
    if path.extension().is_none_or(|kind| kind != "json") {
        let (key, option) = ("the configuration".to_owned(), "--migrations DIR and --migrations-table SCHEMA.TABLE");
        return Err(Error::Computed { path, key, option: option.to_owned() });
    }
    let bad =
        |error: serde_json::Error| Error::BadConfig { path: path.clone(), reason: format!("{:?}", error.classify()) };
    let json: Value = serde_json::from_slice(&bounded(&path, LIMIT)?).map_err(bad)?;
    let section = json.get(section(call)).cloned();
    let is_usual = call.flag(&["-f", "--config-file"]).is_none();
    let Some(section) = section.or_else(|| (!is_usual).then_some(json)) else { return Ok(None) };
    if section.is_string() {
        connection.literal(&name, "db");
    }
    for key in ["url", "host", "database", "name", "user", "password"] {
        if section.get(key).is_some() {
            connection.literal(&name, key);
        }
    }
    Ok(Some((name, section)))
}

/// The name of the tool's section.
fn section(call: &Call) -> &str {
    call.flag(&["--config-value"]).unwrap_or("db")
}

/// A file beside `config/default.json` that may hold the section, too: the package `config` merges those of the
/// deployment (`NODE_ENV`), the machine and others over it, in many formats, and some are programs.
///
/// Source: node-config, "Configuration Files".
fn beside(project: &Path, package: &Package, call: &Call) -> Result<Option<String>, Error> {
    let folder = project.join("config");
    let is_there = package.depends_on("config") || project.join("node_modules/config").is_dir();
    if !is_there || !folder.is_dir() {
        return Ok(None);
    }
    let unreadable = |source| Error::Unreadable { path: folder.clone(), source };
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "default.json" && entry.path().is_file() {
            names.push(name);
        }
    }
    names.sort();
    for name in names {
        let text = String::from_utf8_lossy(&bounded(&folder.join(&name), LIMIT)?).into_owned();
        let holds = match name.rsplit_once('.').map(|(_, kind)| kind) {
            Some("json") => match serde_json::from_str::<Value>(&text) {
                Ok(json) => json.get(section(call)).is_some(),
                // It may be JSON with comments.
                Err(_) => text.contains(section(call)),
            },
            Some("json5" | "hjson" | "yaml" | "yml" | "toml" | "properties" | "xml" | "cson" | "iced") => {
                text.contains(section(call))
            }
            Some("js" | "cjs" | "mjs" | "ts" | "cts" | "mts" | "coffee") => true,
            _ => false,
        };
        if holds {
            return Ok(Some(format!("config/{name}")));
        }
    }
    Ok(None)
}

/// Makes sure that nothing configures the tool but what was read.
///
/// # Errors
/// The reason why that cannot be told, in words.
pub(super) fn as_read(found: &Found, package: &Package, environment: &[(OsString, OsString)]) -> Result<(), String> {
    let call = package.call(DEPENDENCY, &["up"]).unwrap_or_default();
    match beside(&found.project, package, &call) {
        Ok(None) => {}
        Ok(Some(name)) => return Err(format!("{name} configures it, too, and is not read")),
        Err(error) => return Err(error.to_string()),
    }
    let names = environment.iter().map(|(name, _)| name.to_string_lossy());
    let mut other = names.filter(|name| matches!(&**name, "NODE_CONFIG" | "NODE_CONFIG_DIR"));
    other.next().map_or(Ok(()), |name| Err(format!("{name} is set, and what node-pg-migrate reads by it is not known")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(files: &[(&str, &str)], choice: &Choice) -> Result<(Found, Result<(), String>), Error> {
        let project = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = project.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let package = Package::read(project.path()).unwrap();
        let found = found(project.path(), &package, choice)?;
        let read = as_read(&found, &package, &[]);
        Ok((found, read))
    }

    const PACKAGE: (&str, &str) = (
        "package.json",
        r#"{"dependencies": {"node-pg-migrate": "9", "config": "4"}, "scripts": {"m": "node-pg-migrate up"}}"#,
    );
    const DEFAULT: (&str, &str) = ("config/default.json", r#"{"db": {"migrations-dir": "sql"}}"#);

    #[test]
    fn what_the_package_config_merges_over_the_default_is_not_passed_over() {
        let none = Choice::default();
        let (read, known) = told(&[PACKAGE, DEFAULT, ("config/test.json", r#"{"port": 1}"#)], &none).unwrap();
        assert!(read.migrations.ends_with("sql"));
        assert_eq!(known, Ok(()));
        for (path, text) in [
            ("config/production.json", r#"{"db": {"migrations-dir": "other"}}"#),
            ("config/local.yml", "db:\n  migrations-dir: other\n"),
            ("config/production.js", "module.exports = require('./x')"),
        ] {
            let error = told(&[PACKAGE, DEFAULT, (path, text)], &none).unwrap_err();
            assert!(matches!(&error, Error::Computed { path: named, .. } if named.ends_with(path)), "{path}: {error}");
            let said = Choice {
                migrations: Some("sql".into()),
                table: Some(TableName::new("public", "pgmigrations")),
                ..Choice::default()
            };
            let (_, known) = told(&[PACKAGE, DEFAULT, (path, text)], &said).unwrap();
            assert!(known.unwrap_err().contains(path), "nobody knows what the command does");
        }
        // Without the package nothing is merged.
        let plain = ("package.json", r#"{"dependencies": {"node-pg-migrate": "9"}}"#);
        let other = ("config/production.json", r#"{"db": {"migrations-dir": "other"}}"#);
        assert!(told(&[plain, DEFAULT, other], &none).is_ok());
    }
}
