//! The database: can it be reached, read and copied as a backup needs it.

mod activity;
mod content;
mod copying;
mod reach;
mod rights;

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdpoint_core::identity::IdentityRecord;
use holdpoint_core::manifest::{Extension, ServerFacts};
use holdpoint_postgres::identity::ServerIdentity;
use holdpoint_postgres::{Session, SessionPurpose};

use super::Subject;
use super::findings::Findings;
use super::repository::Opened;
use crate::Error;

/// One question to the server. The server itself gives up a second before.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// As the server's statement_timeout takes it.
const STATEMENT_WITHIN: &str = "SET statement_timeout = '14s'; SET lock_timeout = '5s'";
/// The connection's own connect_timeout is shorter, mostly; several hosts take longer.
const CONNECT_WITHIN: Duration = Duration::from_secs(60);

/// What the later sections need to know of the database.
pub(super) struct SourceFacts {
    pub(super) major: u32,
    pub(super) running: Option<Running>,
    pub(super) server: Option<ServerFacts>,
    pub(super) extensions: Option<Vec<Extension>>,
    pub(super) size_bytes: Option<u64>,
}

/// Which server answers. The system identifier alone does not tell: a physical copy has the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    system_identifier: Option<String>,
    started_at: DateTime<Utc>,
}

impl From<&ServerIdentity> for Running {
    fn from(server: &ServerIdentity) -> Self {
        Self { system_identifier: server.identity.system_identifier.clone(), started_at: server.started_at }
    }
}

fn purpose() -> SessionPurpose {
    SessionPurpose::new("holdpoint doctor")
}

/// Everything that needs a connection, in the order in which it is tried.
const NEED_CONNECTION: [&str; 15] = [
    "identity",
    "role",
    "tables and sequences",
    "large objects",
    "row security",
    "sessions of others",
    "snapshot",
    "text form",
    "locks",
    "long transactions",
    "connections left",
    "clock",
    "encoding and locale",
    "indexes",
    "extensions",
];

/// Examines the database; `None` where it cannot be reached.
pub(super) async fn examine(
    mut findings: Findings<'_>,
    subject: &Subject,
    opened: Result<&Opened, &Error>,
) -> Option<SourceFacts> {
    let findings = &mut findings;
    let session = reach::connect(findings, subject).await;
    reach::direct(findings, subject, session.is_some()).await;
    let Some(session) = session else {
        for name in NEED_CONNECTION {
            findings.not_tried(name, "no connection");
        }
        return None;
    };
    reach::tls(findings, &session).await;
    let recorded = opened.map(|opened| &opened.identity);
    let running = reach::identity(findings, &session, recorded).await;
    rights::examine(findings, &session).await;
    copying::snapshot(findings, &session).await;
    copying::text_form(findings, &session).await;
    activity::examine(findings, &session, subject).await;
    let facts = content::examine(findings, &session, running).await;
    session.close().await;
    Some(facts)
}

/// Whether the folder's record could be read, and what it says.
pub(super) type Recorded = Result<Option<IdentityRecord>, String>;

async fn ask_shortly(session: &Session) -> Result<(), holdpoint_postgres::Error> {
    session.run("limiting the time of statements", STATEMENT_WITHIN).await
}
