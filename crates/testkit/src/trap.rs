//! Traps of a [`FaultProxy`](crate::FaultProxy): what happens when a word passes, on whatever connection.

use std::sync::{Mutex, PoisonError};

use crate::http::find;

/// What a trap does to the connection on which its word passed from the client to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trap {
    /// The server gets the word and does it; the client sees the connection reset in place of the answer.
    LoseAnswer,
    /// The connection is reset and the server does not get the word.
    Reset,
}

#[derive(Debug)]
struct Set {
    word: Vec<u8>,
    trap: Trap,
    left: usize,
}

/// The traps that are set.
#[derive(Debug, Default)]
pub(crate) struct Traps(Mutex<Vec<Set>>);

impl Traps {
    pub(crate) fn set(&self, word: &[u8], trap: Trap, times: usize) {
        self.lock().push(Set { word: word.to_vec(), trap, left: times });
    }

    /// Returns how often traps may still spring.
    pub(crate) fn left(&self) -> usize {
        self.lock().iter().map(|set| set.left).sum()
    }

    /// Looks at the next bytes of one connection, of which `tail` keeps the end; says which trap springs.
    pub(crate) fn spring(&self, tail: &mut Vec<u8>, bytes: &[u8]) -> Option<Trap> {
        let mut sets = self.lock();
        let longest = sets.iter().map(|set| set.word.len()).max()?;
        tail.extend_from_slice(bytes);
        let passes = |word: &[u8]| find(tail, word).is_some();
        let sprung = sets.iter_mut().find(|set| set.left > 0 && passes(&set.word));
        let trap = sprung.map(|set| {
            set.left -= 1;
            set.trap
        });
        let keep = if trap.is_some() { 0 } else { longest - 1 };
        tail.drain(..tail.len().saturating_sub(keep));
        trap
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Set>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_across_borders_and_as_often_as_set() {
        let traps = Traps::default();
        assert_eq!(traps.spring(&mut Vec::new(), b"COMMIT"), None);
        traps.set(b"COMMIT", Trap::LoseAnswer, 1);
        let mut tail = Vec::new();
        assert_eq!(traps.spring(&mut tail, b"xxCOM"), None);
        assert_eq!(traps.spring(&mut tail, b"MITxx"), Some(Trap::LoseAnswer));
        assert_eq!((traps.spring(&mut tail, b"COMMIT"), traps.left()), (None, 0));
    }
}
