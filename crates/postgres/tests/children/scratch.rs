use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use holdpoint_core::Mask;
use holdpoint_postgres::programs::{Cause, PgDumpall, ProgramName, ProgramSearch};
use holdpoint_postgres::scratch::{
    CommandOptions, DatabaseLocale, ExtensionGap, GapReason, GivenOptions, LocalOptions, ScratchOptions, ScratchServer,
    extension_gaps,
};
use holdpoint_postgres::{Error, Session, SessionPurpose};
use holdpoint_process::{Program, RunAs, Stdout};
use holdpoint_testkit::{Cluster, MAJORS, postgresql_directory};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio_util::sync::CancellationToken;

use crate::{client, is_empty, is_running, open_directory, search, settings};

/// The example beside this test's own binary. Cargo does not build it when tests are filtered, hence the checks.
fn keeper() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(2).unwrap().join("examples/scratch_keeper");
    let built = path.metadata().and_then(|metadata| metadata.modified());
    let built = built.unwrap_or_else(|_| panic!("{}: run cargo build --examples first", path.display()));
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    for sources in [own.join("src/scratch"), own.join("../process/src")] {
        assert!(newest(&sources) <= built, "{} is stale: run cargo build --examples first", path.display());
    }
    path
}

/// The time of the newest file; a folder's own time changes with every editor's temporary file.
fn newest(path: &Path) -> SystemTime {
    if path.is_file() {
        return path.metadata().and_then(|metadata| metadata.modified()).unwrap();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| newest(&entry.path())).fold(SystemTime::UNIX_EPOCH, SystemTime::max)
}

fn local(major: u32, base: &Path) -> LocalOptions {
    LocalOptions::new(search(), major, base, keeper(), ["scratch-keeper"])
}

async fn start(options: LocalOptions) -> Result<ScratchServer, Error> {
    ScratchServer::start(&ScratchOptions::Local(Box::new(options)), &CancellationToken::new()).await
}

async fn ask(settings: &holdpoint_postgres::ConnectionSettings, sql: &str) -> String {
    let session = Session::connect(settings, &SessionPurpose::new("test")).await.unwrap();
    let answer = session.query_one("asking", sql, &[]).await.unwrap().get(0);
    session.close().await;
    answer
}

#[tokio::test]
async fn a_local_server_of_every_major_comes_and_goes() {
    for major in MAJORS {
        let base = open_directory();
        let server = start(local(major, base.path())).await.unwrap();
        assert_eq!(server.major(), major);
        assert!(server.is_superuser());
        let sql = "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN \
                   ('autovacuum', 'fsync', 'full_page_writes', 'wal_level', 'max_wal_senders', 'synchronous_commit', 'listen_addresses')";
        let found = ask(server.settings(), sql).await;
        assert_eq!(
            found,
            "autovacuum=off fsync=off full_page_writes=off listen_addresses= max_wal_senders=0 synchronous_commit=off wal_level=minimal"
        );
        let data = server.data_directory().unwrap().to_owned();
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        let pid = server.pid().unwrap();
        if let Some(user) = RunAs::for_server(None).unwrap() {
            assert_eq!(std::os::unix::fs::MetadataExt::uid(&fs::metadata(&data).unwrap()), user.uid);
        }
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let password = server.settings().servers()[0].password.clone().unwrap();
        assert!(!String::from_utf8_lossy(&arguments).contains(password.expose()));
        server.stop().await.unwrap();
        assert!(!is_running(pid) && is_empty(base.path()));
    }
}

