//! Proving a restore point that is a snapshot, at level *instance*: a temporary instance is made of it, every table is read to
//! its end there, and the instance is dropped again.

use std::time::Instant;

use holdpoint_core::fingerprint::{Aspect, Difference};
use holdpoint_core::index::ObjectRecord;
use holdpoint_core::progress::Phase;
use holdpoint_core::verification::{Compared, FORMAT, Level, Obstacle, Verdict, Verification};
use holdpoint_core::{PointId, Recorded, SnapshotManifest};
use holdpoint_engine::{WhatToRead, read_tables};
use holdpoint_rds::{Error as Rds, RestorePlan};
use serde::Serialize;

use super::ControlPlane;
use super::data_check::held_against_an_archive;
use super::found::{Found, recorded_snapshot};
use super::serving::identity_behind;
use super::source::RdsSource;
use super::temporary::Temporary;
use crate::catalogue::show_any;
use crate::schema_check::Schema;
use crate::{Context, Error, Source, reading};

/// Why the temporary instance is made: a part of its name, and in its tags.
const NEEDED_FOR: &str = "verify";

/// How many schema objects a verification keeps: some hundred bytes each, of the 16 MiB that a record may have.
const MOST_OBJECTS: usize = 30_000;

/// A restore point that is a snapshot, with the instance that it is of.
#[derive(Debug)]
pub struct SnapshotPoint {
    manifest: SnapshotManifest,
    manifest_sha256: String,
}

/// A verification of a snapshot that was made and recorded.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotVerifyReport {
    /// The record, as stored.
    pub verification: Verification,
}

/// What came of an attempt that ended by itself.
#[derive(Default)]
struct Findings {
    compared: Compared,
    differences: Vec<Difference>,
    restore_took_ms: Option<u64>,
    instance: Option<String>,
    schema: Option<Vec<ObjectRecord>>,
    notes: Vec<String>,
}

/// The restore point as a snapshot; `None` where it is an archive.
///
/// # Errors
/// [`Error::NoSuchPoint`]; else those of the repository.
pub async fn snapshot_point(context: &Context, point: &PointId) -> Result<Option<SnapshotPoint>, Error> {
    match context.repository.recorded(&context.database, point).await {
        Ok(stored) => Ok(match stored.recorded {
            Recorded::Archive(_) => None,
            Recorded::Snapshot(manifest) => Some(SnapshotPoint { manifest: *manifest, manifest_sha256: stored.sha256 }),
        }),
        // As whoever shows it says.
        Err(error) if error.is_not_found() => show_any(context, point).await.map(|_| None),
        Err(error) => Err(error.into()),
    }
}

/// Why the snapshot that a restore point is cannot be restored now, as far as RDS tells; `None` where it can.
///
/// # Errors
/// [`Error::Interrupted`].
pub async fn unusable_snapshot(context: &Context, manifest: &SnapshotManifest) -> Result<Option<String>, Error> {
    crate::check::snapshots::unusable(context, &manifest.id, &manifest.snapshot).await
}

/// The temporary instance that a verification would make.
///
/// # Errors
/// The instance that the snapshot is of is gone; what RDS refuses. What stands against it is in the plan.
pub async fn plan_snapshot_verification(context: &Context, point: &SnapshotPoint) -> Result<RestorePlan, Error> {
    let source = source_of(context, &point.manifest).await?;
    source.plan_temporary_of(&point.manifest.snapshot.name, NEEDED_FOR).await
}

