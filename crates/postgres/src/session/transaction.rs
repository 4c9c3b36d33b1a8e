//! Writing transactions whose end is known even when the server's answer is lost.

use serde::{Deserialize, Serialize};
use tokio_postgres::SimpleQueryMessage;

use super::Session;
use crate::Error;

/// A writing transaction, by the number under which the server keeps its end.
///
/// Numbers do not wrap, and the server remembers the end for as long as rows of that age are not frozen (PostgreSQL
/// manual, "Transaction ID and Snapshot Information Functions").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransactionId(String);

/// What the server says of a number that it has not given out: `invalid_parameter_value`.
const IN_THE_FUTURE: &str = "22023";

impl TransactionId {
    /// The transaction of a number that the server gave, such as one that a record holds.
    pub fn numbered(number: impl Into<String>) -> Self {
        Self(number.into())
    }

    /// The number as rows have it in `xmin`: its low 32 bits. `None` for what is no number.
    pub fn in_rows(&self) -> Option<String> {
        let number: u64 = self.0.parse().ok()?;
        Some((number & u64::from(u32::MAX)).to_string())
    }
}

/// How a transaction ended, as far as the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its changes are there.
    Committed,
    /// Its changes are not there and never will be.
    Aborted,
    /// It has not ended; its session may have gone already.
    InProgress,
    /// It is so old that the server forgot.
    Forgotten,
}

impl Session {
    /// Begins a writing transaction and notes its number, in one exchange.
    pub async fn begin_noted(&self) -> Result<TransactionId, Error> {
        const WHAT: &str = "beginning a transaction";
        let sql = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_catalog.pg_current_xact_id()";
        let messages = self.client.simple_query(sql).await.map_err(|source| self.failed(WHAT, source))?;
        let number = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let none = || Error::UnexpectedAnswer { what: WHAT.to_owned(), found: "no transaction number".to_owned() };
        number.map(|number| TransactionId(number.to_owned())).ok_or_else(none)
    }

    /// When the server was started that this session is on, as text that only equals itself.
    pub async fn server_began(&self) -> Result<String, Error> {
        let sql = "SELECT extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text";
        Ok(self.query_one("asking when the server was started", sql, &[]).await?.get(0))
    }

    /// Asks how a transaction of this server, any session's, ended.
    ///
    /// After a crash a number whose records were lost is given out anew: where the server was started since, *committed*
    /// may be another transaction's end. A number that was not given out yet is one that was lost: aborted.
    pub async fn fate_of(&self, transaction: &TransactionId) -> Result<Fate, Error> {
        const WHAT: &str = "asking how a transaction ended";
        let sql = "SELECT pg_catalog.pg_xact_status($1::text::pg_catalog.xid8)";
        let status: Option<String> = match self.query_one(WHAT, sql, &[&transaction.0]).await {
            Ok(row) => row.get(0),
            Err(error) if error.sqlstate() == Some(IN_THE_FUTURE) => return Ok(Fate::Aborted),
            Err(error) => return Err(error),
        };
        match status.as_deref() {
            Some("committed") => Ok(Fate::Committed),
            Some("aborted") => Ok(Fate::Aborted),
            Some("in progress") => Ok(Fate::InProgress),
            None => Ok(Fate::Forgotten),
            Some(other) => Err(Error::UnexpectedAnswer { what: WHAT.to_owned(), found: other.to_owned() }),
        }
    }
}
