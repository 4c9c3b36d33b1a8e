//! `holdpoint list` and `holdpoint show`: what the repository holds.

use chrono::{DateTime, Utc};
use holdpoint_core::manifest::PointFormat;
use holdpoint_core::verification::{Standing, UnreadableVerification, Verification};
use holdpoint_core::{DatabaseName, Manifest, PointId, PointKind, Recorded};
use holdpoint_repository::{StoredPoint, Verifications};
use serde::Serialize;

use crate::retention::UnreadablePin;
use crate::{Context, Error, reading};

mod owners;
mod survey;

pub(crate) use owners::Owners;
pub(crate) use survey::{Attempt, RecordedObject, Surveyed, survey};

/// Where and how a restore point's data are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredAs {
    /// In a custom-format archive.
    Archive,
    /// As SQL text.
    Plain,
    /// In a snapshot of the RDS instance, which lies in RDS.
    RdsSnapshot,
}

impl StoredAs {
    /// Which kind of restore point that is.
    pub fn kind(self) -> PointKind {
        match self {
            Self::Archive | Self::Plain => PointKind::Archive,
            Self::RdsSnapshot => PointKind::RdsSnapshot,
        }
    }
}

/// A restore point in a list.
#[derive(Clone, Debug, Serialize)]
pub struct PointSummary {
    /// Which.
    pub id: PointId,
    /// Its snapshot's instant, by the source server's clock.
    pub snapshot_at: DateTime<Utc>,
    /// The same by the store's clock, where that is known.
    pub taken_at_by_store: Option<DateTime<Utc>>,
    /// How the data are stored.
    pub stored_as: StoredAs,
    /// The snapshot's name, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// It holds a part of the database only.
    pub partial: bool,
    /// Bytes stored in the repository; 0 of a snapshot, which lies in RDS.
    pub stored_bytes: u64,
    /// Rows; `None` of a snapshot, which nobody counted.
    pub rows: Option<u64>,
    /// What its verifications say.
    pub standing: Standing,
    /// Names of its pins.
    pub pins: Vec<String>,
    /// Pins of people and of runs whose end is past: nobody is held by them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub over_pins: Vec<String>,
    /// Those of its pins that cannot be read: they hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable_pins: Vec<UnreadablePin>,
    /// Why it was made.
    pub reason: Option<String>,
    /// Its mark.
    pub label: Option<String>,
    /// Verifications that cannot be read: any may be a disproof.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableVerification>,
    /// Keys of its objects that are gone, or have another length than was stored, as a list of all restore points shows it: whatever
    /// its standing, it cannot be restored. Of a snapshot, which lies in RDS, nobody asks here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
}

impl PointSummary {
    /// Whether it is proven, and nothing that the store has of it was lost since.
    pub(crate) fn is_proven_and_there(&self) -> bool {
        matches!(self.standing, Standing::Proven { .. }) && self.incomplete.is_empty()
    }

    /// Whether it is one of the whole database that nobody labelled: only such a one counts for others.
    pub(crate) fn is_whole(&self) -> bool {
        !self.partial && self.label.is_none()
    }

    /// Whether it is such a one, and an archive: what selectors choose from.
    pub(crate) fn is_whole_archive(&self) -> bool {
        self.is_whole() && self.is_archive()
    }

    /// Whether it is an archive.
    pub(crate) fn is_archive(&self) -> bool {
        self.stored_as.kind() == PointKind::Archive
    }

    /// By what restore points are put in order of time: one that a wrong clock dated is not newer than those after it.
    pub(crate) fn taken_at(&self) -> DateTime<Utc> {
        self.taken_at_by_store.unwrap_or(self.snapshot_at)
    }
}

/// The restore points of a database, oldest first.
#[derive(Clone, Debug, Serialize)]
pub struct ListReport {
    /// The database.
    pub database: DatabaseName,
    /// Its restore points.
    pub points: Vec<PointSummary>,
    /// Restore points whose manifest cannot be read, with the reason.
    pub unreadable: Vec<Unreadable>,
}

/// A restore point whose manifest cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Which.
    pub id: PointId,
    /// Why not.
    pub reason: String,
}

