//! The ledger: the steps of guarded runs, and what their commands wrote.

use holdpoint_core::ledger::{self, RunState, RunStep};
use holdpoint_core::{DatabaseName, RunId, layout};
use serde::Serialize;

use super::{LARGEST_RECORD, Repository, json, parse, read_record, with_source};
use crate::error::{Error, Result};
use crate::store::PutOptions;

/// The most bytes of an output that are read; see `holdpoint_guard`, which keeps less.
const LARGEST_OUTPUT: u64 = 16 << 20;

/// The steps of a run, as far as they can be read.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    /// Those that can be read, in order.
    pub read: Vec<RunStep>,
    /// Those that cannot, in order.
    pub unreadable: Vec<UnreadableStep>,
}

/// A step that cannot be read: what its key says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableStep {
    /// The run.
    pub run: RunId,
    /// Its number.
    pub n: u32,
    /// Where the run stands after it; `None` where this program knows no such state.
    pub state: Option<RunState>,
    /// Its key.
    pub key: String,
    /// Why it cannot be read.
    pub reason: String,
}

impl Steps {
    /// The newest step, where it cannot be read.
    pub fn hidden_end(&self) -> Option<&UnreadableStep> {
        self.unreadable.last().filter(|last| self.read.iter().all(|step| step.n < last.n))
    }

    /// The newest step that can be read, and is the run's newest.
    pub fn newest(&self) -> Option<&RunStep> {
        self.read.last().filter(|_| self.hidden_end().is_none())
    }

    /// Whether the run may have left the database in question with nobody having looked.
    pub fn may_be_unsettled(&self) -> bool {
        match self.hidden_end() {
            Some(hidden) => hidden.may_be_unsettled(),
            None => self.read.last().is_some_and(|step| step.state.unsettled()),
        }
    }

    /// Whether a step after the one of that number may be in one of those states: what cannot be read is taken at its key's
    /// word.
    pub fn may_have_been(&self, after: u32, states: &[RunState]) -> bool {
        self.read.iter().any(|step| step.n > after && states.contains(&step.state))
            || self.unreadable.iter().any(|one| one.n > after && one.state.is_none_or(|state| states.contains(&state)))
    }
}

impl UnreadableStep {
    /// Whether the run may be unsettled after it.
    pub fn may_be_unsettled(&self) -> bool {
        self.state.is_none_or(RunState::unsettled)
    }

    /// What is known of it, in words.
    pub fn words(&self) -> String {
        format!("a step of run {} cannot be read: {}; holdpoint check", self.run, self.reason)
    }
}

impl Repository {
    /// Writes a step of a run, create-only.
    pub async fn record_step(&self, database: &DatabaseName, step: &RunStep) -> Result<()> {
        let key = layout::run_step(database, &step.run, step.n, step.state.word());
        self.store.put_new(&key, json(&key, step)?, PutOptions::default()).await.map(drop)
    }

    /// The ids of a database's runs, oldest first.
    pub async fn runs(&self, database: &DatabaseName) -> Result<Vec<RunId>> {
        let names = self.store.list_children(&layout::runs(database)).await?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The steps of a run, in order.
    ///
    /// # Errors
    /// What the store gives; those of [`Error::is_of_record`] where one of them cannot be read.
    pub async fn steps(&self, database: &DatabaseName, run: &RunId) -> Result<Vec<RunStep>> {
        let mut steps = Vec::new();
        for key in self.keys(&layout::run(database, run)).await? {
            // What somebody put beside them is none.
            if layout::run_step_parts(database, run, &key).is_some() {
                steps.push(self.step(&key).await?);
            }
        }
        steps.sort_by_key(|step: &RunStep| step.n);
        Ok(steps)
    }

    /// The steps of a run as far as they can be read; one that cannot hides no other.
    ///
    /// # Errors
    /// What the store gives.
    pub async fn readable_steps(&self, database: &DatabaseName, run: &RunId) -> Result<Steps> {
        let mut found = Steps::default();
        for key in self.keys(&layout::run(database, run)).await? {
            let Some((n, word)) = layout::run_step_parts(database, run, &key) else { continue };
            match self.step(&key).await {
                Ok(step) => found.read.push(step),
                Err(error) if error.is_of_record() => {
                    let (state, reason) = (RunState::of_word(word), with_source(&error));
                    found.unreadable.push(UnreadableStep { run: run.clone(), n, state, key, reason });
                }
                Err(error) => return Err(error),
            }
        }
        found.read.sort_by_key(|step| step.n);
        found.unreadable.sort_by_key(|step| step.n);
        Ok(found)
    }

    /// Why a step cannot be read; `None` for one that can, and for one that is not there any more.
    ///
    /// # Errors
    /// What the store gives.
    pub async fn step_fault(&self, key: &str) -> Result<Option<String>> {
        match self.step(key).await {
            Ok(_) => Ok(None),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) if error.is_of_record() => Ok(Some(with_source(&error))),
            Err(error) => Err(error),
        }
    }

    async fn step(&self, key: &str) -> Result<RunStep> {
        let object = read_record(&*self.store, key, LARGEST_RECORD).await?;
        parse(key, &object.bytes, ledger::FORMAT)
    }

    /// Keeps what a run's command wrote, once; gives the key.
    ///
    /// # Errors
    /// What the store gives; [`Error::AlreadyExists`] where the run has an output.
    pub async fn record_output(&self, database: &DatabaseName, run: &RunId, text: String) -> Result<String> {
        let key = layout::run_output(database, run);
        self.store.put_new(&key, text.into_bytes().into(), PutOptions::default()).await?;
        Ok(key)
    }

    /// Reads what a run's command wrote; `None` where nothing was kept.
    ///
    /// # Errors
    /// What the store gives.
    pub async fn output(&self, database: &DatabaseName, run: &RunId) -> Result<Option<String>> {
        match self.store.get_small(&layout::run_output(database, run), LARGEST_OUTPUT).await {
            Ok(object) => Ok(Some(String::from_utf8_lossy(&object.bytes).into_owned())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
