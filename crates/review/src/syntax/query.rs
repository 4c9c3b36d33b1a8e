//! Queries and changes of rows, wherever they stand in a statement.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};

use super::names::{folded, has_word, name_of, tokens};
use super::{Reader, node};
use crate::{Finding, Kind, LockMode, Loss, ObjectName, Reach, Role, Unreviewable, WayBack};

impl Reader<'_> {
    /// Reads everything that a query does: itself, its subqueries, what stands in `WITH`, functions it calls.
    pub(super) fn query(&mut self, root: &SyntaxNode) {
        let before = self.findings.len();
        for inner in root.descendants() {
            if let Some(delete) = ast::Delete::cast(inner.clone()) {
                self.delete(&delete);
            } else if let Some(update) = ast::Update::cast(inner.clone()) {
                self.update(&update);
            } else if let Some(insert) = ast::Insert::cast(inner.clone()) {
                self.insert(&insert);
            } else if let Some(merge) = ast::Merge::cast(inner.clone()) {
                self.merge(&merge);
            } else if let Some(into) = ast::IntoClause::cast(inner.clone()) {
                let temporary = node(into.persistence().as_ref()).is_some_and(|word| !has_word(word, "unlogged"));
                self.named(node(into.table_name().as_ref()), |reader, name| {
                    reader.add(Finding::new(Kind::AddRows).on(crate::ObjectClass::Table, name));
                    reader.batch.make(name, reader.certain(), temporary);
                });
            }
        }
        let reads = self.reads(root);
        if !reads.touches.is_empty() || self.findings.len() == before {
            self.add(reads);
        }
        self.calls(root);
    }

    /// The tables that a query reads, without the names that `WITH` gives.
    fn reads(&self, root: &SyntaxNode) -> Finding {
        let names: Vec<String> = root
            .descendants()
            .filter_map(ast::WithTable::cast)
            .filter_map(|table| super::names::identifier(node(table.name().as_ref())))
            .collect();
        let locks_rows = root.descendants().any(|inner| ast::LockingClause::can_cast(inner.kind()));
        let mode = if locks_rows { LockMode::RowShare } else { LockMode::AccessShare };
        let mut finding = Finding::new(Kind::Read);
        finding.way_back = WayBack::NotNeeded;
        for reference in root.descendants().filter_map(ast::RelationNameRef::cast) {
            let written = reference.syntax().parent().is_some_and(|parent| is_target(&parent));
            let Some(name) = name_of(reference.syntax()) else { continue };
            let from_with = name.schema.is_none() && names.contains(&name.name);
            if !written && !from_with && !finding.touches.iter().any(|touch| touch.table == name) {
                finding = finding.touch(&name, Role::Read, Reach::Itself).lock(&name, mode);
            }
        }
        finding
    }

    fn delete(&mut self, delete: &ast::Delete) {
        let all = is_everything(delete.where_clause_or_current_of().as_ref());
        let kind = kind_of(delete.syntax(), if all { Kind::DeleteAll } else { Kind::ChangeRows });
        let target = delete.relation_name().and_then(|name| name.relation_name_ref());
        self.change(node(target.as_ref()), kind, if all { Loss::AllRows } else { Loss::SomeRows }, Reach::Delete, &[]);
    }

    fn update(&mut self, update: &ast::Update) {
        let all = is_everything(update.where_clause_or_current_of().as_ref());
        let kind = kind_of(update.syntax(), if all { Kind::UpdateAll } else { Kind::ChangeRows });
        let target = update.relation_name().and_then(|name| name.relation_name_ref());
        let columns = update.set_clause().map(|set| columns_set(set.syntax())).unwrap_or_default();
        self.change(node(target.as_ref()), kind, Loss::SomeRows, Reach::Update, &columns);
    }

    fn insert(&mut self, insert: &ast::Insert) {
        let target = insert.relation_name_ref();
        let target = node(target.as_ref());
        let conflict = insert.on_conflict_clause().and_then(|clause| clause.conflict_action());
        self.named(target, |reader, name| {
            let finding = Finding::new(kind_of(insert.syntax(), Kind::AddRows)).on(crate::ObjectClass::Table, name);
            let finding = finding.lock(name, LockMode::RowExclusive).touch(name, Role::Add, Reach::Insert);
            reader.add(Finding { way_back: WayBack::Inverse, ..finding });
        });
        if let Some(ast::ConflictAction::ConflictDoUpdateSet(set)) = conflict {
            let columns = set.set_clause().map(|set| columns_set(set.syntax())).unwrap_or_default();
            self.change(target, kind_of(insert.syntax(), Kind::ChangeRows), Loss::SomeRows, Reach::Update, &columns);
        }
    }

    fn merge(&mut self, merge: &ast::Merge) {
        let target = merge.table_relation_name().and_then(|name| name.table_name_ref());
        let target = node(target.as_ref());
        let has =
            |test: fn(squawk_syntax::SyntaxKind) -> bool| merge.syntax().descendants().any(|inner| test(inner.kind()));
        let kind = kind_of(merge.syntax(), Kind::ChangeRows);
        if has(ast::MergeDelete::can_cast) {
            self.change(target, kind, Loss::SomeRows, Reach::Delete, &[]);
        }
        if has(ast::MergeUpdate::can_cast) {
            self.change(target, kind, Loss::SomeRows, Reach::Update, &[]);
        }
        self.named(target, |reader, name| {
            let finding = Finding::new(kind_of(merge.syntax(), Kind::AddRows)).on(crate::ObjectClass::Table, name);
            reader.add(finding.lock(name, LockMode::RowExclusive).touch(name, Role::Add, Reach::Insert));
        });
    }

    fn change(&mut self, target: Option<&SyntaxNode>, kind: Kind, loses: Loss, reach: Reach, columns: &[String]) {
        self.named(target, |reader, name| {
            let mut finding = Finding::new(kind)
                .on(crate::ObjectClass::Table, name)
                .loses(loses, WayBack::RestoreRows)
                .lock(name, LockMode::RowExclusive)
                .touch(name, Role::Write, reach);
            for touch in &mut finding.touches {
                touch.columns = columns.to_vec();
            }
            reader.add(finding);
        });
    }

    /// `TRUNCATE`.
    pub(super) fn truncate(&mut self, truncate: &ast::Truncate) {
        let cascade = matches!(truncate.drop_behavior(), Some(ast::DropBehavior::Cascade(_)));
        let restart = has_word(truncate.syntax(), "restart");
        let tables: Vec<_> =
            truncate.table_list().map(|list| list.table_relation_names().collect()).unwrap_or_default();
        if tables.is_empty() {
            self.add(Finding::unreviewable(Unreviewable::Unnamed));
        }
        for table in tables {
            self.named(node(table.table_name_ref().as_ref()), |reader, name| {
                let finding = Finding::new(Kind::Truncate).on(crate::ObjectClass::Table, name).cascade(cascade, false);
                let finding = finding.loses(Loss::AllRows, WayBack::RestoreTables).rewrite(crate::Rewrite::Yes);
                let finding = finding.lock(name, LockMode::AccessExclusive);
                reader.add(finding.touch(name, Role::Write, Reach::Truncate { cascade, restart }));
            });
        }
    }

    /// `COPY`.
    pub(super) fn copy(&mut self, copy: &ast::Copy) {
        let out = matches!(copy.copy_direction(), Some(ast::CopyDirection::CopyTo(_)));
        if has_word(copy.syntax(), "program") {
            self.add(Finding::unreviewable(Unreviewable::ServerProgram));
        } else if out && !has_word(copy.syntax(), "stdout") {
            self.add(Finding::unreviewable(Unreviewable::ServerFile));
        }
        let Some(table) = copy.copy_table() else { return self.query(copy.syntax()) };
        let into = matches!(copy.copy_direction(), Some(ast::CopyDirection::CopyFrom(_)));
        self.named(node(table.table_name_ref().as_ref()), |reader, name| {
            reader.add(if into {
                let finding = Finding::new(Kind::AddRows).on(crate::ObjectClass::Table, name);
                finding.lock(name, LockMode::RowExclusive).touch(name, Role::Add, Reach::Insert)
            } else {
                Finding::new(Kind::Read).lock(name, LockMode::AccessShare).touch(name, Role::Read, Reach::Itself)
            });
        });
        self.calls(copy.syntax());
    }
}

