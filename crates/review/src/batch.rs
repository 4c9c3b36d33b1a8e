//! What earlier statements of a run have made, renamed and defined.
//!
//! Everything here errs to the side of risk: a table counts as made only where nothing else can be meant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::link::Link;
use crate::{Finding, Made, ObjectClass, ObjectName, Touch};

/// A routine's definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Routine {
    /// Its language, folded.
    pub(crate) language: String,
    /// Its body; for `BEGIN ATOMIC` and `RETURN` with these words.
    pub(crate) source: String,
    /// The search path that it sets for itself, as its definition writes it.
    pub(crate) search_path: Option<String>,
    /// What arguments that are left out are computed from.
    pub(crate) defaults: Option<String>,
}

/// The state of a run between two statements.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    /// The search path, where it is known.
    pub(crate) search_path: Option<Vec<String>>,
    /// The schemas of every search path that the run has set; empty where nobody can say to what.
    pub(crate) changed_path: Option<Vec<String>>,
    /// What hangs together since an earlier statement.
    pub(crate) links: Vec<Link>,
    /// Views that were made, and a function that each calls.
    pub(crate) view_calls: Vec<(ObjectName, ObjectName)>,
    /// What `RESET` brings back.
    pub(crate) first_path: Option<Vec<String>>,
    /// Whether the file changed how quotes are read.
    pub(crate) quotes_changed: bool,
    /// Whether statements may run in another time zone than the catalog says.
    pub(crate) zone_unknown: bool,
    /// Routines by name; several where they overload.
    pub(crate) routines: Vec<(ObjectName, Routine)>,
    /// Triggers that were made: on which table, with which function.
    pub(crate) triggers: Vec<(ObjectName, ObjectName)>,
    /// What rules that were made do when their table is written to.
    pub(crate) rules: Vec<(ObjectName, Vec<Finding>)>,
    /// Tables with a function that an expression calls which they were given: whoever writes to them calls it.
    pub(crate) expressions: Vec<(ObjectName, ObjectName)>,
    /// Tables that were made with the expressions of others.
    pub(crate) copied: Vec<Copied>,
    /// Prepared statements.
    pub(crate) prepared: BTreeMap<String, Vec<Finding>>,
    made: Vec<MadeTable>,
    renamed: Vec<(ObjectName, ObjectName)>,
    /// Columns that have another name, or had one for a while.
    pub(crate) renamed_columns: Vec<RenamedColumn>,
    /// Types, functions and extensions that have another name.
    renamed_others: Vec<(ObjectName, ObjectName)>,
}

/// That a table has another name, or had one for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenamedTable {
    /// What it was called before the first statement.
    pub before: ObjectName,
    /// What a statement called it.
    pub now: ObjectName,
}

/// That a column has another name, or had one for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenamedColumn {
    /// Its table, as it was called before the first statement.
    pub table: ObjectName,
    /// What the column was called before the first statement.
    pub before: String,
    /// What a statement called it.
    pub now: String,
}

/// That a new table has the expressions of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    /// The new one.
    pub(crate) table: ObjectName,
    /// The other.
    pub(crate) from: ObjectName,
    /// It is a partition of the other, and fires its triggers, too.
    pub(crate) triggers: bool,
}

#[derive(Clone, Debug)]
struct MadeTable {
    name: ObjectName,
    certain: bool,
    temporary: bool,
}

impl Batch {
    /// A batch that begins with `search_path`.
    pub(crate) fn new(search_path: Option<Vec<String>>) -> Self {
        Self { first_path: search_path.clone(), search_path, ..Self::default() }
    }

    /// The name with the schema in which something new would be made, where the search path says it.
    fn settled(&self, name: &ObjectName) -> ObjectName {
        // Whether a schema is called like the role is not known.
        let first = || self.search_path.as_ref()?.first().filter(|schema| *schema != "$user").cloned();
        ObjectName { schema: name.schema.clone().or_else(first), name: name.name.clone() }
    }

    /// Whether two names certainly mean the same.
    fn same(&self, one: &ObjectName, other: &ObjectName) -> bool {
        self.settled(one) == self.settled(other)
    }

    /// Whether a name certainly means a table that was made.
    fn is(&self, made: &MadeTable, name: &ObjectName) -> bool {
        if !made.temporary {
            return self.same(&made.name, name);
        }
        // A temporary table hides others of its name, and nobody reaches it through their schema.
        let reaches = name.schema.as_deref().is_none_or(|schema| schema == "pg_temp");
        reaches && made.name.name == name.name
    }

