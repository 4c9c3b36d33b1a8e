//! Foreign keys that delete or change rows on their own: what they reach comes back in the same go, and where more
//! hangs on it nothing is done.

use holdpoint_operations::ErrorKind;
use holdpoint_operations::recover::{RecoverMode, RecoverReport, prepare};

use super::Scene;
use super::hard::refused;

/// A row of `b` refers to one of `a` that came since, and `c` refers to `b`.
fn chain(of_b: &str, of_c: &str) -> String {
    format!(
        "CREATE TABLE a (id int PRIMARY KEY, v text);
         CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a ON DELETE {of_b}, v text);
         CREATE TABLE c (id int PRIMARY KEY, b_id int REFERENCES b ON DELETE {of_c}, v text);
         INSERT INTO a VALUES (1, 'a1'), (2, 'a2'); INSERT INTO b VALUES (10, 1, 'b1'), (20, 2, 'b2');
         INSERT INTO c VALUES (100, 10, 'c1'), (200, 20, 'c2')"
    )
}
const DAMAGE: &str = "INSERT INTO a VALUES (99, 'new'); UPDATE b SET a_id = 99 WHERE id = 10";
const CONTENT: &str = "SELECT (SELECT string_agg(a::text, ' ' ORDER BY id) FROM a), \
    (SELECT string_agg(b::text, ' ' ORDER BY id) FROM b), (SELECT string_agg(c::text, ' ' ORDER BY id) FROM c)";
const LOST: &str = "rows that would be deleted or get another value";

/// Rows inserted, changed and deleted, of each table.
fn counts(report: &RecoverReport) -> Vec<(u64, u64, u64)> {
    report.plan.tables.iter().map(|table| (table.inserted, table.changed, table.deleted)).collect()
}

async fn a_third_table(major: u32) {
    for rule in ["CASCADE", "SET NULL", "SET DEFAULT"] {
        let scene = Scene::with(major, &chain("CASCADE", rule)).await;
        let whole = scene.sql(CONTENT);
        scene.sql(DAMAGE);
        let damaged = scene.sql(CONTENT);
        let says = format!("1 rows of public.c refer to {LOST}; ON DELETE {rule}");
        refused(&scene, &["a"], RecoverMode::Replace, &format!("1 rows of public.b refer to {LOST}")).await;
        refused(&scene, &["a", "b"], RecoverMode::Replace, &says).await;
        let mut plan = scene.options(&["b", "a"], RecoverMode::Replace);
        plan.dry_run = true;
        let planned = scene.run(&plan).await.unwrap();
        assert!(planned.plan.refusals().join("; ").contains(&says), "the plan says so: {planned:?}");
        assert_eq!(scene.sql(CONTENT), damaged);
        let all = scene.recover(&["a", "b", "c"], RecoverMode::Replace).await.unwrap();
        assert_eq!(counts(&all), [(0, 0, 1), (0, 1, 0), (0, 0, 0)], "what comes back was changed, not inserted");
        assert_eq!(scene.sql(CONTENT), whole, "{rule}");
    }
}

/// What nobody else hangs on is taken by a foreign key and comes back.
async fn two_tables_alone(major: u32) {
    for rule in ["CASCADE", "SET NULL", "SET DEFAULT"] {
        // With SET NULL it is another column of b that changes than the one to which c refers.
        let more = if rule == "CASCADE" { "DROP TABLE c; CREATE TABLE c (id int)" } else { "" };
        let scene = Scene::with(major, &format!("{}; {more}", chain(rule, "CASCADE"))).await;
        let whole = scene.sql(CONTENT);
        scene.sql(DAMAGE);
        let mut plan = scene.options(&["a", "b"], RecoverMode::Replace);
        plan.dry_run = true;
        let planned = scene.run(&plan).await.unwrap();
        let report = scene.recover(&["a", "b"], RecoverMode::Replace).await.unwrap();
        assert_eq!(counts(&planned), [(0, 0, 1), (0, 1, 0)], "{rule}");
        assert_eq!(counts(&report), counts(&planned), "{rule}");
        assert_eq!(scene.sql(CONTENT), whole, "{rule}");
    }
}

