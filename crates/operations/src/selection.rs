//! Which restore point a selector names.

use chrono::{DateTime, Utc};
use holdpoint_core::ledger::RunStep;
use holdpoint_core::quantity::{counted, listed};
use holdpoint_core::selector::Selector;
use holdpoint_core::undoing::Way;
use holdpoint_core::{PointId, RunId};
use holdpoint_repository::UnreadableStep;

use crate::catalogue::{ListReport, PointSummary, Unreadable, list};
use crate::error::LISTED;
use crate::{Context, Error};

/// Finds the restore point that a selector names.
///
/// Points with a label (made by `undo`), points of a part of the database and snapshots of its instance are only found by their id. Foreign dumps and RDS instants are not in the
/// repository and are refused.
pub async fn resolve(context: &Context, selector: &Selector) -> Result<PointId, Error> {
    let nothing = |why: &str| Error::NoSuchPoint {
        selector: selector.to_string(),
        database: context.database.to_string(),
        why: why.to_owned(),
        hidden: false,
    };
    match selector {
        Selector::Id(id) => Ok(id.clone()),
        Selector::Latest => {
            let chosen = choose(context, |_| true, None).await?;
            // One that is there may be a part of the database, a snapshot or undo's.
            let none = if chosen.is_silent() { "there is none yet" } else { "there is none" };
            chosen.or(none, nothing)
        }
        Selector::Proven => {
            choose(context, PointSummary::is_proven_and_there, None).await?.or("none is proven", nothing)
        }
        Selector::BeforeInstant(at) => {
            if *at > (context.clock)() {
                return Err(nothing("the instant is in the future"));
            }
            let before = |point: &PointSummary| point.snapshot_at < *at;
            choose(context, before, Some(*at)).await?.or("none is that old", nothing)
        }
        Selector::BeforeRun(run) | Selector::Run(run) => {
            let point = |steps: &[RunStep]| steps.iter().rev().find_map(|step| step.point.clone());
            // Each step repeats what those before it know.
            if let Some(point) = point(&context.repository.readable_steps(&context.database, run).await?.read) {
                return Ok(point);
            }
            let steps = context.repository.steps(&context.database, run).await?;
            match (point(&steps), steps.is_empty()) {
                (Some(point), _) => Ok(point),
                (None, true) => Err(nothing("there is no such run")),
                (None, false) => Err(nothing("that run never had a restore point")),
            }
        }
        Selector::Foreign(_) => {
            Err(Error::Usage(format!("{selector} is a dump, not a restore point of the repository")))
        }
        Selector::RdsInstant(_) | Selector::RdsBeforeRun(_) => Err(Error::Usage(format!(
            "{selector} is the past of an RDS instance, which recover-table reads and holdpoint rds restore makes an \
             instance of; it is no restore point of the repository"
        ))),
    }
}

/// Refuses what `latest` and `proven` select when it was made after a run that nobody settled: it may hold the damage.
///
/// The oldest such run is named: only what was made before it is certainly whole.
pub(crate) async fn refuse_after_unsettled(
    context: &Context,
    selector: &Selector,
    point: &PointId,
) -> Result<(), Error> {
    if !matches!(selector, Selector::Latest | Selector::Proven) {
        return Ok(());
    }
    match unsettled_runs(context).await?.runs.first() {
        // A run's own point is made for it, right after its id.
        Some(run) if run.point.as_ref() != Some(point) && point.at() >= run.run.at() => {
            let steps = context.repository.readable_steps(&context.database, &run.run).await?.read;
            let snapshot = snapshot_way(&steps).map(|command| format!("the snapshot that it relied on: {command}"));
            let back = snapshot.unwrap_or_else(|| format!("--from before:{}", run.run));
            Err(Error::UnsettledRun { run: run.run.to_string(), back })
        }
        Some(_) | None => Ok(()),
    }
}

/// The command that goes back to before a run whose restore point is a snapshot of the instance, as the run recorded it; `None` of
/// one with an archive, which `before:RUN` selects.
pub fn snapshot_way(steps: &[RunStep]) -> Option<&str> {
    let ways = &steps.iter().rev().find(|step| !step.ways_back.is_empty())?.ways_back;
    let beside = ways.iter().find(|way| way.way == Way::Beside)?;
    beside.command.starts_with("holdpoint rds ").then_some(beside.command.as_str())
}

/// What the ledger leaves open.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    /// Runs that left the database in question, or may have, the oldest first.
    pub(crate) runs: Vec<UnsettledRun>,
    /// The newest step of each that can be read, oldest run first.
    pub(crate) steps: Vec<RunStep>,
    /// Steps of any run that cannot be read, oldest run first.
    pub(crate) unreadable: Vec<UnreadableStep>,
}

/// A run that left the database in question, or may have.
#[derive(Debug)]
pub(crate) struct UnsettledRun {
    run: RunId,
    /// The restore point that was made for it, as far as its steps can be read.
    point: Option<PointId>,
}

/// Reads which runs left the database in question. Of one whose newest step cannot be read its key tells.
pub(crate) async fn unsettled_runs(context: &Context) -> Result<Unsettled, Error> {
    let mut found = Unsettled::default();
    for run in context.repository.runs(&context.database).await? {
        let mut steps = context.repository.readable_steps(&context.database, &run).await?;
        if steps.may_be_unsettled() {
            let point = steps.read.iter().rev().find_map(|step| step.point.clone());
            found.runs.push(UnsettledRun { run, point });
            found.steps.extend(steps.newest().cloned());
        }
        found.unreadable.append(&mut steps.unreadable);
    }
    Ok(found)
}

