//! `rds` against moto's server: others' reading of what RDS's requests and answers look like. It makes no database, keeps
//! no time and refuses little; docs/testing.md says what this can show and what it cannot.

use holdpoint_testkit::MotoServer;
use holdpoint_tests::{Place, aws, shell};
use serde_json::{Value, json};

use crate::rds::shop::rds;

/// Makes an instance by the stock client, as its owner would. moto knows no option group of PostgreSQL, names one all the
/// same, and refuses that name in a restore: so the instance gets the group of another engine.
const CREATE: &str = "aws() { command aws --region \"$AWS_REGION\" --endpoint-url \"$AWS_ENDPOINT_URL_RDS\" rds \"$@\"; }; \
     aws create-option-group --option-group-name \"$1\" --engine-name mysql --major-engine-version 5.6 \
     --option-group-description none >/dev/null; \
     aws create-db-instance --db-instance-identifier \"$1\" --engine \"$2\" --option-group-name \"$1\" \
     --db-instance-class db.t4g.micro --allocated-storage 20 --master-username master --master-user-password not-secret \
     --backup-retention-period 7 --deletion-protection --multi-az --tags Key=team,Value=a >/dev/null";

fn scene() -> (MotoServer, Place) {
    let server = MotoServer::start();
    let mut place = Place::bare();
    for (name, value) in server.environment() {
        place.set(name, &value);
    }
    (server, place)
}

fn create(server: &MotoServer, place: &Place, name: &str, engine: &str) {
    stock(server, place, &format!("set -- {name} {engine}; {CREATE}"));
}

/// Runs lines for the shell with the stock client in their PATH.
fn stock(server: &MotoServer, place: &Place, lines: &str) {
    let path = ("PATH", format!("{}:/usr/bin:/bin", aws().display()));
    let variables = server.environment().into_iter().chain([path]);
    let variables = variables.map(|(name, value)| (name.to_owned(), value)).collect();
    shell(&place.work(), &variables, lines).ended_with(0);
}

/// Makes a cluster of Aurora with its writer.
const CLUSTER: &str = "aws() { command aws --region \"$AWS_REGION\" --endpoint-url \"$AWS_ENDPOINT_URL_RDS\" rds \"$@\"; }; \
     aws create-db-cluster --db-cluster-identifier shop --engine aurora-postgresql --master-username master \
     --master-user-password not-secret --backup-retention-period 5 --deletion-protection --tags Key=team,Value=a >/dev/null; \
     aws create-db-instance --db-instance-identifier shop-1 --db-cluster-identifier shop --engine aurora-postgresql \
     --db-instance-class db.r6g.large >/dev/null";

