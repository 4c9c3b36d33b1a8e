//! Rights as a managed service gives them: an owner who is no superuser, and others who own nothing.

use holdpoint_operations::ErrorKind;
use holdpoint_operations::recover::{RecoverMode, RecoverOptions, Triggers};
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::connection::Environment;
use holdpoint_testkit::{Cluster, ClusterOptions};

use super::Scene;

const OWNED: &str = "
    CREATE TABLE log (what text); CREATE TABLE groups (id int PRIMARY KEY);
    CREATE TABLE things (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, grp int REFERENCES groups, n int UNIQUE);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.log VALUES (TG_OP); RETURN NEW; END $$;
    CREATE TRIGGER notes BEFORE INSERT OR UPDATE ON things FOR EACH ROW EXECUTE FUNCTION note();
    CREATE RULE none AS ON DELETE TO things WHERE OLD.n = 1000 DO INSTEAD NOTHING;
    INSERT INTO groups SELECT n FROM generate_series(1, 5) n;
    INSERT INTO things (grp, n) SELECT n % 5 + 1, n FROM generate_series(1, 100) n; TRUNCATE log;
";
const CONTENT: &str = "SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM things t";

/// Options by which another role recovers.
fn by(scene: &Scene, role: &str, tables: &[&str], mode: RecoverMode) -> RecoverOptions {
    let url = scene.cluster.url_as(role, &scene.database);
    RecoverOptions {
        into: ConnectionSettings::resolve(&url, &Environment::default()).unwrap(),
        ..scene.options(tables, mode)
    }
}

async fn an_owner_without_superuser(major: u32) {
    let scene = Scene::with(major, OWNED).await;
    let owner = format!("owns_{}", scene.database);
    scene.sql(&format!(
        "CREATE ROLE {owner} LOGIN; GRANT CREATE ON DATABASE {} TO {owner}; GRANT ALL ON SCHEMA public TO {owner};
         ALTER TABLE log OWNER TO {owner}; ALTER TABLE groups OWNER TO {owner}; ALTER TABLE things OWNER TO {owner}",
        scene.database
    ));
    let (content, rest) = (scene.sql(CONTENT), scene.fingerprint(&["things"]));
    scene.sql("DELETE FROM things WHERE id < 11; UPDATE things SET n = -n WHERE id > 90; INSERT INTO things (n) VALUES (5000); TRUNCATE log");
    let report = scene.run(&by(&scene, &owner, &["things"], RecoverMode::Replace)).await.unwrap();
    let table = &report.plan.tables[0];
    assert_eq!((table.inserted, table.changed, table.deleted), (10, 10, 1), "{table:?}");
    assert_eq!(table.held_back.len(), 2, "{table:?}");
    assert_eq!(scene.sql(CONTENT), content);
    // The sequence has moved on by the row that came since.
    let without = |dump: &str| dump.lines().filter(|line| !line.contains("setval")).collect::<Vec<_>>().join("\n");
    assert_eq!(
        without(&scene.fingerprint(&["things"])),
        without(&rest),
        "triggers, rules and the rest are as they were"
    );
    scene.sql("DROP TABLE things");
    let report = scene.run(&by(&scene, &owner, &["things"], RecoverMode::Missing)).await.unwrap();
    assert!(report.plan.tables[0].made_again, "{report:?}");
    assert_eq!(scene.sql(CONTENT), content);
    assert_eq!(without(&scene.fingerprint(&["things"])), without(&rest));
    scene.sql(&format!("REASSIGN OWNED BY {owner} TO postgres; DROP OWNED BY {owner}; DROP ROLE {owner}"));
}

async fn a_role_that_owns_nothing(major: u32) {
    let scene = Scene::with(major, &OWNED.replace("CREATE RULE none", "-- ")).await;
    let clerk = format!("clerk_{}", scene.database);
    scene.sql(&format!(
        "CREATE ROLE {clerk} LOGIN; GRANT CREATE ON DATABASE {} TO {clerk};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {clerk}; GRANT ALL ON SEQUENCE things_id_seq TO {clerk}",
        scene.database
    ));
    let content = scene.sql(CONTENT);
    scene.sql("DELETE FROM things WHERE id < 11; TRUNCATE log");
    let before = scene.fingerprint(&[]);
    let mut options = by(&scene, &clerk, &["things"], RecoverMode::Missing);
    let error = scene.run(&options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains("only the table's owner can hold back trigger"), "{error}");
    assert_eq!((scene.side_schemas().as_str(), scene.fingerprint(&[])), ("", before));
    options.triggers = Triggers::Fire;
    let report = scene.run(&options).await.unwrap();
    assert_eq!((report.plan.tables[0].inserted, report.plan.tables[0].firing.len()), (10, 1), "{report:?}");
    assert_eq!((scene.sql(CONTENT), scene.sql("SELECT count(*) FROM log")), (content, "10".to_owned()));
    scene.sql(&format!("DROP OWNED BY {clerk}; DROP ROLE {clerk}"));
}

on_every_major! {
    an_owner_without_superuser,
    a_role_that_owns_nothing,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_refused() {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(ClusterOptions::default())));
    let scene = Scene::on(cluster, super::SHOP).await;
    cluster.stop();
    // It follows nobody, and waits for log that never comes.
    std::fs::write(cluster.data_directory().join("standby.signal"), "").unwrap();
    cluster.resume();
    for mode in [RecoverMode::Side, RecoverMode::Missing] {
        let error = scene.recover(&["orders"], mode).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.to_string().contains("the server is a standby: connect to its primary"), "{error}");
    }
    std::mem::forget(scene);
    cluster.stop();
}