#[tokio::test]
async fn databases_get_the_recorded_locale_or_an_answer_that_says_so() {
    for major in [14, 18] {
        let base = open_directory();
        let server = start(local(major, base.path())).await.unwrap();
        let latin = server.create_database("latin", &DatabaseLocale::c("LATIN1")).await.unwrap();
        let sql = "SELECT pg_encoding_to_char(encoding) || ' ' || datcollate FROM pg_database WHERE datname = 'latin'";
        assert_eq!(ask(&latin, sql).await, "LATIN1 C");
        let utf8 = DatabaseLocale { collate: "C.utf8".into(), ctype: "C.utf8".into(), ..DatabaseLocale::c("UTF8") };
        let odd = server.create_database("an \"odd\" name", &utf8).await.unwrap();
        assert_eq!(ask(&odd, "SELECT current_database()::text").await, "an \"odd\" name");

        let elvish = DatabaseLocale { collate: "qya_AM.utf8".into(), ..utf8.clone() };
        let missing = server.create_database("elvish", &elvish).await.unwrap_err();
        assert!(matches!(&missing, Error::LocaleMissing { locale, .. } if locale.contains("qya_AM")), "{missing}");
        // These servers are built without ICU; 14 does not even know the word.
        let icu = DatabaseLocale { provider: "icu".into(), locale: Some("de-AT".into()), ..utf8.clone() };
        let missing = server.create_database("icu", &icu).await.unwrap_err();
        assert!(
            matches!(&missing, Error::LocaleMissing { locale, .. } if locale.starts_with("de-AT (icu")),
            "{missing}"
        );
        let builtin = DatabaseLocale { provider: "builtin".into(), locale: Some("C.UTF-8".into()), ..utf8 };
        let built = server.create_database("builtin", &builtin).await;
        assert_eq!(built.is_ok(), major >= 17, "{built:?}");
        let twice = server.create_database("latin", &DatabaseLocale::c("LATIN1")).await;
        assert!(matches!(twice, Err(Error::Query { .. })), "not a matter of locale");

        server.drop_database(&latin).await.unwrap();
        let error = server.drop_database(&server.settings().clone()).await.unwrap_err();
        assert!(error.to_string().contains("was not made here"), "{error}");
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn client_programs_reach_it_and_extensions_are_compared() {
    let base = open_directory();
    let server = start(local(18, base.path())).await.unwrap();
    let roles = PgDumpall::new(&client(ProgramName::PgDumpall, 18).await, server.settings());
    let roles = roles.roles(Duration::from_secs(60), &CancellationToken::new()).await.unwrap();
    assert!(String::from_utf8(roles).unwrap().contains("CREATE ROLE holdpoint_scratch;"));
    let available = server.extensions().await.unwrap();
    let trigrams = available.iter().find(|extension| extension.name == "pg_trgm").unwrap();
    let version = trigrams.default_version.clone().unwrap();
    let gaps = extension_gaps([("pg_trgm", version.as_str()), ("postgis", "3.5")], &available);
    assert_eq!(gaps, [ExtensionGap { name: "postgis".into(), needed: "3.5".into(), reason: GapReason::Absent }]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn loopback_asks_for_the_password() {
    let base = open_directory();
    let server = start(LocalOptions { tcp: true, ..local(18, base.path()) }).await.unwrap();
    let endpoint = server.settings().endpoint();
    assert!(endpoint.starts_with("127.0.0.1:"), "{endpoint}");
    assert_eq!(ask(server.settings(), "SELECT host(inet_server_addr())").await, "127.0.0.1");
    let wrong = settings(&format!("postgresql://holdpoint_scratch:x@{endpoint}/postgres?sslmode=disable"));
    let refused = Session::connect(&wrong, &SessionPurpose::new("test")).await.unwrap_err();
    assert!(matches!(refused, Error::WrongPassword { .. }), "{refused}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_long_base_directory_gets_a_short_socket() {
    let base = open_directory();
    let long = base.path().join("x".repeat(100));
    let server = start(local(18, &long)).await.unwrap();
    let endpoint = server.settings().endpoint();
    assert!(endpoint.starts_with("/tmp/holdpoint-socket-"), "{endpoint}");
    server.stop().await.unwrap();
    assert!(is_empty(&long));
    assert!(!Path::new(endpoint.rsplit_once(':').unwrap().0).exists());
}

#[tokio::test]
async fn what_cannot_start_says_why_and_leaves_nothing() {
    let base = open_directory();
    let preload = LocalOptions { preload_libraries: vec!["timescaledb".into()], ..local(18, base.path()) };
    let error = start(preload).await.unwrap_err();
    assert!(error.to_string().contains("timescaledb"), "{error}");
    let Error::Process(process) = &error else { panic!("{error}") };
    assert_eq!(Cause::of(process.stderr_tail()), Cause::LibraryMissing { library: "timescaledb".into() });
    assert!(is_empty(base.path()));

    let absent = LocalOptions {
        search: ProgramSearch { without_distributions: true, ..ProgramSearch::default() },
        ..local(18, base.path())
    };
    assert!(matches!(start(absent).await, Err(Error::ProgramMissing(_))));
    let stranger = LocalOptions { user: Some("no-such-user-here".into()), ..local(18, base.path()) };
    if RunAs::for_server(None).unwrap().is_some() {
        assert!(matches!(start(stranger).await, Err(Error::Process(holdpoint_process::Error::NoSuchUser { .. }))));
        let closed = tempfile::tempdir().unwrap();
        fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let inside = closed.path().join("inside");
        let error = start(local(18, &inside)).await.unwrap_err();
        assert!(matches!(error, Error::ScratchPlace { .. }), "{error}");
    }
    assert!(is_empty(base.path()));
}

#[tokio::test]
async fn a_umask_closes_nothing_to_the_servers_user() {
    let base = open_directory();
    let keep = ["-c", "umask 077 && exec \"$0\" scratch-keeper"].map(std::ffi::OsString::from);
    let keeper_arguments = keep.into_iter().chain([keeper().into_os_string()]).collect();
    let options = LocalOptions { keeper_executable: "/bin/sh".into(), keeper_arguments, ..local(18, base.path()) };
    let server = start(options).await.unwrap();
    let data = server.data_directory().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let passable = if RunAs::for_server(None).unwrap().is_some() { 0o711 } else { 0o700 };
    assert_eq!([mode(data), mode(data.parent().unwrap())], [0o700, passable]);
    server.stop().await.unwrap();
    assert!(is_empty(base.path()));
}

#[tokio::test]
async fn cancelling_the_start_leaves_nothing() {
    let base = open_directory();
    let cancel = CancellationToken::new();
    let options = ScratchOptions::Local(Box::new(local(18, base.path())));
    let canceller = async {
        while is_empty(base.path()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        cancel.cancel();
    };
    let (started, ()) = tokio::join!(ScratchServer::start(&options, &cancel), canceller);
    assert!(matches!(started, Err(Error::Process(error)) if error.is_cancelled()));
    assert!(is_empty(base.path()));
}

#[tokio::test]
async fn a_server_that_dies_is_noticed_and_removed() {
    let base = open_directory();
    let mut server = start(local(18, base.path())).await.unwrap();
    let pid = i32::try_from(server.pid().unwrap()).unwrap();
    let session = Session::connect(server.settings(), &SessionPurpose::new("test")).await.unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
    assert_eq!(server.ended().await.reason, "ended with signal 9 (SIGKILL)");
    server.stop().await.unwrap();
    drop(session);
    assert!(is_empty(base.path()));
}

#[tokio::test]
async fn a_killed_keeper_with_a_real_server_is_swept() {
    let base = open_directory();
    let mut server = start(local(14, base.path())).await.unwrap();
    let postmaster = server.pid().unwrap();
    let lock = fs::read_dir("/proc").unwrap().flatten().find_map(|process| {
        let pid: i32 = process.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{postmaster}/stat")).ok()?;
        (stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse() == Ok(pid)).then_some(pid)
    });
    let keeper = rustix::process::Pid::from_raw(lock.unwrap()).unwrap();
    rustix::process::kill_process(keeper, rustix::process::Signal::KILL).unwrap();
    assert_eq!(server.ended().await.reason, "lost its keeper");
    assert!(is_running(postmaster));
    let path = base.path().to_owned();
    let swept =
        tokio::task::spawn_blocking(move || holdpoint_process::keeper::sweep(&path, std::time::UNIX_EPOCH).unwrap());
    let swept = swept.await.unwrap();
    assert_eq!(swept.removed.len(), 1, "{swept:?}");
    assert_eq!(swept.removed[0].server_pid, Some(postmaster));
    assert!(!is_running(postmaster) && is_empty(base.path()));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn kill_9_of_the_parent_leaves_no_server_and_no_directory() {
    for major in [14, 18] {
        let base = open_directory();
        let mut parent = Program::new(keeper())
            .argument("parent")
            .argument(postgresql_directory())
            .arguments([&major.to_string()])
            .argument(base.path())
            .stdout(Stdout::Piped)
            .start()
            .unwrap();
        let mut lines = BufReader::new(parent.take_stdout().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("starting"));
        let ready = lines.next_line().await.unwrap().expect("a server");
        let postmaster: u32 = ready.strip_prefix("ready ").unwrap().parse().unwrap();
        assert!(is_running(postmaster) && !is_empty(base.path()));
        parent.signal_group(rustix::process::Signal::KILL);
        parent.wait().await.unwrap();
        for _ in 0..30000 {
            if !is_running(postmaster) && is_empty(base.path()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!is_running(postmaster) && is_empty(base.path()));
    }
}

#[tokio::test]
async fn kill_9_of_the_parent_at_any_moment_of_the_start_leaves_nothing() {
    let base = open_directory();
    for moment in [5, 40, 120, 250, 400, 600] {
        let mut parent = Program::new(keeper())
            .argument("parent")
            .argument(postgresql_directory())
            .argument("18")
            .argument(base.path())
            .stdout(Stdout::Piped)
            .start()
            .unwrap();
        let mut lines = BufReader::new(parent.take_stdout().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("starting"));
        tokio::time::sleep(Duration::from_millis(moment)).await;
        parent.signal_group(rustix::process::Signal::KILL);
        parent.wait().await.unwrap();
        // The keeper may not have made its directory yet: empty must stay empty.
        let mut empty_for = 0;
        for _ in 0..30000 {
            empty_for = if is_empty(base.path()) { empty_for + 1 } else { 0 };
            if empty_for == 50 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(empty_for == 50, "killed after {moment} ms");
    }
}

#[tokio::test]
async fn a_given_server_gets_its_own_databases_back_out() {
    let cluster = Cluster::new(18);
    let given = GivenOptions { settings: settings(&cluster.url("postgres")) };
    let never = CancellationToken::new();
    let server = ScratchServer::start(&ScratchOptions::Url(Box::new(given)), &never).await.unwrap();
    let made = server.create_database("shop", &DatabaseLocale::c("UTF8")).await.unwrap();
    assert!(made.database().starts_with("holdpoint_scratch_") && made.database().ends_with("_shop"));
    server.create_database("other", &DatabaseLocale::c("UTF8")).await.unwrap();
    let session = Session::connect(&made, &SessionPurpose::new("in the way")).await.unwrap();
    server.stop().await.unwrap();
    drop(session);
    assert_eq!(cluster.psql("postgres", "SELECT count(*) FROM pg_database").trim(), "3");
    assert!(cluster.pid().is_some_and(is_running), "the server itself is not ours");
}

fn command(up: &str, down: &str) -> CommandOptions {
    CommandOptions {
        up: up.into(),
        down: down.into(),
        up_within: Duration::from_secs(120),
        down_within: Duration::from_secs(120),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        mask: Mask::new(["known-to-holdpoint".to_owned()]),
    }
}

#[tokio::test]
async fn a_command_brings_it_up_and_down() {
    let cluster = Cluster::new(18);
    let log = tempfile::NamedTempFile::new().unwrap();
    let (url, path) = (cluster.url("postgres"), log.path().display());
    let up = format!("echo up $HOLDPOINT_SCRATCH_ID >> {path}; echo creating; echo '{url}'; echo");
    let down = format!("echo down $HOLDPOINT_SCRATCH_ID $HOLDPOINT_SCRATCH_URL >> {path}");
    let never = CancellationToken::new();
    let server = ScratchServer::start(&ScratchOptions::Command(command(&up, &down)), &never).await.unwrap();
    assert_eq!(server.major(), 18);
    assert!(server.data_directory().is_none());
    server.stop().await.unwrap();
    let log = fs::read_to_string(log.path()).unwrap();
    let lines: Vec<Vec<&str>> = log.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert_eq!(lines[1], ["down", lines[0][1], url.as_str()]);
}

#[tokio::test]
async fn what_the_commands_write_is_told_without_secrets() {
    let cluster = Cluster::new(18);
    let never = CancellationToken::new();
    let up = "echo trying known-to-holdpoint API_TOKEN=made-by-itself postgresql://x:in-a-url@h/d >&2; exit 4";
    let error = ScratchServer::start(&ScratchOptions::Command(command(up, "true")), &never).await.unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(told.contains("trying ***"), "{told}");
    for secret in ["known-to-holdpoint", "made-by-itself", "in-a-url"] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
    // What it printed as the password of its URL is a secret from then on, without its URL, too.
    let url = cluster.url("postgres").replacen('@', ":p%40inted-once@", 1);
    let down = "echo cannot remove p@inted-once, $HOLDPOINT_SCRATCH_URL >&2; exit 1";
    let server =
        ScratchServer::start(&ScratchOptions::Command(command(&format!("echo '{url}'"), down)), &never).await.unwrap();
    let told = server.stop().await.unwrap_err().to_string();
    assert!(told.contains("cannot remove ***") && !told.contains("inted-once"), "{told}");
}

#[tokio::test]
async fn down_follows_every_up_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let down = format!("echo x >> {}", folder.path().join("downs").display());
    let never = CancellationToken::new();
    let mut slow = command("sleep 60", &down);
    slow.up_within = Duration::from_millis(200);
    let cases = [
        (command("echo no quota >&2; exit 4", &down), "no quota"),
        (command("echo ready", &down), "not a postgresql:// URL"),
        (command("true", &down), "printed no URL"),
        (slow, "did not end within 0.2 s"),
        (command("echo postgresql://x:hunter2@127.0.0.1:1/x?sslmode=disable", &down), "127.0.0.1:1"),
    ];
    let count = cases.len();
    for (options, words) in cases {
        let error = ScratchServer::start(&ScratchOptions::Command(options), &never).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("downs")).unwrap().lines().count(), count);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let cancelled = ScratchServer::start(&ScratchOptions::Command(command("sleep 60", &down)), &cancel).await;
    assert!(matches!(cancelled, Err(Error::Process(error)) if error.is_cancelled()));
    assert_eq!(fs::read_to_string(folder.path().join("downs")).unwrap().lines().count(), count + 1);
}
