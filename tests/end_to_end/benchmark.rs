//! The benchmark still understands the program: `scripts/bench --quick`, a part of it.

use std::collections::BTreeMap;

use holdpoint_testkit::{cache_directory, workspace_directory};
use holdpoint_tests::{program, shell};

#[test]
fn a_quick_benchmark_measures_backup_proof_and_restore() {
    let folder = tempfile::tempdir().unwrap();
    let path = "/usr/local/bin:/usr/bin:/bin".to_owned();
    let environment =
        BTreeMap::from([("PATH".to_owned(), path), ("HOLDPOINT_CACHE".to_owned(), text(&cache_directory()))]);
    let script = format!(
        "'{}' --quick --directory /tmp --holdpoint '{}' --json bench.json --markdown bench.md --record series.jsonl \
         --only 'backup zstd' --only 'verify full, zstd' --only 'restore zstd' --only 'pg_restore -j2, zstd'",
        text(&workspace_directory().join("scripts/bench")),
        text(&program()),
    );
    let outcome = shell(folder.path(), &environment, &script).ended_with(0);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();

    let result: serde_json::Value = serde_json::from_str(&read("bench.json")).unwrap();
    let medians = &result["suites"][0]["medians"];
    for case in
        ["holdpoint backup zstd", "holdpoint verify full, zstd", "holdpoint restore zstd", "pg_restore -j2, zstd"]
    {
        assert!(medians[case]["wall_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{case}: {outcome:?}");
    }
    // The phase `restored` was heard: rows are loaded before they are compared.
    let restore = &medians["holdpoint restore zstd"];
    assert!(restore["loaded_seconds"].as_f64() < restore["wall_seconds"].as_f64(), "{restore}");
    assert!(read("bench.md").contains("| `holdpoint restore zstd` |"), "{outcome:?}");
    assert!(read("series.jsonl").contains("copying-data"), "{outcome:?}");
}

/// How many transactions a backup costs an application can only be asked for here; nobody knows the answer beforehand.
#[test]
fn a_quick_benchmark_runs_a_database_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = "/usr/local/bin:/usr/bin:/bin".to_owned();
    let environment =
        BTreeMap::from([("PATH".to_owned(), path), ("HOLDPOINT_CACHE".to_owned(), text(&cache_directory()))]);
    let script = format!(
        "'{}' --quick --suite production --directory /tmp --holdpoint '{}' --json bench.json --only 'a second'",
        text(&workspace_directory().join("scripts/bench")),
        text(&program()),
    );
    let outcome = shell(folder.path(), &environment, &script).ended_with(0);
    let json = std::fs::read_to_string(folder.path().join("bench.json")).unwrap();
    let result: serde_json::Value = serde_json::from_str(&json).unwrap();
    let medians = result["suites"][0]["medians"].as_object().unwrap();
    assert_eq!(medians.len(), 1, "{outcome:?}");
    for one in medians.values() {
        assert!(one["during_tps"].as_f64().is_some_and(|tps| tps > 0.0), "{outcome:?}");
    }
}

/// What one table costs to fetch does not depend on the machine: its block, what says where it is, and HTTP's own.
#[test]
fn a_quick_benchmark_brings_one_table_back() {
    // Headers, and the answers to the pin that holds the restore point meanwhile.
    const HTTP_BYTES: f64 = 12288.0;
    let folder = tempfile::tempdir().unwrap();
    let path = "/usr/local/bin:/usr/bin:/bin".to_owned();
    let environment =
        BTreeMap::from([("PATH".to_owned(), path), ("HOLDPOINT_CACHE".to_owned(), text(&cache_directory()))]);
    let script = format!(
        "'{}' --quick --suite table --directory /tmp --holdpoint '{}' --json bench.json",
        text(&workspace_directory().join("scripts/bench")),
        text(&program()),
    );
    let outcome = shell(folder.path(), &environment, &script).ended_with(0);
    let json = std::fs::read_to_string(folder.path().join("bench.json")).unwrap();
    let result: serde_json::Value = serde_json::from_str(&json).unwrap();
    for (suite, table) in [(0, "lookup_7"), (0, "counters_1"), (1, "orders")] {
        let medians = &result["suites"][suite]["medians"];
        let of = |name: &str, key: &str| {
            medians[&name.replace("TABLE", table)][key].as_f64().unwrap_or_else(|| panic!("{name} {key}: {outcome:?}"))
        };
        let (fetched, needed) =
            (of("holdpoint recover-table TABLE", "link_bytes"), of("holdpoint recover-table TABLE", "needed_bytes"));
        assert!(fetched >= needed && fetched <= needed + HTTP_BYTES, "{table}: {fetched} of {needed}");
        let all = of("aws s3 cp, pg_restore -t TABLE", "link_bytes");
        assert!(suite == 1 || all > 20.0 * fetched, "{table}: {fetched} of {all}");
    }
}

fn text(path: &std::path::Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// The bare command and the guarded one, with nothing pending and with one migration; a preparation, which says where
/// its time goes, and the run that relies on it.
#[test]
fn a_quick_benchmark_holds_a_migration() {
    let folder = tempfile::tempdir().unwrap();
    let environment =
        BTreeMap::from([("PATH".to_owned(), path_of_node()), ("HOLDPOINT_CACHE".to_owned(), text(&cache_directory()))]);
    let script = format!(
        "'{}' --quick --suite guard --directory /tmp --holdpoint '{}' --json bench.json",
        text(&workspace_directory().join("scripts/bench")),
        text(&program()),
    );
    let outcome = shell(folder.path(), &environment, &script).ended_with(0);
    let json = std::fs::read_to_string(folder.path().join("bench.json")).unwrap();
    let result: serde_json::Value = serde_json::from_str(&json).unwrap();
    let suite = &result["suites"][0];
    assert_eq!(suite["medians"].as_object().unwrap().len(), 7, "{outcome:?}");
    for phase in ["restoring", "rehearsing"] {
        assert!(suite["phases"][phase].as_f64().is_some_and(|seconds| seconds > 0.0), "{phase}: {outcome:?}");
    }
}

#[expect(clippy::disallowed_methods, reason = "Node.js is wherever the machine has it")]
fn path_of_node() -> String {
    std::env::var("PATH").unwrap()
}
