//! What a guarded run does, step by step, up to its command.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdpoint_core::gate::pending::Decision;
use holdpoint_core::identity::{Identity, IdentityMatch};
use holdpoint_core::ledger::{HookState, RunState};
use holdpoint_core::progress::Phase;
use holdpoint_core::{Mask, PointId, PointKind, RunId};
use holdpoint_operations::backup::BackupOptions;
use holdpoint_operations::rds::{RdsSource, Restorable};
use holdpoint_operations::run_lock::RunLock;
use holdpoint_operations::schema_check::{self, Schema};
use holdpoint_operations::verify::VerifyOptions;
use holdpoint_operations::{Context, Error as OperationError, ErrorKind, Source, catalogue};
use holdpoint_postgres::{ConnectionSettings, identity};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ledger_writer::LedgerWriter;
use crate::planned::Planned;
use crate::prepare::{Preparation, Relied};
use crate::prepared;
use crate::rehearsed::Rehearsed;
use crate::run::{GuardOptions, WayBack};
use crate::running::{hooks, tool_lock};
use crate::shown::Question;
use crate::start::{Start, position};
use crate::state::DatabaseState;
use crate::ways_back::{self, Known, Noted};
use crate::{Error, runs, sessions};

/// What a rolled-back transaction leaves behind.
const OUTLIVE_TRANSACTIONS: [&str; 3] = ["SETVAL", "ALTER SYSTEM", "REPLICATION_SLOT"];

/// A run that is being guarded, or prepared.
pub(crate) struct Guarded<'a> {
    pub(crate) preparation: Preparation<'a>,
    pub(crate) start: Start,
    pub(crate) mask: Mask,
}

/// What the command may rely on is there, and the way back is known.
pub(crate) struct Proven {
    pub(crate) planned: Planned,
    pub(crate) decision: Decision,
    pub(crate) relied: Relied,
    /// The prepared run that it relies on, and until when.
    pub(crate) prepared_by: Option<(RunId, DateTime<Utc>)>,
    pub(crate) ways_back: Vec<WayBack>,
    /// The RDS instance that the database is on, where that goes back to an instant.
    pub(crate) instance: Option<RdsSource>,
}

impl Proven {
    /// Refuses to rely on a prepared run that is not valid any more at `now`, by the server's clock.
    fn demand_valid(&self, now: DateTime<Utc>) -> Result<(), Error> {
        match self.prepared_by.as_ref().filter(|(_, until)| *until < now) {
            Some((run, until)) => Err(Error::Expired { run: run.to_string(), until: *until }),
            None => Ok(()),
        }
    }
}

/// Everything is proven, locked and written: the command may start.
pub(crate) struct Ready {
    pub(crate) proven: Proven,
    pub(crate) lock: RunLock,
    pub(crate) before: DatabaseState,
    /// How long it took to read that.
    pub(crate) looked_for: Duration,
}

impl<'a> Guarded<'a> {
    /// Reads where the server stands, and writes the ledger's first step.
    pub(crate) async fn begin(
        context: &'a Context,
        source: &'a Source,
        verify: &'a VerifyOptions,
        backup: &'a BackupOptions,
        options: &'a GuardOptions,
    ) -> Result<(Self, LedgerWriter<'a>), Error> {
        let start = Start::read(context, source, &tool_lock::keys(options.found())).await?;
        let mut mask = Mask::new(start.settings.servers().iter().filter_map(|server| server.password.clone()));
        let addresses = [&options.run.notify, &options.run.health.url].into_iter().flatten();
        mask.learn(addresses.chain(&options.run.secrets).cloned());
        let run = RunId::after(start.others.last(), start.now, context.seed);
        let command = mask.command(&options.command);
        let operator = options.operator.as_deref().map(|text| mask.script(text));
        let mut ledger = LedgerWriter::new(context, run, start.identity.clone(), command, operator);
        ledger.comes_from(options.run.origin.clone());
        ledger.is_worked_on_by(options.run.process.clone());
        let line = |line: &Option<String>| line.as_deref().map(|line| mask.script(line));
        ledger.has_hooks(line(&options.run.before), line(&options.run.after));
        let source = Source { settings: start.settings.clone(), ..source.clone() };
        let preparation = Preparation::new(context, source, verify, backup, options);
        let guarded = Self { preparation, start, mask };
        ledger.write(RunState::Started, guarded.start.warnings.clone()).await?;
        Ok((guarded, ledger))
    }

