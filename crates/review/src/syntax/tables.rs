//! Tables and views that are made.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};

use super::names::{has_word, name_of};
use super::on_write::unknown_calls;
use super::{Reader, node};
use crate::link::{Link, OnKey, Tie};
use crate::{Finding, Kind, LockMode, Loss, ObjectClass, ObjectName, Reach, Role, WayBack};

impl Reader<'_> {
    /// `CREATE TABLE`, also a foreign one.
    pub(super) fn create_table(
        &mut self,
        statement: &SyntaxNode,
        name: Option<&SyntaxNode>,
        if_not_exists: bool,
        temporary: bool,
    ) {
        let partition_of = statement.children().find_map(ast::PartitionOf::cast);
        let kind = if partition_of.is_some() { Kind::Partition } else { Kind::Additive };
        let parent = partition_of.as_ref().and_then(ast::PartitionOf::table_name_ref);
        let goes = goes_with_transaction(statement);
        self.named(name, |reader, name| {
            let mut finding = Finding::new(kind).on(ObjectClass::Table, name).cascade(false, if_not_exists);
            if let Some(parent) = node(parent.as_ref()).and_then(name_of) {
                finding = finding.lock(&parent, LockMode::AccessExclusive);
                finding = finding.touch(&parent, Role::Reference, Reach::Itself);
            }
            for inherits in statement.children().filter_map(ast::Inherits::cast) {
                for parent in inherits.table_name_refs() {
                    let Some(parent) = name_of(parent.syntax()) else { continue };
                    finding = finding.lock(&parent, LockMode::ShareUpdateExclusive);
                    finding = finding.touch(&parent, Role::Reference, Reach::Itself);
                }
            }
            let keys = foreign_keys(name, statement);
            for parent in parents(&keys).filter(|parent| *parent != name) {
                finding = finding.lock(parent, LockMode::ShareRowExclusive);
                finding = finding.touch(parent, Role::Reference, Reach::Itself);
            }
            reader.batch.links.extend(keys);
            reader.called_on_write(name, statement);
            reader.expressions_of_others(name, statement);
            for like in statement.descendants().filter_map(ast::LikeClause::cast) {
                if let Some(like) = like.relation_name_ref().and_then(|like| name_of(like.syntax())) {
                    finding = finding.lock(&like, LockMode::AccessShare).touch(&like, Role::Read, Reach::Itself);
                }
            }
            reader.add(finding);
            let certain = reader.certain() && !if_not_exists && !goes;
            reader.batch.make(name, certain, temporary);
        });
    }

    /// `CREATE TABLE AS` and `CREATE MATERIALIZED VIEW`.
    pub(super) fn create_from_query(
        &mut self,
        statement: &SyntaxNode,
        name: Option<&SyntaxNode>,
        class: ObjectClass,
        if_not_exists: bool,
        temporary: bool,
    ) {
        let goes = goes_with_transaction(statement);
        // They are called again when a materialized view is refreshed.
        let calls = if class == ObjectClass::MaterializedView { unknown_calls(statement) } else { Vec::new() };
        let execute = statement.descendants().find_map(ast::Execute::cast);
        match execute {
            Some(execute) => self.execute(&execute),
            None => self.query(statement),
        }
        self.named(name, |reader, name| {
            let finding = Finding::new(Kind::AddRows).on(class, name).cascade(false, if_not_exists);
            reader.add(finding);
            let certain = reader.certain() && !if_not_exists && !goes;
            reader.batch.make(name, certain, temporary);
            for call in calls {
                reader.batch.view_calls.push((name.clone(), call));
            }
        });
    }

    /// `CREATE VIEW`: its query does not run.
    pub(super) fn create_view(&mut self, view: &ast::CreateView) {
        let replaces = view.or_replace().is_some();
        self.named(node(view.view().as_ref()), |reader, name| {
            let kind = if replaces { Kind::ChangeView } else { Kind::Additive };
            let mut finding = Finding::new(kind).on(ObjectClass::View, name);
            if replaces {
                finding = finding.loses(Loss::Definition, WayBack::Inverse).lock(name, LockMode::AccessExclusive);
            }
            let query = view.query();
            for table in node(query.as_ref()).into_iter().flat_map(|query| query.descendants()) {
                let Some(table) = ast::RelationNameRef::cast(table).and_then(|table| name_of(table.syntax())) else {
                    continue;
                };
                finding = finding.lock(&table, LockMode::AccessShare).touch(&table, Role::Read, Reach::Itself);
            }
            let tables: Vec<_> = finding.touches.iter().map(|touch| touch.table.clone()).collect();
            reader.add(finding);
            // Whoever writes to a view writes to a table that was there before: it is never new.
            reader.batch.unmake(name);
            let inner = reader
                .batch
                .view_calls
                .iter()
                .filter(|(view, _)| tables.iter().any(|table| reader.batch.means(view, table)));
            let inner: Vec<_> = inner.map(|(_, call)| (name.clone(), call.clone())).collect();
            reader.batch.view_calls.extend(inner);
            let link = |table| Link { from: name.clone(), to: table, tie: Tie::Shows };
            reader.batch.links.extend(tables.into_iter().map(link));
            for call in node(query.as_ref()).map(unknown_calls).unwrap_or_default() {
                reader.batch.view_calls.push((name.clone(), call));
            }
        });
    }

    /// `CREATE SCHEMA`, with what it holds.
    pub(super) fn create_schema(&mut self, schema: &ast::CreateSchema) {
        self.add(Finding::new(Kind::Additive));
        for element in schema.schema_elements() {
            match ast::Stmt::cast(element.syntax().clone()) {
                Some(statement) => self.statement(&statement),
                None => self.add(Finding::unreviewable(crate::Unreviewable::Broken)),
            }
        }
    }
}

/// The tables that foreign keys refer to, each once.
pub(super) fn parents(keys: &[Link]) -> impl Iterator<Item = &ObjectName> {
    let first = |place: usize| !keys[..place].iter().any(|other| other.from == keys[place].from);
    keys.iter().enumerate().filter(move |(place, _)| first(*place)).map(|(_, key)| &key.from)
}

/// Whether `ON COMMIT DROP` takes the table away, and gives an older one its name back, when nobody can say.
fn goes_with_transaction(statement: &SyntaxNode) -> bool {
    statement.descendants().any(|part| ast::OnCommit::can_cast(part.kind()) && has_word(&part, "drop"))
}

/// The foreign keys in a definition, as links from the table that each refers to.
pub(super) fn foreign_keys(child: &ObjectName, definition: &SyntaxNode) -> Vec<Link> {
    let mut links = Vec::new();
    for inner in definition.descendants() {
        let table = if let Some(key) = ast::ReferencesConstraint::cast(inner.clone()) {
            key.table()
        } else if let Some(key) = ast::ForeignKeyConstraint::cast(inner.clone()) {
            key.table_name_ref()
        } else {
            None
        };
        let Some(from) = table.and_then(|table| name_of(table.syntax())) else { continue };
        let on_delete = inner.descendants().find(|part| ast::OnDeleteAction::can_cast(part.kind()));
        let on_delete = match on_delete {
            Some(action) if has_word(&action, "cascade") => OnKey::Deletes,
            Some(action) if has_word(&action, "set") => OnKey::Changes,
            _ => OnKey::Nothing,
        };
        let on_update = inner.descendants().find(|part| ast::OnUpdateAction::can_cast(part.kind()));
        let on_update = on_update.is_some_and(|action| has_word(&action, "cascade") || has_word(&action, "set"));
        links.push(Link { from, to: child.clone(), tie: Tie::Key { on_delete, on_update } });
    }
    links
}
