//! The instance of a cluster that was restored: it is made as the source's writer is, and found again by its name or tags.

use chrono::{DateTime, Utc};

use crate::call::{number, tags_out};
use crate::client::Rds;
use crate::cluster::{AURORA, Cluster};
use crate::error::{Error, Result, Thing};
use crate::failure::classify;
use crate::instance::Instance;
use crate::marks::{self, Tags};
use crate::name::{same, with_ending};
use crate::properties::{Difference, Properties};
use crate::restore::{ROUNDS, note, open_and_fixed};
use crate::wait::{Reading, Waiting};

/// The name of a new cluster's instance.
pub(crate) fn member_name(target: &str) -> String {
    with_ending(target, "-1")
}

/// What an instance has of its own in a cluster.
pub(crate) fn member_side(writer: &Properties) -> Properties {
    let insights = writer.performance_insights == Some(true);
    let monitored = writer.monitoring_seconds.unwrap_or_default() > 0;
    Properties {
        class: writer.class.clone(),
        promotion_tier: writer.promotion_tier,
        parameter_group: writer.parameter_group.clone(),
        is_public: writer.is_public,
        ca: writer.ca.clone(),
        maintenance_window: writer.maintenance_window.clone(),
        minor_upgrades: writer.minor_upgrades,
        monitoring_seconds: writer.monitoring_seconds,
        monitoring_role: writer.monitoring_role.clone().filter(|_| monitored),
        performance_insights: writer.performance_insights,
        performance_insights_kms_key: writer.performance_insights_kms_key.clone().filter(|_| insights),
        performance_insights_days: writer.performance_insights_days.filter(|_| insights),
        ..Properties::default()
    }
}

/// The tags of the instance: the writer's own, and those that say whose it is.
pub(crate) fn member_tags(writer: Option<&Instance>, cluster: &Tags, now: DateTime<Utc>) -> Tags {
    let (none, at) = (Tags::new(), marks::instant(cluster, marks::RESTORED_TO));
    let (tags, name, resource) = match writer {
        Some(writer) => (&writer.tags, writer.name.as_str(), writer.resource_id.as_str()),
        None => (&none, "", ""),
    };
    let mut tags = marks::of_restore(tags, name, resource, at, "", now);
    tags.retain(|key, value| !(value.is_empty() && key.starts_with(marks::PREFIX)));
    tags
}

/// An error about a cluster's instance as one about the cluster, by whose name all goes on.
pub(crate) fn of_member(error: Error, cluster: &str) -> Error {
    let within = |member: &str, status: &str| format!("without its instance: {member} is {status}");
    match error {
        Error::GaveUp { subject, awaited, status, waited_seconds } => {
            Error::GaveUp { status: within(&subject, &status), subject: cluster.to_owned(), awaited, waited_seconds }
        }
        Error::Ended { subject, status, event } => {
            Error::Ended { status: format!("{status} in its instance {subject}"), subject: cluster.to_owned(), event }
        }
        Error::Differs { subject, differences } => Error::Differs {
            subject: cluster.to_owned(),
            differences: differences.into_iter().map(|one| format!("{subject}: {one}")).collect(),
        },
        // Instances are started and stopped with their cluster.
        Error::Stopped { .. } => Error::Stopped { subject: cluster.to_owned(), thing: Thing::Cluster },
        other => other,
    }
}

impl Rds {
    /// The instance of a cluster that writes, else any of them.
    pub(crate) async fn writer_of(&self, cluster: &Cluster) -> Result<Option<Instance>> {
        match cluster.writer.as_ref().or(cluster.members.first()) {
            Some(name) => self.find(name).await,
            None => Ok(None),
        }
    }

    /// The instance that was made in a cluster, by the name that it was given, else by its tags, as somebody may have renamed it.
    pub(crate) async fn own_member(&self, cluster: &Cluster, made_as: &str) -> Result<Option<String>> {
        if let Some(member) = cluster.members.iter().find(|member| same(member, made_as)) {
            return Ok(Some(member.clone()));
        }
        for member in &cluster.members {
            if self.find(member).await?.is_some_and(|found| marks::is_ours(&found.tags)) {
                return Ok(Some(member.clone()));
            }
        }
        Ok(None)
    }

