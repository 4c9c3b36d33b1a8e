//! Whether what is to be dropped is still there, and whether it is gone. RDS may not show for a reading what is there, so that one says little.

use crate::client::Rds;
use crate::error::{Awaited, Error, Result, Thing};
use crate::made::{is_cluster_in_service, is_in_service};
use crate::name::same;
use crate::wait::{Reading, Waiting};

/// What is to be gone.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Going<'a> {
    /// The instance of that name, as long as it is the one with that resource id.
    Instance { name: &'a str, resource_id: &'a str },
    /// The cluster of that name and resource id.
    Cluster { name: &'a str, resource_id: &'a str },
}

impl Going<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Instance { name, .. } | Self::Cluster { name, .. } => name,
        }
    }
}

impl Rds {
    /// Whether it is still there as its drop was planned; `false` where as many readings in a row do not show it as say that one is
    /// available. Between a plan and its confirmation there may be hours.
    ///
    /// # Errors
    /// [`Error::Gone`] where it was renamed: what has the name now is another one. [`Error::InService`] where it serves now. What
    /// RDS refuses.
    pub(crate) async fn is_still_to_drop(&self, what: Going<'_>, waiting: &Waiting) -> Result<bool> {
        let subject = || what.name().to_owned();
        for reading in 0..waiting.readings.max(1) {
            if reading > 0 {
                tokio::time::sleep(waiting.pause()).await;
            }
            let (found, thing) = match what {
                Going::Instance { resource_id, .. } => {
                    let all = self.instances().await?;
                    let found = all.iter().find(|one| one.resource_id == resource_id);
                    (found.map(|one| (one.name.clone(), is_in_service(one, &all))), Thing::Instance)
                }
                Going::Cluster { resource_id, .. } => {
                    let all = self.clusters().await?;
                    let found = all.iter().find(|one| one.resource_id == resource_id);
                    (found.map(|one| (one.name.clone(), is_cluster_in_service(one, &all))), Thing::Cluster)
                }
            };
            match found {
                None => {}
                Some((name, _)) if !same(&name, what.name()) => return Err(Error::Gone { subject: subject() }),
                Some((_, true)) => return Err(Error::InService { subject: subject(), thing }),
                Some(_) => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Its status, by its name or else by its resource id; `None` where this reading shows neither.
    async fn status_of(&self, what: Going<'_>) -> Result<Option<String>> {
        match what {
            Going::Instance { name, resource_id } => {
                let named = self.find(name).await?.filter(|found| found.resource_id == resource_id);
                let found = match named {
                    Some(found) => Some(found),
                    None => self.find_resource(resource_id).await?,
                };
                Ok(found.map(|found| found.status))
            }
            Going::Cluster { name, resource_id } => {
                let named = self.find_cluster(name).await?.filter(|found| found.resource_id == resource_id);
                let found = match named {
                    Some(found) => Some(found),
                    None => self.clusters().await?.into_iter().find(|found| found.resource_id == resource_id),
                };
                Ok(found.map(|found| found.status))
            }
        }
    }

    /// Whether as many readings in a row do not show it as say that one is available.
    ///
    /// # Errors
    /// What RDS refuses.
    pub(crate) async fn is_gone(&self, what: Going<'_>, waiting: &Waiting) -> Result<bool> {
        for reading in 0..waiting.readings.max(1) {
            if reading > 0 {
                tokio::time::sleep(waiting.pause()).await;
            }
            if self.status_of(what).await?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits until it is gone, as [`is_gone`](Self::is_gone) says.
    ///
    /// # Errors
    /// [`Error::GaveUp`], which stops nothing; what RDS refuses.
    pub(crate) async fn wait_gone(
        &self,
        what: Going<'_>,
        waiting: &Waiting,
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<()> {
        let name = what.name();
        let (mut readings, mut unseen): (u128, u32) = (0, 0);
        loop {
            let found = self.status_of(what).await?;
            unseen = if found.is_some() { 0 } else { unseen + 1 };
            if unseen >= waiting.readings.max(1) {
                return Ok(());
            }
            let status = found.unwrap_or_else(|| "not to be seen".to_owned());
            let waited = waiting.waited(readings);
            let reading =
                Reading { name: name.to_owned(), status: status.clone(), waited_seconds: waited, events: Vec::new() };
            report(&reading);
            readings += 1;
            // What is not shown any more is looked for to the end of that.
            if readings >= waiting.most_readings() && unseen == 0 {
                return Err(Error::GaveUp {
                    subject: name.to_owned(),
                    awaited: Awaited::Deletion,
                    status,
                    waited_seconds: waited,
                });
            }
            tokio::time::sleep(waiting.pause()).await;
        }
    }
}
