//! Ends a server and removes its folder when the test process is gone, however it went.
//!
//! A small shell waits at the end of a pipe. The pipe closes with the test process, also on SIGKILL.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

/// Name of the file in the server's folder that holds the server's process id.
pub(crate) const PID_FILE: &str = "server.pid";

const SCRIPT: &str = r#"
trap '' INT TERM HUP
read -r word || word=
[ "$word" = keep ] && exit 0
pid=$(cat "$1/server.pid" 2>/dev/null)
# A process id may have been given away again, and a zombie still has one: the folder in its arguments says that it
# is ours and alive.
ours() { tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$1"; }
if [ -n "$pid" ] && ours "$1"; then
  kill -"$2" "$pid" 2>/dev/null
  tries=0
  while ours "$1" && [ "$tries" -lt 40 ]; do sleep 0.05; tries=$((tries + 1)); done
  ours "$1" && kill -KILL "$pid" 2>/dev/null
fi
# The last files of a dying server may appear between the listing and the removal.
for again in 1 2 3; do
  rm -rf -- "$1" && break
  sleep 0.1
done
"#;

/// Watches over one server folder.
#[derive(Debug)]
pub(crate) struct Keeper {
    shell: Mutex<Option<(Child, ChildStdin)>>,
}

impl Keeper {
    /// Starts watching. `signal` is what ends the server, such as `QUIT`.
    pub(crate) fn watch(directory: &Path, signal: &str) -> Self {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "keeper"])
            .arg(directory)
            .arg(signal)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C at the terminal is for the tests; the keeper must outlive them.
            .process_group(0)
            .spawn()
            .expect("/bin/sh starts");
        let pipe = shell.stdin.take().expect("the keeper's input is a pipe");
        Self { shell: Mutex::new(Some((shell, pipe))) }
    }

    /// Ends the watch and leaves the folder in place.
    pub(crate) fn keep(&self) {
        self.end(b"keep\n");
    }

    /// Ends the watch; the keeper removes what is left of the folder.
    pub(crate) fn remove(&self) {
        self.end(b"");
    }

    fn end(&self, word: &[u8]) {
        let Some((mut shell, mut pipe)) = self.shell.lock().ok().and_then(|mut shell| shell.take()) else { return };
        if pipe.write_all(word).is_err() {
            // The keeper is gone; nothing is left to tell.
        }
        drop(pipe);
        if shell.wait().is_err() {
            // Somebody else reaped it.
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.remove();
    }
}
