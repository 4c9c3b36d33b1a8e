//! `nuclom-drizzle.md`: staging from the backup, maintenance mode, scripts in reverse order, the complete rollback and
//! the partial recovery.

use super::{Team, first_way};

const ALL: [(&str, &str); 3] = [
    ("0001_add_video_processing", "ALTER TABLE videos ADD COLUMN new_field text;\n"),
    (
        "0002_add_integrations",
        "ALTER TABLE videos ADD COLUMN new_fk_id text;\n--> statement-breakpoint\n\
         ALTER TABLE videos ADD CONSTRAINT videos_new_fk_id_fk FOREIGN KEY (new_fk_id) REFERENCES other_table(id) NOT VALID;\n",
    ),
    ("0002_add_series_tables", "CREATE TABLE series (id text PRIMARY KEY);\n"),
];

#[test]
fn from_the_checklist_to_the_partial_recovery() {
    let team = Team::with_drizzle("nuclom-drizzle");
    team.sql("INSERT INTO comments SELECT i, 'v' || i FROM generate_series(1, 300) i");
    let videos = team.rows("videos");

    // 26-36: the backup, and staging made of it, where the migration is tried.
    team.drizzle(&ALL);
    for (tag, undoes) in [
        ("0001_rollback_add_video_processing", "ALTER TABLE videos DROP COLUMN new_field;\n"),
        ("0002_rollback_add_integrations", "ALTER TABLE videos DROP COLUMN new_fk_id;\n"),
        ("0002_rollback_add_series_tables", "DROP TABLE series;\n"),
    ] {
        team.write(&format!("drizzle/rollbacks/{tag}.sql"), undoes);
    }
    team.holdpoint(&["backup", "--verify"], 0);
    let staging = team.staging();
    let cluster = team.bench.scene.cluster;
    let there = format!("env DATABASE_URL='{}' {}", cluster.tcp_url(&staging), team.command.join(" "));
    team.bench.bare(&there);
    assert_eq!(cluster.psql(&staging, "SELECT to_regclass('series') IS NULL"), "f");
    cluster.drop_database(&staging);

    // 43-48, 60-70: what it destroys and locks; maintenance mode around it.
    let plan = team.holdpoint(&["plan", "--json"], 0).json();
    let twice = plan["findings"].to_string();
    assert!(twice.contains("duplicate_prefix"), "{twice}");
    let flags = ["guard", "--before", "echo on >> mode", "--after", "echo off >> mode"];
    let report = team.with_command(&flags, 0);
    assert_eq!(first_way(&report), "rollback", "{:#}", report["ways_back"]);
    let mode = || std::fs::read_to_string(team.bench.scene.place.work().join("mode")).unwrap();
    assert_eq!(mode(), "on\noff\n");

    // 177-200: the scripts in reverse order.
    let undone = team.holdpoint(&["undo", "latest", "--yes", "--json"], 0).json();
    let steps = undone["plan"]["steps"].to_string();
    let at = |name: &str| steps.find(name).unwrap_or_else(|| panic!("{name} is not in {steps}"));
    assert!(at("0002_rollback_add_series") < at("0002_rollback_add_integrations"), "{steps}");
    assert!(at("0002_rollback_add_integrations") < at("0001_rollback_add_video"), "{steps}");
    assert_eq!((team.rows("videos"), team.pending().len()), (videos.clone(), 3));
    team.with_command(&["guard"], 0);

    // 119, 219: the old column goes after the new one is filled, batch by batch.
    team.sql("ALTER TABLE videos ADD COLUMN new_name text");
    let words = ["backfill", "public.videos", "--set", "new_name = old_name", "--where", "new_name IS NULL"];
    team.holdpoint(&words, 0);
    assert_eq!(team.sql("SELECT count(*) FROM videos WHERE new_name = old_name"), "300");

    // 371-391: nothing else helps: everything as it was before the last run.
    let contracts = "ALTER TABLE videos DROP COLUMN old_name;\n--> statement-breakpoint\nDELETE FROM comments;\n";
    let before = (team.rows("videos"), team.rows("comments"));
    team.drizzle(&[&ALL[..], &[("0003_contract", contracts)]].concat());
    let report = team.with_command(&["guard", "--level", "full"], 0);
    let restore = report["ways_back"].as_array().unwrap().iter().find(|one| one["way"] == "restore").unwrap();
    let since = restore["command"].as_str().unwrap().split("--accept-data-loss-since ").nth(1).unwrap();
    let words = ["undo", "latest", "--way", "restore", "--accept-data-loss-since", since, "--yes", "--json"];
    let undone = team.holdpoint(&words, 0).json();
    assert_eq!(undone["state"], "undone", "{undone:#}");
    assert_eq!((team.rows("videos"), team.rows("comments")), before);

    // 396-399: one table out of the backup.
    team.sql("DELETE FROM comments WHERE id > 100");
    let words = ["recover-table", "public.comments", "--from", "latest", "--mode", "missing", "--yes", "--json"];
    team.holdpoint(&words, 0);
    assert_eq!((team.rows("videos"), team.rows("comments")), before);
}
