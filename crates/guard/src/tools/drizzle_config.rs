//! `drizzle.config.*`: where migrations and their table are.

use std::path::Path;

use super::config_text::{ConfigText, Value};
use super::files::bounded;
use super::package::Package;
use super::{Choice, Connection, DrizzleOptions, Error, Found, TableName, Tool};

const LIMIT: u64 = 1 << 20;
const FILES: [&str; 6] = [
    "drizzle.config.ts",
    "drizzle.config.js",
    "drizzle.config.mjs",
    "drizzle.config.cjs",
    "drizzle.config.mts",
    "drizzle.config.json",
];

/// The configuration file that a script names or that has the usual name; `None` where there is none.
pub(super) fn config_file(project: &Path, package: &Package) -> Option<String> {
    let call = package.call("drizzle-kit", &["migrate"]);
    let named = call.as_ref().and_then(|call| call.flag(&["--config", "-c"])).map(str::to_owned);
    let usual = || FILES.into_iter().find(|name| project.join(name).is_file()).map(str::to_owned);
    named.filter(|name| project.join(name).is_file()).or_else(usual)
}

/// What the configuration says.
pub(super) fn found(project: &Path, package: &Package, choice: &Choice) -> Result<Found, Error> {
    let name = config_file(project, package);
    let text = match &name {
        Some(name) => String::from_utf8_lossy(&bounded(&project.join(name), LIMIT)?).into_owned(),
        None => "{}".to_owned(),
    };
    let config = ConfigText::read(&text);
    let shown = name.clone().unwrap_or_else(|| "Drizzle's default".to_owned());
    let file = project.join(name.as_deref().unwrap_or("drizzle.config.ts"));
    let literal = |path: &[&str], option: &str| match config.get(path) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Error::Computed { path: file.clone(), key: path.join("."), option: option.to_owned() }),
    };
    if let Some(Value::Text(dialect)) = config.get(&["dialect"]).filter(|_| name.is_some())
        && dialect != "postgresql"
    {
        return Err(Error::BadConfig { path: file, reason: format!("its dialect is {dialect}, not postgresql") });
    }
    let migrations = match &choice.migrations {
        Some(folder) => project.join(folder),
        None => project.join(literal(&["out"], "--migrations DIR")?.unwrap_or_else(|| "drizzle".to_owned())),
    };
    let table = match &choice.table {
        Some(table) => table.clone(),
        None => {
            let option = "--migrations-table SCHEMA.TABLE";
            let schema = literal(&["migrations", "schema"], option)?.unwrap_or_else(|| "drizzle".to_owned());
            let name = literal(&["migrations", "table"], option)?.unwrap_or_else(|| "__drizzle_migrations".to_owned());
            TableName::new(schema, name)
        }
    };
    let mut connection = Connection::default();
    connection.look_for_override(&shown, &text);
    for key in ["url", "connectionString", "host", "port", "user", "password", "database"] {
        match config.get(&["dbCredentials", key]) {
            Some(Value::Variable(name, fallback)) => {
                connection.variable(name);
                if fallback.is_some() {
                    connection.literal(&shown, &format!("dbCredentials.{key}"));
                }
            }
            Some(Value::Text(_)) => connection.literal(&shown, &format!("dbCredentials.{key}")),
            Some(Value::Computed) => connection.computed(&shown, &format!("dbCredentials.{key}")),
            _ => {}
        }
    }
    connection.look_for_dotenv(project, &[])?;
    let tool = Tool::Drizzle(DrizzleOptions { major: major(project, package) });
    Ok(Found { tool, project: project.to_owned(), migrations, named_by: shown, table: Some(table), connection })
}

/// The major version: what is installed, else what is asked for.
fn major(project: &Path, package: &Package) -> Option<u32> {
    let installed = |folder: &Path| {
        let bytes = bounded(&folder.join("node_modules/drizzle-orm/package.json"), LIMIT).ok()?;
        let json: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        first_number(json.get("version")?.as_str()?)
    };
    // In a workspace of packages, dependencies may lie above.
    let installed = project.ancestors().take(4).find_map(installed);
    installed.or_else(|| first_number(package.version("drizzle-orm")?))
}

fn first_number(version: &str) -> Option<u32> {
    let digits = version.trim_start_matches(['^', '~', '>', '=', ' ', 'v']);
    digits.split(|sign: char| !sign.is_ascii_digit()).next()?.parse().ok()
}
