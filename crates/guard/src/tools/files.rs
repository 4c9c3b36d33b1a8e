//! A project's migration files, read once and then plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::rollback;
use super::{Error, Found};

/// A single file's bytes at most.
const FILE_LIMIT: u64 = 32 << 20;
/// All files' bytes at most.
const TOTAL_LIMIT: u64 = 256 << 20;
/// Files and folders at most.
const COUNT_LIMIT: usize = 20_000;
/// How deep folders are followed; Flyway takes any depth, and what lies deeper is an error.
const DEPTH_LIMIT: usize = 64;
/// What migrations are written in; of other files only the name is kept.
const READ: [&str; 8] = ["sql", "js", "ts", "cjs", "mjs", "cts", "mts", "toml"];

/// A file of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The path below the folder that was read, with `/`.
    pub path: String,
    /// What it holds; empty where only the name matters.
    pub content: Vec<u8>,
    /// SHA-256 of the content in lower-case hexadecimal.
    pub sha256: String,
}

impl File {
    /// The content as text; what is not UTF-8 is replaced, as Node.js does.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }

    /// The name without folders.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// The files below a folder, by their paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    files: BTreeMap<String, File>,
    folders: BTreeSet<String>,
}

impl Files {
    /// Makes it of paths and contents; folders follow from the paths.
    pub fn new<P: Into<String>, C: Into<Vec<u8>>>(files: impl IntoIterator<Item = (P, C)>) -> Self {
        let mut made = Self::default();
        for (path, content) in files {
            made.add(path.into(), content.into());
        }
        made
    }

    fn add(&mut self, path: String, content: Vec<u8>) {
        let mut folder = path.as_str();
        while let Some((parent, _)) = folder.rsplit_once('/') {
            self.folders.insert(parent.to_owned());
            folder = parent;
        }
        let sha256 = sha256(&content);
        self.files.insert(path.clone(), File { path, content, sha256 });
    }

    /// Reads all files below a folder. Links are followed, those to a folder above themselves left out.
    ///
    /// # Errors
    /// When the folder is absent or unreadable, holds more than migrations ever do, or something that is called like a
    /// migration and is no file, such as a link that leads nowhere: what cannot be read must not count as not there.
    pub fn read(folder: &Path, named_by: &str) -> Result<Self, Error> {
        let is_folder = folder.metadata().is_ok_and(|found| found.is_dir());
        if !is_folder {
            return Err(Error::NoFolder { path: folder.to_owned(), named_by: named_by.to_owned() });
        }
        let mut reading = Reading { root: folder.to_owned(), files: Self::default(), bytes: 0, above: Vec::new() };
        reading.folder(folder, "")?;
        Ok(reading.files)
    }

    /// The file at a path.
    pub fn get(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// The file at a path, taken out.
    pub(super) fn take(&mut self, path: &str) -> Option<File> {
        self.files.remove(path)
    }

    /// All files in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = &File> {
        self.files.values()
    }

    /// The files that lie directly in the folder.
    pub fn top(&self) -> impl Iterator<Item = &File> {
        self.files.values().filter(|file| !file.path.contains('/'))
    }

