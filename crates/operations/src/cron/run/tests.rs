use std::sync::Arc;

use chrono::TimeDelta;
use holdpoint_archive::Codec;
use holdpoint_core::cron::{LeftLease, StepEnd, Turn, Unrecorded};
use holdpoint_core::manifest::PointFormat;
use holdpoint_core::{Mask, Secret, layout};
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::connection::Environment;
use holdpoint_postgres::programs::{DumpSelection, ProgramSearch};
use holdpoint_repository::{LocalDirectory, Repository};
use holdpoint_testkit::{Fault, Rule, SeenRequest};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::backup::{BackupLimits, BackupOptions};
use crate::cron::remembered::{released, unwritten};
use crate::cron::{Telling, metrics, unrecorded};
use crate::sample_context::{self, ATTEMPTS, sample};
use crate::webhook::Delivery;

const SOON: RenewalPace = RenewalPace {
    every: Duration::from_millis(20),
    again_after: Duration::from_millis(20),
    lost_after: Duration::from_millis(200),
};

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

#[test]
fn a_lease_is_renewed_and_given_up_long_before_it_ends() {
    assert!(PACE.every * 2 < PACE.lost_after && PACE.lost_after + Duration::from_secs(60) < HOLDS_FOR);
}

#[tokio::test]
async fn a_lease_that_another_took_or_that_cannot_be_renewed_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut ours = lease(folder.path()).await;
    let path = folder.path().join("shop/lease");
    let written = |path: &std::path::Path| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let mut others = written(&path);
    others["nonce"] = "another".into();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, others.to_string()).unwrap();
    lost(&mut ours, Instant::now(), SOON).await;
    assert_eq!(written(&path), others, "nothing is taken back");

    let folder = tempfile::tempdir().unwrap();
    let mut ours = lease(folder.path()).await;
    let path = folder.path().join("shop/lease");
    let renewed = async {
        while written(&path)["written"] != 3 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = lost(&mut ours, Instant::now(), RenewalPace { lost_after: Duration::from_secs(60), ..SOON }) => {
            panic!("it is renewed")
        }
        () = renewed => {}
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "unreadable").unwrap();
    lost(&mut ours, Instant::now(), SOON).await;
}

/// Others may take it when its time is over, whether the store has answered by then or not.
#[tokio::test]
async fn a_lease_whose_store_does_not_answer_is_lost_in_time() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    let turn = turn_at("a", sample_context::now());
    let LeaseTaken::Ours(mut ours) =
        context.repository.take_lease(&context.database, "a", &turn, HOLDS_FOR).await.unwrap()
    else {
        panic!("it is free")
    };
    proxy.rule(Rule::new(Fault::Silence).target("/lease").always());
    let began = Instant::now();
    let pace = RenewalPace { lost_after: Duration::from_secs(5), ..SOON };
    timeout(Duration::from_secs(120), lost(&mut ours, began, pace)).await.expect("it waits for the store");
    assert!(began.elapsed() >= pace.lost_after && proxy.met() > 0);

    // The time in which it was taken counts: it may stand since the first moment of it.
    let folder = tempfile::tempdir().unwrap();
    let mut ours = lease(folder.path()).await;
    timeout(Duration::from_secs(120), lost(&mut ours, Instant::now() - SOON.lost_after, SOON))
        .await
        .expect("it is over");
}

#[tokio::test]
async fn a_lease_whose_release_fails_for_a_while_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let mut ours = lease(folder.path()).await;
    let path = folder.path().join("shop/lease");
    let whole = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "unreadable").unwrap();
    let history = CronHistory { failures: [("postgres".to_owned(), 1)].into(), ..CronHistory::default() };
    let pauses = [Duration::from_millis(1); 3];
    released(&mut ours, &history, &pauses).await.unwrap_err();
    let back = async {
        sleep(Duration::from_millis(20)).await;
        std::fs::write(&path, &whole).unwrap();
    };
    let pauses = vec![Duration::from_millis(10); 6000];
    let (released, ()) = tokio::join!(released(&mut ours, &history, &pauses), back);
    assert!(released.unwrap());
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((&written["holds_for_seconds"], &written["history"]["failures"]["postgres"]), (&0.into(), &1.into()));
}

