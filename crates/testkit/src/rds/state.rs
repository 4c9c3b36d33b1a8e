//! All that the service knows, and what goes on by itself.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use super::Shipping;
use super::aurora::DbCluster;
use super::aurora_change::ClusterSnapshot;
use super::engine::{Backup, Common};
use super::error::RdsError;
use super::events::Event;
use super::faults::Faults;
use super::instance::{Instance, Snapshot};
use super::instant::{Seconds, now};
use super::shape::Shape;
use super::standing::{Pace, Then};
use crate::cluster::short_name;

/// A group of parameters: its family, and lines of `postgresql.conf`.
#[derive(Debug, Clone, Default)]
pub(super) struct ParameterGroup {
    pub(super) family: String,
    pub(super) lines: Vec<String>,
}

/// Automated backups whose instance is gone.
#[derive(Debug)]
pub(super) struct Retained {
    pub(super) identifier: String,
    pub(super) resource: String,
    pub(super) created_at: Seconds,
    pub(super) port: u16,
    pub(super) shape: Shape,
    pub(super) backup: Backup,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) common: Common,
    pub(super) network: [u8; 3],
    pub(super) port: u16,
    /// Names keep their address for as long as the endpoint lives.
    pub(super) names: Vec<String>,
    pub(super) instances: Vec<Instance>,
    pub(super) clusters: Vec<DbCluster>,
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) cluster_snapshots: Vec<ClusterSnapshot>,
    pub(super) retained: Vec<Retained>,
    pub(super) events: Vec<Event>,
    pub(super) parameter_groups: BTreeMap<String, ParameterGroup>,
    /// Lines of `postgresql.conf` by the names of clusters' parameter groups.
    pub(super) cluster_parameter_groups: BTreeMap<String, Vec<String>>,
    pub(super) option_groups: BTreeMap<String, (String, String)>,
    pub(super) subnet_groups: Vec<String>,
    pub(super) security_groups: Vec<String>,
    pub(super) maintenance: Vec<(String, String)>,
    pub(super) paces: BTreeMap<String, Pace>,
    pub(super) shipping: Shipping,
    pub(super) asked: usize,
    pub(super) longest_page: Option<usize>,
    pub(super) quotas: BTreeMap<&'static str, u64>,
    pub(super) faults: Faults,
    pub(super) denied: Vec<String>,
    /// Whose resources they are, where that is not the first account.
    pub(super) account: Option<String>,
    pub(super) calls: Vec<String>,
    /// States that the next restores end in instead of `available`.
    pub(super) ends: VecDeque<String>,
    /// States through which restored instances pass once after they were `available`.
    pub(super) relapses: Vec<String>,
    /// While an instance is `renaming`, nothing has its name.
    pub(super) hides_renamed: bool,
}

