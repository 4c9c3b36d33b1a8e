//! A source, a scratch server, a repository and commands to guard.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use holdpoint_core::gate::pending::WindowPolicy;
use holdpoint_core::ledger::{RunState, RunStep};
use holdpoint_core::manifest::PointFormat;
use holdpoint_core::progress::{Phase, Progress};
use holdpoint_core::risk::RiskPolicy;
use holdpoint_core::selector::RunSelector;
use holdpoint_core::verification::Level;
use holdpoint_core::{DatabaseName, Mask, RunId};
use holdpoint_guard::runs::Place;
use holdpoint_guard::undo::{Scripts, UndoOptions};
use holdpoint_guard::{Error, GuardOptions, GuardReport, Migrations, OnFailure, RunOptions, guard};
use holdpoint_operations::backup::{BackupLimits, BackupOptions};
use holdpoint_operations::verify::VerifyOptions;
use holdpoint_operations::{Context, Source};
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::connection::Environment;
use holdpoint_postgres::programs::{DumpSelection, ProgramSearch};
use holdpoint_postgres::scratch::{GivenOptions, ScratchOptions};
use holdpoint_repository::{LocalDirectory, Repository};
use holdpoint_testkit::{Cluster, ClusterOptions, postgresql_directory};
use tokio_util::sync::CancellationToken;

/// The password in commands and settings that must show nowhere.
pub(crate) const SECRET: &str = "hunter2secret";

/// Does something when the scratch server of a proof is about to start: the point is made, nothing is proven yet.
pub(crate) struct AtProof<F>(pub(crate) F);

impl<F: Fn() + Send + Sync> Progress for AtProof<F> {
    fn phase(&self, phase: Phase, _: Option<u64>) {
        if phase == Phase::StartingScratch {
            (self.0)();
        }
    }
    fn advance(&self, _: u64) {}
    fn note(&self, _: &str) {}
}

/// A seed that no other test draws its ids from: scratch databases on the shared server are called by them.
fn seed() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Each run of a test takes the next.
    NEXT.fetch_add(100, Ordering::Relaxed)
}

/// What a guarded run reports, and what came of what was done beside it. A run that is refused ends the test at once: what
/// waits beside it for its command would wait for ever.
pub(crate) async fn with_beside<T>(
    run: impl Future<Output = Result<GuardReport, Error>>,
    beside: impl Future<Output = T>,
) -> (GuardReport, T) {
    tokio::join!(async { run.await.unwrap() }, beside)
}

/// A database with two tables, and everything to guard a command on it.
pub(crate) struct Shop {
    pub(crate) cluster: Cluster,
    pub(crate) scratch: u32,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) context: Context,
    pub(crate) options: GuardOptions,
}

impl Shop {
    pub(crate) async fn open(major: u32) -> Self {
        // Nobody but the test and the command writes anything.
        let cluster = Cluster::start(ClusterOptions {
            configuration: vec!["autovacuum = off".into(), "max_prepared_transactions = 5".into()],
            ..ClusterOptions::major(major)
        });
        cluster.create_database("shop");
        cluster.psql(
            "shop",
            "CREATE TABLE orders (id int PRIMARY KEY, note text); \
             INSERT INTO orders SELECT n, 'note ' || n % 3 FROM generate_series(1, 500) n; \
             CREATE TABLE customers (id int); INSERT INTO customers VALUES (1), (1)",
        );
        let directory = tempfile::tempdir().unwrap();
        let store = LocalDirectory::new(directory.path().join("repository")).unwrap();
        let (repository, _) = Repository::init(Arc::new(store), chrono::Utc::now()).await.unwrap();
        let context = Context {
            database: "shop".parse::<DatabaseName>().unwrap(),
            repository: Arc::new(repository),
            progress: Arc::new(holdpoint_core::progress::Silent),
            cancel: CancellationToken::new(),
            clock: Arc::new(chrono::Utc::now),
            seed: seed(),
            reads_for: holdpoint_operations::READS_FOR,
            rds: holdpoint_operations::rds::RdsReach::default(),
        };
        let mut environment: Vec<_> =
            [("PATH", "/usr/bin:/bin"), ("PGUSER", cluster.superuser()), ("PGDATABASE", "shop")]
                .map(|(name, value)| (name.into(), value.into()))
                .into();
        environment.push(("PGHOST".into(), cluster.socket_directory().into()));
        environment.push(("PGPORT".into(), cluster.port().to_string().into()));
        environment.push(("PSQL".into(), cluster.bin_directory().join("psql").into()));
        environment.push(("HERE".into(), directory.path().into()));
        let options = GuardOptions {
            command: vec!["true".into()],
            environment,
            migrations: Migrations::Unknown("a test".into()),
            policy: RiskPolicy::default(),
            window_policy: WindowPolicy::default(),
            rehearsal: Err("a test".to_owned()),
            deadline: None,
            question: None,
            unproven: None,
            operator: Some("a test".into()),
            own_flags: Vec::new(),
            project_flags: Vec::new(),
            way_back: None,
            on_failure: None,
            instance: None,
            run: RunOptions::default(),
        };
        Self { cluster, scratch: major, directory, context, options }
    }

