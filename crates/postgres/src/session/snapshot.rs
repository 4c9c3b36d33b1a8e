//! The state of the database that a restore point records, held open for everybody who copies it.

use chrono::{DateTime, Utc};
use holdpoint_core::manifest::SnapshotFacts;

use super::Session;
use crate::Error;

const BEGIN: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// An exported snapshot; others can import it while this value lives.
///
/// Its session stays in a read-only transaction and holds back vacuum. Both endings, [`Snapshot::release`] and a
/// drop, end the transaction; nothing of it stays on the server.
#[derive(Debug)]
pub struct Snapshot {
    session: Session,
    id: String,
    taken_at: DateTime<Utc>,
    wal_position: Option<String>,
    timeline: Option<u32>,
    in_recovery: bool,
}

impl Snapshot {
    /// Begins a read-only transaction and exports its snapshot; the instant is the server's own.
    pub async fn export(session: Session) -> Result<Self, Error> {
        const WHAT: &str = "exporting a snapshot";
        // Whatever a role may not know must not break the transaction, so it is tried before.
        let in_recovery: bool = session.query_one(WHAT, "SELECT pg_catalog.pg_is_in_recovery()", &[]).await?.get(0);
        let position = if in_recovery { "pg_last_wal_replay_lsn" } else { "pg_current_wal_lsn" };
        let position = format!("pg_catalog.{position}()::text");
        let allowed = session.query_if_allowed(WHAT, &format!("SELECT {position}")).await?.is_some();
        let position = if allowed { position } else { "NULL::text".to_owned() };
        let timeline = timeline(&session, in_recovery).await?;

        session.run(WHAT, BEGIN).await?;
        // The first statement takes the snapshot; the WAL position read beside it is not before it.
        let sql = format!("SELECT pg_catalog.pg_export_snapshot(), pg_catalog.statement_timestamp(), {position}");
        let row = session.query_one(WHAT, &sql, &[]).await?;
        Ok(Self { id: row.get(0), taken_at: row.get(1), wal_position: row.get(2), timeline, in_recovery, session })
    }

    /// Puts another session of the same database into a transaction with an exported snapshot.
    ///
    /// # Errors
    /// [`Error::Query`] when the exporter is gone, or when a pooler or another server is in between.
    pub async fn import(session: Session, id: &str) -> Result<Session, Error> {
        const WHAT: &str = "importing the snapshot";
        session.run(WHAT, BEGIN).await?;
        session.run(WHAT, &format!("SET TRANSACTION SNAPSHOT '{}'", id.replace('\'', "''"))).await?;
        Ok(session)
    }

    /// The name under which others import it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When it was taken, by the server's clock.
    pub fn taken_at(&self) -> DateTime<Utc> {
        self.taken_at
    }

    /// The write-ahead log's position then (replayed position on a standby), where the role may know it.
    pub fn wal_position(&self) -> Option<&str> {
        self.wal_position.as_deref()
    }

    /// The timeline, where the role may know it.
    pub fn timeline(&self) -> Option<u32> {
        self.timeline
    }

    /// Tells whether the server is a standby.
    pub fn in_recovery(&self) -> bool {
        self.in_recovery
    }

    /// The facts as a manifest records them.
    pub fn facts(&self) -> SnapshotFacts {
        SnapshotFacts {
            at: self.taken_at,
            wal_position: self.wal_position.clone(),
            timeline: self.timeline,
            standby: self.in_recovery,
        }
    }

    /// The session, inside the transaction: catalog queries see the snapshot.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Makes sure that the transaction lives; every 30 s keeps it from being forgotten.
    ///
    /// # Errors
    /// Any: the snapshot is lost, and everything copied under it with it.
    pub async fn ping(&self) -> Result<(), Error> {
        self.session.ping().await
    }

    /// Ends the transaction and gives the session back.
    pub async fn release(self) -> Result<Session, Error> {
        self.session.run("releasing the snapshot", "ROLLBACK").await?;
        Ok(self.session)
    }
}

/// Reads the timeline; the control file's may lag behind a promotion, so the running one is asked first.
pub(crate) async fn timeline(session: &Session, in_recovery: bool) -> Result<Option<u32>, Error> {
    const WHAT: &str = "reading the timeline";
    if !in_recovery {
        let file = "SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn())";
        if let Some(row) = session.query_if_allowed(WHAT, file).await? {
            let name: Option<String> = row.get(0);
            return Ok(name.and_then(|name| u32::from_str_radix(name.get(..8)?, 16).ok()));
        }
    }
    let control = "SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()";
    let row = session.query_if_allowed(WHAT, control).await?;
    Ok(row.and_then(|row| u32::try_from(row.get::<_, i32>(0)).ok()))
}
