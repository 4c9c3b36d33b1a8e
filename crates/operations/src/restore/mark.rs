//! What restores write into databases' comments, so that whoever comes after a kill knows what each of them is.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

const REPLACED: &str = "holdpoint: replaced by a restore at ";
const SUCCESSOR: &str = "holdpoint: restored to take another's place ";

/// The comment of a database that a restore makes beside the one whose place it will take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Successor {
    /// The database whose place it takes.
    pub(crate) of: String,
    /// That one's OID, which stays through renames.
    pub(crate) of_oid: u32,
    /// What is restored into it: a restore point's id, or a dump's place.
    pub(crate) from: String,
    /// Under which name the other one is kept.
    pub(crate) keep_as: String,
    /// It is restored, matched, and has its properties: only the names are to be exchanged.
    pub(crate) ready: bool,
}

/// The comment of a database that a restore replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// When.
    pub(crate) at: DateTime<Utc>,
    pub(crate) more: Details,
}

/// What else the mark of a replaced database says; older ones said nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Details {
    /// Its name before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) was: Option<String>,
    /// Its own comment, which it gets again when it comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
    /// It is about to come back: the OID of the database whose place it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) takes: Option<u32>,
}

/// What a comment says of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A restore made it, to take another's place.
    Successor(Successor),
    /// A restore replaced it.
    Replaced(Replaced),
}

impl Mark {
    /// Reads a comment; `None` for one that is somebody's own.
    pub(crate) fn read(comment: &str) -> Option<Self> {
        if let Some(json) = comment.strip_prefix(SUCCESSOR) {
            return serde_json::from_str(json).ok().map(Self::Successor);
        }
        let rest = comment.strip_prefix(REPLACED)?;
        let (at, more) = rest.split_once(' ').unwrap_or((rest, "{}"));
        let at = DateTime::parse_from_rfc3339(at).ok()?.with_timezone(&Utc);
        Some(Self::Replaced(Replaced { at, more: serde_json::from_str(more).ok()? }))
    }

    /// Writes the comment.
    pub(crate) fn text(&self) -> String {
        // Neither can fail: strings, numbers and flags only.
        match self {
            Self::Successor(mark) => format!("{SUCCESSOR}{}", serde_json::to_string(mark).unwrap_or_default()),
            Self::Replaced(mark) => {
                let more = serde_json::to_string(&mark.more).unwrap_or_default();
                format!("{REPLACED}{} {more}", mark.at.to_rfc3339())
            }
        }
    }

    /// The OID of the database that it may have closed: a copy does so once it is ready.
    pub(crate) fn closes(&self) -> Option<u32> {
        match self {
            Self::Successor(mark) if !mark.ready => None,
            Self::Successor(_) | Self::Replaced(_) => self.takes(),
        }
    }

    /// The OID of the database whose place it is about to take.
    pub(crate) fn takes(&self) -> Option<u32> {
        match self {
            Self::Successor(mark) => Some(mark.of_oid),
            Self::Replaced(mark) => mark.more.takes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_they_were_written() {
        let successor = Mark::Successor(Successor {
            of: "the shop's \"db\"".into(),
            of_oid: 16_384,
            from: "20261121T024300Z-k3f9".into(),
            keep_as: "shop_before_20261121t024300z_k3f9".into(),
            ready: false,
        });
        let at = "2026-11-21T02:43:00.5Z".parse().unwrap();
        let more = Details { was: Some("shop".into()), comment: Some("it's {ours}".into()), takes: Some(7) };
        let replaced = Mark::Replaced(Replaced { at, more });
        for mark in [&successor, &replaced] {
            assert_eq!(Mark::read(&mark.text()).as_ref(), Some(mark), "{}", mark.text());
        }
        assert_eq!((successor.takes(), replaced.takes()), (Some(16_384), Some(7)));
        assert_eq!((successor.closes(), replaced.closes()), (None, Some(7)), "a copy that is not ready closed nothing");
    }

    #[test]
    fn older_marks_are_read_and_other_comments_are_not() {
        let plain = Mark::read("holdpoint: replaced by a restore at 1970-01-01T00:00:00+00:00");
        assert_eq!(plain, Some(Mark::Replaced(Replaced { at: DateTime::UNIX_EPOCH, more: Details::default() })));
        for other in [
            "the shop",
            "",
            "holdpoint: replaced by a restore at noon",
            "holdpoint: restored to take another's place x",
        ] {
            assert_eq!(Mark::read(other), None, "{other}");
        }
    }
}
