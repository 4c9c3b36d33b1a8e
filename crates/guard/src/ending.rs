//! A guarded run from its command on: the command runs and is judged, which is written before the run lock is given back;
//! it is undone where that was asked for; what belongs after a good end is run, and who wants to know is told.

mod good_end;
mod lock_again;
mod on_failure;

use holdpoint_core::ledger::{Health, HookState, RunState};
use holdpoint_core::progress::Phase;
use holdpoint_core::undoing::Way;
use holdpoint_process::Status;
use tokio::sync::oneshot;

use self::good_end::AFTER_BEGINS;
use crate::command::{Call, CutOff, LOCK_LOST};
use crate::guarded::{Guarded, Ready};
use crate::ledger_writer::LedgerWriter;
use crate::may_have_left::may_have_left;
use crate::prepare::Preparation;
use crate::proven::Proven;
use crate::run::{GuardReport, WayBack};
use crate::runs;
use crate::undo::{UndoEnd, UndoReport};

/// What is told where a run counts as failed, and is not undone by itself.
const NOT_UNDONE: &str = "it was not undone by itself: what its command left could not be looked at";
/// The same, where only others' work speaks for it.
const NOTHING_SHOWN: &str = "it was not undone by itself: nothing shows that a migration left anything: none of the pending ones is \
                             recorded, and their tool records what it keeps, or nobody wrote rows of a table that their SQL writes. What \
                             changed, others did meanwhile, or the command beside its migrations";
/// The same, where a session that may be the command's is in a transaction.
const AT_WORK: &str = "it was not undone by itself: what its command left may not be all yet";

/// How the undo of a run ended, or why it could not begin.
pub(crate) type Undone = Result<Box<UndoReport>, String>;

