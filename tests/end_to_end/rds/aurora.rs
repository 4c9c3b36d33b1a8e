//! `rds` with a cluster of Aurora: restored to an instant with an instance like its writer, cloned, dropped without a rest; what is
//! refused, and which permission is missing.

use std::collections::BTreeSet;
use std::time::Duration;

use holdpoint_testkit::{NEWEST, Pace, RdsCluster, RdsFault, RdsInstance, RdsServer, workspace_directory};
use holdpoint_tests::Place;
use serde_json::{Value, json};

use crate::rds::shop::{rds, uses};

const WITHIN: Duration = Duration::from_secs(300);

/// A place that uses the endpoint, and an endpoint with a cluster whose properties are not RDS's defaults.
fn scene(major: u32) -> (RdsServer, Place) {
    let server = RdsServer::start();
    let shop = RdsCluster::new("shop", "shop-1", major)
        .with("DeletionProtection", "true")
        .with("BackupRetentionPeriod", "5")
        .with("PreferredMaintenanceWindow", "sun:04:00-sun:04:30")
        .with("IAMDatabaseAuthenticationEnabled", "true")
        .with("CopyTagsToSnapshot", "true")
        .with_capacity("0.5", "16")
        .with_security_groups(&["sg-1", "sg-2"])
        .with_subnet_group("private")
        .with_parameter_group("shop-cluster", &["work_mem = '7MB'"])
        .with_instance_parameter_group("shop-pg", &["maintenance_work_mem = '77MB'"])
        .with_log_exports(&["postgresql"])
        .with_tag("team", "a")
        .with_of_instance("DBInstanceClass", "db.r6g.large")
        .with_of_instance("PromotionTier", "3")
        .with_of_instance("PubliclyAccessible", "false")
        .with_of_instance("CACertificateIdentifier", "rds-ca-ecc384-g1")
        .with_of_instance("PerformanceInsightsEnabled", "true")
        .with_of_instance("PerformanceInsightsRetentionPeriod", "31");
    server.create_cluster(&shop);
    let mut place = Place::bare();
    uses(&mut place, &server);
    (server, place)
}

fn says(value: &Value, text: &str) -> bool {
    value.as_str().is_some_and(|said| said.contains(text))
}

/// Rows of before an instant, which is returned, and none of them after it.
fn before_the_loss(server: &RdsServer) -> String {
    server.psql("shop", "CREATE TABLE orders (n int); INSERT INTO orders SELECT generate_series(1, 100)");
    // RDS restores to full seconds: what comes later is written in a later one.
    std::thread::sleep(Duration::from_millis(1100));
    let before = server.instant();
    std::thread::sleep(Duration::from_millis(1100));
    server.psql("shop", "INSERT INTO orders SELECT generate_series(101, 150); DELETE FROM orders WHERE n < 50");
    before
}

