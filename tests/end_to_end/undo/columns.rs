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

/// The columns of tables of the shop of such a name, with all that the catalogue has of them.
fn columns_of(project: &Project, like: &str) -> String {
    project.scene.sql(&format!(
        "SELECT string_agg(concat_ws(' ', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull, \
           attgenerated, attislocal, attinhcount, pg_get_expr(adbin, adrelid)), ', ' ORDER BY attrelid::regclass::text, attname) \
           || (SELECT string_agg(concat_ws(' ', conrelid::regclass, conname, conislocal, coninhcount), ', ' \
                 ORDER BY conrelid::regclass::text, conname) FROM pg_constraint \
               WHERE contype = 'n' AND connamespace = 'shop'::regnamespace) \
           || (SELECT string_agg(indexdef || i.indisvalid, ', ' ORDER BY indexdef) FROM pg_indexes \
               JOIN pg_index i ON i.indexrelid = format('%I.%I', schemaname, indexname)::regclass WHERE schemaname = 'shop') \
         FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum \
         JOIN pg_class c ON c.oid = attrelid AND c.relkind IN ('r', 'p') AND c.relnamespace = 'shop'::regnamespace \
         WHERE c.relname LIKE '{like}' AND attnum > 0 AND NOT attisdropped"
    ))
}

/// Runs what drops columns of tables of such a name, and brings all of it back.
#[track_caller]
fn comes_back(project: &Project, flags: &[&str], like: &str) {
    let (before, columns) = (project.shop(), columns_of(project, like));
    let report = project.guard(flags, 0);
    let undone = project.undo(run(&report), &["--way", "recover"], 0).json();
    assert_eq!(columns_of(project, like), columns, "{undone:#}");
    assert_eq!((&undone["state"], project.shop()), (&json!("undone"), before), "{undone:#}");
}

#[test]
fn a_column_of_a_partitioned_table_comes_back_in_all_of_its_partitions() {
    for flags in [&["--applied-through", "none"][..], &["--applied-through", "none", "--no-rehearse"]] {
        let project = project(
            "CREATE TABLE shop.part (id int, k int NOT NULL, t text NOT NULL DEFAULT 'd', u text, v text DEFAULT 'v', \
               twice int GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (id, k)) PARTITION BY RANGE (k); \
             CREATE TABLE shop.part_1 PARTITION OF shop.part FOR VALUES FROM (0) TO (100); \
             CREATE TABLE shop.part_2 PARTITION OF shop.part FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (k); \
             CREATE TABLE shop.part_2_a PARTITION OF shop.part_2 FOR VALUES FROM (100) TO (150); \
             ALTER TABLE shop.part_1 ALTER COLUMN t SET DEFAULT 'own', ALTER COLUMN v DROP DEFAULT; \
             CREATE INDEX part_t ON shop.part (t); \
             INSERT INTO shop.part SELECT i, i, 't' || i, 'u' || i FROM generate_series(1, 149) AS i",
            "ALTER TABLE shop.part DROP COLUMN t, DROP COLUMN u, DROP COLUMN v, DROP COLUMN twice;\n",
        );
        comes_back(&project, flags, "part%");
    }
}

#[test]
fn a_column_comes_back_in_tables_that_inherit_it() {
    for flags in [&["--applied-through", "none"][..], &["--applied-through", "none", "--no-rehearse"]] {
        let project = project(
            "CREATE TABLE shop.parent (id int PRIMARY KEY, t text NOT NULL, u int, \
           twice int GENERATED ALWAYS AS (id * 2) STORED); \
         CREATE TABLE shop.parent_kid (z int, PRIMARY KEY (id)) INHERITS (shop.parent); \
         CREATE TABLE shop.parent_grandchild (PRIMARY KEY (id)) INHERITS (shop.parent_kid); \
         INSERT INTO shop.parent VALUES (1, 'one', 1); INSERT INTO shop.parent_kid VALUES (2, 'two', 2); \
         INSERT INTO shop.parent_grandchild VALUES (3, 'three', 3)",
            "ALTER TABLE shop.parent DROP COLUMN t, DROP COLUMN twice;\n",
        );
        comes_back(&project, flags, "parent%");
    }
}

#[test]
fn a_column_that_comes_back_has_its_bound_by_its_name() {
    let project = project(
        "CREATE TABLE shop.old (id int PRIMARY KEY, a int NOT NULL, b int CONSTRAINT never NOT NULL, c int NOT NULL, \
           d int CONSTRAINT mine NOT NULL NO INHERIT); \
         ALTER TABLE shop.old RENAME TO renamed; ALTER TABLE shop.renamed RENAME COLUMN c TO see; \
         ALTER TABLE shop.renamed ADD COLUMN e int NOT NULL DEFAULT 5; \
         INSERT INTO shop.renamed VALUES (1, 1, 1, 1, 1)",
        "ALTER TABLE shop.renamed DROP COLUMN a, DROP COLUMN b, DROP COLUMN see, DROP COLUMN d, DROP COLUMN e;\n",
    );
    let columns = columns_of(&project, "renamed");
    assert!(columns.contains("old_a_not_null") && columns.contains("renamed_e_not_null"), "{columns}");
    comes_back(&project, &["--applied-through", "none"], "renamed");
}

#[test]
fn what_the_server_says_against_an_undo_is_told_without_secrets_and_values() {
    let project = project(
        "ALTER TABLE shop.orders ADD COLUMN word text NOT NULL DEFAULT 'w'",
        "ALTER TABLE shop.orders DROP COLUMN word;\n",
    );
    let report = project.guard(&["--applied-through", "none", "--no-rehearse"], 0);
    project.scene.sql(
        "CREATE FUNCTION shop.refuses() RETURNS event_trigger LANGUAGE plpgsql AS \
           'BEGIN RAISE EXCEPTION ''nobody alters now: password=hunter2'' USING ERRCODE = ''55000''; END'; \
         CREATE EVENT TRIGGER refuses ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION shop.refuses()",
    );
    let refused = || project.undo(run(&report), &["--way", "recover"], 13).json()["failure"].to_string();
    let told = refused();
    assert!(told.contains("bringing columns of shop.orders back: nobody alters now"), "{told}");
    assert!(told.contains("(SQLSTATE 55000)") && !told.contains("hunter2"), "{told}");
    let steps = project.scene.place.holdpoint(&["show", &format!("run:{}", run(&report)), "--json"]).json().to_string();
    assert!(steps.contains("(SQLSTATE 55000)") && !steps.contains("hunter2"), "{steps}");
    // A row of others has no word, and nobody knows one for it.
    project.scene.sql(
        "DROP EVENT TRIGGER refuses; DROP FUNCTION shop.refuses(); \
         INSERT INTO shop.orders (customer, status, placed) SELECT customer, status, placed FROM shop.orders LIMIT 1",
    );
    let told = refused();
    assert!(
        told.contains("bringing columns of shop.orders back: column word refuses a row (SQLSTATE 23502)"),
        "{told}"
    );
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
