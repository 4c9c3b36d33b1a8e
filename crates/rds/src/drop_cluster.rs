//! The drop of a cluster that holdpoint made: instances first, then the cluster.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::client::Rds;
use crate::cluster::Cluster;
use crate::drop_options::{DropOptions, unfinished};
use crate::error::{Error, Result, Thing};
use crate::failure::classify;
use crate::gone::Going;
use crate::made::Made;
use crate::marks;
use crate::name::check_name;
use crate::standing::Standing;
use crate::wait::{Reading, Waiting};

/// What a drop of a cluster will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterDropPlan {
    /// The cluster, with the instances that go first.
    pub cluster: Made,
    /// The last snapshot of the cluster.
    pub final_snapshot: Option<String>,
    /// Whether its protection is taken away first.
    pub lifts_protection: bool,
    /// Whether it is being deleted already.
    pub is_going: bool,
}

impl Rds {
    /// Plans the drop of a cluster with its instances. Only what carries holdpoint's tags can be dropped, never a source, and
    /// never what serves in the place of its source; an instance that somebody else put into the cluster keeps it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotOurs`], [`Error::IsSource`], [`Error::InService`], [`Error::Protected`],
    /// [`Error::InvalidName`], [`Error::LastSnapshotTaken`].
    pub async fn plan_drop_cluster(&self, options: &DropOptions) -> Result<ClusterDropPlan> {
        let cluster = self.cluster(&options.name).await?;
        let subject = cluster.name.clone();
        let all = self.clusters().await?;
        let made = Made::of_cluster(&cluster, &all).ok_or_else(|| Error::NotOurs { subject: subject.clone() })?;
        let of_it = |other: &Cluster| marks::is_made_of(&other.tags, &cluster.resource_id);
        if of_it(&cluster) || all.iter().any(of_it) {
            return Err(Error::IsSource { subject });
        }
        if made.is_in_service {
            return Err(Error::InService { subject, thing: Thing::Cluster });
        }
        for member in &made.members {
            let found = self.find(member).await?;
            if found.is_some_and(|found| !marks::is_ours(&found.tags)) {
                return Err(Error::NotOurs { subject: format!("{member}, an instance of {subject},") });
            }
        }
        if made.is_protected && !options.lift_protection {
            return Err(Error::Protected { subject });
        }
        let is_going = cluster.standing() == Standing::Going;
        if let Some(snapshot) = &options.final_snapshot {
            check_name(snapshot)?;
            // RDS looks at the name once the instances are gone. Of what it drops already it is the snapshot itself.
            if !is_going && self.has_cluster_snapshot(snapshot).await? {
                return Err(Error::LastSnapshotTaken { name: snapshot.clone() });
            }
        }
        Ok(ClusterDropPlan {
            lifts_protection: made.is_protected,
            final_snapshot: options.final_snapshot.clone(),
            is_going,
            cluster: made,
        })
    }

