//! The look at what a command left: first nothing of it may be at work any more, then the database is read as of one
//! moment, and compared with what it was.
//!
//! pg_dump reads the catalog as of when it began, and then waits for its locks: behind an ALTER TABLE that is queued, it
//! tells of the columns that the table had before. So the schema counts only where no catalog of the database was
//! written while everything was read.

use std::time::Duration;

use holdpoint_core::RunId;
use holdpoint_core::quantity::listed;
use holdpoint_operations::Context;
use holdpoint_operations::schema_check::Schema;
use holdpoint_postgres::error::line;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use tokio_util::sync::CancellationToken;

use crate::command::{CommandEnd, CutOff};
use crate::guarded::Guarded;
use crate::prepare::Preparation;
use crate::running::live::LOST_AFTER;
use crate::state::{Change, DatabaseState, catalogs_written};
use crate::{Error, sessions, state};

/// How long the state after the command may take to be read, besides twice the time that the one before took: a server
/// that hangs must not keep the report, and a large schema must not go unread.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// How long a second connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How often the database is read where somebody changes its catalogs meanwhile.
const READINGS: u32 = 3;
/// What is told where no connection is left by which the command's sessions could be cancelled.
const NOT_CANCELLED: &str =
    "what its sessions still do could not be cancelled: no connection to the server was left, and it may go on there";
/// How many tables are named.
const NAMED: usize = 5;
/// What is told where each reading was overtaken.
const UNSETTLED: &str = "the catalog was written to each time while it was read: nobody can say that nothing changed";

/// What was found, until it is known whether it holds.
enum Found {
    /// What the database is now, and whether its catalogs stood still while it was read.
    State(Box<DatabaseState>, bool),
    /// What the role may not read any more, which keeps the rest from being read.
    Unreadable(Vec<String>),
}

