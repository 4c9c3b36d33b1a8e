//! `sdk-db-drizzle-rds.md`: a required column in three deployments, each behind a kept backup, and the manual rollback.

use super::Team;

const NULLABLE: (&str, &str) = ("0000_phone", "ALTER TABLE auth.users ADD COLUMN phone_number VARCHAR(20);\n");
const FILL: (&str, &str) = ("0001_backfill", "UPDATE auth.users SET phone_number = '' WHERE phone_number IS NULL;\n");
const REQUIRED: (&str, &str) = ("0002_required", "ALTER TABLE auth.users ALTER COLUMN phone_number SET NOT NULL;\n");

#[test]
fn from_the_checklist_to_the_manual_rollback() {
    let team = Team::with_drizzle("sdk-db-drizzle-rds");

    // 57-62: tested, backed up, proven, reviewed, measured.
    team.drizzle(&[NULLABLE]);
    let prepared = team.with_command(&["prepare"], 0);
    assert_eq!(prepared["verification"]["verdict"], "proved", "{prepared:#}");
    assert!(prepared["rehearsal"]["took_ms"].as_u64().is_some(), "{prepared:#}");

    // 67-81: maintenance mode, the migration, what changed, the backup kept for a week.
    let flags = ["guard", "--before", "echo on >> mode", "--after", "echo off >> mode"];
    let report = team.with_command(&flags, 0);
    assert_eq!(report["point"], prepared["point"], "{report:#}");
    let before = |report: &serde_json::Value| format!("before:{}", report["run"].as_str().unwrap());
    let changed = team.holdpoint(&["compare", &before(&report), "--definitions", "--json"], 15).stdout;
    assert!(changed.contains("phone_number"), "{changed}");
    let point = report["point"].as_str().unwrap();
    team.holdpoint(&["pin", point, "--until", "7d", "--reason", "keep backup for 7 days"], 0);
    let plan = team.holdpoint(&["prune", "--keep-last", "1", "--dry-run", "--json"], 0).json();
    assert_eq!(plan["dropped"], serde_json::json!([]), "{plan:#}");

    // 42, 48: the next deployments.
    team.drizzle(&[NULLABLE, FILL]);
    team.with_command(&["guard"], 0);
    assert_eq!(team.sql("SELECT count(*) FROM auth.users WHERE phone_number = ''"), "100");
    team.drizzle(&[NULLABLE, FILL, REQUIRED]);

    // 104-110: staging first; its definitions are then production's and what the migration adds.
    let staging = team.staging();
    team.holdpoint(&["compare", "proven", "--against", &team.bench.scene.cluster.url(&staging), "--definitions"], 0);
    let cluster = team.bench.scene.cluster;
    team.bench.bare(&format!("env DATABASE_URL='{}' {}", cluster.tcp_url(&staging), team.command.join(" ")));
    cluster.drop_database(&staging);
    let report = team.with_command(&["guard"], 0);

    // 136: one that fails does so on the copy, and where nobody tried it Drizzle rolls it back, and that is told.
    let required = team.rows("auth.users");
    team.drizzle(&[
        NULLABLE,
        FILL,
        REQUIRED,
        ("0003_fails", "DELETE FROM auth.sessions;\n--> statement-breakpoint\nSELECT 1 / 0;\n"),
    ]);
    team.with_command(&["guard"], 3);
    let failed = team.with_command(&["guard", "--no-rehearse"], 10);
    assert_eq!((&failed["state"], failed["judgement"]["verdict"].as_str()), (&"rolled_back".into(), Some("unchanged")));
    assert_eq!(team.rows("auth.users"), required);

    // 144: the manual rollback, to the backup before the third deployment.
    team.holdpoint(&["restore", "--from", &before(&report), "--swap", "--yes", "--json"], 0);
    let null = "SELECT is_nullable FROM information_schema.columns WHERE table_schema = 'auth' AND column_name = 'phone_number'";
    assert_eq!(team.sql(null), "YES");
}
