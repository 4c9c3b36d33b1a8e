//! Finds the tool that a project uses, by its files alone.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::flyway_config::{self, FlywayConfig};
use super::package::Package;
use super::prisma_config::{self, PrismaFiles};
use super::rollback::is_rollback;
use super::{Connection, Error, Found, TableName, Tool, ToolName};
use super::{drizzle_config, node_pg_migrate_config};

/// Folders of SQL files that need no tool to be found, in the order in which they are looked for.
const PLAIN: [&str; 6] = ["migrations", "db/migrations", "database/migrations", "sql/migrations", "db/migrate", "sql"];

/// Tools without an adapter: a file that gives them away, and a command that lists what is pending.
const WITHOUT_ADAPTER: [(&str, &str, &str); 10] = [
    ("Alembic", "alembic.ini", "a script that prints the files between alembic current and heads"),
    ("Rails", "config/application.rb", "bin/rails db:migrate:status"),
    ("Django", "manage.py", "python manage.py showmigrations --plan"),
    ("Knex", "knexfile.js", "npx knex migrate:list"),
    ("Knex", "knexfile.ts", "npx knex migrate:list"),
    ("Atlas", "atlas.hcl", "atlas migrate status"),
    ("Liquibase", "liquibase.properties", "liquibase status"),
    ("Diesel", "diesel.toml", "diesel migration list"),
    ("Supabase CLI", "supabase/config.toml", "supabase migration list"),
    ("dbmate", "db/schema.sql", "dbmate status"),
];

/// What a person said about the tool; it beats what is found.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The tool (`--tool`).
    pub tool: Option<ToolName>,
    /// The folder of migrations (`--migrations`), absolute or below the project.
    pub migrations: Option<PathBuf>,
    /// The tracking table (`--migrations-table`).
    pub table: Option<TableName>,
    /// The schema that the connection's URL names (`?schema=`), which is where Prisma keeps its table.
    pub url_schema: Option<String>,
}

/// A tool that a project seems to use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The tool.
    pub tool: ToolName,
    /// What gives it away.
    pub because: String,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Search {
    /// One tool.
    Found(Box<Found>),
    /// None; with what was looked for, and tools that were seen but have no adapter.
    NoTool {
        /// The files and folders.
        looked_for: Vec<String>,
        /// Tools without an adapter, and how they list what is pending.
        seen: Vec<String>,
    },
    /// More than one: `--tool` says which.
    Several {
        /// They.
        candidates: Vec<Candidate>,
    },
}

impl Search {
    /// The one tool.
    ///
    /// # Errors
    /// [`Error::NoTool`] and [`Error::SeveralTools`], with what was seen.
    pub fn one(self) -> Result<Found, Error> {
        match self {
            Self::Found(found) => Ok(*found),
            Self::NoTool { looked_for, seen } => Err(Error::NoTool { looked_for, seen }),
            Self::Several { candidates } => Err(Error::SeveralTools { candidates }),
        }
    }
}

/// Finds the tool of a project; reads its configuration, and runs none of it.
///
/// # Errors
/// Where a configuration cannot be read, or computes what has to be known.
pub fn find(project: &Path, choice: &Choice) -> Result<Search, Error> {
    if !project.is_dir() {
        return Err(Error::NoFolder { path: project.to_owned(), named_by: "the project's folder".to_owned() });
    }
    // Another tool's broken file does not matter to the one that was named.
    let wants = |tools: &[ToolName]| choice.tool.is_none_or(|tool| tools.contains(&tool));
    let of_node = wants(&[ToolName::Drizzle, ToolName::Prisma, ToolName::NodePgMigrate]);
    let package = if of_node { Package::read(project)? } else { Package::default() };
    let flyway = if wants(&[ToolName::Flyway]) { FlywayConfig::read(project)? } else { FlywayConfig::default() };
    let looking = Looking { project, choice, package, flyway };
    if let Some(tool) = choice.tool {
        return Ok(Search::Found(Box::new(looking.found(tool)?)));
    }
    let mut candidates = looking.candidates()?;
    if candidates.len() > 1 {
        return Ok(Search::Several { candidates });
    }
    if let Some(candidate) = candidates.pop() {
        return Ok(Search::Found(Box::new(looking.found(candidate.tool)?)));
    }
    if choice.migrations.is_some() || looking.plain_folder().is_some() {
        return Ok(Search::Found(Box::new(looking.found(ToolName::PlainSql)?)));
    }
    Ok(looking.nothing())
}

