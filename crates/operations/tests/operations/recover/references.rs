//! Rows of other tables that refer to what a change would delete or rename under them.

use holdpoint_operations::ErrorKind;
use holdpoint_operations::recover::{ColumnPair, RecoverMode, prepare};
use holdpoint_postgres::connection::Environment;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};

use super::Scene;
use super::hard::refused;
use crate::support;

/// Seats refer to users by a code, which is not what users are found by.
const SEATS: &str = "
    CREATE TABLE users (id int PRIMARY KEY, code text NOT NULL UNIQUE, name text);
    CREATE TABLE seats (id int PRIMARY KEY, code text REFERENCES users (code) ON DELETE CASCADE ON UPDATE CASCADE);
    INSERT INTO users SELECT n, 'c' || n, 'name ' || n FROM generate_series(1, 10) n;
    INSERT INTO seats SELECT n, 'c' || n FROM generate_series(1, 5) n;
";
const CONTENT: &str = "SELECT (SELECT md5(string_agg(u::text, ',' ORDER BY id)) FROM users u), \
                         (SELECT md5(string_agg(s::text, ',' ORDER BY id)) FROM seats s)";
const SAYS: &str = "rows of public.seats refer to rows that would be deleted or get another value; ON DELETE CASCADE";

/// The value that is referred to is there before and after, and would be gone for a moment.
async fn rows_that_have_another_key_now(major: u32) {
    let scene = Scene::with(major, SEATS).await;
    let whole = scene.sql(CONTENT);
    scene.sql("UPDATE users SET id = id + 100 WHERE id <= 2");
    refused(&scene, &["users"], RecoverMode::Replace, &format!("2 {SAYS}")).await;
    refused(&scene, &["users"], RecoverMode::Upsert, "unique index users_code_key would be violated by 2 rows").await;
    let report = scene.recover(&["users", "seats"], RecoverMode::Replace).await.unwrap();
    assert_eq!((report.plan.tables[0].deleted, report.plan.tables[0].inserted), (2, 2), "{report:?}");
    assert_eq!(scene.sql(CONTENT), whole, "what went with a row came back with it");
}

async fn values_that_others_refer_to(major: u32) {
    let scene = Scene::with(major, SEATS).await;
    let whole = scene.sql(CONTENT);
    scene.sql("UPDATE users SET code = 'x3' WHERE id = 3; UPDATE users SET code = 'x9', name = NULL WHERE id = 9");
    for mode in [RecoverMode::Upsert, RecoverMode::Replace] {
        refused(&scene, &["users"], mode, &format!("1 {SAYS}, ON UPDATE CASCADE")).await;
    }
    let mut codes = scene.options(&["users"], RecoverMode::Upsert);
    codes.columns = vec![ColumnPair { then: "code".into(), now: "code".into() }];
    let error = scene.run(&codes).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    codes.columns = vec![ColumnPair { then: "name".into(), now: "name".into() }];
    assert_eq!(scene.run(&codes).await.unwrap().plan.tables[0].changed, 1, "what nobody refers to is free");
    codes.columns.clear();
    codes.condition = Some("id <> 3".to_owned());
    assert_eq!(scene.run(&codes).await.unwrap().plan.tables[0].changed, 1, "nor does anybody refer to this row");
    scene.recover(&["users", "seats"], RecoverMode::Upsert).await.unwrap();
    assert_eq!(scene.sql(CONTENT), whole);
}

