//! A webhook that is told of a run's start and end. That it fails is a warning, never a failure.

use std::time::Duration;

use holdpoint_core::ledger::RunState;
use holdpoint_core::{Mask, Secret};
use holdpoint_operations::webhook;
use serde::Serialize;

use crate::run::WayBack;

/// How long a message may take: nobody's migration waits for a chat.
const WITHIN: Duration = Duration::from_secs(10);
/// The version of the message's form.
const FORMAT: u32 = 1;

/// What is told.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Message {
    format: u32,
    /// One line for people; chat services show this field.
    text: String,
    /// `started`, `ended` or `refused`.
    event: &'static str,
    run: String,
    database: String,
    state: RunState,
    verdict: Option<&'static str>,
    /// Exit code of the command.
    exit_code: Option<i32>,
    command: Vec<String>,
    operator: Option<String>,
    restore_point: Option<String>,
    ways_back: Vec<WayBack>,
    reasons: Vec<String>,
}

impl Message {
    /// A message with what is known from the beginning. Words of the command must be masked already.
    pub(crate) fn new(event: &'static str, run: &str, database: &str, state: RunState, command: Vec<String>) -> Self {
        let text =
            format!("holdpoint: run {run} on {database}: {}", if event == "started" { event } else { state.word() });
        Self {
            format: FORMAT,
            text,
            event,
            run: run.to_owned(),
            database: database.to_owned(),
            state,
            verdict: None,
            exit_code: None,
            command,
            operator: None,
            restore_point: None,
            ways_back: Vec::new(),
            reasons: Vec::new(),
        }
    }

    pub(crate) fn by(mut self, operator: Option<String>) -> Self {
        self.operator = operator;
        self
    }

    pub(crate) fn relying_on(mut self, point: Option<String>) -> Self {
        self.restore_point = point;
        self
    }

    pub(crate) fn because(mut self, reasons: Vec<String>) -> Self {
        if let Some(first) = reasons.first() {
            self.text.push_str(&format!(": {first}"));
        }
        self.reasons = reasons;
        self
    }

    pub(crate) fn ended(mut self, verdict: &'static str, exit_code: Option<i32>, ways_back: Vec<WayBack>) -> Self {
        // Once it was undone, that is how the command had left it.
        let is = if self.state == RunState::Undone { "was" } else { "is" };
        self.text.push_str(&format!(", the database {is} {verdict}"));
        (self.verdict, self.exit_code, self.ways_back) = (Some(verdict), exit_code, ways_back);
        self
    }

    /// The message as it is sent.
    fn written(&self, mask: &Mask) -> Result<String, serde_json::Error> {
        webhook::masked_json(self, mask)
    }

    /// Sends it; why not, in words, which never hold the address.
    pub(crate) async fn send(self, to: &Secret, mask: &Mask) -> Option<String> {
        let json = match self.written(mask) {
            Ok(json) => json,
            Err(error) => return Some(format!("the notification could not be written: {error}")),
        };
        match webhook::exchange(to, Some(json), &[], WITHIN).await {
            Ok(status) if (200..300).contains(&status) => None,
            Ok(status) => Some(format!("the notification was answered with {status}")),
            Err(reason) => Some(format!("the notification could not be sent: {reason}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn each_text_is_masked_and_the_message_stays_json() {
        let mask = Mask::new(["qu\"ote\\d".to_owned(), "plain-secret".to_owned()]);
        let command = vec!["sh".to_owned(), "x qu\"ote\\d".to_owned()];
        let reasons = vec!["password='open".to_owned(), "line\nplain-secret".to_owned()];
        let message = Message::new("ended", "r", "shop", RunState::Failed, command).because(reasons);
        let written = message.ended("unchanged", Some(1), Vec::new()).written(&mask).unwrap();
        let read: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(read["command"], serde_json::json!(["sh", "x ***"]));
        assert_eq!(read["reasons"], serde_json::json!(["password=***", "line\n***"]));
        assert_eq!(read["exit_code"], 1);
    }

    #[test]
    fn an_undone_run_is_told_as_such() {
        let told = |state| {
            let message = Message::new("ended", "r", "shop", state, Vec::new()).because(vec!["why".to_owned()]);
            message.ended("partly applied", Some(1), Vec::new()).text
        };
        assert_eq!(told(RunState::Undone), "holdpoint: run r on shop: undone: why, the database was partly applied");
        assert_eq!(told(RunState::Failed), "holdpoint: run r on shop: failed: why, the database is partly applied");
    }
}
