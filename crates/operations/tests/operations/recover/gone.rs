//! A table that is gone entirely: made again with everything that was its own.

use holdpoint_core::selector::Selector;
use holdpoint_operations::Context;
use holdpoint_operations::backup::backup;
use holdpoint_operations::recover::{RecoverFrom, RecoverMode, Wanted};

use super::Scene;
use crate::support;

const RICH: &str = "
    CREATE TYPE kind AS ENUM ('a', 'b'); CREATE TABLE owners (id int PRIMARY KEY);
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.n := NEW.n + 1; RETURN NEW; END';
    CREATE TABLE things (id serial PRIMARY KEY, owner int REFERENCES owners, kind kind DEFAULT 'a', name text NOT NULL UNIQUE, n int CHECK (n > 0),
        up text GENERATED ALWAYS AS (upper(name)) STORED);
    CREATE INDEX things_n ON things (n); CREATE INDEX things_k ON things (kind) WHERE n > 5; ALTER TABLE things CLUSTER ON things_n;
    CREATE TRIGGER touches BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION touch();
    ALTER TABLE things ENABLE ROW LEVEL SECURITY; CREATE POLICY seen ON things USING (n > 0);
    COMMENT ON TABLE things IS 'the things'; COMMENT ON COLUMN things.n IS 'it''s; a number'; GRANT SELECT ON things TO PUBLIC;
    CREATE STATISTICS st ON owner, n FROM things;
    CREATE TABLE parts (id int PRIMARY KEY, thing int REFERENCES things ON DELETE CASCADE);
    CREATE VIEW seen AS SELECT id, name FROM things; CREATE MATERIALIZED VIEW kinds AS SELECT kind, count(*) FROM things GROUP BY 1;
    INSERT INTO owners SELECT n FROM generate_series(1, 3) n;
    INSERT INTO things (owner, name, n) SELECT n % 3 + 1, 'thing ' || n, n FROM generate_series(1, 50) n;
    INSERT INTO parts SELECT n, n FROM generate_series(1, 20) n; REFRESH MATERIALIZED VIEW kinds;
";

async fn everything(major: u32) {
    let scene = Scene::with(major, RICH).await;
    let before = scene.fingerprint(&[]);
    scene.sql("DROP TABLE things CASCADE");
    let report = scene.recover(&["things"], RecoverMode::Missing).await.unwrap();
    let table = &report.plan.tables[0];
    assert!(table.made_again && table.inserted == 50, "{table:?}");
    assert!(table.notes.iter().any(|note| note.contains("foreign keys of other tables: 1, views: 2")), "{table:?}");
    assert_eq!(scene.side_schemas(), "");
    let lines = |dump: &str| {
        let mut lines: Vec<String> =
            dump.lines().filter(|line| !line.is_empty() && !line.starts_with("--")).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&scene.fingerprint(&[])), lines(&before), "{major}: the whole database is as it was");
    assert_eq!(scene.sql("INSERT INTO things (name, n) VALUES ('next', 1) RETURNING id").lines().next(), Some("51"));
    assert_eq!(scene.sql("SELECT count(*) FROM kinds"), "1", "a materialized view is filled");
}

async fn what_no_longer_fits_is_left_out_and_told(major: u32) {
    let scene = Scene::with(major, RICH).await;
    scene.sql("DROP TABLE things CASCADE; INSERT INTO parts VALUES (100, 999); DELETE FROM owners WHERE id = 1");
    let report = scene.recover(&["things"], RecoverMode::Replace).await.unwrap();
    let notes = report.plan.tables[0].notes.join("\n");
    assert!(
        notes.contains("parts_thing_fkey is not made again (rows do not fit it): ALTER TABLE ONLY public.parts"),
        "{notes}"
    );
    assert!(notes.contains("things_owner_fkey is not made again (rows do not fit it)"), "{notes}");
    assert_eq!(scene.sql("SELECT count(*) FROM things"), "50");
}

async fn what_cannot_be_made_again_is_refused(major: u32) {
    let scene = Scene::with(major, RICH).await;
    scene.sql("DROP TABLE things CASCADE; CREATE TABLE blocks (id int); CREATE INDEX things_n ON blocks (id)");
    let before = scene.fingerprint(&[]);
    let error = scene.recover(&["things"], RecoverMode::Missing).await.unwrap_err();
    assert!(error.to_string().contains("cannot be made again: relation \"things_n\" already exists"), "{error}");
    assert_eq!(scene.fingerprint(&[]), before);
}

