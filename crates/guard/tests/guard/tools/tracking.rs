//! Reading tracking tables of any shape, with any rights.

use holdpoint_guard::tools::{Error, Tracking, read_tracking};
use holdpoint_postgres::{Session, SessionPurpose};

use super::Project;

fn project(database: &str) -> Project {
    let project = Project::bare(database);
    let config = "export default { out: 'odd', migrations: { schema: 'Odd \"schema', table: 'my.table' } }";
    project.write("drizzle.config.ts", config);
    project.write("odd/meta/_journal.json", "{\"entries\":[]}");
    project
}

const TABLE: &str = "CREATE SCHEMA \"Odd \"\"schema\"; \
    CREATE TABLE \"Odd \"\"schema\".\"my.table\" (id serial PRIMARY KEY, hash text NOT NULL, created_at bigint, secret text); \
    INSERT INTO \"Odd \"\"schema\".\"my.table\" (hash, created_at, secret) VALUES ('h', 1, 'hunter2'), ('i', NULL, 'hunter2')";

#[tokio::test]
async fn odd_names_are_quoted_and_only_needed_columns_are_read() {
    let project = project("tracking_odd");
    project.psql(TABLE);
    let tracking = read_tracking(&project.found(), &project.session().await).await.unwrap();
    let Tracking::Present(table) = &tracking else { panic!("{tracking:?}") };
    assert_eq!(table.columns, ["id", "hash", "created_at"]);
    let values = |row: &[Option<String>]| {
        row.iter().map(|value| value.as_deref().unwrap_or("NULL").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(table.rows.iter().map(|row| values(row)).collect::<Vec<_>>(), [["1", "h", "1"], ["2", "i", "NULL"]]);
    let json = serde_json::to_string(&tracking).unwrap();
    assert!(!json.contains("hunter2"));
    assert_eq!(serde_json::from_str::<Tracking>(&json).unwrap(), tracking, "it can be exported and read back");
}

#[tokio::test]
async fn missing_rights_and_other_tables_are_said_with_their_cure() {
    let project = project("tracking_rights");
    let found = project.found();
    project.psql("CREATE ROLE reader_of_tracking LOGIN");
    let settings = project.settings(&project.cluster.url_as("reader_of_tracking", &project.database));
    let session = Session::connect(&settings, &SessionPurpose::new("test")).await.unwrap();
    assert_eq!(read_tracking(&found, &session).await.unwrap(), Tracking::Absent { others: false });

    project.psql(TABLE);
    let grants = "GRANT USAGE ON SCHEMA \"Odd \"\"schema\" TO \"reader_of_tracking\"; \
                  GRANT SELECT ON \"Odd \"\"schema\".\"my.table\" TO \"reader_of_tracking\"";
    let error = read_tracking(&found, &session).await.unwrap_err();
    assert_eq!(error.to_string(), "role reader_of_tracking may not read Odd \"schema.my.table");
    assert_eq!(error.hint().unwrap(), format!("as the table's owner: {grants}"));
    project.psql(grants);
    assert!(matches!(read_tracking(&found, &session).await, Ok(Tracking::Present(_))), "the advice is enough");

    project.psql("ALTER TABLE \"Odd \"\"schema\".\"my.table\" ENABLE ROW LEVEL SECURITY");
    let hidden = read_tracking(&found, &session).await.unwrap_err();
    assert!(matches!(&hidden, Error::NotReadable { grant, .. } if grant.contains("BYPASSRLS")), "{hidden:?}");

    project.psql("ALTER TABLE \"Odd \"\"schema\".\"my.table\" DROP COLUMN hash");
    let other = read_tracking(&found, &session).await.unwrap_err();
    assert!(matches!(&other, Error::OtherTable { columns, .. } if columns == &["hash"]), "{other:?}");
}
