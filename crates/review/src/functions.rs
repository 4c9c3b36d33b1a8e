//! Functions whose calls change nothing but what they return.
//!
//! The lists hold names, not signatures. `quiet.txt`: functions of pg_catalog of PostgreSQL 14 to 18 that are immutable
//! or stable in every form. `volatile.txt`: volatile ones that only compute, wait or lock. `extension.txt`: those of
//! the usual extensions. Whatever is in none of them may do anything.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::ObjectName;

/// What is known about a function by its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Changes nothing, and its result is the same within a statement.
    Quiet,
    /// Changes nothing that matters here, and its result differs from row to row.
    Volatile,
}

/// Looks a function up; `None` is a function that may do anything.
pub(crate) fn known(name: &ObjectName) -> Option<Known> {
    static TABLE: OnceLock<BTreeMap<&'static str, Known>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let quiet = include_str!("functions/quiet.txt").split_whitespace().map(|name| (name, Known::Quiet));
        let volatile = [include_str!("functions/volatile.txt"), include_str!("functions/extension.txt")];
        let volatile = volatile.into_iter().flat_map(str::split_whitespace).map(|name| (name, Known::Volatile));
        quiet.chain(volatile).collect()
    });
    match name.schema.as_deref() {
        None | Some("pg_catalog") => table.get(name.name.as_str()).copied(),
        // Extensions live wherever they were put: their names are trusted in any schema.
        Some(_) => {
            let mut extension = include_str!("functions/extension.txt").split_whitespace();
            extension.any(|known| known == name.name).then_some(Known::Volatile)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_change_something_is_in_no_list() {
        for name in [
            "setval",
            "set_config",
            "lo_unlink",
            "query_to_xml",
            "ts_stat",
            "ts_rewrite",
            "dblink",
            "dblink_exec",
            "pg_terminate_backend",
            "pg_switch_wal",
            "cursor_to_xml",
            "lo_put",
            "lo_from_bytea",
            "cleanup",
            "pg_drop_replication_slot",
            "pg_read_file",
            "pg_reload_conf",
            "pg_replication_origin_drop",
        ] {
            assert_eq!(known(&ObjectName::unqualified(name)), None, "{name}");
        }
        assert_eq!(known(&ObjectName::unqualified("now")), Some(Known::Quiet));
        assert_eq!(known(&ObjectName::unqualified("coalesce")), Some(Known::Quiet));
        assert_eq!(known(&ObjectName::unqualified("gen_random_uuid")), Some(Known::Volatile));
        assert_eq!(known(&ObjectName::qualified("extensions", "uuid_generate_v4")), Some(Known::Volatile));
        assert_eq!(known(&ObjectName::qualified("app", "now")), None, "somebody else's now()");
    }
}
