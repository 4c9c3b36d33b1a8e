//! Tables from dumps made elsewhere and from other databases.

use holdpoint_testkit::{Cluster, S3Server, sample};
use holdpoint_tests::{Place, shell};

use super::CONTENT;
use crate::scene::{Scene, name};

/// The shop as it was, beside the damaged one.
fn whole_copy(cluster: &Cluster) -> String {
    let copy = name("whole");
    sample::load_shop(cluster, &copy, 4_000);
    copy
}

#[test]
fn a_dump_made_elsewhere_needs_no_repository() {
    let scene = Scene::local();
    let (whole, _) = scene.damaged();
    let mut place = Place::bare();
    place.unset("HOLDPOINT_REPOSITORY");
    place.source(scene.cluster, &scene.database);
    let copy = whole_copy(scene.cluster);
    std::fs::write(place.work().join("old.dump"), scene.cluster.pg_dump(&copy, &["-Fc"])).unwrap();
    let words = ["recover-table", "shop.orders", "--from", "old.dump", "--mode", "upsert", "--yes", "--json"];
    let report = place.holdpoint(&words).ended_with(0).json();
    assert_eq!(report["tables"][0]["inserted"], 10, "{report:#}");
    assert_eq!(scene.sql(CONTENT), whole);
    scene.cluster.drop_database(&copy);
}

/// No form of dump is ever on this machine's disk: there is no place where it could be.
#[test]
fn dumps_in_s3_are_streamed() {
    let mut scene = Scene::on_s3();
    let (whole, damaged) = scene.damaged();
    let copy = whole_copy(scene.cluster);
    let (server, bucket) = scene.place.bucket().unwrap();
    let (server, bucket): (&'static S3Server, String) = (server, bucket.to_owned());
    let text = scene.cluster.pg_dump(&copy, &["--no-sync"]);
    std::fs::write(scene.place.work().join("nightly.sql"), &text).unwrap();
    shell(&scene.place.work(), &scene.place.environment(), "gzip nightly.sql").ended_with(0);
    let dumps = [
        ("nightly.sql", text),
        ("nightly.sql.gz", std::fs::read(scene.place.work().join("nightly.sql.gz")).unwrap()),
        ("nightly.dump", scene.cluster.pg_dump(&copy, &["-Fc"])),
        ("nightly.tar", scene.cluster.pg_dump(&copy, &["-Ft"])),
    ];
    std::fs::remove_file(scene.place.work().join("nightly.sql.gz")).unwrap();
    scene.place.set("TMPDIR", "/nonexistent");
    for (key, bytes) in &dumps {
        server.put_object(&bucket, &format!("dumps/{key}"), bytes);
        let from = format!("s3://{bucket}/dumps/{key}");
        let report = scene.table(&["shop.orders", "--from", &from, "--mode", "upsert", "--yes"]);
        assert_eq!(
            (&report["tables"][0]["inserted"], &report["archive_bytes"]),
            (&10.into(), &bytes.len().into()),
            "{report:#}"
        );
        assert_eq!(scene.sql(CONTENT), whole, "{key}");
        scene.sql(super::DAMAGE);
        // Cut, it is an error, and nothing has changed.
        server.put_object(&bucket, &format!("dumps/{key}"), &bytes[..bytes.len() * 2 / 3]);
        let words = ["recover-table", "shop.orders", "--from", &from, "--mode", "upsert", "--yes"];
        let told = scene.place.holdpoint(&words);
        assert_eq!(told.code, 4, "{key} is cut: {told:?}");
        assert_eq!((scene.sql(CONTENT), scene.side_schemas()), (damaged.clone(), String::new()), "{key}");
    }
    scene.cluster.drop_database(&copy);
}

/// A folder of `pg_dump -Fd`, file by file.
fn folder(scene: &Scene, database: &str, compress: &str) -> Vec<(String, Vec<u8>)> {
    let made = scene.place.work().join("nightly.dir");
    let line = format!(
        "'{}' -Fd --no-sync -Z {compress} -f nightly.dir '{}'",
        scene.cluster.bin_directory().join("pg_dump").display(),
        scene.cluster.url(database)
    );
    shell(&scene.place.work(), &scene.place.environment(), &line).ended_with(0);
    let files = std::fs::read_dir(&made).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap())
    });
    let files = files.collect();
    std::fs::remove_dir_all(&made).unwrap();
    files
}

