//! One rehearsal, from a proven copy to what is known afterwards.

use std::time::{Duration, Instant};

use holdpoint_core::progress::Phase;
use holdpoint_core::rehearsal::{
    FORMAT, Isolation, ObjectEffect, Rehearsal, RehearsalOutcome, TableEffect, TrackingGrowth,
};
use holdpoint_core::{Mask, Secret};
use holdpoint_operations::schema_check::Schema;
use holdpoint_operations::verify::KeptCopy;
use holdpoint_operations::{Context, Source};
use holdpoint_postgres::Session;
use holdpoint_process::Status;
use tokio::time::sleep;

use super::access::{Access, MigratingRole};
use super::apart::Way;
use super::catalog::{Relations, invalid_indexes, relations};
use super::command::{Commands, Ran};
use super::effects::{Between, Effects, effects, objects};
use super::environment::rewritten;
use super::files::{Look, Looked};
use super::judge::{Evidence, judge};
use super::locks::{note_ddl, noted};
use super::production::Production;
use super::watch::Watch;
use super::{Door, Network, RehearseError, RehearseOptions, SESSIONS, tracking};
use crate::Error;
use crate::plan::{Project, catalog, plain_files};
use crate::rows_written::on_the_copy;
use crate::shown_files::{Shown, There, shown};
use crate::tools::{Migration, Tool, Tracking};

/// How long sessions of a command that has ended may go on.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Refuses, before a copy is made, what a rehearsal would refuse: a command that is not there or names production, and
/// files that lead it there.
///
/// # Errors
/// [`RehearseError::NamesProduction`] and [`RehearseError::CommandNamesProduction`]; [`Error::CommandNotFound`].
pub async fn refuse_early(project: Option<&Project>, source: &Source, options: &RehearseOptions) -> Result<(), Error> {
    crate::command::is_there(&options.command, &options.environment)?;
    let production = production(source, options).await;
    // What it would be on the copy does not matter here.
    let door = Door { port: 1, user: String::new(), password: Secret::new(""), database: String::new() };
    look(project, options, &production, &door, options.network != Network::Shared).map(drop)
}

async fn production(source: &Source, options: &RehearseOptions) -> Production {
    let own = [options.production.clone(), source.settings.clone()];
    Production::of(&[&own, &options.also_production[..]].concat()).await
}

/// Looks at the command's words and at the project's files.
fn look(
    project: Option<&Project>,
    options: &RehearseOptions,
    production: &Production,
    door: &Door,
    apart: bool,
) -> Result<Looked, Error> {
    if let Some(what) = options.command.iter().find_map(|word| production.named_in(word)) {
        return Err(RehearseError::CommandNamesProduction { what }.into());
    }
    let folders = project.map(|project| project.found.project.clone()).into_iter().chain([options.folder.clone()]);
    let mut folders: Vec<_> = folders.collect();
    folders.dedup();
    let looked = Look { folders, command: &options.command, production, door, apart }.look();
    if looked.refused.is_empty() {
        return Ok(looked);
    }
    Err(RehearseError::NamesProduction { files: looked.refused }.into())
}

/// Runs the command on a proven copy and tells what it did there, then what undoes it.
///
/// `source` is production, `project` and `pending` what a plan found: without a project nobody can say what should be
/// recorded. The copy is used up by this: whoever has it closes it afterwards, whatever comes of it. Production is read,
/// and its tracking table locked against writing meanwhile.
///
/// # Errors
/// [`RehearseError`] where nothing was run or nothing can be told. What the command did is never an error:
/// [`Rehearsal::outcome`] tells.
pub async fn rehearse(
    context: &Context,
    source: &Source,
    copy: &mut KeptCopy,
    project: Option<&Project>,
    pending: &[Migration],
    options: &RehearseOptions,
) -> Result<Rehearsal, Error> {
    let began = Instant::now();
    context.progress.phase(Phase::Rehearsing, None);
    let rehearsed = Box::pin(Work::of(context, source, copy, project, pending, options)).await;
    let mut rehearsal = match rehearsed {
        Ok(rehearsal) => rehearsal,
        Err(error @ Error::Rehearse(_)) => return Err(error),
        Err(_) if context.cancel.is_cancelled() => return Err(RehearseError::interrupted().into()),
        Err(error) => return Err(ended_by(copy, error).await),
    };
    let whole = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let rollback = rehearsal.rollback.as_ref().map_or(0, |rollback| rollback.took_ms);
    rehearsal.looked_for_ms = whole.saturating_sub(rehearsal.took_ms + rollback);
    rehearsal.bound();
    Ok(rehearsal)
}

