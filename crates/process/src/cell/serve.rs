//! The cell itself: namespaces, door and traps, and the process that runs the command.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::{CellSpec, INSIDE, TOUCHED, cover, during, loopback, namespaces};
use crate::forwarder::{Destination, Forwarder};

/// Enters the namespaces and runs the command there to its end; without a command, only enters.
pub(super) fn serve(spec: &CellSpec, command: &[OsString]) -> io::Result<ExitCode> {
    namespaces::enter()?;
    // After entering: that clears it. Who started us may be killed, and nobody would read what the command says.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| during("watching the parent", error))?;
    let mut addresses: Vec<IpAddr> = spec.traps.iter().map(SocketAddr::ip).collect();
    addresses.sort();
    addresses.dedup();
    loopback::bring_up(&addresses)?;
    cover::hosts(spec)?;
    let covered = cover::sockets(spec)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let _door = Forwarder::open_at(spec.port, Destination::Socket(spec.socket.clone()))
            .await
            .map_err(|error| during("opening the door", error))?;
        let mut traps = JoinSet::new();
        for address in &spec.traps {
            let listener = TcpListener::bind(address).await;
            let listener = listener.map_err(|error| during(&format!("setting a trap at {address}"), error))?;
            traps.spawn(tcp_trap(listener, spec.folder.join(TOUCHED), address.to_string()));
        }
        for one in covered {
            let listener = UnixListener::from_std(one.trap)?;
            traps.spawn(unix_trap(listener, spec.folder.join(TOUCHED), one.path.display().to_string()));
        }
        if command.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        inside(spec, command).await
    })
}

/// Starts the first process of the process namespace, which runs the command, and waits for its end.
async fn inside(spec: &CellSpec, command: &[OsString]) -> io::Result<ExitCode> {
    // With handlers, which a program that is executed does not inherit: the group's signals are for the command.
    let mut handlers = Vec::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()] {
        handlers.push(signal(kind)?);
    }
    #[expect(clippy::disallowed_methods, reason = "it must stay in this process group, which the door leaves")]
    let mut program = tokio::process::Command::new(&spec.executable);
    program.args(&spec.verb).arg(INSIDE).arg(&spec.folder).args(command);
    let mut child = program.spawn().map_err(|error| during("starting the first process", error))?;
    let status = child.wait().await?;
    drop(handlers);
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}

async fn tcp_trap(listener: TcpListener, touched: PathBuf, name: String) {
    loop {
        if listener.accept().await.is_ok() {
            note(&touched, &name);
        }
    }
}

async fn unix_trap(listener: UnixListener, touched: PathBuf, name: String) {
    loop {
        if listener.accept().await.is_ok() {
            note(&touched, &name);
        }
    }
}

fn note(touched: &Path, name: &str) {
    let file = OpenOptions::new().create(true).append(true).open(touched);
    // The connection is closed in any case; a full disk shows by the command's own failure.
    file.and_then(|mut file| writeln!(file, "{name}")).ok();
}
