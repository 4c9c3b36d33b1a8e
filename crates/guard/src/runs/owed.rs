//! What a run owes: the line after its command that switches off what the one before it switched on.

use holdpoint_core::ledger::{HookState, RunStep};

use crate::ways_back::shell_quote;

/// Says that what a run switched on may still be on, with the line that switches it off as a command; `None` where it
/// owes nothing. That the run lives is not looked at.
pub fn owed(step: &RunStep) -> Option<String> {
    let after = step.hooks.as_ref()?.owed()?;
    let command = command(step, &after.line);
    let how = match after.state {
        HookState::Failed => "its --after failed",
        HookState::Began => {
            "its --after began, and how it ended is not known: look first whether it is still at work, for this runs it once \
             more"
        }
        HookState::NotRun | HookState::Ran | HookState::Declared => "its --after did not run",
    };
    Some(format!("maintenance mode of run {} may still be on: {how}: {command}", step.run))
}

/// The line with what a hook is given, to be pasted into a shell.
fn command(step: &RunStep, line: &str) -> String {
    format!("HOLDPOINT_RUN={} sh -c {}", step.run, shell_quote(line))
}
