//! What the review says, against what a real server does: every entry of the corpus runs in a transaction that is rolled
//! back, after data, locks and files of the tables were compared.

use std::collections::BTreeMap;

use holdpoint_review::{
    CATALOG_QUERY, Catalog, Dialect, LockMode, MigrationSql, ObjectName, ResolvedReview, ReviewOptions, Rewrite,
    review_against,
};
use holdpoint_testkit::Cluster;
use serde_json::Value;

use crate::shown::corpus;

const SCHEMA: &str = include_str!("../fixtures/schema.sql");
const WATCH: &str = include_str!("../fixtures/watch.sql");

/// What happened to one relation.
#[derive(Debug, Default)]
struct Truth {
    lost: Option<String>,
    lock: Option<LockMode>,
    rewritten: bool,
}

fn json(cluster: &Cluster, database: &str, sql: &str) -> Value {
    let output = cluster.psql(database, sql);
    serde_json::from_str(output.trim()).unwrap_or_else(|error| panic!("{error}: {output}"))
}

fn catalog(cluster: &Cluster, database: &str) -> Catalog {
    let sql = format!("set search_path to app, public;\n{CATALOG_QUERY};");
    serde_json::from_value(json(cluster, database, &sql)).expect("the query writes a catalog")
}

fn name_of(value: &Value) -> ObjectName {
    ObjectName::qualified(value["schema"].as_str().expect("a schema"), value["name"].as_str().expect("a name"))
}

fn mode(text: &str) -> LockMode {
    match text {
        "AccessShareLock" => LockMode::AccessShare,
        "RowShareLock" => LockMode::RowShare,
        "RowExclusiveLock" => LockMode::RowExclusive,
        "ShareUpdateExclusiveLock" => LockMode::ShareUpdateExclusive,
        "ShareLock" => LockMode::Share,
        "ShareRowExclusiveLock" => LockMode::ShareRowExclusive,
        "ExclusiveLock" => LockMode::Exclusive,
        "AccessExclusiveLock" => LockMode::AccessExclusive,
        other => panic!("lock mode {other}"),
    }
}

/// Whether every value that was there still is.
fn contained(before: &Value, after: &Value) -> bool {
    let mut there: Vec<&Value> = after.as_array().map(|list| list.iter().collect()).unwrap_or_default();
    before.as_array().into_iter().flatten().all(|value| match there.iter().position(|one| *one == value) {
        Some(place) => {
            there.swap_remove(place);
            true
        }
        None => false,
    })
}

/// Runs an entry and says what it did; `Err` is the server's refusal.
fn run(cluster: &Cluster, entry: &str, before: &Value) -> Result<BTreeMap<ObjectName, Truth>, String> {
    let sql = format!(
        "begin;\nset local search_path to app, public;\nselect '@'||to_json(1);\n{entry}\n;\n\
         reset role;\nselect '@locks' || watch.locks();\nset local session_replication_role = replica;\n\
         set local search_path to pg_catalog;\nselect '@state' || watch.state();\nrollback;\n\
         select watch.reset();\n"
    );
    let output = cluster.try_psql("corpus", &sql)?;
    let part = |mark: &str| -> Value {
        let line =
            output.lines().find_map(|line| line.strip_prefix(mark)).unwrap_or_else(|| panic!("{mark}: {output}"));
        serde_json::from_str(line).expect("JSON")
    };
    let (locks, after) = (part("@locks"), part("@state"));
    let mut truth = BTreeMap::new();
    for (oid, old) in before.as_object().expect("by oid") {
        let new = &after[oid];
        let mut one = Truth::default();
        let sequence = old["kind"] == "S";
        if new.is_null() {
            one.lost = Some("the table".to_owned());
        } else {
            for (column, values) in old["columns"].as_object().expect("columns") {
                let now = &new["columns"][column]["values"];
                let kept = match sequence {
                    true => now[0].as_i64() >= values["values"][0].as_i64(),
                    false => contained(&values["values"], now),
                };
                if !kept {
                    one.lost = Some(values["name"].as_str().unwrap_or_default().to_owned());
                }
            }
            one.rewritten = !sequence && old["file"] != new["file"];
        }
        if !matches!(old["kind"].as_str(), Some("r" | "S")) {
            one.lost = None;
        }
        one.lock = locks[oid].as_array().and_then(|modes| modes.iter().filter_map(Value::as_str).map(mode).max());
        truth.insert(name_of(old), one);
    }
    Ok(truth)
}

