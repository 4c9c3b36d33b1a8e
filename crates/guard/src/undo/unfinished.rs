//! A script that had begun when an undo broke off: whether it is done.

use holdpoint_core::undoing::{BegunScript, Way};

use super::script::came_to;
use super::scripts::Unfinished;
use super::work::Work;
use crate::Error;

/// The script that had begun when the newest undo broke off.
pub(super) fn begun<'a>(work: &'a Work<'_>) -> Option<&'a BegunScript> {
    let undo = work.step.undo.as_ref()?;
    undo.begun.as_ref().filter(|begun| !undo.done.contains(&begun.script))
}

/// Whether a script that had begun was committed: as the server says, else as a person does.
///
/// # Errors
/// [`Error::ScriptUnfinished`] where neither does.
pub(super) async fn is_committed(
    work: &Work<'_>,
    way: Way,
    begun: &BegunScript,
    warnings: &mut Vec<String>,
) -> Result<bool, Error> {
    let script = &begun.script;
    let why = match came_to(work, begun).await? {
        Ok(committed) => return Ok(committed),
        Err(why) => why,
    };
    let ended = begun.failed.as_ref().map_or_else(
        || "had begun when the undo broke off, and whether it ended is not known".to_owned(),
        |how| format!("failed ({how}), and what of it is done is not known"),
    );
    let what = format!("{script} {ended}: {why}");
    match work.options.unfinished {
        Some(Unfinished::Done) => warnings.push(format!("{what}; it counts as done")),
        Some(Unfinished::Again) => warnings.push(format!("{what}; it is run again")),
        None if work.options.dry_run => warnings.push(format!("--unfinished-script is needed: {what}")),
        None => {
            let (run, script) = (work.run.to_string(), script.clone());
            return Err(Error::ScriptUnfinished { run, way: way.word(), script, ended, why });
        }
    }
    Ok(work.options.unfinished == Some(Unfinished::Done))
}
