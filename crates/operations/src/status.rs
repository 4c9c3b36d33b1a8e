//! `holdpoint status`: one screen on where a database stands.

use chrono::{DateTime, Utc};
use holdpoint_core::ledger::RunStep;
use holdpoint_core::quantity::counted;
use holdpoint_core::verification::Standing;
use holdpoint_core::{DatabaseName, Identity};
use holdpoint_repository::UnreadableStep;
use serde::Serialize;

use crate::catalogue::{PointSummary, list};
use crate::selection::unsettled_runs;
use crate::{Context, Error};

/// Where a database stands.
#[derive(Clone, Debug, Serialize)]
pub struct StatusReport {
    /// The database.
    pub database: DatabaseName,
    /// The repository, without credentials.
    pub repository: String,
    /// Which database the folder belongs to.
    pub identity: Option<Identity>,
    /// How many restore points there are.
    pub points: usize,
    /// The newest whole archive.
    pub newest: Option<PointSummary>,
    /// The newest proven one.
    pub newest_proven: Option<PointSummary>,
    /// Runs that nobody has settled, newest step of each that can be read.
    pub unsettled: Vec<RunStep>,
    /// Steps of runs that cannot be read, oldest run first.
    pub unreadable_steps: Vec<UnreadableStep>,
    /// When this was asked.
    pub at: DateTime<Utc>,
    /// What should be looked at.
    pub warnings: Vec<String>,
}

/// Says where a database stands.
pub async fn status(context: &Context) -> Result<StatusReport, Error> {
    let at = (context.clock)();
    let listed = list(context).await?;
    let unsettled = unsettled_runs(context).await?;
    // As selectors choose: `verify latest` knows no snapshot.
    let unlabelled = || listed.points.iter().filter(|point| point.is_whole_archive());
    let newest = unlabelled().max_by_key(|point| point.taken_at()).cloned();
    let newest_proven =
        unlabelled().filter(|point| point.is_proven_and_there()).max_by_key(|point| point.taken_at()).cloned();
    let mut warnings: Vec<String> =
        listed.unreadable.iter().map(|point| format!("{} cannot be read: {}", point.id, point.reason)).collect();
    warnings.extend(listed.points.iter().flat_map(|point| &point.unreadable).map(|one| one.reason.clone()));
    let snapshots = listed.points.iter().filter(|point| !point.is_archive()).count();
    if newest.is_none() && snapshots > 0 {
        let of_all = counted(snapshots as u64, "snapshot");
        warnings.push(format!("there is no restore point but {of_all} of its instance: holdpoint backup"));
    } else if newest.is_none() {
        warnings.push("there is no restore point: holdpoint backup".to_owned());
    } else if newest_proven.is_none() {
        warnings.push("no restore point is proven: holdpoint verify latest".to_owned());
    }
    for point in
        listed.points.iter().filter(|point| point.is_whole() && matches!(point.standing, Standing::Disproved { .. }))
    {
        warnings.push(format!("{} is disproved: holdpoint show {}", point.id, point.id));
    }
    warnings.extend(listed.points.iter().filter(|point| !point.incomplete.is_empty()).map(|point| {
        format!("{} cannot be restored, as objects of it are gone or cut off: holdpoint check", point.id)
    }));
    warnings.extend(unsettled.unreadable.iter().map(UnreadableStep::words));
    let identity = match context.repository.identity(&context.database).await {
        Ok(record) => record.map(|record| record.identity),
        // Whoever looks where things stand is told the rest all the same.
        Err(error) if error.is_of_record() => {
            let why = Error::from(error).line();
            warnings.push(format!("which database the folder belongs to is not known: {why}; holdpoint check"));
            None
        }
        Err(error) => return Err(error.into()),
    };
    Ok(StatusReport {
        database: context.database.clone(),
        repository: context.repository.store().url().to_string(),
        identity,
        points: listed.points.len(),
        newest,
        newest_proven,
        unsettled: unsettled.steps,
        unreadable_steps: unsettled.unreadable,
        at,
        warnings,
    })
}

#[cfg(test)]
mod tests {
    use holdpoint_core::{RunId, layout};
    use holdpoint_repository::PutOptions;

    use super::*;
    use crate::sample_context::{self, sample};

    #[tokio::test]
    async fn what_cannot_be_read_or_restored_is_told_beside_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let context = sample_context::in_directory(folder.path()).await;
        sample_context::publish(&context.repository).await;
        let (id, store) = (sample::point(1), context.repository.store());
        let mut proof = sample::proof(&id);
        proof["manifest_sha256"] = context.repository.manifest(&context.database, &id).await.unwrap().sha256.into();
        let made = serde_json::from_value(proof).unwrap();
        context.repository.record_verification(&context.database, &made).await.unwrap();
        let whole = status(&context).await.unwrap();
        assert_eq!((whole.newest_proven.unwrap().id, whole.warnings.len()), (id.clone(), 0), "{:?}", whole.warnings);
        assert!(whole.identity.is_some());

        // Somebody's notes beside the steps of a run, a record that was cut off, and an archive that is gone.
        let run = RunId::new(sample::NOW.parse().unwrap(), 1);
        let notes = format!("{}notes.json", layout::run(&context.database, &run));
        let cut_off = layout::identity(&context.database, sample::NOW.parse().unwrap());
        let step = layout::run_step(&context.database, &run, 4, "failed");
        for key in [&notes, &cut_off, &step] {
            store.put_new(key, "{".into(), PutOptions::default()).await.unwrap();
        }
        let archive = layout::archive(&context.database, &id);
        store.delete(&archive).await.unwrap();
        let told = status(&context).await.unwrap();
        assert_eq!((told.points, told.newest.unwrap().incomplete), (1, vec![archive]));
        assert!(told.newest_proven.is_none() && told.identity.is_none() && told.unsettled.is_empty());
        let warnings = told.warnings.join("\n");
        for words in ["objects of it are gone", "belongs to is not known", cut_off.as_str(), step.as_str()] {
            assert!(warnings.contains(words), "{words}: {warnings}");
        }
        let looked = crate::retention::outlook(&context, None).await.unwrap();
        assert_eq!((looked.points, looked.proven, looked.unusable), (1, 0, 1));
        // Its key says that the run failed: what was made after it may hold the damage.
        assert_eq!(told.unreadable_steps.len(), 1);
        let left = unsettled_runs(&context).await.unwrap();
        assert_eq!((left.runs.len(), left.steps.len()), (1, 0));
        store.delete(&step).await.unwrap();
        assert_eq!(context.repository.steps(&context.database, &run).await.unwrap(), []);
    }
}