/// Rows that came since stay as they are, also in tables that come back in the same go.
async fn rows_that_came_since(major: u32) {
    let scene = Scene::with(
        major,
        &format!(
            "{SEATS} CREATE TABLE staff (id int PRIMARY KEY, code text UNIQUE, boss text REFERENCES staff (code) ON UPDATE SET NULL);
             INSERT INTO staff VALUES (1, 'a', NULL), (2, 'b', 'a'), (3, 'c', 'b')"
        ),
    )
    .await;
    let staff = "SELECT string_agg(s::text, ' ' ORDER BY id) FROM staff s";
    let whole = scene.sql(staff);
    scene.sql("UPDATE staff SET code = 'x' WHERE id = 1");
    assert_eq!(scene.sql(staff), "(1,x,) (2,b,) (3,c,b)");
    scene.sql("INSERT INTO staff VALUES (4, 'd', 'x')");
    refused(&scene, &["staff"], RecoverMode::Upsert, "1 rows of public.staff refer to rows that would be").await;
    scene.sql("DELETE FROM staff WHERE id = 4");
    scene.recover(&["staff"], RecoverMode::Upsert).await.unwrap();
    assert_eq!(scene.sql(staff), whole);
    scene.sql("UPDATE users SET code = 'x1' WHERE id = 1; INSERT INTO seats VALUES (50, 'x1')");
    refused(&scene, &["users", "seats"], RecoverMode::Upsert, &format!("1 {SAYS}")).await;
    scene.sql("DELETE FROM seats WHERE id = 50");
    scene.recover(&["users", "seats"], RecoverMode::Upsert).await.unwrap();
    assert_eq!(scene.sql("SELECT count(*) FROM seats JOIN users USING (code) WHERE seats.id = users.id"), "5");
}

/// A person may think for long: what came meanwhile is met, and taken for what it is.
async fn what_comes_between(major: u32) {
    let scene = Scene::with(major, SEATS).await;
    scene.sql("INSERT INTO users VALUES (11, 'c11')");
    let options = scene.options(&["users"], RecoverMode::Replace);
    for (meanwhile, says, undo) in [
        (
            "INSERT INTO seats VALUES (99, 'c11')",
            "since the plan was made 1 rows of public.seats",
            "DELETE FROM seats WHERE id = 99",
        ),
        (
            "CREATE TABLE late (u int REFERENCES users ON DELETE CASCADE)",
            "foreign keys were altered",
            "DROP TABLE late",
        ),
        (
            "CREATE TRIGGER late BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "was altered since the plan was made",
            "DROP TRIGGER late ON users",
        ),
        ("CREATE RULE late AS ON DELETE TO users DO INSTEAD NOTHING", "was altered since", "DROP RULE late ON users"),
    ] {
        let recovery = prepare(&scene.place.context, &options).await.unwrap();
        assert_eq!(recovery.plan().tables[0].deleted, 1);
        scene.sql(meanwhile);
        let before = scene.fingerprint_of_live();
        let error = recovery.apply(&scene.place.context).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{meanwhile}: {error}");
        assert!(error.to_string().contains(says), "{meanwhile}: {error}");
        assert_eq!((scene.side_schemas().as_str(), scene.fingerprint(&[])), ("", before), "{meanwhile}");
        scene.sql(undo);
    }
    assert_eq!(scene.run(&options).await.unwrap().plan.tables[0].deleted, 1);
}

