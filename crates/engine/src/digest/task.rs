//! What one session reads and digests at a time: a table, a range of a large one, or several small ones.

use std::collections::BTreeMap;

use holdpoint_core::index::TableRecord;
use holdpoint_core::name::quote_literal;
use holdpoint_postgres::Session;

use crate::Error;

/// Pages of one range: 64 MiB.
const PAGES: u64 = 8192;
/// Small tables are read together, up to this many bytes of text and so many tables.
const TOGETHER_BYTES: u64 = 1 << 20;
const TOGETHER: usize = 50;

/// Pages of tables that are cut into ranges, by schema and name.
pub(super) type Pages = BTreeMap<(String, String), u64>;

/// Finds the tables that are large enough to be cut: heaps, of which a page's rows stay on their page.
pub(super) async fn large_tables(session: &Session) -> Result<Pages, Error> {
    const SQL: &str = "SELECT n.nspname::text, c.relname::text, size.pages \
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname = 'heap', \
        LATERAL (SELECT pg_catalog.pg_relation_size(c.oid) \
                        / pg_catalog.current_setting('block_size')::pg_catalog.int8 AS pages) size \
        WHERE c.relkind = 'r' AND size.pages >= $1";
    let least = i64::try_from(2 * PAGES).unwrap_or(i64::MAX);
    let rows = session.query("reading the sizes of tables", SQL, &[&least]).await?;
    let of = |pages: i64| u64::try_from(pages).unwrap_or(0);
    Ok(rows.iter().map(|row| ((row.get(0), row.get(1)), of(row.get(2)))).collect())
}

/// What one session reads at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    groups: Vec<String>,
    /// The tables that are read, quoted; of partitions that are one group their root.
    targets: Vec<String>,
    statements: Vec<String>,
    bytes: u64,
}

impl Task {
    /// The comparison groups that it reads or reads a part of, in the order of the statements.
    pub(super) fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The first table that it reads, quoted.
    pub(super) fn target(&self) -> &str {
        self.targets.first().map_or("", String::as_str)
    }

    pub(super) fn sql(&self) -> String {
        self.statements.join("; ")
    }

    pub(super) fn name(&self) -> String {
        match self.groups.as_slice() {
            [one] => one.clone(),
            several => format!("{} tables", several.len()),
        }
    }

    /// Each of its groups by itself.
    pub(super) fn apart(&self) -> Vec<Self> {
        let one = |((group, target), statement): ((&String, &String), &String)| Self {
            groups: vec![group.clone()],
            targets: vec![target.clone()],
            statements: vec![statement.clone()],
            bytes: 0,
        };
        self.groups.iter().zip(&self.targets).zip(&self.statements).map(one).collect()
    }
}

/// Makes the tasks that read every comparison group in the order and form in which it was digested, largest first.
pub(super) fn tasks(tables: &[TableRecord], encoding: &str, large: &Pages) -> Vec<Task> {
    let encoding = quote_literal(encoding);
    let mut groups: BTreeMap<&str, Vec<Task>> = BTreeMap::new();
    for table in tables {
        let first = |rows: String, bytes| Task {
            groups: vec![table.group.clone()],
            targets: vec![table.target.clone()],
            statements: vec![format!("COPY {rows} TO STDOUT (ENCODING {encoding})")],
            bytes,
        };
        let tasks = groups.entry(&table.group).or_insert_with(|| match cut(table, large) {
            Some(ranges) => {
                let share = table.data_bytes / (ranges.len() as u64).max(1);
                ranges.into_iter().map(|rows| first(rows, share)).collect()
            }
            None => vec![first(whole(table), 0)],
        });
        if let [one] = tasks.as_mut_slice() {
            one.bytes += table.data_bytes;
        }
    }
    let mut tasks: Vec<Task> = groups.into_values().flatten().collect();
    tasks.sort_by_key(|task| std::cmp::Reverse(task.bytes));
    let mut gathered: Vec<Task> = Vec::new();
    for task in tasks {
        match gathered.last_mut() {
            Some(last) if last.bytes + task.bytes <= TOGETHER_BYTES && last.groups.len() < TOGETHER => {
                last.bytes += task.bytes;
                last.groups.extend(task.groups);
                last.targets.extend(task.targets);
                last.statements.extend(task.statements);
            }
            _ => gathered.push(task),
        }
    }
    gathered
}

fn whole(table: &TableRecord) -> String {
    match (&table.columns, &table.filter, table.via_root) {
        (Some(columns), None, false) => format!("{} ({columns})", table.target),
        (None, None, false) => table.target.clone(),
        (columns, filter, _) => format!(
            "(SELECT {} FROM {} {})",
            columns.as_deref().unwrap_or(""),
            table.target,
            filter.as_deref().unwrap_or("")
        ),
    }
}

