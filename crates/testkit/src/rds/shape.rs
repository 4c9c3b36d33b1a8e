//! The properties of an instance: those of the source, and what a restore makes of them.

use std::collections::BTreeMap;

use super::error::RdsError;
use super::query::Query;
use super::xml::{element, list, tags, text};

/// Parameters that restores and `ModifyDBInstance` share, with the property that they set.
const SHARED: &[(&str, &str)] = &[
    ("DBInstanceClass", "DBInstanceClass"),
    ("MultiAZ", "MultiAZ"),
    ("PubliclyAccessible", "PubliclyAccessible"),
    ("AutoMinorVersionUpgrade", "AutoMinorVersionUpgrade"),
    ("LicenseModel", "LicenseModel"),
    ("Iops", "Iops"),
    ("StorageThroughput", "StorageThroughput"),
    ("CopyTagsToSnapshot", "CopyTagsToSnapshot"),
    ("StorageType", "StorageType"),
    ("EnableIAMDatabaseAuthentication", "IAMDatabaseAuthenticationEnabled"),
    ("DeletionProtection", "DeletionProtection"),
    ("MaxAllocatedStorage", "MaxAllocatedStorage"),
    ("EnableCustomerOwnedIp", "CustomerOwnedIpEnabled"),
    ("NetworkType", "NetworkType"),
    ("AllocatedStorage", "AllocatedStorage"),
    ("BackupRetentionPeriod", "BackupRetentionPeriod"),
    ("PreferredBackupWindow", "PreferredBackupWindow"),
    ("DedicatedLogVolume", "DedicatedLogVolume"),
    ("CACertificateIdentifier", "CACertificateIdentifier"),
    ("EngineLifecycleSupport", "EngineLifecycleSupport"),
];

/// Parameters that only restores have.
const RESTORED: &[(&str, &str)] = &[("AvailabilityZone", "AvailabilityZone"), ("BackupTarget", "BackupTarget")];

/// Parameters that only `ModifyDBInstance` has.
const MODIFIED: &[(&str, &str)] = &[
    ("PreferredMaintenanceWindow", "PreferredMaintenanceWindow"),
    ("EngineVersion", "EngineVersion"),
    ("MonitoringInterval", "MonitoringInterval"),
    ("MonitoringRoleArn", "MonitoringRoleArn"),
    ("PromotionTier", "PromotionTier"),
    ("DatabaseInsightsMode", "DatabaseInsightsMode"),
    ("EnablePerformanceInsights", "PerformanceInsightsEnabled"),
    ("PerformanceInsightsKMSKeyId", "PerformanceInsightsKMSKeyId"),
    ("PerformanceInsightsRetentionPeriod", "PerformanceInsightsRetentionPeriod"),
];

/// Names of the parameters of restores, for [`Query::refuse_others`].
pub(super) fn restore_parameters() -> Vec<&'static str> {
    let lists = ["VpcSecurityGroupIds", "DBSubnetGroupName", "DBParameterGroupName", "OptionGroupName", "Tags"];
    let others = ["EnableCloudwatchLogsExports", "Port", "Engine", "UseDefaultProcessorFeatures"];
    SHARED.iter().chain(RESTORED).map(|(name, _)| *name).chain(lists).chain(others).collect()
}

/// Names of the parameters of `ModifyDBInstance`.
pub(super) fn modify_parameters() -> Vec<&'static str> {
    let others = [
        "VpcSecurityGroupIds",
        "DBSubnetGroupName",
        "DBParameterGroupName",
        "OptionGroupName",
        "CloudwatchLogsExportConfiguration",
        "DBPortNumber",
        "MasterUserPassword",
        "CertificateRotationRestart",
        "AllowMajorVersionUpgrade",
    ];
    SHARED.iter().chain(MODIFIED).map(|(name, _)| *name).chain(others).collect()
}