/// Somebody refers to a row and has not committed yet: that is waited for, and then seen.
async fn a_reference_that_is_being_made(major: u32) {
    let scene = Scene::with(major, SEATS).await;
    scene.sql("INSERT INTO users VALUES (11, 'c11')");
    let mut options = scene.options(&["users"], RecoverMode::Replace);
    options.lock_wait_seconds = 120;
    let context = &scene.place.context;
    let recovery = prepare(context, &options).await.unwrap();
    let settings = support::settings(scene.cluster, &scene.database);
    let other = Session::connect(&settings, &SessionPurpose::new("other")).await.unwrap();
    let third = Session::connect(&settings, &SessionPurpose::new("third")).await.unwrap();
    other.run("taking a seat", "BEGIN; INSERT INTO seats VALUES (99, 'c11')").await.unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name = 'holdpoint recover-table' AND wait_event_type = 'Lock'";
    let commits = async {
        while third.query_one("looking", waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        other.run("having it", "COMMIT").await.unwrap();
    };
    let (applied, ()) = tokio::join!(recovery.apply(context), commits);
    let error = applied.unwrap_err();
    assert!(error.to_string().contains("1 rows of public.seats came to refer by seats_code_fkey"), "{error}");
    assert_eq!(scene.sql("SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM seats)"), "11|6");
    assert_eq!(scene.side_schemas(), "");
}

/// Rows that this role may not see must not change either.
async fn what_this_role_may_not_see(major: u32) {
    let scene = Scene::with(major, SEATS).await;
    let role = format!("users_{}", scene.database);
    scene.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE {} TO {role}; GRANT ALL ON SCHEMA public TO {role};
         ALTER TABLE users OWNER TO {role}; INSERT INTO users VALUES (11, 'c11')",
        scene.database
    ));
    let mut options = scene.options(&["users"], RecoverMode::Replace);
    let url = scene.cluster.url_as(&role, &scene.database);
    options.into = ConnectionSettings::resolve(&url, &Environment::default()).unwrap();
    let error = scene.run(&options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains("would change rows of public.seats, which this role may not read"), "{error}");
    options.mode = RecoverMode::Missing;
    scene.sql("DELETE FROM users WHERE id = 10");
    assert_eq!(scene.run(&options).await.unwrap().plan.tables[0].inserted, 1, "an INSERT changes no other table");
    scene.sql(&format!("GRANT SELECT ON seats TO {role}"));
    options.mode = RecoverMode::Replace;
    assert_eq!(scene.run(&options).await.unwrap().plan.tables[0].deleted, 1);
    scene.sql(&format!("REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// A foreign key may point to one partition alone.
async fn references_to_one_partition(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE ev (id int, at date, t text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
         CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
         CREATE TABLE ev_2 PARTITION OF ev FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
         CREATE TABLE notes (id int PRIMARY KEY, ev int, at date, FOREIGN KEY (ev, at) REFERENCES ev_1 ON DELETE CASCADE);
         CREATE TABLE all_notes (id int PRIMARY KEY, ev int, at date, FOREIGN KEY (ev, at) REFERENCES ev ON DELETE SET NULL);
         INSERT INTO ev SELECT n, date '2026-01-01' + n % 59 FROM generate_series(1, 590) n",
    )
    .await;
    scene.sql("INSERT INTO ev VALUES (1000, '2026-01-05'); INSERT INTO notes VALUES (1, 1000, '2026-01-05')");
    for table in ["ev", "ev_1"] {
        refused(&scene, &[table], RecoverMode::Replace, "1 rows of public.notes refer to rows").await;
    }
    scene.sql("DELETE FROM notes; INSERT INTO all_notes VALUES (1, 1000, '2026-01-05')");
    for table in ["ev", "ev_1"] {
        refused(&scene, &[table], RecoverMode::Replace, "1 rows of public.all_notes refer to rows").await;
    }
    scene.sql("DELETE FROM all_notes");
    assert_eq!(scene.recover(&["ev"], RecoverMode::Replace).await.unwrap().plan.tables[0].deleted, 1);
}

on_every_major! {
    rows_that_have_another_key_now,
    values_that_others_refer_to,
    rows_that_came_since,
    what_comes_between,
    a_reference_that_is_being_made,
    what_this_role_may_not_see,
    references_to_one_partition,
}

/// What the server does not demand is not demanded for it.
#[tokio::test(flavor = "multi_thread")]
async fn constraints_that_are_not_enforced() {
    let scene = Scene::with(
        18,
        "CREATE TABLE a (id int PRIMARY KEY);
         CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a NOT ENFORCED, n int, CONSTRAINT c CHECK (n > 0) NOT ENFORCED);
         INSERT INTO b VALUES (1, 99, -1), (2, 98, -2)",
    )
    .await;
    scene.sql("DELETE FROM b WHERE id = 1; UPDATE b SET n = 0");
    let report = scene.recover(&["b"], RecoverMode::Replace).await.unwrap();
    assert_eq!((report.plan.tables[0].inserted, report.plan.tables[0].changed), (1, 1), "{report:?}");
    assert_eq!(scene.sql("SELECT sum(n) FROM b"), "-3");
}
