//! The awkward schema on every major: backed up, proved, restored by holdpoint and by the stock tools alone.

use std::path::Path;
use std::time::Duration;

use holdpoint_testkit::{Cluster, sample};
use holdpoint_tests::{Place, assert_same, aws, contents, shell};

use crate::scene::name;

const WIDE: u64 = 64 << 20;
/// Longer than any machine takes: the traffic ends with its test.
const LONGEST: Duration = Duration::from_secs(3600);

/// A database as it looks after one restore by the stock tools, which is what every other restore must come to.
fn restored_by_stock_tools(cluster: &Cluster, source: &str) -> String {
    let archive = cluster.pg_dump(source, &["-Fc", "-Z1"]);
    let name = name("stock");
    cluster.create_database_with(&name, &like(cluster, source));
    let output = cluster.pg_restore_from(&["--exit-on-error", "-d", &name], &archive);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = contents(cluster, &name);
    cluster.drop_database(&name);
    found
}

fn like(cluster: &Cluster, source: &str) -> String {
    let sql = format!(
        "SELECT format('TEMPLATE template0 ENCODING %L LOCALE %L', pg_encoding_to_char(encoding), datcollate) \
         FROM pg_database WHERE datname = '{source}'"
    );
    cluster.psql("postgres", &sql)
}

/// Restores in every way that there is, and compares each with `expected`.
fn restores_everywhere(place: &Place, cluster: &Cluster, source: &str, expected: &str) {
    let point = place.points().pop().unwrap();
    let by_holdpoint = name("restored");
    cluster.create_database_with(&by_holdpoint, &like(cluster, source));
    let target = cluster.url(&by_holdpoint);
    let report = place.holdpoint(&["restore", "--from", &point, "--into", &target, "--json"]).ended_with(0).json();
    assert_eq!(report["differences"].as_array().map(Vec::len), Some(0), "{report:#}");
    assert!(report["compared"]["rows"].as_u64().unwrap() > 0, "{report:#}");
    assert_same("restored by holdpoint", expected, &contents(cluster, &by_holdpoint));
    assert_eq!(
        settings_of(cluster, &by_holdpoint),
        settings_of(cluster, source),
        "the database's own settings come with it"
    );
    cluster.drop_database(&by_holdpoint);

    let shown = place.holdpoint(&["show", &point, "--json"]).ended_with(0).json();
    let archive = fetched(place, shown["manifest"]["archive"]["key"].as_str().unwrap());
    for how in ["-j2", "a pipe"] {
        let by_stock = name("by_stock");
        cluster.create_database_with(&by_stock, &like(cluster, source));
        let arguments = ["--exit-on-error", "-d", &by_stock];
        let output = if how == "a pipe" {
            cluster.pg_restore_from(&arguments, &std::fs::read(&archive).unwrap())
        } else {
            cluster.pg_restore(&[&arguments[..], &[how, archive.to_str().unwrap()]].concat())
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("error:"), "pg_restore with {how}: {said}");
        assert_same(&format!("pg_restore with {how}"), expected, &contents(cluster, &by_stock));
        cluster.drop_database(&by_stock);
    }
}

fn settings_of(cluster: &Cluster, database: &str) -> String {
    let sql = format!(
        "SELECT setrole::regrole, unnest(setconfig) FROM pg_db_role_setting \
         WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = '{database}') ORDER BY 1, 2"
    );
    cluster.psql("postgres", &sql)
}

/// The archive as a file: the stored one, or downloaded by the real aws client.
fn fetched(place: &Place, key: &str) -> std::path::PathBuf {
    let Some((server, bucket)) = place.bucket() else { return place.repository().join(key) };
    let file = place.path().join("downloaded.dump");
    let script = format!("aws s3 cp --no-progress 's3://{bucket}/backups/{key}' '{}'", file.display());
    shell(place.path(), &with_aws(place, server), &script).ended_with(0);
    file
}

fn with_aws(place: &Place, server: &holdpoint_testkit::S3Server) -> std::collections::BTreeMap<String, String> {
    let mut environment = place.environment();
    environment.insert("PATH".to_owned(), format!("{}:/usr/bin:/bin", aws().display()));
    environment.insert("AWS_ENDPOINT_URL".to_owned(), server.endpoint());
    environment
}

fn round(major: u32, mut place: Place, prepare: impl Fn(&Cluster, &str)) {
    let cluster = Cluster::shared(major);
    let source = name("source");
    prepare(cluster, &source);
    place.source(cluster, &source);
    let made = place.backup();
    assert!(made["manifest"]["totals"]["rows"].as_u64().unwrap() > 0, "{made:#}");
    // The small ones are in pg_dump's pipe before anybody could take over.
    if made["manifest"]["totals"]["data_bytes"].as_u64().unwrap() > 1 << 20 {
        assert_eq!(made["engine"], "parallel", "{made:#}");
    }
    place.prove();
    let expected = restored_by_stock_tools(cluster, &source);
    restores_everywhere(&place, cluster, &source, &expected);
    cluster.drop_database(&source);
}

