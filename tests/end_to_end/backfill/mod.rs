//! `backfill`: a large table, filled batch by batch, whatever happens in between.

mod beside;
mod commit;
mod resume;

use std::time::Duration;

use holdpoint_tests::Running;

use crate::scene::Scene;

const WITHIN: Duration = Duration::from_secs(300);

const ONCE: [&str; 4] = ["backfill", "public.counted", "--set", "n = n + 1"];
/// No batch is done in so short a time: they stay at their smallest.
const SLOWLY: [&str; 6] = ["--batch", "100", "--batch-time", "1ms", "--pause", "30ms"];

/// Rows whose `n` says how often each was changed.
fn table(scene: &Scene, rows: u32) {
    scene.sql(&format!(
        "CREATE TABLE public.counted (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
         INSERT INTO counted SELECT i * 3 FROM generate_series(1, {rows}) i; ANALYZE counted"
    ));
}

/// How many rows there are by how often they were changed, such as `1:5000`.
fn changed(scene: &Scene) -> String {
    scene.sql("SELECT string_agg(n || ':' || rows, ' ' ORDER BY n) FROM (SELECT n, count(*) AS rows FROM counted GROUP BY n) c")
}

fn wait_until(running: &mut Running, what: &str, scene: &Scene, condition: &str) {
    running.wait_until(what, WITHIN, || scene.sql(&format!("SELECT {condition}")) == "t");
}

/// The file of the one backfill, and what it says.
fn noted(scene: &Scene) -> (std::path::PathBuf, serde_json::Value) {
    let mut files =
        std::fs::read_dir(scene.place.work().join(".holdpoint")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|file| file.extension().is_some_and(|end| end == "json")).unwrap();
    let state = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    (file, state)
}

