//! What somebody else does between two runs, or between a run's plan and its command.

use std::sync::Arc;
use std::time::Duration;

use holdpoint_core::RunId;
use holdpoint_core::gate::Policy;
use holdpoint_core::gate::pending::Decision;
use holdpoint_core::ledger::RunState::{Failed, Proven, Refused, Running, Settled, Started, Succeeded};
use holdpoint_core::ledger::RunStep;
use holdpoint_core::risk::{Requirement, RiskClass};
use holdpoint_core::undoing::{Afresh, Applied, Settlement};
use holdpoint_core::verification::Level;
use holdpoint_guard::{Error, ExitKind, GuardReport, Migrations};
use holdpoint_operations::ErrorKind;
use holdpoint_postgres::{Session, SessionPurpose};

use crate::planning::{ADDS, APPLY, DROPS, Folder};
use crate::support::{AtProof, settings, states};

fn warned(report: &GuardReport, run: &RunId) -> bool {
    let told = format!("the schema is not as run {run} left it");
    report.warnings.iter().any(|warning| warning.contains(&told))
}

#[tokio::test]
async fn a_schema_that_changed_since_a_plain_folders_last_run_is_told_and_asks_for_a_point() {
    let mut folder = Folder::open(&[ADDS]).await;
    let first = folder.shop.guard(APPLY).await.unwrap();
    let left = folder.newest().await.pop().unwrap().schema_sha256;
    assert!(left.as_ref().is_some_and(|sha256| sha256.len() == 64), "{left:?}");

    // Rows and positions are no change of the schema.
    folder.shop.cluster.psql("shop", "INSERT INTO tags VALUES (1); CREATE TEMP TABLE t (id int)");
    folder.write(&[("3_comment.sql", "COMMENT ON TABLE tags IS 'seen'")]);
    folder.read(None, &[]);
    let only = |name: &str| format!("$SQL -f $HERE/sql/{name}");
    let second = folder.shop.guard(&only("3_comment.sql")).await.unwrap();
    assert!(matches!(second.decision, Decision::MakeRestorePoint { .. }), "{:?}", second.decision);
    assert!(!warned(&second, &first.run), "{:?}", second.warnings);

    folder.shop.cluster.psql("shop", "DROP TABLE tags");
    folder.write(&[("4_more.sql", "CREATE TABLE more (id int)")]);
    folder.read(None, &[]);
    let third = folder.shop.guard(&only("4_more.sql")).await.unwrap();
    let Decision::MakeRestorePoint { reasons, .. } = &third.decision else { panic!("{:?}", third.decision) };
    let told = format!("unreviewable in the command (the schema is not as run {} left it", second.run);
    assert!(reasons[0].contains(&told), "{reasons:?}");
    assert!(warned(&third, &second.run), "{:?}", third.warnings);
    assert_eq!(third.state, Succeeded);

    // That run looked, and its own state counts from now on.
    folder.write(&[("5_more.sql", "CREATE TABLE again (id int)")]);
    folder.read(None, &[]);
    let fourth = folder.shop.guard(&only("5_more.sql")).await.unwrap();
    assert!(!warned(&fourth, &third.run), "{:?}", fourth.warnings);

    // A person who says what is applied knows it.
    folder.shop.cluster.psql("shop", "DROP TABLE again");
    folder.write(&[("6_more.sql", "CREATE TABLE yet_again (id int)")]);
    folder.read(Some("5_more.sql"), &[]);
    let fifth = folder.shop.guard(&only("6_more.sql")).await.unwrap();
    assert!(matches!(fifth.decision, Decision::Go { .. }), "nothing is unreviewable: {:?}", fifth.decision);
}

#[tokio::test]
async fn whatever_the_tool_is_a_schema_that_changed_since_the_last_run_is_told() {
    let mut folder = Folder::open(&[]).await;
    folder.shop.options.migrations = Migrations::Unknown("a test".into());
    let first = folder.shop.guard("$SQL -c 'CREATE TABLE one (id int)'").await.unwrap();
    let second = folder.shop.guard("true").await.unwrap();
    assert!(!warned(&second, &first.run), "{:?}", second.warnings);
    folder.shop.cluster.psql("shop", "ALTER TABLE one ADD b int");
    let third = folder.shop.guard("true").await.unwrap();
    assert!(warned(&third, &second.run), "{:?}", third.warnings);
    assert_eq!(third.exit_kind(), ExitKind::Done);
    let running = folder.newest().await.into_iter().find(|step| step.state == Running).unwrap();
    assert!(running.remarks.iter().any(|remark| remark.contains("the schema is not as run")), "{running:?}");
}

