//! The restore: the call, the wait, what is modified afterwards, and the check that all is as asked.
//!
//! Each step finds out by itself whether it is already done, so `finish` in another process goes on where a killed one
//! stopped.

use aws_sdk_rds::operation::modify_db_instance::builders::ModifyDBInstanceFluentBuilder;
use aws_sdk_rds::types::CloudwatchLogsExportConfiguration;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::asked::desired;
use crate::call::{instant_out, number, tags_out};
use crate::client::Rds;
use crate::error::{Error, Result};
use crate::failure::classify;
use crate::instance::Instance;
use crate::made::is_in_service;
use crate::marks;
use crate::plan::RestorePlan;
use crate::properties::{Difference, How, Properties};
use crate::restore_options::When;
use crate::wait::{Reading, Waiting};
use crate::window::Window;

/// An instance that is as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// The instance.
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

/// How often RDS is asked to modify what it says it modified.
pub(crate) const ROUNDS: usize = 3;

/// What differs and can be modified, and what differs and cannot.
pub(crate) fn open_and_fixed(wanted: &Properties, actual: &Properties) -> (Vec<Difference>, Vec<Difference>) {
    wanted.differences(actual).into_iter().partition(|difference| difference.how != How::Inherited)
}

/// Sets on a call what both ways to restore take; the SDK has a type for each.
macro_rules! given {
    ($call:expr, $plan:expr) => {{
        let new = &$plan.new;
        $call
            .set_db_instance_class(new.class.clone())
            .set_storage_type(new.storage_type.clone())
            .set_iops(number(new.iops.filter(|iops| *iops > 0)))
            .set_storage_throughput(number(new.throughput.filter(|throughput| *throughput > 0)))
            .set_db_subnet_group_name(new.subnet_group.clone())
            .set_vpc_security_group_ids((!new.security_groups.is_empty()).then(|| new.security_groups.clone()))
            .set_db_parameter_group_name(new.parameter_group.clone())
            .set_option_group_name(new.option_group.clone())
            .set_port(new.port.map(i32::from))
            .set_publicly_accessible(new.is_public)
            .set_enable_iam_database_authentication(new.iam_auth)
            .deletion_protection(false)
            .set_ca_certificate_identifier(new.ca.clone())
            .set_enable_cloudwatch_logs_exports((!new.log_exports.is_empty()).then(|| new.log_exports.clone()))
            .set_copy_tags_to_snapshot(new.copy_tags_to_snapshot)
            .set_backup_retention_period(number(new.retention_days))
            .set_preferred_backup_window(new.backup_window.clone())
            .set_auto_minor_version_upgrade(new.minor_upgrades)
            .set_dedicated_log_volume(new.dedicated_log_volume.filter(|dedicated| *dedicated))
            .set_network_type(new.network_type.clone())
            .set_tags(Some(tags_out(&$plan.tags)))
    }};
}

/// What RDS says of the target of a restore to an instant, where it is about the source, not about what is to be made.
pub(crate) fn of_the_source(
    error: Error,
    target: &str,
    source: &str,
    at: Option<DateTime<Utc>>,
    window: &Window,
) -> Error {
    let source_name = source.to_owned();
    match error {
        Error::NotFound { subject } if subject == target => Error::NotFound { subject: source_name },
        Error::BackupsDisabled { .. } => Error::BackupsDisabled { source_name },
        Error::Stopped { thing, .. } => Error::Stopped { subject: source_name, thing },
        // RDS has its own view of the window, which may have moved since the plan.
        Error::Service { code, .. } if code == "InvalidRestoreFault" || code == "InvalidRestore" => {
            let at = at.unwrap_or_default();
            Error::OutsideWindow { source_name, at, earliest: window.earliest_at, latest: window.latest_at }
        }
        other => other,
    }
}

/// What was modified, each once.
pub(crate) fn note(modified: &mut Vec<String>, of: &str, open: Vec<Difference>) {
    for difference in open {
        let line = format!("{of}{}: {}", difference.property, difference.asked);
        if !modified.contains(&line) {
            modified.push(line);
        }
    }
}