#[test]
fn a_dry_run_tells_the_plan_and_the_time_ends_it_between_batches() {
    let scene = Scene::local();
    scene.sql(
        "CREATE TABLE shop.parts (a int, \"B\" text, n int NOT NULL DEFAULT 0, old bool, UNIQUE (a, \"B\"));
         ALTER TABLE shop.parts ALTER a SET NOT NULL, ALTER \"B\" SET NOT NULL;
         INSERT INTO shop.parts SELECT i % 7, 'key' || i, 0, i % 2 = 0 FROM generate_series(1, 3000) i; ANALYZE shop.parts",
    );
    let words = ["backfill", "parts", "--set", "n = n + 1 -- all", "--where", "old -- and no more", "--batch", "500"];
    let before = scene.before();
    let dry = scene.place.holdpoint(&[&words[..], &["--dry-run"]].concat()).ended_with(0).stdout;
    for text in [
        "shop.parts would be filled",
        "a, B (index parts_a_B_key)",
        "rows, about     3,000",
        "batches, about  6",
        "last batch:",
    ] {
        assert!(dry.contains(text), "{text} is not in:\n{dry}");
    }
    assert!(
        dry.contains("using parts_a_B_key") || dry.contains("on \"parts_a_B_key\"") || dry.contains("parts_a_B_key"),
        "{dry}"
    );
    assert!(!dry.contains("key3000") && !dry.contains("key2996"), "keys are values: {dry}");
    scene.assert_untouched(&before);

    let none = scene.place.holdpoint(&[&words[..], &["--max-runtime", "0", "--json"]].concat()).ended_with(5).json();
    assert_eq!((none["finished"].as_bool(), none["rows_updated"].as_u64()), (Some(false), Some(0)), "{none:#}");
    let text = scene.place.holdpoint(&[&words[..], &["--resume"]].concat()).ended_with(0).stdout;
    assert!(text.contains("done: 1,500 rows of shop.parts changed") && text.contains("3,000 rows"), "{text}");
    assert_eq!(scene.sql("SELECT count(*) FROM shop.parts WHERE n = CASE WHEN old THEN 1 ELSE 0 END"), "3000");
    let left: Vec<_> = std::fs::read_dir(scene.place.work().join(".holdpoint")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn one_that_goes_on_knows_how_large_a_batch_fits_and_the_end_is_the_end() {
    let scene = Scene::local();
    table(&scene, 400);
    // No batch takes less than 20 ms a row.
    let slow = |more: &[&'static str]| {
        [&ONCE[..], &["--where", "pg_sleep(0.02) IS NOT NULL", "--batch-time", "200ms", "--json"], more].concat()
    };
    let stopped = scene.place.holdpoint(&slow(&["--batch", "200", "--max-runtime", "3s"])).ended_with(5).json();
    assert_eq!((stopped["finished"].as_bool(), stopped["batches"].as_u64()), (Some(false), Some(1)), "{stopped:#}");
    let done = scene.place.holdpoint(&slow(&["--resume"])).ended_with(0).json();
    assert!(done["batches"].as_u64().unwrap() > 10, "it began with all that was left: {done:#}");
    assert_eq!(changed(&scene), "1:400");

    // All rows were walked over by the only batch, although the time is over.
    scene.sql("UPDATE counted SET n = 0");
    let whole = scene.place.holdpoint(&slow(&["--batch", "400", "--max-runtime", "3s"])).ended_with(0).json();
    assert_eq!((whole["finished"].as_bool(), whole["batches"].as_u64()), (Some(true), Some(1)), "{whole:#}");
    assert_eq!((changed(&scene).as_str(), &whole["state_file"]), ("1:400", &serde_json::Value::Null));
}

#[test]
fn what_cannot_be_filled_is_refused_before_anything_is_changed() {
    let scene = Scene::local();
    table(&scene, 20);
    scene.sql(
        "CREATE TABLE made (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2) STORED);
         CREATE TABLE without (a int); CREATE TABLE loose (a int UNIQUE); CREATE VIEW seen AS SELECT * FROM counted;
         CREATE TABLE parted (id int PRIMARY KEY, n int) PARTITION BY RANGE (id);
         CREATE TABLE strict (id int PRIMARY KEY, a int CHECK (a < 4711)); INSERT INTO strict VALUES (1, 4000)",
    );
    let before = scene.before();
    let refused = |words: &[&str], code: i32, said: &str| {
        let outcome = scene.place.holdpoint(&[&["backfill"], words, &["--json"]].concat()).ended_with(code);
        outcome.failure().says(&[said]);
        assert!(!outcome.stdout.contains("4711"), "{outcome:?}");
    };
    refused(&["countet", "--set", "n = 1"], 6, "there is no table countet");
    refused(&["seen", "--set", "n = 1"], 2, "public.seen is a view");
    refused(&["parted", "--set", "n = 1"], 2, "public.parted is partitioned");
    refused(&["without", "--set", "a = 1"], 2, "has no key to walk by: it has no unique index");
    refused(&["loose", "--set", "a = 1"], 2, "index loose_a_key takes NULL");
    refused(&["counted", "--set", "n = 1", "--key", "n"], 2, "no unique index is over n");
    refused(&["counted", "--set", "id = 1"], 2, "column id of public.counted cannot be set: it is part of the key");
    refused(&["made", "--set", "b = 1"], 2, "it is generated from others");
    refused(&["made", "--set", "c = 1"], 2, "it is not there");
    refused(&["counted", "--set", "n = nonsense(1)"], 2, "the server does not take it: function nonsense(integer)");
    refused(&["counted", "--set", "n = 1 FROM made"], 2, "it takes rows of another table with FROM");
    refused(&["counted", "--set", "n = 1; DROP TABLE made"], 2, "it holds a semicolon");
    refused(&["counted", "--set", "n = 1", "--where", "true) OR (true"], 2, "it closes a bracket");
    refused(&["counted", "--set", "n = 1", "--where", "n = 'x"], 2, "does not end");
    refused(&["counted", "--set", "n = 1", "--resume"], 6, "there is no backfill of public.counted to go on with");
    scene.place.holdpoint(&["backfill", "counted"]).ended_with(2);
    // A row that the new value does not fit: the batch is rolled back, and no value is told.
    refused(&["strict", "--set", "a = a + 711"], 7, "constraint strict_a_check refuses a row");
    scene.assert_untouched(&before);
}
