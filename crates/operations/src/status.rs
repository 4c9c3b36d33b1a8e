//! `holdpoint status`: one screen on where a database stands.

use chrono::{DateTime, Utc};
use holdpoint_core::ledger::RunStep;
use holdpoint_core::quantity::counted;
use holdpoint_core::verification::Standing;
use holdpoint_core::{DatabaseName, Identity};
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
    /// Runs that nobody has settled, newest step of each.
    pub unsettled: Vec<RunStep>,
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
    let proven = |point: &&PointSummary| matches!(point.standing, Standing::Proven { .. });
    let newest_proven = unlabelled().filter(proven).max_by_key(|point| point.taken_at()).cloned();
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
    let identity = context.repository.identity(&context.database).await?.map(|record| record.identity);
    Ok(StatusReport {
        database: context.database.clone(),
        repository: context.repository.store().url().to_string(),
        identity,
        points: listed.points.len(),
        newest,
        newest_proven,
        unsettled,
        at,
        warnings,
    })
}