/// What an instance is like, apart from its name, its state and its data.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    /// Plain elements of the answer, by their name there.
    pub(super) properties: BTreeMap<String, String>,
    pub(super) security_groups: Vec<String>,
    pub(super) parameter_group: String,
    pub(super) option_group: String,
    pub(super) subnet_group: String,
    pub(super) log_exports: Vec<String>,
    pub(super) tags: Vec<(String, String)>,
}

impl Shape {
    /// Returns the shape of a new instance of which nothing is asked for.
    pub(super) fn new(engine: &str, version: &str, master: &str) -> Self {
        let mut shape = Self::default();
        let given = [("Engine", engine), ("EngineVersion", version), ("MasterUsername", master)];
        let kept = [
            ("DBInstanceClass", "db.t4g.micro"),
            ("AllocatedStorage", "20"),
            ("LicenseModel", "postgresql-license"),
            ("BackupRetentionPeriod", "7"),
            ("StorageEncrypted", "false"),
            ("BackupTarget", "region"),
            ("NetworkType", "IPV4"),
        ];
        shape.properties = given.into_iter().chain(kept).map(|(name, value)| (name.into(), value.into())).collect();
        shape.set_defaults();
        shape
    }

    /// Returns the shape of an instance that is restored from this one: data, engine, class, storage, retention and tags
    /// are as they were, all else as the service's defaults.
    pub(super) fn restored(&self) -> Self {
        let mut shape = Self { tags: self.tags.clone(), ..Self::default() };
        let kept = [
            "Engine",
            "EngineVersion",
            "MasterUsername",
            "DBName",
            "DBInstanceClass",
            "AllocatedStorage",
            "LicenseModel",
            "BackupRetentionPeriod",
            "StorageEncrypted",
            "KmsKeyId",
            "BackupTarget",
            "NetworkType",
            "EngineLifecycleSupport",
        ];
        let kept = self.properties.iter().filter(|(name, _)| kept.contains(&name.as_str()));
        shape.properties = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        shape.set_defaults();
        shape
    }

    fn set_defaults(&mut self) {
        let defaults = [
            ("MultiAZ", "false"),
            ("AvailabilityZone", "us-east-1b"),
            ("DeletionProtection", "false"),
            ("IAMDatabaseAuthenticationEnabled", "false"),
            ("CACertificateIdentifier", "rds-ca-rsa2048-g1"),
            ("StorageType", "gp3"),
            ("PubliclyAccessible", "true"),
            ("AutoMinorVersionUpgrade", "true"),
            ("CopyTagsToSnapshot", "false"),
            ("PerformanceInsightsEnabled", "false"),
            ("MonitoringInterval", "0"),
            ("PreferredBackupWindow", "03:17-03:47"),
            ("PreferredMaintenanceWindow", "sun:05:00-sun:05:30"),
            ("DedicatedLogVolume", "false"),
            ("CustomerOwnedIpEnabled", "false"),
            ("EngineLifecycleSupport", "open-source-rds-extended-support"),
        ];
        for (name, value) in defaults {
            self.properties.entry(name.into()).or_insert_with(|| value.into());
        }
        if self.property("Engine").starts_with("aurora") {
            self.properties.insert("StorageType".into(), "aurora".into());
        }
        self.security_groups = vec!["sg-default".into()];
        self.parameter_group = default_parameter_group(self.property("Engine"), self.property("EngineVersion"));
        self.option_group = default_option_group(self.property("Engine"), self.property("EngineVersion"));
        self.subnet_group = "default".into();
    }

    /// Returns a plain property, empty when there is none.
    pub(super) fn property(&self, name: &str) -> &str {
        self.properties.get(name).map_or("", String::as_str)
    }

