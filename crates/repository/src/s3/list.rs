//! Listing objects, names and unfinished uploads, page by page and in no order.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream, StreamExt};

use super::encryption::with_customer_key;
use super::failure::{dated, invalid};
use super::{Bucket, instant};
use crate::error::{Error, Result};
use crate::key::check_prefix;
use crate::store::{ObjectInfo, UnfinishedUpload};

/// Objects in one page.
const PAGE: i32 = 1000;

/// Of so many uploads in a row, at most, the store may fail to tell the parts.
const ODD_IN_A_ROW: u32 = 3;

/// Where a list goes on.
enum Next {
    First,
    Token(String),
    End,
}

impl Next {
    /// # Errors
    /// [`Error::Service`] of a page that is cut off and does not say where the list goes on, or says where it has been: a list
    /// that only looks whole would let what it lacks be taken for gone.
    fn after(self, prefix: &str, truncated: Option<bool>, token: Option<&str>) -> Result<Self> {
        if truncated != Some(true) {
            return Ok(Self::End);
        }
        match (token, self) {
            (None, _) => Err(cut_off("list", prefix)),
            (Some(token), Self::Token(before)) if token == before => {
                Err(invalid("list", prefix, "it goes on where it has been"))
            }
            (Some(token), _) => Ok(Self::Token(token.to_owned())),
        }
    }

    fn token(&self) -> Option<String> {
        match self {
            Self::Token(token) => Some(token.clone()),
            Self::First | Self::End => None,
        }
    }
}

/// A page that is not the last one and does not lead to the next.
fn cut_off(action: &'static str, of: &str) -> Error {
    invalid(action, of, "it is cut off and does not say where it goes on")
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
                let modified_at = match dated("list", key, object.last_modified()) {
                    Ok(at) => at,
                    Err(error) => return Some(Err(error)),
                };
                Some(Ok(ObjectInfo {
                    key: key.to_owned(),
                    size_bytes: object.size().and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
                    etag: object.e_tag().unwrap_or_default().to_owned(),
                    modified_at,
                    checksum: None,
                    metadata: std::collections::BTreeMap::new(),
                    retain_until: None,
                    legal_hold: false,
                }))
            });
            let found = found.collect::<Result<Vec<_>>>()?;
            let after = next.after(prefix, page.is_truncated(), page.next_continuation_token())?;
            Ok(Some((found, after)))
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
            next = next.after(prefix, page.is_truncated(), page.next_continuation_token())?;
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
        let (mut markers, mut odd) = (None::<(String, Option<String>)>, 0);
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
                let (worked_on_at, problem) = match self.newest_part_at(key, id).await {
                    Ok(part) => (part.max(upload.initiated().and_then(instant)), None),
                    // Finished or aborted since it was listed.
                    Err(error) if error.is_not_found() => continue,
                    // Nobody knows: it is left alone.
                    Err(Error::AccessDenied { .. } | Error::Unsupported { .. }) => (None, None),
                    // One alone may be odd; where several in a row fail it is the store that does.
                    Err(error) if odd < ODD_IN_A_ROW => (None, Some(error)),
                    Err(error) => return Err(error),
                };
                odd = if problem.is_some() { odd + 1 } else { 0 };
                let problem = problem.map(|error| error.to_string());
                found.push(UnfinishedUpload { key: key.to_owned(), id: id.to_owned(), worked_on_at, problem });
            }
            let following =
                page.next_key_marker().map(|k| (k.to_owned(), page.next_upload_id_marker().map(str::to_owned)));
            if page.is_truncated() != Some(true) {
                break;
            }
            if following.is_none() || following == markers {
                return Err(cut_off("list uploads of", prefix));
            }
            markers = following;
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
            if page.is_truncated() != Some(true) {
                return Ok(newest);
            }
            match page.next_part_number_marker() {
                Some(next) if marker.as_deref() != Some(next) => marker = Some(next.to_owned()),
                _ => return Err(cut_off("list parts of", key)),
            }
        }
    }
}
