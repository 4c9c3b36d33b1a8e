//! What a command may rely on: the pending migrations are read, the gate is asked, and there is what it demands.

use chrono::{DateTime, Utc};
use holdpoint_core::gate::pending::Decision;
use holdpoint_core::progress::Phase;
use holdpoint_core::{PointKind, RunId};
use holdpoint_operations::rds::{RdsSource, Restorable};
use holdpoint_operations::{Error as OperationError, catalogue};
use holdpoint_postgres::ConnectionSettings;

use crate::Error;
use crate::guarded::Guarded;
use crate::ledger_writer::LedgerWriter;
use crate::planned::Planned;
use crate::prepare::{Preparation, Relied};
use crate::prepared;
use crate::rehearsed::Rehearsed;
use crate::run::WayBack;
use crate::ways_back::{self, Known};

/// What the command may rely on is there, and the way back is known.
pub(crate) struct Proven {
    pub(crate) planned: Planned,
    pub(crate) decision: Decision,
    pub(crate) relied: Relied,
    /// The prepared run that it relies on, and until when.
    pub(crate) prepared_by: Option<(RunId, DateTime<Utc>)>,
    pub(crate) ways_back: Vec<WayBack>,
    /// The RDS instance that the database is on, where that goes back to an instant.
    pub(crate) instance: Option<RdsSource>,
}

impl Proven {
    /// Refuses to rely on a prepared run that is not valid any more at `now`, by the server's clock.
    pub(crate) fn demand_valid(&self, now: DateTime<Utc>) -> Result<(), Error> {
        match self.prepared_by.as_ref().filter(|(_, until)| *until < now) {
            Some((run, until)) => Err(Error::Expired { run: run.to_string(), until: *until }),
            None => Ok(()),
        }
    }
}