impl Guarded<'_> {
    /// Ends what the command left working on the server, then compares the database with what it was, for which a look
    /// took `looked_for`; `patient`: also where that takes some seconds.
    ///
    /// Of a command that succeeded, sessions that are still there are told and left alone: it may have started a program
    /// that stays. Of any other they are ended, because nobody waits for them.
    pub(crate) async fn look_again(
        &self,
        before: &DatabaseState,
        looked_for: Duration,
        end: &mut CommandEnd,
        run: &RunId,
        patient: bool,
    ) -> Change {
        let mut cancelled = end.ended_well() || end.cancelled;
        // The run's own cancellation must not keep it from looking.
        let context = Context { cancel: CancellationToken::new(), ..self.preparation.context.clone() };
        // What is known stays known where the rest is not read in time.
        let (mut left_schema, mut transactions, mut prepared) = (None, None, Vec::new());
        let read = async {
            let purpose = SessionPurpose::new("holdpoint guard check");
            let session = Session::connect(&self.start.settings, &purpose).await?;
            let mut under_other_names = Vec::new();
            if end.ended_well() {
                let left = sessions::wait_until_gone(&session, &sessions::token(run)).await?;
                end.warnings.extend((!left.is_empty()).then(|| sessions::still_there(&left)));
            } else {
                let own = self.of_the_migrating_role().await;
                end.warnings.extend(sessions::cancel_by(&session, own.as_ref(), run).await?);
                cancelled = true;
                let by: Vec<&Session> = own.iter().chain([&session]).collect();
                under_other_names = sessions::begun_since(&by, before.at()).await?;
                if let Some(own) = own {
                    own.close().await;
                }
            }
            // What they hold may keep the rest from being read.
            let now = state::prepared(&session).await?;
            prepared = now.difference(&before.prepared).cloned().collect();
            let locked = if prepared.is_empty() { Vec::new() } else { state::locked_by_prepared(&session).await? };
            if !locked.is_empty() {
                session.close().await;
                let locked = listed(&locked, NAMED);
                return Ok(Change::unseen(&format!("a transaction that was prepared and is open has locked {locked}")));
            }
            let (after, stood_still) = match Box::pin(self.read_again(before, &context, &session)).await? {
                Found::State(after, stood_still) => (after, stood_still),
                Found::Unreadable(unreadable) => {
                    return Ok(Change { database: "changed", unreadable, ..Change::unknown() });
                }
            };
            left_schema = Some(after.schema.sha256());
            transactions = Some(after.seen_transactions().to_owned());
            let own = self.preparation.options.found().and_then(|found| found.table.as_ref());
            let mut change = before.compare(&after, &session, patient, own).await?;
            if change.database == "unchanged" && !stood_still {
                change.database = "unknown";
                change.remarks.push(UNSETTLED.to_owned());
            }
            if change.database == "unchanged" && !sessions::named(&session, &sessions::token(run)).await?.is_empty() {
                change.database = "unknown";
            }
            if !under_other_names.is_empty() {
                change.warnings.push(sessions::perhaps_the_commands(&under_other_names));
                if change.database == "unchanged" {
                    change.database = "unknown";
                    change.perhaps_at_work = true;
                }
            }
            session.close().await;
            Ok::<_, Error>(change)
        };
        let within = READ_WITHIN + looked_for * 2;
        let change = match tokio::time::timeout(within, read).await {
            Ok(Ok(change)) => change,
            Ok(Err(error)) => Change::unseen(&error.to_string()),
            Err(_) => Change::unseen(&format!("not within {} s", within.as_secs())),
        };
        end.warnings.extend((!cancelled).then(|| NOT_CANCELLED.to_owned()));
        Change { left_schema, transactions, prepared, ..change }
    }

    /// Waits until a server that is away for a moment, such as one that is restarted, is there again: as long as the watch would,
    /// unless that waited already or somebody asks for an end. Before that it cancels what the command left at work, where only
    /// the way of migrations leads there: that holds its locks as long as it goes on.
    pub(crate) async fn wait_for_the_server(&self, end: &mut CommandEnd, run: &RunId) {
        if !end.ended_well() && self.session_of(&self.start.settings).await.is_none() {
            let by_its_way = self.cancel_by_the_commands_way(run).await;
            end.cancelled = by_its_way.is_some();
            end.warnings.extend(by_its_way.into_iter().flatten());
        }
        if end.cut_off == Some(CutOff::Lost) {
            return;
        }
        let Preparation { context, .. } = &self.preparation;
        let why = match self.is_away().await {
            Some(why) => why,
            None => return,
        };
        context.progress.note(&format!("waiting up to {} s for the server: {why}", LOST_AFTER.as_secs()));
        let there = async {
            while self.is_away().await.is_some() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            () = there => {}
            () = context.cancel.cancelled() => end.unwaited = true,
            () = tokio::time::sleep(LOST_AFTER) => {}
        }
    }

    /// Why there is no server where one may be a moment later; `None` where there is one, or to wait would change nothing.
    async fn is_away(&self) -> Option<String> {
        let purpose = SessionPurpose::new("holdpoint guard check");
        match tokio::time::timeout(CONNECT_WITHIN, Session::connect(&self.start.settings, &purpose)).await {
            Ok(Ok(session)) => {
                session.close().await;
                None
            }
            Ok(Err(error)) => is_away(&error).then(|| line(&error)),
            Err(_) => Some("it does not answer".to_owned()),
        }
    }

    /// Cancels what the command's sessions still do, connected as migrations are, where the way by which holdpoint looks
    /// leads to no server any more; returns what was done, or `None` where that cannot be reached either.
    async fn cancel_by_the_commands_way(&self, run: &RunId) -> Option<Vec<String>> {
        let session = self.session_of(self.preparation.options.way_back.as_ref()?).await?;
        let cancelled = sessions::cancel(&session, run).await;
        session.close().await;
        cancelled.ok()
    }

    /// A session of the role by which migrations connect, where that is another one, and gets a connection.
    async fn of_the_migrating_role(&self) -> Option<Session> {
        self.session_of(self.of_the_command()?).await
    }

    /// A session, if one comes about in some seconds: a line that is silently lost must not take all the time of the look.
    pub(crate) async fn session_of(&self, settings: &ConnectionSettings) -> Option<Session> {
        let purpose = SessionPurpose::new("holdpoint guard check");
        match tokio::time::timeout(CONNECT_WITHIN, Session::connect(settings, &purpose)).await {
            Ok(Ok(session)) => Some(session),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no connection for the look");
                None
            }
            Err(_) => None,
        }
    }

    /// Reads everything as of one moment, as far as others let it.
    async fn read_again(&self, before: &DatabaseState, context: &Context, session: &Session) -> Result<Found, Error> {
        let unreadable = before.newly_unreadable(&state::unreadable(session).await?);
        let mut reading = 1;
        let mut written = catalogs_written(session).await?;
        loop {
            let schema = match Box::pin(Schema::live(context, &self.preparation.source)).await {
                Ok(schema) => schema,
                // What the role may not lock, pg_dump does not list.
                Err(_) if !unreadable.is_empty() => return Ok(Found::Unreadable(unreadable)),
                Err(error) => return Err(error.into()),
            };
            let after = DatabaseState::read(session, schema).await?;
            // After the transactions' numbers: what commits later was open then, or began later.
            let now = catalogs_written(session).await?;
            let stood_still = written == now;
            if stood_still || reading == READINGS {
                return Ok(Found::State(Box::new(after), stood_still));
            }
            (reading, written) = (reading + 1, now);
        }
    }
}

/// Whether a server may be there a moment later: one that is full is there.
fn is_away(error: &holdpoint_postgres::Error) -> bool {
    use holdpoint_postgres::Error::{TooManyConnections, UnknownHost};
    match error {
        TooManyConnections { .. } => false,
        // The names of services go with them.
        UnknownHost { .. } => true,
        other => other.is_transient(),
    }
}
