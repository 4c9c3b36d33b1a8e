//! What can go wrong between the program and the place where restore points live.

use std::error::Error as StdError;

/// A source whose concrete type does not matter to the caller.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// The result of every call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Says why a repository could not do what was asked.
///
/// A variant exists where a person or a caller acts differently. Messages name the object or the bucket and never a
/// credential or an encryption key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The object does not exist.
    #[error("{action} {key}: no such object")]
    NotFound {
        /// What was attempted.
        action: &'static str,
        /// The object.
        key: String,
    },
    /// A create-only write found an object that another writer made.
    #[error("write {key}: it exists already")]
    AlreadyExists {
        /// The object.
        key: String,
    },
    /// The object is not, or no longer, the one that the caller's ETag names.
    #[error("{action} {key}: it was changed or removed by another writer")]
    PreconditionFailed {
        /// What was attempted.
        action: &'static str,
        /// The object.
        key: String,
    },
    /// The restore point is a snapshot of an RDS instance: there is no archive of it.
    #[error("restore point {point} is the snapshot {snapshot} of the RDS instance {instance}, and no archive")]
    IsSnapshot {
        /// Which.
        point: String,
        /// The snapshot's name.
        snapshot: String,
        /// The instance that it is of.
        instance: String,
    },
    /// The identity in use may not do this.
    #[error("{action} {key}: access denied ({code})")]
    AccessDenied {
        /// What was attempted.
        action: &'static str,
        /// The object, prefix or bucket.
        key: String,
        /// The store's code or the system's error, for example `SignatureDoesNotMatch`.
        code: String,
    },
    /// No credentials were found, or their provider failed.
    #[error("{action} {key}: no usable credentials: {detail}")]
    Credentials {
        /// What was attempted.
        action: &'static str,
        /// The object, prefix or bucket.
        key: String,
        /// Which provider failed and how.
        detail: String,
    },
    /// The bucket, or the local directory, does not exist.
    #[error("{action}: {root} does not exist")]
    BucketNotFound {
        /// What was attempted.
        action: &'static str,
        /// The bucket's or the directory's name.
        root: String,
    },
    /// A folder of a database is a symbolic link, and what it leads to is not there.
    #[error("{action}: {link} is a symbolic link that leads to nothing")]
    LinkLeadsNowhere {
        /// What was attempted.
        action: &'static str,
        /// The link's path.
        link: String,
    },
    /// The bucket is in another region than the configured one.
    #[error("bucket {bucket} is in another region{}", .actual.as_ref().map(|r| format!(": {r}")).unwrap_or_default())]
    WrongRegion {
        /// The bucket.
        bucket: String,
        /// The region that the store named.
        actual: Option<String>,
    },
    /// The clock of this machine differs too much from the store's for a signed request.
    #[error("{action} {key}: the clock of this machine differs too much from the store's")]
    ClockSkew {
        /// What was attempted.
        action: &'static str,
        /// The object, prefix or bucket.
        key: String,
    },
    /// Bytes arrived other than they were sent, or an object is not what its record says.
    #[error("{action} {key}: {detail}")]
    Corrupt {
        /// What was attempted.
        action: &'static str,
        /// The object.
        key: String,
        /// What differs.
        detail: String,
    },
    /// There is no room left on the disk, in the quota or in the store.
    #[error("{action} {key}: no space left")]
    Full {
        /// What was attempted.
        action: &'static str,
        /// The object.
        key: String,
    },
    /// An object is larger than the caller, or the store's limits, allow.
    #[error("{action} {key}: {detail}")]
    TooLarge {
        /// What was attempted.
        action: &'static str,
        /// The object.
        key: String,
        /// Which limit was passed, and the cure where there is one.
        detail: String,
    },
    /// The store does not know how to do this.
    #[error("{action} {key}: not supported by this store: {detail}")]
    Unsupported {
        /// What was attempted.
        action: &'static str,
        /// The object, prefix or bucket.
        key: String,
        /// The missing feature.
        detail: String,
    },
    /// The store asked to slow down, longer than the retries lasted.
    #[error("{action} {key}: the store is too busy ({code}){}", tried(*.attempts))]
    Throttled {
        /// What was attempted.
        action: &'static str,
        /// The object, prefix or bucket.
        key: String,
        /// The store's code.
        code: String,
        /// How often it was tried; 0 where that is not counted.
        attempts: u32,
    },
    /// No answer came, or no byte moved, within the time allowed, in any attempt.
    #[error("{action} {key}: timed out{}", tried(*.attempts))]
    Timeout {
        /// What was attempted.
        action: &'static str,
        /// The object, prefix or bucket.
        key: String,
        /// How often it was tried; 0 where that is not counted.
        attempts: u32,
    },
    /// The network or the file system failed.
    #[error("{action} {key}{}", tried(*.attempts))]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The object, prefix or bucket.
        key: String,
        /// How often it was tried; 0 where nothing is tried again.
        attempts: u32,
        /// What the system said.
        #[source]
        source: BoxError,
    },
    /// A repository URL cannot be understood.
    #[error("repository url {url}: {reason}")]
    InvalidUrl {
        /// The URL, without user information.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A key is not of the plain form that every store takes.
    #[error("object key {key:?}: {reason}")]
    InvalidKey {
        /// The key.
        key: String,
        /// The broken rule.
        reason: &'static str,
    },
    /// A setting is missing, wrong or contradicts another.
    #[error("repository setting {setting}: {reason}")]
    Configuration {
        /// The setting's name in the configuration.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An upload failed and its parts could not be removed: they remain, and may cost money, until they are aborted.
    #[error("{key}: the unfinished upload {upload_id} could not be removed and remains")]
    UploadLeftBehind {
        /// The object that was to be written.
        key: String,
        /// The upload's id (S3), or the temporary file.
        upload_id: String,
        /// Why the upload failed; `None` when it was aborted on purpose.
        cause: Option<Box<Error>>,
        /// Why it could not be removed.
        #[source]
        source: Box<Error>,
    },
    /// The store answered with an error that no other variant names.
    #[error("{action} {key}: the store answered {code}: {message}{}{}", request_text(.request_id.as_deref()), tried(*.attempts))]
    Service {
        /// What was attempted.
        action: &'static str,
        /// The object, prefix or bucket.
        key: String,
        /// The HTTP status, 0 when there was none.
        status: u16,
        /// The store's code.
        code: String,
        /// The store's words.
        message: String,
        /// The store's id of the request, for its support.
        request_id: Option<String>,
        /// How often it was tried; 0 where that is not counted.
        attempts: u32,
    },
    /// The place holds no holdpoint repository.
    #[error("{root} is not a holdpoint repository: {reason}")]
    NotARepository {
        /// The repository's URL.
        root: String,
        /// What was found instead.
        reason: String,
        /// There is no record of any repository, not even of one that cannot be read.
        nothing: bool,
    },
    /// There are restore points, and the repository's own record is gone.
    #[error("{root} has lost its holdpoint.json: {points} restore points are there, made in {}", repositories(ids))]
    RecordLost {
        /// The repository's URL.
        root: String,
        /// The ids of the repositories in which they were made, as far as they can be read.
        ids: Vec<String>,
        /// How many restore points there are.
        points: u64,
    },
    /// The repository, or a record in it, was written by a newer holdpoint.
    #[error("{key} has format {found}, this program knows up to {known}")]
    NewerFormat {
        /// The record.
        key: String,
        /// Its format.
        found: u32,
        /// The newest format that this program reads.
        known: u32,
    },
    /// A restore point is not published, as not everything that it is made of is there.
    #[error("{key} is not published: {}{}", faults.join("; "), stays.as_ref().map(|why| format!("; it was written and stays: {why}")).unwrap_or_default())]
    NotWhole {
        /// The manifest.
        key: String,
        /// What is gone, or is about to be.
        faults: Vec<String>,
        /// Why the manifest, which was written by then, could not be taken back; `None` where there is none.
        stays: Option<String>,
    },
    /// What was uploaded is gone before it was completed: a sweep, or a rule of the bucket, aborted the upload.
    #[error(
        "{key}: its unfinished upload is gone; whoever sweeps (prune, check --repair, leftovers --remove), or a lifecycle rule of the bucket, may have taken it for a leftover"
    )]
    UploadGone {
        /// The object that was to be written.
        key: String,
    },
    /// A manifest is gone whose restore point somebody relies on or verified: its objects are nobody's to remove.
    #[error("{key} is gone, and its restore point {}", relied_on(pins))]
    ManifestLost {
        /// The manifest.
        key: String,
        /// The names of the pins that hold; none where a verification lies beside its objects.
        pins: Vec<String>,
    },
    /// A withdrawal was given up, or ended in doubt, with its mark in place: what is there of the restore point is hidden, until
    /// the next withdrawal or [`show_again`](crate::Repository::show_again).
    #[error("{key} is hidden by the mark of a withdrawal")]
    Hidden {
        /// The restore point's folder.
        key: String,
        /// What failed: to remove the mark, or what kept it in place.
        #[source]
        source: Box<Error>,
    },
    /// A record cannot be read as what it should be.
    #[error("record {key} cannot be read")]
    InvalidRecord {
        /// The record.
        key: String,
        /// Why.
        #[source]
        source: BoxError,
    },
}

