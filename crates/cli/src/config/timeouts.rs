//! How long a bucket may take, and how often it is asked.

use std::time::Duration;

use holdpoint_repository::Timing;
use serde::Deserialize;

use super::read;

/// Limits of requests to a bucket; each instead of the program's own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TimeoutsSection {
    /// To open a connection.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) connect: Option<Duration>,
    /// One attempt of a request, until its answer.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) answer: Option<Duration>,
    /// A request with all its attempts and pauses.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) request: Option<Duration>,
    /// One attempt to put the parts of an upload together.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) complete: Option<Duration>,
    /// While no byte moves.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) stall: Option<Duration>,
    /// Attempts of one request.
    pub(crate) attempts: Option<u32>,
}

impl TimeoutsSection {
    /// Finds limits under which nothing would ever succeed.
    pub(super) fn check(&self) -> Result<(), String> {
        let times = [
            ("connect", self.connect),
            ("answer", self.answer),
            ("request", self.request),
            ("complete", self.complete),
            ("stall", self.stall),
        ];
        if let Some((key, _)) = times.iter().find(|(_, time)| time.is_some_and(|time| time < Duration::from_secs(1))) {
            return Err(format!("repository.timeouts.{key} is at least 1s"));
        }
        if self.attempts.is_some_and(|attempts| !(1..=100).contains(&attempts)) {
            return Err("repository.timeouts.attempts is from 1 to 100".to_owned());
        }
        Ok(())
    }

    /// The limits with those that are not set.
    pub(crate) fn timing(&self) -> Timing {
        let usual = Timing::default();
        Timing {
            connect_for: self.connect.unwrap_or(usual.connect_for),
            answer_for: self.answer.unwrap_or(usual.answer_for),
            request_for: self.request.unwrap_or(usual.request_for),
            complete_for: self.complete.unwrap_or(usual.complete_for),
            stall_for: self.stall.unwrap_or(usual.stall_for),
            attempts: self.attempts.unwrap_or(usual.attempts),
            ..usual
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_counts_and_the_rest_is_usual() {
        let read = |text: &str| toml::from_str::<TimeoutsSection>(text).unwrap();
        let timing = read("answer = \"2m\"\nattempts = 3").timing();
        let usual = Timing::default();
        assert_eq!((timing.answer_for, timing.attempts), (Duration::from_secs(120), 3));
        assert_eq!((timing.connect_for, timing.stall_for), (usual.connect_for, usual.stall_for));
        for (wrong, named) in [("stall = \"0\"", "timeouts.stall"), ("attempts = 0", "timeouts.attempts")] {
            let refused = read(wrong).check().unwrap_err();
            assert!(refused.contains(named), "{refused}");
        }
    }
}
