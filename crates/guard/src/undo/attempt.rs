//! One undo, step by step.

use std::time::{Duration, Instant};

use holdpoint_core::ledger::{RunState, RunStep, newest};
use holdpoint_core::undoing::Way;
use holdpoint_core::{PointId, PointKind, RunId};
use holdpoint_operations::backup::{BackupOptions, backup};
use holdpoint_operations::restore::swap::SwapReport;
use holdpoint_operations::run_lock::RunLock;
use holdpoint_operations::{Context, catalogue};
use holdpoint_postgres::error::line;
use holdpoint_postgres::{Session, SessionPurpose, identity};

use super::beside::{is_of_the_database, left_beside};
use super::last_writers::last_writers;
use super::migrations::no_way;
use super::rds::ToAnInstant;
use super::record::{self, Record};
use super::recover::Recovering;
use super::restore::Restoring;
use super::rollback::RollingBack;
use super::{UndoOptions, UndoPlan, UndoReport, admission, proof, rds};
use crate::runs::{self, Alive};
use crate::{Error, leads, sessions};

/// How long a connection may take by which what an undo left at work is ended.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
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

/// A run that may be undone.
pub(super) struct Work<'a> {
    pub(super) context: &'a Context,
    pub(super) options: &'a UndoOptions,
    pub(super) run: RunId,
    pub(super) steps: Vec<RunStep>,
    /// Its newest step.
    pub(super) step: RunStep,
    /// Its restore point.
    pub(super) point: PointId,
    /// Whether that is a snapshot of the instance.
    pub(super) is_snapshot: bool,
    /// The runs after it, as they were when it was looked at.
    younger: Vec<admission::Run>,
    /// What younger runs left that were settled, in words.
    standing: Vec<String>,
    /// The server process of the run itself, where it has the run lock and is undone under it.
    pub(super) held_by: Option<i32>,
}

/// A way that is ready to be gone.
enum Todo {
    Rollback(RollingBack),
    Recover(Recovering),
    Restore(Box<Restoring>),
    Rds(Box<ToAnInstant>),
}

impl Todo {
    /// Whether something that the project has to undo its migrations is still to run.
    fn runs_scripts(&self) -> bool {
        match self {
            Self::Rollback(rollback) | Self::Recover(Recovering { rollback, .. }) => rollback.is_open,
            Self::Restore(_) | Self::Rds(_) => false,
        }
    }
}

impl<'a> Attempt<'a> {
    /// Undoes; `held` is the run lock, where the run that is undone has it.
    pub(super) async fn run(&self, held: Option<RunLock>) -> Result<UndoReport, Error> {
        let began = Instant::now();
        let asked = self.finish_begun().await?;
        let work = self.admitted(held.as_ref().map(RunLock::pid)).await?;
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
        record.look.extend(left.filter(|_| gone.is_err() && !record.has_done(rds::CUT_OVER)));
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
        let Some(step) = newest(&steps).filter(|step| rds::is_under_way(step)) else { return Ok(false) };
        let run = step.run.as_str();
        if !rds::is_begun(source, run).await? {
            return Ok(false);
        }
        if let Some(what) = runs::process_of(step) {
            return Err(Error::StillAtWork { run: run.to_owned(), what });
        }
        if let Some(point) = step.point.clone() {
            ask(options, context, &rds::renames(source, step, point)).await?;
        }
        rds::finish_begun(source, run).await?;
        Ok(true)
    }