#[test]
fn a_cluster_goes_back_to_an_instant_with_an_instance_like_its_writer_and_is_dropped_without_a_rest() {
    let (server, place) = scene(NEWEST);
    let before = before_the_loss(&server);
    let plan = rds(&place, &["plan", "shop", "--at", &before]).ended_with(0).json();
    assert_eq!((&plan["target"], &plan["member"]), (&json!("shop-restored"), &json!("shop-restored-1")), "{plan:#}");
    assert_eq!(server.count("RestoreDBClusterToPointInTime"), 0, "a plan changes nothing");

    // Killed while it waits for the cluster, which has no instance yet: another process goes on.
    server.set_pace("creating", Pace::Held);
    let mut running = place.start(&["rds", "restore", "shop", "--at", &before, "--poll", "20ms"]);
    running.wait_until("the cluster is made", WITHIN, || server.clusters().len() == 2);
    running.kill();
    running.finish().ended_with(137);
    assert_eq!(server.identifiers(), ["shop-1"], "no instance yet");
    let list = rds(&place, &["list"]).ended_with(0).json();
    assert_eq!(list["instances"], json!([]), "{list:#}");
    assert_eq!(
        (&list["clusters"][0]["name"], &list["clusters"][0]["ready_at"]),
        (&json!("shop-restored"), &Value::Null)
    );
    server.set_pace("creating", Pace::Polls(2));
    let report = rds(&place, &["wait", "shop-restored"]).ended_with(0).json();
    assert_eq!((&report["is_checked"], &report["remains"]), (&json!(true), &json!([])), "{report:#}");
    let cluster = &report["cluster"];
    for (name, value) in [
        ("security_groups", json!(["sg-1", "sg-2"])),
        ("subnet_group", json!("private")),
        ("parameter_group", json!("shop-cluster")),
        ("log_exports", json!(["postgresql"])),
        ("capacity", json!("0.5-16")),
        ("iam_auth", json!(true)),
        ("copy_tags_to_snapshot", json!(true)),
        ("retention_days", json!(5)),
        ("deletion_protection", json!(true)),
        ("maintenance_window", json!("sun:04:00-sun:04:30")),
    ] {
        assert_eq!(cluster["properties"][name], value, "{name} in {cluster:#}");
    }
    assert!(cluster["endpoint"]["host"].is_string() && cluster["tags"]["team"] == "a", "{cluster:#}");
    assert_eq!(cluster["members"], json!(["shop-restored-1"]), "{cluster:#}");
    let instance = &report["instance"];
    for (name, value) in [
        ("class", json!("db.r6g.large")),
        ("parameter_group", json!("shop-pg")),
        ("promotion_tier", json!(3)),
        ("is_public", json!(false)),
        ("ca", json!("rds-ca-ecc384-g1")),
        ("performance_insights_days", json!(31)),
    ] {
        assert_eq!(instance["properties"][name], value, "{name} in {instance:#}");
    }
    let rows = "SELECT count(*), min(n), max(n) FROM orders";
    assert_eq!(server.psql("shop-restored", rows), "100|1|100");
    assert_eq!(server.psql("shop-restored", "SHOW work_mem"), "7MB");
    assert_eq!(server.psql("shop-restored", "SHOW maintenance_work_mem"), "77MB");
    assert_eq!(server.psql("shop", rows), "101|50|150", "the source is as it was");
    rds(&place, &["wait", "shop-restored"]).ended_with(0);
    assert_eq!((server.count("RestoreDBClusterToPointInTime"), server.count("CreateDBInstance")), (1, 1));
    let polls = server.count("DescribeDBClusters") + server.count("DescribeDBInstances");
    assert!(polls < 250, "{polls} calls: a tight loop");

    let failure = rds(&place, &["cut-over", "shop-restored", "--yes"]).ended_with(3).failure();
    failure.says(&["shop-restored is a cluster"]).hints(&["docs/rds.md"]);
    rds(&place, &["drop", "shop", "--yes"]).ended_with(3).failure().says(&["shop was not made by holdpoint"]);
    rds(&place, &["drop", "shop-1", "--yes"]).ended_with(3).failure().says(&["shop-1 was not made by holdpoint"]);
    let failure = rds(&place, &["drop", "shop-restored-1", "--yes"]).ended_with(3).failure();
    failure.says(&["is a member of the cluster shop-restored"]).hints(&["name the cluster: shop-restored"]);
    rds(&place, &["drop", "shop-restored", "--yes"]).ended_with(3).failure().says(&["protected"]);
    let drop = ["drop", "shop-restored", "--lift-protection", "--final-snapshot", "last"];
    rds(&place, &drop).ended_with(16);
    let planned = rds(&place, &[&drop[..], &["--dry-run"]].concat()).ended_with(0).json();
    assert_eq!(planned["plan"]["cluster"]["members"], json!(["shop-restored-1"]), "{planned:#}");
    assert_eq!((server.clusters().len(), server.identifiers().len()), (2, 2));
    rds(&place, &[&drop[..], &["--yes"]].concat()).ended_with(0);
    assert_eq!((server.clusters(), server.identifiers()), (vec!["shop".to_owned()], vec!["shop-1".to_owned()]));
    assert_eq!(server.cluster_snapshots(), ["last"]);
    let calls = server.calls();
    let first = |action: &str| calls.iter().position(|call| call == action);
    assert!(first("DeleteDBInstance") < first("DeleteDBCluster"), "the instance goes first: {calls:?}");
    let list = rds(&place, &["list"]).ended_with(0).json();
    assert_eq!((&list["instances"], &list["clusters"]), (&json!([]), &json!([])), "{list:#}");
}

