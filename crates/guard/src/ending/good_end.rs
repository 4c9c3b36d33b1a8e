//! What belongs after a good end: `--after` is run, and how that went is written as a step of its own.

use holdpoint_core::RunId;
use holdpoint_core::ledger::{HookState, RunStep, newest};
use holdpoint_core::selector::RunSelector;
use holdpoint_operations::Context;
use tokio_util::sync::CancellationToken;

use crate::guarded::Guarded;
use crate::ledger_writer::LedgerWriter;
use crate::running::hooks;
use crate::{Error, runs};

/// What the ledger says before --after runs: without a later step that says how it went, nobody knows.
pub(super) const AFTER_BEGINS: &str = "what --after runs begins: the next step says how it went";
/// What the ledger keeps of a good end.
pub(super) const AFTER_RAN: &str = "what --after runs was run";

impl Guarded<'_> {
    /// Runs what belongs after a good end, and writes how that went, as a step of its own.
    pub(super) async fn finish(&self, ledger: &mut LedgerWriter<'_>, warnings: &mut Vec<String>) {
        let failed = self.run_after(Ok(()), ledger.run()).await;
        let after = ran(failed.as_ref());
        ledger.after_is(after);
        let told = failed.clone().unwrap_or_else(|| AFTER_RAN.to_owned());
        warnings.extend(failed);
        warnings.extend(runs::owed(ledger.step()));
        // After the newest step, whoever wrote it: the lock may have been lost meanwhile.
        if let Err(error) = note(self.preparation.context, ledger.run(), after, told).await {
            warnings.push(format!("how --after went could not be written into the ledger: {error}"));
        }
    }

    /// Runs what belongs after a good end, or says why not: it never was one, for that reason.
    pub(super) async fn run_after(&self, good: Result<(), &str>, run: &RunId) -> Option<String> {
        let options = self.preparation.options;
        let line = options.run.after.as_ref()?;
        if let Err(why) = good {
            let still = if options.run.before.is_some() { ": what --before did still holds" } else { "" };
            return Some(format!("--after was not run, because {why}{still}"));
        }
        let ran = hooks::run(line, options, run, &self.mask, &CancellationToken::new()).await;
        ran.err().map(|reason| format!("what --after runs failed: {reason}"))
    }
}

/// How the line after the command ended, by why it failed.
pub(super) fn ran(failed: Option<&String>) -> HookState {
    if failed.is_some() { HookState::Failed } else { HookState::Ran }
}

/// Writes what came after the end of a run, or of its undo, as a step of its own: the run stands where it stood.
pub(super) async fn note(context: &Context, run: &RunId, after: HookState, told: String) -> Result<(), Error> {
    let steps = runs::steps(context, &RunSelector::Id(run.clone())).await?;
    let Some(step) = newest(&steps) else { return Ok(()) };
    let mut hooks = step.hooks.clone();
    if let Some(record) = hooks.as_mut().and_then(|hooks| hooks.after.as_mut()) {
        record.state = after;
    }
    let noted = RunStep { n: step.n + 1, at: (context.clock)(), hooks, remarks: vec![told], ..step.clone() };
    Ok(context.repository.record_step(&context.database, &noted).await?)
}
