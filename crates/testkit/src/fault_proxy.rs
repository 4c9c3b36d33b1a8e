//! A loopback proxy that spoils connections on purpose.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::fault::{Fault, SeenRequest};
use crate::http::find;
use crate::trap::{Trap, Traps};

const LONGEST_HEAD: usize = 256 * 1024;
const LOOK_EVERY: Duration = Duration::from_millis(10);

type Matcher = Box<dyn Fn(&SeenRequest) -> bool + Send>;

/// A proxy on a loopback port in front of a server, with a queue of faults.
///
/// In HTTP mode `Connection: close` is put into every request, so that one connection is one request and counts are
/// exact. In TCP mode (for PostgreSQL) a connection is taken as it is. Every connection takes the first fault of the
/// queue that fits it; with none it passes. When dropped, all connections end.
pub struct FaultProxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: SocketAddr,
    http: bool,
    queue: Mutex<VecDeque<(Option<Matcher>, Fault)>>,
    seen: Mutex<Vec<SeenRequest>>,
    traps: Traps,
    connections: AtomicUsize,
    live: Mutex<Vec<Weak<Link>>>,
    stalled: AtomicBool,
    refusing: AtomicBool,
    stopping: AtomicBool,
}

/// The two sockets of one connection. They are closed, or reset, when the last thread lets them go.
struct Link {
    client: TcpStream,
    server: Mutex<Option<Arc<TcpStream>>>,
    cut: AtomicBool,
    /// The next answer is lost.
    mute: AtomicBool,
}

impl fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultProxy").field("address", &self.address).field("upstream", &self.shared.upstream).finish()
    }
}

impl FaultProxy {
    /// Starts a proxy for HTTP in front of `upstream`.
    #[must_use]
    pub fn http(upstream: SocketAddr) -> Self {
        Self::start(upstream, true)
    }

    /// Starts a proxy for any protocol over TCP, such as PostgreSQL's, in front of `upstream`.
    #[must_use]
    pub fn tcp(upstream: SocketAddr) -> Self {
        Self::start(upstream, false)
    }

    fn start(upstream: SocketAddr, http: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared {
            upstream,
            http,
            queue: Mutex::default(),
            seen: Mutex::default(),
            traps: Traps::default(),
            connections: AtomicUsize::new(0),
            live: Mutex::default(),
            stalled: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { shared, address, acceptor: Some(acceptor) }
    }

    /// Returns the proxy's own address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the proxy's address as an HTTP endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a fault for the next connection.
    pub fn push(&self, fault: Fault) {
        lock(&self.shared.queue).push_back((None, fault));
    }

    /// Adds the same fault for the next `times` connections.
    pub fn push_times(&self, times: usize, fault: &Fault) {
        for _ in 0..times {
            self.push(fault.clone());
        }
    }

    /// Adds a fault for the next request that fits (HTTP mode).
    pub fn push_when(&self, fits: impl Fn(&SeenRequest) -> bool + Send + 'static, fault: Fault) {
        lock(&self.shared.queue).push_back((Some(Box::new(fits)), fault));
    }

    /// Adds a fault for the next request of an S3 operation, as [`SeenRequest::operation`] names it (HTTP mode).
    pub fn push_for(&self, operation: &'static str, fault: Fault) {
        self.push_when(move |request| request.operation() == operation, fault);
    }

    /// Sets a trap for the next `times` connections on which `word` passes from the client to the server (TCP mode).
    pub fn set_trap(&self, word: &[u8], trap: Trap, times: usize) {
        self.shared.traps.set(word, trap, times);
    }

    /// Returns how often traps may still spring.
    #[must_use]
    pub fn traps_left(&self) -> usize {
        self.shared.traps.left()
    }

    /// Returns how many faults of the queue no connection has met yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        lock(&self.shared.queue).len()
    }

    /// Forgets the faults of the queue.
    pub fn clear(&self) {
        lock(&self.shared.queue).clear();
    }

    /// Returns how many connections were made.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Returns the requests seen so far, in order (HTTP mode).
    #[must_use]
    pub fn requests(&self) -> Vec<SeenRequest> {
        lock(&self.shared.seen).clone()
    }

    /// Returns how many requests of an S3 operation were seen (HTTP mode).
    #[must_use]
    pub fn count(&self, operation: &str) -> usize {
        lock(&self.shared.seen).iter().filter(|request| request.operation() == operation).count()
    }

    /// Resets every connection that is open now.
    pub fn cut(&self) {
        for link in lock(&self.shared.live).drain(..).filter_map(|link| link.upgrade()) {
            link.reset();
        }
    }

