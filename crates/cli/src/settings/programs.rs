//! Where PostgreSQL's programs are looked for.

use std::path::PathBuf;

use holdpoint_postgres::programs::ProgramSearch;

use super::Settings;
use crate::failure::Failure;

impl Settings {
    /// Makes the search: the configured folder, PATH, the distributions' folders, the cache that `scripts/setup`
    /// filled.
    pub(crate) fn programs(&self) -> Result<ProgramSearch, Failure> {
        let section = self.section()?.section;
        let own = section.and_then(|one| one.postgresql_directory.clone());
        let configured = self.variables.path("HOLDPOINT_POSTGRESQL_DIRECTORY").or(own);
        let path = self.variables.path("PATH").unwrap_or_default();
        Ok(ProgramSearch {
            configured: configured.or_else(|| self.config.postgresql_directory.clone()),
            // An empty or relative entry would run a program of whatever folder this was started in.
            path: std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect(),
            cache: self.cache(),
            without_distributions: false,
        })
    }

    fn cache(&self) -> Option<PathBuf> {
        self.variables.path("HOLDPOINT_CACHE").map(|cache| cache.join("postgresql")).filter(|folder| folder.is_dir())
    }

    /// Gives the major of the client programs that was asked for.
    pub(crate) fn client_major(&self) -> Result<Option<u32>, Failure> {
        Ok(self.section()?.section.and_then(|one| one.client_major))
    }

    /// Gives how many jobs work at a time: as asked, or as many as there are processors, at least two, up to eight.
    pub(crate) fn jobs(&self, asked: Option<usize>) -> usize {
        let processors = || std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
        asked.unwrap_or_else(processors)
    }
}