/// One table is enough where it refers to itself, over any number of rows.
async fn a_tree(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree ON DELETE CASCADE);
         CREATE TABLE notes (id int PRIMARY KEY, tree_id int REFERENCES tree ON DELETE CASCADE);
         INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2), (4, 3), (5, 1); INSERT INTO notes SELECT n, n FROM generate_series(1, 5) n",
    )
    .await;
    let content = "SELECT string_agg(t::text, ' ' ORDER BY id) FROM tree t";
    let whole = scene.sql(content);
    let damage = "INSERT INTO tree VALUES (99, NULL); UPDATE tree SET parent = 99 WHERE id = 2";
    scene.sql(damage);
    refused(&scene, &["tree"], RecoverMode::Replace, &format!("3 rows of public.notes refer to {LOST}")).await;
    let both = scene.recover(&["tree", "notes"], RecoverMode::Replace).await.unwrap();
    assert_eq!(counts(&both), [(0, 1, 1), (0, 0, 0)]);
    assert_eq!(scene.sql(content), whole);
    assert_eq!(scene.sql("SELECT count(*) FROM notes WHERE id = tree_id"), "5");
    scene.sql(damage);
    scene.sql("DELETE FROM notes WHERE id IN (2, 3, 4)");
    assert_eq!(counts(&scene.recover(&["tree"], RecoverMode::Replace).await.unwrap()), [(0, 1, 1)]);
    assert_eq!((scene.sql(content), scene.sql("SELECT count(*) FROM notes").as_str()), (whole, "2"));
}

/// Rows that are the same before and after are taken too, where what they refer to goes for a moment.
async fn rows_that_nobody_changed(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE users (id int PRIMARY KEY, code text NOT NULL UNIQUE);
         CREATE TABLE seats (id int PRIMARY KEY, code text REFERENCES users (code) ON DELETE CASCADE ON UPDATE CASCADE);
         CREATE TABLE rides (id int PRIMARY KEY, seat int REFERENCES seats ON DELETE CASCADE);
         INSERT INTO users SELECT n, 'c' || n FROM generate_series(1, 10) n;
         INSERT INTO seats SELECT n, 'c' || n FROM generate_series(1, 5) n; INSERT INTO rides SELECT n, n FROM generate_series(1, 5) n",
    )
    .await;
    scene.sql("UPDATE users SET id = id + 100 WHERE id <= 2");
    refused(&scene, &["users", "seats"], RecoverMode::Replace, &format!("2 rows of public.rides refer to {LOST}"))
        .await;
    let all = scene.recover(&["users", "seats", "rides"], RecoverMode::Replace).await.unwrap();
    assert_eq!(counts(&all), [(2, 0, 2), (0, 0, 0), (0, 0, 0)]);
    assert_eq!(
        scene.sql("SELECT count(*), min(users.id) FROM rides JOIN seats ON seats.id = seat JOIN users USING (code)"),
        "5|1"
    );
    // With another code alone the seat is changed, and who rides on it keeps it.
    scene.sql("UPDATE users SET code = 'x3' WHERE id = 3");
    let two = scene.recover(&["users", "seats"], RecoverMode::Replace).await.unwrap();
    assert_eq!(counts(&two), [(0, 1, 0), (0, 1, 0)]);
}

/// Values that change go on through ON UPDATE, also where they come back in the end.
async fn values_that_go_on(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE a (id int PRIMARY KEY, code text UNIQUE);
         CREATE TABLE b (id int PRIMARY KEY, code text UNIQUE REFERENCES a (code) ON UPDATE CASCADE);
         CREATE TABLE c (id int PRIMARY KEY, code text REFERENCES b (code) ON UPDATE SET NULL);
         INSERT INTO a VALUES (1, 'w'), (2, 'v'); INSERT INTO b VALUES (10, 'v'); INSERT INTO c VALUES (100, 'v')",
    )
    .await;
    let whole = scene.sql(CONTENT);
    scene.sql(
        "ALTER TABLE b DROP CONSTRAINT b_code_fkey; DELETE FROM a WHERE id = 2; UPDATE a SET code = 'v' WHERE id = 1;
         ALTER TABLE b ADD CONSTRAINT b_code_fkey FOREIGN KEY (code) REFERENCES a (code) ON UPDATE CASCADE",
    );
    refused(&scene, &["a", "b"], RecoverMode::Replace, &format!("1 rows of public.c refer to {LOST}")).await;
    let all = scene.recover(&["a", "b", "c"], RecoverMode::Replace).await.unwrap();
    assert_eq!(counts(&all), [(1, 1, 0), (0, 0, 0), (0, 0, 0)]);
    assert_eq!(scene.sql(CONTENT), whole);
}

