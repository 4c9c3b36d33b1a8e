//! Which repository.

use holdpoint_repository::RepositoryUrl;

use super::Settings;
use crate::failure::Failure;

/// A repository, and whether anybody chose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChosenRepository {
    /// Where it is.
    pub(crate) url: RepositoryUrl,
    /// Nobody chose it: it is the local directory that is taken then.
    pub(crate) defaulted: bool,
}

impl Settings {
    /// Chooses the repository: flag, variable, file, or a directory of the user.
    pub(crate) fn repository(&self) -> Result<ChosenRepository, Failure> {
        if let Some(url) = &self.common.repository {
            return Ok(ChosenRepository { url: url.clone(), defaulted: false });
        }
        if let Some(value) = &self.config.repository.url {
            let text = value.get("repository.url", &self.variables)?;
            let from = value.variable().unwrap_or("repository.url");
            let wrong =
                |error| Failure::usage(format!("{from}: {error}"), "write file:///directory or s3://bucket/prefix");
            return Ok(ChosenRepository { url: text.parse().map_err(wrong)?, defaulted: false });
        }
        let data = self.variables.path("XDG_DATA_HOME").filter(|path| path.is_absolute());
        let data = data.or_else(|| Some(self.variables.path("HOME")?.join(".local/share")));
        let directory = data.filter(|path| path.is_absolute()).map(|data| data.join("holdpoint/repository"));
        let Some(directory) = directory else {
            return Err(Failure::usage(
                "no repository is given",
                "set HOLDPOINT_REPOSITORY, such as s3://bucket/prefix",
            ));
        };
        Ok(ChosenRepository { url: RepositoryUrl::Directory(directory), defaulted: true })
    }

    /// Refuses a repository on this machine's own disk where a migration relies on it: one that nobody chose, or one
    /// on a CI runner's disk.
    pub(crate) fn demand_lasting(&self, repository: &ChosenRepository, allow_local: bool) -> Result<(), Failure> {
        if !repository.url.is_local() || allow_local {
            return Ok(());
        }
        let hint = "give one with HOLDPOINT_REPOSITORY=s3://bucket/prefix, or accept this one with \
                    --allow-local-repository";
        if repository.defaulted {
            return Err(Failure::refused(
                format!(
                    "no repository is given, and the restore point would only lie on this machine: {}",
                    repository.url
                ),
                hint,
            ));
        }
        if self.is_ci() {
            return Err(Failure::refused(
                format!("repository {} is on the disk of a CI runner, which is gone after the job", repository.url),
                hint,
            ));
        }
        Ok(())
    }
}
