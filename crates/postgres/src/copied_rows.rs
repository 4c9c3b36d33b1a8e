//! Rows out of tables in bulk: gathered into batches as they arrive, without a message object for each.

use std::pin::Pin;

use tokio::sync::mpsc;
use tokio_postgres::SimpleQueryMessage;

use crate::Error;
use crate::connection::row_tap::Tapped;
use crate::session::Session;

/// Batches that wait to be taken; a full queue stops reading from the server.
const QUEUE: usize = 2;

/// What comes out of [`CopiedRows`].
#[derive(Debug)]
pub enum Copied {
    /// Rows in text form, each with its newline, at most 128 KiB; a row may go on in the next batch.
    Rows(Vec<u8>),
    /// A `COPY` of the statements has ended.
    End,
}

type Ended = Result<u64, tokio_postgres::Error>;

/// Rows coming out of one or several `COPY … TO STDOUT` that are run together with what must surround them.
///
/// One round trip, whatever the number of statements. Not taking batches stops the server. A row is never held whole,
/// so memory does not depend on its size: at most a few hundred KiB. One at a time a session; dropping it early leaves
/// the session busy until the server has sent the rest, which is thrown away.
pub struct CopiedRows<'a> {
    session: &'a Session,
    what: String,
    batches: mpsc::Receiver<Tapped>,
    statements: Pin<Box<dyn Future<Output = Ended> + Send + 'a>>,
    rows: Option<u64>,
}

/// Runs `sql`, statements separated by semicolons, and gives the rows of every `COPY … TO STDOUT` among them, in order.
///
/// The statements run as one simple query (PostgreSQL manual, "Multiple Statements in a Simple Query"): at the first
/// error the rest is left out, and [`CopiedRows::next`] gives the error.
pub fn copied_rows<'a>(session: &'a Session, what: &str, sql: String) -> CopiedRows<'a> {
    let (send, batches) = mpsc::channel(QUEUE);
    session.diversion().set(Some(send));
    let statements = Box::pin(async move {
        let messages = session.client().simple_query(&sql).await?;
        let rows = messages.iter().map(|message| match message {
            SimpleQueryMessage::CommandComplete(rows) => *rows,
            _ => 0,
        });
        Ok(rows.sum())
    });
    CopiedRows { session, what: what.to_owned(), batches, statements, rows: None }
}

impl CopiedRows<'_> {
    /// Gives what comes next; `None` when every statement has ended without an error.
    pub async fn next(&mut self) -> Result<Option<Copied>, Error> {
        let tapped = if self.rows.is_some() {
            self.batches.try_recv().ok()
        } else {
            tokio::select! {
                biased;
                tapped = self.batches.recv() => tapped,
                ended = &mut self.statements => {
                    self.rows = Some(ended.map_err(|source| self.session.failed(&self.what, source))?);
                    self.batches.try_recv().ok()
                }
            }
        };
        Ok(tapped.map(|tapped| match tapped {
            Tapped::Rows(rows) => Copied::Rows(rows),
            Tapped::End => Copied::End,
        }))
    }

    /// The rows that the server counted, once everything has come.
    pub fn rows(&self) -> Option<u64> {
        self.rows
    }
}

impl Drop for CopiedRows<'_> {
    fn drop(&mut self) {
        self.session.diversion().set(None);
    }
}

impl std::fmt::Debug for CopiedRows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CopiedRows({})", self.what)
    }
}
