//! Instances that a test begins with, and their databases.

use std::net::Ipv4Addr;

use super::aurora_source::RdsCluster;
use super::engine::Engine;
use super::instant::{now, written};
use super::server::lock;
use super::shape::Shape;
use super::standing::Standing;
use super::state::ParameterGroup;
use super::{RDS_MASTER, RDS_MASTER_PASSWORD, RdsServer};
use crate::client::with_input;
use crate::signature::encode;

/// What an instance that a test begins with is like.
///
/// By default: 20 GiB of gp3, backups of 7 days, one zone, default groups, no tags; a database of the name `shop`.
#[derive(Debug, Clone)]
pub struct RdsInstance {
    identifier: String,
    major: u32,
    engine: String,
    properties: Vec<(String, String)>,
    security_groups: Vec<String>,
    parameter_group: Option<(String, Vec<String>)>,
    option_group: Option<String>,
    subnet_group: Option<String>,
    log_exports: Vec<String>,
    tags: Vec<(String, String)>,
}

impl RdsInstance {
    /// Returns an instance with the defaults.
    #[must_use]
    pub fn new(identifier: &str, major: u32) -> Self {
        Self {
            identifier: identifier.into(),
            major,
            engine: "postgres".into(),
            properties: Vec::new(),
            security_groups: vec!["sg-default".into()],
            parameter_group: None,
            option_group: None,
            subnet_group: None,
            log_exports: Vec::new(),
            tags: Vec::new(),
        }
    }

    /// Sets a property by its name in `DBInstance`, such as `MultiAZ`.
    #[must_use]
    pub fn with(mut self, property: &str, value: &str) -> Self {
        self.properties.push((property.into(), value.into()));
        self
    }

    /// Makes it an instance of another engine, such as `mysql`, without a server.
    #[must_use]
    pub fn with_engine(mut self, engine: &str) -> Self {
        self.engine = engine.into();
        self
    }

    /// Sets the security groups; they are made when there are none of these names.
    #[must_use]
    pub fn with_security_groups(mut self, groups: &[&str]) -> Self {
        self.security_groups = groups.iter().map(|&group| group.into()).collect();
        self
    }

    /// Sets a parameter group, with lines of `postgresql.conf` that its servers really get.
    #[must_use]
    pub fn with_parameter_group(mut self, name: &str, lines: &[&str]) -> Self {
        self.parameter_group = Some((name.into(), lines.iter().map(|&line| line.into()).collect()));
        self
    }

    /// Sets the option group.
    #[must_use]
    pub fn with_option_group(mut self, name: &str) -> Self {
        self.option_group = Some(name.into());
        self
    }

    /// Sets the subnet group.
    #[must_use]
    pub fn with_subnet_group(mut self, name: &str) -> Self {
        self.subnet_group = Some(name.into());
        self
    }

    /// Exports logs, such as `postgresql`.
    #[must_use]
    pub fn with_log_exports(mut self, logs: &[&str]) -> Self {
        self.log_exports = logs.iter().map(|&log| log.into()).collect();
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn with_tag(mut self, key: &str, value: &str) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }
}

impl RdsServer {
    /// Makes an instance and its groups; it is `available`, its server runs, and its window is open.
    ///
    /// # Panics
    /// When its server cannot be made.
    pub fn create(&self, instance: &RdsInstance) {
        let postgres = instance.engine == "postgres";
        let mut state = lock(&self.state);
        let engine = postgres.then(|| Engine::new(&state.common, instance.major));
        let version = engine.as_ref().map_or_else(|| "8.0.40".to_owned(), Engine::version);
        let mut shape = Shape::new(&instance.engine, &version, RDS_MASTER);
        shape.properties.insert("DBName".into(), "shop".into());
        shape.properties.extend(instance.properties.iter().cloned());
        shape.security_groups.clone_from(&instance.security_groups);
        state.security_groups.extend(instance.security_groups.iter().cloned());
        shape.log_exports.clone_from(&instance.log_exports);
        shape.tags.clone_from(&instance.tags);
        if let Some((name, lines)) = &instance.parameter_group {
            let family = super::shape::family(&instance.engine, &version);
            state.parameter_groups.insert(name.clone(), ParameterGroup { family, lines: lines.clone() });
            shape.parameter_group.clone_from(name);
        }
        if let Some(name) = &instance.option_group {
            state.option_groups.insert(name.clone(), (instance.engine.clone(), instance.major.to_string()));
            shape.option_group.clone_from(name);
        }
        if let Some(name) = &instance.subnet_group {
            state.subnet_groups.push(name.clone());
            shape.subnet_group.clone_from(name);
        }
        let port = state.port;
        state.add(&instance.identifier, shape, port, engine, Standing::resting("available"));
        let place = state.instances.len() - 1;
        state.start(place);
        state.ship(&instance.identifier);
    }

