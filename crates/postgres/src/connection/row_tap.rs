//! Takes the rows of a COPY out of a connection before the driver sees them.
//!
//! The driver hands every row over by itself, which costs more than reading it: a message object, a channel and two
//! reference counts for a row of a hundred bytes, and the whole of a row of 500 MB in memory. The tap stands between
//! socket and driver, follows the messages' frames, and gathers the rows of `COPY … TO STDOUT` into batches for
//! whoever asked; everything else passes on unchanged (PostgreSQL manual, "Message Formats").

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_util::sync::PollSender;

/// Rows gathered before they are handed over; small enough to be digested while they are in the processor's cache.
const BATCH_BYTES: usize = 128 * 1024;
const STAGE_BYTES: usize = 64 * 1024;
/// A message's type and its length, which counts itself.
const HEADER_BYTES: usize = 5;

/// What the tap hands over.
pub(crate) enum Tapped {
    /// Rows in text form with their newlines; a row may go on in the next batch.
    Rows(Vec<u8>),
    /// One COPY has ended.
    End,
}

/// Where the rows of the next COPY go.
#[derive(Clone, Default)]
pub(crate) struct Diversion(Arc<Mutex<Option<mpsc::Sender<Tapped>>>>);

impl Diversion {
    /// Sends the rows of every COPY from now on to `to`; `None` leaves them to the driver.
    pub(crate) fn set(&self, to: Option<mpsc::Sender<Tapped>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    fn get(&self) -> Option<mpsc::Sender<Tapped>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for Diversion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Diversion")
    }
}

/// Which bytes the tap meets.
enum Layer {
    /// The one byte that answers a request for TLS, then messages if it was refused.
    Answer,
    /// Messages.
    Messages,
    /// Something below the messages.
    Other,
}

/// What becomes of the message that is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    Pass,
    Gather,
    Drop,
    End,
}

/// A stream whose COPY rows can be taken out.
pub(crate) struct RowTap<S> {
    stream: S,
    layer: Layer,
    diversion: Diversion,
    stage: BytesMut,
    /// What the driver is to read.
    passing: BytesMut,
    header: [u8; HEADER_BYTES],
    header_length: usize,
    body_left: usize,
    route: Route,
    /// A diverted COPY is under way; without a receiver its rows are dropped.
    copying: bool,
    receiver: Option<PollSender<Tapped>>,
    batch: Vec<u8>,
}

impl<S> RowTap<S> {
    /// Stands on messages from the first byte, or, `below_tls`, where TLS may still be asked for.
    pub(crate) fn new(stream: S, below_tls: bool, diversion: Diversion) -> Self {
        Self {
            stream,
            layer: if below_tls { Layer::Answer } else { Layer::Messages },
            diversion,
            stage: BytesMut::new(),
            passing: BytesMut::new(),
            header: [0; HEADER_BYTES],
            header_length: 0,
            body_left: 0,
            route: Route::Pass,
            copying: false,
            receiver: None,
            batch: Vec::new(),
        }
    }

