//! A DB instance as the control plane tells of it.

use aws_sdk_rds::types::DbInstance;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::call::{count, instant_in, tags_in};
use crate::error::{Error, Result};
use crate::marks::Tags;
use crate::name::same;
use crate::properties::Properties;
use crate::standing::{Standing, standing};

/// Where an instance is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A DB instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Instance {
    /// Its name (`DBInstanceIdentifier`), which a rename changes.
    pub name: String,
    /// Its resource id, which nothing changes.
    pub resource_id: String,
    /// Its ARN, by which tags are set; it follows the name.
    pub arn: String,
    /// RDS's status, for example `available`.
    pub status: String,
    /// The engine, for example `postgres`.
    pub engine: String,
    /// The cluster that it is a member of.
    pub cluster: Option<String>,
    /// The instance that it replicates.
    pub replica_of: Option<String>,
    /// The instances that replicate it; they stay with it when it is renamed.
    pub replicas: Vec<String>,
    /// Where it is reached; RDS says so when it is nearly ready.
    pub endpoint: Option<Endpoint>,
    /// The master user.
    pub master_user: Option<String>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// The latest instant that it can be restored to.
    pub latest_restorable_at: Option<DateTime<Utc>>,
    /// Everything that a restore has to take over.
    pub properties: Properties,
    /// Its tags.
    pub tags: Tags,
    /// Whether modifications wait for the next maintenance window or for a reboot.
    pub is_pending: bool,
    /// The name that it is to get, as long as RDS has not given it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renames_to: Option<String>,
}

impl Instance {
    pub(crate) fn of(action: &'static str, raw: &DbInstance) -> Result<Self> {
        let name =
            raw.db_instance_identifier().ok_or(Error::InvalidAnswer { action, lacks: "DBInstanceIdentifier" })?;
        let endpoint = raw.endpoint().and_then(|endpoint| {
            let port = u16::try_from(endpoint.port()?).ok()?;
            Some(Endpoint { host: endpoint.address()?.to_owned(), port })
        });
        let text = |value: Option<&str>| value.map(str::to_owned);
        let pending = raw.pending_modified_values();
        let empty = aws_sdk_rds::types::PendingModifiedValues::builder().build();
        Ok(Self {
            name: name.to_owned(),
            resource_id: raw.dbi_resource_id().unwrap_or_default().to_owned(),
            arn: raw.db_instance_arn().unwrap_or_default().to_owned(),
            status: raw.db_instance_status().unwrap_or("unknown").to_owned(),
            engine: raw.engine().unwrap_or_default().to_owned(),
            cluster: text(raw.db_cluster_identifier()),
            replica_of: text(
                raw.read_replica_source_db_instance_identifier().or(raw.read_replica_source_db_cluster_identifier()),
            )
            .filter(|source| !source.is_empty()),
            replicas: raw.read_replica_db_instance_identifiers().to_vec(),
            endpoint,
            master_user: text(raw.master_username()),
            created_at: instant_in(raw.instance_create_time()),
            latest_restorable_at: instant_in(raw.latest_restorable_time()),
            properties: properties(raw),
            tags: tags_in(raw.tag_list()),
            is_pending: pending.is_some_and(|pending| *pending != empty),
            renames_to: text(pending.and_then(|pending| pending.db_instance_identifier())),
        })
    }

    /// What its status means.
    #[must_use]
    pub fn standing(&self) -> Standing {
        standing(&self.status)
    }

    /// Whether it is on its way to another name.
    pub(crate) fn is_being_renamed(&self) -> bool {
        self.renames_to.is_some() || self.status == "renaming"
    }

    /// Whether it has this name or is on its way to it; to which it is RDS does not always say.
    pub(crate) fn has_or_gets(&self, name: &str) -> bool {
        match &self.renames_to {
            Some(next) => same(next, name),
            None => same(&self.name, name) || self.status == "renaming",
        }
    }

    /// Whether it has this name, and is not on its way to another.
    pub(crate) fn keeps(&self, name: &str) -> bool {
        same(&self.name, name) && !self.is_being_renamed()
    }
}

fn properties(raw: &DbInstance) -> Properties {
    let text = |value: Option<&str>| value.filter(|value| !value.is_empty()).map(str::to_owned);
    let mut security_groups: Vec<String> =
        raw.vpc_security_groups().iter().filter_map(|group| group.vpc_security_group_id()).map(str::to_owned).collect();
    security_groups.sort();
    let mut log_exports = raw.enabled_cloudwatch_logs_exports().to_vec();
    log_exports.sort();
    let listens =
        raw.endpoint().and_then(|endpoint| endpoint.port()).or(raw.db_instance_port().filter(|port| *port != 0));
    Properties {
        engine_version: text(raw.engine_version()),
        class: text(raw.db_instance_class()),
        capacity: None,
        // Only the instances of a cluster have one.
        promotion_tier: raw
            .db_cluster_identifier()
            .and_then(|_| raw.promotion_tier())
            .and_then(|tier| count(Some(tier))),
        storage_gib: count(raw.allocated_storage()),
        storage_type: text(raw.storage_type()),
        iops: count(raw.iops()),
        throughput: count(raw.storage_throughput()),
        max_storage_gib: count(raw.max_allocated_storage()),
        kms_key: text(raw.kms_key_id()),
        subnet_group: text(raw.db_subnet_group().and_then(|group| group.db_subnet_group_name())),
        security_groups,
        parameter_group: raw.db_parameter_groups().first().and_then(|group| text(group.db_parameter_group_name())),
        option_group: raw.option_group_memberships().first().and_then(|group| text(group.option_group_name())),
        port: listens.and_then(|port| u16::try_from(port).ok()),
        is_public: raw.publicly_accessible(),
        multi_az: raw.multi_az(),
        iam_auth: raw.iam_database_authentication_enabled(),
        deletion_protection: raw.deletion_protection(),
        ca: text(raw.ca_certificate_identifier()),
        log_exports,
        copy_tags_to_snapshot: raw.copy_tags_to_snapshot(),
        retention_days: count(raw.backup_retention_period()),
        backup_window: text(raw.preferred_backup_window()),
        maintenance_window: text(raw.preferred_maintenance_window()),
        minor_upgrades: raw.auto_minor_version_upgrade(),
        monitoring_seconds: count(raw.monitoring_interval()),
        monitoring_role: text(raw.monitoring_role_arn()),
        performance_insights: raw.performance_insights_enabled(),
        performance_insights_kms_key: text(raw.performance_insights_kms_key_id()),
        performance_insights_days: count(raw.performance_insights_retention_period()),
        dedicated_log_volume: raw.dedicated_log_volume(),
        network_type: text(raw.network_type()),
    }
}
