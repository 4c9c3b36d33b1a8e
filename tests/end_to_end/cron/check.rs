//! What the last step of a night finds: it is looked for again, and damage is a disproof.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::{SECRET, samples, told};
use crate::scene::Scene;
use crate::web::Web;

#[test]
fn a_check_that_found_something_is_due_again() {
    let mut scene = Scene::local();
    let web = Web::answering(&[200]);
    let metrics = scene.place.path().join("holdpoint.prom");
    scene.place.set("HOOK", &web.url("/hook")).set("KEY", SECRET);
    scene.place.write_config(&format!(
        "[cron]\nverify = \"none\"\ncheck_every = \"30d\"\nmetrics_file = \"{}\"\n\
         webhook = \"env:HOOK\"\nwebhook_secret = \"env:KEY\"\n",
        metrics.display()
    ));
    let open =
        |mode| std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(mode)).unwrap();
    let night = |code: i32| {
        let report = scene.place.holdpoint(&["cron", "--json"]).ended_with(code).json();
        report["databases"][0]["steps"][3]["end"].as_str().unwrap().to_owned()
    };
    open(0o755);
    assert_eq!([night(15), night(15)], ["failed", "failed"]);
    open(0o700);
    assert_eq!([night(0), night(0)], ["done", "not_due"]);
    assert_eq!(told(&web, 0), ["shop failed", "shop failed", "shop recovered"]);

    // A configuration that names no database fails before the lease is got: the next run is told as a recovery all the same.
    let seen = web.asked().len();
    let url = scene.place.environment()["DATABASE_URL"].clone();
    scene.place.set("DATABASE_URL", "postgresql://nobody:@[");
    scene.place.holdpoint(&["cron", "--json"]).ended_with(2);
    let text = std::fs::read_to_string(&metrics).unwrap();
    assert_eq!(samples(&text)["holdpoint_cron_failures_total{database=\"shop\",kind=\"usage\"}"], 1.0, "{text}");
    scene.place.set("DATABASE_URL", &url);
    let report = scene.place.holdpoint(&["cron", "--json"]).ended_with(0).json();
    assert_eq!(told(&web, seen), ["shop failed", "shop recovered"], "{report:#}");
    assert_eq!(report["databases"][0]["history"]["failures"], json!({"differences": 2, "usage": 1}), "{report:#}");
}

/// Damage that a check reads is a disproof: the night after knows it, and so does whoever drops.
#[test]
fn damage_that_a_check_reads_is_not_forgotten() {
    let mut scene = Scene::local();
    std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let web = Web::answering(&[200]);
    scene.place.set("HOOK", &web.url("/hook")).set("KEY", SECRET);
    scene.place.write_config(
        "[cron]\nverify = \"stored\"\nverify_every = \"7d\"\ncheck_every = \"0\"\nread_data = 100\n\
         webhook = \"env:HOOK\"\nwebhook_secret = \"env:KEY\"\n",
    );
    let made = || {
        let manifest = scene.place.backup()["manifest"].clone();
        scene.prove_stored(manifest["id"].as_str().unwrap());
        manifest
    };
    let (older, newer) = (made(), made());
    let key = newer["archive"]["key"].as_str().unwrap();
    let mut bytes = scene.place.object(key);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let path = scene.place.repository().join(key);
    std::fs::write(&path, &bytes).unwrap();

    let first = scene.place.holdpoint(&["cron", "--json"]).ended_with(15).json();
    let steps = |report: &Value| report["databases"][0]["steps"].as_array().unwrap().clone();
    let ended = |report: &Value| -> Vec<String> {
        steps(report).iter().map(|one| one["end"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ended(&first), ["done", "not_due", "off", "failed"], "{first:#}");
    let standing = |id: &Value| {
        let list = scene.place.holdpoint(&["list", "--json"]).ended_with(0).json();
        let points = list["points"].as_array().unwrap().clone();
        let one = points.iter().find(|one| one["id"] == *id).map(|one| one["standing"]["standing"].clone());
        one.unwrap_or_default()
    };
    assert_eq!((standing(&older["id"]), standing(&newer["id"])), (json!("proven"), json!("disproved")));

    // Nobody goes by the newer one: the older one stays, and what is made next is proven at once.
    let plan = scene.place.holdpoint(&["prune", "--dry-run", "--json", "--keep-last", "1", "--minimum-age", "0"]);
    let plan = plan.ended_with(0).json();
    let fate = |id: &Value| {
        let entries = plan["entries"].as_array().unwrap().clone();
        entries.iter().find(|one| one["id"] == *id).unwrap()["fate"].clone()
    };
    assert_eq!((fate(&older["id"]), fate(&newer["id"])), (json!("keep"), json!("drop")), "{plan:#}");
    let second = scene.place.holdpoint(&["cron", "--json"]).ended_with(15).json();
    assert_eq!(ended(&second), ["done", "done", "off", "failed"], "{second:#}");
    assert_eq!(steps(&second)[3]["facts"]["findings"][0]["kind"], "disproved", "{second:#}");
    let third = scene.place.holdpoint(&["cron", "--json"]).ended_with(15).json();
    assert_eq!(ended(&third)[1], "not_due", "proven since: {third:#}");
    assert_eq!(told(&web, 0), ["shop failed", "shop failed", "shop failed"]);
    let first = web.asked().into_iter().map(|asked| asked.body).next().unwrap();
    assert!(first.contains("damaged") && first.contains(newer["id"].as_str().unwrap()), "{first}");

    // Its bytes come back, and somebody proves it: that it works again is told, once.
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    scene.prove_stored(newer["id"].as_str().unwrap());
    let seen = web.asked().len();
    for _ in 0..2 {
        scene.place.holdpoint(&["cron", "--json"]).ended_with(0);
    }
    assert_eq!(told(&web, seen), ["shop recovered"]);
}
