//! `holdpoint cron`.

mod databases;
mod metrics_file;
pub(crate) mod unbegun;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use databases::Databases;
use holdpoint_core::cron::Unrecorded;
use holdpoint_core::{DatabaseName, Mask, Secret};
use holdpoint_operations::cron::{CronReport, PingSign, Telling, ping, tell_each};
use holdpoint_operations::webhook::Delivery;
use holdpoint_operations::{Clock, Error};
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::printed;
use crate::arguments::CronArguments;
use crate::failure::Failure;
use crate::invocation::{Invocation, now, seed};
use crate::output;
use crate::settings::CronSettings;
use holdpoint::exit_code;

/// So long everybody is told of what nobody was told before: as long as one message is tried.
const TELLS_WITHIN: Duration = Duration::from_secs(60);
/// The same after a signal: each message is tried once, and all of them at a time.
const TELLS_CUT_WITHIN: Duration = Duration::from_secs(10);

/// What was done for every database.
#[derive(Debug, Serialize)]
pub(crate) struct CronAll {
    /// Each database, by name.
    pub(crate) databases: Vec<CronReport>,
    /// How long everything took, in milliseconds.
    pub(crate) took_ms: u64,
    /// The exit code: that of the worst.
    pub(crate) exit_code: u8,
    /// What is worth knowing of the run itself.
    pub(crate) warnings: Vec<String>,
}

/// What every database has in common.
#[derive(Clone)]
struct Common {
    settings: CronSettings,
    telling: Telling,
    clock: Clock,
    repository: String,
    deadline: Option<Instant>,
    single_writer: bool,
    /// Notified as soon as something is done, or fails otherwise than since another run is at it.
    begins: Arc<Notify>,
    /// Failures of earlier runs that only the metrics file knows of, by database.
    unrecorded: BTreeMap<DatabaseName, Unrecorded>,
}

/// What is known before a run begins.
struct Prepared {
    settings: CronSettings,
    repository: String,
    databases: Databases,
    metrics_file: Option<metrics_file::MetricsFile>,
}

fn prepare(invocation: &Invocation, arguments: &CronArguments) -> Result<Prepared, Failure> {
    let settings = invocation.settings.cron(arguments)?;
    let repository = invocation.settings.repository()?;
    invocation.settings.demand_lasting(&repository, arguments.allow_local_repository)?;
    let databases = Databases::find(invocation, arguments)?;
    let metrics_file = settings.metrics_file.as_deref().map(metrics_file::MetricsFile::open).transpose()?;
    Ok(Prepared { settings, repository: repository.url.to_string(), databases, metrics_file })
}

pub(super) async fn run(invocation: &Invocation, arguments: &CronArguments) -> Result<u8, Failure> {
    let Prepared { settings, repository, databases, metrics_file } = match prepare(invocation, arguments) {
        Ok(prepared) => prepared,
        Err(failure) => {
            unbegun::tell(&invocation.settings, &invocation.cancel, &failure).await;
            return Err(failure);
        }
    };
    splay(invocation, settings.splay).await?;

    let began = Instant::now();
    let deadline = settings.max_runtime.map(|time| began + time);
    let unrecorded = |database: &DatabaseName| metrics_file.as_ref().map(|file| file.unrecorded(database));
    let common = Common {
        unrecorded: databases.works.iter().filter_map(|one| Some((one.clone(), unrecorded(one)?))).collect(),
        telling: telling(invocation, &settings),
        clock: Arc::new(now),
        repository,
        deadline,
        single_writer: arguments.single_writer,
        begins: Arc::default(),
        settings,
    };
    let mut warnings = Vec::new();
    let checks = common.settings.ping.clone().map(|to| delivery(invocation.cancel.clone(), to, None));
    let starting = start(checks.clone(), Arc::clone(&common.begins));
    if common.settings.level.is_some() {
        invocation.sweep().await;
    }
    let refused = databases.refused.into_iter();
    let refused: Vec<_> =
        refused.map(|(name, failure)| work::refused(&common, name, &work::turn(), &failure, false)).collect();
    // Nobody waits for that.
    let mut telling = JoinSet::new();
    telling.spawn(told(common.clone(), refused.clone(), TELLS_WITHIN));
    let (databases, unasked) = databases::longest_waiting_first(invocation, &common, databases.works).await;
    warnings.extend(unasked);
    let worked = work::every(invocation, &common, databases).await;
    let all = [worked.as_slice(), &refused].concat();
    let codes = all.iter().filter_map(|one| Some(exit_code::of(one.failure.as_ref()?.kind)));
    let exit_code = codes.fold(exit_code::DONE, exit_code::worst);
    if let Some(file) = metrics_file {
        warnings.extend(file.write(&all).err().map(|error| format!("the metrics could not be written: {error}")));
    }
    // Whoever keeps a run out of everything pings for itself.
    let sign = match exit_code {
        exit_code::DONE => Some(PingSign::Success),
        exit_code::BUSY => all.iter().any(|one| !one.is_kept_out()).then_some(PingSign::Success),
        _ => Some(PingSign::Fail),
    };
    // Whoever sent the signal does not wait for long.
    let within = if invocation.cancel.is_cancelled() { TELLS_CUT_WITHIN } else { TELLS_WITHIN };
    if sign.is_some() {
        // A share may hold no database at all.
        common.begins.notify_one();
    }
    let pinged = async { Some(ended(starting, checks.as_ref(), sign?, within).await) };
    let (told, refused, pinged) = tokio::join!(told(common, worked, within), told_by(telling, refused, within), pinged);
    warnings.extend(pinged.into_iter().flatten());
    let mut reports = [told, refused].concat();
    reports.sort_by(|a, b| a.database.cmp(&b.database));
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let report = CronAll { databases: reports, took_ms, exit_code, warnings };
    // Whoever asked for quiet wants mail only about what somebody should look at.
    let good = [exit_code::DONE, exit_code::BUSY].contains(&exit_code)
        && report.databases.iter().all(|one| one.warnings.is_empty());
    if !invocation.settings.common.quiet || invocation.output.json || !good || !report.warnings.is_empty() {
        printed(invocation.output.report(&report, output::cron))?;
    }
    Ok(exit_code)
}