    /// Writes the refusal, lets go of what it was to rely on, and gives the error back.
    pub(crate) async fn refused(&self, error: Error, mut ledger: LedgerWriter<'_>) -> Error {
        self.preparation.unpin(&ledger).await;
        if let Some(told) = runs::owed(ledger.step()) {
            self.preparation.context.progress.note(&told);
        }
        let error = match (error.kind(), ledger.point()) {
            // What was made stays, and is told.
            (ErrorKind::Interrupted, Some(point)) if !matches!(error, Error::BeforeInterrupted) => {
                let proven = ledger.step().state != RunState::Started;
                Error::InterruptedWith { point: point.clone(), proven }
            }
            _ => error,
        };
        let reason = self.mask.script(&error.to_string());
        if let Some(to) = &self.preparation.options.run.notify {
            let message = self.message("refused", &ledger, RunState::Refused).because(vec![reason.clone()]);
            if let Some(warning) = message.send(to, &self.mask).await {
                self.preparation.context.progress.note(&warning);
            }
        }
        if let Err(error) = ledger.write(RunState::Refused, vec![reason]).await {
            let told = format!("the refusal could not be written into the ledger: {error}");
            self.preparation.context.progress.note(&told);
        }
        error
    }

    /// Does everything up to the command.
    pub(crate) async fn ready(&self, ledger: &mut LedgerWriter<'_>) -> Result<Ready, Error> {
        self.preparation.options.demand_past_acceptance(self.start.now)?;
        let proven = Box::pin(self.within_deadline(ledger)).await?;
        self.ask(&proven).await?;
        let Preparation { context, options, .. } = &self.preparation;
        context.progress.phase(Phase::TakingRunLock, None);
        let (name, oid) = (format!("holdpoint guard {}", ledger.run()), self.start.identity.database_oid);
        // From --before to --after nobody else migrates: what one run switches on no other one switches off.
        let lock = Box::pin(RunLock::take(&self.preparation.source.settings, oid, &name, &context.cancel)).await?;
        Box::pin(self.run_before(ledger)).await?;
        let failed = match Box::pin(self.locked(proven, &lock, ledger)).await {
            Ok((proven, before, looked_for)) => return Ok(Ready { proven, lock, before, looked_for }),
            Err(error) => error,
        };
        if let (Some(_), Some(line)) = (&options.run.before, &options.run.after) {
            // The command never ran, so the application may go on.
            ledger.after_is(HookState::Began);
            if let Err(error) = ledger.remark(vec!["what --after runs begins".to_owned()]).await {
                context.progress.note(&format!("that --after begins could not be written into the ledger: {error}"));
            }
            let ran = hooks::run(line, options, ledger.run(), &self.mask, &CancellationToken::new()).await;
            ledger.after_is(if ran.is_ok() { HookState::Ran } else { HookState::Failed });
            if let Err(reason) = ran {
                context.progress.note(&format!("what --after runs failed: {reason}"));
            }
        }
        lock.release().await;
        Err(failed)
    }

