//! `ALTER TABLE … ADD`, `ALTER` and `DROP COLUMN`.

use squawk_syntax::ast::{self, AstNode};

use super::calls::is_volatile;
use super::names::{folded, has_word, identifier};
use super::{Reader, node};
use crate::types::is_builtin;
use crate::{Finding, Kind, LockMode, Loss, ObjectClass, ObjectName, Reach, Rewrite, Role, WayBack};

impl Reader<'_> {
    pub(super) fn add_column(&mut self, table: &ObjectName, column: &ast::AddColumn) {
        let constraints: Vec<ast::Constraint> = column.constraints().collect();
        let type_name = column.ty().map(|ty| folded(ty.syntax())).unwrap_or_default();
        let default = constraints.iter().find_map(|one| match one {
            ast::Constraint::DefaultConstraint(default) => default.expr(),
            _ => None,
        });
        let serial =
            matches!(type_name.as_str(), "serial" | "bigserial" | "smallserial" | "serial4" | "serial8" | "serial2");
        let generated = constraints.iter().find(|one| matches!(one, ast::Constraint::GeneratedConstraint(_)));
        let identity = generated.is_some_and(|one| has_word(one.syntax(), "identity"));
        let stored = generated.is_some_and(|one| has_word(one.syntax(), "stored"));
        let required = constraints
            .iter()
            .any(|one| matches!(one, ast::Constraint::NotNullConstraint(_) | ast::Constraint::PrimaryKeyConstraint(_)));
        let constrained = constraints.iter().any(|one| {
            use ast::Constraint as C;
            matches!(
                one,
                C::CheckConstraint(_)
                    | C::PrimaryKeyConstraint(_)
                    | C::UniqueConstraint(_)
                    | C::ReferencesConstraint(_)
                    | C::ForeignKeyConstraint(_)
                    | C::ExcludeConstraint(_)
            )
        });
        let rewrite = if serial || identity || stored {
            Rewrite::Yes
        } else {
            let by_default = default.as_ref().map_or(Some(false), |default| is_volatile(default.syntax()));
            match by_default {
                Some(true) => Rewrite::Yes,
                // A domain that has checks is filled in row by row.
                Some(false) if is_builtin(&type_name) => Rewrite::No,
                _ => Rewrite::ByCatalog,
            }
        };
        let kind = if required && default.is_none() && generated.is_none() && !serial {
            Kind::AddRequiredColumn
        } else if rewrite == Rewrite::Yes {
            Kind::AddColumnRewrite
        } else if constrained {
            Kind::AddConstrainedColumn
        } else {
            Kind::AddColumn
        };
        let name = identifier(node(column.column_name().as_ref()));
        let mut finding = self.on_table(kind, table).column(name).rewrite(rewrite);
        if rewrite_needs_type(&finding.rewrite) {
            finding.calls = default_calls(default.as_ref());
            finding.rewrite = Rewrite::ByType { to: type_name, using: false };
        }
        let keys = super::tables::foreign_keys(table, column.syntax());
        for parent in super::tables::parents(&keys) {
            finding = finding.lock(parent, LockMode::ShareRowExclusive).touch(parent, Role::Reference, Reach::Itself);
        }
        self.batch.links.extend(keys);
        self.add(finding);
        if let Some(default) = default {
            self.calls(default.syntax());
        }
        use ast::Constraint as C;
        let filled = |one: &&C| matches!(one, C::CheckConstraint(_) | C::GeneratedConstraint(_));
        for computed in constraints.iter().filter(filled) {
            self.calls(computed.syntax());
        }
        self.called_on_write(table, column.syntax());
    }

    pub(super) fn drop_column(&mut self, table: &ObjectName, column: &ast::DropColumn) {
        let cascade = matches!(column.drop_behavior(), Some(ast::DropBehavior::Cascade(_)));
        let name = identifier(node(column.column_name_ref().as_ref()));
        let mut finding = Finding::new(Kind::DropColumn)
            .on(ObjectClass::Table, table)
            .column(name.clone())
            .cascade(cascade, column.if_exists().is_some())
            .loses(Loss::Column, WayBack::RestoreColumn)
            .lock(table, LockMode::AccessExclusive)
            .touch(table, Role::Write, Reach::DropColumn { cascade });
        for touch in &mut finding.touches {
            touch.columns.extend(name.clone());
        }
        self.add(finding);
    }

    pub(super) fn alter_column(&mut self, table: &ObjectName, column: &ast::AlterColumn) {
        use ast::AlterColumnOption as Option_;
        let name = identifier(node(column.column_name_ref().as_ref()));
        let Some(option) = column.option() else {
            return self.add(Finding::unreviewable(crate::Unreviewable::Broken));
        };
        let property = |mode| {
            let finding = Finding::new(Kind::ChangeColumnProperty).on(ObjectClass::Table, table).lock(table, mode);
            finding.touch(table, Role::Reference, Reach::Children)
        };
        let finding = match &option {
            Option_::SetType(change) => {
                let to = change.ty().map(|ty| folded(ty.syntax())).unwrap_or_default();
                let using = change.using_expr().is_some();
                if let Some(using) = change.using_expr() {
                    self.calls(using.syntax());
                }
                let mut finding = Finding::new(Kind::ChangeColumnType)
                    .on(ObjectClass::Table, table)
                    .loses(Loss::Perhaps, WayBack::RestoreColumn)
                    .rewrite(Rewrite::ByType { to, using })
                    .lock(table, LockMode::AccessExclusive)
                    .touch(table, Role::Write, Reach::Children);
                for touch in &mut finding.touches {
                    touch.columns.extend(name.clone());
                }
                finding
            }
            Option_::SetNotNull(_) => self.on_table(Kind::SetNotNull, table),
            // The values that were computed before go.
            Option_::SetExpression(_) => Finding::new(Kind::ChangeColumnProperty)
                .on(ObjectClass::Table, table)
                .lock(table, LockMode::AccessExclusive)
                .touch(table, Role::Write, Reach::Children)
                .loses(Loss::SomeRows, WayBack::Inverse)
                .rewrite(Rewrite::Yes),
            Option_::SetStatistics(_)
            | Option_::SetOptions(_)
            | Option_::ResetOptions(_)
            | Option_::SetOptionsList(_) => property(LockMode::ShareUpdateExclusive),
            Option_::Restart(_) => {
                let finding = Finding::new(Kind::SetSequence).on(ObjectClass::Table, table);
                finding.loses(Loss::Position, WayBack::RestoreRows).lock(table, LockMode::AccessExclusive)
            }
            Option_::SetSequenceOption(_) | Option_::SetGeneratedOptions(_) if has_word(option.syntax(), "restart") => {
                let finding = Finding::new(Kind::SetSequence).on(ObjectClass::Table, table);
                finding.loses(Loss::Position, WayBack::RestoreRows).lock(table, LockMode::AccessExclusive)
            }
            Option_::DropIdentity(_) => property(LockMode::AccessExclusive).loses(Loss::Position, WayBack::Inverse),
            Option_::AddGenerated(_)
            | Option_::DropDefault(_)
            | Option_::DropExpression(_)
            | Option_::DropNotNull(_)
            | Option_::Inherit(_)
            | Option_::NoInherit(_)
            | Option_::SetCompression(_)
            | Option_::SetDefault(_)
            | Option_::SetGenerated(_)
            | Option_::SetGeneratedOptions(_)
            | Option_::SetSequenceOption(_)
            | Option_::SetStorage(_) => property(LockMode::AccessExclusive),
        };
        self.add(finding.column(name));
        match &option {
            Option_::SetDefault(_) => self.called_on_write(table, option.syntax()),
            Option_::SetExpression(_) => {
                self.calls(option.syntax());
                self.called_on_write(table, option.syntax());
            }
            _ => {}
        }
    }

    /// A finding with ACCESS EXCLUSIVE on a table whose rows stay.
    pub(super) fn on_table(&self, kind: Kind, table: &ObjectName) -> Finding {
        let finding = Finding::new(kind).on(ObjectClass::Table, table).lock(table, LockMode::AccessExclusive);
        finding.touch(table, Role::Reference, Reach::Children)
    }
}

fn rewrite_needs_type(rewrite: &Rewrite) -> bool {
    *rewrite == Rewrite::ByCatalog
}

fn default_calls(default: Option<&ast::Expr>) -> Vec<ObjectName> {
    let calls = default.map(|default| super::calls::called(default.syntax())).unwrap_or_default();
    let unknown = calls.into_iter().filter_map(|(name, _)| name).filter(|name| crate::functions::known(name).is_none());
    unknown.collect()
}
