//! What each action does to the state, and how it is answered.

use std::collections::BTreeMap;

use super::xml::{cluster_told, told};
use super::{Db, Parameters, State};

pub(super) fn answer(state: &mut State, action: &str, parameters: Parameters) -> (u16, String) {
    state.calls.push((action.to_owned(), parameters.clone()));
    if state.faults.front().is_some_and(|fault| fault.0 == action) {
        let (_, status, code, message) = state.faults.pop_front().expect("a fault");
        return error(status, code, message);
    }
    let get = |key: &str| parameters.get(key).cloned().unwrap_or_default();
    let result = match action {
        "DescribeDBInstances" => {
            let wanted = parameters.get("DBInstanceIdentifier").cloned();
            let filter = parameters.get("Filters.Filter.1.Values.Value.1").cloned();
            let fits = |name: &String, db: &Db| {
                wanted.as_ref().is_none_or(|wanted| wanted == name) && filter.as_ref().is_none_or(|id| *id == db.id)
            };
            let found: String = state
                .dbs
                .iter_mut()
                .filter(|(name, db)| fits(name, db))
                .map(|(name, db)| told(name, db, true))
                .collect();
            if let (Some(name), true) = (wanted, found.is_empty()) {
                return refused("DBInstanceNotFound", &format!("DBInstance {name} not found."));
            }
            format!("<DBInstances>{found}</DBInstances>")
        }
        "DescribeDBInstanceAutomatedBackups" => format!(
            "<DBInstanceAutomatedBackups><DBInstanceAutomatedBackup><RestoreWindow><EarliestTime>{}</EarliestTime>\
             <LatestTime>{}</LatestTime></RestoreWindow></DBInstanceAutomatedBackup></DBInstanceAutomatedBackups>",
            state.earliest, state.latest
        ),
        "DescribeAccountAttributes" => "<AccountQuotas><AccountQuota><AccountQuotaName>DBInstances</AccountQuotaName>\
             <Used>2</Used><Max>40</Max></AccountQuota></AccountQuotas>"
            .to_owned(),
        "DescribeEvents" => format!(
            "<Events><Event><SourceIdentifier>{0}</SourceIdentifier><Message>{0} happened</Message>\
             <Date>2026-11-21T03:05:00Z</Date></Event></Events>",
            get("SourceIdentifier")
        ),
        "DescribeDBClusters" => {
            let wanted = parameters.get("DBClusterIdentifier").cloned();
            let filter = parameters.get("Filters.Filter.1.Values.Value.1").cloned();
            let fits = |name: &String, cluster: &Db| {
                wanted.as_ref().is_none_or(|wanted| wanted == name)
                    && filter.as_ref().is_none_or(|id| *id == cluster.id)
            };
            let members = members_of(&state.dbs);
            let found: String = state
                .clusters
                .iter_mut()
                .filter(|(name, cluster)| fits(name, cluster))
                .map(|(name, cluster)| cluster_told(name, cluster, &members, true))
                .collect();
            if wanted.is_some() && found.is_empty() {
                return refused("DBClusterNotFoundFault", "no such cluster");
            }
            format!("<DBClusters>{found}</DBClusters>")
        }
        "RestoreDBClusterToPointInTime" => {
            let target = get("DBClusterIdentifier");
            if state.clusters.contains_key(&target) {
                return refused("DBClusterAlreadyExistsFault", "DB Cluster already exists");
            }
            let Some(source) = state.clusters.get(&get("SourceDBClusterIdentifier")).cloned() else {
                return refused("DBClusterNotFoundFault", "no such source");
            };
            let mut made = made(state, &source.fields, &parameters);
            made.id = format!("cluster-MADE{}", state.made);
            state.clusters.insert(target.clone(), made);
            cluster_told(&target, state.clusters.get_mut(&target).expect("made"), &BTreeMap::new(), false)
        }
        "CreateDBInstance" => {
            let name = get("DBInstanceIdentifier");
            if state.dbs.contains_key(&name) {
                return refused("DBInstanceAlreadyExists", "DB instance already exists");
            }
            let port = [("Port".to_owned(), "5433".to_owned())].into();
            let made = made(state, &port, &parameters);
            state.dbs.insert(name.clone(), made);
            told(&name, state.dbs.get_mut(&name).expect("made"), false)
        }
        "ModifyDBCluster" => {
            let name = get("DBClusterIdentifier");
            let Some(cluster) = state.clusters.get_mut(&name) else { return refused("DBClusterNotFoundFault", "gone") };
            cluster.fields.extend(parameters.clone());
            cluster.states = ["modifying", "available"].into();
            String::new()
        }
        "DeleteDBCluster" => {
            let name = get("DBClusterIdentifier");
            if members_of(&state.dbs).contains_key(&name) {
                return refused("InvalidDBClusterStateFault", "Cluster cannot be deleted");
            }
            let last = parameters.get("FinalDBSnapshotIdentifier").cloned();
            if last.as_ref().is_some_and(|last| state.cluster_snapshots.contains(last)) {
                return refused("DBClusterSnapshotAlreadyExistsFault", "there is one");
            }
            if state.clusters.remove(&name).is_none() {
                return refused("DBClusterNotFoundFault", "gone");
            }
            state.cluster_snapshots.extend(last);
            String::new()
        }
        "DescribeDBSnapshots" => {
            let name = get("DBSnapshotIdentifier");
            let Some(fields) = state.snapshots.get(&name) else {
                return refused("DBSnapshotNotFound", "no such snapshot");
            };
            let mut one = format!("<DBSnapshotIdentifier>{name}</DBSnapshotIdentifier>");
            one.extend(fields.iter().map(|(key, value)| format!("<{key}>{value}</{key}>")));
            format!("<DBSnapshots><DBSnapshot>{one}</DBSnapshot></DBSnapshots>")
        }
        "DeleteDBSnapshot" => match state.snapshots.remove(&get("DBSnapshotIdentifier")) {
            Some(_) => String::new(),
            None => return refused("DBSnapshotNotFound", "no such snapshot"),
        },
        "DescribeDBClusterSnapshots" => {
            let name = get("DBClusterSnapshotIdentifier");
            if !state.cluster_snapshots.contains(&name) {
                return refused("DBClusterSnapshotNotFoundFault", "no such snapshot");
            }
            let one = format!("<DBClusterSnapshotIdentifier>{name}</DBClusterSnapshotIdentifier>");
            format!("<DBClusterSnapshots><DBClusterSnapshot>{one}</DBClusterSnapshot></DBClusterSnapshots>")
        }
        "RestoreDBInstanceToPointInTime" => {
            let target = get("TargetDBInstanceIdentifier");
            if state.dbs.contains_key(&target) {
                return refused("DBInstanceAlreadyExists", "DB instance already exists");
            }
            let Some(source) = state.dbs.get(&get("SourceDBInstanceIdentifier")).cloned() else {
                return refused("DBInstanceNotFound", "no such source");
            };
            let made = made(state, &source.fields, &parameters);
            state.dbs.insert(target.clone(), made);
            told(&target, state.dbs.get_mut(&target).expect("made"), false)
        }
        "ModifyDBInstance" => {
            let name = get("DBInstanceIdentifier");
            let Some(mut db) = state.dbs.remove(&name) else { return refused("DBInstanceNotFound", "gone") };
            for (key, value) in &parameters {
                if !["Action", "Version", "DBInstanceIdentifier", "NewDBInstanceIdentifier"].contains(&key.as_str()) {
                    db.fields.insert(key.clone(), value.clone());
                }
            }
            // What is broken is so under another name.
            let rest = db.states.back().copied().filter(|state| *state == "storage-full").unwrap_or("available");
            db.states = ["modifying", rest].into();
            let name = parameters.get("NewDBInstanceIdentifier").cloned().unwrap_or(name);
            let body = told(&name, &mut db, false);
            state.dbs.insert(name, db);
            body
        }
        "DeleteDBInstance" => {
            let name = get("DBInstanceIdentifier");
            let Some(db) = state.dbs.get(&name) else { return refused("DBInstanceNotFound", "gone") };
            if db.fields.get("DeletionProtection").is_some_and(|value| value == "true") {
                return refused("InvalidParameterCombination", "Cannot delete protected DB Instance");
            }
            state.dbs.remove(&name);
            if let Some(snapshot) = parameters.get("FinalDBSnapshotIdentifier") {
                state.snapshots.insert(snapshot.clone(), Parameters::new());
            }
            String::new()
        }
        "AddTagsToResource" => {
            let arn = get("ResourceName");
            let (tags, name) = (tags_of(&parameters), arn.rsplit(':').next().unwrap_or_default());
            let of = if arn.contains(":cluster:") { &mut state.clusters } else { &mut state.dbs };
            let Some(db) = of.get_mut(name) else { return refused("DBInstanceNotFound", "gone") };
            db.tags.extend(tags);
            String::new()
        }
        _ => return refused("InvalidAction", action),
    };
    let result = if result.starts_with("<DBInstanceIdentifier>") {
        format!("<DBInstance>{result}</DBInstance>")
    } else {
        result.replace("<I>", "<DBInstance>").replace("</I>", "</DBInstance>")
    };
    (200, format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"))
}

fn refused(code: &str, message: &str) -> (u16, String) {
    let status = if code.contains("NotFound") { 404 } else { 400 };
    error(status, code, message)
}

fn error(status: u16, code: &str, message: &str) -> (u16, String) {
    let body = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
    (status, format!("<ErrorResponse>{body}<RequestId>r</RequestId></ErrorResponse>"))
}

/// A new instance with RDS's defaults for whatever the call does not say.
fn made(state: &mut State, source: &Parameters, parameters: &Parameters) -> Db {
    state.made += 1;
    let mut fields: Parameters = [
        ("DBParameterGroupName", "default.postgres16"),
        ("DBSubnetGroupName", "default"),
        ("MultiAZ", "false"),
        ("DeletionProtection", "false"),
        ("PreferredMaintenanceWindow", "mon:01:00-mon:01:30"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    for key in ["DBInstanceClass", "Engine", "EngineVersion", "AllocatedStorage", "BackupRetentionPeriod", "Port"] {
        fields.extend(source.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    fields.extend(parameters.iter().map(|(key, value)| (key.clone(), value.clone())));
    if let Some(iam) = parameters.get("EnableIAMDatabaseAuthentication") {
        fields.insert("IAMDatabaseAuthenticationEnabled".to_owned(), iam.clone());
    }
    let states = if state.next_states.is_empty() { vec!["creating", "available"] } else { state.next_states.clone() };
    Db {
        id: format!("db-MADE{}", state.made),
        states: states.into(),
        fields,
        groups: list_of(parameters, "VpcSecurityGroupIds.VpcSecurityGroupId"),
        tags: tags_of(parameters),
    }
}

/// The instances by their clusters.
fn members_of(dbs: &BTreeMap<String, Db>) -> BTreeMap<String, Vec<String>> {
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, db) in dbs {
        if let Some(cluster) = db.fields.get("DBClusterIdentifier") {
            members.entry(cluster.clone()).or_default().push(name.clone());
        }
    }
    members
}

fn tags_of(parameters: &Parameters) -> Parameters {
    (1..)
        .map_while(|n| {
            let key = parameters.get(&format!("Tags.Tag.{n}.Key"))?;
            Some((key.clone(), parameters.get(&format!("Tags.Tag.{n}.Value")).cloned().unwrap_or_default()))
        })
        .collect()
}

fn list_of(parameters: &Parameters, prefix: &str) -> Vec<String> {
    (1..).map_while(|n| parameters.get(&format!("{prefix}.{n}")).cloned()).collect()
}
