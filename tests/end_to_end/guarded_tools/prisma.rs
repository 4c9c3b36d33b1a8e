//! Prisma with its engine in WebAssembly behind a driver adapter; its own engine is a download.

use holdpoint_testkit::prisma_project;

use super::{Bench, judged, list};

pub(crate) const UP: [&str; 4] = ["node", "node_modules/prisma/build/index.js", "migrate", "deploy"];

/// Writes what Prisma wants to find, but no migration.
pub(crate) fn project(bench: &Bench) {
    bench.write("prisma.config.mjs", prisma_project::CONFIG);
    bench.write("prisma/schema.prisma", prisma_project::SCHEMA);
    bench.write("prisma/migrations/migration_lock.toml", prisma_project::LOCK);
    bench.write("holdpoint.toml", &format!("[migrations]\ncommands = [\"{}\"]\n", UP.join(" ")));
}

fn bench() -> Bench {
    let bench = Bench::new().with_tool("prisma");
    project(&bench);
    // It refuses a database with tables that it did not make.
    bench.sql("DROP SCHEMA shop CASCADE");
    migration(&bench, "20240101000000_first", "CREATE TABLE first (id integer PRIMARY KEY);");
    bench
}

pub(crate) fn migration(bench: &Bench, name: &str, sql: &str) {
    bench.write(&format!("prisma/migrations/{name}/migration.sql"), sql);
}

#[test]
fn success_and_a_failure_that_leaves_a_part() {
    let bench = bench();
    let report = bench.guard(&[], &UP, 0);
    assert_eq!(judged(&report), ("fully_applied", true, "succeeded"), "{report:#}");
    assert_eq!(list(&report, "recorded").len(), 1, "{report:#}");
    // Through an adapter there is no transaction around a file.
    migration(&bench, "20240102000000_second", "CREATE TABLE second (id integer);\nSELECT 1 / 0;\n");
    let report = bench.guard(&[], &UP, 11);
    assert_eq!(judged(&report), ("partly_applied", false, "failed"), "{report:#}");
    assert_eq!(list(&report, "recorded"), [""; 0], "{report:#}");
    assert_eq!(bench.sql("SELECT to_regclass('second') IS NULL"), "f");
    // The failed row stops the next run before anything is made.
    let points = bench.scene.place.points();
    bench.try_guard(&[], &UP).ended_with(3).failure().says(&["20240102000000_second"]);
    assert_eq!(bench.scene.place.points(), points);
}

#[test]
fn scripts_beside_the_migrations_undo_them_and_deploy_applies_them_again() {
    let bench = bench();
    bench.guard(&[], &UP, 0);
    migration(&bench, "20240102000000_second", "CREATE TABLE second (id integer);\n");
    migration(&bench, "20240103000000_word", "ALTER TABLE first ADD COLUMN word text;\n");
    bench.write("prisma/migrations/20240102000000_second/down.sql", "DROP TABLE second;\n");
    bench.write("prisma/migrations/20240103000000_word/down.sql", "ALTER TABLE first DROP COLUMN word;\n");
    let report = bench.guard(&[], &UP, 0);
    let run = report["run"].as_str().unwrap();
    assert_eq!(report["ways_back"][0]["way"], "rollback", "{:#}", report["ways_back"]);
    let undone = bench.scene.place.holdpoint(&["undo", run, "--json", "--yes"]).ended_with(0).json();
    assert_eq!((&undone["plan"]["way"], &undone["state"]), (&"rollback".into(), &"undone".into()), "{undone:#}");
    assert_eq!(bench.sql("SELECT to_regclass('second') IS NULL"), "t");
    let rolled_back = "SELECT string_agg(migration_name, ' ' ORDER BY migration_name) FROM _prisma_migrations \
                       WHERE rolled_back_at IS NOT NULL";
    assert_eq!(bench.sql(rolled_back), "20240102000000_second 20240103000000_word");
    bench.bare(&UP.join(" "));
    assert_eq!(bench.sql("SELECT to_regclass('second') IS NULL"), "f");
    assert_eq!(bench.sql("SELECT count(word) FROM first"), "0", "the column is there again");
}