/// What does not depend on kills, on an older major; and a clone, which has what is there now.
#[test]
fn a_cluster_of_an_older_major_goes_back_and_is_cloned() {
    let (server, place) = scene(16);
    let before = before_the_loss(&server);
    // The answers that tell of the cluster and of its instance do not come: each is made once.
    server.fail("RestoreDBClusterToPointInTime", 1, RdsFault::AnswerLost);
    server.fail("CreateDBInstance", 1, RdsFault::AnswerLost);
    let report = rds(&place, &["restore", "shop", "--at", &before, "--into", "then"]).ended_with(0).json();
    assert!(says(&report["finished"]["cluster"]["properties"]["engine_version"], "16."), "{report:#}");
    assert_eq!(server.psql("then", "SELECT count(*), max(n) FROM orders"), "100|100");
    assert_eq!(server.identifiers(), ["shop-1", "then-1"]);

    let clone = ["restore", "shop", "--at", "latest", "--copy-on-write", "--into", "look", "--temporary"];
    let clone = [&clone[..], &["--class", "db.t4g.medium"]].concat();
    let report = rds(&place, &clone).ended_with(0).json();
    let (cluster, instance) = (&report["finished"]["cluster"], &report["finished"]["instance"]);
    assert_eq!(
        (&cluster["properties"]["deletion_protection"], &cluster["properties"]["retention_days"]),
        (&json!(false), &json!(1)),
        "{report:#}"
    );
    assert_eq!(instance["properties"]["class"], "db.t4g.medium", "{report:#}");
    assert_eq!(server.psql("look", "SELECT count(*), max(n) FROM orders"), "101|150");
    server.psql("look", "DELETE FROM orders");
    assert_eq!(server.psql("shop", "SELECT count(*) FROM orders"), "101");
    server.fail("DeleteDBInstance", 1, RdsFault::AnswerLost);
    server.fail("DeleteDBCluster", 1, RdsFault::AnswerLost);
    rds(&place, &["drop", "look", "--yes"]).ended_with(0);
    rds(&place, &["drop", "then", "--lift-protection", "--yes"]).ended_with(0);
    assert_eq!((server.clusters(), server.identifiers()), (vec!["shop".to_owned()], vec!["shop-1".to_owned()]));
    assert_eq!(server.cluster_snapshots(), Vec::<String>::new());
}

#[test]
fn what_cannot_be_made_of_a_cluster_is_told_and_what_is_not_ours_stays() {
    let (server, place) = scene(NEWEST);
    server.create(&RdsInstance::new("db", NEWEST));
    for (words, told) in [
        (&["plan", "shop", "--at", "2020-01-01T00:00:00Z", "--into", "new"][..], "its window is"),
        (&["plan", "shop", "--at", "2120-01-01T00:00:00Z", "--into", "new"], "is in the future"),
        (&["plan", "shop", "--at", "latest", "--into", "db"], "the name db is taken"),
        (&["plan", "shop", "--at", "latest", "--into", "shop"], "the name shop is taken"),
        (&["plan", "shop", "--at", "2020-01-01T00:00:00Z", "--into", "new", "--copy-on-write"], "its window is"),
        (&["plan", "db", "--at", "latest", "--into", "new", "--copy-on-write"], "only a cluster of Aurora is cloned"),
    ] {
        let plan = rds(&place, words).ended_with(15).json();
        let problems = plan["problems"].as_array().unwrap();
        let found = problems.iter().find(|problem| says(&problem["what"], told));
        assert!(found.is_some_and(|problem| problem["hint"].is_string()), "{told}: {plan:#}");
    }
    let restore = ["restore", "shop", "--at", "latest", "--into", "new"];
    rds(&place, &["restore", "shop", "--at", "2020-01-01T00:00:00Z"]).ended_with(3).failure().says(&["its window is"]);
    server.set_quota("DBClusters", 1);
    rds(&place, &restore).ended_with(3).failure().says(&["DBClusters"]);
    server.set_quota("DBClusters", 40);
    assert_eq!(server.count("RestoreDBClusterToPointInTime"), 0);
    // An instance of it is no source by itself.
    let plan = rds(&place, &["plan", "shop-1", "--at", "latest", "--into", "new"]).ended_with(15).json();
    assert!(says(&plan["problems"][0]["hint"], "name the cluster: shop"), "{plan:#}");

    // It ends badly, and is no obstacle to its own end; it never comes, and is given up with a call a poll.
    server.end_next_restore_as("failed");
    rds(&place, &restore).ended_with(9).failure().says(&["new ended as failed"]).hints(&["rds drop new"]);
    rds(&place, &["drop", "new", "--yes"]).ended_with(0);
    server.set_pace("creating", Pace::Held);
    server.forget_calls();
    let short = ["--poll", "100ms", "--wait-for", "2s", "--json"];
    let failure = place.holdpoint(&[&["rds"], &restore[..], &short].concat()).ended_with(14).failure();
    failure.says(&["new is still creating after"]).hints(&["holdpoint rds wait new"]);
    let polls = server.count("DescribeDBClusters");
    assert!((10..45).contains(&polls), "{polls} calls for 21 readings");
    server.set_pace("creating", Pace::Polls(1));
    rds(&place, &["wait", "new"]).ended_with(0);

    // What somebody else put into it keeps it; a source stays, whatever tags it has.
    let more = [("DBInstanceIdentifier", "guest"), ("DBClusterIdentifier", "new"), ("Engine", "aurora-postgresql")];
    assert_eq!(
        server.call("CreateDBInstance", &[more[0], more[1], more[2], ("DBInstanceClass", "db.t4g.medium")]).status,
        200
    );
    server.settle();
    let failure = rds(&place, &["drop", "new", "--lift-protection", "--yes"]).ended_with(3).failure();
    failure.says(&["guest, an instance of new, was not made by holdpoint"]);
    let odd = RdsCluster::new("odd", "odd-1", NEWEST).with_tag("holdpoint:kind", "restore");
    server.create_cluster(&odd);
    rds(&place, &["restore", "odd", "--at", "latest", "--into", "even"]).ended_with(0);
    rds(&place, &["drop", "odd", "--yes"]).ended_with(3).failure().says(&["odd is the source of a restore"]);
    assert_eq!((server.count("DeleteDBCluster"), server.clusters().len()), (0, 4));
}

