//! To which instants a source can be restored, and what is missing where it cannot.

use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};

use crate::client::Rds;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::instance::{Endpoint, Instance};
use crate::standing::{Standing, standing};

/// RDS stores logs every five minutes; a window that is this much behind no longer moves (user guide, "Restoring to a
/// specified time").
const LAGS_AFTER_SECONDS: i64 = 15 * 60;

/// What keeps a source from being restored to an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "missing")]
pub enum Missing {
    /// The retention is 0 days.
    BackupsDisabled,
    /// It replicates another.
    ReadReplica {
        /// Which.
        primary: String,
    },
    /// It is a member of a cluster, which is restored as a whole.
    ClusterMember {
        /// Which.
        cluster: String,
    },
    /// It is no PostgreSQL.
    WrongEngine {
        /// Its engine.
        engine: String,
    },
    /// The first automated backup is not made yet.
    NoBackupYet,
}

/// The earliest and the latest restorable instant that automated backups tell of.
pub(crate) type Bounds = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// The restorable window of an instance or a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The instance or cluster.
    pub source: String,
    /// Its resource id.
    pub resource_id: String,
    /// Whether it is a cluster.
    pub is_cluster: bool,
    /// Its engine.
    pub engine: String,
    /// Its status.
    pub status: String,
    /// Where the instance is reached; `None` for a cluster, and while it cannot be.
    pub endpoint: Option<Endpoint>,
    /// The earliest restorable instant, where RDS says it.
    pub earliest_at: Option<DateTime<Utc>>,
    /// The latest restorable instant.
    pub latest_at: Option<DateTime<Utc>>,
    /// How far the latest is behind now.
    pub lag_seconds: Option<i64>,
    /// Days that backups are kept.
    pub retention_days: u32,
    /// What keeps it from being restored; empty when nothing does.
    pub missing: Vec<Missing>,
    /// What is worth knowing, in words.
    pub warnings: Vec<String>,
}

impl Window {
    /// Judges an instance. `earliest_latest` is what its automated backups say.
    pub(crate) fn of_instance(instance: &Instance, earliest_latest: Option<Bounds>, now: DateTime<Utc>) -> Self {
        let mut missing = Vec::new();
        if instance.engine != "postgres" && !instance.engine.starts_with("aurora-postgresql") {
            missing.push(Missing::WrongEngine { engine: instance.engine.clone() });
        }
        if let Some(cluster) = &instance.cluster {
            missing.push(Missing::ClusterMember { cluster: cluster.clone() });
        }
        if let Some(primary) = &instance.replica_of {
            missing.push(Missing::ReadReplica { primary: primary.clone() });
        }
        let retention_days = instance.properties.retention_days.unwrap_or_default();
        let (earliest_at, latest) = earliest_latest.unwrap_or_default();
        let window = Self {
            source: instance.name.clone(),
            resource_id: instance.resource_id.clone(),
            is_cluster: false,
            engine: instance.engine.clone(),
            status: instance.status.clone(),
            endpoint: instance.endpoint.clone(),
            earliest_at,
            latest_at: instance.latest_restorable_at.or(latest),
            lag_seconds: None,
            retention_days,
            missing,
            warnings: Vec::new(),
        };
        window.judged(now)
    }

    /// Judges a cluster.
    #[must_use]
    pub fn of_cluster(cluster: &Cluster, now: DateTime<Utc>) -> Self {
        let mut missing = Vec::new();
        if cluster.engine != "aurora-postgresql" && cluster.engine != "postgres" {
            missing.push(Missing::WrongEngine { engine: cluster.engine.clone() });
        }
        if let Some(primary) = &cluster.replica_of {
            missing.push(Missing::ReadReplica { primary: primary.clone() });
        }
        let window = Self {
            source: cluster.name.clone(),
            resource_id: cluster.resource_id.clone(),
            is_cluster: true,
            engine: cluster.engine.clone(),
            status: cluster.status.clone(),
            endpoint: None,
            earliest_at: cluster.earliest_restorable_at,
            latest_at: cluster.latest_restorable_at,
            lag_seconds: None,
            retention_days: cluster.retention_days,
            missing,
            warnings: Vec::new(),
        };
        window.judged(now)
    }

