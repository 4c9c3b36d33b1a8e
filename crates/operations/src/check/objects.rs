//! The objects of one restore point: there, as long as recorded, with the store's checksum; and, if asked for, their
//! bytes read again.

use holdpoint_core::PointId;
use holdpoint_core::quantity::bytes;
use holdpoint_repository::{ChecksumAlgorithm, Error as Store, ObjectInfo, StoredManifest};

use super::findings::{Finding, FindingKind};
use crate::catalogue::RecordedObject;
use crate::expected::Expected;
use crate::restored::read_archive;
use crate::verify::{perhaps_on_the_way, read_twice};
use crate::{Context, Error};

/// Asks the store for each object; a request each.
pub(crate) async fn ask(context: &Context, point: &PointId, objects: &[RecordedObject]) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for one in objects {
        match context.repository.store().head(&one.key).await {
            Ok(found) => findings.extend(differs(one, &found)),
            Err(Store::NotFound { .. }) => {
                let reason = format!("an object of restore point {point} is gone");
                let cure = "bring it back from a version or copy of the bucket; else use another restore point";
                findings.push(Finding::new(FindingKind::Missing, &one.key, reason, cure));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(findings)
}

fn differs(one: &RecordedObject, found: &ObjectInfo) -> Option<Finding> {
    let cure =
        "it was replaced after it was written: bring it back from a version or copy, or use another restore point";
    if found.size_bytes != one.bytes {
        let reason = format!("it has {}, {} were written", bytes(found.size_bytes), bytes(one.bytes));
        return Some(Finding::new(FindingKind::WrongSize, &one.key, reason, cure));
    }
    let checksum = found.checksum.as_ref().filter(|one| one.algorithm == ChecksumAlgorithm::Crc64Nvme)?;
    let written = one.crc64nvme.as_ref().filter(|written| **written != checksum.value)?;
    let reason = format!("its checksum is {}, {written} was written", checksum.value);
    Some(Finding::new(FindingKind::WrongChecksum, &one.key, reason, cure))
}

/// Reads every stored byte of a restore point again and compares every hash; gives the bytes that were read. What is
/// damaged is read twice, and noted.
pub(super) async fn read(
    context: &Context,
    stored: StoredManifest,
    jobs: usize,
    notes: &mut Vec<String>,
) -> Result<Result<u64, Finding>, Error> {
    let (manifest, id) = (stored.manifest.clone(), stored.manifest.id.to_string());
    let work = async || {
        let expected = Expected::of(context, stored.clone()).await?;
        expected.check_globals(context).await?;
        // The index is hashed when its records are opened.
        read_archive(context, &expected, None, jobs).await
    };
    let mut outcome = work().await;
    if let Some(first) = perhaps_on_the_way(context, &outcome) {
        outcome = work().await;
        notes.push(format!("{id}: {}", read_twice(&first, &outcome)));
    }
    match outcome {
        Ok(read) => Ok(Ok(read.bytes + manifest.index.bytes + manifest.globals.bytes)),
        Err(Error::Engine(error)) if error.is_damage() => {
            let reason = Error::Engine(error).line();
            Ok(Err(Finding::new(FindingKind::Damaged, &id, reason, "use another restore point: holdpoint list")))
        }
        Err(Error::Repository(Store::NotFound { key, .. })) => {
            Ok(Err(Finding::new(FindingKind::Missing, &key, "it is gone", "use another restore point: holdpoint list")))
        }
        Err(error) => Err(error),
    }
}
