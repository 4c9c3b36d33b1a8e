//! `undo --way recover` of columns that a migration dropped, and of what went with them.

use serde_json::{Value, json};

use super::project::Project;

fn run(report: &Value) -> &str {
    report["run"].as_str().unwrap()
}

/// A folder with one file that drops columns of shop.orders, which this makes.
fn project(make: &str, drop: &str) -> Project {
    let mut project = Project::plain();
    project.scene.sql(make);
    project.scene.place.set("FILES", "sql/1_drops.sql");
    project.write("sql/1_drops.sql", drop);
    project
}

#[test]
fn a_column_that_is_added_again_is_as_it_was() {
    let mut project = Project::plain();
    project.scene.sql(
        "ALTER TABLE shop.orders ADD COLUMN word varchar(20) COLLATE \"C\" NOT NULL DEFAULT 'it''s', \
         ADD COLUMN day date DEFAULT CURRENT_DATE, ADD COLUMN amount numeric(10,2) NOT NULL DEFAULT 1.5, \
         ADD COLUMN twice numeric GENERATED ALWAYS AS (amount * 2) STORED",
    );
    project.scene.sql("UPDATE shop.orders SET word = 'w' || id, amount = id");
    project.scene.place.set("FILES", "sql/1_drops.sql");
    let columns = || {
        project.scene.sql(
            "SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), attcollation::regcollation, \
               attnotnull, attgenerated, pg_get_expr(adbin, adrelid)), ', ' ORDER BY attname) \
             FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum \
             WHERE attrelid = 'shop.orders'::regclass AND attnum > 0 AND NOT attisdropped",
        )
    };
    let (before, defined) = (project.shop(), columns());
    let drops = "ALTER TABLE shop.orders DROP COLUMN twice, DROP COLUMN word, DROP COLUMN day, DROP COLUMN amount;\n";
    project.write("sql/1_drops.sql", drops);
    let report = project.guard(&["--applied-through", "none", "--no-rehearse"], 0);
    let undone = project.undo(run(&report), &["--way", "recover"], 0).json();
    assert_eq!((&undone["state"], project.shop(), columns()), (&json!("undone"), before, defined), "{undone:#}");
}

#[test]
fn a_column_of_a_table_whose_name_needs_quotes_comes_back() {
    for flags in [&["--applied-through", "none"][..], &["--applied-through", "none", "--no-rehearse"]] {
        let project = project(
            "CREATE TABLE shop.\"my table\" (id int PRIMARY KEY, x text); INSERT INTO shop.\"my table\" VALUES (1, 'one'); \
             CREATE TABLE shop.\"T;x, (y)\" (id int PRIMARY KEY, x text); INSERT INTO shop.\"T;x, (y)\" VALUES (2, 'two')",
            "ALTER TABLE shop.\"my table\" DROP COLUMN x;\nALTER TABLE shop.\"T;x, (y)\" DROP COLUMN x;\n",
        );
        let before = project.shop();
        let report = project.guard(flags, 0);
        let undone = project.undo(run(&report), &["--way", "recover"], 0).json();
        assert_eq!((&undone["state"], project.shop()), (&json!("undone"), before), "{undone:#}");
    }
}

/// Everything that belongs to columns, as the catalogue has it.
const BELONGINGS: &str = "SELECT string_agg(t, chr(10) ORDER BY t) FROM ( \
    SELECT pg_get_constraintdef(oid) || conname || coalesce(obj_description(oid, 'pg_constraint'), '') FROM pg_constraint \
      WHERE connamespace = 'shop'::regnamespace AND contype <> 'n' \
    UNION ALL SELECT indexdef || coalesce(obj_description(format('%I.%I', schemaname, indexname)::regclass), '') \
      FROM pg_indexes WHERE schemaname = 'shop' \
    UNION ALL SELECT pg_get_statisticsobjdef(oid) FROM pg_statistic_ext \
    UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal \
    UNION ALL SELECT pg_get_viewdef(oid) || relname FROM pg_class WHERE relkind = 'v' AND relnamespace = 'shop'::regnamespace \
    UNION ALL SELECT polname || pg_get_expr(polqual, polrelid) FROM pg_policy \
    UNION ALL SELECT concat_ws(' ', attname, format_type(atttypid, atttypmod), attstorage, nullif(attstattarget, -1), attacl, \
        attidentity, attnotnull, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum), \
        pg_get_serial_sequence('shop.orders', attname)) \
      FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum \
      WHERE attrelid = 'shop.orders'::regclass AND attnum > 0 AND NOT attisdropped \
    UNION ALL SELECT schemaname || sequencename || last_value FROM pg_sequences WHERE sequencename LIKE 'orders_ticket%') s(t)";

