//! node-pg-migrate 9.

use std::process::Output;

use holdpoint_guard::tools::Severity::{Note, Stop, Warn};
use holdpoint_guard::tools::{Language, Rollback};

use super::{Project, kinds, of, sql, table_of, told};

fn up(project: &Project) -> Output {
    project.run("node-pg-migrate/bin/node-pg-migrate.js", &["up"])
}

fn open(database: &str) -> Project {
    let project = Project::open("node-pg-migrate", database);
    project.write("package.json", "{\"devDependencies\":{\"node-pg-migrate\":\"9.0.0\"},\"type\":\"module\"}");
    project
}

#[tokio::test]
async fn sql_and_programs_are_foreseen() {
    let project = open("node_pg_migrate");
    project.write(
        "migrations/1_one.sql",
        &format!("-- Up Migration\n{}-- Down Migration\nDROP TABLE t_1_one;\n", sql("1_one")),
    );
    let program = format!("export const up = (pgm) => pgm.createTable('{}', {{ id: 'id' }});\n", table_of("10_two"));
    project.write("migrations/10_two.js", &program);
    let first = project.check(up).await;
    assert_eq!(first.runs, ["1_one", "10_two"]);
    assert_eq!(first.migrations[0].rollback, Rollback::SameFile);
    assert!(!first.migrations[0].sql.contains("DROP"));
    assert_eq!(first.migrations[1].language, Language::Program);
    assert_eq!(kinds(&first), [of(Warn, "unreviewable"), of(Note, "no_tracking_table")]);

    // 17 digits are an instant; as a number it is later than a number of milliseconds.
    project.write("migrations/20240101000000000_later.sql", &sql("20240101000000000_later"));
    project.write("migrations/1704067199999_before.sql", &sql("1704067199999_before"));
    let times = project.check(up).await;
    assert_eq!(times.runs, ["1704067199999_before", "20240101000000000_later"]);

    // Out of order, then a number that is used twice.
    project.write("migrations/2_between.sql", &sql("2_between"));
    let order = project.check(up).await;
    assert_eq!((order.migrations.len(), kinds(&order)), (1, vec![of(Stop, "out_of_order")]));
    project.remove("migrations/2_between.sql");
    project.write("migrations/20240101000000000_zz.sql", &sql("20240101000000000_zz"));
    let twice = project.check(up).await;
    assert_eq!(kinds(&twice), [of(Warn, "duplicate_prefix")]);

    // The last one's file is gone: the tool does not notice; one in the middle: it does.
    project.remove("migrations/20240101000000000_zz.sql");
    assert_eq!(kinds(&project.check(up).await), [of(Warn, "orphan")]);
    project.remove("migrations/10_two.js");
    let middle = project.check(up).await;
    assert!(middle.stops().next().is_some(), "{middle:?}");
    project.write("migrations/10_two.js", &program);
    project.write("migrations/README.md", "# Migrations\n");
    assert_eq!(kinds(&project.check(up).await)[0], of(Stop, "unsupported_layout"));
}

#[tokio::test]
async fn a_dry_run_shows_a_program_and_leaves_the_table() {
    let project = open("node_pg_migrate_dry");
    project.write("migrations/1_one.js", "export const up = (pgm) => pgm.dropTable('gone');\n");
    let output = project.run("node-pg-migrate/bin/node-pg-migrate.js", &["up", "--dry-run"]);
    assert!(told(&output).contains("DROP TABLE \"gone\""), "{}", told(&output));
    assert_eq!(project.psql("SELECT count(*) FROM public.pgmigrations").trim(), "0", "it makes the table all the same");
    let advice = project.pending().await.findings[0].advice();
    assert!(advice.contains("--dry-run") && advice.contains("makes the tracking table"), "{advice}");
}

#[tokio::test]
async fn flags_of_the_script_are_heeded() {
    let project = open("node_pg_migrate_flags");
    let call = "node-pg-migrate -m db/steps --migrations-table log --migrations-schema ops --create-migrations-schema --no-check-order";
    let package = serde_json::json!({ "type": "module", "scripts": { "migrate": call }, "devDependencies": { "node-pg-migrate": "9" } });
    project.write("package.json", &package.to_string());
    let flags: Vec<&str> = call.split(' ').skip(1).chain(["up"]).collect();
    let up = |project: &Project| project.run("node-pg-migrate/bin/node-pg-migrate.js", &flags);
    project.write("db/steps/2_two.sql", &sql("2_two"));
    project.check(up).await;
    project.write("db/steps/1_one.sql", &sql("1_one"));
    let order = project.check(up).await;
    assert_eq!(kinds(&order), [of(Warn, "out_of_order")]);
    assert_eq!(order.runs, ["1_one"]);
}
