//! What goes with what is dropped.

use crate::resolve::Through;
use crate::resolve::closure::Closure;
use crate::{Finding, Kind, LockMode, Loss, ObjectClass, ObjectName, Relation, RelationKind, Target, Thing};

impl Closure<'_> {
    /// A relation is dropped.
    pub(super) fn drop_relation(&mut self, relation: &Relation, cascade: bool) {
        self.risk(relation, Loss::Tables, &[], None);
        self.lock(relation, LockMode::AccessExclusive);
        let catalog = self.catalog;
        for parent in relation.parents.iter().filter_map(|parent| catalog.relation(parent)) {
            if parent.kind == RelationKind::PartitionedTable {
                self.lock(parent, LockMode::AccessExclusive);
                let default = |one: &&Relation| one.default_partition && one.parents.contains(&parent.name);
                catalog.relations.iter().filter(default).for_each(|one| self.lock(one, LockMode::AccessExclusive));
            }
        }
        let class = match relation.kind {
            RelationKind::View => ObjectClass::View,
            RelationKind::MaterializedView => ObjectClass::MaterializedView,
            RelationKind::Sequence => ObjectClass::Sequence,
            _ => ObjectClass::Table,
        };
        self.dropped(&Thing { class, name: relation.name.clone(), column: None }, cascade);
        // A partition goes with its table in any case, one that inherits only with CASCADE.
        if cascade || relation.kind == RelationKind::PartitionedTable {
            for child in self.catalog.descendants(&relation.name) {
                self.risk(child, Loss::Tables, &[], Some(Through::Parent(relation.name.clone())));
                self.dropped(&Thing { class, name: child.name.clone(), column: None }, cascade);
            }
        }
    }

    /// A column is dropped.
    pub(super) fn drop_column(&mut self, relation: &Relation, column: &str, cascade: bool) {
        let thing = Thing { class: ObjectClass::Table, name: relation.name.clone(), column: Some(column.to_owned()) };
        self.dropped(&thing, cascade);
    }

    /// What depends on something that goes: with `CASCADE` everything, else what belongs to it.
    fn dropped(&mut self, gone: &Thing, cascade: bool) {
        let mut open = vec![gone.clone()];
        let mut seen = vec![gone.clone()];
        while let Some(thing) = open.pop() {
            let goes = |one: &&crate::Dependency| (cascade || one.automatic) && depends(&one.on, &thing);
            for dependency in self.catalog.dependencies.iter().filter(goes) {
                let next = &dependency.dependent;
                if seen.contains(next) || self.catalog.dependencies.is_empty() {
                    continue;
                }
                seen.push(next.clone());
                open.push(next.clone());
                self.goes(next, &gone.name);
            }
        }
    }

    fn goes(&mut self, thing: &Thing, with: &ObjectName) {
        if thing.class == ObjectClass::Function {
            return self.goes_without(&thing.name);
        }
        let Some(relation) = self.catalog.relation(&thing.name) else { return };
        if matches!(
            thing.class,
            ObjectClass::Table | ObjectClass::View | ObjectClass::MaterializedView | ObjectClass::Other
        ) {
            self.lock(relation, LockMode::AccessExclusive);
        }
        let through = (relation.name != *with).then(|| Through::DependsOn(with.clone()));
        match (thing.class, &thing.column) {
            (ObjectClass::Table, None) => self.risk(relation, Loss::Tables, &[], through),
            (ObjectClass::Table, Some(column)) => {
                self.risk(relation, Loss::Column, std::slice::from_ref(column), through);
                for child in self.catalog.descendants(&relation.name) {
                    let parent = Some(Through::Parent(relation.name.clone()));
                    self.risk(child, Loss::Column, std::slice::from_ref(column), parent);
                }
            }
            (ObjectClass::Sequence, _) => self.risk(relation, Loss::Position, &[], through),
            _ => {}
        }
    }

    /// Triggers go with their function, and their tables are locked for it.
    fn goes_without(&mut self, function: &ObjectName) {
        let catalog = self.catalog;
        for trigger in catalog.triggers.iter().filter(|trigger| trigger.function == *function) {
            if let Some(table) = catalog.relation(&trigger.table) {
                self.lock(table, LockMode::AccessExclusive);
            }
        }
    }

    /// What the finding acts on, where that is no table.
    pub(super) fn target(&mut self, finding: &mut Finding) {
        let Some(target) = finding.target.clone() else {
            if finding.kind == Kind::ServerWide && finding.loses.is_data() {
                self.everything(finding);
            }
            return;
        };
        match (finding.kind, target.class) {
            (Kind::DropSchema, _) if target.cascade => {
                let catalog = self.catalog;
                // A rename may have been rolled back: both names count.
                for schema in [Some(&target.name), target.before.as_ref()].into_iter().flatten() {
                    let inside = |one: &&Relation| one.name.schema.as_deref() == Some(schema.name.as_str());
                    for relation in catalog.relations.iter().filter(inside) {
                        self.risk(relation, Loss::Tables, &[], Some(Through::Schema(schema.name.clone())));
                        self.lock(relation, LockMode::AccessExclusive);
                    }
                    let name = ObjectName { schema: None, name: schema.name.clone() };
                    self.dropped(&Thing { class: ObjectClass::Schema, name, column: None }, true);
                }
            }
            (Kind::OwnedObjects, _) if finding.loses.is_data() => {
                let catalog = self.catalog;
                for relation in catalog.relations.iter().filter(|one| one.owner == target.name.name) {
                    self.risk(relation, Loss::Tables, &[], Some(Through::Owner(target.name.name.clone())));
                    if target.cascade {
                        self.drop_relation(relation, true);
                    }
                }
                // The role's other objects, types and functions among them, are not told by owner here.
                self.everything(finding);
            }
            (Kind::SetSequence, ObjectClass::Sequence) => {
                let meant =
                    self.catalog.meant(target.before.as_ref().unwrap_or(&target.name), finding.search_path.as_deref());
                if meant.is_empty() {
                    self.unresolved.push(target.name);
                }
                meant.into_iter().for_each(|sequence| self.risk(sequence, Loss::Position, &[], None));
            }
            (Kind::DropDependedOn, ObjectClass::Other | ObjectClass::Collation) => self.everything(finding),
            (Kind::DropDependedOn, _) => self.drop_target(finding, &target),
            _ => {}
        }
    }

    fn drop_target(&mut self, finding: &mut Finding, target: &Target) {
        let named = |thing: &Thing| {
            let class = thing.class == target.class
                || matches!((thing.class, target.class), (ObjectClass::Domain, ObjectClass::Type));
            let names = [Some(&target.name), target.before.as_ref()];
            class && thing.column.is_none() && names.into_iter().flatten().any(|name| self.means(name, &thing.name))
        };
        let mut things: Vec<Thing> =
            self.catalog.dependencies.iter().map(|one| &one.on).filter(|thing| named(thing)).cloned().collect();
        things.sort();
        things.dedup();
        for thing in &things {
            self.dropped(thing, target.cascade);
        }
        if target.class == ObjectClass::Type && target.column.is_some() {
            // An attribute is dropped in the type alone; a table that is made of the type changes with it.
            let catalog = self.catalog;
            let made_of = |table: &ObjectName| {
                let is = |one: &crate::Dependency| {
                    one.dependent.class == ObjectClass::Table
                        && one.dependent.name == *table
                        && one.dependent.column.is_none()
                        && things.contains(&one.on)
                };
                catalog.dependencies.iter().any(is)
            };
            self.locks.retain(|lock| made_of(&lock.table));
        }
        if target.class == ObjectClass::Function && target.cascade {
            let catalog = self.catalog;
            for trigger in &catalog.triggers {
                if self.means(&target.name, &trigger.function) {
                    self.goes_without(&trigger.function);
                }
            }
        }
        if target.class == ObjectClass::Sequence {
            let name = target.before.as_ref().unwrap_or(&target.name);
            let meant = self.catalog.meant(name, finding.search_path.as_deref());
            meant.into_iter().for_each(|sequence| self.risk(sequence, Loss::Position, &[], None));
        }
        if self.tables.is_empty() && finding.loses == Loss::Perhaps {
            finding.loses = Loss::Definition;
            finding.way_back = crate::WayBack::Inverse;
        } else if finding.loses == Loss::Perhaps {
            finding.loses = self.tables.iter().map(|table| table.loss).max().unwrap_or(Loss::Perhaps);
        }
    }

    fn means(&self, written: &ObjectName, name: &ObjectName) -> bool {
        written.name == name.name
            && match (&written.schema, &name.schema) {
                (Some(one), Some(other)) => one == other,
                // The search path of whoever runs it may be another one.
                _ => true,
            }
    }

    /// Fail closed: nobody can say which tables are meant.
    fn everything(&mut self, finding: &mut Finding) {
        finding.resolved = false;
        let catalog = self.catalog;
        for relation in &catalog.relations {
            self.risk(relation, Loss::Tables, &[], None);
        }
    }
}

/// Whether what depends on `on` goes when `gone` does: a column goes with its table.
fn depends(on: &Thing, gone: &Thing) -> bool {
    on.class == gone.class && on.name == gone.name && (gone.column.is_none() || on.column == gone.column)
}