    fn judged(mut self, now: DateTime<Utc>) -> Self {
        if self.missing.is_empty() && self.retention_days == 0 {
            self.missing.push(Missing::BackupsDisabled);
        }
        if self.missing.is_empty() && self.latest_at.is_none() {
            self.missing.push(Missing::NoBackupYet);
        }
        if !self.missing.is_empty() {
            return self;
        }
        self.lag_seconds = self.latest_at.map(|latest| (now - latest).num_seconds());
        if let Some(lag) = self.lag_seconds.filter(|lag| *lag > LAGS_AFTER_SECONDS) {
            self.warnings.push(format!("the latest restorable instant is {} minutes behind", lag / 60));
        }
        if self.earliest_at.is_none() {
            self.warnings.push("RDS does not say the earliest restorable instant".to_owned());
        }
        if standing(&self.status) == Standing::Stopped {
            self.warnings.push("it is stopped: its window does not move".to_owned());
        }
        self
    }

    /// Whether it can be restored to some instant.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.missing.is_empty()
    }

    /// The first thing that is missing, as an error.
    ///
    /// # Errors
    /// One for each [`Missing`].
    pub fn check_open(&self) -> Result<()> {
        let source_name = self.source.clone();
        match self.missing.first() {
            None => Ok(()),
            Some(Missing::BackupsDisabled) => Err(Error::BackupsDisabled { source_name }),
            Some(Missing::NoBackupYet) => Err(Error::NoBackupYet { source_name }),
            Some(Missing::ReadReplica { primary }) => Err(Error::ReadReplica { source_name, primary: primary.clone() }),
            Some(Missing::ClusterMember { cluster }) => {
                Err(Error::ClusterMember { source_name, cluster: cluster.clone() })
            }
            Some(Missing::WrongEngine { engine }) => Err(Error::WrongEngine { source_name, engine: engine.clone() }),
        }
    }

    /// Checks that an instant can be restored, and gives it as RDS takes it: whole seconds, downwards, so that nothing
    /// that was written after `at` comes back.
    ///
    /// # Errors
    /// [`Error::InTheFuture`], [`Error::OutsideWindow`], and those of [`check_open`](Self::check_open).
    pub fn check(&self, at: DateTime<Utc>, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
        self.check_open()?;
        if at > now {
            return Err(Error::InTheFuture { at, now });
        }
        let at = at.trunc_subsecs(0);
        let early = self.earliest_at.is_some_and(|earliest| at < earliest.trunc_subsecs(0));
        let late = self.latest_at.is_none_or(|latest| at > latest);
        if early || late {
            let (earliest, latest) = (self.earliest_at, self.latest_at);
            return Err(Error::OutsideWindow { source_name: self.source.clone(), at, earliest, latest });
        }
        Ok(at)
    }

    /// Refuses a cluster, where something is done with instances only.
    ///
    /// # Errors
    /// [`Error::ClusterSource`].
    pub fn demand_instance(&self) -> Result<()> {
        match self.is_cluster {
            true => Err(Error::ClusterSource { subject: self.source.clone() }),
            false => Ok(()),
        }
    }
}

impl Rds {
    /// The restorable window of an instance, or of a cluster where no instance has the name.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is neither; [`Error::AccessDenied`] names the permission.
    pub async fn window(&self, source: &str, now: DateTime<Utc>) -> Result<Window> {
        match self.find(source).await? {
            Some(instance) => self.window_of(&instance, now).await,
            None => match self.find_cluster(source).await? {
                Some(cluster) => Ok(Window::of_cluster(&cluster, now)),
                None => Err(Error::NotFound { subject: source.to_owned() }),
            },
        }
    }

