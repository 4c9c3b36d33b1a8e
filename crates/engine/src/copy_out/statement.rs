//! The statements that read rows: those of pg_dump, naming the archive's encoding.

use holdpoint_core::name::quote_literal;
use holdpoint_postgres::catalog::relations::lock_statement;

use super::plan::{Plan, Portion, Table};

/// What whoever is refused goes back to.
pub(super) const SAVEPOINT: &str = "SAVEPOINT holdpoint";
/// Lets the locks go that were taken since the savepoint, which a release alone does not.
pub(super) const BACK: &str = "ROLLBACK TO SAVEPOINT holdpoint; RELEASE SAVEPOINT holdpoint";

/// Planning a range of pages locks the table's indexes, on which somebody may be at work.
const BOUNDED: &str = "SET LOCAL lock_timeout = '10s'";

/// Whether whoever copies must lock, or holds every lock already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locks {
    Take,
    Held,
}

/// Writes what copies a portion of tables, in one round trip.
pub(super) fn copy(plan: &Plan, portion: &Portion, encoding: &str, locks: Locks) -> String {
    let (tables, pages) = match portion {
        Portion::Tables(tables) => (&plan.tables[tables.clone()], None),
        Portion::Pages { table, from, to } => (std::slice::from_ref(&plan.tables[*table]), Some((*from, *to))),
        Portion::LargeObjects { .. } => return String::new(),
    };
    let copies: Vec<String> = tables.iter().map(|table| copy_table(table, pages, encoding)).collect();
    let copies = copies.join("; ");
    match locks {
        Locks::Held => format!("{SAVEPOINT}; {BOUNDED}; {copies}; {BACK}"),
        Locks::Take => {
            let names: Vec<&str> = tables.iter().map(|table| table.source.as_str()).collect();
            format!("{SAVEPOINT}; {}; {copies}; {BACK}", lock_statement(&names))
        }
    }
}

fn copy_table(table: &Table, pages: Option<(u64, Option<u64>)>, encoding: &str) -> String {
    let Table { source, columns, filter, .. } = table;
    let rows = match (pages, columns, filter) {
        // ONLY is vital: unlike COPY of a table, SELECT would read its children too.
        (Some((from, to)), Some(columns), _) => {
            let until = to.map(|to| format!(" AND ctid < '({to},0)'::pg_catalog.tid")).unwrap_or_default();
            format!("(SELECT {columns} FROM ONLY {source} WHERE ctid >= '({from},0)'::pg_catalog.tid{until})")
        }
        (_, columns, Some(filter)) => format!("(SELECT {} FROM {source} {filter})", columns.as_deref().unwrap_or("*")),
        (_, Some(columns), None) => format!("{source} ({columns})"),
        (_, None, None) => source.clone(),
    };
    format!("COPY {rows} TO STDOUT (ENCODING {})", quote_literal(encoding))
}

#[cfg(test)]
mod tests {
    use holdpoint_postgres::catalog::relations::DiskSize;

    use super::super::plan::Measured;
    use super::*;

    fn plan(columns: Option<&str>, filter: Option<&str>) -> Plan {
        let table = Table {
            dump_id: 1,
            name: "s.t".into(),
            source: "s.\"T\"".into(),
            columns: columns.map(Into::into),
            filter: filter.map(Into::into),
            order: None,
            disk: DiskSize::default(),
            by_pages: true,
            measured: Measured::default(),
            covered: Default::default(),
        };
        Plan { tables: vec![table], ..Plan::default() }
    }

    fn held(plan: &Plan, portion: &Portion) -> String {
        let sql = copy(plan, portion, "UTF8", Locks::Held);
        let bounded = sql.strip_prefix("SAVEPOINT holdpoint; SET LOCAL lock_timeout = '10s'; ").unwrap();
        bounded.strip_suffix("; ROLLBACK TO SAVEPOINT holdpoint; RELEASE SAVEPOINT holdpoint").unwrap().to_owned()
    }

    #[test]
    fn rows_are_read_as_pg_dump_reads_them() {
        let whole = Portion::Tables(0..1);
        let plain = plan(Some("a, \"b,c\""), None);
        assert_eq!(held(&plain, &whole), "COPY s.\"T\" (a, \"b,c\") TO STDOUT (ENCODING 'UTF8')");
        assert_eq!(held(&plan(None, None), &whole), "COPY s.\"T\" TO STDOUT (ENCODING 'UTF8')");
        assert_eq!(
            held(&plan(Some("a"), Some("WHERE a > 1")), &whole),
            "COPY (SELECT a FROM s.\"T\" WHERE a > 1) TO STDOUT (ENCODING 'UTF8')"
        );
        let pages = Portion::Pages { table: 0, from: 10, to: Some(20) };
        assert_eq!(
            held(&plan(Some("a"), None), &pages),
            "COPY (SELECT a FROM ONLY s.\"T\" WHERE ctid >= '(10,0)'::pg_catalog.tid AND ctid < '(20,0)'::pg_catalog.tid) \
             TO STDOUT (ENCODING 'UTF8')"
        );
    }

    #[test]
    fn a_worker_locks_without_waiting_and_lets_go() {
        let sql = copy(&plan(None, None), &Portion::Tables(0..1), "LATIN1", Locks::Take);
        assert_eq!(
            sql,
            "SAVEPOINT holdpoint; LOCK TABLE ONLY s.\"T\" IN ACCESS SHARE MODE NOWAIT; \
             COPY s.\"T\" TO STDOUT (ENCODING 'LATIN1'); ROLLBACK TO SAVEPOINT holdpoint; RELEASE SAVEPOINT holdpoint"
        );
    }
}
