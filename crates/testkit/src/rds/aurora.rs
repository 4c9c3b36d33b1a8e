//! Aurora: a cluster has the data, its instances have addresses.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::engine::Engine;
use super::error::RdsError;
use super::instance::ACCOUNT;
use super::instant::{Seconds, now, written};
use super::query::{Query, plain_name};
use super::restore::{check_window, port_of, restore_time};
use super::shape::Shape;
use super::standing::{Pace, Standing, Then};
use super::state::State;
use super::xml::{element, list, tags, text};

/// An Aurora cluster.
#[derive(Debug)]
pub(super) struct DbCluster {
    pub(super) identifier: String,
    pub(super) resource: String,
    pub(super) created_at: Seconds,
    pub(super) standing: Standing,
    pub(super) shape: Shape,
    pub(super) parameter_group: String,
    /// The limits of serverless capacity, least and most.
    pub(super) capacity: Option<(String, String)>,
    /// The instances; the first one writes.
    pub(super) members: Vec<String>,
    pub(super) address: Ipv4Addr,
    pub(super) port: u16,
    pub(super) engine: Engine,
}

impl State {
    pub(super) fn advance_clusters(&mut self, paces: &BTreeMap<String, Pace>) {
        let mut renamed = Vec::new();
        self.clusters.retain_mut(|cluster| {
            while let Some(then) = cluster.standing.advance(paces) {
                match then {
                    Then::Remove { .. } => {
                        cluster.engine.stop();
                        cluster.engine.backup.remove();
                        return false;
                    }
                    Then::Rename(to) => renamed.push((cluster.resource.clone(), to)),
                    _ => {}
                }
            }
            true
        });
        for (resource, to) in renamed {
            self.rename_cluster(&resource, &to);
        }
    }

    pub(super) fn cluster_place(&self, identifier: &str) -> Result<usize, RdsError> {
        let place = self.clusters.iter().position(|cluster| cluster.identifier == identifier);
        place.ok_or_else(|| RdsError::cluster_not_found(identifier))
    }

    /// Starts the server of a cluster, at the cluster's address and those of its instances.
    pub(super) fn start_cluster(&mut self, identifier: &str) {
        let Ok(place) = self.cluster_place(identifier) else { return };
        let members = self.instances.iter().filter(|member| member.cluster.as_deref() == Some(identifier));
        let mut addresses: Vec<Ipv4Addr> =
            members.filter(|member| member.reachable).map(|member| member.address).collect();
        // What the instance that writes is told goes before what its cluster is told.
        let writer = self.clusters[place].members.first().and_then(|writer| self.place(writer).ok());
        let mut lines = self.cluster_parameters(&self.clusters[place].parameter_group);
        lines.extend(
            writer.map(|writer| self.parameters(&self.instances[writer].shape.parameter_group)).unwrap_or_default(),
        );
        let cluster = &mut self.clusters[place];
        addresses.insert(0, cluster.address);
        cluster.port = cluster.engine.listen(&addresses, cluster.port, &lines);
        let port = cluster.port;
        for member in self.instances.iter_mut().filter(|member| member.cluster.as_deref() == Some(identifier)) {
            member.port = port;
        }
    }

    /// A cluster without instances cannot be entered.
    pub(super) fn leave_cluster(&mut self, cluster: &str, member: &str) {
        let Ok(place) = self.cluster_place(cluster) else { return };
        self.clusters[place].members.retain(|known| known != member);
        if self.clusters[place].members.is_empty() {
            self.clusters[place].engine.stop();
        }
    }

