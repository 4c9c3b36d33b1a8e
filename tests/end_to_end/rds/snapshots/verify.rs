//! What a verification of a snapshot proves, disproves, and leaves unsaid.

use holdpoint_testkit::{ADMIN, NEWEST, Pace, RdsServer};
use serde_json::json;

use super::{Shop, WITHIN};
use crate::rds::shop::damage;

#[test]
fn a_snapshot_is_proved_by_a_temporary_instance_that_is_read_and_dropped_again() {
    for major in [16, NEWEST] {
        let shop = Shop::new(major);
        let id = shop.snapshot("held");
        let plan = shop.json(&["verify", &id, "--dry-run"], 0);
        assert!(plan["target"].as_str().unwrap().starts_with("shop-verify-"), "{plan:#}");
        assert_eq!((&plan["snapshot"]["name"], shop.server.identifiers()), (&json!("held"), vec!["shop".to_owned()]));
        let proof = shop.verified(&id, 0);
        assert_eq!((&proof["verdict"], &proof["compared"]["tables"]), (&json!("proved"), &json!(1)), "{proof:#}");
        assert_eq!(proof["compared"]["rows"], 500, "PostgreSQL {major}: {proof:#}");
        let listed = shop.json(&["list"], 0);
        assert_eq!(
            listed["points"][0]["standing"],
            json!({"standing": "proven", "level": "instance", "at": proof["started_at"]})
        );
        assert_eq!(shop.json(&["check"], 15)["last_proof"]["level"], "instance");
        shop.run(&["verify", &id, "--level", "stored"]).ended_with(2).failure().says(&["at level instance alone"]);
    }
}

#[test]
fn a_snapshot_that_cannot_be_read_or_is_gone_is_disproved_and_what_lies_elsewhere_says_nothing() {
    let shop = Shop::new(NEWEST);
    let id = shop.snapshot("held");
    shop.server.end_next_restore_as("failed");
    let verdict = shop.verified(&id, 5);
    assert!(verdict["obstacles"][0]["reason"].as_str().unwrap().contains("ended as failed"), "{verdict:#}");
    shop.server.deny("RestoreDBInstanceFromDBSnapshot");
    let verdict = shop.verified(&id, 5);
    let denied = verdict["obstacles"][0]["reason"].as_str().unwrap();
    assert!(denied.contains("rds:RestoreDBInstanceFromDBSnapshot"), "{verdict:#}");
    shop.server.allow("RestoreDBInstanceFromDBSnapshot");

    // Ended by Ctrl-C while it waits: nothing is recorded, and nothing is left.
    shop.server.set_pace("creating", Pace::Held);
    let mut running = shop.place.start(&["verify", &id, "--json"]);
    running.wait_until("the instance is made", WITHIN, || shop.server.identifiers().len() == 2);
    running.interrupt();
    shop.server.set_pace("creating", Pace::Polls(1));
    running.finish().ended_with(130);
    shop.server.settle();
    assert_eq!(shop.server.identifiers(), ["shop"]);
    assert_eq!(shop.json(&["show", &id], 0)["verifications"].as_array().unwrap().len(), 2);

    // A block that cannot be read on the instance that was made of it.
    let path = shop.server.psql("shop", "SELECT pg_relation_filepath('orders')");
    shop.server.set_relapses(&["modifying"]);
    shop.server.set_pace("modifying", Pace::Held);
    let mut running = shop.place.start(&["verify", &id, "--json"]);
    let temporary = || shop.server.identifiers().into_iter().find(|name| name.starts_with("shop-verify-"));
    let stands = || temporary().and_then(|name| shop.server.status(&name));
    running.wait_until("the instance runs", WITHIN, || stands().is_some_and(|status| status == "modifying"));
    damage(&shop.server, &temporary().unwrap(), path.trim());
    shop.server.set_relapses(&[]);
    shop.server.set_pace("modifying", Pace::Polls(1));
    let verdict = running.finish().ended_with(4).json()["verification"].clone();
    assert_eq!(
        (&verdict["verdict"], &verdict["differences"][0]["name"]),
        (&json!("disproved"), &json!("public.orders"))
    );
    shop.server.settle();
    assert_eq!(shop.server.identifiers(), ["shop"]);
    for again in [false, true] {
        shop.replace("held", again);
        let verdict = shop.verified(&id, 4);
        assert_eq!(verdict["differences"][0]["name"], "snapshot", "{verdict:#}");
    }
    shop.run(&["verify", "latest"]).ended_with(6).failure().says(&["latest selects no restore point"]);
}

/// Where another account is asked, what is not found, or has the name, says nothing of what was recorded.
#[test]
fn in_another_account_nothing_is_taken_for_gone() {
    let mut shop = Shop::new(NEWEST);
    let [id] = shop.proven(["held"]);
    let asked = "lies in account 123456789012 in us-east-1, and account 210987654321 in us-east-1 was asked";
    for gone in [false, true] {
        if gone {
            shop.replace("held", false);
        }
        shop.server.set_account(Some("210987654321"));
        let verdict = shop.verified(&id, 5);
        assert!(verdict["obstacles"][0]["reason"].as_str().unwrap().contains(asked), "{gone}: {verdict:#}");
        assert_eq!(shop.kinds(), ["snapshot"], "{gone}");
        shop.server.set_account(None);
    }
    assert_eq!(shop.verified(&id, 4)["verdict"], "disproved", "in its own account it is gone");

    // Where nothing is seen nobody knows which account it is; the disproved one would go first.
    let proven = shop.proven(["next"]);
    let other = RdsServer::start();
    for (name, value) in other.environment(&ADMIN) {
        shop.place.set(name, &value);
    }
    let report = shop.prune(&[]).ended_with(15).json();
    assert!(report["findings"][0]["reason"].as_str().unwrap().contains("which account was asked is not known"));
    assert_eq!(shop.there(), (vec![id.clone(), proven[0].clone()], vec!["next".to_owned()]), "{report:#}");

    // What the flags name is asked to the end, not what the environment names.
    let flags = ["rds", "--endpoint-url", &shop.server.endpoint(), "snapshot", "drop", "next", "--yes"];
    shop.json(&flags, 0);
    assert_eq!(shop.there(), (vec![id], Vec::new()));
}
