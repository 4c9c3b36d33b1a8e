//! Digesting one table of a live database, or whatever a query gives.

use std::sync::Arc;

use futures_util::StreamExt;
use holdpoint_core::digest::{RowDigest, RowDigester};
use holdpoint_core::progress::Progress;
use holdpoint_postgres::Session;
use holdpoint_postgres::copy::copy_out;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Error, LoadTarget};

/// A table of fewer pages is read by one session.
const PAGES_WORTH_A_SESSION: i64 = 4096;

/// Digests the rows that a `COPY … TO STDOUT` gives; the text form must be pinned. Memory: one row.
pub async fn digest_copy(
    session: &Session,
    what: &str,
    statement: &str,
    progress: &dyn Progress,
) -> Result<RowDigest, Error> {
    let mut rows = std::pin::pin!(copy_out(session, what, statement).await?);
    let mut digester = RowDigester::default();
    while let Some(bytes) = rows.next().await {
        let bytes = bytes?;
        progress.advance(bytes.len() as u64);
        digester.push(&bytes)?;
    }
    digester.finish().ok_or_else(|| Error::RowCut { table: what.to_owned() })
}

/// Digests a table that nobody else writes to, cut by pages among `jobs` sessions.
///
/// `name` is the table as statements write it, `columns` its columns in the order to digest them in. Memory: one row a
/// session.
pub async fn digest_table(
    target: &LoadTarget,
    name: &str,
    columns: Option<&str>,
    jobs: usize,
    progress: Arc<dyn Progress>,
    cancel: &CancellationToken,
) -> Result<RowDigest, Error> {
    let session = target.connect().await?;
    let sql = "SELECT pg_catalog.pg_relation_size($1::text::pg_catalog.regclass) \
               / pg_catalog.current_setting('block_size')::int8";
    let pages: i64 = session.query_one("reading a table's size", sql, &[&name]).await?.get(0);
    let parts = (pages / PAGES_WORTH_A_SESSION + 1).min(i64::try_from(jobs.max(1)).unwrap_or(1));
    let encoding = holdpoint_core::name::quote_literal(&target.encoding);
    let mut first = Some(session);
    let mut work = JoinSet::new();
    for part in 0..parts {
        let source = match parts {
            1 => columns.map_or_else(|| name.to_owned(), |columns| format!("{name} ({columns})")),
            _ => {
                let from = pages * part / parts;
                let until = match part + 1 {
                    last if last == parts => String::new(),
                    next => format!(" AND ctid < '({},0)'::pg_catalog.tid", pages * next / parts),
                };
                let columns = columns.unwrap_or_default();
                format!("(SELECT {columns} FROM ONLY {name} WHERE ctid >= '({from},0)'::pg_catalog.tid{until})")
            }
        };
        let statement = format!("COPY {source} TO STDOUT (ENCODING {encoding})");
        let (target, progress, cancel) = (target.clone(), Arc::clone(&progress), cancel.clone());
        let (session, what) = (first.take(), format!("reading {name}"));
        work.spawn(async move {
            let digesting = async {
                let session = match session {
                    Some(session) => session,
                    None => target.connect().await?,
                };
                let digest = digest_copy(&session, &what, &statement, progress.as_ref()).await?;
                session.close().await;
                Ok(digest)
            };
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Error::Cancelled),
                digest = digesting => digest,
            }
        });
    }
    let mut digest = RowDigest::default();
    while let Some(part) = work.join_next().await {
        digest.merge(&part.map_err(Error::Worker)??);
    }
    Ok(digest)
}
