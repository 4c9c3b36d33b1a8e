//! node-pg-migrate's settings: flags of the script that calls it, and a JSON configuration file.

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
    let schema = text("migrations-schema", &[]).or(schemas).or_else(|| text("schema", &["-s"]));
    let name = text("migrations-table", &["-t"]).unwrap_or_else(|| "pgmigrations".to_owned());
    let table =
        choice.table.clone().unwrap_or_else(|| TableName::new(schema.unwrap_or_else(|| "public".to_owned()), name));
    connection.variable(text("database-url-var", &["-d"]).unwrap_or_else(|| "DATABASE_URL".to_owned()));
    connection.look_for_dotenv(project, &[])?;
    let options = NodePgMigrateOptions {
        check_order: switch("check-order", true),
        single_transaction: call.switch("single-transaction").unwrap_or(true),
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
    let section = json.get(call.flag(&["--config-value"]).unwrap_or("db")).cloned();
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
