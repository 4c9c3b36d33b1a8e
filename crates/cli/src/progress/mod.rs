//! Progress on stderr: bars, JSON lines, plain lines, or nothing.

mod bars;
mod json_lines;
mod lines;
mod meter;
#[cfg(debug_assertions)]
mod pause;
mod screen;

use std::sync::Arc;

use holdpoint_core::progress::{Phase, Progress, Silent};
use tokio_util::sync::CancellationToken;

use crate::arguments::{CommonArguments, ProgressForm};
use crate::variables::Variables;

pub(crate) use screen::Screen;

/// Chooses and makes what shows progress.
///
/// In debug builds `HOLDPOINT_PAUSE_AT` stops the program at a named phase, so that tests can kill it there.
pub(crate) fn make(
    common: &CommonArguments,
    person: bool,
    screen: &Screen,
    variables: &Variables,
    cancel: &CancellationToken,
) -> Arc<dyn Progress> {
    let shown: Arc<dyn Progress> = match form(common, person) {
        ProgressForm::Bars => bars::Bars::start(screen),
        ProgressForm::Json => Arc::new(json_lines::JsonLines::new()),
        ProgressForm::Log => Arc::new(lines::Lines::new()),
        ProgressForm::Auto => Arc::new(lines::Notes),
        ProgressForm::None => Arc::new(Silent),
    };
    #[cfg(debug_assertions)]
    if let Some(pause) = pause::Pause::wanted(variables, cancel) {
        return Arc::new(pause.before(shown));
    }
    #[cfg(not(debug_assertions))]
    let _: (&Variables, &CancellationToken) = (variables, cancel);
    shown
}

/// Settles what `auto` means here; what it stays is notes and nothing else.
fn form(common: &CommonArguments, person: bool) -> ProgressForm {
    if common.no_progress || common.quiet {
        return ProgressForm::None;
    }
    match common.progress {
        ProgressForm::Auto if person => ProgressForm::Bars,
        ProgressForm::Auto if common.json => ProgressForm::None,
        form => form,
    }
}

/// What a phase is called before people.
fn title(phase: Phase) -> &'static str {
    match phase {
        Phase::Preflight => "checking",
        Phase::SnapshotExported => "taking the snapshot",
        Phase::ReadingContents => "reading the schema",
        Phase::CopyingData => "copying rows",
        Phase::CompletingUpload => "completing the upload",
        Phase::StoringIndex => "storing the index",
        Phase::PublishingManifest => "publishing",
        Phase::StartingScratch => "starting a scratch server",
        Phase::Restoring => "restoring",
        Phase::LoadingRows => "loading rows",
        Phase::BuildingIndexes => "building indexes",
        Phase::Analyzing => "analyzing",
        Phase::Restored => "restored",
        Phase::Comparing => "comparing rows",
        Phase::ComparingObjects => "comparing schema objects",
        Phase::RecordingVerification => "recording the verdict",
        Phase::Rehearsing => "rehearsing the command on the copy",
        Phase::RehearsingRollback => "rehearsing what would undo it",
        Phase::Checking => "checking restore points",
        Phase::Pruning => "dropping restore points",
        Phase::Planning => "reading what is pending",
        Phase::TakingRunLock => "taking the run lock",
        Phase::WaitingForInstant => "waiting until RDS can restore the instant",
        Phase::RunningCommand => "running the command",
        Phase::Judging => "looking at what it left",
        Phase::RecordingRun => "recording the run",
        Phase::CreatingDatabase => "creating a database beside it",
        Phase::Fencing => "closing the database",
        Phase::EndingSessions => "ending its sessions",
        Phase::Swapping => "swapping",
        Phase::RecordingIdentity => "recording the identity",
        Phase::FetchingTables => "fetching tables",
        Phase::MatchingTables => "matching digests",
        Phase::CountingChanges => "counting what would change",
        Phase::ChangingTables => "changing live tables",
        Phase::CommittingChange => "committing",
        Phase::RemovingSide => "removing the side tables",
        Phase::FillingRows => "filling rows",
        Phase::Undoing => "undoing",
        Phase::RecordingUndo => "recording what was undone",
        Phase::ProvingUndo => "comparing with the run's restore point",
        other => other.name(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::arguments::Arguments;

    #[test]
    fn auto_means_what_fits() {
        let form = |words: &[&str], person| {
            let arguments = Arguments::try_parse_from([&["holdpoint", "list"], words].concat()).unwrap();
            super::form(&arguments.common, person)
        };
        assert_eq!(form(&[], true), ProgressForm::Bars);
        assert_eq!(form(&["--json"], true), ProgressForm::Bars);
        assert_eq!(form(&[], false), ProgressForm::Auto, "notes alone");
        assert_eq!(form(&["--progress", "log"], false), ProgressForm::Log);
        assert_eq!(form(&["--json"], false), ProgressForm::None);
        assert_eq!(form(&["--json", "--progress", "json"], false), ProgressForm::Json);
        assert_eq!(form(&["--progress", "bars", "--no-progress"], true), ProgressForm::None);
        assert_eq!(form(&["-q"], true), ProgressForm::None);
    }

    #[test]
    fn every_phase_has_a_title() {
        for phase in Phase::ALL {
            assert!(
                phase == Phase::Restored || title(phase) != phase.name() || !phase.name().contains('-'),
                "{phase:?}"
            );
        }
    }
}