impl State {
    /// Returns the address of a name.
    pub(super) fn address_of(&mut self, name: &str) -> Ipv4Addr {
        let place = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        });
        let last = u8::try_from(place + 1).ok().filter(|&last| last <= super::NAMES);
        let last = last.expect("an endpoint has addresses for so many names only");
        let [first, second, third] = self.network;
        Ipv4Addr::new(first, second, third, last)
    }

    pub(super) fn resource(prefix: &str) -> String {
        format!(
            "{prefix}-{:X>26}",
            short_name().to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "Z")
        )
    }

    pub(super) fn place(&self, identifier: &str) -> Result<usize, RdsError> {
        let place = self.instances.iter().position(|instance| instance.identifier == identifier);
        place.ok_or_else(|| RdsError::instance_not_found(identifier))
    }

    pub(super) fn instance(&mut self, identifier: &str) -> Result<&mut Instance, RdsError> {
        let place = self.place(identifier)?;
        Ok(&mut self.instances[place])
    }

    /// Returns the lines of a parameter group.
    pub(super) fn parameters(&self, group: &str) -> Vec<String> {
        self.parameter_groups.get(group).map(|group| group.lines.clone()).unwrap_or_default()
    }

    /// Ends states whose time is over, with what is then done.
    pub(super) fn advance(&mut self) {
        let paces = self.paces.clone();
        for snapshot in &mut self.snapshots {
            while snapshot.standing.advance(&paces).is_some() {}
        }
        self.advance_clusters(&paces);
        let mut place = 0;
        while place < self.instances.len() {
            let gone = loop {
                match self.instances[place].standing.advance(&paces) {
                    None => break false,
                    Some(Then::Remove { keep_backups }) => {
                        self.remove(place, keep_backups);
                        break true;
                    }
                    Some(then) => self.carry_out(place, then),
                }
            };
            place += usize::from(!gone);
        }
    }

    fn carry_out(&mut self, place: usize, then: Then) {
        match then {
            Then::Nothing | Then::Remove { .. } => {}
            Then::Start => self.start(place),
            Then::Stop => {
                if let Some(engine) = &self.instances[place].engine {
                    engine.stop();
                }
            }
            Then::Rename(identifier) => {
                let address = self.address_of(&identifier);
                let instance = &mut self.instances[place];
                let old = std::mem::replace(&mut instance.identifier, identifier.clone());
                instance.address = address;
                instance.pending.identifier = None;
                for cluster in &mut self.clusters {
                    cluster
                        .members
                        .iter_mut()
                        .filter(|member| **member == old)
                        .for_each(|member| member.clone_from(&identifier));
                }
                self.start(place);
                self.event(
                    &identifier,
                    "configuration change",
                    &format!("Renamed instance from {old} to {identifier}."),
                );
            }
            Then::Apply => {
                let instance = &mut self.instances[place];
                let pending = std::mem::take(&mut instance.pending);
                instance.pending.identifier = pending.identifier;
                instance.shape.properties.extend(pending.properties);
                if let Some(port) = pending.port {
                    instance.port = port;
                    self.start(place);
                }
            }
        }
    }

    /// Starts the server of an instance, or starts it again.
    pub(super) fn start(&mut self, place: usize) {
        let lines = self.parameters(&self.instances[place].shape.parameter_group);
        let instance = &mut self.instances[place];
        instance.reachable = true;
        instance.parameters_apply = "in-sync";
        match (&instance.engine, instance.cluster.clone()) {
            (Some(engine), _) => instance.port = engine.listen(&[instance.address], instance.port, &lines),
            (None, Some(cluster)) => self.start_cluster(&cluster),
            (None, None) => {}
        }
    }

    fn remove(&mut self, place: usize, keep_backups: bool) {
        let mut instance = self.instances.remove(place);
        self.event(&instance.identifier, "deletion", "DB instance deleted");
        if let Some(cluster) = instance.cluster.take() {
            self.leave_cluster(&cluster, &instance.identifier);
        }
        let keep = keep_backups && instance.keeps_backups();
        if let Some(mut engine) = instance.engine.take() {
            if keep {
                engine.ship();
                let backup = engine.backup.clone();
                let Instance { identifier, resource, created_at, shape, port, .. } = instance;
                self.retained.push(Retained { identifier, resource, created_at, port, shape, backup });
            } else {
                engine.stop();
                engine.backup.remove();
            }
        }
    }

    /// Archives what is committed in one instance.
    pub(super) fn ship(&mut self, identifier: &str) -> Option<Seconds> {
        let instance = self.instances.iter_mut().find(|instance| instance.identifier == identifier)?;
        instance.engine.as_mut()?.ship()
    }

    /// Archives in every instance that is in service, when it is time: asking for the window is what makes it move.
    pub(super) fn ship_when_asked(&mut self) {
        let Shipping::Asked(every) = self.shipping else { return };
        self.asked += 1;
        if !self.asked.is_multiple_of(every.max(1)) {
            return;
        }
        let second = now();
        let in_service = self.instances.iter_mut().filter(|instance| instance.reachable && instance.keeps_backups());
        for instance in in_service.filter(|instance| instance.standing.status() == "available") {
            if let Some(engine) = &mut instance.engine
                && engine.backup.latest != Some(second)
            {
                engine.ship();
            }
        }
        for cluster in &mut self.clusters {
            if cluster.engine.backup.latest != Some(second) {
                cluster.engine.ship();
            }
        }
    }
}