    pub(crate) async fn window_of(&self, instance: &Instance, now: DateTime<Utc>) -> Result<Window> {
        let bounds = self.restore_window(instance).await?;
        Ok(Window::of_instance(instance, bounds, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::Properties;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn shop() -> Instance {
        Instance {
            name: "shop".into(),
            engine: "postgres".into(),
            status: "available".into(),
            latest_restorable_at: Some(at("2026-11-21T03:00:00.5Z")),
            properties: Properties { retention_days: Some(7), ..Properties::default() },
            ..Instance::default()
        }
    }

    fn window(instance: &Instance) -> Window {
        Window::of_instance(instance, Some((Some(at("2026-11-14T03:00:00Z")), None)), at("2026-11-21T03:04:00Z"))
    }

    #[test]
    fn the_window_is_told_and_instants_are_held_against_it() {
        let window = window(&shop());
        assert!(window.is_open() && window.warnings.is_empty(), "{window:?}");
        assert_eq!(window.lag_seconds, Some(239));
        let now = at("2026-11-21T03:04:00Z");
        assert_eq!(window.check(at("2026-11-20T10:00:00.999Z"), now).unwrap(), at("2026-11-20T10:00:00Z"));
        assert!(window.check(at("2026-11-21T03:00:00.9Z"), now).is_ok());
        for (outside, told) in
            [("2026-11-14T02:59:59Z", "2026-11-14T03:00:00Z"), ("2026-11-21T03:00:01Z", "2026-11-21T03:00:00Z")]
        {
            let error = window.check(at(outside), now).unwrap_err();
            assert!(
                error.to_string().contains("its window is 2026-11-14T03:00:00Z to 2026-11-21T03:00:00Z"),
                "{error}"
            );
            assert!(error.hint().unwrap().contains(told), "{error}: {:?}", error.hint());
        }
        assert!(matches!(window.check(at("2026-11-21T03:04:01Z"), now), Err(Error::InTheFuture { .. })));
    }

    #[test]
    fn what_is_missing_is_a_fact_and_an_error_with_a_hint() {
        let mut off = shop();
        off.properties.retention_days = Some(0);
        let mut replica = shop();
        replica.replica_of = Some("shop-primary".into());
        let mut member = shop();
        member.cluster = Some("shop-cluster".into());
        let mut mysql = shop();
        mysql.engine = "mysql".into();
        let mut fresh = shop();
        fresh.latest_restorable_at = None;
        for (instance, told) in [
            (off, "keeps no automated backups"),
            (replica, "is a read replica of shop-primary"),
            (member, "is a member of the cluster shop-cluster"),
            (mysql, "runs mysql"),
            (fresh, "has no backup yet"),
        ] {
            let window = window(&instance);
            let error = window.check(at("2026-11-20T10:00:00Z"), at("2026-11-21T03:04:00Z")).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
            assert!(error.hint().is_some() && !window.is_open());
        }
    }

    #[test]
    fn a_window_that_stands_still_is_warned_of() {
        let mut stopped = shop();
        stopped.status = "stopped".into();
        let window = Window::of_instance(&stopped, None, at("2026-11-21T05:00:00Z"));
        let told = window.warnings.join("; ");
        assert!(told.contains("119 minutes behind") && told.contains("stopped") && told.contains("earliest"), "{told}");
    }

    #[test]
    fn a_clusters_window_is_its_own() {
        let cluster = Cluster {
            name: "shop".into(),
            engine: "aurora-postgresql".into(),
            status: "available".into(),
            retention_days: 1,
            earliest_restorable_at: Some(at("2026-11-20T03:00:00Z")),
            latest_restorable_at: Some(at("2026-11-21T03:00:00Z")),
            ..Cluster::default()
        };
        let window = Window::of_cluster(&cluster, at("2026-11-21T03:00:02Z"));
        assert!(window.is_open() && window.is_cluster && window.lag_seconds == Some(2), "{window:?}");
        let mysql = Cluster { engine: "aurora-mysql".into(), ..cluster };
        assert!(!Window::of_cluster(&mysql, at("2026-11-21T03:00:02Z")).is_open());
        let fresh = Cluster { engine: "aurora-postgresql".into(), latest_restorable_at: None, ..mysql };
        let error = Window::of_cluster(&fresh, at("2026-11-21T03:00:02Z")).check_open().unwrap_err();
        // A cluster cannot be without backups: nothing is to be switched on.
        assert!(error.hint().unwrap().ends_with("holdpoint rds window shop"), "{error}");
    }
}