    /// Whether a snapshot of a cluster has that name; `false` where nobody may look.
    async fn has_cluster_snapshot(&self, name: &str) -> Result<bool> {
        const ACTION: &str = "DescribeDBClusterSnapshots";
        let call = self.client.describe_db_cluster_snapshots().db_cluster_snapshot_identifier(name);
        match call.send().await.map_err(|failure| classify(failure, ACTION, name)) {
            Ok(answer) => Ok(!answer.db_cluster_snapshots().is_empty()),
            Err(Error::NotFound { .. } | Error::AccessDenied { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Drops the instances of a plan, waits until they are gone, drops the cluster with its automated backups, and waits until
    /// that is gone. After a kill the same command goes on.
    ///
    /// # Errors
    /// [`Error::Gone`] and [`Error::InService`] where it was renamed since the plan was made: nothing is dropped then.
    /// [`Error::DropUnfinished`] with what RDS refuses, and where an instance is still there; [`Error::GaveUp`] when the cluster
    /// is, which stops nothing.
    pub async fn drop_cluster(
        &self,
        plan: &ClusterDropPlan,
        waiting: &Waiting,
        now: DateTime<Utc>,
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<()> {
        let name = &plan.cluster.name;
        let whole = Going::Cluster { name, resource_id: &plan.cluster.resource_id };
        if !self.is_still_to_drop(whole, waiting).await? {
            return Ok(());
        }
        let mut going = Vec::new();
        if let Err(failure) = self.begin_drop_cluster(plan, waiting, now, report, &mut going).await {
            let snapshot = plan.final_snapshot.as_deref();
            return Err(unfinished(name, going, snapshot, plan.lifts_protection, failure));
        }
        self.wait_gone(whole, waiting, report).await
    }

    /// Drops all until RDS has taken on the drop of the cluster; `going` gets the instances that it drops.
    async fn begin_drop_cluster(
        &self,
        plan: &ClusterDropPlan,
        waiting: &Waiting,
        now: DateTime<Utc>,
        report: &mut (dyn FnMut(&Reading) + Send),
        going: &mut Vec<String>,
    ) -> Result<()> {
        let name = &plan.cluster.name;
        if plan.lifts_protection {
            const ACTION: &str = "ModifyDBCluster";
            let call = self.client.modify_db_cluster().db_cluster_identifier(name).deletion_protection(false);
            call.apply_immediately(true).send().await.map_err(|failure| classify(failure, ACTION, name))?;
            self.wait_cluster(name, waiting, now, report).await?;
            // That takes its time.
            let whole = Going::Cluster { name, resource_id: &plan.cluster.resource_id };
            if !self.is_still_to_drop(whole, waiting).await? {
                return Ok(());
            }
        }
        let mut members = Vec::new();
        for member in &plan.cluster.members {
            let Some(found) = self.find(member).await? else { continue };
            // Since the plan was made its name may have been given to another one.
            if found.cluster.as_deref() != Some(name) || !marks::is_ours(&found.tags) {
                return Err(Error::NotOurs { subject: format!("{member}, no instance of {name} any more,") });
            }
            if found.standing() != Standing::Going {
                self.delete_member(member, name).await?;
            }
            going.push(found.name.clone());
            members.push((found.name, found.resource_id));
        }
        for (member, resource) in &members {
            self.wait_gone(Going::Instance { name: member, resource_id: resource }, waiting, report).await?;
        }
        if !plan.is_going {
            self.delete_cluster(name, plan.final_snapshot.as_deref()).await?;
        }
        Ok(())
    }

    /// Its data are the cluster's, and so are its snapshots and backups.
    async fn delete_member(&self, name: &str, cluster: &str) -> Result<()> {
        const ACTION: &str = "DeleteDBInstance";
        let call = self.client.delete_db_instance().db_instance_identifier(name).skip_final_snapshot(true);
        match call.send().await.map_err(|failure| classify(failure, ACTION, name)) {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            // The answer to an earlier attempt was lost.
            Err(error @ Error::WrongState { .. }) => {
                let found = self.find(name).await?;
                if found.is_none_or(|found| found.standing() == Standing::Going) { Ok(()) } else { Err(error) }
            }
            // Instances are started and stopped with their cluster.
            Err(Error::Stopped { .. }) => Err(Error::Stopped { subject: cluster.to_owned(), thing: Thing::Cluster }),
            Err(error) => Err(error),
        }
    }

    async fn delete_cluster(&self, name: &str, final_snapshot: Option<&str>) -> Result<()> {
        const ACTION: &str = "DeleteDBCluster";
        let mut call = self.client.delete_db_cluster().db_cluster_identifier(name).delete_automated_backups(true);
        call = match final_snapshot {
            Some(snapshot) => call.final_db_snapshot_identifier(snapshot).skip_final_snapshot(false),
            None => call.skip_final_snapshot(true),
        };
        match call.send().await.map_err(|failure| classify(failure, ACTION, name)) {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(Error::NameTaken { .. }) => {
                Err(Error::LastSnapshotTaken { name: final_snapshot.unwrap_or_default().to_owned() })
            }
            Err(error @ Error::WrongState { .. }) => {
                let found = self.find_cluster(name).await?;
                if found.is_none_or(|found| found.standing() == Standing::Going) { Ok(()) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }
}
