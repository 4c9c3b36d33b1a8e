//! What a comparison found.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use holdpoint_core::fingerprint::Difference;
use serde::Serialize;

use super::{ObjectDifference, TablesReport};

/// What a side of a comparison is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SideKind {
    /// A restore point.
    RestorePoint,
    /// A live database.
    Database,
}

/// One side of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// What it is.
    pub kind: SideKind,
    /// The restore point's id, or the database without its password.
    pub name: String,
    /// The instant of its snapshot, by its server's clock.
    pub at: DateTime<Utc>,
    /// The server's version, such as `16.15`.
    pub server_version: String,
}

/// How large objects differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LargeObjectDifferences {
    /// How many are in the restore point alone.
    pub gone: u64,
    /// How many have another content.
    pub changed: u64,
    /// How many are on the other side alone.
    pub added: u64,
    /// They are the same ones, and some belong to another role or have other grants, comments or labels.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub owners_or_grants: bool,
    /// The first of them.
    pub examples: Vec<Difference>,
}

/// What differs between a restore point (*then*) and a database or another restore point (*now*).
#[derive(Clone, Debug, Serialize)]
pub struct CompareReport {
    /// The restore point.
    pub then: Side,
    /// What it was compared with.
    pub now: Side,
    /// Everything was compared, and nothing differs.
    pub equal: bool,
    /// Tables.
    pub tables: TablesReport,
    /// Schema objects that differ.
    pub objects: Vec<ObjectDifference>,
    /// How many schema objects were compared.
    pub objects_compared: u64,
    /// Sequences that stand elsewhere.
    pub sequences: Vec<Difference>,
    /// Large objects.
    pub large_objects: LargeObjectDifferences,
    /// Owner, grants, comment, settings and extensions of the database that differ.
    pub properties: Vec<Difference>,
    /// The restore point holds the whole database, so that large objects and these properties were compared.
    #[serde(skip)]
    pub whole: bool,
    /// Partitions, and groups of them that are loaded through one root, each with the other tables under whose names the
    /// same rows are known, on either side: the tables that it is a part of, the nearest first, and those that are parts
    /// of it. Told where definitions are.
    #[serde(skip)]
    pub relatives: BTreeMap<String, Vec<String>>,
    /// The tables of a database, by OID, of which every row was read with all its columns; those that are only counted, have
    /// columns that the restore point has not, or of which only some rows are the restore point's, are not among them.
    #[serde(skip)]
    pub read: BTreeSet<u32>,
    /// What was left out although it might differ; then `equal` is false.
    pub not_read: Vec<String>,
    /// What is never compared, or should be known when reading this.
    pub notes: Vec<String>,
    /// Milliseconds that it took.
    pub took_ms: u64,
}
