//! `initdb`, for scratch servers.

use std::ffi::OsString;
use std::path::Path;

use holdpoint_process::keeper::KeeperCommand;

use crate::child::plain_environment;
use crate::programs::ClientProgram;

/// A call of initdb for a cluster that nobody will miss: no sync, locale C, passwords asked for everywhere.
#[derive(Clone, Debug)]
pub struct Initdb {
    client: ClientProgram,
}

impl Initdb {
    /// Names the program.
    #[must_use]
    pub fn new(client: &ClientProgram) -> Self {
        Self { client: client.clone() }
    }

    /// Gives the command for a data directory; the superuser's password is in a file that initdb reads.
    #[must_use]
    pub fn command(&self, data: &Path, superuser: &str, password_file: &Path) -> KeeperCommand {
        let mut arguments: Vec<OsString> =
            vec!["--pgdata".into(), data.into(), "--pwfile".into(), password_file.into()];
        let fixed = ["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-sync", "--no-instructions"];
        arguments.extend(fixed.map(OsString::from));
        arguments.push(format!("--username={superuser}").into());
        if self.client.version.major >= 18 {
            // On by default since 18, and a scratch server reads every page that it wrote but once.
            arguments.push("--no-data-checksums".into());
        }
        KeeperCommand { program: self.client.path.clone(), arguments, environment: plain_environment() }
    }
}
