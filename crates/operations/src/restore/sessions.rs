//! Ending the sessions in a database that is closed to new ones.

use std::time::Duration;

use holdpoint_postgres::Session;
use tokio_util::sync::CancellationToken;

use crate::Error;

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A backend that has not ended after so long is busy with something that it does not leave.
const ENDED_WITHIN: Duration = Duration::from_secs(15);

/// Ends every session in a database, and gives how many there were; nobody new may be able to come.
///
/// Autovacuum is left to the server, which ends it by itself when the database is renamed.
///
/// # Errors
/// [`Error::SessionsRemain`] with who does not go, and why; [`Error::Interrupted`].
pub(super) async fn end_all(session: &Session, database: &str, cancel: &CancellationToken) -> Result<usize, Error> {
    const WHAT: &str = "ending sessions";
    const LIST: &str = "SELECT pid, COALESCE(usename::text, ''), COALESCE(application_name, '') \
                        FROM pg_catalog.pg_stat_activity \
                        WHERE datname = $1 AND usesysid IS NOT NULL AND pid <> pg_catalog.pg_backend_pid()";
    let mut asked: std::collections::BTreeSet<i32> = std::collections::BTreeSet::new();
    let ended = async {
        loop {
            let there = session.query(WHAT, LIST, &[&database]).await?;
            if there.is_empty() {
                return Ok(());
            }
            for row in &there {
                let pid: i32 = row.get(0);
                asked.insert(pid);
                // One by one: a single backend that this role may not end must not save the others.
                match session.query(WHAT, "SELECT pg_catalog.pg_terminate_backend($1)", &[&pid]).await {
                    Err(error) if error.sqlstate() == Some("42501") => {}
                    other => drop(other?),
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        ended = tokio::time::timeout(ENDED_WITHIN, ended) => match ended {
            Ok(ended) => ended.map(|()| asked.len()),
            Err(_) => {
                let there = session.query(WHAT, LIST, &[&database]).await?;
                let who = there.iter().map(|row| {
                    let (pid, role, program): (i32, &str, &str) = (row.get(0), row.get(1), row.get(2));
                    format!("process {pid} of role {role} ({program})")
                });
                Err(Error::SessionsRemain { database: database.to_owned(), sessions: who.collect() })
            }
        },
        () = cancel.cancelled() => Err(Error::Interrupted),
    }
}