    /// Whether two names can mean the same.
    #[expect(clippy::unused_self, reason = "asked beside `same`")]
    pub(crate) fn may_be_same(&self, one: &ObjectName, other: &ObjectName) -> bool {
        // A search path that holds now need not have held when the other name was written.
        let schemas = one.schema == other.schema || one.schema.is_none() || other.schema.is_none();
        one.name == other.name && schemas
    }

    /// A table was made.
    pub(crate) fn make(&mut self, name: &ObjectName, certain: bool, temporary: bool) {
        // Where temporary tables do not come first, an older one of the name may hide it.
        let listed = |path: &Option<Vec<String>>| path.iter().flatten().any(|schema| schema == "pg_temp");
        let hidden = temporary && (listed(&self.first_path) || listed(&self.search_path));
        self.made.push(MadeTable { name: name.clone(), certain: certain && !hidden, temporary });
    }

    /// A table was dropped: its name now means another one or none.
    pub(crate) fn unmake(&mut self, name: &ObjectName) {
        let mut made = std::mem::take(&mut self.made);
        made.retain(|one| !self.may_be_same(&one.name, name));
        self.made = made;
    }

    /// A table has another name from now on; not certainly where the statement may not run.
    pub(crate) fn rename(&mut self, from: &ObjectName, to: &ObjectName, certain: bool) {
        let before = self.before(from).unwrap_or_else(|| from.clone());
        let made: Vec<_> = self.made.iter().filter(|one| self.is(one, from)).cloned().collect();
        self.unmake(from);
        for one in made {
            let (certain, temporary) = (one.certain && certain, one.temporary);
            self.made.push(MadeTable { name: to.clone(), certain, temporary });
        }
        self.renamed.push((to.clone(), before));
    }

    /// A column has another name from now on.
    pub(crate) fn rename_column(&mut self, table: &ObjectName, from: &str, to: &str) {
        let own = |one: &&RenamedColumn| one.now == from && self.means(&one.table, table);
        let known = self.renamed_columns.iter().rev().find(own).map(|one| one.before.clone());
        let before = known.unwrap_or_else(|| from.to_owned());
        let table = self.before(table).unwrap_or_else(|| table.clone());
        self.renamed_columns.push(RenamedColumn { table, before, now: to.to_owned() });
    }

    /// The tables, views and sequences that got another name or schema.
    pub(crate) fn renamed_tables(&self) -> Vec<RenamedTable> {
        let one = |(now, before): &(ObjectName, ObjectName)| RenamedTable { before: before.clone(), now: now.clone() };
        self.renamed.iter().filter(|(now, _)| now.name != "*").map(one).collect()
    }

    /// What a column of a table may have been called before the first statement, where any statement of the run gives it that
    /// name: which of them ran before is not asked.
    pub(crate) fn columns_before(&self, table: &ObjectName, column: &str) -> Vec<String> {
        let own = self.renamed_columns.iter().filter(|one| one.now == column && self.means(&one.table, table));
        let mut before: Vec<String> = own.map(|one| one.before.clone()).filter(|before| before != column).collect();
        before.sort();
        before.dedup();
        before
    }

    /// A schema has another name from now on.
    pub(crate) fn rename_schema(&mut self, from: &str, to: &str) {
        let before = self.object_before(ObjectClass::Schema, &ObjectName::unqualified(from));
        let before = before.map_or_else(|| from.to_owned(), |before| before.name);
        self.renamed.push((ObjectName::qualified(to, "*"), ObjectName::qualified(before, "*")));
        for one in &mut self.made {
            one.certain &= one.name.schema.as_deref() != Some(from);
        }
    }

    /// The search path is another one from now on; `None` where nobody can say which.
    pub(crate) fn set_path(&mut self, path: Option<Vec<String>>) {
        // `SET LOCAL` ends with its transaction, wherever that ends: what held before may hold again.
        let before = self.changed_path.take();
        self.changed_path = Some(match (&path, before) {
            (None, _) => Vec::new(),
            (Some(_), Some(before)) if before.is_empty() => before,
            (Some(path), before) => before.into_iter().flatten().chain(path.iter().cloned()).collect(),
        });
        self.search_path = path;
        self.made.retain(|one| one.name.schema.is_some());
    }

    /// A transaction ended, and with it what `SET LOCAL` said.
    pub(crate) fn end_transaction(&mut self) {
        if self.changed_path.is_some() {
            self.search_path = None;
            self.made.retain(|one| one.name.schema.is_some());
        }
    }

