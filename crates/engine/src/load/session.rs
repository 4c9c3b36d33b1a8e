//! Connections of a load, and what became of a transaction whose answer was lost.

use std::time::Duration;

use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_postgres::session::{Fate, TransactionId};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};

use crate::Error;

/// How often and how long a transaction that is still in progress is asked for: its session ends when the server
/// notices that its client is gone, or when what it is doing is done.
const ASK_EVERY: Duration = Duration::from_millis(200);
const ASK_FOR: u32 = 300;
const NO_IDLE_LIMIT: &str = "SET idle_session_timeout = 0";

/// Makes sessions that load, all on the one server that the first reached.
#[derive(Debug)]
pub(super) struct Connector {
    settings: ConnectionSettings,
    session: String,
    /// Open from the first moment to the last. Sessions that load do not wait for the disk at each COMMIT, so a crash
    /// would take rows with it that were said to be there; a crash takes this session too.
    anchor: Session,
}

impl Connector {
    pub(super) async fn open(target: &ConnectionSettings, session: &[(String, String)]) -> Result<Self, Error> {
        let anchor = Session::connect(target, &SessionPurpose::new("holdpoint restore")).await?;
        // It says nothing for as long as the others load.
        anchor.run("setting up the session that stays", NO_IDLE_LIMIT).await?;
        let set =
            |(name, value): &(String, String)| format!("SET {} = {};", quote_identifier(name), quote_literal(value));
        let session = session.iter().map(set).collect();
        Ok(Self { settings: anchor.settings().clone(), session, anchor })
    }

    /// Makes a session that loads.
    pub(super) async fn connect(&self) -> Result<Session, Error> {
        let session = Session::connect(&self.settings, &SessionPurpose::new("holdpoint load")).await?;
        session.pin_text_form().await?;
        session.run("setting up a loading session", &format!("{NO_IDLE_LIMIT}; {}", self.session)).await?;
        Ok(session)
    }

    /// Finds out, over a new connection, whether a transaction was committed whose answer was lost.
    ///
    /// `Ok(false)` means that nothing of it is there. Fails with [`Error::AnswerLost`] where nobody can say.
    pub(super) async fn was_committed(&self, transaction: &TransactionId, what: &str) -> Result<bool, Error> {
        let lost = |reason: &str| Error::AnswerLost { what: what.to_owned(), reason: reason.to_owned() };
        self.must_live(what).await?;
        let session = self.connect().await?;
        for _ in 0..ASK_FOR {
            match session.fate_of(transaction).await? {
                Fate::Committed => return Ok(true),
                Fate::Aborted => return Ok(false),
                Fate::InProgress => tokio::time::sleep(ASK_EVERY).await,
                Fate::Forgotten => return Err(lost("the server does not know the transaction")),
            }
        }
        Err(lost("its transaction does not end"))
    }

    /// Fails where the server went down, or may have, since the load began.
    pub(super) async fn must_live(&self, what: &str) -> Result<(), Error> {
        let reason = "the server may have crashed, and rows may be gone that were loaded already".to_owned();
        self.anchor.ping().await.map_err(|_| Error::AnswerLost { what: what.to_owned(), reason })
    }

    /// Makes everything that was committed survive a crash, and looks whether there was none.
    pub(super) async fn settle(&self) -> Result<(), Error> {
        const WHAT: &str = "waiting for the disk";
        self.must_live(WHAT).await?;
        // The log is written in order: what waits for its own end waits for all before.
        let sql = "SET synchronous_commit = on; SELECT pg_catalog.pg_logical_emit_message(true, 'holdpoint', 'loaded')";
        Ok(self.anchor.run(WHAT, sql).await?)
    }
}
