//! Snapshots that are dropped by name: which restore point, if any, one is, whatever its tags say.

use holdpoint_testkit::NEWEST;

use super::Shop;

/// Tags are copied with a snapshot: only the one that the manifest names is the restore point.
#[test]
fn a_copy_with_the_tags_of_a_restore_point_is_dropped_alone() {
    let shop = Shop::new(NEWEST);
    let id = shop.snapshot("held");
    let names = [("SourceDBSnapshotIdentifier", "held"), ("TargetDBSnapshotIdentifier", "copy"), ("CopyTags", "true")];
    assert_eq!(shop.server.call("CopyDBSnapshot", &names).status, 200);
    shop.server.settle();
    let tags = shop.server.snapshot_tags("copy");
    assert!(tags.contains(&("holdpoint:point".to_owned(), id.clone())), "{tags:?}");
    shop.json(&["rds", "snapshot", "drop", "copy", "--yes"], 0);
    assert_eq!(shop.there(), (vec![id], vec!["held".to_owned()]));
}

/// Pins lie in the repository of a restore point: where that is another one, nobody can look at them.
#[test]
fn a_snapshot_of_another_repository_is_refused() {
    let shop = Shop::new(NEWEST);
    let id = shop.snapshot("held");
    let own = shop.server.snapshot_tags("held");
    let drop = ["rds", "snapshot", "drop", "held", "--yes"];
    for (tag, value, said) in [
        ("holdpoint:repository", "elsewhere", "made in repository elsewhere"),
        ("holdpoint:folder", "../shop", "no folder is tagged"),
    ] {
        shop.server.tag_snapshot("held", &[(tag, value)]);
        let failure = shop.run(&drop).ended_with(3).failure();
        failure.says(&[&id, said]).hints(&["--repository", "aws rds delete-db-snapshot"]);
        assert_eq!(shop.there(), (vec![id.clone()], vec!["held".to_owned()]), "{tag}");
    }
    // Another restore point's id, and no tag at all: the manifest says what it is.
    let own: Vec<(&str, &str)> = own.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    shop.server.tag_snapshot("held", &own);
    shop.server.tag_snapshot("held", &[("holdpoint:point", "20200101T000000Z-aaaa")]);
    let told = format!("held is restore point {id} of shop, though its tags do not say so");
    for removed in [false, true] {
        if removed {
            let arn = "arn:aws:rds:us-east-1:123456789012:snapshot:held";
            let keys = [("ResourceName", arn), ("TagKeys.member.1", "holdpoint:point")];
            assert_eq!(shop.server.call("RemoveTagsFromResource", &keys).status, 200);
        }
        shop.run(&drop).ended_with(3).failure().says(&[&told]).hints(&["add-tags-to-resource", &id]);
        assert_eq!(shop.there(), (vec![id.clone()], vec!["held".to_owned()]), "{removed}");
    }
}
