//! What is pending for a run: the plan as the gate sees it, and what the ledger keeps of it.

use std::path::PathBuf;

use holdpoint_core::gate::pending::Asked;
use holdpoint_core::identity::Identity;
use holdpoint_core::ledger::{MigrationRecord, PlanRecord, WaivedRecord};
use holdpoint_core::risk::RiskClass;
use holdpoint_core::{Mask, PointId, RunId};
use holdpoint_operations::schema_check::Schema;
use holdpoint_operations::{Context, Source};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, preflight};
use tokio_util::sync::CancellationToken;

use crate::ledger_writer::{Applied, applied_by_runs};
use holdpoint_review::{Catalog, MigrationSql};

use crate::plan::{
    Facts, KnownFrom, PlanOptions, PlanReport, Project, Told, Verdict, catalog, of_ledger, pending, plain_files, plan,
    tracking,
};
use crate::rehearse::rollback::scripts;
use crate::run::GuardOptions;
use crate::tools::{
    Callback, Configuration, Finding, Migration, ProjectFiles, Tool, ToolName, Tracking, applied_through, runs_the_tool,
};
use crate::{Error, leads};

/// Where a run learns what is pending.
#[derive(Clone, Debug)]
pub enum Migrations {
    /// From a project and the database's tracking table.
    Of(Box<ProjectMigrations>),
    /// Nobody can tell, for this reason: everything counts as at risk.
    Unknown(String),
}

/// A project whose pending migrations are read.
#[derive(Clone, Debug)]
pub struct ProjectMigrations {
    /// The project, as it was read.
    pub project: Project,
    /// How the plan is made; the gate's policy counts, not the one in here.
    pub options: PlanOptions,
    /// How the database is asked: the role that migrates, since its search path decides what names mean.
    pub connection: ConnectionSettings,
    /// Where the command runs.
    pub folder: PathBuf,
    /// A person said that the command runs these migrations and nothing else. Otherwise the command must show it.
    pub stated: bool,
}

/// What is pending, as the gate and the ledger see it.
#[derive(Debug, Default)]
pub(crate) struct Planned {
    /// The plan; `None` where no project is read.
    pub(crate) report: Option<PlanReport>,
    /// Whether the command's own words show that the tool runs them, and nobody only said so.
    pub(crate) shown: bool,
    /// How many migrations are pending; `None` where nobody can tell.
    pub(crate) migrations: Option<usize>,
    /// Their risks.
    pub(crate) asked: Vec<Asked>,
    /// For the ledger.
    pub(crate) record: Option<PlanRecord>,
    /// The tool's own table, where it has one.
    pub(crate) tracking: Option<Tracking>,
    /// What is worth knowing.
    pub(crate) remarks: Vec<String>,
}

