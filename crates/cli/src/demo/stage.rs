//! The throwaway server, repository and folder that the demonstration plays on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdpoint_core::DatabaseName;
use holdpoint_core::progress::Silent;
use holdpoint_operations::{Clock, Context, Source};
use holdpoint_postgres::connection::Environment;
use holdpoint_postgres::programs::{ClientProgram, ProgramName, ProgramSearch};
use holdpoint_postgres::scratch::{DatabaseLocale, LocalOptions, ScratchOptions, ScratchServer};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use holdpoint_repository::{LocalDirectory, Repository, RepositoryUrl};
use tempfile::TempDir;

use crate::failure::Failure;
use crate::invocation::{Invocation, now, seed};

/// The majors that are tried, the newest first.
const MAJORS: [u32; 5] = [18, 17, 16, 15, 14];
/// What a demonstration needs of each.
const NEEDED: [ProgramName; 6] = [
    ProgramName::Initdb,
    ProgramName::Postgres,
    ProgramName::PgDump,
    ProgramName::PgDumpall,
    ProgramName::PgRestore,
    ProgramName::Psql,
];
const SAMPLE: &str = include_str!("sample.sql");
const MIGRATION: &str = include_str!("migration.sql");

/// Everything that is there while the demonstration plays.
pub(super) struct Stage {
    pub(super) server: ScratchServer,
    pub(super) settings: ConnectionSettings,
    pub(super) context: Context,
    pub(super) source: Source,
    pub(super) scratch: ScratchOptions,
    pub(super) psql: ClientProgram,
    pub(super) migration: PathBuf,
    folder: TempDir,
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> Failure {
    let what = what.to_owned();
    move |source| Failure::Io { what, source }
}

fn postgres(error: holdpoint_postgres::Error) -> Failure {
    holdpoint_operations::Error::from(error).into()
}

impl Stage {
    /// Sets everything up: server, sample database, repository.
    pub(super) async fn set(invocation: &Invocation) -> Result<Self, Failure> {
        let search = invocation.settings.programs()?;
        let (major, psql) = newest(&search, invocation).await?;
        let base = invocation.settings.usable_scratch_directory()?;
        std::fs::create_dir_all(&base).map_err(io("making the scratch directory"))?;
        let folder = tempfile::Builder::new()
            .prefix("holdpoint-demo-")
            .tempdir_in(&base)
            .map_err(io("making the demonstration's folder"))?;
        let own = std::env::current_exe().map_err(io("finding this program itself"))?;
        let tools = folder.path().join("bin");
        std::fs::create_dir(&tools).map_err(io("making the demonstration's folder"))?;
        std::os::unix::fs::symlink(&own, tools.join("holdpoint")).map_err(io("making the demonstration's folder"))?;
        let migration = folder.path().join("0042_merge_customers.sql");
        std::fs::write(&migration, MIGRATION).map_err(io("writing the migration"))?;

        let mut local = LocalOptions::new(search.clone(), major, base, own, ["scratch-keeper"]);
        local.user = invocation.settings.config.scratch.user.clone();
        let scratch = ScratchOptions::Local(Box::new(local.clone()));
        let directory = folder.path().join("repository");
        let store = LocalDirectory::new(&directory)?;
        let (repository, _) = Repository::init(Arc::new(store), now()).await?;
        // Production is reached as production is: over TCP, by a role of its own.
        local.tcp = true;
        let server = ScratchOptions::Local(Box::new(local));
        let server = ScratchServer::start(&server, &invocation.cancel).await.map_err(postgres)?;
        let clock: Clock = Arc::new(now);
        let filled = fill(&server);
        let filled = tokio::select! {
            filled = filled => filled.map_err(postgres),
            () = invocation.cancel.cancelled() => Err(holdpoint_operations::Error::Interrupted.into()),
        };
        let settings = match filled {
            Ok(settings) => settings,
            Err(failure) => {
                stop(server).await;
                return Err(failure);
            }
        };
        let database: DatabaseName = "shop".parse().map_err(holdpoint_operations::Error::from)?;
        Ok(Self {
            context: Context {
                database,
                repository: Arc::new(repository),
                // The story tells what happens; bars between its lines would not be read.
                progress: Arc::new(Silent),
                cancel: invocation.cancel.clone(),
                clock,
                seed: seed(),
                reads_for: holdpoint_operations::READS_FOR,
                rds: holdpoint_operations::rds::RdsReach::default(),
            },
            source: Source { settings: settings.clone(), programs: search, client_major: None },
            server,
            settings,
            scratch,
            psql,
            migration,
            folder,
        })
    }