    /// Sets what a restore names.
    pub(super) fn name_in_restore(&mut self, query: &Query) -> Result<(), RdsError> {
        if query.text("AvailabilityZone").is_some() && query.flag("MultiAZ") {
            return Err(RdsError::combination(
                "Requesting a specific availability zone is not valid for Multi-AZ instances.",
            ));
        }
        if let Some(wanted) = query.number("AllocatedStorage")? {
            let had: u32 = self.property("AllocatedStorage").parse().unwrap_or(0);
            if wanted < had {
                return Err(RdsError::value(
                    "Invalid storage size for engine name postgres: it cannot be less than the source's.",
                ));
            }
        }
        for (parameter, property) in SHARED.iter().chain(RESTORED) {
            if let Some(value) = query.text(parameter) {
                self.properties.insert((*property).into(), value.into());
            }
        }
        if query.text("Iops").is_some() && query.text("StorageType").is_none() {
            self.properties.insert("StorageType".into(), "io1".into());
        }
        if let Some(logs) = query.list("EnableCloudwatchLogsExports") {
            self.log_exports = logs;
        }
        if let Some(tags) = query.tags() {
            self.tags = tags;
        }
        self.name_groups(query);
        Ok(())
    }

    /// Sets the groups that a call names; whether there are such groups is asked before.
    pub(super) fn name_groups(&mut self, query: &Query) {
        if let Some(groups) = query.list("VpcSecurityGroupIds") {
            self.security_groups = groups;
        }
        let groups = [
            (&mut self.parameter_group, "DBParameterGroupName"),
            (&mut self.option_group, "OptionGroupName"),
            (&mut self.subnet_group, "DBSubnetGroupName"),
        ];
        for (group, parameter) in groups {
            if let Some(name) = query.text(parameter) {
                *group = name.to_ascii_lowercase();
            }
        }
    }

    /// Returns the plain properties that `ModifyDBInstance` names.
    pub(super) fn modified(query: &Query) -> Vec<(String, String)> {
        let named = SHARED.iter().chain(MODIFIED).filter_map(|(parameter, property)| {
            query.text(parameter).map(|value| ((*property).to_owned(), value.to_owned()))
        });
        named.collect()
    }

    /// Writes the elements of the answer.
    pub(super) fn xml(&self, apply: &str) -> String {
        let groups = self.security_groups.iter();
        let groups = groups.map(|group| text("VpcSecurityGroupId", group) + &text("Status", "active"));
        let mut xml: String = self.properties.iter().map(|(name, value)| text(name, value)).collect();
        xml += &list("VpcSecurityGroups", "VpcSecurityGroupMembership", groups);
        let group = text("DBParameterGroupName", &self.parameter_group) + &text("ParameterApplyStatus", apply);
        xml += &list("DBParameterGroups", "DBParameterGroup", [group]);
        let group = text("OptionGroupName", &self.option_group) + &text("Status", "in-sync");
        xml += &list("OptionGroupMemberships", "OptionGroupMembership", [group]);
        xml += &element("DBSubnetGroup", &subnet_group(&self.subnet_group));
        xml += &list("EnabledCloudwatchLogsExports", "member", self.log_exports.iter().cloned());
        xml + &tags(&self.tags)
    }
}

/// Returns what is in a `DBSubnetGroup`.
pub(super) fn subnet_group(name: &str) -> String {
    let subnet = |zone: &str| {
        let zone_name = element("SubnetAvailabilityZone", &text("Name", zone));
        text("SubnetIdentifier", &format!("subnet-{name}-{zone}")) + &zone_name + &text("SubnetStatus", "Active")
    };
    text("DBSubnetGroupName", name)
        + &text("DBSubnetGroupDescription", name)
        + &text("VpcId", "vpc-1")
        + &text("SubnetGroupStatus", "Complete")
        + &list("Subnets", "Subnet", ["us-east-1a", "us-east-1b"].map(subnet))
}

/// Returns the family of parameter groups, such as `postgres16`.
pub(super) fn family(engine: &str, version: &str) -> String {
    format!("{engine}{}", version.split('.').next().unwrap_or_default())
}

/// Returns the name of the parameter group of instances that name none.
pub(super) fn default_parameter_group(engine: &str, version: &str) -> String {
    format!("default.{}", family(engine, version))
}

/// Returns the name of the option group of instances that name none.
pub(super) fn default_option_group(engine: &str, version: &str) -> String {
    format!("default:{engine}-{}", version.split('.').next().unwrap_or_default())
}