impl Planned {
    /// Reads the tracking table and reviews what is pending.
    ///
    /// # Errors
    /// Those of the tool; [`Error::Stopped`] where the tool would refuse or pass over a migration;
    /// [`Error::AnotherDatabase`] where the project's connection leads elsewhere than the restore point's.
    pub(crate) async fn read(
        context: &Context,
        source: &Source,
        options: &GuardOptions,
        start: &Identity,
        mask: &Mask,
    ) -> Result<Self, Error> {
        let GuardOptions { migrations, policy, command, environment, .. } = options;
        let of = match migrations {
            Migrations::Of(of) => of,
            Migrations::Unknown(why) => {
                return Ok(Self { asked: vec![unreadable(why)], ..Self::default() });
            }
        };
        let (facts, applied) = of.facts(context, source, start).await?;
        let how = PlanOptions { policy: policy.clone(), ..of.options.clone() };
        let report = plan(&of.project, Some(&facts), KnownFrom::Database, &how, &context.cancel).await?;
        let led = leads::elsewhere(&of.project.found, environment, &of.connection, start).await?;
        let found = &of.project.found;
        let by_words =
            (!of.stated).then(|| runs_the_tool(command, found, &of.folder, environment).err().or(led)).flatten();
        // The reason may repeat words of the command, and is recorded and shown.
        let by_words = by_words.map(|why| mask.script(&why));
        let unknown = by_words.or_else(|| runs_again(&report));
        // A command that is not the tool's is not stopped by what the tool would do.
        if report.verdict == Verdict::Stopped && unknown.is_none() {
            return Err(Error::Stopped {
                findings: report.stops().map(|told| (told.message.clone(), told.advice.clone())).collect(),
            });
        }
        let told = report.stops().chain(report.looks());
        let remarks = told.map(|told| format!("{}: {}", told.message, told.advice)).collect::<Vec<_>>();
        let shown = !of.stated && unknown.is_none();
        let mut count = Some(report.pending.len().max(report.runs.len()));
        let asked = report.assessment.risks.iter().map(|risk| Asked {
            class: risk.class,
            place: format!("{}:{}", risk.file, risk.line),
            waived: risk.waived.clone(),
        });
        let mut asked: Vec<Asked> = asked.collect();
        if let Some(why) = unknown {
            count = None;
            asked.push(unreadable(&why));
        }
        let record = PlanRecord {
            waived: waived(&report),
            ..of.record(report.tool, &report.pending, &report.callbacks, applied)
        };
        let tracking = of.project.found.table.is_some().then_some(facts.tracking);
        Ok(Self { shown, migrations: count, asked, record: Some(record), tracking, report: Some(report), remarks })
    }

    /// For the ledger, with secrets in reasons masked.
    pub(crate) fn masked_record(&self, mask: &Mask) -> Option<PlanRecord> {
        let mut record = self.record.clone()?;
        record.waived.iter_mut().for_each(|one| one.reason = mask.script(&one.reason));
        Some(record)
    }
}

impl Migrations {
    /// Makes sure that the same migrations are pending as when the run was planned, files and tracking table, and that
    /// the tool and its configuration are the same.
    ///
    /// # Errors
    /// [`Error::PendingChanged`], [`Error::ConfigurationChanged`], and those of reading.
    pub(crate) async fn check_again(
        &self,
        context: &Context,
        planned: &Planned,
        start: &Identity,
        point: Option<&PointId>,
    ) -> Result<(), Error> {
        let (Self::Of(of), Some(before)) = (self, &planned.record) else { return Ok(()) };
        // Whatever was configured otherwise meanwhile is read by the tool, and nothing here was made for it.
        let configuration = Configuration::read(&of.project.found)?;
        if let Some(path) = of.project.configuration.changed(&configuration) {
            return Err(Error::ConfigurationChanged { path, point: point.cloned() });
        }
        let now = of.pending_now(context, start, &context.cancel).await?;
        if before.same_pending(&now) {
            return Ok(());
        }
        let first = now.files().find(|one| !before.files().any(|other| other == *one));
        let first = first.or_else(|| before.files().find(|one| !now.files().any(|other| other == *one)));
        let first = first.map(|one| one.path.clone());
        Err(Error::PendingChanged { first, point: point.cloned() })
    }

    /// The same, asked by another connection; `None` where nothing is asked, or that is the connection already.
    pub(crate) fn by(&self, connection: &ConnectionSettings) -> Option<Self> {
        let Self::Of(of) = self else { return None };
        let same = of.connection.user() == connection.user();
        let connection = connection.clone();
        (!same).then(|| Self::Of(Box::new(ProjectMigrations { connection, ..(**of).clone() })))
    }

    /// Lists what is still pending after the command.
    pub(crate) async fn still_pending(&self, context: &Context, start: &Identity) -> Result<Vec<String>, Error> {
        let Self::Of(of) = self else { return Ok(Vec::new()) };
        // Where holdpoint itself keeps the list, the run's own record is not written yet.
        if of.project.found.table.is_none() {
            return Ok(Vec::new());
        }
        let now = of.pending_now(context, start, &CancellationToken::new()).await?;
        Ok(now.pending.into_iter().map(|one| one.path).collect())
    }

