//! What a new instance or cluster shall be: as its source, but for what was asked. That stands in a tag, as `key=value`
//! parts, so that another process can go on.

use crate::cluster_member::member_side;
use crate::properties::Properties;
use crate::restore_options::RestoreOptions;

/// The fewest days that a cluster keeps its backups; it cannot keep none.
const FEWEST_DAYS: u32 = 1;

/// What a new instance is asked to have other than its source, as a tag's value.
pub(crate) fn of_instance(options: &RestoreOptions) -> String {
    joined([
        options.class.as_ref().map(|class| format!("class={class}")),
        options.multi_az.map(|value| format!("multi-az={value}")),
        options.deletion_protection.map(|value| format!("deletion-protection={value}")),
        options.retention_days.map(|days| format!("retention-days={days}")),
    ])
}

/// What the new cluster and its instance are asked to be, as a tag's value: class and parameter group stand in it even where they
/// are the writer's, since the instance may be made when the source is gone.
pub(crate) fn of_cluster(options: &RestoreOptions, member: &Properties) -> String {
    let days = options.retention_days.map(|days| days.max(FEWEST_DAYS));
    joined([
        member.class.as_ref().map(|class| format!("class={class}")),
        member.parameter_group.as_ref().map(|group| format!("parameter-group={group}")),
        options.deletion_protection.map(|value| format!("deletion-protection={value}")),
        days.map(|days| format!("retention-days={days}")),
    ])
}

fn joined(parts: [Option<String>; 4]) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn parts(asked: &str) -> impl Iterator<Item = (&str, &str)> {
    asked.split(' ').filter_map(|part| part.split_once('='))
}

/// The properties that a new instance shall have: the source's, and what was asked other.
pub(crate) fn desired(source: &Properties, asked: &str) -> Properties {
    let mut wanted = source.clone();
    for (key, value) in parts(asked) {
        match key {
            "class" => wanted.class = Some(value.to_owned()),
            "multi-az" => wanted.multi_az = value.parse().ok(),
            "deletion-protection" => wanted.deletion_protection = value.parse().ok(),
            "retention-days" => wanted.retention_days = value.parse().ok(),
            _ => {}
        }
    }
    if wanted.performance_insights != Some(true) {
        wanted.performance_insights_kms_key = None;
        wanted.performance_insights_days = None;
    }
    if wanted.monitoring_seconds.unwrap_or_default() == 0 {
        wanted.monitoring_role = None;
    }
    if wanted.retention_days == Some(0) {
        // RDS takes no window for backups that are not made.
        wanted.backup_window = None;
    }
    wanted
}

/// The properties that a new cluster shall have: the source's, and what was asked other.
pub(crate) fn desired_cluster(source: &Properties, asked: &str) -> Properties {
    let mut wanted = source.clone();
    for (key, value) in parts(asked) {
        match key {
            "deletion-protection" => wanted.deletion_protection = value.parse().ok(),
            "retention-days" => wanted.retention_days = value.parse().ok(),
            _ => {}
        }
    }
    wanted
}

/// The properties that its instance shall have: those of the source's writer that are not the cluster's, and what was asked.
pub(crate) fn desired_member(writer: Option<&Properties>, asked: &str) -> Properties {
    let mut wanted = writer.map(member_side).unwrap_or_default();
    for (key, value) in parts(asked) {
        match key {
            "class" => wanted.class = Some(value.to_owned()),
            "parameter-group" => wanted.parameter_group = Some(value.to_owned()),
            _ => {}
        }
    }
    wanted
}
