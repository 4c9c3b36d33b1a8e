//! What a real server does with SQL: which values are gone afterwards, which locks were held, which files are new.

use std::collections::BTreeMap;

use holdpoint_review::{
    CATALOG_QUERY, Catalog, Dialect, LockMode, MigrationSql, ObjectName, ResolvedReview, ReviewOptions, Rewrite,
    RiskClass, review_against,
};
use holdpoint_testkit::Cluster;
use serde_json::Value;

const WATCH: &str = include_str!("../fixtures/watch.sql");

/// What happened to one relation.
#[derive(Debug, Default)]
struct Truth {
    /// The columns whose values are gone; `*` for all of it.
    lost: Vec<String>,
    lock: Option<LockMode>,
    rewritten: bool,
}

/// A database that is watched while SQL runs in it.
pub(crate) struct Watched<'a> {
    cluster: &'a Cluster,
    database: &'a str,
    path: &'a str,
}

/// What a database holds before SQL runs.
pub(crate) struct Before {
    /// The catalog.
    pub(crate) catalog: Catalog,
    state: Value,
}

/// How the review and the truth agree, over many entries.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    /// Entries that ran.
    pub(crate) ran: usize,
    /// Relations that lost something.
    pub(crate) lost: usize,
    /// Of those, relations that the review named, and not only everything.
    pub(crate) named: usize,
    /// Locks that were said exactly.
    pub(crate) exact: usize,
    /// Locks that were said and not taken.
    pub(crate) beyond: Vec<String>,
    /// Losses that the review did not say.
    pub(crate) missed: Vec<String>,
    /// Locks that it did not say, or weaker.
    pub(crate) locks: Vec<String>,
    /// Rewrites that it did not say.
    pub(crate) rewrites: Vec<String>,
    /// Entries that lost something, and whose text alone shows no risk to data.
    pub(crate) silent: Vec<String>,
    /// Entries that the server refused.
    pub(crate) refused: Vec<String>,
}

impl<'a> Watched<'a> {
    /// Begins to watch a database, whose names are looked up in `path`.
    pub(crate) fn new(cluster: &'a Cluster, database: &'a str, path: &'a str) -> Self {
        cluster.psql(database, WATCH);
        Self { cluster, database, path }
    }

