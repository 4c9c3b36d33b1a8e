//! What a database says: the tracking table and the catalog, read from it or from what was exported.

use chrono::{DateTime, Utc};
use holdpoint_core::RunId;
use holdpoint_core::ledger::MigrationRecord;
use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_postgres::Session;
use holdpoint_review::{CATALOG_QUERY, Catalog};
use serde::{Deserialize, Serialize};

use super::Project;
use crate::tools::{Error, TableName, Tool, ToolName, Tracking, ledger_rows, read_tracking};

/// The format of an export.
const FORMAT: u32 = 1;

/// Tracking table and catalog of a database: definitions, sizes and names of migrations, and no row of the
/// application's tables.
///
/// Written as JSON it lets a plan be made where no connection to the database may be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// The format of this document.
    pub holdpoint_facts: u32,
    /// When it was read.
    pub read_at: DateTime<Utc>,
    /// The database's name.
    pub database: String,
    /// The server's version.
    pub server_version: String,
    /// The tool whose table was read.
    pub tool: ToolName,
    /// The table; `None` where the tool has none.
    pub table: Option<TableName>,
    /// What the tool has recorded as applied.
    pub tracking: Tracking,
    /// The catalog.
    pub catalog: Catalog,
    /// For a folder without a tool: the run that said last what is applied, where the schema is not as it left it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_changed_since: Option<RunId>,
    /// For a folder without a tool: the newest run, where it may have applied some of its files and not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_in_part_by: Option<RunId>,
    /// For a folder without a tool: files that a run was to apply and that nothing shows to have run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_evidence: Vec<(RunId, String)>,
}

impl Facts {
    /// Reads them from a database, in statements that only read.
    ///
    /// # Errors
    /// As [`read_tracking`], and when PostgreSQL fails.
    pub async fn read(project: &Project, session: &Session, now: DateTime<Utc>) -> Result<Self, Error> {
        let found = &project.found;
        let tracking = tracking(project, session).await?;
        let catalog = catalog(session).await?;
        Ok(Self {
            holdpoint_facts: FORMAT,
            read_at: now,
            database: session.settings().database().to_owned(),
            server_version: session.server().text.clone(),
            tool: found.tool.name(),
            table: found.table.clone(),
            tracking,
            catalog,
            schema_changed_since: None,
            applied_in_part_by: None,
            without_evidence: Vec::new(),
        })
    }

    /// For a folder without a tool: takes what is applied from the ledger's list; `None` where there is none.
    pub fn take_applied(&mut self, applied: Option<&[MigrationRecord]>) {
        if let (ToolName::PlainSql, Some(applied)) = (self.tool, applied) {
            self.tracking = of_ledger(applied);
        }
    }

    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// [`Error::BadFacts`] for anything else, and for a newer format.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Format {
            holdpoint_facts: u32,
        }
        let bad = |error: serde_json::Error| Error::BadFacts { reason: error.to_string() };
        let format: Format = serde_json::from_slice(json).map_err(bad)?;
        if format.holdpoint_facts != FORMAT {
            let reason = format!("it has format {}, and this program knows {FORMAT}", format.holdpoint_facts);
            return Err(Error::BadFacts { reason });
        }
        serde_json::from_slice(json).map_err(bad)
    }

    /// Writes them.
    ///
    /// # Errors
    /// [`Error::BadFacts`], which cannot happen.
    pub fn to_json(&self) -> Result<String, Error> {
        serde_json::to_string_pretty(self).map_err(|error| Error::BadFacts { reason: error.to_string() })
    }

    /// Makes sure that they are of the project's tool and table.
    pub(super) fn fit(&self, project: &Project) -> Result<(), Error> {
        let found = &project.found;
        // What a command prints needs no table.
        if found.tool == Tool::Command || (self.tool == found.tool.name() && self.table == found.table) {
            return Ok(());
        }
        let named =
            |table: &Option<TableName>| table.as_ref().map_or_else(|| "no table".to_owned(), TableName::to_string);
        Err(Error::OtherFacts {
            theirs: format!("{} ({})", self.tool, named(&self.table)),
            ours: format!("{} ({})", found.tool.name(), named(&found.table)),
        })
    }
}

