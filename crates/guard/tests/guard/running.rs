//! What a run does from its start to its last step.

use std::time::{Duration, Instant};

use holdpoint_core::gate::pending::Decision;
use holdpoint_core::ledger::RunState::{Proven, RolledBack, Running, Started, Succeeded};
use holdpoint_core::verification::{Level, Verdict};
use holdpoint_guard::ExitKind;
use holdpoint_testkit::{expect_success, fake};

use crate::support::{SECRET, Shop, states, with_beside};

#[tokio::test]
async fn a_command_runs_behind_a_proven_point_and_every_step_is_written() {
    for major in [18, 14] {
        let mut shop = Shop::open(major).await;
        let report = shop.guard("$SQL -c 'ALTER TABLE orders ADD COLUMN total int'").await.unwrap();
        assert_eq!((report.state, report.exit_code, report.database), (Succeeded, Some(0), "changed"));
        assert_eq!(report.exit_kind(), ExitKind::Done);
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
        let verification = report.verification.unwrap();
        assert_eq!((verification.verdict, verification.level), (Verdict::Proved, Level::Full));

        let steps = shop.only_steps().await;
        assert_eq!(states(&steps), [Started, Proven, Running, Succeeded]);
        assert!(steps.iter().zip(1..).all(|(step, n)| step.n == n), "{steps:?}");
        let last = steps.last().unwrap();
        assert!(steps[1].wal_position.is_none() && steps[2].wal_position.is_some() && last.instant.is_some());
        assert!(steps.iter().all(|step| step.operator.as_deref() == Some("a test")));
        assert_eq!((steps[0].point.clone(), steps[1].point.clone()), (None, report.point.clone()));
        assert!(last.remarks.iter().any(|remark| remark.contains("TABLE public.orders (changed)")), "{steps:?}");

        let manifest =
            shop.context.repository.manifest(&shop.context.database, &report.point.unwrap()).await.unwrap().manifest;
        assert_eq!(manifest.run.as_ref(), Some(&report.run));
        assert_eq!(shop.pins().await, [format!("run-{}", report.run)]);
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
        assert_eq!(shop.cluster.psql("shop", locks), "0");
    }
}

#[tokio::test]
async fn a_proven_point_that_is_young_enough_is_used_again_until_the_schema_changes() {
    let mut shop = Shop::open(18).await;
    let first = shop.guard("true").await.unwrap();
    assert_eq!((first.database, first.exit_kind()), ("unchanged", ExitKind::Done));
    shop.options.policy = shop.options.policy.asking(None, Some(3600));
    let second = shop.guard("$SQL -c 'CREATE INDEX ON orders (note)'").await.unwrap();
    assert!(matches!(second.decision, Decision::Go { .. }), "{:?}", second.decision);
    assert_eq!((&second.point, second.verification.is_none()), (&first.point, true));
    assert_eq!(states(&shop.steps(&second.run).await), [Started, Proven, Running, Succeeded]);
    assert!(second.ways_back[0].seconds.is_some(), "from the earlier proof");
    let third = shop.guard("true").await.unwrap();
    let Decision::MakeRestorePoint { reasons, .. } = &third.decision else { panic!("{:?}", third.decision) };
    assert!(reasons.iter().any(|reason| reason.contains("the schema changed since")), "{reasons:?}");
    assert_ne!(third.point, first.point);
}

#[tokio::test]
async fn the_command_gets_exactly_the_given_environment_with_token_and_lock_timeout() {
    let mut shop = Shop::open(18).await;
    shop.options.environment.push(("PGOPTIONS".into(), "-c work_mem=1MB".into()));
    let script = "env > $HERE/env; $SQL -At -c 'SHOW application_name' -c 'SHOW lock_timeout' > $HERE/in-force";
    let report = shop.guard(script).await.unwrap();
    let token = format!("holdpoint:{}", report.run);
    let found = std::fs::read_to_string(shop.file("env")).unwrap();
    let mut names: Vec<&str> = found.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    // What a shell sets for itself.
    names.retain(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name));
    names.sort_unstable();
    let expected = ["HERE", "PATH", "PGAPPNAME", "PGDATABASE", "PGHOST", "PGOPTIONS", "PGPORT", "PGUSER", "PSQL"];
    assert_eq!(names, expected);
    assert!(found.contains("PGOPTIONS=-c work_mem=1MB -c lock_timeout=5s\n"), "{found}");
    assert_eq!(std::fs::read_to_string(shop.file("in-force")).unwrap(), format!("{token}\n5s\n"));
}