    /// The search path is the first one again, or may be.
    pub(crate) fn reset_path(&mut self) {
        if self.changed_path.is_some() {
            self.made.retain(|one| one.name.schema.is_some());
        }
        self.search_path.clone_from(&self.first_path);
    }

    /// A type, function or extension has another name from now on.
    pub(crate) fn rename_other(&mut self, from: &ObjectName, to: &ObjectName) {
        let before = self.other_before(from).unwrap_or_else(|| from.clone());
        self.renamed_others.push((to.clone(), before));
    }

    /// What a statement's object was called before the first statement, where an earlier one renamed it.
    pub(crate) fn object_before(&self, class: ObjectClass, name: &ObjectName) -> Option<ObjectName> {
        use ObjectClass as C;
        match class {
            C::Schema => {
                let mut renamed = self.renamed.iter().rev().filter(|(now, _)| now.name == "*");
                let (_, before) = renamed.find(|(now, _)| now.schema.as_ref() == Some(&name.name))?;
                before.schema.clone().map(ObjectName::unqualified)
            }
            C::Table | C::View | C::MaterializedView | C::Sequence | C::Index => self.before(name),
            _ => self.other_before(name),
        }
    }

    fn other_before(&self, name: &ObjectName) -> Option<ObjectName> {
        let found = self.renamed_others.iter().rev().find(|(now, _)| self.may_be_same(now, name));
        found.map(|(_, before)| before.clone())
    }

    /// The tables that earlier statements moved into a schema, by the names that they have there.
    pub(crate) fn moved_into(&self, schema: &str) -> Vec<ObjectName> {
        let inside = |(now, before): &&(ObjectName, ObjectName)| {
            now.name != "*" && now.schema.as_deref() == Some(schema) && before.schema != now.schema
        };
        self.renamed.iter().filter(inside).map(|(now, _)| now.clone()).collect()
    }

    /// What else happens when `touch` does, through what hangs on its table since an earlier statement.
    pub(crate) fn passed_on(&self, touch: &Touch) -> Vec<Touch> {
        let links = self.links.iter().filter(|link| self.means(&link.from, &touch.table));
        links.filter(|link| link.to != touch.table).filter_map(|link| link.passes(touch)).collect()
    }

    /// Whether a name that a statement uses can mean what an earlier one called `there`.
    pub(crate) fn means(&self, there: &ObjectName, name: &ObjectName) -> bool {
        self.may_be_same(there, name)
            || self.before(name).is_some_and(|before| self.may_be_same(there, &before))
            || self.before(there).is_some_and(|before| self.may_be_same(&before, name))
    }

    /// The transaction may be rolled back: nothing that was made is certain any more.
    pub(crate) fn roll_back(&mut self) {
        self.made.clear();
    }

    /// The next file may run in a session of its own, or in the same: temporary tables may be gone, and settings not.
    pub(crate) fn end_session(&mut self) {
        self.made.retain(|one| !one.temporary);
        self.prepared.clear();
        self.end_transaction();
    }

    fn before(&self, name: &ObjectName) -> Option<ObjectName> {
        let table = self.renamed.iter().rev().find(|(now, _)| self.may_be_same(now, name));
        if let Some((_, before)) = table {
            return Some(before.clone());
        }
        let schema = name.schema.as_deref()?;
        let moved = self.renamed.iter().rev().find(|(now, _)| now.name == "*" && now.schema.as_deref() == Some(schema));
        let moved = moved.map(|(_, before)| ObjectName { schema: before.schema.clone(), name: name.name.clone() })?;
        // The table may have had another name while its schema still had its own.
        let table = self.renamed.iter().rev().find(|(now, _)| *now == moved).map(|(_, before)| before.clone());
        Some(table.unwrap_or(moved))
    }