/// Reads the catalog as the review knows it, in one statement that only reads.
///
/// # Errors
/// When PostgreSQL fails; [`Error::BadFacts`], which cannot happen.
pub(crate) async fn catalog(session: &Session) -> Result<Catalog, Error> {
    let row = session.query_one("reading the catalog", CATALOG_QUERY, &[]).await?;
    let catalog: String = row.get(0);
    serde_json::from_str(&catalog).map_err(|error| Error::BadFacts { reason: error.to_string() })
}

/// Reads what the tool has recorded as applied, in statements that only read.
///
/// # Errors
/// As [`read_tracking`].
pub(crate) async fn tracking(project: &Project, session: &Session) -> Result<Tracking, Error> {
    // A migration at work may hold its table for long, and nothing here may be in anybody's way.
    session.run("limiting the session", "SET lock_timeout = '5s'; SET default_transaction_read_only = on").await?;
    if let Some(path) = search_path(&project.found.tool, session.settings().schema()) {
        session
            .run("setting the search path", &format!("SELECT pg_catalog.set_config('search_path', {path}, false)"))
            .await?;
    }
    read_tracking(&project.found, session).await
}

/// The search path under which the tool runs its migrations, as an expression; `None` for the role's own.
fn search_path(tool: &Tool, of_url: Option<&str>) -> Option<String> {
    let names = |names: &[String]| {
        let quoted: Vec<String> = names.iter().map(|name| quote_identifier(name)).collect();
        quote_literal(&quoted.join(", "))
    };
    match tool {
        // The schema of its URL.
        Tool::Prisma(_) => of_url.map(|schema| names(&[schema.to_owned()])),
        // `SET search_path TO` the schemas of its options, by default public alone.
        Tool::NodePgMigrate(options) => Some(names(&options.schemas)),
        // The default schema before whatever the role has.
        Tool::Flyway(options) => {
            let schema = names(std::slice::from_ref(options.default_schema.as_ref()?));
            Some(format!("pg_catalog.concat_ws(', ', {schema}, pg_catalog.current_setting('search_path'))"))
        }
        Tool::Drizzle(_) | Tool::PlainSql | Tool::Command => None,
    }
}

/// The rows that stand for the ledger's list of a folder without a tool.
pub(crate) fn of_ledger(applied: &[MigrationRecord]) -> Tracking {
    ledger_rows(Some(applied.iter().map(|one| (one.path.as_str(), one.sha256.as_str()))), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_for_where_the_tool_looks() {
        use crate::tools::{FlywayOptions, NodePgMigrateOptions};
        let schemas = vec!["other".to_owned(), "it's".to_owned()];
        let node = Tool::NodePgMigrate(NodePgMigrateOptions { check_order: true, single_transaction: true, schemas });
        assert_eq!(search_path(&node, None).unwrap(), quote_literal("\"other\", \"it's\""));
        let flyway = |schema: Option<&str>| {
            let default_schema = schema.map(str::to_owned);
            Tool::Flyway(Box::new(FlywayOptions { default_schema, ..FlywayOptions::default() }))
        };
        assert!(search_path(&flyway(Some("app")), None).unwrap().contains("'\"app\"', pg_catalog.current_setting"));
        assert_eq!(search_path(&flyway(None), None), None, "the role's own");
        assert_eq!(search_path(&Tool::PlainSql, Some("x")), None);
    }

    #[test]
    fn other_documents_are_no_facts() {
        for json in ["", "[]", "{}", "{\"holdpoint_facts\": 1}", "{\"holdpoint_facts\": \"1\"}"] {
            assert!(matches!(Facts::from_json(json.as_bytes()), Err(Error::BadFacts { .. })), "{json}");
        }
        let newer = Facts::from_json(b"{\"holdpoint_facts\": 2}").unwrap_err();
        assert!(newer.to_string().contains("format 2, and this program knows 1"), "{newer}");
    }
}
