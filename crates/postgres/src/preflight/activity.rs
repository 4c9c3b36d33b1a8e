//! What others are doing that would hold up a backup, or that a backup would hold up.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::Error;
use crate::catalog::Lossy;
use crate::session::Session;

/// Somebody who holds or wants a table for himself alone: a backup's lock would queue behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blocker {
    /// `schema.name` of the table, quoted where needed.
    pub relation: String,
    /// The server process; none for a prepared transaction.
    pub pid: Option<i32>,
    /// Whether the lock is held; else it is waited for.
    pub granted: bool,
    /// The role.
    pub user: Option<String>,
    /// What the client calls itself.
    pub application_name: Option<String>,
    /// When the transaction began.
    pub transaction_began_at: Option<DateTime<Utc>>,
    /// The statement's leading keywords, such as `ALTER TABLE`; never its values.
    pub doing: Option<String>,
}

/// Lists holders of ACCESS EXCLUSIVE locks on the database's tables, and those who wait for one.
pub async fn blockers(session: &Session) -> Result<Vec<Blocker>, Error> {
    let sql = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), l.pid, l.granted, a.usename::text, \
                      a.application_name, a.xact_start, a.query \
               FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
               WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p') \
                 AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
                 AND n.nspname !~ '^pg_' AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid() \
               ORDER BY l.granted DESC, a.xact_start, 1";
    let rows = session.query("looking for locks", sql, &[]).await?;
    let blocker = |row: &tokio_postgres::Row| Blocker {
        relation: row.get::<_, Lossy>(0).0,
        pid: row.get(1),
        granted: row.get(2),
        user: row.get::<_, Option<Lossy>>(3).map(|text| text.0),
        application_name: row.get::<_, Option<Lossy>>(4).map(|text| text.0),
        transaction_began_at: row.get(5),
        doing: row.get::<_, Option<Lossy>>(6).and_then(|query| keywords(&query.0)),
    };
    Ok(rows.iter().map(blocker).collect())
}

/// A transaction that has been open for long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenTransaction {
    /// The server process.
    pub pid: i32,
    /// The role.
    pub user: Option<String>,
    /// What the client calls itself.
    pub application_name: Option<String>,
    /// `active`, `idle in transaction` and the like.
    pub state: Option<String>,
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// The statement's leading keywords.
    pub doing: Option<String>,
}

/// Lists transactions of this database, other than our own, that began more than `older_than_s` seconds ago, oldest
/// first. Other roles' transactions show only to members of `pg_read_all_stats`.
pub async fn open_transactions(session: &Session, older_than_s: u32) -> Result<Vec<OpenTransaction>, Error> {
    let sql = "SELECT pid, usename::text, application_name, state, xact_start, query FROM pg_catalog.pg_stat_activity \
               WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid() \
                 AND backend_type = 'client backend' \
                 AND xact_start < pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $1) \
               ORDER BY xact_start";
    let rows = session.query("looking for long transactions", sql, &[&f64::from(older_than_s)]).await?;
    let transaction = |row: &tokio_postgres::Row| OpenTransaction {
        pid: row.get(0),
        user: row.get::<_, Option<Lossy>>(1).map(|text| text.0),
        application_name: row.get::<_, Option<Lossy>>(2).map(|text| text.0),
        state: row.get(3),
        began_at: row.get(4),
        doing: row.get::<_, Option<Lossy>>(5).and_then(|query| keywords(&query.0)),
    };
    Ok(rows.iter().map(transaction).collect())
}

/// Gives the leading words of a statement as far as they are SQL's own, so that no value shows.
pub(crate) fn keywords(statement: &str) -> Option<String> {
    const VERBS: &[&str] = &[
        "ALTER", "ANALYZE", "BEGIN", "CALL", "CLUSTER", "COMMIT", "COPY", "CREATE", "DELETE", "DROP", "INSERT", "LOCK",
        "MERGE", "REFRESH", "REINDEX", "ROLLBACK", "SELECT", "SET", "TRUNCATE", "UPDATE", "VACUUM", "WITH",
    ];
    const OBJECTS: &[&str] = &["TABLE", "INDEX", "UNIQUE", "MATERIALIZED", "VIEW", "SEQUENCE", "TYPE", "FULL"];
    let mut words = statement.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    let verb = words.next()?.to_ascii_uppercase();
    if !statement.trim_start().starts_with(|c: char| c.is_ascii_alphabetic()) || !VERBS.contains(&verb.as_str()) {
        return None;
    }
    let objects = words.map(str::to_ascii_uppercase).take_while(|word| OBJECTS.contains(&word.as_str())).take(2);
    Some([verb].into_iter().chain(objects).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::keywords;

    #[test]
    fn only_keywords_of_a_statement_show() {
        assert_eq!(keywords("alter table secret add x int").as_deref(), Some("ALTER TABLE"));
        assert_eq!(keywords("REFRESH MATERIALIZED VIEW v").as_deref(), Some("REFRESH MATERIALIZED VIEW"));
        assert_eq!(keywords("SELECT 'hunter2'").as_deref(), Some("SELECT"));
        assert_eq!(keywords("hunter2"), None);
        assert_eq!(keywords("<insufficient privilege>"), None);
        assert_eq!(keywords("'drop' table"), None);
    }
}
