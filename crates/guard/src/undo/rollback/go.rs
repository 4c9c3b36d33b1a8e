//! Running what undoes the migrations, and putting the tool's own table right.

use holdpoint_core::ledger::RunState;
use holdpoint_core::progress::Phase;
use holdpoint_postgres::programs::ProgramName;
use holdpoint_postgres::{Session, SessionPurpose};
use holdpoint_process::{Program, Status, Stdin};

use super::RollingBack;
use crate::rehearse::rollback::Step;
use crate::running::output::streams;
use crate::undo::live::connected;
use crate::undo::record::Record;
use crate::undo::script::{Came, LOCK_TIMEOUT, Script, run};
use crate::undo::scripts::unchanged;
use crate::undo::work::Work;
use crate::{Error, sessions};

impl RollingBack {
    /// Runs everything that is not done yet.
    pub(crate) async fn go(&self, work: &Work<'_>, record: &mut Record<'_>) -> Result<(), Error> {
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
    let session = connected(work).await?;
    let repaired = session.run("putting the tracking table right", statement).await;
    session.close().await;
    repaired.map_err(Error::from)
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
