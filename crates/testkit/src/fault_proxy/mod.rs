//! A loopback proxy that spoils connections on purpose.

mod heads;
mod link;
mod rule;
mod traffic;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use crate::fault::{Fault, SeenRequest};
use crate::trap::{Trap, Traps};
use link::Link;
pub use rule::Rule;

/// A proxy on a loopback port in front of a server, with rules of faults.
///
/// In HTTP mode `Connection: close` is put into every request, so that one connection is one request and counts are
/// exact. In TCP mode (for PostgreSQL) a connection is taken as it is. Every connection meets the first [`Rule`] that fits
/// it; with none it passes. When dropped, all connections end.
pub struct FaultProxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: SocketAddr,
    http: bool,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<SeenRequest>>,
    traps: Traps,
    connections: AtomicUsize,
    live: Mutex<Vec<Weak<Link>>>,
    stalled: AtomicBool,
    refusing: AtomicBool,
    stopping: AtomicBool,
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
            rules: Mutex::default(),
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

    /// Adds a rule behind those that there are.
    pub fn rule(&self, rule: Rule) {
        lock(&self.shared.rules).push(rule);
    }

    /// Adds a fault for the next connection.
    pub fn push(&self, fault: Fault) {
        self.rule(Rule::new(fault));
    }

    /// Adds the same fault for the next `times` connections.
    pub fn push_times(&self, times: usize, fault: &Fault) {
        self.rule(Rule::new(fault.clone()).times(times));
    }

    /// Adds a fault for the next request that fits (HTTP mode).
    pub fn push_when(&self, fits: impl Fn(&SeenRequest) -> bool + Send + 'static, fault: Fault) {
        self.rule(Rule::new(fault).when(fits));
    }

    /// Adds a fault for the next request of an S3 operation, as [`SeenRequest::operation`] names it (HTTP mode).
    pub fn push_for(&self, operation: &'static str, fault: Fault) {
        self.rule(Rule::new(fault).operation(operation));
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

    /// Returns how many connections the rules are still waiting for; those for all count as none.
    #[must_use]
    pub fn pending(&self) -> usize {
        lock(&self.shared.rules).iter().map(Rule::left).sum()
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Returns how many requests met a fault (HTTP mode).
    #[must_use]
    pub fn met(&self) -> usize {
        lock(&self.shared.seen).iter().filter(|request| request.fault != Fault::Pass).count()
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
        let link = Arc::new(Link::of(client));
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
