//! What is neither rows nor tables: types, schemas, maintenance.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};

use super::names::{folded, has_word, identifier};
use super::{Reader, node};
use crate::{Finding, Kind, LockMode, Loss, ObjectClass, Reach, Rewrite, Role, Unreviewable, WayBack};

impl Reader<'_> {
    /// `ALTER TYPE`.
    pub(super) fn alter_type(&mut self, statement: &ast::AlterType) {
        use ast::AlterTypeAction as Action;
        let action = statement.action();
        self.named(node(statement.type_name_ref().as_ref()), |reader, name| {
            let finding = match &action {
                Some(Action::AddValue(_)) => {
                    Finding::new(Kind::AddEnumValue).loses(Loss::Nothing, WayBack::RestoreDatabase)
                }
                Some(
                    Action::RenameValue(_)
                    | Action::RenameAttribute(_)
                    | Action::SetSchema(_)
                    | Action::TypeRenameTo(_),
                ) => Finding::new(Kind::Rename),
                // Typed tables change with their type.
                Some(Action::AlterTypeAttributeActionList(list)) => {
                    let adds_only = !has_word(list.syntax(), "drop") && !has_word(list.syntax(), "alter");
                    let finding = Finding::new(Kind::DropDependedOn);
                    if adds_only {
                        Finding::new(Kind::Additive)
                    } else {
                        finding.loses(Loss::Perhaps, WayBack::RestoreTables)
                    }
                }
                Some(Action::OwnerTo(_)) => Finding::new(Kind::Access),
                Some(Action::SetOptions(_)) => Finding::new(Kind::ChangeColumnProperty),
                None => return reader.add(Finding::unreviewable(Unreviewable::Broken)),
            };
            // An attribute goes from every row that holds such a value, asked for or not.
            let dropped = statement.syntax().descendants().find_map(ast::DropAttribute::cast);
            let attribute = dropped.as_ref().and_then(|one| identifier(node(one.composite_field_ref().as_ref())));
            let cascade = dropped.is_some() || has_word(statement.syntax(), "cascade");
            reader.add(finding.on(ObjectClass::Type, name).column(attribute).cascade(cascade, false));
            if let Some((from, to)) = super::names::moved(statement.syntax()) {
                reader.batch.rename_other(&from, &to);
            }
        });
    }

    /// `ALTER DOMAIN`: what it adds is checked in every row of its columns.
    pub(super) fn alter_domain(&mut self, statement: &ast::AlterDomain) {
        let tree = statement.syntax();
        if super::names::moved(tree).is_some() {
            return self.moved(tree, ObjectClass::Domain);
        }
        let kind = if has_word(tree, "add") {
            Kind::AddCheck
        } else if has_word(tree, "validate") {
            Kind::ValidateConstraint
        } else if has_word(tree, "set") && has_word(tree, "null") {
            Kind::SetNotNull
        } else {
            Kind::ChangeColumnProperty
        };
        self.named(node(statement.domain_ref().as_ref()), |reader, name| {
            reader.add(Finding::new(kind).on(ObjectClass::Domain, name));
        });
        self.calls(tree);
    }

    /// A type, domain, function or extension that may have another name from now on.
    pub(super) fn moved(&mut self, statement: &SyntaxNode, class: ObjectClass) {
        match super::names::moved(statement) {
            Some((from, to)) => {
                self.add(Finding::new(Kind::Rename).on(class, &from));
                self.batch.rename_other(&from, &to);
            }
            None => self.additive(),
        }
    }

    /// `ALTER SCHEMA`.
    pub(super) fn alter_schema(&mut self, statement: &ast::AlterSchema) {
        let to = statement.syntax().descendants().find_map(ast::SchemaRenameTo::cast).and_then(|to| to.schema());
        let to = identifier(node(to.as_ref()));
        self.named(node(statement.schema_ref().as_ref()), |reader, from| {
            let kind = if to.is_some() { Kind::Rename } else { Kind::Access };
            reader.add(Finding::new(kind).on(ObjectClass::Schema, from));
            if let Some(to) = &to {
                reader.batch.rename_schema(&from.name, to);
            }
        });
    }

    /// `VACUUM` and `REPACK`.
    pub(super) fn vacuum(&mut self, statement: &SyntaxNode, full: bool) {
        let tables: Vec<_> = statement
            .descendants()
            .filter_map(ast::TableAndColumns::cast)
            .filter_map(|one| one.table_relation_name()?.table_name_ref())
            .collect();
        let (kind, mode, rewrite) = match full {
            true => (Kind::Repack, LockMode::AccessExclusive, Rewrite::Yes),
            false => (Kind::Additive, LockMode::ShareUpdateExclusive, Rewrite::No),
        };
        if tables.is_empty() {
            self.add(Finding::new(kind).rewrite(rewrite.clone()).outside_transactions());
        }
        for table in tables {
            self.named(Some(table.syntax()), |reader, table| {
                let finding = Finding::new(kind).on(ObjectClass::Table, table).lock(table, mode);
                let finding = finding.rewrite(rewrite.clone()).outside_transactions();
                let finding = finding.touch(table, Role::Reference, Reach::Children);
                reader.add(Finding { way_back: WayBack::NotNeeded, ..finding });
            });
        }
    }

    pub(super) fn is_full(statement: &ast::Vacuum) -> bool {
        if statement.full_token().is_some() {
            return true;
        }
        let options = statement.vacuum_option_list().map(|list| folded(list.syntax())).unwrap_or_default();
        let mut options = options.trim_matches(['(', ')']).split(',').map(str::trim);
        options.any(|option| {
            option.starts_with("full") && !option.contains("off") && !option.contains("false") && !option.ends_with('0')
        })
    }

    /// `ANALYZE`.
    pub(super) fn analyze(&mut self, statement: &SyntaxNode) {
        let mut finding = Finding { way_back: WayBack::NotNeeded, ..Finding::new(Kind::Additive) };
        for table in statement.descendants().filter_map(ast::TableNameRef::cast) {
            if let Some(name) = super::names::name_of(table.syntax()) {
                finding = finding.lock(&name, LockMode::ShareUpdateExclusive);
                finding = finding.touch(&name, Role::Reference, Reach::Itself);
            }
        }
        self.add(finding);
    }

    /// `CLUSTER`.
    pub(super) fn cluster(&mut self, statement: &SyntaxNode) {
        let mut finding = Finding::new(Kind::Repack).rewrite(Rewrite::Yes);
        let table = statement.descendants().find_map(ast::TableNameRef::cast);
        let table = table.and_then(|table| super::names::name_of(table.syntax()));
        finding = match &table {
            Some(name) => {
                let finding = finding.on(ObjectClass::Table, name).lock(name, LockMode::AccessExclusive);
                finding.touch(name, Role::Reference, Reach::Itself)
            }
            None => finding.outside_transactions(),
        };
        self.add(finding);
    }

    /// `REFRESH MATERIALIZED VIEW`.
    pub(super) fn refresh(&mut self, statement: &ast::Refresh) {
        let concurrently = has_word(statement.syntax(), "concurrently");
        self.named(node(statement.view_ref().as_ref()), |reader, view| {
            let mode = if concurrently { LockMode::Exclusive } else { LockMode::AccessExclusive };
            let rewrite = if concurrently { Rewrite::No } else { Rewrite::Yes };
            let finding = Finding::new(Kind::RefreshView).on(ObjectClass::MaterializedView, view).lock(view, mode);
            let finding = finding.touch(view, Role::Read, Reach::Itself);
            reader.add(Finding { way_back: WayBack::NotNeeded, ..finding.rewrite(rewrite) });
        });
    }

    /// A statement about access to tables that it names or not.
    pub(super) fn access(&mut self, statement: &SyntaxNode, mode: Option<LockMode>) {
        let mut finding = Finding::new(Kind::Access);
        let table = statement.descendants().find_map(ast::TableNameRef::cast);
        let table = table.and_then(|table| super::names::name_of(table.syntax()));
        if let (Some(name), Some(mode)) = (table, mode) {
            finding = finding.on(ObjectClass::Table, &name).lock(&name, mode);
            finding = finding.touch(&name, Role::Reference, Reach::Itself);
        }
        self.add(finding);
    }

    /// `COMMENT ON`.
    pub(super) fn comment(&mut self, statement: &SyntaxNode) {
        let mut finding = Finding { way_back: WayBack::NotNeeded, ..Finding::new(Kind::Additive) };
        if let Some(name) = super::names::commented(statement) {
            finding = finding.lock(&name, LockMode::ShareUpdateExclusive);
        }
        self.add(finding);
    }

    /// `CREATE STATISTICS`.
    pub(super) fn create_statistics(&mut self, statement: &SyntaxNode) {
        let mut finding = Finding::new(Kind::Additive);
        let is_table =
            |part: &SyntaxNode| ast::RelationNameRef::can_cast(part.kind()) || ast::TableNameRef::can_cast(part.kind());
        for name in statement.descendants().filter(is_table).filter_map(|table| super::names::name_of(&table)) {
            finding = finding.lock(&name, LockMode::ShareUpdateExclusive);
        }
        self.add(finding);
    }

    /// Something about the whole server, or another database of it.
    pub(super) fn server_wide(&mut self, loses: Loss) {
        self.add(Finding::new(Kind::ServerWide).loses(loses, WayBack::None).outside_transactions());
    }

    /// Something new or described that touches no rows.
    pub(super) fn additive(&mut self) {
        self.add(Finding::new(Kind::Additive));
    }
}
