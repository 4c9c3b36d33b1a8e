//! Vacuuming and analyzing what was restored, before it is handed over.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use tokio::task::JoinSet;

use crate::Error;

const WHAT: &str = "vacuuming and analyzing the restored database";

/// Largest tables first; partitioned ones last, whose statistics are made of their partitions' rows.
const TABLES: &str = "SELECT CASE c.relkind WHEN 'p' THEN 'ANALYZE' \
      WHEN 'r' THEN CASE WHEN c.relispartition THEN 'VACUUM' ELSE 'VACUUM (ANALYZE)' END ELSE 'VACUUM (ANALYZE)' END, \
      pg_catalog.format('%I.%I', n.nspname, c.relname), \
      CASE c.relkind WHEN 'p' THEN 0 ELSE pg_catalog.pg_relation_size(c.oid) END \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relpersistence <> 't' \
      AND (c.relkind IN ('r', 'm') OR (c.relkind = 'p' AND NOT c.relispartition)) \
      AND (n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
           OR c.oid IN ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_attribute'::pg_catalog.regclass, \
                        'pg_catalog.pg_largeobject'::pg_catalog.regclass)) \
      AND NOT (c.relkind = 'm' AND NOT c.relispopulated) \
    ORDER BY c.relkind = 'p', 3 DESC, 1";

/// Tables of one statement: each statement ends with a look at all of `pg_class` (`vac_update_datfrozenxid` in vacuum.c),
/// which for 10,000 tables one by one took longer than everything else.
const TOGETHER: usize = 256;
/// Bytes of the tables of one statement, so that all sessions have work until the end.
const TOGETHER_BYTES: i64 = 16 << 20;

/// Marks what is visible and makes the planner's statistics, by several sessions, however long it takes.
///
/// Without it the first readers would do the marking, and the planner would guess. The data are committed: a failure is
/// a warning.
pub(super) async fn vacuum(session: &Session, jobs: usize, warnings: &mut Vec<String>) {
    if let Err(error) = all(session, jobs).await {
        let line = error.line();
        warnings.push(format!("everything is restored, but run VACUUM (ANALYZE) yourself: {line}"));
    }
}

async fn all(session: &Session, jobs: usize) -> Result<(), Error> {
    let rows = session.query(WHAT, TABLES, &[]).await?;
    let statements = statements(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))));
    let sessions = jobs.max(1).min(statements.len());
    let queue = Arc::new(Mutex::new(statements));
    let mut work = JoinSet::new();
    for _ in 0..sessions {
        work.spawn(some(session.settings().clone(), Arc::clone(&queue)));
    }
    while let Some(done) = work.join_next().await {
        done.map_err(holdpoint_engine::Error::Worker)??;
    }
    Ok(())
}

/// Puts tables, as (command, name, bytes), together in few statements; the order stays.
fn statements<'a>(tables: impl Iterator<Item = (&'a str, &'a str, i64)>) -> VecDeque<String> {
    let mut statements = VecDeque::new();
    let (mut last, mut count, mut sum) = ("", 0, 0);
    for (command, name, bytes) in tables {
        match statements.back_mut() {
            Some(statement) if last == command && count < TOGETHER && sum + bytes <= TOGETHER_BYTES => {
                *statement = format!("{statement}, {name}");
                (count, sum) = (count + 1, sum + bytes);
            }
            _ => {
                statements.push_back(format!("{command} {name}"));
                (last, count, sum) = (command, 1, bytes);
            }
        }
    }
    statements
}

async fn some(settings: ConnectionSettings, queue: Arc<Mutex<VecDeque<String>>>) -> Result<(), Error> {
    let session = Session::connect(&settings, &SessionPurpose::new("holdpoint restore")).await?;
    let mut limits =
        String::from("SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0");
    if session.server().major >= 17 {
        limits.push_str("; SET transaction_timeout = 0");
    }
    session.run(WHAT, &limits).await?;
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(statement) = next else { break };
        session.run(WHAT, &statement).await?;
    }
    session.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_tables_share_a_statement_and_large_ones_do_not() {
        let tables = [("VACUUM", "a", TOGETHER_BYTES), ("VACUUM", "b", 8), ("VACUUM", "c", 8), ("ANALYZE", "d", 0)];
        assert_eq!(statements(tables.into_iter()), ["VACUUM a", "VACUUM b, c", "ANALYZE d"]);
        let many = std::iter::repeat_n(("VACUUM", "t", 8192), 3 * TOGETHER);
        assert_eq!(statements(many).len(), 3);
    }
}
