//! The gate and what it asks for: a restore point that is proven, chosen or made.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use holdpoint_core::gate::pending::{Decision, Pending, Point, SchemaSince, Window, decide};
use holdpoint_core::gate::{Candidate, Policy};
use holdpoint_core::identity::{Identity, IdentityMatch};
use holdpoint_core::ledger::RunState;
use holdpoint_core::risk::{Requirement, RiskClass};
use holdpoint_core::verification::{Level, Obstacle, Verdict, Verification};
use holdpoint_core::{Manifest, PointId, Recorded};
use holdpoint_operations::backup::{BackupOptions, backup};
use holdpoint_operations::catalogue::ListReport;
use holdpoint_operations::rds::unusable_snapshot;
use holdpoint_operations::schema_check::Schema;
use holdpoint_operations::verify::{KeptCopy, KeptVerification, VerifyOptions, feasible, verify, verify_and_keep};
use holdpoint_operations::{Context, ErrorKind, Source, catalogue};
use holdpoint_postgres::programs::DumpSelection;

use crate::Error;
use crate::ledger_writer::LedgerWriter;
use crate::planned::Planned;
use crate::rehearsed::Rehearsed;
use crate::run::GuardOptions;

/// What the command may rely on.
#[derive(Debug, Default)]
pub(crate) struct Relied {
    /// The restore point; `None` where nothing is asked for.
    pub(crate) point: Option<PointId>,
    /// How far it is proven; `None` where nothing is asked for, or nothing is proven.
    pub(crate) level: Option<Level>,
    /// The verification made for this run; `None` when an older proof did.
    pub(crate) verification: Option<Verification>,
    /// Why it goes on although nothing is proven.
    pub(crate) unproven: Option<String>,
    pub(crate) rehearsal: Rehearsed,
    pub(crate) warnings: Vec<String>,
}

/// What came of a verification.
struct Proof {
    verification: Option<Verification>,
    /// Why it could not run.
    obstacles: Option<Vec<Obstacle>>,
    /// The copy, to be rehearsed on.
    copy: Option<KeptCopy>,
}

/// Everything that the preparation needs.
pub(crate) struct Preparation<'a> {
    pub(crate) context: &'a Context,
    /// As `context`; its work ends when the time for it is over, too.
    pub(crate) working: Context,
    pub(crate) source: Source,
    pub(crate) verify: &'a VerifyOptions,
    pub(crate) backup: &'a BackupOptions,
    pub(crate) options: &'a GuardOptions,
    /// Whether a prepared run may be relied on: one that is itself to be prepared makes its own point.
    pub(crate) takes_prepared: bool,
    /// What is under way, in words.
    stage: Mutex<&'static str>,
}

/// Refuses options with which no restore point could ever satisfy the gate.
pub(crate) fn check(backup: &BackupOptions, options: &GuardOptions) -> Result<(), Error> {
    if backup.selection != DumpSelection::default() {
        return Err(Error::Usage("a guarded run needs a restore point of the whole database".to_owned()));
    }
    check_level_instance(options)
}

/// Refuses what level *instance* cannot go with: what brings rows back that were written since a snapshot is the instant
/// before the command, and nothing else.
fn check_level_instance(options: &GuardOptions) -> Result<(), Error> {
    let asked = RiskClass::ALL.into_iter().filter_map(|class| match options.policy.requirement(class) {
        Requirement::ProvenRestorePoint(policy) if policy.level == Level::Instance => Some((class, policy)),
        _ => None,
    });
    let asked: Vec<(RiskClass, Policy)> = asked.collect();
    let usage = |why: String| {
        Err(Error::Usage(format!("level {} asks for a snapshot of the instance: {why}", Level::Instance)))
    };
    if asked.is_empty() {
        return Ok(());
    }
    if let Some((class, _)) = asked.iter().find(|(_, policy)| policy.max_age_seconds <= 0) {
        return usage(format!(
            "none is made for a run, so {} needs an age, such as gate.max_age = \"1d\"",
            class.word()
        ));
    }
    if options.window_policy.wait_seconds == 0 {
        return usage("its way back is the instant before the command, so gate.wait_for_instant is needed".to_owned());
    }
    if options.on_failure.is_some() {
        return usage("no run goes back by itself then: leave --on-failure out".to_owned());
    }
    Ok(())
}

impl<'a> Preparation<'a> {
    pub(crate) fn new(
        context: &'a Context,
        source: Source,
        verify: &'a VerifyOptions,
        backup: &'a BackupOptions,
        options: &'a GuardOptions,
    ) -> Self {
        let working = Context { cancel: context.cancel.child_token(), ..context.clone() };
        Self { context, working, source, verify, backup, options, takes_prepared: true, stage: Mutex::new("nothing") }
    }