/// Everything about one restore point.
#[derive(Clone, Debug, Serialize)]
pub struct ShowReport<M = Manifest> {
    /// Its manifest: of an archive, or of either kind ([`Recorded`]).
    pub manifest: M,
    /// Its snapshot's instant by the store's clock, where that is known.
    pub taken_at_by_store: Option<DateTime<Utc>>,
    /// What its verifications say together.
    pub standing: Standing,
    /// Its verifications, oldest first.
    pub verifications: Vec<Verification>,
    /// Verifications that cannot be read: any may be a disproof.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableVerification>,
    /// Names of its pins.
    pub pins: Vec<String>,
    /// Pins of people and of runs whose end is past: nobody is held by them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub over_pins: Vec<String>,
    /// Those of its pins that cannot be read: they hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable_pins: Vec<UnreadablePin>,
}

/// Lists the restore points of a database, oldest first.
///
/// A manifest that cannot be read does not hide the others: it is listed with its reason.
pub async fn list(context: &Context) -> Result<ListReport, Error> {
    let (points, unreadable) = survey(context, context.time(false).await?.0).await?;
    let points = points.into_iter().map(|one| one.summary).collect();
    Ok(ListReport { database: context.database.clone(), points, unreadable })
}

/// Tells everything about one restore point that is an archive.
///
/// # Errors
/// [`Error::NoSuchPoint`]; a snapshot of an instance is refused, with what to do instead.
pub async fn show(context: &Context, point: &PointId) -> Result<ShowReport, Error> {
    let shown = show_any(context, point).await?;
    let stored = StoredPoint { recorded: shown.manifest, sha256: String::new(), written_at: None };
    Ok(ShowReport {
        manifest: stored.archive()?.manifest,
        taken_at_by_store: shown.taken_at_by_store,
        standing: shown.standing,
        verifications: shown.verifications,
        unreadable: shown.unreadable,
        pins: shown.pins,
        over_pins: shown.over_pins,
        unreadable_pins: shown.unreadable_pins,
    })
}

/// Tells everything about one restore point of either kind.
///
/// # Errors
/// [`Error::NoSuchPoint`]; else those of the repository.
pub async fn show_any(context: &Context, point: &PointId) -> Result<ShowReport<Recorded>, Error> {
    show_at(context, point, context.time(false).await?.0).await
}

/// As [`show_any`]; `now` is the time by the store's clock, which dates verdicts, so that they are weighed by no other one.
///
/// # Errors
/// As [`show_any`].
pub(crate) async fn show_at(
    context: &Context,
    point: &PointId,
    now: DateTime<Utc>,
) -> Result<ShowReport<Recorded>, Error> {
    let database = &context.database;
    let shown = match context.repository.recorded(database, point).await {
        Ok(stored) => shown(context, stored, now).await,
        Err(error) => Err(error.into()),
    };
    match shown {
        Err(Error::Repository(holdpoint_repository::Error::NotFound { .. })) => {
            Err(no_such_point(context, point).await)
        }
        shown => shown,
    }
}

/// Says of a restore point that is not to be seen whether it is there, and hidden.
pub(crate) async fn no_such_point(context: &Context, point: &PointId) -> Error {
    let hidden = match context.repository.hidden(&context.database, point).await {
        Ok(_) => true,
        Err(error) if error.is_of_record() => true,
        Err(error) if error.is_not_found() => false,
        Err(error) => return error.into(),
    };
    let why = if hidden { "a prune hides it" } else { "it has no manifest" };
    Error::NoSuchPoint {
        selector: point.to_string(),
        database: context.database.to_string(),
        why: why.to_owned(),
        hidden,
    }
}

/// Tells everything about a restore point that a prune hid; `now` as of [`show_at`].
pub(crate) async fn show_hidden(
    context: &Context,
    point: &PointId,
    now: DateTime<Utc>,
) -> Result<ShowReport<Recorded>, Error> {
    let stored = context.repository.hidden(&context.database, point).await?;
    shown(context, stored, now).await
}

async fn shown(context: &Context, stored: StoredPoint, now: DateTime<Utc>) -> Result<ShowReport<Recorded>, Error> {
    let (repository, database, point) = (&context.repository, &context.database, stored.recorded.id());
    let Verifications { made: verifications, unreadable } = repository.verifications(database, point).await?;
    let standing = holdpoint_core::verification::standing(&verifications, &unreadable, &stored.sha256, now);
    let mut pins = repository.pins(database, point).await?;
    // Left by readers that were killed, or may not delete.
    pins.retain(|name| !reading::is_over(name, now));
    let (over_pins, unreadable_pins) = crate::retention::pins_over(context, point, &pins, now).await;
    pins.retain(|name| !over_pins.contains(name));
    let taken_at_by_store = stored.recorded.taken_at_by_store(stored.written_at);
    Ok(ShowReport {
        manifest: stored.recorded,
        taken_at_by_store,
        standing,
        verifications,
        unreadable,
        pins,
        over_pins,
        unreadable_pins,
    })
}

