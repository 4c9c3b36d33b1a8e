//! The states that a thing passes through before it rests.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How long a state lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Until so many answers have shown it; zero is never seen.
    Polls(usize),
    /// For a time; it ends with the first call after that.
    For(Duration),
    /// Until another pace is set.
    Held,
}

/// What is done when a state ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    /// Starts the server at the address of its name, or starts it again.
    Start,
    /// Gives another name, and with it another address.
    Rename(String),
    /// Makes what was asked for and is pending true.
    Apply,
    Stop,
    Remove {
        keep_backups: bool,
    },
}

#[derive(Debug, Clone)]
struct Step {
    status: String,
    then: Then,
    shown: usize,
    since: Option<Instant>,
}

/// The states to come, and the one to rest in.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    steps: VecDeque<Step>,
    pub(super) rest: String,
}

impl Standing {
    pub(super) fn resting(rest: &str) -> Self {
        Self { steps: VecDeque::new(), rest: rest.into() }
    }

    /// Adds a state behind those that there are.
    pub(super) fn then(mut self, status: &str, then: Then) -> Self {
        self.push(status, then);
        self
    }

    pub(super) fn push(&mut self, status: &str, then: Then) {
        self.steps.push_back(Step { status: status.into(), then, shown: 0, since: None });
    }

    /// Returns the state now.
    pub(super) fn status(&self) -> &str {
        self.steps.front().map_or(&self.rest, |step| &step.status)
    }

    /// An answer has shown the state.
    pub(super) fn show(&mut self) {
        if let Some(step) = self.steps.front_mut() {
            step.shown += 1;
        }
    }

    /// Ends the state when its time is over; call it until it returns `None`.
    pub(super) fn advance(&mut self, paces: &BTreeMap<String, Pace>) -> Option<Then> {
        let step = self.steps.front_mut()?;
        let since = *step.since.get_or_insert_with(Instant::now);
        let over = match paces.get(&step.status).copied().unwrap_or(Pace::Polls(1)) {
            Pace::Polls(polls) => step.shown >= polls,
            Pace::For(time) => since.elapsed() >= time,
            Pace::Held => false,
        };
        if over { self.steps.pop_front().map(|step| step.then) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_lasts_for_its_polls_and_a_held_one_until_it_is_let_go() {
        let mut standing =
            Standing::resting("available").then("creating", Then::Start).then("backing-up", Then::Nothing);
        let mut paces =
            BTreeMap::from([("creating".to_owned(), Pace::Polls(2)), ("backing-up".to_owned(), Pace::Held)]);
        for _ in 0..2 {
            assert_eq!((standing.advance(&paces), standing.status()), (None, "creating"));
            standing.show();
        }
        assert_eq!((standing.advance(&paces), standing.status()), (Some(Then::Start), "backing-up"));
        standing.show();
        assert_eq!((standing.advance(&paces), standing.status()), (None, "backing-up"));
        paces.insert("backing-up".into(), Pace::Polls(0));
        assert_eq!((standing.advance(&paces), standing.status()), (Some(Then::Nothing), "available"));
        assert_eq!(standing.advance(&paces), None);
    }
}
