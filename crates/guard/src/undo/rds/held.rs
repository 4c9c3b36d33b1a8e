//! Holding a restored instance against the run's restore point: what shows that it is the database of then.

use chrono::{DateTime, Utc};
use holdpoint_core::Identity;
use holdpoint_core::progress::Phase;
use holdpoint_core::quantity::listed;
use holdpoint_operations::Source;
use holdpoint_operations::compare::{Against, CompareOptions, CompareReport};
use holdpoint_operations::rds::{HeldToTheEnd, compare_to_the_end, read_to_the_end};
use holdpoint_operations::schema_check::Schema;

use super::{NAMED, ToAnInstant, identity_of, told};
use crate::rows_compared::LOCK_WAIT;
use crate::tools::ToolName;
use crate::undo::work::Work;
use crate::{Error, runs};

impl ToAnInstant {
    /// Compares the new instance with the run's restore point; what shows that it is the database of then.
    pub(super) async fn held_against(&self, work: &Work<'_>) -> Result<Vec<String>, Error> {
        let made = self.source.made_as(&self.target).await?;
        let differs = |differences: Vec<String>| Error::InstanceDiffers { name: self.target.clone(), differences };
        let Some(at) = made.and_then(|made| made.endpoint) else {
            return Err(differs(vec!["RDS does not say where it is reached".to_owned()]));
        };
        let place = &work.options.place.source;
        let settings = place.settings.with_server(at.host, at.port);
        let found = identity_of(&settings).await?;
        let differences = unlike(&work.step.identity, &found);
        if !differences.is_empty() {
            return Err(differs(differences));
        }
        let source = Source { settings: settings.clone(), ..place.clone() };
        if work.is_snapshot {
            return self.read_there(work, source).await;
        }
        let wanted = CompareOptions {
            point: work.point.clone(),
            against: Against::Database { source: Box::new(source), own: false },
            jobs: work.options.jobs,
            // The tables are read to their ends, whatever their size: their blocks come from afar.
            quick: None,
            definitions: true,
            lock_wait: LOCK_WAIT,
        };
        work.context.progress.phase(Phase::ProvingUndo, None);
        let held = Box::pin(compare_to_the_end(work.context, &wanted, &settings)).await?;
        if !held.damaged.is_empty() {
            return Err(differs(held.damaged));
        }
        let report = &held.report;
        // A restore point that is older than the run may be older than others that recorded something, too.
        let own_point = work.point.at() > work.run.at();
        let tracking = work.options.place.project.as_ref().and_then(|(project, _)| project.found.table.as_ref());
        let tracking = tracking.filter(|_| own_point);
        let tracking = tracking.map(ToString::to_string);
        let differences = not_of_then(report, tracking.as_deref());
        if !differences.is_empty() {
            return Err(differs(differences));
        }
        Ok(proof(&held, self.at))
    }

    /// As [`Self::held_against`], where the run's restore point is a snapshot: its schema must be the one that the snapshot's
    /// proof found, the tool must not have recorded the run's migrations, and every table is read to its end. With which
    /// rows the database was then nobody recorded.
    async fn read_there(&self, work: &Work<'_>, there: Source) -> Result<Vec<String>, Error> {
        let differs = |differences: Vec<String>| Error::InstanceDiffers { name: self.target.clone(), differences };
        work.context.progress.phase(Phase::ProvingUndo, None);
        let recorded = Schema::recorded(work.context, &work.point).await?;
        let found = Schema::live(work.context, &there).await?;
        let objects = recorded.changes(&found);
        let mut differences: Vec<String> =
            objects.iter().map(|one| format!("{} is not as in the restore point", one.name)).collect();
        differences.extend(recorded_already(work, &there).await?);
        if !differences.is_empty() {
            return Err(differs(differences));
        }
        let progress = std::sync::Arc::clone(&work.context.progress);
        let read = read_to_the_end(&there.settings, work.options.jobs, progress, &work.context.cancel).await?;
        let read = read.map_err(differs)?;
        Ok(vec![
            format!("all of {} schema objects are as in the restore point, which is a snapshot", found.len()),
            format!("all of {} tables were read to their ends; which rows they held then nobody recorded", read.tables),
        ])
    }
}

