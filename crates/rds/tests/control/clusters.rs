//! Clusters of Aurora: made without an instance, given one, held against what was asked, dropped from the instance on.

use holdpoint_rds::{DropOptions, Error, RestoreOptions, Thing, When};

use crate::fake::{Fake, Parameters};
use crate::{client, now, quiet, waiting};

#[tokio::test]
async fn a_cluster_is_restored_and_its_instance_is_made_once_whoever_goes_on() {
    let fake = Fake::start();
    fake.put_pool();
    let rds = client(&fake).await;
    assert!(rds.is_cluster("pool").await.unwrap() && !rds.is_cluster("pool-1").await.unwrap());
    let options = RestoreOptions::new("pool", "pool-r", When::At("2026-11-20T10:00:00.9Z".parse().unwrap()));
    let plan = rds.plan_cluster_restore(&options, now()).await.unwrap();
    assert!(plan.is_possible(), "{:?}", plan.problems);
    assert_eq!(fake.count("RestoreDBClusterToPointInTime"), 0, "a plan changes nothing");
    fake.with(|state| state.next_states = vec!["creating", "creating", "available", "modifying", "available"]);
    rds.begin_cluster_restore(&plan).await.unwrap();
    let asked = fake.last("RestoreDBClusterToPointInTime");
    for (key, value) in [
        ("RestoreToTime", "2026-11-20T10:00:00Z"),
        ("RestoreType", "full-copy"),
        ("VpcSecurityGroupIds.VpcSecurityGroupId.2", "sg-2"),
        ("DBClusterParameterGroupName", "pool-cluster"),
        ("DBSubnetGroupName", "private"),
        ("DeletionProtection", "false"),
        ("Port", "5433"),
    ] {
        assert_eq!(asked[key], value, "{key}");
    }
    // As after an answer that was lost: it is there, and it is the plan's. Another's is another's.
    let begun = rds.begin_cluster_restore(&plan).await.unwrap();
    assert_eq!((begun.name.as_str(), fake.with(|state| state.made)), ("pool-r", 1));
    let mut another = plan.clone();
    another.tags.insert("holdpoint:made-at".into(), "2026-11-21T03:04:01Z".into());
    assert!(matches!(rds.begin_cluster_restore(&another).await, Err(Error::NameTaken { .. })));

    // Ended before the instance is made, and after it: another process goes on.
    fake.with(|state| state.faults.push_back(("CreateDBInstance", 403, "AccessDenied", "no")));
    let denied = rds.finish_cluster_restore("pool-r", &waiting(), &now, &mut quiet()).await.unwrap_err();
    assert!(denied.to_string().contains("rds:CreateDBInstance"), "{denied}");
    fake.with(|state| state.faults.push_back(("ModifyDBCluster", 403, "AccessDenied", "no")));
    let denied = rds.finish_cluster_restore("pool-r", &waiting(), &now, &mut quiet()).await.unwrap_err();
    assert!(denied.to_string().contains("rds:ModifyDBCluster"), "{denied}");
    let report = rds.finish_cluster_restore("pool-r", &waiting(), &now, &mut quiet()).await.unwrap();
    assert_eq!(fake.count("CreateDBInstance"), 2, "one was denied, one was made");
    let asked = fake.last("CreateDBInstance");
    for (key, value) in [
        ("DBInstanceIdentifier", "pool-r-1"),
        ("DBClusterIdentifier", "pool-r"),
        ("Engine", "aurora-postgresql"),
        ("DBInstanceClass", "db.r6g.large"),
        ("DBParameterGroupName", "pool-pg"),
        ("PromotionTier", "2"),
    ] {
        assert_eq!(asked[key], value, "{key}");
    }
    assert_eq!(report.modified, ["deletion protection: yes", "maintenance window: sun:04:00-sun:04:30"]);
    assert!(report.is_checked && report.remains.is_empty(), "{report:?}");
    assert_eq!(report.cluster.endpoint.as_ref().map(|at| at.host.as_str()), Some("pool-r.cluster.local"));
    let made = rds.made_clusters().await.unwrap();
    assert_eq!((made.len(), made[0].members.as_slice()), (1, &["pool-r-1".to_owned()][..]));
    assert!(made[0].ready_at.is_some() && rds.made().await.unwrap().is_empty(), "its instance is its own");
}

