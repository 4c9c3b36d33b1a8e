//! `holdpoint cron`.

mod metrics_file;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use holdpoint_core::cron::{CronEvent, Unrecorded};
use holdpoint_core::progress::Silent;
use holdpoint_core::{DatabaseName, Mask, Secret};
use holdpoint_operations::cron::{CronOptions, CronReport, Failed, PingSign, Telling, cron, ping, tell};
use holdpoint_operations::webhook::Delivery;
use holdpoint_operations::{Clock, Error, ErrorKind};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout_at};

use super::printed;
use crate::arguments::{CronArguments, LimitArguments};
use crate::failure::Failure;
use crate::invocation::{Invocation, Verification, now, seed, whole};
use crate::output;
use crate::settings::CronSettings;
use holdpoint::exit_code;

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

/// For so long after `--max-runtime` what is under way may take to end, and what was left out is remembered and told.
const GRACE: Duration = Duration::from_secs(300);

/// What every database has in common.
#[derive(Clone)]
struct Common {
    settings: CronSettings,
    telling: Telling,
    clock: Clock,
    repository: String,
    deadline: Option<Instant>,
    single_writer: bool,
    /// Failures of earlier runs that only the metrics file knows of, by database.
    unrecorded: BTreeMap<DatabaseName, Unrecorded>,
}

pub(super) async fn run(invocation: &Invocation, arguments: &CronArguments) -> Result<u8, Failure> {
    let settings = invocation.settings.cron(arguments)?;
    let repository = invocation.settings.repository()?;
    invocation.settings.demand_lasting(&repository, arguments.allow_local_repository)?;
    let databases = databases(invocation, arguments)?;
    let metrics_file = settings.metrics_file.as_deref().map(metrics_file::MetricsFile::open).transpose()?;
    splay(invocation, settings.splay).await?;

    let began = Instant::now();
    let deadline = settings.max_runtime.map(|time| began + time);
    let unrecorded = |database: &DatabaseName| metrics_file.as_ref().map(|file| file.unrecorded(database));
    let common = Common {
        unrecorded: databases.iter().filter_map(|one| Some((one.clone(), unrecorded(one)?))).collect(),
        telling: telling(invocation, &settings),
        clock: Arc::new(now),
        repository: repository.url.to_string(),
        deadline,
        single_writer: arguments.single_writer,
        settings,
    };
    let mut warnings = Vec::new();
    let checks = common.settings.ping.clone().map(|to| delivery(invocation, to, None));
    warnings.extend(pinged(checks.as_ref(), PingSign::Start).await);
    if common.settings.level.is_some() {
        invocation.sweep().await;
    }
    let (databases, unasked) = longest_waiting_first(invocation, &common, databases).await;
    warnings.extend(unasked);
    let reports = every(invocation, &common, databases).await?;
    let codes = reports.iter().filter_map(|one| Some(exit_code::of(one.failure.as_ref()?.kind)));
    let exit_code = codes.fold(exit_code::DONE, exit_code::worst);
    if let Some(file) = metrics_file {
        warnings.extend(file.write(&reports).err().map(|error| format!("the metrics could not be written: {error}")));
    }
    let sign = if exit_code == exit_code::DONE { PingSign::Success } else { PingSign::Fail };
    warnings.extend(pinged(checks.as_ref(), sign).await);
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let report = CronAll { databases: reports, took_ms, exit_code, warnings };
    // Whoever asked for quiet wants mail about bad nights only.
    let good = exit_code == exit_code::DONE && report.databases.iter().all(|one| one.warnings.is_empty());
    if !invocation.settings.common.quiet || invocation.output.json || !good || !report.warnings.is_empty() {
        printed(invocation.output.report(&report, output::cron))?;
    }
    Ok(exit_code)
}

/// The databases to work on, sorted.
fn databases(invocation: &Invocation, arguments: &CronArguments) -> Result<Vec<DatabaseName>, Failure> {
    let settings = &invocation.settings;
    if !arguments.all {
        return Ok(vec![settings.database_name()?]);
    }
    let names = settings.production("--all")?;
    let has_url = |name: &DatabaseName| {
        let section = settings.config.database.get(name);
        section.is_some_and(|one| one.url.is_some() || one.direct_url.is_some() || one.backup_url.is_some())
    };
    if names.len() > 1
        && let Some(bare) = names.iter().find(|name| !has_url(name))
    {
        // DATABASE_URL would be the same database under several names.
        return Err(Failure::usage(
            format!("[database.{bare}] names no url, and --all works on several databases"),
            format!("write url = \"env:NAME\" below [database.{bare}]"),
        ));
    }
    let share = |name: &DatabaseName| arguments.shard.is_none_or(|shard| shard.holds(name));
    Ok(names.into_iter().filter(share).collect())
}

