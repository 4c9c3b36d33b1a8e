//! The settings under which a database is loaded and its indexes are made, by the kind of target.
//!
//! `docs/performance.md` lists them with their reasons.

use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};

use crate::Error;

/// What is restored into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetKind {
    /// A database of a scratch server, which nobody else sees and which is dropped.
    Scratch,
    /// A new database, to be handed over: what is there must survive a crash.
    New,
}

/// Settings of the sessions that restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tuning {
    /// Of every session: any role may set these.
    pub(super) session: Vec<(String, String)>,
    /// Besides, of sessions that make indexes.
    pub(super) indexes: Vec<(String, String)>,
    pub(super) freeze: bool,
}

const MIB: i64 = 1 << 20;

impl Tuning {
    /// Chooses the settings by what the server has.
    ///
    /// `one_table`: a single table is most of the data, so that its indexes are made one after the other.
    pub(super) async fn choose(target: &ConnectionSettings, jobs: usize, one_table: bool) -> Result<Self, Error> {
        let session = Session::connect(target, &SessionPurpose::new("holdpoint restore")).await?;
        let sql = "SELECT pg_catalog.pg_size_bytes(pg_catalog.current_setting('shared_buffers')), \
                   pg_catalog.pg_size_bytes(pg_catalog.current_setting('maintenance_work_mem')), \
                   (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)";
        let row = session.query_one("reading the target's memory settings", sql, &[]).await?;
        session.close().await;
        // Grants are there before the rows: one that keeps an owner from emptying his table binds all but superusers.
        Ok(Self { freeze: row.get(2), ..Self::of(jobs, one_table, row.get(0), row.get(1)) })
    }

    fn of(jobs: usize, one_table: bool, shared_buffers: i64, maintenance: i64) -> Self {
        let pair = |name: &str, value: String| (name.to_owned(), value);
        // Shared buffers are about a quarter of what a server may use; half of that again, over all jobs, is there
        // while nobody else works on it.
        let share = shared_buffers / 2 / i64::try_from(jobs.max(1)).unwrap_or(1);
        let maintenance = share.clamp(maintenance.min(1024 * MIB), 1024 * MIB).max(maintenance);
        let mut indexes = vec![pair("maintenance_work_mem", format!("{}kB", maintenance / 1024))];
        if jobs > 1 && !one_table {
            // Each index on a session of its own takes less CPU time than several processes on each.
            indexes.push(pair("max_parallel_maintenance_workers", "0".to_owned()));
        }
        Self {
            session: vec![pair("synchronous_commit", "off".to_owned()), pair("xmloption", "content".to_owned())],
            indexes,
            freeze: false,
        }
    }

    /// Writes settings as `PGOPTIONS` does.
    pub(super) fn options(settings: &[(String, String)]) -> String {
        settings.iter().map(|(name, value)| format!("-c {name}={value}")).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_for_indexes_grows_with_the_server_and_never_shrinks() {
        let memory = |jobs, buffers: i64, now: i64| {
            let tuning = Tuning::of(jobs, false, buffers * MIB, now * MIB);
            tuning.indexes[0].1.clone()
        };
        assert_eq!(memory(2, 128, 64), format!("{}kB", 64 * 1024));
        assert_eq!(memory(2, 4096, 64), format!("{}kB", 1024 * 1024));
        assert_eq!(memory(2, 1024, 64), format!("{}kB", 256 * 1024));
        assert_eq!(memory(8, 128, 2048), format!("{}kB", 2048 * 1024), "what the server says itself stays");
    }
}