    /// Reads the run, and refuses what cannot be undone; `held_by`: where it is the run itself that undoes, who has its
    /// lock.
    async fn admitted(&self, held_by: Option<i32>) -> Result<Work<'a>, Error> {
        let Self { context, options } = self;
        let steps = runs::steps(context, &options.run).await?;
        let Some(step) = newest(&steps).cloned() else {
            return Err(Error::NoSuchRun { run: None, database: context.database.to_string() });
        };
        let run = step.run.clone();
        let younger = younger_than(context, &run).await?;
        admission::check(&run, &steps, &younger)?;
        let alive = Alive::read(&options.place.source).await?;
        if let Some(what) = if held_by.is_some() { alive.command_of(&step) } else { alive.of(&step) } {
            return Err(Error::StillAtWork { run: run.to_string(), what });
        }
        let too_old = |why: String| Error::CannotUndo {
            run: run.to_string(),
            why,
            advice: "undo it by hand, then settle it".to_owned(),
            first: Vec::new(),
        };
        let Some(point) = step.point.clone() else { return Err(too_old("it relied on no restore point".to_owned())) };
        let is_snapshot = match catalogue::show_any(context, &point).await {
            Ok(shown) => shown.manifest.kind() == PointKind::RdsSnapshot,
            Err(holdpoint_operations::Error::NoSuchPoint { .. }) => {
                return Err(too_old(format!("it is too old: its restore point {point} is gone")));
            }
            Err(error) => return Err(error.into()),
        };
        let standing = admission::settled_since(&younger);
        Ok(Work { context, options, run, steps, step, point, is_snapshot, younger, standing, held_by })
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

/// The runs after a run, with their steps.
async fn younger_than(context: &Context, run: &RunId) -> Result<Vec<admission::Run>, Error> {
    let mut younger = Vec::new();
    for other in context.repository.runs(&context.database).await?.into_iter().filter(|other| other > run) {
        let steps = context.repository.steps(&context.database, &other).await?;
        younger.push((other, steps));
    }
    Ok(younger)
}

impl Work<'_> {
    /// The way that was asked for; else the one at which an undo broke off; else the best that is there.
    /// With what better ones are passed over, and why.
    async fn chosen(&self) -> Result<(Way, Todo, Vec<String>), Error> {
        let broken_off = self.step.undo.as_ref().filter(|_| self.step.state == RunState::Undoing).map(|undo| undo.way);
        let broken_off = broken_off.or_else(|| rds::is_under_way(&self.step).then_some(Way::Rds));
        if let Some(way) = self.options.way.or(broken_off) {
            return Ok((way, self.todo(way).await?, Vec::new()));
        }
        let recorded = self.recorded_ways();
        let mut why_not: Vec<String> = Vec::new();
        for way in recorded {
            match self.todo(way).await {
                Ok(todo) => {
                    let passed_over = why_not.into_iter().map(|why| format!("a better way is passed over: {why}"));
                    return Ok((way, todo, passed_over.collect()));
                }
                Err(Error::NoSuchWay { why, .. }) => {
                    let why = self.options.mask.message(&format!("{}: {why}", way.word()));
                    // The next one may be refused.
                    self.context.progress.note(&why);
                    why_not.push(why);
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::NoSuchWay { run: self.run.to_string(), way: "undo".to_owned(), why: why_not.join("; ") })
    }

    /// The ways of the run, the best first; without a record only the restore is certain.
    fn recorded_ways(&self) -> Vec<Way> {
        let with_ways = self.steps.iter().rev().find(|step| !step.ways_back.is_empty());
        let ways: Vec<Way> =
            with_ways.map(|step| step.ways_back.iter().map(|one| one.way).collect()).unwrap_or_default();
        let ways: Vec<Way> = ways.into_iter().filter(|way| *way != Way::Beside).collect();
        match ways.is_empty() {
            true => vec![if self.is_snapshot { Way::Rds } else { Way::Restore }],
            false => ways,
        }
    }

    async fn todo(&self, way: Way) -> Result<Todo, Error> {
        if self.is_snapshot && way != Way::Rds {
            let why = "the run's restore point is a snapshot of the instance, against which only another instance can be held: \
                       --way rds";
            return Err(no_way(self, way.word(), why.to_owned()));
        }
        Ok(match way {
            Way::Rollback => Todo::Rollback(RollingBack::plan_alone(self).await?),
            Way::Recover => Todo::Recover(Recovering::plan(self).await?),
            Way::Rds => Todo::Rds(Box::new(ToAnInstant::plan(self).await?)),
            Way::Restore | Way::Beside => Todo::Restore(Box::new(Restoring::plan(self).await?)),
        })
    }

    fn plan(&self, way: Way, todo: &Todo) -> UndoPlan {
        let scripts_take = match todo {
            Todo::Recover(recover) => recover.scripts_take.clone(),
            Todo::Rollback(_) | Todo::Restore(_) | Todo::Rds(_) => Vec::new(),
        };
        let mut done = record::kept(&self.step, way);
        match todo {
            Todo::Rollback(rollback) | Todo::Recover(Recovering { rollback, .. }) => {
                done.extend(rollback.ran.iter().filter(|ran| !done.contains(ran)).cloned().collect::<Vec<_>>());
            }
            Todo::Restore(_) | Todo::Rds(_) => {}
        }
        let (steps, warnings, written_since, taken) = match todo {
            Todo::Rollback(rollback) => (rollback.words(), rollback.warnings.clone(), None, rollback.taken.clone()),
            Todo::Recover(recover) => (recover.words(), recover.warnings(), None, recover.taken.clone()),
            Todo::Restore(restore) => (restore.words(), restore.warnings(), restore.written_since.clone(), Vec::new()),
            Todo::Rds(instant) => (instant.words(), instant.warnings(), None, Vec::new()),
        };
        let recorded = self.steps.iter().rev().find(|step| !step.ways_back.is_empty());
        let ways = recorded.map(|step| step.ways_back.clone()).unwrap_or_default();
        let (own, other_ways): (Vec<_>, Vec<_>) = ways.into_iter().partition(|one| one.way == way);
        let data_lost = own.first().map_or_else(
            || format!("everything written since {}", self.point.at().format("%Y-%m-%dT%H:%M:%SZ")),
            |one| one.data_lost.clone(),
        );
        let warnings =
            warnings.into_iter().chain(self.standing.clone()).chain(runs::not_told_from_here(&self.step)).collect();
        UndoPlan {
            run: self.run.clone(),
            way,
            point: self.point.clone(),
            steps,
            done,
            data_lost,
            written_since,
            taken,
            scripts_take,
            goes_along: match todo {
                Todo::Rollback(rollback) | Todo::Recover(Recovering { rollback, .. }) => rollback.goes_along.clone(),
                Todo::Restore(_) | Todo::Rds(_) => Vec::new(),
            },
            command: own.into_iter().next().map(|one| one.command),
            other_ways,
            warnings,
        }
    }

    /// The restore point from before the first undo that was tried.
    pub(super) fn first_undo_point(&self) -> Option<PointId> {
        self.steps.iter().find_map(|step| step.undo.as_ref()?.point.clone())
    }

    /// Under the run lock: everything is as it was when the way was chosen and shown.
    async fn as_shown(&self) -> Result<(), Error> {
        let steps = self.context.repository.steps(&self.context.database, &self.run).await?;
        let younger = younger_than(self.context, &self.run).await?;
        admission::check(&self.run, &steps, &younger)?;
        admission::same((&self.run, &self.steps, &self.younger), (&steps, &younger))
    }

    /// The run lock: nobody migrates, and nobody else undoes, meanwhile.
    async fn lock(&self, held: Option<RunLock>) -> Result<RunLock, Error> {
        let session = Session::connect(&self.options.live, &SessionPurpose::new("holdpoint undo")).await?;
        let recorded = self.context.repository.identity(&self.context.database).await?;
        let identity = recorded.map_or_else(|| self.step.identity.clone(), |record| record.identity);
        let checked = async {
            leads::demand_same(&session, &self.options.live, &identity).await?;
            Ok::<_, Error>(identity::read(&session).await?.identity.database_oid)
        };
        let oid = checked.await;
        session.close().await;
        let oid = oid?;
        if let Some(held) = held {
            return Ok(held);
        }
        let name = format!("holdpoint undo {}", self.run);
        Ok(RunLock::take(&self.options.live, oid, &name, &self.context.cancel).await?)
    }

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

    /// Keeps the lock's connection alive, and ends what goes on in the server when the work fails or is cancelled: with why, and
    /// what became of that, in words.
    async fn while_locked<T>(
        &self,
        lock: &RunLock,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, (Error, Vec<String>)> {
        let watch = async {
            loop {
                tokio::time::sleep(Duration::from_secs(30)).await;
                if !lock.is_held().await {
                    return Error::LockLost;
                }
            }
        };
        let worked = tokio::select! {
            worked = work => worked,
            lost = watch => Err(lost),
        };
        match worked {
            Ok(worked) => Ok(worked),
            Err(error) => Err((error, self.end_on_the_server(lock).await)),
        }
    }

    /// Ends what the undo still does on the server, by the role that goes the way, too: the lock may be of one that only reads,
    /// and its session may be lost. What was done, or why nothing was, in words.
    async fn end_on_the_server(&self, lock: &RunLock) -> Vec<String> {
        let purpose = SessionPurpose::new("holdpoint undo");
        let connected = Session::connect(&self.options.live, &purpose);
        let own = tokio::time::timeout(CONNECT_WITHIN, connected).await.ok().and_then(Result::ok);
        let ended = match &own {
            Some(own) if !lock.is_held().await => sessions::cancel(own, &self.run).await,
            own => sessions::cancel_by(lock.session(), own.as_ref(), &self.run).await,
        };
        if let Some(own) = own {
            own.close().await;
        }
        ended.unwrap_or_else(|error| {
            vec![format!(
                "what the undo still does on the server could not be ended, and may go on there: {}",
                line(&error)
            )]
        })
    }
}

/// Keeps what became of the work on the server.
fn noted<T>(went: Result<T, (Error, Vec<String>)>, record: &mut Record<'_>) -> Result<T, Error> {
    went.map_err(|(error, told)| {
        record.look.extend(told);
        error
    })
}
