//! Digesting large objects.

use std::sync::{Arc, Mutex};

use holdpoint_core::digest::StreamHash;
use holdpoint_core::index::LargeObjectRecord;
use holdpoint_core::progress::Progress;
use holdpoint_postgres::catalog::large_objects::lengths;
use holdpoint_postgres::{ConnectionSettings, Session};
use tokio::task::JoinSet;

use super::{DigestOptions, HeldSnapshot, Queue, next, open_in};
use crate::Error;

/// How many large objects are read by one statement, each up to [`STEP`] bytes of it.
const BATCH: usize = 16;
const STEP: i32 = 1 << 20;
/// How many large objects are measured at a time: each is open until then.
const MEASURED: usize = 1000;
const LIST: &str = "SELECT oid FROM pg_catalog.pg_largeobject_metadata ORDER BY oid";

/// Reads and hashes the large objects of a database as far as the options say; `snapshot` is one that somebody holds open,
/// or none.
pub(super) async fn digest(
    settings: &ConnectionSettings,
    options: &DigestOptions,
    snapshot: Option<&HeldSnapshot>,
    progress: Arc<dyn Progress>,
) -> Result<Vec<LargeObjectRecord>, Error> {
    let session = open_in(settings, options, snapshot).await?;
    let rows = session.query("listing large objects", LIST, &[]).await?;
    let oids: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
    let (read, mut found) = match options.large_objects.unwrap_or_default() {
        u64::MAX => (oids, Vec::new()),
        limit => shorter(measured(&session, &oids, snapshot.is_some()).await?, limit),
    };
    let oids = read;
    let batches: Queue<Vec<u32>> = Arc::new(Mutex::new(oids.chunks(BATCH).map(<[u32]>::to_vec).collect()));
    let mut sessions = JoinSet::new();
    for _ in 0..options.jobs.max(1).min(oids.len().div_ceil(BATCH)) {
        let (settings, options, batches) = (settings.clone(), options.clone(), Arc::clone(&batches));
        let (progress, snapshot) = (Arc::clone(&progress), snapshot.cloned());
        sessions.spawn(async move {
            let session = open_in(&settings, &options, snapshot.as_ref()).await?;
            let mut found = Vec::new();
            while let Some(batch) = next(&batches) {
                read_batch(&session, &batch, progress.as_ref(), &mut found).await?;
            }
            Ok::<_, Error>(found)
        });
    }
    while let Some(joined) = sessions.join_next().await {
        found.extend(joined.map_err(Error::Worker)??);
    }
    found.sort_by_key(|object| object.oid);
    Ok(found)
}

/// Measures large objects; `within` a transaction, or in transactions of its own.
async fn measured(session: &Session, oids: &[u32], within: bool) -> Result<Vec<(u32, u64)>, Error> {
    const WHAT: &str = "measuring large objects";
    let (begin, end) =
        if within { ("SAVEPOINT measured", "ROLLBACK TO SAVEPOINT measured") } else { ("BEGIN", "ROLLBACK") };
    let mut found = Vec::with_capacity(oids.len());
    for part in oids.chunks(MEASURED) {
        session.run(WHAT, begin).await?;
        found.extend(part.iter().copied().zip(lengths(session, part).await?));
        session.run(WHAT, end).await?;
    }
    Ok(found)
}

/// The large objects to read, up to so many bytes in all, and records of the others, without a digest.
fn shorter(mut objects: Vec<(u32, u64)>, limit: u64) -> (Vec<u32>, Vec<LargeObjectRecord>) {
    objects.sort_unstable_by_key(|(oid, bytes)| (*bytes, *oid));
    let mut left = limit;
    let read = objects.iter().take_while(|(_, bytes)| left.checked_sub(*bytes).inspect(|rest| left = *rest).is_some());
    let read: Vec<u32> = read.map(|(oid, _)| *oid).collect();
    let unread = objects.iter().skip(read.len());
    let record =
        |(oid, bytes): &(u32, u64)| LargeObjectRecord { dump_id: 0, oid: *oid, bytes: *bytes, digest: String::new() };
    let unread = unread.map(record).collect();
    (read, unread)
}

async fn read_batch(
    session: &Session,
    batch: &[u32],
    progress: &dyn Progress,
    found: &mut Vec<LargeObjectRecord>,
) -> Result<(), Error> {
    const WHAT: &str = "reading large objects";
    const FIRST: &str =
        "SELECT oid, pg_catalog.lo_get(oid, 0, $2) FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS batch(oid)";
    for row in session.query(WHAT, FIRST, &[&batch, &STEP]).await? {
        let oid: u32 = row.get(0);
        let mut hash = StreamHash::default();
        let mut step: Vec<u8> = row.get(1);
        let mut bytes: u64 = 0;
        loop {
            hash.update(&step);
            bytes += step.len() as u64;
            progress.advance(step.len() as u64);
            if step.len() < STEP as usize {
                break;
            }
            let at = i64::try_from(bytes).unwrap_or(i64::MAX);
            let rows = session.query(WHAT, "SELECT pg_catalog.lo_get($1, $2, $3)", &[&oid, &at, &STEP]).await?;
            step = rows.first().map(|row| row.get(0)).unwrap_or_default();
        }
        found.push(LargeObjectRecord { dump_id: 0, oid, bytes, digest: hash.hex() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_ones_are_read_as_far_as_the_limit_goes() {
        let objects = vec![(1, 900), (2, 0), (3, 50), (4, 50), (5, 1)];
        let read = |limit| {
            let (read, unread) = shorter(objects.clone(), limit);
            assert!(unread.iter().all(|one| one.digest.is_empty()));
            (read, unread.iter().map(|one| (one.oid, one.bytes)).collect::<Vec<_>>())
        };
        assert_eq!(read(100), (vec![2, 5, 3], vec![(4, 50), (1, 900)]));
        assert_eq!(read(0), (vec![2], vec![(5, 1), (3, 50), (4, 50), (1, 900)]));
        assert_eq!(read(1001).1, []);
    }
}
