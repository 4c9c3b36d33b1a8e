//! What a review finds in one statement.

use serde::{Deserialize, Serialize};

use crate::{Kind, LockMode, ObjectName, RiskClass, TableLock, Unreviewable};

/// One thing that a statement does. A statement with several actions has several findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The line in the file where it stands, from 1.
    pub line: u32,
    /// What it stands in, from the outside in; empty for the statement itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<Within>,
    /// What it acts on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// What is gone afterwards.
    pub loses: Loss,
    /// The locks it takes on tables it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<TableLock>,
    /// Whether the table is written anew.
    pub rewrite: Rewrite,
    /// Whether it can run in a transaction, and so be rolled back.
    pub transactional: bool,
    /// What brings back what was there.
    pub way_back: WayBack,
    /// The tables it touches: the seeds of the closure over the catalog.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub touches: Vec<Touch>,
    /// Why it cannot be read; then everything is at risk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreviewable: Option<Unreviewable>,
    /// Functions it calls that no list knows: their bodies decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ObjectName>,
    /// The search path that holds here, where the run changed it: empty where nobody can say to what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_path: Option<Vec<String>>,
    /// After [`crate::review_against`]: the tables whose contents it may take or change, cascades and triggers included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_risk: Vec<crate::TableAtRisk>,
    /// After [`crate::review_against`]: names that mean nothing in the catalog.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unresolved: Vec<ObjectName>,
    /// After [`crate::review_against`]: every table that it locks or rewrites is small, so that neither lasts.
    #[serde(default)]
    pub small: bool,
    /// Whether the catalog was asked.
    #[serde(default)]
    pub resolved: bool,
}

impl Finding {
    /// A finding that loses, locks and touches nothing.
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            line: 0,
            within: Vec::new(),
            target: None,
            loses: Loss::Nothing,
            locks: Vec::new(),
            rewrite: Rewrite::No,
            transactional: true,
            way_back: WayBack::Inverse,
            touches: Vec::new(),
            unreviewable: None,
            calls: Vec::new(),
            search_path: None,
            at_risk: Vec::new(),
            unresolved: Vec::new(),
            small: false,
            resolved: false,
        }
    }

    pub(crate) fn unreviewable(why: Unreviewable) -> Self {
        Self {
            unreviewable: Some(why),
            loses: Loss::Unknown,
            way_back: WayBack::RestoreDatabase,
            rewrite: Rewrite::Unknown,
            ..Self::new(Kind::Unreviewable)
        }
    }

    pub(crate) fn on(mut self, class: ObjectClass, name: &ObjectName) -> Self {
        self.target =
            Some(Target { class, name: name.clone(), before: None, column: None, cascade: false, if_exists: false });
        self
    }

    pub(crate) fn column(mut self, column: Option<String>) -> Self {
        if let Some(target) = &mut self.target {
            target.column = column;
        }
        self
    }

    pub(crate) fn cascade(mut self, cascade: bool, if_exists: bool) -> Self {
        if let Some(target) = &mut self.target {
            (target.cascade, target.if_exists) = (cascade, if_exists);
        }
        self
    }

    pub(crate) fn loses(mut self, loses: Loss, way_back: WayBack) -> Self {
        (self.loses, self.way_back) = (loses, way_back);
        self
    }

    pub(crate) fn lock(mut self, table: &ObjectName, mode: LockMode) -> Self {
        self.locks.push(TableLock { table: table.clone(), mode });
        self
    }

    pub(crate) fn touch(mut self, table: &ObjectName, role: Role, reach: Reach) -> Self {
        self.touches.push(Touch {
            table: table.clone(),
            before: None,
            made: Made::No,
            role,
            reach,
            columns: Vec::new(),
        });
        self
    }

    pub(crate) fn rewrite(mut self, rewrite: Rewrite) -> Self {
        self.rewrite = rewrite;
        self
    }

    pub(crate) fn outside_transactions(mut self) -> Self {
        self.transactional = false;
        self
    }

    /// The risks of this finding, as far as its statement tells; sorted, never empty.
    pub fn risks(&self) -> Vec<RiskClass> {
        crate::risk::of_finding(self)
    }
}

/// What a finding stands in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "in", content = "name")]
pub enum Within {
    /// A `DO` block.
    Do,
    /// A function or procedure that is called.
    Routine(ObjectName),
    /// A trigger that fires.
    Trigger(ObjectName),
    /// A prepared statement that is executed.
    Prepared(String),
    /// Code that may or may not be reached.
    Branch,
}