async fn a_partitioned_table_and_one_partition(major: u32) {
    let sql = "CREATE TABLE ev (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
         CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
         CREATE TABLE ev_2 PARTITION OF ev FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
         CREATE INDEX ev_at ON ev (at); INSERT INTO ev SELECT n, date '2026-01-01' + n % 59 FROM generate_series(1, 590) n";
    let scene = Scene::with(major, sql).await;
    let before = scene.fingerprint(&[]);
    scene.sql("DROP TABLE ev_2");
    let report = scene.recover(&["ev_2"], RecoverMode::Missing).await.unwrap();
    assert_eq!(report.plan.tables[0].inserted, 280, "{report:?}");
    assert_eq!(scene.sql("SELECT count(*) FROM ev"), "590");
    scene.sql("DROP TABLE ev");
    scene.recover(&["ev"], RecoverMode::Missing).await.unwrap();
    let sorted = |dump: &str| {
        let mut lines: Vec<String> =
            dump.lines().filter(|line| !line.is_empty() && !line.starts_with("--")).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&scene.fingerprint(&[])), sorted(&before));
}

const BILLING: &str = "
    CREATE TABLE public.customers (id int PRIMARY KEY); CREATE SCHEMA billing; COMMENT ON SCHEMA billing IS 'who owes what';
    CREATE TYPE billing.kind AS ENUM ('paid', 'open'); CREATE DOMAIN billing.amount AS numeric(10,2) CHECK (value >= 0);
    CREATE TYPE billing.span AS (low int, high int); CREATE SEQUENCE billing.numbers START 1000;
    CREATE FUNCTION billing.open() RETURNS billing.kind LANGUAGE sql AS $$ SELECT 'open'::billing.kind $$;
    CREATE FUNCTION billing.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.touched := NEW.touched + 1; RETURN NEW; END';
    CREATE TABLE billing.invoices (id serial PRIMARY KEY, number bigint DEFAULT nextval('billing.numbers'), kind billing.kind DEFAULT billing.open(),
        total billing.amount, span billing.span, kinds billing.kind[], customer int REFERENCES public.customers, touched int DEFAULT 0);
    CREATE TABLE billing.items (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, invoice int REFERENCES billing.invoices ON DELETE CASCADE, n int);
    CREATE TRIGGER touches BEFORE UPDATE ON billing.invoices FOR EACH ROW EXECUTE FUNCTION billing.touch();
    CREATE VIEW billing.owed AS SELECT i.customer, sum(n) FROM billing.invoices i JOIN billing.items ON invoice = i.id WHERE kind = 'open' GROUP BY 1;
    CREATE TABLE public.letters (id int PRIMARY KEY, invoice int REFERENCES billing.invoices);
    INSERT INTO customers SELECT generate_series(1, 5);
    INSERT INTO billing.invoices (kind, total, span, kinds, customer)
        SELECT 'paid', n * 1.5, ROW(n, n)::billing.span, ARRAY['open', 'paid']::billing.kind[], n % 5 + 1 FROM generate_series(1, 30) n;
    INSERT INTO billing.items (invoice, n) SELECT n % 30 + 1, n FROM generate_series(1, 90) n; INSERT INTO letters VALUES (1, 7);
";

