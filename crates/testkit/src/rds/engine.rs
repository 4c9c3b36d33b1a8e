//! The PostgreSQL server under an instance: with an archive of its own, recovered from another's.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::instant::{Seconds, now, written};
use super::roles;
use crate::account::Account;
use crate::certificate::Certificates;
use crate::client::expect_success;
use crate::cluster::Cluster;
use crate::cluster_options::ClusterOptions;
use crate::place::set_mode;
use crate::template::{pack_data_directory, packed_template};

const ARCHIVED_WITHIN: Duration = Duration::from_secs(300);

/// What all servers of one endpoint have in common.
#[derive(Debug, Clone)]
pub(super) struct Common {
    /// The folder of base backups, archives and snapshots.
    pub(super) home: PathBuf,
    pub(super) certificates: Option<Certificates>,
}

/// A base backup and the archive of what came after it: what a point in time is restored from.
#[derive(Debug, Clone)]
pub(super) struct Backup {
    directory: PathBuf,
    /// A packed data directory.
    base: PathBuf,
    pub(super) major: u32,
    /// The end of the base backup.
    pub(super) earliest: Seconds,
    /// Every instant up to this one can be restored; `None` until the first piece of the log is archived.
    pub(super) latest: Option<Seconds>,
}

/// A server with the backup that it feeds.
#[derive(Debug)]
pub(super) struct Engine {
    cluster: Cluster,
    pub(super) backup: Backup,
}

impl Engine {
    /// Makes a new database server with an empty database `shop`; it is not started.
    pub(super) fn new(common: &Common, major: u32) -> Self {
        let content = roles::set_up(major);
        let plain = ClusterOptions { certificates: None, ..options(common, major) };
        let packed = packed_template(&plain.clone(), &content, |file| {
            let cluster = Cluster::prepare(plain, None);
            let mut resize = cluster.program("pg_resetwal");
            // The log is archived often, and all of a piece is copied.
            resize.arg("--wal-segsize=1").arg("-D").arg(cluster.data_directory());
            expect_success(Account::run_as_server(&mut resize));
            cluster.configure(5432, settings());
            cluster.resume();
            cluster.psql("postgres", &content);
            cluster.stop();
            pack_data_directory(&cluster.data_directory(), file);
        });
        let cluster = Cluster::prepare(options(common, major), Some(&packed));
        let backup = Backup::beginning(common, major, Some(packed));
        Self { cluster, backup }
    }

    /// Makes a server of a snapshot; it is not started.
    pub(super) fn of_snapshot(common: &Common, major: u32, snapshot: &Path) -> Result<Self, String> {
        let cluster = Cluster::prepare(options(common, major), Some(snapshot));
        cluster.configure(5432, settings());
        cluster.try_resume()?;
        cluster.stop();
        Ok(Self::with_base(common, cluster))
    }

    /// Recovers a new server to an instant, or to the end of the archive; it is not started again afterwards.
    pub(super) fn recovered(common: &Common, backup: &Backup, target: Option<Seconds>) -> Result<Self, String> {
        let cluster = Cluster::prepare(options(common, backup.major), Some(&backup.base));
        cluster.write_private("recovery.signal", "");
        let mut lines = settings();
        lines.push(format!("restore_command = 'cp \"{}/%f\" \"%p\"'", backup.archive().display()));
        lines.push("recovery_target_action = 'promote'".into());
        lines.push("hot_standby = off".into());
        if let Some(target) = target {
            lines.push(format!("recovery_target_time = '{}'", written(target).replace('Z', "+00")));
        }
        cluster.configure(5432, lines);
        cluster.try_resume()?;
        cluster.stop();
        Ok(Self::with_base(common, cluster))
    }

    /// The base backup is what the stopped server has.
    fn with_base(common: &Common, cluster: Cluster) -> Self {
        let backup = Backup::beginning(common, cluster.major(), None);
        pack_data_directory(&cluster.data_directory(), &backup.base);
        Self { cluster, backup }
    }

