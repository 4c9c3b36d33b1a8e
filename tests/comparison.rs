//! Whether two databases hold the same, judged by stock pg_dump alone.

use std::collections::{BTreeMap, BTreeSet};

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

/// Names the parts of the database that differ between two contents, as pg_dump divides them: `+` in front of one that only
/// the second has, `-` of one that only the first has, `~` of one that is otherwise.
///
/// # Panics
/// When they differ in what belongs to no part.
#[must_use]
#[track_caller]
pub fn differing_parts(one: &str, other: &str) -> Vec<String> {
    let (one, other) = (parts(one), parts(other));
    assert_same("settings of the dump", &one[""], &other[""]);
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let sign = |name: &&String| match (one.get(*name), other.get(*name)) {
        (None, _) => Some("+"),
        (_, None) => Some("-"),
        (before, after) => (before != after).then_some("~"),
    };
    names.into_iter().filter_map(|name| Some(format!("{} {name}", sign(&name)?))).collect()
}

/// What stands under each heading, such as `-- Name: orders; Type: TABLE; Schema: shop; Owner: …`; under none what comes
/// before the first.
fn parts(contents: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([(String::new(), String::new())]);
    let mut name = String::new();
    for line in contents.lines() {
        if let Some(found) = heading(line) {
            name = found;
        }
        // pg_dump frames its headings, and ends, with comments that say nothing.
        if !line.is_empty() && !line.starts_with("--") {
            let part: &mut String = all.entry(name.clone()).or_default();
            part.push_str(line);
            part.push('\n');
        }
    }
    all
}

fn heading(line: &str) -> Option<String> {
    if line.starts_with("rows of ") {
        return Some(line.to_owned());
    }
    let (name, rest) =
        line.strip_prefix("-- Name: ").or_else(|| line.strip_prefix("-- Data for Name: "))?.split_once("; Type: ")?;
    let (kind, rest) = rest.split_once("; Schema: ")?;
    let schema = rest.split("; ").next()?;
    Some(format!("{kind} {schema}.{name}"))
}
