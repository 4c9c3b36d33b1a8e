//! Words and rules of holdpoint: identities, manifests, fingerprints, verifications, the gate and the ledger.
//!
//! Everything here is a value or a pure function of values: no IO, no async, no clock, no randomness. The instant
//! "now" and every random seed are arguments, so each rule can be tested with the case that breaks it.

pub mod cron;
pub mod digest;
pub mod error;
pub mod fingerprint;
pub mod forecast;
pub mod gate;
pub mod id;
pub mod identity;
pub mod index;
pub mod layout;
pub mod ledger;
pub mod manifest;
pub mod mask;
pub mod name;
pub mod pin;
pub mod progress;
pub mod quantity;
pub mod recorded;
pub mod rehearsal;
pub mod relation_name;
pub mod retention;
pub mod risk;
pub mod secret;
pub mod selector;
pub mod shard;
pub mod undoing;
pub mod verification;

pub use digest::RowDigest;
pub use error::Error;
pub use id::{PointId, RunId};
pub use identity::Identity;
pub use manifest::Manifest;
pub use mask::Mask;
pub use name::DatabaseName;
pub use recorded::{PointKind, Recorded, SnapshotManifest};
pub use rehearsal::Rehearsal;
pub use relation_name::RelationName;
pub use secret::Secret;
pub use shard::Shard;
