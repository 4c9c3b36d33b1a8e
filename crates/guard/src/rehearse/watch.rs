//! Production while the command runs on the copy: held, watched, and compared afterwards.
//!
//! One session holds the tool's tracking table in SHARE mode: nobody can record a migration on production meanwhile, and
//! who tries waits behind it, which shows. Another session looks for sessions that carry the rehearsal's token, and the
//! command's own connections are looked at on this machine. Afterwards production's schema and tracking rows must be
//! what they were.

use std::time::Duration;

use holdpoint_core::name::quote_identifier;
use holdpoint_operations::schema_check::Schema;
use holdpoint_operations::verify::KeptCopy;
use holdpoint_operations::{Context, Source};
use holdpoint_postgres::{ConnectionSettings, Session};
use tokio::time::sleep;

use super::connections::Connections;
use super::{RehearseError, SESSIONS, tracking};
use crate::Error;
use crate::plan::Project;
use crate::tools::{TableName, Tracking};

/// How often is looked where the command might reach production, and where its network does not.
const EVERY: Duration = Duration::from_millis(100);
const SELDOM: Duration = Duration::from_millis(500);

/// Production, held and watched.
pub(super) struct Watch<'a> {
    context: &'a Context,
    source: &'a Source,
    settings: &'a ConnectionSettings,
    project: Option<&'a Project>,
    holder: Session,
    /// The table that is held.
    held: Option<TableName>,
    looker: Session,
    token: String,
    /// A copy that lies on production's own server.
    copy: Option<String>,
    schema: Schema,
    tracking: Option<Tracking>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Watch<'a> {
    /// Holds the tracking table and reads what production is.
    ///
    /// Fails with [`RehearseError::TrackingInUse`] where somebody else writes to it right now.
    pub(super) async fn begin(
        context: &'a Context,
        source: &'a Source,
        settings: &'a ConnectionSettings,
        project: Option<&'a Project>,
        token: &str,
        copy: &KeptCopy,
    ) -> Result<Self, Error> {
        let holder = Session::connect(settings, &SESSIONS.purpose()).await?;
        let looker = Session::connect(settings, &SESSIONS.purpose()).await?;
        let mut warnings = Vec::new();
        let table = project.filter(|project| tracking::has_table(project)).and_then(|one| one.found.table.clone());
        let held = match table {
            Some(table) => hold(&holder, table, &mut warnings).await?,
            None => None,
        };
        let tracking = tracking::read(project, settings).await?;
        let schema = Schema::live(context, source).await?;
        Ok(Self {
            context,
            source,
            settings,
            project,
            holder,
            held,
            looker,
            token: token.to_owned(),
            copy: (!copy.is_ours_alone()).then(|| copy.settings().database().to_owned()),
            schema,
            tracking,
            warnings,
        })
    }

    /// The table that is held, in words.
    pub(super) fn held(&self) -> Option<String> {
        self.held.as_ref().map(ToString::to_string)
    }

    /// Production's schema before the command.
    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Waits until there is a sign that the command reaches production, and says which.
    ///
    /// # Errors
    /// Those of PostgreSQL: whoever cannot look must not let the command go on.
    pub(super) async fn escape(&self, mut connections: Option<Connections>) -> Result<String, Error> {
        let every = if connections.is_some() { EVERY } else { SELDOM };
        loop {
            if let Some(sign) = self.sign().await? {
                return Ok(sign);
            }
            if let Some(found) = connections.as_mut().and_then(Connections::reaching_production) {
                return Ok(format!("it connected to {found}, which is production"));
            }
            sleep(every).await;
        }
    }

    async fn sign(&self) -> Result<Option<String>, Error> {
        const WHAT: &str = "watching production";
        // Whoever waits for the held table is seen in pg_locks by every role.
        let sql = "SELECT a.pid, false FROM pg_catalog.pg_stat_activity a \
                   WHERE pg_catalog.strpos(a.application_name, $1) > 0 AND a.datname IS DISTINCT FROM $3::text \
                   UNION ALL SELECT l.pid, true FROM pg_catalog.pg_locks l \
                   WHERE l.relation = pg_catalog.to_regclass($2) AND NOT l.granted \
                     AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d \
                                       WHERE d.datname = pg_catalog.current_database()) LIMIT 1";
        let held = self.held.as_ref().map(quoted);
        let rows = self.looker.query(WHAT, sql, &[&self.token, &held, &self.copy]).await?;
        let Some(row) = rows.first() else {
            if self.holder.is_closed() {
                return Err(RehearseError::WatchLost.into());
            }
            return Ok(None);
        };
        let (pid, waits): (i32, bool) = (row.get(0), row.get(1));
        let table = self.held().unwrap_or_default();
        Ok(Some(if waits {
            format!("session {pid} of production wants to write to {table} meanwhile")
        } else {
            format!("session {pid} of production is the command's")
        }))
    }

    /// Lets go of production, and says what changed on it meanwhile.
    pub(super) async fn end(self) -> Result<Option<String>, Error> {
        let last = self.sign().await?;
        let tracking = tracking::read(self.project, self.settings).await?;
        let schema = Schema::live(self.context, self.source).await?;
        // The end of the transaction lets the table go.
        self.holder.close().await;
        self.looker.close().await;
        let changed = self.schema.changes(&schema);
        Ok(match changed.first() {
            _ if last.is_some() => last,
            Some(first) => Some(format!("production's schema changed meanwhile, such as {}", first.name)),
            None if self.tracking != tracking => Some("production's tracking rows changed meanwhile".to_owned()),
            None => None,
        })
    }
}

fn quoted(table: &TableName) -> String {
    format!("{}.{}", quote_identifier(&table.schema), quote_identifier(&table.name))
}

/// Locks the table against writing, for as long as the session's transaction is open.
async fn hold(session: &Session, table: TableName, warnings: &mut Vec<String>) -> Result<Option<TableName>, Error> {
    const WHAT: &str = "holding production's tracking table";
    let name = quoted(&table);
    let there = session.query(WHAT, "SELECT pg_catalog.to_regclass($1::text) IS NOT NULL", &[&name]).await?;
    if !there.first().is_some_and(|row| row.get(0)) {
        warnings.push(format!("{table} is not there yet on production, so nothing holds back who would write to it"));
        return Ok(None);
    }
    let sql = format!(
        "BEGIN READ WRITE; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0; \
         LOCK TABLE {name} IN SHARE MODE NOWAIT"
    );
    match session.run(WHAT, &sql).await {
        Ok(()) => Ok(Some(table)),
        Err(error) => match error.sqlstate() {
            // lock_not_available
            Some("55P03") => {
                Err(RehearseError::TrackingInUse { table: table.to_string(), source: Box::new(error) }.into())
            }
            // insufficient_privilege; read_only_sql_transaction
            Some("42501" | "25006") => {
                session.run(WHAT, "ROLLBACK").await?;
                warnings.push(format!("{table} of production could not be held: the role may not write to it"));
                Ok(None)
            }
            _ => Err(error.into()),
        },
    }
}