fn relied_on(pins: &[String]) -> String {
    if pins.is_empty() { "was verified".to_owned() } else { format!("is pinned: {}", pins.join(", ")) }
}

fn repositories(ids: &[String]) -> String {
    match ids {
        [] => "nobody knows which repository, as none can be read".to_owned(),
        [id] => format!("repository {id}"),
        ids => format!("repositories {}", ids.join(", ")),
    }
}

/// Says of a failure that outlasted the retries how many there were.
fn tried(attempts: u32) -> String {
    if attempts > 1 { format!(", given up after {attempts} attempts") } else { String::new() }
}

fn request_text(id: Option<&str>) -> String {
    id.map(|id| format!(" (request {id})")).unwrap_or_default()
}

impl From<holdpoint_aws::Error> for Error {
    fn from(error: holdpoint_aws::Error) -> Self {
        Self::Configuration { setting: error.setting, reason: error.reason }
    }
}

impl Error {
    /// Tells whether the same call may succeed later without anything being changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Throttled { .. } | Self::Timeout { .. } => true,
            // Local files fail for reasons that stay; only the network's failures pass.
            Self::Io { source, .. } => source.downcast_ref::<std::io::Error>().is_none_or(|e| {
                use std::io::ErrorKind as K;
                matches!(
                    e.kind(),
                    K::ConnectionReset
                        | K::ConnectionRefused
                        | K::ConnectionAborted
                        | K::NotConnected
                        | K::BrokenPipe
                        | K::TimedOut
                        | K::Interrupted
                        | K::UnexpectedEof
                        | K::HostUnreachable
                        | K::NetworkUnreachable
                        | K::NetworkDown
                )
            }),
            Self::Service { status, .. } => *status >= 500,
            Self::UploadLeftBehind { cause, .. } => cause.as_ref().is_some_and(|c| c.is_transient()),
            Self::Hidden { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// Tells whether the object, or what it was to be in, does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Tells whether one record's bytes are wrong, or of a newer program, and not the store: the others can be read.
    #[must_use]
    pub fn is_of_record(&self) -> bool {
        matches!(self, Self::InvalidRecord { .. } | Self::NewerFormat { .. } | Self::TooLarge { .. })
    }

    /// Whether there is no repository, so that one may be made: the place is not there, or holds no record of one.
    #[must_use]
    pub fn is_no_repository(&self) -> bool {
        matches!(self, Self::BucketNotFound { .. } | Self::NotARepository { nothing: true, .. })
    }

    /// How often it was tried before it was given up; 0 where that is not counted.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        match self {
            Self::Throttled { attempts, .. }
            | Self::Timeout { attempts, .. }
            | Self::Io { attempts, .. }
            | Self::Service { attempts, .. } => *attempts,
            Self::Hidden { source, .. } => source.attempts(),
            _ => 0,
        }
    }

    /// Says how often it was tried in all.
    pub(crate) fn after(mut self, tried: u32) -> Self {
        if let Self::Throttled { attempts, .. }
        | Self::Timeout { attempts, .. }
        | Self::Io { attempts, .. }
        | Self::Service { attempts, .. } = &mut self
        {
            *attempts = tried;
        }
        self
    }

    /// Names the leftover that this error leaves behind, if any.
    #[must_use]
    pub fn left_behind(&self) -> Option<&str> {
        match self {
            Self::UploadLeftBehind { upload_id, .. } => Some(upload_id),
            _ => None,
        }
    }

    /// Says that an upload could not be removed.
    pub(crate) fn left(key: &str, upload_id: &str, source: Self) -> Self {
        let (key, upload_id) = (key.to_owned(), upload_id.to_owned());
        Self::UploadLeftBehind { key, upload_id, cause: None, source: Box::new(source) }
    }

    /// Adds why the upload failed that could then not be removed.
    pub(crate) fn caused_by(mut self, failure: Self) -> Self {
        if let Self::UploadLeftBehind { cause, .. } = &mut self {
            *cause = Some(Box::new(failure));
        }
        self
    }

    pub(crate) fn from_io(action: &'static str, key: &str, source: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let key = key.to_owned();
        match source.kind() {
            K::NotFound => Self::NotFound { action, key },
            K::AlreadyExists => Self::AlreadyExists { key },
            K::PermissionDenied | K::ReadOnlyFilesystem => {
                Self::AccessDenied { action, key, code: source.kind().to_string() }
            }
            K::StorageFull | K::QuotaExceeded => Self::Full { action, key },
            _ => Self::Io { action, key, attempts: 0, source: source.into() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn names_the_upload_that_remains() {
        let error = Error::UploadLeftBehind {
            key: "a/b".into(),
            upload_id: "u-1".into(),
            cause: Some(Box::new(Error::Timeout { action: "write", key: "a/b".into(), attempts: 8 })),
            source: Box::new(Error::AccessDenied { action: "abort upload of", key: "a/b".into(), code: "X".into() }),
        };
        assert!(error.to_string().contains("u-1"));
        assert!(error.is_transient());
        assert_eq!(error.left_behind(), Some("u-1"));
    }

    #[test]
    fn says_how_often_it_was_tried() {
        let error = Error::Throttled { action: "write", key: "k".into(), code: "SlowDown".into(), attempts: 1 };
        assert_eq!(error.to_string(), "write k: the store is too busy (SlowDown)");
        let error = error.after(24);
        assert_eq!(error.to_string(), "write k: the store is too busy (SlowDown), given up after 24 attempts");
        assert_eq!(error.attempts(), 24);
    }

    #[test]
    fn a_full_disk_is_not_transient() {
        let error = Error::from_io("write", "k", io::Error::from_raw_os_error(28));
        assert!(matches!(error, Error::Full { .. }), "{error:?}");
        assert!(!error.is_transient());
        assert!(!Error::from_io("write", "k", io::Error::from_raw_os_error(5)).is_transient());
        assert!(Error::from_io("write", "k", io::Error::from(io::ErrorKind::ConnectionReset)).is_transient());
    }
}
