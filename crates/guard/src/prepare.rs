//! The gate and what it asks for: a restore point that is proven, chosen or made.

use chrono::{DateTime, Utc};
use holdpoint_core::PointId;
use holdpoint_core::gate::{Candidate, Decision, decide};
use holdpoint_core::ledger::RunState;
use holdpoint_core::verification::{Level, Obstacle, Verdict, Verification};
use holdpoint_operations::backup::{BackupOptions, backup};
use holdpoint_operations::schema_check::Schema;
use holdpoint_operations::verify::{VerifyOptions, feasible, verify};
use holdpoint_operations::{Context, ErrorKind, Source, catalogue};
use holdpoint_postgres::programs::DumpSelection;

use crate::Error;
use crate::ledger_writer::LedgerWriter;
use crate::run::GuardOptions;

/// What the command may rely on.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) point: PointId,
    /// The verification made for this run; `None` when an older proof did.
    pub(crate) verification: Option<Verification>,
    /// Why it goes on although nothing is proven.
    pub(crate) unproven: Option<String>,
    pub(crate) warnings: Vec<String>,
}

/// Everything that the preparation needs.
pub(crate) struct Preparation<'a> {
    pub(crate) context: &'a Context,
    pub(crate) source: &'a Source,
    pub(crate) verify: &'a VerifyOptions,
    pub(crate) backup: &'a BackupOptions,
    pub(crate) options: &'a GuardOptions,
}

/// Refuses options with which no restore point could ever satisfy the gate.
pub(crate) fn check(backup: &BackupOptions, options: &GuardOptions) -> Result<(), Error> {
    if backup.selection != DumpSelection::default() {
        return Err(Error::Usage("a guarded run needs a restore point of the whole database".to_owned()));
    }
    if options.policy.level == Level::Instance {
        return Err(Error::Usage(format!("level {} cannot be proven for a guarded run yet", options.policy.level)));
    }
    Ok(())
}

