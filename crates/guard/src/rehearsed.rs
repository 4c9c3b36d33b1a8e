//! The rehearsal inside a preparation: on the very copy that was proved, before production.

use holdpoint_core::PointId;
use holdpoint_core::ledger::RunState;
use holdpoint_core::quantity::listed;
use holdpoint_core::rehearsal::{Rehearsal, RehearsalOutcome};
use holdpoint_core::verification::Level;
use holdpoint_operations::verify::{KeptCopy, KeptVerification, VerifyOptions, verify_and_keep};
use holdpoint_postgres::{Session, SessionPurpose};

use crate::ledger_writer::LedgerWriter;
use crate::plan::Project;
use crate::planned::{Migrations, Planned};
use crate::prepare::Preparation;
use crate::rehearse::{RehearseOptions, refuse_early, rehearse};
use crate::{Error, reach};

/// How a run rehearses its command.
#[derive(Clone, Debug)]
pub struct Rehearsing {
    /// How.
    pub options: RehearseOptions,
    /// Also a command of which nobody knows what it does outside of the database: it runs twice.
    pub unknown_commands: bool,
    /// Also where an older proof does, for which a copy has to be made anew.
    pub older_proofs: bool,
}

/// Whether a run was rehearsed.
#[derive(Clone, Debug)]
pub(crate) enum Rehearsed {
    /// It was, as planned.
    Yes(Box<Rehearsal>),
    /// It was not, for this reason.
    No(String),
}

impl Default for Rehearsed {
    fn default() -> Self {
        Self::No("nothing is asked for".to_owned())
    }
}

impl Rehearsed {
    /// The rehearsal, and why there is none.
    pub(crate) fn parts(self) -> (Option<Box<Rehearsal>>, Option<String>) {
        match self {
            Self::Yes(rehearsal) => (Some(rehearsal), None),
            Self::No(why) => (None, Some(why)),
        }
    }
}

impl Preparation<'_> {
    /// How the command is to be rehearsed, or why it is not.
    pub(crate) fn rehearsal_of(&self, planned: &Planned, level: Level) -> Result<&RehearseOptions, String> {
        let rehearsing = self.options.rehearsal.as_ref().map_err(Clone::clone)?;
        if planned.migrations.is_none() && !rehearsing.unknown_commands {
            return Err("what the command does outside of the database is not known, and it would run twice: \
                        --rehearse does it all the same"
                .to_owned());
        }
        match level {
            Level::Full => Ok(&rehearsing.options),
            level => Err(format!("level {level} makes no copy of everything")),
        }
    }

    /// As [`Self::rehearsal_of`]; not by itself where the copy's own server could reach something else.
    pub(crate) async fn may_rehearse(
        &self,
        planned: &Planned,
        level: Level,
    ) -> Result<Result<&RehearseOptions, String>, Error> {
        let (options, rehearsing) = match (self.rehearsal_of(planned, level), &self.options.rehearsal) {
            (Ok(options), Ok(rehearsing)) => (options, rehearsing),
            (Err(why), _) => return Ok(Err(why)),
            (_, Err(why)) => return Ok(Err(why.clone())),
        };
        if rehearsing.unknown_commands {
            return Ok(Ok(options));
        }
        let pending = planned.report.iter().flat_map(|report| &report.pending);
        let mut found: Vec<String> = pending.filter_map(|one| reach::of_text(&one.sql)).collect();
        if found.is_empty() {
            let session =
                Session::connect(&self.source.settings, &SessionPurpose::new("holdpoint guard rehearsal")).await?;
            found = reach::of_database(&session).await?;
            session.close().await;
        }
        Ok(match found.is_empty() {
            true => Ok(options),
            false => Err(format!(
                "the copy's own server could reach something else, which no rehearsal keeps it from ({}): --rehearse \
                 does it all the same",
                listed(&found, 3)
            )),
        })
    }

    /// The project whose migrations the command is known to run; what is pending says nothing about any other command.
    fn rehearsed_project(&self, planned: &Planned) -> Option<&Project> {
        match &self.options.migrations {
            Migrations::Of(of) if planned.migrations.is_some() => Some(&of.project),
            _ => None,
        }
    }

    /// Refuses what a rehearsal would refuse, before a restore point is made and proven for it.
    ///
    /// # Errors
    /// As [`refuse_early`].
    pub(crate) async fn refuse_early(&self, planned: &Planned, options: &RehearseOptions) -> Result<(), Error> {
        Box::pin(refuse_early(self.rehearsed_project(planned), &self.source, options)).await
    }

    /// Rehearses on a proved copy, which is gone when this returns.
    ///
    /// # Errors
    /// [`Error::Escaped`] and [`Error::NotAsRehearsed`], after the ledger took what was seen; those of the rehearsal.
    pub(crate) async fn rehearse(
        &self,
        mut copy: KeptCopy,
        planned: &Planned,
        options: &RehearseOptions,
        ledger: &mut LedgerWriter<'_>,
    ) -> Result<Box<Rehearsal>, Error> {
        self.at("rehearsing the command");
        let project = self.rehearsed_project(planned);
        let pending = planned.report.as_ref().filter(|_| project.is_some()).map_or(&[][..], |report| &report.pending);
        let rehearsed = Box::pin(rehearse(&self.working, &self.source, &mut copy, project, pending, options)).await;
        let closed = copy.close().await;
        let rehearsal = Box::new(rehearsed?);
        ledger.rehearsed(&rehearsal);
        closed?;
        match rehearsal.outcome {
            RehearsalOutcome::AsPlanned => {}
            RehearsalOutcome::Escaped => return Err(Error::Escaped { rehearsal }),
            _ => return Err(Error::NotAsRehearsed { rehearsal }),
        }
        ledger.write(RunState::Rehearsed, rehearsal.warnings.clone()).await?;
        Ok(rehearsal)
    }

    /// Makes a copy of a point that was proven before, and rehearses on it, where that was asked for.
    pub(crate) async fn rehearse_older(
        &self,
        point: &PointId,
        planned: &Planned,
        ledger: &mut LedgerWriter<'_>,
    ) -> Result<Rehearsed, Error> {
        let options = match (self.may_rehearse(planned, Level::Full).await?, &self.options.rehearsal) {
            (Ok(options), Ok(rehearsing)) if rehearsing.older_proofs => options,
            (Ok(_), _) => return Ok(Rehearsed::No(format!("{point} was proven before, and no copy of it is there"))),
            (Err(why), _) => return Ok(Rehearsed::No(why)),
        };
        self.at("making the copy to rehearse on");
        let proof = VerifyOptions { level: Level::Full, ..self.verify.clone() };
        let KeptVerification { report, copy } = Box::pin(verify_and_keep(&self.working, point, &proof)).await?;
        match copy {
            Some(copy) => Ok(Rehearsed::Yes(self.rehearse(copy, planned, options, ledger).await?)),
            None => Err(Error::CouldNotProve { point: Some(point.clone()), obstacles: report.verification.obstacles }),
        }
    }
}
