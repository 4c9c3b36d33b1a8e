//! The log on stderr: warnings by default, more with -v, lines above the bars.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::arguments::CommonArguments;
use crate::progress::Screen;
use crate::variables::Variables;

/// Starts the log. `HOLDPOINT_LOG` takes tracing's filters, such as `holdpoint_postgres=trace`.
pub(crate) fn start(common: &CommonArguments, variables: &Variables, screen: &Screen) {
    let filter = match variables.get("HOLDPOINT_LOG") {
        Some(filter) => EnvFilter::builder().parse_lossy(filter),
        None => EnvFilter::builder().parse_lossy(directives(common)),
    };
    let colours = std::io::stderr().is_terminal() && variables.get("NO_COLOR").is_none();
    let registry = tracing_subscriber::registry().with(filter);
    let started = if common.log_json {
        registry.with(tracing_subscriber::fmt::layer().json().with_writer(screen.clone())).try_init()
    } else {
        let layer = tracing_subscriber::fmt::layer().with_writer(screen.clone()).with_ansi(colours);
        registry.with(layer.with_target(common.verbose > 1)).try_init()
    };
    if let Err(error) = started {
        tracing::debug!(%error, "a log runs already");
    }
}

/// `holdpoint` matches every crate of the project, whose names begin with it.
fn directives(common: &CommonArguments) -> &'static str {
    match (common.quiet, common.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "warn,holdpoint=info",
        (false, 2) => "info,holdpoint=debug",
        (false, _) => "debug,holdpoint=trace",
    }
}
