//! The whole RDS instance as it was right before the command: restored as a new instance, held against the run's restore
//! point, and put in the live one's place, which is kept.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use holdpoint_core::ledger::{RunState, RunStep};
use holdpoint_core::progress::Phase;
use holdpoint_core::quantity::listed;
use holdpoint_core::undoing::Way;
use holdpoint_core::{Identity, PointId};
use holdpoint_operations::Source;
use holdpoint_operations::adopt::adopt;
use holdpoint_operations::compare::{Against, CompareOptions, CompareReport};
use holdpoint_operations::rds::{
    HeldToTheEnd, PlaceTaken, RdsSource, compare_to_the_end, read_to_the_end, was_taken_back,
};
use holdpoint_operations::schema_check::Schema;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, identity};

use super::UndoPlan;
use super::end_sessions;
use super::gone_along;
use super::migrations::no_way;
use super::record::Record;
use super::work::Work;
use crate::rows_compared::LOCK_WAIT;
use crate::tools::ToolName;
use crate::{Error, runs, ways_back};

/// How the step ends in the ledger by which the new instance is known to be the database of then.
const HELD: &str = "is as the run's restore point says";
/// As it is named once nothing of the cut-over is left to do.
pub(super) const CUT_OVER: &str = "the restored instance is in the live one's place";
/// How many names a line holds.
const NAMED: usize = 5;
/// How often, and how long, the live address is tried until it leads to the new instance: names are cached for a while.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(5);

/// A restore to the instant before the command, which nothing stands against.
pub(super) struct ToAnInstant {
    source: RdsSource,
    /// The instant, by whole seconds as RDS takes it.
    at: DateTime<Utc>,
    /// The name of the new instance.
    target: String,
    warnings: Vec<String>,
}

impl ToAnInstant {
    /// Looks at what stands in the way; what is lost has to be accepted.
    ///
    /// # Errors
    /// [`Error::NoSuchWay`] with every obstacle; [`Error::DataLossNotAccepted`].
    pub(super) async fn plan(work: &Work<'_>) -> Result<Self, Error> {
        let own = &work.options;
        let Some(source) = own.instance.clone() else {
            let why = "no RDS instance is configured for this database: rds_instance in holdpoint.toml";
            return Err(no_way(work, Way::Rds.word(), why.to_owned()));
        };
        let Some(noted) = work.steps.iter().find_map(|step| step.instant) else {
            return Err(no_way(work, Way::Rds.word(), "no instant was noted before its command".to_owned()));
        };
        let at = noted.trunc_subsecs(0);
        let target = name(&source.instance, work.run.as_str());
        let mut warnings = vec![format!("the new instance costs what {} costs, until one is dropped", source.instance)];
        let begun = source.made_as(&target).await?;
        if let Some(begun) = begun.as_ref().filter(|begun| was_taken_back(begun)) {
            let why = format!(
                "{0} was put into service, and that was taken back: it may hold what was written to it meanwhile. holdpoint rds \
                 drop {0}, then the same undo makes another",
                begun.name
            );
            return Err(no_way(work, Way::Rds.word(), why));
        }
        let in_place = begun.as_ref().is_some_and(|begun| begun.name.eq_ignore_ascii_case(&source.instance));
        if !in_place {
            let restorable = source.restorable().await?;
            let window = &restorable.window;
            // An instant that is too young is waited for; one that is too old never comes back.
            let early = window.earliest_at.is_some_and(|earliest| at < earliest.trunc_subsecs(0));
            if let Err(error) = window.demand_instance().and_then(|()| window.check_open()) {
                return Err(no_way(work, Way::Rds.word(), error.to_string()));
            }
            if let Some(why) = ways_back::serves_another(window.endpoint.as_ref(), &own.live).await? {
                return Err(no_way(work, Way::Rds.word(), format!("{}: {why}", source.instance)));
            }
            let aside = aside(&source.instance, work.run.as_str());
            if source.is_taken(&aside).await? {
                return Err(no_way(work, Way::Rds.word(), format!("the name {aside} is taken")));
            }
            if early {
                let why = format!("{} is before what {} can be restored to", told(at), source.instance);
                return Err(no_way(work, Way::Rds.word(), why));
            }
            warnings.extend(window.warnings.iter().cloned());
        }
        let others = other_databases(&own.live).await?;
        if !others.is_empty() {
            let names = listed(&others, NAMED);
            warnings.push(format!("other databases of {} go back with it: {names}", source.instance));
            warnings.extend(gone_along::told(work.context, &work.step.identity, at).await);
        }
        let accepted = own.accept_data_loss_since;
        if accepted.is_none_or(|since| since > at) {
            let lost = format!("everything in {}", source.instance);
            if !own.dry_run {
                let run = work.run.to_string();
                return Err(Error::DataLossNotAccepted { run, way: Way::Rds, since: at, accepted, lost });
            }
            warnings.push(format!("--accept-data-loss-since {} is needed: {lost} since then is lost", told(at)));
        }
        Ok(Self { source, at, target, warnings })
    }

