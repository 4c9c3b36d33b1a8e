//! `prisma-dubbing-platform.md`: `prisma migrate deploy` in the pipeline, a tried migration, large tables, and two of
//! the manual ways back.

use super::{Team, first_way};
use crate::guarded_tools::prisma;

#[test]
fn from_the_pipeline_to_the_reverse_migration() {
    let team = Team::new("prisma-dubbing-platform", "prisma", &prisma::UP);
    prisma::project(&team.bench);
    // Its tables come from the first migration, as Prisma wants it.
    let schema = "CREATE TABLE \"User\" (id text PRIMARY KEY, email text, \"updatedAt\" timestamp);\n\
        CREATE UNIQUE INDEX \"User_email_idx\" ON \"User\" (email);\n\
        CREATE TABLE \"Project\" (id text PRIMARY KEY, \"userId\" text REFERENCES \"User\" ON DELETE CASCADE, status text);\n";
    team.sql("DROP VIEW projects; DROP TABLE \"Project\", \"User\", _prisma_migrations");
    prisma::migration(&team.bench, "20241102000000_init", schema);
    team.with_command(&["guard"], 0);
    team.sql("INSERT INTO \"User\" SELECT 'u' || i, i || '@example.com' FROM generate_series(1, 200) i");
    let users = team.rows("\"User\"");

    // 404-450: backup and upload, the test of the migration, its review: one command in the pipeline.
    prisma::migration(
        &team.bench,
        "20241102120000_add_glossary",
        "ALTER TABLE \"User\" ADD COLUMN \"newColumn\" text;\n",
    );
    team.write(
        "prisma/migrations/20241102120000_add_glossary/down.sql",
        "-- Reverse the changes from failed migration\nALTER TABLE \"User\" DROP COLUMN \"newColumn\";\n",
    );
    let prepared = team.with_command(&["prepare"], 0);
    assert_eq!(prepared["plan"]["pending"].as_array().unwrap().len(), 1, "{prepared:#}");
    let report = team.with_command(&["guard"], 0);
    assert_eq!((&report["point"], first_way(&report)), (&prepared["point"], "rollback"), "{report:#}");

    // 628-640: the reverse migration, and Prisma's own table.
    let undone = team.holdpoint(&["undo", "latest", "--way", "rollback", "--yes", "--json"], 0).json();
    assert_eq!(undone["state"], "undone", "{undone:#}");
    assert_eq!(
        (team.rows("\"User\""), team.pending()),
        (users.clone(), vec!["20241102120000_add_glossary/migration.sql".to_owned()])
    );
    team.with_command(&["guard"], 0);

    // 570-600: a large table.
    let words = ["backfill", "public.User", "--set", "\"updatedAt\" = now()", "--where", "\"updatedAt\" IS NULL"];
    team.holdpoint(&words, 0);
    assert_eq!(team.sql("SELECT count(*) FROM \"User\" WHERE \"updatedAt\" IS NULL"), "0");

    // 612-622: available backups, and everything from one of them.
    let listed = team.holdpoint(&["list", "--json"], 0).stdout;
    assert!(listed.contains(prepared["point"].as_str().unwrap()), "{listed}");
    team.sql("DELETE FROM \"User\"");
    let from = prepared["point"].as_str().unwrap();
    team.holdpoint(&["restore", "--from", from, "--swap", "--yes", "--json"], 0);
    assert_eq!(
        (team.rows("\"User\""), team.pending()),
        (users, vec!["20241102120000_add_glossary/migration.sql".to_owned()])
    );
}
