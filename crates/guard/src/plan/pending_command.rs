//! The command that prints what is pending (`--pending-cmd`).

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use holdpoint_core::Mask;
use holdpoint_process::Program;
use tokio_util::sync::CancellationToken;

use crate::tools::Error;

/// What lists files has done so by then; a command that waits for something would wait for ever.
const WITHIN: Duration = Duration::from_secs(120);
/// A list of pending migrations is short.
const LIMIT_BYTES: usize = 1 << 20;

/// Where bash lies. Its `pipefail` lets a list that could not be made be an error: an empty one says that nothing is
/// pending.
const BASH: [&str; 4] = ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash", "/opt/homebrew/bin/bash"];

/// A line for the shell, and the environment in which it is run.
#[derive(Clone)]
pub struct PendingCommand {
    /// The line.
    pub line: String,
    /// The whole environment; holdpoint's own credentials are already left out.
    pub environment: Vec<(OsString, OsString)>,
    /// How long it may take.
    pub within: Duration,
}

impl PendingCommand {
    /// A command with the usual time limit.
    pub fn new(line: impl Into<String>, environment: Vec<(OsString, OsString)>) -> Self {
        Self { line: line.into(), environment, within: WITHIN }
    }

    /// Runs it in the project's folder, in a process group that ends with it, and gives what it printed.
    ///
    /// It ends at the first command that fails. In a pipeline every command counts where there is bash; a plain shell
    /// knows the last one only.
    pub(super) async fn run(&self, project: &Path, cancel: &CancellationToken) -> Result<String, Error> {
        let bash = BASH.into_iter().find(|path| is_program(Path::new(path)));
        let (shell, how): (_, &[&str]) = match bash {
            Some(bash) => (bash, &["-e", "-o", "pipefail", "-c"]),
            None => ("/bin/sh", &["-e", "-c"]),
        };
        let program = Program::new(shell)
            .arguments(how)
            .arguments([&self.line])
            .environment(self.environment.iter().cloned())
            .working_directory(project);
        let printed = program.output(LIMIT_BYTES, self.within, cancel).await;
        let (printed, said) = printed.map_err(|source| Error::PendingCommand { source: Box::new(source) })?;
        let said = said.stderr_tail.trim();
        if printed.iter().all(u8::is_ascii_whitespace) && !said.is_empty() {
            // What a shell forgives, such as `echo $(false)`, looks just like a list that is empty.
            return Err(Error::PendingCommandSpoke { said: Mask::default().script(said) });
        }
        String::from_utf8(printed).map_err(|_| Error::UnknownLine { line: "what is not UTF-8".to_owned() })
    }
}

impl std::fmt::Debug for PendingCommand {
    /// Leaves the environment and the line out, which may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PendingCommand {{ {} bytes }}", self.line.len())
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(line: &str, within: Duration) -> Result<String, Error> {
        let environment = vec![("PATH".into(), "/usr/bin:/bin".into()), ("NAME".into(), "value".into())];
        let command = PendingCommand { within, ..PendingCommand::new(line, environment) };
        command.run(Path::new("/"), &CancellationToken::new()).await
    }

    #[tokio::test]
    async fn what_it_prints_is_taken() {
        let long = Duration::from_secs(300);
        assert_eq!(run("pwd; echo $NAME $HOME", long).await.unwrap(), "/\nvalue\n");
        let failed = run("echo '1.sql'; echo no such table >&2; exit 3", long).await.unwrap_err();
        assert_eq!(failed.to_string(), "the command for pending migrations failed");
        assert!(std::error::Error::source(&failed).unwrap().to_string().contains("no such table"));
        let endless = run("yes", long).await.unwrap_err();
        assert!(matches!(endless, Error::PendingCommand { .. }), "{endless:?}");
    }

    #[tokio::test]
    async fn a_pipeline_fails_with_any_of_its_commands() {
        let long = Duration::from_secs(300);
        let failed = run("{ echo 'no such table' >&2; exit 3; } | cat", long).await.unwrap_err();
        assert!(std::error::Error::source(&failed).unwrap().to_string().contains("no such table"), "{failed:?}");
        assert_eq!(run("printf '1.sql\\n2.sql\\n' | cat | sort -r", long).await.unwrap(), "2.sql\n1.sql\n");
    }

    #[tokio::test]
    async fn an_empty_list_beside_an_error_is_no_list() {
        let long = Duration::from_secs(300);
        for line in ["echo $(nosuch_command)", "for one in $(nosuch_command); do echo $one; done"] {
            let spoke = run(line, long).await.unwrap_err();
            assert!(
                matches!(&spoke, Error::PendingCommandSpoke { said } if said.contains("nosuch_command")),
                "{spoke:?}"
            );
        }
        assert_eq!(run("echo a warning >&2; echo 1.sql", long).await.unwrap(), "1.sql\n");
        assert_eq!(run("true", long).await.unwrap(), "");
    }

    #[tokio::test]
    async fn the_first_command_that_fails_ends_it() {
        let long = Duration::from_secs(300);
        for line in ["cd /nosuch; true", "nosuch_command\ntrue", "list=$(false); echo $list"] {
            assert!(matches!(run(line, long).await, Err(Error::PendingCommand { .. })), "{line}");
        }
        assert_eq!(run("test -f /nosuch && echo no; echo 1.sql", long).await.unwrap(), "1.sql\n");
    }

    #[tokio::test]
    async fn one_that_hangs_and_ignores_signals_is_ended_with_its_children() {
        let line = "trap '' TERM; sleep 100000 & echo 1.sql; wait; sleep 100000";
        let hung = run(line, Duration::from_millis(100)).await.unwrap_err();
        assert!(std::error::Error::source(&hung).unwrap().to_string().contains("did not end within"), "{hung:?}");
    }
}