    pub(super) fn describe_clusters(&mut self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[&["DBClusterIdentifier", "Filters", "MaxRecords", "Marker", "IncludeShared"]])?;
        self.ship_when_asked();
        let filters =
            query.filters(&["clone-group-id", "db-cluster-id", "db-cluster-resource-id", "domain", "engine"])?;
        let one = query.text("DBClusterIdentifier").map(plain_name);
        if let Some(identifier) = &one {
            self.cluster_place(identifier)?;
        }
        let fits = |cluster: &&mut DbCluster| {
            one.as_ref().is_none_or(|identifier| *identifier == cluster.identifier)
                && filters.iter().all(|(name, values)| {
                    let is = match name.as_str() {
                        "db-cluster-id" => &cluster.identifier,
                        "db-cluster-resource-id" => &cluster.resource,
                        "engine" => cluster.shape.property("Engine"),
                        _ => "",
                    };
                    values.iter().any(|value| value == is || plain_name(value) == is)
                })
        };
        let mut all = Vec::new();
        for cluster in self.clusters.iter_mut().filter(fits) {
            all.push(cluster.xml());
            cluster.standing.show();
        }
        self.page(query, "DBClusters", "DBCluster", all)
    }

    pub(super) fn restore_cluster(&mut self, query: &Query) -> Result<String, RdsError> {
        let own = [
            "DBClusterIdentifier",
            "SourceDBClusterIdentifier",
            "SourceDbClusterResourceId",
            "RestoreToTime",
            "RestoreType",
            "UseLatestRestorableTime",
            "Port",
            "DBSubnetGroupName",
            "OptionGroupName",
            "VpcSecurityGroupIds",
            "Tags",
            "KmsKeyId",
            "EnableIAMDatabaseAuthentication",
            "EnableCloudwatchLogsExports",
            "DBClusterParameterGroupName",
            "DeletionProtection",
            "CopyTagsToSnapshot",
            "StorageType",
            "Iops",
            "NetworkType",
            "BackupRetentionPeriod",
            "PreferredBackupWindow",
            "EngineLifecycleSupport",
            "ServerlessV2ScalingConfiguration",
        ];
        query.refuse_others(&[&own])?;
        let target = query.new_identifier("DBClusterIdentifier")?;
        let source = match query.text("SourceDbClusterResourceId") {
            Some(resource) => self.clusters.iter().find(|cluster| cluster.resource == resource),
            None => {
                let identifier = query.identifier("SourceDBClusterIdentifier")?;
                self.clusters.iter().find(|cluster| cluster.identifier == identifier)
            }
        };
        let asked = query.text("SourceDBClusterIdentifier").or(query.text("SourceDbClusterResourceId"));
        let source = source.ok_or_else(|| RdsError::cluster_not_found(asked.unwrap_or_default()))?;
        let named = Some(source.identifier.clone());
        if self.cluster_place(&target).is_ok() {
            return Err(RdsError::new(400, "DBClusterAlreadyExistsFault", "DB Cluster already exists"));
        }
        if self.used("DBClusters") >= self.quotas["DBClusters"] {
            return Err(RdsError::new(403, "DBClusterQuotaExceededFault", "DB Cluster quota exceeded."));
        }
        let at = restore_time(query, "RestoreToTime")?;
        let clone = match query.text("RestoreType") {
            None | Some("full-copy") => false,
            Some("copy-on-write") => true,
            Some(other) => return Err(RdsError::value(format!("Invalid RestoreType: {other}"))),
        };
        if clone && at.is_some() {
            return Err(RdsError::combination("RestoreToTime cannot be used with the restore type copy-on-write."));
        }
        let window = source.engine.backup.latest.map(|latest| (source.engine.backup.earliest, latest));
        check_window(at, window, source.shape.property("BackupRetentionPeriod"))?;
        self.check_groups(query)?;
        self.check_cluster_group(query)?;
        let mut shape = source.shape.restored();
        shape.name_in_restore(query)?;
        let group =
            query.text("DBClusterParameterGroupName").map_or_else(|| shape.parameter_group.clone(), str::to_owned);
        let capacity = capacity_of(query);
        if clone {
            // A clone begins with what is there now.
            let resource = source.resource.clone();
            self.clusters.iter_mut().filter(|cluster| cluster.resource == resource).for_each(|cluster| {
                cluster.engine.ship();
            });
        }
        let source = self.clusters.iter().find(|cluster| Some(&cluster.identifier) == named.as_ref());
        let source = source.ok_or_else(|| RdsError::cluster_not_found(&target))?;
        let port = port_of(query)?.unwrap_or(source.port);
        let engine = Engine::recovered(&self.common, &source.engine.backup, at);
        let engine =
            engine.map_err(|_| RdsError::new(400, "InvalidRestoreFault", "The data could not be recovered."))?;
        let rest = self.failing_restore().unwrap_or_else(|| "available".to_owned());
        let standing = Standing::resting(&rest).then("creating", Then::Nothing);
        self.add_cluster(&target, shape, &group, port, engine, standing);
        let cluster = self.clusters.last_mut().expect("the cluster was added");
        cluster.capacity = capacity;
        Ok(element("DBCluster", &cluster.xml()))
    }

    /// Adds a cluster without instances, and writes the answer.
    pub(super) fn add_cluster(
        &mut self,
        identifier: &str,
        shape: Shape,
        parameter_group: &str,
        port: u16,
        engine: Engine,
        standing: Standing,
    ) -> String {
        let cluster = DbCluster {
            identifier: identifier.into(),
            resource: Self::resource("cluster"),
            created_at: now(),
            standing,
            shape,
            parameter_group: parameter_group.into(),
            capacity: None,
            members: Vec::new(),
            address: self.address_of(&format!("{identifier}.cluster")),
            port,
            engine,
        };
        let xml = element("DBCluster", &cluster.xml());
        self.clusters.push(cluster);
        self.event_of("db-cluster", identifier, "creation", "DB cluster created");
        xml
    }

    /// Makes an instance in a cluster; other instances are made by the test.
    pub(super) fn create_instance(&mut self, query: &Query) -> Result<String, RdsError> {
        let own = [
            "DBInstanceIdentifier",
            "DBClusterIdentifier",
            "Engine",
            "EngineVersion",
            "DBInstanceClass",
            "PromotionTier",
        ];
        let others =
            ["DBParameterGroupName", "AvailabilityZone", "PubliclyAccessible", "CACertificateIdentifier", "Tags"];
        let more = ["AutoMinorVersionUpgrade", "PreferredMaintenanceWindow", "DBSubnetGroupName", "CopyTagsToSnapshot"];
        let watched = [
            "MonitoringInterval",
            "MonitoringRoleArn",
            "EnablePerformanceInsights",
            "PerformanceInsightsKMSKeyId",
            "PerformanceInsightsRetentionPeriod",
        ];
        query.refuse_others(&[&own, &others, &more, &watched])?;
        let identifier = query.new_identifier("DBInstanceIdentifier")?;
        let Some(cluster) = query.text("DBClusterIdentifier").map(plain_name) else {
            return Err(RdsError::combination("This endpoint makes instances of Aurora clusters only."));
        };
        let place = self.cluster_place(&cluster)?;
        if self.place(&identifier).is_ok() {
            return Err(RdsError::instance_exists());
        }
        if self.clusters[place].standing.status() != "available" {
            let message = format!("DB cluster {cluster} is not currently in the available state");
            return Err(RdsError::new(400, "InvalidDBClusterStateFault", message));
        }
        let owner = &self.clusters[place];
        let (asked, runs) = (query.required("Engine")?, owner.shape.property("Engine"));
        if asked != runs {
            return Err(RdsError::combination(format!(
                "The engine name requested for your DB instance ({asked}) doesn't match the engine name of your DB cluster \
                 ({runs})."
            )));
        }
        let mut shape = owner.shape.restored();
        shape.tags.clear();
        shape.security_groups.clone_from(&owner.shape.security_groups);
        shape.subnet_group.clone_from(&owner.shape.subnet_group);
        let port = owner.port;
        shape.name_in_restore(query)?;
        shape.properties.insert("PromotionTier".into(), "1".into());
        shape.properties.extend(Shape::modified(query));
        self.check_named(query, &shape)?;
        let standing = Standing::resting("available").then("creating", Then::Start);
        self.clusters[place].members.push(identifier.clone());
        self.add(&identifier, shape, port, None, standing);
        let instance = self.instance(&identifier)?;
        instance.cluster = Some(cluster);
        Ok(element("DBInstance", &instance.xml()))
    }
}

