//! Making instances: empty, from an instant, from a snapshot.

use super::describe::{option_group_not_found, parameter_group_not_found, subnet_group_not_found};
use super::engine::{Backup, Engine};
use super::error::RdsError;
use super::instance::{Instance, Pending, backups_arn};
use super::instant::{self, Seconds, now, written};
use super::query::{Query, plain_name};
use super::shape::{Shape, restore_parameters};
use super::standing::{Standing, Then};
use super::state::State;
use super::xml::element;

impl State {
    pub(super) fn restore_to_point_in_time(&mut self, query: &Query) -> Result<String, RdsError> {
        let own = [
            "SourceDBInstanceIdentifier",
            "TargetDBInstanceIdentifier",
            "SourceDbiResourceId",
            "SourceDBInstanceAutomatedBackupsArn",
            "RestoreTime",
            "UseLatestRestorableTime",
        ];
        query.refuse_others(&[&own, &restore_parameters()])?;
        let target = query.new_identifier("TargetDBInstanceIdentifier")?;
        let (backup, source, port) = self.source(query)?;
        if self.place(&target).is_ok() {
            return Err(RdsError::instance_exists());
        }
        let at = restore_time(query, "RestoreTime")?;
        let retention = source.property("BackupRetentionPeriod");
        let window = backup.latest.map(|latest| (backup.earliest, latest));
        check_window(at, window, retention)?;
        let mut shape = source.restored();
        shape.name_in_restore(query)?;
        self.check_named(query, &shape)?;
        let engine = self.failing_restore().map_or_else(
            || Engine::recovered(&self.common, &backup, at).map_err(|_| "incompatible-restore".to_owned()),
            Err,
        );
        let port = port_of(query)?.unwrap_or(port);
        let when = at.or(backup.latest).map(written).unwrap_or_default();
        let xml = self.add_restored(&target, shape, port, engine);
        self.event(&target, "restoration", &format!("Restored from DB instance to {when}"));
        Ok(xml)
    }

