//! Dumps that holdpoint did not make, selectors, and replacing what is not production.

use std::path::Path;
use std::sync::Arc;

use holdpoint_core::selector::Selector;
use holdpoint_core::verification::Level;
use holdpoint_operations::backup::backup;
use holdpoint_operations::restore::{Replace, RestoreOptions, restore};
use holdpoint_operations::selection::resolve;
use holdpoint_operations::verify::verify;
use holdpoint_operations::{Error, ErrorKind};
use holdpoint_postgres::connection::Environment;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use holdpoint_repository::{LocalDirectory, ObjectStore};
use holdpoint_testkit::{Cluster, ClusterOptions, expect_success};

use crate::support;

const SCHEMA: &str = "
    CREATE TABLE customers (id int PRIMARY KEY, email text);
    INSERT INTO customers SELECT i, 'person' || i || '@example.com' FROM generate_series(1, 3000) i;
    SELECT lo_from_bytea(4000000001, 'large');
";

fn options(cluster: &Cluster, from: &str, into: &str) -> RestoreOptions {
    RestoreOptions {
        from: from.parse().unwrap(),
        into: support::settings(cluster, into),
        programs: support::programs(cluster),
        jobs: 2,
        parallel_above_bytes: holdpoint_operations::PARALLEL_ABOVE_BYTES,
        replace: None,
        no_owner: false,
        no_privileges: false,
        source: None,
        dry_run: false,
        foreign: None,
    }
}

fn count(cluster: &Cluster, database: &str) -> String {
    cluster.psql(database, "SELECT count(*) || ' ' || count(DISTINCT email) FROM customers").trim().to_owned()
}

fn dump(cluster: &Cluster, arguments: &[&str], to: &Path) {
    let mut command = cluster.program("pg_dump");
    command.args(arguments).arg("-f").arg(to).arg("shop");
    expect_success(&mut command);
}

