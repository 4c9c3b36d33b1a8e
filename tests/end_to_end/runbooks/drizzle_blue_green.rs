//! `drizzle-blue-green.md`: staging in the pipeline, a column in three steps, blue and green, and the rollback script.

use super::{Team, first_way};
use crate::web::Web;

const COLUMN: (&str, &str) = ("0011_add_user_avatar", "ALTER TABLE users ADD COLUMN avatar_url VARCHAR(500);\n");
const FILL: (&str, &str) = (
    "0012_populate_avatar",
    "UPDATE users SET avatar_url = 'https://api.dicebear.com/7.x/initials/svg?seed=' || id WHERE avatar_url IS NULL;\n",
);
const NOT_NULL: (&str, &str) = ("0013_avatar_not_null", "ALTER TABLE users ALTER COLUMN avatar_url SET NOT NULL;\n");
const DROP: (&str, &str) = ("0014_drop_legacy_field", "ALTER TABLE users DROP COLUMN IF EXISTS legacy_field;\n");

#[test]
fn from_staging_to_the_rollback_script() {
    let team = Team::with_drizzle("drizzle-blue-green");
    team.sql("UPDATE users SET legacy_field = 'old ' || email");
    team.drizzle(&[COLUMN, FILL, NOT_NULL]);
    team.write("drizzle/rollbacks/0011_rollback.sql", "ALTER TABLE users DROP COLUMN avatar_url;\n");
    team.write("drizzle/rollbacks/0012_rollback.sql", "UPDATE users SET avatar_url = NULL;\n");
    team.write(
        "drizzle/rollbacks/0013_rollback.sql",
        "BEGIN;\nALTER TABLE users ALTER COLUMN avatar_url DROP NOT NULL;\nCOMMIT;\n",
    );
    let before = team.rows("users");

    // 104-127: backup, dry run, migration, health check.
    team.holdpoint(&["backup", "--verify"], 0);
    let tried = team.with_command(&["rehearse"], 0);
    assert_eq!(tried["rehearsal"]["outcome"], "as_planned", "{tried:#}");
    assert_eq!(team.pending().len(), 3, "a rehearsal leaves production alone");
    let web = Web::answering(&[503, 200]);
    let report = team.with_command(&["guard", "--health-url", &web.url("/health")], 0);
    assert_eq!((report["state"].as_str(), first_way(&report)), (Some("succeeded"), "rollback"), "{report:#}");
    assert_eq!(team.sql("SELECT count(*) FROM users WHERE avatar_url LIKE 'https://%'"), "500");

    // 339-366: the script that rolls back. A backup first, newest migration first, and the table of migrations.
    let undone = team.holdpoint(&["undo", "latest", "--way", "rollback", "--yes", "--json"], 0).json();
    assert_eq!(undone["state"], "undone", "{undone:#}");
    assert!(undone["undo"]["point"].is_string(), "{undone:#}");
    assert_eq!((team.rows("users"), team.pending().len()), (before, 3));
    team.with_command(&["guard"], 0);

    // 303-330: the new table beside the old one, filled in batches, compared before anybody is sent there.
    team.sql("CREATE TABLE users_new AS TABLE users WITH NO DATA; ALTER TABLE users_new ADD PRIMARY KEY (id)");
    team.sql("INSERT INTO users_new SELECT * FROM users WHERE email <> 'user 7'");
    let consistency = ["compare", "--table", "public.users", "--with", "public.users_new", "--json"];
    team.holdpoint(&consistency, 15);
    team.sql("INSERT INTO users_new SELECT * FROM users WHERE email = 'user 7'");
    team.holdpoint(&consistency, 0);
    // 421-468: the batches.
    let words = ["backfill", "public.users_new", "--set", "name = upper(email)", "--where", "name IS NULL", "--json"];
    let filled = team.holdpoint(&words, 0).json();
    assert_eq!(filled["rows_updated"], 500, "{filled:#}");

    // 166, 330: what is old goes last, with its values kept.
    team.drizzle(&[COLUMN, FILL, NOT_NULL, DROP]);
    let plan = team.holdpoint(&["plan", "--json"], 15).json();
    assert!(plan["review"].to_string().contains("legacy_field"), "{plan:#}");
    let report = team.with_command(&["guard"], 0);
    assert_eq!(first_way(&report), "recover", "{:#}", report["ways_back"]);
    team.holdpoint(&["undo", "latest", "--yes", "--json"], 0);
    assert_eq!(team.sql("SELECT count(*) FROM users WHERE legacy_field = 'old ' || email"), "500");
}
