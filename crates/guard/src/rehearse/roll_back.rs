//! Rehearsing what undoes the migrations, on the same copy.

use std::path::Path;
use std::time::Duration;

use holdpoint_core::progress::Phase;
use holdpoint_core::rehearsal::{RollbackEffect, TrackingGrowth};
use holdpoint_operations::verify::KeptCopy;
use holdpoint_postgres::Session;
use holdpoint_postgres::programs::ProgramName;
use holdpoint_process::Status;

use super::SESSIONS;
use super::catalog::{Relations, relations};
use super::command::Commands;
use super::lost::Lost;
use super::rollback::{Step, Steps, scripts, steps};
use super::run::{Before, Work, milliseconds};
use crate::Error;
use crate::plan::Project;
use crate::tools::{Migration, Rollback, TableName};

impl Work<'_> {
    /// Runs what undoes the migrations, newest first, and tells what is then not as before.
    pub(super) async fn roll_back(
        &self,
        project: &Project,
        commands: &Commands<'_>,
        copy: &mut KeptCopy,
        before: &Before,
        growth: &TrackingGrowth,
    ) -> Result<(Option<RollbackEffect>, Vec<String>), Error> {
        let ran = |one: &&Migration| growth.table.is_none() || growth.recorded.contains(&one.name);
        let migrations: Vec<&Migration> = self.pending.iter().filter(ran).collect();
        if migrations.is_empty() {
            return Ok((None, Vec::new()));
        }
        self.context.progress.phase(Phase::RehearsingRollback, None);
        let Steps { steps, missing } = steps(project, &migrations, &self.options.command);
        let newest_first: Vec<&Migration> = migrations.iter().rev().copied().collect();
        let scripts = scripts(project, &newest_first);
        let mut effect = RollbackEffect { missing, scripts, ..RollbackEffect::default() };
        let (mut signs, mut took) = (Vec::new(), Duration::ZERO);
        let migrated = self.relations().await?;
        for step in &steps {
            let words = match step {
                Step::Tool { words, .. } => words.clone(),
                Step::Script(path) => self.psql(copy, path).await?,
            };
            let ran = commands.run(copy, &words).await?;
            took += ran.end.ended.ran_for;
            signs.extend(ran.signs);
            effect.ran.push(step.words(project));
            if ran.status != Status::Code(0) {
                effect.failure = Some(format!("{} ended with {}", step.words(project), ran.status));
                break;
            }
        }
        effect.took_ms = milliseconds(took);
        self.wait_until_gone().await?;
        let table = project.found.table.as_ref();
        // What a script changes is read in its text: a column that the migrations made is nobody else's.
        let unread = migrations.iter().any(|one| one.rollback == Rollback::Program);
        effect.took_from = Some(took_from(&before.relations, &migrated, &self.relations().await?, table, unread));
        let lost = Lost { context: self.context, copy, source: &self.copy, options: self.options, tracking: table };
        effect.lost = lost.list(&before.schema).await?;
        let still = self.growth(before).await?;
        if let (Some(table), false) = (&still.table, still.recorded.is_empty()) {
            let names = still.recorded.join(", ");
            effect.lost.push(format!("{table} still records {names}: the tool would not run them again"));
        }
        effect.complete = effect.failure.is_none() && effect.missing.is_empty() && effect.lost.is_empty();
        Ok((Some(effect), signs))
    }

    async fn relations(&self) -> Result<Relations, Error> {
        let session = Session::connect(&self.copy.settings, &SESSIONS.purpose()).await?;
        let found = relations(&session).await;
        session.close().await;
        found
    }

    /// The words that run a script as a person would, but stop at the first error.
    async fn psql(&self, copy: &KeptCopy, script: &Path) -> Result<Vec<String>, Error> {
        let session = Session::connect(copy.settings(), &SESSIONS.purpose()).await?;
        let major = session.server().major;
        session.close().await;
        let psql = self.copy.programs.find(ProgramName::Psql, major, &self.context.cancel).await?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut words = vec![text(&psql.path)];
        words.extend(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file"].map(str::to_owned));
        words.push(text(script));
        Ok(words)
    }
}

