//! Aurora clusters that a test begins with.

use super::engine::Engine;
use super::server::lock;
use super::shape::Shape;
use super::standing::Standing;
use super::state::ParameterGroup;
use super::{RDS_MASTER, RdsServer};

/// What an Aurora cluster with one instance is like that a test begins with.
///
/// By default: backups of 7 days, default groups, no tags; a database of the name `shop`.
#[derive(Debug, Clone)]
pub struct RdsCluster {
    identifier: String,
    instance: String,
    major: u32,
    properties: Vec<(String, String)>,
    of_instance: Vec<(String, String)>,
    capacity: Option<(String, String)>,
    security_groups: Vec<String>,
    parameter_group: Option<(String, Vec<String>)>,
    instance_parameter_group: Option<(String, Vec<String>)>,
    subnet_group: Option<String>,
    log_exports: Vec<String>,
    tags: Vec<(String, String)>,
}

fn group(name: &str, lines: &[&str]) -> Option<(String, Vec<String>)> {
    Some((name.into(), lines.iter().map(|&line| line.into()).collect()))
}

impl RdsCluster {
    /// Returns a cluster with the defaults, and the name of its instance.
    #[must_use]
    pub fn new(identifier: &str, instance: &str, major: u32) -> Self {
        Self {
            identifier: identifier.into(),
            instance: instance.into(),
            major,
            properties: Vec::new(),
            of_instance: Vec::new(),
            capacity: None,
            security_groups: vec!["sg-default".into()],
            parameter_group: None,
            instance_parameter_group: None,
            subnet_group: None,
            log_exports: Vec::new(),
            tags: Vec::new(),
        }
    }

    /// Sets a property of the cluster by its name in `DBCluster`, such as `DeletionProtection`.
    #[must_use]
    pub fn with(mut self, property: &str, value: &str) -> Self {
        self.properties.push((property.into(), value.into()));
        self
    }

    /// Sets a property of its instance by its name in `DBInstance`, such as `PromotionTier`.
    #[must_use]
    pub fn with_of_instance(mut self, property: &str, value: &str) -> Self {
        self.of_instance.push((property.into(), value.into()));
        self
    }

    /// Sets the limits of serverless capacity.
    #[must_use]
    pub fn with_capacity(mut self, least: &str, most: &str) -> Self {
        self.capacity = Some((least.into(), most.into()));
        self
    }

    /// Sets the security groups; they are made when there are none of these names.
    #[must_use]
    pub fn with_security_groups(mut self, groups: &[&str]) -> Self {
        self.security_groups = groups.iter().map(|&group| group.into()).collect();
        self
    }

    /// Sets the cluster's parameter group, with lines of `postgresql.conf` that its server really gets.
    #[must_use]
    pub fn with_parameter_group(mut self, name: &str, lines: &[&str]) -> Self {
        self.parameter_group = group(name, lines);
        self
    }

    /// Sets the instance's parameter group, whose lines go before those of the cluster's.
    #[must_use]
    pub fn with_instance_parameter_group(mut self, name: &str, lines: &[&str]) -> Self {
        self.instance_parameter_group = group(name, lines);
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

    /// Adds a tag to the cluster.
    #[must_use]
    pub fn with_tag(mut self, key: &str, value: &str) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }
}

impl RdsServer {
    /// Makes an Aurora cluster with one instance; both are `available` and the window is open.
    ///
    /// # Panics
    /// When its server cannot be made.
    pub fn create_cluster(&self, cluster: &RdsCluster) {
        let mut state = lock(&self.state);
        let engine = Engine::new(&state.common, cluster.major);
        let mut shape = Shape::new("aurora-postgresql", &engine.version(), RDS_MASTER);
        let mut group = shape.parameter_group.clone();
        state.security_groups.extend(cluster.security_groups.iter().cloned());
        shape.security_groups.clone_from(&cluster.security_groups);
        if let Some(name) = &cluster.subnet_group {
            state.subnet_groups.push(name.clone());
            shape.subnet_group.clone_from(name);
        }
        if let Some((name, lines)) = &cluster.parameter_group {
            state.cluster_parameter_groups.insert(name.clone(), lines.clone());
            group.clone_from(name);
        }
        let mut of_instance = shape.clone();
        if let Some((name, lines)) = &cluster.instance_parameter_group {
            let family = super::shape::family("aurora-postgresql", &engine.version());
            state.parameter_groups.insert(name.clone(), ParameterGroup { family, lines: lines.clone() });
            of_instance.parameter_group.clone_from(name);
        }
        of_instance.properties.extend([("PromotionTier".to_owned(), "1".to_owned())]);
        of_instance.properties.extend(cluster.of_instance.iter().cloned());
        shape.properties.extend(cluster.properties.iter().cloned());
        shape.log_exports.clone_from(&cluster.log_exports);
        shape.tags.clone_from(&cluster.tags);
        let port = state.port;
        state.add_cluster(&cluster.identifier, shape, &group, port, engine, Standing::resting("available"));
        state.add(&cluster.instance, of_instance, port, None, Standing::resting("available"));
        let place = state.instances.len() - 1;
        state.instances[place].cluster = Some(cluster.identifier.clone());
        if let Some(owner) = state.clusters.last_mut() {
            owner.capacity.clone_from(&cluster.capacity);
            owner.members.push(cluster.instance.clone());
        }
        state.start(place);
        if let Some(owner) = state.clusters.last_mut() {
            owner.engine.ship();
        }
    }

    /// Returns the names of all Aurora clusters.
    #[must_use]
    pub fn clusters(&self) -> Vec<String> {
        lock(&self.state).clusters.iter().map(|cluster| cluster.identifier.clone()).collect()
    }

    /// Returns the names of all snapshots of Aurora clusters whose data are there.
    #[must_use]
    pub fn cluster_snapshots(&self) -> Vec<String> {
        let state = lock(&self.state);
        let whole = state.cluster_snapshots.iter().filter(|snapshot| snapshot.file.exists());
        whole.map(|snapshot| snapshot.identifier.clone()).collect()
    }
}