    /// The server's version, such as `18`.
    pub(super) fn major(&self) -> u32 {
        self.server.major()
    }

    /// Where everything is.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The repository's URL.
    pub(super) fn repository(&self) -> RepositoryUrl {
        self.context.repository.url().clone()
    }

    /// The environment of the migration and of the way back: the shop's connection, the programs, this program.
    pub(super) fn environment(&self) -> Vec<(OsString, OsString)> {
        let programs = self.psql.path.parent().unwrap_or(Path::new("/usr/bin"));
        let path = [programs, &self.folder.path().join("bin"), Path::new("/usr/bin"), Path::new("/bin")];
        let path = std::env::join_paths(path).unwrap_or_default();
        let connection = self.settings.child_environment();
        let connection = connection.set.iter().map(|(name, value)| (OsString::from(name), value.expose().into()));
        let rest = [
            ("PATH".into(), path),
            ("HOLDPOINT_POSTGRESQL_DIRECTORY".into(), programs.into()),
            ("HOME".into(), self.folder.path().into()),
        ];
        connection.chain(rest).collect()
    }

    /// Takes everything away.
    pub(super) async fn strike(self) {
        stop(self.server).await;
        let path = self.folder.path().to_owned();
        if let Err(error) = self.folder.close() {
            tracing::warn!(path = %path.display(), %error, "the demonstration's folder remains");
        }
    }
}

/// Makes the shop's database and role, and gives the role's connection.
async fn fill(server: &ScratchServer) -> Result<ConnectionSettings, holdpoint_postgres::Error> {
    const WHAT: &str = "filling the demonstration's database";
    let made = server.create_database("shop", &DatabaseLocale::c("UTF8")).await?;
    let password = made.servers().first().and_then(|server| server.password.as_ref());
    // Hexadecimal, as every scratch server's.
    let password = password.map(|secret| secret.expose().to_owned()).unwrap_or_default();
    let session = Session::connect(&made, &SessionPurpose::new("holdpoint demo")).await?;
    let role = format!("CREATE ROLE app LOGIN SUPERUSER PASSWORD '{password}'; ALTER DATABASE shop OWNER TO app");
    session.run(WHAT, &role).await?;
    session.close().await;
    let port = made.servers().first().map_or(5432, |server| server.port);
    let text = format!("host=127.0.0.1 port={port} user=app password={password} dbname=shop sslmode=disable");
    let settings = ConnectionSettings::resolve(&text, &Environment::default())?;
    let session = Session::connect(&settings, &SessionPurpose::new("holdpoint demo")).await?;
    session.run(WHAT, SAMPLE).await?;
    session.close().await;
    Ok(settings)
}

async fn stop(server: ScratchServer) {
    if let Err(error) = server.stop().await {
        tracing::warn!(%error, "the demonstration's server may remain: holdpoint leftovers");
    }
}

/// Finds the newest major that is complete here.
async fn newest(search: &ProgramSearch, invocation: &Invocation) -> Result<(u32, ClientProgram), Failure> {
    let mut first = None;
    'majors: for major in MAJORS {
        let mut psql = None;
        for name in NEEDED {
            match search.find(name, major, &invocation.cancel).await {
                Ok(program) => psql = Some(program),
                Err(error) => {
                    first.get_or_insert(error);
                    continue 'majors;
                }
            }
        }
        if let Some(psql) = psql {
            return Ok((major, psql));
        }
    }
    let missing = first.map(|error| error.to_string()).unwrap_or_default();
    Err(Failure::usage(
        format!("no PostgreSQL server of a known major (14-18) is complete here: {missing}"),
        "install one, name its folder with HOLDPOINT_POSTGRESQL_DIRECTORY, or run scripts/demo, which fetches one",
    ))
}
