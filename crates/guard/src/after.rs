//! What goes with the command of a guarded run: its time-outs before, its judgement, and what it wrote.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use holdpoint_core::RunId;
use holdpoint_core::ledger::{Health, JudgementRecord, OutputRecord, Verdict};
use holdpoint_core::quantity::listed;
use holdpoint_core::rehearsal::Rehearsal;
use holdpoint_operations::run_lock::RunLock;
use holdpoint_postgres::ConnectionSettings;
use holdpoint_process::Mark;
use holdpoint_review::ObjectName;
use tokio::sync::oneshot;

use crate::guarded::Guarded;
use crate::judgement::{Evidence, is_in_doubt, judge};
use crate::ledger_writer::LedgerWriter;
use crate::may_have_left::commits_with_record;
use crate::planned::Planned;
use crate::rehearsed::Rehearsed;
use crate::rows_written::{Kinds, on_the_copy};
use crate::running::environment::{TimeOuts, with_time_outs};
use crate::running::live::{LOST_AFTER, Live};
use crate::running::output::Stored;
use crate::running::{health, tool_lock};
use crate::runs;
use crate::shown_files::{There, is_called, shown};
use crate::spoken::is_said;
use crate::state::Change;
use crate::tools::ToolName;

/// How many names a warning lists.
const LISTED: usize = 5;

