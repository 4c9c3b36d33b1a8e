//! `holdpoint watch`.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use holdpoint::exit_code;
use holdpoint_operations::watch::{Stop, Watched, cancel, find, findings, look};
use holdpoint_operations::{Error, ErrorKind};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};

use super::confirm::confirm;
use super::printed;
use crate::arguments::WatchArguments;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output::{self, LiveScreen, WatchReport};
use crate::settings::Purpose;

/// How long one question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

pub(super) async fn run(invocation: &Invocation, arguments: &WatchArguments) -> Result<u8, Failure> {
    let settings = invocation.settings.connection(Purpose::Direct)?.settings;
    match arguments.cancel {
        Some(pid) => stop(invocation, arguments, &settings, pid).await,
        None => show(invocation, arguments, settings).await,
    }
}

async fn connect(settings: &ConnectionSettings) -> Result<Session, Failure> {
    let session = Session::connect(settings, &SessionPurpose::new("holdpoint watch")).await;
    session.map_err(|error| Error::from(error).into())
}

async fn stop(
    invocation: &Invocation,
    arguments: &WatchArguments,
    settings: &ConnectionSettings,
    pid: i32,
) -> Result<u8, Failure> {
    let session = connect(settings).await?;
    let target = find(&session, pid).await?;
    let doing = match (&target.query, target.state.as_deref()) {
        (Some(query), Some("active")) => format!(", which runs: {query}"),
        (Some(query), Some(state)) => format!(", which is {state}, after: {query}"),
        _ => String::new(),
    };
    let (stop, verb) = match arguments.terminate {
        true => (Stop::Session, "end the session of"),
        false => (Stop::Statement, "cancel the statement of"),
    };
    let question = format!("This will {verb} {}{doing}", target.name()).replace(char::is_control, " ");
    confirm(invocation, arguments.yes, &question)?;
    if arguments.yes {
        invocation.output.aside(&format!("{question}.\n"));
    }
    let report = cancel(&session, &target, stop, None).await?;
    session.close().await;
    printed(invocation.output.report(&report, output::stopped))?;
    Ok(if report.took_effect { exit_code::DONE } else { exit_code::BUSY })
}

async fn show(
    invocation: &Invocation,
    arguments: &WatchArguments,
    settings: ConnectionSettings,
) -> Result<u8, Failure> {
    let watched = Watched {
        token: arguments.run.as_ref().map(|run| format!("holdpoint:{run}")),
        longer_than: arguments.longer_than,
        answer_within: ANSWER_WITHIN,
    };
    let mut session = connect(&settings).await?;
    if arguments.once {
        let report = one(&session, &watched).await?;
        printed(invocation.output.report(&report, output::watch))?;
        return Ok(if report.findings.is_empty() { exit_code::DONE } else { exit_code::FINDINGS });
    }
    let lives = !invocation.output.json && io::stdout().is_terminal() && io::stdin().is_terminal();
    let mut screen = if lives { Some(LiveScreen::begin().map_err(unreadable)?) } else { None };
    loop {
        match one(&session, &watched).await {
            Ok(report) => {
                let reads_on = match &mut screen {
                    Some(screen) => screen.draw(&output::watch(&report)).map(|()| true),
                    None => invocation.output.one_of_many(&report, output::watch),
                };
                if !reads_on.map_err(Failure::Unprinted)? {
                    return Ok(exit_code::DONE);
                }
            }
            Err(failure) => session = again(invocation, arguments, &settings, screen.as_mut(), failure).await?,
        }
        match rest(invocation, arguments, screen.as_mut()).await {
            Next::Look => {}
            Next::Interrupted => return Ok(exit_code::INTERRUPTED),
            Next::Quit => return Ok(exit_code::DONE),
        }
    }
}

async fn one(session: &Session, watched: &Watched) -> Result<WatchReport, Failure> {
    let picture = look(session, watched).await?;
    let findings = findings(&picture, watched.longer_than);
    Ok(WatchReport { picture, findings })
}

/// What comes after a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Look,
    Interrupted,
    Quit,
}

/// Rests until the next look, or until somebody wants no more of them.
async fn rest(invocation: &Invocation, arguments: &WatchArguments, screen: Option<&mut LiveScreen>) -> Next {
    let asked_to_quit = async {
        match screen {
            Some(screen) => screen.quit().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = tokio::time::sleep(arguments.interval) => Next::Look,
        () = invocation.cancel.cancelled() => Next::Interrupted,
        () = asked_to_quit => Next::Quit,
    }
}

/// Connects again, and again, while the server is away: that is when somebody watches.
async fn again(
    invocation: &Invocation,
    arguments: &WatchArguments,
    settings: &ConnectionSettings,
    mut screen: Option<&mut LiveScreen>,
    mut failure: Failure,
) -> Result<Session, Failure> {
    loop {
        let is_away = matches!(&failure, Failure::Operation(error) if is_transient(error));
        if !is_away {
            return Err(failure);
        }
        let text = format!("{failure}; trying again");
        match &mut screen {
            Some(screen) => screen.draw(&text).map_err(Failure::Unprinted)?,
            None => tracing::warn!("{text}"),
        }
        if rest(invocation, arguments, screen.as_deref_mut()).await != Next::Look {
            return Err(Error::Interrupted.into());
        }
        match connect(settings).await {
            Ok(session) => return Ok(session),
            Err(next) => failure = next,
        }
    }
}

fn is_transient(error: &Error) -> bool {
    error.kind() == ErrorKind::Postgres && matches!(error, Error::Postgres(error) if error.is_transient())
}

fn unreadable(source: io::Error) -> Failure {
    Failure::Io { what: "preparing the terminal".to_owned(), source }
}