#[test]
fn what_went_with_a_column_comes_back_with_it() {
    let project = project(
        "CREATE TYPE shop.mood AS ENUM ('good', 'bad'); \
         CREATE TABLE shop.kinds (id int PRIMARY KEY); INSERT INTO shop.kinds VALUES (1); \
         ALTER TABLE shop.orders ADD COLUMN word text, ADD COLUMN amount numeric NOT NULL DEFAULT 1, \
           ADD COLUMN ticket serial UNIQUE, ADD COLUMN mood shop.mood DEFAULT 'good', \
           ADD COLUMN kind int DEFAULT 1 REFERENCES shop.kinds; \
         UPDATE shop.orders SET word = 'w' || id, amount = id; \
         ALTER TABLE shop.orders ALTER COLUMN word SET STORAGE EXTERNAL, ALTER COLUMN word SET STATISTICS 500, \
           ADD CONSTRAINT orders_amount_ok CHECK (amount >= 0); \
         CREATE INDEX orders_word ON shop.orders (word, id DESC) WHERE word <> ''; \
         COMMENT ON INDEX shop.orders_word IS 'by word'; COMMENT ON COLUMN shop.orders.word IS 'a word'; \
         COMMENT ON CONSTRAINT orders_amount_ok ON shop.orders IS 'never less'; \
         GRANT SELECT (word) ON shop.orders TO PUBLIC; \
         CREATE STATISTICS shop.orders_both ON word, amount FROM shop.orders; \
         CREATE POLICY good ON shop.orders USING (mood = 'good'); \
         CREATE TABLE shop.receipts (id int PRIMARY KEY, ticket int REFERENCES shop.orders (ticket)); \
         CREATE FUNCTION shop.noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
         CREATE TRIGGER noted AFTER UPDATE OF word ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.noted(); \
         CREATE VIEW shop.words AS SELECT id, word FROM shop.orders",
        "ALTER TABLE shop.orders DROP COLUMN word CASCADE, DROP COLUMN amount, DROP COLUMN ticket CASCADE, \
         DROP COLUMN mood CASCADE, DROP COLUMN kind;\nDROP TYPE shop.mood;\n",
    );
    let (before, belongings) = (project.shop(), project.scene.sql(BELONGINGS));
    let report = project.guard(&["--applied-through", "none", "--no-rehearse"], 0);
    assert_ne!(project.scene.sql(BELONGINGS), belongings);
    let undone = project.undo(run(&report), &["--way", "recover"], 0).json();
    assert_eq!(project.scene.sql(BELONGINGS), belongings, "{undone:#}");
    assert_eq!((&undone["state"], project.shop()), (&json!("undone"), before), "{undone:#}");
}

#[test]
fn what_cannot_come_back_with_a_column_is_told() {
    let project = project(
        "ALTER TABLE shop.orders ADD COLUMN word text CHECK (word IS NOT NULL) DEFAULT 'w'; \
         CREATE INDEX orders_word ON shop.orders (word)",
        "ALTER TABLE shop.orders DROP COLUMN word;\n",
    );
    let report = project.guard(&["--applied-through", "none", "--no-rehearse"], 0);
    // A row of others has no word, and nobody knows one for it.
    project.scene.sql(
        "INSERT INTO shop.orders (customer, status, placed) SELECT customer, status, placed FROM shop.orders LIMIT 1",
    );
    let undone = project.undo(run(&report), &["--way", "recover"], 11).json();
    let open = undone["undo"]["not_as_before"].to_string();
    assert!(open.contains("TABLE shop.orders is not as before") && !open.contains("INDEX"), "{undone:#}");
    let steps = project.scene.place.holdpoint(&["show", &format!("run:{}", run(&report)), "--json"]).json().to_string();
    assert!(steps.contains("check orders_word_check of shop.orders was not made again"), "{steps}");
    assert_eq!(project.scene.sql("SELECT count(*) FROM pg_indexes WHERE indexname = 'orders_word'"), "1");
}
