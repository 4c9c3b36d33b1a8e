//! What the processes of a round do: two make restore points, two drop old ones, one relies on each and looks.

use std::sync::Arc;

use bytes::Bytes;
use chrono::TimeDelta;
use holdpoint_core::{Manifest, PointId, layout};
use holdpoint_repository::{Error, Leftover, ObjectStore, PutOptions, Repository, Result, UploadOptions};
use serde::{Deserialize, Serialize};

use crate::place::Place;
use crate::sample::{NOW, manifest, shop};
use crate::told::{Stop, Told, say};

/// The pin of a check that is at work, or was killed.
pub(crate) const OF_CHECK: &str = "check";
/// Begins what a check says of a restore point that it relies on and that is not whole; the id follows.
pub(crate) const RELIED_UPON: &str = "relied upon ";
/// So many restore points no prune drops.
pub(crate) const KEPT: usize = 2;
/// Each backup process makes so many.
const MADE: u64 = 3;

/// Who a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    Backup(u64),
    Prune,
    Sweep,
    Check,
}

/// What a process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) role: Role,
    pub(crate) place: Place,
    /// See [`Stop`].
    pub(crate) stop_at: usize,
    pub(crate) waits: bool,
    /// Archives are uploaded in parts.
    pub(crate) large: bool,
}

/// The restore point of a process and number; later ones sort behind earlier ones.
pub(crate) fn point(process: u64, n: u64) -> PointId {
    let at = NOW.parse::<chrono::DateTime<chrono::Utc>>().unwrap() + TimeDelta::minutes(n.cast_signed());
    PointId::new(at, process)
}

/// The objects of a restore point beside its manifest.
pub(crate) fn objects(id: &PointId) -> [String; 3] {
    [layout::globals(&shop(), id), layout::archive(&shop(), id), layout::index(&shop(), id)]
}

/// The manifest of a restore point whose archive has so many bytes.
fn made(id: &PointId, archive_bytes: usize) -> Manifest {
    let mut manifest = manifest(id);
    manifest.archive.bytes = archive_bytes as u64;
    (manifest.index.bytes, manifest.globals.bytes) = (1, 1);
    manifest
}

/// Makes a restore point in the order of a backup.
pub(crate) async fn back_up(repository: &Repository, told: Option<&Told>, id: &PointId, large: bool) -> Result<()> {
    let store = repository.store();
    let [globals, archive, index] = objects(id);
    let mut upload = store.begin_upload(&archive, UploadOptions::default()).await?;
    let written = if large { Bytes::from(vec![7; (5 << 20) + 9]) } else { Bytes::from_static(b"rows") };
    let bytes = written.len();
    upload.write(written).await?;
    if let Some(told) = told {
        told.phase("finish", &archive).await;
    }
    upload.finish(Bytes::new()).await?;
    for key in [&index, &globals] {
        store.put_new(key, Bytes::from_static(b"x"), PutOptions::default()).await?;
    }
    repository.publish(&made(id, bytes), None).await.map(drop).map_err(Error::from)
}

/// Does what it is told until the end, or until it is killed.
pub(crate) async fn run(task: Task) {
    let stop = Stop { at: task.stop_at, waits: task.waits };
    let told = Arc::new(Told::new(task.place.store().await, stop));
    let store: Arc<dyn ObjectStore> = Arc::<Told>::clone(&told);
    let repository = Repository::open(store).await.unwrap();
    match task.role {
        Role::Backup(process) => {
            for n in 0..MADE {
                let id = point(process, 10 + n);
                match back_up(&repository, Some(&told), &id, task.large).await {
                    Ok(()) => say(&format!("published {id}")),
                    // The sweep took what it was about to publish, or its upload.
                    Err(
                        Error::NotWhole { .. }
                        | Error::NotFound { .. }
                        | Error::UploadGone { .. }
                        | Error::Service { status: 404, .. },
                    ) => {}
                    Err(error) => panic!("{id}: {error:?}"),
                }
            }
        }
        Role::Prune => prune(&repository).await,
        Role::Sweep => sweep(&repository).await,
        Role::Check => check(&repository).await,
    }
}

async fn prune(repository: &Repository) {
    for _ in 0..2 {
        let folders = repository.folders(&shop()).await.unwrap();
        let old = folders.published.len().saturating_sub(KEPT);
        for id in folders.withdrawn.iter().chain(&folders.published[..old]) {
            say(&format!("withdrawing {id}"));
            match repository.withdraw(&shop(), id, &[]).await {
                Ok(_) => {}
                // Another prune finished it between two steps of this one.
                Err(error) if error.is_not_found() => {}
                Err(error) => say(&format!("violation: withdraw {id}: {error:?}")),
            }
        }
    }
}

/// Takes for a leftover whatever has no manifest, however young it is: as if every backup had stood still for days.
async fn sweep(repository: &Repository) {
    for _ in 0..3 {
        for leftover in repository.leftovers(&shop()).await.unwrap() {
            if let Leftover::Orphan { id, .. } = &leftover {
                say(&format!("withdrawing {id}"));
            }
            match repository.remove_leftover(&leftover).await {
                Ok(()) | Err(Error::AlreadyExists { .. } | Error::NotFound { .. }) => {}
                Err(error) => say(&format!("violation: sweep {leftover:?}: {error:?}")),
            }
        }
    }
}

/// Relies on every restore point for a moment: what it may rely on is whole, and stays.
async fn check(repository: &Repository) {
    for _ in 0..2 {
        for id in repository.points(&shop()).await.unwrap() {
            match repository.pin(&shop(), &id, OF_CHECK, &serde_json::json!({})).await {
                Ok(()) => {}
                Err(error) if error.is_not_found() => continue,
                Err(error) => {
                    say(&format!("violation: pin {id}: {error:?}"));
                    continue;
                }
            }
            for key in objects(&id) {
                if let Err(error) = repository.store().head(&key).await {
                    say(&format!("{RELIED_UPON}{id}, and {key} is gone: {error:?}"));
                }
            }
            if let Err(error) = repository.manifest(&shop(), &id).await
                && !is_hidden(repository, &id).await
            {
                say(&format!("violation: relied upon, and its manifest is gone: {error:?}"));
            }
            repository.unpin(&shop(), &id, OF_CHECK).await.unwrap();
        }
    }
}

/// A prune that marked it and then saw the pin takes its mark away; one that was killed does not.
async fn is_hidden(repository: &Repository, id: &PointId) -> bool {
    match repository.store().head(&layout::manifest(&shop(), id)).await {
        Ok(_) => true,
        Err(Error::NotFound { .. }) => false,
        Err(error) => panic!("{error:?}"),
    }
}
