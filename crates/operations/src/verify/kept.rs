//! A copy that a verification proved and did not remove.

use std::path::{Path, PathBuf};

use holdpoint_core::PointId;
use holdpoint_core::name::quote_identifier;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};

use super::VerifyReport;
use super::scratch::Scratch;
use crate::Error;

/// Names of databases that every server has, or that this program makes beside the copy.
const TAKEN: [&str; 5] = ["postgres", "template0", "template1", "normal", "schema"];

/// A verification, and the copy where it was proved.
#[derive(Debug)]
pub struct KeptVerification {
    /// The verification, as it was recorded.
    pub report: VerifyReport,
    /// The copy; `None` where the verdict is another than *proved*, or the level another than *full*.
    pub copy: Option<KeptCopy>,
}

/// A proved copy of a restore point on a scratch server. End it with [`Self::close`].
///
/// A dropped one on a local server is removed by the server's keeper, also when this program is killed; of others the
/// databases remain, and a warning names them.
#[derive(Debug)]
pub struct KeptCopy {
    scratch: Scratch,
    point: PointId,
    measured_on: String,
}

impl KeptCopy {
    pub(super) fn new(scratch: Scratch, point: PointId, measured_on: String) -> Self {
        Self { scratch, point, measured_on }
    }

    /// The restore point that it is a copy of.
    pub fn point(&self) -> &PointId {
        &self.point
    }

    /// How to connect to it, as the scratch server's own role.
    pub fn settings(&self) -> &ConnectionSettings {
        &self.scratch.restored
    }

    /// The scratch server, in words.
    pub fn measured_on(&self) -> &str {
        &self.measured_on
    }

    /// Whether the server is ours alone: roles and names on it concern nobody else.
    pub fn is_ours_alone(&self) -> bool {
        self.scratch.server.data_directory().is_some()
    }

    /// The folder of a local server, which its keeper removes with everything in it, whatever happens.
    pub fn private_folder(&self) -> Option<PathBuf> {
        self.scratch.server.data_directory()?.parent().map(Path::to_owned)
    }

    /// Whether the scratch server's role is a superuser.
    pub fn is_superuser(&self) -> bool {
        self.scratch.server.is_superuser()
    }

    /// Waits until a local server ends by itself, and says how; never ends for the others.
    pub async fn ended(&mut self) -> String {
        self.scratch.server.ended().await.reason
    }

    /// Gives the copy a database's name, where the server is ours alone and the name is free; says whether it has it.
    ///
    /// Nobody may be connected to the copy.
    ///
    /// # Errors
    /// Those of PostgreSQL.
    pub async fn named(&mut self, name: &str) -> Result<bool, Error> {
        let own = self.scratch.restored.database().to_owned();
        if own == name {
            return Ok(true);
        }
        if !self.is_ours_alone() || TAKEN.contains(&name) {
            return Ok(false);
        }
        let purpose = SessionPurpose::new("holdpoint scratch");
        let session = Session::connect(self.scratch.server.settings(), &purpose).await?;
        let sql = format!("ALTER DATABASE {} RENAME TO {}", quote_identifier(&own), quote_identifier(name));
        let renamed = session.run("naming the copy", &sql).await;
        session.close().await;
        renamed?;
        self.scratch.restored = self.scratch.restored.with_database(name);
        Ok(true)
    }

    /// Removes the copy and everything that was made for it.
    ///
    /// # Errors
    /// [`Error::Postgres`] with what could not be removed.
    pub async fn close(self) -> Result<(), Error> {
        let local = self.is_ours_alone();
        match self.scratch.stop().await {
            // The keeper of a local server removes it in any case.
            Err(error) if local => {
                tracing::debug!(%error, "the scratch server ended otherwise than by being stopped");
                Ok(())
            }
            stopped => stopped,
        }
    }

    /// Removes the copy after a failure, which is given back; what remains is told with it.
    pub async fn closed_after(self, failure: Error) -> Error {
        match self.close().await {
            Ok(()) => failure,
            Err(remains) => Error::LeftBehind { failure: Box::new(failure), remains: remains.to_string() },
        }
    }
}
