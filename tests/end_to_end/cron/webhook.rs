//! A webhook that does not take what it is told.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::{SECRET, samples, told};
use crate::scene::Scene;
use crate::web::Web;

/// Whoever opened a page for the failure must hear that it is over.
#[test]
fn a_recovery_that_the_webhook_did_not_take_is_told_by_the_next_run() {
    let mut scene = Scene::local();
    std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(0o700)).unwrap();
    // What is refused is not tried again within the run.
    let web = Web::answering(&[200, 400, 200]);
    scene.place.set("HOOK", &web.url("/hook")).set("KEY", SECRET);
    scene.place.write_config("[cron]\nverify = \"none\"\nwebhook = \"env:HOOK\"\nwebhook_secret = \"env:KEY\"\n");
    let url = scene.place.environment()["DATABASE_URL"].clone();
    scene.place.set("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/shop");
    let failed = scene.place.holdpoint(&["cron", "--json"]).json();
    assert_eq!(failed["databases"][0]["events"], json!(["failed"]), "{failed:#}");
    scene.place.set("DATABASE_URL", &url);
    let run = || scene.place.holdpoint(&["cron", "--json"]).ended_with(0).json();
    let good = run();
    assert_eq!(good["databases"][0]["history"]["untold"], json!(["recovered"]), "{good:#}");
    assert!(good["databases"][0]["warnings"].to_string().contains("the webhook was not told"), "{good:#}");
    let next = run();
    assert_eq!(
        (&next["databases"][0]["events"], &next["databases"][0]["history"]["untold"]),
        (&json!(["recovered"]), &Value::Null)
    );
    run();
    assert_eq!(told(&web, 0), ["shop failed", "shop recovered", "shop recovered"]);
}

#[test]
fn a_webhook_that_never_answers_holds_nothing_up_after_a_signal() {
    let mut scene = Scene::local();
    // Connections are taken, and nobody reads them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = scene.place.path().join("holdpoint.prom");
    scene.place.set("HOOK", &format!("http://{}/hook", silent.local_addr().unwrap()));
    let sections: String = (0..20).map(|n| format!("[database.shop{n}]\nurl = \"env:DATABASE_URL\"\n")).collect();
    scene.place.write_config(&format!(
        "{sections}[database.wrong]\nurll = \"x\"\n\
         [cron]\nverify = \"none\"\nmetrics_file = \"{}\"\nwebhook = \"env:HOOK\"\n",
        metrics.display()
    ));
    scene.place.unset("HOLDPOINT_DATABASE");
    let mut paused = scene.place.start_paused(&["cron", "--all", "--json"], "snapshot-exported");
    paused.wait_for_pause();
    let began = std::time::Instant::now();
    paused.interrupt();
    let report = paused.finish().ended_with(130).json();
    // One after the other they would take more than three minutes.
    assert!(began.elapsed() < std::time::Duration::from_secs(90), "{:?}", began.elapsed());
    let databases = report["databases"].as_array().unwrap();
    assert_eq!(databases.len(), 21);
    for one in databases {
        assert!(one["warnings"].to_string().contains("the webhook was not told"), "{one:#}");
    }
    let text = std::fs::read_to_string(&metrics).unwrap();
    let counted = samples(&text).into_iter().filter(|(name, _)| name.starts_with("holdpoint_cron_failures_total{"));
    assert_eq!(counted.count(), 21, "{text}");
}
