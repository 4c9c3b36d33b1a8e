//! Prisma's configuration: `prisma.config.*`, the schema, `package.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config_text::{ConfigText, Value};
use super::files::bounded;
use super::package::Package;
use super::{Choice, Connection, Error, Found, TableName, Tool};

const LIMIT: u64 = 4 << 20;
const CONFIGS: [&str; 8] = [
    "prisma.config.ts",
    "prisma.config.js",
    "prisma.config.mjs",
    "prisma.config.cjs",
    "prisma.config.mts",
    ".config/prisma.ts",
    ".config/prisma.js",
    ".config/prisma.mjs",
];
const SCHEMAS: [&str; 3] = ["prisma/schema.prisma", "schema.prisma", "prisma/schema"];

/// What is known of a Prisma project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrismaOptions {
    /// Runs migrations through a driver adapter, which splits files at semicolons and uses no transaction.
    pub driver_adapter: bool,
}

/// The files that tell Prisma where everything is.
#[derive(Debug, Default)]
pub(super) struct PrismaFiles {
    /// The configuration's name and text.
    config: Option<(String, String)>,
    /// The schema: a file, or a folder of files.
    schema: Option<PathBuf>,
    /// The configuration computes where the schema is.
    schema_is_computed: bool,
}

impl PrismaFiles {
    /// Looks for them; `schema` is `None` where there is none at the usual places.
    pub(super) fn look(project: &Path, package: &Package) -> Result<Self, Error> {
        let call = package.call("prisma", &["migrate", "deploy"]).unwrap_or_default();
        let named = call.flag(&["--config"]).map(str::to_owned).filter(|name| project.join(name).is_file());
        let config = named.or_else(|| CONFIGS.into_iter().find(|name| project.join(name).is_file()).map(str::to_owned));
        let config = match config {
            Some(name) => {
                let text = String::from_utf8_lossy(&bounded(&project.join(&name), LIMIT)?).into_owned();
                Some((name, text))
            }
            None => None,
        };
        let of_config = config.as_ref().map(|(_, text)| ConfigText::read(text));
        let configured = of_config.as_ref().and_then(|config| config.get(&["schema"]));
        let literal = match configured {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let flag = call.flag(&["--schema"]).map(str::to_owned);
        let schema_is_computed = flag.is_none() && literal.is_none() && configured.is_some();
        let named = flag.or(literal);
        let named = named.or_else(|| package.text("prisma", "schema").map(str::to_owned));
        let usual = || SCHEMAS.into_iter().find(|path| project.join(path).exists()).map(str::to_owned);
        let schema = named.filter(|path| project.join(path).exists()).or_else(usual).map(|path| project.join(path));
        Ok(Self { config, schema, schema_is_computed })
    }

    /// The paths of configuration and schema, below the project's folder.
    ///
    /// # Errors
    /// Where a folder of schemas cannot be read.
    pub(super) fn paths(&self, project: &Path) -> Result<Vec<String>, Error> {
        let mut paths: Vec<String> = self.config.iter().map(|(name, _)| name.clone()).collect();
        for (path, _) in self.schema.as_ref().map(|schema| schema_sources(schema)).transpose()?.unwrap_or_default() {
            paths.push(path.strip_prefix(project).unwrap_or(&path).to_string_lossy().into_owned());
        }
        Ok(paths)
    }

    /// Whether there is anything of Prisma.
    pub(super) fn any(&self) -> Option<&str> {
        let config = self.config.as_ref().map(|(name, _)| name.as_str());
        config.or_else(|| self.schema.as_ref().map(|_| "a schema of Prisma"))
    }
}

/// What the files say.
pub(super) fn found(project: &Path, files: &PrismaFiles, choice: &Choice) -> Result<Found, Error> {
    let (config_name, text) = files.config.clone().unwrap_or_else(|| (String::new(), "{}".to_owned()));
    let config = ConfigText::read(&text);
    let mut connection = Connection::default();
    if files.config.is_some() {
        connection.look_for_override(&config_name, &text);
    }
    let sources = files.schema.as_ref().map(|schema| schema_sources(schema)).transpose()?.unwrap_or_default();
    let datasource = sources.iter().find(|(_, text)| text.contains("datasource"));
    for key in ["url", "directUrl"] {
        note(&mut connection, config.get(&["datasource", key]).filter(|_| files.config.is_some()), &config_name, key);
    }
    if let Some((path, text)) = datasource {
        let shown = path.strip_prefix(project).unwrap_or(path).to_string_lossy();
        // The direct one is what migrations use.
        for key in ["directUrl", "url"] {
            note(&mut connection, schema_value(text, key).as_ref(), &shown, key);
        }
    }
    let driver_adapter = match (config.get(&["adapter"]), config.get(&["engine"])) {
        _ if files.config.is_none() => false,
        (_, Some(Value::Text(engine))) => engine == "js",
        (Some(_), _) => true,
        (None, _) => false,
    };
    if driver_adapter {
        connection.computed(&config_name, "adapter");
    }
    let (migrations, named_by) = match (&choice.migrations, config.get(&["migrations", "path"])) {
        (Some(folder), _) => (project.join(folder), "--migrations".to_owned()),
        (None, Some(Value::Text(path))) => (project.join(path), config_name),
        (None, value) if value.is_some() || files.schema_is_computed => {
            let key = if value.is_some() { "migrations.path" } else { "schema" }.to_owned();
            let path = project.join(&config_name);
            return Err(Error::Computed { path, key, option: "--migrations DIR".to_owned() });
        }
        (None, _) => {
            let beside = datasource.and_then(|(path, _)| path.parent()).map(Path::to_owned);
            let folder = beside.unwrap_or_else(|| project.join("prisma"));
            (folder.join("migrations"), "the schema's place".to_owned())
        }
    };
    connection.look_for_dotenv(project, &["prisma"])?;
    let url_schema = choice.url_schema.clone().unwrap_or_else(|| "public".to_owned());
    let table = choice.table.clone().unwrap_or_else(|| TableName::new(url_schema, "_prisma_migrations"));
    let tool = Tool::Prisma(PrismaOptions { driver_adapter });
    Ok(Found { tool, project: project.to_owned(), migrations, named_by, table: Some(table), connection })
}

fn note(connection: &mut Connection, value: Option<&Value>, path: &str, key: &str) {
    match value {
        Some(Value::Variable(name, fallback)) => {
            connection.variable(name);
            if fallback.is_some() {
                connection.literal(path, key);
            }
        }
        Some(Value::Text(_)) => connection.literal(path, key),
        Some(_) => connection.computed(path, key),
        None => {}
    }
}

/// The texts of a schema: one file, or those of a folder.
fn schema_sources(schema: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
    let read = |path: PathBuf| Ok((path.clone(), String::from_utf8_lossy(&bounded(&path, LIMIT)?).into_owned()));
    if schema.is_file() {
        return Ok(vec![read(schema.to_owned())?]);
    }
    let unreadable = |source| Error::Unreadable { path: schema.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(schema).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|kind| kind == "prisma") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.into_iter().map(read).collect()
}

/// A value of the schema's `datasource`: `url = env("NAME")`, `url = "text"`.
fn schema_value(text: &str, key: &str) -> Option<Value> {
    let block = text.split_once("datasource")?.1;
    let block = block.split_once('}')?.0;
    let line = block.lines().find_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='))?.trim();
    if let Some(name) = line.strip_prefix("env(\"").and_then(|rest| rest.split_once('"')) {
        return Some(Value::Variable(name.0.to_owned(), None));
    }
    Some(if line.starts_with('"') { Value::Text(String::new()) } else { Value::Computed })
}
