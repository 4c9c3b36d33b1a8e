//! What becomes of a connection: how its bytes pass, and how a fault spoils them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use super::heads::{answer_head, close_after_answer, read_head, with_header};
use super::link::{Link, ignore};
use super::{Shared, lock};
use crate::fault::{Fault, SeenRequest};
use crate::http::find;
use crate::trap::Trap;

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What one direction does to the bytes that pass.
#[derive(Default, Clone, Copy)]
struct Spoil {
    reset_after: Option<u64>,
    close_after: Option<u64>,
    stall_after: Option<u64>,
    flip_at: Option<u64>,
    bytes_per_second: Option<u64>,
    pause_per_byte: Option<Duration>,
    swallow: bool,
    /// This is the direction in which traps are set.
    trapped: bool,
}

impl Shared {
    pub(super) fn serve(&self, link: &Arc<Link>) -> io::Result<()> {
        let mut early = Vec::new();
        let mut request = None;
        if self.http {
            let Some((head, rest)) = read_head(&mut (&link.client))? else { return Ok(()) };
            request = Some(SeenRequest::parse(&head).ok_or(io::ErrorKind::InvalidData)?);
            early = close_after_answer(&head);
            early.extend_from_slice(&rest);
        }
        let fault = self.take(request.as_mut());
        match &fault {
            Fault::ResetAtOnce => {
                link.reset();
                return Ok(());
            }
            Fault::CloseAtOnce => return self.end_orderly(link),
            Fault::Answer { status, headers, body } => return self.answer(link, *status, headers, body),
            Fault::StopReading => {
                self.hold(link);
                return Ok(());
            }
            _ => {}
        }
        let server = Arc::new(TcpStream::connect(self.upstream)?);
        server.set_nodelay(true)?;
        link.client.set_nodelay(true)?;
        *lock(&link.server) = Some(Arc::clone(&server));
        let (mut up, mut down) = (Spoil { trapped: true, ..Spoil::default() }, Spoil::default());
        match fault {
            Fault::ResetAfterRequestBytes(bytes) => up.reset_after = Some(bytes),
            Fault::ResetAfterResponseBytes(bytes) => down.reset_after = Some(bytes),
            Fault::CloseAfterResponseBytes(bytes) => down.close_after = Some(bytes),
            Fault::StallAfterResponseBytes(bytes) => down.stall_after = Some(bytes),
            Fault::FlipResponseByte(offset) => down.flip_at = Some(offset),
            Fault::Trickle(pause) => down.pause_per_byte = Some(pause),
            Fault::Throttle(rate) => (up.bytes_per_second, down.bytes_per_second) = (Some(rate), Some(rate)),
            Fault::LoseResponse | Fault::Silence => down.swallow = true,
            _ => {}
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                let head = if self.http { find(&early, b"\r\n\r\n").map_or(0, |at| at + 4) } else { 0 };
                if self.pump(link, &link.client, &server, early, head, up).is_ok() {
                    ignore(server.shutdown(Shutdown::Write));
                } else {
                    ignore(server.shutdown(Shutdown::Both));
                }
            });
            let result = (|| {
                let (mut first, mut head) =
                    if self.http { answer_head(&server, &link.client, down.swallow)? } else { (Vec::new(), 0) };
                if let Fault::ReplaceHeader { name, value } = fault {
                    (first, head) = with_header(&first, head, name, value);
                }
                if fault == Fault::HideAbsence && first.starts_with(b"HTTP/1.1 404 ") {
                    let has_body = request.is_some_and(|request| request.method != "HEAD");
                    let denied = denial(has_body);
                    return (&link.client).write_all(denied.as_bytes());
                }
                self.pump(link, &server, &link.client, first, head, down)
            })();
            if down.swallow && result.is_ok() {
                if fault == Fault::Silence {
                    self.hold(link);
                }
                link.reset();
            } else if !link.cut.load(Ordering::SeqCst) {
                link.close();
            }
        });
        Ok(())
    }

    fn take(&self, request: Option<&mut SeenRequest>) -> Fault {
        let mut rules = lock(&self.rules);
        let fault = rules.iter_mut().find_map(|rule| rule.take(request.as_deref())).unwrap_or(Fault::Pass);
        rules.retain(|rule| !rule.is_over());
        if let Some(request) = request {
            request.fault = fault.clone();
            lock(&self.seen).push(request.clone());
        }
        fault
    }

    fn answer(&self, link: &Link, status: u16, headers: &[(String, String)], body: &str) -> io::Result<()> {
        let mut text = format!("HTTP/1.1 {status} Test\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        (&link.client).write_all(format!("{text}\r\n{body}").as_bytes())?;
        self.end_orderly(link)
    }

    /// Closes the client's connection without a reset: bytes unread at the close would turn it into one, and take
    /// away what was answered.
    fn end_orderly(&self, link: &Link) -> io::Result<()> {
        link.client.shutdown(Shutdown::Write)?;
        link.client.set_read_timeout(Some(Duration::from_millis(500)))?;
        let mut rest = vec![0; 64 * 1024];
        loop {
            if (&link.client).read(&mut rest)? == 0 || self.stopping.load(Ordering::SeqCst) {
                return Ok(());
            }
        }
    }

    /// Keeps a connection open and does nothing with it.
    fn hold(&self, link: &Link) {
        while !self.stopping.load(Ordering::SeqCst) && !link.cut.load(Ordering::SeqCst) {
            sleep(LOOK_EVERY);
        }
    }

    /// Sends byte by byte, each after a pause.
    fn trickle(&self, link: &Link, mut to: &TcpStream, bytes: &[u8], pause: Duration) -> io::Result<()> {
        for byte in bytes {
            let due = Instant::now() + pause;
            while Instant::now() < due {
                if link.cut.load(Ordering::SeqCst) || self.stopping.load(Ordering::SeqCst) {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                sleep(LOOK_EVERY.min(due.saturating_duration_since(Instant::now())));
            }
            to.write_all(&[*byte])?;
        }
        Ok(())
    }

    /// Moves bytes until the source ends. The first `head` bytes of `pending` pass uncounted.
    fn pump(
        &self,
        link: &Link,
        mut from: &TcpStream,
        mut to: &TcpStream,
        mut pending: Vec<u8>,
        mut head: usize,
        spoil: Spoil,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        let (mut moved, started, mut tail) = (0_u64, Instant::now(), Vec::new());
        loop {
            while self.stalled.load(Ordering::SeqCst) && !link.cut.load(Ordering::SeqCst) {
                sleep(LOOK_EVERY);
            }
            if link.cut.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if spoil.trapped {
                match self.traps.spring(&mut tail, &pending) {
                    Some(Trap::LoseAnswer) => link.mute.store(true, Ordering::SeqCst),
                    Some(Trap::Reset) => {
                        link.reset();
                        return Err(io::ErrorKind::ConnectionReset.into());
                    }
                    None => {}
                }
            } else if !pending.is_empty() && link.mute.load(Ordering::SeqCst) {
                link.reset();
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if !spoil.swallow {
                to.write_all(&pending[..head])?;
            }
            let mut chunk = pending.split_off(head);
            head = 0;
            let end = moved + chunk.len() as u64;
            let limit = spoil.reset_after.or(spoil.close_after).or(spoil.stall_after).filter(|&limit| end >= limit);
            if let Some(limit) = limit {
                chunk.truncate(usize::try_from(limit - moved).expect("within the chunk"));
            }
            if let Some(offset) = spoil.flip_at.filter(|offset| (moved..end).contains(offset)) {
                chunk[usize::try_from(offset - moved).expect("within the chunk")] ^= 0xff;
            }
            if let Some(pause) = spoil.pause_per_byte {
                self.trickle(link, to, &chunk, pause)?;
            } else if !spoil.swallow {
                to.write_all(&chunk)?;
            }
            moved += chunk.len() as u64;
            if limit.is_some() {
                if spoil.reset_after.is_some() {
                    // Bytes under way would be lost to the reset; the promise is that so many arrive.
                    sleep(Duration::from_millis(20));
                    link.reset();
                } else if spoil.close_after.is_some() {
                    link.close();
                } else {
                    self.hold(link);
                }
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let mut room = buffer.len();
            if let Some(rate) = spoil.bytes_per_second {
                room = room.min(usize::try_from(rate / 20).unwrap_or(usize::MAX).max(1));
                let due = Duration::from_secs_f64(moved as f64 / rate as f64);
                while started.elapsed() < due && !link.cut.load(Ordering::SeqCst) {
                    sleep(LOOK_EVERY.min(due.saturating_sub(started.elapsed())));
                }
            }
            let count = from.read(&mut buffer[..room])?;
            if count == 0 {
                return Ok(());
            }
            pending = buffer[..count].to_vec();
        }
    }
}

/// What Amazon answers instead of "not found" to who may not list.
fn denial(has_body: bool) -> String {
    let body = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    let head = "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-type: application/xml\r\n";
    match has_body {
        true => format!("{head}content-length: {}\r\n\r\n{body}", body.len()),
        false => format!("{head}\r\n"),
    }
}