/// pg_restore opens its files by name; what it opens are pipes, and its end is not waited for in vain.
#[test]
fn a_folder_in_s3_is_read_through_pipes() {
    let scene = Scene::on_s3();
    let (whole, damaged) = scene.damaged();
    let copy = whole_copy(scene.cluster);
    let (server, bucket) = scene.place.bucket().unwrap();
    let (server, bucket): (&'static S3Server, String) = (server, bucket.to_owned());
    for compress in ["gzip:1", "zstd:1", "0"] {
        let key = format!("dumps/{}", compress.replace(':', "-"));
        let files = folder(&scene, &copy, compress);
        for (name, bytes) in &files {
            server.put_object(&bucket, &format!("{key}/{name}"), bytes);
        }
        // What is no part of the dump is never asked for.
        server.put_object(&bucket, &format!("{key}/999999.dat"), b"");
        server.put_object(&bucket, &format!("{key}/notes.txt"), b"x");
        for from in [format!("s3://{bucket}/{key}"), format!("s3://{bucket}/{key}/toc.dat")] {
            let report = scene.table(&["shop.orders", "--from", &from, "--mode", "upsert", "--yes"]);
            assert_eq!(report["tables"][0]["inserted"], 10, "{report:#}");
            assert_eq!(scene.sql(CONTENT), whole, "{from}");
            scene.sql(super::DAMAGE);
        }
        let target = scene.empty_database();
        let from = format!("s3://{bucket}/{key}");
        let url = scene.cluster.url(&target);
        scene.place.holdpoint(&["restore", "--from", &from, "--into", &url, "--json"]).ended_with(0);
        let count = "SELECT count(*) FROM shop.orders";
        assert_eq!(scene.cluster.psql(&target, count), scene.cluster.psql(&copy, count));
        scene.cluster.drop_database(&target);

        // Cut in its largest file, it is an error, and nothing has changed.
        let (name, bytes) =
            files.iter().filter(|(name, _)| name != "toc.dat").max_by_key(|(_, bytes)| bytes.len()).unwrap();
        server.put_object(&bucket, &format!("{key}/{name}"), &bytes[..bytes.len() * 2 / 3]);
        let told =
            scene.place.holdpoint(&["recover-table", "shop.orders", "--from", &from, "--mode", "upsert", "--yes"]);
        assert!([4, 7].contains(&told.code), "{name} is cut: {told:?}");
        assert_eq!((scene.sql(CONTENT), scene.side_schemas()), (damaged.clone(), String::new()), "{key}");
        let target = scene.empty_database();
        let url = scene.cluster.url(&target);
        let told = scene.place.holdpoint(&["restore", "--from", &from, "--into", &url]);
        assert!([4, 7].contains(&told.code), "{name} is cut: {told:?}");
        assert_eq!(scene.cluster.psql(&target, "SELECT count(*) FROM pg_namespace WHERE nspname = 'shop'"), "0");
        scene.cluster.drop_database(&target);
    }
    let from = format!("s3://{bucket}/dumps/weekly");
    scene.place.holdpoint(&["recover-table", "shop.orders", "--from", &from, "--json"]).ended_with(6);
    scene.cluster.drop_database(&copy);
}

/// As from an instance restored to a point in time.
#[test]
fn another_database() {
    let mut scene = Scene::local();
    let (whole, _) = scene.damaged();
    let copy = whole_copy(scene.cluster);
    let url = scene.cluster.url(&copy);
    scene.place.set("PITR_URL", &url);
    scene.sql("DROP TABLE shop.events");
    let words =
        ["recover-table", "--schema", "shop", "--from-database", "env:PITR_URL", "--mode", "upsert", "--yes", "--json"];
    let report = scene.place.holdpoint(&words).ended_with(0).json();
    assert_eq!(report["tables"].as_array().unwrap().len(), 5, "{report:#}");
    assert_eq!(scene.sql(CONTENT), whole);
    let events = "SELECT md5(string_agg(e::text, '|' ORDER BY id)) FROM shop.events e";
    assert_eq!(scene.sql(events), scene.cluster.psql(&copy, events));
    scene.cluster.drop_database(&copy);
}

/// A role that may read one table of it is enough, and what nobody understands is said to be what it is.
#[test]
fn another_database_with_few_rights() {
    let mut scene = Scene::local();
    let (whole, _) = scene.damaged();
    let copy = whole_copy(scene.cluster);
    let role = name("reader");
    let grants = format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA shop TO {role}; GRANT SELECT ON shop.orders TO {role}"
    );
    scene.cluster.psql(&copy, &grants);
    let url = scene.cluster.url_as(&role, &copy);
    scene.place.set("PITR_URL", &url);
    let run = |table: &str, from: &str| {
        scene.place.holdpoint(&["recover-table", table, "--from-database", from, "--mode", "upsert", "--yes", "--json"])
    };
    let told = run("shop.events", "env:PITR_URL").ended_with(7).failure();
    assert!(
        told.told.contains("cannot read shop.events in database") && told.hint.contains("GRANT SELECT"),
        "{told:?}"
    );
    let told = run("shop.orders", "pitr").ended_with(2).failure();
    assert!(told.told.contains("--from-database is neither a URL nor a [target.NAME]"), "{told:?}");
    run("shop.orders", "env:PITR_URL").ended_with(0);
    assert_eq!((scene.sql(CONTENT), scene.side_schemas()), (whole, String::new()));
    scene.cluster.drop_database(&copy);
    scene.cluster.psql("postgres", &format!("DROP ROLE {role}"));
}