/// What a selector comes to.
enum Choice {
    /// The newest that fits.
    Point(PointId),
    /// None of those that can be read fits; so many cannot be read, and may.
    None { unreadable: usize },
}

impl Choice {
    /// Whether nothing is there that nobody can read.
    fn is_silent(&self) -> bool {
        !matches!(self, Self::None { unreadable: 1.. })
    }

    /// The restore point; else why there is none.
    fn or(self, why: &str, nothing: impl Fn(&str) -> Error) -> Result<PointId, Error> {
        match self {
            Self::Point(id) => Ok(id),
            Self::None { unreadable: 0 } => Err(nothing(why)),
            Self::None { unreadable } => {
                let those = counted(unreadable as u64, "restore point");
                Err(nothing(&format!("{why} of those that can be read, and {those} cannot: holdpoint check")))
            }
        }
    }
}

/// The newest whole archive that fits. What is newer than that, was made before `before` and cannot be read is told: it may be
/// the one that was meant.
async fn choose(
    context: &Context,
    fits: impl Fn(&PointSummary) -> bool,
    before: Option<DateTime<Utc>>,
) -> Result<Choice, Error> {
    let ListReport { points, mut unreadable, .. } = list(context).await?;
    unreadable.retain(|one| before.is_none_or(|before| one.id.at() < before));
    let whole = points.into_iter().filter(|point| point.is_whole_archive() && fits(point));
    let Some(chosen) = whole.max_by_key(PointSummary::taken_at) else {
        return Ok(Choice::None { unreadable: unreadable.len() });
    };
    unreadable.retain(|one| one.id.at() > chosen.id.at());
    if let Some(Unreadable { reason, .. }) = unreadable.last() {
        let ids: Vec<String> = unreadable.iter().rev().map(|one| one.id.to_string()).collect();
        context.progress.note(&format!(
            "{} is chosen; what is newer and cannot be read is passed over: {} ({reason}); holdpoint check",
            chosen.id,
            listed(&ids, LISTED)
        ));
    }
    Ok(Choice::Point(chosen.id))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use holdpoint_core::layout;
    use holdpoint_core::progress::{Phase, Progress};

    use super::*;
    use crate::sample_context::{self, sample};

    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Progress for Notes {
        fn phase(&self, _: Phase, _: Option<u64>) {}

        fn advance(&self, _: u64) {}

        fn note(&self, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }

    #[tokio::test]
    async fn a_newer_one_that_cannot_be_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Arc::new(Notes::default());
        let context = sample_context::in_directory(folder.path()).await;
        let context = Context { progress: Arc::<Notes>::clone(&notes), ..context };
        sample_context::publish(&context.repository).await;
        let told = || std::mem::take(&mut *notes.0.lock().unwrap());
        assert_eq!(resolve(&context, &Selector::Latest).await.unwrap(), sample::point(1));
        assert_eq!(told(), [""; 0]);
        let spoiled = |at: &str| {
            let id = PointId::new(at.parse().unwrap(), 7);
            let manifest = folder.path().join(layout::manifest(&context.database, &id));
            std::fs::create_dir_all(manifest.parent().unwrap()).unwrap();
            std::fs::write(&manifest, "{").unwrap();
            (id, manifest)
        };
        let older = spoiled("2026-11-20T00:00:00Z");
        resolve(&context, &Selector::Latest).await.unwrap();
        assert_eq!(told(), [""; 0], "an older one is not what is meant");
        let (newer, _) = spoiled("2026-11-21T12:00:00Z");
        assert_eq!(resolve(&context, &Selector::Latest).await.unwrap(), sample::point(1));
        let notes = told();
        assert!(
            notes.len() == 1 && notes[0].contains(newer.as_str()) && notes[0].contains("holdpoint check"),
            "{notes:?}"
        );
        let before = Selector::BeforeInstant("2026-11-21T11:00:00Z".parse().unwrap());
        resolve(&context, &before).await.unwrap();
        assert_eq!(told(), [""; 0], "it is younger than what was asked for");
        // Many are told in one line.
        for second in 10..20 {
            spoiled(&format!("2026-11-21T12:00:{second}Z"));
        }
        resolve(&context, &Selector::Latest).await.unwrap();
        let notes = told();
        assert!(notes.len() == 1 && notes[0].contains("and 6 more"), "{notes:?}");
        // Where nothing else fits they are told in place of "none yet".
        let why = async |selector: &Selector| resolve(&context, selector).await.unwrap_err().line();
        let proven = why(&Selector::Proven).await;
        assert!(proven.contains("none is proven of those that can be read, and 12 restore points cannot"), "{proven}");
        std::fs::remove_file(folder.path().join(layout::manifest(&context.database, &sample::point(1)))).unwrap();
        let latest = why(&Selector::Latest).await;
        assert!(latest.contains("there is none of those that can be read, and 12 restore points cannot"), "{latest}");
        let old = why(&before).await;
        assert!(old.contains("none is that old of those that can be read, and 1 restore point cannot"), "{old}");
        std::fs::remove_file(older.1).unwrap();
        assert!(why(&before).await.ends_with("none is that old"));
    }
}
