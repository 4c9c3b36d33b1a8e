//! A table that is gone entirely: made again with everything that was its own.

use holdpoint_operations::recover::RecoverMode;

use super::Scene;

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

on_every_major! {
    everything,
    what_no_longer_fits_is_left_out_and_told,
    what_cannot_be_made_again_is_refused,
    a_partitioned_table_and_one_partition,
}
