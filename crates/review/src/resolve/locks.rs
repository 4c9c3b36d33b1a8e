//! The locks that a statement takes on tables it does not name.

use crate::{Catalog, Event, Finding, Kind, LockMode, Made, ObjectClass, ObjectName, Reach, Relation, TableLock};

/// All locks of a finding, by the catalog's names, each table once with its strongest mode.
pub(super) fn of(finding: &Finding, catalog: &Catalog, reached: &[TableLock]) -> Vec<TableLock> {
    let mut locks: Vec<TableLock> = Vec::new();
    for lock in &finding.locks {
        let touch = finding.touches.iter().find(|touch| touch.table == lock.table);
        let name = touch.and_then(|touch| touch.before.as_ref()).unwrap_or(&lock.table);
        let made = touch.is_some_and(|touch| touch.made == Made::Yes);
        let meant = catalog.meant(name, finding.search_path.as_deref());
        match meant.first().filter(|_| !made) {
            Some(relation) => {
                add(&mut locks, &relation.name, lock.mode);
                if touch.is_some_and(|touch| touch.reach != Reach::Itself) {
                    for child in catalog.descendants(&relation.name) {
                        add(&mut locks, &child.name, lock.mode);
                    }
                }
                further(finding, catalog, relation, &mut locks);
            }
            None => add(&mut locks, &lock.table, lock.mode),
        }
    }
    for lock in reached {
        add(&mut locks, &lock.table, lock.mode);
    }
    if let Some(target) = finding.target.as_ref().filter(|target| target.class == ObjectClass::Index)
        && let Some(table) = catalog.table_of_index(&target.name)
    {
        let mode = match finding.kind {
            Kind::DropIndex => Some(LockMode::AccessExclusive),
            Kind::Reindex => Some(LockMode::Share),
            Kind::Concurrently => Some(LockMode::ShareUpdateExclusive),
            _ => None,
        };
        if let Some(mode) = mode {
            add(&mut locks, &table.name, mode);
        }
    }
    if let Some(target) = finding.target.as_ref().filter(|target| target.class == ObjectClass::Domain)
        && matches!(finding.kind, Kind::AddCheck | Kind::SetNotNull)
    {
        for table in catalog.tables_with(target.before.as_ref().unwrap_or(&target.name)) {
            add(&mut locks, table, LockMode::Share);
        }
    }
    locks
}

/// What follows for tables that hang together with one that is locked.
fn further(finding: &Finding, catalog: &Catalog, relation: &Relation, locks: &mut Vec<TableLock>) {
    let parents = || catalog.foreign_keys.iter().filter(|key| key.table == relation.name);
    let children = || catalog.foreign_keys.iter().filter(|key| key.parent == relation.name);
    let named = finding
        .target
        .as_ref()
        .is_some_and(|target| catalog.relation(&target.name).is_some_and(|one| one.name == relation.name));
    match finding.kind {
        Kind::DropTable | Kind::DropTableCascade => {
            parents().for_each(|key| add(locks, &key.parent, LockMode::AccessExclusive));
            if finding.kind == Kind::DropTableCascade {
                children().for_each(|key| add(locks, &key.table, LockMode::AccessExclusive));
            }
        }
        Kind::Truncate if finding.target.as_ref().is_some_and(|target| target.cascade) => {
            let mut open = vec![&relation.name];
            let mut seen: Vec<&ObjectName> = Vec::new();
            while let Some(one) = open.pop() {
                if !seen.contains(&one) {
                    seen.push(one);
                    add(locks, one, LockMode::AccessExclusive);
                    open.extend(catalog.foreign_keys.iter().filter(|key| key.parent == *one).map(|key| &key.table));
                    open.extend(catalog.descendants(one).into_iter().map(|child| &child.name));
                }
            }
        }
        Kind::DropConstraint | Kind::ChangeColumnType if named => {
            let constraint = finding.target.as_ref().and_then(|target| target.column.as_ref());
            let typed = finding.kind == Kind::ChangeColumnType;
            let in_key = |columns: &[String]| constraint.is_some_and(|column| columns.contains(column));
            for key in parents().filter(|key| if typed { in_key(&key.columns) } else { Some(&key.name) == constraint })
            {
                add(locks, &key.parent, LockMode::AccessExclusive);
            }
            let cascade = finding.target.as_ref().is_some_and(|target| target.cascade);
            for key in children().filter(|key| if typed { in_key(&key.parent_columns) } else { cascade }) {
                add(locks, &key.table, LockMode::AccessExclusive);
            }
        }
        Kind::DropColumn => {
            let column = finding.target.as_ref().and_then(|target| target.column.clone()).unwrap_or_default();
            for key in parents().filter(|key| key.columns.contains(&column)) {
                add(locks, &key.parent, LockMode::AccessExclusive);
            }
            for key in children().filter(|key| key.parent_columns.contains(&column)) {
                add(locks, &key.table, LockMode::AccessExclusive);
            }
        }
        Kind::Partition | Kind::Concurrently => {
            for sibling in
                catalog.relations.iter().filter(|one| one.default_partition && one.parents.contains(&relation.name))
            {
                add(locks, &sibling.name, LockMode::AccessExclusive);
            }
        }
        _ => rows(finding, catalog, relation, locks),
    }
}

/// Foreign keys are checked, and their actions done, while rows change.
fn rows(finding: &Finding, catalog: &Catalog, relation: &Relation, locks: &mut Vec<TableLock>) {
    for touch in &finding.touches {
        let event = match touch.reach {
            Reach::Insert => Event::Insert,
            Reach::Update => Event::Update,
            Reach::Delete => Event::Delete,
            _ => continue,
        };
        if event != Event::Delete {
            for key in catalog.foreign_keys.iter().filter(|key| key.table == relation.name) {
                add(locks, &key.parent, LockMode::RowShare);
            }
        }
        if event != Event::Insert {
            for key in catalog.foreign_keys.iter().filter(|key| key.parent == relation.name) {
                let changed = finding.at_risk.iter().any(|table| table.table == key.table);
                add(locks, &key.table, if changed { LockMode::RowExclusive } else { LockMode::RowShare });
            }
        }
    }
}

fn add(locks: &mut Vec<TableLock>, table: &ObjectName, mode: LockMode) {
    match locks.iter_mut().find(|lock| lock.table == *table) {
        Some(lock) => lock.mode = lock.mode.max(mode),
        None => locks.push(TableLock { table: table.clone(), mode }),
    }
}
