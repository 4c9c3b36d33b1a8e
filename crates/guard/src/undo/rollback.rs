//! Undoing the migrations by what the team has for that, newest first.
//!
//! How a script runs, so that nothing is done twice or left out when it breaks off, is told in [`super::script`].

use holdpoint_core::ledger::RunState;
use holdpoint_core::progress::Phase;
use holdpoint_core::quantity::listed;
use holdpoint_core::undoing::{Applied, RollbackScript, Way};
use holdpoint_postgres::programs::ProgramName;
use holdpoint_postgres::{Session, SessionPurpose};
use holdpoint_process::{Program, Status, Stdin};

use super::accepted::still_to_accept;
use super::cascades::{GoesAlong, goes_along, named_along};
use super::made::{goes, goes_now};
use super::migrations::{no_way, of_run, schema_changes, there};
use super::others::TakenRows;
use super::ran::last_shown;
use super::record::Record;
use super::script::{Came, LOCK_TIMEOUT, Script, run};
use super::scripts::{check, unchanged};
use super::unfinished::{begun, is_committed};
use super::work::Work;
use crate::plan::sql::file;
use crate::rehearse::rollback::{Step, scripts, steps};
use crate::running::output::streams;
use crate::tools::{Migration, TableName, Transactions, repair};
use crate::{Error, sessions};

/// How many things a refusal names.
const NAMED: usize = 5;

/// What undoes a run, ready to be run.
pub(super) struct RollingBack {
    steps: Vec<Undo>,
    /// What is done to the tool's table for migrations that no script undoes, or whose script ran without that.
    repairs: Vec<(String, String)>,
    table: Option<TableName>,
    /// The way that it is a part of.
    way: Way,
    /// Something that undoes a migration is not done yet: a script, or the tool's own way down.
    pub(super) is_open: bool,
    /// The scripts that are not done yet, as they were looked at.
    pub(super) to_run: Vec<RollbackScript>,
    /// The migrations of the run.
    pub(super) migrations: Vec<Migration>,
    /// What was under way when an undo broke off, and was committed.
    pub(super) ran: Option<String>,
    /// What goes with a CASCADE of the scripts that are not done yet, and the run did not make.
    pub(super) goes_along: Vec<GoesAlong>,
    /// What others wrote into what the run made, and goes with it; counted where it is gone by itself.
    pub(super) taken: Vec<TakenRows>,
    /// Why that could not be counted.
    not_counted: Option<String>,
    pub(super) warnings: Vec<String>,
}

/// What undoes one migration.
struct Undo {
    /// The step with its migration, as the ledger names it.
    label: String,
    step: Step,
    repair: Option<String>,
    /// The file as it was looked at.
    script: Option<RollbackScript>,
    /// Whether the migration may not be there at all: then a script that fails says nothing.
    perhaps: bool,
    /// Whether the tool has a row that says that the migration failed.
    failed: bool,
}

