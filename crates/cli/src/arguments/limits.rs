//! Flags that bound what a backup asks of the server.

use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use crate::quantity::{parse_duration, parse_rate};

/// How many work at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "JobsForm")]
pub(crate) enum Jobs {
    /// As many as help and the server can spare.
    Auto,
    /// So many, whatever it does to the server.
    Number(usize),
}

/// As the configuration writes it.
#[derive(Deserialize)]
#[serde(untagged)]
enum JobsForm {
    Number(usize),
    Word(String),
}

impl TryFrom<JobsForm> for Jobs {
    type Error = String;
    fn try_from(form: JobsForm) -> Result<Self, String> {
        match form {
            JobsForm::Number(number) => number.to_string().parse(),
            JobsForm::Word(word) => word.parse(),
        }
    }
}

impl std::str::FromStr for Jobs {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        super::jobs(text).map(Self::Number).map_err(|_| "is auto, or from 1 to 256".to_owned())
    }
}

impl Jobs {
    /// The number, where one was asked for.
    pub(crate) fn number(self) -> Option<usize> {
        match self {
            Self::Auto => None,
            Self::Number(number) => Some(number),
        }
    }
}

/// Flags that bound what a backup asks of the server; each beats its key of the section `backup`.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct LimitArguments {
    /// Work on this many pieces at a time; auto: as many as help and the server can spare [default: auto].
    #[arg(long, short, value_name = "N|auto")]
    pub(crate) jobs: Option<Jobs>,
    /// Read at most this many bytes of rows a second, such as 50M, over all connections; 0 sets no limit.
    #[arg(long, value_name = "BYTES", value_parser = parse_rate)]
    pub(crate) max_rate: Option<u64>,
    /// End the backup when it has held its snapshot for this long, such as 30m; 0 sets no limit.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) max_snapshot_age: Option<Duration>,
    /// End the backup when somebody has waited this long for a table behind it, such as 10s; 0 sets no limit.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) max_lock_wait: Option<Duration>,
}