/// Answers two messages with 200, and gives the bodies that came, each with what the lease said by then.
async fn hear(listener: tokio::net::TcpListener, lease: &std::path::Path) -> Vec<[serde_json::Value; 2]> {
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let message = hear_one(&listener).await;
        heard.push([message, serde_json::from_slice(&std::fs::read(lease).unwrap()).unwrap()]);
    }
    heard
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

/// A repository whose lease a killed run left, and who hears what the next one tells.
struct AfterAKill {
    folder: tempfile::TempDir,
    path: std::path::PathBuf,
    context: Context,
    listener: tokio::net::TcpListener,
    source: Source,
    options: CronOptions,
}

async fn after_a_kill() -> AfterAKill {
    let folder = tempfile::tempdir().unwrap();
    drop(lease(folder.path()).await);
    let path = folder.path().join("shop/lease");
    killed(&path);
    let context = sample_context::in_directory(folder.path()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (source, options) = nowhere(Some(format!("http://{}/hook", listener.local_addr().unwrap())));
    AfterAKill { folder, path, context, listener, source, options }
}

#[tokio::test]
async fn a_killed_run_is_counted_and_told_before_the_next_one_does_anything() {
    let AfterAKill { folder: _folder, path, context, listener, source, options } = after_a_kill().await;
    let (report, heard) = tokio::join!(Box::pin(cron(&context, &source, &options)), hear(listener, &path));
    assert_eq!(report.failure.as_ref().unwrap().kind, ErrorKind::Postgres, "{report:?}");
    let [[first, lease], [second, _]] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((&first["event"], &first["failure"]["kind"]), (&"failed".into(), &"killed".into()), "{first}");
    assert!(first["text"].as_str().unwrap().contains("2026-11-21T02:43:00Z was killed"), "{first}");
    assert_eq!(lease["history"]["failures"], serde_json::json!({"killed": 1}), "it would outlive another kill");
    assert!(lease["holds_for_seconds"].as_u64().unwrap() > 0);
    assert_eq!(second["failure"]["kind"], "postgres", "{second}");
    let failures = report.history.unwrap().failures;
    assert_eq!(failures, [("killed".to_owned(), 1), ("postgres".to_owned(), 1)].into());
}

/// What the file of metrics says after these runs, each of which ended as told.
fn left_in_the_file(reports: &[CronReport]) -> Unrecorded {
    let file = reports.iter().fold(String::new(), |file, report| metrics(std::slice::from_ref(report), &file));
    unrecorded(&file, &"shop".parse().unwrap())
}

/// A run that failed as the repository did not answer.
fn unanswered(turn: &Turn, left: Option<LeaseLeft>) -> CronReport {
    let failure = Failed { kind: ErrorKind::Repository, message: String::new(), hint: None };
    let mut report = CronReport::refused("shop".parse().unwrap(), turn, failure);
    report.history = left.as_ref().and_then(|left| left.unwritten.clone()).map(|failures| CronHistory {
        failures,
        failing_since: Some(turn.began_at),
        ..CronHistory::default()
    });
    (report.left, report.events) = (left, vec![CronEvent::Failed]);
    report
}

#[tokio::test]
async fn through_an_outage_of_many_runs_each_failure_is_counted_and_told_once() {
    let folder = tempfile::tempdir().unwrap();
    drop(lease(folder.path()).await);
    let path = folder.path().join("shop/lease");
    let context = sample_context::in_directory(folder.path()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}/hook", listener.local_addr().unwrap());
    // The first could not give its lease back; or was given up, or broke off; others came too early for the repository.
    let first = killed(&path);
    for unwritten in [None, Some([("repository".to_owned(), 1)].into())] {
        let left = LeaseLeft { turn: first.id.clone(), unwritten };
        let nights = [unanswered(&first, Some(left)), unanswered(&new_turn(), None), unanswered(&new_turn(), None)];
        let (source, mut options) = nowhere(None);
        options.unrecorded = left_in_the_file(&nights);
        assert_eq!(options.unrecorded.since.unwrap().timestamp(), first.began_at.timestamp());
        write(&path, |record| (record["nonce"], record["history"]) = (first.id.as_str().into(), serde_json::json!({})));
        killed(&path);
        let report = Box::pin(cron(&context, &source, &options)).await;
        let failures = report.history.unwrap().failures;
        assert_eq!(failures, [("postgres".to_owned(), 1), ("repository".to_owned(), 3)].into(), "none was killed");
    }
    // Written down all the same, where only the answer was lost.
    let left = Some(LeaseLeft { turn: first.id.clone(), unwritten: None });
    let (source, mut options) = nowhere(None);
    options.unrecorded = left_in_the_file(&[unanswered(&first, left), unanswered(&new_turn(), None)]);
    write(&path, |record| {
        (record["nonce"], record["holds_for_seconds"]) = (first.id.as_str().into(), 0.into());
        record["history"] = serde_json::json!({"failures": {"repository": 1}});
    });
    let report = Box::pin(cron(&context, &source, &options)).await;
    assert_eq!(report.history.unwrap().failures["repository"], 2);
    // Another one that was killed since is told, however many said how they ended.
    killed(&path);
    let (source, options) = nowhere(Some(hook));
    let options = CronOptions {
        unrecorded: Unrecorded {
            left: Some(LeftLease { turn: first.id, ..LeftLease::default() }),
            ..Unrecorded::default()
        },
        ..options
    };
    let (report, heard) = tokio::join!(Box::pin(cron(&context, &source, &options)), hear(listener, &path));
    assert_eq!(heard[0][0]["failure"]["kind"], "killed", "{heard:?}");
    assert_eq!(report.history.unwrap().failures["killed"], 1);
}

#[tokio::test]
async fn what_a_run_could_not_write_down_is_what_the_repository_does_not_count() {
    let counts = |counts: &[(&str, u64)]| CronHistory {
        failures: counts.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
        ..CronHistory::default()
    };
    let more =
        unwritten(&counts(&[("killed", 1), ("postgres", 3), ("usage", 2)]), &counts(&[("postgres", 2), ("usage", 2)]));
    assert_eq!(more, [("killed".to_owned(), 1), ("postgres".to_owned(), 1)].into());
}

/// The lease of which the answer to its write is lost may stand: it is that run's, and no killed one's.
#[tokio::test]
async fn a_run_that_does_not_know_whether_it_has_the_lease_says_so() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    let writes = |request: &SeenRequest| request.operation() == "PutObject" && request.target.contains("/lease");
    let looks = |request: &SeenRequest| request.operation() == "HeadObject" && request.target.contains("/lease");
    proxy.push_when(writes, Fault::LoseResponse);
    (1..ATTEMPTS).for_each(|_| proxy.push_when(writes, Fault::s3_error(503, "SlowDown")));
    (0..ATTEMPTS).for_each(|_| proxy.push_when(looks, Fault::s3_error(503, "SlowDown")));
    let (source, options) = nowhere(None);
    let report = Box::pin(cron(&context, &source, &options)).await;
    assert_eq!((proxy.pending(), report.failure.as_ref().unwrap().kind), (0, ErrorKind::Repository), "{report:?}");
    let left = report.left.as_ref().unwrap();
    assert_eq!((&left.turn, report.events.as_slice()), (&options.turn.id, &[CronEvent::Failed][..]));
    let written = context.repository.store().get_small(&layout::lease(&context.database), 10_000).await.unwrap();
    let written: serde_json::Value = serde_json::from_slice(&written.bytes).unwrap();
    assert_eq!(written["nonce"], options.turn.id.as_str(), "it was written");
    // One that never got so far leaves none.
    let reads = |request: &SeenRequest| request.operation() == "GetObject" && request.target.contains("/lease");
    // It is asked for once more, as a list shows that it is there.
    (0..2).for_each(|_| proxy.push_when(reads, Fault::s3_error(403, "AccessDenied")));
    let (source, options) = nowhere(None);
    let report = Box::pin(cron(&context, &source, &options)).await;
    assert_eq!((proxy.pending(), report.failure.as_ref().unwrap().kind), (0, ErrorKind::Repository), "{report:?}");
    assert!(report.left.is_none(), "{report:?}");
}

