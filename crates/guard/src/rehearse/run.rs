//! One rehearsal, from a proven copy to what is known afterwards.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use holdpoint_core::progress::Phase;
use holdpoint_core::rehearsal::{FORMAT, Isolation, Rehearsal, RehearsalOutcome, TrackingGrowth};
use holdpoint_operations::schema_check::Schema;
use holdpoint_operations::verify::KeptCopy;
use holdpoint_operations::{Context, Source};
use holdpoint_postgres::Session;
use holdpoint_process::{Forwarder, Status};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::access::{Access, MigratingRole};
use super::catalog::{Relations, invalid_indexes, relations};
use super::child::{Child, ChildEnd, How, Stop, interrupted};
use super::effects::{Between, Effects, effects, objects};
use super::environment::{Rewritten, rewritten};
use super::locks::{Sampled, note_ddl, noted};
use super::production::Production;
use super::{Door, RehearseError, RehearseOptions, SESSIONS, tracking};
use crate::Error;
use crate::plan::Project;
use crate::tools::{Migration, Tracking};

/// How long sessions of a command that has ended may go on.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Runs the command on a proven copy and tells what it did there, then what undoes it.
///
/// `source` is production, `project` and `pending` what a plan found: without a project nobody can say what should be
/// recorded. The copy is used up by this: whoever has it closes it afterwards, whatever comes of it. Production is read,
/// and its tracking table locked against writing meanwhile.
///
/// # Errors
/// [`RehearseError`] where nothing was run or nothing can be told; [`Error::Interrupted`]. What the command did is never
/// an error: [`Rehearsal::outcome`] tells.
pub async fn rehearse(
    context: &Context,
    source: &Source,
    copy: &mut KeptCopy,
    project: Option<&Project>,
    pending: &[Migration],
    options: &RehearseOptions,
) -> Result<Rehearsal, Error> {
    let began = Instant::now();
    let rehearsed = Box::pin(Work::of(context, source, copy, project, pending, options)).await;
    let mut rehearsal = match rehearsed {
        Ok(rehearsal) => rehearsal,
        Err(_) if context.cancel.is_cancelled() => return Err(Error::Interrupted),
        Err(error) => return Err(ended_by(copy, error).await),
    };
    let whole = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    rehearsal.looked_for_ms = whole.saturating_sub(rehearsal.took_ms);
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
struct Work<'a> {
    context: &'a Context,
    project: Option<&'a Project>,
    pending: &'a [Migration],
    options: &'a RehearseOptions,
    /// The copy as a source for what reads databases.
    copy: Source,
    door: Door,
    token: String,
    production: Production,
}

