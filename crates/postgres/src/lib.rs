//! PostgreSQL servers and client programs: connections, versions, snapshots, catalog, COPY, scratch servers, the one door to pg_dump and pg_restore.

mod child;

pub mod catalog;
pub mod connection;
pub mod copied_rows;
pub mod copy;
pub mod error;
pub mod identity;
pub mod pooler;
pub mod preflight;
pub mod programs;
pub mod scratch;
pub mod session;
pub mod waiters;

pub use connection::ConnectionSettings;
pub use error::Error;
pub use holdpoint_process::Mark as ProcessMark;
pub use session::{Session, SessionPurpose, Snapshot};
pub use tokio_postgres::Row;
pub use tokio_postgres::types::ToSql;
