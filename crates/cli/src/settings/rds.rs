//! The RDS instance that a database is on, and how the control plane is reached.

use std::time::Duration;

use holdpoint_core::DatabaseName;
use holdpoint_core::gate::pending::WindowPolicy;
use holdpoint_operations::rds::{RdsOptions, RdsReach, Timing, Waiting};

use super::Settings;
use crate::arguments::ReachArguments;

impl Settings {
    /// The name of the instance: the variable, then the database's section of the file.
    pub(crate) fn rds_instance(&self) -> Option<String> {
        let variable = self.variables.get("HOLDPOINT_RDS_INSTANCE").map(str::to_owned);
        let of_file = || {
            let name = self.database_name().ok()?;
            self.config.database.get(&name)?.rds_instance.clone()
        };
        variable.or_else(of_file).filter(|name| !name.is_empty())
    }

    /// The databases that are on an instance: those whose sections name it, and the chosen one where the variable does.
    pub(crate) fn databases_on(&self, instance: &str) -> Vec<DatabaseName> {
        let is_it = |name: &str| name.eq_ignore_ascii_case(instance);
        let sections = self.config.database.iter();
        let named = sections.filter(|(_, section)| section.rds_instance.as_deref().is_some_and(is_it));
        let mut names: Vec<DatabaseName> = named.map(|(name, _)| name.clone()).collect();
        let chosen = self.database_name().ok().filter(|_| self.rds_instance().as_deref().is_some_and(is_it));
        names.extend(chosen.filter(|chosen| !names.contains(chosen)));
        names
    }

    /// How the control plane is reached and how patiently it is waited for: flags, then the file, then the defaults.
    pub(crate) fn rds_reach(&self, flags: &ReachArguments) -> RdsReach {
        let file = &self.config.rds;
        let or = |flag: &Option<String>, file: &Option<String>| flag.clone().or_else(|| file.clone());
        let options = RdsOptions {
            region: or(&flags.region, &file.region),
            endpoint: or(&flags.endpoint_url, &file.endpoint_url),
            profile: or(&flags.profile, &file.profile),
            ca_bundle: flags.ca_bundle.clone().or_else(|| file.ca_bundle.clone()),
        };
        let default = Waiting::default();
        let waiting = Waiting {
            poll_every: flags.poll.or(file.poll).unwrap_or(default.poll_every),
            give_up_after: flags.wait_for.or(file.wait_for).unwrap_or(default.give_up_after),
            ..default
        };
        RdsReach { options, waiting, timing: file.answer_within.map_or_else(Timing::default, Timing::within) }
    }

    /// What the gate asks of the point-in-time window.
    pub(crate) fn window_policy(&self) -> WindowPolicy {
        let gate = &self.config.gate;
        let default = WindowPolicy::default();
        let seconds = |lag: Duration| i64::try_from(lag.as_secs()).unwrap_or(i64::MAX);
        WindowPolicy {
            required: gate.require_window,
            max_lag_seconds: gate.max_window_lag.map_or(default.max_lag_seconds, seconds),
            wait_seconds: gate.wait_for_instant.map_or(default.wait_seconds, |wait| wait.as_secs()),
        }
    }
}