#[tokio::test]
async fn a_run_does_not_begin_beside_the_command_of_one_that_was_killed() {
    let mut folder = Folder::open(&[]).await;
    folder.listed("true");
    folder.shop.guard("true").await.unwrap();
    // What a guard that was killed leaves: its newest step says running, its command's session is there, no lock is.
    let killed = RunId::new(chrono::Utc::now(), 4711);
    let step = folder.newest().await.pop().unwrap();
    let (repository, database) = (&folder.shop.context.repository, &folder.shop.context.database);
    let step = RunStep { run: killed.clone(), n: 1, state: Running, ..step };
    repository.record_step(database, &step).await.unwrap();
    let settings = settings(&folder.shop.cluster, "shop");
    let purpose = SessionPurpose::new(format!("holdpoint:{killed}"));
    let session = Session::connect(&settings, &purpose).await.unwrap();
    let pid: i32 = session.query_one("a test", "SELECT pg_backend_pid()", &[]).await.unwrap().get(0);

    let error = folder.shop.guard("true").await.unwrap_err();
    let Error::CommandLives { run, pids } = &error else { panic!("{error}") };
    assert_eq!((run.as_str(), pids.as_slice()), (killed.to_string().as_str(), &[pid][..]));
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.hint().unwrap().contains(&format!("pg_terminate_backend({pid})")), "{:?}", error.hint());

    // One that somebody settled is somebody's decision.
    let (repository, database) = (&folder.shop.context.repository, &folder.shop.context.database);
    repository.record_step(database, &RunStep { n: 2, state: Settled, ..step.clone() }).await.unwrap();
    assert_eq!(folder.shop.guard("true").await.unwrap().state, Succeeded);
    session.close().await;

    // Between two of its sessions its process group alone shows it: here that of this very test.
    let killed = RunId::new(chrono::Utc::now(), 4712);
    let leader = holdpoint_guard::runs::this_process();
    let step = RunStep { run: killed.clone(), command_process: leader, ..step };
    let (repository, database) = (&folder.shop.context.repository, &folder.shop.context.database);
    repository.record_step(database, &step).await.unwrap();
    let error = folder.shop.guard("true").await.unwrap_err();
    assert!(matches!(&error, Error::StillAtWork { run, .. } if *run == killed.to_string()), "{error}");
    assert_eq!((error.kind(), error.to_string().contains("process group")), (ErrorKind::Busy, true), "{error}");
    let (repository, database) = (&folder.shop.context.repository, &folder.shop.context.database);
    repository.record_step(database, &RunStep { n: 2, state: Settled, ..step.clone() }).await.unwrap();

    // Nor beside a guard that lost its connections and goes on, such as with what belongs after its command.
    let guarding = RunId::new(chrono::Utc::now(), 4713);
    let process = holdpoint_guard::runs::this_process();
    let step = RunStep { run: guarding.clone(), command_process: None, process, ..step };
    repository.record_step(database, &step).await.unwrap();
    let error = folder.shop.guard("true").await.unwrap_err();
    assert!(matches!(&error, Error::StillAtWork { run, .. } if *run == guarding.to_string()), "{error}");
}