    /// Stops, or goes on, moving bytes on all connections, which stay open.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.store(stalled, Ordering::SeqCst);
    }

    /// Resets, or lets pass again, every new connection.
    pub fn refuse(&self, refusing: bool) {
        self.shared.refusing.store(refusing, Ordering::SeqCst);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the acceptor.
        if TcpStream::connect(self.address).is_ok()
            && let Some(acceptor) = self.acceptor.take()
            && acceptor.join().is_err()
        {
            // It has panicked; the test fails by what it misses.
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        let link = Arc::new(Link {
            client,
            server: Mutex::new(None),
            cut: AtomicBool::new(false),
            mute: AtomicBool::new(false),
        });
        if shared.refusing.load(Ordering::SeqCst) {
            link.reset();
            continue;
        }
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let mut live = lock(&shared.live);
        live.retain(|link| link.strong_count() > 0);
        live.push(Arc::downgrade(&link));
        drop(live);
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            if shared.serve(&link).is_err() {
                // One of the two sides has gone; the other one learns it from the closed socket.
            }
        });
    }
}

impl Link {
    /// Makes the kernel send RST as soon as both threads have let the client's socket go, which they do at once.
    fn reset(&self) {
        self.cut.store(true, Ordering::SeqCst);
        if rustix::net::sockopt::set_socket_linger(&self.client, Some(Duration::ZERO)).is_err() {
            // Closed already.
        }
        // Reading only: ending the other direction would send FIN first.
        ignore(self.client.shutdown(Shutdown::Read));
        if let Some(server) = lock(&self.server).as_ref() {
            ignore(server.shutdown(Shutdown::Both));
        }
    }

    fn close(&self) {
        self.cut.store(true, Ordering::SeqCst);
        ignore(self.client.shutdown(Shutdown::Both));
        if let Some(server) = lock(&self.server).as_ref() {
            ignore(server.shutdown(Shutdown::Both));
        }
    }
}

/// What one direction does to the bytes that pass.
#[derive(Default, Clone, Copy)]
struct Spoil {
    reset_after: Option<u64>,
    close_after: Option<u64>,
    flip_at: Option<u64>,
    bytes_per_second: Option<u64>,
    swallow: bool,
    /// This is the direction in which traps are set.
    trapped: bool,
}

impl Shared {
    fn serve(&self, link: &Arc<Link>) -> io::Result<()> {
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
            Fault::FlipResponseByte(offset) => down.flip_at = Some(offset),
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
                let (first, head) =
                    if self.http { answer_head(&server, &link.client, down.swallow)? } else { (Vec::new(), 0) };
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
        let mut queue = lock(&self.queue);
        let fits = |(matcher, _): &(Option<Matcher>, Fault)| match (matcher, &request) {
            (None, _) => true,
            (Some(matcher), Some(request)) => matcher(request),
            (Some(_), None) => false,
        };
        let place = queue.iter().position(fits);
        let fault = place.and_then(|place| queue.remove(place)).map_or(Fault::Pass, |(_, fault)| fault);
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
            let limit = spoil.reset_after.or(spoil.close_after).filter(|&limit| end >= limit);
            if let Some(limit) = limit {
                chunk.truncate(usize::try_from(limit - moved).expect("within the chunk"));
            }
            if let Some(offset) = spoil.flip_at.filter(|offset| (moved..end).contains(offset)) {
                chunk[usize::try_from(offset - moved).expect("within the chunk")] ^= 0xff;
            }
            if !spoil.swallow {
                to.write_all(&chunk)?;
            }
            moved += chunk.len() as u64;
            if limit.is_some() {
                if spoil.reset_after.is_some() {
                    // Bytes under way would be lost to the reset; the promise is that so many arrive.
                    sleep(Duration::from_millis(20));
                    link.reset();
                } else {
                    link.close();
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

fn read_head(from: &mut &TcpStream) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    read_head_after(from, &mut Vec::new())
}

/// Reads until the empty line that ends an HTTP head; returns the head and what came after it.
fn read_head_after(from: &mut &TcpStream, early: &mut Vec<u8>) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut bytes = std::mem::take(early);
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return Ok(Some((bytes, rest)));
        }
        let count = from.read(&mut buffer)?;
        if count == 0 || bytes.len() > LONGEST_HEAD {
            *early = bytes;
            return Ok(None);
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
}

/// Reads the head of an answer, passing on interim ones ("100 Continue"); returns what was read and the head's length.
fn answer_head(mut server: &TcpStream, mut client: &TcpStream, swallow: bool) -> io::Result<(Vec<u8>, usize)> {
    let mut early = Vec::new();
    loop {
        let Some((head, rest)) = read_head_after(&mut server, &mut early)? else { return Ok((early, 0)) };
        if !head.starts_with(b"HTTP/1.1 1") {
            let length = head.len();
            return Ok(([head, rest].concat(), length));
        }
        if !swallow {
            client.write_all(&head)?;
        }
        early = rest;
    }
}

fn close_after_answer(head: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(head);
    let lines = text.trim_end_matches("\r\n").split("\r\n");
    let lines = lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut head = lines.collect::<Vec<_>>().join("\r\n");
    head += "\r\nConnection: close\r\n\r\n";
    head.into_bytes()
}

/// A socket that is gone already has what the call wanted.
fn ignore(result: io::Result<()>) {
    drop(result);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
