//! Files, catalogs and what is found of them, for the tests.

use holdpoint_core::rehearsal::{ObjectChange, ObjectEffect};
use holdpoint_review::{Catalog, Column, Dialect, MigrationSql, ObjectName, Relation, RelationKind};

use super::{Shown, There, shown};
use crate::rows_written::Kinds;

pub(super) fn file(name: &str, sql: &str) -> MigrationSql {
    MigrationSql { stops_on_error: false, ..MigrationSql::new(name, sql, Dialect::Psql) }
}

/// Relations with their columns, and an index of the first.
pub(super) fn catalog(relations: &[(&str, &[&str])], index: &str) -> Catalog {
    let one = |(name, columns): &(&str, &[&str])| Relation {
        name: ObjectName::qualified("public", *name),
        kind: RelationKind::Table,
        owner: String::new(),
        bytes: None,
        rows: None,
        columns: columns.iter().map(|name| Column { name: (*name).to_owned(), type_name: "int".to_owned() }).collect(),
        parents: Vec::new(),
        default_partition: false,
        indexes: vec![index.to_owned()],
    };
    Catalog { relations: relations.iter().map(one).collect(), ..Catalog::default() }
}

pub(super) fn found(
    files: &[MigrationSql],
    catalog: &Catalog,
    changed: &[(&str, ObjectChange)],
    wrote: Option<Kinds>,
) -> Shown {
    let effect = |(name, change): &(&str, ObjectChange)| ObjectEffect {
        name: (*name).to_owned(),
        change: *change,
        before: None,
        after: None,
    };
    let changed: Vec<ObjectEffect> = changed.iter().map(effect).collect();
    shown(files, &There { catalog, changed: &changed, wrote: &|_| wrote })
}
