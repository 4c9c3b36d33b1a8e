//! Conversations with a control plane whose states and refusals a test scripts.

mod clusters;
mod cut_over;
mod fake;
mod snapshots;
mod taken_back;

use std::time::Duration;

use chrono::{DateTime, Utc};
use fake::Fake;
use holdpoint_rds::{
    CredentialSource, DropOptions, Error, Rds, RdsOptions, Reading, RestoreOptions, Steps, Timing, Tokens, Waiting,
    When,
};

fn now() -> DateTime<Utc> {
    "2026-11-21T03:04:00Z".parse().expect("an instant")
}

async fn client(fake: &Fake) -> Rds {
    let options = RdsOptions { region: Some("eu-west-1".into()), endpoint: Some(fake.url()), ..RdsOptions::default() };
    let keys = CredentialSource::Keys { access_key_id: "AKIATEST".into(), secret_access_key: "hush".into() };
    let timing = Timing {
        attempts: 4,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(2),
        ..Timing::default()
    };
    Rds::connect(&options, &keys, &timing).await.expect("a client")
}

fn waiting() -> Waiting {
    Waiting { poll_every: Duration::from_millis(1), give_up_after: Duration::from_millis(20), readings: 3 }
}

fn quiet() -> impl FnMut(&Reading) + Send {
    |_| {}
}

#[tokio::test]
async fn a_restore_is_planned_made_waited_for_modified_and_checked() {
    let fake = Fake::start();
    fake.put_shop();
    let rds = client(&fake).await;
    let at: DateTime<Utc> = "2026-11-20T10:00:00.9Z".parse().unwrap();
    let options = RestoreOptions::new("shop", "shop-r", When::At(at));
    let plan = rds.plan_restore(&options, now()).await.unwrap();
    assert!(plan.is_possible(), "{:?}", plan.problems);
    assert_eq!(fake.count("RestoreDBInstanceToPointInTime"), 0, "a plan changes nothing");

    // RDS says "available" once too early, which is no end.
    let states = ["creating", "creating", "backing-up", "available", "modifying", "available"];
    fake.with(|state| state.next_states = states.to_vec());
    let begun = rds.begin_restore(&plan).await.unwrap();
    assert_eq!((begun.name.as_str(), begun.status.as_str()), ("shop-r", "creating"));
    let asked = fake.last("RestoreDBInstanceToPointInTime");
    for (key, value) in [
        ("RestoreTime", "2026-11-20T10:00:00Z"),
        ("VpcSecurityGroupIds.VpcSecurityGroupId.2", "sg-2"),
        ("DBParameterGroupName", "shop-pg16"),
        ("DBSubnetGroupName", "private"),
        ("DeletionProtection", "false"),
        ("EnableIAMDatabaseAuthentication", "true"),
        ("Port", "5433"),
    ] {
        assert_eq!(asked.get(key).map(String::as_str), Some(value), "{key} in {asked:#?}");
    }
    assert!(!asked.contains_key("MultiAZ") && !asked.values().any(|value| value == "aws:x"), "{asked:#?}");

    // Another process, which knows nothing but the name.
    let other = client(&fake).await;
    let mut seen = Vec::new();
    let before = fake.count("DescribeDBInstances");
    let mut listen = |reading: &Reading| seen.push(reading.status.clone());
    let report = other.finish_restore("shop-r", &waiting(), &now, &mut listen).await.unwrap();
    let steps = "creating backing-up available modifying available available available modifying available";
    assert!(seen.join(" ").starts_with(steps), "{seen:?}");
    assert!(fake.count("DescribeDBInstances") - before <= seen.len() + 3, "one call a reading");
    assert_eq!(
        report.modified,
        ["deletion protection: yes", "Multi-AZ: yes", "maintenance window: sun:04:00-sun:04:30"]
    );
    let modified = fake.last("ModifyDBInstance");
    assert_eq!(modified["MultiAZ"], "true");
    assert_eq!(modified["ApplyImmediately"], "true");
    assert!(!modified.contains_key("DBInstanceClass"), "{modified:#?}");
    assert!(report.is_checked && report.remains.is_empty(), "{report:?}");
    assert_eq!(report.source, "shop");
    assert_eq!(report.instance.tags["team"], "a");

    // Once more changes nothing.
    let modifications = fake.count("ModifyDBInstance");
    rds.finish_restore("shop-r", &waiting(), &now, &mut quiet()).await.unwrap();
    assert_eq!(fake.count("ModifyDBInstance"), modifications);
    let made = rds.made().await.unwrap();
    assert_eq!(made.len(), 1);
    assert!(made[0].ready_at.is_some() && made[0].restored_to == Some("2026-11-20T10:00:00Z".parse().unwrap()));
}

