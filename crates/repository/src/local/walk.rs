//! Listing files, a page at a time.

use std::fs::{self, DirEntry, ReadDir};
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::publish::{TEMPORARY, key_of_temporary, object_info};
use crate::error::{Error, Result};
use crate::key::RESERVED;
use crate::store::{ObjectInfo, UnfinishedUpload};

/// Objects in one page of a list.
pub(super) const PAGE: usize = 1000;

/// A walk through a directory and those below it. Memory is one open directory per level.
pub(super) struct Walk {
    root: PathBuf,
    /// The directory to begin with, until it is opened.
    start: Option<PathBuf>,
    open: Vec<(String, ReadDir)>,
}

impl Walk {
    pub(super) fn new(root: &Path, directory: PathBuf) -> Self {
        Self { root: root.to_owned(), start: Some(directory), open: Vec::new() }
    }

    /// The prefix of the keys in a directory.
    fn prefix(&self, directory: &Path) -> String {
        match directory.strip_prefix(&self.root).ok().and_then(Path::to_str) {
            None | Some("") => String::new(),
            Some(path) => format!("{}/", path.trim_end_matches('/')),
        }
    }

    fn enter(&mut self, directory: &Path) -> Result<()> {
        match fs::read_dir(directory) {
            Ok(entries) => self.open.push((self.prefix(directory), entries)),
            Err(e) if gone(&e) => demand_link(&self.root, directory)?,
            Err(e) => return Err(Error::from_io("list", &self.prefix(directory), e)),
        }
        Ok(())
    }

    /// Gives the next file with the prefix of its directory.
    fn next_file(&mut self) -> Result<Option<(String, String, DirEntry)>> {
        if let Some(start) = self.start.take() {
            self.enter(&start)?;
        }
        while let Some((prefix, entries)) = self.open.last_mut() {
            let fail = |e| Error::from_io("list", prefix, e);
            let Some(entry) = entries.next() else {
                self.open.pop();
                continue;
            };
            let entry = entry.map_err(fail)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = match entry.file_type() {
                Ok(kind) => kind,
                Err(e) if gone(&e) => continue,
                Err(e) => return Err(fail(e)),
            };
            if kind.is_dir() || kind.is_symlink() && may_be_link(&self.root, &entry.path()) {
                self.enter(&entry.path())?;
            } else if kind.is_file() {
                return Ok(Some((prefix.clone(), name, entry)));
            }
        }
        Ok(None)
    }

    pub(super) fn next_page(&mut self, limit: usize) -> Result<Vec<ObjectInfo>> {
        let mut page = Vec::new();
        while page.len() < limit {
            let Some((prefix, name, entry)) = self.next_file()? else { break };
            if name.starts_with(RESERVED) {
                continue;
            }
            let key = format!("{prefix}{name}");
            match entry.metadata().and_then(|found| object_info(&key, &found)) {
                Ok(info) => page.push(info),
                Err(e) if gone(&e) => {}
                Err(e) => return Err(Error::from_io("list", &key, e)),
            }
        }
        Ok(page)
    }

    pub(super) fn unfinished(mut self) -> Result<Vec<UnfinishedUpload>> {
        let mut found = Vec::new();
        while let Some((prefix, name, entry)) = self.next_file()? {
            if !name.starts_with(TEMPORARY) {
                continue;
            }
            let Some(key) = key_of_temporary(&prefix, &name) else { continue };
            let worked_on_at = entry.metadata().and_then(|found| found.modified()).ok().map(Into::into);
            found.push(UnfinishedUpload { key, id: format!("{prefix}{name}"), worked_on_at, problem: None });
        }
        Ok(found)
    }
}

/// The folders of a database that may lie on another disk.
const PARTS: [&str; 3] = ["restore-points", "runs", "identities"];

/// Whether a symbolic link is followed there: one of a database's own folders, which may lie on another disk. What such a link leads to is listed as any directory; links in it are not followed, so no list goes in a circle.
#[must_use]
pub fn may_be_link(root: &Path, path: &Path) -> bool {
    let Ok(below) = path.strip_prefix(root) else { return false };
    below.components().count() == 2 && PARTS.iter().any(|part| below.ends_with(part))
}

/// Fails where a place, or what it lies below, is a link that leads to no directory: a disk that is not mounted holds more than nothing.
pub(super) fn demand_link(root: &Path, path: &Path) -> Result<()> {
    // With a slash behind it a link's name is that of what it leads to.
    let path: PathBuf = path.components().collect();
    let Some(link) = path.ancestors().find(|above| may_be_link(root, above)) else { return Ok(()) };
    let leads_nowhere = link.is_symlink() && !link.is_dir();
    match leads_nowhere {
        true => Err(Error::LinkLeadsNowhere { action: "list", link: link.display().to_string() }),
        false => Ok(()),
    }
}

/// The directories directly below one that hold a file somewhere, or a link to a disk that is not mounted.
pub(super) fn children(root: &Path, directory: &Path) -> Result<Vec<String>> {
    let fail = |e| Error::from_io("list", &directory.display().to_string(), e);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if gone(&e) => return demand_link(root, directory).map(|()| Vec::new()),
        Err(e) => return Err(fail(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(fail)?;
        let kind = entry.file_type().map_err(fail)?;
        let is_directory = kind.is_dir() || kind.is_symlink() && may_be_link(root, &entry.path());
        let Ok(name) = entry.file_name().into_string() else { continue };
        // An upload that crashed or runs leaves directories with nothing but its temporary file.
        let holds = || match Walk::new(root, entry.path()).next_page(1) {
            // Whoever looks into it is told, and nobody else.
            Err(Error::LinkLeadsNowhere { .. }) => Ok(true),
            page => page.map(|page| !page.is_empty()),
        };
        if is_directory && holds()? {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes the directories below one that hold nothing, or nothing but such, and were last changed before then.
pub(super) fn remove_empty(directory: &Path, before: DateTime<Utc>) -> Result<()> {
    let fail = |path: &Path, e| Error::from_io("remove", &path.display().to_string(), e);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if gone(&e) => return Ok(()),
        Err(e) => return Err(fail(directory, e)),
    };
    let mut ended = Ok(());
    for entry in entries {
        let path = entry.map_err(|e| fail(directory, e))?.path();
        // Looked at before what is below it goes, which changes it. A link is not followed.
        let found = fs::symlink_metadata(&path).and_then(|found| Ok((found.is_dir(), found.modified()?)));
        let old = match found {
            Ok((true, changed_at)) => DateTime::<Utc>::from(changed_at) < before,
            Ok((false, _)) => continue,
            Err(e) if gone(&e) => continue,
            Err(e) => return Err(fail(&path, e)),
        };
        let mut removed = remove_empty(&path, before);
        if old && removed.is_ok() {
            removed = match fs::remove_dir(&path) {
                Err(e) if !gone(&e) && e.kind() != io::ErrorKind::DirectoryNotEmpty => Err(fail(&path, e)),
                _ => Ok(()),
            };
        }
        ended = ended.and(removed);
    }
    ended
}

/// What is deleted while it is listed is not an error.
fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
