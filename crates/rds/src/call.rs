//! Small turns between the SDK's values and ours.

use aws_sdk_rds::primitives::DateTime as SdkInstant;
use aws_sdk_rds::types::Tag;
use chrono::{DateTime, Utc};

use crate::marks::Tags;

/// An instant for a request. RDS works by whole seconds; a part of one would be sent and refused.
pub(crate) fn instant_out(at: DateTime<Utc>) -> SdkInstant {
    SdkInstant::from_secs(at.timestamp())
}

pub(crate) fn instant_in(at: Option<&SdkInstant>) -> Option<DateTime<Utc>> {
    let at = at?;
    DateTime::from_timestamp(at.secs(), at.subsec_nanos())
}

pub(crate) fn tags_out(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

pub(crate) fn tags_in(tags: &[Tag]) -> Tags {
    tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect()
}

/// A number that RDS gives signed and that is never negative.
pub(crate) fn count(number: Option<i32>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}

/// A number for a request.
pub(crate) fn number(count: Option<u32>) -> Option<i32> {
    count.and_then(|count| i32::try_from(count).ok())
}