#[tokio::test]
async fn whoever_waits_gives_up_is_told_of_the_end_and_never_races() {
    let fake = Fake::start();
    fake.put_shop();
    let rds = client(&fake).await;
    let plan = |name: &str| RestoreOptions::new("shop", name, When::Latest).temporary();
    for (name, states, told) in [
        (
            "failed-1",
            vec!["creating", "incompatible-restore"],
            "failed-1 ended as incompatible-restore: failed-1 happened",
        ),
        ("failed-2", vec!["creating", "failed"], "failed-2 ended as failed"),
        ("failed-3", vec!["creating", "deleting"], "failed-3 is gone"),
        ("slow", vec!["creating"], "slow is still creating after"),
    ] {
        fake.with(|state| state.next_states = states);
        let plan = rds.plan_restore(&plan(name), now()).await.unwrap();
        rds.begin_restore(&plan).await.unwrap();
        let before = fake.count("DescribeDBInstances");
        let error = rds.finish_restore(name, &waiting(), &now, &mut quiet()).await.unwrap_err();
        assert!(error.to_string().starts_with(told), "{error}");
        assert!(error.hint().is_some());
        let polled = fake.count("DescribeDBInstances") - before;
        assert!(polled <= 23, "{name} was asked for {polled} times");
    }
    let asked = fake.last("RestoreDBInstanceToPointInTime");
    assert_eq!(asked["UseLatestRestorableTime"], "true");
    assert_eq!(asked["DeletionProtection"], "false");
    assert_eq!(asked["BackupRetentionPeriod"], "0");
}

#[tokio::test]
async fn refusals_are_facts_and_throttling_is_survived() {
    let fake = Fake::start();
    fake.put_shop();
    let rds = client(&fake).await;
    let throttled = ("DescribeDBInstances", 400, "Throttling", "Rate exceeded");
    fake.with(|state| state.faults.extend([throttled, throttled, throttled]));
    assert_eq!(rds.instance("shop").await.unwrap().name, "shop");
    fake.with(|state| state.faults.extend([throttled; 4]));
    assert!(matches!(rds.instance("shop").await, Err(Error::Throttled { action: "DescribeDBInstances" })));

    for action in ["DescribeDBInstances", "DescribeDBInstanceAutomatedBackups"] {
        fake.with(|state| state.faults.push_back((action, 403, "AccessDenied", "no")));
        let error = rds.window("shop", now()).await.unwrap_err();
        assert!(error.to_string().contains(&format!("the permission rds:{action} is missing")), "{error}");
    }
    // The quotas only help: without the permission the plan says so.
    fake.with(|state| state.faults.push_back(("DescribeAccountAttributes", 403, "AccessDenied", "no")));
    let options = RestoreOptions::new("shop", "shop-r", When::Latest);
    let plan = rds.plan_restore(&options, now()).await.unwrap();
    assert!(plan.is_possible() && plan.warnings.iter().any(|line| line.contains("rds:DescribeAccountAttributes")));

    for (code, told) in [
        ("InstanceQuotaExceeded", "shop-r: InstanceQuotaExceeded"),
        ("DBInstanceAlreadyExists", "the name shop-r is taken"),
        ("PointInTimeRestoreNotEnabled", "shop keeps no automated backups"),
        ("InvalidRestoreFault", "shop cannot be restored to 2026-11-21T03:00:00Z: its window is"),
        ("AccessDenied", "shop-r: access denied: the permission rds:RestoreDBInstanceToPointInTime"),
        ("DBInstanceNotFound", "shop does not exist"),
        ("InsufficientDBInstanceCapacity", "shop-r: InsufficientDBInstanceCapacity"),
    ] {
        fake.with(|state| state.faults.push_back(("RestoreDBInstanceToPointInTime", 400, code, "m")));
        let error = rds.begin_restore(&plan).await.unwrap_err();
        assert!(error.to_string().starts_with(told), "{code}: {error}");
    }
    assert!(matches!(rds.window("nobody", now()).await, Err(Error::NotFound { .. })));
    let gone = format!("{:?}", client(&fake).await);
    assert!(!gone.contains("hush"), "{gone}");
}

