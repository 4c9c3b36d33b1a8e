//! The text form is set, kept and read back; a snapshot stays what it was.

use holdpoint_postgres::{Error, Session, SessionPurpose, Snapshot};
use holdpoint_testkit::{Cluster, MAJORS, NEWEST};

use crate::{database, open, settings};

#[tokio::test]
async fn the_text_form_wins_over_the_databases_own_settings() {
    for major in MAJORS {
        let cluster = Cluster::shared(major);
        let name = database(cluster);
        cluster.psql(
            &name,
            &format!(
                "ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'; ALTER DATABASE {name} SET bytea_output = escape; \
                 ALTER DATABASE {name} SET datestyle = 'SQL, DMY'; ALTER DATABASE {name} SET intervalstyle = iso_8601; \
                 ALTER DATABASE {name} SET extra_float_digits = 0; ALTER DATABASE {name} SET statement_timeout = '9s'; \
                 ALTER DATABASE {name} SET quote_all_identifiers = on; ALTER DATABASE {name} SET client_encoding = LATIN1; \
                 ALTER DATABASE {name} SET standard_conforming_strings = off; CREATE TABLE t ()"
            ),
        );
        let session = open(&cluster.url(&name)).await;
        assert_eq!(session.server().major, major);
        assert_eq!(session.server().num / 10_000, major);
        let form = session.pin_text_form().await.unwrap();
        let sql = "SELECT timestamptz '2026-01-01 00:00:00Z'::text, '\\x00'::bytea::text, interval '1 day'::text, \
                   (0.1::float8 + 0.2::float8)::text, current_setting('standard_conforming_strings'), \
                   current_setting('statement_timeout'), 'public.t'::regclass::text, current_setting('search_path')";
        let row = session.query_one("x", sql, &[]).await.unwrap();
        let found: Vec<&str> = (0..8).map(|index| row.get(index)).collect();
        assert_eq!(
            found[..7],
            ["2026-01-01 00:00:00+00", "\\x00", "1 day", "0.30000000000000004", "on", "0", "public.t"],
            "{major}"
        );
        assert_eq!(form.encoding, "UTF8");
        assert!(["", "\"\""].contains(&found[7]));
        let names: Vec<_> = form.settings.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.contains(&"transaction_timeout"), major >= 17);
        assert!(names.contains(&"restrict_nonsystem_relation_kind"));

        // The same by PGOPTIONS, as a child gets it.
        let by_options = settings(&cluster.url(&name)).with_appended_options(&form.pg_options());
        let session = Session::connect(&by_options, &SessionPurpose::new("options")).await.unwrap();
        let again = session.query_one("x", sql, &[]).await.unwrap();
        assert_eq!((0..6).map(|index| again.get(index)).collect::<Vec<&str>>(), found[..6]);
    }
}

#[tokio::test]
async fn a_snapshot_is_seen_by_importers_and_by_nobody_after_its_end() {
    for major in [MAJORS[0], NEWEST] {
        let cluster = Cluster::shared(major);
        let name = database(cluster);
        cluster.psql(&name, "CREATE TABLE t AS SELECT 1 AS x");
        let url = cluster.url(&name);
        let snapshot = Snapshot::export(open(&url).await).await.unwrap();
        cluster.psql(&name, "INSERT INTO t VALUES (2)");
        let count = "SELECT count(*) FROM public.t";
        assert_eq!(snapshot.session().query_one("x", count, &[]).await.unwrap().get::<_, i64>(0), 1);
        let importer = Snapshot::import(open(&url).await, snapshot.id()).await.unwrap();
        assert_eq!(importer.query_one("x", count, &[]).await.unwrap().get::<_, i64>(0), 1);
        assert!(importer.run("x", "CREATE TABLE public.u ()").await.is_err(), "read only");

        let facts = snapshot.facts();
        assert_eq!((facts.timeline, facts.standby), (Some(1), false));
        assert!(facts.wal_position.is_some_and(|position| position.contains('/')));
        let now = holdpoint_postgres::preflight::clock(&open(&url).await).await.unwrap();
        assert!(facts.at <= now && (now - facts.at).num_seconds() < 60);

        let id = snapshot.id().to_owned();
        snapshot.ping().await.unwrap();
        let session = snapshot.release().await.unwrap();
        assert_eq!(session.query_one("x", count, &[]).await.unwrap().get::<_, i64>(0), 2);
        let error = Snapshot::import(open(&url).await, &id).await.unwrap_err();
        assert!(matches!(error, Error::Query { .. }), "{error:?}");
        let error = Snapshot::import(open(&url).await, "0'; DROP TABLE public.t; --").await.unwrap_err();
        assert!(matches!(error, Error::Query { .. }), "{error:?}");
        cluster.psql(&name, "SELECT * FROM t");
    }
}

#[tokio::test]
async fn a_lost_snapshot_is_noticed() {
    let cluster = Cluster::shared(NEWEST);
    let name = database(cluster);
    let snapshot = Snapshot::export(open(&cluster.url(&name)).await).await.unwrap();
    cluster.drop_database(&name);
    let error = snapshot.ping().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_role_without_rights_still_gets_a_snapshot() {
    let cluster = Cluster::new(NEWEST);
    cluster.psql(
        "postgres",
        "CREATE ROLE plain LOGIN; REVOKE EXECUTE ON FUNCTION pg_current_wal_lsn() FROM PUBLIC; \
         REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC; \
         REVOKE EXECUTE ON FUNCTION pg_control_checkpoint() FROM PUBLIC",
    );
    let url = cluster.url_as("plain", "postgres");
    let snapshot = Snapshot::export(open(&url).await).await.unwrap();
    assert_eq!((snapshot.wal_position(), snapshot.timeline()), (None, None));
    let found = holdpoint_postgres::identity::read(&open(&url).await).await.unwrap();
    assert_eq!((found.identity.system_identifier, found.identity.timeline), (None, None));
}