/// As docs/rds.md says it is done by hand: both are renamed, and later the tags are taken off.
#[test]
fn a_cluster_that_was_put_in_its_sources_place_by_hand_is_not_dropped() {
    let (server, place) = scene(NEWEST);
    let before = before_the_loss(&server);
    let report = rds(&place, &["restore", "shop", "--at", &before, "--into", "shop-then"]).ended_with(0).json();
    let rename = |from: &str, to: &str| {
        let names = [("DBClusterIdentifier", from), ("NewDBClusterIdentifier", to), ("ApplyImmediately", "true")];
        assert_eq!(server.call("ModifyDBCluster", &names).status, 200);
        server.settle();
    };
    server.forget_calls();
    let drop = |name: &str| rds(&place, &["drop", name, "--lift-protection", "--yes"]).ended_with(3).failure();
    rename("shop", "shop-old");
    drop("shop-then").says(&["shop-then is in service in the place of its source"]).hints(&["docs/rds.md"]);
    rename("shop-then", "shop");
    let rows = "SELECT count(*), max(n) FROM orders";
    assert_eq!((server.psql("shop", rows), server.psql("shop-old", rows)), ("100|100".into(), "101|150".into()));
    drop("shop").says(&["shop is in service in the place of its source"]).hints(&["docs/rds.md"]);
    drop("shop-old").says(&["shop-old was not made by holdpoint"]);
    let list = rds(&place, &["list"]).ended_with(0).json();
    assert_eq!(
        (&list["clusters"][0]["name"], &list["clusters"][0]["is_in_service"]),
        (&json!("shop"), &json!(true)),
        "{list:#}"
    );

    let finished = &report["finished"];
    let arns = [&finished["cluster"]["arn"], &finished["instance"]["arn"]].map(|arn| arn.as_str().unwrap());
    for arn in [arns[0].replace("shop-then", "shop").as_str(), arns[1]] {
        let tags = [("ResourceName", arn), ("TagKeys.member.1", "holdpoint:kind")];
        assert_eq!(server.call("RemoveTagsFromResource", &tags).status, 200, "{arn}");
    }
    drop("shop").says(&["shop was not made by holdpoint"]);
    let list = rds(&place, &["list"]).ended_with(0).json();
    assert_eq!(list["clusters"], json!([]), "{list:#}");
    for (action, calls) in [("DeleteDBInstance", 0), ("DeleteDBCluster", 0), ("ModifyDBCluster", 2)] {
        assert_eq!(server.count(action), calls, "{action}");
    }
    assert_eq!((server.clusters().len(), server.identifiers().len()), (2, 2));
}

