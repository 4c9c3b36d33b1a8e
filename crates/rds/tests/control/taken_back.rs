//! Cut-overs whose name, tags or way back are not as they should be; and calls that are throttled to their end.

use std::time::Duration;

use holdpoint_rds::{CredentialSource, Error, Rds, RdsOptions, Reading, Steps, Timing, was_taken_back};

use crate::cut_over::restored;
use crate::fake::Fake;
use crate::{now, quiet, waiting};

#[tokio::test]
async fn a_source_goes_aside_under_another_name_than_its_own_or_the_new_ones() {
    let (fake, rds) = restored().await;
    let own = rds.plan_cut_over("shop-r", Some("Shop"), false).await.unwrap_err();
    assert!(matches!(own, Error::OwnName { .. }), "{own}");
    let new = rds.plan_cut_over("shop-r", Some("shop-r"), false).await.unwrap_err();
    assert!(matches!(new, Error::NameTaken { .. }), "{new}");
    assert_eq!(fake.count("AddTagsToResource"), 1, "nothing is noted but that the restore is finished");
}

#[tokio::test]
async fn what_never_served_is_not_taken_back_and_what_did_is_known_however_it_ended() {
    let (fake, rds) = restored().await;
    let plan = rds.plan_cut_over("shop-r", None, false).await.unwrap();
    assert_eq!(plan.taken_back, None);
    fake.with(|state| state.faults.push_back(("ModifyDBInstance", 403, "AccessDenied", "no")));
    assert!(rds.cut_over(&plan, &Steps::default(), &waiting(), now(), &mut quiet()).await.is_err());
    let refused = rds.plan_cut_over("shop-r", None, true).await.unwrap_err();
    assert!(matches!(refused, Error::NotCutOver { .. }), "{refused}");
    assert!(!was_taken_back(&rds.instance("shop-r").await.unwrap()));

    let plan = rds.plan_cut_over("shop-r", None, false).await.unwrap();
    rds.cut_over(&plan, &Steps::default(), &waiting(), now(), &mut quiet()).await.unwrap();
    let back = rds.plan_cut_over("shop", None, true).await.unwrap();
    rds.cut_over(&back, &Steps::default(), &waiting(), now(), &mut quiet()).await.unwrap();
    // Whoever took it back was killed before its end was noted, or after.
    for noted in [false, true] {
        assert!(was_taken_back(&rds.instance("shop-r").await.unwrap()), "noted: {noted}");
        // Under another name, too.
        for name in ["shop-r", "shop-broken"] {
            let rename = |from: &str, to: &str| {
                fake.with(|state| state.dbs.remove(from).map(|db| state.dbs.insert(to.to_owned(), db)));
            };
            rename("shop-r", name);
            let plan = rds.plan_cut_over(name, None, false).await;
            rename(name, "shop-r");
            // Until it is noted the way back is under way, and by the other name not at its end.
            let taken_back = plan.map(|plan| plan.taken_back).ok().flatten();
            assert!(taken_back.as_deref() == Some("shop-r") || (!noted && name != "shop-r"), "{name}, noted: {noted}");
        }
        if !noted {
            rds.note_taken_back(&back).await.unwrap();
        }
    }
    assert!(!was_taken_back(&rds.instance("shop").await.unwrap()));
}

#[tokio::test]
async fn an_end_that_cannot_be_noted_is_told_with_all_that_was_done() {
    let (fake, rds) = restored().await;
    let plan = rds.plan_cut_over("shop-r", None, false).await.unwrap();
    let mut is_denied = false;
    // The first note is made by then.
    let mut listen = |_: &Reading| {
        if !std::mem::replace(&mut is_denied, true) {
            fake.with(|state| state.faults.push_back(("AddTagsToResource", 403, "AccessDenied", "no")));
        }
    };
    let report = rds.cut_over(&plan, &Steps::default(), &waiting(), now(), &mut listen).await.unwrap();
    let why = report.not_noted.unwrap();
    assert!(why.contains("the permission rds:AddTagsToResource is missing"), "{why}");
    assert_eq!((report.serving.name.as_str(), report.serving.resource_id.as_str()), ("shop", "db-MADE1"));
    assert!(report.way_back.is_some());
    let rest = rds.plan_cut_over("shop", None, false).await.unwrap();
    assert!(rest.renames.is_empty() && rest.is_begun, "{rest:?}");
    let report = rds.cut_over(&rest, &Steps::default(), &waiting(), now(), &mut quiet()).await.unwrap();
    assert_eq!(report.not_noted, None);
    assert!(!rds.plan_cut_over("shop", None, false).await.unwrap().is_begun);
}

#[tokio::test]
async fn a_call_that_is_throttled_to_its_end_is_told_as_throttled() {
    let fake = Fake::start();
    fake.put_shop();
    let options = RdsOptions { region: Some("eu-west-1".into()), endpoint: Some(fake.url()), ..RdsOptions::default() };
    let keys = CredentialSource::Keys { access_key_id: "AKIATEST".into(), secret_access_key: "hush".into() };
    let timing = Timing::within(Duration::from_secs(10));
    let rds = Rds::connect(&options, &keys, &timing).await.unwrap();
    fake.with(|state| state.faults.extend([("DescribeDBInstances", 400, "Throttling", "Rate exceeded"); 20]));
    let error = rds.instance("shop").await.unwrap_err();
    assert!(matches!(error, Error::Throttled { .. }), "{error}");
    assert_eq!(fake.count("DescribeDBInstances"), timing.attempts as usize);
}
