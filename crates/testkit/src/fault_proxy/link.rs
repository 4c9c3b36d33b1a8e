//! One connection through the proxy, and how it ends.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::lock;

/// The two sockets of one connection. They are closed, or reset, when the last thread lets them go.
pub(super) struct Link {
    pub(super) client: TcpStream,
    pub(super) server: Mutex<Option<Arc<TcpStream>>>,
    pub(super) cut: AtomicBool,
    /// The next answer is lost.
    pub(super) mute: AtomicBool,
}

impl Link {
    pub(super) fn of(client: TcpStream) -> Self {
        Self { client, server: Mutex::new(None), cut: AtomicBool::new(false), mute: AtomicBool::new(false) }
    }

    /// Makes the kernel send RST as soon as both threads have let the client's socket go, which they do at once.
    pub(super) fn reset(&self) {
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

    pub(super) fn close(&self) {
        self.cut.store(true, Ordering::SeqCst);
        ignore(self.client.shutdown(Shutdown::Both));
        if let Some(server) = lock(&self.server).as_ref() {
            ignore(server.shutdown(Shutdown::Both));
        }
    }
}

/// A socket that is gone already has what the call wanted.
pub(super) fn ignore(result: io::Result<()>) {
    drop(result);
}
