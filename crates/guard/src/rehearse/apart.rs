//! A network of the command's own, in which the copy is the only server; or the reason why there is none.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdpoint_process::cell::CellSpec;
use holdpoint_process::{Destination, Forwarder, Program};
use tokio_util::sync::CancellationToken;

use super::production::Production;
use super::{Network, RehearseError, RehearseOptions};

/// How the names of PostgreSQL's sockets begin; the port follows.
const SOCKET_NAME: &str = ".s.PGSQL.";
/// Entering takes milliseconds, or hangs.
const TRIED_WITHIN: Duration = Duration::from_secs(20);
/// Ports of the door, of which the first is taken that is no trap.
const DOORS: std::ops::Range<u16> = 54_320..54_400;

/// How the command reaches the copy.
pub(super) enum Way {
    /// In a network of its own.
    Apart(Apart),
    /// In this machine's network, through a door on the loopback address.
    Shared {
        door: Forwarder,
        /// Why there is no network of its own.
        why: String,
    },
}

/// A network of the command's own.
pub(super) struct Apart {
    /// Of what each command gets.
    spec: CellSpec,
    /// Removed with everything in it.
    folder: tempfile::TempDir,
    /// Where the scratch server has no unix socket.
    _bridge: Option<Forwarder>,
}

impl Way {
    /// Finds out what the kernel allows, and opens the door.
    pub(super) async fn find(
        options: &RehearseOptions,
        production: &Production,
        destination: Destination,
        // The private folder of a scratch server of our own.
        folder: Option<PathBuf>,
        cancel: &CancellationToken,
    ) -> Result<Self, RehearseError> {
        let why = match &options.network {
            Network::Shared => "so it was asked for".to_owned(),
            Network::Own { .. } if folder.is_none() && is_production(&destination, production) => {
                "the scratch server is production's own, so its door leads to both".to_owned()
            }
            Network::Own { executable, verb } => {
                let base = folder.unwrap_or_else(|| options.temporary.clone());
                match Apart::enter(executable, verb, base, production, destination.clone(), cancel).await {
                    Ok(apart) => return Ok(Self::Apart(apart)),
                    Err(_) if cancel.is_cancelled() => {
                        let program = executable.display().to_string();
                        return Err(holdpoint_process::Error::Cancelled { program }.into());
                    }
                    Err(why) => why,
                }
            }
        };
        let door = Forwarder::open(destination).await;
        let door =
            door.map_err(|source| RehearseError::Io { what: "opening a door to the copy".to_owned(), source })?;
        Ok(Self::Shared { door, why })
    }

    /// The door's port of 127.0.0.1, as the command sees it.
    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Apart(apart) => apart.spec.port,
            Self::Shared { door, .. } => door.port(),
        }
    }

    /// What runs a command this way.
    pub(super) fn call(&self, command: &[String]) -> Result<Call, RehearseError> {
        let words: Vec<OsString> = command.iter().map(OsString::from).collect();
        match self {
            Self::Apart(apart) => {
                let wrong = |source| RehearseError::Io { what: "making the cell's folder".to_owned(), source };
                // Every command has a folder of its own, with its own traps.
                let folder = tempfile::Builder::new().prefix("run-").tempdir_in(apart.folder.path()).map_err(wrong)?;
                let spec = CellSpec { folder: folder.keep(), ..apart.spec.clone() };
                let arguments = spec.arguments(&words).map_err(wrong)?;
                Ok(Call { program: spec.executable.clone(), arguments, cell: Some(spec) })
            }
            Self::Shared { .. } => {
                let mut words = words.into_iter();
                let program = words.next().map(PathBuf::from).unwrap_or_default();
                Ok(Call { program, arguments: words.collect(), cell: None })
            }
        }
    }
}

/// A program that runs a command.
pub(super) struct Call {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// The cell in which it does.
    pub(super) cell: Option<CellSpec>,
}

