//! The tags by which holdpoint knows again what it made.
//!
//! Values hold only what AWS allows in tags: letters, digits, spaces and `_.:/=+-@`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::error::told;

/// What every tag of holdpoint begins with.
pub const PREFIX: &str = "holdpoint:";
/// What it is: `restore` or `snapshot`. Whatever lacks this tag is nobody's to drop.
pub const KIND: &str = "holdpoint:kind";
/// The name that the source had.
pub const SOURCE: &str = "holdpoint:source";
/// The source's resource id, which outlives renames.
pub const SOURCE_RESOURCE: &str = "holdpoint:source-resource";
/// The instant that it was restored to.
pub const RESTORED_TO: &str = "holdpoint:restored-to";
/// When it was asked for.
pub const MADE_AT: &str = "holdpoint:made-at";
/// Its own resource id, noted once it is ready: tags that were copied to another instance do not make that one ours.
pub const RESOURCE: &str = "holdpoint:resource";
/// What was asked for other than the source has it, so that another process can go on.
pub const ASKED: &str = "holdpoint:asked";
/// The instance of a cluster, so that another process can make it.
pub const MEMBER: &str = "holdpoint:member";
/// What an instance was made for that its maker drops again, such as `recover-table`.
pub const NEEDED_FOR: &str = "holdpoint:needed-for";
/// The process that made such an instance, in words that only its maker's machine understands.
pub const MAKER: &str = "holdpoint:maker";
/// The restore point that a snapshot is recorded as.
pub const POINT: &str = "holdpoint:point";
/// The folder of that restore point.
pub const FOLDER: &str = "holdpoint:folder";
/// The id of the repository that the folder is in.
pub const REPOSITORY: &str = "holdpoint:repository";
/// When it was found to be as asked.
pub const READY_AT: &str = "holdpoint:ready-at";
/// The production name of a cut-over.
pub const CUT_OVER_NAME: &str = "holdpoint:cut-over-name";
/// The name that the source gets, or got, by a cut-over.
pub const CUT_OVER_ASIDE: &str = "holdpoint:cut-over-aside";
/// The name that the new instance had before a cut-over.
pub const CUT_OVER_WAS: &str = "holdpoint:cut-over-was";
/// How far a cut-over is: one of the four words below.
pub const CUT_OVER_STATE: &str = "holdpoint:cut-over-state";
/// Why the data were not checked before a cut-over; empty where they were.
pub const UNCHECKED: &str = "holdpoint:unchecked";
/// The renames of a cut-over are under way.
pub const BEGUN: &str = "begun";
/// The new instance has its source's name.
pub const DONE: &str = "done";
/// The renames back are under way.
pub const GOING_BACK: &str = "going-back";
/// The source has its name again.
pub const TAKEN_BACK: &str = "taken-back";

/// The most tags of one resource.
pub const MOST_TAGS: usize = 50;
/// So many tags are added once it is ready: [`READY_AT`] and [`RESOURCE`].
pub const TAGS_OF_READY: usize = 2;
/// The longest value of a tag.
pub const LONGEST_VALUE: usize = 256;

/// Tags by their keys.
pub type Tags = BTreeMap<String, String>;

/// The tags of a new instance: the source's own without AWS's and ours, and ours.
#[must_use]
pub fn of_restore(
    source_tags: &Tags,
    source: &str,
    resource: &str,
    at: Option<DateTime<Utc>>,
    asked: &str,
    now: DateTime<Utc>,
) -> Tags {
    let mut tags: Tags = own(source_tags);
    let mut put = |key: &str, value: String| tags.insert(key.to_owned(), value);
    put(KIND, "restore".to_owned());
    put(SOURCE, source.to_owned());
    put(SOURCE_RESOURCE, resource.to_owned());
    if let Some(at) = at {
        put(RESTORED_TO, told(at));
    }
    put(MADE_AT, told(now));
    if !asked.is_empty() {
        put(ASKED, asked.to_owned());
    }
    tags
}

/// The tags that a restore gets once it is found to be as asked.
#[must_use]
pub(crate) fn of_ready(resource: &str, now: DateTime<Utc>) -> Tags {
    [(READY_AT.to_owned(), told(now)), (RESOURCE.to_owned(), resource.to_owned())].into()
}

/// The tags of a resource that are its owner's: neither AWS's (`aws:`), which nobody may set, nor ours.
#[must_use]
pub fn own(tags: &Tags) -> Tags {
    let theirs = |key: &str| key.starts_with("aws:") || key.starts_with(PREFIX);
    tags.iter().filter(|(key, _)| !theirs(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Whether holdpoint made it.
#[must_use]
pub fn is_ours(tags: &Tags) -> bool {
    tags.contains_key(KIND)
}

/// Whether holdpoint made what has this resource id: tags that were copied from something that it made do not count.
#[must_use]
pub fn is_own(tags: &Tags, resource_id: &str) -> bool {
    is_ours(tags) && tags.get(RESOURCE).is_none_or(|id| id == resource_id)
}

/// Whether something was made of what has this resource id, by its tags.
#[must_use]
pub(crate) fn is_made_of(tags: &Tags, resource_id: &str) -> bool {
    tags.get(SOURCE_RESOURCE).is_some_and(|id| id == resource_id)
}

/// Whether something has every tag of holdpoint's that a call was to give it, so that this call made it.
#[must_use]
pub fn is_of(wanted: &Tags, tags: &Tags) -> bool {
    let mut ours = wanted.iter().filter(|(key, _)| key.starts_with(PREFIX));
    is_ours(wanted) && ours.all(|(key, value)| tags.get(key) == Some(value))
}

/// A text as the value of a tag may hold it: other signs become `-`, and what is too long is cut off.
#[must_use]
pub fn value(text: &str) -> String {
    let allowed = |sign: char| sign.is_ascii_alphanumeric() || " _.:/=+-@".contains(sign);
    text.chars().take(LONGEST_VALUE).map(|sign| if allowed(sign) { sign } else { '-' }).collect()
}

/// An instant out of a tag.
#[must_use]
pub fn instant(tags: &Tags, key: &str) -> Option<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(tags.get(key)?).ok()?;
    Some(at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_keeps_its_sources_tags_and_gets_ours() {
        let source: Tags = [
            ("team", "a"),
            ("aws:cloudformation:stack-name", "s"),
            ("holdpoint:kind", "restore"),
            ("holdpoint:asked", "x"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let now: DateTime<Utc> = "2026-11-21T03:00:00.5Z".parse().unwrap();
        let tags = of_restore(&source, "shop", "db-1", Some(now), "", now);
        assert_eq!(tags.get("team").map(String::as_str), Some("a"));
        assert!(!tags.keys().any(|key| key.starts_with("aws:")), "{tags:?}");
        assert!(is_ours(&tags) && !is_ours(&own(&tags)) && !tags.contains_key(ASKED));
        assert_eq!(tags[RESTORED_TO], "2026-11-21T03:00:00Z");
        assert_eq!(instant(&tags, MADE_AT).map(told), Some("2026-11-21T03:00:00Z".to_owned()));
        let allowed = |text: &str| text.chars().all(|sign| sign.is_alphanumeric() || " _.:/=+-@".contains(sign));
        assert_eq!(value("host 12 pid:[4026]"), "host 12 pid:-4026-");
        assert!(allowed(&value("a,b%c\n")) && value(&"ä".repeat(300)).len() == 256);
        assert!(tags.iter().all(|(key, value)| allowed(key) && allowed(value)), "{tags:?}");
    }
}
