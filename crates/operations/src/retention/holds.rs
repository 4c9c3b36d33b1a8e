//! What forbids dropping a restore point: pins that hold, those that are over, and locks of the store.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use holdpoint_core::pin::{PinRecord, of_run};
use holdpoint_core::retention::{Held, Hold, RetentionPlan, RetentionPolicy, plan};
use holdpoint_core::{PointId, RunId};
use holdpoint_repository::Error as Store;

use crate::catalogue::Surveyed;
use crate::{Context, Error};

/// Reads when pins end; a run that pinned several points is read once.
pub(super) struct Holds<'a> {
    context: &'a Context,
    runs: BTreeMap<RunId, Option<DateTime<Utc>>>,
}

impl<'a> Holds<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Self { context, runs: BTreeMap::new() }
    }

    /// Restore points as retention sees them.
    pub(super) async fn held(&mut self, points: &[Surveyed]) -> Result<Vec<Held>, Error> {
        let mut held = Vec::new();
        for point in points {
            let holds = if point.summary.pins.is_empty() { Vec::new() } else { self.of(point.id()).await? };
            held.push(point.held(holds));
        }
        Ok(held)
    }

    /// The pins of a restore point; one whose record, or whose run's, cannot be read holds without end.
    pub(super) async fn of(&mut self, point: &PointId) -> Result<Vec<Hold>, Error> {
        let (repository, database) = (&self.context.repository, &self.context.database);
        let mut holds = Vec::new();
        for name in repository.pins(database, point).await? {
            let end = match repository.pin_record(database, point, &name).await {
                Ok(record) => self.end(&record).await,
                Err(error) => Err(error),
            };
            let until = match end {
                Ok(until) => until,
                Err(error) if error.is_not_found() => continue,
                Err(error) if error.is_of_record() => None,
                Err(error) => return Err(error.into()),
            };
            holds.push(Hold::Pin { name, until });
        }
        Ok(holds)
    }

    /// Plans with the locks of the store: it is asked about those alone that would go.
    pub(super) async fn plan(
        &self,
        held: &mut [Held],
        policy: &RetentionPolicy,
        now: DateTime<Utc>,
    ) -> Result<RetentionPlan, Error> {
        let without = plan(held, policy, now)?;
        for entry in without.drops() {
            if let Some(lock) = self.lock(&entry.id).await? {
                held.iter_mut().filter(|one| one.id == entry.id).for_each(|one| one.holds.push(lock.clone()));
            }
        }
        Ok(plan(held, policy, now)?)
    }

    /// What the store itself says against deleting a restore point.
    pub(super) async fn lock(&self, point: &PointId) -> Result<Option<Hold>, Error> {
        let lock = self.context.repository.store_lock(&self.context.database, point).await?;
        Ok(lock.map(|lock| Hold::ObjectLock { until: lock.until }))
    }

    async fn end(&mut self, record: &PinRecord) -> Result<Option<DateTime<Utc>>, Store> {
        let Some(run) = &record.run else { return Ok(record.until) };
        if let Some(known) = self.runs.get(run) {
            return Ok(*known);
        }
        let steps = self.context.repository.steps(&self.context.database, run).await?;
        let end = of_run(&steps);
        self.runs.insert(run.clone(), end);
        Ok(end)
    }
}
