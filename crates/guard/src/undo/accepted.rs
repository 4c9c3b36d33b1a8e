//! What a way would lose of others' work, and whether somebody said that it may be lost.

use holdpoint_core::quantity::listed;
use holdpoint_core::undoing::Way;
use holdpoint_operations::catalogue;

use super::work::Work;
use crate::Error;

/// How many things a refusal names.
const NAMED: usize = 5;

/// Whether what would be lost of others may be, as somebody said; the refusal where not.
pub(super) async fn accepted(work: &Work<'_>, way: Way, lost: &[String]) -> Result<Result<(), Error>, Error> {
    if lost.is_empty() {
        return Ok(Ok(()));
    }
    let since = catalogue::show(work.context, &work.point).await?.manifest.snapshot.at;
    let accepted = work.options.accept_data_loss_since;
    if accepted.is_some_and(|accepted| accepted <= since) {
        return Ok(Ok(()));
    }
    let (run, lost) = (work.run.to_string(), listed(lost, NAMED));
    Ok(Err(Error::DataLossNotAccepted { run, way, since, accepted, lost }))
}

/// What has yet to be accepted, in words, of a dry run; of any other nothing has.
///
/// # Errors
/// [`Error::DataLossNotAccepted`], but of a dry run; those of the repository.
pub(super) async fn still_to_accept(work: &Work<'_>, way: Way, lost: &[String]) -> Result<Option<String>, Error> {
    match accepted(work, way, lost).await? {
        Ok(()) => Ok(None),
        Err(_) if work.options.dry_run => {
            Ok(Some(format!("--accept-data-loss-since is needed: {} would be lost", lost.join(", "))))
        }
        Err(refused) => Err(refused),
    }
}