fn sorted(dump: &str) -> Vec<String> {
    let mut lines: Vec<String> =
        dump.lines().filter(|line| !line.is_empty() && !line.starts_with("--")).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// A schema that was dropped comes back with its tables: owner, grants, comment, and what they need of it.
async fn a_whole_schema(major: u32) {
    let scene = Scene::with(major, "SELECT").await;
    let (owner, clerk) = (format!("bills_{}", scene.database), format!("clerk_{}", scene.database));
    scene.sql(&format!(
        "{BILLING} CREATE ROLE {owner}; CREATE ROLE {clerk}; ALTER SCHEMA billing OWNER TO {owner}; GRANT USAGE ON SCHEMA billing TO {clerk};
         ALTER TABLE billing.invoices OWNER TO {owner}; ALTER TYPE billing.kind OWNER TO {owner}; GRANT SELECT ON billing.items TO {clerk};
         ALTER DEFAULT PRIVILEGES IN SCHEMA billing GRANT SELECT ON TABLES TO {clerk}"
    ));
    let other = format!("{}_whole", scene.database);
    scene.cluster.create_database_with(&other, &format!("TEMPLATE {}", scene.database));
    let context = Context { seed: 5, ..scene.place.context.clone() };
    let source = support::source(scene.cluster, &scene.database);
    let made = backup(&context, &source, &support::backup_options()).await.unwrap();
    let point = RecoverFrom::Point(Selector::Id(made.manifest.id));
    let whole = sorted(&scene.fingerprint(&[]));
    let database = RecoverFrom::Database(Box::new(support::settings(scene.cluster, &other)));
    for from in [point, database] {
        scene.sql("DROP SCHEMA billing CASCADE");
        let mut options = scene.options(&[], RecoverMode::Missing);
        options.wanted = Wanted::Schema("billing".to_owned());
        options.from = from;
        let report = scene.run(&options).await.unwrap();
        let told: Vec<(&str, bool, u64)> =
            report.plan.tables.iter().map(|table| (table.table.as_str(), table.made_again, table.inserted)).collect();
        assert_eq!(told, [("billing.invoices", true, 30), ("billing.items", true, 90)], "{report:#?}");
        let notes = report.plan.tables[0].notes.join("\n");
        for says in ["schema billing", "type billing.kind", "domain billing.amount", "function billing.touch()"] {
            assert!(notes.contains(says), "{says}: {notes}");
        }
        // A sequence of its own is none of a table's rows: from a database it begins anew, and behind them.
        let rest = |all: &[String]| -> Vec<String> {
            all.iter().filter(|line| !line.contains("setval('billing.numbers'")).cloned().collect()
        };
        assert_eq!(rest(&sorted(&scene.fingerprint(&[]))), rest(&whole), "{major}: {}", report.plan.from);
        assert_eq!(scene.side_schemas(), "");
        let next = "INSERT INTO billing.invoices (customer) VALUES (1) RETURNING id, number, kind";
        assert_eq!(scene.sql(next).lines().next(), Some("31|1030|open"));
        scene.sql("DELETE FROM billing.invoices WHERE id = 31; SELECT setval('billing.invoices_id_seq', 30)");
    }
    scene.cluster.drop_database(&other);
    scene.sql(&format!("DROP OWNED BY {owner}, {clerk} CASCADE; DROP ROLE {owner}, {clerk}"));
}

/// Tables of which one view tells are made together.
async fn tables_that_need_each_other(major: u32) {
    let scene = Scene::with(
        major,
        &format!("{RICH} CREATE VIEW joined AS SELECT p.id, name FROM parts p JOIN things t ON t.id = thing"),
    )
    .await;
    let whole = sorted(&scene.fingerprint(&[]));
    scene.sql("DROP TABLE things, parts CASCADE");
    let report = scene.recover(&["things", "parts"], RecoverMode::Missing).await.unwrap();
    assert_eq!(report.plan.tables.iter().map(|table| table.inserted).sum::<u64>(), 70, "{report:?}");
    assert_eq!(sorted(&scene.fingerprint(&[])), whole);
}

/// A table that has another name now is not made a second time without a word.
async fn what_was_renamed_is_suggested(major: u32) {
    let scene = Scene::with(major, RICH).await;
    scene.sql("CREATE SCHEMA s; ALTER TABLE things SET SCHEMA s; ALTER TABLE s.things RENAME TO \"Old things\"");
    let mut options = scene.options(&["things"], RecoverMode::Missing);
    options.dry_run = true;
    let notes = scene.run(&options).await.unwrap().plan.tables[0].clone();
    let told = [notes.notes, notes.refusals].concat().join("\n");
    assert!(told.contains("if it was renamed or moved, say --as 's.Old things'"), "{told}");
}

on_every_major! {
    a_whole_schema,
    tables_that_need_each_other,
    what_was_renamed_is_suggested,
    everything,
    what_no_longer_fits_is_left_out_and_told,
    what_cannot_be_made_again_is_refused,
    a_partitioned_table_and_one_partition,
}