    pub(super) fn words(&self) -> Vec<String> {
        let Self { source, at, target, .. } = self;
        vec![
            format!("wait until {} can be restored to {}, and restore it as {target}", source.instance, told(*at)),
            format!("hold {target} against the run's restore point, and read its tables to their ends"),
            format!("rename {} aside and {target} to {}", source.instance, source.instance),
        ]
    }

    /// What is left in RDS where it ends before the live one was renamed, and what goes on with it.
    pub(super) fn left(&self, going_on: &str) -> String {
        let (name, region) = (&self.target, self.source.plane.rds.region());
        format!(
            "where RDS has begun to make it, {name} is in {region} and costs: the same undo goes on with it ({going_on}); or drop \
             it: holdpoint rds drop {name} --region {region}"
        )
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// Makes the new instance and holds it against the restore point. The live one is as it was, whatever happens.
    ///
    /// # Errors
    /// What RDS refuses, and [`Error::InstanceDiffers`]: the new instance is there until it is dropped.
    pub(super) async fn make(&self, work: &Work<'_>, record: &mut Record<'_>) -> Result<(), Error> {
        if record.has_done(CUT_OVER) {
            return Ok(());
        }
        let made = format!("{} is restored to {} as {}", self.source.instance, told(self.at), self.target);
        let is_there = self.source.made_as(&self.target).await?.is_some();
        if !is_there || !record.has_done(&made) {
            if !is_there {
                self.source.wait_until_restorable(self.at).await?;
            }
            self.source.restored(self.at, &self.target).await?;
            record.done(&made).await?;
        }
        let held = held(&self.target);
        if is_there && record.has_done(&held) {
            return Ok(());
        }
        let proof = self.held_against(work).await?;
        record.undo.proof = proof;
        record.done(&held).await
    }

    /// Compares the new instance with the run's restore point; what shows that it is the database of then.
    async fn held_against(&self, work: &Work<'_>) -> Result<Vec<String>, Error> {
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

    /// Puts the new instance in the live one's place, ends what is still connected to the one that goes aside, and
    /// records that the folder belongs to the new one.
    ///
    /// # Errors
    /// What RDS refuses: the undo goes on from there when it is called again.
    pub(super) async fn cut_over(&self, work: &Work<'_>, record: &mut Record<'_>) -> Result<(), Error> {
        let taken = self.source.take_the_place(&self.target, &aside(&self.source.instance, work.run.as_str())).await?;
        if !record.has_done(CUT_OVER) {
            record.done(CUT_OVER).await?;
        }
        let live = &work.options.live;
        let ended = end_sessions::on_aside(live, &taken).await;
        record.undo.not_as_before.extend(ended.left);
        record.look.extend(taken.open.iter().cloned());
        match leads_there(live, &work.step.identity).await {
            Some(open) => record.undo.not_as_before.push(open),
            None => {
                let reason = format!("run {} was undone by a restore of {} to {}", work.run, taken.name, told(self.at));
                adopt(work.context, &work.options.place.source, &reason).await?;
            }
        }
        let PlaceTaken { name, aside, way_back, .. } = &taken;
        let proof = &mut record.undo.proof;
        proof.push(format!(
            "{name} is the restored instance; the one before is kept as {aside}; back again: {way_back}"
        ));
        proof.push(format!("{} sessions of {aside} were ended", ended.count));
        Ok(())
    }
}

/// Whether renames by which the new instance takes the live one's place were begun, and are not done.
///
/// # Errors
/// What RDS refuses.
pub(super) async fn is_begun(source: &RdsSource, run: &str) -> Result<bool, Error> {
    Ok(source.is_begun(&name(&source.instance, run), &aside(&source.instance, run)).await?)
}

/// Makes what is left of these renames.
///
/// # Errors
/// What RDS refuses; what is left of the renames is done by calling it again.
pub(super) async fn finish_begun(source: &RdsSource, run: &str) -> Result<(), Error> {
    source.take_the_place(&name(&source.instance, run), &aside(&source.instance, run)).await?;
    Ok(())
}

/// What is known of an undo that goes on with its renames, before the database can be asked.
pub(super) fn renames(source: &RdsSource, step: &RunStep, point: PointId) -> UndoPlan {
    let (live, run) = (&source.instance, step.run.as_str());
    let (own, other_ways): (Vec<_>, Vec<_>) = step.ways_back.iter().cloned().partition(|one| one.way == Way::Rds);
    let own = own.into_iter().next();
    UndoPlan {
        run: step.run.clone(),
        way: Way::Rds,
        point,
        steps: vec![format!(
            "{} gets the name {live}, and {live} is called {} then",
            name(live, run),
            aside(live, run)
        )],
        done: step.undo.as_ref().map(|undo| undo.done.clone()).unwrap_or_default(),
        data_lost: own.as_ref().map(|one| one.data_lost.clone()).unwrap_or_default(),
        written_since: None,
        taken: Vec::new(),
        scripts_take: Vec::new(),
        goes_along: Vec::new(),
        command: own.map(|one| one.command),
        other_ways,
        warnings: runs::not_told_from_here(step).into_iter().collect(),
    }
}

/// Whether an undo by this way came so far that the new instance may be in the live one's place, and did not end.
pub(super) fn is_under_way(step: &RunStep) -> bool {
    let open = matches!(step.state, RunState::Undoing | RunState::UndoFailed);
    let by_rds = step.undo.as_ref().filter(|undo| open && undo.way == Way::Rds);
    by_rds.is_some_and(|undo| {
        undo.done.iter().any(|one| one.ends_with(HELD)) && !undo.done.iter().any(|one| one == CUT_OVER)
    })
}

/// How the step is called by which the new instance is known to be the database of then.
fn held(target: &str) -> String {
    format!("{target} {HELD}")
}

/// The name of the instance that undoes a run, the same each time.
pub(super) fn name(source: &str, run: &str) -> String {
    named(source, "-undo-", run)
}

/// The name that the live instance gets by it.
fn aside(source: &str, run: &str) -> String {
    named(source, "-before-undo-", run)
}

/// A name that RDS takes.
pub(crate) fn named(source: &str, between: &str, run: &str) -> String {
    const LONGEST: usize = 63;
    let tail = format!("{between}{}", run.to_ascii_lowercase());
    let mut kept = source.to_owned();
    kept.truncate(LONGEST - tail.len());
    format!("{}{tail}", kept.trim_end_matches('-'))
}

fn told(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

async fn identity_of(settings: &ConnectionSettings) -> Result<Identity, Error> {
    let session = Session::connect(settings, &SessionPurpose::new("holdpoint undo")).await?;
    let read = identity::read(&session).await;
    session.close().await;
    Ok(read?.identity)
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

/// The other databases of the server, without the provider's own.
async fn other_databases(live: &ConnectionSettings) -> Result<Vec<String>, Error> {
    const SQL: &str = "SELECT datname::text FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate \
                       AND datname <> pg_catalog.current_database() AND datname NOT IN ('postgres', 'rdsadmin') ORDER BY 1";
    let session = Session::connect(live, &SessionPurpose::new("holdpoint undo")).await?;
    let rows = session.query("reading the names of databases", SQL, &[]).await;
    session.close().await;
    Ok(rows?.iter().map(|row| row.get(0)).collect())
}

/// Waits until the live address leads to the restored instance; what is open where it does not.
async fn leads_there(live: &ConnectionSettings, before: &Identity) -> Option<String> {
    let mut why = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        match identity_of(live).await {
            // Each restore begins a timeline of its own; where none is told, RDS's word is all there is.
            Ok(found) if found.timeline.is_none() || found.timeline != before.timeline => return None,
            Ok(_) => why = "it still leads to the instance that went aside".to_owned(),
            Err(error) => why = error.to_string(),
        }
    }
    Some(format!("the configured address was not seen to lead to the restored instance: {why}"))
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
    fn the_name_is_one_that_rds_takes_and_the_same_each_time() {
        let run = "20261121T024300Z-k3f9";
        assert_eq!(name("shop-prod", run), "shop-prod-undo-20261121t024300z-k3f9");
        for source in ["a".repeat(63), format!("{}-b", "a".repeat(35)), format!("{}-bcd", "a".repeat(36))] {
            for name in [name(&source, run), aside(&source, run)] {
                assert!(name.len() <= 63 && !name.contains("--") && name.ends_with("k3f9"), "{name}");
            }
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
