//! What a guarded run does, step by step, up to its command.

use std::time::Duration;

use holdpoint_core::ledger::{HookState, RunState};
use holdpoint_core::progress::Phase;
use holdpoint_core::{Mask, RunId};
use holdpoint_operations::backup::BackupOptions;
use holdpoint_operations::run_lock::RunLock;
use holdpoint_operations::verify::VerifyOptions;
use holdpoint_operations::{Context, ErrorKind, Source};
use tokio_util::sync::CancellationToken;

use crate::ledger_writer::LedgerWriter;
use crate::prepare::Preparation;
use crate::proven::Proven;
use crate::run::GuardOptions;
use crate::running::{hooks, tool_lock};
use crate::shown::Question;
use crate::start::Start;
use crate::state::DatabaseState;
use crate::{Error, runs};

/// A run that is being guarded, or prepared.
pub(crate) struct Guarded<'a> {
    pub(crate) preparation: Preparation<'a>,
    pub(crate) start: Start,
    pub(crate) mask: Mask,
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
}
