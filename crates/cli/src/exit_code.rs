//! The published exit codes (`docs/exit-codes.md`): scripts rely on them, so they never change their meaning.

use holdpoint_operations::ErrorKind;

/// Done.
pub const DONE: u8 = 0;
/// A defect of this program.
pub const INTERNAL: u8 = 1;
/// Wrong usage or configuration.
pub const USAGE: u8 = 2;
/// Refused by the gate or by a rule that protects data.
pub const REFUSED: u8 = 3;
/// A verification disproved a restore point.
pub const DISPROVED: u8 = 4;
/// A verification could not run, or the deadline passed.
pub const COULD_NOT_RUN: u8 = 5;
/// What was asked for does not exist.
pub const NOT_FOUND: u8 = 6;
/// PostgreSQL or its programs.
pub const POSTGRES: u8 = 7;
/// The repository.
pub const REPOSITORY: u8 = 8;
/// The AWS control plane.
pub const CONTROL_PLANE: u8 = 9;
/// The guarded command failed, and nothing was applied.
pub const COMMAND_FAILED: u8 = 10;
/// The guarded command's changes are there in part, or not as planned.
pub const APPLIED_IN_PART: u8 = 11;
/// The guarded command failed and was undone.
pub const UNDONE: u8 = 12;
/// The guarded command failed and so did the way back, or the rehearsal escaped.
pub const WAY_BACK_FAILED: u8 = 13;
/// Somebody else is at it: retry later.
pub const BUSY: u8 = 14;
/// Differences or findings.
pub const FINDINGS: u8 = 15;
/// A person has to confirm.
pub const CONFIRMATION_NEEDED: u8 = 16;
/// Interrupted.
pub const INTERRUPTED: u8 = 130;

/// Every code with its name, in the order of the table.
pub const ALL: [(u8, &str); 18] = [
    (DONE, "done"),
    (INTERNAL, "internal"),
    (USAGE, "usage"),
    (REFUSED, "refused"),
    (DISPROVED, "disproved"),
    (COULD_NOT_RUN, "could-not-run"),
    (NOT_FOUND, "not-found"),
    (POSTGRES, "postgresql"),
    (REPOSITORY, "repository"),
    (CONTROL_PLANE, "control-plane"),
    (COMMAND_FAILED, "command-failed"),
    (APPLIED_IN_PART, "applied-in-part"),
    (UNDONE, "undone"),
    (WAY_BACK_FAILED, "way-back-failed"),
    (BUSY, "busy"),
    (FINDINGS, "findings"),
    (CONFIRMATION_NEEDED, "confirmation-needed"),
    (INTERRUPTED, "interrupted"),
];

/// The order in which one of several failures is told.
const WORST_FIRST: [u8; 9] = [
    WAY_BACK_FAILED,
    INTERNAL,
    APPLIED_IN_PART,
    DISPROVED,
    REPOSITORY,
    POSTGRES,
    CONTROL_PLANE,
    COULD_NOT_RUN,
    REFUSED,
];

/// Gives the code of a kind of failure.
pub fn of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Internal => INTERNAL,
        ErrorKind::Usage => USAGE,
        ErrorKind::Refused => REFUSED,
        ErrorKind::Disproved => DISPROVED,
        ErrorKind::CouldNotRun => COULD_NOT_RUN,
        ErrorKind::NotFound => NOT_FOUND,
        ErrorKind::Postgres => POSTGRES,
        ErrorKind::Repository => REPOSITORY,
        ErrorKind::Busy => BUSY,
        ErrorKind::ControlPlane => CONTROL_PLANE,
        ErrorKind::Differences => FINDINGS,
        ErrorKind::WayBackFailed => WAY_BACK_FAILED,
        ErrorKind::ConfirmationNeeded => CONFIRMATION_NEEDED,
        ErrorKind::Interrupted => INTERRUPTED,
    }
}

/// Gives the worse of two codes; of two that the order does not name, the first. That somebody else is at it counts least:
/// whoever takes it for a success must not miss a failure beside it.
pub fn worst(one: u8, other: u8) -> u8 {
    let rank = |code: u8| match code {
        DONE => usize::MAX,
        BUSY => WORST_FIRST.len() + 1,
        code => WORST_FIRST.iter().position(|worse| *worse == code).unwrap_or(WORST_FIRST.len()),
    };
    if rank(other) < rank(one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_documentation_has_every_code() {
        let document = include_str!("../../../docs/exit-codes.md");
        for (code, name) in ALL {
            assert!(document.contains(&format!("| {code} | `{name}` |")), "{code} {name} is not in docs/exit-codes.md");
        }
        let rows = document.lines().filter(|line| {
            line.strip_prefix("| ")
                .is_some_and(|row| row.starts_with(|c: char| c.is_ascii_digit()) && row.matches('|').count() == 3)
        });
        assert_eq!(rows.count(), ALL.len());
    }

    #[test]
    fn codes_are_distinct() {
        let codes: std::collections::BTreeSet<u8> = ALL.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes.len(), ALL.len());
    }

    #[test]
    fn the_worst_is_told() {
        assert_eq!(worst(DONE, USAGE), USAGE);
        assert_eq!(worst(POSTGRES, DISPROVED), DISPROVED);
        assert_eq!(worst(INTERNAL, WAY_BACK_FAILED), WAY_BACK_FAILED);
        assert_eq!(worst(INTERNAL, APPLIED_IN_PART), INTERNAL);
        assert_eq!(worst(REPOSITORY, POSTGRES), REPOSITORY);
        assert_eq!(worst(INTERRUPTED, FINDINGS), INTERRUPTED, "of equals the first");
    }

    #[test]
    fn that_somebody_else_is_at_it_hides_no_failure() {
        for (code, name) in ALL.iter().filter(|(code, _)| *code != DONE) {
            assert_eq!((worst(BUSY, *code), worst(*code, BUSY)), (*code, *code), "{name}");
        }
        assert_eq!((worst(BUSY, DONE), worst(DONE, BUSY)), (BUSY, BUSY));
    }
}
