//! Prepared runs: made ready ahead of time, and relied on by a guarded run where nothing has changed since.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdpoint_core::gate::pending::Decision;
use holdpoint_core::gate::{Candidate, Policy, refuse};
use holdpoint_core::identity::{Identity, IdentityMatch};
use holdpoint_core::ledger::{Prepared, RunState, RunStep};
use holdpoint_core::rehearsal::Rehearsal;
use holdpoint_core::verification::Verification;
use holdpoint_core::{PointId, PointKind, RunId};
use holdpoint_operations::backup::BackupOptions;
use holdpoint_operations::catalogue::ShowReport;
use holdpoint_operations::schema_check::Schema;
use holdpoint_operations::verify::VerifyOptions;
use holdpoint_operations::{Context, Source, catalogue};
use serde::Serialize;

use crate::guarded::Guarded;
use crate::plan::PlanReport;
use crate::planned::Planned;
use crate::prepare::lost;
use crate::proven::Proven;
use crate::run::{GuardOptions, WayBack};
use crate::{Error, command, prepare as preparation};

/// How many runs, newest first, are looked at for one that was prepared.
const LOOKED_AT: usize = 20;

/// A run that is prepared, or needs no preparation.
#[derive(Clone, Debug, Serialize)]
pub struct PrepareReport {
    /// The prepared run.
    pub run: RunId,
    /// What the gate decided at first.
    pub decision: Decision,
    /// What is pending; `None` where no project was read.
    pub plan: Option<PlanReport>,
    /// The restore point; none where nothing is asked for.
    pub point: Option<PointId>,
    /// The verification made for it; `None` where an older proof did.
    pub verification: Option<Verification>,
    /// What the command did on the copy.
    pub rehearsal: Option<Box<Rehearsal>>,
    /// Why it was not rehearsed.
    pub not_rehearsed: Option<String>,
    /// Until when a guarded run may rely on it, by the source server's clock.
    pub valid_until: DateTime<Utc>,
    /// The ways back, best first.
    pub ways_back: Vec<WayBack>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// Does everything that a guarded run does before its command, and keeps it for one that follows within `valid_for`.
///
/// The command is looked at and never run. An error means that nothing is kept (the ledger then says *refused*).
///
/// # Errors
/// Those of [`crate::guard`] up to its command.
pub async fn prepare(
    context: &Context,
    source: &Source,
    verify: &VerifyOptions,
    backup: &BackupOptions,
    options: &GuardOptions,
    valid_for: Duration,
) -> Result<PrepareReport, Error> {
    command::check(options)?;
    preparation::check(backup, options)?;
    let (mut guarded, mut ledger) = Guarded::begin(context, source, verify, backup, options).await?;
    guarded.preparation.takes_prepared = false;
    let kept = async {
        let proven = Box::pin(guarded.within_deadline(&mut ledger)).await?;
        let valid_for = chrono::Duration::from_std(valid_for).unwrap_or(chrono::Duration::MAX);
        let until = guarded.start.now.checked_add_signed(valid_for).unwrap_or(DateTime::<Utc>::MAX_UTC);
        ledger.offers(Prepared { until, level: proven.relied.level });
        ledger.write(RunState::Prepared, proven.relied.warnings.clone()).await?;
        Ok((proven, until))
    };
    match kept.await {
        Ok((Proven { planned, decision, relied, ways_back, .. }, valid_until)) => {
            let (rehearsal, not_rehearsed) = relied.rehearsal.parts();
            Ok(PrepareReport {
                run: ledger.run().clone(),
                decision,
                plan: planned.report,
                point: relied.point,
                verification: relied.verification,
                rehearsal,
                not_rehearsed,
                valid_until,
                ways_back,
                warnings: [guarded.start.warnings.clone(), relied.warnings].concat(),
            })
        }
        Err(error) => Err(guarded.refused(error, ledger).await),
    }
}

/// What a prepared run must fit.
pub(crate) struct Wanted<'a> {
    pub(crate) planned: &'a Planned,
    /// The command, with secrets masked as in the ledger.
    pub(crate) command: &'a [String],
    pub(crate) identity: &'a Identity,
    pub(crate) policy: Policy,
}

/// A prepared run that fits.
pub(crate) struct Fitting {
    pub(crate) run: RunId,
    /// Until when it may be relied on, by the server's clock.
    pub(crate) until: DateTime<Utc>,
    /// What the gate says with it.
    pub(crate) decision: Decision,
    pub(crate) rehearsal: Option<Box<Rehearsal>>,
}

