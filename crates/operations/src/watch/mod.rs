//! What goes on in a database now: who waits for whom, what runs for long, what is being built, how far standbys are.
//!
//! [`look()`] asks a few short questions, each a statement of its own under a time limit, outside any transaction: no
//! snapshot is held between them, and the parts of one [`Picture`] may be some milliseconds apart. Statements of others
//! are shown without their values ([`holdpoint_core::mask::statement`]).

mod activity;
mod cancel;
mod catalogue;
mod error;
mod finding;
mod look;
mod picture;
mod progress;
pub(crate) mod replication;
mod waits;

use std::time::Duration;

pub use activity::Activity;
pub use cancel::{Stop, Stopped, cancel, find};
pub use catalogue::{InvalidIndex, PreparedTransaction};
pub use error::WatchError;
pub use finding::{Finding, findings};
pub use look::look;
pub use picture::{Picture, Unseen};
pub use progress::Work;
pub use replication::{OwnLag, Slot, Standby};
pub use waits::{Behind, Blocker, Lock, Wait};

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Only sessions whose `application_name` holds this text, such as a guarded run's `holdpoint:RUN`: what they wait
    /// for, and who waits behind them. Without it, every session of the database.
    pub token: Option<String>,
    /// Transactions and statements that are open for longer are listed.
    pub longer_than: Duration,
    /// How long one question may take the server before it is given up.
    pub answer_within: Duration,
}

impl Default for Watched {
    /// Every session; transactions and statements of over 30 s; 3 s for a question.
    fn default() -> Self {
        Self { token: None, longer_than: Duration::from_secs(30), answer_within: Duration::from_secs(3) }
    }
}
