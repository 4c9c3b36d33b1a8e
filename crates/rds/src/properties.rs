//! What a restore has to take over from its source: RDS's own defaults are not the source's.

use serde::{Deserialize, Serialize};

/// The properties of an instance; `None` where RDS does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the table below, which says what each is")]
pub struct Properties {
    pub engine_version: Option<String>,
    pub class: Option<String>,
    pub capacity: Option<String>,
    pub promotion_tier: Option<u32>,
    pub storage_gib: Option<u32>,
    pub storage_type: Option<String>,
    pub iops: Option<u32>,
    pub throughput: Option<u32>,
    pub max_storage_gib: Option<u32>,
    pub kms_key: Option<String>,
    pub subnet_group: Option<String>,
    pub security_groups: Vec<String>,
    pub parameter_group: Option<String>,
    pub option_group: Option<String>,
    pub port: Option<u16>,
    pub is_public: Option<bool>,
    pub multi_az: Option<bool>,
    pub iam_auth: Option<bool>,
    pub deletion_protection: Option<bool>,
    pub ca: Option<String>,
    pub log_exports: Vec<String>,
    pub copy_tags_to_snapshot: Option<bool>,
    pub retention_days: Option<u32>,
    pub backup_window: Option<String>,
    pub maintenance_window: Option<String>,
    pub minor_upgrades: Option<bool>,
    pub monitoring_seconds: Option<u32>,
    pub monitoring_role: Option<String>,
    pub performance_insights: Option<bool>,
    pub performance_insights_kms_key: Option<String>,
    pub performance_insights_days: Option<u32>,
    pub dedicated_log_volume: Option<bool>,
    pub network_type: Option<String>,
}

/// How a property of the new instance comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The restore call says it.
    Given,
    /// The backup has it; nobody can choose.
    Inherited,
    /// The restore call cannot say it: the instance is modified afterwards.
    ModifiedAfter,
}

/// One property of a plan, source and new instance side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PropertyLine {
    /// What it is, in words.
    pub property: String,
    /// The source's; `-` where RDS does not say.
    pub source: String,
    /// The new instance's.
    pub new: String,
    /// How it comes about.
    pub how: How,
    /// Whether the bill depends on it.
    pub costs: bool,
}

/// A property of an instance that is not as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What it is, in words.
    pub property: String,
    /// What was asked for.
    pub asked: String,
    /// What is there.
    pub is: String,
    /// How it would come about.
    pub how: How,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {}, asked was {}", self.property, self.is, self.asked)
    }
}

type Get = fn(&Properties) -> Option<String>;

fn shown<T: ToString>(value: &Option<T>) -> Option<String> {
    value.as_ref().map(ToString::to_string)
}

fn yes_no(value: Option<bool>) -> Option<String> {
    value.map(|value| if value { "yes" } else { "no" }.to_owned())
}

fn many(values: &[String]) -> Option<String> {
    Some(if values.is_empty() { "none".to_owned() } else { values.join(", ") })
}

/// A number of which 0 and nothing mean the same.
fn above_zero(value: Option<u32>) -> Option<String> {
    value.filter(|value| *value > 0).map(|value| value.to_string())
}