impl Guarded<'_> {
    /// The command's environment, with time-outs in the way that its tool takes them.
    pub(crate) fn time_outs(&self, planned: &Planned, run: &RunId) -> TimeOuts {
        let options = self.preparation.options;
        // Of any other command nobody knows what its driver takes.
        let found = options.found().filter(|_| planned.migrations.is_some());
        let concurrently = self.is_said(&["CONCURRENTLY"], planned);
        with_time_outs(&options.environment, &options.run, run, &options.command, found, concurrently)
    }

    /// Whether a pending migration, the command or a script that one of them names holds a word, given in upper case.
    pub(crate) fn is_said(&self, words: &[&str], planned: &Planned) -> bool {
        let options = self.preparation.options;
        let folder = options.found().map(|found| found.migrations.clone()).unwrap_or_default();
        let pending = planned.report.iter().flat_map(|report| &report.pending).flat_map(|one| {
            let folder = folder.join(&one.path).parent().map(Path::to_owned).unwrap_or_default();
            [&one.sql, &one.program].map(|text| (Cow::from(text), folder.clone()))
        });
        let command = (Cow::from(options.command.join(" ")), PathBuf::new());
        is_said(words, std::iter::once(command).chain(pending))
    }

    /// How migrations connect, where that is by another role than the restore point's.
    pub(crate) fn of_the_command(&self) -> Option<&ConnectionSettings> {
        let other = |one: &&ConnectionSettings| one.user() != self.start.settings.user();
        self.preparation.options.way_back.as_ref().filter(other)
    }

    /// What is looked at while the command runs.
    pub(crate) fn live<'a>(&'a self, lock: &'a RunLock, run: &'a RunId) -> Live<'a> {
        let options = self.preparation.options;
        Live {
            context: self.preparation.context,
            settings: lock.session().settings(),
            own: self.of_the_command(),
            run,
            keys: tool_lock::keys(options.found()),
            cancel_blocked_after: options.run.cancel_blocked_after,
            lost_after: LOST_AFTER,
        }
    }

    /// Judges by what is found; and whether it is not as planned for nothing but that what was recorded could not be read.
    pub(crate) async fn judge(
        &self,
        planned: &Planned,
        rehearsal: &Rehearsed,
        major: u32,
        change: &Change,
        succeeded: bool,
        warnings: &mut Vec<String>,
    ) -> (JudgementRecord, bool) {
        let record = planned.record.as_ref();
        let pending = record.map(|record| record.pending.iter().map(|one| one.path.clone()).collect::<Vec<_>>());
        let recorded = Box::pin(self.recorded(planned, change, warnings)).await;
        let rehearsal = match rehearsal {
            Rehearsed::Yes(rehearsal) => Some(&**rehearsal),
            Rehearsed::No(_) => None,
        };
        let shown = recorded.files.map(|(files, catalog)| {
            let changed = change.objects.as_deref().unwrap_or_default();
            let wrote = |table: &ObjectName| wrote(table, change, rehearsal);
            shown(&files, &There { catalog: &catalog, changed, wrote: &wrote })
        });
        if let Some(shown) = shown.as_ref().filter(|_| succeeded) {
            let tell = |file: &String| format!("nothing shows that {file} ran: it stays pending");
            warnings.extend(shown.unwritten.iter().cloned());
            warnings.extend(shown.without_evidence.iter().map(tell));
        }
        let evidence = Evidence {
            shown,
            succeeded,
            database: change.database,
            objects: change.objects.clone(),
            invalid_indexes: change.invalid_indexes.clone(),
            unmoved: change.unmoved.clone(),
            lost_count: change.lost_count,
            unreadable: change.unreadable.clone(),
            prepared: change.prepared.clone(),
            pending,
            runs_pending: planned.migrations.is_some(),
            told_by_runs: record.is_some_and(|record| record.tool == ToolName::PlainSql.to_string()),
            still_pending: recorded.still_pending,
            unread: recorded.unread,
            commits_with_record: planned
                .report
                .as_ref()
                .is_some_and(|report| commits_with_record(report, planned.shown)),
            recorded_all_the_same: recorded.all_the_same,
            same_major: rehearsal.is_some_and(|one| one.major == Some(major)),
            rehearsal,
        };
        let judgement = judge(&evidence);
        // One that records something counts as one that runs them; of any other that says nothing.
        let still = judgement.still_pending.iter().flatten().cloned().collect::<Vec<_>>();
        let passed_over = judgement.as_planned && judgement.recorded.is_none() && !still.is_empty();
        if succeeded && planned.migrations.is_none() && passed_over {
            let names = listed(&still, LISTED);
            warnings.push(format!(
                "still pending: {names}: whether the command is to run them is not known ([migrations] commands says so)"
            ));
        }
        let in_doubt = is_in_doubt(&evidence);
        (judgement, in_doubt)
    }

    /// Asks whether the application is well; one that never is counts as a failed run. Where asking was interrupted,
    /// nothing is known of it, and nothing is undone for it.
    pub(crate) async fn ask_for_health(&self, judgement: &mut JudgementRecord) {
        let options = self.preparation.options;
        if options.run.health.any() {
            self.preparation.context.progress.note("asking whether the application is well");
        }
        let cancel = &self.preparation.context.cancel;
        let (health, why) = health::ask(&options.run.health, &options.environment, cancel).await;
        judgement.health = health;
        if health == Health::Interrupted {
            judgement
                .reasons
                .insert(0, "whether the application is well is not known: asking was interrupted".to_owned());
        }
        if health == Health::NeverGreen {
            judgement.as_planned = false;
            let what = match judgement.verdict {
                Verdict::Unknown => "the command succeeded",
                verdict => verdict.words(),
            };
            let why = why.map(|why| format!(": {}", self.mask.script(&why))).unwrap_or_default();
            judgement.reasons.insert(0, format!("{what}, and the application is not well{why}"));
        }
    }

    /// Keeps what the command wrote.
    pub(crate) async fn keep_output(
        &self,
        output: Option<Stored>,
        ledger: &LedgerWriter<'_>,
        warnings: &mut Vec<String>,
    ) -> Option<OutputRecord> {
        let Stored { text, bytes, left_out_bytes } = output?;
        let context = self.preparation.context;
        match context.repository.record_output(&context.database, ledger.run(), text).await {
            Ok(key) => Some(OutputRecord { key, bytes, left_out_bytes }),
            Err(error) => {
                warnings.push(format!("what the command wrote could not be kept: {error}"));
                None
            }
        }
    }

    /// Writes which process group the command has, once it is started, and tells that it begins; what of that failed, in
    /// words.
    pub(crate) async fn note_start(&self, told: oneshot::Receiver<Mark>, ledger: &mut LedgerWriter<'_>) -> Vec<String> {
        let mut failed = Vec::new();
        if let Ok(leader) = told.await
            && let Err(error) = ledger.command_started(runs::recorded(leader)).await
        {
            failed.push(format!("the command's process group could not be written into the ledger: {error}"));
        }
        failed.extend(self.tell_start(ledger).await);
        failed
    }
}

/// How rows of a table were written, as far as that is known. The copy tells which they are, for nobody else was on it, and
/// the counters that somebody wrote any; a table of which nobody wrote a row while the command ran was not written by it
/// either.
fn wrote(table: &ObjectName, change: &Change, rehearsal: Option<&Rehearsal>) -> Option<Kinds> {
    let is = |name: &String| is_called(name, table);
    if change.unmoved.iter().any(is) {
        return Some(Kinds::NONE);
    }
    // What ran on the copy says nothing of what ran here.
    rehearsal.filter(|_| change.counted).map(|rehearsal| on_the_copy(&rehearsal.tables, table))
}
