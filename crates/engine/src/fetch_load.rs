//! Loading fetched rows into a table, several runs at a time.

use std::sync::Arc;

use holdpoint_core::progress::Progress;
use holdpoint_postgres::copy::copy_in;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fetch::{PassedRows, PieceRun, RowOrders};
use crate::{Error, PartialArchive, TableBlock};

/// A table that rows are loaded into.
#[derive(Clone, Debug)]
pub struct LoadTarget {
    /// How to connect.
    pub settings: ConnectionSettings,
    /// The table and the columns in the order in which the rows have them, as in `s.t (a, b)`.
    pub table: String,
    /// The encoding of the rows, such as `UTF8`.
    pub encoding: String,
    /// The `lc_monetary` under which the rows were written.
    pub lc_monetary: Option<String>,
}

/// What was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The rows as they passed.
    pub passed: PassedRows,
    /// Rows that the server counted.
    pub rows: u64,
    /// Bytes that came over the network or from the disk.
    pub fetched_bytes: u64,
}

impl LoadTarget {
    /// Opens a session with the text form of values pinned.
    pub async fn connect(&self) -> Result<Session, Error> {
        let session = Session::connect(&self.settings, &SessionPurpose::new("holdpoint recover-table")).await?;
        session.pin_text_form().await?;
        set_money(&session, self.lc_monetary.as_deref()).await?;
        Ok(session)
    }

    pub(crate) fn statement(&self) -> String {
        let encoding = holdpoint_core::name::quote_literal(&self.encoding);
        format!("COPY {} FROM STDIN (ENCODING {encoding})", self.table)
    }
}

/// Sets `lc_monetary`, without which money does not read back.
pub async fn set_money(session: &Session, lc_monetary: Option<&str>) -> Result<(), Error> {
    if let Some(lc_monetary) = lc_monetary.filter(|locale| !matches!(*locale, "" | "C" | "POSIX")) {
        let value = holdpoint_core::name::quote_literal(lc_monetary);
        session.run("setting lc_monetary", &format!("SET lc_monetary = {value}")).await?;
    }
    Ok(())
}

/// Loads a table's block into a table, `jobs` runs of pieces at a time, each through a session of its own.
///
/// Every piece is checked before its rows are sent. On failure the table holds a part of the rows. Memory: two pieces a
/// run.
pub async fn load_block(
    archive: &PartialArchive,
    block: &TableBlock,
    orders: &RowOrders,
    target: &LoadTarget,
    jobs: usize,
    progress: Arc<dyn Progress>,
    cancel: &CancellationToken,
) -> Result<Loaded, Error> {
    let mut runs = JoinSet::new();
    for run in block.runs(jobs) {
        let (archive, orders, target) = (archive.clone(), orders.clone(), target.clone());
        let (progress, cancel) = (Arc::clone(&progress), cancel.clone());
        let table = block.record.group.clone();
        runs.spawn(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Error::Cancelled),
                loaded = load_run(&archive, run, orders, &target, &table, progress.as_ref()) => loaded,
            }
        });
    }
    let mut loaded = Loaded::default();
    while let Some(joined) = runs.join_next().await {
        let run = joined.map_err(Error::Worker)??;
        loaded.passed.merge(&run.passed);
        loaded.rows += run.rows;
        loaded.fetched_bytes += run.fetched_bytes;
    }
    Ok(loaded)
}

async fn load_run(
    archive: &PartialArchive,
    run: PieceRun,
    orders: RowOrders,
    target: &LoadTarget,
    table: &str,
    progress: &dyn Progress,
) -> Result<Loaded, Error> {
    let (session, reader) = tokio::join!(target.connect(), archive.open(run, orders));
    let (session, mut reader) = (session?, reader?);
    let mut copy = copy_in(&session, &format!("loading {table}"), &target.statement()).await?;
    let mut rows = reader.next().await?;
    while let Some(held) = rows {
        progress.advance(held.len() as u64);
        // The next piece is read and unpacked while the server takes this one.
        let (sent, next) = tokio::join!(copy.send(held), reader.next());
        sent?;
        rows = next?;
    }
    let rows = copy.finish().await?;
    session.close().await;
    let (passed, fetched_bytes) = reader.finish(table)?;
    Ok(Loaded { passed, rows, fetched_bytes })
}
