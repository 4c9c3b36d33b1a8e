//! Bodies: DO blocks, functions, procedures.

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SourceFile, SyntaxNode};

use super::names::{identifier, name_of, tokens};
use super::{Reader, node};
use crate::batch::Routine;
use crate::name::fold;
use crate::{Finding, Kind, Unreviewable, Within};

impl Reader<'_> {
    /// `DO`.
    pub(super) fn do_block(&mut self, block: &ast::Do) {
        let language = block.do_language().and_then(|language| language.language_name());
        let language = language.map_or_else(|| "plpgsql".to_owned(), |language| language.name);
        let Some(source) = block.body().and_then(|body| body.string_value()) else {
            return self.add(Finding::unreviewable(Unreviewable::BrokenBody));
        };
        self.within.push(Within::Do);
        self.routine(&Routine { language, source, search_path: None, defaults: None });
        self.within.pop();
    }

    /// Reads a body that runs where we stand.
    pub(super) fn routine(&mut self, routine: &Routine) {
        let before = std::mem::replace(&mut self.in_body, true);
        match routine.language.as_str() {
            "plpgsql" => self.plpgsql(&routine.source),
            "sql" => self.sql_body(&routine.source),
            // The catalog says so of what belongs to an extension or to the server.
            "trusted" => {}
            language => self.add(Finding::unreviewable(Unreviewable::Language(language.to_owned()))),
        }
        self.in_body = before;
    }

    fn sql_body(&mut self, source: &str) {
        let word = source.split_whitespace().next().unwrap_or_default();
        if !(word.eq_ignore_ascii_case("begin") || word.eq_ignore_ascii_case("return")) {
            return self.texts(source);
        }
        let source = source.replace('\r', "\n");
        let parse = SourceFile::parse(&format!("create function f() returns void language sql {source}"));
        let body = parse.tree().syntax().descendants().find_map(ast::AtomicBody::cast);
        match body {
            Some(body) if parse.errors().is_empty() => {
                for statement in body.routine_body_stmts() {
                    match statement {
                        ast::RoutineBodyStmt::Stmt(statement) => self.statement(&statement),
                        ast::RoutineBodyStmt::ReturnStmt(value) => self.query(value.syntax()),
                    }
                }
            }
            None if parse.errors().is_empty() && word.eq_ignore_ascii_case("return") => {
                self.query(parse.tree().syntax());
            }
            _ => self.add(Finding::unreviewable(Unreviewable::BrokenBody)),
        }
    }

    fn plpgsql(&mut self, source: &str) {
        if source.len() > super::LONGEST || super::too_deep(source) {
            return self.add(Finding::unreviewable(Unreviewable::TooLarge));
        }
        // The parser takes a body only in its statement.
        let mut tag = String::from("$body$");
        while source.contains(&tag) || source.ends_with(&tag[..tag.len() - 1]) {
            tag.insert(1, 'x');
        }
        let source = source.replace('\r', "\n");
        let parse = SourceFile::parse(&format!("do {tag}{source}{tag}"));
        let body = parse.tree().syntax().descendants().find_map(ast::Do::cast).and_then(|block| block.plpgsql());
        let Some(body) = body else { return self.add(Finding::unreviewable(Unreviewable::BrokenBody)) };
        if !body.errors().is_empty() || body.tree().block().is_none() {
            self.add(Finding::unreviewable(Unreviewable::BrokenBody));
        }
        let root = body.syntax();
        let before = self.findings.len();
        for inner in root.descendants() {
            self.plpgsql_statement(&inner);
        }
        // Conditions, assignments and arguments stand in expressions of their own.
        for expression in root.descendants().filter_map(ast::PlpgsqlExpr::cast) {
            self.calls(expression.syntax());
            if expression.from_clause().is_some() {
                self.query(expression.syntax());
            }
        }
        if self.findings.len() == before {
            self.add(Finding::new(Kind::Read));
        }
    }

    fn plpgsql_statement(&mut self, inner: &SyntaxNode) {
        if let Some(one) = ast::PlpgsqlExecSqlStmt::cast(inner.clone()) {
            self.inner_statement(one.stmt());
        } else if let Some(one) = ast::PlpgsqlForQueryStmt::cast(inner.clone()) {
            self.inner_statement(one.query());
        } else if let Some(one) = ast::PlpgsqlOpenQuery::cast(inner.clone()) {
            self.inner_statement(one.query());
        } else if let Some(one) = ast::PlpgsqlReturnQueryStmt::cast(inner.clone()) {
            self.inner_statement(one.query());
        } else if let Some(one) = ast::PlpgsqlCursorDecl::cast(inner.clone()) {
            self.inner_statement(one.query());
        } else if let Some(one) = ast::PlpgsqlPerformStmt::cast(inner.clone()) {
            self.query(one.syntax());
        } else if let Some(one) = ast::PlpgsqlDynExecuteStmt::cast(inner.clone()) {
            self.dynamic(one.query());
        } else if let Some(one) = ast::PlpgsqlForDynStmt::cast(inner.clone()) {
            self.dynamic(one.query());
        } else if let Some(one) = ast::PlpgsqlOpenExecute::cast(inner.clone()) {
            self.dynamic(one.query());
        } else if let Some(one) = ast::PlpgsqlReturnQueryExecuteStmt::cast(inner.clone()) {
            self.dynamic(one.query());
        } else if let Some(one) = ast::PlpgsqlCallStmt::cast(inner.clone()) {
            self.inner_statement(one.call().map(ast::Stmt::Call));
        } else if let Some(one) = ast::PlpgsqlDoStmt::cast(inner.clone()) {
            self.inner_statement(one.do_().map(ast::Stmt::Do));
        } else if ast::PlpgsqlCommitStmt::can_cast(inner.kind()) || ast::PlpgsqlRollbackStmt::can_cast(inner.kind()) {
            self.add(Finding::new(Kind::TransactionControl).outside_transactions());
            self.batch.roll_back();
        }
    }

    fn inner_statement(&mut self, statement: Option<ast::Stmt>) {
        match statement {
            Some(statement) => self.statement(&statement),
            None => self.add(Finding::unreviewable(Unreviewable::BrokenBody)),
        }
    }

    /// `EXECUTE`: a plain string is read like any SQL; whatever is put together is not.
    fn dynamic(&mut self, query: Option<ast::PlpgsqlExpr>) {
        let literal = query.as_ref().and_then(|query| {
            let literal = query.syntax().descendants().find_map(ast::Literal::cast)?;
            let alone = tokens(query.syntax()).count() == tokens(literal.syntax()).count();
            alone.then(|| literal.string_value()).flatten()
        });
        match literal {
            Some(text) => self.texts(&text),
            None => self.add(Finding::unreviewable(Unreviewable::DynamicSql)),
        }
    }

    /// `CREATE FUNCTION` and `PROCEDURE`: nothing runs, but a later call is known.
    pub(super) fn define(&mut self, name: Option<&SyntaxNode>, definition: &SyntaxNode, replaces: bool) {
        let options: Vec<ast::FuncOption> = definition
            .children()
            .filter_map(ast::FuncOptionList::cast)
            .flat_map(|list| list.options().collect::<Vec<_>>())
            .collect();
        let language = options.iter().find_map(|option| match option {
            ast::FuncOption::LanguageFuncOption(language) => language.language_name().map(|language| language.name),
            _ => None,
        });
        let text = options.iter().find_map(|option| match option {
            ast::FuncOption::AsFuncOption(definition) => match definition.as_func_target()? {
                ast::AsFuncTarget::AsDefinition(definition) => definition.literal()?.string_value(),
                _ => None,
            },
            _ => None,
        });
        let inline = definition
            .descendants()
            .find(|part| ast::AtomicBody::can_cast(part.kind()) || ast::ReturnStmt::can_cast(part.kind()));
        let search_path = options.iter().find_map(|option| {
            let words = super::names::folded(option.syntax());
            let rest = words.strip_prefix("set search_path")?.trim_start();
            Some(rest.strip_prefix("to").or_else(|| rest.strip_prefix('=')).unwrap_or_default().to_owned())
        });
        let (language, source) = match (language, text, inline) {
            (language, None, Some(body)) if language.as_deref().unwrap_or("sql") == "sql" => {
                ("sql".to_owned(), body.text().to_string())
            }
            (Some(language), Some(source), _) => (language, source),
            (language, ..) => (language.unwrap_or_else(|| "unknown".into()), String::new()),
        };
        // The body of an SQL function is understood when it is made.
        let locks = match language.as_str() {
            "sql" => self.locks_to_understand(|reader| reader.sql_body(&source)),
            _ => Vec::new(),
        };
        let calls = super::calls::called(definition).into_iter().filter_map(|(name, _)| name);
        let calls: Vec<String> = calls.map(|name| format!("{name}()")).collect();
        let defaults = (!calls.is_empty()).then(|| calls.join(", "));
        let routine = Routine { language, source, search_path, defaults };
        self.named(name, |reader, name| {
            reader.batch.routines.push((name.clone(), routine));
            let mut finding = Finding::new(Kind::Additive).on(crate::ObjectClass::Function, name);
            finding.locks = locks;
            if replaces {
                finding.loses = crate::Loss::Definition;
            }
            reader.add(finding);
        });
    }

    /// `CREATE TRIGGER`.
    pub(super) fn create_trigger(&mut self, trigger: &ast::CreateTrigger) {
        let table = trigger.on_relation().and_then(|on| on.relation_name_ref());
        let function = trigger.call_expr().and_then(|call| call.expr()).and_then(|name| name_of(name.syntax()));
        let name = identifier(node(trigger.trigger().as_ref()));
        self.named(node(table.as_ref()), |reader, table| {
            let finding = Finding::new(Kind::Trigger).on(crate::ObjectClass::Trigger, table).column(name);
            let finding = finding.lock(table, crate::LockMode::ShareRowExclusive);
            reader.add(finding.touch(table, crate::Role::Reference, crate::Reach::Children));
            match function {
                Some(function) => reader.batch.triggers.push((table.clone(), function)),
                None => reader.add(Finding::unreviewable(Unreviewable::Unnamed)),
            }
        });
    }

    /// `CREATE RULE`: what it does happens when its table is used.
    pub(super) fn create_rule(&mut self, rule: &ast::CreateRule) {
        let table = rule.rule_on().and_then(|on| on.relation_name_ref());
        let mut actions = Vec::new();
        if let Some(action) = rule.rule_do() {
            let outside = std::mem::take(&mut self.findings);
            self.within.push(Within::Branch);
            self.query(action.syntax());
            self.within.pop();
            actions = std::mem::replace(&mut self.findings, outside);
        }
        actions.retain(|action| action.kind != Kind::Read);
        self.named(node(table.as_ref()), |reader, table| {
            let finding = Finding::new(Kind::Trigger).on(crate::ObjectClass::Rule, table);
            let mut finding = finding.lock(table, crate::LockMode::AccessExclusive);
            let understood = actions.iter().flat_map(|action| action.locks.iter().cloned());
            finding.locks.extend(understood.filter(|lock| lock.mode <= crate::LockMode::RowExclusive));
            reader.add(finding.touch(table, crate::Role::Reference, crate::Reach::Itself));
            reader.batch.rules.push((table.clone(), actions));
        });
    }
}

/// Folds what a setting's value holds: a list of identifiers or strings.
pub(super) fn identifiers(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for part in text.split(',') {
        let part = part.trim();
        if part.is_empty() && names.is_empty() {
            return Some(Vec::new());
        }
        let plain = part.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        match plain {
            Some("") => {}
            Some(name) if name.contains(['\'', ',']) => return None,
            Some(name) => names.push(name.to_owned()),
            None if part == "$user" => names.push(part.to_owned()),
            None => names.push(fold(part)?),
        }
    }
    Some(names)
}
