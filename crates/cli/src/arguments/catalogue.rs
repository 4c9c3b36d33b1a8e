//! Arguments of `adopt`, and what several verbs say of restore points.

use clap::Args;

pub(super) const POINTS: &str = "\
A POINT is an id, latest, proven, before:RUN, before:INSTANT or run:ID.";

/// Flags of `adopt`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdpoint adopt --reason 'moved to the new cluster on Saturday'")]
pub(crate) struct AdoptArguments {
    /// Record why the folder belongs to another database now.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: String,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Reads a reason: who reads the record later wants one.
pub(super) fn reason(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("a reason has words") } else { Ok(text.trim().to_owned()) }
}