async fn splay(invocation: &Invocation, splay: Duration) -> Result<(), Failure> {
    if splay.is_zero() {
        return Ok(());
    }
    let part = u32::try_from(seed() >> 48).unwrap_or_default();
    let pause = splay.mul_f64(f64::from(part) / 65_536.0);
    tracing::info!(seconds = pause.as_secs(), "waiting, so that not everybody begins at once");
    tokio::select! {
        () = sleep(pause) => Ok(()),
        () = invocation.cancel.cancelled() => Err(Error::Interrupted.into()),
    }
}

fn telling(invocation: &Invocation, settings: &CronSettings) -> Telling {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut mask = Mask::new(crate::secrets::known(&invocation.settings.variables));
    for name in invocation.settings.config.database.keys() {
        mask.learn(invocation.of_database(name).settings.passwords());
    }
    mask.learn(invocation.settings.passwords());
    mask.learn([&settings.webhook, &settings.webhook_secret, &settings.ping].into_iter().flatten().cloned());
    Telling {
        owner: format!("{host}:{}", std::process::id()),
        webhook: settings.webhook.clone().map(|to| delivery(invocation, to, settings.webhook_secret.clone())),
        mask,
    }
}

fn delivery(invocation: &Invocation, to: Secret, secret: Option<Secret>) -> Delivery {
    Delivery { to, secret, clock: Arc::new(now), seed: seed(), cancel: invocation.cancel.clone() }
}

async fn pinged(checks: Option<&Delivery>, sign: PingSign) -> Option<String> {
    ping(checks?, sign).await.err().map(|why| format!("the ping was not heard: {why}"))
}

/// Where time may not be enough for all, those come first that had their turn the longest ago: else the same would be left
/// out every night. What the repository does not tell is a warning, and the order that of the names.
async fn longest_waiting_first(
    invocation: &Invocation,
    common: &Common,
    databases: Vec<DatabaseName>,
) -> (Vec<DatabaseName>, Option<String>) {
    let Some(deadline) = common.deadline.filter(|_| databases.len() > common.settings.parallel) else {
        return (databases, None);
    };
    let asked = async {
        let repository = invocation.open(&invocation.settings.repository()?, true).await?;
        let mut turns = Vec::new();
        for database in &databases {
            turns.push((repository.cron_history(database).await?.begun_at, database.clone()));
        }
        Ok::<_, Failure>(turns)
    };
    match timeout_at(deadline, asked).await {
        Ok(Ok(turns)) => (in_order(turns), None),
        Ok(Err(failure)) => {
            let why = failure.told(&common.telling.mask, false).message;
            (databases, Some(format!("which database waits the longest for its turn is not known: {why}")))
        }
        Err(_) => (databases, None),
    }
}

fn in_order(mut turns: Vec<(Option<DateTime<Utc>>, DatabaseName)>) -> Vec<DatabaseName> {
    turns.sort();
    turns.into_iter().map(|(_, database)| database).collect()
}

/// Works on all databases, so many at a time; the reports are in the databases' order.
async fn every(
    invocation: &Invocation,
    common: &Common,
    databases: Vec<DatabaseName>,
) -> Result<Vec<CronReport>, Failure> {
    let quiet = common.settings.parallel > 1 && databases.len() > 1;
    let (mut waiting, mut running, mut reports) = (databases.into_iter(), JoinSet::new(), Vec::new());
    loop {
        while running.len() < common.settings.parallel
            && let Some(database) = waiting.next()
        {
            let mut own = invocation.of_database(&database);
            if quiet {
                // Bars of several databases would write over each other.
                own.progress = Arc::new(Silent);
            }
            let common = common.clone();
            running.spawn(async move { one(own, common, database).await });
        }
        match running.join_next().await {
            Some(Ok(report)) => reports.push(report),
            Some(Err(error)) => return Err(Failure::Internal(format!("the work on a database broke off: {error}"))),
            None => break,
        }
    }
    reports.sort_by(|a, b| a.database.cmp(&b.database));
    Ok(reports)
}

/// Works on one database, until its time and the grace are over.
async fn one(invocation: Invocation, common: Common, database: DatabaseName) -> CronReport {
    let Some(deadline) = common.deadline else { return work(invocation, common, database).await };
    let (cut, tells) = (invocation.cancel.clone(), common.clone());
    match timeout_at(deadline + GRACE, work(invocation, common, database.clone())).await {
        Ok(report) => report,
        Err(_) if cut.is_cancelled() => CronReport::refused(database, now(), Failed::from(&Error::Interrupted)),
        Err(_) => given_up(&tells.repository, &tells.clock, &tells.telling, database).await,
    }
}

