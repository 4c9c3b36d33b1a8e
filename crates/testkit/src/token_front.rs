//! A front of a PostgreSQL server that lets roles in by IAM tokens, as an instance of Amazon RDS does.
//!
//! It speaks TLS, asks for a password in clear, as PAM does (PostgreSQL manual, "Message Formats"), verifies it as the
//! presigned URL that it is (RDS user guide, "IAM database authentication"), and then hands the connection over to the
//! server's socket, where nobody is asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::certificate::Certificates;
use crate::cluster::Cluster;
use crate::s3_server::Identity;
use crate::signature::{of_token, timestamp};

const TLS: u32 = 80_877_103;
const CANCEL: u32 = 80_877_102;
const REGION: &str = "us-east-1";
/// The longest startup packet and password that PostgreSQL takes.
const LONGEST: u32 = 65_535;

/// What connections are judged by, and what came of them.
#[derive(Debug)]
struct Rules {
    socket: PathBuf,
    endpoint: String,
    identity: Identity,
    roles: Vec<String>,
    valid_for: Duration,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    accepted: Vec<String>,
    refused: Vec<String>,
}

/// A front at a loopback address of its own; it ends when the value is dropped.
#[derive(Debug)]
pub struct TokenFront {
    rules: Arc<Rules>,
    address: SocketAddr,
    folder: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TokenFront {
    /// Starts a front of a server that lets `roles` in by tokens which `identity` signed at most `valid_for` ago. Others
    /// are asked for a password that nobody has.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(cluster: &Cluster, identity: Identity, roles: &[&str], valid_for: Duration) -> Self {
        let certificates = Certificates::for_names(&["127.0.0.1"]);
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("rds-ca.pem"), &certificates.root).expect("the folder is writable");
        let acceptor = TlsAcceptor::from(Arc::new(tls(&certificates)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("a bound address");
        let rules = Arc::new(Rules {
            socket: cluster.socket_directory().join(format!(".s.PGSQL.{}", cluster.port())),
            endpoint: address.to_string(),
            identity,
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
            valid_for,
            told: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn({
            let rules = Arc::clone(&rules);
            move || {
                runtime.block_on(async move {
                    let listener = TcpListener::from_std(listener).expect("a listening socket");
                    tokio::select! {
                        () = accept(&listener, &acceptor, &rules) => {}
                        _ = stopped => {}
                    }
                });
            }
        });
        Self { rules, address, folder, stop: Some(stop), thread: Some(thread) }
    }

    /// Returns the URL of a database for a role, without password.
    #[must_use]
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgresql://{role}@{}/{database}", self.address)
    }

    /// Returns the file of the authority that signs the front's certificate.
    #[must_use]
    pub fn ca_bundle(&self) -> PathBuf {
        self.folder.path().join("rds-ca.pem")
    }

    /// Returns each token that let somebody in, in the order of the connections.
    #[must_use]
    pub fn accepted(&self) -> Vec<String> {
        self.rules.told().accepted.clone()
    }

    /// Returns why each of the others was refused.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        self.rules.told().refused.clone()
    }
}

impl Drop for TokenFront {
    fn drop(&mut self) {
        // The sender's end is enough.
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            // It has panicked; the test fails by what it misses.
        }
    }
}

fn tls(certificates: &Certificates) -> ServerConfig {
    let chain = CertificateDer::from_pem_slice(certificates.server.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(certificates.server_key.as_bytes()).expect("a private key");
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("a certificate with its key")
}

async fn accept(listener: &TcpListener, acceptor: &TlsAcceptor, rules: &Arc<Rules>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, rules) = (acceptor.clone(), Arc::clone(rules));
        connections.spawn(async move {
            if converse(stream, &acceptor, &rules).await.is_err() {
                // The client or the server has gone.
            }
        });
    }
}

