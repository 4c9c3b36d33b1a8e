//! The actions that only read.

use super::error::RdsError;
use super::instance::{ACCOUNT, Instance, Snapshot, backups_arn};
use super::instant::{Seconds, written};
use super::query::{Query, plain_name};
use super::shape::{Shape, subnet_group};
use super::state::State;
use super::xml::{element, list, tags, text};

const PAGE: &[&str] = &["Filters", "MaxRecords", "Marker"];

impl State {
    /// Writes one page of a list, and the marker of the next.
    pub(super) fn page(&self, query: &Query, name: &str, member: &str, all: Vec<String>) -> Result<String, RdsError> {
        let asked = query.number("MaxRecords")?.unwrap_or(100);
        if !(20..=100).contains(&asked) {
            return Err(RdsError::value(format!("Invalid value {asked} for MaxRecords. Must be between 20 and 100")));
        }
        let length = self.longest_page.unwrap_or(usize::MAX).min(asked as usize);
        let begin = match query.text("Marker").map(|marker| marker.strip_prefix("from-").map(str::parse)) {
            None => 0,
            Some(Some(Ok(begin))) => begin,
            Some(_) => return Err(RdsError::value("Invalid value for Marker")),
        };
        let more = all.len() > begin + length;
        let marker = if more { text("Marker", &format!("from-{}", begin + length)) } else { String::new() };
        Ok(list(name, member, all.into_iter().skip(begin).take(length)) + &marker)
    }

