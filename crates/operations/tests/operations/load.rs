//! What happens to a target when loading goes wrong on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdpoint_core::PointId;
use holdpoint_core::progress::{Phase, Progress};
use holdpoint_core::selector::Selector;
use holdpoint_core::verification::{Level, Verdict};
use holdpoint_operations::backup::backup;
use holdpoint_operations::restore::{RestoreOptions, RestoreReport, restore};
use holdpoint_operations::verify::{VerifyOptions, verify};
use holdpoint_operations::{Context, Error, ErrorKind};
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::connection::Environment;
use holdpoint_testkit::{Cluster, ClusterOptions, FaultProxy, Trap, sample};

use crate::support;

/// Stands in exactly one row.
const WORD: &str = "the row that never comes twice";

struct Scene {
    cluster: Arc<Cluster>,
    place: support::Place,
    point: PointId,
    rows: u64,
}

/// A shop of some pieces, with a row that holds [`WORD`].
async fn scene(name: &str) -> Scene {
    let cluster = Arc::new(Cluster::start(ClusterOptions::major(18).with_tcp()));
    sample::load_shop(&cluster, "shop", 120_000);
    cluster.psql("shop", &format!("UPDATE shop.orders SET note = '{WORD}' WHERE id = 77"));
    stored(cluster, name, "shop").await
}

async fn stored(cluster: Arc<Cluster>, name: &str, database: &str) -> Scene {
    let place = support::place(name).await;
    let source = support::source(&cluster, database);
    let made = backup(&place.context, &source, &support::backup_options()).await.unwrap().manifest;
    cluster.create_database_with("target", "TEMPLATE template0");
    Scene { cluster, place, point: made.id, rows: made.totals.rows }
}

impl Scene {
    fn options(&self) -> RestoreOptions {
        RestoreOptions {
            from: Selector::Id(self.point.clone()),
            into: support::settings(&self.cluster, "target"),
            programs: support::programs(&self.cluster),
            jobs: 2,
            parallel_above_bytes: 0,
            replace: None,
            no_owner: false,
            no_privileges: false,
            source: None,
            dry_run: false,
            foreign: None,
        }
    }

    async fn restore(&self) -> Result<RestoreReport, Error> {
        restore(&self.place.context, &self.options()).await
    }

    async fn restore_through(&self, proxy: &FaultProxy) -> Result<RestoreReport, Error> {
        let url = self.cluster.tcp_url("target");
        let url = url.replace(&format!(":{}/", self.cluster.port()), &format!(":{}/", proxy.address().port()));
        let into = ConnectionSettings::resolve(&url, &Environment::default()).unwrap();
        restore(&self.place.context, &RestoreOptions { into, ..self.options() }).await
    }

    async fn restore_watched(&self, watch: Watch) -> Result<RestoreReport, Error> {
        let cancel = watch.cancel.clone();
        let context = Context { progress: Arc::new(watch), cancel, ..self.place.context.clone() };
        restore(&context, &self.options()).await
    }

    /// The next restore into the same target works, which takes that it is empty.
    async fn assert_target_is_empty(&self) {
        let report = self.restore().await.unwrap();
        assert_eq!(report.compared.unwrap().rows, self.rows);
    }
}

fn proxy(scene: &Scene) -> FaultProxy {
    FaultProxy::tcp(([127, 0, 0, 1], scene.cluster.port()).into())
}

/// Does something once, when the first piece is loaded or when the indexes are about to be made.
struct Watch {
    at: Moment,
    act: Box<dyn Fn() + Send + Sync>,
    done: AtomicBool,
    cancel: tokio_util::sync::CancellationToken,
}

#[derive(PartialEq, Eq)]
enum Moment {
    FirstPiece,
    BuildingIndexes,
}

impl Watch {
    fn at(at: Moment, act: impl Fn() + Send + Sync + 'static) -> Self {
        let cancel = tokio_util::sync::CancellationToken::new();
        Self { at, act: Box::new(act), done: AtomicBool::new(false), cancel }
    }

    fn meet(&self, moment: &Moment) {
        if *moment == self.at && !self.done.swap(true, Ordering::SeqCst) {
            (self.act)();
        }
    }
}

