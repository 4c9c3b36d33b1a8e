//! Telling an object that is not there from one that may not be read.
//!
//! To GET and HEAD of what is not there Amazon answers "not found" only to who may list the whole bucket, and "access
//! denied" to whoever may list below a prefix only (Amazon S3 API, GetObject, "Permissions"). A list of the key tells.

use std::error::Error as StdError;
use std::future::Future;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;

use super::Bucket;
use super::failure::Failure;
use crate::error::{Error, Result};

impl Bucket {
    /// Sends a request for one object as [`call`](Self::call) does, and looks into a refusal: it costs a list more, and where
    /// the object came to be meanwhile the request once more.
    ///
    /// # Errors
    /// [`Error::NotFound`] also where the request is denied and a list shows that nothing is there; [`Error::AccessDenied`]
    /// where the list is denied, too, or shows the object; what keeps the list from being answered for a while.
    pub(super) async fn call_for_object<T, E, F, Fut>(&self, action: &'static str, key: &str, send: F) -> Result<T>
    where
        F: Fn(Client) -> Fut,
        Fut: Future<Output = std::result::Result<T, Failure<E>>>,
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let denied = match self.call(action, key, &send).await {
            Err(denied @ Error::AccessDenied { .. }) => denied,
            answered => return answered,
        };
        match self.lists(key).await {
            Ok(Some(false)) => Err(Error::NotFound { action, key: key.to_owned() }),
            // Another writer may have made it since.
            Ok(Some(true)) => self.call(action, key, send).await,
            Err(error) if error.is_transient() => Err(error),
            Ok(None) | Err(_) => Err(denied),
        }
    }

    /// Whether a list shows the object; `None` where it goes on beyond its first page, which lists in any order.
    async fn lists(&self, key: &str) -> Result<Option<bool>> {
        let page = self.list_page(key, None, None).await?;
        let full = self.full_key(key);
        let shown = page.contents().iter().any(|object| object.key() == Some(full.as_str()));
        Ok(if shown || page.is_truncated() != Some(true) { Some(shown) } else { None })
    }
}