    /// Runs what belongs before the command; that it begins is written first.
    async fn run_before(&self, ledger: &mut LedgerWriter<'_>) -> Result<(), Error> {
        let Preparation { context, options, .. } = &self.preparation;
        let Some(line) = &options.run.before else { return Ok(()) };
        ledger.before_is(HookState::Began);
        ledger.remark(vec!["what --before runs begins".to_owned()]).await?;
        let ran = hooks::run(line, options, ledger.run(), &self.mask, &context.cancel).await;
        ledger.before_is(if ran.is_ok() { HookState::Ran } else { HookState::Failed });
        ran.map_err(|reason| {
            if context.cancel.is_cancelled() { Error::BeforeInterrupted } else { Error::BeforeFailed { reason } }
        })
    }

    /// Looks at everything again, under the run lock.
    async fn locked(
        &self,
        mut proven: Proven,
        lock: &RunLock,
        ledger: &mut LedgerWriter<'_>,
    ) -> Result<(Proven, DatabaseState, Duration), Error> {
        let Preparation { context, options, .. } = &self.preparation;
        let session = lock.session();
        tool_lock::demand_free(session, &tool_lock::keys(options.found())).await?;
        let (mut before, looked_for) = self.as_proven(&proven, lock, ledger.run()).await?;
        let (at, wal_position) = position(session).await?;
        proven.demand_valid(at)?;
        let waited = Box::pin(self.await_instant(&proven, at, ledger)).await?;
        if waited.is_some() {
            if !lock.is_held().await {
                return Err(Error::LockLost);
            }
            // Others went on meanwhile.
            (before, _) = self.as_proven(&proven, lock, ledger.run()).await?;
            proven.demand_valid(position(session).await?.0)?;
        }
        let noted = Noted { at, waited };
        ledger.stands_at(noted, wal_position);
        proven.ways_back = proven.ways_back.iter().map(|way| noted.put_into(way)).collect();
        if context.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        if !lock.is_held().await {
            return Err(Error::LockLost);
        }
        let mut remarks = Vec::new();
        if let Some(reason) = &proven.relied.unproven {
            remarks.extend(proven.relied.warnings.iter().cloned());
            remarks.push(format!("runs although nothing is proven: {}", self.mask.script(reason)));
        }
        if proven.relied.point.is_none()
            && let Decision::Go { reasons, .. } = &proven.decision
        {
            remarks.extend(reasons.iter().map(|reason| format!("relies on no restore point: {reason}")));
        }
        let schema = before.schema.sha256();
        if let (Some(run), false) = (self.start.others.schema_changed_since(&schema), proven.told_of_schema()) {
            let told = format!("the schema is not as run {run} left it: something else than a guarded run changed it");
            context.progress.note(&told);
            proven.relied.warnings.push(told.clone());
            remarks.push(told);
        }
        // To look took its time, in which somebody else may have begun.
        tool_lock::demand_free(lock.session(), &tool_lock::keys(options.found())).await?;
        before.note_transactions(lock.session()).await?;
        let own = options.environment.iter().filter(|(name, _)| name.as_encoded_bytes() == b"PGOPTIONS");
        if own.into_iter().any(|(_, value)| value.to_string_lossy().contains("track_counts"))
            || self.is_said(&["TRACK_COUNTS"], &proven.planned)
        {
            before.distrust_counters();
        }
        let outlives = self.is_said(&OUTLIVE_TRANSACTIONS, &proven.planned);
        ledger.saw_before(before.seen_transactions(), outlives);
        ledger.write(RunState::Running, remarks).await?;
        Ok((proven, before, looked_for))
    }

    /// Demands that database, schema and migrations are still those that were proven; the database's state, and how long it
    /// took to read.
    async fn as_proven(
        &self,
        proven: &Proven,
        lock: &RunLock,
        run: &RunId,
    ) -> Result<(DatabaseState, Duration), Error> {
        let Preparation { context, options, .. } = &self.preparation;
        let point = proven.relied.point.as_ref();
        let began = Instant::now();
        let state = self.check_again(point, lock, run).await?;
        let looked_for = began.elapsed();
        options.migrations.check_again(context, &proven.planned, &self.start.identity, point).await?;
        sessions::wait_until_gone(lock.session(), schema_check::APPLICATION_NAME).await?;
        Ok((state, looked_for))
    }