    /// Waits for the instance of a cluster that was ready before, and tells what is other than asked: it is not modified.
    pub(crate) async fn compare_member(
        &self,
        member: &str,
        wanted: &Properties,
        waiting: &Waiting,
        since: DateTime<Utc>,
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<(Instance, Vec<Difference>)> {
        let instance = self.wait_available(member, waiting, since, report).await?;
        let (mut differences, fixed) = open_and_fixed(wanted, &member_side(&instance.properties));
        differences.extend(fixed);
        Ok((instance, differences))
    }

    /// Makes the instance of a cluster. One of the name that is there and the cluster's is the one that a killed process made.
    pub(crate) async fn make_member(
        &self,
        cluster: &Cluster,
        member: &str,
        wanted: &Properties,
        tags: &Tags,
    ) -> Result<()> {
        const ACTION: &str = "CreateDBInstance";
        let call = self
            .client
            .create_db_instance()
            .db_instance_identifier(member)
            .db_cluster_identifier(&cluster.name)
            .engine(AURORA)
            .set_db_instance_class(wanted.class.clone())
            .set_db_parameter_group_name(wanted.parameter_group.clone())
            .set_ca_certificate_identifier(wanted.ca.clone())
            .set_promotion_tier(number(wanted.promotion_tier))
            .set_publicly_accessible(wanted.is_public)
            .set_auto_minor_version_upgrade(wanted.minor_upgrades)
            .set_preferred_maintenance_window(wanted.maintenance_window.clone())
            .set_monitoring_interval(number(wanted.monitoring_seconds))
            .set_monitoring_role_arn(wanted.monitoring_role.clone())
            .set_enable_performance_insights(wanted.performance_insights)
            .set_performance_insights_kms_key_id(wanted.performance_insights_kms_key.clone())
            .set_performance_insights_retention_period(number(wanted.performance_insights_days))
            .set_tags(Some(tags_out(tags)));
        match call.send().await.map_err(|failure| classify(failure, ACTION, member)) {
            Ok(_) => Ok(()),
            Err(error @ Error::NameTaken { .. }) => {
                let found = self.find(member).await?.and_then(|found| found.cluster);
                if found.is_some_and(|of| same(&of, &cluster.name)) { Ok(()) } else { Err(error) }
            }
            Err(Error::WrongState { message, .. }) => Err(Error::WrongState { subject: cluster.name.clone(), message }),
            Err(Error::Stopped { .. }) => Err(Error::Stopped { subject: cluster.name.clone(), thing: Thing::Cluster }),
            Err(error) => Err(error),
        }
    }

    /// Waits for the instance of a cluster, and modifies what is not as asked.
    pub(crate) async fn settle_member(
        &self,
        member: &str,
        wanted: &Properties,
        waiting: &Waiting,
        since: DateTime<Utc>,
        report: &mut (dyn FnMut(&Reading) + Send),
        modified: &mut Vec<String>,
    ) -> Result<(Instance, Vec<Difference>)> {
        let mut round = 0;
        loop {
            let instance = self.wait_available(member, waiting, since, report).await?;
            let (open, fixed) = open_and_fixed(wanted, &member_side(&instance.properties));
            if open.is_empty() {
                return Ok((instance, fixed));
            }
            if round == ROUNDS {
                let differences = open.iter().map(ToString::to_string).collect();
                return Err(Error::Differs { subject: member.to_owned(), differences });
            }
            self.modify(member, wanted, &open).await?;
            note(modified, "its instance's ", open);
            round += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Awaited;

    #[test]
    fn what_becomes_of_an_instance_is_told_by_the_name_of_its_cluster() {
        let (subject, status) = ("shop-r-1".to_owned(), "creating".to_owned());
        let error = Error::GaveUp { subject, awaited: Awaited::Instance, status, waited_seconds: 60 };
        let error = of_member(error, "shop-r");
        assert_eq!(error.to_string(), "shop-r is still without its instance: shop-r-1 is creating after 60 s");
        assert!(error.hint().unwrap().ends_with("holdpoint rds wait shop-r"), "{:?}", error.hint());
        let error = Error::Ended { subject: "shop-r-1".to_owned(), status: "failed".to_owned(), event: None };
        let error = of_member(error, "shop-r");
        assert_eq!(error.to_string(), "shop-r ended as failed in its instance shop-r-1");
        assert!(error.hint().unwrap().ends_with("holdpoint rds drop shop-r"), "{:?}", error.hint());
    }
}
