//! One scratch server, however it came to be.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use holdpoint_process::keeper::ServerEnd;
use tokio_util::sync::CancellationToken;

use super::command::{CommandOptions, Commanded};
use super::extensions::{self, AvailableExtension};
use super::local::{self, Local, LocalOptions};
use super::place::random_hex;
use super::{DatabaseLocale, database};
use crate::session::{Session, SessionPurpose};
use crate::{ConnectionSettings, Error};

/// Databases on a server that is not ours alone start with this.
pub(super) const DATABASE_PREFIX: &str = "holdpoint_scratch_";

/// A server that is there already.
#[derive(Clone, Debug)]
pub struct GivenOptions {
    /// Settings of a role that may create databases, better a superuser.
    pub settings: ConnectionSettings,
}

/// How to come to a scratch server.
#[derive(Clone, Debug)]
pub enum ScratchOptions {
    /// A private cluster on this machine.
    Local(Box<LocalOptions>),
    /// A server that is there already; holdpoint makes and drops databases of its own in it.
    Url(Box<GivenOptions>),
    /// A server that a command brings up.
    Command(CommandOptions),
}

#[derive(Debug)]
enum Kind {
    Local(Box<Local>),
    Given,
    Commanded(Box<Commanded>),
}

/// A running scratch server. End it with [`Self::stop`].
///
/// A dropped local server is stopped and removed by its keeper; of the others the databases, or what the command made,
/// remain, and a warning names them.
#[derive(Debug)]
pub struct ScratchServer {
    settings: ConnectionSettings,
    kind: Option<Kind>,
    id: String,
    major: u32,
    is_superuser: bool,
    started_in: Duration,
    databases: Mutex<Vec<String>>,
}

impl ScratchServer {
    /// Starts or reaches the server and makes sure that it answers.
    ///
    /// # Errors
    /// [`Error::ProgramMissing`], [`Error::ScratchPlace`], [`Error::ScratchCommand`], [`Error::Process`] (also when
    /// cancelled) and those of connecting. Nothing is left behind, unless a warning says what.
    pub async fn start(options: &ScratchOptions, cancel: &CancellationToken) -> Result<Self, Error> {
        let started = Instant::now();
        let id = random_hex(6)?;
        let (kind, settings) = match options {
            ScratchOptions::Local(options) => {
                let (local, settings) = local::start(options, &id, cancel).await?;
                (Kind::Local(Box::new(local)), settings)
            }
            ScratchOptions::Url(given) => (Kind::Given, given.settings.clone()),
            ScratchOptions::Command(options) => {
                let (commanded, settings) = Commanded::up(options, &id, cancel).await?;
                (Kind::Commanded(Box::new(commanded)), settings)
            }
        };
        let mut server = Self {
            settings,
            kind: Some(kind),
            id,
            major: 0,
            is_superuser: false,
            started_in: Duration::ZERO,
            databases: Mutex::default(),
        };
        let met = tokio::select! {
            met = server.meet() => met,
            () = cancel.cancelled() => Err(cancelled()),
        };
        if let Err(error) = met {
            if let Err(second) = server.stop().await {
                tracing::warn!(error = %second, "the scratch server may remain");
            }
            return Err(error);
        }
        server.started_in = started.elapsed();
        Ok(server)
    }

    async fn meet(&mut self) -> Result<(), Error> {
        let session = self.session().await?;
        let sql = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user";
        self.is_superuser = session.query_one("reading the scratch role", sql, &[]).await?.get(0);
        self.major = session.server().major;
        session.close().await;
        Ok(())
    }

    /// Returns the settings of its administrative database and role.
    #[must_use]
    pub fn settings(&self) -> &ConnectionSettings {
        &self.settings
    }

    /// Returns its major version.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Tells whether its role is a superuser; without one a restore may fail for want of rights.
    #[must_use]
    pub fn is_superuser(&self) -> bool {
        self.is_superuser
    }

    /// Returns how long it took to answer.
    #[must_use]
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Returns the data directory of a local server.
    #[must_use]
    pub fn data_directory(&self) -> Option<&Path> {
        match &self.kind {
            Some(Kind::Local(local)) => Some(&local.data_directory),
            _ => None,
        }
    }

    /// Whether it was there already: what is made on it must be taken away again.
    #[must_use]
    pub fn is_given(&self) -> bool {
        matches!(self.kind, Some(Kind::Given))
    }

