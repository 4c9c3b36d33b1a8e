//! How guarded runs compare the rows of a table with those of a restore point: by key, without values.

use std::path::Path;
use std::time::Duration;

use holdpoint_core::{PointId, RelationName};
use holdpoint_operations::compare::{Against, CompareRowsOptions, HowRows};

/// How long a comparison waits for a table that somebody else has locked.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(30);
/// Bytes of hashes in memory; what is beyond goes into temporary files.
const MEMORY_BYTES: usize = 64 << 20;

/// What is compared: a table of `point` with the one of the same name in `against`.
///
/// Up to `listed` rows of each kind are listed, with the columns in which they differ and without their values.
pub(crate) fn rows_of(
    point: &PointId,
    against: &Against,
    table: RelationName,
    listed: usize,
    temporary: &Path,
    jobs: usize,
) -> CompareRowsOptions {
    CompareRowsOptions {
        point: point.clone(),
        against: against.clone(),
        table,
        now_named: None,
        now_where: None,
        how: HowRows {
            key: None,
            columns: None,
            renamed: Vec::new(),
            limit: listed,
            values: false,
            memory_bytes: MEMORY_BYTES,
            directory: temporary.to_owned(),
            jobs,
            lock_wait: LOCK_WAIT,
        },
    }
}
