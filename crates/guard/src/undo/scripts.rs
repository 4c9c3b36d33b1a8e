//! Whether what undoes the migrations is what the run recorded: a script that was changed since is one that nobody
//! rehearsed or reviewed.

use std::path::Path;

use holdpoint_core::undoing::{RollbackScript, Way};
use holdpoint_core::{RunId, quantity::listed};

use super::included::included_sha256;
use super::work::Work;
use crate::Error;
use crate::tools::sha256;

const NAMED: usize = 3;

/// Which scripts a rollback may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scripts {
    /// Those that the run recorded.
    #[default]
    AsRecorded,
    /// Changed ones, and new ones, too: a person said so.
    Changed,
    /// Those that the run recorded, and only where its rehearsal or review says that nothing is lost: nobody looks.
    LosingNothing,
}

/// What becomes of a script that had begun when an undo broke off, where nobody can tell whether it was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// It counts as done.
    Done,
    /// It is run again.
    Again,
}

/// Refuses scripts that are not the recorded ones, unless they are accepted; gives what is worth knowing.
///
/// # Errors
/// [`Error::RollbackChanged`], and [`Error::RollbackMayLose`] where nobody looks and it may.
pub(super) fn check(work: &Work<'_>, way: Way, found: &[RollbackScript]) -> Result<Vec<String>, Error> {
    if work.options.scripts == Scripts::LosingNothing {
        loses_nothing(work)?;
    }
    let recorded = work.step.plan.as_ref().and_then(|plan| plan.rollbacks.as_deref());
    let Some(recorded) = recorded else {
        let unknown = "the run did not record its scripts: whether they were changed since is not known";
        return Ok(if found.is_empty() { Vec::new() } else { vec![unknown.to_owned()] });
    };
    let changed = changed(recorded, found);
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let what = listed(&changed, NAMED);
    if work.options.scripts == Scripts::Changed {
        return Ok(vec![format!("{what}: accepted")]);
    }
    if work.options.dry_run {
        return Ok(vec![format!("--accept-changed-rollback is needed: {what}")]);
    }
    Err(Error::RollbackChanged { run: work.run.to_string(), way: way.word(), what })
}

/// Makes sure, right before a script runs, that it is the one that was looked at.
pub(super) fn unchanged(run: &RunId, way: Way, folder: &Path, script: &RollbackScript) -> Result<(), Error> {
    let path = folder.join(&script.path);
    let same = std::fs::read(&path).is_ok_and(|content| sha256(&content) == script.sha256);
    let working = std::env::current_dir().unwrap_or_default();
    if same && (script.included.is_none() || included_sha256(&path, &working) == script.included) {
        return Ok(());
    }
    let what = format!("{} was changed while the undo was under way", script.path);
    Err(Error::RollbackChanged { run: run.to_string(), way: way.word(), what })
}

/// What is not as recorded, in words.
fn changed(recorded: &[RollbackScript], found: &[RollbackScript]) -> Vec<String> {
    let how = |one: &RollbackScript| {
        let before = recorded.iter().find(|before| before.migration == one.migration);
        match before {
            Some(before) if one.is_as(before) => None,
            Some(before) if before.path == one.path && before.sha256 == one.sha256 => {
                Some(format!("what {} includes was changed since the run was planned", one.path))
            }
            Some(before) if before.path == one.path => {
                Some(format!("{} was changed since the run was planned", one.path))
            }
            Some(before) => Some(format!(
                "{} undoes {} now, and {} did when the run was planned",
                one.path, one.migration, before.path
            )),
            None => Some(format!("{} was not there when the run was planned", one.path)),
        }
    };
    found.iter().filter_map(how).collect()
}

/// Whether the run recorded that its rollback loses nothing.
fn loses_nothing(work: &Work<'_>) -> Result<(), Error> {
    let ways = work.steps.iter().rev().find(|step| !step.ways_back.is_empty());
    let own = ways.and_then(|step| step.ways_back.iter().find(|one| one.way == Way::Rollback));
    let why = match own {
        // What is missing is told by who looks for the scripts.
        None => return Ok(()),
        Some(own) if own.loss.is_some_and(|loss| loss.is_nothing()) => return Ok(()),
        Some(own) => own.data_lost.clone(),
    };
    Err(Error::RollbackMayLose { run: work.run.to_string(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(migration: &str, path: &str, sha256: &str) -> RollbackScript {
        RollbackScript { migration: migration.into(), path: path.into(), sha256: sha256.into(), included: None }
    }

    #[test]
    fn a_script_that_is_not_the_recorded_one_is_named() {
        let recorded = [script("1.sql", "down/1.sql", "a"), script("2.sql", "down/2.sql", "b")];
        assert_eq!(changed(&recorded, &recorded), [""; 0]);
        assert_eq!(changed(&recorded, &recorded[1..]), [""; 0], "what does not run may be gone");
        let edited = changed(&recorded, &[script("1.sql", "down/1.sql", "c")]);
        assert_eq!(edited, ["down/1.sql was changed since the run was planned"]);
        let including = |included: &str| RollbackScript {
            included: Some(included.to_owned()),
            ..script("1.sql", "down/1.sql", "a")
        };
        let other = changed(&[including("x")], &[including("y")]);
        assert_eq!(other, ["what down/1.sql includes was changed since the run was planned"]);
        assert_eq!(changed(&[including("x")], &[script("1.sql", "down/1.sql", "a")]).len(), 1);
        assert_eq!(changed(&recorded, &[including("x")]), [""; 0], "an older record does not tell");
        let moved = changed(&recorded, &[script("1.sql", "undo/1.sql", "a")]);
        assert_eq!(moved, ["undo/1.sql undoes 1.sql now, and down/1.sql did when the run was planned"]);
        let new = changed(&recorded, &[script("3.sql", "down/3.sql", "a")]);
        assert_eq!(new, ["down/3.sql was not there when the run was planned"]);
    }

    #[test]
    fn a_script_is_looked_at_once_more_right_before_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("1.sql"), "DROP TABLE a;").unwrap();
        let run = "20261121T024300Z-k3f9".parse().unwrap();
        let read = script("1.sql", "1.sql", &sha256(b"DROP TABLE a;"));
        let now = |path: &Path| unchanged(&run, Way::Rollback, path, &read).map_err(|error| error.to_string());
        assert_eq!(now(folder.path()), Ok(()));
        std::fs::write(folder.path().join("1.sql"), "DROP TABLE b;").unwrap();
        assert!(now(folder.path()).unwrap_err().contains("1.sql was changed while the undo was under way"));
        std::fs::remove_file(folder.path().join("1.sql")).unwrap();
        assert!(now(folder.path()).is_err());
    }
}
