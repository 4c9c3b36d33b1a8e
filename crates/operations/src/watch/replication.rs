//! How far others are behind the server, and the server behind its own source.

use holdpoint_postgres::catalog::Lossy;
use holdpoint_postgres::{Error, Row, Session};
use serde::{Deserialize, Serialize};

use super::activity::whole;

/// A receiver of the server's WAL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standby {
    /// What it calls itself.
    pub application_name: String,
    /// Its address; `local` for a socket on the server's machine.
    pub client: Option<String>,
    /// `streaming`, `catchup` and the like.
    pub state: Option<String>,
    /// `async`, `sync`, `quorum` or `potential`.
    pub sync_state: Option<String>,
    /// WAL that it has not replayed, bytes; of a logical receiver, what it has not confirmed.
    pub behind_bytes: Option<u64>,
    /// For how long what it replayed last had been written, milliseconds; zero when it has everything.
    pub lag_ms: Option<u64>,
    /// Whether this role may not see how far it is.
    pub hidden: bool,
}

/// A replication slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Whether it is a logical one.
    pub is_logical: bool,
    /// The database of a logical one.
    pub database: Option<String>,
    /// Who uses it now.
    pub active_pid: Option<i32>,
    /// WAL that its receiver has not confirmed, bytes; of a physical one, WAL that is kept for it.
    pub behind_bytes: Option<u64>,
    /// `reserved`, `extended`, `unreserved`, or `lost` when its receiver can never go on.
    pub wal_status: Option<String>,
}

/// How far a standby is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnLag {
    /// WAL that was received and not replayed, bytes.
    pub behind_bytes: Option<u64>,
    /// Since the last transaction that was replayed, milliseconds; it grows on an idle primary, too.
    pub since_last_ms: Option<u64>,
    /// Whether replay is paused.
    pub is_paused: bool,
}

/// Where the server's WAL ends: what it wrote, or replayed.
const POSITION: &str = "CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
                        ELSE pg_catalog.pg_current_wal_lsn() END";

/// Lists those who receive WAL; base backups under way are none.
pub(crate) async fn standbys(session: &Session) -> Result<Vec<Standby>, Error> {
    let sql = format!(
        "SELECT application_name, COALESCE(pg_catalog.host(client_addr), CASE WHEN client_port = -1 THEN 'local' END), \
           state, sync_state, pg_catalog.pg_wal_lsn_diff({POSITION}, replay_lsn)::float8, \
           (extract(epoch FROM replay_lag) * 1000)::float8 \
         FROM pg_catalog.pg_stat_replication WHERE state IS DISTINCT FROM 'backup' ORDER BY application_name, pid"
    );
    let rows = session.query("looking for standbys", &sql, &[]).await?;
    Ok(rows.iter().map(standby).collect())
}

fn standby(row: &Row) -> Standby {
    let text = |place: usize| row.get::<_, Option<Lossy>>(place).map(|text| text.0);
    let state = text(2);
    let behind_bytes = row.get::<_, Option<f64>>(4).map(whole);
    // The server forgets the lag of a standby that has everything.
    let idle = behind_bytes.filter(|bytes| *bytes == 0);
    Standby {
        application_name: text(0).unwrap_or_default(),
        client: text(1),
        hidden: state.is_none(),
        state,
        sync_state: text(3),
        behind_bytes,
        lag_ms: row.get::<_, Option<f64>>(5).map(whole).or(idle),
    }
}

/// Lists replication slots, temporary ones too.
pub(super) async fn slots(session: &Session) -> Result<Vec<Slot>, Error> {
    let sql = format!(
        "SELECT slot_name::text, slot_type = 'logical', database::text, active_pid, \
           pg_catalog.pg_wal_lsn_diff({POSITION}, COALESCE(confirmed_flush_lsn, restart_lsn))::float8, wal_status \
         FROM pg_catalog.pg_replication_slots ORDER BY slot_name"
    );
    let rows = session.query("looking for replication slots", &sql, &[]).await?;
    let read = |row: &Row| Slot {
        name: row.get(0),
        is_logical: row.get(1),
        database: row.get::<_, Option<Lossy>>(2).map(|name| name.0),
        active_pid: row.get(3),
        behind_bytes: row.get::<_, Option<f64>>(4).map(whole),
        wal_status: row.get(5),
    };
    Ok(rows.iter().map(read).collect())
}

/// Reads how far a standby is; only on a standby.
pub(super) async fn own_lag(session: &Session) -> Result<OwnLag, Error> {
    let sql = "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())::float8, \
                 (extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp()) * 1000)::float8, \
                 pg_catalog.pg_is_wal_replay_paused()";
    let row = session.query_one("looking how far this standby is", sql, &[]).await?;
    Ok(OwnLag {
        behind_bytes: row.get::<_, Option<f64>>(0).map(whole),
        since_last_ms: row.get::<_, Option<f64>>(1).map(whole),
        is_paused: row.get(2),
    })
}