    pub(super) fn describe_instances(&mut self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[PAGE, &["DBInstanceIdentifier"]])?;
        self.ship_when_asked();
        let known = ["db-cluster-id", "db-instance-id", "dbi-resource-id", "domain", "engine"];
        let filters = query.filters(&known)?;
        let one = query.text("DBInstanceIdentifier").map(plain_name);
        if let Some(identifier) = &one {
            let hidden = self.hides_renamed;
            let instance = self.instance(identifier)?;
            if hidden && instance.standing.status() == "renaming" {
                instance.standing.show();
                return Err(RdsError::instance_not_found(identifier));
            }
        }
        let fits = |instance: &&mut Instance| {
            one.as_ref().is_none_or(|identifier| *identifier == instance.identifier)
                && filters.iter().all(|(name, values)| {
                    let is = match name.as_str() {
                        "db-cluster-id" => instance.cluster.clone().unwrap_or_default(),
                        "db-instance-id" => instance.identifier.clone(),
                        "dbi-resource-id" => instance.resource.clone(),
                        "engine" => instance.shape.property("Engine").to_owned(),
                        _ => String::new(),
                    };
                    values.iter().any(|value| *value == is || plain_name(value) == is)
                })
        };
        let mut all = Vec::new();
        for instance in self.instances.iter_mut().filter(fits) {
            all.push(instance.xml());
            instance.standing.show();
        }
        self.page(query, "DBInstances", "DBInstance", all)
    }

    pub(super) fn describe_backups(&mut self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[PAGE, &["DBInstanceIdentifier", "DbiResourceId", "DBInstanceAutomatedBackupsArn"]])?;
        self.ship_when_asked();
        let filters = query.filters(&["status", "db-instance-id", "dbi-resource-id"])?;
        let fits = |status: &str, identifier: &str, resource: &str| {
            let is = |parameter: &str, is: &str| query.text(parameter).is_none_or(|wanted| plain_name(wanted) == is);
            let arn = query.text("DBInstanceAutomatedBackupsArn").is_none_or(|arn| arn == backups_arn(resource));
            arn && is("DBInstanceIdentifier", identifier)
                && query.text("DbiResourceId").is_none_or(|wanted| wanted == resource)
                && filters.iter().all(|(name, values)| {
                    let is = match name.as_str() {
                        "status" => status,
                        "db-instance-id" => identifier,
                        _ => resource,
                    };
                    values.iter().any(|value| value == is)
                })
        };
        let mut all = Vec::new();
        for instance in &self.instances {
            let Some(engine) = instance.engine.as_ref().filter(|_| instance.keeps_backups()) else { continue };
            let status = if engine.backup.latest.is_some() { "active" } else { "creating" };
            if fits(status, &instance.identifier, &instance.resource) {
                let names = (&*instance.identifier, &*instance.resource, status);
                let window = engine.backup.latest.map(|latest| (engine.backup.earliest, latest));
                all.push(backup_xml(names, (instance.created_at, instance.port), window, &instance.shape));
            }
        }
        for retained in &self.retained {
            if fits("retained", &retained.identifier, &retained.resource) {
                let names = (&*retained.identifier, &*retained.resource, "retained");
                let window = retained.backup.latest.map(|latest| (retained.backup.earliest, latest));
                all.push(backup_xml(names, (retained.created_at, retained.port), window, &retained.shape));
            }
        }
        if all.is_empty()
            && let Some(identifier) = query.text("DBInstanceIdentifier").filter(|_| filters.is_empty())
            && self.place(&plain_name(identifier)).is_err()
        {
            let message = format!("DBInstanceAutomatedBackup {identifier} not found.");
            return Err(RdsError::new(404, "DBInstanceAutomatedBackupNotFound", message));
        }
        self.page(query, "DBInstanceAutomatedBackups", "DBInstanceAutomatedBackup", all)
    }

    pub(super) fn describe_snapshots(&mut self, query: &Query) -> Result<String, RdsError> {
        let own = ["DBInstanceIdentifier", "DBSnapshotIdentifier", "SnapshotType", "DbiResourceId"];
        query.refuse_others(&[PAGE, &own, &["IncludeShared", "IncludePublic"]])?;
        let filters =
            query.filters(&["db-instance-id", "db-snapshot-id", "dbi-resource-id", "snapshot-type", "engine"])?;
        let one = query.text("DBSnapshotIdentifier").map(plain_name);
        let fits = |snapshot: &&mut Snapshot| {
            one.as_ref().is_none_or(|identifier| *identifier == snapshot.identifier)
                && query.text("DBInstanceIdentifier").is_none_or(|wanted| plain_name(wanted) == snapshot.instance)
                && query.text("DbiResourceId").is_none_or(|wanted| wanted == snapshot.resource)
                && query.text("SnapshotType").is_none_or(|wanted| wanted == "manual")
                && filters.iter().all(|(name, values)| {
                    let is = match name.as_str() {
                        "db-instance-id" => &snapshot.instance,
                        "db-snapshot-id" => &snapshot.identifier,
                        "dbi-resource-id" => &snapshot.resource,
                        "engine" => snapshot.shape.property("Engine"),
                        _ => "manual",
                    };
                    values.iter().any(|value| value == is || plain_name(value) == is)
                })
        };
        let mut all = Vec::new();
        for snapshot in self.snapshots.iter_mut().filter(fits) {
            all.push(snapshot.xml());
            snapshot.standing.show();
        }
        match one {
            Some(identifier) if all.is_empty() => Err(RdsError::snapshot_not_found(&identifier)),
            _ => self.page(query, "DBSnapshots", "DBSnapshot", all),
        }
    }

    pub(super) fn describe_parameter_groups(&self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[PAGE, &["DBParameterGroupName"]])?;
        let one = query.text("DBParameterGroupName").map(plain_name);
        let all = self.parameter_groups.iter().filter(|(name, _)| one.as_ref().is_none_or(|one| one == *name));
        let all: Vec<String> = all
            .map(|(name, group)| {
                let arn = format!("arn:aws:rds:{ACCOUNT}:pg:{name}");
                text("DBParameterGroupName", name)
                    + &text("DBParameterGroupFamily", &group.family)
                    + &text("Description", name)
                    + &text("DBParameterGroupArn", &arn)
            })
            .collect();
        match one {
            Some(name) if all.is_empty() => Err(parameter_group_not_found(&name)),
            _ => self.page(query, "DBParameterGroups", "DBParameterGroup", all),
        }
    }

    pub(super) fn describe_subnet_groups(&self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[PAGE, &["DBSubnetGroupName"]])?;
        let one = query.text("DBSubnetGroupName").map(plain_name);
        let all = self.subnet_groups.iter().filter(|name| one.as_ref().is_none_or(|one| one == *name));
        let arn = |name: &String| text("DBSubnetGroupArn", &format!("arn:aws:rds:{ACCOUNT}:subgrp:{name}"));
        let all: Vec<String> = all.map(|name| subnet_group(name) + &arn(name)).collect();
        match one {
            Some(name) if all.is_empty() => Err(subnet_group_not_found(&name)),
            _ => self.page(query, "DBSubnetGroups", "DBSubnetGroup", all),
        }
    }

    pub(super) fn describe_option_groups(&self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[PAGE, &["OptionGroupName", "EngineName", "MajorEngineVersion"]])?;
        let one = query.text("OptionGroupName").map(plain_name);
        let all = self.option_groups.iter().filter(|(name, (engine, major))| {
            one.as_ref().is_none_or(|one| one == *name)
                && query.text("EngineName").is_none_or(|wanted| wanted == engine)
                && query.text("MajorEngineVersion").is_none_or(|wanted| wanted == major)
        });
        let all: Vec<String> = all
            .map(|(name, (engine, major))| {
                text("OptionGroupName", name)
                    + &text("OptionGroupDescription", name)
                    + &text("EngineName", engine)
                    + &text("MajorEngineVersion", major)
                    + &text("AllowsVpcAndNonVpcInstanceMemberships", "true")
                    + &text("OptionGroupArn", &format!("arn:aws:rds:{ACCOUNT}:og:{name}"))
                    + &element("Options", "")
            })
            .collect();
        match one {
            Some(name) if all.is_empty() => Err(option_group_not_found(&name)),
            _ => self.page(query, "OptionGroupsList", "OptionGroup", all),
        }
    }

    pub(super) fn describe_account(&self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[])?;
        let quotas = self.quotas.iter().map(|(name, max)| {
            text("AccountQuotaName", name)
                + &text("Used", &self.used(name).to_string())
                + &text("Max", &max.to_string())
        });
        Ok(list("AccountQuotas", "AccountQuota", quotas))
    }

    pub(super) fn describe_maintenance(&self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[PAGE, &["ResourceIdentifier"]])?;
        let filters = query.filters(&["db-cluster-id", "db-instance-id"])?;
        let known = self.instances.iter().filter(|instance| {
            query.text("ResourceIdentifier").is_none_or(|arn| arn == instance.arn())
                && filters.iter().all(|(_, values)| values.iter().any(|value| plain_name(value) == instance.identifier))
        });
        let mut all = Vec::new();
        for instance in known {
            let actions = self.maintenance.iter().filter(|(identifier, _)| *identifier == instance.identifier);
            let actions: Vec<String> =
                actions.map(|(_, action)| text("Action", action) + &text("Description", action)).collect();
            if !actions.is_empty() {
                let details = list("PendingMaintenanceActionDetails", "PendingMaintenanceAction", actions);
                all.push(text("ResourceIdentifier", &instance.arn()) + &details);
            }
        }
        self.page(query, "PendingMaintenanceActions", "ResourcePendingMaintenanceActions", all)
    }

    /// Returns how much of a quota is used.
    pub(super) fn used(&self, quota: &str) -> u64 {
        let count = match quota {
            "DBInstances" => self.instances.len(),
            "ManualSnapshots" => self.snapshots.len(),
            "DBClusters" => self.clusters.len(),
            "AllocatedStorage" => {
                let each =
                    self.instances.iter().map(|instance| instance.shape.property("AllocatedStorage").parse::<u64>());
                return each.filter_map(Result::ok).sum();
            }
            _ => 0,
        };
        count as u64
    }
}

