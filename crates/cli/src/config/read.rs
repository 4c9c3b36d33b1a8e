//! Reads the file's text, and turns what is wrong with it into something a person can act on.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use holdpoint_archive::Codec;
use holdpoint_core::gate::Policy;
use holdpoint_core::risk::{Requirement, RiskClass};
use holdpoint_core::verification::Level;
use holdpoint_core::{DatabaseName, Mask};
use holdpoint_guard::tools::TableName;
use holdpoint_repository::RepositoryUrl;
use serde::Deserialize;
use serde::de::{Deserializer as Read, Error as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};

use super::{Config, ConfigError, CronSection, DatabaseSection, ScratchKind, Value, WrongSection};

/// In less than this no call of RDS is answered.
const SHORTEST_ANSWER: Duration = Duration::from_millis(100);

impl Config {
    /// Reads the text of the file at `path`, which is only named in errors.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| explain(&error, text, path))?;
        config.check().map_err(|reason| ConfigError::Contradiction { path: path.to_owned(), reason })?;
        Ok(config)
    }

    /// Reads a file of which sections of databases are wrong, as if they were not there; each is found among the unreadable.
    /// One whose name cannot be a folder's is found there under another. `None` where anything else is wrong. One of environment "staging" is left out, as nobody works on it unattended.
    pub(super) fn parse_readable(text: &str, path: &Path) -> Option<Self> {
        let mut table = DeTable::parse(text).ok()?;
        let mut unreadable = BTreeMap::new();
        if let Some(DeValue::Table(databases)) = table.get_mut().get_mut("database").map(Spanned::get_mut) {
            let mut wrong = Vec::new();
            for (key, section) in databases.iter() {
                let (name, why) = match key.get_ref().parse::<DatabaseName>() {
                    Err(error) => {
                        let why = wrong_name(&error.to_string(), text, key.span().start, path);
                        (DatabaseName::in_place_of(key.get_ref()), why)
                    }
                    Ok(name) => match DatabaseSection::deserialize(ValueDeserializer::from(section.clone())) {
                        Err(error) => (name, WrongSection::from(explain(&error, text, path))),
                        Ok(_) => continue,
                    },
                };
                let environment = section.get_ref().get("environment").and_then(|one| one.get_ref().as_str());
                if environment != Some("staging") {
                    unreadable.insert(name, why);
                }
                wrong.push(key.get_ref().to_string());
            }
            for key in wrong {
                databases.remove(key.as_str());
            }
        }
        let config = Self::deserialize(Deserializer::from(table)).ok()?;
        let config = Self { unreadable, ..config };
        config.check().is_ok().then_some(config)
    }

    /// Finds keys that contradict each other.
    fn check(&self) -> Result<(), String> {
        if let Some(name) = &self.default_database
            && !self.database.contains_key(name)
            && !self.unreadable.contains_key(name)
        {
            return Err(format!("default_database is \"{name}\", and there is no [database.{name}]"));
        }
        if let Some((name, _)) = self.waiver.iter().find(|(_, waiver)| waiver.reason.trim().is_empty()) {
            return Err(format!("waiver.{name}.reason is empty: say in words why the risk is taken"));
        }
        let cron = &self.cron;
        if cron.webhook_secret.is_some() && cron.webhook.is_none() {
            return Err("cron.webhook_secret needs cron.webhook".into());
        }
        if cron.read_data.is_some_and(|percent| !(1..=100).contains(&percent)) {
            return Err("cron.read_data is from 1 to 100".into());
        }
        if cron.parallel.is_some_and(|parallel| !(1..=64).contains(&parallel)) {
            return Err("cron.parallel is from 1 to 64".into());
        }
        let scratch = &self.scratch;
        match scratch.kind {
            ScratchKind::Url if scratch.url.is_none() => return Err("scratch.kind = \"url\" needs scratch.url".into()),
            ScratchKind::Command if scratch.up.is_none() || scratch.down.is_none() => {
                return Err("scratch.kind = \"command\" needs scratch.up and scratch.down".into());
            }
            kind => {
                if kind != ScratchKind::Url && scratch.url.is_some() {
                    return Err("scratch.url needs scratch.kind = \"url\"".into());
                }
                if kind != ScratchKind::Command && (scratch.up.is_some() || scratch.down.is_some()) {
                    return Err("scratch.up and scratch.down need scratch.kind = \"command\"".into());
                }
            }
        }
        self.repository.timeouts.check()?;
        if self.rds.answer_within.is_some_and(|limit| limit < SHORTEST_ANSWER) {
            return Err("rds.answer_within is at least 100ms".into());
        }
        self.repository.s3.check().map_err(|error| match error {
            holdpoint_repository::Error::Configuration { setting, reason } => {
                format!("repository.s3.{setting} {reason}")
            }
            other => other.to_string(),
        })
    }
}

impl CronSection {
    /// Whom `[cron]` names to be told, whatever else is wrong. Where it cannot be read what messages are signed with, there is
    /// no webhook: what is to be signed is not sent unsigned.
    pub(super) fn told(text: &str) -> Self {
        let Ok(mut table) = DeTable::parse(text) else { return Self { unreadable_secret: true, ..Self::default() } };
        let Some(DeValue::Table(cron)) = table.get_mut().get_mut("cron").map(Spanned::get_mut) else {
            return Self::default();
        };
        let read = |key: &str| -> Option<Option<Value>> {
            let Some(value) = cron.get(key) else { return Some(None) };
            Value::deserialize(ValueDeserializer::from(value.clone())).ok().map(Some)
        };
        let webhook_secret = read("webhook_secret");
        let unreadable_secret = webhook_secret.is_none();
        let webhook = webhook_secret.as_ref().and_then(|_| read("webhook")).flatten();
        let webhook_secret = webhook_secret.flatten().filter(|_| webhook.is_some());
        Self { webhook, webhook_secret, unreadable_secret, ping: read("ping").flatten(), ..Self::default() }
    }
}

