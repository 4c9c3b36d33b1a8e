//! What is read of a live database's tables.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdpoint_core::fingerprint::qualified;
use holdpoint_core::index::TableRecord;
use holdpoint_core::relation_name::columns_of_list;
use holdpoint_engine::{Contents, SnapshotDigests, TablePlan, TableToCount, Unread};
use holdpoint_postgres::Session;

use super::parts::{LeftOut, names_of_tables};
use super::recorded::{Recorded, columns};
use super::tables::TableNow;
use crate::Error;

fn named(plan: &TablePlan) -> String {
    qualified(Some(&plan.schema), &plan.name)
}

/// Bytes and rows of a relation by the last statistics; no rows where they were never counted.
pub(super) struct Size {
    bytes: u64,
    rows: Option<u64>,
}

/// Reads the sizes of all tables by OID.
pub(super) async fn sizes(session: &Session) -> Result<BTreeMap<u32, Size>, Error> {
    let sql = "SELECT c.oid, (GREATEST(c.relpages, 0)::int8 + COALESCE(GREATEST(t.relpages, 0), 0)::int8) \
                 * pg_catalog.current_setting('block_size')::int8, c.reltuples::float8 \
               FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid \
               WHERE c.relkind IN ('r', 'p')";
    let rows = session.query("reading the tables' estimated sizes", sql, &[]).await?;
    let mut sizes = BTreeMap::new();
    for row in &rows {
        let rows: f64 = row.get(2);
        let size = Size { bytes: row.get::<_, i64>(1).unsigned_abs(), rows: (rows >= 0.0).then_some(rows as u64) };
        sizes.insert(row.get::<_, u32>(0), size);
    }
    Ok(sizes)
}

/// What is read of the live tables.
pub(super) struct ReadPlan {
    pub(super) digested: Vec<TableRecord>,
    pub(super) counted: Vec<TableToCount>,
    tables: BTreeMap<String, TableNow>,
    /// The OIDs of the tables of each group of which every row and column is digested.
    whole: BTreeMap<String, Vec<u32>>,
}

impl ReadPlan {
    /// Plans what is read of each table that pg_dump would dump; tables larger than `quick` are not.
    pub(super) fn make(then: &Recorded, now: &Contents, sizes: &BTreeMap<u32, Size>, quick: Option<u64>) -> Self {
        // Of a part of a database nobody can tell what was added; where rows alone are left out, the definitions tell.
        let part = LeftOut::of(&then.expected.manifest.options);
        let defined = names_of_tables(&then.expected.objects);
        let left_out = |plans: &[&TablePlan]| {
            part.objects || (part.rows && plans.iter().any(|plan| defined.contains(&named(plan))))
        };
        let mut recorded: BTreeMap<&str, Vec<&TableRecord>> = BTreeMap::new();
        for table in &then.expected.tables {
            recorded.entry(&table.group).or_default().push(table);
        }
        let mut live: BTreeMap<&str, Vec<&TablePlan>> = BTreeMap::new();
        for plan in now.tables.values() {
            live.entry(&plan.group).or_default().push(plan);
        }
        let mut made =
            Self { digested: Vec::new(), counted: Vec::new(), tables: BTreeMap::new(), whole: BTreeMap::new() };
        for (group, plans) in live {
            let Some(first) = plans.first() else { continue };
            let was = recorded.get(group);
            if was.is_none() && left_out(&plans) {
                continue;
            }
            let columns_now = first.columns.as_deref().map(columns_of_list).unwrap_or_default();
            let mut table = TableNow { columns: columns_now, ..TableNow::default() };
            let estimated = |size: fn(&Size) -> u64| -> u64 {
                plans.iter().filter_map(|plan| sizes.get(&plan.oid)).map(size).sum()
            };
            let bytes = was.map_or(0, |tables| tables.iter().map(|table| table.data_bytes).sum());
            let digestible = was.and_then(|tables| tables.first()).is_some_and(|one| {
                let known: BTreeSet<&String> = table.columns.iter().collect();
                columns(one).iter().all(|column| known.contains(column))
            });
            if quick.is_some_and(|limit| bytes > limit || estimated(|size| size.bytes) > limit) {
                let known = plans.iter().all(|plan| sizes.get(&plan.oid).is_some_and(|size| size.rows.is_some()));
                table.rows = known.then(|| estimated(|size| size.rows.unwrap_or_default()));
                table.estimated = known;
                table.why = Some("larger than --quick reads".to_owned());
            } else if digestible {
                let was = || was.into_iter().flatten();
                // A column that came since is not digested, nor is a row that the restore point's part leaves out.
                let known: BTreeSet<String> = was().flat_map(|table| columns(table)).collect();
                if table.columns.iter().all(|column| known.contains(column))
                    && was().all(|table| table.filter.is_none())
                {
                    made.whole.insert(group.to_owned(), plans.iter().map(|plan| plan.oid).collect());
                }
                made.digested.extend(was().map(|table| (*table).clone()));
            } else {
                let target = first.target.clone();
                made.counted.push(TableToCount { group: group.to_owned(), target, with_partitions: first.via_root });
            }
            made.tables.insert(group.to_owned(), table);
        }
        made.without_rows(then, now);
        made
    }

    /// A table that is there, but of which pg_dump would write no rows: partitioned since, or unlogged on a standby.
    fn without_rows(&mut self, then: &Recorded, now: &Contents) {
        let there: BTreeSet<(&str, &str)> = now
            .objects
            .iter()
            .filter(|object| object.description == "TABLE")
            .map(|object| (object.namespace.as_deref().unwrap_or_default(), object.tag.as_str()))
            .collect();
        for record in &then.expected.tables {
            if !self.tables.contains_key(&record.group)
                && there.contains(&(record.schema.as_str(), record.name.as_str()))
            {
                let why =
                    Some("pg_dump writes no rows of it now: partitioned since, or unlogged on a standby".to_owned());
                let table = TableNow { columns: columns(record), why, ..TableNow::default() };
                self.tables.insert(record.group.clone(), table);
            }
        }
    }

    /// The tables, by OID, of which every row and column was read.
    pub(super) fn read(&self, found: &SnapshotDigests) -> BTreeSet<u32> {
        let read = self.whole.iter().filter(|(group, _)| found.groups.contains_key(*group));
        read.flat_map(|(_, oids)| oids.iter().copied()).collect()
    }

    /// Puts what was read to the tables.
    pub(super) fn tables(self, found: &SnapshotDigests, lock_wait: Duration) -> BTreeMap<String, TableNow> {
        let mut tables = self.tables;
        for (group, table) in &mut tables {
            if let Some(digest) = found.groups.get(group) {
                table.rows = Some(digest.rows);
                table.digest = Some(*digest);
            } else if let Some(rows) = found.counts.get(group) {
                table.rows = Some(*rows);
            } else if let Some(unread) = found.unread.get(group) {
                table.why = Some(why(*unread, lock_wait));
            }
        }
        tables
    }
}

pub(super) fn why(unread: Unread, lock_wait: Duration) -> String {
    match unread {
        Unread::Dropped => "dropped or altered while it was to be compared".to_owned(),
        Unread::Rewritten => "truncated or rewritten while it was compared".to_owned(),
        Unread::Locked => format!("locked by somebody else for {} s", lock_wait.as_secs()),
    }
}
