//! `pg_dumpall`, for roles only.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::child::{connected, database_argument, with_cause};
use crate::programs::ClientProgram;
use crate::{ConnectionSettings, Error};

/// Roles are a line or two each.
const LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// A call of pg_dumpall.
#[derive(Clone, Debug)]
pub struct PgDumpall {
    client: ClientProgram,
    settings: ConnectionSettings,
}

impl PgDumpall {
    /// Connects to the database of the settings, not to `postgres`, which a role may not be able to enter.
    #[must_use]
    pub fn new(client: &ClientProgram, settings: &ConnectionSettings) -> Self {
        Self { client: client.clone(), settings: settings.clone() }
    }

    /// Returns the roles and their memberships as SQL, without passwords, so that no right on `pg_authid` is needed.
    ///
    /// # Errors
    /// [`Error::ProgramFailed`]; [`Error::PasswordNotMade`]; [`Error::Process`] when cancelled or not ended within `limit`.
    pub async fn roles(&self, limit: Duration, cancel: &CancellationToken) -> Result<Vec<u8>, Error> {
        let program = connected(&self.client, &self.settings, "")
            .await?
            .arguments(["--roles-only", "--no-role-passwords"])
            .argument(format!("--database={}", database_argument(self.settings.database())));
        let printed = program.output(LIMIT_BYTES, limit, cancel).await;
        printed.map(|(printed, _)| printed).map_err(|error| with_cause(&self.client, error))
    }
}