    /// Asks the gate about what is pending and the restore points that are there.
    ///
    /// A point that would do by proof and age still must be of this database and have recorded the schema as it is now;
    /// that is looked up for the chosen one alone.
    pub(crate) async fn decide(
        &self,
        planned: &Planned,
        identity: &Identity,
        window: Option<Window>,
        now: DateTime<Utc>,
    ) -> Result<Decision, Error> {
        let mut points = match planned.migrations {
            Some(0) => Vec::new(),
            _ => candidates(catalogue::list(&self.working).await?),
        };
        let mut looked_at: Vec<PointId> = Vec::new();
        let mut live: Option<Schema> = None;
        loop {
            let decision = decide(&Pending {
                migrations: planned.migrations,
                asked: &planned.asked,
                policy: &self.options.policy,
                window_policy: self.options.window_policy,
                points: &points,
                window,
                now,
            });
            let Decision::Go { point: Some(id), .. } = &decision else { return Ok(decision) };
            if looked_at.contains(id) {
                return Ok(decision);
            }
            looked_at.push(id.clone());
            let recorded = catalogue::show_any(&self.working, id).await?.manifest;
            let schema = match &mut live {
                Some(schema) => schema,
                none => none.insert(Schema::live(&self.working, &self.source).await?),
            };
            let then = match &recorded {
                Recorded::Archive(_) => Some(Schema::recorded(&self.working, id).await?),
                Recorded::Snapshot(_) => Schema::of_snapshot(&self.working, id).await?,
            };
            let gone = match &recorded {
                Recorded::Archive(manifest) => lost(&self.working, manifest).await?,
                Recorded::Snapshot(manifest) => unusable_snapshot(&self.working, manifest).await?,
            };
            let Some(one) = points.iter_mut().find(|one| one.candidate.point == *id) else { return Ok(decision) };
            one.candidate.complete = is_whole(&recorded);
            one.lost = gone;
            one.identity = Identity::compare(recorded.identity(), identity);
            one.schema = match then.map(|then| then.changes(schema)) {
                None => SchemaSince::NotCompared,
                Some(changes) => match changes.first() {
                    None => SchemaSince::Unchanged,
                    Some(first) => SchemaSince::Changed(first.name.clone()),
                },
            };
        }
    }

    /// Pins the point that the gate chose, or makes, pins and proves one.
    pub(crate) async fn rely(
        &self,
        planned: &Planned,
        decision: &Decision,
        ledger: &mut LedgerWriter<'_>,
    ) -> Result<Relied, Error> {
        match decision {
            Decision::MakeRestorePoint { policy, reasons } => {
                Box::pin(self.make(planned, policy, reasons, ledger)).await
            }
            Decision::Refuse { reasons } => Err(Error::Refused { reasons: reasons.clone() }),
            Decision::Go { point, .. } => {
                let relied = self.rely_on_older(decision, ledger).await?;
                let rehearsal = match point {
                    Some(point) if relied.level == Some(Level::Instance) => {
                        Rehearsed::No(format!("{point} is a snapshot of the instance, of which no copy is made here"))
                    }
                    Some(point) => Box::pin(self.rehearse_older(point, planned, ledger)).await?,
                    None => Rehearsed::default(),
                };
                Ok(Relied { rehearsal, ..relied })
            }
        }
    }

    /// Pins the point of a *go*.
    pub(crate) async fn rely_on_older(
        &self,
        decision: &Decision,
        ledger: &mut LedgerWriter<'_>,
    ) -> Result<Relied, Error> {
        let Decision::Go { point: Some(point), reasons, .. } = decision else { return Ok(Relied::default()) };
        self.pin(point, ledger).await?;
        ledger.write(RunState::Proven, reasons.clone()).await?;
        let shown = catalogue::show_any(&self.working, point).await?;
        let mut relied = Relied { point: Some(point.clone()), level: shown.standing.level(), ..Relied::default() };
        // The store's own lock of an older restore point may end before the run is settled.
        if let (Some(until), Recorded::Archive(manifest)) = (self.backup.retain_until, &shown.manifest)
            && let Err(error) = self.working.repository.extend_lock(manifest, until).await
        {
            let error = holdpoint_operations::Error::from(error).line();
            relied.warnings.push(format!("the store's own lock of {point} was not extended: {error}"));
        }
        Ok(relied)
    }