    pub(super) fn restore_from_snapshot(&mut self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[&["DBInstanceIdentifier", "DBSnapshotIdentifier"], &restore_parameters()])?;
        let target = query.new_identifier("DBInstanceIdentifier")?;
        let identifier = query.identifier("DBSnapshotIdentifier")?;
        let snapshot = self.snapshots.iter().find(|snapshot| snapshot.identifier == identifier);
        let snapshot = snapshot.ok_or_else(|| RdsError::snapshot_not_found(&identifier))?;
        if snapshot.standing.status() != "available" {
            let message = format!("The snapshot {identifier} is not in the available state.");
            return Err(RdsError::new(400, "InvalidDBSnapshotState", message));
        }
        if self.place(&target).is_ok() {
            return Err(RdsError::instance_exists());
        }
        let mut shape = snapshot.shape.restored();
        shape.name_in_restore(query)?;
        let (major, file, port) = (snapshot.major, snapshot.file.clone(), snapshot.port);
        self.check_named(query, &shape)?;
        let engine = self.failing_restore().map_or_else(
            || Engine::of_snapshot(&self.common, major, &file).map_err(|_| "incompatible-restore".to_owned()),
            Err,
        );
        let port = port_of(query)?.unwrap_or(port);
        let xml = self.add_restored(&target, shape, port, engine);
        self.event(&target, "restoration", "Restored from snapshot");
        Ok(xml)
    }

    /// Returns what a restore reads: of an instance, or of one that is gone and left its backups.
    fn source(&self, query: &Query) -> Result<(Backup, Shape, u16), RdsError> {
        let name = query.text("SourceDBInstanceIdentifier").map(plain_name);
        let resource = query.text("SourceDbiResourceId");
        let arn = query.text("SourceDBInstanceAutomatedBackupsArn");
        if [name.is_some(), resource.is_some(), arn.is_some()].into_iter().filter(|&given| given).count() != 1 {
            return Err(RdsError::combination(
                "Exactly one of SourceDBInstanceIdentifier, SourceDbiResourceId and SourceDBInstanceAutomatedBackupsArn \
                 must be given.",
            ));
        }
        let is_it = |identifier: &str, its: &str| {
            name.as_ref().is_some_and(|name| name == identifier)
                || resource.is_some_and(|resource| resource == its)
                || arn.is_some_and(|arn| arn == backups_arn(its))
        };
        if let Some(instance) = self.instances.iter().find(|known| is_it(&known.identifier, &known.resource)) {
            let Some(engine) = instance.engine.as_ref().filter(|_| instance.keeps_backups()) else {
                let message = format!("Point in time restore is not enabled for instance {}", instance.identifier);
                return Err(RdsError::new(400, "PointInTimeRestoreNotEnabled", message));
            };
            return Ok((engine.backup.clone(), instance.shape.clone(), instance.port));
        }
        if name.is_none()
            && let Some(retained) = self.retained.iter().find(|known| is_it("", &known.resource))
        {
            return Ok((retained.backup.clone(), retained.shape.clone(), retained.port));
        }
        Err(match (name, arn) {
            (Some(name), _) => RdsError::instance_not_found(&name),
            (None, Some(arn)) => {
                let message = format!("DBInstanceAutomatedBackup {arn} not found.");
                RdsError::new(404, "DBInstanceAutomatedBackupNotFound", message)
            }
            (None, None) => RdsError::instance_not_found(resource.unwrap_or_default()),
        })
    }

    /// Refuses groups that there are not, and what would go beyond a quota.
    pub(super) fn check_named(&self, query: &Query, shape: &Shape) -> Result<(), RdsError> {
        self.check_groups(query)?;
        if self.used("DBInstances") >= self.quotas["DBInstances"] {
            let message = format!("DB Instance quota exceeded. Maximum: {}", self.quotas["DBInstances"]);
            return Err(RdsError::new(400, "InstanceQuotaExceeded", message));
        }
        let storage = shape.property("AllocatedStorage").parse::<u64>().unwrap_or(0);
        if self.used("AllocatedStorage") + storage > self.quotas["AllocatedStorage"] {
            let message = "The request would result in exceeding the allowed amount of storage available across all DB instances.";
            return Err(RdsError::new(400, "StorageQuotaExceeded", message));
        }
        Ok(())
    }

    /// Refuses groups that there are not.
    pub(super) fn check_groups(&self, query: &Query) -> Result<(), RdsError> {
        let named = |parameter: &str| query.text(parameter).map(str::to_ascii_lowercase);
        if let Some(name) = named("DBParameterGroupName").filter(|name| !self.parameter_groups.contains_key(name)) {
            return Err(parameter_group_not_found(&name));
        }
        if let Some(name) = named("DBSubnetGroupName").filter(|name| !self.subnet_groups.contains(name)) {
            return Err(subnet_group_not_found(&name));
        }
        if let Some(name) = named("OptionGroupName").filter(|name| !self.option_groups.contains_key(name)) {
            return Err(option_group_not_found(&name));
        }
        let groups = query.list("VpcSecurityGroupIds").unwrap_or_default();
        match groups.iter().find(|group| !self.security_groups.contains(group)) {
            Some(group) => Err(RdsError::value(format!("Invalid security group , groupId= {group}, groupName=."))),
            None => Ok(()),
        }
    }

    /// Returns the state that this restore was told to end in.
    pub(super) fn failing_restore(&mut self) -> Option<String> {
        self.ends.pop_front()
    }

    /// Adds the instance that a restore makes, and writes the answer.
    fn add_restored(&mut self, identifier: &str, shape: Shape, port: u16, engine: Result<Engine, String>) -> String {
        let (engine, rest) = match engine {
            Ok(engine) => (Some(engine), "available".to_owned()),
            Err(rest) => (None, rest),
        };
        let mut standing = Standing::resting(&rest);
        if engine.is_some() {
            standing = standing.then("creating", Then::Start).then("backing-up", Then::Nothing);
            for status in &self.relapses {
                standing.push("available", Then::Nothing);
                standing.push(status, Then::Nothing);
            }
        } else {
            standing = standing.then("creating", Then::Nothing);
        }
        self.add(identifier, shape, port, engine, standing)
    }

    /// Adds an instance, and writes the answer.
    pub(super) fn add(
        &mut self,
        identifier: &str,
        shape: Shape,
        port: u16,
        engine: Option<Engine>,
        standing: Standing,
    ) -> String {
        let instance = Instance {
            identifier: identifier.into(),
            resource: Self::resource("db"),
            created_at: now(),
            standing,
            shape,
            pending: Pending::default(),
            parameters_apply: "in-sync",
            address: self.address_of(identifier),
            port,
            reachable: false,
            engine,
            cluster: None,
        };
        let xml = element("DBInstance", &instance.xml());
        self.instances.push(instance);
        self.event(identifier, "creation", "DB instance created");
        xml
    }
}

/// Returns the instant that a restore names, `None` for the latest.
pub(super) fn restore_time(query: &Query, parameter: &str) -> Result<Option<Seconds>, RdsError> {
    match (query.text(parameter), query.flag("UseLatestRestorableTime")) {
        (None, true) => Ok(None),
        (Some(text), false) => {
            let time = instant::read(text).ok_or_else(|| RdsError::value(format!("Invalid {parameter}: {text}")))?;
            Ok(Some(time))
        }
        (Some(_), true) => {
            Err(RdsError::combination(format!("{parameter} and UseLatestRestorableTime cannot be used together.")))
        }
        (None, false) => {
            Err(RdsError::combination(format!("Either {parameter} or UseLatestRestorableTime must be specified.")))
        }
    }
}

/// Refuses an instant outside of the window, in the words of the service.
pub(super) fn check_window(
    at: Option<Seconds>,
    window: Option<(Seconds, Seconds)>,
    retention: &str,
) -> Result<(), RdsError> {
    let refused =
        |words: String| RdsError::value(format!("The specified instance cannot be restored to a time {words}"));
    let Some((earliest, latest)) = window else {
        let message = "The source has no backup that could be restored yet.";
        return Err(RdsError::new(400, "InvalidRestoreFault", message));
    };
    match at {
        Some(at) if at > latest => Err(refused(format!("later than {}.", written(latest)))),
        Some(at) if at < earliest => Err(refused(format!(
            "earlier than {} because its backup retention period is set to {retention} days.",
            written(earliest)
        ))),
        _ => Ok(()),
    }
}

/// Returns the port that a call names.
pub(super) fn port_of(query: &Query) -> Result<Option<u16>, RdsError> {
    let port = query.number("Port")?;
    let fits = |port: u32| u16::try_from(port).ok().filter(|&port| port >= 1150);
    port.map(|port| fits(port).ok_or_else(|| RdsError::value(format!("Invalid port {port}")))).transpose()
}
