//! The file from which the node exporter reads metrics: replaced at once, and readable by everybody.

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use holdpoint_operations::cron::{CronReport, metrics};

use crate::failure::Failure;

/// Who reads it runs as another user.
const READABLE: u32 = 0o644;

/// The file, and what stood in it.
pub(super) struct MetricsFile {
    path: PathBuf,
    previous: String,
}

impl MetricsFile {
    /// Finds the file, which need not be there; its folder must be.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let path = std::path::absolute(path)
            .map_err(|source| Failure::Io { what: format!("finding {}", path.display()), source })?;
        if !path.parent().is_some_and(Path::is_dir) {
            return Err(Failure::usage(
                format!("the metrics cannot be written to {}: its folder is not there", path.display()),
                "make the folder, or name another with --metrics-file",
            ));
        }
        let previous = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(Failure::Io { what: format!("reading {}", path.display()), source }),
        };
        Ok(Self { path, previous })
    }

    /// Replaces the file; a reader sees the one or the other.
    pub(super) fn write(self, reports: &[CronReport]) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        // The collector reads names that end in .prom only.
        let mut file = tempfile::Builder::new().prefix(".holdpoint-").suffix(".tmp").tempfile_in(folder)?;
        file.write_all(metrics(reports, &self.previous).as_bytes())?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(READABLE))?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map(drop).map_err(|error| error.error)
    }
}