impl ShowReport<Recorded> {
    /// The restore point as it stands in a list.
    pub fn summary(&self) -> PointSummary {
        let (stored_as, snapshot, partial, stored_bytes, rows, label) = match &self.manifest {
            Recorded::Archive(one) => {
                let stored_as = match one.stored_as {
                    PointFormat::Archive => StoredAs::Archive,
                    PointFormat::Plain => StoredAs::Plain,
                };
                let rows = Some(one.totals.rows);
                (stored_as, None, !one.options.is_empty(), stored_bytes(one), rows, one.label.clone())
            }
            Recorded::Snapshot(one) => (StoredAs::RdsSnapshot, Some(one.snapshot.name.clone()), false, 0, None, None),
        };
        PointSummary {
            id: self.manifest.id().clone(),
            snapshot_at: self.manifest.snapshot_at(),
            taken_at_by_store: self.taken_at_by_store,
            stored_as,
            snapshot,
            partial,
            stored_bytes,
            rows,
            standing: self.standing,
            pins: self.pins.clone(),
            over_pins: self.over_pins.clone(),
            unreadable_pins: self.unreadable_pins.clone(),
            reason: self.manifest.reason().map(str::to_owned),
            label,
            unreadable: self.unreadable.clone(),
            incomplete: Vec::new(),
        }
    }
}

/// Bytes that a restore point stores, as lists tell them.
pub(crate) fn stored_bytes(manifest: &Manifest) -> u64 {
    let contents = manifest.contents.as_ref().map_or(0, |one| one.bytes);
    manifest.archive.bytes + manifest.index.bytes + manifest.globals.bytes + contents
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use holdpoint_core::layout;
    use holdpoint_repository::{ObjectStore, Repository};

    use super::*;
    use crate::sample_context::{self, sample};
    use crate::{schedule, stepped};

    #[tokio::test]
    async fn what_a_prune_hides_is_told_from_what_is_not_there() {
        let memory = stepped::Memory::default();
        let context = sample_context::with_a_point(Arc::new(memory.clone())).await;
        let [hidden, never] = [sample::point(1), sample::point(2)];
        memory.write(&format!("{}x.json", layout::withdrawn(&sample::shop(), &hidden)), "{}");
        for (point, said) in [(hidden, "shows it again"), (never, "see what there is")] {
            let errors = [
                show_any(&context, &point).await.map(drop).unwrap_err(),
                crate::expected::manifest(&context, &point).await.map(drop).unwrap_err(),
            ];
            for error in errors {
                let hint = error.hint().unwrap();
                assert!(matches!(error, Error::NoSuchPoint { .. }) && hint.contains(said), "{error}: {hint}");
            }
        }
    }

    #[tokio::test]
    async fn a_list_beside_a_prune_has_a_point_or_has_it_not() {
        let (mut listed, mut gone) = (0, 0);
        schedule::orders_interrupted(2, async |order| {
            let memory = stepped::Memory::default();
            sample_context::with_a_point(Arc::new(memory.clone())).await;
            let id = sample::point(1);
            let at = sample::NOW.parse().unwrap();
            memory.write(&layout::verification(&sample::shop(), &id, at, "proved"), &sample::proof(&id).to_string());
            let listing = async |store: Arc<dyn ObjectStore>| {
                list(&sample_context::of(Repository::open(store).await.unwrap())).await
            };
            let pruning = async |store: Arc<dyn ObjectStore>| {
                Repository::open(store).await.unwrap().withdraw(&sample::shop(), &id, &[]).await.unwrap()
            };
            let ended = schedule::run(order, &memory, Box::new(listing), Box::new(pruning), None).await;
            let list = ended.first.unwrap().expect("a list fails because of a prune");
            assert_eq!(list.unreadable.len(), 0);
            if list.points.is_empty() { gone += 1 } else { listed += 1 }
        })
        .await;
        assert!(listed > 0 && gone > 0, "{listed} {gone}");
    }
}
