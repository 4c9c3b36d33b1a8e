//! Fake client programs: tiny shell scripts in place of the stock ones; and installations that lack something.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cache::bin_directory;
use crate::client::with_input;
use crate::place::{set_mode, short_directory};

/// Writes a shell script that can be run, and returns its path.
///
/// # Panics
/// When the folder is not writable.
pub fn write_program(directory: &Path, name: &str, script: &str) -> PathBuf {
    let path = directory.join(name);
    let mut writer = Command::new("/bin/sh");
    // Written by a child: were the file open for writing here while another test forks, running it would fail (ETXTBSY).
    writer.args(["-c", "cat >\"$1.new\" && chmod 755 \"$1.new\" && mv \"$1.new\" \"$1\"", "sh"]).arg(&path);
    writer.stdin(Stdio::piped());
    let output = with_input(writer, format!("#!/bin/sh\n{script}\n").as_bytes());
    assert!(output.status.success(), "cannot write {}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    path
}

/// A folder of client programs of one major in which some are faked: what a configured program directory names.
#[derive(Debug)]
pub struct FakePrograms {
    directory: tempfile::TempDir,
    major: u32,
}

impl FakePrograms {
    /// Makes a folder `<path>/<major>/bin` with links to all programs of the major.
    ///
    /// # Panics
    /// When that major is not installed.
    #[must_use]
    pub fn new(major: u32) -> Self {
        let directory = tempfile::Builder::new().prefix("hp-fake-").tempdir().expect("a temporary folder");
        set_mode(directory.path(), 0o755);
        let programs = Self { directory, major };
        std::fs::create_dir_all(programs.bin()).expect("the folder is writable");
        for entry in std::fs::read_dir(bin_directory(major)).expect("the programs can be listed") {
            let entry = entry.expect("the programs can be listed");
            std::os::unix::fs::symlink(entry.path(), programs.bin().join(entry.file_name()))
                .expect("links can be made");
        }
        programs
    }

    /// Returns the folder that holds `<major>/bin`: what `HOLDPOINT_POSTGRESQL_DIRECTORY` names.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the folder with the programs: what `PATH` takes.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.directory.path().join(self.major.to_string()).join("bin")
    }

    /// Replaces a program by a shell script; `$REAL` in it is the stock program.
    ///
    /// # Panics
    /// When the folder is not writable.
    pub fn replace(&self, name: &str, script: &str) -> PathBuf {
        let real = bin_directory(self.major).join(name);
        let path = self.bin().join(name);
        self.remove(name);
        write_program(&self.bin(), name, &format!("REAL='{}'\n{script}", real.display()));
        path
    }

    /// Takes a program away.
    ///
    /// # Panics
    /// When it cannot be removed.
    pub fn remove(&self, name: &str) {
        let path = self.bin().join(name);
        if path.symlink_metadata().is_ok() {
            std::fs::remove_file(&path).expect("the folder is writable");
        }
    }

    /// Makes a program die by SIGKILL after it has printed `bytes` bytes; what is asked for `--version` is answered.
    ///
    /// # Panics
    /// When the folder is not writable.
    pub fn kill_after(&self, name: &str, bytes: u64) -> PathBuf {
        self.end_after(name, bytes, "kill -KILL $$")
    }

    /// Makes a program print `bytes` bytes and then fail with a message and an exit code.
    ///
    /// # Panics
    /// When the folder is not writable.
    pub fn fail_after(&self, name: &str, bytes: u64, message: &str, code: u8) -> PathBuf {
        let message = message.replace('\'', "'\\''");
        self.end_after(name, bytes, &format!("printf '%s\\n' '{message}' >&2\nexit {code}"))
    }

    /// Makes a program print `bytes` bytes, end its output, and exit with success: the lie that only a look at the
    /// output's end finds out.
    ///
    /// # Panics
    /// When the folder is not writable.
    pub fn cut_silently_after(&self, name: &str, bytes: u64) -> PathBuf {
        self.end_after(name, bytes, "exit 0")
    }

    /// Makes a program print `bytes` bytes and then nothing any more, without ending.
    ///
    /// # Panics
    /// When the folder is not writable.
    pub fn stall_after(&self, name: &str, bytes: u64) -> PathBuf {
        self.end_after(name, bytes, "exec sleep 3600")
    }

    /// Makes a program say that it is of another version, such as `14.2`; all else it does as the stock one.
    ///
    /// # Panics
    /// When the folder is not writable.
    pub fn claim_version(&self, name: &str, version: &str) -> PathBuf {
        let answer =
            format!("case \" $* \" in *' --version '*|*' -V '*) echo '{name} (PostgreSQL) {version}'; exit 0;; esac");
        self.replace(name, &format!("{answer}\nexec \"$REAL\" \"$@\""))
    }

    fn end_after(&self, name: &str, bytes: u64, end: &str) -> PathBuf {
        let version = "case \" $* \" in *' --version '*|*' -V '*) exec \"$REAL\" \"$@\";; esac";
        // head closes the pipe after its bytes, so the stock program ends by SIGPIPE and lives on nowhere.
        self.replace(name, &format!("{version}\n\"$REAL\" \"$@\" 2>/dev/null | head -c {bytes}\n{end}"))
    }
}

/// A copy of one major's whole installation that a test may maim: a server started from it lacks what was taken away.
#[derive(Debug)]
pub struct Installation {
    directory: PathBuf,
    major: u32,
}

impl Installation {
    /// Copies an installation, by hard links where the file system allows it.
    ///
    /// # Panics
    /// When that major is not installed.
    #[must_use]
    pub fn copy(major: u32) -> Self {
        let source = bin_directory(major).canonicalize().expect("the programs have a path");
        let source = source.parent().expect("the programs are in a folder").to_owned();
        let directory = short_directory("hp-inst-");
        let target = directory.join(major.to_string());
        let copy = |how: &str| {
            let status = Command::new("cp").arg(how).arg(&source).arg(&target).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        // Links cannot be made across file systems, and not to the files of others; cp may have begun with them.
        let copied = copy("-al") || {
            assert!(!target.exists() || std::fs::remove_dir_all(&target).is_ok(), "cannot remove {}", target.display());
            copy("-a")
        };
        assert!(copied, "cannot copy {}", source.display());
        Self { directory, major }
    }

    /// Returns the folder that holds `<major>/bin`: what `HOLDPOINT_POSTGRESQL_DIRECTORY` names.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Returns the folder with the programs.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.directory.join(self.major.to_string()).join("bin")
    }

    /// Takes an extension away, as on a machine where its package is missing.
    ///
    /// # Panics
    /// When it is not there.
    pub fn remove_extension(&self, name: &str) {
        let control = self.directory.join(self.major.to_string()).join(format!("share/extension/{name}.control"));
        std::fs::remove_file(&control).unwrap_or_else(|error| panic!("cannot remove {}: {error}", control.display()));
    }

    /// Takes a program away.
    ///
    /// # Panics
    /// When it is not there.
    pub fn remove_program(&self, name: &str) {
        let program = self.bin().join(name);
        std::fs::remove_file(&program).unwrap_or_else(|error| panic!("cannot remove {}: {error}", program.display()));
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if std::fs::remove_dir_all(&self.directory).is_err() {
            // Links only; a temporary folder's cleaner takes them.
        }
    }
}
