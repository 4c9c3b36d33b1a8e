//! `DROP`.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};

use super::names::{has_word, identifier};
use super::{Reader, node};
use crate::{Finding, Kind, LockMode, Loss, ObjectClass, Reach, Role, Unreviewable, WayBack};

impl Reader<'_> {
    /// `DROP TABLE`, also a foreign one.
    pub(super) fn drop_tables(&mut self, statement: &SyntaxNode, tables: Vec<SyntaxNode>) {
        let (cascade, if_exists) = behavior(statement);
        let kind = if cascade { Kind::DropTableCascade } else { Kind::DropTable };
        self.each(tables, |reader, table| {
            let finding = Finding::new(kind)
                .on(ObjectClass::Table, table)
                .cascade(cascade, if_exists)
                .loses(Loss::Tables, WayBack::RestoreTables)
                .lock(table, LockMode::AccessExclusive)
                .touch(table, Role::Write, Reach::Drop { cascade });
            reader.add(finding);
            reader.batch.unmake(table);
        });
    }

    /// `DROP VIEW` and `MATERIALIZED VIEW`.
    pub(super) fn drop_views(&mut self, statement: &SyntaxNode, views: Vec<SyntaxNode>, class: ObjectClass) {
        let (cascade, if_exists) = behavior(statement);
        self.each(views, |reader, view| {
            let finding = Finding::new(Kind::ChangeView)
                .on(class, view)
                .cascade(cascade, if_exists)
                .loses(Loss::Definition, WayBack::Inverse)
                .lock(view, LockMode::AccessExclusive)
                .touch(view, Role::Reference, Reach::Drop { cascade });
            reader.add(finding);
            reader.batch.unmake(view);
        });
    }

    /// `DROP SCHEMA`: without `CASCADE` only an empty one.
    pub(super) fn drop_schemas(&mut self, statement: &ast::DropSchema) {
        let (cascade, if_exists) = behavior(statement.syntax());
        let (loses, way_back) =
            if cascade { (Loss::Tables, WayBack::RestoreTables) } else { (Loss::Definition, WayBack::Inverse) };
        let schemas = statement.schema_refs().map(|schema| schema.syntax().clone()).collect();
        self.each(schemas, |reader, schema| {
            let mut finding =
                Finding::new(Kind::DropSchema).on(ObjectClass::Schema, schema).cascade(cascade, if_exists);
            if cascade {
                // The catalog knows those only under another schema.
                for table in reader.batch.moved_into(&schema.name) {
                    finding = finding.touch(&table, Role::Write, Reach::Drop { cascade });
                }
            }
            reader.add(finding.loses(loses, way_back));
            reader.batch.roll_back();
        });
    }

    /// Types, domains, sequences, functions, extensions: columns and tables may depend on them.
    pub(super) fn drop_depended_on(&mut self, statement: &SyntaxNode, objects: Vec<SyntaxNode>, class: ObjectClass) {
        let (cascade, if_exists) = behavior(statement);
        let (loses, way_back) = match class {
            ObjectClass::Sequence => (Loss::Position, WayBack::RestoreRows),
            // What belongs to an extension goes with it, its tables among it.
            ObjectClass::Extension => (Loss::Perhaps, WayBack::RestoreTables),
            _ if cascade => (Loss::Perhaps, WayBack::RestoreTables),
            _ => (Loss::Definition, WayBack::Inverse),
        };
        self.each(objects, |reader, object| {
            let finding = Finding::new(Kind::DropDependedOn).on(class, object).cascade(cascade, if_exists);
            reader.add(finding.loses(loses, way_back));
        });
    }

    /// `DROP COLLATION`: with `CASCADE` go columns, too.
    pub(super) fn drop_collations(&mut self, statement: &SyntaxNode, collations: Vec<SyntaxNode>) {
        if !behavior(statement).0 {
            return self.drop_other(statement, Kind::Additive);
        }
        self.drop_depended_on(statement, collations, ObjectClass::Collation);
    }

    /// What nothing that holds rows depends on, unless `CASCADE` says that something may.
    pub(super) fn drop_other(&mut self, statement: &SyntaxNode, kind: Kind) {
        let (cascade, _) = behavior(statement);
        let mut finding = Finding::new(kind).loses(Loss::Definition, WayBack::Inverse);
        if cascade {
            let name = crate::ObjectName::unqualified(label(statement));
            finding = Finding::new(Kind::DropDependedOn).on(ObjectClass::Other, &name);
            finding = finding.cascade(true, false).loses(Loss::Perhaps, WayBack::RestoreTables);
        }
        self.add(finding);
    }

    /// `DROP INDEX`.
    pub(super) fn drop_indexes(&mut self, statement: &ast::DropIndex) {
        let (cascade, if_exists) = behavior(statement.syntax());
        let concurrently = statement.concurrently_token().is_some();
        let kind = if concurrently { Kind::Concurrently } else { Kind::DropIndex };
        let indexes = statement.index_refs().map(|index| index.syntax().clone()).collect();
        self.each(indexes, |reader, index| {
            let finding = Finding::new(kind).on(ObjectClass::Index, index).cascade(cascade, if_exists);
            let finding = finding.loses(Loss::Definition, WayBack::Inverse);
            reader.add(if concurrently { finding.outside_transactions() } else { finding });
        });
    }

    /// Triggers, rules and policies hang on a table.
    pub(super) fn drop_on_table(&mut self, table: Option<&SyntaxNode>, class: ObjectClass, name: Option<String>) {
        let kind = if class == ObjectClass::Other { Kind::Access } else { Kind::Trigger };
        self.named(table, |reader, table| {
            let finding = reader.on_table(kind, table).loses(Loss::Definition, WayBack::Inverse).column(name);
            reader.add(finding);
        });
    }

    /// `DROP OWNED BY` and `REASSIGN OWNED BY`.
    pub(super) fn owned(&mut self, roles: Vec<SyntaxNode>, drops: bool) {
        let (loses, way_back) =
            if drops { (Loss::Tables, WayBack::RestoreDatabase) } else { (Loss::Nothing, WayBack::None) };
        self.each(roles, |reader, role| {
            let finding = Finding::new(Kind::OwnedObjects).on(ObjectClass::Role, role).loses(loses, way_back);
            reader.add(finding);
            if drops {
                reader.batch.roll_back();
            }
        });
    }

    fn each(&mut self, names: Vec<SyntaxNode>, mut make: impl FnMut(&mut Self, &crate::ObjectName)) {
        if names.is_empty() {
            self.add(Finding::unreviewable(Unreviewable::Unnamed));
        }
        for name in names {
            self.named(Some(&name), |reader, name| make(reader, name));
        }
    }

    pub(super) fn drop_trigger(&mut self, statement: &ast::DropTrigger) {
        let table = statement.on_relation().and_then(|on| on.relation_name_ref());
        let name = identifier(node(statement.trigger_ref().as_ref()));
        self.drop_on_table(node(table.as_ref()), ObjectClass::Trigger, name);
    }
}

/// Whether `CASCADE` and `IF EXISTS` are said.
fn behavior(statement: &SyntaxNode) -> (bool, bool) {
    let cascade = statement.descendants().any(|part| ast::Cascade::can_cast(part.kind()));
    let if_exists = statement.descendants().any(|part| ast::IfExists::can_cast(part.kind()));
    (cascade || (has_word(statement, "cascade") && !if_exists_only(statement)), if_exists)
}

/// A table may be called "cascade" in quotes only: the bare word is the key word where it stands last.
fn if_exists_only(statement: &SyntaxNode) -> bool {
    let last = super::names::tokens(statement).filter(|token| token.text() != ";").last();
    !last.is_some_and(|token| token.text().eq_ignore_ascii_case("cascade"))
}

/// The statement's first two words.
pub(super) fn label(statement: &SyntaxNode) -> String {
    let words = super::names::tokens(statement).map(|token| token.text().to_ascii_uppercase());
    let is_word = |word: &String| word.chars().all(|c| c.is_ascii_alphabetic());
    words.take(2).take_while(is_word).collect::<Vec<_>>().join(" ")
}
