//! `holdpoint init`.

use holdpoint_operations::init::{InitReport, LostRecord, init};

use super::printed;
use crate::arguments::InitArguments;
use crate::failure::Failure;
use crate::grants::grants;
use crate::invocation::{Invocation, now};
use crate::policy::policy;
use holdpoint::exit_code;

pub(super) async fn run(invocation: &Invocation, arguments: &InitArguments) -> Result<u8, Failure> {
    if let Some(role) = arguments.print_grants {
        printed(invocation.output.text(&grants(role)))?;
        return Ok(exit_code::DONE);
    }
    let repository = invocation.settings.repository()?;
    if let Some(role) = arguments.print_policy {
        let policy = policy(role, &repository.url, &invocation.settings.config.repository.s3)?;
        printed(invocation.output.document(&policy))?;
        return Ok(exit_code::DONE);
    }
    let lost = if arguments.adopt { LostRecord::Adopt } else { LostRecord::Refuse };
    let store = invocation.store(&repository.url).await?;
    let report = tokio::select! {
        report = init(store, lost, now()) => report?,
        () = invocation.cancel.cancelled() => return Err(holdpoint_operations::Error::Interrupted.into()),
    };
    printed(invocation.output.report(&report, text))?;
    Ok(exit_code::DONE)
}

fn text(report: &InitReport) -> String {
    let made = if report.created { "made" } else { "is there already" };
    let warnings: String = report.warnings.iter().map(|one| format!("warning: {one}\n")).collect();
    format!("repository {} {made} (id {})\n{warnings}next: holdpoint doctor\n", report.repository, report.id)
}
