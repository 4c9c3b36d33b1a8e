//! One undo, step by step.

use std::time::Instant;

use holdpoint_core::PointId;
use holdpoint_core::ledger::{RunState, newest};
use holdpoint_core::undoing::Way;
use holdpoint_operations::Context;
use holdpoint_operations::backup::{BackupOptions, backup};
use holdpoint_operations::restore::swap::SwapReport;
use holdpoint_operations::run_lock::RunLock;
use holdpoint_postgres::error::line;

use super::beside::{is_of_the_database, left_beside};
use super::last_writers::last_writers;
use super::rds::cut_over::{self, CUT_OVER};
use super::record::Record;
use super::way::Todo;
use super::work::Work;
use super::{UndoOptions, UndoPlan, UndoReport, proof};
use crate::{Error, runs};

/// Why an undo ended that a person ended.
const INTERRUPTED: &str = "interrupted: what was done is recorded, and the undo goes on from there";

/// The command that goes on: what was given and accepted for the way stands in the run's record.
fn going_on(plan: &UndoPlan) -> String {
    plan.command.clone().unwrap_or_else(|| format!("holdpoint undo {} --way {}", plan.run, plan.way.word()))
}

/// An undo that begins.
pub(super) struct Attempt<'a> {
    pub(super) context: &'a Context,
    pub(super) options: &'a UndoOptions,
}

impl Attempt<'_> {
    /// Undoes; `held` is the run lock, where the run that is undone has it.
    pub(super) async fn run(&self, held: Option<RunLock>) -> Result<UndoReport, Error> {
        let began = Instant::now();
        let asked = self.finish_begun().await?;
        let work = Work::admitted(self.context, self.options, held.as_ref().map(RunLock::pid)).await?;
        let (way, todo, passed_over) = work.chosen().await?;
        let mut plan = work.plan(way, &todo);
        plan.warnings.splice(0..0, passed_over);
        plan.warnings.extend(left_beside(&work, way, todo.runs_scripts()).await?);
        let took = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if self.options.dry_run {
            let warnings = Vec::new();
            return Ok(UndoReport {
                plan,
                dry_run: true,
                state: None,
                undo: None,
                failure: None,
                interrupted: false,
                swap: None,
                took_ms: took(),
                warnings,
            });
        }
        if !asked {
            ask(self.options, self.context, &plan).await?;
        }
        let mut record = Record::after(self.context, &work.step, way, self.options);
        let lock = work.lock(held).await?;
        work.as_shown().await?;
        match &todo {
            Todo::Rds(_) => {}
            Todo::Rollback(rollback) => rollback.as_shown(&work).await?,
            Todo::Recover(recover) => recover.as_shown(&work).await?,
            Todo::Restore(restore) => restore.as_shown(&work).await?,
        }
        // The run's own pin may be over by now: no prune is to take what the undo relies on before the ledger says so.
        let begun = Box::pin(work.begin(&todo, &mut record));
        holdpoint_operations::held(self.context, &work.point, begun).await?;
        let mut swap = None;
        let left = match &todo {
            Todo::Rds(instant) => Some(instant.left(&going_on(&plan))),
            Todo::Rollback(_) | Todo::Recover(_) | Todo::Restore(_) => None,
        };
        let gone = Box::pin(work.go(todo, lock, &mut record, &mut swap)).await;
        let mut warnings = Vec::new();
        if gone.is_ok() {
            let left = left_beside(&work, way, false).await;
            let left =
                left.unwrap_or_else(|error| vec![format!("roles and slots could not be read: {}", line(&error))]);
            let (own, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|what| is_of_the_database(what));
            record.undo.not_as_before.extend(own);
            record.look.extend(others);
        }
        record.look.extend(left.filter(|_| gone.is_err() && !record.has_done(CUT_OVER)));
        // Whatever failed once a person ended it failed by that.
        let interrupted = gone.is_err() && self.context.cancel.is_cancelled();
        let (state, failure, remarks) = match gone {
            Ok(()) if record.undo.not_as_before.is_empty() => {
                (RunState::Undone, None, [&record.undo.proof[..], &record.look].concat())
            }
            Ok(()) => (RunState::UndoFailed, None, [&record.undo.not_as_before[..], &record.look].concat()),
            // As where it is killed: it goes on by the same way, and nothing of it lives.
            Err(error) if interrupted => {
                record.leaves_no_process();
                let said = self.options.mask.message(&line(&error));
                let why = format!("{INTERRUPTED}: {} ({said})", going_on(&plan));
                (RunState::Undoing, Some(why.clone()), [&[why][..], &record.look].concat())
            }
            Err(error) => {
                let why = self.options.mask.message(&line(&error));
                (RunState::UndoFailed, Some(why.clone()), [&[why][..], &record.look].concat())
            }
        };
        if let Err(error) = record.write(state, remarks).await {
            warnings.push(format!("the end of the undo could not be written into the ledger: {error}"));
        }
        warnings.append(&mut record.look);
        let undo = Some(record.undo);
        let state = Some(state);
        Ok(UndoReport { plan, dry_run: false, state, undo, failure, interrupted, swap, took_ms: took(), warnings })
    }

    /// Finishes the renames of a cut-over that an undo of this run began: the live database cannot be asked before. Nor can who
    /// undoes it, so that its process is asked for, and a person. Whether one was asked.
    async fn finish_begun(&self) -> Result<bool, Error> {
        let Self { context, options } = self;
        let by_rds = options.way.is_none_or(|way| way == Way::Rds) && !options.dry_run;
        let Some(source) = options.instance.as_ref().filter(|_| by_rds) else { return Ok(false) };
        let steps = runs::steps(context, &options.run).await?;
        let Some(step) = newest(&steps).filter(|step| cut_over::is_under_way(step)) else { return Ok(false) };
        let run = step.run.as_str();
        if !cut_over::is_begun(source, run).await? {
            return Ok(false);
        }
        if let Some(what) = runs::process_of(step) {
            return Err(Error::StillAtWork { run: run.to_owned(), what });
        }
        if let Some(point) = step.point.clone() {
            ask(options, context, &cut_over::renames(source, step, point)).await?;
        }
        cut_over::finish_begun(source, run).await?;
        Ok(true)
    }
}