    /// The pending files of a folder without a tool as the review reads them, and the catalog as it is now; `None` of
    /// anything else.
    pub(crate) async fn to_be_shown(
        &self,
        planned: &Planned,
        start: &Identity,
    ) -> Result<Option<(Vec<MigrationSql>, Catalog)>, Error> {
        let (Self::Of(of), Some(report)) = (self, &planned.report) else { return Ok(None) };
        if of.project.found.tool != Tool::PlainSql || report.pending.is_empty() {
            return Ok(None);
        }
        let session = of.connect(start).await?;
        let read = catalog(&session).await;
        session.close().await;
        Ok(Some((plain_files(&report.pending), read?)))
    }

    /// Tells whether the tool's table holds other rows than when the run was planned.
    pub(crate) async fn recorded_since(&self, planned: &Planned, start: &Identity) -> Result<bool, Error> {
        let (Self::Of(of), Some(before)) = (self, &planned.tracking) else { return Ok(false) };
        let session = of.connect(start).await?;
        let now = tracking(&of.project, &session).await;
        session.close().await;
        let now = now?;
        let rows = |one: &Tracking| one.table().map(|table| table.rows.clone()).unwrap_or_default();
        Ok(rows(before) != rows(&now))
    }
}

impl ProjectMigrations {
    /// Tracking table and catalog; for a folder without a tool the ledger's list, which is given back too.
    async fn facts(
        &self,
        context: &Context,
        source: &Source,
        start: &Identity,
    ) -> Result<(Facts, Option<Vec<MigrationRecord>>), Error> {
        let session = self.connect(start).await?;
        let read = async {
            let now = preflight::clock(&session).await?;
            Ok::<_, Error>(Facts::read(&self.project, &session, now).await?)
        };
        let read = read.await;
        session.close().await;
        let mut facts = read?;
        if self.project.found.tool.name() != ToolName::PlainSql {
            return Ok((facts, None));
        }
        let ledger = applied_by_runs(context).await?;
        facts.schema_changed_since = changed_since(context, source, ledger.as_ref()).await?;
        facts.applied_in_part_by = ledger.as_ref().and_then(Applied::in_part_by);
        facts.without_evidence = ledger.as_ref().map(Applied::without_evidence).unwrap_or_default();
        let applied = self.applied(ledger, &facts.tracking)?;
        facts.take_applied(applied.as_deref());
        Ok((facts, applied))
    }

    /// What is pending now; nothing is reviewed.
    async fn pending_now(
        &self,
        context: &Context,
        start: &Identity,
        cancel: &CancellationToken,
    ) -> Result<PlanRecord, Error> {
        let files = ProjectFiles::read(&self.project.found);
        let files = if self.options.pending_command.is_some() { files.unwrap_or_default() } else { files? };
        let project = Project { files, ..self.project.clone() };
        let session = self.connect(start).await?;
        let read = tracking(&project, &session).await;
        session.close().await;
        let mut rows = read?;
        let mut applied = None;
        if project.found.tool.name() == ToolName::PlainSql {
            applied = self.applied(applied_by_runs(context).await?, &rows)?;
            rows = applied.as_deref().map_or(rows, of_ledger);
        }
        let listed = pending(&project, Some(&rows), &self.options, cancel).await?;
        Ok(self.record(listed.tool, &listed.migrations, &listed.callbacks, applied))
    }

    /// Connects as the role that migrates, to the database of `start`.
    async fn connect(&self, start: &Identity) -> Result<Session, Error> {
        let session = Session::connect(&self.connection, &SessionPurpose::new("holdpoint guard plan")).await?;
        match leads::demand_same(&session, &self.connection, start).await {
            Ok(()) => Ok(session),
            Err(error) => {
                session.close().await;
                Err(error)
            }
        }
    }

