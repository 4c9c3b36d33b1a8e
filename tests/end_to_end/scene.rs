//! Databases that several tests start from.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use holdpoint_testkit::{Cluster, FaultProxy, NEWEST, S3Server, sample};
use holdpoint_tests::{Place, Tree, contents};

/// A database, mostly of the newest major's shared server, dropped with the value, and a place that works on it.
pub(crate) struct Scene {
    pub(crate) cluster: &'static Cluster,
    pub(crate) database: String,
    pub(crate) place: Place,
}

/// What must not change.
pub(crate) struct Before {
    pub(crate) database: String,
    pub(crate) tree: Tree,
}

/// Makes up a database name.
pub(crate) fn name(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{what}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Scene {
    /// A small shop and an initialised local repository.
    pub(crate) fn local() -> Self {
        Self::with(Place::local())
    }

    /// A small shop and an initialised bucket.
    pub(crate) fn on_s3() -> Self {
        Self::with(Place::on_s3())
    }

    /// A small shop, in a place that is made already.
    pub(crate) fn with(place: Place) -> Self {
        Self::on(Cluster::shared(NEWEST), place)
    }

    /// A small shop on a server of the test's choice.
    pub(crate) fn on(cluster: &'static Cluster, place: Place) -> Self {
        let database = name("shop");
        sample::load_shop(cluster, &database, 4_000);
        Self::of(cluster, database, place)
    }

    /// What these statements make, on a server of the test's choice.
    pub(crate) fn of_sql(cluster: &'static Cluster, place: Place, sql: &str) -> Self {
        let database = name("made");
        cluster.create_database(&database);
        cluster.psql(&database, sql);
        Self::of(cluster, database, place)
    }

    fn of(cluster: &'static Cluster, database: String, mut place: Place) -> Self {
        place.source(cluster, &database);
        Self { cluster, database, place }
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.cluster.psql(&self.database, sql)
    }

    /// Proves a restore point as stored, in a database of a server that runs: to start a server would take most of the time.
    #[track_caller]
    pub(crate) fn prove_stored(&self, point: &str) {
        // Other tests remove from the shared server every scratch database that nobody is in right now.
        static PROOFS: OnceLock<Cluster> = OnceLock::new();
        let is_shared = std::ptr::eq(self.cluster, Cluster::shared(NEWEST));
        let beside = if is_shared { PROOFS.get_or_init(|| Cluster::new(NEWEST)) } else { self.cluster }.url("postgres");
        self.place.holdpoint(&["verify", point, "--level", "stored", "--scratch-url", &beside]).ended_with(0);
    }

    /// Waits until no session of holdpoint's, or of what it started, is on the database: the server notices that a client was
    /// killed when it next waits for it.
    #[track_caller]
    pub(crate) fn wait_until_left(&self) {
        let there = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND application_name LIKE 'holdpoint%'";
        let deadline = Instant::now() + Duration::from_secs(300);
        while self.sql(there) != "0" {
            assert!(Instant::now() < deadline, "a session of holdpoint's is still on {}", self.database);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Remembers database and repository.
    pub(crate) fn before(&self) -> Before {
        Before { database: contents(self.cluster, &self.database), tree: self.place.tree() }
    }

    /// Demands that database and repository are as they were.
    #[track_caller]
    pub(crate) fn assert_untouched(&self, before: &Before) {
        holdpoint_tests::assert_same("the database changed", &before.database, &contents(self.cluster, &self.database));
        self.assert_repository_untouched(before);
    }

    #[track_caller]
    pub(crate) fn assert_repository_untouched(&self, before: &Before) {
        assert_eq!(before.tree, self.place.tree(), "the repository changed");
        assert_eq!(self.place.unfinished_uploads(), [""; 0]);
    }

    /// Demands that the database is as it was, and that the repository has nothing new but proofs.
    #[track_caller]
    pub(crate) fn assert_untouched_but_proof(&self, before: &Before) {
        holdpoint_tests::assert_same("the database changed", &before.database, &contents(self.cluster, &self.database));
        let new = |key: &&String| !before.tree.objects.contains_key(*key);
        let tree = self.place.tree();
        let others: Vec<&String> =
            tree.objects.keys().filter(new).filter(|key| !key.contains("/verifications/")).collect();
        assert!(others.is_empty(), "{others:?}");
        let left = std::fs::read_dir(self.place.scratch()).unwrap().flatten().map(|entry| entry.file_name());
        // Node.js keeps things of its own in the temporary folder.
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("holdpoint-")).collect();
        assert!(left.is_empty(), "a scratch server was left: {left:?}");
    }

    /// Makes an empty database beside the source, and returns its name.
    pub(crate) fn empty_database(&self) -> String {
        let name = name("empty");
        self.cluster.create_database_with(&name, "TEMPLATE template0");
        name
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.cluster.drop_database(&self.database);
        }
    }
}

/// A bucket behind a proxy, which counts and spoils requests.
pub(crate) fn behind_proxy() -> (Scene, FaultProxy) {
    let server = S3Server::shared();
    let bucket = server.new_bucket();
    let proxy = FaultProxy::http(server.address());
    let mut place = Place::bare();
    place.use_bucket(server, &bucket, &proxy.endpoint());
    place.holdpoint(&["init"]).ended_with(0);
    (Scene::with(place), proxy)
}
