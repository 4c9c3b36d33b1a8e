//! Rows out of one live table into another.

use futures_util::StreamExt;
use holdpoint_core::progress::Progress;
use holdpoint_postgres::Session;
use holdpoint_postgres::copy::{copy_in, copy_out};

use crate::fetch::{RowOrders, RowsDigester};
use crate::{Error, LoadTarget, Loaded};

/// Loads what a `COPY … TO STDOUT` of one session gives into a table of another database, digesting it on its way.
///
/// The source session must have the text form pinned. Memory: one row.
pub async fn load_query(
    source: &Session,
    what: &str,
    statement: &str,
    orders: &RowOrders,
    target: &LoadTarget,
    progress: &dyn Progress,
) -> Result<Loaded, Error> {
    let session = target.connect().await?;
    let mut rows = copy_out(source, what, statement).await?;
    let mut copy = copy_in(&session, what, &target.statement()).await?;
    let mut digester = RowsDigester::new(orders.clone());
    while let Some(row) = rows.next().await {
        let row = row?;
        digester.push(&row)?;
        progress.advance(row.len() as u64);
        copy.send(row).await?;
    }
    let fetched_bytes = rows.bytes();
    let rows = copy.finish().await?;
    session.close().await;
    let passed = digester.finish().ok_or_else(|| Error::RowCut { table: what.to_owned() })?;
    Ok(Loaded { passed, rows, fetched_bytes })
}
