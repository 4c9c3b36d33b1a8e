//! What happened: `DescribeEvents`.

use super::error::RdsError;
use super::instance::ACCOUNT;
use super::instant::{self, Seconds, now, written};
use super::query::Query;
use super::state::State;
use super::xml::{list, text};

/// One event.
#[derive(Debug, Clone)]
pub(super) struct Event {
    kind: &'static str,
    source: String,
    category: String,
    message: String,
    at: Seconds,
}

impl State {
    /// Notes an event of an instance.
    pub(super) fn event(&mut self, source: &str, category: &str, message: &str) {
        self.event_of("db-instance", source, category, message);
    }

    /// Notes an event of a thing of another kind.
    pub(super) fn event_of(&mut self, kind: &'static str, source: &str, category: &str, message: &str) {
        let (source, category, message) = (source.into(), category.into(), message.into());
        self.events.push(Event { kind, source, category, message, at: now() });
    }

    pub(super) fn describe_events(&mut self, query: &Query) -> Result<String, RdsError> {
        let known = [
            "SourceIdentifier",
            "SourceType",
            "StartTime",
            "EndTime",
            "Duration",
            "EventCategories",
            "MaxRecords",
            "Marker",
        ];
        query.refuse_others(&[&known])?;
        let time = |name: &str| {
            let read = |value| instant::read(value).ok_or_else(|| RdsError::value(format!("invalid {name}: {value}")));
            query.text(name).map(read).transpose()
        };
        let minutes = query.number("Duration")?.unwrap_or(60);
        if query.text("SourceIdentifier").is_some() && query.text("SourceType").is_none() {
            return Err(RdsError::combination("Cannot specify a source identifier without a source type."));
        }
        let since = time("StartTime")?.unwrap_or_else(|| now() - Seconds::from(minutes) * 60);
        let until = time("EndTime")?.unwrap_or_else(now);
        let source = query.text("SourceIdentifier").map(super::query::plain_name);
        let fits = |event: &&Event| {
            query.text("SourceType").is_none_or(|kind| kind == event.kind)
                && source.as_ref().is_none_or(|source| *source == event.source)
                && query.list("EventCategories").is_none_or(|wanted| wanted.contains(&event.category))
                && (since..=until).contains(&event.at)
        };
        let events: Vec<String> = self.events.iter().filter(fits).map(Event::xml).collect();
        self.page(query, "Events", "Event", events)
    }
}

impl Event {
    fn xml(&self) -> String {
        let arn = match self.kind {
            "db-snapshot" => "snapshot",
            "db-cluster" => "cluster",
            _ => "db",
        };
        text("SourceIdentifier", &self.source)
            + &text("SourceType", self.kind)
            + &text("Message", &self.message)
            + &list("EventCategories", "EventCategory", [self.category.clone()])
            + &text("Date", &written(self.at))
            + &text("SourceArn", &format!("arn:aws:rds:{ACCOUNT}:{arn}:{}", self.source))
    }
}
