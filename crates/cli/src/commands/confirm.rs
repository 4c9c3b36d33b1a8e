//! Asks a person before something that cannot be taken back.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::failure::Failure;
use crate::invocation::Invocation;

/// Goes on with `yes`, or when a person at a terminal types it.
///
/// # Errors
/// [`Failure::ConfirmationNeeded`] where nobody can be asked, or the answer is another.
pub(super) fn confirm(invocation: &Invocation, yes: bool, what: &str) -> Result<(), Failure> {
    confirm_by(invocation, yes, what, "yes")
}

/// Goes on with `yes`, or when a person at a terminal types that very word, such as the name of what is at stake.
///
/// # Errors
/// As [`confirm`].
pub(super) fn confirm_by(invocation: &Invocation, yes: bool, what: &str, word: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    somebody_is_there(invocation, yes, what)?;
    invocation.progress.rest();
    let answer = ask(what, word).map_err(|source| Failure::Io { what: "asking".to_owned(), source })?;
    if answer.trim() == word { Ok(()) } else { Err(needed(what)) }
}

/// Asks for a yes, where it is known that somebody is there.
pub(super) fn answered(what: &str) -> bool {
    ask(what, "yes").is_ok_and(|answer| answer.trim() == "yes")
}

/// Goes on where a question makes sense, or none is needed: long work before it would else be for nothing.
///
/// # Errors
/// As [`confirm`].
pub(super) fn somebody_is_there(invocation: &Invocation, yes: bool, what: &str) -> Result<(), Failure> {
    let nobody = invocation.output.json || !io::stdin().is_terminal() || !io::stderr().is_terminal();
    if nobody && !yes { Err(needed(what)) } else { Ok(()) }
}

/// Nobody said yes.
pub(super) fn needed(what: &str) -> Failure {
    Failure::ConfirmationNeeded { message: format!("nobody confirmed: {what}") }
}

fn ask(what: &str, word: &str) -> io::Result<String> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{what}.\nType {word} to go on: ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer)
}
