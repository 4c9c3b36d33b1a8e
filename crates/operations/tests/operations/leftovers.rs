//! What interrupted work left: found, judged, removed; and what may be alive stays.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use holdpoint_operations::Context;
use holdpoint_operations::leftovers::{Leftover, LeftoverKind, LeftoversOptions, LeftoversReport, leftovers};
use holdpoint_postgres::scratch::{ScratchOptions, ScratchServer};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use holdpoint_repository::{
    CredentialSource, ObjectStore, PutOptions, Repository, RepositoryUrl, S3Options, S3Store, Timing, UploadOptions,
};
use holdpoint_testkit::{ADMIN, Cluster, ClusterOptions, S3Server};
use tokio_util::sync::CancellationToken;

use crate::{keeper, support};

const HOUR: i64 = 3600;

fn options(scratch_directory: &Path, servers: Vec<ConnectionSettings>) -> LeftoversOptions {
    LeftoversOptions {
        remove: false,
        min_age_seconds: 24 * HOUR,
        scratch_directory: scratch_directory.to_owned(),
        servers,
        instance: None,
    }
}

/// A dry run, then a removal: both find the same; gives the latter.
async fn removed(context: &Context, options: &LeftoversOptions) -> LeftoversReport {
    let dry = leftovers(context, options).await.unwrap();
    assert!(dry.leftovers.iter().all(|one| !one.removed));
    let report = leftovers(context, &LeftoversOptions { remove: true, ..options.clone() }).await.unwrap();
    let plain = |one: &Leftover| Leftover { removed: false, problem: None, ..one.clone() };
    assert_eq!(report.leftovers.iter().map(plain).collect::<Vec<_>>(), dry.leftovers, "a dry run is no other");
    report
}

fn age(path: &Path, by: Duration) {
    File::options().read(true).open(path).unwrap().set_modified(SystemTime::now() - by).unwrap();
}

/// Leaves an upload to a local directory as a kill does, and gives its file.
async fn abandon(context: &Context, folder: &str) -> PathBuf {
    let key = format!("{}/restore-points/{folder}/archive.dump", context.database);
    let mut upload = context.repository.store().begin_upload(&key, UploadOptions::default()).await.unwrap();
    upload.write(Bytes::from_static(b"rows")).await.unwrap();
    std::mem::forget(upload);
    let uploads = context.repository.store().list_uploads("").await.unwrap();
    let id = &uploads.iter().find(|upload| upload.key == key).unwrap().id;
    let holdpoint_repository::RepositoryUrl::Directory(root) = context.repository.url() else { unreachable!() };
    root.join(id)
}

