//! `holdpoint recover-table`: tables of a restore point back, without touching live data before it is proven and
//! confirmed.
//!
//! In this order: only the archive's head and the tables' blocks are fetched; the rows land in a *side schema* of the
//! live database, in tables made by the archive's own definitions; their digest must equal the recorded one; what would
//! change is counted. [`prepare`] stops there. [`Recovery::apply`] then makes the change in one transaction.

mod apply;
mod belongings;
mod bystanders;
mod catalogue;
mod checks;
mod columns_then;
mod constraints;
mod counts;
mod database;
mod dump;
mod dump_end;
mod error;
mod find;
mod image;
mod keys;
mod leaves;
mod live;
mod losses;
mod mapping;
mod meeting;
mod other_tables;
mod past;
mod plan;
mod point;
mod recovery;
mod recreate;
mod references;
mod run;
mod script;
mod side;
mod source;
mod statements;
mod transaction;
mod went_with;

use holdpoint_core::PointId;
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::programs::ProgramSearch;
use serde::{Deserialize, Serialize};

pub use columns_then::{CheckThen, ColumnThen, TableThen, table_then};
pub(crate) use dump_end::broken;
pub use error::RecoverError;
pub use find::{TableName, Wanted};
pub use past::Past;
pub use plan::{ForeignKeyCheck, RecoverPlan, SequenceMove, TableChange, UniqueCheck};
pub use recovery::Recovery;
pub use run::prepare;
pub(crate) use side::SIDE_MARK;
pub use source::RecoverFrom;
pub use went_with::{WentWith, make_what_went_with};

/// What is done with the rows once they lie in the side schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoverMode {
    /// Nothing: live data stay as they are.
    #[default]
    Side,
    /// Insert the rows whose key is gone.
    Missing,
    /// Insert the rows whose key is gone, and bring back those that changed.
    Upsert,
    /// Make the table hold exactly the restore point's rows.
    Replace,
}

/// What triggers of the live tables do while rows come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Triggers {
    /// They are held back: the rows come back as they were.
    #[default]
    HeldBack,
    /// They fire as for any other change.
    Fire,
}

/// Whether the live database must be the one that the restore point was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It is taken by default, so it must be.
    SameDatabase,
    /// A person named it.
    Named,
}

/// A column of the restore point, and the live column that it fills.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnPair {
    /// Its name in the restore point.
    pub then: String,
    /// Its name now.
    pub now: String,
}

/// How tables are recovered.
#[derive(Clone, Debug)]
pub struct RecoverOptions {
    /// Where from.
    pub from: RecoverFrom,
    /// Which tables.
    pub wanted: Wanted,
    /// The live database.
    pub into: ConnectionSettings,
    /// Whether that must be the restore point's own.
    pub target: Target,
    /// What is done with the rows.
    pub mode: RecoverMode,
    /// Tables of which only rows that are gone come back, where `mode` is [`RecoverMode::Upsert`].
    pub only_missing: Vec<TableName>,
    /// Which rows, as a condition in SQL over the table as it was.
    pub condition: Option<String>,
    /// Only these columns, of rows that are there; empty means whole rows.
    pub columns: Vec<ColumnPair>,
    /// Columns that have another name now.
    pub renamed: Vec<ColumnPair>,
    /// The table's name now, where it was renamed since.
    pub now_named: Option<TableName>,
    /// What triggers do.
    pub triggers: Triggers,
    /// Seconds to wait for locks on live tables.
    pub lock_wait_seconds: u64,
    /// How many sessions load at a time.
    pub jobs: usize,
    /// Keep the side tables after the change.
    pub keep_side: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Where client programs are looked for.
    pub programs: ProgramSearch,
}

impl RecoverOptions {
    /// What is done with the rows of one table.
    fn mode_of(&self, (schema, name): &(String, String)) -> RecoverMode {
        let is = |one: &TableName| one.name == *name && one.schema.as_ref().is_none_or(|own| own == schema);
        match self.mode {
            RecoverMode::Upsert if self.only_missing.iter().any(is) => RecoverMode::Missing,
            mode => mode,
        }
    }

    /// Whether rows can be left out by a condition.
    fn selects(&self) -> bool {
        let one = matches!(&self.wanted, Wanted::Tables(names) if names.len() == 1);
        one && self.mode != RecoverMode::Replace
    }
}

/// What was recovered.
#[derive(Clone, Debug, Serialize)]
pub struct RecoverReport {
    /// What was planned, and why.
    #[serde(flatten)]
    pub plan: RecoverPlan,
    /// Live tables were changed, and the change is committed.
    pub changed: bool,
    /// The side schema is still there.
    pub side_kept: bool,
    /// Milliseconds, a person's thinking not counted.
    pub took_ms: u64,
}

/// Names a point for the side schema.
fn tail(point: Option<&PointId>) -> String {
    point.map_or_else(|| "dump".to_owned(), |point| point.as_str().replace('-', "_").to_lowercase())
}