impl Guarded<'_> {
    /// As [`Self::proven`], for as long as it may take; what is under way then is ended and leaves nothing.
    pub(crate) async fn within_deadline(&self, ledger: &mut LedgerWriter<'_>) -> Result<Proven, Error> {
        let Some(within) = self.preparation.options.deadline else { return Box::pin(self.proven(ledger)).await };
        let cancel = self.preparation.context.cancel.clone();
        let mut work = Box::pin(self.proven(ledger));
        let late = tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(within) => work,
        };
        self.preparation.stop();
        let ended = late.await;
        match ended {
            Err(_) if !cancel.is_cancelled() => {
                let missing = self.preparation.stage().to_owned();
                Err(Error::Deadline { within, missing, point: ledger.point().cloned() })
            }
            ended => ended,
        }
    }

    /// Reads what is pending, asks the gate, and sees to it that there is what the command may rely on.
    async fn proven(&self, ledger: &mut LedgerWriter<'_>) -> Result<Proven, Error> {
        let Preparation { source, options, .. } = &self.preparation;
        let context = &self.preparation.working;
        let identity = &self.start.identity;
        self.preparation.at("reading what is pending");
        context.progress.phase(Phase::Planning, None);
        let planned = Box::pin(Planned::read(context, source, options, identity, &self.mask)).await?;
        planned.remarks.iter().for_each(|remark| context.progress.note(&self.mask.script(remark)));
        ledger.planned(planned.masked_record(&self.mask));
        self.preparation.at("asking the gate");
        let mut doubts = Vec::new();
        let instance = self.instance(&planned, &mut doubts).await?;
        let window = instance.as_ref().and_then(|(_, restorable)| restorable.covered());
        let mut decision = self.preparation.decide(&planned, identity, window, self.start.now).await?;
        self.demand_instance(&decision, instance.as_ref().map(|(source, _)| source), &doubts)?;
        let mut prepared_by = None;
        if let (Decision::MakeRestorePoint { policy, .. }, true) = (&decision, self.preparation.takes_prepared) {
            let command = self.mask.command(&options.command);
            let wanted = prepared::Wanted { planned: &planned, command: &command, identity, policy: *policy };
            if let Some(fitting) = wanted.find(context, source, self.start.now).await? {
                ledger.relies_on_run(&fitting.run, fitting.rehearsal.clone());
                decision = fitting.decision;
                prepared_by = Some((fitting.run, fitting.until, fitting.rehearsal));
            }
        }
        let mut relied = match &prepared_by {
            None => Box::pin(self.preparation.rely(&planned, &decision, ledger)).await?,
            Some((run, _, rehearsal)) => {
                let rehearsal = rehearsal.clone().map(Rehearsed::Yes);
                let rehearsal = rehearsal.unwrap_or_else(|| Rehearsed::No(format!("run {run} was not")));
                Relied { rehearsal, ..self.preparation.rely_on_older(&decision, ledger).await? }
            }
        };
        let prepared_by = prepared_by.map(|(run, until, _)| (run, until));
        relied.warnings.extend(planned.remarks.iter().map(|remark| self.mask.script(remark)));
        let mut known = Vec::new();
        relied.warnings.append(&mut doubts);
        if let Some(point) = &relied.point {
            let shown = catalogue::show_any(context, point).await?;
            options.demand_acceptance_of(shown.manifest.snapshot_at())?;
            let through = options.way_back.as_ref().unwrap_or(&source.settings);
            // Of a snapshot nothing is restored into a database, nor recovered.
            let is_archive = shown.manifest.kind() == PointKind::Archive;
            let powerless = match is_archive {
                true => self.powerless(through, &mut relied.warnings).await,
                false => None,
            };
            let rehearsal = match &relied.rehearsal {
                Rehearsed::Yes(rehearsal) => Some(&**rehearsal),
                Rehearsed::No(_) => None,
            };
            let unrecoverable = match is_archive {
                true => ways_back::unrecoverable(&source.settings, &planned, rehearsal).await?,
                false => None,
            };
            if let Some(why) = &unrecoverable {
                let warning = self.mask.script(&format!("recover is no way back: {why}"));
                self.preparation.context.progress.note(&warning);
                relied.warnings.push(warning);
            }
            let what = Known {
                run: ledger.run(),
                recorded: &shown.manifest,
                verifications: &shown.verifications,
                settings: through,
                powerless: powerless.as_deref(),
                flags: &options.own_flags,
                project_flags: &options.project_flags,
                planned: &planned,
                rehearsal,
                unrecoverable: unrecoverable.as_deref(),
                instance: instance.as_ref(),
            };
            known = what.ways_back();
        }
        ledger.goes_back_by(known.clone(), ways_back::risk(&planned));
        let instance = instance.map(|(source, _)| source);
        Ok(Proven { planned, decision, relied, prepared_by, ways_back: known, instance })
    }

    /// What the RDS instance that the database is on goes back to; `None` where none is configured, or nothing is pending.
    ///
    /// An instance that cannot be asked for is warned of: the gate then takes it that there is no window.
    async fn instance(
        &self,
        planned: &Planned,
        warnings: &mut Vec<String>,
    ) -> Result<Option<(RdsSource, Restorable)>, Error> {
        let Some(source) = self.preparation.options.instance.clone() else { return Ok(None) };
        if planned.migrations == Some(0) {
            return Ok(None);
        }
        let why = match source.restorable().await {
            Err(OperationError::Interrupted) => return Err(Error::Interrupted),
            Err(error) => error.to_string(),
            Ok(restorable) => match ways_back::no_instance(&restorable, &self.preparation.source.settings).await {
                None => {
                    let name = &source.instance;
                    let told = restorable.window.warnings.iter();
                    warnings.extend(told.map(|warning| format!("the RDS instance {name}: {warning}")));
                    return Ok(Some((source, restorable)));
                }
                Some(why) => why,
            },
        };
        let warning = self.mask.script(&format!("the RDS instance {} is no way back: {why}", source.instance));
        self.preparation.context.progress.note(&warning);
        warnings.push(warning);
        Ok(None)
    }

    /// Warns, while there is time to stop, of a way back whose role cannot go it; gives that role.
    async fn powerless(&self, through: &ConnectionSettings, warnings: &mut Vec<String>) -> Option<String> {
        let (role, warning) = match ways_back::powerless(through).await {
            Ok(None) => return None,
            Ok(Some(role)) => {
                let may_not = ways_back::may_not_create(&role);
                let warning =
                    format!("the way back needs another role: {may_not} (ALTER ROLE … CREATEDB, or another URL)");
                (Some(role), warning)
            }
            Err(error) => {
                (None, format!("whether the way back's role may create databases could not be read: {error}"))
            }
        };
        let warning = self.mask.script(&warning);
        self.preparation.context.progress.note(&warning);
        warnings.push(warning);
        role
    }
}
