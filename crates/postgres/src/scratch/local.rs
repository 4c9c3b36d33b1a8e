//! A private cluster on this machine, under a keeper.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdpoint_process::RunAs;
use holdpoint_process::keeper::{Keeper, KeeperCommand, KeeperFile, KeeperSpec, SCRATCH_PREFIX};
use tokio_util::sync::CancellationToken;

use super::place::{outside_socket_directory, prepare_base, random_hex, require_passage};
use crate::child::plain_environment;
use crate::connection::Environment;
use crate::programs::{ClientProgram, Initdb, ProgramName, ProgramSearch};
use crate::{ConnectionSettings, Error};

/// The most WAL that a local scratch server keeps, for the plan of disk space.
pub const LOCAL_WAL_BYTES: u64 = 4 << 30;

/// No role of an archive bears this name.
const SUPERUSER: &str = "holdpoint_scratch";

/// The port names the socket where there is no TCP.
const SOCKET_PORT: u16 = 5432;

/// What a local scratch server is to be.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Where `initdb` and `postgres` are looked for.
    pub search: ProgramSearch,
    /// The major.
    pub major: u32,
    /// The folder in which the scratch directory is made; made itself where missing.
    pub base_directory: PathBuf,
    /// The program that is a scratch keeper when called with `keeper_arguments`: holdpoint itself.
    pub keeper_executable: PathBuf,
    /// Such as `scratch-keeper`.
    pub keeper_arguments: Vec<OsString>,
    /// The user it runs as when we are root; `postgres` or `nobody` by default.
    pub user: Option<String>,
    /// `shared_preload_libraries`.
    pub preload_libraries: Vec<String>,
    /// Whether it listens on the loopback address too, on a free port, for tools that know no unix socket.
    pub tcp: bool,
    /// The memory it may count on; 1 GiB by default.
    pub memory_bytes: Option<u64>,
    /// More settings, as names and values; they win.
    pub settings: Vec<(String, String)>,
    /// How long initdb and start may take; 2 minutes by default.
    pub ready_within: Option<Duration>,
}

impl LocalOptions {
    /// Names what has no default.
    #[must_use]
    pub fn new(
        search: ProgramSearch,
        major: u32,
        base_directory: impl Into<PathBuf>,
        keeper_executable: impl Into<PathBuf>,
        keeper_arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self {
            search,
            major,
            base_directory: base_directory.into(),
            keeper_executable: keeper_executable.into(),
            keeper_arguments: keeper_arguments.into_iter().map(Into::into).collect(),
            user: None,
            preload_libraries: Vec::new(),
            tcp: false,
            memory_bytes: None,
            settings: Vec::new(),
            ready_within: None,
        }
    }
}

/// A running local server.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) keeper: Keeper,
    pub(super) data_directory: PathBuf,
}

/// Makes the cluster, starts it and gives the superuser's settings.
pub(super) async fn start(
    options: &LocalOptions,
    id: &str,
    cancel: &CancellationToken,
) -> Result<(Local, ConnectionSettings), Error> {
    let user = RunAs::for_server(options.user.as_deref())?;
    let initdb = options.search.find(ProgramName::Initdb, options.major, cancel).await?;
    let postgres = options.search.find(ProgramName::Postgres, options.major, cancel).await?;
    require_passage(&initdb.path, user)?;
    require_passage(&postgres.path, user)?;
    let base = prepare_base(&options.base_directory, user)?;
    let directory = base.join(format!("{SCRATCH_PREFIX}{id}"));
    let outside = outside_socket_directory(&directory, id);
    let socket = outside.clone().unwrap_or_else(|| directory.join("socket"));
    let port = if options.tcp { free_port(&base)? } else { SOCKET_PORT };
    let password = random_hex(24)?;
    let data = directory.join("data");
    let mut folders: Vec<PathBuf> = vec!["data".into(), "private".into()];
    if outside.is_none() {
        folders.push("socket".into());
    }
    let spec = KeeperSpec {
        directory: directory.clone(),
        folders,
        files: vec![KeeperFile { path: "private/password".into(), text: password.clone() }],
        data_directory: "data".into(),
        socket_directory: outside,
        run_as: user,
        preparation: vec![Initdb::new(&initdb).command(&data, SUPERUSER, &directory.join("private/password"))],
        server: server_command(&postgres, options, &data, &socket, port),
        ready_within: options.ready_within.unwrap_or(Duration::from_secs(120)),
        stop_grace: Duration::from_secs(10),
    };
    let keeper = Keeper::start(&options.keeper_executable, &options.keeper_arguments, &spec, cancel).await?;
    let host = if options.tcp {
        "127.0.0.1".into()
    } else {
        socket.to_string_lossy().replace('\\', r"\\").replace('\'', r"\'")
    };
    let text =
        format!("host='{host}' port={port} user={SUPERUSER} password={password} dbname=postgres sslmode=disable");
    match ConnectionSettings::resolve(&text, &Environment::default()) {
        Ok(settings) => Ok((Local { keeper, data_directory: data }, settings)),
        Err(error) => {
            keeper.stop().await?;
            Err(error)
        }
    }
}