#[tokio::test]
async fn a_run_that_another_has_overtaken_begins_nothing_and_leaves_the_kill_to_it() {
    let AfterAKill { folder: _folder, path, context, listener, source, options } = after_a_kill().await;
    let Ok(mut ours) = take(&context, &options).await else { panic!("it is free") };
    assert!(!ours.before().unwrap().ended, "it finds the kill");
    let others = write(&path, |record| record["nonce"] = "another".into());
    let (mut report, heard) =
        hearing(listener, with_lease(&context, &source, &options, &mut ours, Instant::now())).await;
    assert_eq!(heard, [serde_json::Value::Null; 0], "whoever has the lease tells of the kill");
    assert_eq!(report.failure.as_ref().unwrap(), &Failed::of_step(&Error::LeaseLost, false));
    let ends: Vec<StepEnd> = report.steps.iter().map(|one| one.end).collect();
    assert_eq!(ends, [StepEnd::Failed, StepEnd::NotRun, StepEnd::NotRun, StepEnd::NotRun]);
    assert!(report.steps[0].facts.is_none() && !report.recorded && report.events.contains(&CronEvent::Failed));
    assert_eq!(report.steps.swap_remove(0).failure.unwrap().kind, ErrorKind::CouldNotRun, "the server was not asked");
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(written, others, "and nothing is taken back");
}

