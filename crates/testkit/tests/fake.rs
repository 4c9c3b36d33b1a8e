//! Fake programs fail in the way that was ordered.
#![expect(clippy::unwrap_used, reason = "a test panics where something is wrong")]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use holdpoint_testkit::fake::{FakePrograms, Installation};
use holdpoint_testkit::{Cluster, ClusterOptions};

#[expect(clippy::disallowed_methods, reason = "runs the fake as the program under test would")]
fn dump(cluster: &Cluster, programs: &FakePrograms, arguments: &[&str]) -> Output {
    Command::new(programs.bin().join("pg_dump")).args(arguments).arg(cluster.url("postgres")).output().unwrap()
}

#[test]
fn programs_die_fail_and_lie() {
    let cluster = Cluster::shared(18);
    let programs = FakePrograms::new(18);
    let whole = dump(cluster, &programs, &["-Fc", "-Z0"]);
    assert!(whole.status.success() && whole.stdout.len() > 1_000);

    programs.kill_after("pg_dump", 700);
    let killed = dump(cluster, &programs, &["-Fc", "-Z0"]);
    assert_eq!((killed.status.signal(), killed.stdout.len()), (Some(9), 700));
    assert!(String::from_utf8_lossy(&dump(cluster, &programs, &["--version"]).stdout).contains("18."));

    programs.fail_after("pg_dump", 0, "pg_dump: error: it's over", 3);
    let failed = dump(cluster, &programs, &["-Fc"]);
    assert_eq!((failed.status.code(), failed.stdout.len()), (Some(3), 0));
    assert_eq!(failed.stderr, b"pg_dump: error: it's over\n");

    programs.cut_silently_after("pg_dump", 99);
    let cut = dump(cluster, &programs, &["-Fc"]);
    assert!(cut.status.success() && cut.stdout.len() == 99);

    programs.claim_version("pg_dump", "13.4");
    assert_eq!(dump(cluster, &programs, &["--version"]).stdout, b"pg_dump (PostgreSQL) 13.4\n");
    programs.remove("pg_dump");
    assert!(!programs.bin().join("pg_dump").exists());
}

#[test]
fn a_maimed_installation_lacks_the_extension_and_the_real_one_does_not() {
    let installation = Installation::copy(17);
    installation.remove_extension("citext");
    let cluster = Cluster::start(ClusterOptions { programs: Some(installation.bin()), ..ClusterOptions::major(17) });
    let error = cluster.try_psql("postgres", "CREATE EXTENSION citext").unwrap_err();
    assert!(error.contains("extension \"citext\" is not available"), "{error}");
    cluster.psql("postgres", "CREATE EXTENSION hstore");
    Cluster::new(17).psql("postgres", "CREATE EXTENSION citext");
}
