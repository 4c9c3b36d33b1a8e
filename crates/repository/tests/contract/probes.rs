//! Trying a repository out.

use chrono::{TimeDelta, Utc};
use holdpoint_repository::{LocalDirectory, ObjectStore, Probe, ProbeOptions, ProbeOutcome, probe};
use holdpoint_testkit::{ADMIN, Fault, READ_ONLY, S3Server};

use crate::engine::{connect, direct, new_url, options, spoiled, timing};
use crate::suite::keys;

async fn probed(store: &dyn ObjectStore) -> Vec<Probe> {
    let now = store.server_time().await.unwrap();
    probe(store, &ProbeOptions { now, scratch: "doctor/".into(), retain_until: None }).await
}

fn outcome(probes: &[Probe], name: &str) -> (ProbeOutcome, String) {
    let found = probes.iter().find(|p| p.name == name).unwrap_or_else(|| panic!("no probe {name}: {probes:#?}"));
    assert_eq!(found.cure.is_none(), found.outcome == ProbeOutcome::Ok, "{found:?}");
    (found.outcome, found.detail.clone())
}

#[tokio::test]
async fn good_places_pass_and_are_left_clean() {
    let directory = tempfile::tempdir().unwrap();
    let local = LocalDirectory::new(directory.path()).unwrap();
    let s3 = direct(|_| {}).await;
    let stores: [(&dyn ObjectStore, usize); 2] = [(&local, 6), (&*s3, 10)];
    for (store, count) in stores {
        let probes = probed(store).await;
        assert!(probes.iter().all(|p| p.outcome == ProbeOutcome::Ok), "{probes:#?}");
        assert_eq!(probes.len(), count, "{probes:#?}");
        assert_eq!(keys(store, "").await, [""; 0]);
        assert_eq!(store.list_uploads("").await.unwrap(), []);
    }
    assert!(probed(&*s3).await.iter().any(|p| p.name == "checksum" && p.detail.contains("CRC-64/NVME")));
}

#[tokio::test]
async fn a_clock_that_is_off_is_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalDirectory::new(directory.path()).unwrap();
    let now = store.server_time().await.unwrap() + TimeDelta::minutes(5);
    let probes = probe(&store, &ProbeOptions { now, scratch: "doctor/".into(), retain_until: None }).await;
    let (found, detail) = outcome(&probes, "clock");
    assert!(found == ProbeOutcome::Warning && detail.contains("-300") || detail.contains("-299"), "{detail}");
}

#[tokio::test]
async fn missing_rights_are_named() {
    let reader = connect(&new_url(), options(S3Server::shared().endpoint()), &READ_ONLY, timing()).await;
    let probes = probed(&reader).await;
    assert_eq!(outcome(&probes, "write").0, ProbeOutcome::Failure);
    assert_eq!(probes.len(), 2, "without writing nothing else is tried");

    let server = S3Server::shared();
    let name = server.new_bucket();
    server.forbid_delete(&name);
    let url = format!("s3://{name}/pg").parse().unwrap();
    let appender = connect(&url, options(server.endpoint()), &ADMIN, timing()).await;
    let probes = probed(&appender).await;
    let (found, detail) = outcome(&probes, "delete");
    assert_eq!(found, ProbeOutcome::Warning);
    assert!(detail.contains("remain"), "{detail}");
    assert!(probes.iter().all(|p| p.outcome != ProbeOutcome::Failure), "{probes:#?}");
}

#[tokio::test]
async fn a_store_that_needs_equal_parts_is_found_out() {
    let s = spoiled(timing()).await;
    s.proxy.push_for("CompleteMultipartUpload", Fault::s3_error(400, "InvalidPart"));
    let probes = probed(&s.store).await;
    let found = probes.iter().find(|p| p.name == "multipart upload").unwrap();
    assert_eq!(found.outcome, ProbeOutcome::Failure);
    assert_eq!(found.cure.as_deref(), Some("set equal_parts = true"));
    assert_eq!(s.straight.list_uploads("").await.unwrap(), []);
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_found_out() {
    let s = spoiled(timing()).await;
    // The second create-only write is answered as if it had succeeded.
    let taken = Fault::Answer { status: 200, headers: vec![("etag".into(), "\"x\"".into())], body: String::new() };
    for name in ["small", "conditional"] {
        s.proxy.push_when(move |r| r.operation() == "PutObject" && r.target.contains(name), Fault::Pass);
    }
    s.proxy.push_when(|r| r.operation() == "PutObject" && r.target.contains("conditional"), taken);
    let probes = probed(&s.store).await;
    let (found, detail) = outcome(&probes, "conditional writes");
    assert_eq!(found, ProbeOutcome::Warning, "{detail}");
}

#[tokio::test]
async fn a_lock_is_tried_out_where_it_is_configured() {
    let server = S3Server::shared();
    let name = format!("probed-lock-{}", std::process::id());
    server.create_bucket_with_lock(&name);
    let change = |bucket: &str| {
        let mut options = options(server.endpoint());
        options.object_lock_mode = Some(holdpoint_repository::LockMode::Governance);
        options.object_lock_days = Some(1);
        (format!("s3://{bucket}/pg").parse().unwrap(), options)
    };
    #[expect(clippy::disallowed_methods, reason = "a lock ends in the real future")]
    let now = Utc::now();
    let settings = ProbeOptions { now, scratch: "doctor/".into(), retain_until: Some(now + TimeDelta::minutes(1)) };
    let (url, options) = change(&name);
    let locked = connect(&url, options, &ADMIN, timing()).await;
    assert_eq!(outcome(&probe(&locked, &settings).await, "object lock").0, ProbeOutcome::Ok);
    let (url, options) = change(&server.new_bucket());
    let plain = connect(&url, options, &ADMIN, timing()).await;
    assert_eq!(outcome(&probe(&plain, &settings).await, "object lock").0, ProbeOutcome::Failure);
}
