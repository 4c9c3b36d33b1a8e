//! The environment of a guarded command: the caller's, without what only holdpoint may use.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::Settings;

/// Credentials of the repository, where it is on S3.
const STORE: [&str; 12] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

impl Settings {
    /// Gives the command's whole environment: a migration must not be able to reach the restore points that it is
    /// held behind, nor use the backup's role.
    ///
    /// A variable by which migrations connect themselves stays, whoever else uses it, and so does what
    /// `guard.keep_environment` names.
    pub(crate) fn child_environment(&self, on_s3: bool) -> Vec<(OsString, OsString)> {
        let variable = |value: &Option<crate::config::Value>| value.as_ref()?.variable().map(str::to_owned);
        let databases = || self.config.database.values();
        let mut left_out: BTreeSet<String> = databases().filter_map(|one| variable(&one.backup_url)).collect();
        let (cron, guard) = (&self.config.cron, &self.config.guard);
        let addresses = [&cron.webhook, &cron.webhook_secret, &cron.ping, &guard.notify, &guard.health_url];
        let own = [&self.config.scratch.url, &self.config.repository.url].into_iter().chain(addresses);
        left_out.extend(own.filter_map(variable));
        left_out.extend(self.config.target.values().filter_map(|one| one.url.variable()).map(str::to_owned));
        if on_s3 {
            left_out.extend(STORE.map(str::to_owned));
        }
        for one in databases() {
            for kept in [variable(&one.url), variable(&one.direct_url)].into_iter().flatten() {
                left_out.remove(&kept);
            }
        }
        let lacks = |name: &str| name.starts_with("HOLDPOINT_") || left_out.contains(name);
        self.variables
            .iter()
            .filter(|(name, _)| {
                let name = name.to_string_lossy();
                !lacks(&name) || self.is_kept(&name)
            })
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Takes out what a flag names as `env:VARIABLE`, such as the address of `--notify`: that is holdpoint's, too.
    pub(crate) fn without_flags(&self, environment: &mut Vec<(OsString, OsString)>, flags: &[Option<&str>]) {
        let names: Vec<&str> = flags.iter().flatten().filter_map(|text| text.strip_prefix("env:")).collect();
        environment.retain(|(name, _)| {
            let name = name.to_string_lossy();
            !names.contains(&&*name) || self.is_kept(&name)
        });
    }

    fn is_kept(&self, name: &str) -> bool {
        self.config.guard.keep_environment.iter().any(|kept| kept == name)
    }
}
