//! What is printed: one JSON document, or text for people; errors after either.

mod backfill;
mod backup;
mod catalogue;
mod check;
mod compare;
mod compare_rows;
mod cron;
mod doctor;
mod guard;
mod guard_markdown;
mod leftovers;
mod live_screen;
mod plan;
mod rds;
mod recover_table;
mod rehearse;
mod restore;
mod retention;
mod runs;
mod status;
mod swap;
mod table;
mod undo;
mod unproven;
mod verify;
mod watch;

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::{Arc, OnceLock};

use serde::Serialize;

pub(crate) use backfill::{backfill, backfill_plan};
pub(crate) use backup::backup;
pub(crate) use catalogue::{list, show};
pub(crate) use check::{check, checked_all};
pub(crate) use compare::compare;
pub(crate) use compare_rows::compare_rows;
pub(crate) use cron::cron;
pub(crate) use doctor::doctor;
pub(crate) use guard::{before_the_command, guard_ended, prepare};
pub(crate) use guard_markdown::{guard_markdown, not_guarded_markdown};
pub(crate) use leftovers::leftovers;
pub(crate) use live_screen::LiveScreen;
pub(crate) use plan::migration_plan;
pub(crate) use rds::{
    rds_cluster_drop, rds_cluster_plan, rds_cluster_restored, rds_cut_over, rds_drop, rds_list, rds_plan, rds_restored,
    rds_snapshot, rds_snapshot_dropped, rds_snapshot_made, rds_snapshots, rds_window,
};
pub(crate) use recover_table::{recover_table, recovery_plan};
pub(crate) use rehearse::{rehearsal, rehearse};
pub(crate) use restore::restore;
pub(crate) use retention::{pin, prune, pruned_all, unpin};
pub(crate) use runs::{run, runs, settle};
pub(crate) use status::status;
pub(crate) use swap::{swap, swap_in_preview, swap_preview};
pub(crate) use undo::{undo, undo_plan};
pub(crate) use unproven::{unproven, unproven_plan};
pub(crate) use verify::{plan, verification, verify};
pub(crate) use watch::{WatchReport, stopped, watch};

use crate::failure::ErrorReport;

/// Where and how reports are printed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output {
    /// One JSON document instead of text.
    pub(crate) json: bool,
    /// The true stdout, where another program writes to what is called so.
    aside: Arc<OnceLock<File>>,
}

impl Output {
    /// Prints JSON, or text.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, ..Self::default() }
    }

    /// Keeps stdout for the JSON document alone: whatever else writes there from now on, such as a guarded command,
    /// writes on stderr.
    pub(crate) fn keep_for_the_document(&self) -> io::Result<()> {
        if !self.json || self.aside.get().is_some() {
            return Ok(());
        }
        let own = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        rustix::stdio::dup2_stdout(io::stderr())?;
        // It was empty a moment ago, and only one thread prints.
        drop(self.aside.set(own));
        Ok(())
    }

    /// A reader that has seen enough (`| head`) is no failure.
    fn write(&self, text: &str) -> io::Result<()> {
        let text = if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") };
        let written = match self.aside.get() {
            Some(mut own) => own.write_all(text.as_bytes()),
            None => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
            }
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Prints a report: itself with `--json`, else the text made from it.
    pub(crate) fn report<R: Serialize>(&self, report: &R, text: impl FnOnce(&R) -> String) -> io::Result<()> {
        if self.json {
            return self.document(report);
        }
        self.write(text(report).trim_end_matches('\n'))
    }

    /// Prints a JSON document.
    pub(crate) fn document<R: Serialize>(&self, document: &R) -> io::Result<()> {
        self.write(&serde_json::to_string_pretty(document)?)
    }

    /// Prints one of many: a line of JSON, or a text; tells whether anybody still reads.
    pub(crate) fn one_of_many<R: Serialize>(&self, report: &R, text: impl FnOnce(&R) -> String) -> io::Result<bool> {
        let text = if self.json { serde_json::to_string(report)? } else { text(report) };
        let mut stdout = io::stdout().lock();
        match stdout.write_all(format!("{}\n", text.trim_end_matches('\n')).as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Prints a text as it is.
    pub(crate) fn text(&self, text: &str) -> io::Result<()> {
        self.write(text)
    }

    /// Shows a text to a person, beside the report: on stderr, and not with `--json`.
    pub(crate) fn aside(&self, text: &str) {
        if self.json {
            return;
        }
        if let Err(error) = io::stderr().lock().write_all(text.as_bytes()) {
            tracing::debug!(%error, "stderr takes nothing");
        }
    }

    /// Prints a failure: on stdout with `--json`, where a script looks, else on stderr.
    pub(crate) fn failure(&self, error: &ErrorReport) {
        #[derive(Serialize)]
        struct Document<'a> {
            error: &'a ErrorReport,
        }
        let printed = if self.json {
            self.document(&Document { error })
        } else {
            io::stderr().lock().write_all(error.lines().as_bytes())
        };
        if let Err(unprinted) = printed {
            tracing::debug!(error = %unprinted, "the failure could not be printed");
            if self.json {
                self.unprinted(error);
            }
        }
    }

    /// Tells on stderr what stdout did not take.
    pub(crate) fn unprinted(&self, error: &ErrorReport) {
        if let Err(error) = io::stderr().lock().write_all(error.lines().as_bytes()) {
            tracing::debug!(%error, "stderr takes nothing either");
        }
    }
}

/// Gives the width of the terminal that stdout is; elsewhere lines may be long.
fn width() -> u16 {
    let terminal = io::stdout().is_terminal().then(|| rustix::termios::tcgetwinsize(io::stdout()).ok()).flatten();
    terminal.map(|size| size.ws_col).filter(|columns| *columns >= 40).unwrap_or(160)
}

/// Tells whether stderr is a terminal, on which bars and questions make sense.
pub(crate) fn talks_to_a_person() -> bool {
    io::stderr().is_terminal()
}
