//! The files that a private server is configured by.

use std::fs;

use super::Cluster;
use crate::account::Account;
use crate::place::set_mode;

impl Cluster {
    pub(super) fn write_configuration(&self) {
        let mut lines = vec![
            format!("listen_addresses = '{}'", if self.options.tcp { "127.0.0.1" } else { "" }),
            format!("port = {}", self.port()),
            format!("unix_socket_directories = '{}'", self.directory.display()),
            "max_connections = 100".into(),
            "shared_buffers = 32MB".into(),
            "fsync = off".into(),
            "synchronous_commit = off".into(),
            "full_page_writes = off".into(),
            "timezone = 'UTC'".into(),
            "log_timezone = 'UTC'".into(),
        ];
        if self.options.major >= 18 {
            lines.push("io_method = sync".into()); // no worker processes
        }
        if self.options.certificates.is_some() {
            lines.push("ssl = on".into());
            lines.push("ssl_cert_file = 'server.crt'".into());
            lines.push("ssl_key_file = 'server.key'".into());
        }
        lines.extend(self.options.configuration.iter().cloned());
        lines.extend(super::lock(&self.lines).iter().cloned());
        let data = self.data_directory();
        let main = data.join("postgresql.conf");
        let text = fs::read_to_string(&main).expect("postgresql.conf is readable");
        if !text.contains("include = 'test.conf'") {
            fs::write(&main, format!("{text}\ninclude = 'test.conf'\n")).expect("postgresql.conf is writable");
        }
        self.write_private("test.conf", &(lines.join("\n") + "\n"));
    }

    pub(super) fn write_access(&self) {
        let mut lines = self.options.access.clone();
        lines.push("local all all trust".into());
        lines.push("local replication all trust".into());
        lines.push("host all all 127.0.0.1/32 scram-sha-256".into());
        lines.push("host replication all 127.0.0.1/32 scram-sha-256".into());
        self.write_private("pg_hba.conf", &(lines.join("\n") + "\n"));
        if let Some(certificates) = &self.options.certificates {
            self.write_private("server.crt", &certificates.server);
            self.write_private("server.key", &certificates.server_key);
            fs::write(self.directory.join("root.crt"), &certificates.root).expect("the cluster's folder is writable");
        }
    }

    pub(crate) fn write_private(&self, name: &str, text: &str) {
        let path = self.data_directory().join(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        set_mode(&path, 0o600);
        Account::give_to_server(&path);
    }
}
