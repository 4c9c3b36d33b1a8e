//! What holds a backfill back: standbys that are behind, and sessions that wait for it.

use std::time::Duration;

use holdpoint_core::quantity::milliseconds;
use holdpoint_postgres::{Session, waiters};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::watch::replication;

const LOOK_EVERY: Duration = Duration::from_millis(250);
const LAG_EVERY: Duration = Duration::from_secs(1);

/// The standby that is furthest behind, where that is further than it may be.
pub(super) async fn behind(monitor: &Session, max_lag: Duration) -> Result<Option<String>, Error> {
    let limit = u64::try_from(max_lag.as_millis()).unwrap_or(u64::MAX);
    let standbys = replication::standbys(monitor).await?;
    let far = standbys.iter().filter(|one| one.lag_ms.is_some_and(|lag| lag > limit)).max_by_key(|one| one.lag_ms);
    Ok(far.map(|one| {
        let lag = milliseconds(one.lag_ms.unwrap_or_default());
        format!("standby {} is {lag} behind", one.application_name)
    }))
}

/// Tells whether the role sees how far standbys are.
pub(super) async fn sees_lag(monitor: &Session) -> Result<bool, Error> {
    Ok(!replication::standbys(monitor).await?.iter().any(|standby| standby.hidden))
}

/// Waits until no standby is too far behind, or until `until`; adds how long that was, whatever ends it, to `waited`.
pub(super) async fn wait_for_standbys(
    monitor: &Session,
    max_lag: Duration,
    until: Option<Instant>,
    cancel: &CancellationToken,
    note: &dyn Fn(&str),
    waited: &mut Duration,
) -> Result<(), Error> {
    let mut since: Option<Instant> = None;
    let mut add = |since: Option<Instant>| *waited += since.map_or(Duration::ZERO, |since| since.elapsed());
    loop {
        let far = match behind(monitor, max_lag).await {
            Ok(far) => far.filter(|_| until.is_none_or(|until| Instant::now() < until)),
            Err(error) => {
                add(since);
                return Err(error);
            }
        };
        let Some(who) = far else {
            add(since);
            return Ok(());
        };
        if since.is_none() {
            note(&format!("waiting: {who}"));
            since = Some(Instant::now());
        }
        tokio::select! {
            () = sleep(LAG_EVERY) => {}
            () = cancel.cancelled() => {
                add(since);
                return Err(Error::Interrupted);
            }
        }
    }
}

/// Waits until somebody has waited for too long for the sessions of that name; says who.
pub(super) async fn blocked(monitor: &Session, name: &str, max_blocked: Duration) -> Result<String, Error> {
    loop {
        sleep(LOOK_EVERY).await;
        let waiting = waiters::waiters(monitor, name).await?;
        if let Some(one) = waiting.iter().find(|one| one.waiting_for >= max_blocked) {
            return Ok(one.to_string());
        }
    }
}
