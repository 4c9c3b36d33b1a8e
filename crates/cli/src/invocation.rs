//! One run of the program: what it works on, whom it tells, when it ends.

use std::hash::{BuildHasher as _, Hasher as _};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use holdpoint_core::DatabaseName;
use holdpoint_core::progress::Progress;
use holdpoint_core::verification::Level;
use holdpoint_operations::backup::{BackupLimits, BackupOptions};
use holdpoint_operations::verify::{RestoreAs, SampleOptions, VerifyOptions};
use holdpoint_operations::{Clock, Context, Source};
use holdpoint_postgres::programs::DumpSelection;
use holdpoint_repository::{
    CredentialSource, Ending, LocalDirectory, ObjectStore, Repository, RepositoryUrl, S3Store, Timing,
};
use tokio_util::sync::CancellationToken;

use crate::arguments::ReachArguments;
use crate::failure::Failure;
use crate::output::Output;
use crate::settings::{ChosenRepository, Purpose, Settings};
use crate::signals::Next;

/// As the default of `backup --lock-wait`.
const LOCK_WAIT_SECONDS: u64 = 30;

/// One run of the program.
pub(crate) struct Invocation {
    /// Flags, environment and file.
    pub(crate) settings: Settings,
    /// Where reports go.
    pub(crate) output: Output,
    /// Whom to tell about progress.
    pub(crate) progress: Arc<dyn Progress>,
    /// Cancelled by the first signal.
    pub(crate) cancel: CancellationToken,
    /// What the next signal cancels.
    pub(crate) next_signal: Next,
    /// How long a store is waited for after a signal.
    pub(crate) ending: Ending,
}

/// Reads the wall clock: the one place that does.
#[expect(clippy::disallowed_methods, reason = "the wall clock is read in the cli crate only")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// The standard library seeds its hashers from the system's randomness.
pub(crate) fn seed() -> u64 {
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_i64(now().timestamp_micros());
    hasher.finish()
}

impl Invocation {
    /// The same run, on another database.
    pub(crate) fn of_database(&self, database: &DatabaseName) -> Self {
        let mut settings = self.settings.clone();
        settings.common.database = Some(database.clone());
        let (progress, cancel) = (Arc::clone(&self.progress), self.cancel.clone());
        let (next_signal, ending) = (self.next_signal.clone(), self.ending.clone());
        Self { settings, output: self.output.clone(), progress, cancel, next_signal, ending }
    }

    /// Names the store of a repository; a bucket is not asked yet.
    pub(crate) async fn store(&self, url: &RepositoryUrl) -> Result<Arc<dyn ObjectStore>, Failure> {
        Ok(match url {
            RepositoryUrl::Directory(path) => Arc::new(LocalDirectory::new(path)?),
            RepositoryUrl::Bucket { .. } => {
                let options = self.settings.config.repository.s3.clone();
                let timing =
                    Timing { ending: self.ending.clone(), ..self.settings.config.repository.timeouts.timing() };
                Arc::new(S3Store::connect(url, options, CredentialSource::Chain, timing).await?)
            }
        })
    }

    /// Opens the repository. The local directory that is taken where nobody names one is made when it is first
    /// written to; any other must have been made by `init`.
    pub(crate) async fn open(&self, chosen: &ChosenRepository, writes: bool) -> Result<Arc<Repository>, Failure> {
        let store = self.store(&chosen.url).await?;
        let open = async {
            match (chosen.defaulted, writes) {
                (true, true) => Repository::init(store, now()).await.map(|(repository, _)| repository),
                _ => Repository::open(store).await,
            }
        };
        let opened = tokio::select! {
            opened = open => opened?,
            () = self.cancel.cancelled() => return Err(holdpoint_operations::Error::Interrupted.into()),
        };
        Ok(Arc::new(opened))
    }

    /// Makes what every verb needs to know; `writes` as for [`Self::open`].
    pub(crate) async fn context(&self, writes: bool) -> Result<Context, Failure> {
        self.context_of(self.settings.database_name()?, writes).await
    }

