//! What somebody asks to be restored: of which source, to which instant, under which name, and what shall be other there.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::maker::Maker;

/// To which instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// The latest that RDS can restore; with a snapshot that instant.
    Latest,
    /// This one; parts of a second are cut off.
    At(DateTime<Utc>),
}

/// What to restore, and what shall be other than the source's. `None` is as the source has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreOptions {
    /// The name of the source.
    pub source: String,
    /// The name of the new instance.
    pub target: String,
    /// To which instant.
    pub to: When,
    /// Restore this snapshot of the source instead of an instant.
    pub snapshot: Option<String>,
    /// Whether a cluster shares its source's storage until either writes; such a clone has the present state.
    pub copy_on_write: bool,
    /// The class.
    pub class: Option<String>,
    /// Whether it stands in several zones.
    pub multi_az: Option<bool>,
    /// Whether it is protected against deletion.
    pub deletion_protection: Option<bool>,
    /// Days that its backups are kept.
    pub retention_days: Option<u32>,
    /// Who drops it again; `None` where a person does.
    pub maker: Option<Maker>,
}

impl RestoreOptions {
    /// A restore that takes everything from its source.
    #[must_use]
    pub fn new(source: impl Into<String>, target: impl Into<String>, to: When) -> Self {
        Self {
            source: source.into(),
            target: target.into(),
            to,
            snapshot: None,
            copy_on_write: false,
            class: None,
            multi_az: None,
            deletion_protection: None,
            retention_days: None,
            maker: None,
        }
    }

    /// The same for an instance that will soon be dropped: one zone, no protection, no backups of its own.
    #[must_use]
    pub fn temporary(self) -> Self {
        Self { multi_az: Some(false), deletion_protection: Some(false), retention_days: Some(0), ..self }
    }
}