impl Preparation<'_> {
    /// Asks the gate about the restore points that are there.
    ///
    /// A point that would do by proof and age still must have recorded the schema as it is now.
    pub(crate) async fn decide(&self, now: DateTime<Utc>) -> Result<Decision, Error> {
        let points = catalogue::list(self.context).await?.points;
        let mut candidates: Vec<Candidate> = points
            .into_iter()
            .map(|point| Candidate {
                point: point.id,
                snapshot_at: point.snapshot_at,
                standing: point.standing,
                complete: true,
                labelled: point.label.is_some(),
            })
            .collect();
        loop {
            let decision = decide(&self.options.policy, &candidates, now);
            let Decision::Go { point, .. } = &decision else { return Ok(decision) };
            // What a list does not tell is looked up for the one that is chosen.
            if !catalogue::show(self.context, point).await?.manifest.options.is_empty() {
                let chosen = candidates.iter_mut().find(|one| one.point == *point);
                chosen.into_iter().for_each(|one| one.complete = false);
                continue;
            }
            let recorded = Schema::recorded(self.context, point).await?;
            let changes = recorded.changes(&Schema::live(self.context, self.source).await?);
            let Some(first) = changes.first() else { return Ok(decision) };
            let reason = format!("{point}: the schema changed since, such as {}", first.name);
            return Ok(Decision::MakeRestorePoint { reasons: vec![reason] });
        }
    }

    /// Pins the point that the gate chose, or makes, pins and proves one.
    pub(crate) async fn prepare(&self, decision: &Decision, ledger: &mut LedgerWriter<'_>) -> Result<Prepared, Error> {
        match decision {
            Decision::Go { point, reasons } => {
                self.pin(point, ledger).await?;
                ledger.write(RunState::Proven, reasons.clone()).await?;
                Ok(Prepared { point: point.clone(), verification: None, unproven: None, warnings: Vec::new() })
            }
            Decision::MakeRestorePoint { reasons } => self.make(reasons, ledger).await,
        }
    }

    async fn make(&self, reasons: &[String], ledger: &mut LedgerWriter<'_>) -> Result<Prepared, Error> {
        let run = ledger.run().clone();
        let mut options = self.backup.clone();
        options.reason = options.reason.or_else(|| Some(format!("guarded run {run}")));
        options.run = Some(run);
        if self.options.unproven.is_none() {
            // What the proof lacks is known now, not after the backup.
            feasible(self.context, self.source, &self.proof()).await.map_err(|error| match error {
                holdpoint_operations::Error::CouldNotRun { obstacles } => {
                    Error::CouldNotProve { point: None, obstacles }
                }
                error => error.into(),
            })?;
        }
        let made = Box::pin(backup(self.context, self.source, &options)).await?;
        let point = made.manifest.id;
        self.pin(&point, ledger).await?;
        let (verification, obstacles) = self.prove(&point).await?;
        let mut prepared = Prepared { point, verification, unproven: None, warnings: made.warnings };
        let mut remarks = reasons.to_vec();
        match (obstacles, &self.options.unproven) {
            (None, _) => {
                remarks.push(format!("{} was made and proven at level {}", prepared.point, self.options.policy.level));
                ledger.write(RunState::Proven, remarks).await?;
            }
            (Some(obstacles), None) => {
                return Err(Error::CouldNotProve { point: Some(prepared.point), obstacles });
            }
            (Some(obstacles), Some(reason)) => {
                let why = obstacles.iter().map(|one| one.reason.as_str()).collect::<Vec<_>>().join("; ");
                prepared.warnings.push(format!("{} is not proven: {why}", prepared.point));
                prepared.unproven = Some(reason.clone());
            }
        }
        Ok(prepared)
    }

    /// The verification that the policy asks for.
    fn proof(&self) -> VerifyOptions {
        VerifyOptions { level: self.options.policy.level, ..self.verify.clone() }
    }

    /// Verifies the point: the record, and the obstacles where it could not run. A disproof is an error.
    async fn prove(&self, point: &PointId) -> Result<(Option<Verification>, Option<Vec<Obstacle>>), Error> {
        let verification = match Box::pin(verify(self.context, point, &self.proof())).await {
            Ok(report) => report.verification,
            Err(error) if matches!(error.kind(), ErrorKind::Postgres | ErrorKind::CouldNotRun) => {
                let cure = error.hint().unwrap_or_else(|| format!("try it alone: holdpoint verify {point}"));
                return Ok((None, Some(vec![Obstacle { reason: error.to_string(), cure }])));
            }
            Err(error) => return Err(error.into()),
        };
        match verification.verdict {
            Verdict::Proved => Ok((Some(verification), None)),
            Verdict::Disproved => Err(Error::Disproved { point: point.clone(), differences: verification.differences }),
            Verdict::CouldNotRun => {
                let obstacles = verification.obstacles.clone();
                Ok((Some(verification), Some(obstacles)))
            }
        }
    }

    /// Makes sure that nobody drops the point while the run relies on it, and until the run is settled.
    async fn pin(&self, point: &PointId, ledger: &mut LedgerWriter<'_>) -> Result<(), Error> {
        let run = ledger.run().clone();
        let record = serde_json::json!({ "format": 1, "reason": format!("guarded run {run} relies on it"),
            "run": run, "at": (self.context.clock)() });
        self.context.repository.pin(&self.context.database, point, &pin_name(ledger), &record).await?;
        ledger.relies_on(point);
        Ok(())
    }

    /// Takes the pin away again after a refusal, where the credentials allow it: a guard needs no right to delete.
    pub(crate) async fn unpin(&self, ledger: &LedgerWriter<'_>) {
        let Some(point) = ledger.point() else { return };
        if let Err(error) = self.context.repository.unpin(&self.context.database, point, &pin_name(ledger)).await {
            tracing::debug!(%error, "the pin of a refused run stays");
        }
    }
}

fn pin_name(ledger: &LedgerWriter<'_>) -> String {
    format!("run-{}", ledger.run())
}
