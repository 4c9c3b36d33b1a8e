//! Prisma with its engine in WebAssembly behind a driver adapter; its own engine is a download.

use super::{Bench, judged, list};

const CONFIG: &str = r#"import { defineConfig } from "prisma/config";
import { PrismaPg } from "@prisma/adapter-pg";
export default defineConfig({
  experimental: { adapter: true },
  engine: "js",
  schema: "prisma/schema.prisma",
  adapter: async () => new PrismaPg({ connectionString: process.env.DATABASE_URL }),
});
"#;
const SCHEMA: &str = "datasource db {\n  provider = \"postgresql\"\n  url = env(\"DATABASE_URL\")\n}\n";
pub(crate) const UP: [&str; 4] = ["node", "node_modules/prisma/build/index.js", "migrate", "deploy"];

/// Writes what Prisma wants to find, but no migration.
pub(crate) fn project(bench: &Bench) {
    bench.write("prisma.config.mjs", CONFIG);
    bench.write("prisma/schema.prisma", SCHEMA);
    bench.write("prisma/migrations/migration_lock.toml", "provider = \"postgresql\"\n");
    bench.write("holdpoint.toml", &format!("[migrations]\ncommands = [\"{}\"]\n", UP.join(" ")));
}

pub(super) fn bench() -> Bench {
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
    let before = bench.contents();
    let report = bench.guard(&[], &UP, 11);
    assert_eq!(judged(&report), ("partly_applied", false, "failed"), "{report:#}");
    assert_eq!(list(&report, "recorded"), [""; 0], "{report:#}");
    // Its table, and the row that says that the migration failed.
    let left = ["+ TABLE public.second", "+ TABLE DATA public.second", "~ TABLE DATA public._prisma_migrations"];
    bench.differs_in(&before, &left);
    // The failed row stops the next run before anything is made.
    let points = bench.scene.place.points();
    bench.try_guard(&[], &UP).ended_with(3).failure().says(&["20240102000000_second"]);
    assert_eq!(bench.scene.place.points(), points);
    bench.undo("restore", &[]);
    bench.is_as_before(&before);
}

#[test]
fn a_failed_row_goes_with_the_undo_whether_its_script_found_anything_or_not() {
    let bench = bench();
    migration(&bench, "20240102000000_second", "SELECT 1 / 0;\n");
    bench.write("prisma/migrations/20240101000000_first/down.sql", "DROP TABLE first;\n");
    bench.write("prisma/migrations/20240102000000_second/down.sql", "DROP TABLE second;\n");
    let both = ["20240101000000_first/migration.sql", "20240102000000_second/migration.sql"];
    let pending = || -> Vec<String> {
        let plan = bench.scene.place.holdpoint(&["plan", "--json"]).ended_with(0).json();
        plan["pending"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap().to_owned()).collect()
    };
    // The second one's script finds no table, and is rolled back with what it was to do in Prisma's table.
    let report = bench.guard(&[], &UP, 11);
    assert_eq!(list(&report, "recorded"), both[..1], "{report:#}");
    bench.undo("rollback", &[]);
    assert_eq!(pending(), both);
    // Here nothing of it is there at all, but its row.
    let away = |from: &str, to: &str| {
        let work = bench.scene.place.work();
        std::fs::rename(work.join(from), work.join(to)).unwrap();
    };
    away("prisma/migrations/20240102000000_second", "second");
    bench.guard(&[], &UP, 0);
    away("second", "prisma/migrations/20240102000000_second");
    migration(&bench, "20240102000000_second", "SELECT 1 / 0;\n");
    bench.guard(&[], &UP, 11);
    bench.undo("rollback", &[]);
    assert_eq!(pending(), both[1..]);
    migration(&bench, "20240102000000_second", "CREATE TABLE second (id integer);\n");
    bench.guard(&[], &UP, 0);
    assert_eq!(pending(), [""; 0]);
}

#[test]
fn what_a_migration_took_comes_back_by_recovery_and_by_a_restore() {
    let bench = bench();
    bench.guard(&[], &UP, 0);
    bench.sql("INSERT INTO first SELECT n FROM generate_series(1, 200) n; ALTER TABLE first ADD COLUMN note text");
    bench.sql("UPDATE first SET note = 'note ' || id");
    let rows = || bench.sql("SELECT md5(string_agg(id || coalesce(note, '-'), ',' ORDER BY id)) FROM first");
    let before = rows();
    migration(
        &bench,
        "20240102000000_drops",
        "ALTER TABLE first DROP COLUMN note;\nDELETE FROM first WHERE id > 100;\n",
    );
    let pending = || {
        let plan = bench.scene.place.holdpoint(&["plan", "--json"]).json();
        plan["pending"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["path"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for way in ["recover", "restore"] {
        let report = bench.guard(&[], &UP, 0);
        assert_eq!((judged(&report), pending()), (("fully_applied", true, "succeeded"), vec![]), "{report:#}");
        let found = report["ways_back"].as_array().unwrap().iter().find(|one| one["way"] == "restore").unwrap();
        let since = found["command"].as_str().unwrap().split("--accept-data-loss-since ").nth(1).unwrap();
        let words = ["undo", "latest", "--way", way, "--accept-data-loss-since", since, "--yes", "--json"];
        let undone = bench.scene.place.holdpoint(&words).ended_with(0).json();
        assert_eq!((&undone["state"], rows()), (&"undone".into(), before.clone()), "{way}: {undone:#}");
        // Prisma takes it for pending, too: the next round runs it again.
        assert_eq!(pending(), ["20240102000000_drops/migration.sql"], "{way}");
    }
    bench.bare(&UP.join(" "));
    assert_eq!(pending(), [""; 0]);
}