    /// Sorts everything staged; waits where the receiver of rows is behind.
    fn sort(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.header_length < HEADER_BYTES {
                if self.header_length == 0 && self.copying {
                    ready!(self.gather_whole(cx));
                }
                if !self.read_header()? {
                    return Poll::Ready(Ok(()));
                }
            }
            if self.body_left == 0 {
                if self.route == Route::End {
                    ready!(self.end_copy(cx));
                }
                self.header_length = 0;
                continue;
            }
            if self.stage.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let mut take = self.body_left.min(self.stage.len());
            match self.route {
                Route::Pass => self.passing.extend_from_slice(&self.stage[..take]),
                Route::Gather => {
                    if self.batch.len() >= BATCH_BYTES {
                        ready!(self.hand_over(cx));
                    }
                    take = take.min(BATCH_BYTES - self.batch.len());
                    if self.batch.capacity() == 0 {
                        self.batch.reserve_exact(BATCH_BYTES);
                    }
                    self.batch.extend_from_slice(&self.stage[..take]);
                }
                Route::Drop | Route::End => {}
            }
            self.stage.advance(take);
            self.body_left -= take;
        }
    }

    /// Gathers the rows that are staged whole: the path that every row but one in hundreds takes.
    fn gather_whole(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut at = 0;
        while let Some((header, rest)) = self.stage[at..].split_first_chunk::<HEADER_BYTES>() {
            let [tag, a, b, c, d] = *header;
            let length = (u32::from_be_bytes([a, b, c, d]) as usize).wrapping_sub(4);
            if tag != b'd' || length > rest.len() || length > BATCH_BYTES {
                break;
            }
            if self.batch.len() + length > BATCH_BYTES {
                if self.hand_over(cx).is_pending() {
                    self.stage.advance(at);
                    return Poll::Pending;
                }
                continue;
            }
            if self.batch.capacity() == 0 {
                self.batch.reserve_exact(BATCH_BYTES);
            }
            self.batch.extend_from_slice(&rest[..length]);
            at += HEADER_BYTES + length;
        }
        self.stage.advance(at);
        Poll::Ready(())
    }

    /// Reads as much of a header as is staged; tells whether it is complete.
    fn read_header(&mut self) -> io::Result<bool> {
        let take = (HEADER_BYTES - self.header_length).min(self.stage.len());
        self.header[self.header_length..self.header_length + take].copy_from_slice(&self.stage[..take]);
        self.header_length += take;
        self.stage.advance(take);
        if self.header_length < HEADER_BYTES {
            return Ok(false);
        }
        let [tag, length @ ..] = self.header;
        let Some(body) = (u32::from_be_bytes(length) as usize).checked_sub(4) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a message of the server is shorter than its length",
            ));
        };
        self.body_left = body;
        self.route = self.route_of(tag);
        if self.route == Route::Pass {
            self.passing.extend_from_slice(&self.header);
        }
        Ok(true)
    }

    fn route_of(&mut self, tag: u8) -> Route {
        match tag {
            b'H' => match self.diversion.get() {
                Some(receiver) => {
                    self.receiver = Some(PollSender::new(receiver));
                    self.copying = true;
                    Route::Drop
                }
                None => Route::Pass,
            },
            b'd' if self.copying => Route::Gather,
            b'c' if self.copying => Route::End,
            b'E' if self.copying => {
                // The statement failed; whoever waits for it hears so from the driver.
                self.copying = false;
                self.receiver = None;
                self.batch.clear();
                Route::Pass
            }
            _ => Route::Pass,
        }
    }

    /// Hands the batch over; without a receiver it is dropped.
    fn hand_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.batch.is_empty() {
            return Poll::Ready(());
        }
        let Some(receiver) = &mut self.receiver else {
            self.batch.clear();
            return Poll::Ready(());
        };
        let batch = match ready!(receiver.poll_reserve(cx)) {
            Ok(()) => std::mem::take(&mut self.batch),
            Err(_) => {
                self.receiver = None;
                self.batch.clear();
                return Poll::Ready(());
            }
        };
        if receiver.send_item(Tapped::Rows(batch)).is_err() {
            self.receiver = None;
        }
        Poll::Ready(())
    }

    fn end_copy(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.hand_over(cx));
        if let Some(receiver) = &mut self.receiver
            && ready!(receiver.poll_reserve(cx)).is_ok()
        {
            // A receiver that is gone wants to hear nothing.
            receiver.send_item(Tapped::End).ok();
        }
        self.receiver = None;
        self.copying = false;
        self.route = Route::Drop;
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> RowTap<S> {
    fn fill_stage(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.stage.reserve(STAGE_BYTES);
        tokio_util::io::poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.stage)
    }

    fn read_messages(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let sorted = self.sort(cx)?;
            if !self.passing.is_empty() {
                let take = buf.remaining().min(self.passing.len());
                buf.put_slice(&self.passing[..take]);
                self.passing.advance(take);
                return Poll::Ready(Ok(()));
            }
            ready!(sorted);
            if ready!(self.fill_stage(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RowTap<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        match tap.layer {
            Layer::Other => Pin::new(&mut tap.stream).poll_read(cx, buf),
            Layer::Messages => tap.read_messages(cx, buf),
            Layer::Answer => {
                let before = buf.filled().len();
                ready!(Pin::new(&mut tap.stream).poll_read(cx, buf))?;
                if let Some(answer) = buf.filled().get(before) {
                    // "N": no TLS here, what follows are messages; "S": what follows is TLS.
                    tap.layer = if *answer == b'N' { Layer::Messages } else { Layer::Other };
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}

/// Puts a tap above TLS.
pub(crate) struct TappedTls<T> {
    pub(crate) connect: T,
    pub(crate) diversion: Diversion,
}

impl<S, T> TlsConnect<S> for TappedTls<T>
where
    T: TlsConnect<S>,
    T::Future: Send + 'static,
    T::Stream: 'static,
    T::Error: 'static,
{
    type Stream = RowTap<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let (connecting, diversion) = (self.connect.connect(stream), self.diversion);
        Box::pin(async move { Ok(RowTap::new(connecting.await?, false, diversion)) })
    }
}

impl<S: TlsStream + Unpin> TlsStream for RowTap<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RowTap<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
