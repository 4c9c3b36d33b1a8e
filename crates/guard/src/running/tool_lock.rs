//! The lock that the migration tool itself takes: who has it is migrating, with or without holdpoint.
//!
//! Keys as in the tools' own sources: Prisma's `schema-engine` (72707369), node-pg-migrate's `lock-value`
//! (7241865325823964), Flyway's "Flyway" in ASCII plus Java's `hashCode` of the quoted table name. All are advisory locks of
//! the one-key form. Drizzle and plain SQL take none.

use std::fmt;

use chrono::{DateTime, Utc};
use holdpoint_postgres::Session;
use serde::Serialize;

use crate::Error;
use crate::tools::{Found, Tool, ToolName};

const PRISMA: i64 = 72_707_369;
const NODE_PG_MIGRATE: i64 = 7_241_865_325_823_964;
const FLYWAY: i64 = 77_431_708_279_161;

/// Somebody who has a tool's lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolLockHolder {
    /// The tool.
    pub tool: ToolName,
    /// The server process.
    pub pid: i32,
    /// What the client calls itself.
    pub application_name: String,
    /// Since when it is connected.
    pub since: DateTime<Utc>,
}

impl fmt::Display for ToolLockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.application_name.is_empty() { "a client without a name" } else { &self.application_name };
        write!(f, "{name} (process {}), connected since {}", self.pid, self.since.format("%Y-%m-%dT%H:%M:%SZ"))
    }
}

/// The locks to look for: the tool's own; where no tool is known, those whose keys are always the same.
pub(crate) fn keys(found: Option<&Found>) -> Vec<(ToolName, i64)> {
    let fixed = [(ToolName::Prisma, PRISMA), (ToolName::NodePgMigrate, NODE_PG_MIGRATE)];
    let Some(found) = found else { return fixed.to_vec() };
    match (&found.tool, &found.table) {
        (Tool::Prisma(_), _) => vec![fixed[0]],
        (Tool::NodePgMigrate(_), _) => vec![fixed[1]],
        (Tool::Flyway(_), Some(table)) => {
            let name = format!("\"{}\".\"{}\"", table.schema, table.name);
            vec![(ToolName::Flyway, FLYWAY + i64::from(hash_code(&name)))]
        }
        (Tool::Command, _) => fixed.to_vec(),
        (Tool::Flyway(_) | Tool::Drizzle(_) | Tool::PlainSql, _) => Vec::new(),
    }
}

/// Java's `String.hashCode`.
fn hash_code(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// Finds who has one of the locks in the session's database.
pub(crate) async fn holder(session: &Session, keys: &[(ToolName, i64)]) -> Result<Option<ToolLockHolder>, Error> {
    let numbers: Vec<i64> = keys.iter().map(|(_, key)| *key).collect();
    if numbers.is_empty() {
        return Ok(None);
    }
    let sql = "SELECT l.pid, COALESCE(a.application_name, ''), COALESCE(a.backend_start, pg_catalog.clock_timestamp()), k.at \
               FROM pg_catalog.pg_locks l \
               JOIN pg_catalog.unnest($1::int8[]) WITH ORDINALITY AS k (key, at) \
                 ON l.classid = ((k.key >> 32) & 4294967295)::oid AND l.objid = (k.key & 4294967295)::oid \
               LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
               WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid <> pg_catalog.pg_backend_pid() \
                 AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";
    let rows = session.query("looking for the tool's own lock", sql, &[&numbers]).await?;
    Ok(rows.first().and_then(|row| {
        let at = usize::try_from(row.get::<_, i64>(3)).ok()?.checked_sub(1)?;
        let tool = keys.get(at)?.0;
        Some(ToolLockHolder { tool, pid: row.get(0), application_name: row.get(1), since: row.get(2) })
    }))
}

/// Finds who migrates with a project's tool right now, as far as its own lock shows it.
///
/// # Errors
/// Those of PostgreSQL.
pub async fn who_migrates(session: &Session, found: &Found) -> Result<Option<ToolLockHolder>, Error> {
    holder(session, &keys(Some(found))).await
}

/// Makes sure that nobody has one of the locks.
///
/// # Errors
/// [`Error::ToolLocked`].
pub(crate) async fn demand_free(session: &Session, keys: &[(ToolName, i64)]) -> Result<(), Error> {
    match holder(session, keys).await? {
        Some(holder) => Err(Error::ToolLocked { holder }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn javas_hash_is_reproduced() {
        assert_eq!(hash_code(""), 0);
        assert_eq!(hash_code("Flyway"), 2_107_503_036);
        assert_eq!(
            hash_code("\"public\".\"flyway_schema_history\""),
            hash_by_hand("\"public\".\"flyway_schema_history\"")
        );
    }

    fn hash_by_hand(text: &str) -> i32 {
        let mut hash: i64 = 0;
        for unit in text.encode_utf16() {
            hash = (hash * 31 + i64::from(unit)) & 0xffff_ffff;
        }
        u32::try_from(hash).unwrap().cast_signed()
    }

    #[test]
    fn flyways_key_begins_with_its_name() {
        assert_eq!(FLYWAY.to_be_bytes()[2..], *b"Flyway");
    }
}