#[tokio::test]
async fn of_a_folder_whose_run_failed_or_broke_off_nobody_knows_which_files_ran() {
    let mut folder = Folder::open(&[ADDS]).await;
    let applied = folder.shop.guard(APPLY).await.unwrap();
    let only = |name: &str| format!("$SQL -f $HERE/sql/{name}");
    folder.write(&[("2_more.sql", "CREATE TABLE more (id int)")]);
    folder.read(None, &[]);
    // It left nothing: its file is pending as before, and there is no question.
    let told = |report: &GuardReport, run: &RunId| {
        let Decision::MakeRestorePoint { reasons, .. } = &report.decision else { return false };
        reasons[0].contains(&format!("run {run} failed, broke off or did not do all that was planned"))
    };
    let nothing = folder.shop.guard("exit 3").await.unwrap();
    let failed = folder.shop.guard(&format!("{}; exit 3", only("2_more.sql"))).await.unwrap();
    assert!(!told(&failed, &nothing.run) && !told(&failed, &applied.run), "{:?}", failed.decision);
    assert_eq!((failed.state, failed.plan.unwrap().applied), (Failed, 1));

    let next = folder.shop.guard("true").await.unwrap();
    assert!(told(&next, &failed.run), "{:?}", next.decision);
    assert_eq!(next.plan.unwrap().applied, 1);

    // A person says how far it is; then one is killed.
    folder.read(Some("2_more.sql"), &[]);
    let known = folder.shop.guard("$SQL -c 'CREATE TABLE z ()'").await.unwrap();
    assert!(!told(&known, &failed.run), "{:?}", known.decision);
    folder.read(None, &[]);
    let running = folder.newest().await.into_iter().find(|step| step.state == Running).unwrap();
    let killed = RunId::new(chrono::Utc::now() + chrono::TimeDelta::minutes(1), 4711);
    let step = RunStep { run: killed.clone(), n: 1, process: None, command_process: None, ..running };
    let (repository, database) = (&folder.shop.context.repository, &folder.shop.context.database);
    repository.record_step(database, &step).await.unwrap();
    let found = holdpoint_guard::applied_by_runs(&folder.shop.context).await.unwrap().unwrap();
    assert_eq!((found.in_part_by(), found.files.len()), (Some(killed.clone()), 2));
    // Settled as a look found it: only *unchanged* says which files it did not apply.
    for (n, applied) in [(2, Applied::Partly), (3, Applied::Unchanged)] {
        let found = Afresh { applied, still_pending: None, schema_changes: None, not_known: Vec::new() };
        let settlement = Some(Settlement { reason: "looked at it".into(), operator: None, found });
        let settled = RunStep { n, state: Settled, settlement, ..step.clone() };
        repository.record_step(database, &settled).await.unwrap();
        let found = holdpoint_guard::applied_by_runs(&folder.shop.context).await.unwrap().unwrap();
        let by = (applied == Applied::Partly).then(|| killed.clone());
        assert_eq!(found.in_part_by(), by, "{applied:?}");
    }
}

#[tokio::test]
async fn a_configuration_that_changes_while_the_point_is_made_lets_nothing_run() {
    let mut folder = Folder::open(&[DROPS]).await;
    let package = folder.shop.file("package.json");
    std::fs::write(&package, "{}").unwrap();
    folder.read(Some("none"), &[]);
    folder.shop.context.progress =
        Arc::new(AtProof(move || std::fs::write(&package, r#"{"scripts": {"x": "y"}}"#).unwrap()));
    let error = folder.shop.guard(APPLY).await.unwrap_err();
    let Error::ConfigurationChanged { path, point } = &error else { panic!("{error}") };
    assert_eq!((path.as_str(), point.is_some(), error.kind()), ("package.json", true, ErrorKind::Refused));
    assert_eq!(folder.shop.cluster.psql("shop", "SELECT count(*) FROM customers"), "2", "nothing ran");
    assert_eq!((states(&folder.newest().await), folder.shop.pins().await.len()), (vec![Started, Proven, Refused], 0));
}

#[tokio::test]
async fn a_prepared_run_is_not_relied_on_past_the_age_that_is_asked_for() {
    let mut folder = Folder::open(&[DROPS]).await;
    let ask = |folder: &mut Folder, max_age_seconds: i64| {
        let proven = Requirement::ProvenRestorePoint(Policy { level: Level::Stored, max_age_seconds });
        folder.shop.options.policy.requirements = [(RiskClass::DestroysData, proven)].into_iter().collect();
    };
    ask(&mut folder, 0);
    folder.prepare(Duration::from_secs(3600)).await.unwrap();
    // By the source server's clock it is older than one second then.
    folder.shop.cluster.psql("shop", "SELECT pg_sleep(2)");
    ask(&mut folder, 1);
    let report = folder.shop.guard(APPLY).await.unwrap();
    assert_eq!((report.prepared_by, folder.points().await), (None, 2));
}

#[tokio::test]
async fn a_prepared_run_is_not_relied_on_by_another_configuration() {
    let mut folder = Folder::open(&[DROPS]).await;
    folder.prepare(Duration::from_secs(3600)).await.unwrap();
    std::fs::write(folder.shop.file("package.json"), "{}").unwrap();
    folder.read(Some("none"), &[]);
    let report = folder.shop.guard(APPLY).await.unwrap();
    assert_eq!((report.prepared_by, folder.points().await), (None, 2));
}

#[tokio::test]
async fn a_prepared_run_is_relied_on_by_one_run_only() {
    let mut folder = Folder::open(&[("1_rows.sql", "UPDATE customers SET id = id WHERE false")]).await;
    folder.shop.options.migrations = Migrations::Unknown("a test".into());
    let prepared = folder.prepare(Duration::from_secs(3600)).await.unwrap();
    let report = folder.shop.guard(APPLY).await.unwrap();
    assert_eq!(report.prepared_by.as_ref(), Some(&prepared.run));
    // The next one's way back would undo the first, too.
    let second = folder.shop.guard(APPLY).await.unwrap();
    assert_eq!((second.prepared_by, second.point != report.point), (None, true));
}