    /// An undo by the best way, where a run fails.
    pub(crate) fn on_failure(&self) -> OnFailure {
        let source = source(&self.cluster);
        let undo = UndoOptions {
            run: RunSelector::Latest,
            way: None,
            dry_run: false,
            accept_data_loss_since: None,
            scripts: Scripts::LosingNothing,
            unfinished: None,
            question: None,
            live: source.settings.clone(),
            place: self.place(),
            instance: None,
            backup: backup_options(),
            environment: self.options.environment.clone(),
            folder: self.directory.path().to_owned(),
            temporary: self.directory.path().to_owned(),
            jobs: 1,
            compare_up_to: None,
            lock_wait_seconds: 10,
            operator: None,
            process: None,
            mask: Mask::default(),
            tee: None,
        };
        OnFailure { undo, told: Arc::new(|error| error.to_string()), cancel: None }
    }

    /// Where it is looked what became of a run.
    pub(crate) fn place(&self) -> Place {
        Place { source: source(&self.cluster), project: None }
    }

    /// Guards a script of the shell; `$SQL` in it is psql that stops at the first error.
    pub(crate) async fn guard(&mut self, script: &str) -> Result<GuardReport, Error> {
        self.options.command = shell(script);
        // Every run of one second needs an id of its own.
        self.context.seed += 1;
        self.try_guard().await
    }

    pub(crate) async fn try_guard(&self) -> Result<GuardReport, Error> {
        let source = source(&self.cluster);
        guard(&self.context, &source, &verify_options(Cluster::shared(self.scratch)), &backup_options(), &self.options)
            .await
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The steps of the only run that there is.
    pub(crate) async fn only_steps(&self) -> Vec<RunStep> {
        let runs = self.context.repository.runs(&self.context.database).await.unwrap();
        assert_eq!(runs.len(), 1, "{runs:?}");
        self.steps(&runs[0]).await
    }

    pub(crate) async fn steps(&self, run: &RunId) -> Vec<RunStep> {
        self.context.repository.steps(&self.context.database, run).await.unwrap()
    }

    pub(crate) async fn pins(&self) -> Vec<String> {
        let mut pins = Vec::new();
        for point in self.context.repository.points(&self.context.database).await.unwrap() {
            pins.extend(self.context.repository.pins(&self.context.database, &point).await.unwrap());
        }
        pins
    }
}

/// The states, each once in a row: *running* is written again with the command's process group, unless it ended before.
pub(crate) fn states(steps: &[RunStep]) -> Vec<RunState> {
    let mut states: Vec<RunState> = steps.iter().map(|step| step.state).collect();
    states.dedup();
    states
}

pub(crate) fn shell(script: &str) -> Vec<String> {
    let script = format!("set -e; SQL=\"$PSQL -X -q -v ON_ERROR_STOP=1\"; {script}");
    ["sh", "-c", &script].map(str::to_owned).into()
}

pub(crate) fn settings(cluster: &Cluster, database: &str) -> ConnectionSettings {
    let environment = Environment::new([("PGPASSWORD", SECRET)]);
    ConnectionSettings::resolve(&cluster.url(database), &environment).unwrap()
}

fn programs() -> ProgramSearch {
    let configured = Some(postgresql_directory());
    ProgramSearch { configured, path: Vec::new(), cache: None, without_distributions: true }
}

pub(crate) fn source(cluster: &Cluster) -> Source {
    Source { settings: settings(cluster, "shop"), programs: programs(), client_major: None }
}

pub(crate) fn backup_options() -> BackupOptions {
    BackupOptions {
        format: PointFormat::Archive,
        codec: "gzip:1".parse().unwrap(),
        jobs: 1,
        limits: BackupLimits::default(),
        selection: DumpSelection::default(),
        parallel_from_bytes: holdpoint_operations::backup::PARALLEL_FROM_BYTES,
        lock_wait_seconds: 10,
        retain_until: None,
        reason: None,
        label: None,
        run: None,
    }
}

pub(crate) fn verify_options(scratch: &Cluster) -> VerifyOptions {
    VerifyOptions {
        level: Level::Stored,
        scratch: ScratchOptions::Url(Box::new(GivenOptions { settings: settings(scratch, "postgres") })),
        programs: programs(),
        replace_missing_locale: false,
        jobs: 1,
        parallel_above_bytes: holdpoint_operations::PARALLEL_ABOVE_BYTES,
        sample: holdpoint_operations::verify::SampleOptions::default(),
        restore_as: None,
    }
}