/// A change inside `WITH` is one of its own: the outer statement may only read.
fn kind_of(change: &SyntaxNode, kind: Kind) -> Kind {
    if change.parent().is_some_and(|parent| ast::WithTable::can_cast(parent.kind())) {
        Kind::ChangeInWith
    } else {
        kind
    }
}

fn is_target(parent: &SyntaxNode) -> bool {
    if ast::Insert::can_cast(parent.kind()) || ast::Delete::can_cast(parent.kind()) {
        return true;
    }
    let outer = parent.parent();
    ast::RelationName::can_cast(parent.kind())
        && outer.is_some_and(|outer| ast::Delete::can_cast(outer.kind()) || ast::Update::can_cast(outer.kind()))
}

fn is_everything(condition: Option<&ast::WhereClauseOrCurrentOf>) -> bool {
    match condition {
        None => true,
        Some(ast::WhereClauseOrCurrentOf::WhereClause(clause)) => {
            let text = clause.expr().map(|expression| folded(expression.syntax())).unwrap_or_default();
            matches!(text.trim_matches(['(', ')']), "true" | "1=1" | "'t'" | "'true'" | "not false")
        }
        Some(ast::WhereClauseOrCurrentOf::WhereCurrentOf(_)) => false,
    }
}

/// The columns that `SET` names; none where one of them cannot be read.
fn columns_set(set: &SyntaxNode) -> Vec<String> {
    let mut columns = Vec::new();
    let mut depth = 0_usize;
    let mut open = true;
    for token in tokens(set).skip_while(|token| token.text().eq_ignore_ascii_case("set")) {
        match token.text() {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            "," if depth == 0 => open = true,
            "," => {}
            // A list of columns in brackets, and indexes or fields of one, are not told apart: all may be meant.
            _ if open && depth > 0 => return Vec::new(),
            text if open => {
                let Some(column) = crate::name::fold(text) else { return Vec::new() };
                columns.push(column);
                open = false;
            }
            _ => {}
        }
    }
    columns
}

/// The object's name in a string, as `'public.s'` and `'"S"'::regclass` hold it.
pub(super) fn name_in_string(text: &str) -> Option<ObjectName> {
    let mut parts = Vec::new();
    for part in text.split('.') {
        parts.push(crate::name::fold(part.trim())?);
    }
    ObjectName::of_parts(parts)
}
