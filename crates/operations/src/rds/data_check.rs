//! Whether a restored instance holds the database that it should, before it serves: held against the restore point that is
//! the nearest before its instant, and read to its end where that cannot tell of it, or where there is none.

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::progress::Progress;
use holdpoint_core::quantity::listed;
use holdpoint_core::selector::Selector;
use holdpoint_core::{Identity, PointId};
use holdpoint_engine::{TablesRead, WhatToRead, is_damage, read_tables};
use holdpoint_postgres::ConnectionSettings;
use holdpoint_rds::Instance;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::serving::{identity_behind, serves_another};
use crate::compare::{Against, CompareOptions, CompareReport, TableChange, compare};
use crate::error::LISTED;
use crate::selection::resolve;
use crate::{Context, Error, Source};

/// How long somebody else's lock is waited for; on a new instance there is nobody.
const LOCK_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// How much older than a snapshot an archive may be that it is held against: in a longer time nearly every table changes.
const NEAR: TimeDelta = TimeDelta::days(1);
/// The largest table that is read once more for that, in bytes.
const LARGEST_COMPARED: u64 = 1 << 30;

/// A database whose instance is about to be another one.
#[derive(Debug)]
pub struct ServedDatabase {
    /// Its folder; `None` where no repository is configured, or none is there.
    pub context: Option<Context>,
    /// How it is reached at present.
    pub source: Source,
    /// How many sessions read at a time.
    pub jobs: usize,
}

/// What was found of the data of a restored instance. Rows that differ were written between the restore point and the
/// instant, or it is not what it should be: only a person can tell.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DataCheck {
    /// The database.
    pub database: String,
    /// The restore point that it was held against; `None` where its tables were only read to their ends.
    pub point: Option<PointId>,
    /// When that was made, by its server's clock.
    pub point_at: Option<DateTime<Utc>>,
    /// How many tables were read, or where it was held against a restore point: how many that has.
    pub tables: u64,
    /// How many tables and materialized views were read to their ends besides, as the restore point cannot tell of all their
    /// values: they came since, were renamed, or have other columns.
    pub besides: u64,
    /// How many large objects were read to their ends; `None` where they were compared with the restore point's.
    pub large_objects: Option<u64>,
    /// How many of the tables hold exactly the restore point's rows.
    pub equal: Option<u64>,
    /// The tables whose rows are others, and how many large objects are.
    pub differing: Vec<String>,
    /// Schema objects that are not as in the restore point.
    pub objects: Vec<String>,
    /// Tables that could not be held against it, and why.
    pub not_compared: Vec<String>,
    /// What was not read.
    pub not_read: Vec<String>,
    /// Milliseconds that it took.
    pub took_ms: u64,
}

impl ServedDatabase {
    /// The name for people.
    pub(super) fn name(&self) -> String {
        match &self.context {
            Some(context) => context.database.to_string(),
            None => self.source.settings.database().to_owned(),
        }
    }

    /// Checks the database at a restored instance's endpoint. Nothing is changed.
    ///
    /// # Errors
    /// [`Error::AnotherInstance`]: the database is not on the source. [`Error::PointOfAnotherServer`]. [`Error::InstanceDisproved`]: another server's data, or
    /// tables that cannot be read. Whatever keeps it from being checked.
    pub(super) async fn checked(
        &self,
        name: &str,
        there: ConnectionSettings,
        source: &Instance,
        restored_to: Option<DateTime<Utc>>,
        plane: &super::ControlPlane,
    ) -> Result<DataCheck, Error> {
        let began = std::time::Instant::now();
        let disproved = |differences: Vec<String>| Error::InstanceDisproved { name: name.to_owned(), differences };
        let live = self.on_the_source(source, plane).await?;
        let found = identity_behind(&there).await?;
        if let (Some(is), Some(was)) = (&found.identity.system_identifier, &live)
            && is != was
        {
            let why = format!("its system identifier is {is}, the live server's is {was}: it is no copy of it");
            return Err(disproved(vec![why]));
        }
        plane.progress.note(&format!("reading {} on {name} to its end", self.name()));
        let mut check = match self.nearest(restored_to).await? {
            Some((context, point)) => {
                let recorded = context.repository.recorded(&context.database, &point).await?.recorded;
                of_the_same_server(&point, recorded.identity(), name, &found.identity)?;
                let read = there.clone();
                let source = Source { settings: there, ..self.source.clone() };
                let wanted = CompareOptions {
                    point: point.clone(),
                    against: Against::Database { source: Box::new(source), own: false },
                    jobs: self.jobs,
                    // The tables are read to their ends, whatever their size: their blocks come from afar.
                    quick: None,
                    definitions: false,
                    lock_wait: LOCK_WAIT,
                };
                let held = Box::pin(compare_to_the_end(context, &wanted, &read)).await;
                let held = held.map_err(|error| damaged(error, name))?;
                if !held.damaged.is_empty() {
                    return Err(disproved(held.damaged));
                }
                of_point(point, &held)
            }
            None => self.read(there, plane).await.and_then(|read| match read {
                Ok(check) => Ok(check),
                Err(differences) => Err(disproved(differences)),
            })?,
        };
        check.database = self.name();
        check.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(check)
    }