#[tokio::test]
async fn the_ways_back_work_when_pasted_and_hold_no_password() {
    let mut shop = Shop::open(18).await;
    shop.options.own_flags = ["--config", "/srv/it's here/holdpoint.toml"].map(str::to_owned).into();
    let report = shop.guard("$SQL -c 'DROP TABLE orders'").await.unwrap();
    let way = &report.ways_back[0];
    assert!(!format!("{report:?}").contains(SECRET) && way.title.contains("PGPASSWORD"), "{way:?}");
    assert!(way.data_lost.starts_with("everything written since 20") && way.seconds.is_some());

    // As a person would: in a shell, with psql and holdpoint on the PATH.
    let bin = shop.file("bin");
    std::fs::create_dir(&bin).unwrap();
    let arguments = shop.file("arguments");
    let script = format!("for word; do echo \"$word\"; done > {}", arguments.display());
    fake::write_program(&bin, "holdpoint", &script);
    let path = format!("{}:{}:/usr/bin:/bin", bin.display(), shop.cluster.bin_directory().display());
    let mut shell = std::process::Command::new("/bin/sh");
    expect_success(shell.args(["-c", &way.command]).env_clear().env("PATH", path));
    let given = std::fs::read_to_string(arguments).unwrap();
    let words: Vec<&str> = given.lines().collect();
    let from = format!("before:{}", report.run);
    assert_eq!(words[..4], ["restore", "--from", &from, "--into"]);
    assert_eq!(words[5..], ["--config", "/srv/it's here/holdpoint.toml"]);
    let made = holdpoint_postgres::ConnectionSettings::resolve(words[4], &Default::default()).unwrap();
    let sql = "SELECT pg_encoding_to_char(encoding) || datcollate FROM pg_database WHERE datname = ";
    let of = |name: &str| shop.cluster.psql("postgres", &format!("{sql}'{name}'"));
    assert_eq!(of(made.database()), of("shop"));
    let selector = from.parse().unwrap();
    let point = holdpoint_operations::selection::resolve(&shop.context, &selector).await.unwrap();
    assert_eq!(Some(point), report.point);
}

#[tokio::test]
async fn a_way_back_whose_role_may_not_create_databases_says_so() {
    let mut shop = Shop::open(18).await;
    shop.cluster.psql("shop", "CREATE ROLE migrates LOGIN");
    let url = shop.cluster.url("shop");
    let settings = format!("{url}{}user=migrates", if url.contains('?') { "&" } else { "?" });
    shop.options.way_back =
        Some(holdpoint_postgres::ConnectionSettings::resolve(&settings, &Default::default()).unwrap());
    let report = shop.guard("true").await.unwrap();
    let told = "role migrates may not create databases";
    assert!(report.ways_back[0].title.contains(told), "{report:?}");
    assert!(report.warnings.iter().any(|text| text.contains(told)), "{report:?}");
    shop.cluster.psql("shop", "ALTER ROLE migrates CREATEDB");
    let report = shop.guard("true").await.unwrap();
    assert!(!format!("{report:?}").contains(told), "{report:?}");
}

#[tokio::test]
async fn the_command_s_process_group_is_written_as_soon_as_it_is_started() {
    let mut shop = Shop::open(18).await;
    // It waits for its own record.
    let script = "echo $$ > $HERE/leader; \
                  until test $(find $HERE/repository -name '*-running.json' | wc -l) -eq 2; do sleep 0.05; done";
    let report = shop.guard(script).await.unwrap();
    let steps = shop.steps(&report.run).await;
    let leader = std::fs::read_to_string(shop.file("leader")).unwrap();
    let written: Vec<_> = steps.iter().filter(|step| step.state == Running).map(|step| &step.command_process).collect();
    let [None, Some(process)] = written[..] else { panic!("{steps:?}") };
    assert_eq!(process.pid.to_string(), leader.trim());
    assert_eq!(states(&steps), [Started, Proven, Running, Succeeded]);
}