/// The tables that were there before the migrations and that lose rows between two moments: by the server's counts, by
/// TRUNCATE, which counts none, or with a partition that the migrations made and that goes again. With `changed` also
/// those with changed rows.
fn took_from(
    before: &Relations,
    from: &Relations,
    to: &Relations,
    own: Option<&TableName>,
    changed: bool,
) -> Vec<String> {
    let took = |oid: &u32| {
        let Some(was) = from.get(oid) else { return false };
        let Some(is) = to.get(oid) else { return true };
        let (had, has) = (was.counted.unwrap_or_default(), is.counted.unwrap_or_default());
        let emptied = was.file != is.file && is.is_empty && !was.is_empty;
        emptied || has.deleted > had.deleted || changed && has.updated > had.updated
    };
    let gone = from.iter().filter(|(oid, _)| !before.contains_key(oid) && !to.contains_key(oid));
    let mut parents: Vec<u32> = gone.flat_map(|(_, relation)| relation.parents.clone()).collect();
    // Those of partitions that the migrations made, too.
    let mut at = 0;
    while let Some(oid) = parents.get(at) {
        let more = from.get(oid).map(|relation| relation.parents.clone()).unwrap_or_default();
        parents.extend(more);
        at += 1;
    }
    let there = before.iter().filter(|(oid, _)| took(oid) || parents.contains(oid));
    let names = there.map(|(_, relation)| relation.name.clone());
    names.filter(|name| own.is_none_or(|own| own.to_string() != *name)).collect()
}

#[cfg(test)]
mod tests {
    use holdpoint_core::rehearsal::RowEffect;

    use super::super::catalog::Relation;
    use super::*;

    /// A table of an OID, with its file, and what was deleted of it.
    fn table(oid: u32, file: u32, deleted: u64, parents: &[u32]) -> (u32, Relation) {
        let counted = Some(RowEffect { deleted, ..RowEffect::default() });
        let (name, columns, parents) = (format!("s.t{oid}"), Vec::new(), parents.to_vec());
        (oid, Relation { name, file, is_empty: false, parents, numbers: Vec::new(), columns, counted })
    }

    #[test]
    fn what_loses_rows_was_there_before_the_migrations() {
        let before = Relations::from([table(1, 1, 0, &[]), table(2, 2, 5, &[]), table(3, 3, 0, &[])]);
        // The migrations made 4, and a partition of 3, which is divided again: 6 into 5.
        let made = [table(4, 4, 0, &[]), table(5, 5, 0, &[6]), table(6, 6, 0, &[3])];
        let from = Relations::from_iter(before.clone().into_iter().chain(made.clone()));
        let own = "s.t2".parse().unwrap();
        let took = |to: &[(u32, Relation)], changed| {
            took_from(&before, &from, &to.iter().cloned().collect(), Some(&own), changed)
        };
        let names = |to: &[(u32, Relation)]| took(to, false);
        let there = [table(1, 1, 0, &[]), table(2, 2, 5, &[]), table(3, 3, 0, &[])];
        let and = |more: &[(u32, Relation)]| [&there[..], more].concat();
        assert_eq!(names(&and(&made)), [""; 0], "nothing happened");
        assert_eq!(names(&and(&made[1..])), [""; 0], "what the migrations made is gone");
        assert_eq!(names(&and(&made[..1])), ["s.t3"], "others wrote into the partition through its table");
        let mut deleted = and(&made);
        (deleted[0], deleted[1]) = (table(1, 1, 1, &[]), table(2, 2, 6, &[]));
        assert_eq!(names(&deleted), ["s.t1"], "not the tool's own");
        let mut changed = and(&made);
        changed[0].1.counted = Some(RowEffect { updated: 1, ..RowEffect::default() });
        assert_eq!((names(&changed), took(&changed, true)), (vec![], vec!["s.t1".to_owned()]));
        let mut rewritten = and(&made);
        rewritten[0] = table(1, 9, 0, &[]);
        assert_eq!(names(&rewritten), [""; 0]);
        rewritten[0].1.is_empty = true;
        assert_eq!(names(&rewritten), ["s.t1"], "TRUNCATE");
        assert_eq!(names(&and(&made)[1..]), ["s.t1"], "dropped");
    }
}
