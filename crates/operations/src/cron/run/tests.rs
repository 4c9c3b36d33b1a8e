//! Runs against a lease that is written by hand, a store that fails, and a server where nobody listens.

mod killed;
mod proofs;
mod remembered;
mod renewal;
mod taken;

use std::sync::Arc;

use chrono::TimeDelta;
use holdpoint_archive::Codec;
use holdpoint_core::cron::{Turn, Unrecorded};
use holdpoint_core::manifest::PointFormat;
use holdpoint_core::{Mask, Secret};
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::connection::Environment;
use holdpoint_postgres::programs::{DumpSelection, ProgramSearch};
use holdpoint_repository::{LocalDirectory, Repository};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::backup::{BackupLimits, BackupOptions};
use crate::cron::{Telling, metrics, unrecorded};
use crate::sample_context;
use crate::webhook::Delivery;

fn turn_at(id: &str, began_at: DateTime<Utc>) -> Turn {
    Turn { id: id.to_owned(), began_at }
}

/// A turn that begins now, with an id that no other one has.
fn new_turn() -> Turn {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    turn_at(&format!("t{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)), sample_context::now())
}

async fn lease(folder: &std::path::Path) -> Box<Lease> {
    let at = "2026-11-21T02:43:00Z".parse().unwrap();
    let store = Arc::new(LocalDirectory::new(folder).unwrap());
    let repository = Repository::init(store, at).await.unwrap().0;
    match repository.take_lease(&"shop".parse().unwrap(), "a", &turn_at("a", at), HOLDS_FOR).await.unwrap() {
        LeaseTaken::Ours(lease) => lease,
        other => panic!("{other:?}"),
    }
}

/// Writes the lease by hand, as it was an hour ago; gives what it holds.
fn write(lease: &std::path::Path, change: impl FnOnce(&mut serde_json::Value)) -> serde_json::Value {
    let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(lease).unwrap()).unwrap();
    change(&mut record);
    std::fs::remove_file(lease).unwrap();
    std::fs::write(lease, record.to_string()).unwrap();
    let file = std::fs::File::open(lease).unwrap();
    let long_ago = file.metadata().unwrap().modified().unwrap() - Duration::from_secs(3600);
    file.set_modified(long_ago).unwrap();
    record
}

/// Leaves the lease as a run does that was killed long ago; gives its turn.
fn killed(lease: &std::path::Path) -> Turn {
    let record = write(lease, |record| record["holds_for_seconds"] = 1.into());
    turn_at(record["nonce"].as_str().unwrap(), record["taken_at"].as_str().unwrap().parse().unwrap())
}

/// A source where nobody listens, and no more than a webhook.
fn nowhere(webhook: Option<String>) -> (Source, CronOptions) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgresql://nobody@127.0.0.1:{port}/shop");
    let settings = ConnectionSettings::resolve(&url, &Environment::default()).unwrap();
    let source = Source { settings, programs: ProgramSearch::default(), client_major: None };
    let webhook = webhook.map(|to| Delivery {
        to: Secret::new(to),
        secret: None,
        clock: Arc::new(sample_context::now),
        seed: 7,
        cancel: CancellationToken::new(),
    });
    let backup = BackupOptions {
        format: PointFormat::Archive,
        codec: Codec::None,
        jobs: 1,
        limits: BackupLimits::default(),
        parallel_from_bytes: 0,
        selection: DumpSelection::default(),
        lock_wait_seconds: 1,
        retain_until: None,
        reason: None,
        label: None,
        run: None,
    };
    let options = CronOptions {
        backup,
        verify: None,
        verify_every: TimeDelta::zero(),
        retention: None,
        sweep_min_age: TimeDelta::days(3),
        check: None,
        check_every: TimeDelta::zero(),
        deadline: None,
        single_writer: false,
        turn: new_turn(),
        begins: Arc::default(),
        unrecorded: Unrecorded::default(),
        telling: Telling { owner: "b".to_owned(), webhook, mask: Mask::new(Vec::<Secret>::new()) },
    };
    (source, options)
}

/// What the file of metrics says after these runs, each of which ended as told.
fn left_in_the_file(reports: &[CronReport]) -> Unrecorded {
    let file = reports.iter().fold(String::new(), |file, report| metrics(std::slice::from_ref(report), &file));
    unrecorded(&file, &"shop".parse().unwrap())
}

async fn hear_one(listener: &tokio::net::TcpListener) -> serde_json::Value {
    answer_one(listener, "200 OK").await
}

async fn answer_one(listener: &tokio::net::TcpListener, status: &str) -> serde_json::Value {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut text = Vec::new();
    let message = loop {
        assert!(stream.read_buf(&mut text).await.unwrap() > 0);
        let body = text.windows(4).position(|four| four == b"\r\n\r\n").map(|at| &text[at + 4..]);
        if let Some(message) = body.and_then(|body| serde_json::from_slice(body).ok()) {
            break message;
        }
    };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    message
}

/// Hears everything that is said while something runs.
async fn hearing<T>(listener: tokio::net::TcpListener, work: impl Future<Output = T>) -> (T, Vec<serde_json::Value>) {
    let (mut heard, mut work) = (Vec::new(), pin!(work));
    loop {
        tokio::select! {
            done = &mut work => return (done, heard),
            message = hear_one(&listener) => heard.push(message),
        }
    }
}
