//! The statements, each sent to what reads it. What stands in no arm cannot be reviewed.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};

use super::names::{has_word, identifier};
use super::{Reader, node};
use crate::{Finding, Kind, LockMode, Loss, ObjectClass, Unreviewable};

impl Reader<'_> {
    /// Reads one statement.
    pub(super) fn statement(&mut self, statement: &ast::Stmt) {
        use ast::Stmt as S;
        let tree = statement.syntax();
        match statement {
            S::Select(_)
            | S::SelectInto(_)
            | S::CompoundSelect(_)
            | S::ParenSelect(_)
            | S::Table(_)
            | S::Values(_)
            | S::Insert(_)
            | S::Update(_)
            | S::Delete(_)
            | S::Merge(_)
            | S::Declare(_) => self.query(tree),
            S::Truncate(one) => self.truncate(one),
            S::Copy(one) => self.copy(one),
            S::Explain(_) if !has_word(tree, "analyze") && !has_word(tree, "analyse") => {
                let locks = self.locks_to_understand(|reader| reader.query(tree));
                self.add(Finding { way_back: crate::WayBack::NotNeeded, locks, ..Finding::new(Kind::Read) });
            }
            S::Explain(one) => match one.syntax().descendants().find_map(ast::Execute::cast) {
                Some(execute) => self.execute(&execute),
                None => self.query(tree),
            },
            S::Show(_) | S::Fetch(_) | S::Move(_) | S::Close(_) => self.reads_only(),

            S::CreateTable(one) => {
                let name = one.table_name();
                let temporary = matches!(one.persistence(), Some(ast::Persistence::Temp(_)));
                self.create_table(tree, node(name.as_ref()), one.if_not_exists().is_some(), temporary);
            }
            S::CreateForeignTable(one) => {
                let name = one.table_name();
                self.create_table(tree, node(name.as_ref()), one.if_not_exists().is_some(), false);
            }
            S::CreateTableAs(one) => {
                let name = one.table_name();
                let temporary = matches!(one.persistence(), Some(ast::Persistence::Temp(_)));
                let optional = one.if_not_exists().is_some();
                self.create_from_query(tree, node(name.as_ref()), ObjectClass::Table, optional, temporary);
            }
            S::CreateMaterializedView(one) => {
                let (name, optional) = (one.view(), one.if_not_exists().is_some());
                self.create_from_query(tree, node(name.as_ref()), ObjectClass::MaterializedView, optional, false);
            }
            S::CreateView(one) => self.create_view(one),
            S::CreateSchema(one) => self.create_schema(one),
            S::CreateIndex(one) => self.create_index(one),
            S::CreateFunction(one) => {
                self.define(node(one.name().as_ref()), tree, one.or_replace().is_some());
            }
            S::CreateProcedure(one) => {
                self.define(node(one.name().as_ref()), tree, one.or_replace().is_some());
            }
            S::CreateTrigger(one) => self.create_trigger(one),
            S::CreateRule(one) => self.create_rule(one),
            S::CreateEventTrigger(one) => {
                self.add(Finding::new(Kind::Trigger));
                let function = one.call_expr().and_then(|call| call.expr());
                let function = function.and_then(|name| super::names::name_of(name.syntax()));
                self.call(function.as_ref());
            }

            S::AlterTable(one) => self.alter_table(one),
            S::AlterForeignTable(one) => {
                let name = one.table_relation_name().and_then(|table| table.table_name_ref());
                let actions: Vec<_> = one.actions().collect();
                self.alter_actions(node(name.as_ref()), &actions, one.if_exists().is_some());
            }
            S::AlterView(one) => {
                self.alter_relation(ObjectClass::View, node(one.view_ref().as_ref()), tree);
            }
            S::AlterMaterializedView(one) => {
                self.alter_relation(ObjectClass::MaterializedView, node(one.view_ref().as_ref()), tree);
            }
            S::AlterIndex(one) => {
                self.alter_relation(ObjectClass::Index, node(one.index_ref().as_ref()), tree);
            }
            S::AlterSequence(one) => self.alter_sequence(one),
            S::AlterType(one) => self.alter_type(one),
            S::AlterSchema(one) => self.alter_schema(one),

            S::DropTable(one) => self.drop_tables(tree, nodes(one.table_name_refs())),
            S::DropForeignTable(_) => {
                let names = tree.descendants().filter(|part| {
                    ast::TableNameRef::can_cast(part.kind()) || ast::RelationNameRef::can_cast(part.kind())
                });
                self.drop_tables(tree, names.collect());
            }
            S::DropView(one) => self.drop_views(tree, nodes(one.view_refs()), ObjectClass::View),
            S::DropMaterializedView(one) => {
                self.drop_views(tree, nodes(one.view_refs()), ObjectClass::MaterializedView);
            }
            S::DropSchema(one) => self.drop_schemas(one),
            S::DropType(one) => self.drop_depended_on(tree, nodes(one.type_name_refs()), ObjectClass::Type),
            S::DropDomain(one) => self.drop_depended_on(tree, nodes(one.domain_refs()), ObjectClass::Domain),
            S::DropSequence(one) => self.drop_depended_on(tree, nodes(one.sequence_refs()), ObjectClass::Sequence),
            S::DropExtension(one) => self.drop_depended_on(tree, nodes(one.extension_refs()), ObjectClass::Extension),
            S::DropFunction(_) | S::DropProcedure(_) | S::DropRoutine(_) => {
                self.drop_depended_on(tree, routine_names(tree), ObjectClass::Function);
            }
            S::DropCollation(one) => self.drop_collations(tree, nodes(one.collation_refs())),
            S::DropIndex(one) => self.drop_indexes(one),
            S::DropTrigger(one) => self.drop_trigger(one),
            S::DropRule(one) => {
                let table = one.syntax().descendants().find(|part| {
                    ast::RelationNameRef::can_cast(part.kind()) || ast::TableNameRef::can_cast(part.kind())
                });
                self.drop_on_table(table.as_ref(), ObjectClass::Rule, None);
            }
            S::DropPolicy(one) => {
                let table = one.syntax().descendants().find(|part| {
                    ast::RelationNameRef::can_cast(part.kind()) || ast::TableNameRef::can_cast(part.kind())
                });
                self.drop_on_table(table.as_ref(), ObjectClass::Other, identifier(node(one.policy_ref().as_ref())));
            }
            S::DropOwned(one) => self.owned(roles(one.syntax()), true),
            S::Reassign(one) => self.owned(roles(one.syntax()), false),
            S::DropDatabase(_) => self.server_wide(Loss::Tables),
            S::DropTablespace(_)
            | S::CreateDatabase(_)
            | S::CreateTablespace(_)
            | S::AlterSystem(_)
            | S::AlterTablespace(_) => self.server_wide(Loss::Nothing),
            S::AlterDatabase(one) => match one.action() {
                Some(ast::AlterDatabaseAction::SetConfigParam(_) | ast::AlterDatabaseAction::ResetConfigParam(_)) => {
                    self.additive();
                }
                Some(ast::AlterDatabaseAction::OwnerTo(_)) => self.access(tree, None),
                _ => self.server_wide(Loss::Nothing),
            },
            S::DropAccessMethod(_)
            | S::DropAggregate(_)
            | S::DropCast(_)
            | S::DropConversion(_)
            | S::DropForeignDataWrapper(_)
            | S::DropLanguage(_)
            | S::DropOperator(_)
            | S::DropOperatorClass(_)
            | S::DropOperatorFamily(_)
            | S::DropPropertyGraph(_)
            | S::DropServer(_)
            | S::DropStatistics(_)
            | S::DropTextSearchConfig(_)
            | S::DropTextSearchDict(_)
            | S::DropTextSearchParser(_)
            | S::DropTextSearchTemplate(_)
            | S::DropTransform(_)
            | S::DropUserMapping(_)
            | S::DropPublication(_) => self.drop_other(tree, Kind::Additive),
            S::DropEventTrigger(_) => self.drop_other(tree, Kind::Trigger),
            S::DropRole(_) | S::DropUser(_) | S::DropGroup(_) => self.drop_other(tree, Kind::Access),
            S::DropSubscription(_) | S::CreateSubscription(_) | S::AlterSubscription(_) => {
                self.add(Finding::new(Kind::Additive).outside_transactions());
            }

            S::Grant(_)
            | S::Revoke(_)
            | S::AlterDefaultPrivileges(_)
            | S::AlterRole(_)
            | S::AlterUser(_)
            | S::AlterGroup(_)
            | S::CreateRole(_)
            | S::CreateUser(_)
            | S::CreateGroup(_)
            | S::SecurityLabel(_)
            | S::SetRole(_)
            | S::SetSessionAuth(_)
            | S::ResetRole(_)
            | S::ResetSessionAuth(_)
            | S::AlterLargeObject(_)
            | S::CreateUserMapping(_)
            | S::AlterUserMapping(_) => self.access(tree, None),
            S::CreatePolicy(_) | S::AlterPolicy(_) => {
                self.access(tree, Some(LockMode::AccessExclusive));
                let table = tree.descendants().find_map(ast::TableNameRef::cast);
                if let Some(table) = table.and_then(|table| super::names::name_of(table.syntax())) {
                    self.called_on_write(&table, tree);
                }
            }
            S::AlterTrigger(_) | S::AlterEventTrigger(_) | S::AlterRule(_) => self.add(Finding::new(Kind::Trigger)),
            S::AlterDomain(one) => self.alter_domain(one),
            // In which columns and casts it is used is not followed: as if it were at once.
            S::CreateDomain(_) => {
                self.additive();
                self.calls(tree);
            }
            // Its script may do anything, and what becomes a member of it is dropped with it.
            S::AlterExtension(_) if super::names::moved(tree).is_none() => {
                let name = "ALTER EXTENSION".to_owned();
                self.add(Finding::unreviewable(Unreviewable::UnknownStatement(name)));
            }
            S::AlterExtension(_) => self.moved(tree, ObjectClass::Extension),
            S::AlterFunction(_) | S::AlterProcedure(_) | S::AlterRoutine(_) => self.moved(tree, ObjectClass::Function),

            S::Vacuum(one) => {
                let full = Self::is_full(one);
                self.vacuum(tree, full);
            }
            S::Repack(_) => self.vacuum(tree, true),
            S::Analyze(_) => self.analyze(tree),
            S::Cluster(_) => self.cluster(tree),
            S::Reindex(one) => self.reindex(one),
            S::Refresh(one) => self.refresh(one),
            S::Lock(one) => self.lock_table(one),
            S::CommentOn(_) => self.comment(tree),
            S::CreateStatistics(_) => self.create_statistics(tree),

            S::Do(one) => self.do_block(one),
            S::Call(one) => {
                let name = one.procedure_name_ref().and_then(|name| super::names::name_of(name.syntax()));
                self.call(name.as_ref());
                self.calls(tree);
            }
            S::Prepare(one) => self.prepare(one),
            S::Execute(one) => self.execute(one),
            S::Set(one) => self.set_statement(one),
            S::Reset(_) | S::Discard(_) => self.reset(),
            S::Begin(_) => self.transaction(false, false),
            S::Commit(ast::Commit::CommitPrepared(_)) | S::Rollback(ast::Rollback::RollbackPrepared(_)) => {
                self.add(Finding::unreviewable(Unreviewable::UnknownPrepared("a transaction".into())));
            }
            S::Commit(_) => self.transaction(false, true),
            S::Rollback(ast::Rollback::RollbackTransaction(_)) => self.transaction(true, true),
            S::Rollback(_) => self.transaction(true, false),
            S::PrepareTransaction(_) => self.transaction(true, true),
            S::SavepointCreate(_) | S::ReleaseSavepoint(_) | S::SetTransaction(_) => self.transaction(false, false),
            S::SetConstraints(_)
            | S::Listen(_)
            | S::Unlisten(_)
            | S::Notify(_)
            | S::Deallocate(_)
            | S::Checkpoint(_) => self.additive(),

            S::CreateAccessMethod(_)
            | S::CreateAggregate(_)
            | S::CreateCast(_)
            | S::CreateCollation(_)
            | S::CreateConversion(_)
            | S::CreateExtension(_)
            | S::CreateForeignDataWrapper(_)
            | S::CreateLanguage(_)
            | S::CreateOperator(_)
            | S::CreateOperatorClass(_)
            | S::CreateOperatorFamily(_)
            | S::CreatePropertyGraph(_)
            | S::CreatePublication(_)
            | S::CreateSequence(_)
            | S::CreateServer(_)
            | S::CreateTextSearchConfiguration(_)
            | S::CreateTextSearchDictionary(_)
            | S::CreateTextSearchParser(_)
            | S::CreateTextSearchTemplate(_)
            | S::CreateTransform(_)
            | S::CreateType(_)
            | S::ImportForeignSchema(_) => self.additive(),
            S::AlterAggregate(_)
            | S::AlterCollation(_)
            | S::AlterConversion(_)
            | S::AlterForeignDataWrapper(_)
            | S::AlterLanguage(_)
            | S::AlterOperator(_)
            | S::AlterOperatorClass(_)
            | S::AlterOperatorFamily(_)
            | S::AlterPropertyGraph(_)
            | S::AlterPublication(_)
            | S::AlterServer(_)
            | S::AlterStatistics(_)
            | S::AlterTextSearchConfiguration(_)
            | S::AlterTextSearchDictionary(_)
            | S::AlterTextSearchParser(_)
            | S::AlterTextSearchTemplate(_) => self.additive(),

            S::EmptyStmt(_) => {}
            S::Load(_) => self.add(Finding::unreviewable(Unreviewable::UnknownStatement(super::drops::label(tree)))),
        }
    }

    fn reads_only(&mut self) {
        self.add(Finding { way_back: crate::WayBack::NotNeeded, ..Finding::new(Kind::Read) });
    }
}

fn nodes<N: AstNode>(parts: ast::AstChildren<N>) -> Vec<SyntaxNode> {
    parts.map(|part| part.syntax().clone()).collect()
}

fn roles(statement: &SyntaxNode) -> Vec<SyntaxNode> {
    statement.descendants().filter(|part| ast::RoleRef::can_cast(part.kind())).collect()
}

fn routine_names(statement: &SyntaxNode) -> Vec<SyntaxNode> {
    let is_name = |part: &SyntaxNode| {
        ast::FunctionNameRef::can_cast(part.kind())
            || ast::ProcedureNameRef::can_cast(part.kind())
            || ast::RoutineNameRef::can_cast(part.kind())
    };
    statement.descendants().filter(is_name).collect()
}