/// Verifies it and records the verdict beside its manifest. The temporary instance is dropped again whatever happens; where
/// RDS refuses that, the notes or the error say what may remain.
///
/// `login` is how the database is reached at present; roles have the passwords of the snapshot's instant.
///
/// # Errors
/// Only when nothing could be recorded, such as an interruption, or a repository that fails.
pub async fn verify_snapshot(
    context: &Context,
    login: &Source,
    point: &SnapshotPoint,
    jobs: usize,
) -> Result<SnapshotVerifyReport, Error> {
    let began = Instant::now();
    let dates = crate::verify::began(context, &point.manifest.id).await?;
    let (id, made) = (&point.manifest.id, &point.manifest.snapshot);
    let work = Box::pin(attempt(context, login, &point.manifest, jobs));
    let outcome = Box::pin(reading::held(context, id, work)).await;
    let mut verification = Verification {
        format: FORMAT,
        point: id.clone(),
        level: Level::Instance,
        verdict: Verdict::CouldNotRun,
        started_at: dates.at,
        newer_than: dates.newer_than,
        took_ms: 0,
        restore_took_ms: None,
        measured_on: format!("a temporary RDS instance in {}", made.region),
        manifest_sha256: point.manifest_sha256.clone(),
        archive_sha256: None,
        bytes_read: 0,
        compared: Compared::default(),
        differences: Vec::new(),
        obstacles: Vec::new(),
        not_compared: vec![
            "rows and schema with those of the source: nothing was recorded of them when the snapshot was made"
                .to_owned(),
            "other databases of the instance".to_owned(),
        ],
        notes: Vec::new(),
        sample: None,
        normal: Vec::new(),
        schema: None,
    };
    judge(&mut verification, outcome)?;
    if verification.verdict == Verdict::Disproved && reading::is_dropped(context, id).await? {
        return Err(reading::dropped(context, id));
    }
    verification.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    context.progress.phase(Phase::RecordingVerification, None);
    context.repository.record_verification(&context.database, &verification).await?;
    Ok(SnapshotVerifyReport { verification })
}

/// The instance that a snapshot is of, by its present name: what is made of it shall be like that one.
async fn source_of(context: &Context, manifest: &SnapshotManifest) -> Result<RdsSource, Error> {
    let made = &manifest.snapshot;
    let plane = ControlPlane::of(context, &made.region).await?;
    let found = plane.unless_ended(plane.rds.find_resource(&made.resource_id)).await?;
    let instance = found.ok_or_else(|| Rds::Gone { subject: made.instance.clone() })?.name;
    Ok(RdsSource { plane, instance })
}

async fn attempt(
    context: &Context,
    login: &Source,
    manifest: &SnapshotManifest,
    jobs: usize,
) -> Result<Findings, Error> {
    let made = &manifest.snapshot;
    let plane = ControlPlane::of(context, &made.region).await?;
    let found = match recorded_snapshot(&plane, made).await? {
        Found::Recorded(found) => found,
        Found::Another => return Ok(Findings::gone(&made.arn, "another snapshot of the name")),
        Found::Gone => return Ok(Findings::gone(&made.arn, "no such snapshot")),
    };
    if found.status != "available" {
        let reason = format!("the snapshot {} is {}", found.name, found.status);
        let cure = "verify it again when RDS says that it is available: holdpoint rds snapshot list".to_owned();
        return Err(Error::CouldNotRun { obstacles: vec![Obstacle { reason, cure }] });
    }
    let source = source_of(context, manifest).await?;
    let temporary = Temporary::plan_of_snapshot(&source, &made.name, NEEDED_FOR).await?;
    let read = Box::pin(read(context, login, manifest, &temporary, jobs)).await;
    match (temporary.dropped().await, read) {
        (None, read) => read,
        (Some(remains), Ok(mut findings)) => {
            findings.notes.push(remains);
            Ok(findings)
        }
        (Some(remains), Err(failure)) => Err(Error::LeftBehind { failure: Box::new(failure), remains }),
    }
}

