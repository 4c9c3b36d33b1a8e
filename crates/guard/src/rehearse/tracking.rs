//! What the migration tool recorded: on the copy by the command, and on production by nobody.

use holdpoint_core::rehearsal::TrackingGrowth;
use holdpoint_postgres::{ConnectionSettings, Session};

use super::SESSIONS;
use crate::Error;
use crate::plan::Project;
use crate::tools::{Migration, Pending, Tool, Tracking, read_tracking};

/// Reads the tracking table; `None` where the project has none.
pub(super) async fn read(project: Option<&Project>, settings: &ConnectionSettings) -> Result<Option<Tracking>, Error> {
    let Some(project) = project.filter(|project| has_table(project)) else { return Ok(None) };
    let session = Session::connect(settings, &SESSIONS.purpose()).await?;
    let tracking = read_tracking(&project.found, &session).await;
    session.close().await;
    Ok(Some(tracking?))
}

/// Whether what is applied stands in a table.
pub(super) fn has_table(project: &Project) -> bool {
    project.found.table.is_some() && !matches!(project.found.tool, Tool::PlainSql | Tool::Command)
}

/// What was recorded between two moments, against what was pending.
pub(super) fn growth(
    project: Option<&Project>,
    pending: &[Migration],
    before: Option<&Tracking>,
    after: Option<&Tracking>,
) -> TrackingGrowth {
    let names = |list: &[Migration]| list.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    let mut growth = TrackingGrowth { pending: names(pending), ..TrackingGrowth::default() };
    let (Some(project), Some(before), Some(after)) = (project, before, after) else { return growth };
    let then = Pending::of(&project.found, &project.files, before);
    let now = Pending::of(&project.found, &project.files, after);
    growth.table = project.found.table.as_ref().map(ToString::to_string);
    growth.recorded = now.applied.iter().filter(|name| !then.applied.contains(name)).cloned().collect();
    let taken_back = then.applied.iter().any(|name| !now.applied.contains(name));
    let rows = |tracking: &Tracking| tracking.table().map_or(0, |table| table.rows.len());
    // A row that belongs to no file, or a second one of the same migration, is no growth by the pending list.
    let strange = rows(after).saturating_sub(rows(before)) != growth.recorded.len();
    let mut sorted = [growth.pending.clone(), growth.recorded.clone()];
    sorted.iter_mut().for_each(|list| list.sort());
    growth.exact = Some(sorted[0] == sorted[1] && !taken_back && !strange);
    growth
}
