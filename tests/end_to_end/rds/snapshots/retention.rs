//! Which snapshots a prune deletes, and which it leaves alone as RDS does not say enough of them.

use holdpoint_testkit::{NEWEST, RdsFault};
use serde_json::json;

use super::Shop;

#[test]
fn retention_withdraws_a_snapshot_and_deletes_it_unless_it_is_pinned_refused_or_another_one() {
    let shop = Shop::new(NEWEST);
    let ids = ["one", "two", "three"].map(|name| {
        let id = shop.snapshot(name);
        shop.verified(&id, 0);
        id
    });
    let kept = || (shop.place.points(), shop.server.snapshots());
    let three = || (ids.to_vec(), vec!["one".to_owned(), "two".to_owned(), "three".to_owned()]);
    let planned = shop.prune(&["--dry-run"]).ended_with(0).json();
    let fates: Vec<_> = planned["entries"].as_array().unwrap().iter().map(|one| (&one["kind"], &one["fate"])).collect();
    let kind = &json!("rds_snapshot");
    assert_eq!(fates, [(kind, &json!("keep")), (kind, &json!("drop")), (kind, &json!("drop"))], "{planned:#}");
    assert_eq!(kept(), three());

    shop.json(&["pin", &ids[0], "--name", "audit", "--reason", "the auditors"], 0);
    shop.server.deny("DeleteDBSnapshot");
    let report = shop.prune(&[]).ended_with(8).json();
    let dropped = &report["dropped"][0];
    assert_eq!((&dropped["point"], &dropped["outcome"]), (&json!(ids[1]), &json!("failed")), "{report:#}");
    assert!(dropped["reason"].as_str().unwrap().contains("rds:DeleteDBSnapshot"), "{report:#}");
    assert_eq!(kept(), three(), "what RDS does not delete is no restore point less");
    shop.server.allow("DeleteDBSnapshot");
    shop.run(&["rds", "snapshot", "drop", "one", "--yes"]).ended_with(3).failure().says(&["pinned: audit"]);
    assert_eq!(kept(), three());

    let report = shop.prune(&[]).ended_with(0).json();
    assert_eq!(report["dropped"][0]["outcome"], "gone", "{report:#}");
    shop.server.settle();
    assert_eq!(kept(), (vec![ids[0].clone(), ids[2].clone()], vec!["one".to_owned(), "three".to_owned()]));

    // Another snapshot of the name is nobody's to delete: the recorded one is gone.
    shop.json(&["unpin", &ids[0], "--name", "audit"], 0);
    shop.replace("one", true);
    shop.prune(&[]).ended_with(0);
    assert_eq!((shop.place.points(), shop.server.snapshots().len()), (vec![ids[2].clone()], 2));

    // By hand both go.
    shop.json(&["rds", "snapshot", "drop", "three", "--yes"], 0);
    shop.server.settle();
    assert_eq!((shop.place.points(), shop.server.snapshots()), (Vec::new(), vec!["one".to_owned()]));
}

/// What RDS has no more, has under the name of another one, or does not tell of, lets nothing go.
#[test]
fn a_snapshot_that_is_not_known_to_be_there_lets_no_other_one_go() {
    let shop = Shop::new(NEWEST);
    let ids = shop.proven(["one", "two"]);
    let both = ids.to_vec();
    let stays = |snapshots: &[&str], said: &str| {
        let report = shop.prune(&[]).ended_with(15).json();
        assert_eq!(report["dropped"], json!([]), "{said}: {report:#}");
        let finding = &report["findings"][0];
        assert_eq!((&finding["place"], finding["reason"].as_str().unwrap().contains(said)), (&json!(ids[1]), true));
        let snapshots: Vec<String> = snapshots.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(shop.there(), (both.clone(), snapshots), "{said}");
    };
    shop.server.deny("DescribeDBSnapshots");
    stays(&["one", "two"], "not known");
    shop.server.allow("DescribeDBSnapshots");
    shop.replace("two", false);
    stays(&["one"], "not in us-east-1 any more");
    shop.replace("two", true);
    stays(&["one", "two"], "another one");
}

/// A deletion of which nothing is known may have been done: the restore point stays hidden, and the next prune asks again.
#[test]
fn what_a_killed_or_unanswered_withdrawal_left_is_settled_by_asking_rds() {
    let shop = Shop::new(NEWEST);
    let [one, two, three] = shop.proven(["one", "two", "three"]);
    // Nobody knows: RDS answers what is no refusal.
    let odd = RdsFault::Error(400, "SomethingElse".to_owned(), "who knows".to_owned());
    shop.json(&["pin", &two, "--reason", "the auditors"], 0);
    shop.server.fail("DeleteDBSnapshot", 1, odd);
    let report = shop.prune(&[]).ended_with(8).json();
    assert!(report["dropped"][0]["reason"].as_str().unwrap().contains("is not known"), "{report:#}");
    assert_eq!(shop.place.points(), [two.clone(), three.clone()], "it is hidden");
    let report = shop.prune(&[]).ended_with(0).json();
    assert_eq!((&report["dropped"][0]["point"], &report["dropped"][0]["outcome"]), (&json!(one), &json!("gone")));
    assert_eq!(shop.there().1, ["two", "three"]);

    // A kill after the snapshot went: whatever the policy says, it is no restore point to be shown again.
    shop.json(&["unpin", &two], 0);
    shop.hide(&two);
    shop.replace("two", false);
    let keeping = ["prune", "--keep-last", "9", "--json"];
    shop.server.deny("DescribeDBSnapshots");
    let report = shop.place.holdpoint(&keeping).json();
    assert!(report["hidden"][0]["problem"].as_str().unwrap().contains("not known"), "{report:#}");
    let manifest = shop.place.repository().join("shop/restore-points").join(&two).join("manifest.json");
    assert_eq!((shop.place.points(), manifest.exists()), (vec![three.clone()], true));
    shop.server.allow("DescribeDBSnapshots");
    shop.place.holdpoint(&keeping).ended_with(0);
    assert_eq!(shop.there(), (vec![three.clone()], vec!["three".to_owned()]));
    assert!(!manifest.exists());

    // One that is there is shown again.
    let [four] = shop.proven(["four"]);
    shop.hide(&three);
    assert_eq!(shop.place.points(), std::slice::from_ref(&four));
    shop.place.holdpoint(&keeping).ended_with(0);
    assert_eq!(shop.place.points(), [three, four]);
}
