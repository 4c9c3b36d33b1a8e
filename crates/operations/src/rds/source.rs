//! The instance that a database is on: to which instants it goes back, and a new instance that is as it was then.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use holdpoint_core::gate::pending::Window as Covered;
use holdpoint_core::quantity::milliseconds;
use holdpoint_rds::{Awaited, Endpoint, Instance, RestoreOptions, RestoreReport, When, Window, estimate_seconds};
use tokio::time::Instant;

use super::ControlPlane;
use crate::Error;

/// An instance of RDS that somebody says a database is on.
#[derive(Clone, Debug)]
pub struct RdsSource {
    /// Where it is asked for.
    pub plane: ControlPlane,
    /// Its name.
    pub instance: String,
}

/// An instance that took its source's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceTaken {
    /// The name by which it is reached.
    pub name: String,
    /// The name that its source has now.
    pub aside: String,
    /// Where its source is reached now; `None` where RDS does not say.
    pub aside_at: Option<Endpoint>,
    /// The command that takes it back.
    pub way_back: String,
    /// What is left to do.
    pub open: Vec<String>,
}

/// What an instance goes back to, and how long that takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restorable {
    /// To which instants.
    pub window: Window,
    /// How long earlier restores of it took, where some of them are still there.
    pub seconds: Option<i64>,
}

impl Restorable {
    /// The window as the gate looks at it; `None` where something keeps the instance from being restored.
    ///
    /// Where RDS does not say the earliest instant, only the latest is counted on.
    #[must_use]
    pub fn covered(&self) -> Option<Covered> {
        let latest = self.window.latest_at.filter(|_| self.window.is_open())?;
        Some(Covered { earliest: self.window.earliest_at.unwrap_or(latest), latest })
    }
}

impl RdsSource {
    /// Reads what the instance goes back to.
    ///
    /// # Errors
    /// What RDS refuses; an instance that cannot be restored is no error but says what is missing.
    pub async fn restorable(&self) -> Result<Restorable, Error> {
        let window = super::window(&self.plane, &self.instance).await?;
        let made = self.plane.unless_ended(self.plane.rds.made()).await?;
        Ok(Restorable { seconds: estimate_seconds(&made, &self.instance), window })
    }

    /// Waits until the instance can be restored to `at`: RDS stores its log every five minutes. The last look is when the
    /// time to wait is over, answers of RDS included.
    ///
    /// # Errors
    /// What keeps it from being restored; an instant before the window; [`holdpoint_rds::Error::GaveUp`] with the latest
    /// restorable instant as the status.
    pub async fn wait_until_restorable(&self, at: DateTime<Utc>) -> Result<(), Error> {
        let at = at.trunc_subsecs(0);
        let waiting = &self.plane.waiting;
        let began = Instant::now();
        let mut told = None;
        loop {
            let left = waiting.give_up_after.saturating_sub(began.elapsed());
            let window = super::window(&self.plane, &self.instance).await?;
            window.check_open()?;
            let waited = began.elapsed().as_secs();
            if window.latest_at.is_some_and(|latest| latest >= at) {
                window.check(at, (self.plane.clock)().max(at))?;
                return Ok(());
            }
            let latest = window.latest_at.map_or_else(|| "none".to_owned(), |latest| latest.to_rfc3339());
            if told != window.latest_at {
                let after = milliseconds(waited.saturating_mul(1000));
                let name = &self.instance;
                self.plane
                    .progress
                    .note(&format!("{name} can be restored until {latest} after {after}; {at} is awaited"));
                told = window.latest_at;
            }
            if left.is_zero() {
                let status = format!("restorable until {latest} only");
                let gave_up = holdpoint_rds::Error::GaveUp {
                    subject: self.instance.clone(),
                    awaited: Awaited::Instant,
                    status,
                    waited_seconds: waited,
                };
                return Err(gave_up.into());
            }
            tokio::select! {
                () = tokio::time::sleep(waiting.pause().min(left).max(Duration::from_millis(1))) => {}
                () = self.plane.cancel.cancelled() => return Err(Error::Interrupted),
            }
        }
    }

    /// What a restore to `at` as `target` asks for: everything as the source has it.
    #[must_use]
    pub fn wanted(&self, at: DateTime<Utc>, target: &str) -> RestoreOptions {
        RestoreOptions::new(&self.instance, target, When::At(at))
    }

    /// The instance that was made as `target`, whatever its name is at present.
    ///
    /// # Errors
    /// What RDS refuses.
    pub async fn made_as(&self, target: &str) -> Result<Option<Instance>, Error> {
        self.plane.unless_ended(self.plane.rds.made_as(target)).await
    }

    /// A new instance as the source was at `at`: begun now, or by a process that is gone; waited for and held against
    /// what was asked.
    ///
    /// # Errors
    /// What RDS refuses, and how the new instance ended: it is there until it is dropped.
    pub async fn restored(&self, at: DateTime<Utc>, target: &str) -> Result<RestoreReport, Error> {
        if let Some(begun) = self.made_as(target).await? {
            return super::wait(&self.plane, &begun.name).await;
        }
        let plan = super::plan(&self.plane, &self.wanted(at, target)).await?;
        let outcome = super::restore(&self.plane, &plan, true).await?;
        outcome.finished.ok_or_else(|| Error::Internal("a restore that nobody waited for".to_owned()))
    }

    /// Whether an instance has the name.
    ///
    /// # Errors
    /// What RDS refuses.
    pub async fn is_taken(&self, name: &str) -> Result<bool, Error> {
        Ok(self.plane.unless_ended(self.plane.rds.find(name)).await?.is_some())
    }

    /// Whether renames by which `target` takes its source's place were begun, and are not done.
    ///
    /// # Errors
    /// What RDS refuses, and [`Error::Interrupted`].
    pub async fn is_begun(&self, target: &str, aside: &str) -> Result<bool, Error> {
        let noted = self.made_as(target).await?.is_some_and(|made| holdpoint_rds::is_cut_over_begun(&made));
        Ok(noted && super::plan_cut_over(&self.plane, target, Some(aside), false).await?.is_begun)
    }

    /// Puts the instance that was made as `target` in its source's place, which is called `aside` then, or goes on where a process that is gone began.
    ///
    /// # Errors
    /// What RDS refuses; what is left of the renames is done by calling it again.
    pub async fn take_the_place(&self, target: &str, aside: &str) -> Result<PlaceTaken, Error> {
        let plan = super::plan_cut_over(&self.plane, target, Some(aside), false).await?;
        // While the instance was made somebody may have renamed its source: then another one has the production name.
        if !plan.name.eq_ignore_ascii_case(&self.instance) {
            return Err(holdpoint_rds::Error::Overtaken { subject: plan.name }.into());
        }
        let outcome = super::cut_over(&self.plane, plan).await.map_err(|failure| match failure {
            Error::Halfway { failure, stands, .. } => {
                Error::Halfway { failure, stands, next: "the same command goes on with it".to_owned() }
            }
            failure => failure,
        })?;
        let plan = outcome.plan;
        let source = self.plane.unless_ended(self.plane.rds.find_resource(&plan.source_resource)).await?;
        let way_back = outcome.done.and_then(|done| done.way_back).unwrap_or_default();
        let aside_at = source.and_then(|source| source.endpoint);
        Ok(PlaceTaken { name: plan.name, aside: plan.aside, aside_at, way_back, open: outcome.open })
    }
}