    /// Says what is under way, for whoever runs out of time.
    pub(crate) fn at(&self, stage: &'static str) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// What is under way.
    pub(crate) fn stage(&self) -> &'static str {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the work that is under way.
    pub(crate) fn stop(&self) {
        self.working.cancel.cancel();
    }

    async fn make(
        &self,
        planned: &Planned,
        policy: &Policy,
        reasons: &[String],
        ledger: &mut LedgerWriter<'_>,
    ) -> Result<Relied, Error> {
        let run = ledger.run().clone();
        let mut options = self.backup.clone();
        options.reason = options.reason.or_else(|| Some(format!("guarded run {run}")));
        options.run = Some(run);
        // The verification that the policy asks for.
        let proof = VerifyOptions { level: policy.level, ..self.verify.clone() };
        if self.options.unproven.is_none() {
            // What the proof lacks is known now, not after the backup.
            feasible(&self.working, &self.source, &proof).await.map_err(|error| match error {
                holdpoint_operations::Error::CouldNotRun { obstacles } => {
                    Error::CouldNotProve { point: None, obstacles }
                }
                error => error.into(),
            })?;
        }
        let wanted = self.may_rehearse(planned, policy.level).await?;
        if let Ok(options) = wanted {
            self.refuse_early(planned, options).await?;
        }
        self.at("making the restore point");
        let made = Box::pin(backup(&self.working, &self.source, &options)).await?;
        let point = made.manifest.id;
        self.pin(&point, ledger).await?;
        self.at("proving the restore point");
        let Proof { verification, obstacles, copy } = self.prove(&point, &proof, wanted.is_ok()).await?;
        let mut relied =
            Relied { point: Some(point.clone()), verification, warnings: made.warnings, ..Relied::default() };
        let mut remarks = reasons.to_vec();
        match (obstacles, &self.options.unproven) {
            (None, _) => {
                remarks.push(format!("{point} was made and proven at level {}", policy.level));
                relied.level = Some(policy.level);
                ledger.write(RunState::Proven, remarks).await?;
                relied.rehearsal = match (wanted, copy) {
                    (Ok(options), Some(copy)) => {
                        Rehearsed::Yes(Box::pin(self.rehearse(copy, planned, options, ledger)).await?)
                    }
                    (Ok(_), None) => Rehearsed::No("there is no copy".to_owned()),
                    (Err(why), _) => Rehearsed::No(why),
                };
            }
            (Some(obstacles), None) => return Err(Error::CouldNotProve { point: Some(point), obstacles }),
            (Some(obstacles), Some(reason)) => {
                let why = obstacles.iter().map(|one| one.reason.as_str()).collect::<Vec<_>>().join("; ");
                relied.warnings.push(format!("{point} is not proven: {why}"));
                relied.unproven = Some(reason.clone());
            }
        }
        Ok(relied)
    }

    /// Verifies the point; a disproof is an error. With `keep` the copy of a full proof is handed over.
    async fn prove(&self, point: &PointId, proof: &VerifyOptions, keep: bool) -> Result<Proof, Error> {
        let kept = match keep {
            true => Box::pin(verify_and_keep(&self.working, point, proof)).await,
            false => Box::pin(verify(&self.working, point, proof))
                .await
                .map(|report| KeptVerification { report, copy: None }),
        };
        let KeptVerification { report, copy } = match kept {
            Ok(kept) => kept,
            Err(error) if matches!(error.kind(), ErrorKind::Postgres | ErrorKind::CouldNotRun) => {
                let cure = error.hint().unwrap_or_else(|| format!("try it alone: holdpoint verify {point}"));
                let obstacles = Some(vec![Obstacle { reason: error.to_string(), cure }]);
                return Ok(Proof { verification: None, obstacles, copy: None });
            }
            Err(error) => return Err(error.into()),
        };
        let verification = report.verification;
        match verification.verdict {
            Verdict::Proved => Ok(Proof { verification: Some(verification), obstacles: None, copy }),
            Verdict::Disproved => Err(Error::Disproved { point: point.clone(), differences: verification.differences }),
            Verdict::CouldNotRun => {
                let obstacles = Some(verification.obstacles.clone());
                Ok(Proof { verification: Some(verification), obstacles, copy: None })
            }
        }
    }

    /// Makes sure that nobody drops the point while the run relies on it, and until the run is settled.
    pub(crate) async fn pin(&self, point: &PointId, ledger: &mut LedgerWriter<'_>) -> Result<(), Error> {
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

/// Looks whether a restore point's objects are there, with their sizes; what is not, in words.
pub(crate) async fn lost(context: &Context, manifest: &Manifest) -> Result<Option<String>, Error> {
    let archive = (manifest.archive.key.as_str(), manifest.archive.bytes);
    let stored = [Some(&manifest.index), manifest.contents.as_ref()].into_iter().flatten();
    for (key, bytes) in stored.map(|one| (one.key.as_str(), one.bytes)).chain([archive]) {
        match context.repository.store().head(key).await {
            Ok(found) if found.size_bytes == bytes => {}
            Ok(found) => return Ok(Some(format!("{key} has {} bytes of {bytes}", found.size_bytes))),
            Err(holdpoint_repository::Error::NotFound { .. }) => return Ok(Some(format!("{key} is gone"))),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// The points of a list as the gate sees them before anything is looked up; the chosen one's rest follows.
fn candidates(list: ListReport) -> Vec<Point> {
    let candidate = |point: catalogue::PointSummary| Candidate {
        kind: point.stored_as.kind(),
        point: point.id,
        snapshot_at: point.snapshot_at,
        standing: point.standing,
        complete: true,
        labelled: point.label.is_some(),
    };
    let point = |candidate| {
        let (identity, schema) = (IdentityMatch::Same, SchemaSince::Unchanged);
        Point { candidate, identity, schema, lost: None }
    };
    list.points.into_iter().map(candidate).map(point).collect()
}

/// Whether a restore point covers the whole database.
fn is_whole(recorded: &Recorded) -> bool {
    match recorded {
        Recorded::Archive(manifest) => manifest.options.is_empty(),
        Recorded::Snapshot(_) => true,
    }
}

fn pin_name(ledger: &LedgerWriter<'_>) -> String {
    format!("run-{}", ledger.run())
}
