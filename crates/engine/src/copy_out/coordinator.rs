//! The coordinator: the session that exported the snapshot and holds every lock.

use std::time::Duration;

use holdpoint_postgres::Snapshot;

use crate::Error;

/// How often the server is asked; a connection that says nothing for long is closed by NATs and idle limits.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// How often the connection itself is looked at, which asks nobody.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Watches the coordinator for as long as rows are copied; returns when it is lost, and with it the snapshot.
pub async fn watch(snapshot: &Snapshot) -> Error {
    loop {
        let closed = async {
            while !snapshot.session().is_closed() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            () = closed => {}
            () = tokio::time::sleep(ASK_EVERY) => {}
        }
        match snapshot.ping().await {
            // Asked just when a statement was refused, before its savepoint was gone back to: the transaction lives. Whether
            // it does at the end is asked again then.
            Err(error) if error.sqlstate() == Some("25P02") => {}
            Err(lost) => return lost.into(),
            Ok(()) => {}
        }
    }
}
