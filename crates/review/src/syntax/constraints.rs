//! Constraints of tables.

use squawk_syntax::ast::{self, AstNode};

use super::names::{has_word, identifier};
use super::{Reader, node};
use crate::{Finding, Kind, LockMode, ObjectClass, ObjectName, Reach, Role};

impl Reader<'_> {
    pub(super) fn add_constraint(&mut self, table: &ObjectName, added: &ast::AddConstraint) {
        use ast::Constraint as C;
        let Some(constraint) = added.constraint() else {
            return self.add(Finding::unreviewable(crate::Unreviewable::Broken));
        };
        let name = constraint.constraint_name().and_then(|name| identifier(Some(name.syntax())));
        let kind = match &constraint {
            C::ForeignKeyConstraint(_) | C::ReferencesConstraint(_) => Kind::AddForeignKey,
            C::CheckConstraint(_) => Kind::AddCheck,
            C::PrimaryKeyConstraint(_) | C::UniqueConstraint(_) | C::ExcludeConstraint(_) => Kind::AddKey,
            C::NotNullConstraint(_) => Kind::SetNotNull,
            C::DefaultConstraint(_) | C::GeneratedConstraint(_) | C::NullConstraint(_) => Kind::ChangeColumnProperty,
        };
        let mut finding = if kind == Kind::AddForeignKey {
            let finding = Finding::new(kind).on(ObjectClass::Table, table).lock(table, LockMode::ShareRowExclusive);
            finding.touch(table, Role::Reference, Reach::Children)
        } else {
            self.on_table(kind, table)
        };
        let keys = super::tables::foreign_keys(table, added.syntax());
        for parent in super::tables::parents(&keys) {
            finding = finding.lock(parent, LockMode::ShareRowExclusive).touch(parent, Role::Reference, Reach::Itself);
        }
        self.batch.links.extend(keys);
        self.add(finding.column(name));
        self.calls(constraint.syntax());
        self.called_on_write(table, constraint.syntax());
    }

    pub(super) fn drop_constraint(&mut self, table: &ObjectName, dropped: &ast::DropConstraint) {
        let cascade = matches!(dropped.drop_behavior(), Some(ast::DropBehavior::Cascade(_)));
        let name = identifier(node(dropped.constraint_name_ref().as_ref()));
        let finding = self.on_table(Kind::DropConstraint, table).column(name);
        let finding = finding.cascade(cascade, dropped.if_exists().is_some());
        self.add(Finding { loses: crate::Loss::Definition, ..finding });
    }

    pub(super) fn validate_constraint(&mut self, table: &ObjectName, validated: &ast::ValidateConstraint) {
        let name = validated.constraint_name_ref();
        let finding = Finding::new(Kind::ValidateConstraint).on(ObjectClass::Table, table);
        let finding = finding.column(identifier(node(name.as_ref()))).lock(table, LockMode::ShareUpdateExclusive);
        self.add(finding.touch(table, Role::Reference, Reach::Children));
    }

    /// `CREATE INDEX`.
    pub(super) fn create_index(&mut self, index: &ast::CreateIndex) {
        let table = index.table_relation_name().and_then(|table| table.table_name_ref());
        let concurrently = index.concurrently_token().is_some();
        let name = index.index().and_then(|index| super::names::name_of(index.syntax()));
        self.named(node(table.as_ref()), |reader, table| {
            let kind = if concurrently { Kind::Concurrently } else { Kind::CreateIndex };
            let mode = if concurrently { LockMode::ShareUpdateExclusive } else { LockMode::Share };
            let finding = Finding::new(kind).on(ObjectClass::Index, table).column(name.map(|name| name.name));
            let finding = finding.lock(table, mode).touch(table, Role::Reference, Reach::Children);
            reader.add(if concurrently { finding.outside_transactions() } else { finding });
            reader.called_on_write(table, index.syntax());
        });
        self.calls(index.syntax());
    }

    /// `REINDEX`.
    pub(super) fn reindex(&mut self, reindex: &ast::Reindex) {
        use ast::ReindexTarget as Target;
        let concurrently = has_word(reindex.syntax(), "concurrently");
        let kind = if concurrently { Kind::Concurrently } else { Kind::Reindex };
        let mode = if concurrently { LockMode::ShareUpdateExclusive } else { LockMode::Share };
        match reindex.reindex_target() {
            Some(Target::ReindexTargetTable(table)) => {
                self.named(node(table.table_name_ref().as_ref()), |reader, table| {
                    let finding = Finding::new(kind).on(ObjectClass::Table, table).lock(table, mode);
                    let finding = finding.touch(table, Role::Reference, Reach::Children);
                    reader.add(if concurrently { finding.outside_transactions() } else { finding });
                });
            }
            Some(Target::ReindexTargetIndex(index)) => {
                self.named(node(index.index_ref().as_ref()), |reader, index| {
                    let finding = Finding::new(kind).on(ObjectClass::Index, index);
                    reader.add(if concurrently { finding.outside_transactions() } else { finding });
                });
            }
            _ => self.add(Finding::new(kind).outside_transactions()),
        }
    }
}
