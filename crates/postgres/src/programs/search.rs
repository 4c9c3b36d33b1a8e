//! Where PostgreSQL's programs are: one of the wanted major, or a list of where it was looked for.

use std::collections::HashSet;
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdpoint_process::Program;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::child::plain_environment;
use crate::programs::{ProgramName, ProgramVersion};

/// `--version` opens no file and no connection.
const VERSION_WITHIN: Duration = Duration::from_secs(20);

/// The folders of the distributions; `{}` is the major.
const DISTRIBUTIONS: [&str; 7] = [
    "/usr/lib/postgresql/{}/bin",
    "/usr/pgsql-{}/bin",
    "/usr/libexec/postgresql{}",
    "/opt/homebrew/opt/postgresql@{}/bin",
    "/usr/local/opt/postgresql@{}/bin",
    "/Applications/Postgres.app/Contents/Versions/{}/bin",
    "/usr/local/pgsql-{}/bin",
];

/// Majors whose folders are looked into, to be able to say what is there instead.
const KNOWN_MAJORS: std::ops::RangeInclusive<u32> = 10..=24;

/// Where to look for programs, in this order: `configured`, `path`, the distributions' folders, `cache`.
#[derive(Clone, Debug, Default)]
pub struct ProgramSearch {
    /// A folder that the user named: one with the programs, or one that holds `<major>/bin`.
    pub configured: Option<PathBuf>,
    /// The folders of PATH.
    pub path: Vec<PathBuf>,
    /// A folder that holds `<major>/bin`, filled by the project's set-up.
    pub cache: Option<PathBuf>,
    /// Leaves the distributions' folders out.
    pub without_distributions: bool,
}

/// A program that was found, and is of the wanted version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientProgram {
    /// Which one.
    pub name: ProgramName,
    /// Its path, free of links.
    pub path: PathBuf,
    /// What it says it is.
    pub version: ProgramVersion,
}

impl fmt::Display for ClientProgram {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, self.version.major)
    }
}

/// A program that was found and does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundProgram {
    /// Its path.
    pub path: PathBuf,
    /// What it says it is, or why it says nothing.
    pub version: Result<ProgramVersion, String>,
}

/// What was looked for and what was found instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramsMissing {
    /// The program.
    pub name: ProgramName,
    /// The wanted major.
    pub major: u32,
    /// Folders that exist and were looked into.
    pub looked_in: Vec<PathBuf>,
    /// Programs of that name that do not fit.
    pub found: Vec<FoundProgram>,
}

impl fmt::Display for ProgramsMissing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no {} {}: ", self.name, self.major)?;
        for found in &self.found {
            match &found.version {
                Ok(version) => write!(formatter, "{} {} found in {}; ", self.name, version.major, parent(&found.path))?,
                Err(reason) => write!(formatter, "{} does not work ({reason}); ", found.path.display())?,
            }
        }
        let folders: Vec<_> = self.looked_in.iter().map(|folder| folder.display().to_string()).collect();
        let folders = if folders.is_empty() { "no folder that exists".to_owned() } else { folders.join(", ") };
        write!(formatter, "looked in {folders}; {}", self.name.cure(self.major))
    }
}

fn parent(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

impl ProgramSearch {
    /// Finds the program of exactly this major.
    ///
    /// # Errors
    /// [`Error::ProgramMissing`], which lists the folders and the versions found there; [`Error::Process`] when
    /// cancelled.
    pub async fn find(
        &self,
        name: ProgramName,
        major: u32,
        cancel: &CancellationToken,
    ) -> Result<ClientProgram, Error> {
        let mut missing = ProgramsMissing { name, major, looked_in: Vec::new(), found: Vec::new() };
        let mut seen = HashSet::new();
        for folder in self.folders(major) {
            if !folder.is_dir() || missing.looked_in.contains(&folder) {
                continue;
            }
            let path = folder.join(name.as_str());
            missing.looked_in.push(folder);
            let Some(path) = executable(&path).filter(|path| seen.insert(path.clone())) else { continue };
            match version_of(&path, cancel).await? {
                Ok(version) if version.major == major => return Ok(ClientProgram { name, path, version }),
                version => missing.found.push(FoundProgram { path, version }),
            }
        }
        Err(Error::ProgramMissing(Box::new(missing)))
    }

    /// Finds the program for a server of `server_major`; a newer one only when `client_major` says so.
    ///
    /// # Errors
    /// [`Error::ClientTooOld`] when `client_major` is older than the server, and those of [`Self::find`].
    pub async fn find_for_server(
        &self,
        name: ProgramName,
        server_major: u32,
        client_major: Option<u32>,
        cancel: &CancellationToken,
    ) -> Result<ClientProgram, Error> {
        let major = client_major.unwrap_or(server_major);
        if major < server_major {
            return Err(Error::ClientTooOld { client_major: major, server_major });
        }
        self.find(name, major, cancel).await
    }

    fn folders(&self, major: u32) -> Vec<PathBuf> {
        let by_major = |root: &Path, major: u32| root.join(major.to_string()).join("bin");
        let mut majors = vec![major];
        majors.extend(KNOWN_MAJORS.rev().filter(|&other| other != major));
        let mut folders = Vec::new();
        if let Some(configured) = &self.configured {
            folders.push(configured.clone());
            folders.extend(majors.iter().map(|&major| by_major(configured, major)));
        }
        folders.extend(self.path.iter().cloned());
        if !self.without_distributions {
            for &major in &majors {
                folders.extend(DISTRIBUTIONS.iter().map(|form| PathBuf::from(form.replace("{}", &major.to_string()))));
            }
        }
        if let Some(cache) = &self.cache {
            folders.extend(majors.iter().map(|&major| by_major(cache, major)));
        }
        folders
    }
}

/// Follows links; Debian's wrapper, which chooses a version by its own rules at every call, does not count.
fn executable(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let metadata = path.metadata().ok()?;
    let usable = metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
    (usable && path.file_name().is_some_and(|name| name != "pg_wrapper")).then_some(path)
}

async fn version_of(path: &Path, cancel: &CancellationToken) -> Result<Result<ProgramVersion, String>, Error> {
    let asked = Program::new(path)
        .argument("--version")
        .environment(plain_environment())
        .output(4096, VERSION_WITHIN, cancel)
        .await;
    Ok(match asked {
        Ok((printed, _)) => {
            let text = String::from_utf8_lossy(&printed);
            ProgramVersion::parse(&text).ok_or_else(|| format!("its version is {:?}", text.trim()))
        }
        Err(error) if error.is_cancelled() => return Err(Error::Process(error)),
        Err(error) => Err(error.stderr_tail().lines().last().map_or_else(|| error.to_string(), str::to_owned)),
    })
}