/// A failure of the copy's server is told as what it is when the server has ended.
async fn ended_by(copy: &mut KeptCopy, error: Error) -> Error {
    if !matches!(error, Error::Postgres(_) | Error::Operation(_)) {
        return error;
    }
    // The keeper tells of an end in the moment that it sees it.
    match tokio::time::timeout(Duration::from_secs(2), copy.ended()).await {
        Ok(reason) => RehearseError::ScratchEnded { reason }.into(),
        Err(_) => error,
    }
}

/// Everything that the steps share.
pub(super) struct Work<'a> {
    pub(super) context: &'a Context,
    project: Option<&'a Project>,
    pub(super) pending: &'a [Migration],
    pub(super) options: &'a RehearseOptions,
    /// The copy as a source for what reads databases.
    pub(super) copy: Source,
    door: Door,
    token: String,
    production: Production,
    mask: Mask,
    looked: Looked,
}

/// What the copy was before the command.
pub(super) struct Before {
    pub(super) relations: Relations,
    invalid: Vec<String>,
    pub(super) schema: Schema,
    major: u32,
    tracking: Option<Tracking>,
    at_ddl: bool,
}

impl<'a> Work<'a> {
    async fn of(
        context: &'a Context,
        source: &'a Source,
        copy: &mut KeptCopy,
        project: Option<&'a Project>,
        pending: &'a [Migration],
        options: &'a RehearseOptions,
    ) -> Result<Rehearsal, Error> {
        let production = production(source, options).await;
        let own = Session::connect(&options.production, &SESSIONS.purpose()).await?;
        let role = MigratingRole::read(&own).await;
        own.close().await;
        let access = Access::prepare(copy, &role?, options.production.database()).await?;
        let folder = copy.private_folder();
        let way = Way::find(options, &production, access.destination.clone(), folder, &context.cancel).await?;
        let door = access.door(way.port());
        let looked = look(project, options, &production, &door, matches!(way, Way::Apart(_)))?;
        let mut mask = options.mask.clone();
        mask.learn([door.password.clone()]);
        let work = Self {
            context,
            project,
            pending,
            options,
            copy: Source { settings: copy.settings().clone(), ..source.clone() },
            door,
            token: format!("holdpoint-rehearsal:{}", copy.point()),
            production,
            mask,
            looked,
        };
        work.rehearse(copy, source, &way, access.warnings).await
    }

    async fn rehearse(
        &self,
        copy: &mut KeptCopy,
        source: &Source,
        way: &Way,
        mut warnings: Vec<String>,
    ) -> Result<Rehearsal, Error> {
        let before = self.before().await?;
        let (given, variables) = (&self.options.environment, &self.looked.variables);
        let environment = rewritten(given, &self.production, &self.door, &self.token, variables);
        let watch =
            Watch::begin(self.context, source, &self.options.production, self.project, &self.token, copy).await?;
        warnings.extend(watch.warnings.iter().cloned());
        let recorded = Schema::recorded(self.context, copy.point()).await?;
        if let Some(first) = recorded.changes(watch.schema()).first() {
            warnings.push(format!(
                "production's schema changed since the restore point, such as {}: rehearse on a newer one",
                first.name
            ));
        }
        let commands = Commands {
            context: self.context,
            options: self.options,
            watch: &watch,
            way,
            production: &self.production,
            environment: &environment,
            settings: &self.copy.settings,
            mask: &self.mask,
        };
        let started_at = (self.context.clock)();
        let ran = commands.run(copy, &self.options.command).await?;
        warnings.extend(self.wait_until_gone().await?);
        let session = Session::connect(&self.copy.settings, &SESSIONS.purpose()).await?;
        let noted = noted(&session).await?;
        let after = relations(&session).await?;
        let left_invalid = invalid_indexes(&session).await?;
        session.close().await;
        let growth = self.growth(&before).await?;
        let schema = Schema::live(self.context, &self.copy).await?;
        let between = Between { before: &before.relations, after: &after };
        let locks = ran.sampled.with(&noted);
        let found = effects(self.context, copy, &self.copy, self.options, &between, &locks).await?;
        let objects = objects(&before.schema, &schema);
        let shown = Box::pin(self.shown(&objects, &found.tables)).await?;
        warnings.extend(shown.unwritten.iter().map(|what| format!("{what} on the copy")));
        warnings.extend(shown.without_evidence.iter().map(|file| format!("nothing on the copy shows that {file} ran")));
        let succeeded = ran.status == Status::Code(0) && ran.signs.is_empty();
        let (rollback, mut signs) = match (self.project, self.options.rollback && succeeded) {
            (Some(project), true) => self.roll_back(project, &commands, copy, &before, &growth).await?,
            _ => (None, Vec::new()),
        };
        let isolation = Isolation {
            namespace: matches!(way, Way::Apart(_)),
            why_not: match way {
                Way::Shared { why, .. } => Some(why.clone()),
                Way::Apart(_) => None,
            },
            rewritten: environment.names.clone(),
            harmless: self.looked.harmless.clone(),
            held: watch.held(),
            watched: true,
        };
        signs.splice(0..0, ran.signs.iter().cloned());
        signs.extend(watch.end().await?);
        let (outcome, reasons) = self.judge(&ran, &growth, &isolation, shown.missing_words(), signs);
        let Effects { tables, sequences, large_objects, not_told } = found;
        let (exit_code, signal) = match ran.status {
            Status::Code(code) => (Some(code), None),
            Status::Signal(number) => (None, Some(number)),
        };
        Ok(Rehearsal {
            format: FORMAT,
            point: copy.point().clone(),
            started_at,
            outcome,
            reasons,
            command: self.mask.command(&self.options.command),
            exit_code,
            signal,
            took_ms: milliseconds(ran.end.ended.ran_for),
            measured_on: copy.measured_on().to_owned(),
            role: self.door.user.clone(),
            isolation,
            tracking: growth,
            tables,
            sampling: ran.sampled.sampling(before.at_ddl),
            objects,
            major: Some(before.major),
            invalid_indexes: left_invalid.into_iter().filter(|name| !before.invalid.contains(name)).collect(),
            sequences,
            large_objects,
            rollback,
            not_told,
            warnings,
            looked_for_ms: 0,
        })
    }

