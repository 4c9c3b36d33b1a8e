//! Listing objects, names and unfinished uploads, page by page and in no order.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream, StreamExt};

use super::encryption::with_customer_key;
use super::{Bucket, instant};
use crate::error::{Error, Result};
use crate::key::check_prefix;
use crate::store::{ObjectInfo, UnfinishedUpload};

/// Objects in one page.
const PAGE: i32 = 1000;

/// Where a list goes on.
enum Next {
    First,
    Token(String),
    End,
}

impl Next {
    /// A page that is cut off without saying where it goes on ends the list rather than repeating it for ever.
    fn after(truncated: Option<bool>, token: Option<&str>) -> Self {
        match token.filter(|_| truncated == Some(true)) {
            Some(token) => Self::Token(token.to_owned()),
            None => Self::End,
        }
    }

    fn token(&self) -> Option<String> {
        match self {
            Self::Token(token) => Some(token.clone()),
            Self::First | Self::End => None,
        }
    }
}

impl Bucket {
    pub(super) fn list<'a>(&'a self, prefix: &'a str) -> BoxStream<'a, Result<Vec<ObjectInfo>>> {
        stream::try_unfold(Next::First, move |next| async move {
            check_prefix(prefix)?;
            if matches!(next, Next::End) {
                return Ok(None);
            }
            let page = self.list_page(prefix, None, &next).await?;
            let found = page.contents().iter().filter_map(|object| {
                // Consoles make empty objects that stand for folders.
                let key = object.key()?.strip_prefix(&self.prefix).filter(|k| !k.ends_with('/'))?;
                Some(ObjectInfo {
                    key: key.to_owned(),
                    size_bytes: object.size().and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
                    etag: object.e_tag().unwrap_or_default().to_owned(),
                    modified_at: object.last_modified().and_then(instant).unwrap_or_default(),
                    checksum: None,
                    metadata: std::collections::BTreeMap::new(),
                    retain_until: None,
                    legal_hold: false,
                })
            });
            let after = Next::after(page.is_truncated(), page.next_continuation_token());
            Ok(Some((found.collect(), after)))
        })
        .boxed()
    }

    pub(super) async fn list_children(&self, prefix: &str) -> Result<Vec<String>> {
        check_prefix(prefix)?;
        let full = self.full_key(prefix);
        let mut names = BTreeSet::new();
        let mut next = Next::First;
        while !matches!(next, Next::End) {
            let page = self.list_page(prefix, Some("/"), &next).await?;
            let below =
                page.common_prefixes().iter().filter_map(|p| p.prefix()?.strip_prefix(&full)?.strip_suffix('/'));
            names.extend(below.filter(|name| !name.is_empty()).map(str::to_owned));
            next = Next::after(page.is_truncated(), page.next_continuation_token());
        }
        Ok(names.into_iter().collect())
    }

    /// Lists a page, for whoever wants to know whether that can be done.
    pub(super) async fn look_at_prefix(&self) -> Result<()> {
        self.list_page("", None, &Next::First).await.map(drop)
    }

    async fn list_page(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        next: &Next,
    ) -> Result<aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output> {
        let full = self.full_key(prefix);
        self.call("list", prefix, |client| {
            client
                .list_objects_v2()
                .bucket(&self.name)
                .prefix(&full)
                .max_keys(PAGE)
                .set_delimiter(delimiter.map(str::to_owned))
                .set_continuation_token(next.token())
                .set_expected_bucket_owner(self.owner())
                .send()
        })
        .await
    }

    pub(super) async fn list_uploads(&self, prefix: &str) -> Result<Vec<UnfinishedUpload>> {
        check_prefix(prefix)?;
        let full = self.full_key(prefix);
        let mut found = Vec::new();
        let mut markers: Option<(String, Option<String>)> = None;
        loop {
            let page = self
                .call("list uploads of", prefix, |client| {
                    client
                        .list_multipart_uploads()
                        .bucket(&self.name)
                        .prefix(&full)
                        .set_key_marker(markers.as_ref().map(|(key, _)| key.clone()))
                        .set_upload_id_marker(markers.as_ref().and_then(|(_, id)| id.clone()))
                        .set_expected_bucket_owner(self.owner())
                        .send()
                })
                .await?;
            for upload in page.uploads() {
                let Some(key) = upload.key().and_then(|full| full.strip_prefix(&self.prefix)) else { continue };
                let Some(id) = upload.upload_id() else { continue };
                let worked_on_at = match self.newest_part_at(key, id).await {
                    Ok(part) => part.max(upload.initiated().and_then(instant)),
                    // Finished or aborted since it was listed.
                    Err(error) if error.is_not_found() => continue,
                    Err(Error::AccessDenied { .. }) => None,
                    Err(Error::Unsupported { .. }) => upload.initiated().and_then(instant),
                    Err(error) => return Err(error),
                };
                found.push(UnfinishedUpload { key: key.to_owned(), id: id.to_owned(), worked_on_at });
            }
            let following =
                page.next_key_marker().map(|k| (k.to_owned(), page.next_upload_id_marker().map(str::to_owned)));
            match following {
                Some(following) if page.is_truncated() == Some(true) && markers.as_ref() != Some(&following) => {
                    markers = Some(following);
                }
                _ => break,
            }
        }
        found.sort_unstable_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
        Ok(found)
    }

    /// When the newest part of an upload came; `None` where it has none. Parts come in no order, so all are looked at.
    async fn newest_part_at(&self, key: &str, id: &str) -> Result<Option<DateTime<Utc>>> {
        let full = self.full_key(key);
        let (mut newest, mut marker) = (None, None::<String>);
        loop {
            let page = self
                .call("list parts of", key, |client| {
                    let request = client.list_parts().bucket(&self.name).key(&full).upload_id(id);
                    let request = request.max_parts(PAGE).set_part_number_marker(marker.clone());
                    with_customer_key!(request, self.encryption).set_expected_bucket_owner(self.owner()).send()
                })
                .await?;
            let at = page.parts().iter().filter_map(|part| part.last_modified().and_then(instant)).max();
            newest = newest.max(at);
            match page.next_part_number_marker() {
                Some(next) if page.is_truncated() == Some(true) && marker.as_deref() != Some(next) => {
                    marker = Some(next.to_owned());
                }
                _ => return Ok(newest),
            }
        }
    }
}