/// The settings of a server whose data may be lost at any time (PostgreSQL manual, "Non-Durable Settings").
fn server_command(
    postgres: &ClientProgram,
    options: &LocalOptions,
    data: &Path,
    socket: &Path,
    port: u16,
) -> KeeperCommand {
    let megabytes = options.memory_bytes.unwrap_or(1 << 30) >> 20;
    let shared_buffers = (megabytes / 4).clamp(64, 8192);
    let maintenance = (megabytes / 8).clamp(64, 2048);
    let mut settings: Vec<(&str, String)> = vec![
        ("listen_addresses", if options.tcp { "127.0.0.1".into() } else { String::new() }),
        ("port", port.to_string()),
        ("unix_socket_directories", socket_setting(socket)),
        ("unix_socket_permissions", "0700".into()),
        ("fsync", "off".into()),
        ("full_page_writes", "off".into()),
        ("synchronous_commit", "off".into()),
        ("wal_level", "minimal".into()),
        ("max_wal_senders", "0".into()),
        ("max_wal_size", format!("{}MB", LOCAL_WAL_BYTES >> 20)),
        ("wal_init_zero", "off".into()),
        ("wal_recycle", "off".into()),
        ("checkpoint_timeout", "1h".into()),
        ("autovacuum", "off".into()),
        ("shared_buffers", format!("{shared_buffers}MB")),
        ("maintenance_work_mem", format!("{maintenance}MB")),
        ("max_connections", "50".into()),
        // Schemas of tens of thousands of tables are dumped and restored in one transaction.
        ("max_locks_per_transaction", "1024".into()),
        ("max_logical_replication_workers", "0".into()),
        ("jit", "off".into()),
        ("timezone", "UTC".into()),
        ("log_timezone", "UTC".into()),
        ("lc_messages", "C".into()),
        ("logging_collector", "off".into()),
        ("log_destination", "stderr".into()),
        // Errors quote statements and rows; the log's tail goes into messages.
        ("log_min_messages", "log".into()),
        ("log_min_error_statement", "panic".into()),
        // One crash is a finding, not something to recover from.
        ("restart_after_crash", "off".into()),
    ];
    if options.major >= 18 {
        // What is read was just written and is in memory: asking another process for it costs more than reading it.
        settings.push(("io_method", "sync".into()));
    }
    if !options.preload_libraries.is_empty() {
        settings.push(("shared_preload_libraries", options.preload_libraries.join(",")));
    }
    settings.extend(options.settings.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let mut arguments: Vec<OsString> = vec!["-D".into(), data.into()];
    for (name, value) in settings {
        arguments.push("-c".into());
        arguments.push(format!("{name}={value}").into());
    }
    KeeperCommand { program: postgres.path.clone(), arguments, environment: plain_environment() }
}

/// The setting is a list of names, which are quoted like identifiers.
fn socket_setting(socket: &Path) -> String {
    format!("\"{}\"", socket.to_string_lossy().replace('"', "\"\""))
}

/// Another program may take the port before the server does; the start then fails and says so.
fn free_port(base: &Path) -> Result<u16, Error> {
    let asked = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    asked
        .map(|address| address.port())
        .map_err(|error| Error::ScratchPlace { path: base.to_owned(), reason: format!("no free port: {error}") })
}
