//! The rehearsal cell: a small process in which a command runs in a network of its own, with one door.
//!
//! holdpoint re-executes itself as the cell ([`run`]). Before it has any thread, the cell enters new namespaces: of the
//! network, of mounts, of processes, and, where it is not root, of users. In them the only network is the loopback
//! address. There the cell opens a door that leads to one unix socket, and *traps* where production would be: its
//! addresses, and its unix sockets, which a network namespace alone would not keep out. Whoever touches a trap is
//! noted at once. The command then runs below a first process of the process namespace: whatever it forks, and however
//! it daemonises, ends with it.
//!
//! Nothing here is a wall against malice: it keeps out what takes production for the copy by mistake.

#[cfg(target_os = "linux")]
mod cover;
#[cfg(target_os = "linux")]
mod inside;
#[cfg(target_os = "linux")]
mod loopback;
#[cfg(target_os = "linux")]
mod namespaces;
#[cfg(target_os = "linux")]
mod serve;

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::running::Status;

/// In the cell's folder: what went wrong before the command was started.
const FAILED: &str = "failed";
/// In the cell's folder: how the command ended.
const ENDED: &str = "ended";
/// In the cell's folder: the traps that were touched, one a line.
const TOUCHED: &str = "touched";

/// What a cell is to be. It goes through an argument, so nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellSpec {
    /// The program that is a cell when it is called with `verb`, and then with [`Self::arguments`]: holdpoint itself.
    pub executable: PathBuf,
    /// The words that make it one.
    pub verb: Vec<String>,
    /// A private folder that exists, in which the cell tells what happens.
    pub folder: PathBuf,
    /// The port of 127.0.0.1 at which the door is.
    pub port: u16,
    /// The unix socket to which the door leads.
    pub socket: PathBuf,
    /// Addresses that are traps.
    pub traps: Vec<SocketAddr>,
    /// Unix sockets that are traps; what does not exist is left out.
    pub covered: Vec<PathBuf>,
    /// Unix sockets at which nobody answers.
    pub shut: Vec<PathBuf>,
    /// Names that are made known, as the resolver cannot be asked: those of the traps.
    pub hosts: Vec<(String, IpAddr)>,
}

impl CellSpec {
    /// The arguments with which [`Self::executable`] runs `command` in the cell; without a command the cell is only
    /// tried.
    ///
    /// # Errors
    /// The system's, for a path that is not UTF-8.
    pub fn arguments(&self, command: &[OsString]) -> io::Result<Vec<OsString>> {
        let spec = serde_json::to_string(self).map_err(io::Error::other)?;
        let verb = self.verb.iter().map(OsString::from);
        Ok(verb.chain([spec.into()]).chain(command.iter().cloned()).collect())
    }

    /// Why the command could not be started, where that is so.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        std::fs::read_to_string(self.folder.join(FAILED)).ok()
    }

    /// How the command itself ended; `None` where the cell was ended before it.
    #[must_use]
    pub fn ended(&self) -> Option<Status> {
        let text = std::fs::read_to_string(self.folder.join(ENDED)).ok()?;
        let (kind, number) = text.trim().split_once(' ')?;
        let number = number.parse().ok()?;
        Some(if kind == "signal" { Status::Signal(number) } else { Status::Code(number) })
    }

    /// The traps that were touched up to now.
    #[must_use]
    pub fn touched(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.join(TOUCHED)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// The word after which the cell's executable is its first process.
const INSIDE: &str = "inside";

/// Makes this process a cell, or the first process in one; to be called before it has a thread. `arguments` are those
/// of [`CellSpec::arguments`] after the verb.
#[must_use]
pub fn run(arguments: &[OsString]) -> ExitCode {
    if arguments.first().is_some_and(|word| word == INSIDE) {
        return run_inside(&arguments[1..]);
    }
    let spec = arguments.first().and_then(|text| text.to_str()).and_then(|text| serde_json::from_str(text).ok());
    let (Some(spec), Some(command)) = (spec, arguments.get(1..)) else { return ExitCode::FAILURE };
    match enter(&spec, command) {
        Ok(code) => code,
        Err(error) => {
            // Who started the cell reads it there; nobody else does.
            std::fs::write(spec.folder.join(FAILED), error.to_string()).ok();
            ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "linux")]
fn enter(spec: &CellSpec, command: &[OsString]) -> io::Result<ExitCode> {
    serve::serve(spec, command)
}

#[cfg(not(target_os = "linux"))]
fn enter(_: &CellSpec, _: &[OsString]) -> io::Result<ExitCode> {
    Err(io::Error::other("this system has no network namespaces"))
}

/// Makes this process the first one of the cell's process namespace: it runs the command, and ends with it.
fn run_inside(arguments: &[OsString]) -> ExitCode {
    #[cfg(target_os = "linux")]
    let ended = inside::run(arguments);
    #[cfg(not(target_os = "linux"))]
    let ended = arguments.first().map(|_| ExitCode::FAILURE);
    ended.unwrap_or(ExitCode::FAILURE)
}

/// Says what was being done when the system refused.
fn during(what: &str, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Writes down in the cell's folder how the command ended.
fn note_end(folder: &Path, status: Status) -> io::Result<()> {
    let text = match status {
        Status::Code(code) => format!("code {code}\n"),
        Status::Signal(number) => format!("signal {number}\n"),
    };
    // Whole or not at all: who reads it may come at any moment.
    let temporary = folder.join("ending");
    std::fs::write(&temporary, text)?;
    std::fs::rename(temporary, folder.join(ENDED))
}
