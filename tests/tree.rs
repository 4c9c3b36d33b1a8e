//! What lies in a repository, to be compared before and after.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

/// Every object of a repository: its key, its size, a hash of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// The objects by key.
    pub objects: BTreeMap<String, (u64, u64)>,
}

impl Tree {
    /// Reads a folder with everything below it; a missing one is empty.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn of_folder(root: &Path) -> Self {
        let mut tree = Self::default();
        tree.walk(root, root);
        tree
    }

    pub(crate) fn add(&mut self, key: String, bytes: &[u8]) {
        let mut hasher = DefaultHasher::new();
        hasher.write(bytes);
        self.objects.insert(key, (bytes.len() as u64, hasher.finish()));
    }

    fn walk(&mut self, root: &Path, folder: &Path) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.expect("the folder can be listed").path();
            if path.is_dir() {
                self.walk(root, &path);
                continue;
            }
            let bytes = match std::fs::read(&path) {
                // Whoever writes meanwhile takes the temporary name away.
                Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => continue,
                read => read.expect("the file can be read"),
            };
            // Room that is kept aside is no object.
            if path == root.join(".holdpoint-reserve") {
                continue;
            }
            let key = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
            self.add(key, &bytes);
        }
    }

    /// Returns the keys that end with a text.
    pub fn ending_with<'a>(&'a self, end: &'a str) -> impl Iterator<Item = &'a str> {
        self.objects.keys().map(String::as_str).filter(move |key| key.ends_with(end))
    }

    /// Returns the keys that are here and not there.
    #[must_use]
    pub fn beyond(&self, before: &Self) -> Vec<&str> {
        self.objects.keys().filter(|key| !before.objects.contains_key(*key)).map(String::as_str).collect()
    }
}
