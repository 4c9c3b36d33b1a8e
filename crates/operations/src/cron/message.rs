//! What a webhook is told: that a run failed, that it works again, that there is a first proof.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, stream};
use holdpoint_core::cron::{CronEvent, CronHistory, KILLED, StepEnd};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::{CronReport, Failed, StepReport, Telling};
use crate::webhook::{Delivery, deliver, masked_json};
use crate::{Clock, Context};

/// So many messages are on their way at a time.
const AT_ONCE: usize = 64;
/// The version of the message's form.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Message<'a> {
    format: u32,
    /// One line for people; chat services show this field.
    text: String,
    event: CronEvent,
    /// `None` where none was reached.
    database: Option<&'a str>,
    repository: Option<&'a str>,
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
        database: Some(database),
        repository: Some(&context.repository.url().to_string()),
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

/// Tells the webhook of a run that ended before it reached any database; gives a warning where that could not be told.
pub async fn tell_unbegun(
    repository: Option<&str>,
    clock: &Clock,
    telling: &Telling,
    failure: &Failed,
) -> Option<String> {
    let webhook = telling.webhook.as_ref()?;
    let message = Message {
        format: FORMAT,
        text: format!("holdpoint cron: nothing was begun: {}", failure.message),
        event: CronEvent::Failed,
        database: None,
        repository,
        owner: &telling.owner,
        at: clock(),
        failing_since: None,
        succeeded_at: None,
        failure: Some(Cause::from(failure)),
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

/// Tells the webhook of each report of which it was not told yet, many at a time, of all within a time; what could not be
/// told is a warning of the report.
pub async fn tell_each(
    repository: &str,
    clock: &Clock,
    telling: &Telling,
    reports: &mut [CronReport],
    within: Duration,
) {
    if telling.webhook.is_none() {
        return;
    }
    let until = Instant::now() + within;
    let untold = reports.iter_mut().filter(|report| !report.told && !report.events.is_empty());
    stream::iter(untold)
        .for_each_concurrent(AT_ONCE, |report| async move {
            if timeout_at(until, tell(repository, clock, telling, report)).await.is_err() {
                report.warnings.push(format!("the webhook was not told: no answer within {} s", within.as_secs_f32()));
            }
        })
        .await;
}

/// Tells the webhook every event of a report; what could not be told is a warning of the report.
pub(super) async fn tell(repository: &str, clock: &Clock, telling: &Telling, report: &mut CronReport) {
    report.told = true;
    let Some(webhook) = &telling.webhook else { return };
    let (mut told, mut problems) = (Vec::new(), Vec::new());
    for event in &report.events {
        let history = report.history.as_ref();
        let message = Message {
            format: FORMAT,
            text: text(*event, report),
            event: *event,
            database: Some(report.database.as_str()),
            repository: Some(repository),
            owner: &telling.owner,
            at: clock(),
            failing_since: history.and_then(|one| one.failing_since),
            succeeded_at: history.and_then(|one| one.succeeded_at),
            failure: report.failure.as_ref().map(Cause::from),
            steps: &report.steps,
        };
        match sent(webhook, telling, &message).await {
            None => told.push(*event),
            problem => problems.extend(problem),
        }
    }
    if let Some(history) = &mut report.history {
        history.untold.retain(|event| !told.contains(event));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use holdpoint_core::Secret;
    use holdpoint_core::cron::Turn;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{ErrorKind, sample_context};

    #[tokio::test]
    async fn who_never_answers_is_waited_for_once_for_all() {
        // Connections are taken, and nobody reads them.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let clock: Clock = Arc::new(sample_context::now);
        let to = Secret::new(format!("http://{}/hook", silent.local_addr().unwrap()));
        let cancel = CancellationToken::new();
        cancel.cancel();
        let webhook = Some(Delivery { to, secret: None, clock: Arc::clone(&clock), seed: 7, cancel });
        let telling = Telling { owner: "a".to_owned(), webhook, mask: Default::default() };
        let turn = Turn { id: "t1".to_owned(), began_at: sample_context::now() };
        let failed = || Failed { kind: ErrorKind::Interrupted, message: String::new(), hint: None };
        let report = |n: u32, events| {
            let mut report = CronReport::refused(format!("db{n}").parse().unwrap(), &turn, failed());
            report.events = events;
            report
        };
        let mut reports: Vec<_> = (0..20).map(|n| report(n, vec![CronEvent::Failed])).collect();
        reports[0].told = true;
        reports.push(report(20, Vec::new()));
        let began = Instant::now();
        tell_each("s3://b/p", &clock, &telling, &mut reports, Duration::from_millis(500)).await;
        // Each by itself is waited for for ten seconds, and there are twenty.
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        for (n, report) in reports.iter().enumerate() {
            let told = (1..20).contains(&n);
            let warned = report.warnings.iter().filter(|one| one.contains("was not told: no answer within 0.5 s"));
            assert_eq!((warned.count(), report.told), (usize::from(told), n < 20), "{report:?}");
        }
    }
}
