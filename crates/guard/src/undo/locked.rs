//! The run lock of an undo: taken, and kept while it works; where the work fails, what it still does on the server ends.

use std::time::Duration;

use holdpoint_operations::run_lock::RunLock;
use holdpoint_postgres::error::line;
use holdpoint_postgres::{Session, SessionPurpose, identity};

use super::work::Work;
use crate::{Error, leads, sessions};

/// How long a connection may take by which what an undo left at work is ended.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

impl Work<'_> {
    /// The run lock: nobody migrates, and nobody else undoes, meanwhile.
    pub(super) async fn lock(&self, held: Option<RunLock>) -> Result<RunLock, Error> {
        let session = Session::connect(&self.options.live, &SessionPurpose::new("holdpoint undo")).await?;
        let recorded = self.context.repository.identity(&self.context.database).await?;
        let identity = recorded.map_or_else(|| self.step.identity.clone(), |record| record.identity);
        let checked = async {
            leads::demand_same(&session, &self.options.live, &identity).await?;
            Ok::<_, Error>(identity::read(&session).await?.identity.database_oid)
        };
        let oid = checked.await;
        session.close().await;
        let oid = oid?;
        if let Some(held) = held {
            return Ok(held);
        }
        let name = format!("holdpoint undo {}", self.run);
        Ok(RunLock::take(&self.options.live, oid, &name, &self.context.cancel).await?)
    }

    /// Keeps the lock's connection alive, and ends what goes on in the server when the work fails or is cancelled: with why, and
    /// what became of that, in words.
    pub(super) async fn while_locked<T>(
        &self,
        lock: &RunLock,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, (Error, Vec<String>)> {
        let watch = async {
            loop {
                tokio::time::sleep(Duration::from_secs(30)).await;
                if !lock.is_held().await {
                    return Error::LockLost;
                }
            }
        };
        let worked = tokio::select! {
            worked = work => worked,
            lost = watch => Err(lost),
        };
        match worked {
            Ok(worked) => Ok(worked),
            Err(error) => Err((error, self.end_on_the_server(lock).await)),
        }
    }

    /// Ends what the undo still does on the server, by the role that goes the way, too: the lock may be of one that only reads,
    /// and its session may be lost. What was done, or why nothing was, in words.
    async fn end_on_the_server(&self, lock: &RunLock) -> Vec<String> {
        let purpose = SessionPurpose::new("holdpoint undo");
        let connected = Session::connect(&self.options.live, &purpose);
        let own = tokio::time::timeout(CONNECT_WITHIN, connected).await.ok().and_then(Result::ok);
        let ended = match &own {
            Some(own) if !lock.is_held().await => sessions::cancel(own, &self.run).await,
            own => sessions::cancel_by(lock.session(), own.as_ref(), &self.run).await,
        };
        if let Some(own) = own {
            own.close().await;
        }
        ended.unwrap_or_else(|error| {
            vec![format!(
                "what the undo still does on the server could not be ended, and may go on there: {}",
                line(&error)
            )]
        })
    }
}
