//! Arguments of `show` and `adopt`.

use clap::Args;
use holdpoint_core::selector::Selector;

pub(super) const POINTS: &str = "\
A POINT is an id, latest, proven, before:RUN, before:INSTANT or run:ID.";

/// Arguments of `show`.
#[derive(Debug, Args)]
#[command(after_help = format!("{POINTS}\n\nExamples:\n  holdpoint show latest\n  holdpoint show 20261121T024300Z-k3f9 --json"))]
pub(crate) struct ShowArguments {
    /// Show this restore point.
    #[arg(value_name = "POINT", default_value = "latest")]
    pub(crate) point: Selector,
}

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

fn reason(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("a reason has words") } else { Ok(text.trim().to_owned()) }
}
