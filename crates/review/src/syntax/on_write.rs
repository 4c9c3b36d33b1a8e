//! Functions that the own expressions of a table call once rows are written to it: its defaults, checks, generated columns,
//! indexes and policies. The statement that makes them calls none of them; whoever inserts or updates does.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};

use super::names::name_of;
use super::{Reader, node};
use crate::batch::Copied;
use crate::{ObjectName, Reach, Role, Touch};

impl Reader<'_> {
    /// Notes what the expressions in a definition call when rows of `table` are written.
    pub(super) fn called_on_write(&mut self, table: &ObjectName, definition: &SyntaxNode) {
        for function in unknown_calls(definition) {
            self.batch.expressions.push((table.clone(), function));
        }
    }

    /// Notes from which tables a new one takes expressions: as a partition, by `INHERITS` and by `LIKE`.
    pub(super) fn expressions_of_others(&mut self, table: &ObjectName, statement: &SyntaxNode) {
        let partition_of = statement.children().find_map(ast::PartitionOf::cast);
        let parent = partition_of.and_then(|one| one.table_name_ref());
        let parent = node(parent.as_ref()).and_then(name_of).map(|parent| (parent, true));
        let inherits = statement.children().filter_map(ast::Inherits::cast);
        let inherits = inherits.flat_map(|one| one.table_name_refs().collect::<Vec<_>>());
        let inherits = inherits.filter_map(|one| name_of(one.syntax()));
        let like = statement.descendants().filter_map(ast::LikeClause::cast);
        let like = like.filter_map(|one| name_of(one.relation_name_ref()?.syntax()));
        let others = inherits.chain(like).map(|other| (other, false)).chain(parent);
        for (from, triggers) in others.collect::<Vec<_>>() {
            let theirs = self.batch.expressions.iter().filter(|(one, _)| self.batch.means(one, &from));
            let theirs: Vec<_> = theirs.map(|(_, function)| (table.clone(), function.clone())).collect();
            self.batch.expressions.extend(theirs);
            self.batch.copied.push(Copied { table: table.clone(), from, triggers });
        }
    }

    /// Calls what the expressions call that earlier statements gave to the table of `touch`.
    pub(super) fn call_on_write(&mut self, touch: &Touch) {
        if touch.role == Role::Read || !matches!(touch.reach, Reach::Insert | Reach::Update) {
            return;
        }
        let theirs = self.batch.expressions.iter().filter(|(table, _)| self.batch.means(table, &touch.table));
        let mut functions: Vec<ObjectName> = theirs.map(|(_, function)| function.clone()).collect();
        functions.sort();
        functions.dedup();
        for function in functions {
            self.call(Some(&function));
        }
    }
}

/// The functions that a definition calls and that no list knows.
pub(super) fn unknown_calls(definition: &SyntaxNode) -> Vec<ObjectName> {
    let calls = super::calls::called(definition).into_iter().filter_map(|(name, _)| name);
    calls.filter(|name| crate::functions::known(name).is_none()).collect()
}
