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
use super::command::Commands;
use super::lost::Lost;
use super::rollback::{Step, Steps, scripts, steps};
use super::run::{Before, Work, milliseconds};
use crate::Error;
use crate::plan::Project;
use crate::tools::Migration;

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
