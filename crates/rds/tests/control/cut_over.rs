//! Cut-overs that end between their renames, or whose source is broken.

use std::time::Duration;

use holdpoint_rds::{Error, Rds, Reading, RestoreOptions, Steps, Waiting, When};

use super::fake::Fake;
use super::{client, now, quiet, waiting};

const A_WHILE: Duration = Duration::from_secs(20);

/// A shop, and `shop-r` that was restored of it.
pub(crate) async fn restored() -> (Fake, Rds) {
    let fake = Fake::start();
    fake.put_shop();
    let rds = client(&fake).await;
    let plan = rds.plan_restore(&RestoreOptions::new("shop", "shop-r", When::Latest), now()).await.expect("a plan");
    rds.begin_restore(&plan).await.expect("it begins");
    rds.finish_restore("shop-r", &waiting(), &now, &mut quiet()).await.expect("it ends");
    (fake, rds)
}

#[tokio::test]
async fn a_cut_over_that_ends_between_its_renames_knows_where_the_names_are() {
    let (fake, rds) = restored().await;
    let over = ("ModifyDBInstance", 403, "ExpiredToken", "it is over");
    let unseen = ("DescribeDBInstances", 403, "ExpiredToken", "it is over");
    for (back, others) in
        [(false, "what had it is shop-old, and shop-r"), (true, "what had it is shop-r, and shop-old")]
    {
        // The first is refused.
        let plan = rds.plan_cut_over("shop-r", None, back).await.unwrap();
        let steps = Steps::default();
        fake.with(|state| state.faults.extend([over, unseen]));
        let error = rds.cut_over(&plan, &steps, &waiting(), now(), &mut quiet()).await.unwrap_err();
        assert!(matches!(error, Error::Credentials { .. }), "{error}");
        assert_eq!(rds.names_left(&plan, &steps, A_WHILE).await, None, "nothing was renamed");

        // The second is, and whoever asks meets the same.
        let (plan, steps) = (rds.plan_cut_over("shop-r", None, back).await.unwrap(), Steps::default());
        let first_to = if back { "shop-r" } else { "shop-old" };
        let mut listen = |reading: &Reading| {
            if reading.name == first_to && fake.with(|state| state.faults.is_empty()) {
                fake.with(|state| state.faults.push_back(over));
            }
        };
        let error = rds.cut_over(&plan, &steps, &waiting(), now(), &mut listen).await.unwrap_err();
        assert!(matches!(error, Error::Credentials { .. }), "{error}");
        let seen = "nothing has the name shop now: the source is shop-old, and the restored instance is shop-r";
        assert_eq!(rds.names_left(&plan, &steps, A_WHILE).await.as_deref(), Some(seen));
        fake.with(|state| state.faults.push_back(unseen));
        let told = rds.names_left(&plan, &steps, A_WHILE).await.unwrap();
        assert_eq!(told, format!("nothing has the name shop now: {others} shall get it"));
        // Another process has not asked for anything yet.
        let rest = rds.plan_cut_over("shop-r", None, back).await.unwrap();
        assert_eq!(rds.names_left(&rest, &Steps::default(), A_WHILE).await.as_deref(), Some(seen));

        // The work is dropped while the second is waited for.
        let hours = Duration::from_secs(3600);
        let slow = Waiting { poll_every: hours, give_up_after: 9 * hours, readings: 3 };
        let steps = Steps::default();
        let mut listen = quiet();
        let work = rds.cut_over(&rest, &steps, &slow, now(), &mut listen);
        let before = fake.count("ModifyDBInstance");
        let is_asked = async {
            while fake.count("ModifyDBInstance") == before {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // The answer comes, too.
            tokio::time::sleep(Duration::from_secs(2)).await;
        };
        tokio::select! {
            ended = work => panic!("it waits for hours: {ended:?}"),
            () = is_asked => {}
        }
        let told = rds.names_left(&rest, &steps, A_WHILE).await.unwrap();
        assert!(told.starts_with("shop leads to what shall serve"), "{told}");
        fake.with(|state| state.faults.push_back(unseen));
        let told = rds.names_left(&rest, &steps, A_WHILE).await.unwrap();
        assert!(told.starts_with("nothing has the name shop until RDS has renamed"), "{told}");

        let rest = rds.plan_cut_over("shop-r", None, back).await.unwrap();
        rds.cut_over(&rest, &Steps::default(), &waiting(), now(), &mut quiet()).await.unwrap();
    }
}

/// What serves goes back to the name that it had.
#[tokio::test]
async fn the_names_of_a_way_back_are_kept_for_it() {
    let (fake, rds) = restored().await;
    assert_eq!(rds.name_for_restore("shop").await.unwrap(), "shop-restored");
    let other = fake.with(|state| state.dbs["shop"].clone());
    for (target, aside) in [("shop-r", None), ("shop-restored", Some("shop-first"))] {
        if target == "shop-restored" {
            let plan = rds.plan_restore(&RestoreOptions::new("shop", target, When::Latest), now()).await.unwrap();
            rds.begin_restore(&plan).await.unwrap();
            rds.finish_restore(target, &waiting(), &now, &mut quiet()).await.unwrap();
        }
        let plan = rds.plan_cut_over(target, aside, false).await.unwrap();
        rds.cut_over(&plan, &Steps::default(), &waiting(), now(), &mut quiet()).await.unwrap();
        let plan = rds.plan_restore(&RestoreOptions::new("shop", target, When::Latest), now()).await.unwrap();
        let told = format!("the name {target} is kept for the cut-over of shop, or its way back");
        assert!(plan.problems.len() == 1 && plan.problems[0].what == told, "{:?}", plan.problems);
        assert_eq!(plan.problems[0].hint, Some(format!("choose another name: --into {target}-2")));
    }
    assert_eq!(rds.name_for_restore("shop").await.unwrap(), "shop-restored-2");

    // Somebody else took it.
    fake.with(|state| state.dbs.insert("shop-restored".to_owned(), other));
    fake.with(|state| state.dbs.get_mut("shop-restored").unwrap().id = "db-OTHER".to_owned());
    let error = rds.plan_cut_over("shop", None, true).await.unwrap_err();
    assert_eq!(error.to_string(), "shop: its cut-over needs the name shop-restored, which another instance has");
    assert!(error.hint().unwrap().contains("--new-db-instance-identifier shop-restored-2"), "{:?}", error.hint());
    // Out of service it needs no name.
    fake.with(|state| state.dbs.remove("shop-restored"));
    let plan = rds.plan_cut_over("shop", None, true).await.unwrap();
    rds.cut_over(&plan, &Steps::default(), &waiting(), now(), &mut quiet()).await.unwrap();
    rds.note_taken_back(&plan).await.unwrap();
    assert_eq!(rds.name_for_restore("shop").await.unwrap(), "shop-restored");
}

#[tokio::test]
async fn a_broken_instance_goes_aside_and_keeps_the_name_from_nobody() {
    let (fake, rds) = restored().await;
    let serving = || fake.with(|state| state.dbs["shop"].id.clone());
    for (back, aside, serves) in [(false, "shop-old", "db-MADE1"), (true, "shop-r", "db-SHOP")] {
        // It fills up while it is waited for.
        fake.with(|state| {
            state.dbs.get_mut("shop").unwrap().states = ["modifying", "modifying", "storage-full"].into()
        });
        let plan = rds.plan_cut_over("shop-r", None, back).await.unwrap();
        rds.cut_over(&plan, &Steps::default(), &waiting(), now(), &mut quiet()).await.unwrap();
        assert_eq!(serving(), serves);
        fake.with(|state| {
            let aside = state.dbs.get_mut(aside).unwrap();
            assert_eq!(aside.states.back(), Some(&"storage-full"));
            aside.states = ["available"].into();
        });
    }
}