/// Why a server is not the run's restored to an instant: it keeps its system identifier and its databases, and begins a
/// timeline of its own.
fn unlike(recorded: &Identity, found: &Identity) -> Vec<String> {
    let mut differences = Vec::new();
    if let (Some(was), Some(is)) = (&recorded.system_identifier, &found.system_identifier)
        && was != is
    {
        differences
            .push(format!("its system identifier is {is}, the live server's was {was}: rds_instance names another"));
    }
    if recorded.database_oid != found.database_oid {
        let (was, is) = (recorded.database_oid, found.database_oid);
        differences.push(format!("the OID of database {} is {is} there, and was {was}", found.database));
    }
    differences
}

/// Migrations of the run that the tool has recorded in a restored instance, where it has a table of its own: they ran before
/// the instant.
async fn recorded_already(work: &Work<'_>, there: &Source) -> Result<Option<String>, Error> {
    let (Some(plan), Some((project, _))) = (&work.step.plan, &work.options.place.project) else { return Ok(None) };
    let found = &project.found;
    let own = matches!(found.tool.name(), ToolName::PlainSql | ToolName::Command);
    if own || found.table.is_none() || found.tool.name().to_string() != plan.tool {
        return Ok(None);
    }
    let pending = runs::pending(project, &there.settings).await?;
    let is_pending = |path: &str| pending.migrations.iter().any(|one| one.path == path);
    let recorded = plan.pending.iter().filter(|one| !is_pending(&one.path)).map(|one| one.path.clone());
    let recorded: Vec<String> = recorded.collect();
    let told = || format!("{} is recorded as applied there: it ran before the instant", listed(&recorded, NAMED));
    Ok((!recorded.is_empty()).then(told))
}

/// What in a restored instance is not as the restore point from before the run has it, rows of the application apart.
fn not_of_then(report: &CompareReport, tracking: Option<&str>) -> Vec<String> {
    let mut differences: Vec<String> =
        report.objects.iter().map(|one| format!("{} is not as in the restore point", one.object)).collect();
    let own = |name: &str| tracking == Some(name);
    differences.extend(
        report.tables.differences.iter().filter(|one| own(&one.table)).map(|one| {
            format!("{} has other rows than the restore point: migrations ran before the instant", one.table)
        }),
    );
    differences.extend(
        report.tables.differences.iter().filter_map(|one| Some(format!("{}: {}", one.table, one.why.as_ref()?))),
    );
    differences
}

/// What the comparison showed, in words.
fn proof(held: &HeldToTheEnd, at: DateTime<Utc>) -> Vec<String> {
    let report = &held.report;
    let mut proof = vec![format!("all of {} schema objects are as in the restore point", report.objects_compared)];
    let differing: Vec<String> = report.tables.differences.iter().map(|one| one.table.clone()).collect();
    let (equal, all) = (report.tables.equal, report.tables.then);
    proof.push(format!("{equal} of {all} tables hold exactly the restore point's rows"));
    if !differing.is_empty() {
        let (names, since) = (listed(&differing, NAMED), told(report.then.at));
        proof.push(format!("rows of {names} are those of {}: written after {since}", told(at)));
    }
    if held.besides > 0 {
        proof.push(format!("{} more were read to their ends, as it cannot tell of all their values", held.besides));
    }
    if !report.not_read.is_empty() {
        proof.push(format!("not read there: {}", listed(&report.not_read, NAMED)));
    }
    proof
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            system_identifier: Some("74".into()),
            database_oid: 16384,
            database: "shop".into(),
            timeline: Some(1),
            endpoint: "db.example.com:5432".into(),
            resource_id: None,
        }
    }

    #[test]
    fn another_server_is_told_from_the_restored_one() {
        let restored = Identity { timeline: Some(2), endpoint: "new:5432".into(), ..identity() };
        assert_eq!(unlike(&identity(), &restored), [""; 0]);
        let other = Identity { system_identifier: Some("75".into()), database_oid: 5, ..restored.clone() };
        let told = unlike(&identity(), &other);
        assert!(told[0].contains("names another") && told[1].contains("16384"), "{told:?}");
        let silent = Identity { system_identifier: None, ..restored };
        assert_eq!(unlike(&identity(), &silent), [""; 0], "what the role may not read is no difference");
    }
}