#[tokio::test]
async fn a_run_that_is_refused_tells_of_the_kill_before_it() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    let began_at = sample_context::now();
    let repository = &context.repository;
    let second = Duration::from_secs(1);
    let taken = repository.take_lease(&context.database, "k", &turn_at("killed", began_at), second).await.unwrap();
    assert!(matches!(taken, LeaseTaken::Ours(_)), "{taken:?}");
    // A store that takes every write: the one that must be refused is answered as if it had been done.
    let creates = |request: &SeenRequest| {
        request.operation() == "PutObject"
            && request.header("if-none-match").is_some()
            && request.target.contains("/lease")
    };
    proxy.push_when(creates, Fault::answer(200, ""));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}/hook", listener.local_addr().unwrap());
    let runs = async {
        loop {
            let (source, options) = nowhere(Some(hook.clone()));
            let report = Box::pin(cron(&context, &source, &options)).await;
            if report.failure.as_ref().is_some_and(|failure| failure.kind != ErrorKind::Busy) {
                break report;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let (report, heard) = hearing(listener, runs).await;
    assert_eq!((report.failure.as_ref().unwrap().kind, proxy.pending()), (ErrorKind::Refused, 0), "{report:?}");
    assert!(report.steps.is_empty() && report.left.is_none());
    let kinds: Vec<_> = heard.iter().map(|one| one["failure"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["killed", ErrorKind::Refused.word()], "{heard:?}");
    let written = repository.store().get_small(&layout::lease(&context.database), 10_000).await.unwrap();
    let written: serde_json::Value = serde_json::from_slice(&written.bytes).unwrap();
    assert_eq!(written["holds_for_seconds"], 0);
    assert_eq!(written["history"]["failures"], serde_json::json!({"killed": 1}), "it is counted once");
}

#[tokio::test]
async fn a_run_whose_store_cannot_be_asked_for_conditions_leaves_the_lease_free() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    // Taking the lease where there is none asks for a create-only write, and so does the proof.
    let creates = |request: &SeenRequest| {
        request.operation() == "PutObject"
            && request.header("if-none-match").is_some()
            && request.target.contains("/lease")
    };
    proxy.push_when(creates, Fault::Pass);
    proxy.push_when(creates, Fault::s3_error(403, "AccessDenied"));
    let (source, options) = nowhere(None);
    let report = Box::pin(cron(&context, &source, &options)).await;
    assert_eq!(report.failure.as_ref().unwrap().kind, ErrorKind::Repository, "{report:?}");
    assert!(report.steps.is_empty());
    assert_eq!(proxy.pending(), 0);
    let written = context.repository.store().get_small(&layout::lease(&context.database), 10_000).await.unwrap();
    let written: serde_json::Value = serde_json::from_slice(&written.bytes).unwrap();
    assert_eq!(written["holds_for_seconds"], 0);
}

#[tokio::test]
async fn a_proof_is_found_and_nothing_is_asked_once_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let context = sample_context::with_a_point(Arc::new(LocalDirectory::new(folder.path()).unwrap())).await;
    assert!(!proven(&context).await);
    let id = sample::point(1);
    let sha256 = context.repository.manifest(&context.database, &id).await.unwrap().sha256;
    let mut made = sample::proof(&id);
    made["manifest_sha256"] = sha256.into();
    let made = serde_json::from_value(made).unwrap();
    context.repository.record_verification(&context.database, &made).await.unwrap();
    assert!(proven(&context).await);
    context.cancel.cancel();
    assert!(!proven(&context).await);
}

#[tokio::test]
async fn a_signal_in_the_last_look_is_told() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    sample_context::publish(&context.repository).await;
    let (cancel, read) = (context.cancel.clone(), std::sync::atomic::AtomicUsize::new(0));
    // Read first to see whether it is proven, and then to tell what the repository holds.
    let rule = Rule::new(Fault::Silence).operation("GetObject").target("manifest.json").when(move |_| {
        let second = read.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1;
        if second {
            cancel.cancel();
        }
        second
    });
    proxy.rule(rule);
    let (source, options) = nowhere(None);
    let report = cron(&context, &source, &options).await;
    assert_eq!((proxy.pending(), report.steps[0].end), (0, StepEnd::Failed), "{report:?}");
    let told = report.warnings.join(" ");
    assert!(report.outlook.is_none() && told.contains("what the repository holds could not be read"), "{report:?}");
    // The run ends as its steps did.
    assert_eq!(report.failure, report.steps[0].failure);
    assert_ne!(report.failure.unwrap().kind, ErrorKind::Interrupted);
}