async fn converse(mut plain: TcpStream, acceptor: &TlsAcceptor, rules: &Rules) -> std::io::Result<()> {
    let first = packet(&mut plain).await?;
    match code(&first) {
        TLS => {}
        CANCEL => return UnixStream::connect(&rules.socket).await?.write_all(&first).await,
        _ => return refuse(&mut plain, rules, "28000", "no pg_hba.conf entry, no encryption", "no TLS").await,
    }
    plain.write_all(b"S").await?;
    let mut client = acceptor.accept(plain).await?;
    let startup = packet(&mut client).await?;
    if code(&startup) == CANCEL {
        return UnixStream::connect(&rules.socket).await?.write_all(&startup).await;
    }
    let role = user(&startup);
    // AuthenticationCleartextPassword.
    client.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]).await?;
    if client.read_u8().await? != b'p' {
        return Ok(());
    }
    let token = packet(&mut client).await?;
    let token = String::from_utf8_lossy(&token[4..]).trim_end_matches('\0').to_owned();
    if !rules.roles.contains(&role) {
        let said = format!("password authentication failed for user \"{role}\"");
        return refuse(&mut client, rules, "28P01", &said, "not a role of IAM").await;
    }
    if let Err(why) = rules.check(&token, &role) {
        return refuse(&mut client, rules, "28000", &format!("PAM authentication failed for user \"{role}\""), &why)
            .await;
    }
    rules.told().accepted.push(token);
    let mut server = UnixStream::connect(&rules.socket).await?;
    server.write_all(&startup).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Reads what begins with its own length, length included.
async fn packet(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    if !(4..=LONGEST).contains(&length) {
        return Err(std::io::Error::other("no packet of PostgreSQL"));
    }
    let mut whole = length.to_be_bytes().to_vec();
    whole.resize(length as usize, 0);
    stream.read_exact(&mut whole[4..]).await?;
    Ok(whole)
}

fn code(packet: &[u8]) -> u32 {
    packet.get(4..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// The role of a startup packet: names and values, each ended by a zero.
fn user(startup: &[u8]) -> String {
    let mut parts = startup.get(8..).unwrap_or_default().split(|byte| *byte == 0);
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        if name == b"user" {
            return String::from_utf8_lossy(value).into_owned();
        }
    }
    String::new()
}

async fn refuse(
    client: &mut (impl AsyncWrite + Unpin),
    rules: &Rules,
    state: &str,
    said: &str,
    why: &str,
) -> std::io::Result<()> {
    rules.told().refused.push(why.to_owned());
    let fields = format!("SFATAL\0VFATAL\0C{state}\0M{said}\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap_or(u32::MAX);
    client.write_all(&[b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()).await?;
    client.shutdown().await
}

impl Rules {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks a token for a role, at this front, now; says what is wrong with it.
    fn check(&self, token: &str, role: &str) -> Result<(), String> {
        let (host, query) = token.split_once("/?").ok_or("no token")?;
        if host != self.endpoint {
            return Err(format!("made for {host}"));
        }
        let parts: Vec<&str> = query.split('&').collect();
        let one = |name: &str| {
            let found = parts.iter().find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            found.ok_or_else(|| format!("without {name}"))
        };
        if (one("Action")?, one("DBUser")?) != ("connect", role) {
            return Err(format!("made for user {}", one("DBUser")?));
        }
        let (instant, credential) = (one("X-Amz-Date")?, one("X-Amz-Credential")?.replace("%2F", "/"));
        let day = instant.get(..8).unwrap_or_default();
        let scope = format!("{day}/{REGION}/rds-db/aws4_request");
        if credential != format!("{}/{scope}", self.identity.access_key) {
            return Err(format!("signed by {credential}"));
        }
        let unsigned: Vec<&str> = parts.iter().copied().filter(|part| !part.starts_with("X-Amz-Signature=")).collect();
        if one("X-Amz-Signature")? != of_token(&unsigned, host, &scope, instant, &self.identity) {
            return Err("the signature is wrong".to_owned());
        }
        // Both are written alike, so their texts sort as the instants do.
        let oldest = timestamp(SystemTime::now() - self.valid_for);
        if instant < oldest.as_str() || one("X-Amz-Expires")? != "900" {
            return Err("expired".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_packets_name_their_role() {
        let packet = [&[0, 0, 0, 0, 0, 3, 0, 0][..], b"database\0user\0user\0ann\0\0"].concat();
        assert_eq!(user(&packet), "ann");
        assert_eq!(user(b"short"), "");
    }
}