impl Rds {
    /// Begins the restore of a plan and returns at once; [`finish_restore`](Self::finish_restore) does the rest. The new
    /// instance costs from now on, and is listed by [`made`](Self::made) until it is dropped.
    ///
    /// # Errors
    /// [`Error::NotPossible`] for a plan with problems; what RDS refuses.
    pub async fn begin_restore(&self, plan: &RestorePlan) -> Result<Instance> {
        const ACTION: &str = "RestoreDBInstanceToPointInTime";
        if !plan.is_possible() {
            let problems = plan.problems.iter().map(|problem| problem.what.clone()).collect();
            return Err(Error::NotPossible { target: plan.target.clone(), problems });
        }
        if let Some(snapshot) = &plan.snapshot {
            return self.begin_from_snapshot(plan, &snapshot.name).await;
        }
        let call = self.client.restore_db_instance_to_point_in_time();
        let call = call.source_db_instance_identifier(&plan.source.name).target_db_instance_identifier(&plan.target);
        let mut call = given!(call, plan).set_max_allocated_storage(number(plan.new.max_storage_gib));
        call = match (plan.to, plan.at) {
            (When::At(_), Some(at)) => call.restore_time(instant_out(at)),
            _ => call.use_latest_restorable_time(true),
        };
        let answer = match call.send().await.map_err(|failure| classify(failure, ACTION, &plan.target)) {
            Err(error @ Error::NameTaken { .. }) => return self.begun_by(plan, error).await,
            answer => answer,
        };
        let of_source = |error| of_the_source(error, &plan.target, &plan.source.name, plan.at, &plan.window);
        let answer = answer.map_err(of_source)?;
        let raw = answer.db_instance().ok_or(Error::InvalidAnswer { action: ACTION, lacks: "DBInstance" })?;
        Instance::of(ACTION, raw)
    }

    /// The instance that has the name, where it has this plan's tags: an answer that was lost is asked for again, and then
    /// the name is taken by what was made the first time. The `error` where it is another.
    async fn begun_by(&self, plan: &RestorePlan, error: Error) -> Result<Instance> {
        let there = self.find(&plan.target).await?;
        there.filter(|there| marks::is_of(&plan.tags, &there.tags)).ok_or(error)
    }

    async fn begin_from_snapshot(&self, plan: &RestorePlan, snapshot: &str) -> Result<Instance> {
        const ACTION: &str = "RestoreDBInstanceFromDBSnapshot";
        let call = self.client.restore_db_instance_from_db_snapshot();
        let call = call.db_instance_identifier(&plan.target).db_snapshot_identifier(snapshot);
        let answer = match given!(call, plan).send().await.map_err(|failure| classify(failure, ACTION, &plan.target)) {
            Err(error @ Error::NameTaken { .. }) => return self.begun_by(plan, error).await,
            answer => answer?,
        };
        let raw = answer.db_instance().ok_or(Error::InvalidAnswer { action: ACTION, lacks: "DBInstance" })?;
        Instance::of(ACTION, raw)
    }