/// Every property: what it is called, how a new instance gets it (API reference, `RestoreDBInstanceToPointInTime` and
/// `ModifyDBInstance`), whether it costs, and where it stands.
const PROPERTIES: &[(&str, How, bool, Get)] = &[
    ("engine version", How::Inherited, false, |p| p.engine_version.clone()),
    ("class", How::Given, true, |p| p.class.clone()),
    ("serverless capacity, ACU", How::Given, true, |p| p.capacity.clone()),
    ("promotion tier", How::Given, false, |p| shown(&p.promotion_tier)),
    ("storage, GiB", How::Inherited, true, |p| shown(&p.storage_gib)),
    ("storage type", How::Given, true, |p| p.storage_type.clone()),
    ("IOPS", How::Given, true, |p| above_zero(p.iops)),
    ("throughput, MiB/s", How::Given, true, |p| above_zero(p.throughput)),
    ("storage grows to, GiB", How::Given, true, |p| above_zero(p.max_storage_gib)),
    ("KMS key", How::Inherited, false, |p| p.kms_key.clone()),
    ("subnet group", How::Given, false, |p| p.subnet_group.clone()),
    ("security groups", How::Given, false, |p| many(&p.security_groups)),
    ("parameter group", How::Given, false, |p| p.parameter_group.clone()),
    ("option group", How::Given, false, |p| p.option_group.clone()),
    ("port", How::Given, false, |p| shown(&p.port)),
    ("publicly accessible", How::Given, false, |p| yes_no(p.is_public)),
    ("IAM authentication", How::Given, false, |p| yes_no(p.iam_auth)),
    ("certificate authority", How::Given, false, |p| p.ca.clone()),
    ("log exports", How::Given, true, |p| many(&p.log_exports)),
    ("tags go to snapshots", How::Given, false, |p| yes_no(p.copy_tags_to_snapshot)),
    ("backup retention, days", How::Given, true, |p| shown(&p.retention_days)),
    ("backup window", How::Given, false, |p| p.backup_window.clone()),
    ("minor upgrades by itself", How::Given, false, |p| yes_no(p.minor_upgrades)),
    ("dedicated log volume", How::Given, true, |p| yes_no(p.dedicated_log_volume)),
    ("network type", How::Given, false, |p| p.network_type.clone()),
    // Not by the call: an instance that ends in a broken state could then not be unprotected, nor so be deleted.
    ("deletion protection", How::ModifiedAfter, false, |p| yes_no(p.deletion_protection)),
    ("Multi-AZ", How::ModifiedAfter, true, |p| yes_no(p.multi_az)),
    ("maintenance window", How::ModifiedAfter, false, |p| p.maintenance_window.clone()),
    ("monitoring, seconds", How::ModifiedAfter, true, |p| shown(&p.monitoring_seconds)),
    ("monitoring role", How::ModifiedAfter, false, |p| p.monitoring_role.clone()),
    ("Performance Insights", How::ModifiedAfter, true, |p| yes_no(p.performance_insights)),
    ("Performance Insights key", How::ModifiedAfter, false, |p| p.performance_insights_kms_key.clone()),
    ("Performance Insights, days", How::ModifiedAfter, true, |p| shown(&p.performance_insights_days)),
];

impl Properties {
    /// Source and new instance side by side, in a fixed order; what neither has is left out.
    #[must_use]
    pub fn beside(&self, new: &Self) -> Vec<PropertyLine> {
        let dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let line = |(property, how, costs, get): &(&str, How, bool, Get)| {
            let (source, new) = (get(self), get(new));
            (source.is_some() || new.is_some()).then(|| PropertyLine {
                property: (*property).to_owned(),
                source: dash(source),
                new: dash(new),
                how: *how,
                costs: *costs,
            })
        };
        PROPERTIES.iter().filter_map(line).collect()
    }

    /// What of `self`, which was asked for, `actual` has not. A property that was not asked for may be anything, and
    /// storage may have grown.
    #[must_use]
    pub fn differences(&self, actual: &Self) -> Vec<Difference> {
        let grown = self.storage_gib <= actual.storage_gib;
        PROPERTIES
            .iter()
            .filter(|(property, ..)| !(grown && *property == "storage, GiB"))
            .filter_map(|(property, how, _, get)| {
                let (asked, is) = (get(self)?, get(actual).unwrap_or_else(|| "-".to_owned()));
                (asked != is).then(|| Difference { property: (*property).to_owned(), asked, is, how: *how })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_what_was_asked_for_and_is_not_there() {
        let asked = Properties {
            class: Some("db.t4g.small".into()),
            storage_gib: Some(20),
            multi_az: Some(true),
            security_groups: vec!["sg-1".into(), "sg-2".into()],
            iops: Some(0),
            ..Properties::default()
        };
        let mut actual = asked.clone();
        actual.storage_gib = Some(30);
        actual.iops = None;
        actual.ca = Some("rds-ca-rsa2048-g1".into());
        assert!(asked.differences(&actual).is_empty());
        actual.multi_az = Some(false);
        actual.security_groups = vec!["sg-default".into()];
        actual.storage_gib = Some(10);
        let told: Vec<String> = asked.differences(&actual).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "storage, GiB is 10, asked was 20",
                "security groups is sg-default, asked was sg-1, sg-2",
                "Multi-AZ is no, asked was yes"
            ]
        );
    }

    #[test]
    fn sides_stand_in_a_fixed_order_with_what_costs() {
        let source = Properties { class: Some("db.m6g.large".into()), multi_az: Some(true), ..Properties::default() };
        let new = Properties { multi_az: Some(false), ..source.clone() };
        let lines = source.beside(&new);
        let of = |name: &str| lines.iter().find(|line| line.property == name).unwrap();
        assert!(of("class").costs && of("class").how == How::Given);
        assert_eq!((of("Multi-AZ").source.as_str(), of("Multi-AZ").new.as_str()), ("yes", "no"));
        assert_eq!(of("Multi-AZ").how, How::ModifiedAfter);
        assert!(!lines.iter().any(|line| line.property == "KMS key"), "{lines:?}");
    }
}