/// Cuts a large table into ranges of pages, the last one open: rows of different ranges are different rows, and the
/// digest knows no order.
fn cut(table: &TableRecord, large: &Pages) -> Option<Vec<String>> {
    let columns = table.columns.as_ref().filter(|_| !table.via_root && table.filter.is_none())?;
    let pages = *large.get(&(table.schema.clone(), table.name.clone()))?;
    let ranges = pages / PAGES;
    let range = |number| {
        let until = match number + 1 {
            next if next < ranges => format!(" AND ctid < '({},0)'::pg_catalog.tid", next * PAGES),
            _ => String::new(),
        };
        // ONLY is vital: unlike COPY of a table, SELECT would read its children too.
        let (target, from) = (&table.target, number * PAGES);
        format!("(SELECT {columns} FROM ONLY {target} WHERE ctid >= '({from},0)'::pg_catalog.tid{until})")
    };
    (ranges > 1).then(|| (0..ranges).map(range).collect())
}

#[cfg(test)]
mod tests {
    use holdpoint_core::digest::RowDigest;

    use super::*;

    fn table(name: &str, group: &str, target: &str, columns: Option<&str>, filter: Option<&str>) -> TableRecord {
        TableRecord {
            dump_id: 1,
            schema: "s".into(),
            name: name.into(),
            target: target.into(),
            via_root: group.ends_with(".*"),
            columns: columns.map(Into::into),
            filter: filter.map(Into::into),
            group: group.into(),
            digest: RowDigest::default(),
            data_bytes: 1,
            offset: 0,
            length: 0,
        }
    }

    fn sql(table: TableRecord) -> String {
        tasks(&[table], "UTF8", &BTreeMap::new()).remove(0).sql()
    }

    #[test]
    fn each_kind_of_table_is_read_as_it_was_digested() {
        assert_eq!(sql(table("t", "s.t", "s.t", Some("a, b"), None)), "COPY s.t (a, b) TO STDOUT (ENCODING 'UTF8')");
        assert_eq!(sql(table("t", "s.t", "s.t", None, None)), "COPY s.t TO STDOUT (ENCODING 'UTF8')");
        assert_eq!(
            sql(table("t1", "s.root.*", "s.root", Some("a"), None)),
            "COPY (SELECT a FROM s.root ) TO STDOUT (ENCODING 'UTF8')"
        );
        assert_eq!(
            sql(table("c", "s.c", "s.c", Some("a"), Some("WHERE a > 1"))),
            "COPY (SELECT a FROM s.c WHERE a > 1) TO STDOUT (ENCODING 'UTF8')"
        );
    }

    #[test]
    fn leaves_of_one_root_are_one_group() {
        let leaves =
            [table("t1", "s.root.*", "s.root", Some("a"), None), table("t2", "s.root.*", "s.root", Some("a"), None)];
        let tasks = tasks(&leaves, "UTF8", &BTreeMap::new());
        assert_eq!((tasks.len(), tasks[0].groups().len()), (1, 1));
    }

    #[test]
    fn a_quoted_target_is_the_table_itself() {
        let odd = table("a.b", "s.\"a.b\"", "s.\"a.b\"", Some("a"), None);
        assert_eq!(sql(odd), "COPY s.\"a.b\" (a) TO STDOUT (ENCODING 'UTF8')");
    }

    #[test]
    fn small_tables_go_together_and_large_ones_are_cut() {
        let sized = |name: &str, bytes| TableRecord {
            data_bytes: bytes,
            ..table(name, &format!("s.{name}"), &format!("s.{name}"), Some("a"), None)
        };
        let tables = [sized("small", 10), sized("large", 1 << 30), sized("other", 20), sized("middle", 1 << 25)];
        let sizes = BTreeMap::from([(("s".to_owned(), "large".to_owned()), 3 * PAGES + 1)]);
        let tasks = tasks(&tables, "UTF8", &sizes);
        let names: Vec<String> = tasks.iter().map(Task::name).collect();
        assert_eq!(names, ["s.large", "s.large", "s.large", "s.middle", "2 tables"]);
        assert_eq!(
            tasks[1].sql(),
            format!(
                "COPY (SELECT a FROM ONLY s.large WHERE ctid >= '({PAGES},0)'::pg_catalog.tid \
                 AND ctid < '({},0)'::pg_catalog.tid) TO STDOUT (ENCODING 'UTF8')",
                2 * PAGES
            )
        );
        assert!(!tasks[2].sql().contains("ctid <"), "the last range is open: {}", tasks[2].sql());
        assert_eq!(tasks[4].apart().len(), 2);
    }
}
