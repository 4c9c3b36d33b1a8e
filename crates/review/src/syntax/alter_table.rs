//! `ALTER TABLE`, one finding an action.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};

use super::names::{has_word, identifier, name_of};
use super::{Reader, node};
use crate::link::{Link, Tie};
use crate::{Finding, Kind, LockMode, Loss, ObjectClass, ObjectName, Reach, Rewrite, Role, Unreviewable, WayBack};

impl Reader<'_> {
    pub(super) fn alter_table(&mut self, statement: &ast::AlterTable) {
        if statement.all_in_tablespace().is_some() {
            return self.add(Finding::new(Kind::MoveStorage).rewrite(Rewrite::Yes));
        }
        let name = statement.table_relation_name().and_then(|table| table.table_name_ref());
        let actions: Vec<_> = statement.actions().collect();
        self.alter_actions(node(name.as_ref()), &actions, statement.if_exists().is_some());
    }

    pub(super) fn alter_actions(
        &mut self,
        table: Option<&SyntaxNode>,
        actions: &[ast::AlterTableAction],
        if_exists: bool,
    ) {
        if actions.is_empty() {
            return self.add(Finding::unreviewable(Unreviewable::Broken));
        }
        self.named(table, |reader, table| {
            let first = reader.findings.len();
            for action in actions {
                reader.alter_action(table, action);
            }
            for target in reader.findings[first..].iter_mut().filter_map(|finding| finding.target.as_mut()) {
                target.if_exists |= if_exists && target.name == *table;
            }
        });
    }

    fn alter_action(&mut self, table: &ObjectName, action: &ast::AlterTableAction) {
        use ast::AlterTableAction as Action;
        match action {
            Action::AddColumn(column) => self.add_column(table, column),
            Action::DropColumn(column) => self.drop_column(table, column),
            Action::AlterColumn(column) => self.alter_column(table, column),
            Action::AddConstraint(constraint) => self.add_constraint(table, constraint),
            Action::DropConstraint(constraint) => self.drop_constraint(table, constraint),
            Action::ValidateConstraint(constraint) => self.validate_constraint(table, constraint),
            Action::AttachPartition(attach) => {
                let child = attach.table_name_ref();
                self.partition(table, node(child.as_ref()), LockMode::ShareUpdateExclusive, false);
                self.child_of(node(child.as_ref()).and_then(name_of).as_ref(), Some(table));
            }
            Action::DetachPartition(detach) => {
                let concurrently =
                    matches!(detach.detach_partition_option(), Some(ast::DetachPartitionOption::DetachConcurrently(_)));
                let finalize = detach.detach_partition_option().is_some() && !concurrently;
                let mode = match concurrently || finalize {
                    true => LockMode::ShareUpdateExclusive,
                    false => LockMode::AccessExclusive,
                };
                self.partition(table, node(detach.table_name_ref().as_ref()), mode, concurrently);
            }
            // The old partitions are dropped once their rows lie in new ones.
            Action::MergePartitions(_) | Action::SplitPartition(_) => {
                let finding = self.on_table(Kind::Partition, table).loses(Loss::Perhaps, WayBack::RestoreTables);
                self.add(finding.rewrite(Rewrite::Yes).touch(table, Role::Write, Reach::Children));
            }
            Action::InheritTable(parent) => {
                let parent = parent.table_name_ref();
                self.inherit(table, node(parent.as_ref()));
                self.child_of(Some(table), node(parent.as_ref()).and_then(name_of).as_ref());
            }
            Action::NoInheritTable(parent) => self.inherit(table, node(parent.table_name_ref().as_ref())),
            Action::SetUnlogged(_) => {
                let finding = self.on_table(Kind::SetPersistence, table).rewrite(Rewrite::Yes);
                let finding = finding.loses(Loss::Perhaps, WayBack::Inverse);
                self.add(finding.touch(table, Role::Write, Reach::Itself));
            }
            Action::SetLogged(_) => self.add(self.on_table(Kind::SetPersistence, table).rewrite(Rewrite::Yes)),
            Action::SetAccessMethod(_) | Action::SetTablespace(_) => {
                self.add(self.on_table(Kind::MoveStorage, table).rewrite(Rewrite::ByCatalog));
            }
            Action::TableRenameTo(to) => match to.table_name().and_then(|to| name_of(to.syntax())) {
                Some(to) => self.renamed(ObjectClass::Table, table, &table.renamed(&to.name)),
                None => self.add(Finding::unreviewable(Unreviewable::Unnamed)),
            },
            Action::SetSchema(to) => match identifier(node(to.schema_ref().as_ref())) {
                Some(schema) => {
                    self.renamed(ObjectClass::Table, table, &ObjectName::qualified(schema, table.name.clone()));
                }
                None => self.add(Finding::unreviewable(Unreviewable::Unnamed)),
            },
            Action::RenameColumn(column) => {
                let from = identifier(node(column.column_name_ref().as_ref()));
                let to = identifier(node(column.column_name().as_ref()));
                let finding = self.on_table(Kind::Rename, table);
                self.add(finding.column(from.clone()));
                match from.zip(to) {
                    Some((from, to)) => self.batch.rename_column(table, &from, &to),
                    None => self.add(Finding::unreviewable(Unreviewable::Unnamed)),
                }
            }
            Action::RenameConstraint(_) => self.add(self.on_table(Kind::ChangeColumnProperty, table)),
            Action::OwnerTo(_)
            | Action::EnableRls(_)
            | Action::DisableRls(_)
            | Action::ForceRls(_)
            | Action::NoForceRls(_) => self.add(self.on_table(Kind::Access, table)),
            Action::EnableTrigger(_)
            | Action::DisableTrigger(_)
            | Action::EnableAlwaysTrigger(_)
            | Action::EnableReplicaTrigger(_) => {
                let finding = Finding::new(Kind::Trigger).on(ObjectClass::Table, table);
                let finding = finding.lock(table, LockMode::ShareRowExclusive);
                self.add(finding.touch(table, Role::Reference, Reach::Children));
            }
            Action::EnableRule(_)
            | Action::DisableRule(_)
            | Action::EnableAlwaysRule(_)
            | Action::EnableReplicaRule(_) => self.add(self.on_table(Kind::Trigger, table)),
            Action::ClusterOn(_) | Action::SetWithoutCluster(_) | Action::SetOptions(_) | Action::ResetOptions(_) => {
                let finding = Finding::new(Kind::ChangeColumnProperty).on(ObjectClass::Table, table);
                let finding = finding.lock(table, LockMode::ShareUpdateExclusive);
                self.add(finding.touch(table, Role::Reference, Reach::Itself));
            }
            Action::AlterConstraint(_)
            | Action::AlterOptionList(_)
            | Action::NotOf(_)
            | Action::OfType(_)
            | Action::OptionItemList(_)
            | Action::ReplicaIdentity(_)
            | Action::SetWithoutOids(_) => self.add(self.on_table(Kind::ChangeColumnProperty, table)),
        }
    }

    fn partition(&mut self, parent: &ObjectName, child: Option<&SyntaxNode>, mode: LockMode, concurrently: bool) {
        let kind = if concurrently { Kind::Concurrently } else { Kind::Partition };
        self.named(child, |reader, child| {
            let finding = Finding::new(kind).on(ObjectClass::Table, child).lock(parent, mode);
            let finding = finding.lock(child, LockMode::AccessExclusive);
            let finding = finding.touch(parent, Role::Reference, Reach::Itself);
            let finding = finding.touch(child, Role::Reference, Reach::Children);
            reader.add(if concurrently { finding.outside_transactions() } else { finding });
        });
    }

    /// What happens to `parent` happens to `child` from now on.
    fn child_of(&mut self, child: Option<&ObjectName>, parent: Option<&ObjectName>) {
        if let (Some(child), Some(parent)) = (child, parent) {
            self.batch.links.push(Link { from: parent.clone(), to: child.clone(), tie: Tie::Child });
        }
    }

    fn inherit(&mut self, table: &ObjectName, parent: Option<&SyntaxNode>) {
        self.named(parent, |reader, parent| {
            let finding = reader.on_table(Kind::Partition, table).lock(parent, LockMode::ShareUpdateExclusive);
            reader.add(finding.touch(parent, Role::Reference, Reach::Itself));
        });
    }

    /// A table or view has another name from now on.
    pub(super) fn renamed(&mut self, class: ObjectClass, from: &ObjectName, to: &ObjectName) {
        let finding = Finding::new(Kind::Rename).on(class, from).lock(from, LockMode::AccessExclusive);
        self.add(finding.touch(from, Role::Reference, Reach::Itself));
        let certain = self.certain();
        self.batch.rename(from, to, certain);
    }

    /// `ALTER VIEW`, `MATERIALIZED VIEW`, `SEQUENCE`, `INDEX`: what none of their rows notices.
    pub(super) fn alter_relation(&mut self, class: ObjectClass, name: Option<&SyntaxNode>, statement: &SyntaxNode) {
        use ast::{AlterView, SequenceRenameTo, SetSchema, ViewRenameTo};
        let is_view = AlterView::can_cast(statement.kind());
        let new_name = statement.descendants().find_map(|part| {
            if let Some(rename) = ViewRenameTo::cast(part.clone()) {
                return rename.view().and_then(|view| name_of(view.syntax()));
            }
            SequenceRenameTo::cast(part).and_then(|rename| rename.sequence()).and_then(|one| name_of(one.syntax()))
        });
        let schema = statement.descendants().find_map(SetSchema::cast).and_then(|set| set.schema_ref());
        let schema = identifier(node(schema.as_ref()));
        self.named(name, |reader, name| match (new_name, schema) {
            (Some(to), _) => reader.renamed(class, name, &name.renamed(&to.name)),
            (None, Some(schema)) => {
                reader.renamed(class, name, &ObjectName::qualified(schema, name.name.clone()));
            }
            (None, None) => {
                let kind = if is_view { Kind::ChangeView } else { Kind::ChangeColumnProperty };
                let finding = Finding::new(kind).on(class, name);
                let finding = match class {
                    ObjectClass::View | ObjectClass::MaterializedView => finding.lock(name, LockMode::AccessExclusive),
                    _ => finding,
                };
                reader.add(finding);
            }
        });
    }

    /// `ALTER SEQUENCE`.
    pub(super) fn alter_sequence(&mut self, sequence: &ast::AlterSequence) {
        let name = node(sequence.sequence_ref().as_ref()).and_then(name_of);
        if let (Some(table), Some(name)) = (super::names::owner(sequence.syntax()), name) {
            self.batch.links.push(Link { from: table, to: name, tie: Tie::Owns });
        }
        if !has_word(sequence.syntax(), "restart") {
            let name = sequence.sequence_ref();
            return self.alter_relation(ObjectClass::Sequence, node(name.as_ref()), sequence.syntax());
        }
        self.named(node(sequence.sequence_ref().as_ref()), |reader, name| {
            let finding = Finding::new(Kind::SetSequence).on(ObjectClass::Sequence, name);
            reader.add(finding.loses(Loss::Position, WayBack::RestoreRows));
        });
    }
}
