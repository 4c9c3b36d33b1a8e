use std::fs::{self, File};
use std::time::Duration;

use holdpoint_postgres::programs::{
    Cause, DumpFormat, DumpSelection, PgDump, PgDumpall, PgRestore, ProgramName, ProgramSearch, Psql, RestoreSection,
    exact_table, judge,
};
use holdpoint_postgres::{Error, Session, SessionPurpose};
use holdpoint_process::Status;
use holdpoint_testkit::{Cluster, MAJORS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use crate::{client, open_directory, script, search, settings};

const MINUTE: Duration = Duration::from_secs(60);

async fn dump(dump: &PgDump, client: &holdpoint_postgres::programs::ClientProgram) -> Result<Vec<u8>, Error> {
    let mut running = dump.program().await?.start()?;
    let mut archive = Vec::new();
    running.take_stdout().unwrap().read_to_end(&mut archive).await.unwrap();
    judge(client, running.wait().await?).map(|_| archive)
}

#[tokio::test]
async fn finds_every_major_and_program() {
    let never = CancellationToken::new();
    for major in MAJORS {
        for name in [ProgramName::PgDump, ProgramName::PgDumpall, ProgramName::PgRestore, ProgramName::Initdb] {
            let found = search().find(name, major, &never).await.unwrap();
            assert_eq!((found.name, found.version.major), (name, major));
            assert!(found.version.minor.is_some());
        }
    }
}

#[tokio::test]
async fn looks_in_the_documented_order() {
    let folder = open_directory();
    let (configured, path, cache) =
        (folder.path().join("own"), folder.path().join("path"), folder.path().join("cache"));
    let fake = |directory: std::path::PathBuf, version: &str| {
        script(&directory.join("pg_dump"), &format!("echo 'pg_dump (PostgreSQL) {version}'"))
    };
    let never = CancellationToken::new();
    let mut search = ProgramSearch {
        configured: None,
        path: vec![path.clone()],
        cache: Some(cache.clone()),
        without_distributions: true,
    };
    let in_cache = fake(cache.join("17/bin"), "17.1");
    assert_eq!(search.find(ProgramName::PgDump, 17, &never).await.unwrap().path, in_cache);
    let in_path = fake(path.clone(), "17.2 (Debian 17.2-1)");
    assert_eq!(search.find(ProgramName::PgDump, 17, &never).await.unwrap().path, in_path);
    search.configured = Some(configured.clone());
    let by_major = fake(configured.join("17/bin"), "17.3");
    assert_eq!(search.find(ProgramName::PgDump, 17, &never).await.unwrap().path, by_major);
    // The configured folder itself holds another version: it is passed over, not taken.
    fake(configured, "16.4");
    assert_eq!(search.find(ProgramName::PgDump, 17, &never).await.unwrap().path, by_major);
}

#[tokio::test]
async fn a_missing_program_is_told_with_what_is_there() {
    let folder = open_directory();
    let bin = folder.path().join("bin");
    script(&bin.join("pg_dump"), "echo 'pg_dump (PostgreSQL) 16.4'");
    let odd = folder.path().join("odd");
    script(&odd.join("pg_dump"), "echo 'pg_dump made at home'");
    let broken = folder.path().join("broken");
    script(
        &broken.join("pg_dump"),
        "echo 'pg_dump: error while loading shared libraries: libpq.so.5: gone' >&2; exit 127",
    );
    let wrapped = folder.path().join("wrapped");
    script(&folder.path().join("pg_wrapper"), "echo 'pg_dump (PostgreSQL) 17.9'");
    fs::create_dir(&wrapped).unwrap();
    std::os::unix::fs::symlink(folder.path().join("pg_wrapper"), wrapped.join("pg_dump")).unwrap();
    let search = ProgramSearch {
        path: vec![bin.clone(), odd, broken, wrapped.clone(), folder.path().join("absent")],
        without_distributions: true,
        ..ProgramSearch::default()
    };
    let never = CancellationToken::new();
    let error = search.find_for_server(ProgramName::PgDump, 17, None, &never).await.unwrap_err();
    let Error::ProgramMissing(missing) = &error else { panic!("{error}") };
    assert_eq!(missing.found.len(), 3, "a wrapper chooses by its own rules and does not count");
    assert!(missing.looked_in.contains(&wrapped) && missing.looked_in.len() == 4);
    let text = error.to_string();
    for part in [
        "no pg_dump 17: ",
        &format!("pg_dump 16 found in {}", bin.display()),
        "made at home",
        "libpq.so.5",
        "postgresql-client-17",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    // A newer one only when it is asked for, an older one never.
    let newer = ProgramSearch { path: vec![bin], ..search };
    assert!(newer.find_for_server(ProgramName::PgDump, 15, None, &never).await.is_err());
    assert_eq!(newer.find_for_server(ProgramName::PgDump, 15, Some(16), &never).await.unwrap().version.major, 16);
    let too_old = newer.find_for_server(ProgramName::PgDump, 17, Some(16), &never).await;
    assert!(matches!(too_old, Err(Error::ClientTooOld { client_major: 16, server_major: 17 })));
}

#[tokio::test]
async fn dumps_lists_and_restores() {
    for major in [14, 18] {
        let cluster = Cluster::shared(major);
        // A name that libpq would read as a connection string.
        let (source, target) = (format!("a=b'c {major}"), format!("t=\\d {major}"));
        cluster.create_database(&source);
        cluster.create_database(&target);
        cluster.psql(&source, "CREATE TABLE kept (n int PRIMARY KEY); INSERT INTO kept SELECT generate_series(1, 100); CREATE TABLE \"Left.out\" (n int)");
        let pg_dump = client(ProgramName::PgDump, major).await;
        let pg_restore = client(ProgramName::PgRestore, major).await;
        let from = settings(&cluster.url(&source));
        let selection =
            DumpSelection { exclude_tables: vec![exact_table("public", "Left.out")], ..DumpSelection::default() };
        let call = PgDump::new(&pg_dump, &from, "-c timezone=UTC").selection(selection).lock_wait_timeout(MINUTE);
        let archive = dump(&call, &pg_dump).await.unwrap();
        assert!(archive.starts_with(b"PGDMP"));

        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &archive).unwrap();
        let never = CancellationToken::new();
        let listed = PgRestore::of_file(&pg_restore, file.path()).list(MINUTE, &never).await.unwrap();
        let listed = String::from_utf8(listed).unwrap();
        assert!(listed.contains("TABLE DATA public kept") && !listed.contains("Left.out"), "{listed}");
        let opened = File::open(file.path()).unwrap();
        let piped = PgRestore::of_stdin(&pg_restore).list_of(opened, MINUTE, &never).await.unwrap();
        assert!(String::from_utf8(piped).unwrap().contains("TABLE DATA public kept"));

        let into = settings(&cluster.url(&target));
        let sections = PgRestore::of_file(&pg_restore, file.path()).no_tablespaces();
        sections.clone().section(RestoreSection::PreData).run_into(&into, "", &never).await.unwrap();
        assert_eq!(cluster.psql(&target, "SELECT count(*) FROM kept").trim(), "0");
        let rest = sections.section(RestoreSection::Data).section(RestoreSection::PostData).jobs(2);
        rest.run_into(&into, "", &never).await.unwrap();
        assert_eq!(cluster.psql(&target, "SELECT sum(n) FROM kept").trim(), "5050");

        let again = PgRestore::of_file(&pg_restore, file.path()).run_into(&into, "", &never).await.unwrap_err();
        let Error::ProgramFailed { status: Status::Code(1), stderr_tail, .. } = &again else { panic!("{again}") };
        assert!(stderr_tail.contains("already exists"), "{stderr_tail}");

        cluster.psql(&target, "DROP TABLE kept");
        let mut running = PgRestore::of_stdin(&pg_restore).into_database(&into, "").await.unwrap().start().unwrap();
        let mut stdin = running.take_stdin().unwrap();
        stdin.write_all(&archive).await.unwrap();
        drop(stdin);
        judge(&pg_restore, running.wait().await.unwrap()).unwrap();
        assert_eq!(cluster.psql(&target, "SELECT sum(n) FROM kept").trim(), "5050");
        cluster.drop_database(&source);
        cluster.drop_database(&target);
    }
}

#[tokio::test]
async fn dumps_in_an_exported_snapshot_with_the_sessions_text_form() {
    let cluster = Cluster::shared(18);
    cluster.create_database("snapshot");
    cluster.psql("snapshot", "ALTER DATABASE snapshot SET timezone = 'Asia/Tokyo'");
    cluster.psql("snapshot", "CREATE TABLE t AS SELECT timestamptz '2026-01-01 00:00:00+00' AS at");
    let from = settings(&cluster.url("snapshot"));
    let session = Session::connect(&from, &SessionPurpose::new("test")).await.unwrap();
    let form = session.pin_text_form().await.unwrap();
    session.run("begin", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.unwrap();
    let id: String = session.query_one("export", "SELECT pg_export_snapshot()", &[]).await.unwrap().get(0);
    cluster.psql("snapshot", "INSERT INTO t VALUES (now())");
    let pg_dump = client(ProgramName::PgDump, 18).await;
    let call = PgDump::new(&pg_dump, &from, &form.pg_options()).snapshot(&id).format(DumpFormat::Plain);
    let text = String::from_utf8(dump(&call, &pg_dump).await.unwrap()).unwrap();
    assert!(text.contains("2026-01-01 00:00:00+00\n\\."), "one row, in UTC: {text}");
    let call = PgDump::new(&pg_dump, &from, "").snapshot(&id).format(DumpFormat::Plain).schema_only();
    let text = String::from_utf8(dump(&call, &pg_dump).await.unwrap()).unwrap();
    assert!(text.contains("CREATE TABLE public.t") && !text.contains("COPY public.t"));
    session.close().await;
    cluster.drop_database("snapshot");
}

#[tokio::test]
async fn failures_have_causes_and_no_secrets() {
    let cluster = Cluster::new(18);
    cluster.psql("postgres", "CREATE ROLE reader LOGIN; CREATE DATABASE causes");
    cluster.psql("causes", "CREATE TABLE secret (n int); CREATE TABLE hidden (n int); GRANT SELECT ON hidden TO reader; ALTER TABLE hidden ENABLE ROW LEVEL SECURITY");
    let pg_dump = client(ProgramName::PgDump, 18).await;
    let cause = |error: Error| match error {
        Error::ProgramFailed { cause, .. } => *cause,
        other => panic!("{other}"),
    };
    let reader = settings(&cluster.url_as("reader", "causes"));
    let denied = dump(&PgDump::new(&pg_dump, &reader, ""), &pg_dump).await.unwrap_err();
    assert_eq!(
        denied.to_string().split(" (").next(),
        Some("pg_dump 18 ended with exit code 1: permission denied for table secret")
    );
    assert_eq!(cause(denied), Cause::PermissionDenied { object: "table secret".into() });

    cluster.psql("causes", "GRANT SELECT ON secret TO reader");
    let hidden = dump(&PgDump::new(&pg_dump, &reader, ""), &pg_dump).await.unwrap_err();
    assert_eq!(cause(hidden), Cause::RowSecurity { table: "hidden".into() });

    let owner = settings(&cluster.url("causes"));
    let session = Session::connect(&owner, &SessionPurpose::new("test")).await.unwrap();
    session.run("lock", "BEGIN; LOCK TABLE secret").await.unwrap();
    let waiting = PgDump::new(&pg_dump, &owner, "").lock_wait_timeout(Duration::from_millis(100));
    let locked = dump(&waiting, &pg_dump).await.unwrap_err();
    assert!(locked.is_transient());
    assert_eq!(cause(locked), Cause::LockTimeout);
    session.close().await;

    let absent = dump(&PgDump::new(&pg_dump, &settings(&cluster.url("absent")), ""), &pg_dump).await.unwrap_err();
    assert_eq!(cause(absent), Cause::ObjectMissing { object: "database \"absent\"".into() });
    let pattern = DumpSelection { tables: vec!["nothing_like_this".into()], ..DumpSelection::default() };
    let unmatched = dump(&PgDump::new(&pg_dump, &owner, "").selection(pattern), &pg_dump).await.unwrap_err();
    assert!(matches!(cause(unmatched), Cause::ObjectMissing { .. }));

    let older = client(ProgramName::PgDump, 14).await;
    let mismatch = dump(&PgDump::new(&older, &owner, ""), &older).await.unwrap_err();
    assert_eq!(cause(mismatch), Cause::ServerVersionMismatch);

    let gone = settings("postgresql://x:hunter2@127.0.0.1:1/x?sslmode=disable");
    let error = dump(&PgDump::new(&pg_dump, &gone, ""), &pg_dump).await.unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"));
    assert_eq!(cause(error), Cause::ConnectionLost);
    let shown = format!("{:?}", PgDump::new(&pg_dump, &gone, "").program().await.unwrap());
    assert!(!shown.contains("hunter2") && shown.contains("PGPASSWORD"), "{shown}");

    let never = CancellationToken::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), b"PGDMP\x01\x63\x00\x04\x08\x01").unwrap();
    let pg_restore = client(ProgramName::PgRestore, 18).await;
    let newer = PgRestore::of_file(&pg_restore, file.path()).list(MINUTE, &never).await.unwrap_err();
    assert_eq!(cause(newer), Cause::UnsupportedArchive);
}

