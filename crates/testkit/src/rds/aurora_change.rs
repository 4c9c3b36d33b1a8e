//! The actions that change an Aurora cluster or end it, and its snapshots.

use std::path::PathBuf;

use super::aurora::capacity_of;
use super::error::RdsError;
use super::query::{Query, plain_name};
use super::shape::Shape;
use super::standing::{Standing, Then};
use super::state::State;
use super::xml::{element, text};

/// A snapshot of a cluster: a packed data directory.
#[derive(Debug)]
pub(super) struct ClusterSnapshot {
    pub(super) identifier: String,
    pub(super) file: PathBuf,
}

impl State {
    /// Returns the lines of a cluster's parameter group.
    pub(super) fn cluster_parameters(&self, group: &str) -> Vec<String> {
        self.cluster_parameter_groups.get(group).cloned().unwrap_or_default()
    }

    /// Refuses a cluster's parameter group that there is not; those of the service are always there.
    pub(super) fn check_cluster_group(&self, query: &Query) -> Result<(), RdsError> {
        let Some(name) = query.text("DBClusterParameterGroupName").map(str::to_ascii_lowercase) else { return Ok(()) };
        if name.starts_with("default.") || self.cluster_parameter_groups.contains_key(&name) {
            return Ok(());
        }
        let message = format!("DBClusterParameterGroup not found: {name}");
        Err(RdsError::new(404, "DBClusterParameterGroupNotFound", message))
    }

    pub(super) fn modify_cluster(&mut self, query: &Query) -> Result<String, RdsError> {
        let plain = [
            "DeletionProtection",
            "BackupRetentionPeriod",
            "PreferredBackupWindow",
            "PreferredMaintenanceWindow",
            "EnableIAMDatabaseAuthentication",
            "CopyTagsToSnapshot",
            "StorageType",
            "Iops",
            "NetworkType",
        ];
        let others = [
            "DBClusterIdentifier",
            "NewDBClusterIdentifier",
            "ApplyImmediately",
            "VpcSecurityGroupIds",
            "DBClusterParameterGroupName",
            "CloudwatchLogsExportConfiguration",
            "ServerlessV2ScalingConfiguration",
        ];
        query.refuse_others(&[&plain, &others])?;
        let identifier = query.identifier("DBClusterIdentifier")?;
        let place = self.cluster_place(&identifier)?;
        let renamed = query.text("NewDBClusterIdentifier").map(|_| query.new_identifier("NewDBClusterIdentifier"));
        let renamed = renamed.transpose()?.filter(|renamed| *renamed != identifier);
        if renamed.as_ref().is_some_and(|renamed| self.cluster_place(renamed).is_ok()) {
            return Err(RdsError::new(400, "DBClusterAlreadyExistsFault", "DB Cluster already exists"));
        }
        if renamed.is_some() && !query.flag("ApplyImmediately") {
            return Err(RdsError::combination("This endpoint renames clusters at once only."));
        }
        self.check_groups(query)?;
        self.check_cluster_group(query)?;
        let cluster = &mut self.clusters[place];
        if cluster.standing.status() != "available" {
            let message = format!("DB cluster {identifier} is not currently in the available state");
            return Err(RdsError::new(400, "InvalidDBClusterStateFault", message));
        }
        cluster.shape.properties.extend(Shape::modified(query));
        cluster.shape.name_groups(query);
        if let Some(group) = query.text("DBClusterParameterGroupName") {
            cluster.parameter_group = group.to_ascii_lowercase();
        }
        cluster.capacity = capacity_of(query).or(cluster.capacity.take());
        for (wanted, on) in [("EnableLogTypes", true), ("DisableLogTypes", false)] {
            for log in query.list(&format!("CloudwatchLogsExportConfiguration.{wanted}")).unwrap_or_default() {
                cluster.shape.log_exports.retain(|known| *known != log);
                if on {
                    cluster.shape.log_exports.push(log);
                }
            }
        }
        cluster.standing.push("modifying", Then::Nothing);
        if let Some(renamed) = renamed {
            cluster.standing.push("renaming", Then::Rename(renamed));
        }
        Ok(element("DBCluster", &cluster.xml()))
    }

