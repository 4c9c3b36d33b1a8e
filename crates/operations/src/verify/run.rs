//! Making a verification and recording it.

use std::time::Instant;

use holdpoint_core::fingerprint::{Aspect, Difference};
use holdpoint_core::progress::Phase;
use holdpoint_core::verification::{Compared, FORMAT, Level, Obstacle, Verdict, Verification};
use holdpoint_core::{Manifest, PointId};
use holdpoint_postgres::programs::Cause;
use holdpoint_postgres::scratch::ScratchOptions;
use holdpoint_repository::StoredManifest;

use super::full::{self, Findings, Programs};
use super::kept::{KeptCopy, KeptVerification};
use super::plan::plan_for;
use super::scratch::{Scratch, could_not_run};
use super::twice::{perhaps_on_the_way, read_twice};
use super::{VerifyOptions, VerifyPlan, VerifyReport};
use crate::error::chain;
use crate::expected::{Expected, manifest};
use crate::{Context, Error, reading};

/// The most differences that a record keeps.
const KEPT: usize = 1000;

/// Verifies a restore point and records the verdict beside its manifest.
///
/// Returns a report for all three verdicts; an error only when nothing could be recorded, such as a repository that
/// fails or a directory that cannot be written, which is told before anything is read, or an interruption. The scratch server and everything on it are gone when this returns.
pub async fn verify(context: &Context, point: &PointId, options: &VerifyOptions) -> Result<VerifyReport, Error> {
    Ok(recorded(context, point, options, Afterwards::Remove).await?.report)
}

/// Verifies like [`verify()`], and hands the copy over where level *full* proved it.
///
/// Whoever gets a copy ends it with [`KeptCopy::close`]; whatever else happens, such as an interruption, everything is
/// gone as after [`verify()`].
///
/// # Errors
/// As [`verify()`].
pub async fn verify_and_keep(
    context: &Context,
    point: &PointId,
    options: &VerifyOptions,
) -> Result<KeptVerification, Error> {
    recorded(context, point, options, Afterwards::Keep).await
}

async fn recorded(
    context: &Context,
    point: &PointId,
    options: &VerifyOptions,
    afterwards: Afterwards,
) -> Result<KeptVerification, Error> {
    let began = Instant::now();
    super::began::recordable(context).await?;
    let dates = super::began::began(context, point).await?;
    let stored = manifest(context, point).await?;
    let (manifest, manifest_sha256) = (stored.manifest.clone(), stored.sha256.clone());
    let plan = plan_for(context, &manifest, options).await?;
    // Boxed, as it is large: whoever awaits it may have little stack.
    let work = Box::pin(async {
        let (mut outcome, mut scratch) = Box::pin(attempt(context, stored.clone(), options, &plan, afterwards)).await;
        let mut note = None;
        if let Some(first) = perhaps_on_the_way(context, &outcome) {
            (outcome, scratch) = Box::pin(attempt(context, stored, options, &plan, afterwards)).await;
            note = Some(read_twice(&first, &outcome));
        }
        (outcome, scratch, note)
    });
    let (outcome, scratch, note) = Box::pin(reading::held(context, point, work)).await;
    let copy = scratch.map(|scratch| KeptCopy::new(scratch, point.clone(), plan.scratch.clone()));
    let mut verification = Verification {
        format: FORMAT,
        point: point.clone(),
        level: options.level,
        verdict: Verdict::CouldNotRun,
        started_at: dates.at,
        newer_than: dates.newer_than,
        took_ms: 0,
        restore_took_ms: None,
        measured_on: match options.restore_as {
            Some(kind) => format!("scratch server: {}, with the rights of {kind}", plan.scratch),
            None => format!("scratch server: {}", plan.scratch),
        },
        manifest_sha256,
        archive_sha256: None,
        bytes_read: 0,
        compared: Compared::default(),
        differences: Vec::new(),
        obstacles: Vec::new(),
        not_compared: not_compared(&manifest, options.level),
        notes: Vec::new(),
        sample: None,
        normal: Vec::new(),
        schema: None,
    };
    let partial = !manifest.options.is_empty();
    judge(&mut verification, outcome, partial)?;
    // What goes away while it is read says nothing of what it was.
    if verification.verdict == Verdict::Disproved && reading::is_dropped(context, point).await? {
        return Err(reading::dropped(context, point));
    }
    verification.notes.extend(note);
    verification.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    context.progress.phase(Phase::RecordingVerification, None);
    let written = context.repository.record_verification(&context.database, &verification).await;
    match (written, copy) {
        (Ok(_), copy) => Ok(KeptVerification { report: VerifyReport { plan, verification }, copy }),
        (Err(error), None) => Err(error.into()),
        (Err(error), Some(copy)) => Err(copy.closed_after(error.into()).await),
    }
}

