//! One instance, and one snapshot.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::engine::Engine;
use super::instant::{Seconds, written};
use super::shape::Shape;
use super::standing::Standing;
use super::xml::{element, text};

/// Region and account of every ARN.
pub(super) const ACCOUNT: &str = "us-east-1:123456789012";

/// A database instance.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) identifier: String,
    /// What stays when the name changes: `DbiResourceId`.
    pub(super) resource: String,
    pub(super) created_at: Seconds,
    pub(super) standing: Standing,
    pub(super) shape: Shape,
    /// What was asked for and is not true yet.
    pub(super) pending: Pending,
    /// `in-sync`, or `pending-reboot` after another parameter group was named.
    pub(super) parameters_apply: &'static str,
    pub(super) address: Ipv4Addr,
    pub(super) port: u16,
    /// The server answers at the address, or did before it was stopped.
    pub(super) reachable: bool,
    /// None for another engine than PostgreSQL, for an Aurora instance, and for one whose restore failed.
    pub(super) engine: Option<Engine>,
    /// The Aurora cluster that has the data.
    pub(super) cluster: Option<String>,
}

/// What `PendingModifiedValues` shows.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    pub(super) properties: Vec<(String, String)>,
    pub(super) identifier: Option<String>,
    pub(super) port: Option<u16>,
}

impl Pending {
    fn xml(&self) -> String {
        let mut xml: String = self.properties.iter().map(|(name, value)| text(name, value)).collect();
        if let Some(identifier) = &self.identifier {
            xml += &text("DBInstanceIdentifier", identifier);
        }
        if let Some(port) = self.port {
            xml += &text("Port", &port.to_string());
        }
        xml
    }
}

impl Instance {
    pub(super) fn arn(&self) -> String {
        format!("arn:aws:rds:{ACCOUNT}:db:{}", self.identifier)
    }

    /// Returns whether automated backups are made.
    pub(super) fn keeps_backups(&self) -> bool {
        self.engine.is_some() && !matches!(self.shape.property("BackupRetentionPeriod"), "" | "0")
    }

    /// Returns the last instant that can be restored.
    pub(super) fn latest(&self) -> Option<Seconds> {
        let latest = self.engine.as_ref().and_then(|engine| engine.backup.latest);
        latest.filter(|_| self.keeps_backups())
    }

    /// Writes a `DBInstance`.
    pub(super) fn xml(&self) -> String {
        let mut xml = text("DBInstanceIdentifier", &self.identifier)
            + &text("DBInstanceStatus", self.standing.status())
            + &text("DbiResourceId", &self.resource)
            + &text("DBInstanceArn", &self.arn())
            + &text("InstanceCreateTime", &written(self.created_at))
            + &text("DbInstancePort", "0")
            + &element("PendingModifiedValues", &self.pending.xml())
            + &self.shape.xml(self.parameters_apply);
        if self.reachable {
            let zone = text("HostedZoneId", "Z2R2ITUGPM61AM");
            let endpoint = text("Address", &self.address.to_string()) + &text("Port", &self.port.to_string()) + &zone;
            xml += &element("Endpoint", &endpoint);
        }
        if let Some(latest) = self.latest() {
            xml += &text("LatestRestorableTime", &written(latest));
        }
        if let Some(cluster) = &self.cluster {
            xml += &text("DBClusterIdentifier", cluster);
        }
        xml
    }
}

/// Returns the ARN of the automated backups of an instance.
pub(super) fn backups_arn(resource: &str) -> String {
    format!("arn:aws:rds:{ACCOUNT}:auto-backup:ab-{}", resource.trim_start_matches("db-").to_ascii_lowercase())
}

/// A snapshot: a packed data directory.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) identifier: String,
    pub(super) instance: String,
    pub(super) resource: String,
    pub(super) instance_created_at: Seconds,
    pub(super) created_at: Seconds,
    /// When what it is a copy of was made, or it.
    pub(super) taken_at: Seconds,
    /// The snapshot that it is a copy of.
    pub(super) copy_of: Option<String>,
    pub(super) standing: Standing,
    pub(super) shape: Shape,
    pub(super) port: u16,
    pub(super) major: u32,
    pub(super) file: PathBuf,
}

impl Snapshot {
    pub(super) fn arn(&self) -> String {
        format!("arn:aws:rds:{ACCOUNT}:snapshot:{}", self.identifier)
    }

    /// Writes a `DBSnapshot`.
    pub(super) fn xml(&self) -> String {
        let shape = &self.shape;
        let status = self.standing.status();
        let mut xml = text("DBSnapshotIdentifier", &self.identifier)
            + &text("DBInstanceIdentifier", &self.instance)
            + &text("DbiResourceId", &self.resource)
            + &text("DBSnapshotArn", &self.arn())
            + &text("InstanceCreateTime", &written(self.instance_created_at))
            + &text("Status", status)
            + &text("PercentProgress", if status == "available" { "100" } else { "0" })
            + &text("Port", &self.port.to_string())
            + &text("VpcId", "vpc-1")
            + &text("SnapshotType", "manual")
            + &text("SnapshotTarget", "region")
            + &text("OptionGroupName", &shape.option_group)
            + &text("Encrypted", shape.property("StorageEncrypted"));
        for name in [
            "Engine",
            "EngineVersion",
            "AllocatedStorage",
            "AvailabilityZone",
            "MasterUsername",
            "LicenseModel",
            "StorageType",
            "IAMDatabaseAuthenticationEnabled",
            "DedicatedLogVolume",
        ] {
            xml += &text(name, shape.property(name));
        }
        for name in ["Iops", "StorageThroughput", "KmsKeyId"] {
            if let Some(value) = shape.properties.get(name) {
                xml += &text(name, value);
            }
        }
        if status != "creating" {
            xml += &text("SnapshotCreateTime", &written(self.created_at));
            xml += &text("OriginalSnapshotCreateTime", &written(self.taken_at));
        }
        if let Some(source) = &self.copy_of {
            xml += &text("SourceDBSnapshotIdentifier", source);
        }
        xml + &super::xml::tags(&shape.tags)
    }
}
