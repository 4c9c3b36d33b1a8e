//! Prisma 6.19 with its engine in WebAssembly, which a driver adapter uses; its own engine is a download.

use std::process::Output;

use holdpoint_guard::tools::Severity::{Note, Stop, Warn};
use holdpoint_guard::tools::Transactions;

use super::{Project, kinds, of, sql, told};

pub(super) const CONFIG: &str = r#"import { defineConfig } from "prisma/config";
import { PrismaPg } from "@prisma/adapter-pg";
export default defineConfig({
  experimental: { adapter: true },
  engine: "js",
  schema: "prisma/schema.prisma",
  adapter: async () => new PrismaPg({ connectionString: process.env.DATABASE_URL }),
});
"#;
pub(super) const SCHEMA: &str = "datasource db {\n  provider = \"postgresql\"\n  url = env(\"DATABASE_URL\")\n}\n";

fn deploy(project: &Project) -> Output {
    project.run("prisma/build/index.js", &["migrate", "deploy"])
}

fn open(database: &str) -> Project {
    let project = Project::open("prisma", database);
    project.write("prisma.config.mjs", CONFIG);
    project.write("prisma/schema.prisma", SCHEMA);
    project.write("prisma/migrations/migration_lock.toml", "provider = \"postgresql\"\n");
    project
}

#[tokio::test]
async fn deploy_is_foreseen() {
    let project = open("prisma_deploy");
    let folder = |name: &str| project.write(&format!("prisma/migrations/{name}/migration.sql"), &sql(name));
    folder("20240101000000_init");
    folder("20240103000000_third");
    assert_eq!(project.found().tool.transactions(), Transactions::None);
    let first = project.check(deploy).await;
    assert_eq!(kinds(&first), [of(Note, "no_tracking_table")]);
    assert!(project.check(deploy).await.is_empty());

    // Out of order, edited, gone: deploy goes on.
    folder("20240102000000_second");
    project.write("prisma/migrations/20240101000000_init/migration.sql", "SELECT 'edited';\n");
    let told = project.check(deploy).await;
    assert_eq!(told.runs, ["20240102000000_second"]);
    assert_eq!(kinds(&told), [of(Warn, "edited_after_applied"), of(Warn, "out_of_order")]);
    project.remove("prisma/migrations/20240103000000_third");
    folder("20240104000000_a");
    folder("20240104000000_b");
    let orphan = project.check(deploy).await;
    assert_eq!(kinds(&orphan), [of(Warn, "orphan"), of(Warn, "edited_after_applied"), of(Warn, "duplicate_prefix")]);
}

#[tokio::test]
async fn a_failed_row_stops_until_it_is_settled() {
    let project = open("prisma_failed");
    let broken = "prisma/migrations/20240101000000_broken/migration.sql";
    project.write(broken, "ALTER TABLE absent ADD COLUMN x int;\n");
    assert!(!deploy(&project).status.success());
    let name = "20240102000000_next";
    project.write(&format!("prisma/migrations/{name}/migration.sql"), &sql(name));
    let failed = project.check(deploy).await;
    assert_eq!(kinds(&failed), [of(Stop, "failed_row")]);
    assert_eq!(failed.migrations.len(), 2);

    let settled =
        project.run("prisma/build/index.js", &["migrate", "resolve", "--rolled-back", "20240101000000_broken"]);
    assert!(settled.status.success(), "{}", told(&settled));
    project.write(broken, &sql("20240101000000_broken"));
    let again = project.check(deploy).await;
    assert_eq!(again.runs, ["20240101000000_broken", name]);
    assert_eq!(kinds(&again), []);
    assert!(project.check(deploy).await.is_empty());
}

#[tokio::test]
async fn databases_and_folders_that_deploy_refuses_are_foreseen() {
    let project = open("prisma_refused");
    project.psql("CREATE TABLE other (id int)");
    project.write("prisma/migrations/20240101000000_init/migration.sql", &sql("20240101000000_init"));
    assert_eq!(kinds(&project.check(deploy).await), [of(Stop, "no_tracking_table")]);
    project.psql("DROP TABLE other");
    project.check(deploy).await;
    project.write("prisma/migrations/20240102000000_empty/notes.md", "nothing yet\n");
    assert_eq!(kinds(&project.check(deploy).await), [of(Stop, "missing_file")]);
}
