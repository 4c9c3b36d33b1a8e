//! One connection to a server, its settings, and what can be asked over it.

mod cancel;
mod snapshot;
mod text_form;
mod transaction;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, SimpleQueryMessage};

pub use cancel::Canceller;
pub use snapshot::Snapshot;
pub(crate) use snapshot::timeline;
pub use text_form::TextForm;
pub use transaction::{Fate, TransactionId};

use crate::Error;
use crate::connection::row_tap::Diversion;
use crate::connection::{ConnectionSettings, open};

/// What a session is for: shown in `pg_stat_activity`, so that an operator knows whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPurpose {
    /// The `application_name`; it replaces one in the URL.
    pub application_name: String,
}

impl SessionPurpose {
    /// Names a purpose.
    pub fn new(application_name: impl Into<String>) -> Self {
        Self { application_name: application_name.into() }
    }
}

/// A server's version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerVersion {
    /// `server_version_num`, such as 160015.
    pub num: u32,
    /// `server_version`, such as `16.15 (Debian 16.15-1)`.
    pub text: String,
    /// The major, such as 16.
    pub major: u32,
}

/// An open connection.
///
/// Dropping it closes the socket at once; [`Session::close`] says good-bye first. Errors of a lost connection carry
/// the server's last words where it spoke any.
#[derive(Debug)]
pub struct Session {
    client: Client,
    driver: JoinSet<()>,
    ended_by: Arc<OnceLock<tokio_postgres::Error>>,
    settings: ConnectionSettings,
    server: ServerVersion,
    diversion: Diversion,
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// The cause as a variant of [`Error`]; [`Error::is_transient`] tells whether another try makes sense.
    pub async fn connect(settings: &ConnectionSettings, purpose: &SessionPurpose) -> Result<Self, Error> {
        let mut session = Self::connect_plain(settings, purpose).await?;
        let num = session.show("server_version_num").await?;
        let text = session.show("server_version").await?;
        let num =
            num.parse().map_err(|_| Error::UnexpectedAnswer { what: "reading the version".to_owned(), found: num })?;
        session.server = ServerVersion { num, text, major: num / 10_000 };
        Ok(session)
    }

    /// Connects and asks nothing yet; the version stays unknown.
    pub(crate) async fn connect_plain(settings: &ConnectionSettings, purpose: &SessionPurpose) -> Result<Self, Error> {
        let named = settings.with_application_name(&purpose.application_name);
        // Boxed, as it is large: a session is opened at the bottom of deep stacks.
        let opened = Box::pin(open::open(&named)).await?;
        let ended_by = Arc::new(OnceLock::new());
        let mut driver = JoinSet::new();
        let (work, end) = (opened.driver, Arc::clone(&ended_by));
        driver.spawn(async move {
            let mut work = std::pin::pin!(work);
            // The session counts as closed once the work is dropped: by then its last words are known.
            if let Err(error) = work.as_mut().await {
                // Only this task sets it.
                end.set(error).ok();
            }
        });
        let server = ServerVersion { num: 0, text: String::new(), major: 0 };
        Ok(Self {
            client: opened.client,
            driver,
            ended_by,
            settings: opened.settings,
            server,
            diversion: opened.diversion,
        })
    }

    /// The settings, narrowed to the one server and address that this session reached.
    ///
    /// Further sessions and children made from them reach the same server.
    pub fn settings(&self) -> &ConnectionSettings {
        &self.settings
    }

    /// The server's version.
    pub fn server(&self) -> &ServerVersion {
        &self.server
    }

    /// The driver's client, for what this type has no method for.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where the rows of a COPY can be taken out.
    pub(crate) fn diversion(&self) -> &Diversion {
        &self.diversion
    }

    /// Tells whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs a query; `what` is what is being done, for the error.
    pub async fn query(&self, what: &str, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        self.client.query(sql, parameters).await.map_err(|source| self.failed(what, source))
    }

    /// Runs a query that gives exactly one row.
    pub async fn query_one(&self, what: &str, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row, Error> {
        self.client.query_one(sql, parameters).await.map_err(|source| self.failed(what, source))
    }

    /// Runs statements without parameters or result.
    pub async fn run(&self, what: &str, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await.map_err(|source| self.failed(what, source))
    }

    /// Runs one statement without parameters and gives the number of rows that it changed.
    pub async fn execute(&self, what: &str, sql: &str) -> Result<u64, Error> {
        self.client.execute(sql, &[]).await.map_err(|source| self.failed(what, source))
    }

    /// Runs a query that this role or this server may not know; a refusal gives `None`.
    ///
    /// Never inside a transaction: a refusal would end it.
    pub(crate) async fn query_if_allowed(&self, what: &str, sql: &str) -> Result<Option<Row>, Error> {
        match self.client.query_opt(sql, &[]).await {
            Ok(row) => Ok(row),
            Err(source) if source.as_db_error().is_some() => Ok(None),
            Err(source) => Err(self.failed(what, source)),
        }
    }

    /// Reads one setting.
    pub async fn show(&self, setting: &str) -> Result<String, Error> {
        let what = "reading a setting";
        let quoted = setting.replace('\'', "''");
        self.ask(what, &format!("SELECT pg_catalog.current_setting('{quoted}')")).await
    }

    /// Asks for the server process that answers this session right now.
    pub(crate) async fn process(&self) -> Result<String, Error> {
        self.ask("asking for the server process", "SELECT pg_catalog.pg_backend_pid()").await
    }

    /// Asks for one value in the simple protocol, which every pooler passes on.
    async fn ask(&self, what: &str, sql: &str) -> Result<String, Error> {
        let messages = self.client.simple_query(sql).await.map_err(|source| self.failed(what, source))?;
        let value = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let found = || Error::UnexpectedAnswer { what: what.to_owned(), found: "no row".to_owned() };
        value.map(str::to_owned).ok_or_else(found)
    }

    /// Makes sure that the connection lives; keeps NATs and idle limits from closing it.
    pub async fn ping(&self) -> Result<(), Error> {
        self.run("asking whether the connection lives", "SELECT 1").await
    }

    /// Says good-bye to the server and waits, at most 5 s, until it is said.
    pub async fn close(self) {
        let Self { client, mut driver, .. } = self;
        drop(client);
        // After the time given, dropping the set closes the socket.
        tokio::time::timeout(Duration::from_secs(5), driver.join_next()).await.ok();
    }

    /// Turns the driver's error into ours.
    pub(crate) fn failed(&self, what: &str, source: tokio_postgres::Error) -> Error {
        if source.as_db_error().is_none() && (source.is_closed() || self.client.is_closed()) {
            let last_words = self.ended_by.get().map(|error| match error.as_db_error() {
                Some(said) => said.message().to_owned(),
                None => std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string),
            });
            return Error::ConnectionLost { what: what.to_owned(), reason: last_words };
        }
        Error::Query { what: what.to_owned(), source }
    }
}
