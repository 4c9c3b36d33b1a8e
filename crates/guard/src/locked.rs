//! Under the run lock, right before the command: everything is looked at again.

use std::time::Duration;

use holdpoint_core::gate::pending::Decision;
use holdpoint_core::identity::{Identity, IdentityMatch};
use holdpoint_core::ledger::RunState;
use holdpoint_core::{PointId, RunId};
use holdpoint_operations::run_lock::RunLock;
use holdpoint_operations::schema_check::{self, Schema};
use holdpoint_postgres::identity;
use tokio::time::Instant;

use crate::guarded::Guarded;
use crate::ledger_writer::LedgerWriter;
use crate::prepare::Preparation;
use crate::proven::Proven;
use crate::running::tool_lock;
use crate::start::position;
use crate::state::DatabaseState;
use crate::ways_back::Noted;
use crate::{Error, sessions};

/// What a rolled-back transaction leaves behind.
const OUTLIVE_TRANSACTIONS: [&str; 3] = ["SETVAL", "ALTER SYSTEM", "REPLICATION_SLOT"];

impl Guarded<'_> {
    /// Looks at everything again, under the run lock.
    pub(crate) async fn locked(
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
