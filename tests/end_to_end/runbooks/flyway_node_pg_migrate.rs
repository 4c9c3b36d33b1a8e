//! `flyway-node-pg-migrate.md`: safe steps with node-pg-migrate, indexes without locks, and the emergency rollback.

use super::{Team, first_way};

/// A column that came back stands last.
const USERS: &str = "(SELECT id, email, old_column, old_name FROM users)";

fn migration(team: &Team, name: &str, up: &str, down: &str) {
    team.write(&format!("migrations/{name}.sql"), &format!("-- Up Migration\n{up}\n-- Down Migration\n{down}\n"));
}

#[test]
fn from_a_safe_column_to_the_emergency_rollback() {
    let team = Team::new("flyway-node-pg-migrate", "node-pg-migrate", &["npm", "run", "--silent", "migrate", "up"]);
    team.sql("DROP TABLE flyway_schema_history");
    let package = serde_json::json!({ "type": "module", "devDependencies": { "node-pg-migrate": "9.0.0" },
        "scripts": { "migrate": "node-pg-migrate" } });
    team.write("package.json", &package.to_string());
    let (users, posts) = (team.rows(USERS), team.rows("posts"));

    // 47, 134, 144: columns, a type and a constraint that are safe.
    migration(
        &team,
        "10_add_user_timezone",
        "ALTER TABLE users ADD COLUMN timezone VARCHAR(50);\nUPDATE users SET timezone = 'UTC' WHERE timezone IS NULL;",
        "ALTER TABLE users DROP COLUMN timezone;",
    );
    migration(
        &team,
        "11_account_type",
        "CREATE TYPE account_type AS ENUM ('fan', 'creator', 'admin');\n\
         ALTER TABLE users ADD COLUMN account_type_new account_type DEFAULT 'fan';\n\
         ALTER TABLE users ADD CONSTRAINT users_email_check \
         CHECK (email ~* '^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\.[A-Za-z]{2,}$') NOT VALID;\n\
         ALTER TABLE users VALIDATE CONSTRAINT users_email_check;",
        "ALTER TABLE users DROP CONSTRAINT users_email_check;\nALTER TABLE users DROP COLUMN account_type_new;\n\
         DROP TYPE account_type;",
    );
    // 39, 94-101: what is pending; the checklist is one command.
    let plan = team.holdpoint(&["plan", "--tool", "node-pg-migrate", "--json"], 15).json();
    assert_eq!(plan["pending"].as_array().unwrap().len(), 2, "{plan:#}");
    assert!(plan["findings"].to_string().contains("no_tracking_table"), "the tool never ran here: {plan:#}");
    let prepared = team.with_command(&["prepare"], 0);
    assert_eq!(prepared["verification"]["verdict"], "proved", "{prepared:#}");
    assert!(prepared["rehearsal"]["rollback"]["ran"].is_array(), "{prepared:#}");

    // 33: the migration, relying on what is prepared.
    let report = team.with_command(&["guard"], 0);
    assert_eq!((&report["state"], &report["point"]), (&"succeeded".into(), &prepared["point"]), "{report:#}");
    assert_eq!(first_way(&report), "rollback", "{report:#}");
    assert_eq!(team.sql("SELECT count(*) FROM users WHERE timezone = 'UTC' AND account_type_new = 'fan'"), "400");

    // 108: an index without locks.
    team.write(
        "migrations/12_index.js",
        "export const up = (pgm) => { pgm.noTransaction(); \
         pgm.sql('CREATE INDEX CONCURRENTLY idx_posts_creator ON posts(creator_id)'); };\n\
         export const down = (pgm) => pgm.sql('DROP INDEX idx_posts_creator');\n",
    );
    team.with_command(&["guard"], 0);
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_posts_creator'::regclass";
    assert_eq!(team.sql(valid), "t");

    // 120: a large table in batches.
    team.sql("ALTER TABLE posts ADD COLUMN new_field VARCHAR(100)");
    let batches =
        ["backfill", "public.posts", "--set", "new_field = 'value'", "--where", "new_field IS NULL", "--batch", "100"];
    team.holdpoint(&batches, 0);
    assert_eq!(team.sql("SELECT count(*) FROM posts WHERE new_field = 'value'"), "400");
    team.sql("ALTER TABLE posts DROP COLUMN new_field");

    // 179: whoever else migrates is waited for or told.
    let held = team.bench.hold("SELECT pg_advisory_lock(7241865325823964)");
    migration(&team, "13_remove_old_column", "ALTER TABLE users DROP COLUMN old_column;", "");
    let words = [&["guard", "--json", "--"], team.command.as_slice()].concat();
    team.holdpoint(&words, 14).failure().says(&["somebody else is migrating with node-pg-migrate"]);
    held.release();

    // 57, 160-171: the old column goes, and that was wrong: identify, roll back, fix, again.
    let report = team.with_command(&["guard"], 0);
    assert_eq!(first_way(&report), "recover", "{:#}", report["ways_back"]);
    team.holdpoint(&["undo", "latest", "--yes", "--json"], 0);
    assert_eq!(team.sql("SELECT count(*) FROM users WHERE old_column = 'x'"), "400");
    assert_eq!(team.pending(), ["13_remove_old_column.sql"]);
    std::fs::remove_file(team.bench.scene.place.work().join("migrations/13_remove_old_column.sql")).unwrap();

    // The others' own way down, newest first, brings the tables back as they were.
    let runs = team.holdpoint(&["runs", "--json"], 0).json();
    let of = |place: usize| runs["runs"][place]["run"].as_str().unwrap().to_owned();
    for run in [of(1), of(2)] {
        team.holdpoint(&["undo", &run, "--way", "rollback", "--yes", "--json"], 0);
    }
    assert_eq!((team.rows(USERS), team.rows("posts")), (users, posts));
    let columns =
        "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users' AND table_schema = 'public'";
    assert_eq!(team.sql(columns), "4");
}
