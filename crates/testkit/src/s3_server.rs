//! A real S3 engine: SeaweedFS on loopback.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cache::weed_program;
use crate::http::exchange;
use crate::keeper::{Keeper, PID_FILE};
use crate::place::short_directory;
use crate::s3_client::send;

const READY_WITHIN: Duration = Duration::from_secs(300);

/// Ports of one server, counted from its first: HTTP at 0-4, gRPC at 10-14.
const PORT_OFFSETS: [u16; 10] = [0, 1, 2, 3, 4, 10, 11, 12, 13, 14];

/// Every bucket takes a volume of its own. SeaweedFS would make as many as fit the disk if all were full (one a GiB), and
/// answer every write into a further bucket with `InternalError`; they only take what is written.
const VOLUMES: u16 = 4096;

/// An access key with its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What `AWS_ACCESS_KEY_ID` takes.
    pub access_key: &'static str,
    /// What `AWS_SECRET_ACCESS_KEY` takes.
    pub secret_key: &'static str,
}

impl Identity {
    /// The environment of the stock AWS clients; `variable` is what names the endpoint of the service.
    pub(crate) fn environment(&self, variable: &'static str, endpoint: String) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", self.access_key.into()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_key.into()),
            ("AWS_REGION", "us-east-1".into()),
            (variable, endpoint),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
            ("NO_PROXY", "127.0.0.1,localhost".into()),
        ]
    }
}

/// May do everything.
pub const ADMIN: Identity = Identity { access_key: "testkey", secret_key: "testsecret" };
/// May read and list every bucket.
pub const READ_ONLY: Identity = Identity { access_key: "rokey", secret_key: "rosecret" };
/// May read, list, tag and write in [`WRITER_BUCKET`], and nothing elsewhere.
pub const WRITER: Identity = Identity { access_key: "limkey", secret_key: "limsecret" };
/// The server does not know it.
pub const STRANGER: Identity = Identity { access_key: "nokey", secret_key: "nosecret" };
/// The one bucket of [`WRITER`]; it exists from the start.
pub const WRITER_BUCKET: &str = "writer-bucket";

/// Holds what tells that the server serves objects; of the server alone.
const READY_BUCKET: &str = "ready-bucket";
/// In the server's folder: an object was stored once.
const STORED_FILE: &str = "stored";

const IDENTITIES: &str = r#"
 {"name":"admin","credentials":[{"accessKey":"testkey","secretKey":"testsecret"}],
  "actions":["Admin","Read","List","Tagging","Write"]},
 {"name":"ro","credentials":[{"accessKey":"rokey","secretKey":"rosecret"}],"actions":["Read","List"]},
 {"name":"writer","credentials":[{"accessKey":"limkey","secretKey":"limsecret"}],
  "actions":["Read:writer-bucket","List:writer-bucket","Tagging:writer-bucket","Write:writer-bucket"]}
"#;

