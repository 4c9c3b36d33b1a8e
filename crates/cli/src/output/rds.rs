//! `rds` for people.

use chrono::{DateTime, Utc};
use holdpoint_operations::rds::{
    ClusterDropReport, ClusterPlan, ClusterReport, CutOverOutcome, DataCheck, DropReport, How, ListReport, Made,
    Missing, Problem, PropertyLine, Quota, RestorePlan, RestoreReport, Snapshot, SnapshotDropReport, SnapshotMade,
    SnapshotsReport, Window,
};

use super::table::{bullets, columns};
use crate::quantity::{age, instant, milliseconds};

/// What can be restored, in a few lines.
pub(crate) fn rds_window(window: &Window, now: DateTime<Utc>) -> String {
    let what = if window.is_cluster { "cluster" } else { "instance" };
    let mut text = format!("{} ({what}, {}, {})\n", window.source, window.engine, window.status);
    for missing in &window.missing {
        text.push_str(&format!("cannot be restored to an instant: {}\n", lacks(missing)));
    }
    if window.is_open() {
        let bound = |at: Option<DateTime<Utc>>| at.map_or_else(|| "not known".to_owned(), instant);
        text.push_str(&format!("earliest  {}\n", bound(window.earliest_at)));
        let behind = window.latest_at.map(|at| format!("  ({} behind)", age(at, now))).unwrap_or_default();
        text.push_str(&format!("latest    {}{behind}\n", bound(window.latest_at)));
        text.push_str(&format!("retention {} d\n", window.retention_days));
    }
    text + &bullets("worth knowing", &window.warnings)
}

fn lacks(missing: &Missing) -> String {
    match missing {
        Missing::BackupsDisabled => "automated backups are off (retention 0 days)".to_owned(),
        Missing::ReadReplica { primary } => format!("it is a read replica of {primary}"),
        Missing::ClusterMember { cluster } => format!("it is a member of the cluster {cluster}"),
        Missing::WrongEngine { engine } => format!("it runs {engine}"),
        Missing::NoBackupYet => "the first automated backup is not made yet".to_owned(),
    }
}

/// Source and new instance side by side, and what stands against it.
pub(crate) fn rds_plan(plan: &RestorePlan) -> String {
    let at = plan.at.map_or_else(|| "-".to_owned(), instant);
    let mut text = format!("restore {} to {at} as {}\n\n", plan.source.name, plan.target);
    text.push_str(&side_by_side(&plan.lines, &plan.source.name, &plan.target));
    text + &quotas_and_more(&plan.quotas, &plan.warnings, &plan.problems)
}

/// The properties of a source and of what becomes of it.
fn side_by_side(lines: &[PropertyLine], source: &str, target: &str) -> String {
    let rows = lines.iter().map(|line| {
        let how = match line.how {
            How::Given => "",
            How::Inherited => "from the backup",
            How::ModifiedAfter => "modified after the restore",
        };
        let costs = if line.costs { "$" } else { "" };
        let other = if line.source == line.new { "" } else { "*" };
        vec![
            line.property.clone(),
            line.source.clone(),
            format!("{}{other}", line.new),
            costs.to_owned(),
            how.to_owned(),
        ]
    });
    columns(&["PROPERTY", source, target, "COSTS", "HOW"], rows)
}

fn quotas_and_more(quotas: &[Quota], warnings: &[String], problems: &[Problem]) -> String {
    let mut text = String::new();
    for quota in quotas {
        text.push_str(&format!("quota {}: {} of {} used\n", quota.name, quota.used, quota.most));
    }
    text.push_str(&bullets("worth knowing", warnings));
    let problems: Vec<String> = problems
        .iter()
        .map(|problem| match &problem.hint {
            Some(hint) => format!("{}; {hint}", problem.what),
            None => problem.what.clone(),
        })
        .collect();
    text + &bullets("in the way", &problems)
}

/// Two clusters and two instances side by side, and what stands against it.
pub(crate) fn rds_cluster_plan(plan: &ClusterPlan) -> String {
    let at = plan.at.map_or_else(|| "-".to_owned(), instant);
    let how = if plan.copy_on_write { "a copy-on-write clone" } else { "a full copy" };
    let mut text = format!("restore the cluster {} to {at} as {}, {how}\n\n", plan.source.name, plan.target);
    text.push_str(&side_by_side(&plan.lines, &plan.source.name, &plan.target));
    let writer = plan.writer.as_deref().unwrap_or("-");
    text.push_str(&format!("\nits instance {}, as the writer\n\n", plan.member));
    text.push_str(&side_by_side(&plan.member_lines, writer, &plan.member));
    text + &quotas_and_more(&plan.quotas, &plan.warnings, &plan.problems)
}

