//! A private PostgreSQL server.

mod address;
mod configuration;
mod standby;

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::account::Account;
use crate::cache::{MAJORS, bin_directory};
use crate::cluster_options::ClusterOptions;
use crate::keeper::{Keeper, PID_FILE};
use crate::place::short_directory;
use crate::template::{copy_data_directory, unpack_data_directory};

const READY_WITHIN: Duration = Duration::from_secs(300);
const STOPPED_WITHIN: Duration = Duration::from_secs(120);
const SOCKET_PORT: u16 = 5432;

/// A private PostgreSQL server in a temporary folder, on a unix socket and, when asked for, on loopback TCP.
///
/// As root the server runs as another account. `fsync` is off. When the value is dropped the server is stopped at once
/// and its folder removed; when the thread is panicking the folder stays and how to look inside is printed. A killed
/// test process leaves neither server nor folder behind.
#[derive(Debug)]
pub struct Cluster {
    options: ClusterOptions,
    directory: PathBuf,
    port: Mutex<u16>,
    server: Mutex<Option<Child>>,
    keeper: Keeper,
    /// Lines of the configuration that may change from start to start.
    lines: Mutex<Vec<String>>,
}

impl Cluster {
    /// Starts a server of one major with the default options.
    ///
    /// # Panics
    /// When that major is not installed or the server does not become ready; the server's log is in the message.
    #[must_use]
    pub fn new(major: u32) -> Self {
        Self::start(ClusterOptions::major(major))
    }

    /// Starts a server.
    ///
    /// # Panics
    /// As [`Cluster::new`].
    #[must_use]
    pub fn start(options: ClusterOptions) -> Self {
        let cluster = Self::prepare(options, None);
        cluster.resume();
        if let Some(password) = &cluster.options.password {
            let role = quote_identifier(&cluster.options.superuser);
            cluster.psql("postgres", &format!("ALTER ROLE {role} PASSWORD {}", quote_literal(password)));
        }
        cluster
    }

    /// Makes a cluster that has a folder only.
    fn bare(options: ClusterOptions) -> Self {
        let directory = short_directory("hp-");
        Account::give_to_server(&directory);
        let keeper = Keeper::watch(&directory, "QUIT");
        let (port, server, lines) = (Mutex::new(SOCKET_PORT), Mutex::new(None), Mutex::default());
        Self { options, directory, port, server, keeper, lines }
    }

    /// Makes a cluster that is not started yet, with the data directory that is packed in `from` when there is one.
    pub(crate) fn prepare(mut options: ClusterOptions, from: Option<&Path>) -> Self {
        assert!(MAJORS.contains(&options.major), "PostgreSQL {} is not one of {MAJORS:?}", options.major);
        options.tcp |= options.certificates.is_some();
        if options.tcp && options.password.is_none() {
            options.password = Some(made_up_password());
        }
        let cluster = Self::bare(options);
        match from {
            Some(packed) => unpack_data_directory(packed, &cluster.data_directory()),
            None => copy_data_directory(&cluster.options, &cluster.data_directory()),
        }
        cluster.write_access();
        cluster
    }

    /// Replaces the lines of the configuration that were set this way, and the port; they count from the next start.
    pub(crate) fn configure(&self, port: u16, lines: Vec<String>) {
        *lock(&self.port) = port;
        *lock(&self.lines) = lines;
    }

