//! The next step for failures that do not know it themselves: by the cause, else by the kind.

use std::error::Error as StdError;

use holdpoint_guard::shell_quote;
use holdpoint_operations::{Error as Operation, ErrorKind, hint};
use holdpoint_postgres::Error as Postgres;
use holdpoint_repository::Error as Repository;

/// Gives the hint of one error of a chain.
pub(crate) fn of_cause(error: &(dyn StdError + 'static)) -> Option<String> {
    error
        .downcast_ref::<Box<Postgres>>()
        .and_then(|error| hint::of_postgres(error))
        .or_else(|| error.downcast_ref::<Postgres>().and_then(hint::of_postgres))
        .or_else(|| error.downcast_ref::<Repository>().and_then(hint::of_repository))
        .or_else(|| error.downcast_ref::<Operation>().and_then(Operation::hint))
}

/// Puts flags behind the run of each `holdpoint undo` of a hint, so that it can be pasted.
pub(crate) fn with_flags_of_undo(hint: &str, flags: &[String]) -> String {
    const UNDO: &str = "holdpoint undo ";
    let flags: String = flags.iter().map(|word| format!(" {}", shell_quote(word))).collect();
    let (mut text, mut rest) = (String::new(), hint);
    while let Some(at) = rest.find(UNDO) {
        let run = at + UNDO.len();
        let end = rest[run..].find([' ', ';', ',']).map_or(rest.len(), |end| run + end);
        text.push_str(&rest[..end]);
        text.push_str(&flags);
        rest = &rest[end..];
    }
    text + rest
}

/// Gives the hint of a kind of failure, where nothing more exact is known.
pub(crate) fn of_kind(kind: ErrorKind) -> Option<String> {
    let hint = match kind {
        ErrorKind::Internal => "run it again with -vv, and report what it says",
        ErrorKind::Usage => "see holdpoint help",
        ErrorKind::Refused => "the message says which rule protects the data; see docs/exit-codes.md",
        ErrorKind::Disproved => "use another restore point: holdpoint list; make a new one: holdpoint backup --verify",
        ErrorKind::CouldNotRun => "see what is missing here: holdpoint doctor",
        ErrorKind::NotFound => "see what there is: holdpoint list",
        ErrorKind::Postgres | ErrorKind::Repository => "see what would fail: holdpoint doctor",
        ErrorKind::ControlPlane => "nothing was taken back; see what is there: holdpoint rds list",
        ErrorKind::Busy => "wait for the other one to end, then try again",
        ErrorKind::Differences => "the report lists what differs",
        ErrorKind::ConfirmationNeeded => "say --yes where nobody can be asked",
        ErrorKind::WayBackFailed => "look at the database before anything else: holdpoint status, holdpoint compare",
        ErrorKind::Interrupted => "nothing was published; see whether something remains: holdpoint leftovers",
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_undo_of_a_hint_finds_the_project_again() {
        let flags = ["--tool", "plain-sql", "--migrations", "/srv/my sql"].map(str::to_owned);
        let told = with_flags_of_undo("undo them first: holdpoint undo r2; holdpoint undo r1 --way recover", &flags);
        let each = "--tool plain-sql --migrations '/srv/my sql'";
        assert_eq!(told, format!("undo them first: holdpoint undo r2 {each}; holdpoint undo r1 {each} --way recover"));
        assert_eq!(with_flags_of_undo("see: holdpoint undo r1", &[]), "see: holdpoint undo r1");
        assert_eq!(with_flags_of_undo("see: holdpoint runs", &flags), "see: holdpoint runs");
    }
}
