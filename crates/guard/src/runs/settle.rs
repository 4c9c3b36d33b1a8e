//! `holdpoint settle`: a person looked at what a run left, and declares it done.

use holdpoint_core::RunId;
use holdpoint_core::ledger::{HookState, RunState, RunStep, newest};
use holdpoint_core::selector::RunSelector;
use holdpoint_core::undoing::{Afresh, Settlement};
use holdpoint_operations::Context;
use serde::Serialize;

use super::{Alive, Look, Place, alive, no_such_run, owed, readable, taken_at_its_key};
use crate::Error;

/// How a run is settled.
#[derive(Clone, Debug)]
pub struct SettleOptions {
    /// Which run.
    pub run: RunSelector,
    /// Why; secrets in it are masked already.
    pub reason: String,
    /// Who says so and where, in words.
    pub operator: Option<String>,
}

/// A run that was settled.
#[derive(Clone, Debug, Serialize)]
pub struct SettleReport {
    /// Which.
    pub run: RunId,
    /// Where it stood.
    pub was: RunState,
    /// How the database was found.
    pub found: Afresh,
    /// Why it was settled.
    pub reason: String,
    /// What the run switched on by `--before` and did not switch off, with the command that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owed: Option<String>,
    /// What else is not settled.
    pub still_unsettled: Vec<RunId>,
}

/// Declares an unsettled run done; from then on nobody is asked to look at it, and `latest` may be chosen again.
///
/// The database is only looked at. So is a run declared done whose newest step cannot be read: from then on its next one tells.
///
/// # Errors
/// [`Error::NoSuchRun`]; [`Error::NothingToSettle`] where it is not unsettled and owes nothing; [`Error::StillAtWork`] where its command
/// lives; those of connecting: while nobody can say whether its command lives, nobody can settle it.
pub async fn settle(context: &Context, place: &Place, options: &SettleOptions) -> Result<SettleReport, Error> {
    let found = readable(context, &options.run).await?;
    let hidden = found.hidden_end().and_then(|hidden| taken_at_its_key(&found.read, hidden));
    let is_hidden = hidden.is_some();
    let steps = [found.read, hidden.into_iter().collect()].concat();
    let Some(step) = newest(&steps) else { return Err(no_such_run(context, &options.run)) };
    let died = alive::lives_before_its_command(step);
    if died == Some(true) {
        let what = "its process lives, and is before its command".to_owned();
        return Err(Error::StillAtWork { run: step.run.to_string(), what });
    }
    let owed = owed(step);
    if !is_hidden && !step.state.unsettled() && died.is_none() && owed.is_none() {
        let settlement = step.settlement.as_ref();
        let how = settlement.map(|settled| settled.reason.clone());
        return Err(Error::NothingToSettle { run: step.run.to_string(), state: step.state, how });
    }
    if let Some(what) = Alive::read(&place.source).await?.of(step) {
        return Err(Error::StillAtWork { run: step.run.to_string(), what });
    }
    let found = Look { context, place }.at(&steps).await;
    let settlement =
        Settlement { reason: options.reason.clone(), operator: options.operator.clone(), found: found.clone() };
    // A run that ended well stays what it is: nobody asks for what it switched on any more.
    let ended = !is_hidden && !step.state.unsettled() && !alive::is_before_its_command(step);
    let mut hooks = step.hooks.clone();
    if let Some(after) = hooks.as_mut().and_then(|hooks| hooks.after.as_mut()).filter(|_| owed.is_some()) {
        after.state = HookState::Declared;
    }
    let settled = RunStep {
        n: step.n + 1,
        state: if ended { step.state } else { RunState::Settled },
        hooks,
        at: (context.clock)(),
        operator: options.operator.clone(),
        remarks: vec![
            format!("settled: {}", options.reason),
            format!("the database was found {}", found.applied.words()),
        ],
        settlement: Some(settlement),
        ..step.clone()
    };
    context.repository.record_step(&context.database, &settled).await?;
    Ok(SettleReport {
        run: step.run.clone(),
        was: step.state,
        found,
        reason: options.reason.clone(),
        owed,
        still_unsettled: unsettled(context).await?,
    })
}

/// The runs that are not settled, oldest first.
async fn unsettled(context: &Context) -> Result<Vec<RunId>, Error> {
    let mut found = Vec::new();
    for run in context.repository.runs(&context.database).await? {
        if context.repository.readable_steps(&context.database, &run).await?.may_be_unsettled() {
            found.push(run);
        }
    }
    Ok(found)
}
