//! What has to be solved before a restore can begin.

use serde::Serialize;

use crate::error::Error;
use crate::marks;

/// Something that has to be solved before the restore can begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What it is.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    pub(crate) fn of(error: &Error) -> Self {
        Self { what: error.to_string(), hint: error.hint() }
    }

    /// More tags than RDS takes.
    pub(crate) fn of_tags(of: &str, count: usize) -> Option<Self> {
        (count > marks::MOST_TAGS).then(|| Self {
            what: format!(
                "{count} tags of {of}, holdpoint's included, are more than the {} that RDS takes",
                marks::MOST_TAGS
            ),
            hint: Some("take some tags from the source away".to_owned()),
        })
    }
}