#[tokio::test]
async fn a_damaged_lease_is_told_and_taken_over_when_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let context = sample_context::in_directory(folder.path()).await;
    std::fs::create_dir(folder.path().join("shop")).unwrap();
    let path = folder.path().join("shop/lease");
    std::fs::write(&path, "{").unwrap();
    let (source, options) = nowhere(None);
    let report = Box::pin(cron(&context, &source, &options)).await;
    let failure = report.failure.as_ref().unwrap();
    assert_eq!((failure.kind, report.events.as_slice()), (ErrorKind::Repository, &[CronEvent::Failed][..]));
    assert!(failure.hint.as_ref().unwrap().contains("a quarter of an hour old"), "{failure:?}");
    let file = std::fs::File::open(&path).unwrap();
    file.set_modified(file.metadata().unwrap().modified().unwrap() - HOLDS_FOR).unwrap();
    let (source, options) = nowhere(None);
    let report = Box::pin(cron(&context, &source, &options)).await;
    assert_eq!(report.failure.as_ref().unwrap().kind, ErrorKind::Postgres, "it was at work: {report:?}");
    assert!(report.warnings.iter().any(|one| one.contains("could not be read, and was taken over")), "{report:?}");
    assert!(report.recorded);
}

/// Taken over in the middle by another machine: counted once, and told once, whoever does.
#[tokio::test]
async fn a_run_that_is_overtaken_in_the_middle_is_counted_and_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let context = sample_context::in_directory(folder.path()).await;
    let path = folder.path().join("shop/lease");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}/hook", listener.local_addr().unwrap());
    let (source, options) = nowhere(Some(hook.clone()));
    let Ok(mut first) = take(&context, &options).await else { panic!("it is free") };
    // It stood still for an hour.
    write(&path, |_| {});
    let (_, second) = nowhere(Some(hook));
    let both = async {
        let overtaker = Box::pin(cron(&context, &source, &second)).await;
        (overtaker, with_lease(&context, &source, &options, &mut first, Instant::now()).await)
    };
    let ((overtaker, overtaken), heard) = hearing(listener, both).await;
    let kinds: Vec<_> = heard.iter().map(|one| one["failure"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["killed", "postgres"], "both by the second: {heard:?}");
    let counted = [("killed".to_owned(), 1), ("postgres".to_owned(), 1)].into();
    assert_eq!(overtaker.history.as_ref().unwrap().failures, counted);
    assert!(overtaken.failure.is_some() && overtaken.events.is_empty() && overtaken.left.is_none(), "{overtaken:?}");
    assert!(overtaken.warnings.iter().any(|one| one.contains("counts this one as killed")), "{overtaken:?}");
    // What its machine remembers adds nothing.
    let (source, mut third) = nowhere(None);
    third.unrecorded = left_in_the_file(std::slice::from_ref(&overtaken));
    assert_eq!(third.unrecorded.failures, [].into());
    let report = Box::pin(cron(&context, &source, &third)).await;
    assert_eq!(report.history.unwrap().failures["killed"], 1);
}

