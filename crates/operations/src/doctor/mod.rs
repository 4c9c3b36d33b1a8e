//! `holdpoint doctor`: exercises the real thing and says what would fail.

use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// It works, but something is worth knowing.
    Warning,
    /// It would fail.
    Failure,
}

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What it is about: `database`, `programs`, `scratch`, `repository`.
    pub section: &'static str,
    /// What was tried.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found.
    pub detail: String,
    /// What to do about it; empty for `Ok`.
    pub cure: String,
}

/// Everything that was tried.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DoctorReport {
    /// The checks, in the order they were made.
    pub checks: Vec<Check>,
}
