//! `holdpoint backup`.

use holdpoint_archive::Algorithm;
use holdpoint_core::manifest::PointFormat;
use holdpoint_operations::ErrorKind;
use holdpoint_operations::backup::{BackupOptions, BackupReport, backup};
use holdpoint_operations::verify::{VerifyReport, feasible, verify};
use serde::Serialize;

use super::printed;
use super::verify::code;
use crate::arguments::{BackupArguments, BackupFormat, Jobs};
use crate::failure::Failure;
use crate::invocation::{Invocation, Verification};
use crate::output;
use holdpoint::exit_code;

/// A restore point, and its verification where that was asked for.
#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    backup: BackupReport,
    verify: VerifyReport,
}

pub(super) async fn run(invocation: &Invocation, arguments: &BackupArguments) -> Result<u8, Failure> {
    if arguments.format == BackupFormat::Plain && arguments.compress.algorithm() != Algorithm::Gzip {
        return Err(Failure::usage(
            format!("--format plain is stored as gzip, not {}", arguments.compress),
            "leave --compress out, or give gzip:LEVEL",
        ));
    }
    let verification = arguments.verify.map(|level| Verification {
        level,
        scratch_url: None,
        replace_missing_locale: false,
        jobs: arguments.limits.jobs.and_then(Jobs::number),
        sample: None,
        restore_as: None,
    });
    // What would fail afterwards is refused before.
    let verification = verification.map(|wanted| invocation.verify_options(&wanted)).transpose()?;
    let mut source = invocation.source()?;
    source.client_major = arguments.client_major.or(source.client_major);
    let context = invocation.context(true).await?;
    let (jobs, limits) = invocation.settings.limits(&arguments.limits);
    let options = BackupOptions {
        format: match arguments.format {
            BackupFormat::Archive => PointFormat::Archive,
            BackupFormat::Plain => PointFormat::Plain,
        },
        codec: arguments.compress,
        jobs,
        limits,
        selection: arguments.selection(),
        parallel_from_bytes: arguments.parallel_from,
        lock_wait_seconds: arguments.lock_wait.as_secs(),
        retain_until: invocation.retain_until(),
        reason: arguments.reason.clone(),
        label: None,
        run: None,
    };
    if let Some(verification) = &verification {
        invocation.sweep().await;
        // What the verification lacks is known now, not after the backup.
        feasible(&context, &source, verification).await?;
    }
    let backup = backup(&context, &source, &options).await?;
    let Some(options) = verification else {
        printed(invocation.output.report(&backup, |report| {
            format!("{}not proven yet: holdpoint verify {}\n", output::backup(report), report.manifest.id)
        }))?;
        return Ok(exit_code::DONE);
    };
    if !invocation.output.json {
        // The restore point stands, whatever comes now.
        printed(invocation.output.text(&output::backup(&backup)))?;
    }
    let point = backup.manifest.id.clone();
    let verify = verify(&context, &point, &options).await.map_err(|error| match error.kind() {
        // The restore point stands, and is not what was interrupted.
        ErrorKind::Interrupted => holdpoint_guard::Error::InterruptedWith { point, proven: false }.into(),
        _ => Failure::from(error),
    })?;
    let code = code(verify.verification.verdict);
    let made = Made { backup, verify };
    printed(invocation.output.report(&made, |made| output::verify(&made.verify)))?;
    Ok(code)
}