#[test]
fn a_drop_of_a_cluster_that_fails_goes_on_and_one_that_is_ready_gets_no_second_instance() {
    let (server, place) = scene(NEWEST);
    let instance = |name: &str, to: &str| {
        let names = [("DBInstanceIdentifier", name), ("NewDBInstanceIdentifier", to), ("ApplyImmediately", "true")];
        assert_eq!(server.call("ModifyDBInstance", &names).status, 200);
        server.settle();
    };
    for name in ["look", "new"] {
        rds(&place, &["restore", "shop", "--at", "latest", "--into", name, "--temporary"]).ended_with(0);
    }
    // Renamed by hand, its instance is known by its tags.
    instance("look-1", "mine");
    let report = rds(&place, &["wait", "look"]).ended_with(0).json();
    assert_eq!((&report["instance"]["name"], server.count("CreateDBInstance")), (&json!("mine"), 2), "{report:#}");
    rds(&place, &["drop", "look", "--final-snapshot", "last", "--yes"]).ended_with(0);
    assert_eq!((server.cluster_snapshots(), server.count("DeleteDBInstance")), (vec!["last".to_owned()], 1));

    let drop = |snapshot: &'static str| ["drop", "new", "--final-snapshot", snapshot, "--yes"];
    let failure = rds(&place, &drop("last")).ended_with(3).failure();
    failure.says(&["the name last is taken by another snapshot"]).hints(&["--final-snapshot"]);
    assert_eq!(server.count("DeleteDBInstance"), 1, "nothing is dropped before");
    // Its instance does not go in time: RDS was not told to drop the cluster.
    server.set_pace("deleting", Pace::Held);
    let deleted = server.count("DeleteDBCluster");
    let short = ["--poll", "100ms", "--wait-for", "1s", "--json"];
    server.deny("DescribeDBClusterSnapshots");
    let failure = place.holdpoint(&[&["rds"], &drop("last")[..], &short].concat()).ended_with(14).failure();
    let failure = failure.says(&["new-1 is still deleting", "the drop of new did not come to its end", "going: new-1"]);
    failure.hints(&["holdpoint rds drop new --final-snapshot last"]);
    assert_eq!(server.count("DeleteDBCluster"), deleted);
    server.set_pace("deleting", Pace::Polls(1));
    // Who may not look at snapshots hears of it from RDS; the instance is gone then, and no wait makes it anew.
    let failure = rds(&place, &drop("last")).ended_with(3).failure();
    failure.says(&["the name last is taken by another snapshot"]).hints(&["--final-snapshot"]);
    let failure = rds(&place, &["wait", "new"]).ended_with(3).failure();
    failure.says(&["new has no instance any more"]).hints(&["holdpoint rds drop new"]);
    assert_eq!((server.count("CreateDBInstance"), server.identifiers()), (2, vec!["shop-1".to_owned()]));
    server.allow("DescribeDBClusterSnapshots");
    rds(&place, &drop("last-2")).ended_with(0);
    assert_eq!((server.clusters(), server.cluster_snapshots().len()), (vec!["shop".to_owned()], 2));
}

/// The actions of the policy for clusters in docs/rds.md, without `rds:`.
fn policy() -> BTreeSet<String> {
    let page = std::fs::read_to_string(workspace_directory().join("docs/rds.md")).unwrap();
    let text = page.split("## Aurora").nth(1).unwrap();
    let text = text.split("```json").nth(1).unwrap().split("```").next().unwrap();
    let policy: Value = serde_json::from_str(text).unwrap();
    let statements = policy["Statement"].as_array().unwrap().iter();
    let actions = statements.flat_map(|statement| statement["Action"].as_array().unwrap());
    actions.map(|action| action.as_str().unwrap().trim_start_matches("rds:").to_owned()).collect()
}

#[test]
fn each_permission_for_clusters_is_named_where_it_is_missing() {
    let (server, place) = scene(NEWEST);
    let mut denied = BTreeSet::new();
    let mut without = |action: &str, words: &[&str]| {
        server.deny(action);
        let missing = format!("the permission rds:{action} is missing");
        rds(&place, words).ended_with(9).failure().says(&[&missing]).hints(&["docs/rds.md"]);
        server.allow(action);
        denied.insert(action.to_owned());
    };
    let restore = ["restore", "shop", "--at", "latest", "--into", "new"];
    without("RestoreDBClusterToPointInTime", &restore);
    assert_eq!(server.clusters(), ["shop"], "nothing was made");
    // What is made goes on where it stopped, once the permission is there.
    without("CreateDBInstance", &restore);
    assert_eq!((server.clusters().len(), server.identifiers()), (2, vec!["shop-1".to_owned()]));
    without("ModifyDBCluster", &["wait", "new"]);
    without("AddTagsToResource", &["wait", "new"]);
    rds(&place, &["wait", "new"]).ended_with(0);
    assert_eq!(server.count("RestoreDBClusterToPointInTime"), 2, "one was denied, one was made");
    let drop = ["drop", "new", "--lift-protection", "--yes"];
    without("ModifyDBCluster", &drop);
    // The instance is gone then; the same command goes on with the cluster.
    without("DeleteDBCluster", &drop);
    assert_eq!((server.clusters().len(), server.identifiers()), (2, vec!["shop-1".to_owned()]));
    rds(&place, &drop).ended_with(0);
    assert_eq!(server.clusters(), ["shop"]);
    assert_eq!(denied, policy(), "the policy is what is used beyond that for instances");
}
