//! A walk whose connection was lost goes on with another one, and asks the server what became of its last batch.

use std::time::Duration;

use holdpoint_postgres::session::Fate;
use holdpoint_postgres::{Session, SessionPurpose};
use tokio::time::Instant;

use super::BackfillError;
use super::lock::alone;
use super::plan::{Prepared, borrowed, parameters};
use super::standing::replaced;
use super::state::Pending;
use super::walk::{MOST_TRIES, Walk};
use crate::Error;

/// How long a transaction whose session is gone may take to end.
const SETTLES_WITHIN: Duration = Duration::from_secs(600);

impl Walk<'_> {
    /// Connects again where the connection was lost; anything else is passed on.
    pub(super) async fn again_after(&mut self, error: Error) -> Result<(), Error> {
        let lost = self.prepared.session.is_closed() || self.monitor.is_closed();
        let is_transient = matches!(&error, Error::Postgres(error) if error.is_transient()) || lost;
        if !is_transient || self.interrupted() {
            return Err(self.stopped(if self.interrupted() { Error::Interrupted } else { error }));
        }
        self.note(&format!("connecting again: {error}"));
        let mut last = error;
        for _ in 0..MOST_TRIES {
            self.rest(Duration::from_secs(1)).await;
            if self.interrupted() {
                return Err(self.stopped(Error::Interrupted));
            }
            match self.connect().await {
                Ok(()) => {
                    self.retries += 1;
                    return self.settle().await;
                }
                Err(Error::Postgres(error)) if error.is_transient() => last = error.into(),
                // The session that was lost may not have ended yet.
                Err(error @ Error::Backfill(BackfillError::AnotherIsRunning { .. })) => last = error,
                Err(error) => return Err(self.stopped(error)),
            }
        }
        Err(self.stopped(last))
    }

    async fn connect(&mut self) -> Result<(), Error> {
        self.is_alone = false;
        let prepared = Prepared::make(self.source, self.options).await?;
        if prepared.subject.oid != self.state.what.table_oid {
            return Err(replaced(&prepared.subject.name).into());
        }
        // Also where nothing was written down yet: the end of the walk was read from the server as it was.
        prepared.file.demand_same(&self.state.what, &prepared.what)?;
        // Where only the monitor was lost, the session that is left gives the lock up with its end.
        let warnings = std::mem::take(&mut self.prepared.warnings);
        self.prepared = Prepared { warnings, ..prepared };
        alone(&self.prepared).await?;
        // While there was no session there was no lock either: whoever resumed meanwhile did what this walk has not.
        self.prepared.file.demand_unchanged(&self.written)?;
        self.monitor = Session::connect(&self.source.settings, &SessionPurpose::new("holdpoint watch")).await?;
        self.is_alone = true;
        Ok(())
    }

    /// Asks the server what became of the batch that was about to be committed.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        let Some(pending) = self.state.pending.clone() else { return Ok(()) };
        let began = Instant::now();
        loop {
            match self.prepared.session.fate_of(&pending.transaction).await? {
                Fate::Committed if self.is_there(&pending).await? => self.state.settle(true),
                Fate::Committed => {
                    let text = "the server was started again, and no row of the last batch says that it was committed: it \
                                is done again";
                    self.prepared.warnings.push(text.to_owned());
                    self.state.settle(false);
                }
                Fate::Aborted => self.state.settle(false),
                Fate::InProgress if began.elapsed() < SETTLES_WITHIN && !self.interrupted() => {
                    self.rest(Duration::from_millis(200)).await;
                    continue;
                }
                Fate::InProgress => {
                    let who = "the transaction of the last batch has not ended on the server".to_owned();
                    return Err(BackfillError::Stuck { tries: 1, said: who, rows: self.state.updated }.into());
                }
                Fate::Forgotten => {
                    let text =
                        "the server does not know any more whether the last batch was committed: it is done again";
                    self.prepared.warnings.push(text.to_owned());
                    self.state.settle(false);
                }
            }
            return Ok(());
        }
    }

    /// Whether a batch that counts as committed is there. The server's word is enough where it was not started again
    /// since, or had the batch's records on its disk: a crash loses numbers of transactions whose records were not written yet, and
    /// gives them out anew.
    async fn is_there(&self, pending: &Pending) -> Result<bool, Error> {
        let same = pending.server_began.as_ref().is_none_or(|began| *began == self.prepared.server_began);
        if same || pending.durable || pending.updated == 0 {
            return Ok(true);
        }
        let Some(number) = pending.transaction.in_rows() else { return Ok(false) };
        let after = self.state.after.as_ref();
        let sql = self.prepared.statements.written_by(after.is_some());
        let mut values = parameters(after, &pending.to);
        values.push(number);
        Ok(self
            .prepared
            .session
            .query_one("looking for rows of the last batch", &sql, &borrowed(&values))
            .await?
            .get(0))
    }
}
