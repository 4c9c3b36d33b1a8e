//! The private clusters keep what they promise, on every major.
#![expect(clippy::disallowed_methods, reason = "starts this very test program again, to kill it")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use holdpoint_testkit::{Certificates, Cluster, ClusterOptions, MAJORS};

#[test]
fn every_major_starts_dumps_and_restores() {
    for major in MAJORS {
        let cluster = Cluster::new(major);
        let version = cluster.psql("postgres", "SHOW server_version_num");
        assert_eq!(version.parse::<u32>().unwrap() / 10_000, major);
        cluster.create_database("odd name='x'");
        cluster.psql("odd name='x'", "CREATE TABLE t AS SELECT generate_series(1, 3) AS n");
        let archive = cluster.pg_dump("odd name='x'", &["-Fc"]);
        assert!(archive.starts_with(b"PGDMP"));
        cluster.create_database("copy");
        let output = cluster.pg_restore_from(&["-d", "copy", "--exit-on-error"], &archive);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(cluster.psql("copy", "SELECT sum(n) FROM t"), "6");
    }
}

#[test]
fn a_dropped_cluster_leaves_nothing() {
    let cluster = Cluster::new(18);
    let (pid, directory) = (cluster.pid().unwrap(), cluster.socket_directory().to_owned());
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    drop(cluster);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(!directory.exists());
}

#[test]
fn a_crash_and_a_restart_keep_the_rows_and_the_address() {
    let cluster = Cluster::start(ClusterOptions::major(17).with_tcp());
    let (port, url) = (cluster.port(), cluster.tcp_url("postgres"));
    cluster.psql("postgres", "CREATE TABLE t AS SELECT 42 AS n; CHECKPOINT");
    cluster.kill();
    assert!(cluster.pid().is_none());
    assert!(cluster.try_psql("postgres", "SELECT 1").is_err());
    cluster.resume();
    cluster.restart();
    assert_eq!(cluster.psql("postgres", "SELECT n FROM t"), "42");
    assert_eq!((cluster.port(), cluster.tcp_url("postgres")), (port, url));
}

#[test]
fn tcp_asks_for_the_password_and_tls_is_verified() {
    let cluster = Cluster::start(ClusterOptions {
        certificates: Some(Certificates::for_names(&["localhost", "127.0.0.1"])),
        superuser: "Die Köchin".into(),
        ..ClusterOptions::major(16)
    });
    let root = cluster.root_certificate().unwrap();
    let url = format!("{}?sslmode=verify-full&sslrootcert={}", cluster.tcp_url("postgres"), root.display());
    let run = |url: &str| {
        let mut psql = cluster.program("psql");
        psql.env_remove("PGUSER").args([
            "-XAtw",
            "-c",
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            url,
        ]);
        psql.output().unwrap()
    };
    assert_eq!(run(&url).stdout, b"t\n", "{:?}", run(&url));
    let wrong = cluster.tcp_url_as(cluster.superuser(), "wrong", "postgres");
    assert!(String::from_utf8_lossy(&run(&wrong).stderr).contains("password authentication failed"));
    let stranger = Certificates::for_names(&["localhost"]).root;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), stranger).unwrap();
    let url = format!("{}?sslmode=verify-full&sslrootcert={}", cluster.tcp_url("postgres"), file.path().display());
    let said = String::from_utf8_lossy(&run(&url).stderr).into_owned();
    assert!(said.contains("certificate verify failed"), "{said}");
}

#[test]
fn latin1_cluster() {
    let options = ClusterOptions { encoding: "LATIN1".into(), ..ClusterOptions::major(14) };
    assert_eq!(Cluster::start(options).psql("postgres", "SHOW server_encoding"), "LATIN1");
}

#[test]
fn a_shared_cluster_is_one() {
    assert_eq!(Cluster::shared(15).pid(), Cluster::shared(15).pid());
    assert_eq!(Cluster::shared(15).psql("postgres", "SELECT 1"), "1");
}

/// Not a test by itself: the victim of the one below.
#[test]
fn victim() {
    if std::env::var_os("HOLDPOINT_TEST_VICTIM").is_none() {
        return;
    }
    let cluster = Cluster::new(18);
    println!("victim {} {}", cluster.pid().unwrap(), cluster.socket_directory().display());
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_killed_test_process_leaves_nothing() {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env("HOLDPOINT_TEST_VICTIM", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let line = lines.map(Result::unwrap).find_map(|line| line.find("victim ").map(|at| line[at..].to_owned())).unwrap();
    let mut words = line.split_whitespace().skip(1);
    let (pid, directory) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    assert!(Path::new(&directory).join("data/postmaster.pid").exists());
    victim.kill().unwrap();
    victim.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(300);
    while Path::new(&directory).exists() {
        assert!(Instant::now() < deadline, "{directory} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    let cmdline = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    assert!(!String::from_utf8_lossy(&cmdline).contains(&directory), "the server still runs");
}