    /// Returns the server's process id, where it is local.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match &self.kind {
            Some(Kind::Local(local)) => Some(local.keeper.server_pid()),
            _ => None,
        }
    }

    /// Waits until a local server ends by itself; never ends for the others. May be dropped and called again.
    pub async fn ended(&mut self) -> ServerEnd {
        match &mut self.kind {
            Some(Kind::Local(local)) => local.keeper.ended().await,
            _ => std::future::pending().await,
        }
    }

    /// Creates a database from template0 and returns its settings. On a local server it bears this name, elsewhere
    /// one with a prefix of its own.
    ///
    /// # Errors
    /// [`Error::LocaleMissing`] where the server cannot give it that locale: the caller decides whether
    /// [`DatabaseLocale::c`] will do.
    pub async fn create_database(&self, name: &str, locale: &DatabaseLocale) -> Result<ConnectionSettings, Error> {
        let name = match &self.kind {
            Some(Kind::Local(_)) => name.to_owned(),
            _ => format!("{DATABASE_PREFIX}{}_{name}", self.id),
        };
        let session = self.session().await?;
        database::create(&session, &name, locale).await?;
        self.databases.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        session.close().await;
        Ok(self.settings.with_database(name))
    }

    /// Drops a database that [`Self::create_database`] made, ending whoever is in it.
    ///
    /// # Errors
    /// Those of the statement; [`Error::UnexpectedAnswer`] for a database that is not ours.
    pub async fn drop_database(&self, settings: &ConnectionSettings) -> Result<(), Error> {
        let name = settings.database();
        let ours = |names: &[String]| names.iter().any(|own| own == name);
        if !ours(&self.databases.lock().unwrap_or_else(PoisonError::into_inner)) {
            let what = "dropping a scratch database".to_owned();
            return Err(Error::UnexpectedAnswer { what, found: format!("{name:?} was not made here") });
        }
        let session = self.session().await?;
        database::drop_database(&session, name).await?;
        self.forget(name);
        session.close().await;
        Ok(())
    }

    /// Lists the extensions that the server could create.
    ///
    /// # Errors
    /// Those of connecting and asking.
    pub async fn extensions(&self) -> Result<Vec<AvailableExtension>, Error> {
        let session = self.session().await?;
        let extensions = extensions::available(&session).await?;
        session.close().await;
        Ok(extensions)
    }

    /// Removes all that was made: the local server with its directory, the databases on a given one, or by `down`.
    ///
    /// # Errors
    /// What could not be removed; everything is tried.
    pub async fn stop(mut self) -> Result<(), Error> {
        match self.kind.take() {
            Some(Kind::Local(local)) => Ok(local.keeper.stop().await?),
            Some(Kind::Commanded(commanded)) => commanded.down().await,
            Some(Kind::Given) | None => self.drop_databases().await,
        }
    }

    /// Drops every database that [`Self::create_database`] made, ending whoever is in it.
    ///
    /// # Errors
    /// The first of what could not be dropped; everything is tried.
    pub async fn drop_databases(&self) -> Result<(), Error> {
        let names = self.made();
        if names.is_empty() {
            return Ok(());
        }
        let session = self.session().await?;
        let mut first = Ok(());
        for name in names {
            match database::drop_database(&session, &name).await {
                Ok(()) => self.forget(&name),
                Err(error) if first.is_ok() => first = Err(error),
                Err(error) => tracing::warn!(database = name, %error, "scratch database not dropped"),
            }
        }
        first
    }

    fn forget(&self, name: &str) {
        self.databases.lock().unwrap_or_else(PoisonError::into_inner).retain(|own| own != name);
    }

    fn made(&self) -> Vec<String> {
        self.databases.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn session(&self) -> Result<Session, Error> {
        Session::connect(&self.settings, &SessionPurpose::new("holdpoint scratch")).await
    }
}

fn cancelled() -> Error {
    Error::Process(holdpoint_process::Error::Cancelled { program: "scratch server".into() })
}

impl Drop for ScratchServer {
    fn drop(&mut self) {
        match &self.kind {
            Some(Kind::Given) if !self.made().is_empty() => {
                tracing::warn!(databases = self.made().join(", "), "scratch databases remain");
            }
            Some(Kind::Commanded(_)) => tracing::warn!(id = self.id, "what the scratch command made remains"),
            Some(Kind::Given | Kind::Local(_)) | None => {}
        }
    }
}