impl Guarded<'_> {
    /// Runs the command, judges, writes that, undoes. From here on nothing is an error any more.
    pub(crate) async fn run(&self, ready: Ready, mut ledger: LedgerWriter<'_>) -> GuardReport {
        let Preparation { context, options, .. } = &self.preparation;
        let Ready { proven, lock, before, looked_for } = ready;
        let Proven { planned, decision, relied, prepared_by, ways_back, .. } = proven;
        let time_outs = self.time_outs(&planned, ledger.run());
        let run = ledger.run().clone();
        let major = lock.session().server().major;
        let live = self.live(&lock, &run);
        let call = Call { context, options, lock: &lock, time_outs: &time_outs, live, mask: &self.mask };
        let (tell, told) = oneshot::channel();
        let (mut end, unnoted) = tokio::join!(call.run(tell), self.note_start(told, &mut ledger));
        if end.started && !end.warnings.iter().any(|warning| warning == LOCK_LOST) && !lock.is_held().await {
            end.warnings.push(LOCK_LOST.to_owned());
        }
        end.warnings.extend(unnoted);
        context.progress.phase(Phase::Judging, None);
        self.wait_for_the_server(&mut end, &run).await;
        let (lock, at_work) = self.hold(lock, &mut end.warnings, &run).await;
        // Where nothing was to be done and nothing failed, nobody waits to know it for certain.
        let ended_well = end.ended.as_ref().is_some_and(|ended| ended.status == Status::Code(0));
        let patient = !(ended_well && planned.migrations == Some(0));
        let change = Box::pin(self.look_again(&before, looked_for, &mut end, ledger.run(), patient)).await;
        let (exit_code, signal) = match end.ended.as_ref().map(|ended| ended.status) {
            Some(Status::Code(code)) => (Some(code), None),
            Some(Status::Signal(number)) => (None, Some(number)),
            None => (None, None),
        };
        let succeeded = exit_code == Some(0) && end.cut_off.is_none();
        if succeeded {
            end.warnings.extend(end.output.as_ref().and_then(|output| reported_errors(&output.text)));
        }
        let (mut judgement, in_doubt) =
            Box::pin(self.judge(&planned, &relied.rehearsal, major, &change, succeeded, &mut end.warnings)).await;
        let names: Vec<String> = end.observed.names.iter().cloned().collect();
        judgement.time_outs = time_outs.in_force(&names);
        let (mut lock, mut at_work) = (lock, at_work);
        if succeeded {
            self.ask_for_health(&mut judgement).await;
            // That takes its time.
            if at_work.is_none() {
                (lock, at_work) = self.hold(lock, &mut end.warnings, &run).await;
            }
        }
        let state = match (judgement.as_planned, change.database) {
            (true, _) => RunState::Succeeded,
            (false, "unchanged") if !succeeded => RunState::RolledBack,
            (false, _) => RunState::Failed,
        };
        let left_nothing = change.database == "unchanged" && !judgement.as_planned;
        let on_failure = options.on_failure.as_ref().filter(|_| state == RunState::Failed && !left_nothing);
        // What nobody looked at, or of which nothing shows, may be as it should be: a person decides.
        let stays = if change.objects.is_none() || in_doubt && judgement.health != Health::NeverGreen {
            Some(NOT_UNDONE)
        } else if change.perhaps_at_work {
            Some(AT_WORK)
        } else {
            let known = planned.report.as_ref().filter(|_| planned.migrations.is_some());
            let own = options.found().and_then(|found| found.table.as_ref());
            let left = may_have_left(known, planned.shown, &change, judgement.recorded.as_deref(), own);
            (!left).then_some(NOTHING_SHOWN)
        };
        let on_failure = on_failure.filter(|_| {
            end.warnings.extend(stays.map(str::to_owned));
            stays.is_none()
        });
        let good = match (state, judgement.health) {
            (RunState::Succeeded, _) if at_work.is_some() => Err("another run is at work"),
            (RunState::Succeeded, Health::Interrupted) => Err("nobody knows whether the application is well"),
            (RunState::Succeeded, _) => Ok(()),
            _ => Err("the run did not succeed"),
        };
        if let (None, Err(why)) = (on_failure, good) {
            end.warnings.extend(self.run_after(Err(why), ledger.run()).await);
            end.warnings.extend(runs::owed(ledger.step()));
        }
        let output = self.keep_output(end.output.take(), &ledger, &mut end.warnings).await;
        ledger.ended(exit_code, signal);
        ledger.left_schema(change.left_schema.clone());
        ledger.saw_after(&change);
        ledger.judged(&judgement, output.clone());
        let unasked = judgement.health == Health::Interrupted;
        let interrupted = end.cut_off == Some(CutOff::Interrupted) || unasked || end.unwaited;
        let in_force = format!("time-outs in force: {}{}", judgement.time_outs.words(), time_outs.why());
        let mut written = vec![format!("the database is {}", change.database), in_force];
        written.extend(interrupted.then(|| "interrupted".to_owned()));
        let told = if succeeded { Vec::new() } else { change.remarks.clone() };
        let reasons = judgement.reasons.clone();
        written.extend([change.remarks, change.warnings.clone(), reasons.clone(), end.warnings.clone()].concat());
        written.extend([end.observed.waits.clone(), end.observed.cancelled.clone()].concat());
        written.extend(end.observed.not_cancelled.clone());
        written.extend(end.observed.beside.iter().chain(&end.observed.blind).cloned());
        let cancelled = end.observed.cancelled.iter().chain(&end.observed.not_cancelled);
        let seen = cancelled.chain(&end.observed.beside).chain(&end.observed.blind);
        end.warnings.extend(seen.cloned());
        let warned = if judgement.as_planned && !unasked { Vec::new() } else { reasons };
        let runs_after = on_failure.is_none() && good.is_ok() && options.run.after.is_some();
        if runs_after {
            ledger.after_is(HookState::Began);
            written.push(AFTER_BEGINS.to_owned());
        }
        let started = self.start.warnings.clone();
        let mut warnings = [started, relied.warnings, end.warnings, told, change.warnings, warned].concat();
        context.progress.phase(Phase::RecordingRun, None);
        let not_recorded = ledger.write(state, written).await.err().map(|error| {
            let planned = if judgement.as_planned { "as planned" } else { "not as planned" };
            format!(
                "the judgement could not be written into the ledger, which will call the run interrupted: {error}; it was: \
                 the run {}, the database {}, {planned}; once the repository is there again: holdpoint settle {} --reason TEXT",
                state.word(), judgement.verdict.words(), ledger.run()
            )
        });
        warnings.extend(not_recorded.clone());
        // Until here nobody else migrates, and who looks finds the run at work. An undo goes on under the lock.
        let undone = match on_failure {
            Some(on_failure) => Some(Box::pin(self.undo(on_failure, lock, &mut ledger, &mut warnings)).await),
            None => {
                // Still under the lock: what --after ends, such as maintenance mode, is not ended beside another run or an undo.
                if runs_after {
                    Box::pin(self.finish(&mut ledger, &mut warnings)).await;
                }
                lock.release().await;
                None
            }
        };
        let is_undone = matches!(&undone, Some(Ok(report)) if report.end() == UndoEnd::Done);
        let ways_back = still_open(ways_back, left_nothing || is_undone);
        self.tell_end(&ledger, state, undone.as_ref(), &judgement, exit_code, &ways_back, &mut warnings).await;
        let (rehearsal, not_rehearsed) = relied.rehearsal.parts();
        let (undo, undo_failure) = match undone {
            Some(Ok(report)) => (Some(report), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        GuardReport {
            run: ledger.run().clone(),
            state,
            decision,
            plan: planned.report,
            prepared_by: prepared_by.map(|(run, _)| run),
            point: relied.point,
            verification: relied.verification,
            rehearsal,
            not_rehearsed,
            exit_code,
            signal,
            command_took_ms: end.ended.map(|ended| u64::try_from(ended.ran_for.as_millis()).unwrap_or(u64::MAX)),
            interrupted,
            verdict: judgement.verdict,
            judgement,
            observed: end.observed,
            output: output.map(|output| output.key),
            database: change.database,
            ways_back,
            warnings,
            not_recorded,
            undo,
            undo_failure,
        }
    }
}

/// The ways back that nobody would refuse: of a run that left nothing, nothing can be undone, but what it relied on can
/// still be looked at beside the database.
fn still_open(ways_back: Vec<WayBack>, left_nothing: bool) -> Vec<WayBack> {
    ways_back.into_iter().filter(|one| !left_nothing || one.way == Way::Beside).collect()
}

/// Tells of errors of the server in what the command wrote, as psql shows them, which goes on after one unless it is told
/// otherwise. Their text may hold values, and is not repeated.
fn reported_errors(text: &str) -> Option<String> {
    let is = |line: &&str| line.starts_with("ERROR:  ") || (line.starts_with("psql:") && line.contains(": ERROR:  "));
    let errors = text.lines().filter(is).count();
    (errors > 0).then(|| {
        format!(
            "the command ended with success, and its output tells of {errors} errors of the server: psql goes on after one \
             unless it is given -v ON_ERROR_STOP=1"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_psql_went_over_are_counted_and_not_repeated() {
        let text = "CREATE TABLE\npsql:sql/002.sql:3: ERROR:  invalid input syntax: \"value\"\nERROR:  x\nNOTICE:  ERROR:  no\n";
        let told = reported_errors(text).unwrap();
        assert!(told.contains("of 2 errors") && !told.contains("value"), "{told}");
        assert_eq!(reported_errors("done\nno ERROR\n"), None);
    }

    #[test]
    fn of_a_run_that_left_nothing_no_way_is_told_that_would_be_refused() {
        let one = |way: Way| WayBack {
            way,
            title: String::new(),
            command: String::new(),
            seconds: None,
            time_from: None,
            data_lost: String::new(),
            loss: None,
            conditions: Vec::new(),
        };
        let all = [Way::Rollback, Way::Recover, Way::Beside, Way::Restore];
        let open = |left_nothing| -> Vec<Way> {
            still_open(all.map(one).into(), left_nothing).iter().map(|one| one.way).collect()
        };
        assert_eq!((open(false), open(true)), (all.to_vec(), vec![Way::Beside]));
    }
}
