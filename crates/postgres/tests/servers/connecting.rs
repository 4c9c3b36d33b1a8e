//! Every way of not getting in is its own variant, and none shows the password.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use holdpoint_postgres::connection::{ConnectionSettings, Environment};
use holdpoint_postgres::{Error, Session, SessionPurpose};
use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};

use crate::{chain, connect, open, settings};

fn with_password() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::major(NEWEST).with_tcp());
    cluster.psql("postgres", "CREATE ROLE ann LOGIN PASSWORD 'hunter2'");
    cluster
}

#[tokio::test]
async fn each_refusal_has_its_own_variant_and_hides_the_password() {
    let mut options = ClusterOptions::major(NEWEST).with_tcp();
    options.access = vec!["host postgres shut 127.0.0.1/32 reject".to_owned()];
    let cluster = Cluster::start(options);
    cluster.psql(
        "postgres",
        "CREATE ROLE ann LOGIN PASSWORD 'right'; CREATE ROLE shut LOGIN PASSWORD 'hunter2'; \
         CREATE ROLE full_role LOGIN PASSWORD 'hunter2' CONNECTION LIMIT 0; \
         CREATE ROLE eve LOGIN PASSWORD 'hunter2'; CREATE DATABASE private; REVOKE CONNECT ON DATABASE private FROM PUBLIC",
    );
    let port = cluster.port();
    let url = |user: &str, database: &str| cluster.tcp_url_as(user, "hunter2", database);
    type Expected = fn(&Error) -> bool;
    let cases: Vec<(String, Expected, bool)> = vec![
        (url("ann", "postgres"), |e| matches!(e, Error::WrongPassword { user, .. } if user == "ann"), false),
        (url("nobody", "postgres"), |e| matches!(e, Error::WrongPassword { .. }), false),
        (url("shut", "postgres"), |e| matches!(e, Error::NotAllowed { .. }), false),
        (url("eve", "private"), |e| matches!(e, Error::NotAllowed { database, .. } if database == "private"), false),
        (url("eve", "absent"), |e| matches!(e, Error::NoSuchDatabase { database, .. } if database == "absent"), false),
        (url("full_role", "postgres"), |e| matches!(e, Error::TooManyConnections { .. }), true),
        (format!("postgresql://eve@127.0.0.1:{port}/postgres"), |e| matches!(e, Error::PasswordMissing { .. }), false),
        (
            "postgresql://eve:hunter2@127.0.0.1:1/postgres".to_owned(),
            |e| matches!(e, Error::HostUnreachable { .. }),
            true,
        ),
        (
            "postgresql://eve:hunter2@no-such-host.invalid/postgres".to_owned(),
            |e| matches!(e, Error::UnknownHost { host, .. } if host == "no-such-host.invalid"),
            false,
        ),
        (
            format!("postgresql://eve:hunter2@127.0.0.1:{port}/postgres?sslmode=require"),
            |e| matches!(e, Error::TlsNotOffered { .. }),
            false,
        ),
        (
            "postgresql://eve:hunter2@%2Fnowhere/postgres".to_owned(),
            |e| matches!(e, Error::HostUnreachable { .. }),
            true,
        ),
    ];
    for (url, expected, transient) in cases {
        let error = connect(&url).await.expect_err(&url);
        assert!(expected(&error), "{url}: {error:?}");
        assert_eq!(error.is_transient(), transient, "{error:?}");
        let shown = format!("{} {error:?}", chain(&error));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("postgresql://u:p@127.0.0.1:{port}/d?connect_timeout=2&sslmode=disable");
    let error = connect(&url).await.unwrap_err();
    assert!(matches!(error, Error::ConnectTimedOut { seconds: 2, .. }), "{error:?}");
}

#[tokio::test]
async fn password_and_service_files_open_the_door() {
    let cluster = with_password();
    let folder = tempfile::tempdir().unwrap();
    let (passes, services) = (folder.path().join("pass"), folder.path().join("services"));
    fs::write(&passes, format!("127.0.0.1:{}:postgres:ann:hunter2\n", cluster.port())).unwrap();
    fs::set_permissions(&passes, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&services, format!("[shop]\nhost=127.0.0.1\nport={}\ndbname=postgres\n", cluster.port())).unwrap();
    let environment = Environment::new([
        ("PGPASSFILE", passes.to_str().unwrap()),
        ("PGSERVICEFILE", services.to_str().unwrap()),
        ("PGSERVICE", "shop"),
        ("PGUSER", "ann"),
    ]);
    let settings = ConnectionSettings::resolve("", &environment).unwrap();
    let session = Session::connect(&settings, &SessionPurpose::new("files")).await.unwrap();
    let row =
        session.query_one("x", "SELECT current_user::text, current_setting('application_name')", &[]).await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("ann", "files"));

    fs::set_permissions(&passes, fs::Permissions::from_mode(0o604)).unwrap();
    let settings = ConnectionSettings::resolve("", &environment).unwrap();
    let error = Session::connect(&settings, &SessionPurpose::new("files")).await.unwrap_err();
    assert!(matches!(error, Error::PasswordMissing { .. }), "{error:?}");
    assert!(settings.warnings()[0].contains("may be read by others"));
}

