//! What a run changed that no dump of its database shows, and that no way back but a whole instance takes along: roles,
//! replication slots, subscriptions, settings of the server; and what of the database itself a restore alone makes anew.

use holdpoint_core::undoing::Way;

use super::live::connected;
use super::work::Work;
use crate::Error;
use crate::state::{Unshown, is_code};

/// What of it is still not as before the command, one line for each; none for a way that goes to another server.
///
/// `scripts`: what undoes the migrations is still to run, and may undo it.
pub(super) async fn left_beside(work: &Work<'_>, way: Way, scripts: bool) -> Result<Vec<String>, Error> {
    let changed = work.step.transactions.as_ref().map_or(&[][..], |seen| &seen.beside);
    if changed.is_empty() || way == Way::Rds {
        return Ok(Vec::new());
    }
    let session = connected(work).await?;
    let now = Unshown::read(&session).await;
    session.close().await;
    let left = now?.still(changed);
    // A restore makes the database's constraints and extensions anew.
    let stays = |what: &&String| way != Way::Restore || !is_of_the_database(what);
    Ok(left.iter().filter(stays).map(|what| told(what, scripts)).collect())
}

/// Whether it is a part of the database itself: then what is not as before is no undone run.
pub(super) fn is_of_the_database(what: &str) -> bool {
    what.starts_with("unenforced constraint ") || is_code(what)
}

fn told(what: &str, scripts: bool) -> String {
    let who = format!("{what}: changed while the command ran, by it or by others");
    if scripts {
        format!("{who}; it stays unless a script undoes it")
    } else if is_of_the_database(what) {
        format!("{who}, and made anew by a restore alone")
    } else {
        format!("{who}, and undone by no way back")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_may_undo_is_not_said_to_be_undone_by_none() {
        assert!(told("role app is still there", true).ends_with("others; it stays unless a script undoes it"));
        assert!(told("role app is still there", false).ends_with("and undone by no way back"));
        for what in ["unenforced constraint k of s.t is still there", "code of extension hstore 1.8 is not as before"] {
            let told = told(what, false);
            assert!(is_of_the_database(&told) && told.ends_with("and made anew by a restore alone"), "{told}");
        }
        assert!(!is_of_the_database(&told("role app is still there", false)));
    }
}
