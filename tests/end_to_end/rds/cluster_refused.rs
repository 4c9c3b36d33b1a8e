//! What is done with instances only, asked for a cluster of Aurora: each refusal says so, and makes nothing.

use holdpoint_testkit::{NEWEST, RdsCluster, RdsServer, bin_directory};
use holdpoint_tests::Place;

use crate::rds::shop::{config, uses};

/// A shop on a cluster, which its section of the configuration names.
fn shop() -> (RdsServer, Place) {
    let server = RdsServer::start();
    server.create_cluster(&RdsCluster::new("shop", "shop-1", NEWEST));
    server.psql("shop", "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 500)");
    let mut place = Place::local();
    uses(&mut place, &server);
    place.set("PATH", &format!("{}:/usr/bin:/bin", bin_directory(NEWEST).display()));
    place.set("HOLDPOINT_DATABASE", "shop").set("DATABASE_URL", &server.url("shop", "shop"));
    place.write_config(&config(""));
    (server, place)
}

#[test]
fn what_is_done_with_instances_only_is_refused_for_a_cluster() {
    let (server, place) = shop();
    let is_cluster = "shop is a cluster, and this is done with instances only";
    let refused = |words: &[&str], says: &str| {
        let failure = place.holdpoint(&[words, &["--json"]].concat()).ended_with(3).failure();
        failure.says(&[says]).hints(&["docs/rds.md"]);
    };
    for name in ["shop", "shop-1"] {
        refused(&["rds", "snapshot", "create", name, "--unrecorded", "--name", "held"], is_cluster);
    }
    refused(&["rds", "snapshot", "create", "shop", "--name", "held"], is_cluster);
    let past = format!("rds:{}", server.instant());
    refused(&["recover-table", "orders", "--from", &past], is_cluster);
    refused(&["rds", "cut-over", "shop", "--yes"], "shop is a cluster");

    // A guarded run goes on without that way back, and says why; what needs it is refused.
    std::fs::create_dir(place.work().join("sql")).unwrap();
    std::fs::write(place.work().join("sql/0001_drops.sql"), "DROP TABLE orders;\n").unwrap();
    let project = ["--tool", "plain-sql", "--migrations", "sql", "--json", "--yes"];
    let guard = ["guard", "--level", "stored", "--applied-through", "none"];
    let command = ["--", "sh", "-c", "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -f sql/0001_drops.sql"];
    let run = [&guard[..], &project, &command].concat();
    place.write_config(&config("[gate]\nwait_for_instant = \"1m\"\n"));
    place.holdpoint(&run).ended_with(3).failure().says(&["the RDS instance shop is no way back", is_cluster]);
    place.write_config(&config(""));
    let report = place.holdpoint(&run).ended_with(0).json();
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains(&format!("the RDS instance shop is no way back: {is_cluster}")), "{warnings}");
    assert!(report["ways_back"].as_array().unwrap().iter().all(|one| one["way"] != "rds"), "{report:#}");
    let undo = ["undo", "latest", "--way", "rds"];
    let failure = place.holdpoint(&[&undo[..], &project].concat()).ended_with(3).failure();
    failure.says(&["no way back by rds", is_cluster]);
    assert_eq!((server.clusters(), server.identifiers()), (vec!["shop".to_owned()], vec!["shop-1".to_owned()]));
    for made in ["RestoreDBClusterToPointInTime", "CreateDBSnapshot", "CreateDBClusterSnapshot", "ModifyDBCluster"] {
        assert_eq!(server.count(made), 0, "{made}");
    }
}
