//! Files of the machine that the cell sees otherwise: sockets of production, and the list of hosts.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::mount::mount_bind;

use super::{CellSpec, during};

const HOSTS: &str = "/etc/hosts";

/// A unix socket of production, in whose place there is a trap.
pub(super) struct Covered {
    pub(super) path: PathBuf,
    pub(super) trap: UnixListener,
}

/// Puts a trap, or a socket at which nobody listens, in the place of every socket that is there.
pub(super) fn sockets(spec: &CellSpec) -> io::Result<Vec<Covered>> {
    let mut covered = Vec::new();
    let all = spec.covered.iter().map(|path| (path, true)).chain(spec.shut.iter().map(|path| (path, false)));
    for (number, (path, is_trap)) in all.enumerate() {
        let is_socket = path.metadata().is_ok_and(|found| found.file_type().is_socket());
        if !is_socket || same_file(path, &spec.socket) {
            continue;
        }
        let own = spec.folder.join(format!("trap-{number}"));
        let what = || format!("covering {}", path.display());
        let trap = UnixListener::bind(&own).map_err(|error| during(&what(), error))?;
        trap.set_nonblocking(true)?;
        match mount_bind(&own, path) {
            // Its server ended meanwhile: nothing is there that could be reached.
            Err(rustix::io::Errno::NOENT) if !path.exists() => continue,
            covered => covered.map_err(|error| during(&what(), error))?,
        }
        // Without a listener a socket refuses.
        covered.extend(is_trap.then(|| Covered { path: path.clone(), trap }));
    }
    Ok(covered)
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Makes names known beside those that the machine knows.
pub(super) fn hosts(spec: &CellSpec) -> io::Result<()> {
    if spec.hosts.is_empty() || !Path::new(HOSTS).is_file() {
        return Ok(());
    }
    let mut text = String::new();
    for (name, address) in &spec.hosts {
        writeln!(text, "{address} {name}").map_err(io::Error::other)?;
    }
    // The first line of a name counts.
    text.push_str(&fs::read_to_string(HOSTS).map_err(|error| during(HOSTS, error))?);
    let own = spec.folder.join("hosts");
    fs::write(&own, text).map_err(|error| during(HOSTS, error))?;
    mount_bind(&own, HOSTS).map_err(|error| during(HOSTS, error))
}