impl RollingBack {
    /// Finds what undoes what is there of the run.
    ///
    /// # Errors
    /// [`Error::NoSuchWay`] where something has nothing that undoes it, [`Error::CannotUndo`] where nothing is there,
    /// [`Error::RollbackChanged`] and [`Error::RollbackMayLose`] where its scripts may not run.
    pub(super) async fn plan(work: &Work<'_>, way: Way) -> Result<Self, Error> {
        let (project, plan) = of_run(work, "rollback")?;
        let (there, mut warnings) = there(work, project, plan).await?;
        let succeeded = work.steps.iter().any(|step| step.left() == Some(Applied::Fully));
        // A script goes on after whoever started it was killed: it may be done although nobody wrote so.
        let broken_off = work
            .step
            .undo
            .as_ref()
            .is_some_and(|undo| undo.way == way || !undo.done.is_empty() || undo.begun.is_some());
        let mut found = Vec::new();
        let none_recorded = !there.recorded.contains(&Some(true));
        let atomic = matches!(project.found.tool.transactions(), Transactions::Batch | Transactions::Each);
        let mut first_open = true;
        let mut changed = None;
        // No table says it: what never ran must not be undone.
        let last_shown = if succeeded || !there.recorded.contains(&None) {
            Some(there.migrations.len())
        } else {
            let files: Vec<_> = there.migrations.iter().map(|one| file(&project.found.tool, one)).collect();
            let last = last_shown(&files, &schema_changes(work, project).await?);
            let (from, all) = (last.map_or(0, |last| last + 1), &there.migrations);
            let unshown: Vec<String> = all[from..].iter().map(|one| one.path.clone()).collect();
            if !unshown.is_empty() {
                warnings.push(format!(
                    "nothing in the schema shows that these ran, and what undoes them is not run: {}",
                    listed(&unshown, 5)
                ));
            }
            last
        };
        for (place, (migration, recorded)) in there.migrations.iter().zip(&there.recorded).enumerate() {
            let perhaps = match recorded {
                Some(true) => false,
                None if last_shown.is_none_or(|last| place > last) => continue,
                None => !succeeded,
                Some(false) if succeeded || !first_open || (atomic && !none_recorded) => continue,
                // It was not recorded, and yet a part of it may be there.
                Some(false) => {
                    first_open = false;
                    let changed = match changed {
                        Some(changed) => changed,
                        None => *changed.insert(!schema_changes(work, project).await?.is_empty()),
                    };
                    if !changed {
                        continue;
                    }
                    true
                }
            };
            found.push((migration, perhaps));
        }
        // Its row would stop the tool, whether anything of it is there or not.
        let failed = there.failed(project);
        let repairs_of = |migration: &Migration| {
            let statement = repair(&project.found, &project.files, there.tracking.table()?, migration)?;
            Some((pending_again(&migration.name), statement))
        };
        let is_found = |one: &&&Migration| found.iter().any(|(other, _)| other.path == one.path);
        let repairs: Vec<_> = failed.iter().filter(|one| !is_found(one)).filter_map(|one| repairs_of(one)).collect();
        if found.is_empty() && repairs.is_empty() && !broken_off {
            return Err(Error::CannotUndo {
                run: work.run.to_string(),
                why: "nothing of it is there: all of its migrations are pending".to_owned(),
                advice: format!("if rows were changed all the same: holdpoint undo {} --way restore", work.run),
                first: Vec::new(),
            });
        }
        let command =
            if work.step.command.iter().any(|word| word.contains("***")) { &[][..] } else { &work.step.command };
        let mut all = Vec::new();
        for (migration, perhaps) in found.into_iter().rev() {
            let undoing = steps(project, &[migration], command);
            let Some(step) = undoing.steps.into_iter().next() else {
                let why = format!("nothing undoes {}", undoing.missing.join(", "));
                return Err(no_way(work, "rollback", why));
            };
            // The tool's own way down would undo another migration than one that it has not recorded.
            if perhaps && matches!(step, Step::Tool { .. }) {
                continue;
            }
            if let Step::Script(path) = &step
                && !path.is_file()
            {
                return Err(no_way(work, "rollback", format!("{} is not there", path.display())));
            }
            let table = there.tracking.table();
            let repair = table.and_then(|table| repair(&project.found, &project.files, table, migration));
            let label = format!("{} ({})", step.words(project), migration.name);
            let script = scripts(project, &[migration]).into_iter().next();
            let failed = failed.iter().any(|one| one.path == migration.path);
            all.push(Undo { label, step, repair, script, perhaps, failed });
        }
        let begun = begun(work).filter(|begun| all.iter().any(|one| one.label == begun.script));
        let ran = match begun {
            Some(begun) if is_committed(work, way, begun, &mut warnings).await? => Some(begun.script.clone()),
            _ => None,
        };
        // Whichever way it was done by.
        let is_done = |one: &&Undo| {
            let done = work.step.undo.as_ref().is_some_and(|undo| undo.done.contains(&one.label));
            done || ran.as_ref() == Some(&one.label)
        };
        // Without a transaction around both, a script may be done, and the tool's table not put right.
        let open = |one: &&Undo| is_done(one) && (!one.perhaps || one.failed);
        let of_done = all.iter().filter(open).filter_map(|one| Some((pending_again(&one.label), one.repair.clone()?)));
        let repairs = of_done.chain(repairs).collect();
        let to_run: Vec<_> = all.iter().filter(|one| !is_done(one)).filter_map(|one| one.script.clone()).collect();
        let is_open = all.iter().any(|one| !is_done(&one));
        warnings.extend(check(work, way, &to_run)?);
        warnings.dedup();
        let mut planned = Self {
            steps: all,
            repairs,
            table: project.found.table.clone(),
            way,
            is_open,
            to_run,
            migrations: there.migrations,
            ran,
            goes_along: Vec::new(),
            taken: Vec::new(),
            not_counted: None,
            warnings,
        };
        planned.goes_along = goes_along(work, &planned).await?;
        Ok(planned)
    }

