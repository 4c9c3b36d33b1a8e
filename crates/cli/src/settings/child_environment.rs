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
        left_out.extend(variable(&self.config.scratch.url));
        if on_s3 {
            left_out.extend(STORE.map(str::to_owned));
        }
        for one in databases() {
            for kept in [variable(&one.url), variable(&one.direct_url)].into_iter().flatten() {
                left_out.remove(&kept);
            }
        }
        let keep = &self.config.guard.keep_environment;
        self.variables
            .iter()
            .filter(|(name, _)| {
                let name = name.to_string_lossy();
                let own = name.starts_with("HOLDPOINT_") || left_out.contains(&*name);
                !own || keep.iter().any(|kept| *kept == name)
            })
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}
