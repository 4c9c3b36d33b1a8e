//! The actions that change an instance, end it, or tag a thing.

use super::error::RdsError;
use super::query::{Query, plain_name};
use super::roles;
use super::shape::{Shape, modify_parameters};
use super::standing::Then;
use super::state::State;
use super::xml::{element, tags};

/// Properties that wait for the maintenance window unless they are to be applied at once.
const AT_MAINTENANCE: &[&str] = &[
    "DBInstanceClass",
    "AllocatedStorage",
    "MultiAZ",
    "Iops",
    "StorageThroughput",
    "StorageType",
    "EngineVersion",
    "LicenseModel",
    "DedicatedLogVolume",
];

impl State {
    pub(super) fn modify(&mut self, query: &Query) -> Result<String, RdsError> {
        let own = ["DBInstanceIdentifier", "NewDBInstanceIdentifier", "ApplyImmediately"];
        query.refuse_others(&[&own, &modify_parameters()])?;
        let identifier = query.identifier("DBInstanceIdentifier")?;
        let renamed = query.text("NewDBInstanceIdentifier").map(|_| query.new_identifier("NewDBInstanceIdentifier"));
        let renamed = renamed.transpose()?.filter(|renamed| *renamed != identifier);
        self.place(&identifier)?;
        if renamed.as_ref().is_some_and(|renamed| self.place(renamed).is_ok()) {
            return Err(RdsError::instance_exists());
        }
        self.check_groups(query)?;
        let now = query.flag("ApplyImmediately");
        let instance = self.instance(&identifier)?;
        // A full one is modified to get room again, and stays full else.
        if !matches!(instance.standing.status(), "available" | "storage-optimization" | "storage-full") {
            return Err(RdsError::instance_state("Database instance is not in available state."));
        }
        let port = query.number("DBPortNumber")?.map(|port| u16::try_from(port).ok().filter(|&port| port >= 1150));
        let port = port.map(|port| port.ok_or_else(|| RdsError::value("Invalid port"))).transpose()?;
        let (waiting, direct): (Vec<_>, Vec<_>) =
            Shape::modified(query).into_iter().partition(|(name, _)| AT_MAINTENANCE.contains(&name.as_str()));
        let had = instance.shape.parameter_group.clone();
        instance.shape.properties.extend(direct);
        instance.shape.name_groups(query);
        if instance.shape.parameter_group != had {
            instance.parameters_apply = "pending-reboot";
        }
        for (wanted, on) in [("EnableLogTypes", true), ("DisableLogTypes", false)] {
            for log in query.list(&format!("CloudwatchLogsExportConfiguration.{wanted}")).unwrap_or_default() {
                instance.shape.log_exports.retain(|known| *known != log);
                if on {
                    instance.shape.log_exports.push(log);
                }
            }
        }
        instance.pending.properties.retain(|(name, _)| !waiting.iter().any(|(wanted, _)| wanted == name));
        instance.pending.properties.extend(waiting);
        instance.pending.port = port.or(instance.pending.port);
        instance.pending.identifier = renamed.clone().or_else(|| instance.pending.identifier.clone());
        let xml = element("DBInstance", &instance.xml());
        // A password never waits for the window.
        if let Some(password) = query.text("MasterUserPassword") {
            let master = instance.shape.property("MasterUsername").to_owned();
            instance.standing.push("resetting-master-credentials", Then::Nothing);
            if let Some(engine) = &instance.engine {
                roles::set_password(engine.cluster(), &master, password);
            }
        }
        if now {
            instance.standing.push("modifying", Then::Apply);
            if let Some(renamed) = instance.pending.identifier.clone() {
                instance.standing.push("renaming", Then::Rename(renamed));
            }
        }
        Ok(xml)
    }

