//! `holdpoint compare`: what differs between a restore point and a database, or another restore point.
//!
//! Only reads. A live side is read in one snapshot with the pinned text form, so that what others write meanwhile
//! neither shows nor waits; two restore points are compared from what they recorded, without a server.

mod contents_keys;
mod definitions;
mod error;
mod key;
mod large_objects;
mod line_diff;
mod live;
mod objects;
mod partitions;
mod parts;
mod read_plan;
mod recorded;
mod report;
mod rows;
mod rows_run;
mod rows_side;
mod run;
mod tables;

use std::time::Duration;

use holdpoint_core::PointId;

use crate::Source;

pub use error::CompareError;
pub use objects::{ObjectChange, ObjectDifference};
pub use report::{CompareReport, LargeObjectDifferences, Side, SideKind};
pub use rows::{
    CompareRowsOptions, CompareTablesOptions, HowRows, RowCounts, RowDifference, RowKind, RowsReport, ShownValue,
    TypeDifference,
};
pub use rows_run::{compare_rows, compare_tables};
pub use rows_side::{StoredForm, stored_form};
pub use run::compare;
pub use tables::{TableChange, TableDifference, TablesReport};

/// What is compared, and how thoroughly.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// The restore point: how things were.
    pub point: PointId,
    /// What it is compared with: how things are.
    pub against: Against,
    /// How many sessions read at a time.
    pub jobs: usize,
    /// Tables with more bytes than this are not read. Of large objects so many bytes are read in all, the shorter ones first;
    /// the others are compared by their length.
    pub quick: Option<u64>,
    /// Give the lines in which definitions differ, and tell which tables are partitions of which.
    pub definitions: bool,
    /// How long to wait for tables that somebody else has locked, in whole seconds.
    pub lock_wait: Duration,
}

/// What a restore point is compared with.
#[derive(Clone, Debug)]
pub enum Against {
    /// A live database.
    Database {
        /// The database.
        source: Box<Source>,
        /// It was not named, so it must be the one that the folder belongs to.
        own: bool,
    },
    /// Another restore point of the same folder.
    Point(PointId),
}