/// The server's list of who may do what: by actions, or by a policy of its own in IAM's form.
fn identities(policies: &[(&str, &str)]) -> String {
    let role = |(name, _): &(&str, &str)| {
        format!(
            r#",{{"name":"{name}","credentials":[{{"accessKey":"{name}","secretKey":"{name}"}}],"actions":[],"policyNames":["{name}"]}}"#
        )
    };
    // A policy stands there as text; of JSON, `{:?}` makes a JSON text.
    let policy = |(name, content): &(&str, &str)| format!(r#"{{"name":"{name}","content":{content:?}}}"#);
    let roles: String = policies.iter().map(role).collect();
    let policies = policies.iter().map(policy).collect::<Vec<_>>().join(",");
    format!(r#"{{"identities":[{IDENTITIES}{roles}],"policies":[{policies}]}}"#)
}

/// A SeaweedFS server: real signatures, rights, multipart uploads, checksums, versions, Object Lock, bucket policies.
///
/// Path style only, any region. Buckets are never made by writing to them, as on AWS. It is killed and its folder
/// removed when the value is dropped or the test process ends.
#[derive(Debug)]
pub struct S3Server {
    directory: PathBuf,
    port: Mutex<u16>,
    server: Mutex<Option<Child>>,
    keeper: Keeper,
}

impl S3Server {
    /// Starts a server.
    ///
    /// # Panics
    /// When SeaweedFS is not installed or does not become ready; its log is in the message.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with_policies(&[])
    }

    /// Starts a server that knows more identities: each by a name, which is access key and secret too, with a policy
    /// in IAM's form that alone says what it may do.
    ///
    /// # Panics
    /// As [`S3Server::start`].
    #[must_use]
    pub fn start_with_policies(policies: &[(&str, &str)]) -> Self {
        let directory = short_directory("hp-s3-");
        let keeper = Keeper::watch(&directory, "KILL");
        fs::create_dir(directory.join("data")).expect("the server's folder is writable");
        fs::create_dir(directory.join("tmp")).expect("the server's folder is writable");
        fs::write(directory.join("s3.json"), identities(policies)).expect("the server's folder is writable");
        let server = Self { directory, port: Mutex::new(0), server: Mutex::new(None), keeper };
        server.resume();
        server.create_bucket(WRITER_BUCKET);
        server
    }

    /// Returns the server that all tests of this process share; make a bucket of your own in it.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<S3Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Returns the endpoint, such as `http://127.0.0.1:20500`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Returns the endpoint's address: what a [`FaultProxy`](crate::FaultProxy) stands before.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, *lock(&self.port)))
    }

    /// Returns the environment that makes the stock AWS clients use this server as `identity`.
    #[must_use]
    pub fn environment(&self, identity: &Identity) -> Vec<(&'static str, String)> {
        identity.environment("AWS_ENDPOINT_URL", self.endpoint())
    }

    /// Returns the process id, `None` after [`S3Server::kill`].
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        lock(&self.server).as_ref().map(Child::id)
    }

    /// Returns the folder of the server's files and log.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Kills the server as a crash would.
    pub fn kill(&self) {
        if let Some(mut child) = lock(&self.server).take() {
            child.kill().expect("the server can be killed");
            child.wait().expect("the server can be waited for");
        }
    }

    /// Kills the server and starts it again on the same files and the same port.
    ///
    /// # Panics
    /// As [`S3Server::start`].
    pub fn restart(&self) {
        self.kill();
        self.resume();
    }

    /// Starts the killed server again on the same files and the same port.
    ///
    /// # Panics
    /// When it runs already, or as [`S3Server::start`].
    pub fn resume(&self) {
        let mut server = lock(&self.server);
        assert!(server.is_none(), "the server is running already");
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let port = match *lock(&self.port) {
                0 => free_block(),
                port => port,
            };
            let mut child = self.spawn(port);
            match self.wait_until_ready(&mut child, port, deadline) {
                Ok(()) => {
                    *lock(&self.port) = port;
                    *server = Some(child);
                    return;
                }
                // Somebody took a port of the block since we looked.
                Err(log) => {
                    assert!(Instant::now() < deadline && log.contains("ort"), "SeaweedFS did not start:\n{log}")
                }
            }
            sleep(Duration::from_millis(50));
        }
    }

    fn spawn(&self, port: u16) -> Child {
        let log = File::options().create(true).append(true).open(self.directory.join("server.log"));
        let log = log.expect("the server's log is writable");
        let mut weed = Command::new(weed_program());
        weed.arg("mini")
            .arg(format!("-dir={}", self.directory.join("data").display()))
            .arg(format!("-s3.config={}", self.directory.join("s3.json").display()))
            .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-webdav=false"])
            .args(["-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"])
            .args(["-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false"])
            .arg(format!("-volume.max={VOLUMES}"));
        for (name, offset) in [("s3", 0), ("master", 1), ("volume", 2), ("filer", 3), ("admin", 4)] {
            weed.arg(format!("-{name}.port={}", port + offset))
                .arg(format!("-{name}.port.grpc={}", port + 10 + offset));
        }
        weed.env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.directory)
            .env("TMPDIR", self.directory.join("tmp"))
            .env("GOMEMLIMIT", "300MiB")
            .env("GOGC", "50")
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log);
        std::os::unix::process::CommandExt::process_group(&mut weed, 0);
        let child = weed.spawn().expect("weed starts");
        fs::write(self.directory.join(PID_FILE), child.id().to_string()).expect("the server's folder is writable");
        child
    }

    fn wait_until_ready(&self, child: &mut Child, port: u16, deadline: Instant) -> Result<(), String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        loop {
            if child.try_wait().expect("the server can be waited for").is_some() || Instant::now() > deadline {
                if child.kill().is_ok() && child.wait().is_ok() {
                    // Ended either way.
                }
                let log = fs::read_to_string(self.directory.join("server.log")).unwrap_or_default();
                let start = log.len().saturating_sub(4_000);
                return Err(log.get(start..).unwrap_or(&log).to_owned());
            }
            if exchange(address, "GET", "/healthz", &[], b"").is_ok_and(|answer| answer.status == 200)
                && self.serves_objects(address)
            {
                return Ok(());
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// Whether the server at `address` takes objects, and after a crash gives back what was stored before it. Its parts
    /// start by themselves, and until they have found each other a healthy gateway answers `InternalError`.
    fn serves_objects(&self, address: SocketAddr) -> bool {
        let object = format!("/{READY_BUCKET}/ready");
        let send = |method, path: &str, body: &[u8]| send(address, &ADMIN, method, path, &[], &[], body);
        if self.directory.join(STORED_FILE).exists() {
            return send("GET", &object, b"").is_ok_and(|answer| answer.status == 200)
                && send("PUT", &format!("{object}-again"), b"1").is_ok_and(|answer| answer.status == 200);
        }
        // 409: an earlier round made it.
        let made = send("PUT", &format!("/{READY_BUCKET}"), b"").is_ok_and(|answer| matches!(answer.status, 200 | 409));
        made && send("PUT", &object, b"1").is_ok_and(|answer| answer.status == 200)
            && fs::write(self.directory.join(STORED_FILE), b"").is_ok()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.kill();
        self.keeper.remove();
    }
}

/// Finds a block of ports below the range from which systems give out ports by themselves.
fn free_block() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 500).expect("below 500");
    for _ in 0..1_000 {
        let block = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 500;
        let first = 20_000 + block * 20;
        if PORT_OFFSETS.iter().all(|offset| TcpListener::bind(("127.0.0.1", first + offset)).is_ok()) {
            return first;
        }
    }
    panic!("no free block of ports between 20000 and 30000");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
