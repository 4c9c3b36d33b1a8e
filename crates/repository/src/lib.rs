//! Where restore points live: S3 and the local directory behind one port.
//!
//! [`ObjectStore`] is the port, [`LocalDirectory`] and [`S3Store`] its adapters; one contract suite runs on both.
//! [`Repository`] gives the objects their meaning by the keys of `holdpoint_core::layout`.
//!
//! This crate never reads the wall clock, never decides what may be deleted, and never writes over an object that it
//! did not first read (replacing a lease by its ETag is the one exception the port offers).

mod checksum;
mod error;
mod key;
mod local;
mod nonce;
mod probe;
mod reader;
mod repository;
mod repository_url;
mod s3;
mod store;
mod upload;

pub use checksum::{ChecksumAlgorithm, ChecksumMode, Crc64, StoredChecksum};
pub use error::{BoxError, Error, Result};
pub use key::{MAX_KEY_BYTES, MAX_SEGMENT_BYTES, check_key, check_prefix};
pub use local::{LocalDirectory, may_be_link};
pub use probe::{PartsProbe, Probe, ProbeOptions, ProbeOutcome, probe, proves_conditional_writes};
pub use reader::ObjectReader;
pub use repository::{
    Identities, Lease, LeaseTaken, Leftover, LostPoint, ManifestWrite, NoLongerHidden, NotDropped, NotPublished,
    OrphanFolder, PinnedAnew, PointFolders, Ready, Repository, Steps, StoreLock, StoredManifest, StoredPoint,
    Unpublished, UnreadableIdentity, UnreadableStep, Verifications, Withdrawal,
};
pub use repository_url::RepositoryUrl;
pub use s3::{CredentialSource, ENDS_WITHIN, Ending, LockMode, S3Options, S3Store, SseMode, Timing};
pub use store::{Created, ObjectInfo, ObjectStore, PutOptions, SmallObject, UnfinishedUpload};
pub use upload::{ObjectUpload, UploadOptions, Uploaded};
