//! What the catalog of a database adds to a review, as plain data: it can be read from a live server in one query
//! ([`CATALOG_QUERY`]) or written from any other record of a schema.

use serde::{Deserialize, Serialize};

use crate::{ObjectClass, ObjectName};

/// Reads a [`Catalog`] as one JSON value, in one statement that only reads; PostgreSQL 14 to 18.
///
/// It is run on a connection that has the migration role's search path.
pub const CATALOG_QUERY: &str = include_str!("catalog.sql");

/// A database's catalog, as far as a review asks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Catalog {
    /// The server's major version.
    pub server_major: Option<u32>,
    /// The migration role's search path, in order, without schemas that do not exist.
    pub search_path: Vec<String>,
    /// The session's time zone.
    pub time_zone: Option<String>,
    /// Whether a backslash is an ordinary sign in a string without `E` (`on`); `off` hides statements in strings.
    pub standard_conforming_strings: Option<String>,
    /// Tables, views, sequences.
    pub relations: Vec<Relation>,
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Enabled triggers that are not the server's own.
    pub triggers: Vec<TableTrigger>,
    /// Functions that defaults, checks and policies of a table call when its rows are written.
    pub expressions: Vec<TableTrigger>,
    /// Rules apart from those that make views.
    pub rules: Vec<TableRule>,
    /// Functions and procedures that are not the server's.
    pub routines: Vec<CatalogRoutine>,
    /// Functions of enabled event triggers.
    pub event_triggers: Vec<ObjectName>,
    /// Domains.
    pub domains: Vec<Domain>,
    /// Who depends on whom.
    pub dependencies: Vec<Dependency>,
}

/// A table, view or sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// Its name.
    pub name: ObjectName,
    /// What it is.
    pub kind: RelationKind,
    /// Its owner.
    #[serde(default)]
    pub owner: String,
    /// Its size on disk with indexes and TOAST, where known.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// How many rows the planner believes in; less than 0 is not known.
    #[serde(default)]
    pub rows: Option<f64>,
    /// Its columns.
    #[serde(default)]
    pub columns: Vec<Column>,
    /// What it inherits from or is a partition of.
    #[serde(default)]
    pub parents: Vec<ObjectName>,
    /// Whether it is the default partition.
    #[serde(default)]
    pub default_partition: bool,
    /// Its indexes' names.
    #[serde(default)]
    pub indexes: Vec<String>,
}

/// What a relation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum RelationKind {
    Table,
    PartitionedTable,
    ForeignTable,
    View,
    MaterializedView,
    Sequence,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as `format_type` writes it; a domain's name stays.
    pub type_name: String,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Its name.
    pub name: String,
    /// The table that refers.
    pub table: ObjectName,
    /// The table that is referred to.
    pub parent: ObjectName,
    /// Its columns in the table that refers.
    pub columns: Vec<String>,
    /// The columns that are referred to.
    pub parent_columns: Vec<String>,
    /// What happens to the rows that refer, when one they refer to goes.
    pub on_delete: KeyAction,
    /// What happens to them when its key changes.
    pub on_update: KeyAction,
}

/// What a foreign key does to the rows that refer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum KeyAction {
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

/// A trigger, or an expression that is computed when rows are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableTrigger {
    /// Its name.
    pub name: String,
    /// Its table or view.
    pub table: ObjectName,
    /// The function that it calls.
    pub function: ObjectName,
    /// When it fires.
    pub events: Vec<Event>,
    /// It sees each row before it is written, and may write another one.
    #[serde(default)]
    pub before_row: bool,
}

/// What happens to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Event {
    Insert,
    Update,
    Delete,
    Truncate,
}

impl Event {
    /// Whether a table's defaults, checks and generated columns are computed then.
    pub(crate) fn computes(self) -> bool {
        matches!(self, Self::Insert | Self::Update)
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRule {
    /// Its table or view.
    pub table: ObjectName,
    /// Its definition, as `pg_get_ruledef` writes it.
    pub definition: String,
}

/// A function or procedure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogRoutine {
    /// Its name.
    pub name: ObjectName,
    /// Its language.
    pub language: String,
    /// Its body: the text, or what `pg_get_function_sqlbody` writes.
    pub source: String,
    /// The search path that it sets for itself.
    #[serde(default)]
    pub search_path: Option<String>,
    /// The expressions of arguments that may be left out, as `pg_get_expr` writes them.
    #[serde(default)]
    pub defaults: Option<String>,
    /// Whether it is volatile.
    pub volatile: bool,
    /// Whether it belongs to an extension, and is trusted as that is.
    pub of_extension: bool,
}

/// A domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Its name.
    pub name: ObjectName,
    /// The type that it is made of.
    pub base: String,
    /// Whether it has checks or forbids nulls.
    pub constrained: bool,
}

/// That one object depends on another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// What depends.
    pub dependent: Thing,
    /// What it depends on.
    pub on: Thing,
    /// Whether it goes with the other even without `CASCADE`.
    pub automatic: bool,
}

/// An object, or a column of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Thing {
    /// What it is; indexes, views and columns stand for the rules and defaults that hang on them.
    pub class: ObjectClass,
    /// Its name.
    pub name: ObjectName,
    /// The column, where only that is meant.
    #[serde(default)]
    pub column: Option<String>,
}

