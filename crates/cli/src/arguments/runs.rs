//! Arguments of `runs`, `show` and `settle`.

use std::str::FromStr;

use clap::Args;
use holdpoint_core::selector::{RunSelector, Selector};

use super::ProjectArguments;
use super::catalogue::{POINTS, reason};

/// Flags of `runs`.
#[derive(Debug, Args)]
#[command(after_help = "\
A run whose command did not end is shown as running while something of it lives on the server, else as interrupted:
then it is judged afresh how much of it is there.

Examples:
  holdpoint runs
  holdpoint runs --last 5
  holdpoint runs --json | jq -r '.runs[] | select(.unsettled) | .run'")]
pub(crate) struct RunsArguments {
    /// Show so many, the newest.
    #[arg(long, value_name = "NUMBER", default_value = "20")]
    pub(crate) last: usize,
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
}

/// What `show` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A restore point.
    Point(Selector),
    /// A guarded run.
    Run(RunSelector),
}

impl FromStr for Shown {
    type Err = holdpoint_core::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("run:") {
            Some(_) => text.parse().map(Self::Run),
            None => text.parse().map(Self::Point),
        }
    }
}

/// Arguments of `show`.
#[derive(Debug, Args)]
#[command(after_help = format!("{POINTS}\nrun:ID and run:latest show a guarded run, with every step.\n\nExamples:
  holdpoint show latest
  holdpoint show 20261121T024300Z-k3f9 --json
  holdpoint show run:latest"))]
pub(crate) struct ShowArguments {
    /// Show this restore point, or this run.
    #[arg(value_name = "POINT|run:ID", default_value = "latest")]
    pub(crate) what: Shown,
}

/// Flags of `settle`.
#[derive(Debug, Args)]
#[command(after_help = "\
A run that failed, or broke off, is in question until a person looked at what it left: until then restores do not take
latest, which may hold the damage. The database is only looked at.

Examples:
  holdpoint settle 20261121T024300Z-k3f9 --reason 'looked at it: the index was made, the rest was not'
  holdpoint settle latest --reason 'restored from before:RUN by hand'")]
pub(crate) struct SettleArguments {
    /// Settle this run: its id, or latest.
    #[arg(value_name = "RUN")]
    pub(crate) run: RunSelector,
    /// Record what was found, or done.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
}