    /// Starts the server, or starts it again, at these addresses; sessions that there were have ended.
    /// Returns the port, which is another when somebody took this one.
    pub(super) fn listen(&self, addresses: &[Ipv4Addr], port: u16, parameters: &[String]) -> u16 {
        self.cluster.stop();
        let addresses: Vec<String> = addresses.iter().map(Ipv4Addr::to_string).collect();
        let archive = self.backup.archive();
        let archive = archive.display();
        let mut lines = settings();
        lines.push(format!("listen_addresses = '{}'", addresses.join(",")));
        lines.push("archive_mode = on".into());
        // Under another name first, so that what is there is whole; after a restart a piece may come again.
        let (unfinished, whole) = (format!("\"{archive}/.%f\""), format!("\"{archive}/%f\""));
        lines.push(format!("archive_command = 'cp \"%p\" {unfinished} && mv {unfinished} {whole}'"));
        lines.extend(parameters.iter().cloned());
        self.cluster.configure(port, lines);
        self.cluster.resume();
        self.cluster.port()
    }

    /// Stops the server in an orderly way.
    pub(super) fn stop(&self) {
        self.cluster.stop();
    }

    /// Archives all that is committed; every instant up to the returned one can then be restored.
    ///
    /// A transaction follows that instant: recovery to it would otherwise not know that it has reached it.
    pub(super) fn ship(&mut self) -> Option<Seconds> {
        self.cluster.pid()?;
        let at = now();
        let sql = "SELECT txid_current(); SELECT pg_walfile_name(pg_switch_wal())";
        let said = self.cluster.try_psql(roles::ADMIN, sql).ok()?;
        let file = self.backup.archive().join(said.lines().last().unwrap_or_default());
        let deadline = Instant::now() + ARCHIVED_WITHIN;
        while !file.exists() {
            assert!(Instant::now() < deadline, "{} is not archived", file.display());
            sleep(Duration::from_millis(3));
        }
        self.backup.latest = Some(at);
        Some(at)
    }

    /// Packs the data directory into `file`, from the running server by `pg_basebackup`.
    pub(super) fn pack_to(&self, file: &Path) {
        if self.cluster.pid().is_none() {
            return pack_data_directory(&self.cluster.data_directory(), file);
        }
        let mut base = self.cluster.program("pg_basebackup");
        base.args(["-D", "-", "-Ft", "-X", "fetch", "-c", "fast", "--no-manifest"]);
        base.stdout(File::create(file).expect("the endpoint's folder is writable"));
        expect_success(Account::run_as_server(&mut base));
    }

    /// Returns the version, such as `16.15`.
    pub(super) fn version(&self) -> String {
        let said = expect_success(self.cluster.program("postgres").arg("--version")).stdout;
        let said = String::from_utf8_lossy(&said);
        let version = said.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        version.map(str::to_owned).unwrap_or_default()
    }

    /// Returns the server.
    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }
}

impl Backup {
    /// Makes an empty archive; the base backup is `base`, or is still to be made.
    fn beginning(common: &Common, major: u32, base: Option<PathBuf>) -> Self {
        let directory = tempfile::Builder::new().prefix("backup-").tempdir_in(&common.home);
        let directory = directory.expect("a folder for a backup").keep();
        set_mode(&directory, 0o711);
        let base = base.unwrap_or_else(|| directory.join("base.tar"));
        let backup = Self { directory, base, major, earliest: now(), latest: None };
        fs::create_dir(backup.archive()).expect("a folder for an archive");
        Account::give_to_server(&backup.archive());
        backup
    }

    fn archive(&self) -> PathBuf {
        self.directory.join("archive")
    }

    /// Returns the folder of base backup and archive.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Removes base backup and archive.
    pub(super) fn remove(&self) {
        fs::remove_dir_all(&self.directory).expect("a backup can be removed");
    }
}

fn options(common: &Common, major: u32) -> ClusterOptions {
    ClusterOptions {
        superuser: roles::ADMIN.into(),
        access: roles::access(),
        certificates: common.certificates.clone(),
        ..ClusterOptions::major(major)
    }
}

/// Settings of every server; `rds.*` is what the service's servers have and others have not.
fn settings() -> Vec<String> {
    [
        "listen_addresses = ''",
        "min_wal_size = 4MB",
        "max_wal_size = 64MB",
        "wal_keep_size = 64MB",
        "rds.extensions = 'pg_trgm, pgcrypto, plpgsql'",
    ]
    .map(str::to_owned)
    .to_vec()
}
