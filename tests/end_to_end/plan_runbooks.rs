//! The plan of what five teams' runbooks run, in the layouts of their tools, as it was looked at.

use std::path::Path;

use holdpoint_testkit::{Cluster, NEWEST};
use holdpoint_tests::Place;

/// A file of SQL by the line of the runbook where it stands.
struct Step {
    line: String,
    sql: String,
}

fn steps(runbook: &str) -> Vec<Step> {
    let folder = holdpoint_testkit::workspace_directory().join("crates/review/tests/fixtures/runbooks").join(runbook);
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let line = |name: &str| name.trim_start_matches("line-").trim_end_matches(".sql").to_owned();
    names
        .iter()
        .map(|name| Step { line: line(name), sql: std::fs::read_to_string(folder.join(name)).unwrap() })
        .collect()
}

fn write(place: &Place, path: &str, text: &str) {
    let path = place.work().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn drizzle(place: &Place, steps: &[Step]) {
    write(place, "drizzle.config.ts", "export default { dialect: 'postgresql' };\n");
    let entry = |step: &Step| {
        let when: u64 = step.line.parse().unwrap();
        serde_json::json!({ "idx": 0, "when": when, "tag": format!("{}_runbook", step.line), "breakpoints": true })
    };
    let entries: Vec<_> = steps.iter().map(entry).collect();
    write(place, "drizzle/meta/_journal.json", &serde_json::json!({ "entries": entries }).to_string());
    for step in steps {
        write(place, &format!("drizzle/{}_runbook.sql", step.line), &step.sql);
    }
}

fn flyway(place: &Place, steps: &[Step]) {
    for step in steps {
        write(place, &format!("migrations/V{}__runbook.sql", step.line), &step.sql);
    }
}

fn prisma(place: &Place, steps: &[Step]) {
    write(
        place,
        "prisma/schema.prisma",
        "datasource db {\n  provider = \"postgresql\"\n  url = env(\"DATABASE_URL\")\n}\n",
    );
    for step in steps {
        write(place, &format!("prisma/migrations/20260101000{}_runbook/migration.sql", step.line), &step.sql);
    }
}

fn plain(place: &Place, steps: &[Step]) {
    for step in steps {
        write(place, &format!("sql/{}_runbook.sql", step.line), &step.sql);
    }
}

/// Compares with what was looked at; `HOLDPOINT_UPDATE_SNAPSHOTS=1` writes it anew, to be looked at again.
#[track_caller]
fn snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plan").join(name);
    if std::env::var_os("HOLDPOINT_UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    holdpoint_tests::assert_same(name, &expected, text);
}

type Layout = fn(&Place, &[Step]);

const RUNBOOKS: [(&str, Layout); 5] = [
    ("drizzle-blue-green", drizzle),
    ("flyway-node-pg-migrate", flyway),
    ("nuclom-drizzle", plain),
    ("prisma-dubbing-platform", prisma),
    ("sdk-db-drizzle-rds", drizzle),
];

#[test]
fn plans_of_five_runbooks_are_as_they_were_looked_at() {
    for (runbook, layout) in RUNBOOKS {
        let place = Place::bare();
        let steps = steps(runbook);
        layout(&place, &steps);
        let json = place.holdpoint(&["plan", "--without-database", "--json"]).ended_with(15).json();
        assert_eq!(json["pending"].as_array().unwrap().len(), steps.len(), "{runbook}");
        let plan = place.holdpoint(&["plan", "--without-database", "--markdown"]).ended_with(15);
        snapshot(&format!("{runbook}.md"), &plan.stdout);
    }
}

/// The same, on databases with the tables that the runbooks are about, and some that hang on them.
#[test]
fn plans_on_databases_of_five_runbooks_are_as_they_were_looked_at() {
    let cluster = Cluster::shared(NEWEST);
    for (runbook, layout) in RUNBOOKS {
        let mut place = Place::bare();
        let database = crate::scene::name("runbook");
        cluster.create_database(&database);
        let path = format!("{}/fixtures/plan/{runbook}.schema.sql", env!("CARGO_MANIFEST_DIR"));
        cluster.psql(&database, &std::fs::read_to_string(path).unwrap());
        place.source(cluster, &database);
        let steps = steps(runbook);
        layout(&place, &steps);
        // A folder without a tool has its list in the ledger; a fresh one has none.
        let none = ["--applied-through", "none"];
        let more = if runbook == "nuclom-drizzle" { &none[..] } else { &[] };
        let json = place.holdpoint(&[&["plan", "--json"], more].concat()).ended_with(15).json();
        assert_eq!(json["pending"].as_array().unwrap().len(), steps.len(), "{runbook}: {json:#}");
        assert_eq!(json["known"]["catalog"], true, "{runbook}");
        let plan = place.holdpoint(&[&["plan", "--markdown"], more].concat()).ended_with(15).stdout;
        // The third line alone says which database, which server, and when.
        let kept: Vec<&str> = plan.lines().enumerate().filter(|(line, _)| *line != 2).map(|(_, text)| text).collect();
        assert!(!kept.join(" ").contains(&database), "{plan}");
        snapshot(&format!("{runbook}.catalog.md"), &(kept.join("\n") + "\n"));
        cluster.drop_database(&database);
    }
}

/// The folder of the third runbook: two migrations have one number, and each its script in `rollbacks/`.
#[test]
fn two_migrations_of_one_number_and_the_scripts_that_undo_them() {
    let place = Place::bare();
    let names = ["0000_init", "0001_add_video_processing", "0002_add_integrations", "0002_add_series_tables"];
    write(&place, "drizzle.config.ts", "export default { dialect: 'postgresql' };\n");
    let entry = |(at, tag): (usize, &&str)| serde_json::json!({ "idx": at, "when": 1000 + at, "tag": tag });
    let entries: Vec<_> = names.iter().enumerate().map(entry).collect();
    write(&place, "drizzle/meta/_journal.json", &serde_json::json!({ "entries": entries }).to_string());
    for name in names {
        let (number, words) = name.split_once('_').unwrap();
        write(&place, &format!("drizzle/{name}.sql"), "CREATE TABLE videos (id text);\n");
        write(&place, &format!("drizzle/rollbacks/{number}_rollback_{words}.sql"), "DROP TABLE videos;\n");
    }
    let plan = place.holdpoint(&["plan", "--without-database", "--json"]).ended_with(0).json();
    let pending = plan["pending"].as_array().unwrap();
    assert_eq!(pending.len(), 4, "{plan:#}");
    for (name, one) in names.iter().zip(pending) {
        let (number, words) = name.split_once('_').unwrap();
        let script = format!("rollbacks/{number}_rollback_{words}.sql");
        assert!(one["rollback"].to_string().contains(&script), "{name}: {one:#}");
    }
    let twice = plan["findings"].as_array().unwrap().iter().find(|one| one["kind"] == "duplicate_prefix");
    assert!(twice.is_some_and(|one| one.to_string().contains("0002_add_series_tables")), "{plan:#}");
}
