//! Asks a person before something that cannot be taken back.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::failure::Failure;
use crate::invocation::Invocation;

/// Goes on with `yes`, or when a person at a terminal types it.
///
/// # Errors
/// [`Failure::ConfirmationNeeded`] where nobody can be asked, or the answer is another.
pub(super) fn confirm(invocation: &Invocation, yes: bool, what: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let needed = || Failure::ConfirmationNeeded { message: format!("nobody confirmed: {what}") };
    if invocation.output.json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(needed());
    }
    let answer = ask(what).map_err(|source| Failure::Io { what: "asking".to_owned(), source })?;
    if answer.trim() == "yes" { Ok(()) } else { Err(needed()) }
}

fn ask(what: &str) -> io::Result<String> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{what}.\nType yes to go on: ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer)
}
