//! Vacuuming and analyzing what was restored, before it is handed over.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use tokio::task::JoinSet;

use crate::Error;

const WHAT: &str = "vacuuming and analyzing the restored database";

/// Largest tables first; partitioned ones last, whose statistics are made of their partitions' rows.
const STATEMENTS: &str = "SELECT pg_catalog.format('%s %I.%I', CASE c.relkind WHEN 'p' THEN 'ANALYZE' \
      WHEN 'r' THEN CASE WHEN c.relispartition THEN 'VACUUM' ELSE 'VACUUM (ANALYZE)' END ELSE 'VACUUM (ANALYZE)' END, \
      n.nspname, c.relname) \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relpersistence <> 't' \
      AND (c.relkind IN ('r', 'm') OR (c.relkind = 'p' AND NOT c.relispartition)) \
      AND (n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
           OR c.oid IN ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_attribute'::pg_catalog.regclass, \
                        'pg_catalog.pg_largeobject'::pg_catalog.regclass)) \
      AND NOT (c.relkind = 'm' AND NOT c.relispopulated) \
    ORDER BY c.relkind = 'p', CASE c.relkind WHEN 'p' THEN 0 ELSE pg_catalog.pg_relation_size(c.oid) END DESC";

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
    let rows = session.query(WHAT, STATEMENTS, &[]).await?;
    let statements: VecDeque<String> = rows.iter().map(|row| row.get(0)).collect();
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