/// What the copy was before the command.
struct Before {
    relations: Relations,
    invalid: Vec<String>,
    schema: Schema,
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
        let production = Production::of(
            &[&[options.production.clone(), source.settings.clone()], &options.also_production[..]].concat(),
        )
        .await;
        let own = Session::connect(&options.production, &SESSIONS.purpose()).await?;
        let role = MigratingRole::read(&own).await;
        own.close().await;
        let access = Access::prepare(copy, &role?, options.production.database()).await?;
        let forwarder = Forwarder::open(access.destination.clone()).await;
        let forwarder =
            forwarder.map_err(|source| RehearseError::Io { what: "opening a door to the copy".to_owned(), source })?;
        let work = Self {
            context,
            project,
            pending,
            options,
            copy: Source { settings: copy.settings().clone(), ..source.clone() },
            door: access.door(forwarder.port()),
            token: format!("holdpoint-rehearsal:{}", copy.point()),
            production,
        };
        work.rehearse(copy, access.warnings).await
    }

    async fn rehearse(&self, copy: &mut KeptCopy, mut warnings: Vec<String>) -> Result<Rehearsal, Error> {
        let before = self.before().await?;
        let environment = rewritten(&self.options.environment, &self.production, &self.door, &self.token, &[]);
        self.context.progress.phase(Phase::Rehearsing, None);
        let started_at = (self.context.clock)();
        let (end, sampled) = self.run(copy, &environment).await?;
        warnings.extend(self.wait_until_gone().await?);
        let session = Session::connect(&self.copy.settings, &SESSIONS.purpose()).await?;
        let noted = noted(&session).await?;
        let after = relations(&session).await?;
        let left_invalid = invalid_indexes(&session).await?;
        session.close().await;
        let growth = self.growth(&before).await?;
        let schema = Schema::live(self.context, &self.copy).await?;
        let between = Between { before: &before.relations, after: &after };
        let locks = sampled.with(&noted);
        let found = effects(self.context, copy, &self.copy, self.options, &between, &locks).await?;
        let (outcome, reasons) = self.judge(&end, &growth, &sampled);
        let Effects { tables, sequences, large_objects, not_told } = found;
        let (exit_code, signal) = match end.ended.status {
            Status::Code(code) => (Some(code), None),
            Status::Signal(number) => (None, Some(number)),
        };
        Ok(Rehearsal {
            format: FORMAT,
            point: copy.point().clone(),
            started_at,
            outcome,
            reasons,
            command: self.options.mask.command(&self.options.command),
            exit_code,
            signal,
            took_ms: u64::try_from(end.ended.ran_for.as_millis()).unwrap_or(u64::MAX),
            measured_on: copy.measured_on().to_owned(),
            role: self.door.user.clone(),
            isolation: Isolation { rewritten: environment.names, ..Isolation::default() },
            tracking: growth,
            tables,
            sampling: sampled.sampling(before.at_ddl),
            objects: objects(&before.schema, &schema),
            invalid_indexes: left_invalid.into_iter().filter(|name| !before.invalid.contains(name)).collect(),
            sequences,
            large_objects,
            rollback: None,
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
        session.close().await;
        Ok(Before { relations, invalid, schema, tracking, at_ddl })
    }

    /// Runs the command and looks at its locks meanwhile.
    async fn run(&self, copy: &mut KeptCopy, environment: &Rewritten) -> Result<(ChildEnd, Sampled), Error> {
        let mut words = self.options.command.iter();
        let mut mask = self.options.mask.clone();
        mask.learn([self.door.password.clone()]);
        let child = Child {
            program: words.next().map(PathBuf::from).unwrap_or_default(),
            arguments: words.map(Into::into).collect(),
            environment: environment.variables.clone(),
            folder: self.options.folder.clone(),
            time_limit: self.options.time_limit,
            mask,
            listener: self.options.listener.clone(),
        };
        let stop = async {
            tokio::select! {
                why = interrupted(&self.context.cancel) => why,
                reason = copy.ended() => Stop::ScratchEnded(reason),
            }
        };
        let enough = CancellationToken::new();
        let watched = Sampled::watch(&self.copy.settings, &enough);
        let ran = async {
            let end = child.run(stop).await;
            enough.cancel();
            end
        };
        let (end, sampled) = tokio::join!(ran, watched);
        let end = end?;
        match &end.how {
            How::Stopped(Stop::Interrupted) => return Err(Error::Interrupted),
            How::Stopped(Stop::ScratchEnded(reason)) => {
                return Err(RehearseError::ScratchEnded { reason: reason.clone() }.into());
            }
            How::Stopped(Stop::Escaped(_)) | How::TimedOut | How::ByItself => {}
        }
        Ok((end, sampled?))
    }

    /// Waits until the command's sessions are gone from the copy, and ends those that go on.
    async fn wait_until_gone(&self) -> Result<Option<String>, Error> {
        const WHAT: &str = "looking for the command's sessions";
        let session = Session::connect(&self.copy.settings, &SESSIONS.purpose()).await?;
        let others = "FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database() \
                      AND backend_type = 'client backend' AND application_name <> $1";
        let count = format!("SELECT pg_catalog.count(*) {others}");
        let began = Instant::now();
        let mut warning = None;
        loop {
            let left: i64 = session.query_one(WHAT, &count, &[&SESSIONS.name()]).await?.get(0);
            if left == 0 {
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

    async fn growth(&self, before: &Before) -> Result<TrackingGrowth, Error> {
        let after = tracking::read(self.project, &self.copy.settings).await?;
        Ok(tracking::growth(self.project, self.pending, before.tracking.as_ref(), after.as_ref()))
    }

    /// What the command's end and what it recorded come to.
    fn judge(&self, end: &ChildEnd, growth: &TrackingGrowth, sampled: &Sampled) -> (RehearsalOutcome, Vec<String>) {
        let mut reasons = Vec::new();
        let outcome = match (&end.how, end.ended.status) {
            (How::Stopped(Stop::Escaped(why)), _) => {
                reasons.push(why.clone());
                RehearsalOutcome::Escaped
            }
            (How::TimedOut, _) => {
                reasons.push(format!("it did not end within {} s", self.options.time_limit.as_secs()));
                RehearsalOutcome::TimedOut
            }
            (_, Status::Code(0)) => RehearsalOutcome::AsPlanned,
            (_, status) => {
                reasons.push(format!("the command ended with {status}"));
                RehearsalOutcome::Failed
            }
        };
        if outcome == RehearsalOutcome::Failed && sampled.sessions.is_empty() {
            reasons.push("no session of it was seen on the copy".to_owned());
        }
        if outcome == RehearsalOutcome::AsPlanned && growth.exact == Some(false) {
            let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            reasons.push(format!("it recorded {}, and {} was pending", list(&growth.recorded), list(&growth.pending)));
            return (RehearsalOutcome::NotAsPlanned, reasons);
        }
        (outcome, reasons)
    }
}
