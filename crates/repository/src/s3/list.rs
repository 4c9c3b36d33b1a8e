//! Listing objects, names and unfinished uploads, page by page and in no order.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream, StreamExt};

use super::encryption::with_customer_key;
use super::failure::dated;
use super::pages::Pages;
use super::{Bucket, instant};
use crate::error::{Error, Result};
use crate::key::check_prefix;
use crate::store::{ObjectInfo, UnfinishedUpload};

/// Objects in one page.
const PAGE: i32 = 1000;

/// Of so many uploads in a row, at most, the store may fail to tell the parts.
const ODD_IN_A_ROW: u32 = 3;

impl Bucket {
    pub(super) fn list<'a>(&'a self, prefix: &'a str) -> BoxStream<'a, Result<Vec<ObjectInfo>>> {
        stream::try_unfold(Pages::default(), move |mut pages| async move {
            check_prefix(prefix)?;
            if pages.ended() {
                return Ok(None);
            }
            let page = self.list_page(prefix, None, pages.token()).await?;
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
            let first = page.contents().first().and_then(|object| object.key());
            pages.follow(("list", prefix), page.is_truncated(), page.next_continuation_token(), first)?;
            Ok(Some((found, pages)))
        })
        .boxed()
    }

    pub(super) async fn list_children(&self, prefix: &str) -> Result<Vec<String>> {
        check_prefix(prefix)?;
        let full = self.full_key(prefix);
        let mut names = BTreeSet::new();
        let mut pages = Pages::default();
        while !pages.ended() {
            let page = self.list_page(prefix, Some("/"), pages.token()).await?;
            let below =
                page.common_prefixes().iter().filter_map(|p| p.prefix()?.strip_prefix(&full)?.strip_suffix('/'));
            names.extend(below.filter(|name| !name.is_empty()).map(str::to_owned));
            let object = page.contents().first().and_then(|object| object.key());
            let first = page.common_prefixes().first().and_then(|one| one.prefix()).or(object);
            pages.follow(("list", prefix), page.is_truncated(), page.next_continuation_token(), first)?;
        }
        Ok(names.into_iter().collect())
    }

    /// Lists a page, for whoever wants to know whether that can be done.
    pub(super) async fn look_at_prefix(&self) -> Result<()> {
        self.list_page("", None, None).await.map(drop)
    }

    pub(super) async fn list_page(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        token: Option<&str>,
    ) -> Result<aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output> {
        let full = self.full_key(prefix);
        self.call("list", prefix, |client| {
            client
                .list_objects_v2()
                .bucket(&self.name)
                .prefix(&full)
                .max_keys(PAGE)
                .set_delimiter(delimiter.map(str::to_owned))
                .set_continuation_token(token.map(str::to_owned))
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
        let mut pages = Pages::default();
        while !pages.ended() {
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
            // No key holds a line feed.
            let name = |key: &str, id: Option<&str>| format!("{key}\n{}", id.unwrap_or_default());
            let token = page.next_key_marker().map(|key| name(key, page.next_upload_id_marker()));
            let first = page.uploads().first().map(|one| name(one.key().unwrap_or_default(), one.upload_id()));
            pages.follow(("list uploads of", prefix), page.is_truncated(), token.as_deref(), first.as_deref())?;
            markers = page.next_key_marker().map(|k| (k.to_owned(), page.next_upload_id_marker().map(str::to_owned)));
        }
        found.sort_unstable_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
        Ok(found)
    }

    /// When the newest part of an upload came; `None` where it has none. Parts come in no order, so all are looked at.
    async fn newest_part_at(&self, key: &str, id: &str) -> Result<Option<DateTime<Utc>>> {
        let full = self.full_key(key);
        let (mut newest, mut pages) = (None, Pages::default());
        while !pages.ended() {
            let page = self
                .call("list parts of", key, |client| {
                    let request = client.list_parts().bucket(&self.name).key(&full).upload_id(id);
                    let request = request.max_parts(PAGE).set_part_number_marker(pages.token().map(str::to_owned));
                    with_customer_key!(request, self.encryption).set_expected_bucket_owner(self.owner()).send()
                })
                .await?;
            let at = page.parts().iter().filter_map(|part| part.last_modified().and_then(instant)).max();
            newest = newest.max(at);
            let first = page.parts().first().and_then(|part| part.part_number()).map(|number| number.to_string());
            let token = page.next_part_number_marker();
            pages.follow(("list parts of", key), page.is_truncated(), token, first.as_deref())?;
        }
        Ok(newest)
    }
}