#[tokio::test]
async fn the_next_host_is_tried_and_the_one_reached_is_kept() {
    let cluster = with_password();
    let (dead, alive) = (1, cluster.port());
    let url = format!("postgresql://ann:hunter2@127.0.0.1:{dead},localhost:{alive}/postgres");
    let session = open(&url).await;
    let reached = session.settings();
    assert_eq!(reached.servers().len(), 1);
    assert_eq!(reached.servers()[0].endpoint(), format!("localhost:{alive}"));
    assert!(reached.servers()[0].address.is_some_and(|address| address.is_loopback()));
    assert_eq!(reached.endpoint(), settings(&url).endpoint(), "a fail-over is not another database");

    for (wanted, good) in [("primary", true), ("read-write", true), ("prefer-standby", true), ("standby", false)] {
        let outcome = connect(&format!("{url}?target_session_attrs={wanted}")).await;
        assert_eq!(outcome.is_ok(), good, "{wanted}: {outcome:?}");
        if let Err(error) = outcome {
            assert!(matches!(error, Error::WrongKindOfServer { .. }), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_child_reaches_the_same_database() {
    let cluster = with_password();
    cluster.psql("postgres", "CREATE DATABASE \"odd name\" OWNER ann");
    let url = format!("postgresql://ann:hunter2@localhost:{}/odd%20name", cluster.port());
    let session = open(&url).await;
    let text_form = session.pin_text_form().await.unwrap();
    let child = session.settings().with_appended_options(&text_form.pg_options()).child_environment();
    let mut psql = cluster.program("psql");
    psql.env("PGTZ", "Mars").env("PGHOST", "nowhere.invalid").env("PGSERVICE", "none");
    for name in &child.removed {
        psql.env_remove(name);
    }
    psql.envs(child.set.iter().map(|(name, value)| (*name, value.expose())));
    let sql = "SELECT current_user, current_database(), current_setting('TimeZone'), current_setting('search_path'), \
               current_setting('extra_float_digits'), current_setting('row_security')";
    psql.args(["-XAtc", sql]);
    let output = psql.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // The search path is left to the child: pg_dump sets its own, and resolves patterns by the one it finds.
    assert_eq!(out.trim(), "ann|odd name|UTC|\"$user\", public|3|off", "{err}");
}

/// With a thread of its own the driver hears the last words; a blocked one could meet the closed socket first.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_terminated_session_says_why_and_is_transient() {
    let cluster = Cluster::shared(NEWEST);
    let session = open(&cluster.url("postgres")).await;
    let pid: i32 = session.query_one("x", "SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    cluster.psql("postgres", &format!("SELECT pg_terminate_backend({pid})"));
    while !session.is_closed() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let error = session.ping().await.unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { .. }) && error.is_transient(), "{error:?}");
    assert!(error.to_string().contains("terminating connection due to administrator command"), "{error}");
}

#[tokio::test]
async fn a_statement_can_be_cancelled_from_outside() {
    let cluster = Cluster::shared(NEWEST);
    let session = open(&cluster.url("postgres")).await;
    let canceller = session.canceller();
    let pid: i32 = session.query_one("asking", "SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let asleep = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'");
    let sleep = session.run("sleeping", "SELECT pg_sleep(60)");
    let cancel = async {
        while cluster.psql("postgres", &asleep) != "1" {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        canceller.cancel().await.unwrap();
    };
    let (slept, ()) = tokio::join!(sleep, cancel);
    assert_eq!(slept.unwrap_err().sqlstate(), Some("57014"));
    session.ping().await.unwrap();
}
