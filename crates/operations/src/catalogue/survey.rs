//! A survey of a database's restore points: what is kept of each has a fixed size, whatever its tables, settings and
//! verifications hold.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use holdpoint_core::recorded::SnapshotFacts;
use holdpoint_core::retention::{Aside, Held, Hold};
use holdpoint_core::verification::{Level, Verdict, Verification};
use holdpoint_core::{Identity, Manifest, PointId, PointKind, Recorded, layout};
use holdpoint_repository::PointFolders;

use super::{PointSummary, ShowReport, Unreadable, show_at};
use crate::check::objects::ask;
use crate::{Context, Error, reading};

/// What a survey keeps of a restore point.
#[derive(Clone, Debug)]
pub(crate) struct Surveyed {
    /// What lists tell of it.
    pub(crate) summary: PointSummary,
    /// The repository that it was made in.
    pub(crate) repository_id: String,
    /// Of which database it is.
    pub(crate) identity: Identity,
    /// Why it counts for no other one.
    pub(crate) aside: Option<Aside>,
    /// Bytes of its archive; 0 of a snapshot.
    pub(crate) archive_bytes: u64,
    /// Its verifications, oldest first.
    pub(crate) attempts: Vec<Attempt>,
    /// What its objects are, as recorded; none of a snapshot.
    pub(crate) objects: Vec<RecordedObject>,
    /// The snapshot that it is, where it is one.
    pub(crate) snapshot: Option<SnapshotFacts>,
}

impl Surveyed {
    /// Which restore point it is.
    pub(crate) fn id(&self) -> &PointId {
        &self.summary.id
    }

    /// Whether it is an archive.
    pub(crate) fn is_archive(&self) -> bool {
        self.summary.stored_as.kind() == PointKind::Archive
    }

    /// The restore point as retention sees it.
    pub(crate) fn held(&self, holds: Vec<Hold>) -> Held {
        let summary = &self.summary;
        Held {
            id: summary.id.clone(),
            kind: summary.stored_as.kind(),
            snapshot_at: summary.snapshot_at,
            by_store: summary.taken_at_by_store,
            standing: summary.standing,
            aside: self.aside.clone(),
            holds,
        }
    }

    /// Whether the store has everything that it is made of, as long as recorded; a request an object.
    pub(crate) async fn is_all_there(&self, context: &Context) -> Result<bool, Error> {
        Ok(ask(context, self.id(), &self.objects).await?.is_empty())
    }

    /// Whether it tells what the database can be brought back from: it is whole, and its clock was right.
    pub(crate) fn counts(&self, now: DateTime<Utc>) -> bool {
        self.held(Vec::new()).counts(now)
    }
}

impl From<&ShowReport<Recorded>> for Surveyed {
    fn from(shown: &ShowReport<Recorded>) -> Self {
        let manifest = &shown.manifest;
        let (archive_bytes, snapshot) = match manifest {
            Recorded::Archive(one) => (one.archive.bytes, None),
            Recorded::Snapshot(one) => (0, Some(one.snapshot.clone())),
        };
        Self {
            summary: shown.summary(),
            repository_id: manifest.repository_id().to_owned(),
            identity: manifest.identity().clone(),
            aside: manifest.aside(),
            archive_bytes,
            attempts: shown.verifications.iter().map(Attempt::from).collect(),
            objects: RecordedObject::all_of(manifest),
            snapshot,
        }
    }
}

/// What a verification found and took, without what it compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// How far it went.
    pub(crate) level: Level,
    /// What it found.
    pub(crate) verdict: Verdict,
    /// When it began.
    pub(crate) started_at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub(crate) took_ms: u64,
    /// Bytes read from the repository.
    pub(crate) bytes_read: u64,
}

impl From<&Verification> for Attempt {
    fn from(made: &Verification) -> Self {
        let Verification { level, verdict, started_at, took_ms, bytes_read, .. } = *made;
        Self { level, verdict, started_at, took_ms, bytes_read }
    }
}

