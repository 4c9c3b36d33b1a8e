//! A DB cluster (Aurora, or a Multi-AZ cluster) as the control plane tells of it.

use aws_sdk_rds::types::DbCluster;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::call::{count, instant_in, tags_in};
use crate::client::Rds;
use crate::error::{Error, Result};
use crate::failure::classify;
use crate::marks::Tags;

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
    /// The cluster that it replicates.
    pub replica_of: Option<String>,
    /// The earliest instant that it can be restored to.
    pub earliest_restorable_at: Option<DateTime<Utc>>,
    /// The latest.
    pub latest_restorable_at: Option<DateTime<Utc>>,
    /// Days that backups are kept.
    pub retention_days: u32,
    /// The names of its instances.
    pub members: Vec<String>,
    /// Its tags.
    pub tags: Tags,
}

impl Cluster {
    fn of(raw: &DbCluster) -> Result<Self> {
        let lacks = Error::InvalidAnswer { action: "DescribeDBClusters", lacks: "DBClusterIdentifier" };
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let members = raw.db_cluster_members().iter();
        Ok(Self {
            name: raw.db_cluster_identifier().ok_or(lacks)?.to_owned(),
            resource_id: text(raw.db_cluster_resource_id()),
            arn: text(raw.db_cluster_arn()),
            status: text(raw.status()),
            engine: text(raw.engine()),
            replica_of: raw.replication_source_identifier().filter(|name| !name.is_empty()).map(str::to_owned),
            earliest_restorable_at: instant_in(raw.earliest_restorable_time()),
            latest_restorable_at: instant_in(raw.latest_restorable_time()),
            retention_days: count(raw.backup_retention_period()).unwrap_or_default(),
            members: members.filter_map(|member| member.db_instance_identifier()).map(str::to_owned).collect(),
            tags: tags_in(raw.tag_list()),
        })
    }
}

impl Rds {
    /// The cluster of that name, `None` where there is none.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] without `rds:DescribeDBClusters`.
    pub async fn find_cluster(&self, name: &str) -> Result<Option<Cluster>> {
        const ACTION: &str = "DescribeDBClusters";
        let answer = self.client.describe_db_clusters().db_cluster_identifier(name).send().await;
        match answer.map_err(|failure| classify(failure, ACTION, name)) {
            Ok(answer) => answer.db_clusters().first().map(Cluster::of).transpose(),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
