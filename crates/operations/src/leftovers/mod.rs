//! `holdpoint leftovers`: what holdpoint made and did not remove.
//!
//! First everything is found and judged; then, if asked for, exactly what was judged dead is removed. So a dry run
//! shows the very list. What may belong to work that runs now is listed and never removed.

mod databases;
mod instances;
mod repository;
mod schemas;
mod scratch;
mod swaps;

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::DatabaseName;
use holdpoint_postgres::ConnectionSettings;
use serde::Serialize;

use crate::rds::{ControlPlane, RdsSource};
use crate::{Context, Error};

/// What kind of thing was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftoverKind {
    /// An upload that was neither finished nor aborted.
    UnfinishedUpload,
    /// Objects of a restore point without a manifest, or of a doctor that was killed.
    OrphanObjects,
    /// A scratch server or its directory.
    ScratchServer,
    /// A scratch database on a given server, or one that a restore did not finish.
    ScratchDatabase,
    /// A database that a restore replaced and kept.
    ReplacedDatabase,
    /// A live database that a killed swap left closed; removing it means opening it again.
    ClosedDatabase,
    /// The folder still belongs to the database that a killed swap replaced; removing it means recording the new one.
    StaleIdentity,
    /// Tables that a recovery put beside the live ones.
    SideSchema,
    /// An RDS instance that was made for some work and not dropped after it; it costs.
    TemporaryInstance,
}

/// Something that was left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// What kind.
    pub kind: LeftoverKind,
    /// Where it is: a key, a directory, a database.
    pub place: String,
    /// How to tell it from others of its kind, such as an upload id.
    pub id: String,
    /// Since when, where that is known.
    pub since: Option<DateTime<Utc>>,
    /// Bytes it takes, where that is known.
    pub bytes: Option<u64>,
    /// Whether it is certainly nobody's: then, and only then, `remove` removes it.
    pub dead: bool,
    /// Why it is held for dead, or may be in use.
    pub reason: String,
    /// Whether it was removed now.
    pub removed: bool,
    /// Why it was not removed, where it should have been.
    pub problem: Option<String>,
}

/// A place that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// Which.
    pub place: String,
    /// Why not.
    pub reason: String,
}

/// What was left.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LeftoversReport {
    /// Everything found.
    pub leftovers: Vec<Leftover>,
    /// Places that could not be looked at: leftovers may be there.
    pub unseen: Vec<Unseen>,
}

/// What to do about leftovers.
#[derive(Clone, Debug)]
pub struct LeftoversOptions {
    /// Remove what is certainly nobody's: older than `min_age_seconds`, or a scratch server whose keeper is gone.
    pub remove: bool,
    /// The age below which something may belong to work that runs now. An upload counts from its beginning, so this
    /// must be longer than the longest backup.
    pub min_age_seconds: i64,
    /// Where scratch servers live.
    pub scratch_directory: PathBuf,
    /// Servers to look at for databases of restores and verifications: the source's, a given scratch server.
    pub servers: Vec<ConnectionSettings>,
    /// The RDS instance that the database is on, where one is configured: what was made of it for a while.
    pub instance: Option<RdsSource>,
}

/// A leftover, and how it is removed.
#[derive(Debug)]
struct Found {
    leftover: Leftover,
    what: What,
}

#[derive(Debug)]
enum What {
    Stored(holdpoint_repository::Leftover),
    Objects(Vec<String>),
    Scratch,
    Database { server: Box<ConnectionSettings>, name: String },
    Closed { server: Box<ConnectionSettings>, name: String },
    Identity { oid: u32, at: DateTime<Utc>, replaced: String },
    Schema { database: Box<ConnectionSettings>, name: String },
    Instance { plane: Box<ControlPlane>, name: String },
}

/// Below this a doctor tries the repository out. No database's folder is called so, as no name begins with a dot: what a policy
/// allows there reaches nothing else, wherever a repository lies below another one.
pub(crate) fn doctor_prefix(database: &DatabaseName) -> String {
    format!("{}.doctor/", holdpoint_core::layout::database(database))
}

