//! The restore of a cluster: RDS makes it without instances, so its instance is made next; then both are held against what was
//! asked.
//!
//! Each step finds out by itself whether it is already done, so `finish` in another process goes on where a killed one
//! stopped.

use aws_sdk_rds::operation::modify_db_cluster::builders::ModifyDBClusterFluentBuilder;
use aws_sdk_rds::types::{CloudwatchLogsExportConfiguration, ServerlessV2ScalingConfiguration};
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::asked::{desired_cluster, desired_member};
use crate::call::{instant_out, number, tags_out};
use crate::client::Rds;
use crate::cluster::Cluster;
use crate::cluster_member::{member_name, member_tags, of_member};
use crate::cluster_plan::ClusterPlan;
use crate::error::{Error, Result};
use crate::failure::classify;
use crate::instance::Instance;
use crate::made::is_cluster_in_service;
use crate::marks;
use crate::name::same;
use crate::properties::{Difference, Properties};
use crate::restore::{ROUNDS, note, of_the_source, open_and_fixed};
use crate::restore_options::When;
use crate::wait::{Reading, Waiting};

/// A cluster that is as asked, with its instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterReport {
    /// The cluster.
    pub cluster: Cluster,
    /// Its instance.
    pub instance: Instance,
    /// The name that its source had.
    pub source: String,
    /// The instant that it was restored to.
    pub restored_to: Option<DateTime<Utc>>,
    /// When it was asked for.
    pub asked_at: Option<DateTime<Utc>>,
    /// What was modified after the restore, in words.
    pub modified: Vec<String>,
    /// Whether its properties were held against the source's; not possible once the source is gone.
    pub is_checked: bool,
    /// What is not as asked: it cannot be modified, or became so after all was as asked.
    pub remains: Vec<Difference>,
}

fn capacity(range: &str) -> Option<ServerlessV2ScalingConfiguration> {
    let (least, most) = range.split_once('-')?;
    let range = ServerlessV2ScalingConfiguration::builder().min_capacity(least.parse().ok()?);
    Some(range.max_capacity(most.parse().ok()?).build())
}

/// Whether a cluster is the one that this plan began.
fn is_of(plan: &ClusterPlan, cluster: &Cluster) -> bool {
    let same = |key: &str| plan.tags.contains_key(key) && plan.tags.get(key) == cluster.tags.get(key);
    marks::is_own(&cluster.tags, &cluster.resource_id)
        && [marks::MADE_AT, marks::SOURCE_RESOURCE, marks::MEMBER].into_iter().all(same)
}

impl Rds {
    /// Begins the restore of a plan and returns at once; [`finish_cluster_restore`](Self::finish_cluster_restore) makes the
    /// instance and does the rest. The new cluster is listed by [`made_clusters`](Self::made_clusters) until it is dropped.
    ///
    /// # Errors
    /// [`Error::NotPossible`] for a plan with problems; what RDS refuses.
    pub async fn begin_cluster_restore(&self, plan: &ClusterPlan) -> Result<Cluster> {
        const ACTION: &str = "RestoreDBClusterToPointInTime";
        if !plan.is_possible() {
            let problems = plan.problems.iter().map(|problem| problem.what.clone()).collect();
            return Err(Error::NotPossible { target: plan.target.clone(), problems });
        }
        let new = &plan.new;
        let mut call = self
            .client
            .restore_db_cluster_to_point_in_time()
            .source_db_cluster_identifier(&plan.source.name)
            .db_cluster_identifier(&plan.target)
            .restore_type(if plan.copy_on_write { "copy-on-write" } else { "full-copy" })
            .set_storage_type(new.storage_type.clone())
            .set_iops(number(new.iops.filter(|iops| *iops > 0)))
            .set_db_subnet_group_name(new.subnet_group.clone())
            .set_vpc_security_group_ids((!new.security_groups.is_empty()).then(|| new.security_groups.clone()))
            .set_db_cluster_parameter_group_name(new.parameter_group.clone())
            .set_port(new.port.map(i32::from))
            .set_enable_iam_database_authentication(new.iam_auth)
            .deletion_protection(false)
            .set_enable_cloudwatch_logs_exports((!new.log_exports.is_empty()).then(|| new.log_exports.clone()))
            .set_copy_tags_to_snapshot(new.copy_tags_to_snapshot)
            .set_backup_retention_period(number(new.retention_days))
            .set_preferred_backup_window(new.backup_window.clone())
            .set_network_type(new.network_type.clone())
            .set_serverless_v2_scaling_configuration(new.capacity.as_deref().and_then(capacity))
            .set_tags(Some(tags_out(&plan.tags)));
        call = match (plan.to, plan.at) {
            (When::At(_), Some(at)) => call.restore_to_time(instant_out(at)),
            _ => call.use_latest_restorable_time(true),
        };
        let answer = match call.send().await.map_err(|failure| classify(failure, ACTION, &plan.target)) {
            // An answer that was lost is asked for again; what has this plan's tags is what was made then.
            Err(error @ Error::NameTaken { .. }) => {
                let there = self.find_cluster(&plan.target).await?;
                return there.filter(|there| is_of(plan, there)).ok_or(error);
            }
            answer => answer,
        };
        let of_source = |error| of_the_source(error, &plan.target, &plan.source.name, plan.at, &plan.window);
        let answer = answer.map_err(of_source)?;
        let raw = answer.db_cluster().ok_or(Error::InvalidAnswer { action: ACTION, lacks: "DBCluster" })?;
        Cluster::of(ACTION, raw)
    }