#[tokio::test]
async fn roles_come_without_passwords_and_without_rights() {
    let cluster = Cluster::new(18);
    cluster.psql("postgres", "CREATE ROLE app LOGIN PASSWORD 'geheim'; CREATE ROLE plain LOGIN; REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; CREATE DATABASE shop");
    let pg_dumpall = client(ProgramName::PgDumpall, 18).await;
    let plain = settings(&cluster.url_as("plain", "shop"));
    let roles = PgDumpall::new(&pg_dumpall, &plain).roles(MINUTE, &CancellationToken::new()).await.unwrap();
    let roles = String::from_utf8(roles).unwrap();
    assert!(roles.contains("CREATE ROLE app;") && !roles.contains("PASSWORD") && !roles.contains("SCRAM"), "{roles}");
}

#[tokio::test]
async fn psql_stops_at_the_first_error() {
    let cluster = Cluster::shared(18);
    cluster.create_database("script");
    let psql = client(ProgramName::Psql, 18).await;
    let into = settings(&cluster.url("script"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("-odd name.sql");
    fs::write(&path, "CREATE TABLE a (n int);\nSELECT * FROM nowhere;\nCREATE TABLE b (n int);\n").unwrap();
    let tables =
        || cluster.psql("script", "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").trim().to_owned();
    let ended = Psql::new(&psql, &into)
        .single_transaction()
        .script(&path)
        .await
        .unwrap()
        .start()
        .unwrap()
        .wait()
        .await
        .unwrap();
    assert_eq!(ended.status, Status::Code(3));
    assert_eq!(tables(), "0");
    let ended = Psql::new(&psql, &into).script(&path).await.unwrap().start().unwrap().wait().await.unwrap();
    assert_eq!(ended.status, Status::Code(3));
    assert!(judge(&psql, ended).unwrap_err().to_string().contains("relation \"nowhere\" does not exist"));
    assert_eq!(tables(), "1");
    let mut running = Psql::new(&psql, &into).piped().await.unwrap().start().unwrap();
    running.take_stdin().unwrap().write_all(b"CREATE TABLE c (n int);").await.unwrap();
    judge(&psql, running.wait().await.unwrap()).unwrap();
    assert_eq!(tables(), "2");
    cluster.drop_database("script");
}