    /// Fills in what is known about a table that a statement touches.
    pub(crate) fn trace(&self, touch: &mut Touch) {
        let made: Vec<_> = self.made.iter().filter(|one| self.is(one, &touch.table)).collect();
        touch.made = match made.as_slice() {
            [] => Made::No,
            made if made.iter().any(|one| one.certain) => Made::Yes,
            _ => Made::Perhaps,
        };
        if touch.made != Made::Yes {
            touch.before = self.before(&touch.table).filter(|before| *before != touch.table);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reach, Role};

    fn name(text: &str) -> ObjectName {
        match text.split_once('.') {
            Some((schema, name)) => ObjectName::qualified(schema, name),
            None => ObjectName::unqualified(text),
        }
    }

    fn traced(batch: &Batch, table: &str) -> Touch {
        let mut finding = Finding::new(crate::Kind::DeleteAll).touch(&name(table), Role::Write, Reach::Delete);
        batch.trace(&mut finding.touches[0]);
        finding.touches.remove(0)
    }

    #[test]
    fn a_search_path_that_ends_with_its_transaction_makes_nothing_new() {
        let mut batch = Batch::new(Some(vec!["app".into()]));
        batch.set_path(Some(vec!["side".into()]));
        batch.make(&name("t"), true, false);
        assert_eq!(traced(&batch, "t").made, Made::Yes);
        batch.end_transaction();
        assert_eq!(traced(&batch, "t").made, Made::No);
        assert_eq!(batch.changed_path, Some(vec!["side".to_owned()]));
    }

    #[test]
    fn only_what_is_certainly_new_is_not_at_risk() {
        let mut batch = Batch::new(None);
        batch.make(&name("t"), true, false);
        assert_eq!(traced(&batch, "t").made, Made::Yes);
        assert_eq!(traced(&batch, "public.t").made, Made::No, "the search path is not known");
        let mut batch = Batch::new(Some(vec!["public".into()]));
        batch.make(&name("t"), false, false);
        assert_eq!(traced(&batch, "public.t").made, Made::Perhaps);
        batch.unmake(&name("public.t"));
        assert_eq!(traced(&batch, "t").made, Made::No);
        batch.make(&name("t"), true, false);
        batch.roll_back();
        assert_eq!(traced(&batch, "t").made, Made::No);
    }

    #[test]
    fn a_temporary_table_hides_only_what_is_named_without_a_schema() {
        let mut batch = Batch::new(Some(vec!["app".into()]));
        batch.make(&name("t"), true, true);
        assert_eq!(traced(&batch, "t").made, Made::Yes);
        assert_eq!(traced(&batch, "app.t").made, Made::No, "the lasting one is meant");
        batch.end_session();
        assert_eq!(traced(&batch, "t").made, Made::No);
        let mut batch = Batch::new(Some(vec!["app".into(), "pg_temp".into()]));
        batch.make(&name("t"), true, true);
        assert_eq!(traced(&batch, "t").made, Made::Perhaps, "the other one comes first");
    }

    #[test]
    fn a_rename_that_may_not_happen_makes_nothing_new() {
        let mut batch = Batch::new(None);
        batch.make(&name("fresh"), true, false);
        batch.rename(&name("fresh"), &name("users"), false);
        assert_eq!(traced(&batch, "users").made, Made::Perhaps);
    }

    #[test]
    fn columns_are_followed_back_to_their_names_of_before() {
        let mut batch = Batch::new(Some(vec!["s".into()]));
        let before = |batch: &Batch, column: &str| batch.columns_before(&name("s.t"), column);
        batch.rename_column(&name("t"), "a", "b");
        batch.rename_column(&name("t"), "b", "c");
        assert_eq!((before(&batch, "b"), before(&batch, "c")), (vec!["a".to_owned()], vec!["a".to_owned()]));
        batch.rename_column(&name("t"), "c", "a");
        assert!(before(&batch, "a").is_empty(), "it has its name again");
        // Two that change their names with each other.
        batch.rename_column(&name("t"), "x", "aside");
        batch.rename_column(&name("t"), "y", "x");
        batch.rename_column(&name("t"), "aside", "y");
        assert_eq!((before(&batch, "x"), before(&batch, "y")), (vec!["y".to_owned()], vec!["x".to_owned()]));
        assert!(batch.columns_before(&name("s.other"), "x").is_empty());
        batch.rename(&name("t"), &name("u"), true);
        batch.rename_column(&name("u"), "z", "zz");
        assert_eq!(batch.columns_before(&name("u"), "zz"), ["z"]);
        assert_eq!(batch.renamed_columns.last().map(|one| one.table.clone()), Some(name("t")));
    }

    #[test]
    fn renames_are_followed_back() {
        let mut batch = Batch::new(None);
        batch.rename(&name("a"), &name("b"), true);
        batch.rename(&name("b"), &name("c"), true);
        assert_eq!(traced(&batch, "c").before, Some(name("a")));
        assert_eq!(traced(&batch, "s.c").before, Some(name("a")), "it may be the same");
        batch.make(&name("a"), true, false);
        assert_eq!(traced(&batch, "a").made, Made::Yes, "the name is free again");
        batch.rename_schema("x", "y");
        assert_eq!(traced(&batch, "y.t").before, Some(name("x.t")));
    }
}
