//! The steps, one after the other, each only if the one before allows it.

use chrono::{DateTime, Utc};
use holdpoint_core::PointId;
use holdpoint_core::cron::{CronHistory, Step, StepEnd, is_due, may_run};
use holdpoint_core::quantity::counted;
use holdpoint_core::verification::{Level, Standing, Verdict, Verification};
use tokio::time::Instant;

use super::{CronOptions, Facts, Failed, StepReport};
use crate::backup::backup;
use crate::catalogue::{Owners, Surveyed, stored_bytes, survey};
use crate::check::{Finding, check};
use crate::retention::{Outcome, PruneOptions, prune};
use crate::verify::verify;
use crate::{Context, Error, ErrorKind, Source};

/// What became of a step that was begun.
type Ran = Result<(Option<Failed>, Facts), Error>;

/// Goes through the steps of one database.
pub(super) struct Steps<'a> {
    pub(super) context: &'a Context,
    pub(super) source: &'a Source,
    pub(super) options: &'a CronOptions,
    pub(super) history: &'a CronHistory,
    /// How each went.
    pub(super) done: Vec<StepReport>,
    /// What is worth knowing.
    pub(super) warnings: Vec<String>,
    /// The restore point that was made.
    made: Option<PointId>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(
        context: &'a Context,
        source: &'a Source,
        options: &'a CronOptions,
        history: &'a CronHistory,
    ) -> Self {
        Self { context, source, options, history, done: Vec::new(), warnings: Vec::new(), made: None }
    }

    /// Runs every step that may be; never fails itself.
    pub(super) async fn run(&mut self) {
        for step in Step::ALL {
            let began = Instant::now();
            let mut report = self.step(step).await;
            report.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(
                database = %self.context.database, step = step.word(), end = report.end.word(),
                took_ms = report.took_ms, failure = report.failure.as_ref().map(|one| one.message.as_str()), "step ended"
            );
            self.done.push(report);
        }
    }

    async fn step(&mut self, step: Step) -> StepReport {
        let ended: Vec<(Step, StepEnd)> = self.done.iter().map(|one| (one.step, one.end)).collect();
        let idle = |end, reason: String| StepReport {
            step,
            end,
            reason: Some(reason),
            failure: None,
            facts: None,
            took_ms: 0,
        };
        if let Err(stands) = may_run(&ended) {
            let word = if ended.contains(&(stands, StepEnd::Failed)) { "failed" } else { "was not run" };
            return idle(StepEnd::NotRun, format!("{} {word}", stands.word()));
        }
        let wanted = tokio::select! {
            biased;
            wanted = self.wanted(step) => wanted,
            () = self.context.cancel.cancelled() => Err(Error::Interrupted),
        };
        let ran = match wanted {
            Ok(None) if self.context.cancel.is_cancelled() => Err(Error::Interrupted),
            Ok(None) => {
                tracing::info!(database = %self.context.database, step = step.word(), "step begins");
                self.begin(step).await
            }
            Ok(Some((end, reason))) => return idle(end, reason),
            Err(error) => Err(error),
        };
        let (failure, facts) = match ran {
            Ok((failure, facts)) => (failure, Some(facts)),
            Err(error) => (Some(Failed::of_step(&error, self.context.cancel.is_cancelled())), None),
        };
        let failure = failure.map(|mut failed| {
            failed.mask(&self.options.telling.mask);
            failed
        });
        let end = if failure.is_some() { StepEnd::Failed } else { StepEnd::Done };
        StepReport { step, end, reason: None, failure, facts, took_ms: 0 }
    }

    /// Why policy asks for nothing here; `None` where the step is to run.
    async fn wanted(&self, step: Step) -> Result<Option<(StepEnd, String)>, Error> {
        let (options, now) = (self.options, (self.context.clock)());
        Ok(match step {
            Step::Backup => None,
            Step::Verify => match &options.verify {
                None => Some((StepEnd::Off, "no level is asked for".to_owned())),
                Some(_) if options.verify_every.is_zero() => None,
                Some(verify) => match self.proven_at(verify.level).await? {
                    Some(last) if !is_due(Some(last), options.verify_every, now) => {
                        Some((StepEnd::NotDue, format!("proven {}", last.format("%Y-%m-%d %H:%M:%SZ"))))
                    }
                    _ => None,
                },
            },
            Step::Prune if options.retention.is_none() => {
                Some((StepEnd::Off, "the policy has no rule: nothing is dropped".to_owned()))
            }
            Step::Prune => None,
            Step::Check => match self.history.checked_at {
                _ if options.check.is_none() => Some((StepEnd::Off, "no check is asked for".to_owned())),
                Some(last) if !is_due(Some(last), options.check_every, now) => {
                    Some((StepEnd::NotDue, format!("checked {}", last.format("%Y-%m-%d %H:%M:%SZ"))))
                }
                _ => None,
            },
        })
    }

    /// When a whole restore point was last proven at a level, or further, all of whose objects are there; nothing where
    /// another one was disproved since, as then nobody knows what the others are worth.
    pub(super) async fn proven_at(&self, wanted: Level) -> Result<Option<DateTime<Utc>>, Error> {
        let now = self.context.repository.store().server_time().await?;
        let (mut points, _) = survey(self.context, now).await?;
        Owners::read(self.context).await?.set_aside_others(&mut points);
        let counting = || points.iter().filter(|one| one.is_archive() && one.counts(now));
        let proof = |one: &Surveyed| match one.summary.standing {
            Standing::Proven { level, at } if level >= wanted => Some(at),
            _ => None,
        };
        let disproof = |one: &Surveyed| match one.summary.standing {
            Standing::Disproved { at } => Some(at),
            _ => None,
        };
        let disproved = counting().filter_map(disproof).max();
        let mut proofs: Vec<(DateTime<Utc>, &Surveyed)> =
            counting().filter_map(|one| Some((proof(one)?, one))).collect();
        proofs.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        for (at, one) in proofs.into_iter().take_while(|(at, _)| disproved.is_none_or(|since| since < *at)) {
            if one.is_all_there(self.context).await? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    async fn begin(&mut self, step: Step) -> Ran {
        match step {
            Step::Backup => self.backup().await,
            Step::Verify => self.verify().await,
            Step::Prune => self.prune().await,
            Step::Check => self.check().await,
        }
    }

    async fn backup(&mut self) -> Ran {
        let report = backup(self.context, self.source, &self.options.backup).await?;
        self.warnings.extend(report.warnings);
        let manifest = report.manifest;
        self.made = Some(manifest.id.clone());
        let stored_bytes = stored_bytes(&manifest);
        Ok((None, Facts::Backup { point: manifest.id, stored_bytes, rows: manifest.totals.rows }))
    }

    async fn verify(&mut self) -> Ran {
        let missing = || Error::Internal("a verification without a restore point".to_owned());
        let point = self.made.clone().ok_or_else(missing)?;
        let options = self.options.verify.as_ref().ok_or_else(missing)?;
        let made = verify(self.context, &point, options).await?.verification;
        let facts = Facts::Verify { point, level: made.level, verdict: made.verdict, read_bytes: made.bytes_read };
        Ok((judged(&made), facts))
    }

    async fn prune(&mut self) -> Ran {
        let policy = self.options.retention.clone().unwrap_or_default();
        let options = PruneOptions { policy, dry_run: false, sweep_min_age: self.options.sweep_min_age };
        let report = prune(self.context, Some(self.source), &options).await?;
        self.warnings.extend(report.warnings.iter().cloned());
        let (mut dropped, mut dropped_bytes, mut problems) = (Vec::new(), 0, Vec::new());
        for one in &report.dropped {
            match &one.outcome {
                Outcome::Gone { bytes } | Outcome::Remains { bytes, .. } => {
                    dropped.push(one.point.clone());
                    dropped_bytes += bytes;
                }
                Outcome::Failed { reason } => problems.push(format!("{}: {reason}", one.point)),
                // What is missing is a finding.
                Outcome::Unjustified { .. } | Outcome::Pinned { .. } | Outcome::Locked { .. } => {}
            }
            if let Outcome::Remains { objects, .. } = &one.outcome {
                problems.extend(objects.first().map(|first| format!("{}: {first}", one.point)));
            }
        }
        let hidden = report.hidden.iter().filter(|one| one.failed);
        problems.extend(hidden.filter_map(|one| Some(format!("{}: {}", one.point, one.problem.as_ref()?))));
        let unswept = report.swept.iter().filter_map(|one| Some(format!("{}: {}", one.what, one.problem.as_ref()?)));
        problems.extend(unswept);
        let failure = problems.first().map(|first| Failed {
            kind: ErrorKind::Repository,
            message: format!("{} could not be deleted: {first}", counted(problems.len() as u64, "thing")),
            hint: Some("later prunes go on with it: holdpoint prune".to_owned()),
        });
        let failure = match report.interrupted {
            true => Some(Failed::of_step(&Error::Interrupted, true)),
            false => failure.or_else(|| found(&report.findings)),
        };
        let swept = report.swept.iter().filter(|one| one.problem.is_none()).count() as u64;
        let (kept, keeps_versions) = (report.plan.keeps().count() as u64, report.keeps_versions);
        Ok((failure, Facts::Prune { kept, dropped, dropped_bytes, keeps_versions, swept }))
    }

    async fn check(&mut self) -> Ran {
        let missing = || Error::Internal("a check that nobody asked for".to_owned());
        let options = self.options.check.as_ref().ok_or_else(missing)?;
        let work = Box::pin(check(self.context, options));
        let report = if options.only_reads() {
            tokio::select! {
                biased;
                report = work => report?,
                () = self.context.cancel.cancelled() => return Err(Error::Interrupted),
            }
        } else {
            work.await?
        };
        let failure = found(&report.findings);
        let facts = Facts::Check {
            points: report.points.len() as u64,
            read_bytes: report.read_bytes,
            findings: report.findings,
        };
        Ok((failure, facts))
    }
}

/// What was found, as a failure; `None` where nothing was.
fn found(findings: &[Finding]) -> Option<Failed> {
    let first = findings.first()?;
    let (count, kind) = (counted(findings.len() as u64, "finding"), first.kind.words());
    Some(Failed {
        kind: ErrorKind::Differences,
        message: format!("{count}: {kind}, {}: {}", first.place, first.reason),
        hint: Some(format!("{}; see all: holdpoint check", first.cure)),
    })
}

/// Why a verification is a failure; `None` where it proved the restore point.
fn judged(made: &Verification) -> Option<Failed> {
    let point = &made.point;
    match made.verdict {
        Verdict::Proved => None,
        Verdict::Disproved => {
            let first = made.differences.first().map(|one| format!(", first {}", one.name)).unwrap_or_default();
            let differ = counted(made.differences.len() as u64, "difference");
            Some(Failed {
                kind: ErrorKind::Disproved,
                message: format!("{point} is disproved: {differ}{first}"),
                hint: Some(format!("see everything: holdpoint show {point}")),
            })
        }
        Verdict::CouldNotRun => {
            let first = made.obstacles.first();
            let why = first.map(|one| one.reason.as_str()).unwrap_or("no reason is recorded");
            Some(Failed {
                kind: ErrorKind::CouldNotRun,
                message: format!("{point} could not be verified: {why}"),
                hint: first.map(|one| one.cure.clone()),
            })
        }
    }
}
