//! Deleting objects, one or many, each with its own verdict.

use std::collections::HashMap;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::Bucket;
use super::failure::refuses_feature;
use crate::checksum::ChecksumMode;
use crate::error::{Error, Result};

/// The most keys that one request takes.
const BATCH: usize = 1000;

impl Bucket {
    pub(super) async fn delete_one(&self, key: &str) -> Result<()> {
        let full = self.checked_key(key)?;
        let deleted = self
            .call("delete", key, |client| {
                client.delete_object().bucket(&self.name).key(&full).set_expected_bucket_owner(self.owner()).send()
            })
            .await;
        match deleted {
            Ok(_) => Ok(()),
            Err(e) if e.is_not_found() => Ok(()),
            Err(e) => Err(e),
        }
    }

    pub(super) async fn delete_many(&self, keys: &[String]) -> Vec<(String, Result<()>)> {
        let mut results = Vec::with_capacity(keys.len());
        for batch in keys.chunks(BATCH) {
            // The request for many carries a checksum that old stores refuse.
            let singly = matches!(self.checksum_mode(), Some(ChecksumMode::Md5 | ChecksumMode::None));
            let verdicts = if singly { None } else { self.delete_batch(batch).await };
            match verdicts {
                Some(verdicts) => results.extend(verdicts),
                None => {
                    for key in batch {
                        results.push((key.clone(), self.delete_one(key).await));
                    }
                }
            }
        }
        results
    }

    /// Deletes at most [`BATCH`] keys; `None` when the store must be asked for each.
    async fn delete_batch(&self, keys: &[String]) -> Option<Vec<(String, Result<()>)>> {
        let full: Vec<String> = keys.iter().map(|k| self.checked_key(k)).collect::<Result<_>>().ok()?;
        let objects: Vec<_> = full
            .iter()
            .map(|k| ObjectIdentifier::builder().key(k).build())
            .collect::<std::result::Result<_, _>>()
            .ok()?;
        let delete = Delete::builder().set_objects(Some(objects)).quiet(false).build().ok()?;
        let answer = self
            .call("delete", "", |client| {
                let request = client.delete_objects().bucket(&self.name).delete(delete.clone());
                request.set_expected_bucket_owner(self.owner()).send()
            })
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            // Whatever is wrong with the request as a whole is said for each key by the key's own request.
            Err(e) if refuses_feature(&e) || keys.len() == 1 => return None,
            Err(e) => return Some(self.all_failed(keys, e).await),
        };
        // The answer is 200 although single keys failed.
        let failed: HashMap<&str, &aws_sdk_s3::types::Error> =
            answer.errors().iter().filter_map(|e| e.key().map(|k| (k, e))).collect();
        let deleted: std::collections::HashSet<&str> = answer.deleted().iter().filter_map(|d| d.key()).collect();
        let verdict = |(key, full): (&String, &String)| {
            let result = match failed.get(full.as_str()) {
                Some(error) => refusal(key, error),
                None if deleted.contains(full.as_str()) => Ok(()),
                None => Err(Error::Service {
                    action: "delete",
                    key: key.clone(),
                    status: 200,
                    code: "no verdict".to_owned(),
                    message: "the answer does not mention the key".to_owned(),
                    request_id: None,
                    attempts: 1,
                }),
            };
            (key.clone(), result)
        };
        Some(keys.iter().zip(&full).map(verdict).collect())
    }

    /// The request failed as a whole: the first key shares its error, the others are not attempted again.
    async fn all_failed(&self, keys: &[String], error: Error) -> Vec<(String, Result<()>)> {
        let text = error.to_string();
        let mut first = Some(error);
        keys.iter()
            .map(|key| {
                let error = first.take().unwrap_or_else(|| Error::Io {
                    action: "delete",
                    key: key.clone(),
                    attempts: 0,
                    source: text.clone().into(),
                });
                (key.clone(), Err(error))
            })
            .collect()
    }
}

fn refusal(key: &str, error: &aws_sdk_s3::types::Error) -> Result<()> {
    let code = error.code().unwrap_or("unknown").to_owned();
    match code.as_str() {
        "NoSuchKey" => Ok(()),
        "AccessDenied" => Err(Error::AccessDenied { action: "delete", key: key.to_owned(), code }),
        "SlowDown" | "ServiceUnavailable" => {
            Err(Error::Throttled { action: "delete", key: key.to_owned(), code, attempts: 1 })
        }
        _ => Err(Error::Service {
            action: "delete",
            key: key.to_owned(),
            status: if code == "InternalError" { 500 } else { 200 },
            code,
            message: error.message().unwrap_or_default().to_owned(),
            request_id: None,
            attempts: 1,
        }),
    }
}