/// What becomes of a copy that was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Afterwards {
    /// It is removed.
    Remove,
    /// It is handed over.
    Keep,
}

async fn attempt(
    context: &Context,
    stored: StoredManifest,
    options: &VerifyOptions,
    plan: &VerifyPlan,
    afterwards: Afterwards,
) -> (Result<Findings, Error>, Option<Scratch>) {
    match restored(context, stored, options, plan).await {
        Err(error) => (Err(error), None),
        Ok((found, scratch)) => {
            let whole = options.level == Level::Full && options.restore_as.is_none();
            let proved = found.as_ref().is_ok_and(|found| found.differences.is_empty());
            if afterwards == Afterwards::Keep && whole && proved {
                return (found, Some(scratch));
            }
            (removed(scratch, found, options).await, None)
        }
    }
}

/// Restores and compares; the scratch server runs on, whatever was found.
async fn restored(
    context: &Context,
    stored: StoredManifest,
    options: &VerifyOptions,
    plan: &VerifyPlan,
) -> Result<(Result<Findings, Error>, Scratch), Error> {
    // A damaged index or a missing object is a finding like any other.
    let expected = &Expected::read_once(context, stored.manifest).await?;
    expected.check_globals(context).await?;
    if let Some(available) = plan.disk_available_bytes
        && available < plan.disk_needed_bytes
    {
        return Err(could_not_run(
            format!("{} bytes of disk are needed for the scratch server, {available} are free", plan.disk_needed_bytes),
            "free some disk, or name another directory for scratch servers in the configuration",
        ));
    }
    let programs = Programs::find(context, options, expected).await?;
    context.progress.phase(Phase::StartingScratch, None);
    let mut scratch = Scratch::start(context, expected, options).await?;
    let found = tokio::select! {
        found = full::compare(context, expected, options, &programs, &mut scratch) => found,
        () = context.cancel.cancelled() => Err(Error::Interrupted),
    };
    Ok((found, scratch))
}

/// Removes the scratch server and everything on it.
async fn removed(scratch: Scratch, found: Result<Findings, Error>, options: &VerifyOptions) -> Result<Findings, Error> {
    let local = matches!(options.scratch, ScratchOptions::Local(_));
    match (scratch.stop().await, found) {
        (Ok(()), found) => found,
        // The keeper of a local server removes it in any case; what it says then is no failure of the verification.
        (Err(_), found) if local => found,
        (Err(remains), Ok(mut findings)) => {
            findings.notes.push(format!("the scratch server could not be removed: {}", chain(&remains)));
            Ok(findings)
        }
        (Err(remains), Err(failure)) => {
            Err(Error::LeftBehind { failure: Box::new(failure), remains: remains.to_string() })
        }
    }
}

