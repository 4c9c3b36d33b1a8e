//! `--on-failure` by tool: what is undone by itself, and what is left to a person.

use serde_json::{Value, json};

use super::node_pg_migrate::UP;
use super::{Bench, judged, node_pg_migrate, prisma};

const RESTORE: [&str; 4] = ["--on-failure", "restore", "--accept-data-loss-since", "2026-01-01T00:00:00Z"];
const ROLLBACK: [&str; 2] = ["--on-failure", "rollback"];

/// The undo of a report ended well, by this way.
#[track_caller]
fn is_undone_by(report: &Value, way: &str) {
    let undo = &report["undo"];
    assert_eq!((&undo["state"], &undo["plan"]["way"]), (&json!("undone"), &json!(way)), "{report:#}");
}

fn pending(bench: &Bench) -> Vec<String> {
    let plan = bench.scene.place.holdpoint(&["plan", "--json"]).json();
    plan["pending"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_command_that_nobody_knows_beside_a_project() {
    let bench = node_pg_migrate::bench(Bench::new());
    bench.bare(&UP.join(" "));
    bench.write("other.sh", "psql -X -q \"$DATABASE_URL\" -c 'CREATE TABLE shop.half ()'\nexit 3\n");
    let command = ["sh", "other.sh"];
    let half = ["+ TABLE shop.half", "+ TABLE DATA shop.half"];
    let before = bench.contents();
    // What is pending has nothing that undoes it: then that is told, and nothing is touched.
    node_pg_migrate::migration(&bench, "2_second", "CREATE TABLE shop.second (id integer);");
    let report = bench.guard(&ROLLBACK, &command, 13);
    let told = report["undo_failure"].as_str().unwrap_or_default();
    assert!(told.contains("has no way back by rollback: nothing undoes 2_second"), "{report:#}");
    bench.differs_in(&before, &half);
    bench.undo("restore", &[]);
    bench.is_as_before(&before);
    // It has a way down, of which nobody knows what it has to do with the command: that is left to a person. The tool
    // would go back by the newest that is recorded, another one: it is not called, and what stays is told.
    let down = "CREATE TABLE shop.second (id integer);\n-- Down Migration\nDROP TABLE shop.second;";
    node_pg_migrate::migration(&bench, "2_second", down);
    let report = bench.guard(&ROLLBACK, &command, 13);
    let told = report["undo_failure"].as_str().unwrap_or_default();
    assert!(told.contains("is not rolled back by itself") && told.contains("--way rollback"), "{report:#}");
    let words = ["undo", "latest", "--way", "rollback", "--yes", "--json"];
    let by_hand = bench.scene.place.holdpoint(&words).ended_with(11).json();
    assert_eq!(by_hand["undo"]["not_as_before"], json!(["TABLE shop.half stays"]), "{by_hand:#}");
    bench.differs_in(&before, &half);
    bench.undo("restore", &[]);
    bench.is_as_before(&before);
    // All of it goes back, whatever did it.
    let report = bench.guard(&RESTORE, &command, 12);
    is_undone_by(&report, "restore");
    bench.is_as_before(&before);
    assert_eq!(pending(&bench), ["2_second.sql"]);
}

#[test]
fn prisma_whose_migration_failed_half_way() {
    let bench = prisma::bench();
    bench.guard(&[], &prisma::UP, 0);
    prisma::migration(&bench, "20240102000000_second", "CREATE TABLE second (id integer);\nSELECT 1 / 0;\n");
    let before = bench.contents();
    // Without a script nothing undoes it by a rollback.
    let report = bench.guard(&ROLLBACK, &prisma::UP, 13);
    let told = report["undo_failure"].as_str().unwrap_or_default();
    assert!(told.contains("has no way back by rollback: nothing undoes 20240102000000_second"), "{report:#}");
    bench.undo("restore", &[]);
    bench.is_as_before(&before);

    bench.write("prisma/migrations/20240102000000_second/down.sql", "DROP TABLE IF EXISTS second;\n");
    let report = bench.guard(&ROLLBACK, &prisma::UP, 12);
    is_undone_by(&report, "rollback");
    // Prisma keeps the row that says that it failed, and counts it as rolled back.
    bench.differs_in(&before, &["~ TABLE DATA public._prisma_migrations"]);
    let rows = "SELECT rolled_back_at IS NULL FROM _prisma_migrations ORDER BY started_at";
    assert_eq!(bench.sql(rows), "t\nf");
    assert_eq!(pending(&bench), ["20240102000000_second/migration.sql"]);

    let before = bench.contents();
    // A restore point of this run's own: an older one has not got that row.
    let report = bench.guard(&[&RESTORE[..], &["--max-age", "0"]].concat(), &prisma::UP, 12);
    is_undone_by(&report, "restore");
    bench.is_as_before(&before);
    assert_eq!(pending(&bench), ["20240102000000_second/migration.sql"]);
    // Mended, the tool itself takes it up again.
    prisma::migration(&bench, "20240102000000_second", "CREATE TABLE second (id integer);\n");
    let report = bench.guard(&ROLLBACK, &prisma::UP, 0);
    assert_eq!(judged(&report), ("fully_applied", true, "succeeded"), "{report:#}");
}

#[test]
fn programs_of_node_pg_migrate() {
    let bench = node_pg_migrate::bench(Bench::new());
    bench.bare(&UP.join(" "));
    let path = "migrations/2_outside.js";
    let down = "export const down = (pgm) => { pgm.sql('DROP TABLE IF EXISTS shop.outside'); };\n";
    let fails = "export const up = (pgm) => { pgm.noTransaction(); pgm.sql('CREATE TABLE shop.outside ()'); \
                 pgm.sql('SELECT 1 / 0'); };\n";
    bench.write(path, &format!("{fails}{down}"));
    let before = bench.contents();
    // Nobody can read what a program does: what undoes it is left to a person.
    let report = bench.guard(&ROLLBACK, &UP, 13);
    let told = report["undo_failure"].as_str().unwrap_or_default();
    assert!(told.contains("is not rolled back by itself") && told.contains("2_outside.js"), "{report:#}");
    bench.differs_in(&before, &["+ TABLE shop.outside", "+ TABLE DATA shop.outside"]);
    // The tool's own way down would take the first: it is not gone, and what stays is told.
    let words = ["undo", "latest", "--way", "rollback", "--yes", "--json"];
    let by_hand = bench.scene.place.holdpoint(&words).ended_with(11).json();
    assert_eq!(by_hand["undo"]["not_as_before"], json!(["TABLE shop.outside stays"]), "{by_hand:#}");
    bench.differs_in(&before, &["+ TABLE shop.outside", "+ TABLE DATA shop.outside"]);
    bench.undo("restore", &[]);
    bench.is_as_before(&before);
    let report = bench.guard(&RESTORE, &UP, 12);
    is_undone_by(&report, "restore");
    bench.is_as_before(&before);

    // One that is applied, by a run that fails afterwards.
    let well = ["--health-cmd", "false", "--health-retries", "0"];
    let makes = "export const up = (pgm) => { pgm.createTable({ schema: 'shop', name: 'outside' }, { id: 'id' }); };\n";
    bench.write(path, &format!("{makes}{down}"));
    let report = bench.guard(&[&well[..], &ROLLBACK].concat(), &UP, 13);
    let told = report["undo_failure"].as_str().unwrap_or_default();
    assert!(told.contains("is not rolled back by itself"), "not rehearsed: {report:#}");
    bench.undo("restore", &[]);
    bench.is_as_before(&before);
    let report = bench.guard(&[&well[..], &RESTORE].concat(), &UP, 12);
    is_undone_by(&report, "restore");
    bench.is_as_before(&before);
    // A rehearsal shows what its way down brings back.
    let words = [&["guard", "--json", "--yes"], &well[..], &ROLLBACK, &["--"], &UP].concat();
    let report = bench.scene.place.holdpoint(&words).ended_with(12).json();
    is_undone_by(&report, "rollback");
    bench.differs_in(&before, &["~ SEQUENCE SET public.pgmigrations_id_seq"]);
    assert_eq!(pending(&bench), ["2_outside.js"]);
}
