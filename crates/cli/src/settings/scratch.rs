//! Where restore points are verified.

use std::path::PathBuf;
use std::time::Duration;

use holdpoint_core::Mask;
use holdpoint_core::verification::Level;
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::scratch::{CommandOptions, GivenOptions, LocalOptions, ScratchOptions};

use super::Settings;
use crate::config::{ScratchKind, Value};
use crate::failure::Failure;

/// The verb by which this program is its own scratch keeper.
const KEEPER: &str = "scratch-keeper";
/// A container or branch comes up within minutes or not at all.
const COMMAND_WITHIN: Duration = Duration::from_secs(600);

impl Settings {
    /// Chooses the scratch server: `url` (a flag or variable), then the file, then a private cluster.
    ///
    /// `major` is the wanted server's, 0 where it is not known yet; whoever starts the server sets the true one.
    pub(crate) fn scratch(&self, url: Option<&str>, major: u32) -> Result<ScratchOptions, Failure> {
        if let Some(url) = url.or_else(|| self.variables.get("HOLDPOINT_SCRATCH_URL")) {
            let value =
                Value::parse(url).map_err(|reason| Failure::usage(format!("--scratch-url: {reason}"), "give a URL"))?;
            return self.given(&value, "--scratch-url");
        }
        let section = &self.config.scratch;
        match section.kind {
            ScratchKind::Url => match &section.url {
                Some(value) => self.given(value, "scratch.url"),
                None => Err(Failure::usage("scratch.url is not set", "set it, or use scratch.kind = \"local\"")),
            },
            ScratchKind::Command => Ok(ScratchOptions::Command(CommandOptions {
                up: section.up.clone().unwrap_or_default(),
                down: section.down.clone().unwrap_or_default(),
                up_within: COMMAND_WITHIN,
                down_within: COMMAND_WITHIN,
                environment: self.variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
                mask: Mask::new([crate::secrets::known(&self.variables), self.passwords()].concat()),
            })),
            ScratchKind::Local => {
                let own = std::env::current_exe()
                    .map_err(|source| Failure::Io { what: "finding this program itself".to_owned(), source })?;
                let directory = self.usable_scratch_directory()?;
                let mut local = LocalOptions::new(self.programs()?, major, directory, own, [KEEPER]);
                local.user = section.user.clone();
                Ok(ScratchOptions::Local(Box::new(local)))
            }
        }
    }

    fn given(&self, value: &Value, what: &str) -> Result<ScratchOptions, Failure> {
        let from = value.variable().unwrap_or(what);
        // Only what the URL says: the variables for production must not lead a scratch database there.
        let settings = ConnectionSettings::resolve(&value.get(what, &self.variables)?, &self.scratch_libpq())
            .map_err(|source| Failure::Connection { from: from.to_owned(), source: Box::new(source) })?;
        Ok(ScratchOptions::Url(Box::new(GivenOptions { settings })))
    }

    fn scratch_libpq(&self) -> holdpoint_postgres::connection::Environment {
        let personal = ["HOME", "USER", "LOGNAME"];
        super::with_account(self.variables.texts().filter(|(name, _)| personal.contains(name)))
    }

    /// Gives the folder in which scratch directories are made and swept. It holds as much as the database does, so it
    /// is not `/tmp`, which is memory on many machines.
    pub(crate) fn scratch_directory(&self) -> PathBuf {
        let configured = self.config.scratch.directory.clone();
        let temporary = || self.variables.path("TMPDIR").filter(|path| path.is_absolute());
        configured.or_else(temporary).unwrap_or_else(|| PathBuf::from("/var/tmp"))
    }

    /// Gives the folder for something that will really be put there.
    ///
    /// A folder that the file names is made where it is missing. One that only `TMPDIR` names is not: it is the system's
    /// to make, with its mode and its cleaner, and a variable that leads nowhere is mostly another machine's.
    ///
    /// # Errors
    /// A usage failure where `TMPDIR` is what counts and names no directory.
    pub(crate) fn usable_scratch_directory(&self) -> Result<PathBuf, Failure> {
        let directory = self.scratch_directory();
        if self.config.scratch.directory.is_none() && self.variables.path("TMPDIR").is_some() && !directory.is_dir() {
            return Err(Failure::usage(
                format!("TMPDIR is {}, which is not a directory", directory.display()),
                "make it, unset TMPDIR, or name another folder: scratch.directory in holdpoint.toml",
            ));
        }
        Ok(directory)
    }

    /// Refuses to put production rows on a CI runner's disk, unless the file allows it.
    pub(crate) fn demand_private(&self, level: Level, scratch: &ScratchOptions) -> Result<(), Failure> {
        let local = matches!(scratch, ScratchOptions::Local(_));
        if level == Level::Stored || !local || !self.is_ci() || self.config.scratch.allow_ci {
            return Ok(());
        }
        Err(Failure::refused(
            format!("level {level} would put every row of the database on the disk of a CI runner"),
            "use --level stored or a scratch server elsewhere, or set scratch.allow_ci = true",
        ))
    }
}