#[tokio::test]
async fn a_cluster_goes_after_its_instances_and_only_what_was_made_here() {
    let fake = Fake::start();
    fake.put_pool();
    let rds = client(&fake).await;
    let drop = |name: &str| DropOptions { name: name.to_owned(), ..DropOptions::default() };
    assert!(matches!(rds.plan_drop_cluster(&drop("pool")).await, Err(Error::NotOurs { .. })));
    let plan = rds.plan_cluster_restore(&RestoreOptions::new("pool", "pool-r", When::Latest), now()).await.unwrap();
    rds.begin_cluster_restore(&plan).await.unwrap();
    rds.finish_cluster_restore("pool-r", &waiting(), &now, &mut quiet()).await.unwrap();

    // Even with tags copied by hand a source is not dropped.
    fake.with(|state| {
        let tags = state.clusters["pool-r"].tags.clone();
        let of_source = &mut state.clusters.get_mut("pool").unwrap().tags;
        of_source.extend(tags);
    });
    assert!(matches!(rds.plan_drop_cluster(&drop("pool")).await, Err(Error::NotOurs { .. })));
    fake.with(|state| state.clusters.get_mut("pool").unwrap().tags.remove("holdpoint:resource"));
    assert!(matches!(rds.plan_drop_cluster(&drop("pool")).await, Err(Error::IsSource { .. })));

    assert!(matches!(rds.plan_drop(&drop("pool-r-1")).await, Err(Error::ClusterMember { .. })));
    assert!(matches!(rds.plan_cut_over("pool-r", None, false).await, Err(Error::ClusterSource { .. })));
    assert!(matches!(rds.plan_cut_over("pool-r-1", None, false).await, Err(Error::ClusterMember { .. })));
    assert!(matches!(rds.plan_drop_cluster(&drop("pool-r")).await, Err(Error::Protected { .. })));
    let options = DropOptions { lift_protection: true, final_snapshot: Some("last".into()), ..drop("pool-r") };
    let plan = rds.plan_drop_cluster(&options).await.unwrap();
    assert!(fake.with(|state| state.dbs.contains_key("pool-r-1")), "a plan changes nothing");
    // Ended between the instance and the cluster: the same command goes on.
    fake.with(|state| state.faults.push_back(("DeleteDBCluster", 403, "AccessDenied", "no")));
    rds.drop_cluster(&plan, &waiting(), now(), &mut quiet()).await.unwrap_err();
    assert!(fake.with(|state| !state.dbs.contains_key("pool-r-1") && state.clusters.contains_key("pool-r")));
    let plan = rds.plan_drop_cluster(&options).await.unwrap();
    rds.drop_cluster(&plan, &waiting(), now(), &mut quiet()).await.unwrap();
    assert_eq!(fake.last("DeleteDBCluster")["FinalDBSnapshotIdentifier"], "last");
    let left: (Vec<String>, Vec<String>) =
        fake.with(|state| (state.clusters.keys().cloned().collect(), state.dbs.keys().cloned().collect()));
    assert_eq!(left, (vec!["pool".to_owned()], vec!["pool-1".to_owned()]));
    // Whoever is killed in between drops it again.
    rds.drop_cluster(&plan, &waiting(), now(), &mut quiet()).await.unwrap();
}

/// Renames a cluster, as a person does by the AWS client.
fn rename(fake: &Fake, from: &str, to: &str) {
    fake.with(|state| {
        let cluster = state.clusters.remove(from).expect(from);
        state.clusters.insert(to.to_owned(), cluster);
        let of_cluster = |fields: &Parameters| fields.get("DBClusterIdentifier").is_some_and(|of| of == from);
        for member in state.dbs.values_mut().filter(|member| of_cluster(&member.fields)) {
            member.fields.insert("DBClusterIdentifier".to_owned(), to.to_owned());
        }
    });
}