fn gzip(from: &Path) {
    let status = std::process::Command::new("gzip").arg("-f").arg(from).status().unwrap();
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_dump_restores_and_a_cut_one_leaves_nothing() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql("shop", SCHEMA);
    let place = support::place("shop").await;
    let folder = tempfile::tempdir().unwrap();
    // The server's user writes the dumps as whoever runs the test; only the names matter here.
    let at = |name: &str| folder.path().join(name);
    dump(&cluster, &["-Fp"], &at("a.sql"));
    dump(&cluster, &["-Fp"], &at("b.sql"));
    gzip(&at("b.sql"));
    dump(&cluster, &["-Fc"], &at("c.dump"));
    dump(&cluster, &["-Fd", "-j2"], &at("d.dir"));
    dump(&cluster, &["-Ft"], &at("e.tar"));
    dump(&cluster, &["-Fc"], &at("f.dump"));
    gzip(&at("f.dump"));
    for (n, name) in ["a.sql", "b.sql.gz", "c.dump", "d.dir", "e.tar", "f.dump.gz"].iter().enumerate() {
        let target = format!("from_{n}");
        cluster.create_database(&target);
        let from = at(name).display().to_string();
        let report = restore(&place.context, &options(&cluster, &from, &target)).await.unwrap();
        assert!(report.point.is_none() && report.compared.is_none());
        assert_eq!(count(&cluster, &target), "3000 3000", "{name}");
        assert_eq!(cluster.psql(&target, "SELECT convert_from(lo_get(4000000001), 'UTF8')").trim(), "large");
    }
    // The same from object storage.
    let store: Arc<dyn ObjectStore> = Arc::new(LocalDirectory::new(folder.path()).unwrap());
    cluster.create_database("from_store");
    let mut from_store = options(&cluster, "s3://bucket/c.dump", "from_store");
    from_store.foreign = Some((store, "c.dump".to_owned()));
    restore(&place.context, &from_store).await.unwrap();
    assert_eq!(count(&cluster, "from_store"), "3000 3000");

    // Cut and damaged dumps fail and leave an empty database; what is no dump is named.
    for (name, cut) in [("b.sql.gz", 1000), ("b.sql.gz", 8), ("c.dump", 500), ("e.tar", 40_000)] {
        let whole = std::fs::read(at(name)).unwrap();
        std::fs::write(at("cut"), &whole[..whole.len() - cut]).unwrap();
        cluster.create_database("cut");
        let from = at("cut").display().to_string();
        let failed = restore(&place.context, &options(&cluster, &from, "cut")).await;
        assert!(failed.is_err(), "{name} cut by {cut}");
        let left = cluster.psql("cut", "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace");
        assert_eq!(left.trim(), "0", "{name} cut by {cut}");
        cluster.drop_database("cut");
    }
    // A directory whose rows are cut at a line: pg_restore itself would take that for their end.
    dump(&cluster, &["-Fd", "-Z0"], &at("g.dir"));
    let data = std::fs::read_dir(at("g.dir")).unwrap().map(|entry| entry.unwrap().path());
    let data = data.filter(|path| path.extension().is_some_and(|end| end == "dat"));
    let rows = data.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let whole = std::fs::read(&rows).unwrap();
    let half = whole[..whole.len() / 2].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    std::fs::write(&rows, &whole[..half]).unwrap();
    cluster.create_database("nothing");
    let from = at("g.dir").display().to_string();
    let error = restore(&place.context, &options(&cluster, &from, "nothing")).await.unwrap_err();
    assert!(matches!(error, Error::CutDump { .. }), "{error}");
    for (content, kind) in [(&b""[..], ErrorKind::NotFound), (b"\x7fELF\0\0", ErrorKind::NotFound)] {
        std::fs::write(at("no.dump"), content).unwrap();
        let from = at("no.dump").display().to_string();
        let error = restore(&place.context, &options(&cluster, &from, "nothing")).await.unwrap_err();
        assert!(matches!(error, Error::NotADump { .. }), "{error}");
        assert_eq!(error.kind(), kind);
    }
    let missing = at("missing.dump").display().to_string();
    let error = restore(&place.context, &options(&cluster, &missing, "nothing")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_is_replaced_masked_and_production_never() {
    let cluster = Cluster::start(ClusterOptions::major(17));
    cluster.create_database("shop");
    cluster.psql("shop", SCHEMA);
    cluster.create_database("staging");
    cluster.psql("staging", "CREATE TABLE old (id int); INSERT INTO old VALUES (1)");
    // Production's own properties are not staging's: this one would not even let the masking write.
    cluster.psql(
        "postgres",
        "CREATE ROLE keeper; CREATE ROLE tester LOGIN; CREATE ROLE reader LOGIN; GRANT pg_read_all_data TO reader;
         ALTER DATABASE shop SET default_transaction_read_only = on;
         ALTER DATABASE staging OWNER TO keeper; ALTER DATABASE staging SET app.env = 'staging';
         ALTER DATABASE staging SET search_path = '$user', 'Odd, one', public;
         ALTER DATABASE staging CONNECTION LIMIT 7; COMMENT ON DATABASE staging IS 'for tests';
         REVOKE CONNECT ON DATABASE staging FROM PUBLIC; GRANT CONNECT ON DATABASE staging TO tester",
    );
    let properties = || {
        let sql = "SELECT datdba::regrole, datconnlimit, shobj_description(d.oid, 'pg_database'), \
                          (SELECT string_agg(i, ';' ORDER BY i) FROM unnest(datacl::text[]) i), setconfig \
                   FROM pg_database d JOIN pg_db_role_setting ON setdatabase = d.oid WHERE datname = 'staging'";
        cluster.psql("postgres", sql)
    };
    let before = properties();
    assert!(before.contains("keeper") && before.contains("app.env=staging") && before.contains("Odd"), "{before}");
    let place = support::place("shop").await;
    let source = support::source(&cluster, "shop");
    let made = backup(&place.context, &source, &support::backup_options()).await.unwrap();
    let masking = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(masking.path(), "SELECT pg_sleep(10); UPDATE customers SET email = 'masked' || id;").unwrap();
    let replace = |keep_old| Some(Replace { after_sql: Some(masking.path().to_owned()), keep_old });
    let mut asked = options(&cluster, made.manifest.id.as_str(), "staging");
    asked.source = Some(source.settings.clone());

    // Without --replace a full target is refused.
    assert!(matches!(restore(&place.context, &asked).await.unwrap_err(), Error::TargetNotEmpty { .. }));
    asked.replace = replace(true);
    asked.dry_run = true;
    assert!(restore(&place.context, &asked).await.unwrap().dry_run);
    assert_eq!(cluster.psql("staging", "SELECT count(*) FROM old").trim(), "1", "a dry run does nothing");
    asked.dry_run = false;
    // A name that is taken is found out before anything is done.
    let taken = format!("staging_before_{}", made.manifest.id.as_str().replace('-', "_").to_lowercase());
    cluster.create_database(&taken);
    let restoring = restore(&place.context, &asked);
    let intruding = async {
        let sleeping = "SELECT datname FROM pg_stat_activity WHERE query LIKE '%pg_sleep(10)%' \
                        AND datname LIKE 'holdpoint_restore_%' AND state = 'active'";
        let beside = loop {
            let name = cluster.psql("postgres", sleeping).trim().to_owned();
            if !name.is_empty() {
                break name;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        // While rows are unmasked nobody reads them, not even who may read everything.
        let error = cluster.try_psql_as("reader", &beside, "SELECT email FROM customers LIMIT 1").unwrap_err();
        assert!(error.contains("permission denied") || error.contains("too many connections"), "{error}");
    };
    let (report, ()) =
        tokio::time::timeout(std::time::Duration::from_secs(600), async { tokio::join!(restoring, intruding) })
            .await
            .unwrap();
    let report = report.unwrap();
    assert_eq!(report.warnings, Vec::<String>::new());
    assert_eq!(properties(), before, "staging keeps its own owner, grants, settings, comment and limit");
    assert!(cluster.try_psql_as("reader", "staging", "SELECT 1").is_err());
    assert!(cluster.try_psql_as("tester", "staging", "SELECT 1").is_ok());
    assert_eq!(report.kept_as, Some(format!("{taken}_2")));
    assert_eq!(cluster.psql("staging", "SELECT count(*) FROM customers WHERE email LIKE 'masked%'").trim(), "3000");
    let kept = report.kept_as.unwrap();
    assert_eq!(cluster.psql(&kept, "SELECT count(*) FROM old").trim(), "1");

    // A masking script that fails leaves staging as it was, and nothing beside it.
    std::fs::write(masking.path(), "UPDATE customers SET no_such_column = 1;").unwrap();
    asked.replace = replace(false);
    assert!(restore(&place.context, &asked).await.is_err());
    assert_eq!(cluster.psql("staging", "SELECT count(*) FROM customers WHERE email LIKE 'masked%'").trim(), "3000");
    let beside = cluster.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'holdpoint%'");
    assert_eq!(beside.trim(), "0");

    // The source itself is never replaced.
    let mut production = options(&cluster, made.manifest.id.as_str(), "shop");
    production.source = Some(source.settings.clone());
    production.replace = replace(false);
    let error = restore(&place.context, &production).await.unwrap_err();
    assert!(matches!(error, Error::ReplaceRefused { .. }), "{error}");
    assert_eq!(count(&cluster, "shop"), "3000 3000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_grants_is_opened_again_and_a_failed_swap_leaves_nothing() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    for name in ["shop", "staging"] {
        cluster.create_database(name);
    }
    cluster.psql("shop", SCHEMA);
    // A restoring role that is no superuser: it owns staging, and cannot end a superuser's session.
    cluster.psql(
        "postgres",
        "CREATE ROLE app LOGIN CREATEDB; CREATE ROLE other LOGIN; ALTER DATABASE staging OWNER TO app",
    );
    cluster.psql("staging", "CREATE TABLE old (id int)");
    let place = support::place("shop").await;
    let made = backup(&place.context, &support::source(&cluster, "shop"), &support::backup_options()).await.unwrap();
    let mut asked = options(&cluster, made.manifest.id.as_str(), "staging");
    asked.into = ConnectionSettings::resolve(&cluster.url_as("app", "staging"), &Environment::default()).unwrap();
    (asked.no_owner, asked.no_privileges) = (true, true);
    asked.replace = Some(Replace { after_sql: None, keep_old: false });
    let databases = || cluster.psql("postgres", "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database");
    let all = databases();
    let stays = Session::connect(&support::settings(&cluster, "staging"), &SessionPurpose::new("stays")).await.unwrap();
    let failed = restore(&place.context, &asked).await;
    assert!(failed.is_err(), "{failed:?}");
    assert_eq!(databases(), all);
    assert_eq!(cluster.psql_as("other", "staging", "SELECT 1").trim(), "1", "open again");
    assert_eq!(cluster.psql("staging", "SELECT count(*) FROM old").trim(), "0");
    stays.close().await;

    let report = restore(&place.context, &asked).await.unwrap();
    assert!(!report.warnings.iter().any(|text| text.contains("was not applied")), "{:?}", report.warnings);
    assert_eq!(databases(), all);
    assert_eq!(count(&cluster, "staging"), "3000 3000");
    assert_eq!(cluster.psql_as("other", "staging", "SELECT 1").trim(), "1", "everybody may connect, as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_target_holds_nothing_at_all() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        &format!(
            "{SCHEMA}; ALTER DATABASE shop SET search_path = '$user', 'Odd, one', public;
         CREATE ROLE boss; CREATE ROLE app; GRANT CONNECT ON DATABASE shop TO boss WITH GRANT OPTION;
         SET ROLE boss; GRANT CONNECT ON DATABASE shop TO app"
        ),
    );
    let place = support::place("shop").await;
    let made = backup(&place.context, &support::source(&cluster, "shop"), &support::backup_options()).await.unwrap();
    let things = [
        ("CREATE TYPE pair AS (a int, b int)", "1 composite type"),
        (
            "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w",
            "1 foreign data wrapper, 1 foreign server",
        ),
        ("CREATE COLLATION c FROM \"C\"", "1 collation"),
        ("CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = simple)", "1 text search dictionary"),
        ("CREATE CAST (integer AS date) WITHOUT FUNCTION", "1 cast"),
        ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", "1 default privilege"),
        ("CREATE LANGUAGE own HANDLER plpgsql_call_handler", "1 procedural language"),
        ("CREATE TABLE a (id int); CREATE TABLE b (id int)", "2 tables"),
    ];
    for (n, (sql, held)) in things.iter().enumerate() {
        let name = format!("holds_{n}");
        cluster.create_database(&name);
        cluster.psql(&name, sql);
        let error = restore(&place.context, &options(&cluster, made.manifest.id.as_str(), &name)).await.unwrap_err();
        assert!(matches!(&error, Error::TargetNotEmpty { holds, .. } if holds == held), "{sql}: {error}");
    }
    // What every database has is nothing; lists arrive, and grants, whoever granted them.
    cluster.create_database("empty");
    let mut asked = options(&cluster, made.manifest.id.as_str(), "empty");
    let report = restore(&place.context, &asked).await.unwrap();
    assert_eq!(report.differences, Vec::new());
    let path = "SELECT array_to_string(setconfig, '') FROM pg_db_role_setting WHERE setdatabase = \
                (SELECT oid FROM pg_database WHERE datname = 'empty')";
    assert_eq!(cluster.psql("postgres", path).trim(), r#"search_path="$user", "Odd, one", public"#);
    cluster.create_database("without");
    asked.into = support::settings(&cluster, "without");
    asked.no_owner = true;
    let report = restore(&place.context, &asked).await.unwrap();
    assert!(report.warnings.iter().any(|text| text.contains("neither applied nor compared")), "{:?}", report.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_find_the_point_they_name() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql("shop", SCHEMA);
    let scratch = Cluster::start(ClusterOptions::major(18));
    let place = support::place("shop").await;
    let source = support::source(&cluster, "shop");
    let find = async |text: &str| resolve(&place.context, &text.parse::<Selector>().unwrap()).await;
    assert_eq!(find("latest").await.unwrap_err().kind(), ErrorKind::NotFound);
    let first = backup(&place.context, &source, &support::backup_options()).await.unwrap().manifest;
    let options = support::verify_options(&scratch, Level::Stored);
    verify(&place.context, &first.id, &options).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let second = backup(&place.context, &source, &support::backup_options()).await.unwrap().manifest;
    assert!(first.id < second.id);
    assert_eq!(find("latest").await.unwrap(), second.id);
    assert_eq!(find("proven").await.unwrap(), first.id);
    assert_eq!(find(&format!("before:{}", second.snapshot.at.to_rfc3339())).await.unwrap(), first.id);
    assert_eq!(find(first.id.as_str()).await.unwrap(), first.id);
    for text in ["before:2000-01-01T00:00:00Z", "before:2100-01-01T00:00:00Z", "run:20261121T024300Z-k3f9"] {
        assert_eq!(find(text).await.unwrap_err().kind(), ErrorKind::NotFound, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_never_writes_into_the_folder() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    for name in ["shop", "clone"] {
        cluster.create_database(name);
        cluster.psql(name, SCHEMA);
    }
    let place = support::place("shop").await;
    backup(&place.context, &support::source(&cluster, "shop"), &support::backup_options()).await.unwrap();
    let clone = support::source(&cluster, "clone");
    let error = backup(&place.context, &clone, &support::backup_options()).await.unwrap_err();
    assert!(matches!(error, Error::AnotherDatabase { .. }), "{error}");
    assert_eq!(place.context.repository.points(&place.context.database).await.unwrap().len(), 1);
    let refused = holdpoint_operations::adopt::adopt(&place.context, &clone, " ").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    holdpoint_operations::adopt::adopt(&place.context, &clone, "moved to a new server").await.unwrap();
    // Ids are told apart by their seed within one second.
    let context = holdpoint_operations::Context { seed: 42, ..place.context.clone() };
    backup(&context, &clone, &support::backup_options()).await.unwrap();
}