/// Asks a person, where one is to be asked.
async fn ask(options: &UndoOptions, context: &Context, plan: &UndoPlan) -> Result<(), Error> {
    let Some(question) = options.question.clone() else { return Ok(()) };
    let plan = plan.clone();
    let answer = tokio::task::spawn_blocking(move || (question.0)(&plan));
    tokio::select! {
        answer = answer => if answer.unwrap_or(false) { Ok(()) } else { Err(Error::NotConfirmed) },
        () = context.cancel.cancelled() => Err(Error::Interrupted),
    }
}

impl Work<'_> {
    /// The restore point of the database as it is now: what the undo itself loses is in it.
    async fn restore_point(&self) -> Result<PointId, Error> {
        let options = BackupOptions {
            label: Some(format!("before-undo-{}", self.run)),
            reason: Some(format!("before run {} is undone", self.run)),
            run: Some(self.run.clone()),
            ..self.options.backup.clone()
        };
        let made = Box::pin(backup(self.context, &self.options.place.source, &options)).await?.manifest.id;
        let (run, at) = (&self.run, (self.context.clock)());
        let record = serde_json::json!({ "format": 1, "reason": format!("made before run {run} was undone"),
            "run": run, "at": at });
        let pin = format!("undo-{run}");
        self.context.repository.pin(&self.context.database, &made, &pin, &record).await?;
        Ok(made)
    }

    /// Makes the undo's own restore point where there is none yet, and writes into the ledger that the undo begins.
    async fn begin(&self, todo: &Todo, record: &mut Record<'_>) -> Result<(), Error> {
        if record.undo.point.is_none() {
            record.made(self.restore_point().await?);
            // That took its time: what others wrote meanwhile would be in no restore point.
            match todo {
                Todo::Recover(recover) => recover.as_shown(self).await?,
                Todo::Rollback(rollback) => rollback.as_shown(self).await?,
                Todo::Restore(_) | Todo::Rds(_) => {}
            }
        }
        let point = record.undo.point.as_ref().map(ToString::to_string).unwrap_or_default();
        record.write(RunState::Undoing, vec![format!("{point} holds the database as it was before the undo")]).await
    }

    /// Goes the way and shows what is there then.
    async fn go(
        &self,
        todo: Todo,
        lock: RunLock,
        record: &mut Record<'_>,
        swap: &mut Option<Box<SwapReport>>,
    ) -> Result<(), Error> {
        match todo {
            Todo::Rollback(rollback) => {
                let went = async {
                    let writers = Box::pin(last_writers(self, &rollback)).await?;
                    rollback.go(self, record).await?;
                    proof::prove(self, record, rollback.tracking(), writers).await
                };
                let went = self.while_locked(&lock, Box::pin(went)).await;
                noted(went, record)?;
                lock.release().await;
            }
            Todo::Recover(recover) => {
                let tracking = recover.rollback.tracking().cloned();
                let went = async {
                    let writers = Box::pin(last_writers(self, &recover.rollback)).await?;
                    recover.go(self, record).await?;
                    proof::prove(self, record, tracking.as_ref(), writers).await
                };
                let went = self.while_locked(&lock, Box::pin(went)).await;
                noted(went, record)?;
                lock.release().await;
            }
            Todo::Restore(restore) => *swap = Some(Box::new(restore.go(self, record, lock).await?)),
            Todo::Rds(instant) => {
                let made = self.while_locked(&lock, Box::pin(instant.make(self, record))).await;
                noted(made, record)?;
                // From here on the lock is on the server that goes aside.
                instant.cut_over(self, record).await?;
                lock.release().await;
            }
        }
        Ok(())
    }
}

/// Keeps what became of the work on the server.
fn noted<T>(went: Result<T, (Error, Vec<String>)>, record: &mut Record<'_>) -> Result<T, Error> {
    went.map_err(|(error, told)| {
        record.look.extend(told);
        error
    })
}
