//! Finds the configuration upward from a folder.

use std::path::{Path, PathBuf};

use super::{Config, ConfigError, CronSection, FILE};

/// What becomes of a `[database.NAME]` that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sections {
    /// The whole file is.
    Together,
    /// It is set aside, and the rest of the file counts: for work on all databases that nobody watches.
    OneByOne,
}

/// Reads the named file, or the first `holdpoint.toml` upward from `from`, or nothing where there is none.
///
/// # Errors
/// A named file that is absent, a file that cannot be read, and whatever is wrong inside.
pub(crate) fn find(named: Option<&Path>, from: &Path, sections: Sections) -> Result<Config, ConfigError> {
    path(named, from).map_or_else(|| Ok(Config::default()), |path| read(&path, sections))
}

fn path(named: Option<&Path>, from: &Path) -> Option<PathBuf> {
    match named {
        Some(path) => Some(from.join(path)),
        None => from.ancestors().map(|folder| folder.join(FILE)).find(|path| path.is_file()),
    }
}

/// Whom the file names to be told of unattended runs, and nothing else, as far as that can be read of a file in which
/// something is wrong.
pub(crate) fn find_told(named: Option<&Path>, from: &Path) -> Config {
    // Of one that cannot be read nobody knows whether it names a secret.
    let unreadable = || CronSection { unreadable_secret: true, ..CronSection::default() };
    let told = |path| std::fs::read_to_string(path).map_or_else(|_| unreadable(), |text| CronSection::told(&text));
    Config { cron: path(named, from).map(told).unwrap_or_default(), ..Config::default() }
}

fn read(path: &Path, sections: Sections) -> Result<Config, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let mut config = match (Config::parse(&text, path), sections) {
        (Err(error), Sections::OneByOne) => Config::parse_readable(&text, path).ok_or(error)?,
        (parsed, _) => parsed?,
    };
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    config.anchor(&folder);
    config.path = Some(path.to_owned());
    Ok(config)
}

impl Config {
    /// Makes paths of the file relative to its own folder, wherever the program is started.
    fn anchor(&mut self, folder: &Path) {
        let anchor = |path: &mut Option<PathBuf>| {
            if let Some(path) = path {
                *path = folder.join(&*path);
            }
        };
        anchor(&mut self.postgresql_directory);
        anchor(&mut self.scratch.directory);
        anchor(&mut self.cron.metrics_file);
        anchor(&mut self.migrations.project);
        anchor(&mut self.migrations.directory);
        anchor(&mut self.repository.s3.customer_key_file);
        anchor(&mut self.repository.s3.ca_bundle);
        anchor(&mut self.rds.ca_bundle);
        anchor(&mut self.rds.database_ca_bundle);
        for database in self.database.values_mut() {
            anchor(&mut database.postgresql_directory);
            anchor(&mut database.ca_bundle);
        }
    }
}
