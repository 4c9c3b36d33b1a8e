//! An instance as its source was at an instant, for as long as some work reads it: made, waited for, and dropped again
//! whatever becomes of the work.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use holdpoint_rds::{
    DropOptions, Error as Rds, Instance, RestoreOptions, RestorePlan, When, estimate_seconds, marks, with_ending,
};

use super::left::may_be_heard;
use super::maker::this_process;
use super::source::RdsSource;
use crate::Error;

/// A temporary instance: planned, perhaps made.
#[derive(Debug)]
pub(crate) struct Temporary<'a> {
    source: &'a RdsSource,
    plan: RestorePlan,
    /// RDS answered that it makes it, or may have heard so.
    is_begun: AtomicBool,
}

impl RdsSource {
    /// What a temporary instance would be that holds the source as it was at `at`: one zone, no protection, no backups of
    /// its own, and the tags by which whoever finds it knows that its maker drops it.
    ///
    /// # Errors
    /// What RDS refuses; what stands against the restore is in the plan.
    pub async fn plan_temporary(&self, at: DateTime<Utc>, needed_for: &str) -> Result<RestorePlan, Error> {
        let options = self.wanted(at, &self.temporary_name(needed_for));
        super::plan(&self.plane, &needed(options, needed_for)).await
    }

    /// As [`Self::plan_temporary`], for one of a snapshot of the instance.
    ///
    /// # Errors
    /// What RDS refuses; what stands against the restore is in the plan.
    pub async fn plan_temporary_of(&self, snapshot: &str, needed_for: &str) -> Result<RestorePlan, Error> {
        let mut options = RestoreOptions::new(&self.instance, self.temporary_name(needed_for), When::Latest);
        options.snapshot = Some(snapshot.to_owned());
        super::plan(&self.plane, &needed(options, needed_for)).await
    }

    fn temporary_name(&self, needed_for: &str) -> String {
        let now = (self.plane.clock)();
        with_ending(&self.instance, &format!("-{needed_for}-{}", now.format("%Y%m%dt%H%M%S%3fz")))
    }
}

/// What is asked for, as that of an instance whose maker drops it again.
fn needed(options: RestoreOptions, needed_for: &str) -> RestoreOptions {
    RestoreOptions { maker: Some(this_process(needed_for)), ..options.temporary() }
}

impl<'a> Temporary<'a> {
    /// Plans one of a snapshot.
    ///
    /// # Errors
    /// What RDS refuses.
    pub(crate) async fn plan_of_snapshot(
        source: &'a RdsSource,
        snapshot: &str,
        needed_for: &str,
    ) -> Result<Self, Error> {
        Ok(Self {
            source,
            plan: source.plan_temporary_of(snapshot, needed_for).await?,
            is_begun: AtomicBool::new(false),
        })
    }

    /// Plans it, once the instant can be restored.
    ///
    /// # Errors
    /// An instant that is in the future or before the window; what else keeps the source from being restored.
    pub(crate) async fn plan(source: &'a RdsSource, at: DateTime<Utc>, needed_for: &str) -> Result<Self, Error> {
        let now = (source.plane.clock)();
        if at > now {
            return Err(Rds::InTheFuture { at, now }.into());
        }
        source.wait_until_restorable(at).await?;
        let plan = source.plan_temporary(at, needed_for).await?;
        Ok(Self { source, plan, is_begun: AtomicBool::new(false) })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.plan.target
    }

    /// Makes it and waits until it can be read. It costs from now on, until it is [`dropped`](Self::dropped), which has to
    /// follow also after an error.
    ///
    /// # Errors
    /// What RDS refuses, and how it ended.
    pub(crate) async fn made(&self) -> Result<Instance, Error> {
        let plane = &self.source.plane;
        if plane.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        // Not ended in the middle: what RDS has heard of is to be known.
        match plane.rds.begin_restore(&self.plan).await {
            Ok(_) => {}
            // An answer that was lost, and asked for again.
            Err(Rds::NameTaken { .. }) if self.own().await?.is_some() => {}
            Err(error) => {
                let error = Error::from(error);
                // Then it may come to be seen later.
                self.is_begun.store(may_be_heard(&error), Ordering::Release);
                return Err(error);
            }
        }
        self.is_begun.store(true, Ordering::Release);
        let (name, of) = (self.name(), &self.plan.source.name);
        plane.progress.note(&format!("{name} is being made of {of}: it costs until it is dropped again"));
        let made = plane.unless_ended(plane.rds.made()).await?;
        let mut listen = plane.listener(estimate_seconds(&made, of));
        let since = (plane.clock)();
        plane.unless_ended(plane.rds.wait_available(name, &plane.waiting, since, &mut listen)).await
    }

    /// Drops it, also when the work was ended: RDS has taken the drop on then, and nothing but time is needed. Says in
    /// words what is left where that fails.
    pub(crate) async fn dropped(&self) -> Option<String> {
        let (name, region) = (self.name(), self.source.plane.rds.region());
        match self.drop_again().await {
            Ok(true) => {
                self.source.plane.progress.note(&format!("{name} is dropped again"));
                None
            }
            Ok(false) => None,
            Err(error) => Some(format!(
                "the temporary instance {name} in {region} may remain and cost ({}): holdpoint rds drop {name} --region {region}",
                error.line()
            )),
        }
    }

    /// Whether there was one to drop.
    async fn drop_again(&self) -> Result<bool, Error> {
        let plane = &self.source.plane;
        let most = plane.waiting.most_readings();
        let options = DropOptions { name: self.name().to_owned(), ..DropOptions::default() };
        let mut listen = plane.listener(None);
        let (mut seen, mut unseen) = (false, 0);
        for reading in 1.. {
            if self.own().await?.is_none() {
                if !seen && !self.is_begun.load(Ordering::Acquire) {
                    return Ok(false);
                }
                // Readings may be older than what RDS has done; one that misses it says little.
                unseen += 1;
                if unseen >= plane.waiting.readings.max(1) {
                    if seen {
                        return Ok(true);
                    }
                    return Err(Rds::NotFound { subject: self.name().to_owned() }.into());
                }
                tokio::time::sleep(plane.waiting.pause()).await;
                continue;
            }
            (seen, unseen) = (true, 0);
            let dropped = async {
                let plan = plane.rds.plan_drop(&options).await?;
                plane.rds.begin_drop(&plan, &plane.waiting, (plane.clock)(), &mut listen).await
            };
            match dropped.await {
                Ok(()) => return Ok(true),
                Err(Rds::WrongState { subject, message }) if reading < most => {
                    if reading == 1 {
                        plane.progress.note(&format!("{subject} cannot be dropped yet: {message}"));
                    }
                    tokio::time::sleep(plane.waiting.pause()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    /// The instance, where it is there and this process made it.
    async fn own(&self) -> Result<Option<Instance>, Error> {
        let found = self.source.plane.rds.find(self.name()).await?;
        let ours = |one: &Instance| {
            let same = |key: &str| one.tags.contains_key(key) && one.tags.get(key) == self.plan.tags.get(key);
            same(marks::MAKER) && same(marks::NEEDED_FOR)
        };
        Ok(found.filter(ours))
    }
}