    /// Gives a cluster another name, and with it another address; resource, tags and instances stay as they are.
    pub(super) fn rename_cluster(&mut self, resource: &str, to: &str) {
        let address = self.address_of(&format!("{to}.cluster"));
        let Some(cluster) = self.clusters.iter_mut().find(|cluster| cluster.resource == resource) else { return };
        let old = std::mem::replace(&mut cluster.identifier, to.to_owned());
        cluster.address = address;
        let has_members = !cluster.members.is_empty();
        for member in self.instances.iter_mut().filter(|member| member.cluster.as_deref() == Some(&old)) {
            member.cluster = Some(to.to_owned());
        }
        if has_members {
            self.start_cluster(to);
        }
        self.event_of("db-cluster", to, "configuration change", &format!("Renamed cluster from {old} to {to}."));
    }

    pub(super) fn delete_cluster(&mut self, query: &Query) -> Result<String, RdsError> {
        let own = ["DBClusterIdentifier", "SkipFinalSnapshot", "FinalDBSnapshotIdentifier", "DeleteAutomatedBackups"];
        query.refuse_others(&[&own])?;
        let identifier = query.identifier("DBClusterIdentifier")?;
        let place = self.cluster_place(&identifier)?;
        let cluster = &self.clusters[place];
        if cluster.standing.status() == "deleting" {
            let message = format!("Cluster {identifier} is already being deleted.");
            return Err(RdsError::new(400, "InvalidDBClusterStateFault", message));
        }
        if cluster.shape.property("DeletionProtection") == "true" {
            return Err(RdsError::combination(
                "Cannot delete protected Cluster, please disable deletion protection and try again.",
            ));
        }
        if !cluster.members.is_empty() {
            let message = "Cluster cannot be deleted, it still contains DB instances in non-deleting state.";
            return Err(RdsError::new(400, "InvalidDBClusterStateFault", message));
        }
        match (query.flag("SkipFinalSnapshot"), query.text("FinalDBSnapshotIdentifier")) {
            (true, None) => {}
            (true, Some(_)) => {
                return Err(RdsError::combination(
                    "FinalDBSnapshotIdentifier cannot be specified when SkipFinalSnapshot is specified.",
                ));
            }
            (false, None) => {
                return Err(RdsError::combination(
                    "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
                ));
            }
            (false, Some(_)) => {
                self.take_cluster_snapshot(place, &query.new_identifier("FinalDBSnapshotIdentifier")?)?
            }
        }
        let cluster = &mut self.clusters[place];
        cluster.standing = Standing::resting("deleting").then("deleting", Then::Remove { keep_backups: false });
        Ok(element("DBCluster", &cluster.xml()))
    }

    pub(super) fn describe_cluster_snapshots(&mut self, query: &Query) -> Result<String, RdsError> {
        let own =
            ["DBClusterIdentifier", "DBClusterSnapshotIdentifier", "SnapshotType", "Filters", "MaxRecords", "Marker"];
        query.refuse_others(&[&own])?;
        let one = query.text("DBClusterSnapshotIdentifier").map(plain_name);
        let fits = |snapshot: &&ClusterSnapshot| one.as_ref().is_none_or(|one| *one == snapshot.identifier);
        let told = |snapshot: &ClusterSnapshot| {
            text("DBClusterSnapshotIdentifier", &snapshot.identifier) + &text("Status", "available")
        };
        let found: Vec<String> = self.cluster_snapshots.iter().filter(fits).map(told).collect();
        if let (Some(one), true) = (one, found.is_empty()) {
            let message = format!("DBClusterSnapshot {one} not found.");
            return Err(RdsError::new(404, "DBClusterSnapshotNotFoundFault", message));
        }
        self.page(query, "DBClusterSnapshots", "DBClusterSnapshot", found)
    }

    /// Packs the data of a cluster.
    fn take_cluster_snapshot(&mut self, place: usize, identifier: &str) -> Result<(), RdsError> {
        if self.cluster_snapshots.iter().any(|snapshot| snapshot.identifier == identifier) {
            let message = format!("DB cluster snapshot {identifier} already exists.");
            return Err(RdsError::new(400, "DBClusterSnapshotAlreadyExistsFault", message));
        }
        let file = self.common.home.join(format!("{}.tar", Self::resource("cluster-snapshot")));
        self.clusters[place].engine.pack_to(&file);
        self.event_of("db-cluster-snapshot", identifier, "creation", "DB cluster snapshot created");
        self.cluster_snapshots.push(ClusterSnapshot { identifier: identifier.into(), file });
        Ok(())
    }
}
