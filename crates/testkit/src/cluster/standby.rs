//! A server that follows another one.

use std::process::{Command, Stdio};

use super::Cluster;
use crate::account::Account;

impl Cluster {
    /// Starts a hot standby that streams from this server, known to it as `standby`; it says every second how far it is.
    ///
    /// # Panics
    /// When the base backup fails or the standby does not become ready.
    #[must_use]
    pub fn standby(&self) -> Self {
        let mut options = self.options.clone();
        options.tcp = false;
        options.certificates = None;
        let (host, port) = (self.socket_directory().display(), self.port());
        options.configuration.extend([
            format!("primary_conninfo = 'host={host} port={port} user={} application_name=standby'", self.superuser()),
            "wal_receiver_status_interval = 1s".to_owned(),
        ]);
        let standby = Self::bare(options);
        let mut copy = Command::new(self.bin_directory().join("pg_basebackup"));
        copy.arg("-D").arg(standby.data_directory()).arg("-h").arg(self.socket_directory());
        copy.args(["-p", &port.to_string(), "-U", self.superuser(), "-X", "stream", "-c", "fast", "--no-sync"]);
        let output = Account::run_as_server(&mut copy).stdin(Stdio::null()).output().expect("pg_basebackup starts");
        assert!(output.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&output.stderr));
        standby.write_private("standby.signal", "");
        standby.write_access();
        standby.resume();
        standby
    }
}