impl Wanted<'_> {
    /// Finds the newest prepared run that fits. Schema and pending migrations are
    /// looked at once more under the run lock.
    pub(crate) async fn find(
        &self,
        context: &Context,
        source: &Source,
        now: DateTime<Utc>,
    ) -> Result<Option<Fitting>, Error> {
        let runs = context.repository.runs(&context.database).await?;
        let mut live: Option<Schema> = None;
        // Going back to what was prepared before a run undoes that run too.
        let mut ran: Option<RunId> = None;
        for run in runs.into_iter().rev().take(LOOKED_AT) {
            let steps = context.repository.readable_steps(&context.database, &run).await?;
            let went = steps.may_have_been(0, &[RunState::Running]);
            let unfit = |why: &str| context.progress.note(&format!("prepared run {run} is not relied on: {why}"));
            let Some(step) = steps.newest() else {
                match steps.hidden_end() {
                    Some(hidden) if went => {
                        ran.get_or_insert(hidden.run.clone());
                    }
                    Some(hidden) => unfit(&hidden.words()),
                    None => {}
                }
                continue;
            };
            if step.state != RunState::Prepared {
                if went && step.state != RunState::RolledBack {
                    ran.get_or_insert(run);
                }
                continue;
            }
            if let Some(other) = &ran {
                unfit(&format!("run {other} ran since"));
                continue;
            }
            let point = match (&step.point, self.refuse(step, now)) {
                (Some(point), None) => point,
                (_, why) => {
                    unfit(&why.unwrap_or_else(|| "it made no restore point".to_owned()));
                    continue;
                }
            };
            let shown = match catalogue::show(context, point).await {
                Ok(shown) => shown,
                Err(holdpoint_operations::Error::Repository(holdpoint_repository::Error::IsSnapshot { .. })) => {
                    unfit(&format!("{point} is a snapshot of the instance, and an archive is asked for"));
                    continue;
                }
                Err(holdpoint_operations::Error::NoSuchPoint { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            if let Some(why) = self.unfit(&shown, now) {
                unfit(&format!("{point}: {why}"));
                continue;
            }
            if let Some(lost) = lost(context, &shown.manifest).await? {
                unfit(&lost);
                continue;
            }
            let schema = match &mut live {
                Some(schema) => schema,
                none => none.insert(Schema::live(context, source).await?),
            };
            if let Some(first) = Schema::recorded(context, point).await?.changes(schema).first() {
                unfit(&format!("the schema changed since, such as {}", first.name));
                continue;
            }
            let age = (now - shown.manifest.snapshot.at).num_seconds();
            let reason = format!("run {run} prepared {point}, {age} s old, for this command");
            let lost = format!("going back to {point} loses what was written since its snapshot, {age} s ago");
            let decision = Decision::Go { point: Some(point.clone()), reasons: vec![reason], losses: vec![lost] };
            let until = step.prepared.as_ref().map_or(now, |prepared| prepared.until);
            return Ok(Some(Fitting { run, until, decision, rehearsal: step.rehearsal.clone() }));
        }
        Ok(None)
    }

    /// Why the restore point of a prepared run does not do, by the policy as any other's.
    ///
    /// Where one made for the run is asked for, the preparation made it, and its time says how long that holds.
    fn unfit(&self, shown: &ShowReport, now: DateTime<Utc>) -> Option<String> {
        let manifest = &shown.manifest;
        let candidate = Candidate {
            point: manifest.id.clone(),
            kind: PointKind::Archive,
            snapshot_at: manifest.snapshot.at,
            standing: shown.standing,
            complete: manifest.options.is_empty(),
            labelled: manifest.label.is_some(),
        };
        let made_for_it = self.policy.max_age_seconds <= 0;
        refuse(&self.policy, &candidate, if made_for_it { candidate.snapshot_at } else { now })
    }

    /// Why a prepared run does not do.
    fn refuse(&self, step: &RunStep, now: DateTime<Utc>) -> Option<String> {
        let Some(prepared) = &step.prepared else { return Some("it says not until when".to_owned()) };
        if prepared.until < now {
            return Some(format!("it was valid until {}", prepared.until.format("%Y-%m-%dT%H:%M:%SZ")));
        }
        if step.command != self.command {
            return Some("it was prepared for another command".to_owned());
        }
        let same = match (&step.plan, &self.planned.record) {
            (Some(before), Some(now)) => before.same_pending(now),
            (None, None) => true,
            _ => false,
        };
        if !same {
            return Some("other migrations are pending".to_owned());
        }
        if let (Some(before), Some(now)) = (&step.plan, &self.planned.record)
            && let Some(path) = before.configured_otherwise(now)
        {
            return Some(format!("{path} changed since"));
        }
        if Identity::compare(&step.identity, self.identity) != IdentityMatch::Same {
            return Some("it was prepared for another database or timeline".to_owned());
        }
        if prepared.level.is_none_or(|level| level < self.policy.level) {
            return Some(format!("its restore point is not proven at level {}", self.policy.level));
        }
        None
    }
}
