//! The connection for child programs: by environment, never by argument.

use super::parameter::{OTHER_VARIABLES, PARAMETERS};
use super::tls_settings::system_bundle;
use super::{ChannelBinding, ConnectionSettings, Host, Roots, Secret, TargetServer, TlsVersion};

/// What a child program's environment must hold, and what it must not inherit.
///
/// Arguments are seen by every user of the machine, a child's environment only by its own user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildEnvironment {
    /// Variables to set.
    pub set: Vec<(&'static str, Secret)>,
    /// Variables that libpq reads and that must not come from elsewhere; none of `set`.
    pub removed: Vec<&'static str>,
}

impl ConnectionSettings {
    /// Gives the environment with which `pg_dump`, `pg_restore` or `psql` reaches the very same database, with the
    /// same root certificate, and nothing that the caller's environment says otherwise.
    pub fn child_environment(&self) -> ChildEnvironment {
        let mut set: Vec<(&'static str, Secret)> = Vec::new();
        let mut add = |name: &'static str, value: String| set.push((name, Secret::new(value)));
        let each =
            |value: &dyn Fn(&super::Server) -> String| self.servers.iter().map(value).collect::<Vec<_>>().join(",");
        add(
            "PGHOST",
            each(&|server| match &server.host {
                Host::Tcp(host) => host.clone(),
                Host::Socket(folder) => folder.to_string_lossy().into_owned(),
            }),
        );
        if self.servers.iter().any(|server| server.address.is_some()) {
            add("PGHOSTADDR", each(&|server| server.address.map(|a| a.to_string()).unwrap_or_default()));
        }
        add("PGPORT", each(&|server| server.port.to_string()));
        add("PGUSER", self.user.clone());
        add("PGDATABASE", self.database.clone());
        if let Some(password) = self.servers.first().and_then(|server| server.password.as_ref()) {
            add("PGPASSWORD", password.expose().to_owned());
        }
        self.tls_environment(&mut add);
        if let Some(limit) = self.connect_timeout {
            // libpq takes 1 for 2 and 0 for no limit.
            add("PGCONNECT_TIMEOUT", limit.as_secs().max(2).to_string());
        }
        if let Some(name) = &self.application_name {
            add("PGAPPNAME", name.clone());
        }
        if let Some(options) = &self.options {
            add("PGOPTIONS", options.clone());
        }
        let target = match self.target {
            TargetServer::Any => None,
            TargetServer::ReadWrite => Some("read-write"),
            TargetServer::ReadOnly => Some("read-only"),
            TargetServer::Primary => Some("primary"),
            TargetServer::Standby => Some("standby"),
            TargetServer::PreferStandby => Some("prefer-standby"),
        };
        if let Some(target) = target {
            add("PGTARGETSESSIONATTRS", target.to_owned());
        }
        // This program speaks no GSSAPI; a child that did might be let in as somebody else.
        add("PGGSSENCMODE", "disable".to_owned());
        let removed = PARAMETERS
            .iter()
            .filter_map(|parameter| parameter.variable)
            .chain(OTHER_VARIABLES.iter().copied())
            .filter(|name| set.iter().all(|(other, _)| other != name))
            .collect();
        ChildEnvironment { set, removed }
    }

    fn tls_environment(&self, add: &mut impl FnMut(&'static str, String)) {
        let tls = &self.tls;
        if self.servers.iter().all(|server| matches!(server.host, Host::Socket(_))) {
            return;
        }
        add("PGSSLMODE", tls.mode.name().to_owned());
        // Not with the modes that check nothing: libpq would check all the same and, with prefer, go on without TLS.
        if tls.checks_signer() {
            let root = match &tls.roots {
                Roots::File(file) => file.to_string_lossy().into_owned(),
                // `system` is known to libpq from 16 on; an older one then fails instead of trusting too much.
                Roots::System => {
                    system_bundle().map_or("system".into(), |bundle| bundle.to_string_lossy().into_owned())
                }
            };
            add("PGSSLROOTCERT", root);
        }
        if let Some((certificate, key)) = &tls.client {
            add("PGSSLCERT", certificate.to_string_lossy().into_owned());
            add("PGSSLKEY", key.to_string_lossy().into_owned());
        }
        if let Some(revoked) = &tls.revoked {
            add("PGSSLCRL", revoked.to_string_lossy().into_owned());
        }
        if !tls.sni {
            add("PGSSLSNI", "0".to_owned());
        }
        if tls.direct {
            add("PGSSLNEGOTIATION", "direct".to_owned());
        }
        if tls.lowest == TlsVersion::V13 {
            add("PGSSLMINPROTOCOLVERSION", "TLSv1.3".to_owned());
        }
        if tls.highest == TlsVersion::V12 {
            add("PGSSLMAXPROTOCOLVERSION", "TLSv1.2".to_owned());
        }
        match self.channel_binding {
            ChannelBinding::Disable => add("PGCHANNELBINDING", "disable".to_owned()),
            ChannelBinding::Require => add("PGCHANNELBINDING", "require".to_owned()),
            ChannelBinding::Prefer => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Environment;

    fn get<'a>(environment: &'a ChildEnvironment, name: &str) -> Option<&'a str> {
        environment.set.iter().find(|(other, _)| *other == name).map(|(_, value)| value.expose())
    }

    #[test]
    fn a_child_gets_the_same_target_and_nothing_else() {
        let url = "postgresql://ann:hunter2@db.example.com/shop?sslrootcert=/roots.pem&sslmode=verify-full";
        let settings = ConnectionSettings::resolve(url, &Environment::new([("PGTZ", "Mars")])).unwrap();
        let child = settings.with_resolved_address([192, 0, 2, 7].into()).with_appended_options("-c a=b");
        let child = child.child_environment();
        for (name, value) in [
            ("PGHOST", "db.example.com"),
            ("PGHOSTADDR", "192.0.2.7"),
            ("PGPORT", "5432"),
            ("PGUSER", "ann"),
            ("PGDATABASE", "shop"),
            ("PGPASSWORD", "hunter2"),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", "/roots.pem"),
            ("PGOPTIONS", "-c a=b"),
        ] {
            assert_eq!(get(&child, name), Some(value), "{name}");
        }
        for name in ["PGTZ", "PGSERVICE", "PGDATESTYLE", "PGPASSFILE", "PGCLIENTENCODING"] {
            assert!(child.removed.contains(&name), "{name}");
        }
        assert!(child.removed.iter().all(|name| get(&child, name).is_none()));
        assert!(!format!("{child:?}").contains("hunter2"));
    }

    #[test]
    fn a_root_is_given_only_where_it_is_checked() {
        let root = |mode: &str| {
            let url = format!("postgresql://ann@h/x?sslrootcert=/r.pem&sslmode={mode}");
            let child = ConnectionSettings::resolve(&url, &Environment::default()).unwrap().child_environment();
            get(&child, "PGSSLROOTCERT").map(str::to_owned)
        };
        assert_eq!(["prefer", "require", "verify-ca"].map(|mode| root(mode).is_some()), [false, true, true]);
    }

    #[test]
    fn system_roots_become_a_file_where_there_is_one() {
        let settings =
            ConnectionSettings::resolve("postgresql://ann@db.example.com/x", &Environment::default()).unwrap();
        let child = settings.child_environment();
        assert_eq!(get(&child, "PGSSLMODE"), Some("verify-full"));
        let root = get(&child, "PGSSLROOTCERT").unwrap();
        assert!(root == "system" || std::path::Path::new(root).is_file(), "{root}");
    }
}
