//! `holdpoint adopt`.

use holdpoint_operations::adopt::{AdoptReport, adopt};

use super::{confirm, printed};
use crate::arguments::AdoptArguments;
use crate::failure::Failure;
use crate::invocation::Invocation;
use holdpoint::exit_code;

pub(super) async fn run(invocation: &Invocation, arguments: &AdoptArguments) -> Result<u8, Failure> {
    let source = invocation.source()?;
    let context = invocation.context(false).await?;
    let question = format!(
        "the folder {} of {} will belong to {}",
        context.database,
        context.repository.url(),
        source.settings.redacted()
    );
    confirm::confirm(invocation, arguments.yes, &question)?;
    let report = adopt(&context, &source, &arguments.reason).await?;
    printed(invocation.output.report(&report, text))?;
    Ok(exit_code::DONE)
}

fn text(report: &AdoptReport) -> String {
    let before = report
        .before
        .as_ref()
        .map_or_else(|| "nobody".to_owned(), |identity| format!("{} on {}", identity.database, identity.endpoint));
    format!("adopted: belongs to {} on {} now, to {before} before\n", report.now.database, report.now.endpoint)
}
