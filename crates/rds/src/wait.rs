//! Waiting for an instance, by polling at a chosen pace.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::client::Rds;
use crate::cluster::Cluster;
use crate::error::{Awaited, Error, Result, Thing};
use crate::instance::Instance;
use crate::name::same;
use crate::standing::Standing;

/// How patiently something is waited for.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The pause between two readings, where there is time for it; never less than a millisecond.
    pub poll_every: Duration,
    /// When to give up; nothing is stopped by that.
    pub give_up_after: Duration,
    /// So many readings in a row must say `available`: RDS says it early, and then modifies once more.
    pub readings: u32,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { poll_every: Duration::from_secs(15), give_up_after: Duration::from_secs(6 * 3600), readings: 3 }
    }
}

impl Waiting {
    /// The pause, which is never none, and never longer than there is time: whoever waits looks a second time.
    #[must_use]
    pub fn pause(&self) -> Duration {
        self.poll_every.min(self.give_up_after).max(Duration::from_millis(1))
    }

    /// So long it has been waited for after so many readings.
    #[must_use]
    pub fn waited(&self, readings: u128) -> u64 {
        self.pause().saturating_mul(u32::try_from(readings).unwrap_or(u32::MAX)).as_secs()
    }

    /// How many readings there may be before it is given up.
    #[must_use]
    pub fn most_readings(&self) -> u128 {
        self.give_up_after.as_millis() / self.pause().as_millis().max(1) + 1
    }
}

/// An event of RDS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// When.
    pub at: DateTime<Utc>,
    /// What, in RDS's words.
    pub message: String,
}

/// One reading of whoever waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// The instance's name.
    pub name: String,
    /// Its status.
    pub status: String,
    /// So long it has been waited for, pauses alone.
    pub waited_seconds: u64,
    /// What RDS says happened since the last change of the status.
    pub events: Vec<Happened>,
}

