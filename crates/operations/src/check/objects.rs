//! The objects of one restore point: there, as long as recorded, with the store's checksum; and, if asked for, their
//! bytes read again.

use std::time::Instant;

use holdpoint_core::PointId;
use holdpoint_core::quantity::bytes;
use holdpoint_repository::{ChecksumAlgorithm, Error as Store, ObjectInfo, StoredManifest};

use super::findings::{Finding, FindingKind};
use crate::catalogue::RecordedObject;
use crate::expected::Expected;
use crate::restored::read_archive;
use crate::verify::{self, DamageFound, perhaps_on_the_way, read_twice};
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

/// What reading a restore point's bytes again came to.
pub(super) struct ReadAgain {
    /// The bytes that were read, or what is wrong.
    pub(super) outcome: Result<u64, Finding>,
    /// The damage, for a record of it.
    pub(super) damage: Option<DamageFound>,
}

/// Reads every stored byte of a restore point again and compares every hash. What is damaged is read twice, and noted.
pub(super) async fn read(
    context: &Context,
    stored: StoredManifest,
    jobs: usize,
    notes: &mut Vec<String>,
) -> Result<ReadAgain, Error> {
    let (dates, began) = (verify::began(context, &stored.manifest.id).await?, Instant::now());
    let (manifest, id) = (stored.manifest.clone(), stored.manifest.id.to_string());
    let work = async || {
        let expected = Expected::read_once(context, stored.manifest.clone()).await?;
        expected.check_globals(context).await?;
        // The index is hashed when its records are opened.
        read_archive(context, &expected, None, jobs).await
    };
    let (mut outcome, mut note) = (work().await, None);
    if let Some(first) = perhaps_on_the_way(context, &outcome) {
        outcome = work().await;
        let told = read_twice(&first, &outcome);
        notes.push(format!("{id}: {told}"));
        note = Some(told);
    }
    let found = |kind, place: &str, reason: &str, cure: String| Err(Finding::new(kind, place, reason, cure));
    match outcome {
        Ok(read) => {
            let bytes = read.bytes + manifest.index.bytes + manifest.globals.bytes;
            Ok(ReadAgain { outcome: Ok(bytes), damage: None })
        }
        Err(Error::Engine(error)) if error.is_damage() => {
            let reason = Error::Engine(error).line();
            let cure = format!(
                "use another restore point: holdpoint list; if its objects come back from a version or copy, prove it \
                 anew: holdpoint verify {id}"
            );
            let outcome = found(FindingKind::Damaged, &id, &reason, cure);
            let damage = DamageFound { dates, began, reason, note, by: "holdpoint check --read-data" };
            Ok(ReadAgain { outcome, damage: Some(damage) })
        }
        Err(Error::Repository(Store::NotFound { key, .. })) => {
            let cure = "use another restore point: holdpoint list".to_owned();
            Ok(ReadAgain { outcome: found(FindingKind::Missing, &key, "it is gone", cure), damage: None })
        }
        Err(error) => Err(error),
    }
}