/// A dump that was copied in text mode is not called cut.
#[test]
fn a_dump_with_other_line_ends() {
    let scene = Scene::local();
    let dump = String::from_utf8(scene.cluster.pg_dump(&scene.database, &["--no-sync"])).unwrap();
    std::fs::write(scene.place.work().join("windows.sql"), dump.replace('\n', "\r\n")).unwrap();
    let before = scene.before();
    let words = ["recover-table", "shop.orders", "--from", "./windows.sql", "--mode", "missing", "--yes", "--json"];
    let told = scene.place.holdpoint(&words).ended_with(2).failure();
    assert!(told.told.contains("the lines of ./windows.sql end in CR LF") && told.hint.contains("tr -d"), "{told:?}");
    assert_eq!(scene.side_schemas(), "");
    scene.assert_untouched(&before);
}

/// Rows that the source leaves out are not taken for rows that were not there.
#[test]
fn partitions_whose_rows_were_left_out() {
    let scene = Scene::local();
    scene.sql(
        "CREATE TABLE shop.visits (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE shop.visits_old PARTITION OF shop.visits FOR VALUES FROM (1) TO (11);
         CREATE TABLE shop.visits_new PARTITION OF shop.visits DEFAULT; INSERT INTO shop.visits SELECT generate_series(1, 30)",
    );
    let words = ["backup", "--exclude-table-data", "shop.visits_old", "--json"];
    let made = scene.place.holdpoint(&words).ended_with(0).json();
    let point = made["manifest"]["id"].as_str().unwrap_or_else(|| panic!("{made:#}")).to_owned();
    let dump = |name: &str, arguments: &[&str]| {
        std::fs::write(scene.place.work().join(name), scene.cluster.pg_dump(&scene.database, arguments)).unwrap();
    };
    dump("schema.sql", &["--schema-only"]);
    dump("part.dump", &["-Fc", "-T", "shop.visits_old"]);
    let before = scene.before();
    let refused = |from: &str, code| {
        let words = ["recover-table", "shop.visits", "--from", from, "--mode", "replace", "--yes", "--json"];
        scene.place.holdpoint(&words).ended_with(code).failure()
    };
    for from in [point.as_str(), "./schema.sql"] {
        let told = refused(from, 6);
        assert!(told.told.contains("shop.visits_old") && told.hint.contains("by their own names"), "{told:?}");
    }
    let told = refused("./part.dump", 3);
    assert!(told.told.contains("10 rows of shop.visits_old would be deleted"), "{told:?}");
    let rows = scene.place.holdpoint(&["compare", &point, "--rows", "shop.visits", "--json"]).ended_with(6).failure();
    assert!(rows.told.contains("holds no rows of shop.visits_old"), "{rows:?}");
    assert_eq!(scene.side_schemas(), "");
    scene.assert_untouched(&before);
}

/// As pg_dumpall writes it: nothing tells which database's table is meant.
#[test]
fn a_text_of_several_databases() {
    let scene = Scene::local();
    let copy = whole_copy(scene.cluster);
    let part = |database: &str| scene.cluster.pg_dump(database, &["--create"]);
    std::fs::write(scene.place.work().join("all.sql"), [part(&scene.database), part(&copy)].concat()).unwrap();
    let before = scene.before();
    let words = ["recover-table", "shop.orders", "--from", "./all.sql", "--mode", "missing", "--yes", "--json"];
    let told = scene.place.holdpoint(&words).ended_with(2).failure();
    assert!(told.told.contains("all.sql holds the tables of several databases"), "{told:?}");
    assert!(told.hint.contains("pg_dump"), "{told:?}");
    assert_eq!(scene.side_schemas(), "");
    scene.assert_untouched(&before);
    scene.cluster.drop_database(&copy);
}
