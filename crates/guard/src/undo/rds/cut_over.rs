//! The cut-over of an undo by RDS: the restored instance gets the live one's name, in renames that another undo may have to
//! finish.

use std::time::Duration;

use holdpoint_core::ledger::{RunState, RunStep};
use holdpoint_core::undoing::Way;
use holdpoint_core::{Identity, PointId};
use holdpoint_operations::adopt::adopt;
use holdpoint_operations::rds::{PlaceTaken, RdsSource};
use holdpoint_postgres::ConnectionSettings;

use super::names::{aside, name};
use super::{HELD, ToAnInstant, identity_of, told};
use crate::undo::record::Record;
use crate::undo::work::Work;
use crate::undo::{UndoPlan, end_sessions};
use crate::{Error, runs};

/// As it is named once nothing of the cut-over is left to do.
pub(crate) const CUT_OVER: &str = "the restored instance is in the live one's place";
/// How often, and how long, the live address is tried until it leads to the new instance: names are cached for a while.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(5);

impl ToAnInstant {
    /// Puts the new instance in the live one's place, ends what is still connected to the one that goes aside, and
    /// records that the folder belongs to the new one.
    ///
    /// # Errors
    /// What RDS refuses: the undo goes on from there when it is called again.
    pub(crate) async fn cut_over(&self, work: &Work<'_>, record: &mut Record<'_>) -> Result<(), Error> {
        let taken = self.source.take_the_place(&self.target, &aside(&self.source.instance, work.run.as_str())).await?;
        if !record.has_done(CUT_OVER) {
            record.done(CUT_OVER).await?;
        }
        let live = &work.options.live;
        let ended = end_sessions::on_aside(live, &taken).await;
        record.undo.not_as_before.extend(ended.left);
        record.look.extend(taken.open.iter().cloned());
        match leads_there(live, &work.step.identity).await {
            Some(open) => record.undo.not_as_before.push(open),
            None => {
                let reason = format!("run {} was undone by a restore of {} to {}", work.run, taken.name, told(self.at));
                adopt(work.context, &work.options.place.source, &reason).await?;
            }
        }
        let PlaceTaken { name, aside, way_back, .. } = &taken;
        let proof = &mut record.undo.proof;
        proof.push(format!(
            "{name} is the restored instance; the one before is kept as {aside}; back again: {way_back}"
        ));
        proof.push(format!("{} sessions of {aside} were ended", ended.count));
        Ok(())
    }
}

/// Whether renames by which the new instance takes the live one's place were begun, and are not done.
///
/// # Errors
/// What RDS refuses.
pub(crate) async fn is_begun(source: &RdsSource, run: &str) -> Result<bool, Error> {
    Ok(source.is_begun(&name(&source.instance, run), &aside(&source.instance, run)).await?)
}

/// Makes what is left of these renames.
///
/// # Errors
/// What RDS refuses; what is left of the renames is done by calling it again.
pub(crate) async fn finish_begun(source: &RdsSource, run: &str) -> Result<(), Error> {
    source.take_the_place(&name(&source.instance, run), &aside(&source.instance, run)).await?;
    Ok(())
}

/// What is known of an undo that goes on with its renames, before the database can be asked.
pub(crate) fn renames(source: &RdsSource, step: &RunStep, point: PointId) -> UndoPlan {
    let (live, run) = (&source.instance, step.run.as_str());
    let (own, other_ways): (Vec<_>, Vec<_>) = step.ways_back.iter().cloned().partition(|one| one.way == Way::Rds);
    let own = own.into_iter().next();
    UndoPlan {
        run: step.run.clone(),
        way: Way::Rds,
        point,
        steps: vec![format!(
            "{} gets the name {live}, and {live} is called {} then",
            name(live, run),
            aside(live, run)
        )],
        done: step.undo.as_ref().map(|undo| undo.done.clone()).unwrap_or_default(),
        data_lost: own.as_ref().map(|one| one.data_lost.clone()).unwrap_or_default(),
        written_since: None,
        taken: Vec::new(),
        scripts_take: Vec::new(),
        goes_along: Vec::new(),
        command: own.map(|one| one.command),
        other_ways,
        warnings: runs::not_told_from_here(step).into_iter().collect(),
    }
}

/// Whether an undo by this way came so far that the new instance may be in the live one's place, and did not end.
pub(crate) fn is_under_way(step: &RunStep) -> bool {
    let open = matches!(step.state, RunState::Undoing | RunState::UndoFailed);
    let by_rds = step.undo.as_ref().filter(|undo| open && undo.way == Way::Rds);
    by_rds.is_some_and(|undo| {
        undo.done.iter().any(|one| one.ends_with(HELD)) && !undo.done.iter().any(|one| one == CUT_OVER)
    })
}

/// Waits until the live address leads to the restored instance; what is open where it does not.
async fn leads_there(live: &ConnectionSettings, before: &Identity) -> Option<String> {
    let mut why = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        match identity_of(live).await {
            // Each restore begins a timeline of its own; where none is told, RDS's word is all there is.
            Ok(found) if found.timeline.is_none() || found.timeline != before.timeline => return None,
            Ok(_) => why = "it still leads to the instance that went aside".to_owned(),
            Err(error) => why = error.to_string(),
        }
    }
    Some(format!("the configured address was not seen to lead to the restored instance: {why}"))
}