    /// As [`Self::context`], for a database's folder.
    pub(crate) async fn context_of(&self, database: DatabaseName, writes: bool) -> Result<Context, Failure> {
        let repository = self.open(&self.settings.repository()?, writes).await?;
        let clock: Clock = Arc::new(now);
        Ok(Context {
            database,
            repository,
            progress: Arc::clone(&self.progress),
            cancel: self.cancel.clone(),
            clock,
            seed: seed(),
            reads_for: holdpoint_operations::READS_FOR,
            rds: self.settings.rds_reach(&ReachArguments::default()),
        })
    }

    /// Makes the source: the database by the URL that is meant for backups.
    pub(crate) fn source(&self) -> Result<Source, Failure> {
        let chosen = self.settings.connection(Purpose::Backup)?;
        for warning in chosen.settings.warnings() {
            tracing::warn!("{}: {warning}", chosen.from);
        }
        tracing::info!(from = chosen.from, to = chosen.settings.redacted(), "source chosen");
        Ok(Source {
            settings: chosen.settings,
            programs: self.settings.programs()?,
            client_major: self.settings.client_major()?,
        })
    }

    /// Until when what is stored now shall be kept from deletion, by the configured Object Lock.
    pub(crate) fn retain_until(&self) -> Option<DateTime<Utc>> {
        self.settings.config.repository.s3.retain_until(now())
    }

    /// Makes the options of a verification.
    pub(crate) fn verify_options(&self, wanted: &Verification<'_>) -> Result<VerifyOptions, Failure> {
        let scratch = self.settings.scratch(wanted.scratch_url, 0)?;
        self.settings.demand_private(wanted.level, &scratch)?;
        Ok(VerifyOptions {
            level: wanted.level,
            scratch,
            programs: self.settings.programs()?,
            replace_missing_locale: wanted.replace_missing_locale
                || self.settings.config.scratch.replace_missing_locale,
            jobs: self.settings.jobs(wanted.jobs),
            parallel_above_bytes: holdpoint_operations::PARALLEL_ABOVE_BYTES,
            sample: wanted.sample.cloned().unwrap_or_default(),
            restore_as: wanted.restore_as,
        })
    }

    /// Removes scratch servers whose holdpoint was killed, before a new one is started beside them.
    pub(crate) async fn sweep(&self) {
        let base: PathBuf = self.settings.scratch_directory();
        let at = std::time::SystemTime::from(now());
        let swept = tokio::task::spawn_blocking(move || holdpoint_process::keeper::sweep(&base, at)).await;
        match swept {
            Ok(Ok(report)) => {
                for gone in &report.removed {
                    tracing::info!(directory = %gone.directory.display(), "removed a scratch server that was left");
                }
                for (directory, reason) in &report.kept {
                    tracing::warn!(directory = %directory.display(), reason, "a scratch server was left");
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "scratch servers that were left could not be looked for"),
            Err(error) => tracing::warn!(%error, "looking for scratch servers that were left broke off"),
        }
    }
}

/// What a verb's flags say of a verification.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verification<'a> {
    /// How far to go.
    pub(crate) level: Level,
    /// Another scratch server than the configured one.
    pub(crate) scratch_url: Option<&'a str>,
    /// As the option of the same name.
    pub(crate) replace_missing_locale: bool,
    /// How many pieces at a time.
    pub(crate) jobs: Option<usize>,
    /// What level sampled loads, where that was said.
    pub(crate) sample: Option<&'a SampleOptions>,
    /// Whose rights the restore shall have.
    pub(crate) restore_as: Option<RestoreAs>,
}

/// Makes the options of a backup of the whole database, as a guarded run needs it.
pub(crate) fn whole(codec: holdpoint_archive::Codec, (jobs, limits): (usize, BackupLimits)) -> BackupOptions {
    BackupOptions {
        format: holdpoint_core::manifest::PointFormat::Archive,
        codec,
        jobs,
        limits,
        selection: DumpSelection::default(),
        parallel_from_bytes: holdpoint_operations::backup::PARALLEL_FROM_BYTES,
        lock_wait_seconds: LOCK_WAIT_SECONDS,
        retain_until: None,
        reason: None,
        label: None,
        run: None,
    }
}