fn reviewed(entry: &str, catalog: &Catalog) -> ResolvedReview {
    let file = MigrationSql::new("m.sql", entry, Dialect::Driver);
    review_against(&[file], &ReviewOptions { advice: false, ..ReviewOptions::default() }, catalog)
}

fn compare(major: u32) {
    let cluster = Cluster::new(major);
    cluster.create_database("corpus");
    cluster.psql("corpus", SCHEMA);
    cluster.psql("corpus", WATCH);
    let catalog = catalog(&cluster, "corpus");
    let before = json(&cluster, "corpus", "select watch.state();");
    let (mut missed, mut wrong_locks, mut wrong_rewrites, mut refused) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut ran, mut lost, mut exact, mut beyond) = (0, 0, 0, Vec::new());
    for entry in corpus() {
        let review = reviewed(&entry, &catalog);
        let truth = match run(&cluster, &entry, &before) {
            Ok(truth) => truth,
            Err(error) => {
                refused.push(format!("{}: {}", entry.trim(), error.lines().next().unwrap_or_default()));
                continue;
            }
        };
        ran += 1;
        for (name, truth) in truth {
            let table = review.tables.iter().find(|table| table.table == name && table.loss.is_data());
            let said =
                |column: &String| table.is_some_and(|table| table.columns.is_empty() || table.columns.contains(column));
            if let Some(what) = &truth.lost {
                lost += 1;
                if !(review.everything_at_risk || said(what) || table.is_some() && what == "the table") {
                    missed.push(format!("{} lost {what} of {name}", entry.trim()));
                }
            }
            let locks = review.review.findings().flat_map(|(_, finding)| &finding.locks);
            let predicted = locks.filter(|lock| lock.table == name).map(|lock| lock.mode).max();
            let real = truth.lock.filter(|mode| *mode >= LockMode::RowExclusive);
            if real > predicted && !review.everything_at_risk {
                wrong_locks.push(format!("{}: {real:?} on {name}, {predicted:?} was said", entry.trim()));
            } else if real.is_some() && real == predicted {
                exact += 1;
            } else if predicted > truth.lock && predicted >= Some(LockMode::Share) {
                beyond.push(format!("{}: {predicted:?} on {name} was said, {:?} taken", entry.trim(), truth.lock));
            }
            let rewrites = review.review.findings().any(|(_, finding)| {
                finding.rewrite == Rewrite::Yes && finding.locks.iter().any(|lock| lock.table == name)
            });
            if truth.rewritten && !rewrites && !review.everything_at_risk {
                wrong_rewrites.push(format!("{}: {name} was rewritten", entry.trim()));
            }
        }
    }
    // An entry that the server refuses shows nothing; what is said beyond the truth wears the reader out.
    assert!(ran > 375 && lost > 280 && exact > 470, "{ran} ran, {lost} losses, {exact} locks; refused: {refused:#?}");
    assert!(beyond.len() < 4, "{beyond:#?}");
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(wrong_rewrites.is_empty(), "{wrong_rewrites:#?}");
    assert!(wrong_locks.is_empty(), "{wrong_locks:#?}");
}

#[test]
fn nothing_that_is_lost_on_18_is_missed() {
    compare(18);
}

#[test]
fn nothing_that_is_lost_on_14_is_missed() {
    compare(14);
}
