//! The undo of a run that failed, where that was asked for.

use holdpoint_core::ledger::{HookState, RunState};
use holdpoint_core::selector::RunSelector;
use holdpoint_operations::run_lock::RunLock;
use tokio_util::sync::CancellationToken;

use super::Undone;
use super::good_end::{AFTER_BEGINS, AFTER_RAN, note, ran};
use crate::guarded::Guarded;
use crate::ledger_writer::LedgerWriter;
use crate::run::OnFailure;
use crate::runs;
use crate::undo::{self, UndoEnd, UndoOptions};

impl Guarded<'_> {
    /// Undoes the run, under the lock that its command ran under where that is still held; then runs what belongs after
    /// a good end, and writes how that went.
    pub(super) async fn undo(
        &self,
        on_failure: &OnFailure,
        lock: RunLock,
        ledger: &mut LedgerWriter<'_>,
        warnings: &mut Vec<String>,
    ) -> Undone {
        // Who interrupted the command did not interrupt its undo; the next signal does.
        let mut context = self.preparation.context.clone();
        if context.cancel.is_cancelled() {
            context.cancel = on_failure.cancel.as_ref().map_or_else(CancellationToken::new, |next| next());
        }
        let options = UndoOptions { run: RunSelector::Id(ledger.run().clone()), ..on_failure.undo.clone() };
        // Where another run has it by now, the undo refuses by itself.
        let (lock, at_work) = self.hold(lock, warnings, ledger.run()).await;
        let held = if at_work.is_none() && lock.is_held().await {
            Some(lock)
        } else {
            // Its session may still have it: the undo takes it anew.
            drop(lock);
            None
        };
        let undone = undo::undo_held(&context, &options, held).await;
        let undone = undone.map(Box::new).map_err(|error| (on_failure.told)(error));
        let options = self.preparation.options;
        let done = matches!(&undone, Ok(report) if report.end() == UndoEnd::Done);
        let again = match options.run.after {
            None => Ok(None),
            Some(_) => Box::pin(self.lock_again(ledger.run())).await,
        };
        let (lock, busy) = match again {
            Ok(lock) => (lock, None),
            Err(holder) => (None, Some(format!("another run is at work ({holder})"))),
        };
        let good = match &busy {
            _ if !done => Err("the run failed, and its undo, too"),
            Some(busy) => Err(busy.as_str()),
            None => Ok(()),
        };
        if good.is_ok() && options.run.after.is_some() {
            let begins = note(&context, ledger.run(), HookState::Began, AFTER_BEGINS.to_owned()).await;
            let not_told = |error| format!("that --after begins could not be written into the ledger: {error}");
            warnings.extend(begins.err().map(not_told));
        }
        let after = self.run_after(good, ledger.run()).await;
        let state = if good.is_ok() { ran(after.as_ref()) } else { HookState::NotRun };
        ledger.after_is(state);
        let written = match &undone {
            // Nothing of the undo is written yet.
            Err(why) => {
                let told = Some(format!("it could not be undone: {why}")).into_iter().chain(after.clone()).collect();
                ledger.write(RunState::Failed, told).await
            }
            Ok(_) if options.run.after.is_some() => {
                let told = after.clone().unwrap_or_else(|| AFTER_RAN.to_owned());
                note(&context, ledger.run(), state, told).await
            }
            Ok(_) => Ok(()),
        };
        if let Err(error) = written {
            warnings.push(format!("how the undo ended could not be written into the ledger: {error}"));
        }
        warnings.extend(after);
        warnings.extend(runs::owed(ledger.step()));
        if let Some(lock) = lock {
            lock.release().await;
        }
        undone
    }
}