/// Reads the limits of serverless capacity that a call names.
pub(super) fn capacity_of(query: &Query) -> Option<(String, String)> {
    let limit = |name: &str| query.text(&format!("ServerlessV2ScalingConfiguration.{name}")).map(str::to_owned);
    limit("MinCapacity").zip(limit("MaxCapacity"))
}

impl DbCluster {
    pub(super) fn xml(&self) -> String {
        let member = |(place, identifier): (usize, &String)| {
            text("DBInstanceIdentifier", identifier)
                + &text("IsClusterWriter", if place == 0 { "true" } else { "false" })
                + &text("DBClusterParameterGroupStatus", "in-sync")
        };
        let groups = self.shape.security_groups.iter();
        let groups = groups.map(|group| text("VpcSecurityGroupId", group) + &text("Status", "active"));
        let mut xml = text("DBClusterIdentifier", &self.identifier)
            + &text("Status", self.standing.status())
            + &text("DbClusterResourceId", &self.resource)
            + &text("DBClusterArn", &format!("arn:aws:rds:{ACCOUNT}:cluster:{}", self.identifier))
            + &text("ClusterCreateTime", &written(self.created_at))
            + &text("DBClusterParameterGroup", &self.parameter_group)
            + &text("DBSubnetGroup", &self.shape.subnet_group)
            + &text("Endpoint", &self.address.to_string())
            + &text("ReaderEndpoint", &self.address.to_string())
            + &text("Port", &self.port.to_string())
            + &text("EarliestRestorableTime", &written(self.engine.backup.earliest))
            + &list("VpcSecurityGroups", "VpcSecurityGroupMembership", groups)
            + &list("DBClusterMembers", "DBClusterMember", self.members.iter().enumerate().map(member))
            + &list("EnabledCloudwatchLogsExports", "member", self.shape.log_exports.iter().cloned())
            + &text("EngineMode", "provisioned")
            + &tags(&self.shape.tags);
        if let Some(latest) = self.engine.backup.latest {
            xml += &text("LatestRestorableTime", &written(latest));
        }
        if let Some((least, most)) = &self.capacity {
            let limits = text("MinCapacity", least) + &text("MaxCapacity", most);
            xml += &element("ServerlessV2ScalingConfiguration", &limits);
        }
        if let Some(key) = self.shape.properties.get("KmsKeyId") {
            xml += &text("KmsKeyId", key);
        }
        for name in [
            "Engine",
            "EngineVersion",
            "MasterUsername",
            "MultiAZ",
            "StorageType",
            "BackupRetentionPeriod",
            "PreferredBackupWindow",
            "PreferredMaintenanceWindow",
            "StorageEncrypted",
            "DeletionProtection",
            "IAMDatabaseAuthenticationEnabled",
            "CopyTagsToSnapshot",
            "NetworkType",
        ] {
            xml += &text(name, self.shape.property(name));
        }
        xml
    }
}