impl Progress for Watch {
    fn phase(&self, phase: Phase, _: Option<u64>) {
        if phase == Phase::BuildingIndexes {
            self.meet(&Moment::BuildingIndexes);
        }
    }
    fn advance(&self, _: u64) {}
    fn note(&self, _: &str) {}
    fn item(&self, _: &str, _: u64, _: Option<u64>) {
        self.meet(&Moment::FirstPiece);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_commit_doubles_no_row() {
    let scene = scene("lost-commit").await;
    let proxy = proxy(&scene);
    proxy.set_trap(b"COMMIT\0", Trap::LoseAnswer, 3);
    let report = scene.restore_through(&proxy).await.unwrap();
    assert_eq!(proxy.traps_left(), 0, "answers were lost");
    assert_eq!(report.compared.unwrap().rows, scene.rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_within_rows_is_made_anew_once() {
    let scene = scene("cut-rows").await;
    let proxy = proxy(&scene);
    proxy.set_trap(WORD.as_bytes(), Trap::Reset, 1);
    let report = scene.restore_through(&proxy).await.unwrap();
    assert_eq!(proxy.traps_left(), 0, "the connection was cut");
    assert_eq!(report.compared.unwrap().rows, scene.rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_again_and_again_leaves_an_empty_target() {
    let scene = scene("cut-twice").await;
    let proxy = proxy(&scene);
    proxy.set_trap(WORD.as_bytes(), Trap::Reset, 2);
    let failure = scene.restore_through(&proxy).await.unwrap_err();
    assert_eq!((failure.kind(), proxy.traps_left()), (ErrorKind::Postgres, 0), "{failure}");
    scene.assert_target_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_an_administrator_ends_is_made_anew() {
    let scene = scene("terminated").await;
    let cluster = Arc::clone(&scene.cluster);
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'holdpoint load'";
    let watch = Watch::at(Moment::FirstPiece, move || assert_ne!(cluster.psql("postgres", end), "0"));
    let report = scene.restore_watched(watch).await.unwrap();
    assert_eq!(report.compared.unwrap().rows, scene.rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_fails_the_restore_and_is_emptied() {
    let scene = scene("crashed").await;
    let cluster = Arc::clone(&scene.cluster);
    let find = "SELECT pid FROM pg_stat_activity WHERE application_name = 'holdpoint load' LIMIT 1";
    let watch = Watch::at(Moment::FirstPiece, move || {
        let pid = cluster.psql("postgres", find);
        assert!(std::process::Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    });
    let failure = scene.restore_watched(watch).await.unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Postgres, "{failure}");
    scene.assert_target_is_empty().await;
}

/// From the first piece on, the server keeps no row of the shop's.
fn swallowing(cluster: &Arc<Cluster>, databases: &'static str) -> Watch {
    let cluster = Arc::clone(cluster);
    Watch::at(Moment::FirstPiece, move || {
        let name =
            cluster.psql("postgres", &format!("SELECT datname FROM pg_database WHERE datname LIKE '{databases}'"));
        let swallow = "CREATE FUNCTION public.swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'";
        cluster.psql(&name, swallow);
        let tables = "SELECT format('CREATE TRIGGER swallow BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION public.swallow()', \
                      oid::regclass) FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r'";
        for trigger in cluster.psql(&name, tables).lines() {
            cluster.psql(&name, trigger);
        }
    })
}

/// What the server does not keep of the rows is noticed where it happens, not hours later by the fingerprint.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_the_server_does_not_keep_are_noticed_at_once() {
    let scene = scene("swallowed").await;
    // One session, which waits until the triggers are there.
    let options = RestoreOptions { jobs: 1, ..scene.options() };
    let watched = |databases| {
        let progress = Arc::new(swallowing(&scene.cluster, databases));
        Context { progress, ..scene.place.context.clone() }
    };
    let failure = restore(&watched("target"), &options).await.unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Postgres, "{failure}");
    assert!(failure.to_string().contains("rows were sent, the server stored 0"), "{failure}");
    scene.cluster.psql("target", "DROP FUNCTION IF EXISTS public.swallow()");
    scene.assert_target_is_empty().await;
    let options = VerifyOptions { jobs: 1, ..support::verify_options(&scene.cluster, Level::Full) };
    let proof = verify(&watched("holdpoint_scratch_%_restored"), &scene.point, &options).await.unwrap().verification;
    assert_eq!(proof.verdict, Verdict::Disproved, "{proof:#?}");
    assert!(proof.differences[0].line().contains("the server stored 0"), "{proof:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_restore_leaves_an_empty_target() {
    let scene = scene("interrupted").await;
    let mut watch = Watch::at(Moment::FirstPiece, || {});
    let cancel = watch.cancel.clone();
    watch.act = Box::new(move || cancel.cancel());
    let failure = scene.restore_watched(watch).await.unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Interrupted, "{failure}");
    scene.assert_target_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_piece_is_found_before_it_is_committed() {
    let scene = scene("damaged").await;
    let folder = std::fs::read_dir(scene.place.directory.path().join("damaged/restore-points")).unwrap();
    let archive = folder.last().unwrap().unwrap().path().join("archive.dump");
    let whole = std::fs::read(&archive).unwrap();
    let mut spoiled = whole.clone();
    let at = spoiled.len() - 200_000;
    spoiled[at] ^= 0x10;
    std::fs::write(&archive, &spoiled).unwrap();
    let failure = scene.restore().await.unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Disproved, "{failure}");
    std::fs::write(&archive, &whole).unwrap();
    scene.assert_target_is_empty().await;
}

/// The last step of a restore of everything there is fails; everything goes again.
async fn emptied_again(major: u32) {
    let cluster = Arc::new(Cluster::start(ClusterOptions::major(major)));
    sample::load_awkward(&cluster, "awkward");
    let scene = stored(Arc::clone(&cluster), "emptied", "awkward").await;
    let watch = Watch::at(Moment::BuildingIndexes, move || {
        let name = cluster.psql("awkward", "SELECT conname FROM pg_constraint WHERE contype = 'p' AND connamespace = 'app'::regnamespace ORDER BY 1 LIMIT 1");
        cluster.psql("target", &format!("CREATE TABLE app.\"{}\" ()", name.trim()));
    });
    let failure = scene.restore_watched(watch).await.unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Postgres, "{failure}");
    assert!(!matches!(failure, Error::LeftBehind { .. }), "{failure}");
    scene.assert_target_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_with_everything_in_it_is_emptied_on_14() {
    emptied_again(14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_with_everything_in_it_is_emptied_on_18() {
    emptied_again(18).await;
}

/// Rows and large objects that span pieces, small ones without number, names that only the server can read.
const SIZES: &str = "
    CREATE TABLE wide (id int PRIMARY KEY, body text);
    INSERT INTO wide VALUES (1, 'short'), (3, 'after');
    INSERT INTO wide SELECT 2, string_agg(md5(n::text) || E'\\t', '') FROM generate_series(1, 300000) n;
    CREATE TABLE long (id bigint PRIMARY KEY, body text);
    INSERT INTO long SELECT n, md5(n::text) || repeat('x', 60) FROM generate_series(1, 200000) n;
    SELECT lo_from_bytea(2147483648, '');
    SELECT lo_from_bytea(3000000001, decode(repeat('00ff1080', 1310720), 'hex'));
    SELECT count(lo_from_bytea(50000 + n, decode(md5(n::text), 'hex'))) FROM generate_series(1, 1500) n;
    SELECT lo_from_bytea(4294967295, decode(repeat('42', 700000), 'hex'));
    CREATE ROLE keeper;
    ALTER LARGE OBJECT 3000000001 OWNER TO keeper;
    GRANT SELECT ON LARGE OBJECT 50001 TO keeper;
    COMMENT ON LARGE OBJECT 50002 IS 'kept';
";

async fn sizes(major: u32) {
    let cluster = Arc::new(Cluster::start(ClusterOptions::major(major)));
    cluster.create_database_with("sizes", "TEMPLATE template0");
    cluster.psql("sizes", SIZES);
    let scene = stored(Arc::clone(&cluster), "sizes", "sizes").await;
    let report = scene.restore().await.unwrap();
    let compared = report.compared.unwrap();
    assert_eq!((compared.rows, compared.large_objects), (200_003, 1503));
    let options = VerifyOptions { parallel_above_bytes: 0, ..support::verify_options(&cluster, Level::Full) };
    let found = verify(&scene.place.context, &scene.point, &options).await.unwrap().verification;
    assert_eq!(found.verdict, Verdict::Proved, "{:#?} {:#?}", found.differences, found.obstacles);
    let kept = "SELECT (SELECT rolname FROM pg_roles WHERE oid = lomowner) FROM pg_largeobject_metadata WHERE oid = 3000000001";
    assert_eq!(cluster.psql("target", kept), "keeper");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_large_objects_of_every_size_on_14() {
    sizes(14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_large_objects_of_every_size_on_18() {
    sizes(18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_only_the_server_can_read_are_left_to_pg_restore() {
    let cluster = Arc::new(Cluster::start(ClusterOptions::major(17)));
    cluster.create_database_with("ascii", "TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'");
    cluster.psql("ascii", "CREATE TABLE \"größe\" (id int); INSERT INTO \"größe\" SELECT generate_series(1, 10)");
    let place = support::place("ascii").await;
    let source = support::source(&cluster, "ascii");
    let made = backup(&place.context, &source, &support::backup_options()).await.unwrap().manifest;
    let options = VerifyOptions { parallel_above_bytes: 0, ..support::verify_options(&cluster, Level::Full) };
    let found = verify(&place.context, &made.id, &options).await.unwrap().verification;
    assert_eq!((found.compared.tables, found.bytes_read > 0), (1, true), "{found:#?}");
}

/// The most common reason why a dump does not restore: a check that finds its table by a search path that no restore has.
const UNLOADABLE: &str = "
    CREATE TABLE limits (n int);
    INSERT INTO limits VALUES (10);
    CREATE FUNCTION ok(v int) RETURNS boolean LANGUAGE sql AS 'SELECT v <= (SELECT max(n) FROM limits)';
    CREATE TABLE checked (v int CHECK (ok(v)));
    INSERT INTO checked SELECT generate_series(1, 10);
";

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_no_server_takes_are_a_disproof_however_they_are_loaded() {
    let cluster = Arc::new(Cluster::start(ClusterOptions::major(18)));
    cluster.create_database_with("unloadable", "TEMPLATE template0");
    cluster.psql("unloadable", UNLOADABLE);
    let scene = stored(Arc::clone(&cluster), "unloadable", "unloadable").await;
    for parallel_above_bytes in [u64::MAX, 0] {
        let options = VerifyOptions { parallel_above_bytes, ..support::verify_options(&cluster, Level::Full) };
        let found = verify(&scene.place.context, &scene.point, &options).await.unwrap().verification;
        assert_eq!(found.verdict, Verdict::Disproved, "{parallel_above_bytes}: {:#?}", found.obstacles);
    }
}

/// What is idle while others load must outlive a server's limit for idle sessions.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_for_idle_sessions_does_not_end_a_restore() {
    let scene = scene("idle-limit").await;
    scene.cluster.psql("postgres", "ALTER SYSTEM SET idle_session_timeout = '1s'");
    scene.cluster.psql("postgres", "SELECT pg_reload_conf()");
    let watch = Watch::at(Moment::FirstPiece, || std::thread::sleep(std::time::Duration::from_secs(3)));
    let report = scene.restore_watched(watch).await.unwrap();
    assert_eq!(report.compared.unwrap().rows, scene.rows);
}

/// An owner who took its own right to write away, as from a table of past years, must have it until the rows are in: so
/// does pg_restore, which grants last.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_its_owner_may_only_read_is_restored_by_that_owner() {
    let cluster = Arc::new(Cluster::start(ClusterOptions::major(18)));
    cluster.psql("postgres", "CREATE ROLE app LOGIN");
    cluster.create_database_with("past", "TEMPLATE template0 OWNER app");
    cluster.psql(
        "past",
        "SET ROLE app; CREATE TABLE past (id int PRIMARY KEY); INSERT INTO past SELECT generate_series(1, 100);
         REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON past FROM app",
    );
    let scene = stored(Arc::clone(&cluster), "past", "past").await;
    cluster.psql("postgres", "ALTER DATABASE target OWNER TO app");
    let into = ConnectionSettings::resolve(&cluster.url_as("app", "target"), &Environment::default()).unwrap();
    for parallel_above_bytes in [u64::MAX, 0] {
        let options = RestoreOptions { into: into.clone(), parallel_above_bytes, ..scene.options() };
        let report = restore(&scene.place.context, &options).await;
        assert_eq!(report.unwrap().compared.unwrap().rows, 100, "from {parallel_above_bytes} bytes on in parallel");
        cluster.psql("target", "DROP TABLE past");
    }
}
