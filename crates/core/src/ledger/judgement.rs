//! What a guarded command did, by what is found afterwards.

use serde::{Deserialize, Serialize};

/// What a command did to the database, by what is found there; its exit code has no say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing was kept of what it did.
    Unchanged,
    /// Everything that was pending is recorded, and is there as far as that can be seen.
    FullyApplied,
    /// A part of it is there.
    PartlyApplied,
    /// What is there cannot be told.
    Unknown,
}

impl Verdict {
    /// The verdict in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::FullyApplied => "applied in full",
            Self::PartlyApplied => "applied in part",
            Self::Unknown => "not known",
        }
    }
}

/// Whether the application was well after the command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Nobody asked, or there was no reason to.
    #[default]
    NotAsked,
    /// Every check was green.
    Green,
    /// A check never turned green in its time.
    NeverGreen,
    /// Asking was interrupted before an answer was known.
    Interrupted,
}

/// Whether the command's sessions had the time-outs that they were given.
///
/// Nobody can read the settings of somebody else's session. The evidence is the run's token in `application_name`, which
/// went to the session by the same variable, or the same connection string, as the time-outs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InForce {
    /// A session with the run's token was seen, which it got together with the time-outs.
    Yes,
    /// No session of the command was seen, or one of a client of which nobody knows whether it reads the time-outs.
    #[default]
    NotShown,
    /// They could not be given to it, or a session of a client was seen that is known not to read them.
    No,
}

impl InForce {
    /// The answer in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::NotShown => "not shown",
            Self::No => "no",
        }
    }
}

/// A judgement with its evidence. Names and counts, never a row's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgementRecord {
    /// What the command did.
    pub verdict: Verdict,
    /// Whether that is what was planned.
    pub as_planned: bool,
    /// Pending migrations that are recorded now; `None` where nobody can tell.
    pub recorded: Option<Vec<String>>,
    /// Pending migrations that still are; `None` where nobody can tell.
    pub still_pending: Option<Vec<String>>,
    /// Of a folder without a tool: pending files that nothing shows to have run; they stay pending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_shown: Vec<String>,
    /// How the schema differs from what the rehearsal saw; `None` where there is nothing to compare with.
    pub unlike_rehearsal: Option<Vec<String>>,
    /// Indexes that were left invalid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invalid_indexes: Vec<String>,
    /// What the backup's role may not read since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
    /// Whether the application was well afterwards.
    pub health: Health,
    /// Whether the time-outs were in force.
    pub time_outs: InForce,
    /// Why, in words.
    pub reasons: Vec<String>,
}

impl JudgementRecord {
    /// Whether nothing but the application's health speaks against the run.
    pub fn failed_by_health_alone(&self) -> bool {
        let none = |names: &Option<Vec<String>>| names.as_ref().is_none_or(Vec::is_empty);
        self.health == Health::NeverGreen
            && none(&self.still_pending)
            && none(&self.unlike_rehearsal)
            && self.invalid_indexes.is_empty()
    }
}

/// Where a command's output is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRecord {
    /// The object's key; see [`crate::layout::run_output`].
    pub key: String,
    /// Bytes that the command wrote.
    pub bytes: u64,
    /// Bytes of them, from the middle, that are not kept.
    pub left_out_bytes: u64,
}
