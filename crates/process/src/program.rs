//! A program to be started: path, arguments, environment, streams.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::unistd::User;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::running::{Drained, Ended, Running};

/// The user and group a program runs as; only root can choose another than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAs {
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
}

impl RunAs {
    /// Finds a user by name in the system's user database.
    ///
    /// # Errors
    /// [`Error::NoSuchUser`], also where the user database cannot be read.
    pub fn named(name: &str) -> Result<Self, Error> {
        match User::from_name(name) {
            Ok(Some(user)) => Ok(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() }),
            Ok(None) | Err(_) => Err(Error::NoSuchUser { name: name.to_owned() }),
        }
    }

    /// Chooses the user for a PostgreSQL server, which refuses to run as root: nobody else when we are not root,
    /// else `configured`, else `postgres` where it exists, else `nobody`.
    ///
    /// # Errors
    /// [`Error::NoSuchUser`] when we are root and none of them exists.
    pub fn for_server(configured: Option<&str>) -> Result<Option<Self>, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        match configured {
            Some(name) => Self::named(name).map(Some),
            None => Self::named("postgres").or_else(|_| Self::named("nobody")).map(Some),
        }
    }
}

/// Where a program's stdin comes from.
#[derive(Debug, Default)]
pub enum Stdin {
    /// Nothing: reads end at once.
    #[default]
    Null,
    /// A pipe, see [`Running::take_stdin`].
    Piped,
    /// An open file.
    File(File),
    /// Ours.
    Inherit,
}

/// Where a program's stdout goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdout {
    /// Nowhere.
    #[default]
    Null,
    /// A pipe, see [`Running::take_stdout`].
    Piped,
    /// Drained; the last lines are in [`Ended::stdout_tail`].
    Tail,
    /// Ours.
    Inherit,
}

/// Where a program's stderr goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stderr {
    /// Drained from the first moment; the last lines are in [`Ended::stderr_tail`], each is traced at debug level.
    #[default]
    Tail,
    /// A pipe, see [`Running::take_stderr`]; nothing of it is kept or traced.
    Piped,
    /// Ours.
    Inherit,
}

/// What happens to processes of the group that outlive the program itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Survivors {
    /// They are killed as soon as the program has ended.
    #[default]
    End,
    /// They are left alone when the program ends by itself.
    Leave,
    /// They are left alone when the program ends by itself with exit code 0, and killed as soon as it has ended otherwise.
    LeaveAfterSuccess,
}

/// A program to be started in a process group of its own, with an environment that holds only what is listed.
pub struct Program {
    pub(crate) path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    working_directory: Option<PathBuf>,
    stdin: Stdin,
    stdout: Stdout,
    stderr: Stderr,
    run_as: Option<RunAs>,
    foreground: bool,
    survivors: Survivors,
    pub(crate) outlives_handle: bool,
}

