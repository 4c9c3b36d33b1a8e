//! Rows out of a table and into one, as COPY text.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{SinkExt, Stream};
use tokio_postgres::{CopyInSink, CopyOutStream};

use crate::Error;
use crate::session::Session;

/// Rows coming out of `COPY … TO STDOUT`.
///
/// Each item is what the server sent in one message. In text form that is one row with its newline (PostgreSQL
/// manual, "Frontend/Backend Protocol", COPY Operations: true of PostgreSQL's own servers), so [`CopyOut::rows`]
/// counts rows. Not reading stops the server: there is no buffer but the socket's.
pub struct CopyOut<'a> {
    session: &'a Session,
    what: String,
    stream: Pin<Box<CopyOutStream>>,
    rows: u64,
    bytes: u64,
}

/// Starts a `COPY … TO STDOUT`.
pub async fn copy_out<'a>(session: &'a Session, what: &str, sql: &str) -> Result<CopyOut<'a>, Error> {
    let stream = session.client().copy_out(sql).await.map_err(|source| session.failed(what, source))?;
    Ok(CopyOut { session, what: what.to_owned(), stream: Box::pin(stream), rows: 0, bytes: 0 })
}

impl CopyOut<'_> {
    /// The rows that came so far; all of them once the stream has ended without an error.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The bytes that came so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Stream for CopyOut<'_> {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match ready!(self.stream.as_mut().poll_next(cx)) {
            Some(Ok(row)) => {
                self.rows += 1;
                self.bytes += row.len() as u64;
                Poll::Ready(Some(Ok(row)))
            }
            Some(Err(source)) => Poll::Ready(Some(Err(self.session.failed(&self.what, source)))),
            None => Poll::Ready(None),
        }
    }
}

/// Rows going into `COPY … FROM STDIN`.
///
/// Ends with [`CopyIn::finish`] or [`CopyIn::cancel`]; dropping it makes the server refuse the COPY.
pub struct CopyIn<'a> {
    session: &'a Session,
    what: String,
    sink: Pin<Box<CopyInSink<Bytes>>>,
}

/// Starts a `COPY … FROM STDIN`.
pub async fn copy_in<'a>(session: &'a Session, what: &str, sql: &str) -> Result<CopyIn<'a>, Error> {
    let sink = session.client().copy_in(sql).await.map_err(|source| session.failed(what, source))?;
    Ok(CopyIn { session, what: what.to_owned(), sink: Box::pin(sink) })
}

impl CopyIn<'_> {
    /// Sends bytes, which need not end with a row; waits while the server is behind.
    pub async fn send(&mut self, bytes: Bytes) -> Result<(), Error> {
        match self.sink.feed(bytes).await {
            Ok(()) => Ok(()),
            Err(source) => Err(self.refused(source).await),
        }
    }

    /// Ends the rows and waits for the server's verdict; gives the number of rows stored.
    pub async fn finish(mut self) -> Result<u64, Error> {
        self.sink.as_mut().finish().await.map_err(|source| self.session.failed(&self.what, source))
    }

    /// Makes the server forget the rows; the session can be used on, but not its transaction.
    pub async fn cancel(self) -> Result<(), Error> {
        let Self { session, sink, .. } = self;
        drop(sink);
        // The refusal belongs to the COPY; inside a transaction the next statement is refused as well (25P02).
        match session.ping().await {
            Ok(()) => Ok(()),
            Err(error) if error.sqlstate() == Some("25P02") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A sink that closes early says nothing; the server's reason comes with the verdict.
    async fn refused(&mut self, source: tokio_postgres::Error) -> Error {
        match self.sink.as_mut().finish().await {
            Err(reason) if reason.as_db_error().is_some() => self.session.failed(&self.what, reason),
            _ => self.session.failed(&self.what, source),
        }
    }
}

impl std::fmt::Debug for CopyOut<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CopyOut({}, {} rows)", self.what, self.rows)
    }
}

impl std::fmt::Debug for CopyIn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CopyIn({})", self.what)
    }
}
