//! A DB cluster (Aurora, or a Multi-AZ cluster) as the control plane tells of it.

use aws_sdk_rds::types::{DbCluster, Filter};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::call::{count, instant_in, tags_in};
use crate::client::Rds;
use crate::error::{Error, Result};
use crate::failure::classify;
use crate::instance::Endpoint;
use crate::marks::Tags;
use crate::name::{check_given, is_named};
use crate::properties::Properties;
use crate::standing::{Standing, standing};

const ACTION: &str = "DescribeDBClusters";

/// The engine of the clusters that are restored.
pub(crate) const AURORA: &str = "aurora-postgresql";

/// A DB cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Cluster {
    /// Its name (`DBClusterIdentifier`).
    pub name: String,
    /// Its resource id.
    pub resource_id: String,
    /// Its ARN.
    pub arn: String,
    /// RDS's status.
    pub status: String,
    /// The engine, for example `aurora-postgresql`.
    pub engine: String,
    /// `provisioned` for clusters whose instances are made one by one; empty where RDS does not say.
    pub mode: String,
    /// The cluster that it replicates.
    pub replica_of: Option<String>,
    /// Where its writer is reached.
    pub endpoint: Option<Endpoint>,
    /// The earliest instant that it can be restored to.
    pub earliest_restorable_at: Option<DateTime<Utc>>,
    /// The latest.
    pub latest_restorable_at: Option<DateTime<Utc>>,
    /// Days that backups are kept.
    pub retention_days: u32,
    /// What the cluster has for all its instances.
    pub properties: Properties,
    /// The names of its instances.
    pub members: Vec<String>,
    /// The instance that writes.
    pub writer: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

impl Cluster {
    pub(crate) fn of(action: &'static str, raw: &DbCluster) -> Result<Self> {
        let lacks = Error::InvalidAnswer { action, lacks: "DBClusterIdentifier" };
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let members = raw.db_cluster_members().iter();
        let writer = members.clone().find(|member| member.is_cluster_writer() == Some(true));
        let endpoint = raw.endpoint().filter(|host| !host.is_empty()).and_then(|host| {
            let port = raw.port().and_then(|port| u16::try_from(port).ok())?;
            Some(Endpoint { host: host.to_owned(), port })
        });
        Ok(Self {
            name: raw.db_cluster_identifier().ok_or(lacks)?.to_owned(),
            resource_id: text(raw.db_cluster_resource_id()),
            arn: text(raw.db_cluster_arn()),
            status: text(raw.status()),
            engine: text(raw.engine()),
            mode: text(raw.engine_mode()),
            replica_of: raw.replication_source_identifier().filter(|name| !name.is_empty()).map(str::to_owned),
            endpoint,
            earliest_restorable_at: instant_in(raw.earliest_restorable_time()),
            latest_restorable_at: instant_in(raw.latest_restorable_time()),
            retention_days: count(raw.backup_retention_period()).unwrap_or_default(),
            properties: properties(raw),
            writer: writer.and_then(|member| member.db_instance_identifier()).map(str::to_owned),
            members: members.filter_map(|member| member.db_instance_identifier()).map(str::to_owned).collect(),
            tags: tags_in(raw.tag_list()),
        })
    }

    /// What its status means.
    #[must_use]
    pub fn standing(&self) -> Standing {
        standing(&self.status)
    }
}

fn properties(raw: &DbCluster) -> Properties {
    let text = |value: Option<&str>| value.filter(|value| !value.is_empty()).map(str::to_owned);
    let groups = raw.vpc_security_groups().iter();
    let mut security_groups: Vec<String> =
        groups.filter_map(|group| group.vpc_security_group_id()).map(str::to_owned).collect();
    security_groups.sort();
    let mut log_exports = raw.enabled_cloudwatch_logs_exports().to_vec();
    log_exports.sort();
    let capacity = raw.serverless_v2_scaling_configuration();
    Properties {
        engine_version: text(raw.engine_version()),
        capacity: capacity.and_then(|range| Some(format!("{}-{}", range.min_capacity()?, range.max_capacity()?))),
        storage_type: text(raw.storage_type()),
        iops: count(raw.iops()),
        kms_key: text(raw.kms_key_id()),
        subnet_group: text(raw.db_subnet_group()),
        security_groups,
        parameter_group: text(raw.db_cluster_parameter_group()),
        port: raw.port().and_then(|port| u16::try_from(port).ok()),
        iam_auth: raw.iam_database_authentication_enabled(),
        deletion_protection: raw.deletion_protection(),
        log_exports,
        copy_tags_to_snapshot: raw.copy_tags_to_snapshot(),
        retention_days: count(raw.backup_retention_period()),
        backup_window: text(raw.preferred_backup_window()),
        maintenance_window: text(raw.preferred_maintenance_window()),
        network_type: text(raw.network_type()),
        ..Properties::default()
    }
}

impl Rds {
    /// The cluster of that name, `None` where there is none.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] without `rds:DescribeDBClusters`.
    pub async fn find_cluster(&self, name: &str) -> Result<Option<Cluster>> {
        match self.cluster(name).await {
            Ok(cluster) => Ok(Some(cluster)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The cluster of that name.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of [`find_cluster`](Self::find_cluster).
    pub async fn cluster(&self, name: &str) -> Result<Cluster> {
        check_given(name)?;
        let answer = self.client.describe_db_clusters().db_cluster_identifier(name).send().await;
        let answer = answer.map_err(|failure| classify(failure, ACTION, name))?;
        let mut found = answer.db_clusters().iter();
        let raw = found.find(|one| is_named(name, one.db_cluster_identifier(), one.db_cluster_arn()));
        Cluster::of(ACTION, raw.ok_or_else(|| Error::NotFound { subject: name.to_owned() })?)
    }

    /// Every cluster of the account in the region.
    ///
    /// # Errors
    /// Those of [`find_cluster`](Self::find_cluster).
    pub async fn clusters(&self) -> Result<Vec<Cluster>> {
        self.clusters_by(None).await
    }

    /// The cluster with that resource id whatever its name is at present, `None` where it is gone.
    ///
    /// # Errors
    /// Those of [`find_cluster`](Self::find_cluster).
    pub(crate) async fn find_cluster_resource(&self, resource_id: &str) -> Result<Option<Cluster>> {
        if resource_id.is_empty() {
            return Ok(None);
        }
        let filter = Filter::builder().name("db-cluster-resource-id").values(resource_id).build();
        let found = match self.clusters_by(Some(filter)).await {
            Err(Error::NotFound { .. }) => Vec::new(),
            other => other?,
        };
        Ok(found.into_iter().find(|cluster| cluster.resource_id == resource_id))
    }

    async fn clusters_by(&self, filter: Option<Filter>) -> Result<Vec<Cluster>> {
        let pages = self.client.describe_db_clusters().set_filters(filter.map(|filter| vec![filter])).into_paginator();
        let mut items = pages.items().send();
        let mut found = Vec::new();
        while let Some(raw) = items.next().await {
            let raw = raw.map_err(|failure| classify(failure, ACTION, "clusters"))?;
            found.push(Cluster::of(ACTION, &raw)?);
        }
        Ok(found)
    }

    /// Whether a name is a cluster's. Where an instance has it too, it is the instance's, unless that is the cluster's own.
    ///
    /// # Errors
    /// What RDS refuses.
    pub async fn is_cluster(&self, name: &str) -> Result<bool> {
        match self.find(name).await? {
            Some(instance) => Ok(instance.cluster.is_some_and(|cluster| crate::name::same(&cluster, name))),
            None => Ok(self.find_cluster(name).await?.is_some()),
        }
    }
}
