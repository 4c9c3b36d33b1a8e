//! The account that runs PostgreSQL servers, which refuse to run as root.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// A system account that is not root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its user id.
    pub uid: u32,
    /// Its primary group id.
    pub gid: u32,
}

impl Account {
    /// Returns the account for servers: `None` when this process may run them itself, else `postgres` or `nobody`.
    #[must_use]
    pub fn for_servers() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let passwd = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd is readable");
        let account = ["postgres", "nobody"].iter().find_map(|name| Self::parse(&passwd, name));
        Some(account.expect("running as root needs an account `postgres` or `nobody` for the servers"))
    }

    fn parse(passwd: &str, name: &str) -> Option<Self> {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some(Self { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    }

    /// Makes `command` run as the account for servers; changes nothing when this process is not root.
    pub fn run_as_server(command: &mut Command) -> &mut Command {
        if let Some(account) = Self::for_servers() {
            command.uid(account.uid).gid(account.gid);
            // The folder of the test may be closed to that account.
            command.current_dir("/");
        }
        command
    }

    /// Gives `path` to the account for servers.
    pub fn give_to_server(path: &Path) {
        if let Some(account) = Self::for_servers() {
            std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))
                .unwrap_or_else(|error| panic!("cannot give {} to the server's account: {error}", path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_ids_of_exactly_that_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\nnobody2:x:7:8::/:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n";
        assert_eq!(Account::parse(passwd, "nobody"), Some(Account { uid: 65534, gid: 65533 }));
        assert_eq!(Account::parse(passwd, "postgres"), None);
    }
}
