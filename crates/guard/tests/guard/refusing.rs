//! When the command must not run.

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use holdpoint_core::ledger::RunState::{Refused, Running, Started, Succeeded};
use holdpoint_guard::{Error, ExitKind};
use holdpoint_operations::ErrorKind;
use holdpoint_testkit::Cluster;

use crate::support::{AtProof, Shop, backup_options, shell, source, states, verify_options, with_beside};

/// A command that leaves a file, so that it shows whether it ran.
const MARK: &str = "touch $HERE/ran";

#[tokio::test]
async fn a_proof_that_cannot_run_stops_the_command_unless_a_reason_is_given() {
    let mut shop = Shop::open(18).await;
    shop.scratch = 14;
    let error = shop.guard(MARK).await.unwrap_err();
    assert!(matches!(error, Error::CouldNotProve { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::CouldNotRun);
    assert!(error.to_string().contains("PostgreSQL 14") && error.hint().unwrap().contains("--unproven"), "{error}");
    assert!(!shop.file("ran").exists());
    let steps = shop.only_steps().await;
    assert_eq!(states(&steps), [Started, Refused]);
    assert!(steps[1].remarks[0].contains("could not be proven"), "{steps:?}");
    assert!(shop.pins().await.is_empty(), "nobody relies on it");

    shop.options.unproven = Some("incident 4711".into());
    let report = shop.guard(MARK).await.unwrap();
    assert!(shop.file("ran").exists());
    assert_eq!(report.exit_kind(), ExitKind::Done);
    assert!(report.warnings.iter().any(|text| text.contains("is not proven")), "{report:?}");
    assert!(!report.ways_back.is_empty() && report.ways_back[0].seconds.is_none());
    let steps = shop.steps(&report.run).await;
    assert_eq!(states(&steps), [Started, Running, Succeeded]);
    assert!(steps[1].remarks.iter().any(|text| text.contains("incident 4711")), "{steps:?}");
}

/// Every `archive.dump` below a folder.
fn archives(folder: PathBuf) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(archives(path));
        } else if path.ends_with("archive.dump") {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_disproved_point_stops_the_command_whatever_reason_is_given() {
    let mut shop = Shop::open(18).await;
    let repository = shop.file("repository");
    shop.context.progress = Arc::new(AtProof(move || {
        for path in archives(repository.clone()) {
            let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
            let at = file.metadata().unwrap().len() - 200;
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        }
    }));
    shop.options.unproven = Some("it must not matter".into());
    let error = shop.guard(MARK).await.unwrap_err();
    assert!(matches!(error, Error::Disproved { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Disproved);
    assert!(!shop.file("ran").exists());
    assert_eq!(states(&shop.only_steps().await), [Started, Refused]);
}

#[tokio::test]
async fn a_second_run_is_busy_at_once() {
    let mut shop = Shop::open(18).await;
    shop.options.command = shell("touch $HERE/started; while [ ! -e $HERE/go ]; do sleep 0.05; done");
    let mut second = shop.options.clone();
    second.command = shell(MARK);
    let meanwhile = async {
        while !shop.file("started").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (verify, backup) = (verify_options(Cluster::shared(18)), backup_options());
        let mut context = shop.context.clone();
        context.seed += 1;
        let error =
            holdpoint_guard::guard(&context, &source(&shop.cluster), &verify, &backup, &second).await.unwrap_err();
        let points = context.repository.points(&context.database).await.unwrap();
        assert_eq!(points.len(), 1, "no restore point was made first");
        std::fs::write(shop.file("go"), "").unwrap();
        error
    };
    let (first, error) = with_beside(shop.try_guard(), meanwhile).await;
    assert_eq!(first.exit_kind(), ExitKind::Done);
    assert_eq!(error.kind(), ErrorKind::Busy);
    let Error::Operation(held) = &error else { panic!("{error}") };
    let holdpoint_operations::Error::RunLockHeld { holder } = &**held else { panic!("{error}") };
    assert_eq!(holder.application_name, format!("holdpoint guard {}", first.run));
    assert!(error.hint().unwrap().contains(&holder.pid.to_string()));
    assert!(!shop.file("ran").exists());
    assert_eq!(states(&shop.only_steps().await).len(), 4, "the second run left no trace");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_run_that_ran_while_this_one_prepared_refuses_it() {
    let mut first = Shop::open(18).await;
    let (prepared, at_proof) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let mut context = first.context.clone();
    context.seed = 99;
    context.progress = Arc::new(AtProof(move || {
        prepared.send(()).unwrap();
        // Gives this worker's other tasks away first.
        tokio::task::block_in_place(|| wait.lock().unwrap().recv()).unwrap();
    }));
    let mut options = first.options.clone();
    options.command = shell(MARK);
    let source = source(&first.cluster);
    let mut set = tokio::task::JoinSet::new();
    let runtime = tokio::runtime::Handle::current();
    set.spawn_blocking(move || {
        let (verify, backup) = (verify_options(Cluster::shared(18)), backup_options());
        runtime.block_on(holdpoint_guard::guard(&context, &source, &verify, &backup, &options))
    });
    tokio::task::block_in_place(|| at_proof.recv()).unwrap();
    // Changes no schema: only the ledger tells.
    let report = first.guard("$SQL -c 'UPDATE orders SET note = NULL'").await.unwrap();
    go_on.send(()).unwrap();
    let error = set.join_next().await.unwrap().unwrap().unwrap_err();
    let Error::RanMeanwhile { run } = &error else { panic!("{error}") };
    assert_eq!((run.clone(), error.kind()), (report.run.to_string(), ErrorKind::Refused));
    assert!(!first.file("ran").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_changed_since_the_point_refuses_the_command() {
    let mut shop = Shop::open(18).await;
    let (psql, host) = (shop.cluster.bin_directory().join("psql"), shop.cluster.url("shop"));
    shop.context.progress = Arc::new(AtProof(move || {
        let mut psql = std::process::Command::new(&psql);
        let changed = psql.args(["-X", "-d", &host, "-c", "ALTER TABLE orders ADD COLUMN sneaked int"]).status();
        assert!(changed.unwrap().success());
    }));
    let error = shop.guard(MARK).await.unwrap_err();
    let Error::SchemaChanged { differences, .. } = &error else { panic!("{error}") };
    assert_eq!(differences[0].name, "TABLE public.orders");
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(!shop.file("ran").exists());
}

#[tokio::test]
async fn another_database_and_a_missing_program_are_refused_before_anything_is_written() {
    let mut shop = Shop::open(18).await;
    shop.options.command = vec!["no-such-program".into()];
    let error = shop.try_guard().await.unwrap_err();
    assert_eq!((error.to_string().contains("no-such-program"), error.kind()), (true, ErrorKind::Usage));
    assert!(shop.context.repository.runs(&shop.context.database).await.unwrap().is_empty());
    shop.guard("true").await.unwrap();

    let mut clone = Shop::open(18).await;
    clone.context = shop.context.clone();
    let error = clone.guard(MARK).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("belongs to another database"), "{error}");
    assert_eq!(states(&shop.only_steps().await).len(), 4);
    assert!(!clone.file("ran").exists());
}

#[tokio::test]
async fn interrupted_before_the_command_it_is_told_what_may_still_hold() {
    let mut shop = Shop::open(18).await;
    shop.options.run.before = Some("touch $HERE/begun; sleep 60".into());
    shop.options.run.after = Some("touch $HERE/after".into());
    shop.options.command = shell(MARK);
    let interrupt = async {
        while !shop.file("begun").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        shop.context.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(shop.try_guard(), interrupt);
    let error = ended.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    assert!(error.hint().unwrap().contains("what --before did may still hold"), "{:?}", error.hint());
    assert!(!shop.file("ran").exists() && !shop.file("after").exists());
    assert_eq!(states(&shop.only_steps().await).last(), Some(&Refused));
}