/// What became of a cluster's restore.
pub(crate) fn rds_cluster_restored(report: &ClusterReport) -> String {
    let cluster = &report.cluster;
    let to = report.restored_to.map(|at| format!(" at {}", instant(at))).unwrap_or_default();
    let mut text = format!("{} is {}: {}{to}\n", cluster.name, cluster.status, report.source);
    if let Some(endpoint) = &cluster.endpoint {
        text.push_str(&format!("endpoint {}:{}\n", endpoint.host, endpoint.port));
    }
    text.push_str(&format!("instance {} is {}\n", report.instance.name, report.instance.status));
    text.push_str(&bullets("modified after the restore", &report.modified));
    let remains: Vec<String> = report.remains.iter().map(ToString::to_string).collect();
    text.push_str(&bullets("other than at the source", &remains));
    if !report.is_checked {
        text.push_str("its source is gone: its properties were held against nothing\n");
    }
    text + &format!("it costs until it is dropped: holdpoint rds drop {}\n", cluster.name)
}

/// What is, or would be, dropped of a cluster.
pub(crate) fn rds_cluster_drop(report: &ClusterDropReport) -> String {
    let plan = &report.plan;
    let kept = match &plan.final_snapshot {
        Some(snapshot) => format!("the cluster's snapshot {snapshot} is kept, and costs"),
        None => "nothing of it is kept".to_owned(),
    };
    let members = match plan.cluster.members.as_slice() {
        [] => "which has no instance".to_owned(),
        members => format!("after its instances {}", members.join(", ")),
    };
    let protection = if plan.lifts_protection { ", its protection is lifted" } else { "" };
    let done = if report.dropped { "dropped" } else { "to be dropped" };
    format!("{done}: the cluster {} {members}, with its automated backups{protection}; {kept}\n", plan.cluster.name)
}

/// What became of a restore.
pub(crate) fn rds_restored(report: &RestoreReport) -> String {
    let instance = &report.instance;
    let to = report.restored_to.map(|at| format!(" at {}", instant(at))).unwrap_or_default();
    let mut text = format!("{} is {}: {}{to}\n", instance.name, instance.status, report.source);
    if let Some(endpoint) = &instance.endpoint {
        text.push_str(&format!("endpoint {}:{}\n", endpoint.host, endpoint.port));
    }
    text.push_str(&bullets("modified after the restore", &report.modified));
    let remains: Vec<String> = report.remains.iter().map(ToString::to_string).collect();
    text.push_str(&bullets("other than at the source", &remains));
    if !report.is_checked {
        text.push_str("its source is gone: its properties were held against nothing\n");
    }
    text + &format!("it costs until it is dropped: holdpoint rds drop {}\n", instance.name)
}

/// One line an instance.
pub(crate) fn rds_list(report: &ListReport, now: DateTime<Utc>) -> String {
    if report.instances.is_empty() && report.clusters.is_empty() {
        return format!("holdpoint made no instance or cluster that is still there in {}\n", report.region);
    }
    let row = |one: &Made| {
        let state = match (one.is_in_service, one.ready_at) {
            (true, _) => "in service",
            (false, Some(_)) => "ready",
            (false, None) => "unfinished",
        };
        let took = one
            .ready_at
            .zip(one.made_at)
            .and_then(|(ready, made)| u64::try_from((ready - made).num_milliseconds()).ok());
        vec![
            one.name.clone(),
            one.status.clone(),
            state.to_owned(),
            one.source.clone().unwrap_or_default(),
            one.restored_to.map(instant).unwrap_or_default(),
            one.class.clone().unwrap_or_else(|| format!("cluster of {}", one.members.len())),
            one.made_at.map(|at| age(at, now)).unwrap_or_default(),
            took.map(milliseconds).unwrap_or_default(),
        ]
    };
    columns(
        &["NAME", "STATUS", "STATE", "SOURCE", "RESTORED TO", "CLASS", ">AGE", ">TOOK"],
        report.instances.iter().chain(&report.clusters).map(row),
    )
}

