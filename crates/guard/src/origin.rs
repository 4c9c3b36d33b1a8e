//! The commit that a project is at, as git's own files say it; git is not run.

use std::path::{Path, PathBuf};

/// Larger files are none of git's that are read here.
const LIMIT: u64 = 16 << 20;

/// Reads the commit that is checked out in the folder or above it; `None` where there is none, or it cannot be read.
///
/// Forms as in `gitrepository-layout(5)` and `gitfile`: `HEAD` holds a commit or a reference, whose commit is in a file of
/// its own or in `packed-refs`; `.git` may be a file that names the folder, whose `commondir` names the shared one.
pub fn commit(folder: &Path) -> Option<String> {
    let dot_git = folder.ancestors().map(|folder| folder.join(".git")).find(|path| path.exists())?;
    let git = if dot_git.is_dir() {
        dot_git
    } else {
        let text = read(&dot_git)?;
        let named = PathBuf::from(text.strip_prefix("gitdir:")?.trim());
        if named.is_absolute() { named } else { dot_git.parent()?.join(named) }
    };
    let head = read(&git.join("HEAD"))?;
    let Some(reference) = head.trim().strip_prefix("ref: ") else { return object(&head) };
    // What follows is a path: a reference that leaves the folder is none.
    if reference.split('/').any(|part| part == ".." || part.is_empty()) {
        return None;
    }
    let common = read(&git.join("commondir")).map_or_else(|| git.clone(), |text| git.join(text.trim()));
    let loose = [&git, &common].into_iter().find_map(|folder| object(&read(&folder.join(reference))?));
    loose.or_else(|| {
        let packed = read(&common.join("packed-refs"))?;
        let line = packed.lines().find(|line| line.strip_suffix(reference).is_some_and(|rest| rest.ends_with(' ')))?;
        object(line.split(' ').next()?)
    })
}

fn read(path: &Path) -> Option<String> {
    (path.metadata().ok()?.len() <= LIMIT).then(|| std::fs::read_to_string(path).ok()).flatten()
}

fn object(text: &str) -> Option<String> {
    let text = text.trim();
    let hexadecimal = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn write(folder: &Path, path: &str, text: &str) {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn a_commit_is_found_in_every_form() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        let below = folder.join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        assert_eq!(commit(&below), None);
        write(folder, ".git/HEAD", &format!("{COMMIT}\n"));
        assert_eq!(commit(&below).as_deref(), Some(COMMIT));
        write(folder, ".git/HEAD", "ref: refs/heads/main\n");
        assert_eq!(commit(&below), None);
        write(
            folder,
            ".git/packed-refs",
            &format!("# pack-refs\n{} refs/heads/x/main\n{COMMIT} refs/heads/main\n", "f".repeat(40)),
        );
        assert_eq!(commit(&below).as_deref(), Some(COMMIT));
        let newer = "e".repeat(40);
        write(folder, ".git/refs/heads/main", &format!("{newer}\n"));
        assert_eq!(commit(&below), Some(newer.clone()));
        // A worktree elsewhere.
        write(folder, ".git/worktrees/w/HEAD", "ref: refs/heads/main\n");
        write(folder, ".git/worktrees/w/commondir", "../..\n");
        write(folder, "w/.git", "gitdir: ../.git/worktrees/w\n");
        assert_eq!(commit(&folder.join("w")), Some(newer));
        write(folder, ".git/HEAD", "ref: ../../etc/passwd\n");
        assert_eq!(commit(&below), None);
    }
}