/// The lease was removed by hand, and made anew: nobody else counts the run.
#[tokio::test]
async fn a_run_whose_lease_is_gone_failed_and_says_so_itself() {
    let folder = tempfile::tempdir().unwrap();
    let context = sample_context::in_directory(folder.path()).await;
    let (_, options) = nowhere(None);
    let Ok(mut lease) = take(&context, &options).await else { panic!("it is free") };
    std::fs::remove_file(folder.path().join("shop/lease")).unwrap();
    let mut report = CronReport::new(context.database.clone(), &options.turn);
    remember(&context, &options, &mut lease, CronHistory::default(), false, &mut report).await;
    assert_eq!(report.failure.as_ref().unwrap(), &Failed::of_step(&Error::LeaseLost, false), "although no step failed");
    let history = report.history.as_ref().unwrap();
    assert_eq!((report.events.as_slice(), history.succeeded_at), (&[CronEvent::Failed][..], None));
    assert_eq!(left_in_the_file(std::slice::from_ref(&report)).left.unwrap().failures["could_not_run"], 1);
}

/// What lost an object since it was proven is proven for nobody who asks whether another proof is due.
#[tokio::test]
async fn a_proof_of_what_is_not_all_there_any_more_is_none() {
    use holdpoint_core::verification::Level;
    let folder = tempfile::tempdir().unwrap();
    let context = sample_context::with_a_point(Arc::new(LocalDirectory::new(folder.path()).unwrap())).await;
    let id = sample::point(1);
    sample_context::date(folder.path(), &id);
    let mut made = sample::proof(&id);
    made["manifest_sha256"] = context.repository.manifest(&context.database, &id).await.unwrap().sha256.into();
    let made = serde_json::from_value(made).unwrap();
    context.repository.record_verification(&context.database, &made).await.unwrap();
    let ((source, options), history) = (nowhere(None), CronHistory::default());
    let steps = Steps::new(&context, &source, &options, &history);
    assert_eq!(steps.proven_at(Level::Full).await.unwrap(), Some(made.started_at));
    let found = outlook(&context, None).await.unwrap();
    assert_eq!((found.proofs.len(), &found.proofs[0].point), (1, &id));
    context.repository.store().delete(&layout::archive(&context.database, &id)).await.unwrap();
    assert_eq!(steps.proven_at(Level::Stored).await.unwrap(), None);
    assert_eq!(outlook(&context, None).await.unwrap().proofs, []);
}

/// A first proof that the webhook did not take is told by the next run, whatever becomes of that, and once.
#[tokio::test]
async fn what_nobody_took_is_told_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    drop(lease(folder.path()).await);
    let path = folder.path().join("shop/lease");
    write(&path, |record| {
        record["holds_for_seconds"] = 0.into();
        record["history"] = serde_json::json!({"first_proven_at": "2026-11-20T02:43:00Z", "untold": ["first_proof"]});
    });
    let context = sample_context::in_directory(folder.path()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}/hook", listener.local_addr().unwrap());
    let untold = || {
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        record["history"]["untold"].clone()
    };
    for (status, left) in [("400 x", serde_json::json!(["first_proof"])), ("200 OK", serde_json::Value::Null)] {
        let (source, options) = nowhere(Some(hook.clone()));
        let hearing = async { [answer_one(&listener, status).await, answer_one(&listener, status).await] };
        let (report, heard) = tokio::join!(Box::pin(cron(&context, &source, &options)), hearing);
        let events = heard.map(|one| one["event"].as_str().unwrap().to_owned());
        assert_eq!(events, ["failed", "first_proof"], "{report:?}");
        assert_eq!(untold(), left, "{report:?}");
        assert_eq!(report.warnings.len(), if left.is_null() { 0 } else { 2 }, "{report:?}");
    }
    let (source, options) = nowhere(None);
    let report = Box::pin(cron(&context, &source, &options)).await;
    assert_eq!(report.events, [CronEvent::Failed]);
}