    /// As [`Self::plan`], but where nothing undoes a migration only the tool's table is put right.
    pub(super) async fn as_far_as_there_is(work: &Work<'_>) -> Result<Self, Error> {
        match Self::plan(work, Way::Recover).await {
            Ok(found) => return Ok(found),
            Err(Error::NoSuchWay { .. } | Error::CannotUndo { .. }) => {}
            Err(error) => return Err(error),
        }
        let (project, plan) = of_run(work, "recover")?;
        let (there, mut warnings) = there(work, project, plan).await?;
        warnings.push("nothing undoes the migrations: what they added or altered stays".to_owned());
        let table = there.tracking.table();
        let repair = |migration: &Migration| {
            let statement = repair(&project.found, &project.files, table?, migration)?;
            Some((pending_again(&migration.name), statement))
        };
        let failed = there.failed(project);
        let is_there = |(one, recorded): &(&Migration, &Option<bool>)| {
            **recorded == Some(true) || failed.iter().any(|failed| failed.path == one.path)
        };
        let recorded = there.migrations.iter().zip(&there.recorded).filter(is_there);
        let repairs = recorded.filter_map(|(migration, _)| repair(migration)).collect();
        let table = project.found.table.clone();
        Ok(Self {
            steps: Vec::new(),
            repairs,
            table,
            way: Way::Recover,
            is_open: false,
            to_run: Vec::new(),
            migrations: there.migrations,
            ran: None,
            goes_along: Vec::new(),
            taken: Vec::new(),
            not_counted: None,
            warnings,
        })
    }

    /// As [`Self::plan`], where nothing of others goes with it, and no row that they wrote into what the run made, or somebody
    /// said that it may.
    ///
    /// # Errors
    /// Those of [`Self::plan`], and [`Error::DataLossNotAccepted`].
    pub(super) async fn plan_alone(work: &Work<'_>) -> Result<Self, Error> {
        let mut planned = Self::plan(work, Way::Rollback).await?;
        match goes(work, &planned).await {
            Ok(taken) => planned.taken = taken,
            // A recovery could not work without; this way can.
            Err(Error::NoSuchWay { why, .. }) => planned.not_counted = Some(why),
            Err(error) => return Err(error),
        }
        let words = |why: &String| format!("what others may have written into what the run made (not counted: {why})");
        // Of a column that came nobody tells whether it was written since, or another one of its row: that is told, and not asked.
        let tables = planned.taken.iter().filter(|one| one.columns.is_empty());
        let taken = tables.flat_map(TakenRows::lost).chain(planned.not_counted.iter().map(words));
        let lost: Vec<String> = planned.goes_along.iter().map(GoesAlong::lost).chain(taken).collect();
        planned.warnings.extend(still_to_accept(work, Way::Rollback, &lost).await?);
        Ok(planned)
    }

    /// Under the run lock: nothing else goes with it than was shown, whatever was accepted.
    pub(super) async fn as_shown(&self, work: &Work<'_>) -> Result<(), Error> {
        let is_shown = |one: &String| self.goes_along.iter().any(|shown| shown.object == *one);
        let mut more = named_along(work, self).await?;
        more.retain(|one| !is_shown(one));
        // By a recovery they are counted with what else that takes.
        if self.way == Way::Rollback && self.not_counted.is_none() {
            let shown: Vec<String> = self.taken.iter().flat_map(TakenRows::kinds).collect();
            let now = goes_now(work, self, self.way, &self.taken).await?;
            more.extend(now.iter().flat_map(TakenRows::kinds).filter(|one| !shown.contains(one)));
        }
        if more.is_empty() {
            return Ok(());
        }
        Err(Error::CannotUndo {
            run: work.run.to_string(),
            why: format!("more would go with the scripts than was shown: {}", listed(&more, NAMED)),
            advice: format!(
                "nothing was changed; look again: holdpoint undo {} --way {} --dry-run",
                work.run,
                self.way.word()
            ),
            first: Vec::new(),
        })
    }

    /// The steps in words.
    pub(super) fn words(&self) -> Vec<String> {
        let perhaps = |one: &Undo| if one.perhaps { " (as far as it is there)" } else { "" };
        let steps = self.steps.iter().map(|one| format!("{}{}", one.label, perhaps(one)));
        steps.chain(self.repairs.iter().map(|(words, _)| words.clone())).collect()
    }

