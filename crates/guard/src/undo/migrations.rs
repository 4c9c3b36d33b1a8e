//! The migrations of a run that is to be undone: found again in the project, and what of them is there.

use holdpoint_core::fingerprint::Difference;
use holdpoint_core::ledger::PlanRecord;
use holdpoint_core::quantity::listed;
use holdpoint_operations::schema_check::Schema;
use holdpoint_postgres::{Session, SessionPurpose};

use super::work::Work;
use crate::Error;
use crate::plan::Project;
use crate::tools::{Migration, Pending, ToolName, Tracking, read_tracking, stands_failed};

/// The migrations of a run, as they are now.
pub(super) struct There {
    pub(super) migrations: Vec<Migration>,
    /// Whether each is recorded as applied; `None` where no table says so.
    pub(super) recorded: Vec<Option<bool>>,
    pub(super) tracking: Tracking,
}

/// The project and the plan of the run.
pub(super) fn of_run<'a>(work: &'a Work<'_>, way: &str) -> Result<(&'a Project, &'a PlanRecord), Error> {
    let Some(plan) = &work.step.plan else {
        return Err(no_way(work, way, "the run had no plan: nobody knows what its command did".to_owned()));
    };
    let Some((project, _)) = &work.options.place.project else {
        return Err(no_way(work, way, "no project of migrations was found here".to_owned()));
    };
    if project.found.tool.name().to_string() != plan.tool {
        let why = format!("the run was of {}, and the project here uses {}", plan.tool, project.found.tool.name());
        return Err(no_way(work, way, why));
    }
    Ok((project, plan))
}

/// There is no such way, and why.
pub(super) fn no_way(work: &Work<'_>, way: &str, why: String) -> Error {
    Error::NoSuchWay { run: work.run.to_string(), way: way.to_owned(), why }
}

/// Finds the run's migrations in the project, and whether the tool has them recorded.
pub(super) async fn there(
    work: &Work<'_>,
    project: &Project,
    plan: &PlanRecord,
) -> Result<(There, Vec<String>), Error> {
    let all = Pending::of(&project.found, &project.files, &Tracking::Absent { others: false }).migrations;
    let mut warnings = Vec::new();
    let mut migrations = Vec::new();
    for record in &plan.pending {
        let Some(migration) = all.iter().find(|one| one.path == record.path) else {
            return Err(no_way(work, "rollback", format!("{} is not in the project any more", record.path)));
        };
        if migration.sha256 != record.sha256 {
            warnings.push(format!("{} was edited since it ran", record.path));
        }
        migrations.push(migration.clone());
    }
    let own = matches!(project.found.tool.name(), ToolName::PlainSql | ToolName::Command);
    if own || project.found.table.is_none() {
        let recorded = vec![None; migrations.len()];
        return Ok((There { migrations, recorded, tracking: Tracking::Absent { others: true } }, warnings));
    }
    let tracking = tracking(work, project).await?;
    let pending = Pending::of(&project.found, &project.files, &tracking).migrations;
    // A way down goes back by the newest: what somebody else applied since would go in its place.
    let first = all.iter().position(|one| migrations.iter().any(|own| own.path == one.path)).unwrap_or_default();
    let foreign = |one: &&Migration| {
        !migrations.iter().any(|own| own.path == one.path) && !pending.iter().any(|other| other.path == one.path)
    };
    let since: Vec<String> = all.iter().skip(first).filter(foreign).map(|one| one.path.clone()).collect();
    if !since.is_empty() {
        let why = format!("migrations that come later are applied, and are none of the run's: {}", listed(&since, 5));
        return Err(no_way(work, "rollback", why));
    }
    let recorded = migrations.iter().map(|one| Some(!pending.iter().any(|other| other.path == one.path))).collect();
    Ok((There { migrations, recorded, tracking }, warnings))
}

/// Reads the tool's own table, as migrations connect.
async fn tracking(work: &Work<'_>, project: &Project) -> Result<Tracking, Error> {
    let session = Session::connect(&work.options.live, &SessionPurpose::new("holdpoint undo")).await?;
    let tracking = read_tracking(&project.found, &session).await;
    session.close().await;
    Ok(tracking?)
}

impl There {
    /// The migrations of which the tool has a row that says that they failed: it runs nothing until that is put right.
    pub(super) fn failed(&self, project: &Project) -> Vec<&Migration> {
        failed(project, &self.tracking, &self.migrations)
    }
}

fn failed<'a>(project: &Project, tracking: &Tracking, migrations: &'a [Migration]) -> Vec<&'a Migration> {
    let Some(table) = tracking.table() else { return Vec::new() };
    migrations.iter().filter(|one| stands_failed(&project.found, table, one)).collect()
}

/// Of the run's migrations those that the tool would not run again as they are recorded now, in words.
pub(super) async fn not_pending(work: &Work<'_>) -> Result<Vec<String>, Error> {
    let Ok((project, plan)) = of_run(work, "rollback") else { return Ok(Vec::new()) };
    if project.found.table.is_none() {
        return Ok(Vec::new());
    }
    let tracking = tracking(work, project).await?;
    let pending = Pending::of(&project.found, &project.files, &tracking).migrations;
    let all = Pending::of(&project.found, &project.files, &Tracking::Absent { others: false }).migrations;
    let own: Vec<Migration> =
        all.into_iter().filter(|one| plan.pending.iter().any(|record| record.path == one.path)).collect();
    let recorded = own.iter().filter(|one| !pending.iter().any(|other| other.path == one.path));
    let recorded = recorded.map(|one| format!("{} is still recorded as applied", one.path));
    let failed = failed(project, &tracking, &own);
    let failed = failed.iter().map(|one| format!("{} is still recorded as failed: the next run stops at it", one.path));
    Ok(recorded.into_iter().chain(failed).collect())
}

/// How the schema differs from the restore point's.
pub(super) async fn schema_changes(work: &Work<'_>, project: &Project) -> Result<Vec<Difference>, Error> {
    let live = Schema::live(work.context, &work.options.place.source).await?;
    let changes = Schema::recorded(work.context, &work.point).await?.changes(&live);
    let table = project.found.table.as_ref();
    Ok(changes.into_iter().filter(|change| !table.is_some_and(|table| table.came_as(change))).collect())
}
