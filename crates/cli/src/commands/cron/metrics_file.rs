//! The file from which the node exporter reads metrics: replaced at once, and readable by everybody.

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use holdpoint_core::DatabaseName;
use holdpoint_core::cron::Unrecorded;
use holdpoint_operations::cron::{CronReport, metrics, unrecorded};

use crate::failure::Failure;

/// Who reads it runs as another user.
const READABLE: u32 = 0o644;

/// So many symbolic links are followed, as the kernel does.
const MOST_LINKS: u32 = 40;

/// The file, of which it is known that it can be read.
pub(super) struct MetricsFile {
    /// Where it lies, behind symbolic links.
    path: PathBuf,
    /// What stood in it when it was opened.
    text: String,
}

impl MetricsFile {
    /// Finds the file, which need not be there; its folder must be. A symbolic link stays one: what it leads to is the file, be it
    /// there or not.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let path = std::path::absolute(path)
            .map_err(|source| Failure::Io { what: format!("finding {}", path.display()), source })?;
        let named = path;
        let Some(path) = behind_links(named.clone())
            .map_err(|source| Failure::Io { what: format!("finding what {} leads to", named.display()), source })?
        else {
            return Err(Failure::usage(
                format!("the metrics cannot be written to {}: its symbolic links lead in a circle", named.display()),
                "mend the link, or name another file with --metrics-file",
            ));
        };
        if !path.parent().is_some_and(Path::is_dir) {
            return Err(Failure::usage(
                format!("the metrics cannot be written to {}: its folder is not there", path.display()),
                "make the folder, or name another with --metrics-file",
            ));
        }
        // Whoever opens a pipe waits for its other end.
        if std::fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(Failure::usage(
                format!("the metrics cannot be written to {}: it is no plain file", path.display()),
                "name a file whose name ends in .prom with --metrics-file",
            ));
        }
        let reading = |source| Failure::Io { what: format!("reading {}", path.display()), source };
        let text = previous(&path).map_err(reading)?;
        Ok(Self { path, text })
    }

    /// Failures of earlier runs that only the file knows of.
    pub(super) fn unrecorded(&self, database: &DatabaseName) -> Unrecorded {
        unrecorded(&self.text, database)
    }

    /// Replaces the file; a reader sees the one or the other. What is kept of it is read now: hours may have passed, in which
    /// another call has written it.
    pub(super) fn write(self, reports: &[CronReport]) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        // The collector reads names that end in .prom only.
        let mut file = tempfile::Builder::new().prefix(".holdpoint-").suffix(".tmp").tempfile_in(folder)?;
        file.write_all(metrics(reports, &previous(&self.path)?).as_bytes())?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(READABLE))?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map(drop).map_err(|error| error.error)
    }
}

/// What a path leads to, through every symbolic link of that name; `None` where they lead in a circle, also those of a folder
/// above.
fn behind_links(mut path: PathBuf) -> io::Result<Option<PathBuf>> {
    for _ in 0..MOST_LINKS {
        match std::fs::read_link(&path) {
            Ok(leads_to) => path = path.parent().unwrap_or(Path::new("/")).join(leads_to),
            // It is no link, or nothing is there yet.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => {
                return Ok(Some(path));
            }
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// What stands in the file; nothing where there is none.
fn previous(path: &Path) -> io::Result<String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::cron::Turn;
    use holdpoint_operations::ErrorKind;
    use holdpoint_operations::cron::Failed;

    use super::*;

    #[test]
    fn what_is_no_plain_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.prom");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        for path in [pipe.as_path(), folder.path()] {
            let Err(refused) = MetricsFile::open(path) else { panic!("{} was taken", path.display()) };
            assert!(matches!(refused, Failure::Usage { .. }));
        }
    }

    /// As where one folder of the collector links to many.
    #[test]
    fn what_a_link_leads_to_is_written_and_the_link_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("elsewhere")).unwrap();
        let links = [
            ("there.prom", "elsewhere/there.txt"),
            ("dangling.prom", "elsewhere/new.txt"),
            ("twice.prom", "there.prom"),
        ];
        for (link, leads_to) in links {
            std::os::unix::fs::symlink(leads_to, at(link)).unwrap();
        }
        std::fs::write(at("elsewhere/there.txt"), "").unwrap();
        let failed = Failed { kind: ErrorKind::Busy, message: String::new(), hint: None };
        let turn = Turn { id: "t1".to_owned(), began_at: "2026-11-21T02:43:00Z".parse().unwrap() };
        for (n, (link, _)) in links.into_iter().enumerate() {
            let database = format!("shop{n}");
            let report = CronReport::refused(database.parse().unwrap(), &turn, failed.clone());
            MetricsFile::open(&at(link)).unwrap().write(&[report]).unwrap();
            assert!(at(link).symlink_metadata().unwrap().is_symlink(), "{link}");
            assert!(std::fs::metadata(at(link)).unwrap().is_file(), "{link}");
        }
        let left: Vec<_> = std::fs::read_dir(at("elsewhere")).unwrap().map(|one| one.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        for (link, leads_to) in [("circle.prom", "circle.prom"), ("one", "other"), ("other", "one")] {
            std::os::unix::fs::symlink(leads_to, at(link)).unwrap();
        }
        for path in [at("circle.prom"), at("one"), at("one/holdpoint.prom")] {
            let Err(Failure::Usage { message, .. }) = MetricsFile::open(&path) else { panic!("{}", path.display()) };
            assert!(message.contains(path.to_str().unwrap()) && message.contains("in a circle"), "{message}");
        }
    }

    #[test]
    fn what_was_written_meanwhile_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("holdpoint.prom");
        let file = MetricsFile::open(&path).unwrap();
        let line = "holdpoint_restore_points{database=\"shop\"} 7\n";
        std::fs::write(&path, line).unwrap();
        let failed = Failed { kind: ErrorKind::Busy, message: String::new(), hint: None };
        let turn = Turn { id: "t1".to_owned(), began_at: "2026-11-21T02:43:00Z".parse().unwrap() };
        file.write(&[CronReport::refused("shop".parse().unwrap(), &turn, failed)]).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains(line));
    }
}