#[tokio::test]
async fn only_what_was_made_here_is_dropped() {
    let fake = Fake::start();
    fake.put_shop();
    let rds = client(&fake).await;
    let drop = |name: &str| DropOptions { name: name.to_owned(), ..DropOptions::default() };
    assert!(matches!(rds.plan_drop(&drop("shop")).await, Err(Error::NotOurs { .. })));
    let plan = rds.plan_restore(&RestoreOptions::new("shop", "shop-r", When::Latest), now()).await.unwrap();
    rds.begin_restore(&plan).await.unwrap();
    rds.finish_restore("shop-r", &waiting(), &now, &mut quiet()).await.unwrap();

    // Even with tags copied by hand a source is not dropped.
    fake.with(|state| {
        let tags = state.dbs["shop-r"].tags.clone();
        state.dbs.get_mut("shop").unwrap().tags.extend(tags);
    });
    assert!(matches!(rds.plan_drop(&drop("shop")).await, Err(Error::NotOurs { .. })));
    fake.with(|state| state.dbs.get_mut("shop").unwrap().tags.remove("holdpoint:resource"));
    assert!(matches!(rds.plan_drop(&drop("shop")).await, Err(Error::IsSource { .. })));

    assert!(matches!(rds.plan_drop(&drop("shop-r")).await, Err(Error::Protected { .. })));
    let options = DropOptions { lift_protection: true, final_snapshot: Some("last".into()), ..drop("shop-r") };
    let plan = rds.plan_drop(&options).await.unwrap();
    assert!(fake.with(|state| state.dbs.contains_key("shop-r")), "a plan changes nothing");
    rds.drop_made(&plan, &waiting(), now(), &mut quiet()).await.unwrap();
    assert!(fake.with(|state| !state.dbs.contains_key("shop-r") && state.dbs.contains_key("shop")));
    let asked = fake.last("DeleteDBInstance");
    assert_eq!(
        (asked["FinalDBSnapshotIdentifier"].as_str(), asked["DeleteAutomatedBackups"].as_str()),
        ("last", "true")
    );
    // Whoever is killed in between drops it again.
    rds.drop_made(&plan_of_gone(plan), &waiting(), now(), &mut quiet()).await.unwrap();
}