    /// The names of the folders that lie directly in the folder.
    pub fn top_folders(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().map(String::as_str).filter(|folder| !folder.contains('/'))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Reading {
    root: PathBuf,
    files: Files,
    bytes: u64,
    /// The folders that are open, by their true paths.
    above: Vec<PathBuf>,
}

impl Reading {
    fn folder(&mut self, folder: &Path, below: &str) -> Result<(), Error> {
        let unreadable = |source| Error::Unreadable { path: folder.to_owned(), source };
        let true_path = folder.canonicalize().map_err(unreadable)?;
        if self.above.contains(&true_path) {
            return Ok(());
        }
        if !below.is_empty() {
            self.files.folders.insert(below.to_owned());
        }
        if self.above.len() >= DEPTH_LIMIT {
            return Err(unreadable(std::io::Error::other("it lies too deep")));
        }
        self.above.push(true_path);
        let read = self.entries(folder, below);
        self.above.pop();
        read
    }

    fn entries(&mut self, folder: &Path, below: &str) -> Result<(), Error> {
        let unreadable = |source| Error::Unreadable { path: folder.to_owned(), source };
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let kind = entry.path().metadata();
            let Ok(name) = entry.file_name().into_string() else {
                let source = std::io::Error::other("a file's name is not UTF-8");
                return Err(unreadable(source));
            };
            let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            if self.files.files.len() + self.files.folders.len() >= COUNT_LIMIT {
                return Err(Error::TooMany { path: self.root.clone(), limit: COUNT_LIMIT });
            }
            match kind {
                Ok(kind) if kind.is_dir() && matches!(name.as_str(), "node_modules" | ".git") => {}
                Ok(kind) if kind.is_dir() => self.folder(&entry.path(), &path)?,
                Ok(kind) if kind.is_file() => {
                    let content = if is_read(&name) { self.content(&entry.path())? } else { Vec::new() };
                    self.files.add(path, content);
                }
                // A pipe would never end; a link that leads nowhere is a file that is missing.
                other if is_read(&name) => {
                    let source = other.err().unwrap_or_else(|| std::io::Error::other("it is no file"));
                    return Err(Error::Unreadable { path: entry.path(), source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn content(&mut self, path: &Path) -> Result<Vec<u8>, Error> {
        let content = bounded(path, FILE_LIMIT)?;
        self.bytes += content.len() as u64;
        if self.bytes > TOTAL_LIMIT {
            return Err(Error::TooLarge { path: self.root.clone(), bytes: self.bytes, limit: TOTAL_LIMIT });
        }
        Ok(content)
    }
}

fn is_read(name: &str) -> bool {
    name == "_journal.json"
        || name.rsplit_once('.').is_some_and(|(_, kind)| READ.contains(&kind.to_lowercase().as_str()))
}

/// Reads a file of at most so many bytes.
pub(super) fn bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > limit {
        let bytes = path.metadata().map_or(limit + 1, |found| found.len());
        return Err(Error::TooLarge { path: path.to_owned(), bytes, limit });
    }
    Ok(content)
}

/// What [`super::Pending::of`] needs to know of a project: its migrations, and where scripts that undo them may lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectFiles {
    /// What lies in the folder of migrations.
    pub migrations: Files,
    /// Files in folders that are called for rollbacks, beside the folder of migrations; by their paths in the project.
    pub rollbacks: Files,
}

impl ProjectFiles {
    /// Reads both.
    ///
    /// # Errors
    /// As [`Files::read`].
    pub fn read(found: &Found) -> Result<Self, Error> {
        let migrations = Files::read(&found.migrations, &found.named_by)?;
        let mut rollbacks = Files::default();
        let beside = found.migrations.parent().filter(|parent| parent.starts_with(&found.project));
        for name in beside.map(|_| rollback::FOLDERS).unwrap_or_default() {
            let folder = beside.unwrap_or(&found.project).join(name);
            if folder == found.migrations || !folder.is_dir() {
                continue;
            }
            let shown = folder.strip_prefix(&found.project).unwrap_or(&folder).to_string_lossy().into_owned();
            for file in Files::read(&folder, name)?.files.into_values() {
                rollbacks.add(format!("{shown}/{}", file.path), file.content);
            }
        }
        Ok(Self { migrations, rollbacks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_with_bounds() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::fs::create_dir_all(folder.path().join("empty")).unwrap();
        std::fs::write(folder.path().join("a/b/migration.sql"), "SELECT 1").unwrap();
        std::fs::write(folder.path().join("picture.png"), vec![0; 100]).unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/round")).unwrap();
        let files = Files::read(folder.path(), "a test").unwrap();
        assert_eq!(
            files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
            ["a/b/migration.sql", "picture.png"]
        );
        assert_eq!(files.top_folders().collect::<Vec<_>>(), ["a", "empty"]);
        assert!(files.get("picture.png").unwrap().content.is_empty(), "only its name matters");
        std::os::unix::fs::symlink(folder.path().join("a/b"), folder.path().join("linked")).unwrap();
        let files = Files::read(folder.path(), "a test").unwrap();
        assert!(files.get("linked/migration.sql").is_some(), "what a link leads to is not left out");
        std::os::unix::fs::symlink("nowhere", folder.path().join("a/gone.sql")).unwrap();
        let gone = Files::read(folder.path(), "a test");
        assert!(matches!(gone, Err(Error::Unreadable { path, .. }) if path.ends_with("a/gone.sql")));
        let absent = Files::read(&folder.path().join("absent"), "drizzle.config.ts");
        assert!(matches!(absent, Err(Error::NoFolder { named_by, .. }) if named_by == "drizzle.config.ts"));
        assert!(matches!(bounded(&folder.path().join("picture.png"), 99), Err(Error::TooLarge { bytes: 100, .. })));
    }
}
