//! Trying a repository out: each thing that a backup needs, done for real under a scratch prefix.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use serde::Serialize;

use crate::checksum::ChecksumMode;
use crate::error::{Error, Result};
use crate::nonce::nonce;
use crate::store::{ObjectStore, PutOptions};

/// How a probe went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeOutcome {
    /// As it should be.
    Ok,
    /// It works, with less safety or comfort.
    Warning,
    /// A backup, or its reading back, would fail.
    Failure,
}

/// One thing that was tried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// What was tried, for example `conditional create`.
    pub name: &'static str,
    /// How it went.
    pub outcome: ProbeOutcome,
    /// What was seen.
    pub detail: String,
    /// What to change; `None` when nothing need be.
    pub cure: Option<String>,
}

impl Probe {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, outcome: ProbeOutcome::Ok, detail: detail.into(), cure: None }
    }

    fn warning(name: &'static str, detail: impl Into<String>, cure: &str) -> Self {
        Self { name, outcome: ProbeOutcome::Warning, detail: detail.into(), cure: Some(cure.to_owned()) }
    }

    fn failure(name: &'static str, error: &Error) -> Self {
        Self { name, outcome: ProbeOutcome::Failure, detail: chain(error), cure: Some(cure(error).to_owned()) }
    }
}

/// What [`probe`] needs to know.
#[derive(Debug, Clone)]
pub struct ProbeOptions {
    /// The time of this machine.
    pub now: DateTime<Utc>,
    /// The prefix under which objects are written and deleted again, for example `doctor/`.
    pub scratch: String,
    /// Until when a probe object is locked, where Object Lock is configured; it stays until then.
    pub retain_until: Option<DateTime<Utc>>,
}

/// How a store takes uploads in parts.
#[derive(Debug)]
pub struct PartsProbe {
    /// Whether parts of different sizes were put together to the right object.
    pub unequal: Result<()>,
    /// Whether an upload could be aborted.
    pub abort: Result<()>,
    /// The checksum that the store proved to verify.
    pub checksum: Option<ChecksumMode>,
}

/// Tries out everything that backups, verifications and pruning do with a repository, and removes what it wrote.
///
/// Some 11 MiB are uploaded to S3. Nothing outside of the scratch prefix is touched.
pub async fn probe(store: &dyn ObjectStore, options: &ProbeOptions) -> Vec<Probe> {
    let Ok(nonce) = nonce() else { return Vec::new() };
    let prefix = format!("{}{nonce}/", options.scratch);
    let mut probes = vec![clock(store, options.now).await];
    let small = format!("{prefix}small");
    match store.put_new(&small, Bytes::from_static(b"0123456789"), PutOptions::default()).await {
        Ok(_) => probes.push(Probe::ok("write", format!("wrote {small}"))),
        Err(error) => {
            // Without writing there is nothing else to try.
            probes.push(match &error {
                Error::AccessDenied { code, .. } if !of_files(code) => {
                    Probe { cure: Some(READS_ONLY.to_owned()), ..Probe::failure("write", &error) }
                }
                _ => Probe::failure("write", &error),
            });
            return probes;
        }
    }
    probes.push(read(store, &small).await);
    probes.push(conditional(store, &prefix).await);
    probes.push(list(store, &prefix).await);
    parts(store, &prefix, &mut probes).await;
    if let Some(until) = options.retain_until {
        probes.push(lock(store, &format!("{prefix}locked"), until).await);
    }
    probes.push(delete(store, &prefix).await);
    probes
}