#[tokio::test]
async fn a_cut_over_goes_on_after_every_step_and_goes_back() {
    let fake = Fake::start();
    fake.put_shop();
    let rds = client(&fake).await;
    let id = |name: &str| fake.with(|state| state.dbs.get(name).map(|db| db.id.clone()));
    let plan = rds.plan_restore(&RestoreOptions::new("shop", "shop-r", When::Latest), now()).await.unwrap();
    rds.begin_restore(&plan).await.unwrap();
    let unready = rds.plan_cut_over("shop-r", None, false).await.unwrap_err();
    assert!(unready.to_string().contains("is not ready"), "{unready}");
    rds.finish_restore("shop-r", &waiting(), &now, &mut quiet()).await.unwrap();
    assert!(matches!(rds.plan_cut_over("shop", None, false).await, Err(Error::NotOurs { .. })));
    assert!(matches!(rds.plan_cut_over("shop-r", None, true).await, Err(Error::NotCutOver { .. })));

    let denied = |code| ("ModifyDBInstance", 400, code, "m");
    let plan = rds.plan_cut_over("shop-r", None, false).await.unwrap();
    let renames: Vec<(&str, &str)> = plan.renames.iter().map(|one| (one.from.as_str(), one.to.as_str())).collect();
    assert_eq!(renames, [("shop", "shop-old"), ("shop-r", "shop")]);
    // Before the first rename, and between the two.
    fake.with(|state| state.faults.push_back(denied("InvalidDBInstanceState")));
    assert!(rds.cut_over(&plan, &Steps::default(), &waiting(), now(), &mut quiet()).await.is_err());
    let taken_aside = holdpoint_rds::CutOverPlan { renames: plan.renames[..1].to_vec(), ..plan.clone() };
    let error = rds.cut_over(&taken_aside, &Steps::default(), &waiting(), now(), &mut quiet()).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "nobody has the name: {error}");
    assert_eq!((id("shop"), id("shop-old").as_deref()), (None, Some("db-SHOP")));
    let other = client(&fake).await;
    let plan = other.plan_cut_over("shop-r", Some("ignored-now"), false).await.unwrap();
    assert_eq!((plan.renames.len(), plan.aside.as_str(), plan.name.as_str()), (1, "shop-old", "shop"));
    let report = other.cut_over(&plan, &Steps::default(), &waiting(), now(), &mut quiet()).await.unwrap();
    assert_eq!(report.serving.resource_id, "db-MADE1");
    assert_eq!(report.way_back.as_deref(), Some("holdpoint rds cut-over shop --back"));
    assert!(other.plan_cut_over("shop", None, false).await.unwrap().renames.is_empty(), "it is done");
    let served = DropOptions { name: "shop".to_owned(), lift_protection: true, ..DropOptions::default() };
    assert!(matches!(rds.plan_drop(&served).await, Err(Error::InService { .. })));
    assert!(rds.made().await.unwrap()[0].is_in_service);

    let plan = rds.plan_cut_over("shop", None, true).await.unwrap();
    let report = rds.cut_over(&plan, &Steps::default(), &waiting(), now(), &mut quiet()).await.unwrap();
    assert_eq!((id("shop").as_deref(), id("shop-r").as_deref()), (Some("db-SHOP"), Some("db-MADE1")));
    assert!(report.way_back.is_none() && report.plan.goes_back);
    // What follows from it is still to be done: whoever is killed before that plans it again.
    let rest = other.plan_cut_over("shop-r", None, true).await.unwrap();
    assert_eq!((rest.renames.len(), rest.apart.as_str(), rest.name.as_str()), (0, "shop-r", "shop"));
    rds.note_taken_back(&rest).await.unwrap();
    assert!(matches!(rds.plan_cut_over("shop-r", None, true).await, Err(Error::NotCutOver { .. })));
    let again = DropOptions { name: "shop-r".to_owned(), ..served.clone() };
    assert!(rds.plan_drop(&again).await.is_ok(), "it is out of service");
    // A person renamed both, which no tag tells.
    fake.with(|state| {
        for (from, to) in [("shop", "shop-aside"), ("shop-r", "shop")] {
            let instance = state.dbs.remove(from).unwrap();
            state.dbs.insert(to.to_owned(), instance);
        }
    });
    assert!(matches!(rds.plan_drop(&served).await, Err(Error::InService { .. })));
}

#[tokio::test]
async fn names_given_by_hand_begin_nothing_and_a_source_that_stands_aside_is_not_renamed() {
    let fake = Fake::start();
    fake.put_shop();
    let rds = client(&fake).await;
    for name in ["shop-r", "shop-q"] {
        let plan = rds.plan_restore(&RestoreOptions::new("shop", name, When::Latest), now()).await.unwrap();
        rds.begin_restore(&plan).await.unwrap();
        rds.finish_restore(name, &waiting(), &now, &mut quiet()).await.unwrap();
    }
    let renamed = |from: &str, to: &str| {
        fake.with(|state| {
            let instance = state.dbs.remove(from).unwrap();
            state.dbs.insert(to.to_owned(), instance);
        });
    };
    // The first rename is refused; then a person gives the new instance another name.
    let plan = rds.plan_cut_over("shop-r", None, false).await.unwrap();
    fake.with(|state| state.faults.push_back(("ModifyDBInstance", 403, "AccessDenied", "no")));
    assert!(rds.cut_over(&plan, &Steps::default(), &waiting(), now(), &mut quiet()).await.is_err());
    renamed("shop-r", "shop-r2");
    let plan = rds.plan_cut_over("shop-r2", None, false).await.unwrap();
    assert_eq!((plan.is_begun, plan.renames.len(), plan.apart.as_str()), (false, 2, "shop-r2"), "it is checked anew");
    rds.cut_over(&plan, &Steps::default(), &waiting(), now(), &mut quiet()).await.unwrap();

    let aside = rds.plan_cut_over("shop-q", None, false).await.unwrap_err();
    assert_eq!(aside.to_string(), "the source of shop-q stands aside as shop-old, and shop serves in its place");
    assert!(aside.hint().unwrap().contains("rds cut-over shop --back"), "{:?}", aside.hint());
    // By hand another one got the production name.
    renamed("shop", "shop-x");
    renamed("shop-q", "shop");
    let overtaken = rds.plan_cut_over("shop-x", None, true).await.unwrap_err();
    assert!(matches!(overtaken, Error::Overtaken { .. }), "{overtaken}");
}

