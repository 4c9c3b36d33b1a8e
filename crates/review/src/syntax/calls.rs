//! Functions that a statement calls.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};

use super::names::{name_of, tokens};
use super::query::name_in_string;
use super::{CALLS, Reader};
use crate::batch::Routine;
use crate::functions::{Known, known};
use crate::{Finding, Kind, Loss, ObjectClass, ObjectName, Reach, Role, Touch, Unreviewable, WayBack, Within};

/// The functions that a node calls, in order, each once.
pub(super) fn called(node: &SyntaxNode) -> Vec<(Option<ObjectName>, ast::CallExpr)> {
    let calls = node.descendants().filter_map(ast::CallExpr::cast);
    calls.filter_map(|call| call.expr().map(|name| (name_of(name.syntax()), call))).collect()
}

/// Whether what a node computes differs from row to row; `None` where nobody knows.
pub(super) fn is_volatile(node: &SyntaxNode) -> Option<bool> {
    let calls: Vec<_> = called(node).into_iter().map(|(name, _)| name.and_then(|name| known(&name))).collect();
    if calls.contains(&Some(Known::Volatile)) {
        return Some(true);
    }
    (!calls.contains(&None)).then_some(false)
}

impl Reader<'_> {
    /// Reads what the functions do that a node calls.
    pub(super) fn calls(&mut self, node: &SyntaxNode) {
        let mut seen: Vec<Option<ObjectName>> = Vec::new();
        for (name, call) in called(node) {
            let bare = name.as_ref().map(|name| name.name.as_str());
            match bare {
                Some("setval") => self.set_value(&call),
                Some("set_config") => self.set_config(&call),
                _ if seen.contains(&name) => {}
                _ => self.call(name.as_ref()),
            }
            seen.push(name);
        }
    }

    /// Reads what a call of a function does.
    pub(crate) fn call(&mut self, name: Option<&ObjectName>) {
        let Some(name) = name else { return self.add(Finding::unreviewable(Unreviewable::Unnamed)) };
        let routines = self.routines(name);
        if routines.is_empty() {
            if known(name).is_none() {
                let mut finding = Finding::unreviewable(Unreviewable::UnknownFunction(name.clone()));
                finding.calls.push(name.clone());
                self.add(finding);
            }
            return;
        }
        self.run(Within::Routine(name.clone()), &routines);
    }

    /// Reads what a trigger's function does when it fires.
    pub(crate) fn trigger(&mut self, function: &ObjectName) {
        // The server's own only fill in columns of their row.
        if function.schema.as_deref() == Some("pg_catalog") {
            return;
        }
        let routines = self.routines(function);
        if routines.is_empty() && known(function).is_none() {
            let mut finding = Finding::unreviewable(Unreviewable::UnknownFunction(function.clone()));
            finding.calls.push(function.clone());
            self.add(finding);
        } else {
            self.run(Within::Trigger(function.clone()), &routines);
        }
    }

    /// The definitions that a name may mean: those of earlier statements and those of the catalog.
    fn routines(&self, name: &ObjectName) -> Vec<Routine> {
        let here = self.batch.routines.iter().filter(|(one, _)| self.batch.may_be_same(one, name));
        let mut routines: Vec<Routine> = here.map(|(_, routine)| routine.clone()).collect();
        routines.extend((self.known)(name));
        routines.dedup();
        routines
    }

    /// Reads bodies that run where we stand. One that already runs adds nothing new.
    pub(super) fn run(&mut self, within: Within, routines: &[Routine]) {
        if self.within.contains(&within) {
            return;
        }
        if self.within.len() >= CALLS {
            return self.add(Finding::unreviewable(Unreviewable::TooDeep));
        }
        self.within.push(within);
        for routine in routines {
            let outside = (self.batch.search_path.clone(), self.batch.changed_path.clone());
            if let Some(path) = &routine.search_path {
                self.batch.changed_path = None;
                self.batch.set_path(super::body::identifiers(path));
            }
            if let Some(defaults) = &routine.defaults {
                self.text(&format!("select {defaults}"));
            }
            self.routine(routine);
            if routine.search_path.is_some() {
                (self.batch.search_path, self.batch.changed_path) = outside;
            }
        }
        self.within.pop();
    }

    /// Triggers and rules that earlier statements made fire when their table is written to.
    pub(super) fn fire(&mut self, touch: &Touch) {
        if touch.role != Role::Reference {
            let views = self.batch.view_calls.iter().filter(|(view, _)| self.batch.means(view, &touch.table));
            let functions: Vec<ObjectName> = views.map(|(_, function)| function.clone()).collect();
            for function in functions {
                self.call(Some(&function));
            }
        }
        let fires = matches!(touch.reach, Reach::Insert | Reach::Update | Reach::Delete | Reach::Truncate { .. });
        if !fires || touch.role == Role::Read {
            return;
        }
        self.call_on_write(touch);
        let triggers = self.batch.triggers.iter().filter(|(table, _)| self.batch.means(table, &touch.table));
        let functions: Vec<ObjectName> = triggers.map(|(_, function)| function.clone()).collect();
        for function in functions {
            self.trigger(&function);
        }
        let rules = self.batch.rules.iter().filter(|(table, _)| self.batch.means(table, &touch.table));
        let actions: Vec<Finding> = rules.flat_map(|(_, actions)| actions.clone()).collect();
        for mut action in actions {
            action.line = self.line;
            if !self.findings.contains(&action) {
                self.findings.push(action);
            }
        }
    }

    /// `setval('sequence', …)`.
    fn set_value(&mut self, call: &ast::CallExpr) {
        let name = first_string(call).and_then(|text| name_in_string(&text));
        let mut finding = Finding::new(Kind::SetSequence).loses(Loss::Position, WayBack::RestoreRows);
        if let Some(name) = &name {
            finding = finding.on(ObjectClass::Sequence, name);
        }
        self.add(finding);
    }

    /// `set_config('search_path', …)`: as `SET`.
    fn set_config(&mut self, call: &ast::CallExpr) {
        let strings: Vec<String> = strings(call);
        match strings.first().map(|name| name.to_ascii_lowercase()).as_deref() {
            Some(setting) => self.set(setting, strings.get(1).map(String::as_str)),
            None => {
                self.batch.set_path(None);
                self.batch.quotes_changed = true;
                self.batch.zone_unknown = true;
            }
        }
    }
}

fn strings(call: &ast::CallExpr) -> Vec<String> {
    let arguments = call.arg_list().into_iter().flat_map(|list| list.args().collect::<Vec<_>>());
    arguments
        .map_while(|argument| {
            let literal = argument.syntax().descendants().find_map(ast::Literal::cast)?;
            let whole = tokens(argument.syntax()).next()?.text_range() == tokens(literal.syntax()).next()?.text_range();
            whole.then(|| literal.string_value()).flatten()
        })
        .collect()
}

fn first_string(call: &ast::CallExpr) -> Option<String> {
    strings(call).into_iter().next()
}
