//! Damage at rest and damage on the way: what comes from a bucket and is not as written is read once more.
//!
//! A range of an object carries no checksum of the store, so a byte that a network card or a proxy turned looks like one
//! that rotted. Only the second reading tells them apart, and only the second decides.

use crate::error::chain;
use crate::{Context, Error};

/// What was wrong with the bytes that came, where another reading may bring others; a disk's own are read through the
/// machine's cache, and would be the same.
pub(crate) fn perhaps_on_the_way<T>(context: &Context, outcome: &Result<T, Error>) -> Option<String> {
    if context.repository.url().is_local() || context.cancel.is_cancelled() {
        return None;
    }
    damage(outcome.as_ref().err()?)
}

/// What is known once everything was read again.
pub(crate) fn read_twice<T>(first: &str, second: &Result<T, Error>) -> String {
    match second {
        Err(error) if damage(error).is_some() => {
            format!("everything was read twice, and is damaged in the repository itself; the first time: {first}")
        }
        _ => format!(
            "bytes arrived damaged once, and as written when they were read again: look at the network and at what \
             stands before the store; the first time: {first}"
        ),
    }
}

fn damage(error: &Error) -> Option<String> {
    match error {
        Error::Engine(error) if error.is_damage() => Some(chain(error)),
        Error::Repository(error @ holdpoint_repository::Error::Corrupt { .. }) => Some(chain(error)),
        _ => None,
    }
}