/// Reads a level that the gate can ask for.
pub(super) fn level<'de, D: Read<'de>>(deserializer: D) -> Result<Option<Level>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.parse() {
        Ok(level) => Ok(Some(level)),
        Err(_) => {
            let wrong = format!("{text:?} is no level that can be asked for: use stored, sampled, full or instance");
            Err(D::Error::custom(wrong))
        }
    }
}

/// Reads where the repository is: what is written out must be a URL, a variable is read when it is needed.
pub(super) fn repository<'de, D: Read<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    if let Value::Literal(text) = &value {
        text.parse::<RepositoryUrl>().map_err(D::Error::custom)?;
    }
    Ok(Some(value))
}

/// Reads what is asked for classes of risk.
pub(super) fn risk<'de, D: Read<'de>>(deserializer: D) -> Result<BTreeMap<RiskClass, Requirement>, D::Error> {
    let texts = BTreeMap::<RiskClass, String>::deserialize(deserializer)?;
    texts
        .into_iter()
        .map(|(class, text)| {
            Ok((class, requirement(&text).map_err(|reason| D::Error::custom(format!("{}: {reason}", class.word())))?))
        })
        .collect()
}

/// A level alone asks for a restore point that is made for the run; with an age, an older one does.
fn requirement(text: &str) -> Result<Requirement, String> {
    let proof = |level: &str, age: &str| {
        let wrong = || format!("\"{text}\" is not nothing, warn, refuse, or a level with an age such as \"full 1d\"");
        let level: Option<Level> = level.parse().ok();
        let age = crate::quantity::parse_duration(age)?.as_secs();
        let max_age_seconds = i64::try_from(age).map_err(|_| wrong())?;
        Ok(Requirement::ProvenRestorePoint(Policy { level: level.ok_or_else(wrong)?, max_age_seconds }))
    };
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["nothing"] => Ok(Requirement::Nothing),
        ["warn"] => Ok(Requirement::Warn),
        ["refuse"] => Ok(Requirement::Refuse),
        [level] => proof(level, "0"),
        [level, age] => proof(level, age),
        _ => proof("", "0"),
    }
}

/// Reads a table's name with its schema.
pub(super) fn table<'de, D: Read<'de>>(deserializer: D) -> Result<Option<TableName>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(D::Error::custom)
}

/// Reads a duration such as `2h`.
pub(super) fn duration<'de, D: Read<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    crate::quantity::parse_duration(&text).map(Some).map_err(D::Error::custom)
}

/// Reads a duration that may be shorter than a second.
pub(super) fn short_duration<'de, D: Read<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    crate::quantity::parse_short_duration(&text).map(Some).map_err(D::Error::custom)
}

/// Reads how often is looked, such as `15s`.
pub(super) fn pause<'de, D: Read<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    crate::quantity::parse_pause(&text).map(Some).map_err(D::Error::custom)
}

/// Reads a codec such as `zstd:3`.
pub(super) fn codec<'de, D: Read<'de>>(deserializer: D) -> Result<Option<Codec>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(D::Error::custom)
}

/// Reads the name of a time zone such as `Europe/Vienna`.
pub(super) fn zone<'de, D: Read<'de>>(deserializer: D) -> Result<Option<chrono_tz::Tz>, D::Error> {
    let text = String::deserialize(deserializer)?;
    crate::quantity::parse_zone(&text).map(Some).map_err(D::Error::custom)
}

/// Reads a rate such as `50M`.
pub(super) fn rate<'de, D: Read<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    crate::quantity::parse_rate(&text).map(Some).map_err(D::Error::custom)
}

/// The library's own rendering shows the line it stumbled over, which may hold a password; so only its message is used.
fn explain(error: &toml::de::Error, text: &str, path: &Path) -> ConfigError {
    let path = path.to_owned();
    let line = line(text, error.span().map_or(0, |span| span.start));
    let message = error.message();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let mut names = rest.split('`').skip(1).step_by(2).map(str::to_owned);
        let key = names.next().unwrap_or_default();
        let known: Vec<String> = names.collect();
        return ConfigError::UnknownKey { path, line, nearest: nearest(&key, &known), key, known };
    }
    ConfigError::Wrong { path, line, reason: Mask::default().message(&without_values(message)) }
}

/// A section whose name cannot be a folder's.
fn wrong_name(why: &str, text: &str, offset: usize, path: &Path) -> WrongSection {
    let reason = Mask::default().message(why);
    let error = ConfigError::Wrong { path: path.to_owned(), line: line(text, offset), reason };
    let hint = "call the section otherwise: the database's own name stands in its url";
    WrongSection { message: error.to_string(), hint: Some(hint.to_owned()) }
}

/// The line of a place in the text, from 1.
fn line(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// `invalid type: string "…", expected …` repeats the value: it goes.
fn without_values(message: &str) -> String {
    let Some(rest) = message.strip_prefix("invalid type: string ") else { return message.to_owned() };
    let expected = rest.rfind(", expected ").map_or("", |at| &rest[at..]);
    format!("invalid type: a string{expected}")
}

fn nearest(key: &str, known: &[String]) -> Option<String> {
    let close = |name: &&String| {
        let distance = strsim::damerau_levenshtein(key, name);
        (distance <= 1 + key.len().min(name.len()) / 3).then_some(distance)
    };
    known.iter().filter_map(|name| Some((close(&name)?, name))).min().map(|(_, name)| name.clone())
}
