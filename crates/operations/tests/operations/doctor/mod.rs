//! Doctor on what is healthy, and on every ill that can be made.

mod database;
mod repository;
mod scratch;

use std::sync::Arc;

use holdpoint_operations::doctor::{Check, DoctorReport, Outcome, Subject, doctor};
use holdpoint_operations::{Context, Source};
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::connection::Environment;
use holdpoint_postgres::scratch::{GivenOptions, ScratchOptions};
use holdpoint_repository::ObjectStore;
use holdpoint_testkit::Cluster;

use crate::support;

/// The scratch server of all tests that are not about it.
fn given() -> ScratchOptions {
    let settings = support::settings(Cluster::shared(18), "postgres");
    ScratchOptions::Url(Box::new(GivenOptions { settings }))
}

fn source_at(cluster: &Cluster, url: &str) -> Source {
    let settings = ConnectionSettings::resolve(url, &Environment::default()).unwrap();
    Source { settings, programs: support::programs(cluster), client_major: None }
}

fn subject(context: &Context, store: Arc<dyn ObjectStore>, source: Source, scratch: ScratchOptions) -> Subject {
    Subject {
        database: context.database.clone(),
        store,
        source,
        scratch,
        retain_until: None,
        progress: Arc::clone(&context.progress),
        cancel: context.cancel.clone(),
        clock: Arc::clone(&context.clock),
    }
}

async fn examined(context: &Context, source: &Source) -> DoctorReport {
    doctor(context, source, &given()).await
}

/// The one check of a name with an outcome.
#[track_caller]
fn the<'a>(report: &'a DoctorReport, section: &str, name: &str, outcome: Outcome) -> &'a Check {
    let fits = |check: &&Check| check.section == section && check.name == name && check.outcome == outcome;
    report.checks.iter().find(fits).unwrap_or_else(|| panic!("no {outcome:?} of {section} {name}:\n{}", text(report)))
}

fn text(report: &DoctorReport) -> String {
    let line = |check: &Check| {
        format!("{:?} {} {}: {} [{}]", check.outcome, check.section, check.name, check.detail, check.cure)
    };
    report.checks.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What failed, as section and name; each with a cure.
#[track_caller]
fn failures(report: &DoctorReport) -> Vec<(&'static str, &str)> {
    for check in &report.checks {
        let wanted = check.outcome != Outcome::Ok;
        assert_eq!(!check.cure.is_empty(), wanted, "a cure where there is an ill, and only there: {check:?}");
        assert!(!check.detail.is_empty(), "{check:?}");
    }
    let failed = report.checks.iter().filter(|check| check.outcome == Outcome::Failure);
    failed.map(|check| (check.section, check.name.as_str())).collect()
}

#[track_caller]
fn assert_healthy(report: &DoctorReport) {
    assert_eq!(report.worst(), Outcome::Ok, "{}", text(report));
    assert_eq!(failures(report), []);
}