impl Program {
    /// Names the program. A bare name is looked up in the PATH of the environment given to it.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            working_directory: None,
            stdin: Stdin::default(),
            stdout: Stdout::default(),
            stderr: Stderr::default(),
            run_as: None,
            foreground: false,
            survivors: Survivors::default(),
            outlives_handle: false,
        }
    }

    /// Adds one argument. Arguments are visible to every user of the machine: never a secret.
    #[must_use]
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<I: IntoIterator<Item = A>, A: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Adds one variable; a later value of the same name wins.
    #[must_use]
    pub fn variable(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Adds variables; a later value of the same name wins.
    #[must_use]
    pub fn environment<I: IntoIterator<Item = (OsString, OsString)>>(mut self, variables: I) -> Self {
        self.environment.extend(variables);
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn working_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.working_directory = Some(directory.into());
        self
    }

    /// Sets where stdin comes from; nothing by default.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// Sets where stdout goes; nowhere by default.
    #[must_use]
    pub fn stdout(mut self, stdout: Stdout) -> Self {
        self.stdout = stdout;
        self
    }

    /// Sets where stderr goes; into the tail by default.
    #[must_use]
    pub fn stderr(mut self, stderr: Stderr) -> Self {
        self.stderr = stderr;
        self
    }

    /// Sets the user it runs as; ours by default.
    #[must_use]
    pub fn run_as(mut self, user: Option<RunAs>) -> Self {
        self.run_as = user;
        self
    }

    /// Lends the program the terminal's foreground when we have it, so that its prompts and Ctrl-C work.
    /// The foreground and the terminal's modes are taken back when it ends.
    #[must_use]
    pub fn in_foreground(mut self) -> Self {
        self.foreground = true;
        self
    }

    /// Sets what happens to processes of the group that outlive the program.
    #[must_use]
    pub fn survivors(mut self, survivors: Survivors) -> Self {
        self.survivors = survivors;
        self
    }

    /// Lets the program live on when its handle is dropped: only the scratch keeper, which watches its stdin.
    pub(crate) fn outliving_its_handle(mut self) -> Self {
        self.outlives_handle = true;
        self
    }

    /// Returns the program's name for messages.
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Starts the program. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// [`Error::NotFound`] and [`Error::NotStarted`]; nothing is left running.
    pub fn start(self) -> Result<Running, Error> {
        let name = self.name();
        if let Some(directory) = &self.working_directory
            && !directory.is_dir()
        {
            let source = io::Error::new(io::ErrorKind::NotADirectory, format!("{}: no directory", directory.display()));
            return Err(Error::NotStarted { program: name, source });
        }
        #[expect(clippy::disallowed_methods, reason = "this is the one door")]
        let mut command = tokio::process::Command::new(&self.path);
        command.args(&self.arguments).env_clear().envs(self.environment).process_group(0);
        if let Some(directory) = &self.working_directory {
            command.current_dir(directory);
        }
        if let Some(user) = self.run_as {
            command.uid(user.uid).gid(user.gid);
        }
        command.stdin(match self.stdin {
            Stdin::Null => Stdio::null(),
            Stdin::Piped => Stdio::piped(),
            Stdin::File(file) => file.into(),
            Stdin::Inherit => Stdio::inherit(),
        });
        command.stdout(match self.stdout {
            Stdout::Null => Stdio::null(),
            Stdout::Piped | Stdout::Tail => Stdio::piped(),
            Stdout::Inherit => Stdio::inherit(),
        });
        command.stderr(match self.stderr {
            Stderr::Tail | Stderr::Piped => Stdio::piped(),
            Stderr::Inherit => Stdio::inherit(),
        });
        let child = command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::NotFound { program: name.clone() },
            _ => Error::NotStarted { program: name.clone(), source },
        })?;
        let drained = Drained { stdout: self.stdout == Stdout::Tail, stderr: self.stderr == Stderr::Tail };
        Running::watch(name, child, drained, self.foreground, self.survivors, self.outlives_handle)
    }

    /// Runs the program to its end and returns all it printed, at most `limit_bytes`, within `limit`.
    ///
    /// # Errors
    /// Those of [`Self::start`]; [`Error::Failed`], [`Error::Cancelled`], [`Error::TimedOut`] and
    /// [`Error::TooMuchOutput`], with the process group ended.
    pub async fn output(
        self,
        limit_bytes: usize,
        limit: Duration,
        cancel: &CancellationToken,
    ) -> Result<(Vec<u8>, Ended), Error> {
        let name = self.name();
        let mut running = self.stdout(Stdout::Piped).start()?;
        let mut printed = Vec::new();
        let Some(stdout) = running.take_stdout() else { return Ok((printed, running.wait().await?)) };
        let most = u64::try_from(limit_bytes).unwrap_or(u64::MAX).saturating_add(1);
        let mut stdout = stdout.take(most);
        let reading = async {
            let read = stdout.read_to_end(&mut printed).await;
            if printed.len() > limit_bytes {
                return Err(Error::TooMuchOutput { program: name.clone(), limit_bytes });
            }
            read.map_err(|source| Error::Lost { program: name.clone(), source })?;
            running.wait().await?.success(&name)
        };
        let ended = tokio::select! {
            ended = reading => ended,
            () = cancel.cancelled() => Err(Error::Cancelled { program: name.clone() }),
            () = tokio::time::sleep(limit) => {
                Err(Error::TimedOut { program: name.clone(), limit, stderr_tail: String::new() })
            }
        };
        match ended {
            Ok(ended) => Ok((printed, ended)),
            Err(mut error) => {
                let ended = running.terminate_group(Duration::from_secs(1)).await?;
                if let Error::TimedOut { stderr_tail, .. } = &mut error {
                    *stderr_tail = ended.stderr_tail;
                }
                Err(error)
            }
        }
    }

    /// Returns the program's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Shows path and arguments, and only the names of the variables.
impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        formatter
            .debug_struct("Program")
            .field("path", &self.path)
            .field("arguments", &self.arguments)
            .field("variables", &names)
            .field("working_directory", &self.working_directory)
            .field("run_as", &self.run_as)
            .finish_non_exhaustive()
    }
}
