//! moto's server: a mock of RDS's control plane by others, which sees whether requests are in RDS's form.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cache::moto_program;
use crate::cluster::free_port;
use crate::http::exchange;
use crate::keeper::{Keeper, PID_FILE};
use crate::place::short_directory;
use crate::s3_server::ADMIN;

const READY_WITHIN: Duration = Duration::from_secs(300);

/// A moto server on loopback. It makes no database, knows no instant and takes any key: `docs/rds.md` lists what it can
/// show. It is killed and its folder removed when the value is dropped or the test process ends.
#[derive(Debug)]
pub struct MotoServer {
    directory: PathBuf,
    address: SocketAddr,
    server: Child,
    keeper: Keeper,
}

impl MotoServer {
    /// Starts a server.
    ///
    /// # Panics
    /// When moto is not installed or does not become ready; its log is in the message.
    #[must_use]
    pub fn start() -> Self {
        let directory = short_directory("hp-moto-");
        let keeper = Keeper::watch(&directory, "KILL");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let log = File::create(directory.join("server.log")).expect("the server's folder is writable");
        let mut command = Command::new(moto_program());
        command
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            // Without a key it is not read; by its folder the keeper knows whose the process is.
            .arg("-c")
            .arg(directory.join("no-certificate"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &directory)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let server = command.spawn().expect("moto starts");
        fs::write(directory.join(PID_FILE), server.id().to_string()).expect("the server's folder is writable");
        let mut server = Self { directory, address, server, keeper };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + READY_WITHIN;
        while !exchange(self.address, "GET", "/moto-api/data.json", &[], b"").is_ok_and(|answer| answer.status == 200) {
            let ended = self.server.try_wait().expect("the server can be waited for").is_some();
            let log = || fs::read_to_string(self.directory.join("server.log")).unwrap_or_default();
            assert!(!ended && Instant::now() < deadline, "moto did not start:\n{}", log());
            sleep(Duration::from_millis(50));
        }
    }

    /// Returns the environment that makes the stock AWS clients use this server.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        ADMIN.environment("AWS_ENDPOINT_URL_RDS", format!("http://{}", self.address))
    }
}

impl Drop for MotoServer {
    fn drop(&mut self) {
        if self.server.kill().is_ok() && self.server.wait().is_ok() {
            // Ended either way.
        }
        self.keeper.remove();
    }
}