    /// Makes an Aurora cluster with one instance and the defaults; both are `available` and the window is open.
    ///
    /// # Panics
    /// When its server cannot be made.
    pub fn create_aurora(&self, cluster: &str, instance: &str, major: u32) {
        self.create_cluster(&RdsCluster::new(cluster, instance, major));
    }

    /// Returns address and port of an instance, or of an Aurora cluster: what `Endpoint` shows when it is reachable.
    ///
    /// # Panics
    /// When there is none of that name.
    #[must_use]
    pub fn address_of(&self, identifier: &str) -> (Ipv4Addr, u16) {
        let state = lock(&self.state);
        let instance = state.instances.iter().find(|known| known.identifier == identifier);
        let cluster = state.clusters.iter().find(|known| known.identifier == identifier);
        instance
            .map(|known| (known.address, known.port))
            .or(cluster.map(|known| (known.address, known.port)))
            .unwrap_or_else(|| panic!("no instance {identifier}"))
    }

    /// Returns the URL of a database for the master user, with the password.
    ///
    /// # Panics
    /// When there is no such instance.
    #[must_use]
    pub fn url(&self, identifier: &str, database: &str) -> String {
        let (address, port) = self.address_of(identifier);
        let (user, password) = (encode(RDS_MASTER, false), encode(RDS_MASTER_PASSWORD, false));
        format!("postgresql://{user}:{password}@{address}:{port}/{}", encode(database, false))
    }

    /// Runs SQL text by psql as the master user, by the network.
    ///
    /// # Errors
    /// With what psql said, when no connection is made or a statement fails.
    ///
    /// # Panics
    /// When there is no such instance.
    pub fn try_psql(&self, identifier: &str, database: &str, sql: &str) -> Result<String, String> {
        self.psql_at(&self.url(identifier, database), sql)
    }

    /// Runs SQL text by psql at a URL, such as [`RdsServer::url`] gave before a rename, or with TLS's parameters.
    ///
    /// # Errors
    /// With what psql said, when no connection is made or a statement fails.
    pub fn psql_at(&self, url: &str, sql: &str) -> Result<String, String> {
        let mut psql = std::process::Command::new(crate::cache::bin_directory(crate::cache::NEWEST).join("psql"));
        psql.env_clear().env("LC_ALL", "C").env("TZ", "UTC").env("PGPASSFILE", "/nonexistent/pgpass");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url]);
        let output = with_input(psql, sql.as_bytes());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// As [`RdsServer::try_psql`], in the database `shop`.
    ///
    /// # Panics
    /// On any error, with what psql said.
    #[track_caller]
    pub fn psql(&self, identifier: &str, sql: &str) -> String {
        self.try_psql(identifier, "shop", sql).unwrap_or_else(|said| panic!("psql {identifier}: {said}\n{sql}"))
    }

    /// Waits for the next full second and returns it, such as `2026-11-21T03:17:47Z`.
    ///
    /// All that was committed before is at or before that instant, all that is committed later after it. The service
    /// restores to full seconds.
    #[must_use]
    pub fn instant(&self) -> String {
        let begun = now();
        while now() == begun {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        written(begun + 1)
    }
}
