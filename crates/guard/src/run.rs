//! One guarded run: what goes in, what comes out, and the order in between.

use std::time::Duration;

use holdpoint_core::gate::{Decision, Policy};
use holdpoint_core::identity::{Identity, IdentityMatch};
use holdpoint_core::ledger::RunState;
use holdpoint_core::verification::Verification;
use holdpoint_core::{Mask, PointId, RunId};
use holdpoint_operations::backup::BackupOptions;
use holdpoint_operations::run_lock::RunLock;
use holdpoint_operations::schema_check::{self, Schema};
use holdpoint_operations::verify::VerifyOptions;
use holdpoint_operations::{Context, Source, catalogue};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, identity};
use holdpoint_process::Status;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::command::{self, CommandEnd};
use crate::ledger_writer::LedgerWriter;
use crate::prepare::{self, Preparation, Prepared};
use crate::start::{Start, position};
use crate::state::{DatabaseState, Judgement};
use crate::way_back::ways_back;
use crate::{Error, sessions, way_back};

/// How long the state after the command may take to be read: a server that hangs must not keep the report.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// How a command is guarded.
#[derive(Clone, Debug)]
pub struct GuardOptions {
    /// The command, word by word; at least one.
    pub command: Vec<String>,
    /// The whole environment of the command; holdpoint's own credentials are already left out.
    pub environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    /// What the gate asks for.
    pub policy: Policy,
    /// Run although nothing is proven, for this reason; recorded.
    pub unproven: Option<String>,
    /// Who runs it and where, in words.
    pub operator: Option<String>,
    /// Flags of this program that the way back must repeat to be pasteable, such as `--config X --database Y`.
    pub own_flags: Vec<String>,
    /// How the way back connects: a role that may create databases, mostly the migrating one, where the restore point
    /// is made by one that only reads.
    pub way_back: Option<ConnectionSettings>,
}

/// A way to undo.
#[derive(Clone, Debug, Serialize)]
pub struct WayBack {
    /// What it does.
    pub title: String,
    /// The command, ready to paste.
    pub command: String,
    /// What is lost by it.
    pub data_lost: String,
    /// Seconds it will take, estimated; `None` when nothing was measured.
    pub estimated_seconds: Option<f64>,
}

/// A guarded run that ended.
#[derive(Clone, Debug, Serialize)]
pub struct GuardReport {
    /// The run.
    pub run: RunId,
    /// Where it stands.
    pub state: RunState,
    /// What the gate decided at first.
    pub decision: Decision,
    /// The restore point that it relied on.
    pub point: Option<PointId>,
    /// The verification made for it.
    pub verification: Option<Verification>,
    /// Exit code of the command.
    pub exit_code: Option<i32>,
    /// Signal that ended the command.
    pub signal: Option<i32>,
    /// Milliseconds that the command ran.
    pub command_took_ms: Option<u64>,
    /// It was ended because a person or a time limit asked for it.
    pub interrupted: bool,
    /// What the database looks like now, against right before the command: `unchanged`, `changed`, or `unknown`.
    ///
    /// *Unchanged* is only said with evidence that nothing was kept: every transaction meanwhile was aborted, or no
    /// table's counters and files moved and the schema is the same. Positions of sequences are not part of it.
    pub database: &'static str,
    /// The ways back, best first.
    pub ways_back: Vec<WayBack>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// How a run that came to its command ended, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitKind {
    /// The command succeeded: exit code 0.
    Done,
    /// It failed, and nothing was applied: exit code 10.
    NothingApplied,
    /// It failed, and something was applied, or that is not known: exit code 11.
    AppliedInPart,
    /// It was interrupted, and nothing was applied: exit code 130.
    Interrupted,
}

impl GuardReport {
    /// How the run ended, for the exit code.
    pub fn exit_kind(&self) -> ExitKind {
        match (self.state, self.database, self.interrupted) {
            (RunState::Succeeded, ..) => ExitKind::Done,
            (_, "unchanged", true) => ExitKind::Interrupted,
            (_, "unchanged", false) => ExitKind::NothingApplied,
            _ => ExitKind::AppliedInPart,
        }
    }
}