/// An object that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedObject {
    /// Its key below the repository's root.
    pub(crate) key: String,
    /// Its length.
    pub(crate) bytes: u64,
    /// The CRC-64/NVME of the whole object, where the store confirmed one.
    pub(crate) crc64nvme: Option<String>,
}

impl RecordedObject {
    /// Every object that a restore point is made of, but its manifest; the archive is the last.
    pub(crate) fn all_of(recorded: &Recorded) -> Vec<Self> {
        match recorded {
            Recorded::Archive(manifest) => Self::of_archive(manifest),
            Recorded::Snapshot(_) => Vec::new(),
        }
    }

    fn of_archive(manifest: &Manifest) -> Vec<Self> {
        let archive = &manifest.archive;
        let small = [Some(&manifest.index), Some(&manifest.globals), manifest.contents.as_ref()];
        let small = small.into_iter().flatten();
        let small = small.map(|one| Self { key: one.key.clone(), bytes: one.bytes, crc64nvme: None });
        let crc64nvme = archive.crc64nvme.clone();
        small.chain([Self { key: archive.key.clone(), bytes: archive.bytes, crc64nvme }]).collect()
    }
}

/// Reads every restore point, oldest first, and tells which cannot be read. Memory: one manifest with its verifications, and
/// a [`Surveyed`] for each. `now` is the time by the store's clock, as verdicts are dated by it.
/// A signal that comes meanwhile ends it at once.
pub(crate) async fn survey(context: &Context, now: DateTime<Utc>) -> Result<(Vec<Surveyed>, Vec<Unreadable>), Error> {
    if context.cancel.is_cancelled() {
        // Who asks after a signal wants to know all the same.
        return Box::pin(surveyed(context, now)).await;
    }
    tokio::select! {
        biased;
        read = Box::pin(surveyed(context, now)) => read,
        () = context.cancel.cancelled() => Err(Error::Interrupted),
    }
}

async fn surveyed(context: &Context, now: DateTime<Utc>) -> Result<(Vec<Surveyed>, Vec<Unreadable>), Error> {
    let (mut points, mut unreadable, mut not_there) = (Vec::new(), Vec::new(), Vec::new());
    let PointFolders { published, stored, .. } = context.repository.folders(&context.database).await?;
    for id in published {
        match show_at(context, &id, now).await {
            Ok(shown) => {
                let mut point = Surveyed::from(&shown);
                if let Some(incomplete) = incomplete(context, &point, stored.get(&id)).await? {
                    point.summary.incomplete = incomplete;
                    points.push(point);
                }
            }
            Err(Error::NoSuchPoint { .. }) => not_there.push(id),
            Err(Error::Repository(error)) if error.is_of_record() => {
                unreadable.push(Unreadable { id, reason: error.to_string() });
            }
            Err(error) => return Err(error),
        }
    }
    if !not_there.is_empty() {
        // What was withdrawn since the list shows in the next one; else the list and the objects of the store are out of step.
        let listed = context.repository.folders(&context.database).await?.published;
        let reason = "the store lists its manifest, and says that it is not there when it is read";
        let out_of_step = not_there.into_iter().filter(|id| listed.contains(id));
        unreadable.extend(out_of_step.map(|id| Unreadable { id, reason: reason.to_owned() }));
    }
    Ok((points, unreadable))
}

