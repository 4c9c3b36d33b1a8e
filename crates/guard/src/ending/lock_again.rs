//! The run lock after the command: taken once more where it went with its session.

use holdpoint_core::RunId;
use holdpoint_operations::run_lock::{LockHolder, RunLock};
use holdpoint_postgres::identity;
use tokio_util::sync::CancellationToken;

use crate::guarded::Guarded;

impl Guarded<'_> {
    /// The run lock, taken once more where it went with its session, as by a restart of the server: nobody else is to migrate
    /// while this run is looked at. With whoever has it meanwhile, which is told.
    pub(super) async fn hold(
        &self,
        lock: RunLock,
        warnings: &mut Vec<String>,
        run: &RunId,
    ) -> (RunLock, Option<String>) {
        if lock.is_held().await {
            return (lock, None);
        }
        match Box::pin(self.lock_again(run)).await {
            Ok(Some(again)) => {
                warnings.push("the run lock was taken again".to_owned());
                (again, None)
            }
            // No server: nobody has it there.
            Ok(None) => (lock, None),
            // Its session is there, and was only slow to answer.
            Err(holder) if holder.pid == lock.pid() => {
                if !lock.is_held().await {
                    warnings.push(
                        "the session that has the run lock does not answer: it may be lost at any moment".to_owned(),
                    );
                }
                (lock, None)
            }
            Err(holder) => {
                warnings.push(format!(
                    "another run is at work ({holder}): what that changes counts here, too, until it is looked at again \
                     (holdpoint runs)"
                ));
                (lock, Some(holder.to_string()))
            }
        }
    }

    /// Takes the run lock once more, which an undo gave back or a restart took; none where the server cannot be asked.
    ///
    /// # Errors
    /// Whoever has it meanwhile.
    pub(super) async fn lock_again(&self, run: &RunId) -> Result<Option<RunLock>, LockHolder> {
        // A restore exchanged the databases: the name leads to another one.
        let Some(session) = self.session_of(&self.start.settings).await else { return Ok(None) };
        let read = identity::read(&session).await;
        session.close().await;
        let Ok(read) = read else { return Ok(None) };
        let (name, oid) = (format!("holdpoint guard {run}"), read.identity.database_oid);
        match RunLock::take(&self.start.settings, oid, &name, &CancellationToken::new()).await {
            Ok(lock) => Ok(Some(lock)),
            Err(holdpoint_operations::Error::RunLockHeld { holder }) => Err(holder),
            Err(_) => Ok(None),
        }
    }
}
