//! Whether two databases hold the same, judged by stock pg_dump alone.

use holdpoint_testkit::{Cluster, expect_success};

/// Whatever the database's own settings say, the text is written in one form.
const ONE_FORM: &str = "-c TimeZone=UTC -c bytea_output=hex -c DateStyle=ISO -c IntervalStyle=postgres";

/// Returns what stock pg_dump says of a database: the schema as it is, and the rows of each table sorted; those of a
/// partitioned table together, since a hash may lead them elsewhere on another server.
///
/// Text that a restore rewrites once (`IN` lists, `BETWEEN`) is compared between restored databases only.
///
/// # Panics
/// When pg_dump or psql fails.
#[must_use]
pub fn contents(cluster: &Cluster, database: &str) -> String {
    let mut pg_dump = cluster.program("pg_dump");
    pg_dump.arg("--encoding=UTF8").env("PGOPTIONS", ONE_FORM);
    for leaf in lines(
        cluster,
        database,
        "SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE relispartition AND relkind = 'r'",
    ) {
        pg_dump.arg(format!("--exclude-table-data={leaf}"));
    }
    let dump = expect_success(pg_dump.args(["-d", &format!("dbname='{database}'")])).stdout;
    let mut text = schema_and_rows(&dump);
    for root in lines(
        cluster,
        database,
        "SELECT oid::regclass FROM pg_class WHERE relkind = 'p' AND NOT relispartition ORDER BY oid::regclass::text",
    ) {
        let rows = format!("SELECT t::text FROM {root} t ORDER BY t::text COLLATE \"C\"");
        text.push_str(&format!("\nrows of {root}\n{}", psql(cluster, database, &rows)));
    }
    text
}

fn lines(cluster: &Cluster, database: &str, query: &str) -> Vec<String> {
    psql(cluster, database, query).lines().map(str::to_owned).collect()
}

fn psql(cluster: &Cluster, database: &str, query: &str) -> String {
    let form = "SET search_path = ''; SET TimeZone = 'UTC'; SET bytea_output = 'hex'; SET DateStyle = 'ISO'; \
                SET IntervalStyle = 'postgres'; SET client_encoding = 'UTF8';";
    cluster.psql(database, &format!("{form}{query}"))
}

fn schema_and_rows(dump: &[u8]) -> String {
    let dump = String::from_utf8_lossy(dump);
    let mut lines: Vec<&str> = Vec::new();
    let mut rows: Option<Vec<&str>> = None;
    for line in dump.lines() {
        match &mut rows {
            Some(found) if line == "\\." => {
                found.sort_unstable();
                lines.append(found);
                lines.push(line);
                rows = None;
            }
            Some(found) => found.push(line),
            // Random keys.
            None if line.starts_with("\\restrict") || line.starts_with("\\unrestrict") => {}
            None => {
                lines.push(line);
                if line.starts_with("COPY ") && line.ends_with(" FROM stdin;") {
                    rows = Some(Vec::new());
                }
            }
        }
    }
    lines.join("\n")
}

/// Demands that two contents are the same.
///
/// # Panics
/// When they differ, with the first lines that do.
#[track_caller]
pub fn assert_same(what: &str, one: &str, other: &str) {
    if one == other {
        return;
    }
    let differing = one.lines().zip(other.lines()).enumerate().filter(|(_, (one, other))| one != other).take(5);
    let lines: Vec<String> =
        differing.map(|(number, (one, other))| format!("line {number}:\n  {one:.300}\n  {other:.300}")).collect();
    panic!(
        "{what}: {} and {} lines, the first that differ:\n{}",
        one.lines().count(),
        other.lines().count(),
        lines.join("\n")
    );
}