/// Runs a command once a restore point is proven, or refuses to.
///
/// In this order: the gate decides; a restore point is made, pinned and verified where none does; the run lock is
/// taken; identity and schema are compared with the restore point's; the ledger says *running*; the command runs. An
/// error means that the command was never started (the ledger then says *refused*); whatever happens to the command is
/// told in the report, with the ways back. The restore point stays pinned after the command ran.
///
/// # Errors
/// [`Error::Busy`] at once when another run has the lock; [`Error::Disproved`], never excused;
/// [`Error::CouldNotProve`] unless [`GuardOptions::unproven`] says why it may go on; [`Error::SchemaChanged`] and
/// [`Error::RanMeanwhile`] when the database is not the one that the restore point recorded any more.
pub async fn guard(
    context: &Context,
    source: &Source,
    verify: &VerifyOptions,
    backup: &BackupOptions,
    options: &GuardOptions,
) -> Result<GuardReport, Error> {
    command::check(options)?;
    prepare::check(backup, options)?;
    let start = Start::read(context, source).await?;
    let source = Source { settings: start.settings.clone(), ..source.clone() };
    let mask = Mask::new(source.settings.servers().iter().filter_map(|server| server.password.clone()));
    let run = RunId::new(start.now, context.seed);
    let command = mask.command(&options.command);
    let operator = options.operator.as_deref().map(|text| mask.script(text));
    let mut ledger = LedgerWriter::new(context, run, start.identity.clone(), command, operator);
    let preparation = Preparation { context, source: &source, verify, backup, options };
    let guarded = Guarded { preparation, start, mask };
    ledger.write(RunState::Started, guarded.start.warnings.clone()).await?;
    match guarded.ready(&mut ledger).await {
        Ok(ready) => Ok(guarded.run(ready, ledger).await),
        Err(error) => {
            guarded.preparation.unpin(&ledger).await;
            let reason = guarded.mask.script(&error.to_string());
            if let Err(error) = ledger.write(RunState::Refused, vec![reason]).await {
                context.progress.note(&format!("the refusal could not be written into the ledger: {error}"));
            }
            Err(error)
        }
    }
}

/// A run that is being guarded.
struct Guarded<'a> {
    preparation: Preparation<'a>,
    start: Start,
    mask: Mask,
}

/// Everything is proven, locked and written: the command may start.
struct Ready {
    decision: Decision,
    prepared: Prepared,
    lock: RunLock,
    before: DatabaseState,
    ways_back: Vec<WayBack>,
}

