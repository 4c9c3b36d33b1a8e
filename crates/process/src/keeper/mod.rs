//! The scratch keeper: a small process between holdpoint and a scratch server, so that neither the server nor its
//! directory outlives holdpoint, not even when holdpoint is killed.
//!
//! holdpoint re-executes itself as the keeper ([`run`]), writes one JSON line (a [`KeeperSpec`]) into its stdin and
//! holds that pipe open. The keeper makes the scratch directory, locks it, prepares and starts the server, and
//! reports on stdout in JSON lines. End of file on its stdin, or SIGINT, SIGTERM or SIGHUP, make it stop the server,
//! remove the directory and end. If the keeper itself is killed, [`sweep()`] finds the directory by its free lock.
//!
//! Layout of a scratch directory, which belongs to us while `data` and `socket` belong to the server's user:
//! `keeper.lock` (locked while its keeper lives), `scratch.log` (what the programs printed), `socket-path` (the socket
//! directory, where it had to be elsewhere), the folders and files of the spec.

mod directory;
mod handle;
mod serve;
mod sweep;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use directory::{SCRATCH_PREFIX, SOCKET_PREFIX};
pub use handle::{Keeper, ServerEnd};
pub use serve::run;
pub use sweep::{Abandoned, SweepReport, Swept, abandoned, sweep};

use crate::program::RunAs;

/// What a keeper is to do. It goes over a pipe, never through arguments, so the files may hold secrets.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeeperSpec {
    /// The scratch directory: it must not exist, its parent must; its name starts with [`SCRATCH_PREFIX`].
    pub directory: PathBuf,
    /// Folders to make below it, mode 0700, owned by the server's user.
    pub folders: Vec<PathBuf>,
    /// Files to write below it before anything is started, mode 0600, owned by the server's user.
    pub files: Vec<KeeperFile>,
    /// The server's data directory, below the scratch directory.
    pub data_directory: PathBuf,
    /// A socket directory outside of the scratch directory, where that path would be too long; made and removed
    /// by the keeper, its name starts with [`SOCKET_PREFIX`].
    pub socket_directory: Option<PathBuf>,
    /// The user the programs run as, when it is not ours.
    pub run_as: Option<RunAs>,
    /// Programs run to their end, in order, before the server.
    pub preparation: Vec<KeeperCommand>,
    /// The server. It is ready when `postmaster.pid` in its data directory says so.
    pub server: KeeperCommand,
    /// How long preparation and start may take.
    pub ready_within: Duration,
    /// How long the server may take to stop before it is killed.
    pub stop_grace: Duration,
}

/// A file that the keeper writes.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeeperFile {
    /// Below the scratch directory.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// A program the keeper starts, with an environment of just these variables, in the scratch directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeeperCommand {
    /// Path of the program.
    pub program: PathBuf,
    /// Its arguments; never a secret.
    pub arguments: Vec<OsString>,
    /// Its environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// What a keeper reports, one JSON object a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum KeeperEvent {
    /// The server accepts connections.
    Ready {
        /// Its process id.
        pid: u32,
    },
    /// It did not come so far; the directory is removed.
    Failed {
        /// The program, or the step, that failed.
        program: String,
        /// What happened.
        reason: String,
        /// The last part of the scratch log.
        log_tail: String,
    },
    /// The server ended without being told to; the directory is removed.
    Ended {
        /// How.
        reason: String,
        /// The last part of the scratch log.
        log_tail: String,
    },
}

impl std::fmt::Debug for KeeperSpec {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("KeeperSpec")
            .field("directory", &self.directory)
            .field("server", &self.server.program)
            .field("run_as", &self.run_as)
            .finish_non_exhaustive()
    }
}