    /// Asks whether the command may run, where somebody can be asked and data may be lost.
    async fn ask(&self, proven: &Proven) -> Result<(), Error> {
        let Some(Question(ask)) = self.preparation.options.question.clone().filter(|_| proven.is_grave()) else {
            return Ok(());
        };
        let shown = proven.shown();
        let answer = tokio::task::spawn_blocking(move || ask(&shown));
        tokio::select! {
            answer = answer => if answer.unwrap_or(false) { Ok(()) } else { Err(Error::NotConfirmed) },
            () = self.preparation.context.cancel.cancelled() => Err(Error::Interrupted),
        }
    }

    /// As [`Self::proven`], for as long as it may take; what is under way then is ended and leaves nothing.
    pub(crate) async fn within_deadline(&self, ledger: &mut LedgerWriter<'_>) -> Result<Proven, Error> {
        let Some(within) = self.preparation.options.deadline else { return Box::pin(self.proven(ledger)).await };
        let cancel = self.preparation.context.cancel.clone();
        let mut work = Box::pin(self.proven(ledger));
        let late = tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(within) => work,
        };
        self.preparation.stop();
        let ended = late.await;
        match ended {
            Err(_) if !cancel.is_cancelled() => {
                let missing = self.preparation.stage().to_owned();
                Err(Error::Deadline { within, missing, point: ledger.point().cloned() })
            }
            ended => ended,
        }
    }

    /// Reads what is pending, asks the gate, and sees to it that there is what the command may rely on.
    async fn proven(&self, ledger: &mut LedgerWriter<'_>) -> Result<Proven, Error> {
        let Preparation { source, options, .. } = &self.preparation;
        let context = &self.preparation.working;
        let identity = &self.start.identity;
        self.preparation.at("reading what is pending");
        context.progress.phase(Phase::Planning, None);
        let planned = Box::pin(Planned::read(context, source, options, identity, &self.mask)).await?;
        planned.remarks.iter().for_each(|remark| context.progress.note(&self.mask.script(remark)));
        ledger.planned(planned.masked_record(&self.mask));
        self.preparation.at("asking the gate");
        let mut doubts = Vec::new();
        let instance = self.instance(&planned, &mut doubts).await?;
        let window = instance.as_ref().and_then(|(_, restorable)| restorable.covered());
        let mut decision = self.preparation.decide(&planned, identity, window, self.start.now).await?;
        self.demand_instance(&decision, instance.as_ref().map(|(source, _)| source), &doubts)?;
        let mut prepared_by = None;
        if let (Decision::MakeRestorePoint { policy, .. }, true) = (&decision, self.preparation.takes_prepared) {
            let command = self.mask.command(&options.command);
            let wanted = prepared::Wanted { planned: &planned, command: &command, identity, policy: *policy };
            if let Some(fitting) = wanted.find(context, source, self.start.now).await? {
                ledger.relies_on_run(&fitting.run, fitting.rehearsal.clone());
                decision = fitting.decision;
                prepared_by = Some((fitting.run, fitting.until, fitting.rehearsal));
            }
        }
        let mut relied = match &prepared_by {
            None => Box::pin(self.preparation.rely(&planned, &decision, ledger)).await?,
            Some((run, _, rehearsal)) => {
                let rehearsal = rehearsal.clone().map(Rehearsed::Yes);
                let rehearsal = rehearsal.unwrap_or_else(|| Rehearsed::No(format!("run {run} was not")));
                Relied { rehearsal, ..self.preparation.rely_on_older(&decision, ledger).await? }
            }
        };
        let prepared_by = prepared_by.map(|(run, until, _)| (run, until));
        relied.warnings.extend(planned.remarks.iter().map(|remark| self.mask.script(remark)));
        let mut known = Vec::new();
        relied.warnings.append(&mut doubts);
        if let Some(point) = &relied.point {
            let shown = catalogue::show_any(context, point).await?;
            options.demand_acceptance_of(shown.manifest.snapshot_at())?;
            let through = options.way_back.as_ref().unwrap_or(&source.settings);
            // Of a snapshot nothing is restored into a database, nor recovered.
            let is_archive = shown.manifest.kind() == PointKind::Archive;
            let powerless = match is_archive {
                true => self.powerless(through, &mut relied.warnings).await,
                false => None,
            };
            let rehearsal = match &relied.rehearsal {
                Rehearsed::Yes(rehearsal) => Some(&**rehearsal),
                Rehearsed::No(_) => None,
            };
            let unrecoverable = match is_archive {
                true => ways_back::unrecoverable(&source.settings, &planned, rehearsal).await?,
                false => None,
            };
            if let Some(why) = &unrecoverable {
                let warning = self.mask.script(&format!("recover is no way back: {why}"));
                self.preparation.context.progress.note(&warning);
                relied.warnings.push(warning);
            }
            let what = Known {
                run: ledger.run(),
                recorded: &shown.manifest,
                verifications: &shown.verifications,
                settings: through,
                powerless: powerless.as_deref(),
                flags: &options.own_flags,
                project_flags: &options.project_flags,
                planned: &planned,
                rehearsal,
                unrecoverable: unrecoverable.as_deref(),
                instance: instance.as_ref(),
            };
            known = what.ways_back();
        }
        ledger.goes_back_by(known.clone(), ways_back::risk(&planned));
        let instance = instance.map(|(source, _)| source);
        Ok(Proven { planned, decision, relied, prepared_by, ways_back: known, instance })
    }

    /// What the RDS instance that the database is on goes back to; `None` where none is configured, or nothing is pending.
    ///
    /// An instance that cannot be asked for is warned of: the gate then takes it that there is no window.
    async fn instance(
        &self,
        planned: &Planned,
        warnings: &mut Vec<String>,
    ) -> Result<Option<(RdsSource, Restorable)>, Error> {
        let Some(source) = self.preparation.options.instance.clone() else { return Ok(None) };
        if planned.migrations == Some(0) {
            return Ok(None);
        }
        let why = match source.restorable().await {
            Err(OperationError::Interrupted) => return Err(Error::Interrupted),
            Err(error) => error.to_string(),
            Ok(restorable) => match ways_back::no_instance(&restorable, &self.preparation.source.settings).await {
                None => {
                    let name = &source.instance;
                    let told = restorable.window.warnings.iter();
                    warnings.extend(told.map(|warning| format!("the RDS instance {name}: {warning}")));
                    return Ok(Some((source, restorable)));
                }
                Some(why) => why,
            },
        };
        let warning = self.mask.script(&format!("the RDS instance {} is no way back: {why}", source.instance));
        self.preparation.context.progress.note(&warning);
        warnings.push(warning);
        Ok(None)
    }

    /// Warns, while there is time to stop, of a way back whose role cannot go it; gives that role.
    async fn powerless(&self, through: &ConnectionSettings, warnings: &mut Vec<String>) -> Option<String> {
        let (role, warning) = match ways_back::powerless(through).await {
            Ok(None) => return None,
            Ok(Some(role)) => {
                let may_not = ways_back::may_not_create(&role);
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
    async fn check_again(&self, point: Option<&PointId>, lock: &RunLock, run: &RunId) -> Result<DatabaseState, Error> {
        let Preparation { context, source, .. } = &self.preparation;
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
        if let Some(point) = point {
            let differences = Schema::recorded(context, point).await?.changes(&schema);
            if !differences.is_empty() {
                return Err(Error::SchemaChanged { point: point.clone(), differences });
            }
        }
        DatabaseState::read(lock.session(), schema).await
    }
}