/// What a statement acts on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// What it is.
    pub class: ObjectClass,
    /// Its name as it stands in the statement.
    pub name: ObjectName,
    /// The name that it had before the first statement, where an earlier one renamed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<ObjectName>,
    /// One column, constraint or value of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Whether what depends on it goes too.
    #[serde(default)]
    pub cascade: bool,
    /// Whether its absence is no error.
    #[serde(default)]
    pub if_exists: bool,
}

/// Classes of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ObjectClass {
    Table,
    View,
    MaterializedView,
    Sequence,
    Index,
    Schema,
    Type,
    Domain,
    Function,
    Extension,
    Constraint,
    Collation,
    Trigger,
    Rule,
    Role,
    Database,
    Server,
    Other,
}

/// What is gone afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Nothing.
    Nothing,
    /// A definition that the migrations can make again.
    Definition,
    /// A position, as a sequence's.
    Position,
    /// Values, where the new type or expression does not keep them; the catalog decides.
    Perhaps,
    /// The values that some rows had.
    SomeRows,
    /// A column of every row.
    Column,
    /// Every row.
    AllRows,
    /// Tables with everything in them.
    Tables,
    /// Nobody can say.
    Unknown,
}

impl Loss {
    /// What a table may lose, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Definition => "its definition",
            Self::Position => "its position",
            Self::Perhaps => "values, perhaps",
            Self::SomeRows => "values of rows",
            Self::Column => "a column",
            Self::AllRows => "every row",
            Self::Tables => "the table",
            Self::Unknown => "not known",
        }
    }

    /// Whether data may be lost.
    pub fn is_data(self) -> bool {
        self >= Self::Position
    }
}

/// Whether a table is written anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "rewrite")]
pub enum Rewrite {
    /// No.
    No,
    /// Yes.
    Yes,
    /// The catalog decides: from which type the column comes.
    ByType {
        /// The new type, as it stands in the statement and folded.
        to: String,
        /// Whether `USING` computes the value.
        using: bool,
    },
    /// The catalog decides: whether the function is volatile, or where the table lies now.
    ByCatalog,
    /// Nobody can say.
    Unknown,
}

/// What brings back what was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WayBack {
    /// There is nothing to bring back.
    NotNeeded,
    /// A statement that does the contrary.
    Inverse,
    /// Rows, out of a restore point.
    RestoreRows,
    /// A column, out of a restore point.
    RestoreColumn,
    /// Tables, out of a restore point.
    RestoreTables,
    /// Only the whole database, out of a restore point.
    RestoreDatabase,
    /// None that holdpoint has.
    None,
}

impl WayBack {
    /// What brings back what was lost, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NotNeeded => "-",
            Self::Inverse => "a statement",
            Self::RestoreRows => "rows of a restore point",
            Self::RestoreColumn => "a column of a restore point",
            Self::RestoreTables => "tables of a restore point",
            Self::RestoreDatabase => "the whole restore point",
            Self::None => "none",
        }
    }
}

/// A table that a finding touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touch {
    /// The table as the statement names it.
    pub table: ObjectName,
    /// The name that it had before the first statement, where an earlier one renamed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<ObjectName>,
    /// Whether an earlier statement made it.
    #[serde(default)]
    pub made: Made,
    /// What happens to it.
    pub role: Role,
    /// What more the catalog adds.
    pub reach: Reach,
    /// The columns, where only some are meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
}

/// Whether a table was made by an earlier statement of the same run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// It was not.
    #[default]
    No,
    /// Unless it was there before (`IF NOT EXISTS`, a branch, errors that end nothing).
    Perhaps,
    /// It was: nothing in it can be lost.
    Yes,
}

/// What happens to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It is read.
    Read,
    /// It is referred to: its definition, locks or keys.
    Reference,
    /// Rows are added.
    Add,
    /// What it holds changes or goes: it is at risk.
    Write,
}

/// What the catalog adds to a table that is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Reach {
    /// Nothing.
    Itself,
    /// Children by inheritance or partitioning: the statement is passed on to them.
    Children,
    /// Rows are inserted: triggers, rules, partitions.
    Insert,
    /// Rows are updated: triggers, rules, partitions, `ON UPDATE` of foreign keys.
    Update,
    /// Rows are deleted: triggers, rules, partitions, `ON DELETE` of foreign keys.
    Delete,
    /// The table is emptied; with `CASCADE` also whatever refers to it, with `RESTART IDENTITY` its sequences begin anew.
    Truncate { cascade: bool, restart: bool },
    /// The table is dropped; with `CASCADE` also what depends on it.
    Drop { cascade: bool },
    /// A column is dropped; with `CASCADE` also what depends on it.
    DropColumn { cascade: bool },
}