/// The keys of a restore point's objects that are gone, or have another length than was stored; `None` where it was dropped since
/// it was listed. Where the list shows all of them nothing more is asked; else each is asked for, as a list is not of one moment.
async fn incomplete(
    context: &Context,
    point: &Surveyed,
    listed: Option<&BTreeMap<String, u64>>,
) -> Result<Option<Vec<String>>, Error> {
    let folder = layout::point(&context.database, point.id());
    let is_listed = |one: &RecordedObject| {
        let name = one.key.strip_prefix(&folder);
        name.and_then(|name| listed?.get(name)) == Some(&one.bytes)
    };
    if point.objects.iter().all(is_listed) {
        return Ok(Some(Vec::new()));
    }
    let found = ask(context, point.id(), &point.objects).await?;
    if !found.is_empty() && reading::is_dropped(context, point.id()).await? {
        return Ok(None);
    }
    Ok(Some(found.into_iter().map(|one| one.place).collect()))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use serde_json::json;

    use super::*;
    use crate::{sample_context, sample_points as sample};

    /// A restore point whose manifest is as large as one may be, with a verification that kept so many schema objects.
    fn shown(names: usize) -> ShowReport<Recorded> {
        let id = sample::point(1);
        let mut manifest = sample::manifest(&id);
        manifest.archive.crc64nvme = Some("AAAAAAAAAAA=".to_owned());
        let setting = |n: usize| json!({"role": format!("role{n}"), "name": "search_path", "value": "a, b"});
        manifest.database_properties.settings =
            (0..names / 10).map(|n| serde_json::from_value(setting(n)).unwrap()).collect();
        manifest.recipe = vec!["aws s3 cp".to_owned(); names / 10];
        let object = |n: usize| json!({"description": "TABLE", "namespace": "public", "tag": format!("t{n}"), "owner": "o", "sha256": "00"});
        let verification = json!({
            "format": 1, "point": id, "level": "full", "verdict": "proved", "started_at": sample::NOW, "took_ms": 60_000,
            "restore_took_ms": null, "measured_on": "here", "manifest_sha256": "00", "archive_sha256": null,
            "bytes_read": 1_000, "compared": {"tables": names, "rows": 1, "sequences": 0, "large_objects": 0, "objects": names},
            "not_compared": vec!["a long word"; names], "notes": vec!["another"; names],
            "normal": (0..names).map(object).collect::<Vec<_>>(),
        });
        let verifications = vec![serde_json::from_value(verification).unwrap()];
        let standing = holdpoint_core::verification::standing(&verifications, &[], "00", sample_context::now());
        let (unreadable, pins) = (Vec::new(), vec!["audit".to_owned()]);
        let manifest = Recorded::Archive(Box::new(manifest));
        ShowReport {
            manifest,
            taken_at_by_store: None,
            standing,
            verifications,
            unreadable,
            pins,
            over_pins: Vec::new(),
            unreadable_pins: Vec::new(),
        }
    }

    /// What it holds, spelled out.
    fn length(one: &impl std::fmt::Debug) -> usize {
        let mut text = String::new();
        write!(text, "{one:?}").unwrap();
        text.len()
    }

    #[test]
    fn what_is_kept_of_a_restore_point_does_not_grow_with_what_it_holds() {
        let (small, large) = (shown(0), shown(10_000));
        assert!(length(&large) > 1000 * length(&Surveyed::from(&large)), "the sample is a large one");
        assert_eq!(length(&Surveyed::from(&small)), length(&Surveyed::from(&large)));
    }

    #[test]
    fn what_is_kept_is_what_was_recorded() {
        let shown = shown(10);
        let kept = Surveyed::from(&shown);
        assert_eq!((kept.id(), &*kept.repository_id, kept.aside.as_ref()), (shown.manifest.id(), "r", None));
        let Recorded::Archive(manifest) = &shown.manifest else { panic!("{:?}", shown.manifest) };
        assert_eq!((kept.archive_bytes, kept.is_archive()), (manifest.archive.bytes, true));
        let [attempt] = &*kept.attempts else { panic!("{:?}", kept.attempts) };
        assert_eq!((attempt.level, attempt.verdict, attempt.took_ms), (Level::Full, Verdict::Proved, 60_000));
        assert_eq!((attempt.bytes_read, attempt.started_at), (1_000, sample::NOW.parse().unwrap()));
        let keys: Vec<_> = kept.objects.iter().map(|one| (one.key.as_str(), one.bytes)).collect();
        let [archive, index, globals] = sample::objects(kept.id());
        let of = |(key, text): &(String, &'static str)| (key.clone(), text.len() as u64);
        let expected = [of(&index), of(&globals), of(&archive)];
        assert_eq!(keys, expected.iter().map(|(key, bytes)| (key.as_str(), *bytes)).collect::<Vec<_>>());
        assert_eq!(kept.objects[2].crc64nvme.as_deref(), Some("AAAAAAAAAAA="));
    }
}