#[tokio::test]
async fn a_cluster_that_was_put_in_its_sources_place_is_not_dropped() {
    let fake = Fake::start();
    fake.put_pool();
    let rds = client(&fake).await;
    for name in ["pool-r", "pool-x"] {
        let plan = rds.plan_cluster_restore(&RestoreOptions::new("pool", name, When::Latest), now()).await.unwrap();
        rds.begin_cluster_restore(&plan).await.unwrap();
        rds.finish_cluster_restore(name, &waiting(), &now, &mut quiet()).await.unwrap();
    }
    let drop = |name: &str| DropOptions { name: name.to_owned(), lift_protection: true, ..DropOptions::default() };
    let serves = |error: Option<Error>| matches!(error, Some(Error::InService { thing: Thing::Cluster, .. }));
    let planned = rds.plan_drop_cluster(&drop("pool-r")).await.unwrap();
    let modified = fake.count("ModifyDBCluster");

    // Between the renames nobody knows which of them takes the name.
    rename(&fake, "pool", "pool-old");
    for name in ["pool-r", "pool-x"] {
        assert!(serves(rds.plan_drop_cluster(&drop(name)).await.err()), "{name}");
    }
    assert!(serves(rds.drop_cluster(&planned, &waiting(), now(), &mut quiet()).await.err()), "the plan is older");
    rename(&fake, "pool-r", "pool");
    let error = rds.plan_drop_cluster(&drop("pool")).await.unwrap_err();
    assert_eq!(error.to_string(), "pool is in service in the place of its source");
    assert!(error.hint().unwrap().contains("docs/rds.md"), "{error:?}");
    let gone = rds.drop_cluster(&planned, &waiting(), now(), &mut quiet()).await;
    assert!(matches!(gone, Err(Error::Gone { .. })), "what has the name is not what was planned: {gone:?}");
    let served = |made: Vec<holdpoint_rds::Made>| -> Vec<(String, bool)> {
        made.into_iter().map(|one| (one.name, one.is_in_service)).collect()
    };
    let made = served(rds.made_clusters().await.unwrap());
    assert_eq!(made, [("pool".to_owned(), true), ("pool-x".to_owned(), false)]);
    assert!(rds.plan_drop_cluster(&drop("pool-x")).await.is_ok(), "another one serves");
    // Whoever takes the tags off has it for good.
    fake.with(|state| state.clusters.get_mut("pool").unwrap().tags.remove("holdpoint:kind"));
    assert!(matches!(rds.plan_drop_cluster(&drop("pool")).await, Err(Error::NotOurs { .. })));
    fake.with(|state| state.clusters.get_mut("pool").unwrap().tags.insert("holdpoint:kind".into(), "restore".into()));
    for action in ["DeleteDBInstance", "DeleteDBCluster"] {
        assert_eq!(fake.count(action), 0, "{action}");
    }
    assert_eq!(fake.count("ModifyDBCluster"), modified, "its protection is not lifted either");

    rename(&fake, "pool", "pool-r");
    rename(&fake, "pool-old", "pool");
    // An instance of the name that is in no cluster, or has none of the tags, is another one.
    for key in ["DBClusterIdentifier", ""] {
        let before = fake.with(|state| {
            let member = state.dbs.get_mut("pool-r-1").unwrap();
            let before = member.clone();
            if member.fields.remove(key).is_none() {
                member.tags.clear();
            }
            before
        });
        let error = rds.drop_cluster(&planned, &waiting(), now(), &mut quiet()).await.unwrap_err();
        assert!(error.to_string().contains("pool-r-1, no instance of pool-r any more, was not made by"), "{error}");
        assert_eq!((fake.count("DeleteDBInstance"), fake.count("DeleteDBCluster")), (0, 0));
        fake.with(|state| state.dbs.insert("pool-r-1".to_owned(), before));
    }
    rds.drop_cluster(&planned, &waiting(), now(), &mut quiet()).await.unwrap();
    assert!(fake.with(|state| !state.clusters.contains_key("pool-r") && !state.dbs.contains_key("pool-r-1")));
}

/// A cluster that is ready, without protection.
async fn temporary(rds: &holdpoint_rds::Rds, name: &str) {
    let options = RestoreOptions::new("pool", name, When::Latest).temporary();
    let plan = rds.plan_cluster_restore(&options, now()).await.expect("a plan");
    rds.begin_cluster_restore(&plan).await.expect("it is begun");
    rds.finish_cluster_restore(name, &waiting(), &now, &mut quiet()).await.expect("it is ready");
}

