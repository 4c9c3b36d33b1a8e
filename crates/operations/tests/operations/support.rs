//! A source, a scratch server and a repository for the verbs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use holdpoint_archive::Codec;
use holdpoint_core::DatabaseName;
use holdpoint_core::manifest::PointFormat;
use holdpoint_core::progress::Silent;
use holdpoint_core::verification::Level;
use holdpoint_operations::backup::{BackupLimits, BackupOptions};
use holdpoint_operations::verify::VerifyOptions;
use holdpoint_operations::{Context, Source};
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::connection::Environment;
use holdpoint_postgres::programs::{DumpSelection, ProgramSearch};
use holdpoint_postgres::scratch::{GivenOptions, ScratchOptions};
use holdpoint_repository::{LocalDirectory, Repository};
use holdpoint_testkit::Cluster;
use tokio_util::sync::CancellationToken;

pub(crate) struct Place {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) context: Context,
}

/// A seed that no other test draws its ids from: scratch databases on a shared server are called by them.
fn seed() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Tests count on from theirs.
    NEXT.fetch_add(100, Ordering::Relaxed)
}

pub(crate) async fn place(database: &str) -> Place {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalDirectory::new(directory.path()).unwrap();
    let (repository, _) = Repository::init(Arc::new(store), chrono::Utc::now()).await.unwrap();
    let context = Context {
        database: database.parse::<DatabaseName>().unwrap(),
        repository: Arc::new(repository),
        progress: Arc::new(Silent),
        cancel: CancellationToken::new(),
        clock: Arc::new(chrono::Utc::now),
        seed: seed(),
        reads_for: holdpoint_operations::READS_FOR,
        rds: holdpoint_operations::rds::RdsReach::default(),
    };
    Place { directory, context }
}

pub(crate) fn settings(cluster: &Cluster, database: &str) -> ConnectionSettings {
    ConnectionSettings::resolve(&cluster.url(database), &Environment::default()).unwrap()
}

pub(crate) fn programs(cluster: &Cluster) -> ProgramSearch {
    ProgramSearch {
        configured: Some(cluster.bin_directory()),
        path: Vec::new(),
        cache: None,
        without_distributions: true,
    }
}

pub(crate) fn source(cluster: &Cluster, database: &str) -> Source {
    Source { settings: settings(cluster, database), programs: programs(cluster), client_major: None }
}

pub(crate) fn backup_options() -> BackupOptions {
    BackupOptions {
        format: PointFormat::Archive,
        codec: Codec::Gzip { level: 4 },
        jobs: 2,
        limits: BackupLimits::default(),
        selection: DumpSelection::default(),
        parallel_from_bytes: 0,
        lock_wait_seconds: 10,
        retain_until: None,
        reason: Some("test".into()),
        label: None,
        run: None,
    }
}

pub(crate) fn verify_options(scratch: &Cluster, level: Level) -> VerifyOptions {
    VerifyOptions {
        level,
        scratch: ScratchOptions::Url(Box::new(GivenOptions { settings: settings(scratch, "postgres") })),
        programs: programs(scratch),
        replace_missing_locale: false,
        jobs: 2,
        parallel_above_bytes: 0,
        sample: holdpoint_operations::verify::SampleOptions::default(),
        restore_as: None,
    }
}
