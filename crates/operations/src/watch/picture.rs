//! What was seen in one look.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Activity, Blocker, InvalidIndex, OwnLag, PreparedTransaction, Slot, Standby, Wait, Work};

/// What goes on in a database at one moment.
///
/// With a token, [`Picture::sessions`] are those that carry it, waits are theirs and those behind them, and blockers
/// are whoever holds them up, and they themselves where they hold up others; everything else is the database's, or of
/// the whole server where it says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// When, by the server's clock.
    pub at: DateTime<Utc>,
    /// The database.
    pub database: String,
    /// Whether the server is a standby.
    pub in_recovery: bool,
    /// The token that was looked for.
    pub token: Option<String>,
    /// The sessions that carry the token; empty without one.
    pub sessions: Vec<Activity>,
    /// Who waits for a lock, whoever has waited longest first.
    pub waits: Vec<Wait>,
    /// Who is waited for, those at the beginning of a chain first, and among them who holds up most.
    pub blockers: Vec<Blocker>,
    /// Transactions, and statements outside of one, that are open for long, the longest first; without those that are
    /// idle.
    pub long: Vec<Activity>,
    /// Sessions that do nothing within an open transaction, for however long, the longest first.
    pub idle_in_transaction: Vec<Activity>,
    /// Index builds, VACUUM, COPY, CLUSTER, ANALYZE in the database, as far as the server tells.
    pub work: Vec<Work>,
    /// Indexes that the planner does not use: left by a failed CREATE INDEX CONCURRENTLY, or being built right now.
    pub invalid_indexes: Vec<InvalidIndex>,
    /// Prepared transactions of the database, the oldest first: they hold their locks until somebody ends them.
    pub prepared: Vec<PreparedTransaction>,
    /// Standbys and other receivers of the whole server's WAL.
    pub standbys: Vec<Standby>,
    /// Replication slots of the whole server.
    pub slots: Vec<Slot>,
    /// How far the server itself is behind, where it is a standby.
    pub own_lag: Option<OwnLag>,
    /// Sessions of the database of which this role sees neither state nor statement: long transactions among them do
    /// not show. More is seen with `GRANT pg_read_all_stats TO` the role.
    pub hidden_sessions: u64,
    /// What could not be looked at, and why.
    pub unseen: Vec<Unseen>,
}

/// A part of the picture that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    /// The part, such as `replication`.
    pub part: String,
    /// What the server said.
    pub why: String,
}

impl Picture {
    /// A picture of a primary on which nothing goes on.
    pub(super) fn empty(at: DateTime<Utc>, database: String) -> Self {
        Self {
            at,
            database,
            in_recovery: false,
            token: None,
            sessions: Vec::new(),
            waits: Vec::new(),
            blockers: Vec::new(),
            long: Vec::new(),
            idle_in_transaction: Vec::new(),
            work: Vec::new(),
            invalid_indexes: Vec::new(),
            prepared: Vec::new(),
            standbys: Vec::new(),
            slots: Vec::new(),
            own_lag: None,
            hidden_sessions: 0,
            unseen: Vec::new(),
        }
    }

    /// Finds a session of the picture by its server process.
    pub fn session(&self, pid: i32) -> Option<&Activity> {
        let waiting = self.waits.iter().map(|wait| &wait.session);
        let blocking = self.blockers.iter().filter_map(|blocker| blocker.session.as_ref());
        let others = self.sessions.iter().chain(&self.long).chain(&self.idle_in_transaction);
        waiting.chain(blocking).chain(others).find(|session| session.pid == pid)
    }
}
