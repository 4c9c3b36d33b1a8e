//! Flags of `watch`.

use std::time::Duration;

use clap::Args;

use crate::quantity::{parse_duration, parse_short_duration};

/// Flags of `watch`.
#[derive(Debug, Args)]
#[command(after_help = "\
On a terminal the screen is drawn anew until q or Ctrl-C; elsewhere, and with --json, every look is printed below the
one before. Statements are shown without their values. With --once, findings end it with 15.

Examples:
  holdpoint watch
  holdpoint watch --once --longer-than 30s
  holdpoint watch --run 20261121T024300Z-k3f9
  holdpoint watch --json --interval 10s | jq -c .waits
  holdpoint watch --cancel 4711
  holdpoint watch --cancel 4711 --terminate --yes")]
pub(crate) struct WatchArguments {
    /// Look once, and end with 15 where something lasts too long or is broken.
    #[arg(long, conflicts_with = "cancel")]
    pub(crate) once: bool,
    /// Look again after this long.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    pub(crate) interval: Duration,
    /// Call what lasts for longer a finding: waits, transactions, statements, lag, prepared transactions.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) longer_than: Duration,
    /// Show only the waits of a guarded run's sessions, and of those behind them.
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<holdpoint_core::RunId>,
    /// End the statement that this server process runs; it is shown and asked about first.
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) cancel: Option<i32>,
    /// End the whole session: its transaction is rolled back and its client loses the connection.
    #[arg(long, requires = "cancel")]
    pub(crate) terminate: bool,
    /// Do not ask.
    #[arg(long, requires = "cancel")]
    pub(crate) yes: bool,
}

/// Reads how often to look: every look takes the server some milliseconds.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_short_duration(text)?;
    if interval < Duration::from_millis(200) { Err("is at least 200ms".to_owned()) } else { Ok(interval) }
}
