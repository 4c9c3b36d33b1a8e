//! `undo --way recover` of tables whose rows refer to rows of the same table.

use serde_json::json;

use super::project::Project;

const MAKE: &str = "CREATE TABLE shop.tree (id integer PRIMARY KEY, word text); \
                    INSERT INTO shop.tree SELECT i, 'w' || i FROM generate_series(1, 100) AS i;";

#[test]
fn a_row_comes_back_with_what_the_rows_that_referred_to_it_held() {
    for (key, up) in [
        ("ON DELETE SET NULL", "DELETE FROM shop.tree WHERE id = 1;\n"),
        ("ON DELETE SET DEFAULT", "DELETE FROM shop.tree WHERE id = 1;\n"),
        ("ON DELETE CASCADE", "DELETE FROM shop.tree WHERE id = 1;\n"),
        ("", "UPDATE shop.tree SET up = NULL WHERE id > 50;\nDELETE FROM shop.tree WHERE id = 1;\n"),
    ] {
        let mut project = Project::plain();
        project.scene.sql(&format!(
            "{MAKE} ALTER TABLE shop.tree ADD COLUMN up integer REFERENCES shop.tree (id) {key}; \
             UPDATE shop.tree SET up = 1 WHERE id > 50"
        ));
        project.write("sql/1_only.sql", up);
        project.scene.place.set("FILES", "sql/1_only.sql");
        let before = project.shop();
        let bound = || {
            project.scene.sql(
                "SELECT condeferrable, condeferred, convalidated FROM pg_constraint \
                 WHERE conrelid = 'shop.tree'::regclass AND contype = 'f'",
            )
        };
        assert_eq!(bound(), "f|f|t");
        let report = project.guard(&["--applied-through", "none"], 0);
        let run = report["run"].as_str().unwrap();
        let undone = project.undo(run, &["--way", "recover"], 0).json();
        assert_eq!((&undone["state"], project.shop()), (&json!("undone"), before), "{key}: {undone:#}");
        assert_eq!(bound(), "f|f|t", "the foreign key is as it was");
    }
}