    /// Whether anything undoes the migrations.
    pub(super) fn runs_something(&self) -> bool {
        !self.steps.is_empty()
    }

    /// The tool's own table.
    pub(super) fn tracking(&self) -> Option<&TableName> {
        self.table.as_ref()
    }

    /// Runs everything that is not done yet.
    pub(super) async fn go(&self, work: &Work<'_>, record: &mut Record<'_>) -> Result<(), Error> {
        let context = work.context;
        let session = Session::connect(&work.options.live, &SessionPurpose::new("holdpoint undo")).await?;
        let major = session.server().major;
        session.close().await;
        if let Some(ran) = self.ran.as_ref().filter(|ran| !record.has_done(ran)) {
            record.done(ran).await?;
        }
        for one in self.steps.iter().filter(|one| !record.has_done(&one.label)).collect::<Vec<_>>() {
            context.progress.phase(Phase::Undoing, None);
            context.progress.note(&format!("undoing: {}", one.label));
            if let (Some(script), Some((project, _))) = (&one.script, &work.options.place.project) {
                unchanged(&work.run, self.way, &project.found.project, script)?;
            }
            let came = match &one.step {
                Step::Tool { words, .. } => match run(work, tool(work, words)).await? {
                    Status::Code(0) => Came::Done,
                    status => Came::Failed(status.to_string()),
                },
                Step::Script(path) => {
                    let psql =
                        work.options.place.source.programs.find(ProgramName::Psql, major, &context.cancel).await?;
                    let script = Script { label: &one.label, path, repair: one.repair.as_deref() };
                    script.run(work, &psql, record).await?
                }
            };
            context.progress.phase(Phase::RecordingUndo, None);
            let step = || one.label.clone();
            match came {
                Came::Done => record.done(&one.label).await?,
                Came::NotThere(status) if one.perhaps => {
                    let told = "what it works on is not there, or is as before already";
                    let told = format!("{} ended with {status}: {told}", one.label);
                    context.progress.note(&told);
                    record.ended();
                    record.write(RunState::Undoing, vec![told]).await?;
                    // What was to be done with it went back with the script.
                    if let Some(statement) = one.repair.as_ref().filter(|_| one.failed) {
                        put_right(work, statement).await?;
                    }
                }
                Came::NotThere(status) | Came::Failed(status) => {
                    record.ended();
                    return Err(Error::StepFailed { step: step(), status });
                }
                Came::Unknown(status) => {
                    record.failed(&status);
                    let status =
                        format!("{status}, and what of it is done is not known: --unfinished-script done or again");
                    return Err(Error::StepFailed { step: step(), status });
                }
            }
        }
        for (words, statement) in self.repairs.iter().filter(|(words, _)| !record.has_done(words)).collect::<Vec<_>>() {
            put_right(work, statement).await?;
            record.done(words).await?;
        }
        Ok(())
    }
}

/// Has the tool take a migration for pending; the statement may run again.
async fn put_right(work: &Work<'_>, statement: &str) -> Result<(), Error> {
    let settings = work.options.live.with_application_name(sessions::token(&work.run));
    let session = Session::connect(&settings, &SessionPurpose::new("holdpoint undo")).await?;
    let repaired = session.run("putting the tracking table right", statement).await;
    session.close().await;
    repaired.map_err(Error::from)
}

/// What is written of a migration that is taken out of the tool's table.
fn pending_again(what: &str) -> String {
    format!("{what} is pending again")
}

/// The tool's own way down, as a guarded run would call it.
fn tool(work: &Work<'_>, words: &[String]) -> Program {
    let mut environment = work.options.environment.clone();
    environment.push(("PGAPPNAME".into(), sessions::token(&work.run).into()));
    let given = environment.iter().rev().find(|(name, _)| name == "PGOPTIONS").map(|(_, value)| value.clone());
    let given = given.unwrap_or_default().to_string_lossy().into_owned();
    if !given.contains("lock_timeout") {
        environment.push(("PGOPTIONS".into(), format!("{given} {LOCK_TIMEOUT}").trim().into()));
    }
    let (stdout, stderr) = streams(work.options.tee.as_ref());
    let mut words = words.iter();
    Program::new(words.next().map_or("", String::as_str))
        .arguments(words)
        .environment(environment)
        .working_directory(&work.options.folder)
        .stdin(Stdin::Null)
        .stdout(stdout)
        .stderr(stderr)
}
