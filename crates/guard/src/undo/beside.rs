//! What a run changed that no dump of its database shows, and that no way back but a whole instance takes along: roles,
//! replication slots, subscriptions, settings of the server.

use holdpoint_core::undoing::Way;

use super::attempt::Work;
use super::recover::connected;
use crate::Error;
use crate::state::Unshown;

/// What of it is still not as before the command, one line for each; none for a way that goes to another server.
pub(super) async fn left_beside(work: &Work<'_>, way: Way) -> Result<Vec<String>, Error> {
    let changed = work.step.transactions.as_ref().map_or(&[][..], |seen| &seen.beside);
    if changed.is_empty() || way == Way::Rds {
        return Ok(Vec::new());
    }
    let session = connected(work).await?;
    let now = Unshown::read(&session).await;
    session.close().await;
    let told =
        |what: String| format!("{what}: changed while the command ran, by it or by others, and undone by no way back");
    Ok(now?.still(changed).into_iter().map(told).collect())
}
