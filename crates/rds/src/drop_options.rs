//! How an instance or a cluster is dropped, and the command by which a drop goes on.

use crate::error::Error;

/// How an instance or a cluster is dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DropOptions {
    /// Its name.
    pub name: String,
    /// The name of a last snapshot; without it nothing remains.
    pub final_snapshot: Option<String>,
    /// Whether its protection against deletion is taken away first.
    pub lift_protection: bool,
}

/// The command by which a drop goes on, in whatever process.
#[must_use]
pub fn drop_command(name: &str, final_snapshot: Option<&str>, lifts_protection: bool) -> String {
    let mut command = format!("holdpoint rds drop {name}");
    if lifts_protection {
        command.push_str(" --lift-protection");
    }
    if let Some(snapshot) = final_snapshot {
        command.push_str(&format!(" --final-snapshot {snapshot}"));
    }
    command
}

/// What failed before RDS had taken a drop on, with the command that goes on with it.
pub(crate) fn unfinished(
    name: &str,
    going: Vec<String>,
    final_snapshot: Option<&str>,
    lifts_protection: bool,
    failure: Error,
) -> Error {
    let command = drop_command(name, final_snapshot, lifts_protection);
    Error::DropUnfinished { subject: name.to_owned(), going, command, failure: Box::new(failure) }
}
