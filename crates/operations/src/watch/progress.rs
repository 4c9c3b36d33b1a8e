//! Long work of the server that tells how far it is: `pg_stat_progress_*`.

use holdpoint_postgres::catalog::Lossy;
use holdpoint_postgres::{Error, Session};
use serde::{Deserialize, Serialize};

/// Work under way in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The server process.
    pub pid: i32,
    /// What it does, such as `CREATE INDEX CONCURRENTLY`, `VACUUM`, `COPY FROM`.
    pub command: String,
    /// The table, `schema.name`, quoted where needed.
    pub relation: Option<String>,
    /// The index, where the command is about one.
    pub index: Option<String>,
    /// The phase, in the server's words.
    pub phase: String,
    /// How much of the phase is done.
    pub done: u64,
    /// Of how much; zero where nobody knows.
    pub total: u64,
    /// What is counted: `blocks`, `tuples`, `bytes`, or `lockers`, the transactions whose end is waited for.
    pub unit: String,
    /// Whose end it waits for at the moment.
    pub waits_for: Option<i32>,
}

impl Work {
    /// How much of the phase is done, in percent; never more than 100.
    #[must_use]
    pub fn percent(&self) -> Option<u64> {
        (self.total > 0).then(|| (u128::from(self.done.min(self.total)) * 100 / u128::from(self.total)) as u64)
    }
}

/// Lists the work; only columns that majors 14 to 18 have alike.
pub(super) async fn read(session: &Session) -> Result<Vec<Work>, Error> {
    let sql = "WITH work AS (\
        SELECT pid, datname, relid, index_relid, command, phase, current_locker_pid AS waits_for, \
          CASE WHEN lockers_total > lockers_done THEN lockers_done WHEN tuples_total > 0 THEN tuples_done ELSE blocks_done END AS done, \
          CASE WHEN lockers_total > lockers_done THEN lockers_total WHEN tuples_total > 0 THEN tuples_total ELSE blocks_total END AS total, \
          CASE WHEN lockers_total > lockers_done THEN 'lockers' WHEN tuples_total > 0 THEN 'tuples' ELSE 'blocks' END AS unit \
        FROM pg_catalog.pg_stat_progress_create_index \
        UNION ALL SELECT pid, datname, relid, NULL, 'VACUUM', phase, NULL, \
          CASE phase WHEN 'vacuuming heap' THEN heap_blks_vacuumed ELSE heap_blks_scanned END, heap_blks_total, 'blocks' \
        FROM pg_catalog.pg_stat_progress_vacuum \
        UNION ALL SELECT pid, datname, relid, NULL, command, 'copying', NULL, \
          CASE WHEN bytes_total > 0 THEN bytes_processed ELSE tuples_processed END, bytes_total, \
          CASE WHEN bytes_total > 0 THEN 'bytes' ELSE 'tuples' END \
        FROM pg_catalog.pg_stat_progress_copy \
        UNION ALL SELECT pid, datname, relid, NULLIF(cluster_index_relid, 0), command, phase, NULL, heap_blks_scanned, heap_blks_total, 'blocks' \
        FROM pg_catalog.pg_stat_progress_cluster \
        UNION ALL SELECT pid, datname, relid, NULL, 'ANALYZE', phase, NULL, sample_blks_scanned, sample_blks_total, 'blocks' \
        FROM pg_catalog.pg_stat_progress_analyze) \
      SELECT w.pid, w.command, CASE WHEN c.oid IS NOT NULL THEN pg_catalog.format('%I.%I', n.nspname, c.relname) END, \
        CASE WHEN i.oid IS NOT NULL THEN pg_catalog.format('%I.%I', ni.nspname, i.relname) END, \
        COALESCE(w.phase, 'unknown'), COALESCE(w.done, 0), COALESCE(w.total, 0), w.unit, NULLIF(w.waits_for, 0)::int4 \
      FROM work w LEFT JOIN pg_catalog.pg_class c ON c.oid = w.relid LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
      LEFT JOIN pg_catalog.pg_class i ON i.oid = w.index_relid LEFT JOIN pg_catalog.pg_namespace ni ON ni.oid = i.relnamespace \
      WHERE w.datname = pg_catalog.current_database() ORDER BY w.pid";
    let rows = session.query("looking for work under way", sql, &[]).await?;
    let name = |row: &holdpoint_postgres::Row, place| row.get::<_, Option<Lossy>>(place).map(|name| name.0);
    let read = |row: &holdpoint_postgres::Row| Work {
        pid: row.get(0),
        command: row.get::<_, Option<String>>(1).unwrap_or_else(|| "work that this role may not see".to_owned()),
        relation: name(row, 2),
        index: name(row, 3),
        phase: row.get(4),
        done: row.get::<_, i64>(5).unsigned_abs(),
        total: row.get::<_, i64>(6).unsigned_abs(),
        unit: row.get(7),
        waits_for: row.get(8),
    };
    Ok(rows.iter().map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_told_only_where_the_whole_is_known() {
        let work = Work {
            pid: 1,
            command: "VACUUM".into(),
            relation: None,
            index: None,
            phase: "scanning heap".into(),
            done: 30,
            total: 40,
            unit: "blocks".into(),
            waits_for: None,
        };
        assert_eq!(work.percent(), Some(75));
        assert_eq!(Work { done: 50, ..work.clone() }.percent(), Some(100));
        assert_eq!(Work { total: 0, ..work }.percent(), None);
    }
}
