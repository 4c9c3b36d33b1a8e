//! What a webhook is told: that a run failed, that it works again, that there is a first proof.

use chrono::{DateTime, Utc};
use holdpoint_core::cron::{CronEvent, CronHistory, KILLED, StepEnd};
use serde::Serialize;

use super::{CronReport, Failed, StepReport, Telling};
use crate::webhook::{Delivery, deliver, masked_json};
use crate::{Clock, Context};

/// The version of the message's form.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Message<'a> {
    format: u32,
    /// One line for people; chat services show this field.
    text: String,
    event: CronEvent,
    database: &'a str,
    repository: &'a str,
    owner: &'a str,
    at: DateTime<Utc>,
    failing_since: Option<DateTime<Utc>>,
    succeeded_at: Option<DateTime<Utc>>,
    failure: Option<Cause<'a>>,
    steps: &'a [StepReport],
}

/// Why a run failed, as it is told.
#[derive(Serialize)]
struct Cause<'a> {
    kind: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
}

impl<'a> From<&'a Failed> for Cause<'a> {
    fn from(failed: &'a Failed) -> Self {
        Self { kind: failed.kind.word(), message: &failed.message, hint: failed.hint.as_deref() }
    }
}

/// Tells the webhook of a run that never said how it ended; gives a warning where that could not be told.
pub(super) async fn tell_killed(
    context: &Context,
    telling: &Telling,
    history: &CronHistory,
    began_at: DateTime<Utc>,
) -> Option<String> {
    let webhook = telling.webhook.as_ref()?;
    let database = context.database.as_str();
    let began = began_at.format("%Y-%m-%dT%H:%M:%SZ");
    let why = format!("the run that began {began} was killed: it never said how it ended");
    let message = Message {
        format: FORMAT,
        text: format!("holdpoint cron: {database} failed: {why}"),
        event: CronEvent::Failed,
        database,
        repository: &context.repository.url().to_string(),
        owner: &telling.owner,
        at: (context.clock)(),
        failing_since: history.failing_since,
        succeeded_at: history.succeeded_at,
        failure: Some(Cause {
            kind: KILLED,
            message: &why,
            hint: Some("what it left: holdpoint leftovers; this run goes on where it can"),
        }),
        steps: &[],
    };
    sent(webhook, telling, &message).await
}

async fn sent(webhook: &Delivery, telling: &Telling, message: &Message<'_>) -> Option<String> {
    let sent = match masked_json(message, &telling.mask) {
        Ok(json) => deliver(webhook, Some(&json)).await,
        Err(error) => Err(error.to_string()),
    };
    sent.err().map(|why| format!("the webhook was not told: {why}"))
}

/// Tells the webhook every event of a report; what could not be told is a warning of the report.
pub async fn tell(repository: &str, clock: &Clock, telling: &Telling, report: &mut CronReport) {
    let Some(webhook) = &telling.webhook else { return };
    let mut problems = Vec::new();
    for event in &report.events {
        let history = report.history.as_ref();
        let message = Message {
            format: FORMAT,
            text: text(*event, report),
            event: *event,
            database: report.database.as_str(),
            repository,
            owner: &telling.owner,
            at: clock(),
            failing_since: history.and_then(|one| one.failing_since),
            succeeded_at: history.and_then(|one| one.succeeded_at),
            failure: report.failure.as_ref().map(Cause::from),
            steps: &report.steps,
        };
        problems.extend(sent(webhook, telling, &message).await);
    }
    report.warnings.extend(problems);
}

fn text(event: CronEvent, report: &CronReport) -> String {
    let database = &report.database;
    match event {
        CronEvent::Failed => {
            let at = report.steps.iter().find(|step| step.end == StepEnd::Failed).map(|step| step.step.word());
            let at = at.map(|step| format!(" at {step}")).unwrap_or_default();
            let why = report.failure.as_ref().map(|failure| failure.message.as_str()).unwrap_or_default();
            format!("holdpoint cron: {database} failed{at}: {why}")
        }
        CronEvent::Recovered => format!("holdpoint cron: {database} works again"),
        CronEvent::FirstProof => format!("holdpoint cron: {database} has its first proven restore point"),
    }
}