#[tokio::test]
async fn what_a_command_leaves_running_goes_on_where_it_succeeded_and_is_told() {
    for (code, goes_on) in [(0, true), (1, false)] {
        let mut shop = Shop::open(18).await;
        let script = format!("sleep 300 >/dev/null 2>&1 & echo $! > $HERE/worker; echo $$ > $HERE/leader; exit {code}");
        let report = shop.guard(&script).await.unwrap();
        let read = |name: &str| std::fs::read_to_string(shop.file(name)).unwrap().trim().to_owned();
        let told = format!("go on without it (process group {}): they are left alone", read("leader"));
        assert_eq!(report.warnings.iter().any(|text| text.contains(&told)), goes_on, "{report:?}");
        let worker = read("worker");
        // One that is killed may stay as a zombie where nobody asks how it ended.
        let stat = || std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
        let lives = || stat().rsplit(") ").next().is_some_and(|state| state.starts_with(['S', 'R', 'D']));
        if goes_on {
            assert!(lives());
            assert!(std::process::Command::new("kill").arg(&worker).status().unwrap().success());
        }
        while lives() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn secrets_of_the_command_are_not_in_the_ledger() {
    let mut shop = Shop::open(18).await;
    shop.options.operator = Some(format!("ann with PGPASSWORD={SECRET}"));
    shop.options.unproven = Some(format!("because {SECRET}"));
    shop.scratch = 14;
    shop.options.command =
        ["true", "--password", "otherwise", &format!("postgres://ann:{SECRET}@h/db")].map(str::to_owned).into();
    let report = shop.try_guard().await.unwrap();
    let steps = shop.steps(&report.run).await;
    assert_eq!(steps[0].command, ["true", "--password", "***", "postgres://ann:***@h/db"]);
    let text = format!("{steps:?}{report:?}");
    assert!(text.contains("because ***") && !text.contains(SECRET) && !text.contains("otherwise"), "{text}");
}

#[tokio::test]
async fn an_interruption_ends_the_command_and_only_its_own_sessions() {
    let mut shop = Shop::open(18).await;
    let bystander = shop.cluster.program("psql").args(["-X", "-d", "shop", "-c", "SELECT pg_sleep(300)"]).spawn();
    let mut bystander = bystander.unwrap();
    let cancel = shop.context.cancel.clone();
    let started = shop.file("started");
    let stop = async {
        while !started.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cancel.cancel();
        Instant::now()
    };
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE $$holdpoint:%$$ AND wait_event = $$PgSleep$$";
    let script = format!(
        "$SQL -c 'DELETE FROM orders; SELECT pg_sleep(300)' & \
         until [ \"$($SQL -At -c '{asleep}')\" = 1 ]; do sleep 0.05; done; touch $HERE/started; wait"
    );
    let (report, cancelled) = with_beside(shop.guard(&script), stop).await;
    assert!(cancelled.elapsed() < Duration::from_secs(200), "it did not sleep to its end");
    assert_eq!((report.state, report.interrupted, report.signal), (RolledBack, true, Some(15)), "{report:?}");
    assert!(report.warnings.iter().any(|text| text.starts_with("cancelled the command's session")), "{report:?}");
    assert_eq!((report.database, report.exit_kind()), ("unchanged", ExitKind::Interrupted));
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)' AND state = 'active'";
    assert_eq!(shop.cluster.psql("shop", sleeping), "1");
    assert_eq!(shop.cluster.psql("shop", "SELECT count(*) FROM orders"), "500");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    let last = shop.only_steps().await.pop().unwrap();
    assert!(last.remarks.contains(&"interrupted".to_owned()) && last.signal == Some(15), "{last:?}");
}

#[tokio::test]
async fn a_lock_that_is_lost_while_the_command_runs_is_told() {
    let mut shop = Shop::open(18).await;
    let script = "$SQL -c \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE application_name LIKE 'holdpoint guard%'\"";
    let report = shop.guard(script).await.unwrap();
    assert_eq!(report.state, Succeeded);
    assert!(report.warnings.iter().any(|text| text.starts_with("the run lock was lost")), "{report:?}");
}

#[tokio::test]
async fn the_judgement_is_written_before_the_lock_is_given_back_and_what_follows_is_run() {
    let mut shop = Shop::open(18).await;
    // It tells the ledger as it is when it runs.
    let after = "find $HERE/repository -name '*-succeeded.json' | wc -l > $HERE/seen";
    shop.options.run.after = Some(after.into());
    let report = shop.guard("$SQL -c 'CREATE TABLE made ()'").await.unwrap();
    assert_eq!((report.state, report.exit_kind()), (Succeeded, ExitKind::Done));
    let steps = shop.steps(&report.run).await;
    assert_eq!(std::fs::read_to_string(shop.file("seen")).unwrap().trim(), "1");
    assert_eq!(states(&steps), [Started, Proven, Running, Succeeded]);
    let [.., judged, last] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!(last.remarks, ["what --after runs was run"]);
    assert!(judged.judgement.is_some() && judged.schema_sha256.is_some(), "{judged:?}");
    assert_eq!((&last.judgement, &last.schema_sha256), (&judged.judgement, &judged.schema_sha256));

    shop.options.run.after = Some("exit 7".into());
    let report = shop.guard("true").await.unwrap();
    let told = "what --after runs failed: exit code 7".to_owned();
    assert!(report.warnings.contains(&told) && report.exit_kind() == ExitKind::Done, "{report:?}");
    assert_eq!(shop.steps(&report.run).await.pop().unwrap().remarks, [told]);

    // What is not run is told with the judgement.
    let report = shop.guard("$SQL -c 'CREATE TABLE half ()'; exit 1").await.unwrap();
    let last = shop.steps(&report.run).await.pop().unwrap();
    assert!(last.remarks.iter().any(|remark| remark.contains("--after was not run")), "{last:?}");
    assert!(last.judgement.is_some());
}