impl Guarded<'_> {
    /// Does everything up to the command.
    async fn ready(&self, ledger: &mut LedgerWriter<'_>) -> Result<Ready, Error> {
        let Preparation { context, source, options, .. } = self.preparation;
        let decision = self.preparation.decide(self.start.now).await?;
        let mut prepared = self.preparation.prepare(&decision, ledger).await?;
        let shown = catalogue::show(context, &prepared.point).await?;
        let through = options.way_back.as_ref().unwrap_or(&source.settings);
        let powerless = self.powerless(through, &mut prepared.warnings).await;
        let ways_back = ways_back(
            ledger.run(),
            &shown.manifest,
            &shown.verifications,
            through,
            &options.own_flags,
            powerless.as_deref(),
        );
        let identity = &self.start.identity;
        let name = format!("holdpoint guard {}", ledger.run());
        let lock = RunLock::take(&source.settings, identity.database_oid, &name, &context.cancel).await?;
        let before = self.check_again(&prepared.point, &lock, ledger.run()).await?;
        let mut ready = Ready { decision, prepared, lock, before, ways_back };
        let session = ready.lock.session();
        sessions::wait_until_gone(session, schema_check::APPLICATION_NAME).await?;
        let (instant, wal_position) = position(session).await?;
        ledger.stands_at(instant, wal_position);
        if context.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        if !ready.lock.is_held().await {
            return Err(Error::LockLost);
        }
        let mut remarks = Vec::new();
        if let Some(reason) = &ready.prepared.unproven {
            remarks.extend(ready.prepared.warnings.iter().cloned());
            remarks.push(format!("runs although nothing is proven: {}", self.mask.script(reason)));
        }
        ready.before.note_transactions(ready.lock.session()).await?;
        ledger.write(RunState::Running, remarks).await?;
        Ok(ready)
    }

    /// Warns, while there is time to stop, of a way back whose role cannot go it; gives that role.
    async fn powerless(&self, through: &ConnectionSettings, warnings: &mut Vec<String>) -> Option<String> {
        let (role, warning) = match way_back::powerless(through).await {
            Ok(None) => return None,
            Ok(Some(role)) => {
                let may_not = way_back::may_not_create(&role);
                let warning =
                    format!("the way back needs another role: {may_not} (ALTER ROLE … CREATEDB, or another URL)");
                (Some(role), warning)
            }
            Err(error) => {
                (None, format!("whether the way back's role may create databases could not be read: {error}"))
            }
        };
        let warning = self.mask.script(&warning);
        self.preparation.context.progress.note(&warning);
        warnings.push(warning);
        role
    }

    /// Under the lock: still the same database, with the schema that the restore point recorded, and nobody else ran.
    async fn check_again(&self, point: &PointId, lock: &RunLock, run: &RunId) -> Result<DatabaseState, Error> {
        let Preparation { context, source, .. } = self.preparation;
        let now = identity::read(lock.session()).await?.identity;
        match Identity::compare(&self.start.identity, &now) {
            IdentityMatch::Same => {}
            IdentityMatch::TimelineChanged => {
                return Err(Error::ServerChanged { differences: vec!["its timeline is a new one".to_owned()] });
            }
            IdentityMatch::Different(differences) => return Err(Error::ServerChanged { differences }),
        }
        if let Some(other) = self.start.others.ran_since(context, run).await? {
            return Err(Error::RanMeanwhile { run: other.to_string() });
        }
        let schema = Schema::live(context, source).await?;
        let differences = Schema::recorded(context, point).await?.changes(&schema);
        if !differences.is_empty() {
            return Err(Error::SchemaChanged { point: point.clone(), differences });
        }
        DatabaseState::read(lock.session(), schema).await
    }

    /// Runs the command, judges, writes the last step. From here on nothing is an error any more.
    async fn run(&self, ready: Ready, mut ledger: LedgerWriter<'_>) -> GuardReport {
        let Preparation { context, options, .. } = self.preparation;
        let Ready { decision, prepared, lock, before, ways_back } = ready;
        let mut end = command::run(context, options, ledger.run(), &lock).await;
        if end.warnings.is_empty() && end.started && !lock.is_held().await {
            end.warnings.push("the run lock was lost while the command ran: another run may have started".to_owned());
        }
        let judgement = self.judge(&before, &mut end, ledger.run()).await;
        lock.release().await;
        let status = end.ended.as_ref().map(|ended| ended.status);
        let (exit_code, signal) = match status {
            Some(Status::Code(code)) => (Some(code), None),
            Some(Status::Signal(number)) => (None, Some(number)),
            None => (None, None),
        };
        let succeeded = exit_code == Some(0) && !end.interrupted;
        let Judgement { database, remarks, warnings: found } = judgement;
        let state = match (succeeded, database) {
            (true, _) => RunState::Succeeded,
            (false, "unchanged") => RunState::RolledBack,
            (false, _) => RunState::Failed,
        };
        ledger.ended(exit_code, signal);
        let told = if succeeded { Vec::new() } else { remarks.clone() };
        let mut written = vec![format!("the database is {database}")];
        written.extend(end.interrupted.then(|| "interrupted".to_owned()));
        written.extend([remarks, found.clone(), end.warnings.clone()].concat());
        let mut warnings = [self.start.warnings.clone(), prepared.warnings, end.warnings, told, found].concat();
        if let Err(error) = ledger.write(state, written).await {
            warnings.push(format!("the end of the run could not be written into the ledger: {error}"));
        }
        GuardReport {
            run: ledger.run().clone(),
            state,
            decision,
            point: Some(prepared.point),
            verification: prepared.verification,
            exit_code,
            signal,
            command_took_ms: end.ended.map(|ended| u64::try_from(ended.ran_for.as_millis()).unwrap_or(u64::MAX)),
            interrupted: end.interrupted,
            database,
            ways_back,
            warnings,
        }
    }

    /// Ends what the command left working on the server, then compares the database with what it was.
    async fn judge(&self, before: &DatabaseState, end: &mut CommandEnd, run: &RunId) -> Judgement {
        // The run's own cancellation must not keep it from looking.
        let context = Context { cancel: CancellationToken::new(), ..self.preparation.context.clone() };
        let read = async {
            let purpose = SessionPurpose::new("holdpoint guard check");
            let session = Session::connect(&self.start.settings, &purpose).await?;
            if end.was_cut_off() {
                end.warnings.extend(sessions::cancel(&session, run).await?);
            } else {
                let left = sessions::wait_until_gone(&session, &sessions::token(run)).await?;
                end.warnings.extend((!left.is_empty()).then(|| sessions::still_there(&left)));
            }
            let schema = Schema::live(&context, self.preparation.source).await?;
            let after = DatabaseState::read(&session, schema).await?;
            let mut judgement = before.judge(&after, &session).await?;
            if judgement.database == "unchanged" && !sessions::named(&session, &sessions::token(run)).await?.is_empty()
            {
                judgement.database = "unknown";
            }
            session.close().await;
            Ok::<_, Error>(judgement)
        };
        match tokio::time::timeout(READ_WITHIN, read).await {
            Ok(Ok(judgement)) => judgement,
            Ok(Err(error)) => Judgement::unreadable(&error.to_string()),
            Err(_) => Judgement::unreadable(&format!("not within {} s", READ_WITHIN.as_secs())),
        }
    }
}