/// RDS may not find for a moment what is there.
#[tokio::test]
async fn what_one_reading_misses_is_not_gone() {
    let fake = Fake::start();
    fake.put_shop();
    let rds = client(&fake).await;
    let plan = rds.plan_restore(&RestoreOptions::new("shop", "shop-r", When::Latest), now()).await.unwrap();
    rds.begin_restore(&plan).await.unwrap();
    rds.finish_restore("shop-r", &waiting(), &now, &mut quiet()).await.unwrap();
    let options = DropOptions { name: "shop-r".to_owned(), lift_protection: true, ..DropOptions::default() };
    let plan = rds.plan_drop(&options).await.unwrap();
    for action in ["DeleteDBInstance", "DescribeDBInstances"] {
        fake.with(|state| state.faults.push_back((action, 404, "DBInstanceNotFound", "not found")));
    }
    let error = rds.drop_made(&plan, &waiting(), now(), &mut quiet()).await.unwrap_err();
    assert!(matches!(error, Error::DropUnfinished { .. }) && error.to_string().contains("shows it"), "{error}");
    rds.drop_made(&plan, &waiting(), now(), &mut quiet()).await.unwrap();
    assert!(fake.with(|state| !state.dbs.contains_key("shop-r")));
}

/// An endpoint that takes connections and never answers holds nobody up for longer than the call may take.
#[tokio::test]
async fn an_endpoint_that_never_answers_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Some(format!("http://{}", silent.local_addr().unwrap()));
    let options = RdsOptions { region: Some("eu-west-1".into()), endpoint, ..RdsOptions::default() };
    let keys = CredentialSource::Keys { access_key_id: "AKIATEST".into(), secret_access_key: "hush".into() };
    let rds = Rds::connect(&options, &keys, &Timing::within(Duration::from_millis(300))).await.unwrap();
    let began = std::time::Instant::now();
    let error = rds.window("shop", now()).await.unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_token_is_made_anew_before_it_ends_and_never_shown() {
    let fake = Fake::start();
    let rds = client(&fake).await;
    let host = "shop.abc.eu-west-1.rds.amazonaws.com";
    for (host, user) in [(host, "a&b"), (host, ""), ("shop/x", "app"), (host, "a b")] {
        assert!(
            matches!(Tokens::new(rds.clone(), host, 5432, user), Err(Error::Configuration { .. })),
            "{host} {user}"
        );
    }
    let mut tokens = Tokens::new(rds, host, 5432, "app_user").unwrap();
    let first = tokens.token(now()).await.unwrap();
    let text = first.password.expose();
    assert!(text.starts_with(&format!("{host}:5432/?Action=connect&DBUser=app_user&")), "{text}");
    assert!(
        text.contains("X-Amz-Expires=900") && text.contains("eu-west-1%2Frds-db") && !text.contains("hush"),
        "{text}"
    );
    let minutes = |minutes| now() + chrono::TimeDelta::minutes(minutes);
    assert_eq!(tokens.token(minutes(9)).await.unwrap().valid_until, first.valid_until);
    assert_eq!(tokens.token(minutes(10)).await.unwrap().valid_until, minutes(25));
    let shown = format!("{tokens:?} {first:?}");
    assert!(!shown.contains("X-Amz"), "{shown}");
}

fn plan_of_gone(plan: holdpoint_rds::DropPlan) -> holdpoint_rds::DropPlan {
    holdpoint_rds::DropPlan { lifts_protection: false, ..plan }
}