impl Catalog {
    /// Finds a relation by its name as a statement has it.
    pub(crate) fn relation(&self, name: &ObjectName) -> Option<&Relation> {
        let find = |schema: &str| {
            self.relations.iter().find(|one| one.name.name == name.name && one.name.schema.as_deref() == Some(schema))
        };
        match &name.schema {
            Some(schema) => find(schema),
            None => self.search_path.iter().find_map(|schema| find(schema)),
        }
    }

    /// The relation that a name means which a person typed, by the role's search path where it has no schema.
    pub fn named(&self, typed: &str) -> Option<&ObjectName> {
        Some(&self.relation(&ObjectName::typed(typed)?)?.name)
    }

    /// All relations that a name may mean: by the role's search path, and by those in `changed` that the run has set,
    /// of which nobody knows which one holds. Where none is found, or nobody can say what was set, those of that name in
    /// any schema: a tool may have a search path that nobody told.
    pub(crate) fn meant(&self, name: &ObjectName, changed: Option<&[String]>) -> Vec<&Relation> {
        if name.schema.is_some() {
            return self.relation(name).into_iter().collect();
        }
        let of_name = || self.relations.iter().filter(|one| one.name.name == name.name);
        let mut meant: Vec<&Relation> = match changed {
            Some([]) => Vec::new(),
            changed => {
                let set = changed.unwrap_or_default();
                let by_path = self.relation(name).map(|one| &one.name);
                let fits = |one: &&Relation| {
                    Some(&one.name) == by_path || one.name.schema.as_ref().is_some_and(|schema| set.contains(schema))
                };
                of_name().filter(fits).collect()
            }
        };
        if meant.is_empty() {
            meant.extend(of_name());
        }
        meant
    }

    /// The table that an index belongs to.
    pub(crate) fn table_of_index(&self, index: &ObjectName) -> Option<&Relation> {
        let schemas: Vec<&str> = match &index.schema {
            Some(schema) => vec![schema],
            None => self.search_path.iter().map(String::as_str).collect(),
        };
        let in_schema = |schema: &&str| {
            let here =
                |one: &&Relation| one.name.schema.as_deref() == Some(*schema) && one.indexes.contains(&index.name);
            self.relations.iter().find(here)
        };
        schemas.iter().find_map(in_schema)
    }

    /// What a view, materialized or not, needs directly: tables, views, functions.
    pub(crate) fn needs(&self, view: &ObjectName) -> impl Iterator<Item = &Thing> {
        let of_view = |one: &&Dependency| {
            matches!(one.dependent.class, ObjectClass::View | ObjectClass::MaterializedView)
                && one.dependent.name == *view
        };
        self.dependencies.iter().filter(of_view).map(|one| &one.on).filter(|on| on.name != *view)
    }

    /// Columns of a table with those that are computed from them.
    pub(crate) fn with_generated(&self, table: &ObjectName, columns: &[String]) -> Vec<String> {
        let mut all = columns.to_vec();
        let mut place = 0;
        while let Some(column) = all.get(place).cloned() {
            let computed = self.dependencies.iter().filter(|one| {
                let here =
                    one.dependent.class == ObjectClass::Table && one.dependent.name == *table && one.on.name == *table;
                here && one.on.column.as_ref() == Some(&column)
            });
            for name in computed.filter_map(|one| one.dependent.column.as_ref()) {
                if !all.contains(name) {
                    all.push(name.clone());
                }
            }
            place += 1;
        }
        all
    }

    /// The tables with a column of a type or domain, whatever schema that lies in.
    pub(crate) fn tables_with(&self, type_name: &ObjectName) -> Vec<&ObjectName> {
        let mut types = vec![type_name.name.as_str()];
        let mut tables: Vec<&ObjectName> = Vec::new();
        let mut place = 0;
        while let Some(name) = types.get(place).copied() {
            for one in self.dependencies.iter().filter(|one| one.on.name.name == name && one.on.column.is_none()) {
                let thing = &one.dependent;
                match (one.on.class, thing.class) {
                    (ObjectClass::Type | ObjectClass::Domain, ObjectClass::Type | ObjectClass::Domain)
                        if !types.contains(&thing.name.name.as_str()) =>
                    {
                        types.push(&thing.name.name);
                    }
                    (ObjectClass::Type | ObjectClass::Domain, ObjectClass::Table) if !tables.contains(&&thing.name) => {
                        tables.push(&thing.name);
                    }
                    _ => {}
                }
            }
            place += 1;
        }
        tables
    }

    /// Children by inheritance and partitioning, with theirs.
    pub(crate) fn descendants(&self, name: &ObjectName) -> Vec<&Relation> {
        let mut found: Vec<&Relation> = Vec::new();
        let mut open = vec![name];
        while let Some(parent) = open.pop() {
            for child in self.relations.iter().filter(|one| one.parents.contains(parent)) {
                if !found.iter().any(|one| one.name == child.name) {
                    found.push(child);
                    open.push(&child.name);
                }
            }
        }
        found
    }

    /// The routines that a name may mean.
    pub(crate) fn routines(&self, name: &ObjectName) -> impl Iterator<Item = &CatalogRoutine> {
        let fits = |one: &&CatalogRoutine| {
            one.name.name == name.name
                && name.schema.as_ref().is_none_or(|schema| one.name.schema.as_ref() == Some(schema))
        };
        self.routines.iter().filter(fits)
    }
}