    fn json(&self, sql: &str) -> Value {
        let output = self.cluster.psql(self.database, sql);
        serde_json::from_str(output.trim()).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    /// Looks at what is there now.
    pub(crate) fn look(&self) -> Before {
        self.cluster.psql(self.database, "select watch.look()");
        let catalog = self.json(&format!("set search_path to {};\n{CATALOG_QUERY};", self.path));
        let catalog = serde_json::from_value(catalog).expect("the query writes a catalog");
        Before { catalog, state: self.json("select watch.state();") }
    }

    /// Puts rows into every table that is empty, as far as its constraints let it.
    pub(crate) fn fill(&self) {
        self.cluster.psql(self.database, "select watch.fill()");
    }

    /// Runs an entry, kept or rolled back, and compares what it did with what the review says.
    pub(crate) fn compare(&self, name: &str, sql: &str, before: &Before, keep: bool, agreement: &mut Agreement) {
        let review = reviewed(sql, &before.catalog);
        match self.run(sql, before, keep) {
            Ok(truth) => {
                let file = MigrationSql::new("m.sql", sql, Dialect::Driver);
                let options = ReviewOptions { advice: false, ..ReviewOptions::default() };
                let risks = holdpoint_review::review(&[file], &options).risks();
                if truth.values().any(|one| !one.lost.is_empty())
                    && !risks.iter().any(|risk| *risk <= RiskClass::ChangesData)
                {
                    agreement.silent.push(name.to_owned());
                }
                agreement.add(name, &review, truth);
            }
            Err(error) => {
                let error = error.lines().find(|line| line.contains("ERROR")).unwrap_or(&error).to_owned();
                agreement.refused.push(format!("{name}: {error}"));
            }
        }
    }

    /// Runs an entry and says what it did; `Err` is the server's refusal.
    fn run(&self, sql: &str, before: &Before, keep: bool) -> Result<BTreeMap<ObjectName, Truth>, String> {
        let (path, end) = (self.path, if keep { "commit" } else { "rollback" });
        let reset = if keep { "" } else { "select watch.reset();" };
        let sql = format!(
            "begin;\nset local search_path to {path};\n{sql}\n;\n\
             reset role;\nselect '@locks' || watch.locks();\nset local session_replication_role = replica;\n\
             set local search_path to pg_catalog;\nselect '@state' || watch.state();\n{end};\n{reset}\n"
        );
        let output = self.cluster.try_psql(self.database, &sql)?;
        let part = |mark: &str| -> Value {
            let line =
                output.lines().find_map(|line| line.strip_prefix(mark)).unwrap_or_else(|| panic!("{mark}: {output}"));
            serde_json::from_str(line).expect("JSON")
        };
        let (locks, after) = (part("@locks"), part("@state"));
        let relations = before.state.as_object().expect("by oid");
        Ok(relations.iter().map(|(oid, old)| (name_of(old), truth(old, &after[oid], &locks[oid]))).collect())
    }
}

fn truth(old: &Value, new: &Value, locks: &Value) -> Truth {
    let kind = old["kind"].as_str().expect("a kind");
    let mut one = Truth {
        lock: locks.as_array().and_then(|modes| modes.iter().filter_map(Value::as_str).map(mode).max()),
        ..Truth::default()
    };
    if !matches!(kind, "r" | "S") {
        one.rewritten = !new.is_null() && old["file"] != new["file"];
        return one;
    }
    if new.is_null() {
        one.lost.push("*".to_owned());
        return one;
    }
    one.rewritten = kind != "S" && old["file"] != new["file"];
    for (column, values) in old["columns"].as_object().expect("columns") {
        let now = &new["columns"][column]["values"];
        let kept = match kind {
            "S" => now[0].as_i64() >= values["values"][0].as_i64(),
            _ => contained(&values["values"], now),
        };
        if !kept {
            one.lost.push(values["name"].as_str().expect("a name").to_owned());
        }
    }
    one
}

impl Agreement {
    fn add(&mut self, entry: &str, review: &ResolvedReview, truth: BTreeMap<ObjectName, Truth>) {
        self.ran += 1;
        let everything = review.everything_at_risk;
        for (name, truth) in truth {
            let table = review.tables.iter().find(|table| table.table == name && table.loss.is_data());
            let said = |column: &String| {
                table.is_some_and(|table| table.columns.is_empty() || column == "*" || table.columns.contains(column))
            };
            self.lost += usize::from(!truth.lost.is_empty());
            self.named += usize::from(!truth.lost.is_empty() && !everything);
            if !everything {
                let missed = truth.lost.iter().filter(|column| !said(column));
                self.missed.extend(missed.map(|column| format!("{entry} lost {column} of {name}")));
            }
            let locks = review.review.findings().flat_map(|(_, finding)| &finding.locks);
            let predicted = locks.filter(|lock| lock.table == name).map(|lock| lock.mode).max();
            let real = truth.lock.filter(|mode| *mode >= LockMode::RowExclusive);
            if real > predicted && !everything {
                self.locks.push(format!("{entry}: {real:?} on {name}, {predicted:?} was said"));
            } else if real.is_some() && real == predicted {
                self.exact += 1;
            } else if predicted > truth.lock && predicted >= Some(LockMode::Share) {
                self.beyond.push(format!("{entry}: {predicted:?} on {name} was said, {:?} taken", truth.lock));
            }
            let rewrites = review.review.findings().any(|(_, finding)| {
                finding.rewrite == Rewrite::Yes && finding.locks.iter().any(|lock| lock.table == name)
            });
            if truth.rewritten && !rewrites && !everything {
                self.rewrites.push(format!("{entry}: {name} was rewritten"));
            }
        }
    }

    /// Nothing that happened was left out.
    pub(crate) fn assert_nothing_is_missed(&self) {
        assert!(self.missed.is_empty(), "{:#?}", self.missed);
        assert!(self.rewrites.is_empty(), "{:#?}", self.rewrites);
        assert!(self.locks.is_empty(), "{:#?}", self.locks);
    }
}

fn reviewed(sql: &str, catalog: &Catalog) -> ResolvedReview {
    let file = MigrationSql::new("m.sql", sql, Dialect::Driver);
    review_against(&[file], &ReviewOptions { advice: false, ..ReviewOptions::default() }, catalog)
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