/// Tells whoever is to be told of those of which nobody was yet; gives them with what could not be told.
async fn told(common: Common, mut reports: Vec<CronReport>, within: Duration) -> Vec<CronReport> {
    tell_each(&common.repository, &common.clock, &common.telling, &mut reports, within).await;
    reports
}

/// What a task made of these reports that tells of them, if it ends in time.
async fn told_by(mut task: JoinSet<Vec<CronReport>>, untold: Vec<CronReport>, within: Duration) -> Vec<CronReport> {
    match timeout(within, task.join_next()).await {
        Ok(Some(Ok(told))) => told,
        _ => untold.into_iter().map(|one| one.with_warning("whether the webhook was told is not known")).collect(),
    }
}

async fn splay(invocation: &Invocation, splay: Duration) -> Result<(), Failure> {
    if splay.is_zero() {
        return Ok(());
    }
    let pause = part_of(splay, seed());
    tracing::info!(seconds = pause.as_secs(), "waiting, so that not everybody begins at once");
    tokio::select! {
        () = sleep(pause) => Ok(()),
        () = invocation.cancel.cancelled() => Err(Error::Interrupted.into()),
    }
}

/// A part of a time that the seed decides, never none of it and never more than it.
fn part_of(splay: Duration, seed: u64) -> Duration {
    let part = u32::try_from(seed >> 48).unwrap_or_default();
    splay.mul_f64(f64::from(part + 1) / 65_536.0)
}

/// This machine and process, as others shall see them.
fn owner() -> String {
    format!("{}:{}", rustix::system::uname().nodename().to_string_lossy(), std::process::id())
}

fn telling(invocation: &Invocation, settings: &CronSettings) -> Telling {
    let mut mask = Mask::new(crate::secrets::known(&invocation.settings.variables));
    for name in invocation.settings.config.database.keys() {
        mask.learn(invocation.of_database(name).settings.passwords());
    }
    mask.learn(invocation.settings.passwords());
    mask.learn([&settings.webhook, &settings.webhook_secret, &settings.ping].into_iter().flatten().cloned());
    Telling {
        owner: owner(),
        webhook: settings
            .webhook
            .clone()
            .map(|to| delivery(invocation.cancel.clone(), to, settings.webhook_secret.clone())),
        mask,
    }
}

fn delivery(cancel: CancellationToken, to: Secret, secret: Option<Secret>) -> Delivery {
    Delivery { to, secret, clock: Arc::new(now), seed: seed(), cancel }
}

/// Pings that the run begins, once it does: one that others keep out of everything never did.
fn start(checks: Option<Delivery>, begins: Arc<Notify>) -> JoinSet<Option<String>> {
    let mut starting = JoinSet::new();
    starting.spawn(async move {
        begins.notified().await;
        pinged(checks.as_ref(), PingSign::Start).await
    });
    starting
}

/// Pings how a run ended, after its beginning was told; gives what was not heard.
async fn ended(
    mut starting: JoinSet<Option<String>>,
    checks: Option<&Delivery>,
    sign: PingSign,
    within: Duration,
) -> Vec<String> {
    let started = timeout(within, starting.join_next()).await.ok().flatten().and_then(Result::ok).flatten();
    [started, pinged(checks, sign).await].into_iter().flatten().collect()
}

async fn pinged(checks: Option<&Delivery>, sign: PingSign) -> Option<String> {
    ping(checks?, sign).await.err().map(|why| format!("the ping was not heard: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_of_one_schedule_begin_at_different_times() {
        let hour = Duration::from_secs(3600);
        let parts: Vec<Duration> = (0..=u16::MAX).map(|n| part_of(hour, u64::from(n) << 48)).collect();
        assert!(parts.iter().all(|part| !part.is_zero() && *part <= hour), "the shortest is {:?}", parts[0]);
        assert!(parts.windows(2).all(|two| two[0] < two[1]), "every seed waits for another time");
        let late = parts.iter().filter(|part| **part > hour / 2).count();
        assert_eq!(late, parts.len() / 2);
    }
}