    /// Returns the server of one major that all tests of this process share; make a database of your own in it.
    ///
    /// Roles, tablespaces and settings of the server belong to everybody: a test that changes them starts its own.
    #[must_use]
    pub fn shared(major: u32) -> &'static Self {
        static SHARED: [OnceLock<Cluster>; MAJORS.len()] = [const { OnceLock::new() }; MAJORS.len()];
        let place = MAJORS.iter().position(|&known| known == major);
        let place = place.unwrap_or_else(|| panic!("PostgreSQL {major} is not one of {MAJORS:?}"));
        SHARED[place].get_or_init(|| Self::new(major))
    }

    /// Returns the server's major.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.options.major
    }

    /// Returns the superuser's name.
    #[must_use]
    pub fn superuser(&self) -> &str {
        &self.options.superuser
    }

    /// Returns the superuser's password; the unix socket does not ask for it.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.options.password.as_deref()
    }

    /// Returns the port, both of the unix socket's name and of loopback TCP.
    #[must_use]
    pub fn port(&self) -> u16 {
        *lock(&self.port)
    }

    /// Returns the folder of the unix socket: what `PGHOST` takes.
    #[must_use]
    pub fn socket_directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the data directory.
    #[must_use]
    pub fn data_directory(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Returns the file that holds all that the server has said.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    /// Returns the file with the certificate that a client must trust, when the cluster has certificates.
    #[must_use]
    pub fn root_certificate(&self) -> Option<PathBuf> {
        self.options.certificates.as_ref().map(|_| self.directory.join("root.crt"))
    }

    /// Returns the folder with this cluster's programs.
    #[must_use]
    pub fn bin_directory(&self) -> PathBuf {
        self.options.programs.clone().unwrap_or_else(|| bin_directory(self.options.major))
    }

    /// Returns the process id of the postmaster, `None` while the server is stopped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        lock(&self.server).as_ref().map(Child::id)
    }

    /// Stops the server in an orderly way ("fast": sessions are ended).
    pub fn stop(&self) {
        self.end(Signal::INT);
    }

    /// Kills the postmaster as a crash would (SIGKILL); its sessions end when they notice.
    pub fn kill(&self) {
        self.end(Signal::KILL);
    }

    /// Stops the server in an orderly way and starts it again.
    pub fn restart(&self) {
        self.stop();
        self.resume();
    }

    /// Starts the stopped or killed server again, at the same address.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn resume(&self) {
        if let Err(log) = self.try_resume() {
            panic!("PostgreSQL {} did not start:\n{log}", self.options.major);
        }
    }

    /// As [`Cluster::resume`], with the end of the log when the server does not become ready.
    pub(crate) fn try_resume(&self) -> Result<(), String> {
        let mut server = lock(&self.server);
        assert!(server.is_none(), "the server is running already");
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if self.options.tcp && *lock(&self.port) == SOCKET_PORT {
                *lock(&self.port) = free_port();
            }
            let mut child = self.spawn();
            match self.wait_until_ready(&mut child, deadline) {
                Ok(()) => {
                    *server = Some(child);
                    return Ok(());
                }
                Err(log) => {
                    // Sessions of a killed postmaster may still hold its shared memory for a moment.
                    let transient = ["is still in use", "Address already in use", "lock file \"postmaster.pid\""];
                    if Instant::now() > deadline || !transient.iter().any(|text| log.contains(text)) {
                        return Err(log);
                    }
                    if log.contains("Address already in use") {
                        *lock(&self.port) = free_port();
                    }
                    sleep(Duration::from_millis(20));
                }
            }
        }
    }

    fn spawn(&self) -> Child {
        self.write_configuration();
        let log =
            File::options().create(true).append(true).open(self.log_file()).expect("the server's log is writable");
        let mut postgres = Command::new(self.bin_directory().join("postgres"));
        postgres
            .arg("-D")
            .arg(self.data_directory())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log);
        // A group of its own: Ctrl-C at the terminal is for the tests, which then stop the server.
        std::os::unix::process::CommandExt::process_group(&mut postgres, 0);
        let child = Account::run_as_server(&mut postgres).spawn().expect("postgres starts");
        fs::write(self.directory.join(PID_FILE), child.id().to_string()).expect("the server's folder is writable");
        child
    }

    /// Waits for the line "ready" in `postmaster.pid`, which is what `pg_ctl -w` waits for.
    fn wait_until_ready(&self, child: &mut Child, deadline: Instant) -> Result<(), String> {
        let status = self.data_directory().join("postmaster.pid");
        let ours = child.id().to_string();
        loop {
            if let Ok(text) = fs::read_to_string(&status) {
                let mut lines = text.lines();
                if lines.next() == Some(ours.as_str()) && lines.nth(6).is_some_and(|state| state.trim() == "ready") {
                    return Ok(());
                }
            }
            let ended = child.try_wait().expect("the server can be waited for");
            if ended.is_some() || Instant::now() > deadline {
                if child.kill().is_ok() && child.wait().is_ok() {
                    // Ended either way.
                }
                let log = fs::read_to_string(self.log_file()).unwrap_or_default();
                return Err(log
                    .lines()
                    .rev()
                    .take(20)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .rev()
                    .collect::<Vec<_>>()
                    .join("\n"));
            }
            sleep(Duration::from_millis(4));
        }
    }

    fn end(&self, signal: Signal) {
        let Some(mut child) = lock(&self.server).take() else { return };
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        // The child is not reaped yet, so the id is still its own.
        if kill_process(pid, signal).is_err() {
            // It has ended by itself.
        }
        let deadline = Instant::now() + STOPPED_WITHIN;
        while child.try_wait().expect("the server can be waited for").is_none() {
            if Instant::now() > deadline && child.kill().is_ok() {
                break;
            }
            sleep(Duration::from_millis(2));
        }
        child.wait().expect("the server can be waited for");
        if fs::remove_file(self.directory.join(PID_FILE)).is_err() {
            // The keeper looks at the process as well.
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end(Signal::QUIT);
        if std::thread::panicking() && std::env::var_os("HOLDPOINT_TEST_KEEP").is_none_or(|word| word != "never") {
            self.keeper.keep();
            #[expect(clippy::print_stderr, reason = "tells the developer of the failed test where to look")]
            {
                eprintln!(
                    "the cluster is kept; its log is {log}\nlook inside (as the owner of the data directory):\n  {bin}/postgres -D \
                     {data} &\n  {bin}/psql '{url}'\nand remove it: rm -rf {directory}",
                    log = self.log_file().display(),
                    bin = self.bin_directory().display(),
                    data = self.data_directory().display(),
                    url = self.url("postgres"),
                    directory = self.directory.display()
                );
            }
        } else {
            self.keeper.remove();
        }
    }
}

/// Returns a loopback port that was free a moment ago.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free loopback port");
    listener.local_addr().expect("a bound address").port()
}

/// Writes a name as a quoted SQL identifier.
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Writes a text as an SQL string literal (`standard_conforming_strings` is on).
#[must_use]
pub fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn made_up_password() -> String {
    // Signs that a URL must escape: a program that forgets to is found out.
    let name = short_name();
    format!("p@ss:/{name}%")
}

/// Makes up a short name that no other call returns.
pub(crate) fn short_name() -> String {
    let file = tempfile::Builder::new().prefix("").rand_bytes(12).tempfile().expect("a temporary name");
    file.path().file_name().map(|name| name.to_string_lossy().into_owned()).expect("a file has a name")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
