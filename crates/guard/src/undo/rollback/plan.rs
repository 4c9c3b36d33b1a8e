//! Finding what undoes what is there of a run, and whether it may run.

use holdpoint_core::undoing::Way;

use super::{RollingBack, Undo};
use crate::Error;
use crate::rehearse::rollback::{Step, scripts, steps};
use crate::tools::{Migration, repair};
use crate::undo::cascades::goes_along;
use crate::undo::migrations::{no_way, of_run, there};
use crate::undo::ran::ran;
use crate::undo::scripts::check;
use crate::undo::unfinished::{begun, is_committed};
use crate::undo::work::Work;

impl RollingBack {
    /// Finds what undoes what is there of the run.
    ///
    /// # Errors
    /// [`Error::NoSuchWay`] where something has nothing that undoes it, [`Error::CannotUndo`] where nothing is there,
    /// [`Error::RollbackChanged`] and [`Error::RollbackMayLose`] where its scripts may not run.
    pub(super) async fn plan(work: &Work<'_>, way: Way) -> Result<Self, Error> {
        let (project, plan) = of_run(work, "rollback")?;
        let (there, mut warnings) = there(work, project, plan).await?;
        // A script goes on after whoever started it was killed: it may be done although nobody wrote so.
        let broken_off = work
            .step
            .undo
            .as_ref()
            .is_some_and(|undo| undo.way == way || !undo.done.is_empty() || undo.begun.is_some());
        let found = ran(work, project, &there, &mut warnings).await?;
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
    pub(crate) async fn as_far_as_there_is(work: &Work<'_>) -> Result<Self, Error> {
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
}

/// What is written of a migration that is taken out of the tool's table.
fn pending_again(what: &str) -> String {
    format!("{what} is pending again")
}
