//! Gathering the lines of one section.

use std::future::Future;
use std::time::Duration;

use holdpoint_core::progress::Progress;
use tokio_util::sync::CancellationToken;

use super::{Check, DoctorReport, Outcome, Subject};
use crate::Error;

/// The lines of one section, as they come.
pub(super) struct Findings<'a> {
    section: &'static str,
    report: &'a mut DoctorReport,
    progress: &'a dyn Progress,
    cancel: &'a CancellationToken,
    /// Why nothing more can be tried in this section.
    over: Option<String>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(section: &'static str, subject: &'a Subject, report: &'a mut DoctorReport) -> Self {
        Self { section, report, progress: &*subject.progress, cancel: &subject.cancel, over: None }
    }

    /// Says what is being tried now.
    pub(super) fn note(&self, name: &str) {
        self.progress.note(&format!("doctor: {}, {name}", self.section));
    }

    pub(super) fn push(&mut self, name: &str, outcome: Outcome, detail: impl Into<String>, cure: impl Into<String>) {
        let (detail, cure) = (detail.into(), cure.into());
        self.report.checks.push(Check { section: self.section, name: name.to_owned(), outcome, detail, cure });
    }

    pub(super) fn ok(&mut self, name: &str, detail: impl Into<String>) {
        self.push(name, Outcome::Ok, detail, "");
    }

    pub(super) fn warning(&mut self, name: &str, detail: impl Into<String>, cure: impl Into<String>) {
        self.push(name, Outcome::Warning, detail, cure);
    }

    pub(super) fn failure(&mut self, name: &str, detail: impl Into<String>, cure: impl Into<String>) {
        self.push(name, Outcome::Failure, detail, cure);
    }

    pub(super) fn failed(&mut self, name: &str, error: &Error) {
        let cure = error.hint().unwrap_or_else(|| "see the reason; then run: holdpoint doctor".to_owned());
        self.failure(name, error.line(), cure);
    }

    /// Says aloud that something was not tried.
    pub(super) fn not_tried(&mut self, name: &str, why: &str) {
        self.warning(name, format!("not tried: {why}"), "first cure what failed above, then run: holdpoint doctor");
    }

    /// Does one piece of work within a time; a failure becomes a line and `None`.
    ///
    /// What never answers, or a connection that is lost, ends the section: the rest of it is named as not tried.
    pub(super) async fn tried<T, E: Into<Error>>(
        &mut self,
        name: &str,
        limit: Duration,
        work: impl Future<Output = Result<T, E>>,
    ) -> Option<T> {
        if let Some(why) = self.over.clone() {
            self.not_tried(name, &why);
            return None;
        }
        self.note(name);
        let done = tokio::select! {
            biased;
            () = self.cancel.cancelled() => None,
            done = tokio::time::timeout(limit, work) => Some(done),
        };
        match done {
            None => {
                self.over = Some("interrupted".to_owned());
                self.not_tried(name, "interrupted");
                None
            }
            Some(Err(_)) => {
                self.over = Some(format!("{name} did not end in time"));
                let seconds = limit.as_secs();
                self.failure(
                    name,
                    format!("no answer within {seconds} s"),
                    "look at the network and the server's load",
                );
                None
            }
            Some(Ok(Err(error))) => {
                let error = error.into();
                if matches!(error, Error::Postgres(holdpoint_postgres::Error::ConnectionLost { .. })) {
                    self.over = Some("the connection was lost".to_owned());
                }
                self.failed(name, &error);
                None
            }
            Some(Ok(Ok(value))) => Some(value),
        }
    }
}
