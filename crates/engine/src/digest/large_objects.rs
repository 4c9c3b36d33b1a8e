//! Digesting large objects.

use std::sync::{Arc, Mutex};

use holdpoint_core::digest::StreamHash;
use holdpoint_core::index::LargeObjectRecord;
use holdpoint_core::progress::Progress;
use holdpoint_postgres::{ConnectionSettings, Session};
use tokio::task::JoinSet;

use super::{DigestOptions, HeldSnapshot, Queue, next, open_in};
use crate::Error;

/// How many large objects are read by one statement, each up to [`STEP`] bytes of it.
const BATCH: usize = 16;
const STEP: i32 = 1 << 20;
const LIST: &str = "SELECT oid FROM pg_catalog.pg_largeobject_metadata ORDER BY oid";

/// Reads and hashes every large object of a database; `snapshot` is one that somebody holds open, or none.
pub(super) async fn digest(
    settings: &ConnectionSettings,
    options: &DigestOptions,
    snapshot: Option<&HeldSnapshot>,
    progress: Arc<dyn Progress>,
) -> Result<Vec<LargeObjectRecord>, Error> {
    let session = open_in(settings, options, snapshot).await?;
    let rows = session.query("listing large objects", LIST, &[]).await?;
    let oids: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
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
    let mut found = Vec::with_capacity(oids.len());
    while let Some(joined) = sessions.join_next().await {
        found.extend(joined.map_err(Error::Worker)??);
    }
    found.sort_by_key(|object| object.oid);
    Ok(found)
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
