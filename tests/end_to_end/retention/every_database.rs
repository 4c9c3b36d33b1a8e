//! Every database of the repository by one call, and what is told where it is cut short.

use std::time::Duration;

use holdpoint_testkit::{Fault, Rule, SeenRequest};
use serde_json::{Value, json};

use super::points;
use crate::scene::Scene;

#[test]
fn every_database_of_the_repository_is_pruned_by_one_call() {
    let mut scene = Scene::local();
    let made = points(&scene, &[true, true]);
    let second = crate::scene::name("second");
    holdpoint_testkit::sample::load_shop(scene.cluster, &second, 100);
    scene.place.source(scene.cluster, &second).set("HOLDPOINT_DATABASE", "second");
    let others = points(&scene, &[true, true]);
    let all = ["prune", "--all", "--json", "--keep-last", "1", "--minimum-age", "0"];
    let report = scene.place.holdpoint(&all).ended_with(0).json();
    let databases = report["databases"].as_array().unwrap();
    assert_eq!((databases.len(), &report["failed"]), (2, &json!([])), "{report:#}");
    let gone: Vec<&Value> = databases.iter().map(|one| &one["dropped"][0]["point"]).collect();
    assert!(gone.contains(&&json!(made[0])) && gone.contains(&&json!(others[0])), "{report:#}");

    // One folder belongs to another database, of another nobody says where its database is: each is told for itself, and
    // the worst decides.
    let own = scene.cluster.url(&scene.database);
    scene.place.unset("HOLDPOINT_DATABASE").unset("DATABASE_URL").set("SHOP_URL", &own);
    scene.place.write_config("[database.shop]\n[database.second]\nurl = \"env:SHOP_URL\"\n[database.empty]\n");
    let report = scene.place.holdpoint(&all).ended_with(3).json();
    let failed = report["failed"].as_array().unwrap();
    let kinds: Vec<(&Value, &Value)> = failed.iter().map(|one| (&one["database"], &one["kind"])).collect();
    assert_eq!(kinds, [(&json!("empty"), &json!("not_found")), (&json!("second"), &json!("refused"))], "{report:#}");
    let warning = &report["databases"][0]["warnings"];
    assert_eq!(warning, &json!(["no URL is given: whose folder shop is was not asked"]), "{report:#}");
    scene.cluster.drop_database(&second);
}

/// Whatever ends it, what was seen and done by then is told.
#[test]
fn what_was_done_of_all_is_told_after_a_signal_and_where_the_last_list_fails() {
    let (mut scene, proxy) = crate::scene::behind_proxy();
    scene.place.backup();
    scene.place.unset("HOLDPOINT_DATABASE");
    let config = std::fs::read_to_string(scene.place.work().join("holdpoint.toml")).unwrap();
    scene.place.write_config(&format!("{config}[database.first]\n[database.shop]\n[database.third]\n"));
    let all = ["check", "--all", "--json"];
    let last = |request: &SeenRequest| {
        let has = |part: &str| request.target.split(['?', '&']).any(|one| one == part);
        request.operation() == "ListObjects" && has("prefix=backups%2F") && !has("delimiter=%2F")
    };
    proxy.rule(Rule::new(Fault::s3_error(403, "AccessDenied")).when(last).always());
    let report = scene.place.holdpoint(&all).ended_with(8).json();
    let failed = |report: &Value| {
        let all = report["failed"].as_array().unwrap().clone();
        all.into_iter().map(|one| [one["database"].clone(), one["kind"].clone()]).collect::<Vec<_>>()
    };
    assert_eq!(report["databases"].as_array().unwrap().len(), 3, "{report:#}");
    assert_eq!(failed(&report), [[Value::Null, json!("repository")]], "{report:#}");
    proxy.clear();

    proxy.rule(Rule::new(Fault::Silence).operation("ListObjects").target("prefix=backups%2Fshop%2F").always());
    let met = proxy.met();
    let mut run = scene.place.start(&all);
    run.wait_until("it looks at the second", Duration::from_secs(300), || proxy.met() > met);
    run.interrupt();
    let report = run.finish().ended_with(130).json();
    assert_eq!(report["databases"].as_array().unwrap().len(), 1, "{report:#}");
    let interrupted = ["shop", "third"].map(|name| [json!(name), json!("interrupted")]);
    assert_eq!(failed(&report), interrupted, "{report:#}");
}
