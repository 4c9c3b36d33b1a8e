//! Tables that lie proven beside the live ones, and the ways in which that ends.

use std::time::{Duration, Instant};

use holdpoint_core::progress::Phase;
use holdpoint_postgres::Session;

use super::apply::Together;
use super::keys::ForeignKey;
use super::plan::{RecoverPlan, TableChange};
use super::recreate::Again;
use super::side::SideSchema;
use super::statements::Change;
use super::{RecoverError, RecoverOptions, RecoverReport};
use crate::{Context, Error};

/// Tables that lie proven in a side schema, and what would become of the live ones.
///
/// It has three endings: [`Recovery::apply`], [`Recovery::keep`] and [`Recovery::abandon`]. Dropped, the side schema
/// stays until `leftovers` removes it.
pub struct Recovery {
    pub(super) plan: RecoverPlan,
    pub(super) side: Option<SideSchema>,
    pub(super) session: Session,
    pub(super) options: RecoverOptions,
    pub(super) encoding: String,
    pub(super) changes: Vec<Change>,
    /// Their place in the plan.
    pub(super) places: Vec<usize>,
    pub(super) again: Option<Again>,
    pub(super) as_text: bool,
    pub(super) keys: Vec<ForeignKey>,
    pub(super) worked: Duration,
}

impl std::fmt::Debug for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recovery").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Recovery {
    /// What would be done, and what stands in the way.
    pub fn plan(&self) -> &RecoverPlan {
        &self.plan
    }

    /// Makes the planned change in one transaction, then removes the side schema.
    ///
    /// # Errors
    /// [`RecoverError::Refused`] where the plan has refusals, [`RecoverError::Locked`], those of the server: live data
    /// are then as before, and the side schema is removed.
    pub async fn apply(mut self, context: &Context) -> Result<RecoverReport, Error> {
        let began = Instant::now();
        let reasons = self.plan.refusals();
        if !reasons.is_empty() {
            return Err(self.failed(RecoverError::Refused { reasons }.into()).await);
        }
        context.progress.phase(Phase::ChangingTables, None);
        let of = |places: &mut dyn Iterator<Item = usize>| -> Vec<TableChange> {
            places.filter_map(|nth| self.plan.tables.get(nth).cloned()).collect()
        };
        let mut done = of(&mut self.places.iter().copied());
        let again: Vec<usize> = self.again.iter().flat_map(|again| &again.tables).map(|table| table.place).collect();
        let mut made = of(&mut again.iter().copied());
        let together = Together {
            changes: &self.changes,
            keys: &self.keys,
            options: &self.options,
            again: self.again.as_ref(),
            encoding: &self.encoding,
        };
        if let Err(error) = together.run(context, &self.session, &mut done, &mut made).await {
            return match error {
                // What was committed is to be found out with its help.
                Error::Recover(RecoverError::CommitUnknown { .. }) => Err(error),
                error => Err(self.failed(error).await),
            };
        }
        put_back(&mut self.plan.tables, &self.places, done);
        put_back(&mut self.plan.tables, &again, made);
        context.progress.phase(Phase::RemovingSide, None);
        if !self.options.keep_side
            && let Some(side) = self.side.take()
        {
            match side.remove().await {
                Ok(()) => self.plan.without_side(),
                Err(error) => self.plan.warnings.push(format!(
                    "the side schema {} was not removed ({}): holdpoint leftovers --remove",
                    side.name,
                    error.line()
                )),
            }
        }
        self.worked += began.elapsed();
        Ok(self.report(true).await)
    }

    async fn failed(&self, error: Error) -> Error {
        match &self.side {
            Some(side) => side.removed_after(error).await,
            None => error,
        }
    }

    /// Ends with the side tables as they are.
    pub async fn keep(self) -> RecoverReport {
        self.report(false).await
    }

    /// Ends without a change and removes the side schema.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn abandon(mut self) -> Result<RecoverReport, Error> {
        if let Some(side) = self.side.take() {
            side.remove().await?;
            self.plan.without_side();
        }
        Ok(self.report(false).await)
    }

    async fn report(self, changed: bool) -> RecoverReport {
        let Self { plan, session, worked, .. } = self;
        session.close().await;
        let took_ms = u64::try_from(worked.as_millis()).unwrap_or(u64::MAX);
        RecoverReport { side_kept: plan.side_schema.is_some(), plan, changed, took_ms }
    }
}

/// Puts entries back into their places of the plan.
pub(super) fn put_back(tables: &mut [TableChange], places: &[usize], changed: Vec<TableChange>) {
    for (nth, table) in places.iter().zip(changed) {
        if let Some(place) = tables.get_mut(*nth) {
            *place = table;
        }
    }
}