#[tokio::test]
async fn a_cluster_that_is_ready_gets_no_second_instance() {
    let fake = Fake::start();
    fake.put_pool();
    let rds = client(&fake).await;
    temporary(&rds, "pool-r").await;
    let made = fake.count("CreateDBInstance");
    let rename_member = |from: &str, to: &str| {
        fake.with(|state| {
            let member = state.dbs.remove(from).unwrap();
            state.dbs.insert(to.to_owned(), member);
        });
    };
    let class = |class: &str| {
        fake.with(|state| {
            let fields = &mut state.dbs.get_mut("mine").unwrap().fields;
            fields.insert("DBInstanceClass".to_owned(), class.to_owned());
        });
    };
    // Renamed, it is the one that was made; replaced by somebody, it is his. Either is waited for and compared, and stays what
    // it is, as the cluster itself does.
    rename_member("pool-r-1", "mine");
    class("db.t4g.medium");
    let modified = ["ModifyDBInstance", "ModifyDBCluster"].map(|action| fake.count(action));
    for is_replaced in [false, true] {
        fake.with(|state| {
            if is_replaced {
                state.dbs.get_mut("mine").unwrap().tags.clear();
            }
            let fields = &mut state.clusters.get_mut("pool-r").unwrap().fields;
            fields.insert("BackupRetentionPeriod".to_owned(), "30".to_owned());
        });
        let report = rds.finish_cluster_restore("pool-r", &waiting(), &now, &mut quiet()).await.unwrap();
        assert_eq!((report.instance.name.as_str(), report.modified.len()), ("mine", 0), "{report:?}");
        let told: Vec<String> = report.remains.iter().map(ToString::to_string).collect();
        for value in ["class is db.t4g.medium", "backup retention, days is 30"] {
            assert!(told.iter().any(|one| one.contains(value)), "{value}: {told:?}");
        }
    }
    assert_eq!(["ModifyDBInstance", "ModifyDBCluster"].map(|action| fake.count(action)), modified);
    // In service it is no restore to wait for.
    rename(&fake, "pool", "pool-old");
    let error = rds.finish_cluster_restore("pool-r", &waiting(), &now, &mut quiet()).await.unwrap_err();
    assert!(matches!(error, Error::Serves { .. }), "{error:?}");
    rename(&fake, "pool-old", "pool");
    // Nor is it where it was put there before it was ready.
    let ready = fake.with(|state| state.clusters.get_mut("pool-r").unwrap().tags.remove("holdpoint:ready-at"));
    rename(&fake, "pool", "pool-old");
    rename(&fake, "pool-r", "pool");
    let error = rds.finish_cluster_restore("pool", &waiting(), &now, &mut quiet()).await.unwrap_err();
    assert!(matches!(error, Error::Serves { .. }), "{error:?}");
    fake.with(|state| {
        state.clusters.get_mut("pool").unwrap().tags.extend(ready.map(|at| ("holdpoint:ready-at".into(), at)))
    });
    rename(&fake, "pool", "pool-r");
    rename(&fake, "pool-old", "pool");
    // Without one the drop may be under way.
    fake.with(|state| state.dbs.remove("mine"));
    let error = rds.finish_cluster_restore("pool-r", &waiting(), &now, &mut quiet()).await.unwrap_err();
    assert_eq!(error.to_string(), "pool-r has no instance any more");
    assert!(error.hint().unwrap().ends_with("holdpoint rds drop pool-r"), "{error:?}");
    assert_eq!(fake.count("CreateDBInstance"), made);
    // One that is not ready yet is gone on with, whatever its source is called by now.
    fake.with(|state| state.clusters.get_mut("pool-r").unwrap().tags.remove("holdpoint:ready-at"));
    rename(&fake, "pool", "pool-old");
    let finished = rds.finish_cluster_restore("pool-r", &waiting(), &now, &mut quiet()).await.unwrap();
    assert_eq!((finished.instance.name.as_str(), fake.count("CreateDBInstance")), ("pool-r-1", made + 1));
}

#[tokio::test]
async fn a_drop_that_fails_says_what_goes_and_how_it_goes_on() {
    let fake = Fake::start();
    fake.put_pool();
    let rds = client(&fake).await;
    temporary(&rds, "pool-r").await;
    let options = |snapshot: &str| DropOptions {
        name: "pool-r".to_owned(),
        final_snapshot: Some(snapshot.to_owned()),
        ..DropOptions::default()
    };
    fake.with(|state| state.cluster_snapshots.push("last".to_owned()));
    let error = rds.plan_drop_cluster(&options("last")).await.unwrap_err();
    assert_eq!(error.to_string(), "the name last is taken by another snapshot");
    assert!(error.hint().unwrap().contains("--final-snapshot"), "{error:?}");

    // Who may not look at snapshots is told by RDS, when the instances are gone.
    fake.with(|state| state.faults.push_back(("DescribeDBClusterSnapshots", 403, "AccessDenied", "no")));
    let plan = rds.plan_drop_cluster(&options("last")).await.unwrap();
    let refused = ("DeleteDBInstance", 400, "InvalidDBInstanceState", "not now");
    fake.with(|state| state.faults.push_back(refused));
    let error = rds.drop_cluster(&plan, &waiting(), now(), &mut quiet()).await.unwrap_err();
    assert!(error.to_string().ends_with("the drop of pool-r did not come to its end"), "{error}");
    let goes_on = "the same command goes on with it: holdpoint rds drop pool-r --final-snapshot last";
    assert_eq!(error.hint().unwrap(), goes_on);
    let error = rds.drop_cluster(&plan, &waiting(), now(), &mut quiet()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the name last is taken by another snapshot; the drop of pool-r did not come to its end; gone, or going: pool-r-1"
    );
    let plan = rds.plan_drop_cluster(&options("last-2")).await.unwrap();
    fake.with(|state| state.faults.push_back(("DeleteDBCluster", 400, "InvalidDBClusterStateFault", "not now")));
    let error = rds.drop_cluster(&plan, &waiting(), now(), &mut quiet()).await.unwrap_err();
    assert!(error.hint().unwrap().ends_with("holdpoint rds drop pool-r --final-snapshot last-2"), "{error:?}");
    rds.drop_cluster(&plan, &waiting(), now(), &mut quiet()).await.unwrap();
    assert_eq!(fake.with(|state| state.cluster_snapshots.clone()), ["last", "last-2"]);
}
