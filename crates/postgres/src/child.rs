//! Client programs as children: the environment they get, and what their failures mean.

use std::ffi::OsString;

use holdpoint_process::{Ended, Program};

use crate::programs::{Cause, ClientProgram};
use crate::{ConnectionSettings, Error};

/// The variables of every child: messages in English, since causes are read from them, and no folder of a user,
/// whose `.pgpass`, `.psqlrc` or certificates would change what a program does.
pub(crate) const PLAIN_ENVIRONMENT: [(&str, &str); 4] =
    [("PATH", "/usr/bin:/bin"), ("HOME", "/nonexistent"), ("LC_ALL", "C"), ("TZ", "UTC")];

/// Gives the plain environment in the form that programs and keepers take.
pub(crate) fn plain_environment() -> Vec<(OsString, OsString)> {
    PLAIN_ENVIRONMENT.iter().map(|&(name, value)| (name.into(), value.into())).collect()
}

/// Prepares a client program without a connection.
pub(crate) fn offline(client: &ClientProgram) -> Program {
    Program::new(&client.path).environment(plain_environment())
}

/// Prepares a client program that connects. `session_options` are settings in the form of `PGOPTIONS`; they win over
/// the connection's own. A password that is made for each login is made now, so the program is to be started at once.
///
/// # Errors
/// [`Error::PasswordNotMade`].
pub(crate) async fn connected(
    client: &ClientProgram,
    settings: &ConnectionSettings,
    session_options: &str,
) -> Result<Program, Error> {
    let settings = settings.with_fresh_passwords().await?;
    let settings = match session_options {
        "" => settings,
        options => settings.with_appended_options(options),
    };
    let environment = settings.child_environment();
    let variables = environment.set.iter().map(|(name, value)| (OsString::from(name), OsString::from(value.expose())));
    Ok(offline(client).environment(variables).argument("--no-password"))
}

/// Turns any end of a client program but exit code 0 into an error with its cause.
///
/// # Errors
/// [`Error::ProgramFailed`].
pub fn judge(client: &ClientProgram, ended: Ended) -> Result<Ended, Error> {
    if ended.is_success() {
        return Ok(ended);
    }
    Err(Error::ProgramFailed {
        program: client.to_string(),
        status: ended.status,
        cause: Box::new(Cause::of(&ended.stderr_tail)),
        stderr_tail: ended.stderr_tail,
    })
}

/// Gives a failure of a child its cause; other errors pass through.
pub(crate) fn with_cause(client: &ClientProgram, error: holdpoint_process::Error) -> Error {
    match error {
        holdpoint_process::Error::Failed { status, stderr_tail, .. } => Error::ProgramFailed {
            program: client.to_string(),
            status,
            cause: Box::new(Cause::of(&stderr_tail)),
            stderr_tail,
        },
        other => Error::Process(other),
    }
}

/// Writes a database name as the value of a program's database option, which would read one with `=` or `://` as a
/// connection string (PostgreSQL manual, libpq, "Connection Strings").
pub(crate) fn database_argument(name: &str) -> String {
    let looks_like_more = name.contains('=') || name.contains("://") || name.is_empty();
    if looks_like_more { format!("dbname='{}'", name.replace('\\', "\\\\").replace('\'', "\\'")) } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_names_never_become_connection_strings() {
        assert_eq!(database_argument("shop"), "shop");
        assert_eq!(database_argument("a=b'c\\d"), r"dbname='a=b\'c\\d'");
        assert_eq!(database_argument("postgres://x"), "dbname='postgres://x'");
    }
}