fn awkward(major: u32) {
    round(major, Place::local(), sample::load_awkward);
}

#[test]
fn the_awkward_schema_on_14() {
    awkward(14);
}

#[test]
fn the_awkward_schema_on_15() {
    awkward(15);
}

#[test]
fn the_awkward_schema_on_16_in_a_bucket() {
    round(16, Place::on_s3(), sample::load_awkward);
}

#[test]
fn the_awkward_schema_on_17() {
    awkward(17);
}

#[test]
fn the_awkward_schema_with_a_wide_row_on_18_in_a_bucket() {
    round(18, Place::on_s3(), |cluster, source| {
        sample::load_awkward(cluster, source);
        sample::add_wide_row(cluster, source, WIDE);
    });
}

#[test]
fn latin1_names_on_14() {
    round(14, Place::local(), sample::load_latin1);
}

#[test]
fn latin1_names_on_18_in_a_bucket() {
    round(18, Place::on_s3(), sample::load_latin1);
}

/// Everything changes all the time: the archive must hold one instant of it, and be restored to exactly that.
fn under_traffic(major: u32, mut place: Place) {
    let cluster = Cluster::shared(major);
    let source = name("traffic");
    sample::load_awkward(cluster, &source);
    place.source(cluster, &source);
    let mut traffic = sample::load_traffic(cluster, &source, LONGEST);
    for _ in 0..2 {
        let before = traffic.rounds();
        let made = place.backup();
        assert!(made["manifest"]["totals"]["rows"].as_u64().unwrap() > 0);
        assert!(traffic.rounds() > before, "the traffic went on meanwhile");
        place.prove();
        traffic.wait_for_changes(1);
    }
    traffic.stop();
    cluster.drop_database(&source);
}

#[test]
fn under_concurrent_changes_on_14() {
    under_traffic(14, Place::local());
}

#[test]
fn under_concurrent_changes_on_15_in_a_bucket() {
    under_traffic(15, Place::on_s3());
}

#[test]
fn under_concurrent_changes_on_16() {
    under_traffic(16, Place::local());
}

#[test]
fn under_concurrent_changes_on_17() {
    under_traffic(17, Place::local());
}

#[test]
fn under_concurrent_changes_on_18() {
    under_traffic(18, Place::local());
}

/// Runs the manifest's recipe as it stands, on a server that holds neither roles nor database.
fn recipe(mut place: Place, format: &str) {
    let cluster = Cluster::shared(17);
    let source = name("recipe");
    sample::load_awkward(cluster, &source);
    place.source(cluster, &source);
    place.holdpoint(&["backup", "--format", format]).ended_with(0);
    place.prove();
    let shown = place.holdpoint(&["show", "--json"]).ended_with(0).json();
    let lines = shown["manifest"]["recipe"].as_array().unwrap();
    let script: Vec<&str> = lines.iter().map(|line| line.as_str().unwrap()).collect();

    let elsewhere = Cluster::start(holdpoint_testkit::ClusterOptions::major(17));
    let mut environment = match place.bucket() {
        Some((server, _)) => with_aws(&place, server),
        None => place.environment(),
    };
    let path = environment.get("PATH").cloned().unwrap();
    environment.insert("PATH".to_owned(), format!("{}:{path}", elsewhere.bin_directory().display()));
    environment.insert("PGHOST".to_owned(), elsewhere.socket_directory().display().to_string());
    environment.insert("PGPORT".to_owned(), elsewhere.port().to_string());
    environment.insert("PGUSER".to_owned(), elsewhere.superuser().to_owned());
    environment.insert("DATABASE".to_owned(), "brought back".to_owned());
    let folder = place.path().join("person");
    std::fs::create_dir(&folder).unwrap();
    run_recipe(&folder, &environment, &script.join("\n"));

    let expected = restored_by_stock_tools(cluster, &source);
    assert_same("the recipe", &expected, &contents(&elsewhere, "brought back"));
    cluster.drop_database(&source);
}

fn run_recipe(folder: &Path, environment: &std::collections::BTreeMap<String, String>, script: &str) {
    let outcome = shell(folder, environment, script);
    assert_eq!(outcome.code, 0, "{script}\n--- stdout\n{}\n--- stderr\n{}", outcome.stdout, outcome.stderr);
}

#[test]
fn the_recipe_of_an_archive_in_a_bucket() {
    recipe(Place::on_s3(), "archive");
}

#[test]
fn the_recipe_of_sql_text_in_a_folder() {
    recipe(Place::local(), "plain");
}

#[test]
fn the_recipe_of_sql_text_in_a_bucket() {
    recipe(Place::on_s3(), "plain");
}
