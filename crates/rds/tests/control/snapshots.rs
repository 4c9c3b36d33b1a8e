//! Snapshots: what their instants say, and which of them are dropped.

use super::fake::{Fake, Parameters};
use super::{client, now};
use holdpoint_rds::{Error, RestoreOptions, When};

const OURS: &str = "<Tag><Key>holdpoint:kind</Key><Value>snapshot</Value></Tag>";

fn put(fake: &Fake, name: &str, fields: &[(&str, &str)]) {
    let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let whole: Parameters =
        [("DbiResourceId", "db-SHOP"), ("Engine", "postgres"), ("SnapshotType", "manual"), ("Status", "available")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into_iter()
            .chain(fields)
            .collect();
    fake.with(|state| state.snapshots.insert(name.to_owned(), whole));
}

#[tokio::test]
async fn a_copy_goes_back_to_the_instant_of_what_it_is_a_copy_of() {
    let fake = Fake::start();
    fake.put_shop();
    let rds = client(&fake).await;
    let (taken, copied) = ("2026-11-01T10:00:00Z", "2026-11-20T10:00:00Z");
    put(&fake, "kept", &[("OriginalSnapshotCreateTime", taken), ("SnapshotCreateTime", copied)]);
    put(&fake, "held", &[("SnapshotCreateTime", copied)]);
    for (name, wanted) in [("kept", taken), ("held", copied)] {
        let snapshot = Some(name.to_owned());
        let options = RestoreOptions { snapshot, ..RestoreOptions::new("shop", "shop-r", When::Latest) };
        let plan = rds.plan_restore(&options, now()).await.unwrap();
        assert_eq!(plan.at, Some(wanted.parse().unwrap()), "{name}");
        assert_eq!(rds.snapshot(name).await.unwrap().created_at, Some(copied.parse().unwrap()), "{name}");
    }
}

#[tokio::test]
async fn what_has_the_name_of_a_snapshot_since_its_drop_was_planned_stays() {
    let fake = Fake::start();
    let rds = client(&fake).await;
    let own = [("SnapshotCreateTime", "2026-11-20T10:00:00Z"), ("TagList", OURS)];
    put(&fake, "held", &own);
    let planned = rds.plan_drop_snapshot("held").await.unwrap();
    let later = [("SnapshotCreateTime", "2026-11-20T10:00:01Z"), ("TagList", OURS)];
    put(&fake, "held", &later);
    assert!(matches!(rds.drop_snapshot(&planned).await, Err(Error::Gone { .. })));
    put(&fake, "held", &own[1..]);
    let unfinished = rds.plan_drop_snapshot("held").await.unwrap();
    put(&fake, "held", &own);
    assert!(matches!(rds.drop_snapshot(&unfinished).await, Err(Error::WrongState { .. })));
    put(&fake, "held", &own[..1]);
    assert!(matches!(rds.drop_snapshot(&planned).await, Err(Error::NotOurs { .. })));
    assert_eq!(fake.count("DeleteDBSnapshot"), 0);
    put(&fake, "held", &own);
    rds.drop_snapshot(&planned).await.unwrap();
    assert_eq!(fake.count("DeleteDBSnapshot"), 1);
    rds.drop_snapshot(&planned).await.unwrap();
}
