//! What a test may set and see.

use std::path::PathBuf;

use super::faults::RdsFault;
use super::instant::written;
use super::server::lock;
use super::standing::Pace;
use super::{RdsServer, Shipping};

impl RdsServer {
    /// Answers the next `times` calls of an action with a fault.
    pub fn fail(&self, action: &str, times: usize, fault: RdsFault) {
        lock(&self.state).faults.push(action, times, fault);
    }

    /// Forgets all faults that are still to come.
    pub fn clear_faults(&self) {
        lock(&self.state).faults.clear();
    }

    /// Denies an action from now on: the caller's policy does not allow it.
    pub fn deny(&self, action: &str) {
        lock(&self.state).denied.push(action.into());
    }

    /// Allows an action again.
    pub fn allow(&self, action: &str) {
        lock(&self.state).denied.retain(|denied| denied != action);
    }

    /// Answers from now on as another account, which has the same resources under ARNs of its own; `None`: as the first one.
    pub fn set_account(&self, account: Option<&str>) {
        lock(&self.state).account = account.map(str::to_owned);
    }

    /// Puts tags on a snapshot, past every right.
    ///
    /// # Panics
    /// When there is no such snapshot.
    pub fn tag_snapshot(&self, identifier: &str, tags: &[(&str, &str)]) {
        let mut state = lock(&self.state);
        let snapshot = state.snapshots.iter_mut().find(|one| one.identifier == identifier);
        let own = &mut snapshot.expect("a snapshot of that name").shape.tags;
        own.retain(|(key, _)| !tags.iter().any(|(named, _)| named == key));
        own.extend(tags.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())));
    }

    /// The tags of a snapshot.
    ///
    /// # Panics
    /// When there is no such snapshot.
    #[must_use]
    pub fn snapshot_tags(&self, identifier: &str) -> Vec<(String, String)> {
        let state = lock(&self.state);
        let snapshot = state.snapshots.iter().find(|one| one.identifier == identifier);
        snapshot.expect("a snapshot of that name").shape.tags.clone()
    }

    /// Sets a quota by its name in `DescribeAccountAttributes`, such as `DBInstances`.
    pub fn set_quota(&self, name: &'static str, max: u64) {
        lock(&self.state).quotas.insert(name, max);
    }

    /// Sets how long a state lasts, such as `creating`; every state lasts for one poll otherwise.
    pub fn set_pace(&self, status: &str, pace: Pace) {
        lock(&self.state).paces.insert(status.into(), pace);
    }

    /// Sets when the log is archived.
    pub fn set_shipping(&self, shipping: Shipping) {
        lock(&self.state).shipping = shipping;
    }

    /// Archives what is committed now and returns the new `LatestRestorableTime`.
    ///
    /// # Panics
    /// When the instance has no running server.
    pub fn ship(&self, identifier: &str) -> String {
        written(lock(&self.state).ship(identifier).expect("an instance with a running server"))
    }

    /// Lets the next restore end in a state, such as `failed` or `incompatible-restore`, with no server.
    pub fn end_next_restore_as(&self, status: &str) {
        lock(&self.state).ends.push_back(status.into());
    }

    /// Lets restored instances be `available` for a poll, then in each of these states, before they stay `available`.
    pub fn set_relapses(&self, statuses: &[&str]) {
        lock(&self.state).relapses = statuses.iter().map(|&status| status.into()).collect();
    }

    /// Lets neither name be found while an instance is `renaming`; a filter by `dbi-resource-id` finds it.
    pub fn hide_while_renaming(&self) {
        lock(&self.state).hides_renamed = true;
    }

    /// Puts an instance into a state and leaves it there, such as `storage-full`; its server is as it was.
    ///
    /// # Panics
    /// When there is no such instance.
    pub fn set_status(&self, identifier: &str, status: &str) {
        let mut state = lock(&self.state);
        let instance = state.instance(identifier).expect("an instance of that name");
        instance.standing = super::standing::Standing::resting(status);
    }

    /// Sets a property of an instance by its name in `DBInstance`.
    ///
    /// # Panics
    /// When there is no such instance.
    pub fn set(&self, identifier: &str, property: &str, value: &str) {
        let mut state = lock(&self.state);
        let instance = state.instance(identifier).expect("an instance of that name");
        instance.shape.properties.insert(property.into(), value.into());
    }

    /// Adds a pending maintenance action, such as `system-update`.
    pub fn add_maintenance(&self, identifier: &str, action: &str) {
        lock(&self.state).maintenance.push((identifier.into(), action.into()));
    }

    /// Lets no page be longer than this, below what `MaxRecords` may ask for, to see paging with few things.
    pub fn set_longest_page(&self, length: usize) {
        lock(&self.state).longest_page = Some(length);
    }

    /// Ends every state that is not held, as if it had been polled often enough.
    pub fn settle(&self) {
        let mut state = lock(&self.state);
        let held = state.paces.clone();
        for pace in state.paces.values_mut().filter(|pace| **pace != Pace::Held) {
            *pace = Pace::Polls(0);
        }
        for _ in 0..20 {
            state.instances.iter_mut().for_each(|instance| instance.standing.show());
            state.clusters.iter_mut().for_each(|cluster| cluster.standing.show());
            state.snapshots.iter_mut().for_each(|snapshot| snapshot.standing.show());
            state.advance();
        }
        state.paces = held;
    }

    /// Returns how often an action was called, faults included.
    #[must_use]
    pub fn count(&self, action: &str) -> usize {
        lock(&self.state).calls.iter().filter(|called| *called == action).count()
    }

    /// Returns the actions called so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        lock(&self.state).calls.clone()
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        lock(&self.state).calls.clear();
    }

    /// Returns the names of all instances.
    #[must_use]
    pub fn identifiers(&self) -> Vec<String> {
        lock(&self.state).instances.iter().map(|instance| instance.identifier.clone()).collect()
    }

    /// Returns the names of all snapshots.
    #[must_use]
    pub fn snapshots(&self) -> Vec<String> {
        lock(&self.state).snapshots.iter().map(|snapshot| snapshot.identifier.clone()).collect()
    }

    /// Returns the state of an instance without counting as a poll, `None` when there is none of that name.
    #[must_use]
    pub fn status(&self, identifier: &str) -> Option<String> {
        let state = lock(&self.state);
        let instance = state.instances.iter().find(|instance| instance.identifier == identifier);
        instance.map(|instance| instance.standing.status().to_owned())
    }

    /// Returns the process of an instance's server, its data directory and the folder of its backups.
    ///
    /// # Panics
    /// When there is no such instance with a server.
    #[must_use]
    pub fn server(&self, identifier: &str) -> (Option<u32>, PathBuf, PathBuf) {
        let mut state = lock(&self.state);
        let instance = state.instance(identifier).expect("an instance of that name");
        let engine = instance.engine.as_ref().expect("an instance with a server");
        (engine.cluster().pid(), engine.cluster().data_directory(), engine.backup.directory().to_owned())
    }
}
