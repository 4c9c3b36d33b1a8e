//! Tracking tables after their repair: what was undone is pending, nothing else is, and the real tool applies it again.

use std::process::Output;

use holdpoint_guard::tools::{Pending, ProjectFiles, Tracking, read_tracking, repair};

use super::{Project, sql, table_of, told};

/// Runs the statement for a migration, twice: an undo that was killed runs it again.
async fn repaired(project: &Project, name: &str) {
    let found = project.found();
    let files = ProjectFiles::read(&found).unwrap();
    let session = project.session().await;
    let Tracking::Present(table) = read_tracking(&found, &session).await.unwrap() else { panic!("no table") };
    let all = Pending::of(&found, &files, &Tracking::Absent { others: false }).migrations;
    let migration = all.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("{all:?}"));
    let statement = repair(&found, &files, &table, migration).unwrap();
    for _ in 0..2 {
        session.run("a test", &statement).await.unwrap();
    }
    session.close().await;
}

/// Applies two migrations, undoes the second by hand, and looks what the tool does then.
async fn second_is_applied_again(project: &Project, name: &str, run: impl Fn(&Project) -> Output) {
    assert_eq!(project.check(&run).await.runs.len(), 2);
    project.psql(&format!("DROP TABLE {}", table_of(name)));
    assert!(project.pending().await.is_empty(), "dropping alone makes nothing pending");
    repaired(project, name).await;
    let pending = project.check(&run).await;
    assert_eq!(pending.runs, [name], "{:?}", pending.findings);
    assert!(project.check(&run).await.is_empty());
}

fn drizzle(project: &Project) -> Output {
    project.run("drizzle-kit/bin.cjs", &["migrate"])
}

const DRIZZLE: &str = "import { defineConfig } from 'drizzle-kit';\n\
    export default defineConfig({ dialect: 'postgresql', out: './drizzle', dbCredentials: { url: process.env.DATABASE_URL! } });\n";

#[tokio::test]
async fn drizzle_0_goes_by_the_time_and_by_the_hash_of_a_row_that_was_stamped_anew() {
    let project = Project::open("drizzle-0", "repair_drizzle_0");
    project.write("drizzle.config.ts", DRIZZLE);
    let entry = |idx: usize, tag: &str| {
        project.write(&format!("drizzle/{tag}.sql"), &sql(tag));
        serde_json::json!({ "idx": idx, "version": "7", "when": 1000 * (idx + 1), "tag": tag, "breakpoints": true })
    };
    let entries = [entry(0, "0000_a"), entry(1, "0001_b")];
    let journal = serde_json::json!({ "version": "7", "dialect": "postgresql", "entries": entries });
    project.write("drizzle/meta/_journal.json", &journal.to_string());
    second_is_applied_again(&project, "0001_b", drizzle).await;
    // As a merge leaves it: the row's time is no longer the journal's.
    project
        .psql("UPDATE drizzle.__drizzle_migrations SET created_at = 1500 WHERE created_at = 2000; DROP TABLE t_0001_b");
    repaired(&project, "0001_b").await;
    assert_eq!(project.check(drizzle).await.runs, ["0001_b"]);
    // Another migration of the same text keeps its row.
    project.psql("UPDATE drizzle.__drizzle_migrations SET hash = (SELECT hash FROM drizzle.__drizzle_migrations WHERE created_at = 2000)");
    repaired(&project, "0001_b").await;
    assert_eq!(project.psql("SELECT string_agg(created_at::text, ',') FROM drizzle.__drizzle_migrations"), "1000");
}

#[tokio::test]
async fn drizzle_1_goes_by_the_name() {
    let project = Project::open("drizzle-1", "repair_drizzle_1");
    project.write("drizzle.config.ts", DRIZZLE);
    for name in ["20240101000000_a", "20240102000000_b"] {
        project.write(&format!("drizzle/{name}/migration.sql"), &sql(name));
    }
    second_is_applied_again(&project, "20240102000000_b", drizzle).await;
}

#[tokio::test]
async fn node_pg_migrate_goes_by_the_name() {
    let project = Project::open("node-pg-migrate", "repair_node_pg_migrate");
    project.write("package.json", "{\"devDependencies\":{\"node-pg-migrate\":\"9.0.0\"},\"type\":\"module\"}");
    for name in ["1_one", "2_two"] {
        project.write(&format!("migrations/{name}.sql"), &sql(name));
    }
    second_is_applied_again(&project, "2_two", |project| {
        project.run("node-pg-migrate/bin/node-pg-migrate.js", &["up"])
    })
    .await;
}

#[tokio::test]
async fn prisma_counts_the_row_as_rolled_back() {
    let project = Project::open("prisma", "repair_prisma");
    project.write("prisma.config.mjs", super::prisma::CONFIG);
    project.write("prisma/schema.prisma", super::prisma::SCHEMA);
    project.write("prisma/migrations/migration_lock.toml", "provider = \"postgresql\"\n");
    for name in ["20240101000000_a", "20240102000000_b"] {
        project.write(&format!("prisma/migrations/{name}/migration.sql"), &sql(name));
    }
    let deploy = |project: &Project| project.run("prisma/build/index.js", &["migrate", "deploy"]);
    second_is_applied_again(&project, "20240102000000_b", deploy).await;
    let rows =
        "SELECT count(*), count(rolled_back_at) FROM _prisma_migrations WHERE migration_name = '20240102000000_b'";
    assert_eq!(project.psql(rows), "2|1", "as resolve --rolled-back leaves it");
    // Prisma's own word for it refuses a migration that did not fail.
    let own = project.run("prisma/build/index.js", &["migrate", "resolve", "--rolled-back", "20240102000000_b"]);
    assert!(!own.status.success() && told(&own).contains("P3012"), "{}", told(&own));
}

#[tokio::test]
async fn flyway_loses_the_rows_of_the_script() {
    let project = Project::bare("repair_flyway");
    for name in ["V1__a", "V2__b"] {
        project.write(&format!("migrations/{name}.sql"), &sql(name));
    }
    project.psql(super::flyway::TABLE);
    for (rank, script, success) in [(1, "V1__a.sql", true), (2, "V2__b.sql", false), (3, "V2__b.sql", true)] {
        super::flyway::record(&project, rank, &format!("'{}'", rank.min(2)), script, 0, success);
    }
    repaired(&project, "V2__b.sql").await;
    assert_eq!(project.psql("SELECT string_agg(script, ',') FROM flyway_schema_history"), "V1__a.sql");
    let names: Vec<String> = project.pending().await.migrations.into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["V2__b.sql"]);
}
