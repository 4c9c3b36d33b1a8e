//! What a backup may ask of the server: production comes first.

use std::num::NonZeroU64;
use std::time::Duration;

use holdpoint_engine::Pace;
use holdpoint_postgres::waiters::waiting_elsewhere;
use holdpoint_postgres::{Session, preflight};

use super::BackupOptions;
use crate::Error;

/// Bounds of a backup's effect on the server; the default bounds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupLimits {
    /// Bytes of COPY text that are read in a second, over all connections together.
    pub max_rate: Option<NonZeroU64>,
    /// A backup that holds its snapshot for longer ends itself: the snapshot keeps vacuum from removing dead rows.
    pub max_snapshot_age: Option<Duration>,
    /// A backup ends itself when somebody has waited for one of its locks for longer, so that whoever wants that table
    /// does not queue behind both.
    pub max_lock_wait: Option<Duration>,
    /// The number of jobs is holdpoint's to choose: at most the given one, fewer where connections are scarce, where
    /// the server shares this machine, where more do not help, or where others begin to wait.
    pub choose_jobs: bool,
}

/// Connections of a backup besides the copying ones: coordinator, pg_dump, and who looks for waiters.
const BESIDES: u64 = 3;

/// How often it is looked, before anything is read, how many sessions wait anyhow.
const SAMPLES: u32 = 4;
const BETWEEN_SAMPLES: Duration = Duration::from_millis(30);

/// Gives how many jobs work at a time, and their pace.
pub(super) async fn pace(session: &Session, options: &BackupOptions) -> Result<(usize, Pace), Error> {
    let limits = &options.limits;
    if !limits.choose_jobs {
        return Ok((options.jobs, Pace::new(options.jobs, limits.max_rate, None)));
    }
    let left = u64::try_from(preflight::headroom(session).await?.left).unwrap_or(0);
    let here = session.settings().servers().iter().all(|server| server.is_local());
    let jobs = chosen(options.jobs, here, left);
    let mut waiting = 0;
    for _ in 0..SAMPLES {
        waiting += waiting_elsewhere(session, session.settings().application_name().unwrap_or_default()).await?;
        tokio::time::sleep(BETWEEN_SAMPLES).await;
    }
    Ok((jobs, Pace::new(jobs, limits.max_rate, Some(waiting as f64 / f64::from(SAMPLES)))))
}

/// At most half of the connections that are left, and half of the processors that the server shares with us; but two
/// where there are two.
fn chosen(most: usize, shared_with_the_server: bool, connections_left: u64) -> usize {
    let processors = if shared_with_the_server { most.div_ceil(2).max(2) } else { most };
    let connections = usize::try_from(connections_left.saturating_sub(BESIDES) / 2).unwrap_or(usize::MAX);
    most.min(processors).min(connections).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_keeps_half_of_what_there_is() {
        for (most, shared, left, jobs) in [
            (8, false, 100, 8),
            (8, true, 100, 4),
            (2, true, 100, 2),
            (1, true, 100, 1),
            (3, true, 100, 2),
            (8, false, 9, 3),
            (8, false, 4, 1),
            (8, false, 0, 1),
        ] {
            assert_eq!(chosen(most, shared, left), jobs, "{most} {shared} {left}");
        }
    }
}
