//! What a night asks of the store: one that is gone or does not answer, a role that may do little, and how many requests.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use holdpoint_testkit::{Fault, Rule, S3Server};
use serde_json::{Value, json};

use super::{SECRET, ends, told};
use crate::scene::{Scene, behind_proxy};
use crate::web::Web;

#[test]
fn through_an_outage_each_failure_is_counted_and_told_once() {
    let mut scene = Scene::local();
    std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let web = Web::answering(&[200]);
    let metrics = scene.place.path().join("holdpoint.prom");
    scene.place.set("HOOK", &web.url("/hook")).set("KEY", SECRET);
    scene.place.write_config(&format!(
        "[cron]\nverify = \"none\"\nmetrics_file = \"{}\"\nwebhook = \"env:HOOK\"\nwebhook_secret = \"env:KEY\"\n",
        metrics.display()
    ));
    scene.place.holdpoint(&["cron", "--json"]).ended_with(0);
    let (repository, away) = (scene.place.repository().to_owned(), scene.place.path().join("away"));

    // The repository goes while a run is at work: it can neither go on nor give its lease back. The next finds none.
    let mut paused = scene.place.start_paused(&["cron", "--json"], "snapshot-exported");
    paused.wait_for_pause();
    std::fs::rename(&repository, &away).unwrap();
    paused.go_on();
    let first = paused.finish().json();
    let second = scene.place.holdpoint(&["cron", "--json"]).json();
    let mut kinds = BTreeMap::<String, u64>::new();
    for report in [&first, &second] {
        let kind = report["databases"][0]["failure"]["kind"].as_str().unwrap_or_else(|| panic!("{report:#}"));
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    let text = std::fs::read_to_string(&metrics).unwrap();
    assert_eq!(text.matches("\nholdpoint_cron_unreleased_run_timestamp_seconds{").count(), 1, "{text}");

    // It is back, with the lease of the first, whose time is over.
    if repository.exists() {
        std::fs::remove_dir_all(&repository).unwrap();
    }
    std::fs::rename(&away, &repository).unwrap();
    let mut record: Value = serde_json::from_slice(&std::fs::read(repository.join("shop/lease")).unwrap()).unwrap();
    assert_ne!(record["holds_for_seconds"], json!(0), "nobody gave it back");
    record["holds_for_seconds"] = json!(1);
    scene.place.put_object("shop/lease", &serde_json::to_vec(&record).unwrap());
    let report = loop {
        let outcome = scene.place.holdpoint(&["cron", "--json"]);
        if outcome.json()["exit_code"] != json!(14) {
            break outcome.ended_with(0).json();
        }
    };
    assert_eq!(report["databases"][0]["history"]["failures"], json!(kinds), "{report:#}");
    assert_eq!(told(&web, 0), ["shop failed", "shop failed", "shop recovered"]);
    let text = std::fs::read_to_string(&metrics).unwrap();
    assert!(!text.contains("unreleased") && !text.contains("unrecorded") && !text.contains("killed"), "{text}");
}

#[test]
fn a_repository_that_does_not_answer_is_given_up_when_the_time_is_over() {
    let scene = Scene::on_s3();
    // Connections are taken, and nobody reads them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = std::fs::read_to_string(scene.place.work().join("holdpoint.toml")).unwrap();
    let nobody = format!("http://{}", silent.local_addr().unwrap());
    assert!(config.contains(&S3Server::shared().endpoint()), "{config}");
    scene.place.write_config(&config.replace(&S3Server::shared().endpoint(), &nobody));
    let report = scene.place.holdpoint(&["cron", "--json", "--max-runtime", "2s"]).ended_with(5).json();
    let one = &report["databases"][0];
    assert_eq!((&one["failure"]["message"], &one["events"]), (&json!("its time is over"), &json!(["failed"])));
    let warnings = one["warnings"].to_string();
    assert!(warnings.contains("did not answer") && !warnings.contains("was given up"), "{report:#}");
}

/// As Amazon answers to who may list below a prefix only: "access denied" for what is not there, the first lease of all.
#[test]
fn a_role_that_may_list_below_its_prefix_only_has_its_nights() {
    let (scene, proxy) = behind_proxy();
    for operation in ["GetObject", "HeadObject"] {
        proxy.rule(Rule::new(Fault::HideAbsence).operation(operation).always());
    }
    let config = std::fs::read_to_string(scene.place.work().join("holdpoint.toml")).unwrap();
    let policy = "[cron]\nverify = \"stored\"\n[retention]\nkeep_last = 1\nminimum_age = \"0\"\n";
    scene.place.write_config(&format!("{config}{policy}"));
    for _ in 0..2 {
        let report = scene.place.holdpoint(&["cron", "--json"]).ended_with(0).json();
        assert_eq!(ends(&report, "shop"), ["done"; 4], "{report:#}");
    }
    assert_eq!(scene.place.points().len(), 1, "the first one went");
    scene.place.holdpoint(&["check", "--json", "--repair", "--min-age", "0"]).ended_with(0);
    scene.place.holdpoint(&["leftovers", "--remove"]).ended_with(0);
}

/// What a night of one small database asks of the store, by the tables and the sum of docs/scale.md.
#[test]
fn a_night_costs_as_many_requests_as_is_written() {
    let (scene, proxy) = behind_proxy();
    let config = std::fs::read_to_string(scene.place.work().join("holdpoint.toml")).unwrap();
    scene.place.write_config(&format!("{config}[cron]\nverify = \"full\"\n[retention]\nkeep_last = 100\n"));
    let night = || {
        let before = proxy.requests().len();
        scene.place.holdpoint(&["cron", "--json"]).ended_with(0);
        let mut counts = BTreeMap::<&str, i64>::new();
        for one in &proxy.requests()[before..] {
            let kind = match one.operation() {
                "PutObject" => "PUT",
                "ListObjects" | "ListMultipartUploads" => "LIST",
                "GetObject" => "GET",
                "HeadObject" | "HeadBucket" => "HEAD",
                "DeleteObject" | "DeleteObjects" => "DELETE",
                // Whether the bucket keeps versions.
                _ => "others",
            };
            *counts.entry(kind).or_default() += 1;
        }
        counts
    };
    // The first one proves what nothing was proven before.
    let nights = [(); 4].map(|()| night());
    let page = std::fs::read_to_string(format!("{}/../docs/scale.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let mut sums = (0, 0);
    for kind in nights[3].keys() {
        let [second, third, fourth] = [1, 2, 3].map(|n: usize| nights[n][kind]);
        assert_eq!(fourth - third, third - second, "{kind}: {nights:#?}");
        let each = fourth - third;
        let run = second - 2 * each;
        let row = format!("\n| {kind} | {run} | {each} |\n");
        assert!(page.contains(&row), "docs/scale.md has no row {row}\n{nights:#?}");
        sums = (sums.0 + run, sums.1 + each);
    }
    let sum = format!("{} + {} × P", sums.0, sums.1);
    assert!(page.contains(&sum), "docs/scale.md does not say {sum}\n{nights:#?}");
}
