//! An endpoint of Amazon RDS on loopback, with real PostgreSQL servers behind it.

mod aurora;
mod aurora_change;
mod aurora_source;
mod change;
mod describe;
mod engine;
mod error;
mod events;
mod faults;
mod instance;
mod instant;
mod knobs;
mod query;
mod restore;
mod roles;
mod server;
mod shape;
mod snapshots;
mod source;
mod standing;
mod state;
mod xml;

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::account::Account;
use crate::cache::MAJORS;
use crate::certificate::Certificates;
use crate::cluster::free_port;
use crate::http::{Response, exchange};
use crate::keeper::Keeper;
use crate::place::short_directory;
use crate::s3_server::Identity;
use crate::signature::encode;
pub use aurora_source::RdsCluster;
pub use faults::RdsFault;
use server::lock;
pub use source::RdsInstance;
pub use standing::Pace;
use state::{ParameterGroup, State};

/// How many names an endpoint has addresses for.
const NAMES: u8 = 120;

/// The master user of every instance: no superuser.
pub const RDS_MASTER: &str = "shop_admin";
/// Its password, with signs that a URL must escape.
pub const RDS_MASTER_PASSWORD: &str = "p@ss:/rds%word";

/// When the log is archived, which is what makes `LatestRestorableTime` move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shipping {
    /// Before every nth answer that shows it.
    Asked(usize),
    /// By [`RdsServer::ship`] only.
    Held,
}

/// An endpoint of the AWS Query protocol for RDS, version 2014-10-31, at `http://127.0.0.1:…`.
///
/// Instances are PostgreSQL servers that archive their log. Each name has a loopback address of its own; all have one
/// port unless a call names another. Signatures are read (key, region and service count) but not verified; a call
/// without one is taken. What goes on by itself goes on when a call is made. All ends, servers and folders too, when
/// the value is dropped or the test process ends.
#[derive(Debug)]
pub struct RdsServer {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
    home: PathBuf,
    _keeper: Keeper,
}

impl RdsServer {
    /// Starts an endpoint without instances, whose servers offer no TLS.
    #[must_use]
    pub fn start() -> Self {
        Self::begin(false)
    }

    /// Starts an endpoint whose servers offer TLS with certificates that [`RdsServer::ca_bundle`] signs.
    #[must_use]
    pub fn start_with_tls() -> Self {
        Self::begin(true)
    }

    fn begin(tls: bool) -> Self {
        static ENDPOINTS: AtomicU32 = AtomicU32::new(0);
        let home = short_directory("hp-rds-");
        let keeper = Keeper::watch(&home, "QUIT");
        Account::give_to_server(&home);
        // Another network for every endpoint of every process, as far as there are some.
        let number = std::process::id().wrapping_mul(31).wrapping_add(ENDPOINTS.fetch_add(1, Ordering::SeqCst));
        let [_, _, second, third] = (number % (200 * 256)).to_be_bytes();
        let network = [127, 16 + second, third];
        let certificates = tls.then(|| {
            let names: Vec<String> =
                (1..=NAMES).map(|last| Ipv4Addr::new(network[0], network[1], network[2], last).to_string()).collect();
            Certificates::for_names(&names.iter().map(String::as_str).collect::<Vec<_>>())
        });
        if let Some(certificates) = &certificates {
            std::fs::write(home.join("rds-ca.pem"), &certificates.root).expect("the endpoint's folder is writable");
        }
        let mut state = State {
            common: engine::Common { home: home.clone(), certificates },
            network,
            port: free_port(),
            names: Vec::new(),
            instances: Vec::new(),
            clusters: Vec::new(),
            snapshots: Vec::new(),
            cluster_snapshots: Vec::new(),
            retained: Vec::new(),
            events: Vec::new(),
            parameter_groups: BTreeMap::new(),
            cluster_parameter_groups: BTreeMap::new(),
            option_groups: BTreeMap::new(),
            subnet_groups: vec!["default".into()],
            security_groups: vec!["sg-default".into()],
            maintenance: Vec::new(),
            paces: BTreeMap::new(),
            shipping: Shipping::Asked(1),
            asked: 0,
            longest_page: None,
            quotas: BTreeMap::from([
                ("DBInstances", 40),
                ("ManualSnapshots", 100),
                ("AllocatedStorage", 100_000),
                ("DBClusters", 40),
                ("DBParameterGroups", 50),
                ("DBSubnetGroups", 50),
                ("ReservedDBInstances", 40),
            ]),
            faults: faults::Faults::default(),
            denied: Vec::new(),
            account: None,
            calls: Vec::new(),
            ends: VecDeque::new(),
            relapses: Vec::new(),
            hides_renamed: false,
        };
        for (engine, major) in
            ["postgres", "aurora-postgresql"].iter().flat_map(|engine| MAJORS.map(|major| (*engine, major)))
        {
            let version = major.to_string();
            let group = ParameterGroup { family: shape::family(engine, &version), lines: Vec::new() };
            state.parameter_groups.insert(shape::default_parameter_group(engine, &version), group);
            state.option_groups.insert(shape::default_option_group(engine, &version), (engine.to_string(), version));
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        let address = listener.local_addr().expect("a bound address");
        let (state, stopping) = (Arc::new(Mutex::new(state)), Arc::new(AtomicBool::new(false)));
        let acceptor = thread::spawn({
            let (state, stopping) = (Arc::clone(&state), Arc::clone(&stopping));
            move || server::serve(&listener, &state, &stopping)
        });
        Self { state, address, stopping, acceptor: Some(acceptor), home, _keeper: keeper }
    }

    /// Returns the endpoint, such as `http://127.0.0.1:20500`: what `AWS_ENDPOINT_URL_RDS` takes.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the endpoint's address: what a [`FaultProxy`](crate::FaultProxy) stands before.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the environment that makes the stock AWS clients use this endpoint as `identity`:
    /// [`ADMIN`](crate::ADMIN) may do everything, [`READ_ONLY`](crate::READ_ONLY) describe and list, others nothing.
    #[must_use]
    pub fn environment(&self, identity: &Identity) -> Vec<(&'static str, String)> {
        identity.environment("AWS_ENDPOINT_URL_RDS", self.endpoint())
    }

    /// Returns the file of the authority that signs the servers' certificates, when they have some.
    #[must_use]
    pub fn ca_bundle(&self) -> PathBuf {
        self.home.join("rds-ca.pem")
    }

    /// Returns the folder of base backups, archives and snapshots.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.home
    }

    /// Sends one call without a signature, such as `call("DescribeDBInstances", &[("MaxRecords", "20")])`.
    ///
    /// # Panics
    /// When no answer comes.
    #[must_use]
    pub fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Response {
        let given = [("Action", action), ("Version", "2014-10-31")];
        let pairs = given.iter().chain(parameters);
        let form: Vec<String> = pairs.map(|(name, value)| format!("{name}={}", encode(value, false))).collect();
        let headers = [("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
        exchange(self.address, "POST", "/", &headers, form.join("&").as_bytes()).expect("the endpoint answers")
    }
}

impl Drop for RdsServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        if TcpStream::connect(self.address).is_ok()
            && let Some(acceptor) = self.acceptor.take()
            && acceptor.join().is_err()
        {
            // It has panicked; the test fails by what it misses.
        }
        // A connection's thread may live on with the state: the servers end now.
        let mut state = lock(&self.state);
        state.instances.clear();
        state.clusters.clear();
    }
}