    /// For a folder without a tool: what is applied, as a person says, or the ledger, or an empty database.
    fn applied(&self, ledger: Option<Applied>, tracking: &Tracking) -> Result<Option<Vec<MigrationRecord>>, Error> {
        let nothing_at_all = matches!(tracking, Tracking::Absent { others: false });
        let applied = match self.options.applied_through.as_deref() {
            Some(name) => records(&applied_through(&self.project.files, name)?),
            None => ledger.map(|ledger| ledger.files),
        };
        Ok(applied.or_else(|| nothing_at_all.then(Vec::new)))
    }

    /// For the ledger.
    fn record(
        &self,
        tool: ToolName,
        pending: &[Migration],
        callbacks: &[Callback],
        applied: Option<Vec<MigrationRecord>>,
    ) -> PlanRecord {
        let file = |path: &str, sha256: &str| MigrationRecord { path: path.to_owned(), sha256: sha256.to_owned() };
        PlanRecord {
            tool: tool.to_string(),
            pending: pending.iter().map(|one| file(&one.path, &one.sha256)).collect(),
            callbacks: callbacks.iter().map(|one| file(&one.path, &one.sha256)).collect(),
            configuration: self.project.configuration.recorded().to_vec(),
            applied,
            rollbacks: Some(scripts(&self.project, &pending.iter().rev().collect::<Vec<_>>())),
            waived: Vec::new(),
        }
    }
}

/// The run by which the list of a folder without a tool is known, where the schema is not as it left it.
///
/// # Errors
/// Those of reading the schema.
pub async fn changed_since(
    context: &Context,
    source: &Source,
    ledger: Option<&Applied>,
) -> Result<Option<RunId>, Error> {
    let Some(Applied { run, schema_sha256: Some(left), .. }) = ledger else { return Ok(None) };
    let live = Schema::live(context, source).await?;
    Ok((live.sha256() != *left).then(|| run.clone()))
}

/// Why a folder without a tool says nothing of what its command does: a script may run all files again, and nobody but
/// holdpoint knows what was applied.
fn runs_again(report: &PlanReport) -> Option<String> {
    if report.tool != ToolName::PlainSql {
        return None;
    }
    let edited = |told: &&Told| matches!(told.finding, Finding::EditedAfterApplied { .. });
    let changed =
        |told: &&Told| matches!(told.finding, Finding::SchemaChangedSince { .. } | Finding::AppliedInPart { .. });
    if let Some(told) = report.findings.iter().find(changed) {
        return Some(format!("{}: what is applied is not known", told.message));
    }
    match report.findings.iter().find(edited) {
        Some(told) => Some(format!("{}: it would run again with all files", told.message)),
        None if report.pending.is_empty() => Some("no file is new, and it may run the others again".to_owned()),
        None => None,
    }
}

/// The risk of a command of which nobody knows what it does.
fn unreadable(why: &str) -> Asked {
    Asked { class: RiskClass::Unreviewable, place: format!("the command ({why})"), waived: None }
}

/// The risks that somebody took, for the ledger.
fn waived(report: &PlanReport) -> Vec<WaivedRecord> {
    let risks = report.assessment.risks.iter();
    let waived = risks.filter_map(|risk| {
        let reason = risk.waived.clone()?;
        Some(WaivedRecord { class: risk.class, place: format!("{}:{}", risk.file, risk.line), reason })
    });
    waived.collect()
}

/// The rows that stand for a list of the ledger's.
fn records(tracking: &Tracking) -> Option<Vec<MigrationRecord>> {
    let Tracking::Present(table) = tracking else { return None };
    let record = |row: &Vec<Option<String>>| match row.as_slice() {
        [Some(path), Some(sha256)] => Some(MigrationRecord { path: path.clone(), sha256: sha256.clone() }),
        _ => None,
    };
    table.rows.iter().map(record).collect()
}
