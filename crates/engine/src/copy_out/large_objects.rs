//! Large objects: which belong to which block, and how a group of them is copied.

use std::collections::BTreeSet;
use std::ops::Range;

use futures_util::TryStreamExt;
use holdpoint_archive::{Entry, EntryKind, Head};
use holdpoint_core::digest::StreamHash;
use holdpoint_postgres::Session;
use holdpoint_postgres::catalog::large_objects::{self, LargeObjectPart};

use super::gather::Gather;
use super::output::{Output, Part};
use super::plan::{LargeObject, LargeObjectBlock};
use super::statement::{BACK, SAVEPOINT};
use super::worker::{Crew, Share};
use crate::Error;

/// How much of an object one row of the answer holds.
const STEP_BYTES: u32 = 1 << 20;
/// How many objects are measured by one statement.
const MEASURED_TOGETHER: usize = 10_000;

/// Finds out which large objects each block holds; `None` where contents and catalog do not agree.
///
/// Up to archive version 1.15 the one block holds all that there are, and the contents name each; from 1.16 on a block
/// depends on an entry that lists them (`pg_dump.c`, `getLOs`).
pub(super) async fn blocks(
    session: &Session,
    head: &Head,
) -> Result<Option<(Vec<LargeObjectBlock>, Vec<LargeObject>)>, Error> {
    let entries: Vec<&Entry> =
        head.entries().iter().filter(|entry| entry.has_data && entry.kind() == EntryKind::LargeObjects).collect();
    let mut oids: Vec<u32> = Vec::new();
    let mut blocks = Vec::new();
    if head.header().version.minor >= 16 {
        for entry in entries {
            let from = oids.len();
            let Some(listed) = listed(head, entry) else { return Ok(None) };
            oids.extend(listed);
            blocks.push(LargeObjectBlock { dump_id: entry.dump_id, objects: from..oids.len() });
        }
    } else if let [entry] = entries.as_slice() {
        oids = large_objects::oids(session).await?.try_collect().await?;
        let named: Option<BTreeSet<u32>> = head
            .entries()
            .iter()
            .filter(|entry| entry.kind() == EntryKind::LargeObject)
            .map(|entry| number(&entry.tag))
            .collect();
        if named != Some(oids.iter().copied().collect()) {
            return Ok(None);
        }
        blocks.push(LargeObjectBlock { dump_id: entry.dump_id, objects: 0..oids.len() });
    } else if !entries.is_empty() {
        return Ok(None);
    }
    Ok(Some((blocks, measured(session, &oids).await?)))
}

fn listed(head: &Head, entry: &Entry) -> Option<Vec<u32>> {
    let mut lists = entry
        .dependencies
        .iter()
        .filter_map(|dump_id| head.entry(*dump_id))
        .filter(|entry| entry.kind() == EntryKind::LargeObjectMetadata);
    let (list, None) = (lists.next()?, lists.next()) else { return None };
    let lines = list.definition.as_deref().unwrap_or_default().split(|byte| *byte == b'\n');
    lines.filter(|line| !line.is_empty()).map(number).collect()
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

async fn measured(session: &Session, oids: &[u32]) -> Result<Vec<LargeObject>, Error> {
    let mut objects = Vec::with_capacity(oids.len());
    for oids in oids.chunks(MEASURED_TOGETHER) {
        // What measuring opens is closed by going back.
        session.run("measuring large objects", "SAVEPOINT holdpoint_lengths").await?;
        let lengths = large_objects::lengths(session, oids).await?;
        let back = "ROLLBACK TO SAVEPOINT holdpoint_lengths; RELEASE SAVEPOINT holdpoint_lengths";
        session.run("measuring large objects", back).await?;
        objects.extend(oids.iter().zip(lengths).map(|(oid, length)| LargeObject { oid: *oid, length }));
    }
    Ok(objects)
}

/// Copies some objects of a block.
pub(super) async fn copy(
    session: &Session,
    crew: &Crew,
    gather: &mut Gather,
    block: usize,
    objects: Range<usize>,
    output: &mut Output,
    share: &mut Share<'_>,
) -> Result<(), Error> {
    // Whoever is refused goes back to it.
    session.run("copying large objects", SAVEPOINT).await?;
    let block = &crew.plan.blocks[block];
    if objects.start == block.objects.start {
        output.put(Part::OpenLargeObjects(block.dump_id)).await?;
    }
    let wanted = &crew.plan.objects[objects.clone()];
    let parts: Vec<LargeObjectPart> = wanted.iter().flat_map(steps).collect();
    let mut contents = std::pin::pin!(large_objects::read(session, &parts).await?);
    let mut parts = parts.iter();
    gather.begin_rows(None);
    for object in wanted {
        output.put(Part::OpenLargeObject(object.oid)).await?;
        let mut hash = StreamHash::default();
        for part in parts.by_ref().take(steps(object).count()) {
            let bytes = contents.try_next().await?.unwrap_or_default();
            if bytes.len() != part.length as usize {
                return Err(Error::LargeObjectCut { oid: object.oid, length: object.length });
            }
            crew.arrived(share, bytes.len() as u64).await;
            hash.update(&bytes);
            gather.bytes(&bytes, output).await?;
        }
        // An empty object still needs a complete empty stream.
        if gather.holds_bytes() || object.length == 0 {
            gather.end_bytes(output).await?;
        }
        gather.finish(output).await?;
        output.put(Part::CloseLargeObject(object.oid, hash.hex())).await?;
    }
    if contents.try_next().await?.is_some() {
        return Err(Error::LargeObjectCut { oid: 0, length: 0 });
    }
    session.run("letting locks go", BACK).await?;
    if objects.end == block.objects.end {
        output.put(Part::CloseLargeObjects).await?;
    }
    Ok(())
}

fn steps(object: &LargeObject) -> impl Iterator<Item = LargeObjectPart> {
    let LargeObject { oid, length } = *object;
    (0..length).step_by(STEP_BYTES as usize).map(move |from| LargeObjectPart {
        oid,
        from,
        length: u32::try_from(length - from).unwrap_or(STEP_BYTES).min(STEP_BYTES),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_in_steps_that_cover_it() {
        let of =
            |length| steps(&LargeObject { oid: 1, length }).map(|part| (part.from, part.length)).collect::<Vec<_>>();
        assert_eq!(of(0), []);
        assert_eq!(of(5), [(0, 5)]);
        assert_eq!(of(1 << 20), [(0, 1 << 20)]);
        assert_eq!(of((1 << 20) + 1), [(0, 1 << 20), (1 << 20, 1)]);
        assert_eq!(of(6 << 30).len(), 6 * 1024);
    }
}
