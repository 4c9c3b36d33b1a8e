//! What is asked of the server before anything is made, and where it stands right before the command.

use chrono::{DateTime, Utc};
use holdpoint_core::RunId;
use holdpoint_core::identity::{Identity, IdentityMatch};
use holdpoint_core::ledger::{RunState, RunStep};
use holdpoint_operations::{Context, Source, run_lock};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, identity, pooler, preflight};

use crate::ledger_writer::OtherRuns;
use crate::running::tool_lock;
use crate::tools::ToolName;
use crate::{Error, runs, sessions};

/// What is known of the server before anything is made.
pub(crate) struct Start {
    /// The settings, narrowed to the one server that was reached.
    pub(crate) settings: ConnectionSettings,
    pub(crate) identity: Identity,
    /// The server's clock.
    pub(crate) now: DateTime<Utc>,
    pub(crate) others: OtherRuns,
    pub(crate) warnings: Vec<String>,
}

impl Start {
    /// Connects, and refuses what could never be guarded: a pooler, a standby, another database, a second run, somebody
    /// who migrates without holdpoint, as one of the tool's own locks shows.
    pub(crate) async fn read(context: &Context, source: &Source, keys: &[(ToolName, i64)]) -> Result<Self, Error> {
        let session = Session::connect(&source.settings, &SessionPurpose::new("holdpoint guard")).await?;
        let settings = session.settings().clone();
        let server = identity::read(&session).await?;
        if let Some(holder) = run_lock::holder(&session, server.identity.database_oid).await? {
            return Err(holdpoint_operations::Error::RunLockHeld { holder }.into());
        }
        tool_lock::demand_free(&session, keys).await?;
        let now = preflight::clock(&session).await?;
        let tokens = sessions::carrying_a_token(&session).await;
        session.close().await;
        let tokens = tokens?;
        if server.in_recovery {
            return Err(Error::Usage(format!(
                "{} is a standby: a command that changes it needs the primary",
                source.settings
            )));
        }
        if pooler::shares_connections(&settings).await? {
            let found = pooler::by_address(&source.settings);
            let instead = found.map_or_else(|| "PostgreSQL itself".to_owned(), |pooler| pooler.cure);
            return Err(holdpoint_operations::Error::Pooler { server: source.settings.redacted(), instead }.into());
        }
        let recorded = context.repository.identity(&context.database).await?;
        let compared = recorded.map(|recorded| Identity::compare(&recorded.identity, &server.identity));
        if let Some(IdentityMatch::Different(differences)) = compared {
            let database = context.database.to_string();
            return Err(holdpoint_operations::Error::AnotherDatabase { database, differences }.into());
        }
        lives_on(context, &tokens).await?;
        let others = OtherRuns::read(context).await?;
        // Between two of its sessions nothing on the server shows the command of a run that nobody guards any more, nor
        // a guard that lost its connections.
        let lives = |step: &RunStep| runs::group_of(step).or_else(|| runs::process_of(step));
        if let Some((step, what)) = others.unsettled.iter().find_map(|step| Some((step, lives(step)?))) {
            return Err(Error::StillAtWork { run: step.run.to_string(), what });
        }
        // None of them lives: that was looked at.
        let how = |step: &RunStep| match step.state {
            RunState::Running => "interrupted",
            RunState::Undoing => "interrupted in its undo",
            state => state.word(),
        };
        let unsettled = |step: &RunStep| format!("run {} is {} and nobody has settled it", step.run, how(step));
        let mut warnings: Vec<String> = others.unsettled.iter().map(unsettled).collect();
        warnings.extend(others.owed.clone());
        warnings.extend(others.unreadable.clone());
        Ok(Self { settings, identity: server.identity, now, others, warnings })
    }
}

/// Refuses to run beside the command of a run that nobody guards any more, as after `kill -9`: its sessions carry the
/// run's token, and the ledger does not say that it ended.
async fn lives_on(context: &Context, tokens: &[(i32, String)]) -> Result<(), Error> {
    let mut runs: Vec<RunId> = tokens.iter().filter_map(|(_, name)| sessions::run_of(name)).collect();
    runs.dedup();
    for run in runs {
        if context.repository.readable_steps(&context.database, &run).await?.may_be_unsettled() {
            let of_run = tokens.iter().filter(|(_, name)| sessions::run_of(name).as_ref() == Some(&run));
            return Err(Error::CommandLives { run: run.to_string(), pids: of_run.map(|(pid, _)| *pid).collect() });
        }
    }
    Ok(())
}

/// The server's instant, and its WAL position where the role may know it.
pub(crate) async fn position(session: &Session) -> Result<(DateTime<Utc>, Option<String>), Error> {
    const WHAT: &str = "noting the server's position";
    let wal = session.query_one(WHAT, "SELECT pg_catalog.pg_current_wal_lsn()::text", &[]).await;
    let wal_position = match wal {
        Ok(row) => row.get(0),
        Err(error) if error.sqlstate().is_some() => None,
        Err(error) => return Err(error.into()),
    };
    let instant = preflight::clock(session).await?;
    Ok((instant, wal_position))
}