impl Apart {
    async fn enter(
        executable: &Path,
        verb: &[String],
        base: PathBuf,
        production: &Production,
        destination: Destination,
        cancel: &CancellationToken,
    ) -> Result<Self, String> {
        let said = |error: std::io::Error| error.to_string();
        let folder = tempfile::Builder::new().prefix("cell-").tempdir_in(base).map_err(said)?;
        let (socket, bridge) = match destination {
            Destination::Socket(path) => (path, None),
            address @ Destination::Tcp(_) => {
                let path = folder.path().join("copy");
                let bridge = Forwarder::open_socket(&path, address).map_err(said)?;
                (path, Some(bridge))
            }
        };
        let traps = traps(production);
        let is_trap = |port: &u16| traps.iter().any(|trap| trap.port() == *port);
        let port = DOORS.clone().find(|port| !is_trap(port)).unwrap_or(DOORS.start);
        let (covered, shut) = sockets(production, &listening(), &socket);
        let spec = CellSpec {
            executable: executable.to_owned(),
            verb: verb.to_vec(),
            folder: folder.path().to_owned(),
            port,
            socket,
            traps,
            covered,
            shut,
            hosts: hosts(production),
        };
        let trial = CellSpec { folder: folder.path().join("trial"), ..spec.clone() };
        std::fs::create_dir(&trial.folder).map_err(said)?;
        let arguments = trial.arguments(&[]).map_err(said)?;
        let tried = Program::new(executable).arguments(arguments).output(1024, TRIED_WITHIN, cancel).await;
        match tried {
            Ok(_) => Ok(Self { spec, folder, _bridge: bridge }),
            Err(error) => Err(trial.failure().unwrap_or_else(|| error.to_string())),
        }
    }
}

/// Where production would be found: at its addresses, and where it is on this machine, at every local one.
fn traps(production: &Production) -> Vec<SocketAddr> {
    let mut traps: Vec<SocketAddr> = production.addresses.iter().map(|one| SocketAddr::from(*one)).collect();
    for port in production.local_ports() {
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            traps.push((address, port).into());
        }
    }
    traps.sort();
    traps.dedup();
    traps
}

/// Whether a scratch server that was given is the very server that the command shall be kept from.
fn is_production(destination: &Destination, production: &Production) -> bool {
    match destination {
        Destination::Tcp(address) => traps(production).contains(address),
        Destination::Socket(path) => {
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            sockets(production, &listening(), Path::new("")).0.contains(&real)
        }
    }
}

/// The unix sockets of other servers than the copy: those by which a local production would be found, and the rest.
fn sockets(production: &Production, listening: &[PathBuf], copy: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let ports = production.local_ports();
    let mut all: Vec<PathBuf> = listening.to_vec();
    for place in production.places.iter().filter(|place| place.is_socket) {
        all.push(PathBuf::from(&place.host).join(format!("{SOCKET_NAME}{}", place.port)));
    }
    let copy = copy.canonicalize().unwrap_or_else(|_| copy.to_owned());
    let mut real: Vec<PathBuf> = all.iter().filter_map(|path| path.canonicalize().ok()).collect();
    real.sort();
    real.dedup();
    real.retain(|path| *path != copy);
    real.into_iter().partition(|path| port_of(path).is_some_and(|port| ports.contains(&port)))
}

/// The port in a socket's name.
fn port_of(path: &Path) -> Option<u16> {
    path.file_name()?.to_str()?.strip_prefix(SOCKET_NAME)?.parse().ok()
}

/// The sockets at which programs of this machine listen (Linux manual, proc(5)): PostgreSQL servers, and others that may
/// act for whoever asks them, such as those of containers.
fn listening() -> Vec<PathBuf> {
    let text = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let listens = |line: &&str| line.split_whitespace().nth(3) == Some("00010000");
    let paths = text.lines().filter(listens).filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])));
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Names of production, which no resolver is there to tell.
fn hosts(production: &Production) -> Vec<(String, IpAddr)> {
    let named = production.places.iter().filter(|place| !place.is_socket && place.host.parse::<IpAddr>().is_err());
    let named = named.filter(|place| place.host != "localhost");
    named.flat_map(|place| place.resolved.iter().map(|address| (place.host.clone(), *address))).collect()
}