/// What did not even end within the grace: nobody knows what became of it, and it tells nobody any more.
async fn given_up(repository: &str, clock: &Clock, telling: &Telling, database: DatabaseName) -> CronReport {
    let mut report = CronReport::refused(database, now(), Failed::from(&Error::TimeOver));
    let left = "it did not end in time and was given up; holdpoint leftovers finds what it left";
    report.warnings.push(left.to_owned());
    report.events.push(CronEvent::Failed);
    tell(repository, clock, telling, &mut report).await;
    report
}

async fn work(invocation: Invocation, common: Common, database: DatabaseName) -> CronReport {
    let refused = |failed| CronReport::refused(database.clone(), now(), failed);
    if invocation.cancel.is_cancelled() {
        return refused(Failed::from(&Error::Interrupted));
    }
    match prepared(&invocation, &common, &database).await {
        Ok((context, source, options)) => cron(&context, &source, &options).await,
        Err(failure) => {
            let told = failure.told(&common.telling.mask, invocation.cancel.is_cancelled());
            let mut report = refused(Failed { kind: told.kind, message: told.line(), hint: told.hint });
            if told.kind != ErrorKind::Interrupted {
                report.events.push(CronEvent::Failed);
                tell(&common.repository, &common.clock, &common.telling, &mut report).await;
            }
            report
        }
    }
}

async fn prepared(
    invocation: &Invocation,
    common: &Common,
    database: &DatabaseName,
) -> Result<(holdpoint_operations::Context, holdpoint_operations::Source, CronOptions), Failure> {
    let settings = &common.settings;
    let wanted = settings.level.map(|level| Verification {
        level,
        scratch_url: None,
        replace_missing_locale: false,
        jobs: None,
        sample: None,
        restore_as: None,
    });
    let verify = wanted.map(|wanted| invocation.verify_options(&wanted)).transpose()?;
    let source = invocation.source()?;
    let context = invocation.context(true).await?;
    let limits = invocation.settings.limits(&LimitArguments::default());
    let mut backup = whole(settings.codec, limits);
    backup.retain_until = invocation.retain_until();
    backup.reason = Some("cron".to_owned());
    let options = CronOptions {
        backup,
        verify,
        verify_every: settings.verify_every,
        retention: settings.retention.clone(),
        sweep_min_age: settings.sweep_min_age,
        check: Some(settings.check.clone()),
        check_every: settings.check_every,
        deadline: common.deadline,
        single_writer: common.single_writer,
        unrecorded: common.unrecorded.get(database).cloned().unwrap_or_default(),
        telling: common.telling.clone(),
    };
    Ok((context, source, options))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[tokio::test]
    async fn what_did_not_end_within_the_grace_is_told_by_whoever_gave_it_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = format!("http://{}/hook", listener.local_addr().unwrap()).into();
        let heard = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut text, mut piece) = (String::new(), [0; 4096]);
            while !text.contains("was given up") && !text.ends_with("}") {
                let read = stream.read(&mut piece).unwrap();
                assert!(read > 0, "the message ends early: {text}");
                text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            text
        });
        let clock: Clock = Arc::new(now);
        let webhook = Delivery { to, secret: None, clock: Arc::clone(&clock), seed: 1, cancel: Default::default() };
        let telling =
            Telling { owner: "here:1".to_owned(), webhook: Some(webhook), mask: Mask::new(Vec::<Secret>::new()) };
        let report = given_up("s3://b/p", &clock, &telling, "shop".parse().unwrap()).await;
        let text = heard.join().unwrap();
        assert!(text.contains("\"event\":\"failed\"") && text.contains("\"kind\":\"could_not_run\""), "{text}");
        assert_eq!((report.events, report.warnings.len()), (vec![CronEvent::Failed], 1));
    }

    #[test]
    fn whoever_had_its_turn_the_longest_ago_comes_first() {
        let at = |hour: u32| Some(format!("2026-11-21T{hour:02}:00:00Z").parse().unwrap());
        let turns = [(at(3), "a"), (at(2), "b"), (None, "d"), (None, "c"), (at(1), "e")];
        let turns = turns.map(|(at, name)| (at, name.parse().unwrap())).to_vec();
        assert_eq!(in_order(turns).iter().map(DatabaseName::as_str).collect::<Vec<_>>(), ["c", "d", "e", "b", "a"]);
    }
}