/// Proves that conditional writes hold: create-only twice, four at once, and a stale ETag.
///
/// Leaves two objects under `prefix`. `Ok(false)` says that the store ignores the conditions.
///
/// # Errors
/// What keeps the writes from being made at all.
pub async fn proves_conditional_writes(store: &dyn ObjectStore, prefix: &str) -> Result<bool> {
    let (first, raced) = (format!("{prefix}conditional"), format!("{prefix}raced"));
    let etag = store.put_new(&first, Bytes::from_static(b"1"), PutOptions::default()).await?.etag;
    match store.put_new(&first, Bytes::from_static(b"2"), PutOptions::default()).await {
        Err(Error::AlreadyExists { .. }) => {}
        Ok(_) => return Ok(false),
        Err(e) => return Err(e),
    }
    let racing = (0..4u8).map(|n| store.put_new(&raced, Bytes::from(vec![n]), PutOptions::default()));
    let mut winners = 0;
    for result in join_all(racing).await {
        match result {
            Ok(_) => winners += 1,
            Err(Error::AlreadyExists { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    if winners != 1 {
        return Ok(false);
    }
    store.put_if_matches(&first, Bytes::from_static(b"3"), &etag).await?;
    match store.put_if_matches(&first, Bytes::from_static(b"4"), &etag).await {
        Err(Error::PreconditionFailed { .. }) => Ok(true),
        Ok(_) => Ok(false),
        Err(e) => Err(e),
    }
}

async fn clock(store: &dyn ObjectStore, now: DateTime<Utc>) -> Probe {
    let time = match store.server_time().await {
        Ok(time) => time,
        Err(error) => return Probe::failure("clock", &error),
    };
    let skew = time - now;
    let said = format!("the store's clock differs by {} s", skew.num_seconds());
    if skew.abs() > TimeDelta::minutes(1) {
        return Probe::warning("clock", said, "set this machine's clock by NTP");
    }
    Probe::ok("clock", said)
}

async fn read(store: &dyn ObjectStore, key: &str) -> Probe {
    let bytes = async { store.read(key, Some(2..6), None).await?.read_to_end(4).await }.await;
    match bytes {
        Ok(bytes) if bytes == "2345" => Probe::ok("ranged read", "bytes 2 to 5 came back"),
        Ok(bytes) => Probe {
            name: "ranged read",
            outcome: ProbeOutcome::Failure,
            detail: format!("bytes 2 to 5 were asked for, {} others came", bytes.len()),
            cure: Some("use a store that honours the Range header".to_owned()),
        },
        Err(error) => Probe::failure("ranged read", &error),
    }
}

async fn conditional(store: &dyn ObjectStore, prefix: &str) -> Probe {
    const CURE: &str = "restore points stay safe by their random names; run cron and --shard with --single-writer";
    match proves_conditional_writes(store, prefix).await {
        Ok(true) => Probe::ok("conditional writes", "create-only, racing and stale writes were told apart"),
        Ok(false) => Probe::warning("conditional writes", "the store ignores If-None-Match or If-Match", CURE),
        Err(Error::Unsupported { detail, .. }) => Probe::warning("conditional writes", detail, CURE),
        Err(error) => Probe::failure("conditional writes", &error),
    }
}

async fn list(store: &dyn ObjectStore, prefix: &str) -> Probe {
    let pages: Result<Vec<_>> = store.list(prefix).try_collect().await;
    match pages {
        Ok(pages) if pages.iter().flatten().any(|info| info.key.ends_with("/small")) => {
            Probe::ok("list", "what was written is listed at once")
        }
        Ok(_) => Probe {
            name: "list",
            outcome: ProbeOutcome::Failure,
            detail: "what was written is not listed".to_owned(),
            cure: Some("use a store whose lists are up to date at once".to_owned()),
        },
        Err(error) => Probe::failure("list", &error),
    }
}

async fn parts(store: &dyn ObjectStore, prefix: &str, probes: &mut Vec<Probe>) {
    let Some(found) = store.probe_parts(&format!("{prefix}parts")).await else { return };
    probes.push(match &found.unequal {
        Ok(()) => {
            Probe::ok("multipart upload", "parts of different sizes were put together; equal parts are not needed")
        }
        Err(Error::Service { status: 400, code, .. }) => Probe {
            name: "multipart upload",
            outcome: ProbeOutcome::Failure,
            detail: format!("parts of different sizes were refused ({code}); equal parts are needed"),
            cure: Some("set equal_parts = true".to_owned()),
        },
        Err(error) => Probe::failure("multipart upload", error),
    });
    probes.push(match &found.abort {
        Ok(()) => Probe::ok("abort", "an unfinished upload was removed"),
        Err(error) => Probe::failure("abort", error),
    });
    probes.push(match found.checksum {
        Some(ChecksumMode::Crc64Nvme) => Probe::ok("checksum", "the store verifies CRC-64/NVME over whole objects"),
        Some(ChecksumMode::Crc32c) => Probe::ok("checksum", "the store verifies CRC-32C part by part"),
        Some(ChecksumMode::Md5) => Probe::ok("checksum", "the store verifies Content-MD5 part by part, and keeps none"),
        Some(ChecksumMode::None | ChecksumMode::Auto) | None => Probe::warning(
            "checksum",
            "nothing that is written is verified by the store",
            "rely on verifications only: they read everything back",
        ),
    });
    probes.push(match store.list_uploads(prefix).await {
        Ok(_) => Probe::ok("list uploads", "unfinished uploads can be found"),
        Err(error) => Probe::warning(
            "list uploads",
            chain(&error),
            "allow s3:ListBucketMultipartUploads, or add a lifecycle rule that aborts incomplete uploads",
        ),
    });
}

async fn lock(store: &dyn ObjectStore, key: &str, until: DateTime<Utc>) -> Probe {
    let options = PutOptions { retain_until: Some(until) };
    if let Err(error) = store.put_new(key, Bytes::from_static(b"locked"), options).await {
        return Probe::failure("object lock", &error);
    }
    match store.head(key).await {
        Ok(found) if found.retain_until.is_some() => Probe::ok("object lock", "an object was written under a lock"),
        Ok(_) => Probe {
            name: "object lock",
            outcome: ProbeOutcome::Failure,
            detail: "the store ignored the lock".to_owned(),
            cure: Some("create the bucket with Object Lock enabled".to_owned()),
        },
        Err(error) => Probe::failure("object lock", &error),
    }
}

async fn delete(store: &dyn ObjectStore, prefix: &str) -> Probe {
    let pages: Result<Vec<_>> = store.list(prefix).try_collect().await;
    let keys: Vec<String> = match pages {
        Ok(pages) => pages.into_iter().flatten().map(|info| info.key).filter(|k| !k.ends_with("/locked")).collect(),
        Err(error) => return Probe::failure("delete", &error),
    };
    // Both ways to delete: some stores judge the rights of only one of them.
    let singly = match keys.first() {
        Some(key) => store.delete(key).await.err(),
        None => None,
    };
    let refused = match singly {
        Some(error) => Some(error),
        None => store.delete_many(&keys).await.into_iter().find_map(|(_, result)| result.err()),
    };
    match refused {
        None => Probe::ok("delete", format!("{} probe objects were removed", keys.len())),
        Some(error @ Error::AccessDenied { .. }) => Probe::warning(
            "delete",
            format!("{}; {} probe objects remain under {prefix}", chain(&error), keys.len()),
            "nothing, if this identity is meant only to append; prune with another one",
        ),
        Some(error) => Probe::failure("delete", &error),
    }
}

fn chain(error: &Error) -> String {
    let first: Option<&dyn std::error::Error> = Some(error);
    let texts = std::iter::successors(first, |e| e.source()).map(ToString::to_string);
    texts.collect::<Vec<_>>().join(": ")
}

/// A role that only restores is refused by design; nobody can tell what an identity is meant for, so it is a failure all the same.
const READS_ONLY: &str = "backups, verifications and prunes need a role that writes: holdpoint init --print-policy writer (verifier, \
    guard, pruner, cron); nothing, if this identity is only to restore";

/// Tells a refusal by the file system from one by a store: only the first speaks in the system's words.
fn of_files(code: &str) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    [PermissionDenied, ReadOnlyFilesystem].iter().any(|kind| kind.to_string() == code)
}

/// What to change so that an error does not come again.
fn cure(error: &Error) -> &'static str {
    match error {
        Error::AccessDenied { code, .. } if of_files(code) => {
            "see who owns the repository's files, their mode (ls -l), and whether it is mounted read-only"
        }
        Error::AccessDenied { .. } => "give the identity this right; holdpoint init --print-policy shows all it needs",
        Error::Credentials { .. } => "sign in, or name a profile",
        Error::BucketNotFound { .. } => "create the bucket or the directory, or correct the url",
        Error::WrongRegion { .. } => "set region to the bucket's",
        Error::ClockSkew { .. } => "set this machine's clock by NTP",
        Error::Full { .. } => "make room",
        Error::Unsupported { .. } => "use a store that has this feature, or switch the setting off that needs it",
        Error::Throttled { .. } | Error::Timeout { .. } | Error::Io { .. } => "look at the network, then try again",
        _ => "see the store's own message",
    }
}