/// The renames, and what the name leads to.
pub(crate) fn rds_cut_over(report: &CutOverOutcome) -> String {
    let plan = &report.plan;
    let renames: Vec<String> = plan.renames.iter().map(|one| format!("{} becomes {}", one.from, one.to)).collect();
    let checks: Vec<String> = report.checks.iter().map(DataCheck::told).collect();
    let mut checks = bullets("data", &checks);
    if let Some(why) = &plan.unchecked {
        checks.push_str(&format!("data: not checked: {why}\n"));
    } else if report.checks.is_empty() && plan.is_begun {
        checks.push_str("data: not checked again: renames of this cut-over were made before\n");
    }
    let Some(done) = &report.done else {
        let nothing = if renames.is_empty() { "every rename is made already\n" } else { "" };
        let renames = bullets("to be renamed, in this order", &renames);
        return renames + nothing + &checks + &bullets("worth knowing", &plan.warnings);
    };
    let host = done.serving.endpoint.as_ref().map(|at| format!(" at {}:{}", at.host, at.port)).unwrap_or_default();
    let mut text = format!("{} is in service{host}\n", done.serving.name) + &bullets("renamed", &renames);
    if let Some(way_back) = &done.way_back {
        text.push_str(&format!("the way back: {way_back}\n"));
    }
    let followed: Vec<String> = report.followed.iter().map(|one| one.database.clone()).collect();
    let runs: Vec<String> = report.runs.iter().map(|one| format!("run {} {}", one.run, one.told)).collect();
    text + &checks
        + &bullets("folders that follow", &followed)
        + &bullets("guarded runs", &runs)
        + &bullets("left to do", &report.open)
}

/// What is, or would be, dropped.
pub(crate) fn rds_drop(report: &DropReport) -> String {
    let plan = &report.plan;
    let name = &plan.instance.name;
    let kept = match &plan.final_snapshot {
        Some(snapshot) => format!("the snapshot {snapshot} is kept, and costs"),
        None => "nothing of it is kept".to_owned(),
    };
    let protection = if plan.lifts_protection { ", its protection is lifted" } else { "" };
    let done = if report.dropped { "dropped" } else { "to be dropped" };
    format!("{done}: {name} with its automated backups{protection}; {kept}\n")
}

/// One snapshot that was made.
pub(crate) fn rds_snapshot(snapshot: &Snapshot) -> String {
    let state = match snapshot.status.as_str() {
        "available" => "is there".to_owned(),
        status => format!("is {status}"),
    };
    format!("{0} of {1} {state}; it costs until: holdpoint rds snapshot drop {0}\n", snapshot.name, snapshot.instance)
}

/// One snapshot that was made, and the restore point that it is.
pub(crate) fn rds_snapshot_made(made: &SnapshotMade) -> String {
    let point = made.point.as_ref().map(|id| format!("restore point {id}; prove it: holdpoint verify {id}\n"));
    rds_snapshot(&made.snapshot) + &point.unwrap_or_default() + &bullets("worth knowing", &made.remarks)
}

/// One line a snapshot.
pub(crate) fn rds_snapshots(report: &SnapshotsReport, now: DateTime<Utc>) -> String {
    if report.snapshots.is_empty() {
        return format!("there is no snapshot in {}\n", report.region);
    }
    let row = |one: &Snapshot| {
        vec![
            one.name.clone(),
            one.instance.clone(),
            if one.is_ours { "holdpoint".to_owned() } else { one.kind.clone() },
            one.status.clone(),
            one.storage_gib.map(|gib| format!("{gib} GiB")).unwrap_or_default(),
            one.taken_at.map(|at| age(at, now)).unwrap_or_default(),
        ]
    };
    columns(&["NAME", "INSTANCE", "MADE BY", "STATUS", ">STORAGE", ">AGE"], report.snapshots.iter().map(row))
}

/// The snapshot that is, or would be, dropped.
pub(crate) fn rds_snapshot_dropped(report: &SnapshotDropReport) -> String {
    let done = if report.dropped { "dropped" } else { "to be dropped" };
    format!("{done}: the snapshot {} of {}\n", report.snapshot.name, report.snapshot.instance)
}
