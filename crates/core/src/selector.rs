//! Selectors: how a person names a restore point, the same everywhere one is asked for.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::{Error, PointId, RunId};

/// Names a restore point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// This one.
    Id(PointId),
    /// The newest.
    Latest,
    /// The newest that is proven.
    Proven,
    /// The one that a run relied on, made before it.
    BeforeRun(RunId),
    /// The newest whose snapshot is before the instant.
    BeforeInstant(DateTime<Utc>),
    /// The one that belongs to a run.
    Run(RunId),
    /// A dump that holdpoint did not make: a path or URL.
    Foreign(String),
    /// An instant of an RDS instance.
    RdsInstant(DateTime<Utc>),
    /// The instant of an RDS instance right before the command of a run.
    RdsBeforeRun(RunId),
}

impl FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |why| Error::InvalidSelector(text.to_owned(), why);
        let instant = |value: &str| {
            DateTime::parse_from_rfc3339(value)
                .map(|at| at.with_timezone(&Utc))
                .map_err(|_| invalid("expected an instant such as 2026-11-21T02:43:00Z after the colon"))
        };
        match text {
            "latest" => return Ok(Self::Latest),
            "proven" => return Ok(Self::Proven),
            _ => {}
        }
        if let Some(value) = text.strip_prefix("before:") {
            return value.parse().map(Self::BeforeRun).or_else(|_| instant(value).map(Self::BeforeInstant));
        }
        if let Some(value) = text.strip_prefix("run:") {
            return value.parse().map(Self::Run).map_err(|_| invalid("expected the id of a run after run:"));
        }
        if let Some(value) = text.strip_prefix("rds:") {
            return match value.strip_prefix("before:") {
                Some(run) => run
                    .parse()
                    .map(Self::RdsBeforeRun)
                    .map_err(|_| invalid("expected the id of a run after rds:before:")),
                None => instant(value).map(Self::RdsInstant),
            };
        }
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let dump = [".sql", ".sql.gz", ".dump", ".tar", ".pgdump", ".backup", ".dir"];
        let foreign = text.contains('/') || dump.iter().any(|ending| text.ends_with(ending));
        if foreign && !text.is_empty() {
            return Ok(Self::Foreign(text.to_owned()));
        }
        Err(invalid("use an id, latest, proven, before:RUN, before:INSTANT, run:ID, or a dump's path or s3:// URL"))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Latest => f.write_str("latest"),
            Self::Proven => f.write_str("proven"),
            Self::BeforeRun(run) => write!(f, "before:{run}"),
            Self::BeforeInstant(at) => write!(f, "before:{}", at.to_rfc3339()),
            Self::Run(run) => write!(f, "run:{run}"),
            Self::Foreign(place) => f.write_str(place),
            Self::RdsInstant(at) => write!(f, "rds:{}", at.to_rfc3339()),
            Self::RdsBeforeRun(run) => write!(f, "rds:before:{run}"),
        }
    }
}

/// Names a run: an id, `run:ID`, `latest` or `run:latest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunSelector {
    /// This one.
    Id(RunId),
    /// The newest whose command ran; without one the newest.
    Latest,
}

impl FromStr for RunSelector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.strip_prefix("run:").unwrap_or(text) {
            "latest" => Ok(Self::Latest),
            id => id.parse().map(Self::Id).map_err(|_| Error::InvalidRunSelector(text.to_owned())),
        }
    }
}

impl fmt::Display for RunSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "run:{id}"),
            Self::Latest => f.write_str("run:latest"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood() {
        let run: RunId = "20261121T024300Z-k3f9".parse().unwrap();
        assert_eq!("latest".parse::<Selector>().unwrap(), Selector::Latest);
        assert_eq!("proven".parse::<Selector>().unwrap(), Selector::Proven);
        assert_eq!("before:20261121T024300Z-k3f9".parse::<Selector>().unwrap(), Selector::BeforeRun(run.clone()));
        assert_eq!("run:20261121T024300Z-k3f9".parse::<Selector>().unwrap(), Selector::Run(run.clone()));
        assert_eq!("rds:before:20261121T024300Z-k3f9".parse::<Selector>().unwrap(), Selector::RdsBeforeRun(run));
        assert!(matches!("rds:2026-11-21T02:43:00Z".parse::<Selector>().unwrap(), Selector::RdsInstant(_)));
        assert!(matches!("before:2026-11-21T02:43:00+01:00".parse::<Selector>().unwrap(), Selector::BeforeInstant(_)));
        assert!(matches!("20261121T024300Z-k3f9".parse::<Selector>().unwrap(), Selector::Id(_)));
        assert!(matches!("./dump.sql.gz".parse::<Selector>().unwrap(), Selector::Foreign(_)));
        assert!(matches!("backup.dump".parse::<Selector>().unwrap(), Selector::Foreign(_)));
        assert!(matches!("s3://b/k".parse::<Selector>().unwrap(), Selector::Foreign(_)));
    }

    #[test]
    fn a_run_is_named_with_and_without_its_word() {
        let run: RunId = "20261121T024300Z-k3f9".parse().unwrap();
        for text in ["20261121T024300Z-k3f9", "run:20261121T024300Z-k3f9"] {
            assert_eq!(text.parse::<RunSelector>().unwrap(), RunSelector::Id(run.clone()));
        }
        for text in ["latest", "run:latest"] {
            assert_eq!(text.parse::<RunSelector>().unwrap().to_string(), "run:latest");
        }
        assert!("run:".parse::<RunSelector>().is_err() && "newest".parse::<RunSelector>().is_err());
    }

    #[test]
    fn what_is_no_selector_is_named() {
        for text in ["", "newest", "before:yesterday", "run:1", "rds:now", "rds:before:2026-11-21T02:43:00Z"] {
            let error = text.parse::<Selector>().unwrap_err().to_string();
            assert!(error.contains(&format!("\"{text}\"")), "{error}");
        }
    }
}