/// Makes the instance and reads it; it is there whatever this returns.
async fn read(
    context: &Context,
    login: &Source,
    manifest: &SnapshotManifest,
    temporary: &Temporary<'_>,
    jobs: usize,
) -> Result<Findings, Error> {
    let began = Instant::now();
    let instance = temporary.made().await?;
    let restore_took_ms = u64::try_from(began.elapsed().as_millis()).ok();
    let at = instance.endpoint.ok_or_else(|| Rds::Unready { subject: instance.name.clone() })?;
    let settings = login.settings.with_server(at.host, at.port);
    let there = identity_behind(&settings).await?.identity;
    let mut findings = Findings { restore_took_ms, instance: Some(instance.name), ..Findings::default() };
    let mut differ = |name: &str, expected: String, found: String| {
        if expected != found {
            let (expected, found) = (Some(expected), Some(found));
            findings.differences.push(Difference {
                aspect: Aspect::DatabaseProperty,
                name: name.to_owned(),
                expected,
                found,
            });
        }
    };
    let was = &manifest.identity;
    differ("OID of the database", was.database_oid.to_string(), there.database_oid.to_string());
    if let (Some(was), Some(is)) = (&was.system_identifier, there.system_identifier) {
        differ("system identifier", was.clone(), is);
    }
    if !findings.differences.is_empty() {
        return Ok(findings);
    }
    let read = read_tables(
        &settings,
        &WhatToRead::everything(),
        jobs,
        std::sync::Arc::clone(&context.progress),
        &context.cancel,
    )
    .await?;
    if !read.refused.is_empty() {
        let objects = read.refused.iter().map(|(table, said)| format!("{table} ({said})")).collect();
        return Err(Error::CannotRead { role: settings.user().to_owned(), objects, grant: None });
    }
    findings.compared =
        Compared { tables: read.tables, rows: read.rows, large_objects: read.large_objects, ..Compared::default() };
    // The schema is what the gate holds against the live one. Without it the snapshot is proven all the same.
    let there = Source { settings, ..login.clone() };
    match Box::pin(Schema::live(context, &there)).await {
        Ok(schema) if schema.len() > MOST_OBJECTS => {
            let count = schema.len();
            findings
                .notes
                .push(format!("its schema was not kept, so no run can rely on it: {count} objects are too many"));
        }
        Ok(schema) => findings.schema = Some(schema.into_objects()),
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(error) => {
            findings.notes.push(format!("its schema was not read, so no run can rely on it: {}", error.line()));
        }
    }
    if read.damaged.is_empty() {
        findings.notes.push(match Box::pin(held_against_an_archive(context, &there, manifest.asked_at, jobs)).await {
            Ok(Some(check)) => check.told(),
            Ok(None) => "held against no archive: none was made in the day before it".to_owned(),
            Err(_) if context.cancel.is_cancelled() => return Err(Error::Interrupted),
            Err(error) => format!("held against no archive: {}", error.line()),
        });
    }
    findings.differences.extend(read.damaged.into_iter().map(|(name, said)| Difference {
        aspect: Aspect::Rows,
        name,
        expected: Some("rows that can be read".to_owned()),
        found: Some(said),
    }));
    Ok(findings)
}

impl Findings {
    /// The snapshot is not there any more: nothing can be restored of it.
    fn gone(expected: &str, found: &str) -> Self {
        let difference = Difference {
            aspect: Aspect::StoredBytes,
            name: "snapshot".to_owned(),
            expected: Some(expected.to_owned()),
            found: Some(found.to_owned()),
        };
        Self { differences: vec![difference], ..Self::default() }
    }
}

/// Turns what happened into a verdict; gives back the errors that are none.
fn judge(verification: &mut Verification, outcome: Result<Findings, Error>) -> Result<(), Error> {
    match outcome {
        Ok(findings) => {
            verification.verdict = if findings.differences.is_empty() { Verdict::Proved } else { Verdict::Disproved };
            verification.compared = findings.compared;
            verification.differences = findings.differences;
            verification.restore_took_ms = findings.restore_took_ms;
            verification.schema = findings.schema;
            verification.notes.extend(findings.notes);
            if let Some(instance) = findings.instance {
                verification.measured_on = format!("{}: {instance}", verification.measured_on);
            }
            Ok(())
        }
        Err(Error::LeftBehind { failure, remains }) => {
            verification.notes.push(remains);
            judge(verification, Err(*failure)).map_err(|failure| {
                let remains = verification.notes.pop().unwrap_or_default();
                Error::LeftBehind { failure: Box::new(failure), remains }
            })
        }
        Err(Error::CouldNotRun { obstacles }) => {
            verification.obstacles = obstacles;
            Ok(())
        }
        // What RDS refuses, and a login that fails there, say nothing about what the snapshot holds.
        Err(error @ (Error::Rds(_) | Error::Postgres(_) | Error::CannotRead { .. } | Error::Engine(_)))
            if !matches!(&error, Error::Postgres(one) if one.is_cancelled())
                && !matches!(&error, Error::Engine(holdpoint_engine::Error::Cancelled)) =>
        {
            let cure =
                error.hint().unwrap_or_else(|| "holdpoint rds plan tells what stands against a restore".to_owned());
            verification.obstacles.push(Obstacle { reason: error.line(), cure });
            Ok(())
        }
        Err(Error::Postgres(_) | Error::Engine(holdpoint_engine::Error::Cancelled)) => Err(Error::Interrupted),
        Err(error) => Err(error),
    }
}
