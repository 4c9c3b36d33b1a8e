//! The rehearsal: the team's own command on a proven copy, before production.
//!
//! What is measured: duration, locks ([`locks`]), files and columns of tables ([`catalog`]), rows by comparison with
//! the restore point ([`effects`]), schema objects, what the migration tool recorded ([`tracking`]). Then what the team
//! has to undo it is run, and compared again ([`rollback`]).
//!
//! The command must not reach production: its environment is rewritten ([`environment`]), files that it would read are
//! looked at before ([`files`]), where the kernel allows it runs in a network of its own that has one door, to the copy,
//! and production is held and watched meanwhile ([`watch`]). The copy is the caller's, who also removes it.

mod access;
mod apart;
mod catalog;
mod child;
mod command;
pub(crate) mod connection_string;
mod connections;
pub(crate) mod effects;
mod environment;
mod error;
mod files;
mod judge;
mod locks;
mod lost;
mod production;
mod roll_back;
pub(crate) mod rollback;
mod run;
mod tracking;
mod watch;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdpoint_core::{Mask, Secret};
use holdpoint_postgres::{ConnectionSettings, SessionPurpose};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

pub(crate) use effects::relation_name;
pub use error::{NamingFile, RehearseError};
pub use run::{refuse_early, rehearse};

/// Hears every line that the command prints; secrets in it are masked.
pub type Listener = Arc<dyn Fn(&str) + Send + Sync>;

/// How long a command may take where nobody says otherwise.
pub const TIME_LIMIT: Duration = Duration::from_secs(3600);

/// The network in which a command is rehearsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// One of its own, where the kernel allows it.
    Own {
        /// The program that makes it when called with `verb`: holdpoint itself.
        executable: PathBuf,
        /// Such as `rehearsal-cell`.
        verb: Vec<String>,
    },
    /// This machine's.
    Shared,
}

/// How a command is rehearsed.
#[derive(Clone)]
pub struct RehearseOptions {
    /// The command, word by word; at least one.
    pub command: Vec<String>,
    /// The whole environment of the command, as a guarded run would give it: this is what is rewritten.
    pub environment: Vec<(OsString, OsString)>,
    /// Where the command is run.
    pub folder: PathBuf,
    /// How migrations connect to production, past any transaction pooler: its role is the command's on the copy, it
    /// holds the tracking table, and it is watched.
    pub production: ConnectionSettings,
    /// Every other way to connect to production that is configured.
    pub also_production: Vec<ConnectionSettings>,
    /// The network that it gets.
    pub network: Network,
    /// How long the command may take.
    pub time_limit: Duration,
    /// Run what undoes the migrations afterwards, and tell what it does not bring back.
    pub rollback: bool,
    /// Tables with more bytes than this are not compared by their rows.
    pub compare_up_to_bytes: Option<u64>,
    /// Where temporary files are made; they hold hashes only.
    pub temporary: PathBuf,
    /// How many sessions read at a time.
    pub jobs: usize,
    /// Secrets that are known.
    pub mask: Mask,
    /// Who hears what the command prints.
    pub listener: Listener,
}

impl std::fmt::Debug for RehearseOptions {
    /// Leaves the command and the environment out, which may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RehearseOptions").field("time_limit", &self.time_limit).finish_non_exhaustive()
    }
}

/// Where the command finds the copy: a port of 127.0.0.1.
#[derive(Clone)]
struct Door {
    port: u16,
    user: String,
    password: Secret,
    database: String,
}

impl Door {
    /// The copy as a URL.
    fn url(&self) -> String {
        let part = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let (user, password, database) = (part(&self.user), part(self.password.expose()), part(&self.database));
        format!("postgresql://{user}:{password}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }
}

/// What our own sessions call themselves, by which they are told from the command's.
struct OwnSessions(&'static str);

const SESSIONS: OwnSessions = OwnSessions("holdpoint rehearsal");

impl OwnSessions {
    fn name(&self) -> &'static str {
        self.0
    }

    fn purpose(&self) -> SessionPurpose {
        SessionPurpose::new(self.0)
    }
}