/// A column that follows others changes with them.
async fn values_that_follow_others(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE a (id int PRIMARY KEY, v text, upper text GENERATED ALWAYS AS (upper(v)) STORED UNIQUE);
         CREATE TABLE b (id int PRIMARY KEY, up text); INSERT INTO a VALUES (1, 'x'), (2, 'y');
         ALTER TABLE b ADD FOREIGN KEY (up) REFERENCES a (upper) ON DELETE CASCADE; INSERT INTO b VALUES (10, 'Y')",
    )
    .await;
    scene.sql("UPDATE a SET v = 'now' WHERE id = 1; INSERT INTO b VALUES (11, 'NOW')");
    for mode in [RecoverMode::Upsert, RecoverMode::Replace] {
        refused(&scene, &["a"], mode, &format!("1 rows of public.b refer to {LOST}")).await;
    }
    scene.sql("DELETE FROM b WHERE id = 11");
    assert_eq!(counts(&scene.recover(&["a"], RecoverMode::Replace).await.unwrap()), [(0, 1, 0)]);
}

/// A foreign key that points to a whole table is about each of its partitions.
async fn a_partition_by_its_name(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE ev (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
         CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
         CREATE TABLE ev_2 PARTITION OF ev FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
         CREATE TABLE notes (id int PRIMARY KEY, ev int, at date, FOREIGN KEY (ev, at) REFERENCES ev ON DELETE CASCADE);
         CREATE TABLE pins (id int PRIMARY KEY, note int REFERENCES notes ON DELETE CASCADE);
         INSERT INTO ev SELECT n, date '2026-01-01' + n FROM generate_series(1, 50) n;
         INSERT INTO notes SELECT id, id, at FROM ev; INSERT INTO pins SELECT id, id FROM ev",
    )
    .await;
    let damage =
        "INSERT INTO ev VALUES (1000, '2026-01-05'); UPDATE notes SET ev = 1000, at = '2026-01-05' WHERE id = 1";
    scene.sql(damage);
    for tables in [["ev_1", "notes"], ["notes", "ev"]] {
        refused(&scene, &tables, RecoverMode::Replace, &format!("1 rows of public.pins refer to {LOST}")).await;
    }
    scene.recover(&["ev_1", "notes", "pins"], RecoverMode::Replace).await.unwrap();
    assert_eq!(
        scene.sql("SELECT count(*) FROM pins JOIN notes ON notes.id = note JOIN ev USING (at) WHERE ev.id = ev"),
        "50"
    );
    scene.sql(damage);
    scene.sql("DELETE FROM pins WHERE note = 1");
    assert_eq!(counts(&scene.recover(&["notes", "ev_1"], RecoverMode::Replace).await.unwrap()), [(0, 1, 0), (0, 0, 1)]);
}

/// Somebody comes to refer to what a foreign key would reach, after the plan was made.
async fn what_comes_between(major: u32) {
    let scene = Scene::with(major, &chain("CASCADE", "CASCADE")).await;
    scene.sql(&format!("{DAMAGE}; DELETE FROM c WHERE id = 100"));
    let options = scene.options(&["a", "b"], RecoverMode::Replace);
    let recovery = prepare(&scene.place.context, &options).await.unwrap();
    assert_eq!(recovery.plan().refusals(), Vec::<String>::new());
    scene.sql("INSERT INTO c VALUES (101, 10, 'late')");
    let before = scene.fingerprint_of_live();
    let error = recovery.apply(&scene.place.context).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains("since the plan was made 1 rows of public.c came to refer"), "{error}");
    assert_eq!((scene.side_schemas().as_str(), scene.fingerprint(&[])), ("", before));
}

on_every_major! {
    a_third_table,
    two_tables_alone,
    a_tree,
    rows_that_nobody_changed,
    values_that_go_on,
    values_that_follow_others,
    a_partition_by_its_name,
    what_comes_between,
}