struct Looking<'a> {
    project: &'a Path,
    choice: &'a Choice,
    package: Package,
    flyway: FlywayConfig,
}

impl Looking<'_> {
    fn candidates(&self) -> Result<Vec<Candidate>, Error> {
        let mut candidates = Vec::new();
        let mut add = |tool, because: String| candidates.push(Candidate { tool, because });
        if let Some(config) = drizzle_config::config_file(self.project, &self.package) {
            add(ToolName::Drizzle, config);
        } else if self.package.depends_on("drizzle-kit") {
            add(ToolName::Drizzle, "drizzle-kit in package.json".to_owned());
        }
        let prisma = PrismaFiles::look(self.project, &self.package)?;
        if let Some(because) = prisma.any() {
            add(ToolName::Prisma, because.to_owned());
        } else if self.package.depends_on("prisma") {
            add(ToolName::Prisma, "prisma in package.json".to_owned());
        }
        if let Some(file) = self.flyway.file() {
            add(ToolName::Flyway, file.to_owned());
        } else if let Some(folder) = self.versioned_folder() {
            add(ToolName::Flyway, format!("V…__….sql in {folder}"));
        }
        if node_pg_migrate_config::is_used(&self.package) {
            add(ToolName::NodePgMigrate, "node-pg-migrate in package.json".to_owned());
        }
        Ok(candidates)
    }

    /// The folder that holds Flyway's names without a configuration.
    fn versioned_folder(&self) -> Option<String> {
        if let Some(folder) = &self.choice.migrations {
            let holds = flyway_config::holds_versions(&self.project.join(folder), &self.flyway.options());
            return holds.then(|| folder.display().to_string());
        }
        flyway_config::usual_folder(self.project).map(str::to_owned)
    }

    fn found(&self, tool: ToolName) -> Result<Found, Error> {
        match tool {
            ToolName::Drizzle => drizzle_config::found(self.project, &self.package, self.choice),
            ToolName::Prisma => {
                let files = PrismaFiles::look(self.project, &self.package)?;
                prisma_config::found(self.project, &files, self.choice)
            }
            ToolName::NodePgMigrate => node_pg_migrate_config::found(self.project, &self.package, self.choice),
            ToolName::Flyway => self.flyway(),
            ToolName::PlainSql => self.plain(Tool::PlainSql),
            ToolName::Command => self.plain(Tool::Command),
        }
    }

    fn flyway(&self) -> Result<Found, Error> {
        let (migrations, named_by) = match &self.choice.migrations {
            Some(folder) => (self.project.join(folder), "--migrations".to_owned()),
            None => self.flyway.folder(self.project)?,
        };
        let mut connection = self.flyway.connection();
        connection.look_for_dotenv(self.project, &[])?;
        Ok(Found {
            tool: Tool::Flyway(Box::new(self.flyway.options())),
            project: self.project.to_owned(),
            migrations,
            named_by,
            table: Some(self.choice.table.clone().unwrap_or_else(|| self.flyway.table())),
            connection,
        })
    }

    fn plain(&self, tool: Tool) -> Result<Found, Error> {
        if self.choice.table.is_some() {
            return Err(Error::NoTable { tool: tool.name() });
        }
        let named = self.choice.migrations.clone();
        let named_by = if named.is_some() { "--migrations" } else { "the usual name" }.to_owned();
        let folder = named.or_else(|| self.plain_folder().map(PathBuf::from)).unwrap_or_else(|| PLAIN[0].into());
        let mut connection = Connection { pg_variables: true, ..Connection::default() };
        connection.variable("DATABASE_URL");
        connection.look_for_dotenv(self.project, &[])?;
        let (project, migrations) = (self.project.to_owned(), self.project.join(folder));
        Ok(Found { tool, project, migrations, named_by, table: None, connection })
    }

    fn plain_folder(&self) -> Option<&'static str> {
        PLAIN.into_iter().find(|folder| {
            let entries = std::fs::read_dir(self.project.join(folder)).into_iter().flatten();
            let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            names.any(|name| name.to_lowercase().ends_with(".sql") && !is_rollback(&name))
        })
    }

    fn nothing(&self) -> Search {
        let mut looked_for: Vec<String> = [
            "drizzle.config.*",
            "prisma.config.* and prisma/schema.prisma",
            "flyway.toml and flyway.conf",
            "V…__….sql in the usual folders",
            "drizzle-kit, prisma and node-pg-migrate in package.json",
        ]
        .map(str::to_owned)
        .into();
        looked_for.extend(PLAIN.map(|folder| format!("{folder}/*.sql")));
        let is_there = |(_, file, _): &&(&str, &str, &str)| self.project.join(file).is_file();
        let seen = WITHOUT_ADAPTER.iter().filter(is_there);
        let mut seen: Vec<String> =
            seen.map(|(name, file, way)| format!("{name} ({file}): --pending-cmd with what {way} gives")).collect();
        seen.dedup();
        Search::NoTool { looked_for, seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A project of files.
    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    fn one(files: &[(&str, &str)], choice: &Choice) -> Found {
        let folder = project(files);
        let Search::Found(found) = find(folder.path(), choice).unwrap() else { panic!("{files:?}") };
        let migrations = found.migrations.strip_prefix(folder.path()).unwrap().to_owned();
        Found { migrations, ..*found }
    }

    #[test]
    fn each_tool_is_found_with_its_places() {
        let default = Choice::default();
        let drizzle = [
            (
                "drizzle.config.ts",
                "export default defineConfig({ out: './db/m', migrations: { schema: 'x' }, dbCredentials: { url: process.env.URL! } })",
            ),
            ("package.json", "{\"devDependencies\":{\"drizzle-kit\":\"1\",\"drizzle-orm\":\"^1.0.0-rc.5\"}}"),
            (".env", "URL=postgres://u:p@h/d"),
        ];
        let found = one(&drizzle, &default);
        assert_eq!(found.tool, Tool::Drizzle(super::super::DrizzleOptions { major: Some(1) }));
        assert_eq!(found.migrations, Path::new("db/m"));
        assert_eq!(found.table, Some(TableName::new("x", "__drizzle_migrations")));
        assert_eq!(found.connection.variables, ["URL"]);
        assert_eq!(found.connection.dotenv.len(), 1);

        let schema = "generator client {}\ndatasource db {\n  provider = \"postgresql\"\n  url = env(\"DATABASE_URL\")\n  directUrl = env(\"DIRECT_URL\")\n}\n";
        let choice = Choice { url_schema: Some("app".to_owned()), ..Choice::default() };
        let found = one(&[("prisma/schema.prisma", schema)], &choice);
        assert_eq!(found.tool.name(), ToolName::Prisma);
        assert_eq!(found.migrations, Path::new("prisma/migrations"));
        assert_eq!(found.table, Some(TableName::new("app", "_prisma_migrations")));
        assert_eq!(found.connection.variables, ["DIRECT_URL", "DATABASE_URL"]);
        let config = (
            "prisma.config.ts",
            "export default defineConfig({ engine: 'js', adapter: async () => 1, migrations: { path: 'db' }, datasource: { url: env('U') } })",
        );
        let found = one(&[("prisma/schema.prisma", schema), config], &default);
        assert_eq!(found.migrations, Path::new("db"));
        assert_eq!(found.tool.transactions(), super::super::Transactions::None);

        let found = one(&[("flyway.toml", "[flyway]\nlocations = [\"filesystem:db\"]\n")], &default);
        assert_eq!((found.tool.name(), found.migrations.as_path()), (ToolName::Flyway, Path::new("db")));
        let found = one(&[("migrations/V001__x.sql", "")], &default);
        assert_eq!((found.tool.name(), found.migrations.as_path()), (ToolName::Flyway, Path::new("migrations")));

        let package = "{\"devDependencies\":{\"node-pg-migrate\":\"9\"},\"scripts\":{\"migrate\":\"node-pg-migrate -m db -t log --migrations-schema ops\"}}";
        let found = one(&[("package.json", package)], &default);
        assert_eq!((found.tool.name(), found.migrations.as_path()), (ToolName::NodePgMigrate, Path::new("db")));
        assert_eq!(found.table, Some(TableName::new("ops", "log")));
        assert!(found.connection.pg_variables);

        let found = one(&[("db/migrations/1_a.sql", "")], &default);
        assert_eq!((found.tool.name(), found.table), (ToolName::PlainSql, None));
        let choice = Choice { migrations: Some("x".into()), ..Choice::default() };
        assert_eq!(one(&[("x/1.sql", "")], &choice).tool.name(), ToolName::PlainSql);
        let choice = Choice { table: Some(TableName::new("public", "log")), ..choice };
        let folder = project(&[("x/1.sql", "")]);
        assert!(matches!(find(folder.path(), &choice), Err(Error::NoTable { tool: ToolName::PlainSql })));
    }

    #[test]
    fn none_and_several_say_what_there_is() {
        let folder = project(&[("alembic.ini", ""), ("src/x.sql", ""), ("migrations/1_down.sql", "")]);
        let Search::NoTool { looked_for, seen } = find(folder.path(), &Choice::default()).unwrap() else { panic!() };
        assert!(looked_for.iter().any(|one| one == "drizzle.config.*"));
        assert!(seen.len() == 1 && seen[0].starts_with("Alembic (alembic.ini): --pending-cmd"), "{seen:?}");
        let error = find(folder.path(), &Choice::default()).unwrap().one().unwrap_err();
        assert_eq!(error.to_string(), "no migration tool and no folder of SQL files was found");
        assert!(error.hint().unwrap().contains("alembic current"), "{:?}", error.hint());

        let folder = project(&[("drizzle.config.ts", "export default {}"), ("prisma/schema.prisma", "")]);
        let Search::Several { candidates } = find(folder.path(), &Choice::default()).unwrap() else { panic!() };
        assert_eq!(candidates.iter().map(|one| one.tool).collect::<Vec<_>>(), [ToolName::Drizzle, ToolName::Prisma]);
        let error = Search::Several { candidates }.one().unwrap_err();
        assert!(error.to_string().contains("drizzle (drizzle.config.ts), prisma (a schema of Prisma)"), "{error}");
        assert_eq!(error.hint().unwrap(), "say which: --tool drizzle, or --tool prisma");
        let choice = Choice { tool: Some(ToolName::Prisma), ..Choice::default() };
        assert!(
            matches!(find(folder.path(), &choice), Ok(Search::Found(found)) if found.tool.name() == ToolName::Prisma)
        );
    }

    #[test]
    fn what_is_computed_is_asked_for_by_its_option() {
        let files =
            [("drizzle.config.ts", "const out = join('a', 'b'); export default { out, dialect: 'postgresql' }")];
        let folder = project(&files);
        let error = find(folder.path(), &Choice::default()).unwrap_err();
        assert!(error.to_string().starts_with("out in "), "{error}");
        assert_eq!(error.hint().unwrap(), "say what it comes to: --migrations DIR");
        let choice = Choice { migrations: Some("a/b".into()), ..Choice::default() };
        assert_eq!(one(&files, &choice).migrations, Path::new("a/b"));

        let folder = project(&[("package.json", "{\"scripts\": [secret")]);
        assert!(matches!(find(folder.path(), &Choice::default()), Err(Error::BadConfig { .. })));
        let choice = Choice { tool: Some(ToolName::Flyway), ..Choice::default() };
        assert!(find(folder.path(), &choice).is_ok(), "another tool's file does not matter");

        let folder = project(&[("prisma.config.ts", "export default { schema: where() }")]);
        assert!(matches!(find(folder.path(), &Choice::default()), Err(Error::Computed { key, .. }) if key == "schema"));
        let folder = project(&[("drizzle.config.ts", "export default { dialect: 'mysql' }")]);
        assert!(matches!(find(folder.path(), &Choice::default()), Err(Error::BadConfig { .. })));
        assert!(matches!(find(&folder.path().join("absent"), &Choice::default()), Err(Error::NoFolder { .. })));
    }
}