fn names(report: &Value, of: &str) -> Vec<String> {
    let all = report[of].as_array().unwrap().iter();
    all.map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn moto_reads_every_request_that_it_knows() {
    let (server, place) = scene();
    create(&server, &place, "shop", "postgres");
    create(&server, &place, "other", "mysql");
    let window = rds(&place, &["window", "shop"]).ended_with(0).json();
    assert_eq!(
        (&window["missing"], &window["earliest_at"]),
        (&json!([]), &Value::Null),
        "no RestoreWindow: {window:#}"
    );
    assert!(window["latest_at"].is_string(), "{window:#}");

    let plan = rds(&place, &["plan", "shop", "--at", "latest"]).ended_with(0).json();
    assert_eq!((&plan["target"], &plan["problems"]), (&json!("shop-restored"), &json!([])), "{plan:#}");
    let told = plan["warnings"].to_string();
    assert!(told.contains("quotas are not known"), "DescribeAccountAttributes is not there: {plan:#}");
    for (source, at, into, what) in [
        ("shop", "2120-01-01T00:00:00Z", "new", "is in the future"),
        ("shop", "latest", "shop", "the name shop is taken"),
        ("other", "latest", "new", "runs mysql, not PostgreSQL"),
    ] {
        let refused = rds(&place, &["plan", source, "--at", at, "--into", into]).ended_with(15).json();
        assert!(refused["problems"][0]["what"].as_str().unwrap().contains(what), "{refused:#}");
    }
    rds(&place, &["plan", "nobody", "--at", "latest"]).ended_with(6).failure().says(&["nobody does not exist"]);

    let report = rds(&place, &["restore", "shop", "--at", "latest", "--into", "new"]).ended_with(0).json();
    let properties = &report["finished"]["instance"]["properties"];
    assert_eq!(
        (&properties["multi_az"], &properties["deletion_protection"], &properties["class"]),
        (&json!(true), &json!(true), &json!("db.t4g.micro")),
        "{report:#}"
    );
    assert_eq!(report["finished"]["instance"]["tags"]["team"], "a");
    assert_eq!(names(&rds(&place, &["list"]).ended_with(0).json(), "instances"), ["new"]);

    rds(&place, &["drop", "shop", "--yes"]).ended_with(3).failure().says(&["shop was not made by holdpoint"]);
    // One resource id for all instances: by it holdpoint tells an instance whatever its name, so what it made looks like its
    // own source, and neither a cut-over nor a drop can be shown.
    rds(&place, &["drop", "new", "--lift-protection", "--yes"]).ended_with(3).failure().says(&["new"]);
    assert_eq!(names(&rds(&place, &["list"]).ended_with(0).json(), "instances"), ["new"]);
}

#[test]
fn moto_keeps_snapshots_by_name_and_tag() {
    let (server, place) = scene();
    create(&server, &place, "shop", "postgres");
    let made = rds(&place, &["snapshot", "create", "shop", "--name", "held"]).ended_with(0).json();
    assert_eq!((&made["status"], &made["is_ours"]), (&json!("available"), &json!(true)), "{made:#}");
    rds(&place, &["snapshot", "create", "shop", "--name", "held"]).ended_with(3).failure().says(&["held is taken"]);
    rds(&place, &["snapshot", "copy", "held", "kept"]).ended_with(0);
    let restored = rds(&place, &["snapshot", "restore", "kept", "--into", "look", "--temporary"]).ended_with(0).json();
    assert_eq!(restored["finished"]["instance"]["name"], "look", "{restored:#}");
    for name in ["held", "kept"] {
        rds(&place, &["snapshot", "drop", name, "--yes"]).ended_with(0);
    }
    let list = rds(&place, &["snapshot", "list", "shop"]).ended_with(0).json();
    let ours = list["snapshots"].as_array().unwrap().iter().filter(|one| one["is_ours"] == json!(true)).count();
    assert_eq!(ours, 0, "{list:#}");
}

#[test]
fn moto_reads_what_is_asked_of_clusters_up_to_the_first_filter_that_it_does_not_know() {
    let (server, place) = scene();
    stock(&server, &place, CLUSTER);
    let window = rds(&place, &["window", "shop"]).ended_with(0).json();
    assert_eq!((&window["is_cluster"], &window["missing"]), (&json!(true), &json!([])), "{window:#}");
    assert!(window["earliest_at"].is_string() && window["latest_at"].is_string(), "{window:#}");

    let plan = rds(&place, &["plan", "shop", "--at", "latest"]).ended_with(0).json();
    assert_eq!((&plan["target"], &plan["member"]), (&json!("shop-restored"), &json!("shop-restored-1")), "{plan:#}");
    let refused = rds(&place, &["plan", "shop", "--at", "latest", "--into", "shop"]).ended_with(15).json();
    let problems = refused["problems"].to_string();
    assert!(problems.contains("the name shop is taken") && problems.contains("the name shop-1 is taken"), "{problems}");

    // The call is taken, with its tags. The instance in it is not made: which cluster was restored is asked by the resource id,
    // and moto knows no such filter (RDS does).
    let restore = ["restore", "shop", "--at", "latest", "--into", "then", "--temporary"];
    rds(&place, &restore).ended_with(9).failure().says(&["Unrecognized filter name: db-cluster-resource-id"]);
    let list = rds(&place, &["list"]).ended_with(0).json();
    assert_eq!(names(&list, "clusters"), ["then"], "{list:#}");
    assert_eq!((&list["clusters"][0]["source"], &list["clusters"][0]["ready_at"]), (&json!("shop"), &Value::Null));
    assert!(list["clusters"][0]["restored_to"].is_string(), "{list:#}");

    rds(&place, &["drop", "shop", "--yes"]).ended_with(3).failure().says(&["shop was not made by holdpoint"]);
    rds(&place, &["drop", "then", "--yes"]).ended_with(0);
    let list = rds(&place, &["list"]).ended_with(0).json();
    assert_eq!(list["clusters"], json!([]), "{list:#}");
    let still = rds(&place, &["window", "shop"]).ended_with(0).json();
    assert_eq!(still["status"], "available", "{still:#}");
}
