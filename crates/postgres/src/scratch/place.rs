//! Where a local scratch server lives: space, and who may enter.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use holdpoint_process::RunAs;
use holdpoint_process::keeper::SOCKET_PREFIX;

use crate::Error;

/// A socket's path has 104 bytes on macOS and 108 on Linux, with the final zero.
const SOCKET_PATH_BYTES: usize = 103;

/// The longest name of a socket in its directory.
const SOCKET_NAME: &str = "/.s.PGSQL.65535";

/// Returns the bytes that an ordinary user can still write below a path; one that does not exist yet is judged by its
/// nearest folder that does.
///
/// # Errors
/// The system's, when no ancestor can be asked.
pub fn available_bytes(path: &Path) -> io::Result<u64> {
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    let space = rustix::fs::statvfs(existing)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// Makes the base directory where it is missing, with the folders above it, and returns it free of links. What is made may
/// be passed by the server's user, whatever the umask is.
pub(super) fn prepare_base(base: &Path, user: Option<RunAs>) -> Result<PathBuf, Error> {
    let unusable = |error: io::Error| Error::ScratchPlace { path: base.to_owned(), reason: error.to_string() };
    let mode = if user.is_some() { 0o711 } else { 0o700 };
    make_all(base, mode).map_err(unusable)?;
    let base = base.canonicalize().map_err(unusable)?;
    require_passage(&base, user)?;
    Ok(base)
}

fn make_all(folder: &Path, mode: u32) -> io::Result<()> {
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    for folder in missing.into_iter().rev() {
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            // A umask takes rights away from what is made, not from what is set.
            Ok(()) => fs::set_permissions(folder, fs::Permissions::from_mode(mode))?,
            // Another one made it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(error) => return Err(error),
        }
    }
    if folder.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

/// Makes sure that the server's user can pass every folder on the way to `path`.
pub(super) fn require_passage(path: &Path, user: Option<RunAs>) -> Result<(), Error> {
    let Some(user) = user else { return Ok(()) };
    for folder in path.ancestors() {
        let Ok(metadata) = folder.metadata() else { continue };
        let bit = if metadata.uid() == user.uid {
            0o100
        } else if metadata.gid() == user.gid {
            0o010
        } else {
            0o001
        };
        if metadata.mode() & bit == 0 {
            return Err(Error::ScratchPlace {
                path: path.to_owned(),
                reason: format!("the server's user (id {}) may not enter {}", user.uid, folder.display()),
            });
        }
    }
    Ok(())
}

/// Chooses a socket directory outside, when one below `directory` would make too long a path.
pub(super) fn outside_socket_directory(directory: &Path, id: &str) -> Option<PathBuf> {
    let below = directory.join("socket");
    let fits = below.as_os_str().len() + SOCKET_NAME.len() <= SOCKET_PATH_BYTES;
    (!fits).then(|| Path::new("/tmp").join(format!("{SOCKET_PREFIX}{id}")))
}

/// Makes `bytes` random bytes, in hexadecimal: a password that nobody guesses.
///
/// # Errors
/// [`Error::ScratchPlace`] where the system gives none.
pub fn random_hex(bytes: usize) -> Result<String, Error> {
    let source = Path::new("/dev/urandom");
    let mut random = vec![0_u8; bytes];
    let read = File::open(source).and_then(|mut file| file.read_exact(&mut random));
    read.map_err(|error| Error::ScratchPlace { path: source.to_owned(), reason: error.to_string() })?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_that_of_the_nearest_folder() {
        let there = tempfile::tempdir().unwrap();
        let bytes = available_bytes(&there.path().join("not/yet")).unwrap();
        assert!(bytes > 0 && bytes.is_multiple_of(512));
        assert!(available_bytes(Path::new("relative/not/yet")).unwrap() > 0);
    }

    #[test]
    fn a_closed_folder_is_named() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let user = Some(RunAs { uid: 4_000_000, gid: 4_000_000 });
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let error = require_passage(&inner, user).unwrap_err().to_string();
        assert!(error.ends_with(&format!("may not enter {}", outer.path().display())), "{error}");
        assert!(require_passage(&inner, None).is_ok());
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o711)).unwrap();
        assert!(require_passage(&inner, user).is_ok());
    }

    #[test]
    fn what_is_made_may_be_passed_and_what_is_there_is_left() {
        let outer = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let inner = outer.path().join("a/b");
        make_all(&inner, 0o711).unwrap();
        assert_eq!([mode(&inner), mode(&outer.path().join("a"))], [0o711, 0o711]);
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o750)).unwrap();
        make_all(&inner, 0o711).unwrap();
        assert_eq!(mode(&inner), 0o750);
        fs::write(outer.path().join("file"), "x").unwrap();
        assert_eq!(make_all(&outer.path().join("file"), 0o711).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert!(make_all(&outer.path().join("file/below"), 0o711).is_err());
    }

    #[test]
    fn a_long_path_gets_a_short_socket() {
        assert_eq!(outside_socket_directory(Path::new("/var/tmp/holdpoint-scratch-0123456789ab"), "x"), None);
        let long = PathBuf::from("/").join("y".repeat(90));
        let socket = outside_socket_directory(&long, "x").unwrap();
        assert_eq!(socket, Path::new("/tmp/holdpoint-socket-x"));
    }
}
