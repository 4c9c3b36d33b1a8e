//! Fake client programs: tiny shell scripts in place of the stock ones.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cache::bin_directory;
use crate::client::with_input;
use crate::place::set_mode;

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