/// Whom to wait for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whom<'a> {
    /// Whoever has the name.
    Name(&'a str),
    /// Whatever its name is; while it is renamed it may be gone for some readings.
    Resource { id: &'a str, until_named: &'a str },
    /// Whatever its standing is, until it has another name and its old one is free.
    Renamed { id: &'a str, from: &'a str, to: &'a str },
    /// The cluster that has the name.
    Cluster(&'a str),
}

/// What was waited for.
enum Found {
    Instance(Instance),
    Cluster(Cluster),
}

impl Found {
    fn parts(&self) -> (&str, &str, Standing) {
        match self {
            Self::Instance(instance) => (&instance.name, &instance.status, instance.standing()),
            Self::Cluster(cluster) => (&cluster.name, &cluster.status, cluster.standing()),
        }
    }
}

impl Rds {
    /// Waits until the instance is available, in several readings in a row. `report` hears of every reading.
    ///
    /// Dropping the future stops nothing: another process can wait on.
    ///
    /// # Errors
    /// [`Error::Ended`] with RDS's newest event, [`Error::Stopped`], [`Error::Gone`], [`Error::GaveUp`].
    pub async fn wait_available(
        &self,
        name: &str,
        waiting: &Waiting,
        since: DateTime<Utc>,
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<Instance> {
        self.wait_for(Whom::Name(name), waiting, since, report).await
    }

    /// Waits until an instance that RDS said it makes is to be seen. Readings may be older than what RDS has done.
    ///
    /// # Errors
    /// [`Error::NotFound`] after as many readings as say that one is available.
    pub async fn wait_seen(&self, name: &str, waiting: &Waiting) -> Result<()> {
        for _ in 1..waiting.readings.max(1) {
            if self.find(name).await?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(waiting.pause()).await;
        }
        self.instance(name).await.map(drop)
    }

    pub(crate) async fn wait_for(
        &self,
        whom: Whom<'_>,
        waiting: &Waiting,
        since: DateTime<Utc>,
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<Instance> {
        match self.wait_found(whom, waiting, since, report).await? {
            Found::Instance(instance) => Ok(instance),
            Found::Cluster(cluster) => Err(Error::ClusterSource { subject: cluster.name }),
        }
    }

    /// Waits until the cluster is available, as [`wait_available`](Self::wait_available) does for an instance.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn wait_cluster(
        &self,
        name: &str,
        waiting: &Waiting,
        since: DateTime<Utc>,
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<Cluster> {
        match self.wait_found(Whom::Cluster(name), waiting, since, report).await? {
            Found::Cluster(cluster) => Ok(cluster),
            Found::Instance(instance) => Err(Error::NotFound { subject: instance.name }),
        }
    }

    async fn wait_found(
        &self,
        whom: Whom<'_>,
        waiting: &Waiting,
        since: DateTime<Utc>,
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<Found> {
        let is_cluster = matches!(whom, Whom::Cluster(_));
        let (mut usable, mut unseen, mut seen, mut last) = (0, 0, false, String::new());
        let mut told = since;
        let most = waiting.most_readings();
        let mut readings: u128 = 0;
        loop {
            let waited = waiting.waited(readings);
            let found = match whom {
                Whom::Name(name) => self.find(name).await?.map(Found::Instance),
                Whom::Resource { id, .. } | Whom::Renamed { id, .. } => {
                    self.find_resource(id).await?.map(Found::Instance)
                }
                Whom::Cluster(name) => self.find_cluster(name).await?.map(Found::Cluster),
            };
            let (subject, status) = match (whom, &found) {
                (_, Some(found)) => (found.parts().0, found.parts().1),
                (Whom::Name(name) | Whom::Cluster(name), None) => (name, "not to be seen"),
                (Whom::Resource { until_named: name, .. } | Whom::Renamed { to: name, .. }, None) => {
                    (name, "not to be seen")
                }
            };
            let (subject, status) = (subject.to_owned(), status.to_owned());
            let mut events = Vec::new();
            if status != last {
                events = self.news(&subject, is_cluster, told).await;
                told = events.last().map_or(told, |event| event.at + chrono::TimeDelta::milliseconds(1));
            }
            let reading = Reading { name: subject.clone(), status: status.clone(), waited_seconds: waited, events };
            report(&reading);
            last.clone_from(&status);
            match found {
                Some(found) => {
                    (seen, unseen) = (true, 0);
                    let named = match (whom, &found) {
                        (Whom::Resource { until_named, .. }, _) => same(&subject, until_named),
                        (Whom::Renamed { id, from, to }, Found::Instance(there)) => {
                            there.keeps(to) && self.find(from).await?.is_none_or(|other| other.resource_id != id)
                        }
                        _ => true,
                    };
                    let whatever = matches!(whom, Whom::Renamed { .. });
                    match found.parts().2 {
                        _ if whatever && named => return Ok(found),
                        Standing::Broken | Standing::Stopped if whatever => usable = 0,
                        Standing::Usable if named => usable += 1,
                        Standing::Usable | Standing::Working => usable = 0,
                        Standing::Stopped => {
                            let thing = if is_cluster { Thing::Cluster } else { Thing::Instance };
                            return Err(Error::Stopped { subject, thing });
                        }
                        Standing::Going => return Err(Error::Gone { subject }),
                        Standing::Broken => {
                            let event = match reading.events.last() {
                                Some(event) => Some(event.message.clone()),
                                None => self.news(&subject, is_cluster, since).await.pop().map(|event| event.message),
                            };
                            return Err(Error::Ended { subject, status, event });
                        }
                    }
                    if usable >= waiting.readings.max(1) {
                        return Ok(found);
                    }
                }
                None if matches!(whom, Whom::Resource { .. } | Whom::Renamed { .. }) => usable = 0,
                // Readings may be older than what RDS has done; one that misses it says little.
                None => {
                    (usable, unseen) = (0, unseen + 1);
                    if unseen >= waiting.readings.max(1) {
                        return Err(if seen { Error::Gone { subject } } else { Error::NotFound { subject } });
                    }
                }
            }
            readings += 1;
            if readings >= most {
                return Err(Error::GaveUp { subject, awaited: Awaited::Instance, status, waited_seconds: waited });
            }
            tokio::time::sleep(waiting.pause()).await;
        }
    }

    /// Events are told where they may be read; without the permission the wait goes on.
    async fn news(&self, name: &str, is_cluster: bool, since: DateTime<Utc>) -> Vec<Happened> {
        self.events(name, is_cluster, since).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "events are not told");
            Vec::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_less_than_a_pause_looks_twice() {
        let of = |poll: u64, most: u64| {
            let (poll_every, give_up_after) = (Duration::from_millis(poll), Duration::from_millis(most));
            let waiting = Waiting { poll_every, give_up_after, readings: 3 };
            (waiting.pause().as_millis(), waiting.most_readings())
        };
        assert_eq!(of(15_000, 60_000), (15_000, 5));
        assert_eq!(of(15_000, 10_000), (10_000, 2));
        assert_eq!((of(15_000, 0), of(0, 3)), ((1, 1), (1, 4)));
    }
}