    pub(super) fn reboot(&mut self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[&["DBInstanceIdentifier", "ForceFailover"]])?;
        let identifier = query.identifier("DBInstanceIdentifier")?;
        let xml = self.begin(&identifier, "available", "rebooting", Then::Start, "available")?;
        self.event(&identifier, "availability", "DB instance restarted");
        Ok(xml)
    }

    pub(super) fn stop_instance(&mut self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[&["DBInstanceIdentifier", "DBSnapshotIdentifier"]])?;
        let identifier = query.identifier("DBInstanceIdentifier")?;
        self.begin(&identifier, "available", "stopping", Then::Stop, "stopped")
    }

    pub(super) fn start_instance(&mut self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[&["DBInstanceIdentifier"]])?;
        let identifier = query.identifier("DBInstanceIdentifier")?;
        self.begin(&identifier, "stopped", "starting", Then::Start, "available")
    }

    fn begin(&mut self, identifier: &str, from: &str, status: &str, then: Then, to: &str) -> Result<String, RdsError> {
        let instance = self.instance(identifier)?;
        if instance.standing.status() != from {
            return Err(RdsError::instance_state(format!("Instance {identifier} is not in {from} state.")));
        }
        to.clone_into(&mut instance.standing.rest);
        instance.standing.push(status, then);
        Ok(element("DBInstance", &instance.xml()))
    }

    pub(super) fn delete(&mut self, query: &Query) -> Result<String, RdsError> {
        let own = ["DBInstanceIdentifier", "SkipFinalSnapshot", "FinalDBSnapshotIdentifier", "DeleteAutomatedBackups"];
        query.refuse_others(&[&own])?;
        let identifier = query.identifier("DBInstanceIdentifier")?;
        let place = self.place(&identifier)?;
        let instance = &self.instances[place];
        let status = instance.standing.status();
        if status == "deleting" {
            return Err(RdsError::instance_state(format!("Instance {identifier} is already being deleted.")));
        }
        if instance.shape.property("DeletionProtection") == "true" {
            return Err(RdsError::combination(
                "Cannot delete protected DB Instance, please disable deletion protection and try again.",
            ));
        }
        let last = match (query.flag("SkipFinalSnapshot"), query.text("FinalDBSnapshotIdentifier")) {
            (true, None) => None,
            // The snapshots of a cluster are the cluster's.
            (false, None) if instance.cluster.is_some() => None,
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
            (false, Some(_)) if !matches!(status, "available" | "storage-optimization") => {
                let words = if status == "creating" { "creating" } else { status };
                let message = format!("Instance {identifier} is currently {words} - a final snapshot cannot be taken.");
                return Err(RdsError::instance_state(message));
            }
            (false, Some(_)) => Some(query.new_identifier("FinalDBSnapshotIdentifier")?),
        };
        if let Some(last) = last {
            let tags = match instance.shape.property("CopyTagsToSnapshot") {
                "true" => instance.shape.tags.clone(),
                _ => Vec::new(),
            };
            self.take_snapshot(place, &last, tags)?;
        }
        let keep_backups = query.text("DeleteAutomatedBackups") == Some("false");
        let instance = &mut self.instances[place];
        instance.standing =
            super::standing::Standing::resting("deleting").then("deleting", Then::Remove { keep_backups });
        Ok(element("DBInstance", &instance.xml()))
    }

    pub(super) fn list_tags(&mut self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[&["ResourceName", "Filters"]])?;
        let of = self.tags_of(query.required("ResourceName")?)?;
        Ok(tags(of))
    }

    pub(super) fn add_tags(&mut self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[&["ResourceName", "Tags"]])?;
        let new = query.tags().unwrap_or_default();
        let of = self.tags_of(query.required("ResourceName")?)?;
        if let Some((key, _)) = new.iter().find(|(key, _)| key.starts_with("aws:")) {
            return Err(RdsError::value(format!("{key}: tag keys may not begin with aws:")));
        }
        of.retain(|(key, _)| !new.iter().any(|(named, _)| named == key));
        of.extend(new);
        if of.len() > 50 {
            return Err(RdsError::value("A resource may have 50 tags at most."));
        }
        Ok(String::new())
    }

    pub(super) fn remove_tags(&mut self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[&["ResourceName", "TagKeys"]])?;
        let keys = query.list("TagKeys").unwrap_or_default();
        self.tags_of(query.required("ResourceName")?)?.retain(|(key, _)| !keys.contains(key));
        Ok(String::new())
    }

    fn tags_of(&mut self, arn: &str) -> Result<&mut Vec<(String, String)>, RdsError> {
        let name = plain_name(arn);
        match arn.split(':').nth(5) {
            Some("db") => Ok(&mut self.instance(&name)?.shape.tags),
            Some("snapshot") => {
                let snapshot = self.snapshots.iter_mut().find(|snapshot| snapshot.identifier == name);
                snapshot.map(|found| &mut found.shape.tags).ok_or_else(|| RdsError::snapshot_not_found(&name))
            }
            Some("cluster") => {
                let cluster = self.clusters.iter_mut().find(|cluster| cluster.identifier == name);
                cluster.map(|found| &mut found.shape.tags).ok_or_else(|| RdsError::cluster_not_found(&name))
            }
            _ => Err(RdsError::value(format!("Invalid resource name: {arn}"))),
        }
    }
}