/// Finds what was left, and removes what is certainly dead where that is asked for.
///
/// Ages are taken by the clock of whoever keeps the thing: the store's, the server's. A place that cannot be looked at
/// is named in the report and does not hide the others; neither does a thing that cannot be removed.
///
/// # Errors
/// [`Error::Interrupted`]; what was removed until then stays removed.
pub async fn leftovers(context: &Context, options: &LeftoversOptions) -> Result<LeftoversReport, Error> {
    tokio::select! {
        report = find_and_remove(context, options) => Ok(report),
        () = context.cancel.cancelled() => Err(Error::Interrupted),
    }
}

async fn find_and_remove(context: &Context, options: &LeftoversOptions) -> LeftoversReport {
    let mut report = LeftoversReport::default();
    let min_age = TimeDelta::try_seconds(options.min_age_seconds.max(0)).unwrap_or(TimeDelta::MAX);
    let mut found = repository::find(context, min_age, &mut report.unseen).await;
    found.extend(scratch::find(context, &options.scratch_directory, &mut report.unseen).await);
    for server in &options.servers {
        let unseen = report.unseen.len();
        let mut there = databases::find(context, server, min_age, &mut report.unseen).await;
        // Whom nobody reaches is told once.
        if report.unseen.len() == unseen {
            let closed = |one: &Found| matches!(&one.what, What::Closed { name, .. } if name == server.database());
            let told_as_closed = there.iter().any(closed);
            there.extend(schemas::find(server, min_age, told_as_closed, &mut report.unseen).await);
        }
        for one in there {
            // Two of the URLs may lead to one server.
            let known = |known: &Found| {
                let of = |one: &Leftover| (one.place.clone(), one.id.clone(), one.kind);
                of(&known.leftover) == of(&one.leftover)
            };
            match found.iter_mut().find(|other| known(other)) {
                None => found.push(one),
                // One of the roles may remove it.
                Some(other)
                    if one.leftover.dead && !other.leftover.dead && one.leftover.kind == LeftoverKind::SideSchema =>
                {
                    *other = one;
                }
                Some(_) => {}
            }
        }
    }
    if let Some(source) = &options.instance {
        found.extend(instances::find(source, min_age, &mut report.unseen).await);
    }
    if options.remove {
        remove(context, options, &mut found).await;
    }
    report.leftovers = found.into_iter().map(|one| one.leftover).collect();
    report
}

async fn remove(context: &Context, options: &LeftoversOptions, found: &mut [Found]) {
    let (mut scratch, mut others): (Vec<&mut Found>, Vec<&mut Found>) =
        found.iter_mut().filter(|one| one.leftover.dead).partition(|one| matches!(one.what, What::Scratch));
    if !scratch.is_empty() {
        scratch::remove(context, &options.scratch_directory, &mut scratch).await;
    }
    for one in &mut others {
        context.progress.note(&format!("removing {}", one.leftover.place));
        let removed = match &one.what {
            What::Stored(stored) => context.repository.remove_leftover(stored).await.map_err(Error::from),
            What::Objects(keys) => repository::delete(context, keys).await,
            What::Database { server, name } => databases::drop_database(server, name).await,
            What::Closed { server, name } => databases::open(server, name).await,
            What::Identity { oid, at, replaced } => {
                let reason = format!("a swap that was killed; the database before is kept as {replaced}");
                crate::restore::swap::follow(context, *oid, *at, reason).await
            }
            What::Schema { database, name } => schemas::drop_schema(database, name).await,
            What::Instance { plane, name } => instances::drop_instance(plane, name).await,
            What::Scratch => Ok(()),
        };
        settle(&mut one.leftover, removed);
    }
}

fn settle(leftover: &mut Leftover, removed: Result<(), Error>) {
    match removed {
        Ok(()) => leftover.removed = true,
        Err(Error::Repository(holdpoint_repository::Error::AlreadyExists { .. })) => {
            leftover.problem = Some("its restore point was published meanwhile".to_owned());
        }
        Err(error) => leftover.problem = Some(error.line()),
    }
}

/// Judges by age alone: dead when older than `min_age`, by one and the same clock.
fn judge_age(since: Option<DateTime<Utc>>, now: Option<DateTime<Utc>>, min_age: TimeDelta) -> (bool, String) {
    match (since, now) {
        (Some(since), Some(now)) if now - since >= min_age => (true, "older than anything that runs".to_owned()),
        (Some(_), Some(_)) => (false, "may be running now".to_owned()),
        _ => (false, "may be running now: its age is not known".to_owned()),
    }
}
