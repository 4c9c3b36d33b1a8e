//! What every verb needs to know.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use holdpoint_core::DatabaseName;
use holdpoint_core::progress::Progress;
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::programs::ProgramSearch;
use holdpoint_repository::Repository;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::hint::repository::of_files;
use crate::rds::RdsReach;

/// Tells the time of this machine.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What every verb needs to know.
#[derive(Clone)]
pub struct Context {
    /// The database's folder in the repository.
    pub database: DatabaseName,
    /// The repository.
    pub repository: Arc<Repository>,
    /// Whom to tell about progress.
    pub progress: Arc<dyn Progress>,
    /// Cancelled when the work shall end: everything started is then undone.
    pub cancel: CancellationToken,
    /// The clock of this machine.
    pub clock: Clock,
    /// A random seed for ids.
    pub seed: u64,
    /// How long the pin of a reader holds unless it is renewed: [`READS_FOR`](crate::READS_FOR).
    pub reads_for: Duration,
    /// How RDS is reached, for restore points that are snapshots there.
    pub rds: RdsReach,
}

impl Context {
    /// Does work that only reads; a signal ends it at once, however slowly the store answers.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; else those of the work.
    pub(crate) fn reading<'a, T: Send + 'a>(
        &'a self,
        work: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, Error>> {
        let work = Box::pin(work);
        Box::pin(async move {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => Err(Error::Interrupted),
                done = work => done,
            }
        })
    }

    /// What time it is by the store's clock. Who writes nothing goes by this machine's where the store tells none: it cannot be
    /// asked without writing, as of a directory that is mounted read-only, is another user's or is full, or it does not say;
    /// and is told so.
    ///
    /// # Errors
    /// What the store gives.
    pub(crate) async fn time(&self, writes: bool) -> Result<(DateTime<Utc>, Option<String>), Error> {
        use holdpoint_repository::Error as Store;
        let why = match self.repository.store().server_time().await {
            Ok(at) => return Ok((at, None)),
            Err(Store::AccessDenied { code, .. }) if !writes && of_files(&code) => {
                format!("the repository cannot be written ({code})")
            }
            Err(Store::Full { .. }) if !writes => "the repository's disk is full".to_owned(),
            Err(Store::Unsupported { .. }) if !writes => "the store does not tell the time".to_owned(),
            Err(error) => return Err(error.into()),
        };
        Ok(((self.clock)(), Some(format!("{why}: ages are told by this machine's clock"))))
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("database", &self.database).finish_non_exhaustive()
    }
}

/// The database that is backed up.
#[derive(Clone, Debug)]
pub struct Source {
    /// How to connect to it, directly (not through a transaction pooler).
    pub settings: ConnectionSettings,
    /// Where client programs are looked for.
    pub programs: ProgramSearch,
    /// A major of the client programs other than the server's, by choice.
    pub client_major: Option<u32>,
}