    /// Waits for a cluster that [`begin_cluster_restore`](Self::begin_cluster_restore) made, in this process or another, makes
    /// its instance and waits for that, modifies what the calls could not set, checks that all is as asked, and notes that in
    /// the cluster's tags. Of a cluster with that note no instance is made, and none that somebody else made is modified.
    ///
    /// # Errors
    /// [`Error::NotOurs`], [`Error::NoInstance`] where that is gone, those of [`wait_available`](Self::wait_available), what RDS
    /// refuses, and [`Error::Differs`] when RDS does not take a modification.
    pub async fn finish_cluster_restore(
        &self,
        name: &str,
        waiting: &Waiting,
        clock: &(dyn Fn() -> DateTime<Utc> + Send + Sync),
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<ClusterReport> {
        let now = clock();
        let first = self.cluster(name).await?;
        if !marks::is_own(&first.tags, &first.resource_id) {
            return Err(Error::NotOurs { subject: first.name });
        }
        // Once it was ready, or put in its source's place by hand, it and its instances are their owner's.
        let was_ready = first.tags.contains_key(marks::READY_AT);
        let all = self.clusters().await?;
        let source_is_there = all.iter().any(|other| marks::is_made_of(&first.tags, &other.resource_id));
        let has_its_name = first.tags.get(marks::SOURCE).is_some_and(|had| same(had, &first.name));
        if was_ready && is_cluster_in_service(&first, &all) || source_is_there && has_its_name {
            return Err(Error::Serves { subject: first.name });
        }
        let name = first.name.as_str();
        let asked_at = marks::instant(&first.tags, marks::MADE_AT);
        let since = asked_at.unwrap_or(now);
        let tag = |key: &str| first.tags.get(key).cloned();
        let cluster = self.wait_cluster(name, waiting, since, report).await?;
        let source = self.find_cluster_resource(&tag(marks::SOURCE_RESOURCE).unwrap_or_default()).await?;
        let writer = match &source {
            Some(source) => self.writer_of(source).await?,
            None => None,
        };
        let asked = tag(marks::ASKED).unwrap_or_default();
        let wanted = source.as_ref().map(|source| desired_cluster(&source.properties, &asked));
        let wanted_member = desired_member(writer.as_ref().map(|writer| &writer.properties), &asked);
        let made_as = tag(marks::MEMBER).unwrap_or_else(|| member_name(name));
        let member = match self.own_member(&cluster, &made_as).await? {
            Some(own) => own,
            None if was_ready => {
                let other = cluster.writer.clone().or_else(|| cluster.members.first().cloned());
                other.ok_or_else(|| Error::NoInstance { subject: name.to_owned() })?
            }
            None => {
                let tags = member_tags(writer.as_ref(), &first.tags, clock());
                self.make_member(&cluster, &made_as, &wanted_member, &tags).await?;
                made_as
            }
        };
        let mut modified = Vec::new();
        let settled = if was_ready {
            self.compare_member(&member, &wanted_member, waiting, since, report).await
        } else {
            self.settle_member(&member, &wanted_member, waiting, since, report, &mut modified).await
        };
        let (instance, mut remains) = settled.map_err(|error| of_member(error, name))?;
        let mut cluster = self.wait_cluster(name, waiting, since, report).await?;
        if let Some(wanted) = &wanted {
            for round in 0..=ROUNDS {
                let (open, fixed) = open_and_fixed(wanted, &cluster.properties);
                if open.is_empty() || was_ready {
                    remains.extend(open.into_iter().chain(fixed));
                    break;
                }
                if round == ROUNDS {
                    let differences = open.iter().map(ToString::to_string).collect();
                    return Err(Error::Differs { subject: name.to_owned(), differences });
                }
                self.modify_cluster(name, wanted, &open).await?;
                note(&mut modified, "", open);
                cluster = self.wait_cluster(name, waiting, now, report).await?;
            }
        }
        if !was_ready {
            let ready = marks::of_ready(&cluster.resource_id, clock());
            self.tag(&cluster.arn, name, &ready).await?;
            cluster.tags.extend(ready);
        }
        Ok(ClusterReport {
            source: cluster.tags.get(marks::SOURCE).cloned().unwrap_or_default(),
            restored_to: marks::instant(&cluster.tags, marks::RESTORED_TO),
            asked_at,
            modified,
            is_checked: wanted.is_some(),
            remains,
            instance,
            cluster,
        })
    }

    /// Asks for what differs; in a wrong state the caller waits again and comes back.
    async fn modify_cluster(&self, name: &str, wanted: &Properties, open: &[Difference]) -> Result<()> {
        const ACTION: &str = "ModifyDBCluster";
        let mut call = self.client.modify_db_cluster().db_cluster_identifier(name).apply_immediately(true);
        for difference in open {
            call = ask(call, wanted, &difference.property);
        }
        match call.send().await.map_err(|failure| classify(failure, ACTION, name)) {
            Ok(_) | Err(Error::WrongState { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Adds one property to a modification, by its name in the table of properties.
fn ask(call: ModifyDBClusterFluentBuilder, wanted: &Properties, property: &str) -> ModifyDBClusterFluentBuilder {
    match property {
        "storage type" | "IOPS" => {
            call.set_storage_type(wanted.storage_type.clone()).set_iops(number(wanted.iops.filter(|iops| *iops > 0)))
        }
        "serverless capacity, ACU" => {
            call.set_serverless_v2_scaling_configuration(wanted.capacity.as_deref().and_then(capacity))
        }
        "security groups" => call.set_vpc_security_group_ids(Some(wanted.security_groups.clone())),
        "parameter group" => call.set_db_cluster_parameter_group_name(wanted.parameter_group.clone()),
        "port" => call.set_port(wanted.port.map(i32::from)),
        "IAM authentication" => call.set_enable_iam_database_authentication(wanted.iam_auth),
        "deletion protection" => call.set_deletion_protection(wanted.deletion_protection),
        "log exports" => call.cloudwatch_logs_export_configuration(
            CloudwatchLogsExportConfiguration::builder().set_enable_log_types(Some(wanted.log_exports.clone())).build(),
        ),
        "tags go to snapshots" => call.set_copy_tags_to_snapshot(wanted.copy_tags_to_snapshot),
        "backup retention, days" => call.set_backup_retention_period(number(wanted.retention_days)),
        "backup window" => call.set_preferred_backup_window(wanted.backup_window.clone()),
        "maintenance window" => call.set_preferred_maintenance_window(wanted.maintenance_window.clone()),
        "network type" => call.set_network_type(wanted.network_type.clone()),
        _ => call,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_goes_there_and_back_as_it_is() {
        let range = capacity("0.5-16").unwrap();
        assert_eq!((range.min_capacity(), range.max_capacity()), (Some(0.5), Some(16.0)));
        assert!(capacity("16").is_none() && capacity("a-b").is_none());
    }
}
