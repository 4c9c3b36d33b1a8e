//! `holdpoint doctor`.

use std::sync::Arc;

use holdpoint::exit_code;
use holdpoint_core::progress::{Progress, Silent};
use holdpoint_operations::doctor::{Outcome, Subject, examine};

use super::printed;
use crate::arguments::ProgressForm;
use crate::failure::Failure;
use crate::invocation::{Invocation, now};
use crate::output;

/// The report has a line for every check; only who wants to watch is told of each as it begins.
fn notes(invocation: &Invocation) -> Arc<dyn Progress> {
    let common = &invocation.settings.common;
    if common.verbose > 0 || common.progress == ProgressForm::Json {
        Arc::clone(&invocation.progress)
    } else {
        Arc::new(Silent)
    }
}

pub(super) async fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let settings = &invocation.settings;
    let source = invocation.source()?;
    let repository = settings.repository()?;
    let subject = Subject {
        database: settings.database_name()?,
        store: invocation.store(&repository.url).await?,
        source,
        scratch: settings.scratch(None, 0)?,
        retain_until: settings.config.repository.s3.retain_until(now()),
        progress: notes(invocation),
        cancel: invocation.cancel.clone(),
        clock: Arc::new(now),
    };
    invocation.sweep().await;
    let report = examine(&subject).await;
    printed(invocation.output.report(&report, output::doctor))?;
    if invocation.cancel.is_cancelled() {
        return Ok(exit_code::INTERRUPTED);
    }
    Ok(if report.worst() == Outcome::Failure { exit_code::FINDINGS } else { exit_code::DONE })
}