#[tokio::test(flavor = "multi_thread")]
async fn old_uploads_and_objects_go_and_young_ones_stay() {
    let (place, base) = (support::place("shop").await, tempfile::tempdir().unwrap());
    let (context, root) = (&place.context, place.directory.path());
    let (old, young) = ("20261101T000000Z-aaaa", "20261102T000000Z-bbbb");
    let week = Duration::from_secs(7 * 86_400);
    let upload = abandon(context, young).await;
    for key in [
        format!("shop/restore-points/{old}/globals.sql"),
        format!("shop/restore-points/{young}/globals.sql"),
        "shop/.doctor/0123/small".to_owned(),
        "other/restore-points/20261101T000000Z-cccc/globals.sql".to_owned(),
    ] {
        let body = Bytes::from_static(b"12345");
        context.repository.store().put_new(&key, body, PutOptions::default()).await.unwrap();
        if !key.contains(young) {
            age(&root.join(&key), week);
        }
    }
    let report = removed(context, &options(base.path(), Vec::new())).await;
    let seen = |one: &Leftover| (one.kind, one.place.clone(), one.bytes, one.dead, one.removed);
    let mut found: Vec<_> = report.leftovers.iter().map(seen).collect();
    found.sort();
    let folder = |point: &str| format!("shop/restore-points/{point}/");
    let orphan = LeftoverKind::OrphanObjects;
    assert_eq!(
        found,
        [
            (LeftoverKind::UnfinishedUpload, format!("{}archive.dump", folder(young)), None, false, false),
            (orphan, "shop/.doctor/0123/".to_owned(), Some(5), true, true),
            (orphan, folder(old), Some(5), true, true),
            (orphan, folder(young), Some(5), false, false),
        ]
    );
    assert_eq!(report.unseen, []);
    let alive = report.leftovers.iter().filter(|one| !one.dead);
    assert!(alive.into_iter().all(|one| one.reason.contains("may be running now")), "{report:?}");
    assert!(!root.join("shop/restore-points").join(old).exists() && !root.join("shop/doctor").exists());
    assert!(upload.exists() && root.join("shop/restore-points").join(young).join("globals.sql").exists());
    assert!(root.join("other").exists(), "another database's folder is not looked at");

    // A file's birth cannot be made older, so the bound is made lower.
    let any_age = LeftoversOptions { min_age_seconds: 0, ..options(base.path(), Vec::new()) };
    let again = removed(context, &any_age).await;
    assert!(again.leftovers.len() == 2 && again.leftovers.iter().all(|one| one.removed), "{again:?}");
    assert!(!upload.exists() && !root.join("shop").exists() && root.join("holdpoint.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_upload_to_a_bucket_is_aborted() {
    let server = S3Server::shared();
    let url: RepositoryUrl = format!("s3://{}", server.new_bucket()).parse().unwrap();
    let s3 = S3Options { endpoint: Some(server.endpoint()), path_style: true, ..S3Options::default() };
    let keys =
        CredentialSource::Keys { access_key_id: ADMIN.access_key.into(), secret_access_key: ADMIN.secret_key.into() };
    let store: Arc<dyn ObjectStore> = Arc::new(S3Store::connect(&url, s3, keys, Timing::default()).await.unwrap());
    let (repository, _) = Repository::init(Arc::clone(&store), chrono::Utc::now()).await.unwrap();
    let place = support::place("shop").await;
    let context = Context { repository: Arc::new(repository), ..place.context.clone() };
    let key = "shop/restore-points/20261101T000000Z-aaaa/archive.dump";
    // Large enough that a part is sent, so that there is an upload to be found.
    let options_of = UploadOptions { expected_bytes: 1 << 20, ..UploadOptions::default() };
    let mut upload = store.begin_upload(key, options_of).await.unwrap();
    upload.write(Bytes::from(vec![7; 40 << 20])).await.unwrap();
    std::mem::forget(upload);
    // Parts are still on their way, and with each of them the engine dates the upload anew.
    let mut seen = Vec::new();
    loop {
        let now = store.list_uploads("shop/").await.unwrap();
        if !now.is_empty() && now == seen {
            break;
        }
        seen = now;
        tokio::time::sleep(Duration::from_secs(6)).await;
    }

    let base = tempfile::tempdir().unwrap();
    let young = removed(&context, &options(base.path(), Vec::new())).await;
    assert_eq!((young.leftovers.len(), young.leftovers[0].dead), (1, false), "{young:?}");
    assert_eq!(store.list_uploads("shop/").await.unwrap().len(), 1);
    let any_age = LeftoversOptions { min_age_seconds: 0, ..options(base.path(), Vec::new()) };
    let report = removed(&context, &any_age).await;
    assert!(report.leftovers.iter().all(|one| one.removed && one.place == key), "{report:?}");
    assert_eq!(store.list_uploads("shop/").await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scratch_server_whose_keeper_was_killed_goes_and_a_kept_one_stays() {
    let cluster = Cluster::shared(18);
    let (place, base) = (support::place("shop").await, keeper::base());
    let mut scratch = keeper::local(cluster, base.path());
    if let ScratchOptions::Local(local) = &mut scratch {
        local.major = 18;
    }
    let kept = ScratchServer::start(&scratch, &CancellationToken::new()).await.unwrap();
    let mut orphaned = ScratchServer::start(&scratch, &CancellationToken::new()).await.unwrap();
    let postmaster = orphaned.pid().unwrap();
    let stat = fs::read_to_string(format!("/proc/{postmaster}/stat")).unwrap();
    let keeper_pid = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap();
    assert!(Command::new("kill").args(["-9", keeper_pid]).status().unwrap().success());
    orphaned.ended().await;
    let directory = orphaned.data_directory().unwrap().parent().unwrap().to_owned();

    let report = removed(&place.context, &options(base.path(), Vec::new())).await;
    assert_eq!(report.leftovers.len(), 1, "{report:?}");
    let gone = &report.leftovers[0];
    assert_eq!((gone.kind, gone.place.as_str()), (LeftoverKind::ScratchServer, directory.to_str().unwrap()));
    assert!(gone.dead && gone.removed && gone.reason.contains(&format!("process {postmaster}")), "{gone:?}");
    assert!(!directory.exists());
    assert!(!fs::read_to_string(format!("/proc/{postmaster}/stat")).is_ok_and(|stat| !stat.contains(") Z ")));
    let session = Session::connect(kept.settings(), &SessionPurpose::new("test")).await.unwrap();
    session.close().await;
    kept.stop().await.unwrap();
    orphaned.stop().await.unwrap();
    assert!(keeper::is_empty(base.path()));
}

/// Leaves the mark that a restore leaves on the database that it replaced, long ago, and closes it.
fn mark(cluster: &Cluster, database: &str) {
    let text = "holdpoint: replaced by a restore at 2020-01-01T00:00:00+00:00";
    cluster.psql("postgres", &format!("COMMENT ON DATABASE {database} IS '{text}'"));
    cluster.psql("postgres", &format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false"));
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_go_by_name_age_and_use() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    let (place, base) = (support::place("shop").await, tempfile::tempdir().unwrap());
    let (scratch, young) = ("holdpoint_scratch_0123456789ab_full", "holdpoint_restore_00c0ffee");
    let used = "holdpoint_scratch_ba9876543210_full";
    let (replaced, only) = ("shop_before_20261101t000000z_k3f9", "gone_before_20261101t000000z_k3f9");
    let (own, dump) = ("shop_before_xmas", "shop_before_dump");
    for name in ["shop", scratch, young, used, replaced, only, own, dump] {
        cluster.create_database(name);
    }
    // A rescue copy under such a name, but without the mark of a restore that replaced it.
    let rescue = "shop_before_20261102t000000z_k3f9";
    cluster.create_database(rescue);
    // Kept with --keep-old, or opened by somebody.
    let open = "shop_before_20261103t000000z_k3f9";
    cluster.create_database(open);
    for name in [replaced, only, open] {
        mark(&cluster, name);
    }
    cluster.psql("postgres", &format!("ALTER DATABASE {open} ALLOW_CONNECTIONS true"));
    for name in [scratch, used] {
        let oid = cluster.psql("postgres", &format!("SELECT oid FROM pg_database WHERE datname = '{name}'"));
        let folder = cluster.data_directory().join("base").join(oid);
        age(&folder.join("PG_VERSION"), Duration::from_secs(7 * 86_400));
    }
    let user = Session::connect(&support::settings(&cluster, used), &SessionPurpose::new("test")).await.unwrap();
    let down = ConnectionSettings::resolve("postgresql://u@127.0.0.1:1/d", &Default::default()).unwrap();
    // Twice the same server: each is found once.
    let servers = vec![support::settings(&cluster, "postgres"), down, support::settings(&cluster, "shop")];
    let report = removed(&place.context, &options(base.path(), servers)).await;
    user.close().await;
    let mut found: Vec<(&str, bool, bool)> =
        report.leftovers.iter().map(|one| (one.id.as_str(), one.dead, one.removed)).collect();
    found.sort_unstable();
    let mut expected = vec![
        (scratch, true, true),
        (replaced, true, true),
        (young, false, false),
        (used, false, false),
        (only, false, false),
        (rescue, false, false),
        (open, false, false),
        (dump, false, false),
    ];
    expected.sort_unstable();
    assert_eq!(found, expected, "{report:#?}");
    assert!(report.leftovers.iter().all(|one| one.problem.is_none()));
    assert_eq!(report.unseen.len(), 1);
    assert!(report.unseen[0].place.contains("127.0.0.1:1"), "{:?}", report.unseen);
    let left = cluster
        .psql("postgres", "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE datname ~ '_'");
    let mut kept = [only, young, used, rescue, open, dump, own];
    kept.sort_unstable();
    assert_eq!(left, kept.join(" "));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_removed_says_so_and_does_not_hide_the_rest() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    let (place, base) = (support::place("shop").await, tempfile::tempdir().unwrap());
    let (first, second) = ("shop_before_20261101t000000z_aaaa", "shop_before_20261101t000000z_bbbb");
    cluster.psql("postgres", "CREATE ROLE limited LOGIN CREATEDB");
    cluster.create_database("shop");
    cluster.create_database(first);
    cluster.psql_as("limited", "postgres", &format!("CREATE DATABASE {second}"));
    mark(&cluster, first);
    mark(&cluster, second);
    let limited = ConnectionSettings::resolve(&cluster.url_as("limited", "postgres"), &Default::default()).unwrap();
    let report = removed(&place.context, &options(base.path(), vec![limited])).await;
    let of = |name: &str| report.leftovers.iter().find(|one| one.id == name).unwrap();
    assert!(of(first).problem.as_ref().unwrap().contains("must be owner of database"), "{report:?}");
    assert!(!of(first).removed && of(second).removed, "{report:?}");
}