    /// Makes the copy ready, and reads what it is.
    async fn before(&self) -> Result<Before, Error> {
        let session = Session::connect(&self.copy.settings, &SESSIONS.purpose()).await?;
        // A restore leaves none, and without statistics plans would be others than production's.
        session.run("reading statistics of the copy", "ANALYZE").await?;
        let relations = relations(&session).await?;
        let invalid = invalid_indexes(&session).await?;
        let schema = Schema::live(self.context, &self.copy).await?;
        let tracking = tracking::read(self.project, &self.copy.settings).await?;
        let at_ddl = note_ddl(&session).await;
        let major = session.server().major;
        session.close().await;
        Ok(Before { relations, invalid, schema, tracking, at_ddl, major })
    }

    /// Waits until the command's sessions are gone from the copy, and ends those that go on.
    pub(super) async fn wait_until_gone(&self) -> Result<Option<String>, Error> {
        const WHAT: &str = "looking for the command's sessions";
        let session = Session::connect(&self.copy.settings, &SESSIONS.purpose()).await?;
        let others = "FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database() \
                      AND backend_type = 'client backend' AND application_name <> $1";
        let count = format!("SELECT pg_catalog.count(*) {others}");
        let began = Instant::now();
        let mut warning = None;
        loop {
            let left: i64 = session.query_one(WHAT, &count, &[&SESSIONS.name()]).await?.get(0);
            // One that does not even end then is told, and what is read next may have to wait for it.
            if left == 0 || began.elapsed() >= 3 * GONE_WITHIN {
                break;
            }
            if began.elapsed() >= GONE_WITHIN && warning.is_none() {
                let end = format!("SELECT pg_catalog.pg_terminate_backend(pid) {others}");
                session.query(WHAT, &end, &[&SESSIONS.name()]).await?;
                warning = Some(format!("{left} sessions of the command went on without it and were ended"));
            }
            sleep(Duration::from_millis(20)).await;
        }
        session.close().await;
        Ok(warning)
    }

    pub(super) async fn growth(&self, before: &Before) -> Result<TrackingGrowth, Error> {
        let after = tracking::read(self.project, &self.copy.settings).await?;
        Ok(tracking::growth(self.project, self.pending, before.tracking.as_ref(), after.as_ref()))
    }

    /// What shows that the pending files of a folder without a tool ran; nothing of any other project's.
    async fn shown(&self, changed: &[ObjectEffect], tables: &[TableEffect]) -> Result<Shown, Error> {
        if self.project.is_none_or(|project| project.found.tool != Tool::PlainSql) || self.pending.is_empty() {
            return Ok(Shown::default());
        }
        let session = Session::connect(&self.copy.settings, &SESSIONS.purpose()).await?;
        let read = catalog(&session).await;
        session.close().await;
        let there = There { catalog: &read?, changed, wrote: &|table| Some(on_the_copy(tables, table)) };
        Ok(shown(&plain_files(self.pending), &there))
    }

    fn judge(
        &self,
        ran: &Ran,
        growth: &TrackingGrowth,
        isolation: &Isolation,
        missing: Vec<String>,
        signs: Vec<String>,
    ) -> (RehearsalOutcome, Vec<String>) {
        judge(Evidence {
            how: &ran.end.how,
            status: ran.status,
            time_limit_seconds: self.options.time_limit.as_secs(),
            growth,
            came_to_the_copy: !ran.sampled.sessions.is_empty(),
            apart: isolation.namespace,
            missing,
            signs,
        })
    }
}

pub(super) fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