    /// The system identifier of the server that the database is on, where it is told: that of the source. A source that
    /// cannot be reached any more may be why another instance shall serve: then the folder's record counts.
    async fn on_the_source(&self, source: &Instance, plane: &super::ControlPlane) -> Result<Option<String>, Error> {
        let live = &self.source.settings;
        let away = match serves_another(source.endpoint.as_ref(), live).await {
            Ok(None) => return Ok(identity_behind(live).await?.identity.system_identifier),
            Ok(Some(why)) => {
                let (instance, database) = (source.name.clone(), live.redacted());
                return Err(Error::AnotherInstance { instance, database, why });
            }
            Err(error) => error.line(),
        };
        plane.progress.note(&format!("{} is held against its folder's record alone: {away}", self.name()));
        let Some(context) = &self.context else { return Ok(None) };
        let recorded = context.repository.identity(&context.database).await?;
        Ok(recorded.and_then(|recorded| recorded.identity.system_identifier))
    }

    /// The restore point that is the nearest before the instant.
    async fn nearest(&self, restored_to: Option<DateTime<Utc>>) -> Result<Option<(&Context, PointId)>, Error> {
        let (Some(context), Some(at)) = (&self.context, restored_to) else { return Ok(None) };
        // What was made within the second is of the same instant, as far as RDS tells them apart.
        let at = (at + TimeDelta::seconds(1)).min((context.clock)());
        match resolve(context, &Selector::BeforeInstant(at)).await {
            Ok(point) => Ok(Some((context, point))),
            Err(Error::NoSuchPoint { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn read(
        &self,
        there: ConnectionSettings,
        plane: &super::ControlPlane,
    ) -> Result<Result<DataCheck, Vec<String>>, Error> {
        read_to_the_end(&there, self.jobs, std::sync::Arc::clone(&plane.progress), &plane.cancel).await
    }
}

/// Holds what was restored from a snapshot against the newest archive from before it, where that is near. Rows and objects
/// that differ are shown, and no disproof: they may have been written between the two.
///
/// # Errors
/// Whatever keeps them from being compared.
pub(super) async fn held_against_an_archive(
    context: &Context,
    there: &Source,
    snapshot_at: DateTime<Utc>,
    jobs: usize,
) -> Result<Option<DataCheck>, Error> {
    let point = match resolve(context, &Selector::BeforeInstant(snapshot_at)).await {
        Ok(point) if snapshot_at.signed_duration_since(point.at()) <= NEAR => point,
        Ok(_) | Err(Error::NoSuchPoint { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let wanted = CompareOptions {
        point: point.clone(),
        against: Against::Database { source: Box::new(there.clone()), own: false },
        jobs,
        // Each was read to its end before; this is a second look.
        quick: Some(LARGEST_COMPARED),
        definitions: false,
        lock_wait: LOCK_WAIT,
    };
    let report = Box::pin(compare(context, &wanted)).await?;
    let database = context.database.to_string();
    Ok(Some(DataCheck { database, ..compared(point, &report) }))
}

/// Reads every table and large object of a database to its end, and throws the rows away; what is damaged there, in words.
///
/// # Errors
/// [`Error::CannotRead`]: what the role is refused; those of connecting.
pub async fn read_to_the_end(
    there: &ConnectionSettings,
    jobs: usize,
    progress: std::sync::Arc<dyn Progress>,
    cancel: &CancellationToken,
) -> Result<Result<DataCheck, Vec<String>>, Error> {
    let read = read_tables(there, &WhatToRead::everything(), jobs, progress, cancel).await?;
    if !read.refused.is_empty() {
        let objects = read.refused.iter().map(|(table, said)| format!("{table} ({said})")).collect();
        return Err(Error::CannotRead { role: there.user().to_owned(), objects, grant: None });
    }
    if !read.damaged.is_empty() {
        return Ok(Err(cannot_be_read(&read)));
    }
    Ok(Ok(DataCheck { tables: read.tables, large_objects: Some(read.large_objects), ..DataCheck::default() }))
}

fn cannot_be_read(read: &TablesRead) -> Vec<String> {
    read.damaged.iter().map(|(table, said)| format!("{table} cannot be read: {said}")).collect()
}

/// A database that was held against a restore point, and read to its end where that cannot tell of it.
#[derive(Clone, Debug)]
pub struct HeldToTheEnd {
    /// What the comparison found. What the role is refused beyond it is not read, and named there.
    pub report: CompareReport,
    /// How many tables and materialized views were read to their ends besides.
    pub besides: u64,
    /// How many large objects were read to their ends; `None` where they were compared.
    pub large_objects: Option<u64>,
    /// What is damaged of that, in words.
    pub damaged: Vec<String>,
}

/// Compares a database with a restore point, and reads to its end what a comparison only counts or passes over: tables that
/// came or were renamed since, and those with other columns; materialized views; what the restore point leaves out. `there` is
/// that database.
///
/// # Errors
/// Those of [`compare`], and of connecting.
pub async fn compare_to_the_end(
    context: &Context,
    options: &CompareOptions,
    there: &ConnectionSettings,
) -> Result<HeldToTheEnd, Error> {
    let mut report = Box::pin(compare(context, options)).await?;
    let rest = WhatToRead { except: std::mem::take(&mut report.read), large_objects: !report.whole };
    let progress = std::sync::Arc::clone(&context.progress);
    let read = read_tables(there, &rest, options.jobs, progress, &context.cancel).await?;
    report.not_read.extend(read.refused.iter().map(|(table, said)| format!("{table} ({said})")));
    Ok(HeldToTheEnd {
        report,
        besides: read.tables,
        large_objects: rest.large_objects.then_some(read.large_objects),
        damaged: cannot_be_read(&read),
    })
}

impl DataCheck {
    /// What was found, in a line.
    #[must_use]
    pub fn told(&self) -> String {
        let Some(point) = &self.point else {
            let large = match self.large_objects {
                Some(count) if count > 0 => format!(" and {count} large objects"),
                _ => String::new(),
            };
            return format!("{}: all of {} tables{large} were read to their ends", self.database, self.tables);
        };
        let mut told = format!(
            "{}: {} of {} tables hold exactly the rows of {point}",
            self.database,
            self.equal.unwrap_or_default(),
            self.tables
        );
        if !self.differing.is_empty() {
            told += &format!("; {} do not, by what was written after it", listed(&self.differing, LISTED));
        }
        if !self.not_compared.is_empty() {
            told += &format!("; not compared: {}", listed(&self.not_compared, LISTED));
        }
        if self.besides > 0 {
            told += &format!("; {} more were read to their ends", self.besides);
        }
        if !self.objects.is_empty() {
            told += &format!("; not as in it: {}", listed(&self.objects, LISTED));
        }
        if !self.not_read.is_empty() {
            told += &format!("; not read: {}", listed(&self.not_read, LISTED));
        }
        told
    }
}

/// Refuses a restore point that says nothing of the data of a server, as it is of another one.
fn of_the_same_server(point: &PointId, recorded: &Identity, name: &str, found: &Identity) -> Result<(), Error> {
    let (Some(was), Some(is)) = (&recorded.system_identifier, &found.system_identifier) else { return Ok(()) };
    if was == is {
        return Ok(());
    }
    let (point, instance) = (point.clone(), name.to_owned());
    Err(Error::PointOfAnotherServer { point, instance, was: was.clone(), is: is.clone() })
}

fn of_point(point: PointId, held: &HeldToTheEnd) -> DataCheck {
    let check = compared(point, &held.report);
    DataCheck { besides: held.besides, large_objects: held.large_objects, ..check }
}

fn compared(point: PointId, report: &CompareReport) -> DataCheck {
    let differences = &report.tables.differences;
    let not_compared = |one: &&crate::compare::TableDifference| one.change == TableChange::NotCompared;
    let unread = differences.iter().filter(not_compared);
    let unread = unread.map(|one| format!("{}: {}", one.table, one.why.as_deref().unwrap_or("not known why")));
    let differing = differences.iter().filter(|one| !not_compared(one)).map(|one| one.table.clone());
    let objects = &report.large_objects;
    let large = objects.gone + objects.added + objects.changed;
    let large = (large > 0).then(|| format!("{large} large objects"));
    DataCheck {
        point: Some(point),
        point_at: Some(report.then.at),
        tables: report.tables.then,
        equal: Some(report.tables.equal),
        differing: differing.chain(large).collect(),
        objects: report.objects.iter().map(|one| one.object.clone()).collect(),
        not_compared: unread.collect(),
        not_read: report.not_read.clone(),
        ..DataCheck::default()
    }
}

/// A failure to read, where it says that stored bytes are not what they were.
fn damaged(error: Error, name: &str) -> Error {
    let of_server = match &error {
        Error::Postgres(error) | Error::Engine(holdpoint_engine::Error::Postgres(error)) => error,
        _ => return error,
    };
    match of_server.sqlstate() {
        Some(state) if is_damage(state) => {
            let said = of_server.said().unwrap_or_else(|| of_server.to_string());
            Error::InstanceDisproved { name: name.to_owned(), differences: vec![format!("{of_server}: {said}")] }
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_point_of_another_server_says_nothing_of_the_data() {
        let identity = |system: Option<&str>| Identity {
            system_identifier: system.map(str::to_owned),
            database_oid: 5,
            database: "shop".to_owned(),
            timeline: None,
            endpoint: "db:5432".to_owned(),
            resource_id: None,
        };
        let point: PointId = "20261121T024300Z-k3f9".parse().unwrap();
        let error = of_the_same_server(&point, &identity(Some("7")), "new", &identity(Some("8"))).unwrap_err();
        let told = error.to_string();
        assert!(told.starts_with("restore point 20261121T024300Z-k3f9 is of another server than new"), "{told}");
        assert!(error.hint().unwrap().contains("rds cut-over new --unchecked"), "{:?}", error.hint());
        for (was, is) in [(Some("7"), Some("7")), (None, Some("7")), (Some("7"), None)] {
            assert!(of_the_same_server(&point, &identity(was), "new", &identity(is)).is_ok());
        }
    }
}