/// Turns what happened into a verdict; gives back the errors that are none.
fn judge(verification: &mut Verification, outcome: Result<Findings, Error>, partial: bool) -> Result<(), Error> {
    match outcome {
        Ok(findings) => {
            verification.verdict = if findings.differences.is_empty() { Verdict::Proved } else { Verdict::Disproved };
            verification.restore_took_ms = findings.restore_took_ms;
            verification.archive_sha256 = Some(findings.read.sha256);
            verification.bytes_read = findings.read.bytes;
            verification.compared = findings.compared;
            verification.differences = findings.differences;
            verification.notes = findings.notes;
            verification.sample = findings.sample;
            verification.normal = findings.normal;
            if verification.differences.len() > KEPT {
                let more = verification.differences.len() - KEPT;
                verification.differences.truncate(KEPT);
                verification.notes.push(format!("{more} more differences are not listed"));
            }
            Ok(())
        }
        Err(Error::CouldNotRun { obstacles }) => {
            verification.obstacles = obstacles;
            Ok(())
        }
        Err(Error::LeftBehind { failure, remains }) => {
            verification.notes.push(remains);
            judge(verification, Err(*failure), partial)
        }
        Err(Error::Engine(error)) if error.is_damage() => {
            disprove(verification, "archive", &chain(&error));
            Ok(())
        }
        Err(Error::Engine(holdpoint_engine::Error::Repository(holdpoint_repository::Error::NotFound {
            key, ..
        })))
        | Err(Error::Repository(holdpoint_repository::Error::NotFound { key, .. })) => {
            disprove(verification, &key, "the object is missing");
            Ok(())
        }
        // A temporary file that cannot be written says nothing of the restore point.
        Err(error @ Error::Io { .. }) => {
            let cure = "free some disk, or name another directory for temporary files in TMPDIR".to_owned();
            verification.obstacles.push(Obstacle { reason: chain(&error), cure });
            Ok(())
        }
        Err(Error::Engine(error @ holdpoint_engine::Error::RowsNotStored { .. })) => {
            disprove(verification, "restore", &chain(&error));
            Ok(())
        }
        Err(Error::Engine(holdpoint_engine::Error::Postgres(error))) if !partial && refuses_rows(&error) => {
            disprove(verification, "restore", &chain(&error));
            Ok(())
        }
        Err(Error::Engine(holdpoint_engine::Error::Postgres(error))) | Err(Error::Postgres(error)) => {
            judge_postgres(verification, error, partial)
        }
        Err(Error::Engine(error @ holdpoint_engine::Error::AnswerLost { .. })) => {
            let cure = "see the scratch server's log".to_owned();
            verification.obstacles.push(Obstacle { reason: chain(&error), cure });
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Whether a server refused what an archive wanted to load: data that its types do not take, constraints, names that no
/// restore finds, what checks and functions raise. Resources, rights and the connection say nothing about the archive.
fn refuses_rows(error: &holdpoint_postgres::Error) -> bool {
    const CLASSES: [&str; 7] = ["21", "22", "23", "38", "39", "42", "P0"];
    let refuses = |state: &str| state != "42501" && CLASSES.iter().any(|class| state.starts_with(class));
    error.sqlstate().is_some_and(refuses)
}

fn disprove(verification: &mut Verification, name: &str, found: &str) {
    verification.verdict = Verdict::Disproved;
    verification.differences.push(Difference {
        aspect: Aspect::StoredBytes,
        name: name.to_owned(),
        expected: Some("what was written".to_owned()),
        found: Some(found.to_owned()),
    });
}

/// What PostgreSQL says about a lack of rights without naming an object: about owners of event triggers, for example.
const RIGHTS: [&str; 6] = [
    "permission denied",
    "must be superuser",
    "must be owner of",
    "must be able to SET ROLE",
    "must be member of role",
    "must be a superuser",
];

/// The cure where the scratch server lets its role do too little.
const SUPERUSER: &str =
    "verify on a scratch server on which the roles that need it, and the one in the URL, are superusers";

/// A failure of PostgreSQL says something about the restore point only when pg_restore itself stumbled over the
/// archive; a server that vanished, a full disk or a missing library says nothing.
fn judge_postgres(
    verification: &mut Verification,
    error: holdpoint_postgres::Error,
    partial: bool,
) -> Result<(), Error> {
    use holdpoint_postgres::Error as Postgres;
    let text = chain(&error);
    let elsewhere = match &error {
        Postgres::ProgramFailed { cause, stderr_tail, .. } => match cause.as_ref() {
            Cause::ExtensionMissing { name } => Some(format!("install extension {name} on the scratch server")),
            Cause::LibraryMissing { library } => Some(format!("install library {library} on the scratch server")),
            Cause::RoleMissing { name } => Some(format!("create role {name} on the scratch server")),
            Cause::LocaleMissing { .. } => Some("install the locale on the scratch server".to_owned()),
            Cause::ObjectMissing { object } if partial => Some(format!(
                "{object} is outside the part that was dumped: verify a restore point of the whole database"
            )),
            Cause::OutOfDisk => Some("free some disk for the scratch server".to_owned()),
            Cause::PermissionDenied { .. } => Some(SUPERUSER.to_owned()),
            Cause::Other if RIGHTS.iter().any(|text| stderr_tail.contains(text)) => Some(SUPERUSER.to_owned()),
            Cause::ConnectionLost | Cause::LoginRefused => Some("see the scratch server's log".to_owned()),
            _ => None,
        },
        error if error.is_cancelled() => return Err(Error::Interrupted),
        // insufficient_privilege
        error if error.sqlstate() == Some("42501") => Some(SUPERUSER.to_owned()),
        _ => Some("holdpoint doctor tries the scratch server alone".to_owned()),
    };
    match elsewhere {
        Some(cure) => verification.obstacles.push(Obstacle { reason: text, cure }),
        None => disprove(verification, "restore", &text),
    }
    Ok(())
}

/// What no verification compares, in words.
pub(super) fn not_compared(manifest: &Manifest, level: Level) -> Vec<String> {
    let mut list = vec![
        "values of generated columns (computed on restore)".to_owned(),
        "rows of materialized views (refreshed on restore)".to_owned(),
        "tablespaces".to_owned(),
        "who granted the grants on the database".to_owned(),
    ];
    match level {
        Level::Stored => list.push("rows as a server would load them; properties of the database".to_owned()),
        Level::Sampled => list.push(
            "rows of other tables, and large objects, as a server would load them; properties of the database"
                .to_owned(),
        ),
        Level::Full | Level::Instance => {}
    }
    list.extend(manifest.not_covered.iter().filter(|text| !text.contains("materialized")).cloned());
    list
}