fn backup_xml(
    (identifier, resource, status): (&str, &str, &str),
    (created_at, port): (Seconds, u16),
    window: Option<(Seconds, Seconds)>,
    shape: &Shape,
) -> String {
    let window = window.map_or(String::new(), |(earliest, latest)| {
        text("EarliestTime", &written(earliest)) + &text("LatestTime", &written(latest))
    });
    let mut xml = text("DBInstanceIdentifier", identifier)
        + &text("DbiResourceId", resource)
        + &text("DBInstanceArn", &format!("arn:aws:rds:{ACCOUNT}:db:{identifier}"))
        + &text("DBInstanceAutomatedBackupsArn", &backups_arn(resource))
        + &text("Region", "us-east-1")
        + &text("Status", status)
        + &text("Port", &port.to_string())
        + &text("InstanceCreateTime", &written(created_at))
        + &element("RestoreWindow", &window)
        + &text("OptionGroupName", &shape.option_group)
        + &text("Encrypted", shape.property("StorageEncrypted"))
        + &text("VpcId", "vpc-1");
    for name in [
        "Engine",
        "EngineVersion",
        "AllocatedStorage",
        "AvailabilityZone",
        "MasterUsername",
        "LicenseModel",
        "StorageType",
        "BackupRetentionPeriod",
        "IAMDatabaseAuthenticationEnabled",
    ] {
        xml += &text(name, shape.property(name));
    }
    xml + &tags(&shape.tags)
}

pub(super) fn parameter_group_not_found(name: &str) -> RdsError {
    RdsError::new(404, "DBParameterGroupNotFound", format!("DBParameterGroup not found: {name}"))
}

pub(super) fn subnet_group_not_found(name: &str) -> RdsError {
    RdsError::new(404, "DBSubnetGroupNotFoundFault", format!("DB subnet group '{name}' does not exist."))
}

pub(super) fn option_group_not_found(name: &str) -> RdsError {
    RdsError::new(404, "OptionGroupNotFoundFault", format!("Specified OptionGroupName: {name} not found."))
}