    /// Waits for an instance that [`begin_restore`](Self::begin_restore) made, in this process or another, modifies what
    /// the restore call could not set, checks that all is as asked, and notes that in its tags. With that note it is only
    /// waited for and compared: nothing is modified.
    ///
    /// # Errors
    /// [`Error::NotOurs`], [`Error::Serves`], those of [`wait_available`](Self::wait_available), and [`Error::Differs`] when RDS does not
    /// take a modification.
    pub async fn finish_restore(
        &self,
        name: &str,
        waiting: &Waiting,
        clock: &(dyn Fn() -> DateTime<Utc> + Send + Sync),
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<RestoreReport> {
        let now = clock();
        let first = self.instance(name).await?;
        if !marks::is_own(&first.tags, &first.resource_id) {
            return Err(Error::NotOurs { subject: name.to_owned() });
        }
        if let Some(cluster) = first.cluster {
            return Err(Error::ClusterMember { source_name: first.name, cluster });
        }
        let others = match first.tags.contains_key(marks::CUT_OVER_STATE) {
            true => self.instances().await?,
            false => Vec::new(),
        };
        if is_in_service(&first, &others) {
            return Err(Error::Serves { subject: first.name });
        }
        let asked_at = marks::instant(&first.tags, marks::MADE_AT);
        let since = asked_at.unwrap_or(now);
        let mut instance = self.wait_available(name, waiting, since, report).await?;
        // What was asked for was there once: what is other since is its owner's doing.
        let was_ready = instance.tags.contains_key(marks::READY_AT);
        let resource = first.tags.get(marks::SOURCE_RESOURCE).cloned().unwrap_or_default();
        let source = self.find_resource(&resource).await?;
        let asked = first.tags.get(marks::ASKED).cloned().unwrap_or_default();
        let wanted = source.as_ref().map(|source| desired(&source.properties, &asked));
        let mut modified = Vec::new();
        let mut remains = Vec::new();
        if let Some(wanted) = &wanted {
            for round in 0..=ROUNDS {
                let (open, fixed) = open_and_fixed(wanted, &instance.properties);
                remains = fixed;
                if was_ready {
                    remains.extend(open);
                    break;
                }
                if open.is_empty() {
                    break;
                }
                let words: Vec<String> = open.iter().map(ToString::to_string).collect();
                if round == ROUNDS {
                    return Err(Error::Differs { subject: name.to_owned(), differences: words });
                }
                self.modify(name, wanted, &open).await?;
                note(&mut modified, "", open);
                instance = self.wait_available(name, waiting, now, report).await?;
            }
        }
        if !was_ready {
            let ready = marks::of_ready(&instance.resource_id, clock());
            self.tag(&instance.arn, name, &ready).await?;
            instance.tags.extend(ready);
        }
        Ok(RestoreReport {
            source: instance.tags.get(marks::SOURCE).cloned().unwrap_or_default(),
            restored_to: marks::instant(&instance.tags, marks::RESTORED_TO),
            asked_at,
            modified,
            is_checked: wanted.is_some(),
            remains,
            instance,
        })
    }

    /// Asks for what differs. `InvalidDBInstanceState` directly after `available` is normal: the caller waits again and
    /// comes back.
    pub(crate) async fn modify(&self, name: &str, wanted: &Properties, open: &[Difference]) -> Result<()> {
        const ACTION: &str = "ModifyDBInstance";
        let mut call = self.client.modify_db_instance().db_instance_identifier(name).apply_immediately(true);
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
fn ask(call: ModifyDBInstanceFluentBuilder, wanted: &Properties, property: &str) -> ModifyDBInstanceFluentBuilder {
    match property {
        "class" => call.set_db_instance_class(wanted.class.clone()),
        "promotion tier" => call.set_promotion_tier(number(wanted.promotion_tier)),
        "storage type" | "IOPS" | "throughput, MiB/s" => call
            .set_storage_type(wanted.storage_type.clone())
            .set_iops(number(wanted.iops.filter(|iops| *iops > 0)))
            .set_storage_throughput(number(wanted.throughput.filter(|throughput| *throughput > 0))),
        "storage grows to, GiB" => call.set_max_allocated_storage(number(wanted.max_storage_gib)),
        "security groups" => call.set_vpc_security_group_ids(Some(wanted.security_groups.clone())),
        "subnet group" => call.set_db_subnet_group_name(wanted.subnet_group.clone()),
        "parameter group" => call.set_db_parameter_group_name(wanted.parameter_group.clone()),
        "option group" => call.set_option_group_name(wanted.option_group.clone()),
        "port" => call.set_db_port_number(wanted.port.map(i32::from)),
        "publicly accessible" => call.set_publicly_accessible(wanted.is_public),
        "IAM authentication" => call.set_enable_iam_database_authentication(wanted.iam_auth),
        "deletion protection" => call.set_deletion_protection(wanted.deletion_protection),
        "certificate authority" => call.set_ca_certificate_identifier(wanted.ca.clone()),
        "log exports" => call.cloudwatch_logs_export_configuration(
            CloudwatchLogsExportConfiguration::builder().set_enable_log_types(Some(wanted.log_exports.clone())).build(),
        ),
        "tags go to snapshots" => call.set_copy_tags_to_snapshot(wanted.copy_tags_to_snapshot),
        "backup retention, days" => call.set_backup_retention_period(number(wanted.retention_days)),
        "backup window" => call.set_preferred_backup_window(wanted.backup_window.clone()),
        "minor upgrades by itself" => call.set_auto_minor_version_upgrade(wanted.minor_upgrades),
        "dedicated log volume" => call.set_dedicated_log_volume(wanted.dedicated_log_volume),
        "network type" => call.set_network_type(wanted.network_type.clone()),
        "Multi-AZ" => call.set_multi_az(wanted.multi_az),
        "maintenance window" => call.set_preferred_maintenance_window(wanted.maintenance_window.clone()),
        "monitoring, seconds" | "monitoring role" => call
            .set_monitoring_interval(number(wanted.monitoring_seconds))
            .set_monitoring_role_arn(wanted.monitoring_role.clone()),
        "Performance Insights" | "Performance Insights key" | "Performance Insights, days" => call
            .set_enable_performance_insights(wanted.performance_insights)
            .set_performance_insights_kms_key_id(wanted.performance_insights_kms_key.clone())
            .set_performance_insights_retention_period(number(wanted.performance_insights_days)),
        _ => call,
    }
}
