//! What goes on in the database while the command runs, looked at over a connection of its own that holds no snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use holdpoint_core::RunId;
use holdpoint_core::quantity::milliseconds;
use holdpoint_operations::Context;
use holdpoint_operations::watch::{self, Picture, Stop, Wait, WatchError, Watched};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};

use super::{policy, tool_lock};
use crate::tools::ToolName;
use crate::{Error, sessions};

/// The time between two looks; at first shorter, so that a short command's sessions are seen.
const EVERY: Duration = Duration::from_secs(1);
const AT_FIRST: Duration = Duration::from_millis(25);
const FIRST_FOR: Duration = Duration::from_secs(2);
/// How long one look may take.
const LOOK_WITHIN: Duration = Duration::from_secs(10);
/// A wait is told once it has lasted so long.
const WORTH_TELLING_MS: u64 = 1_000;
/// A standby that is behind is told each time that it is so many times farther behind.
const FARTHER: u64 = 10;
/// How many waits are kept.
const KEPT: usize = 20;
/// How long the server may stay away before the command is ended: by then its own statements failed, or nobody would
/// know what they do.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(120);

/// What is looked at.
pub(crate) struct Live<'a> {
    pub(crate) context: &'a Context,
    pub(crate) settings: &'a ConnectionSettings,
    /// How the command itself connects, where that is by another role.
    pub(crate) own: Option<&'a ConnectionSettings>,
    pub(crate) run: &'a RunId,
    /// The tool's own locks.
    pub(crate) keys: Vec<(ToolName, i64)>,
    /// Its waiting statements are cancelled once others have waited behind them for so long.
    pub(crate) cancel_blocked_after: Option<Duration>,
    /// How long nobody can look before the server counts as lost, where the run lock's session does not answer either.
    pub(crate) lost_after: Duration,
}

/// What was seen while the command ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// How often was looked.
    pub looks: u64,
    /// Sessions of the command that were seen, by server process.
    pub sessions: BTreeSet<i32>,
    /// What its sessions waited for, and for whom.
    pub waits: Vec<String>,
    /// Who waited behind its sessions.
    pub held_up: Vec<String>,
    /// Its waiting statements that were cancelled, because others waited behind them.
    pub cancelled: Vec<String>,
    /// What would have been cancelled, and may not be by any role that is known here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_cancelled: Vec<String>,
    /// The longest transaction of others that was open meanwhile, milliseconds.
    pub longest_transaction_ms: Option<u64>,
    /// The farthest that a standby was behind, milliseconds.
    pub replication_lag_ms: Option<u64>,
    /// How far index builds were when they were seen last, by the index or its table.
    pub index_builds: BTreeMap<String, String>,
    /// Who had the tool's own lock beside the command.
    pub beside: Option<String>,
    /// Why nobody could look for a while, although the server was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blind: Option<String>,
    /// How the command's sessions called themselves.
    #[serde(skip)]
    pub(crate) names: BTreeSet<String>,
    /// Waits that were told already: who, and for what.
    #[serde(skip)]
    told: BTreeSet<(i32, String)>,
    /// From how far behind on a standby is told again, milliseconds.
    #[serde(skip)]
    next_lag_ms: Option<u64>,
}

/// The server stayed away for too long.
pub(crate) struct Lost;

/// The connections by which is looked and cancelled.
struct Eyes {
    looks: Session,
    /// Of the other role.
    other: Option<Session>,
}

impl Eyes {
    /// The role that may see all statistics looks; where none may, the command's own, which sees its own sessions.
    async fn open(settings: &ConnectionSettings, own: Option<&ConnectionSettings>) -> Result<Self, Error> {
        let purpose = SessionPurpose::new("holdpoint guard watch");
        let looks = Session::connect(settings, &purpose).await?;
        let Some(own) = own else { return Ok(Self { looks, other: None }) };
        let sees_all = "SELECT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')";
        let sees_all = looks.query_one("looking what may be seen", sees_all, &[]).await?.get(0);
        match Session::connect(own, &purpose).await {
            Ok(other) if sees_all => Ok(Self { looks, other: Some(other) }),
            Ok(other) => Ok(Self { looks: other, other: Some(looks) }),
            Err(error) => {
                tracing::debug!(%error, "the command's role could not connect for looking");
                Ok(Self { looks, other: None })
            }
        }
    }

    /// Cancels a statement of a session that carries the token, by whichever role may.
    async fn cancel(&self, target: &watch::Activity, token: &str) -> Result<(), holdpoint_operations::Error> {
        let mut ended = watch::cancel(&self.looks, target, Stop::Statement, Some(token)).await;
        if let (Err(_), Some(other)) = (&ended, &self.other) {
            ended = watch::cancel(other, target, Stop::Statement, Some(token)).await;
        }
        ended.map(|_| ())
    }
}

impl Live<'_> {
    /// Looks until the server has stayed away for too long; mostly whoever awaits it stops before.
    ///
    /// A look that fails says nothing of the server as long as the run lock's session answers, which `answers` tells:
    /// there may be no connection left for looking. Then this is blind, and says so once.
    pub(crate) async fn watch(&self, seen: &mut Observed, answers: &AtomicBool) -> Lost {
        let mut session: Option<Eyes> = None;
        let began = Instant::now();
        let mut answered = began;
        let mut next = began;
        let mut why = String::new();
        loop {
            let whole = Instant::now() >= next;
            if whole {
                next = Instant::now() + EVERY;
            }
            match timeout(LOOK_WITHIN, self.look(&mut session, seen, whole)).await {
                Ok(Ok(())) => answered = Instant::now(),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the server could not be looked at");
                    why = error.to_string();
                    session = None;
                }
                Err(_) => {
                    why = format!("no answer within {} s", LOOK_WITHIN.as_secs());
                    session = None;
                }
            }
            if answered.elapsed() >= self.lost_after {
                if !answers.load(Ordering::Relaxed) {
                    return Lost;
                }
                if seen.blind.is_none() {
                    let after = self.lost_after.as_secs();
                    let told = format!(
                        "for {after} s nobody could look at what the command's sessions do, which goes on all the same: {why}"
                    );
                    self.context.progress.note(&told);
                    seen.blind = Some(told);
                }
            }
            sleep(if began.elapsed() < FIRST_FOR && session.is_some() { AT_FIRST } else { EVERY }).await;
        }
    }

    /// Looks once; `whole` asks more than who is there.
    async fn look(&self, eyes: &mut Option<Eyes>, seen: &mut Observed, whole: bool) -> Result<(), Error> {
        let eyes = match eyes {
            Some(eyes) => eyes,
            none => none.insert(Eyes::open(self.settings, self.own).await?),
        };
        let session = &eyes.looks;
        let found = sessions::names(session, &sessions::token(self.run)).await?;
        seen.sessions.extend(found.iter().map(|(pid, _)| *pid));
        seen.names.extend(found.into_iter().map(|(_, name)| name));
        seen.looks += 1;
        if whole {
            self.who_migrates(session, seen).await?;
            let watched = Watched { token: Some(sessions::token(self.run)), ..Watched::default() };
            let picture = watch::look(session, &watched).await?;
            self.tell(&picture, seen);
            self.cancel(eyes, &picture, seen).await;
        }
        Ok(())
    }

    /// Keeps what is worth it, and tells every wait once.
    fn tell(&self, picture: &Picture, seen: &mut Observed) {
        for wait in picture.waits.iter().filter(|wait| wait.waiting_ms >= WORTH_TELLING_MS) {
            if !seen.told.insert((wait.session.pid, format!("{:?}", wait.lock))) {
                continue;
            }
            let own = wait.session.carries_token;
            let told = if own { with_roots(wait, picture) } else { wait.sentence() };
            self.context.progress.note(&told);
            let list = if own { &mut seen.waits } else { &mut seen.held_up };
            if list.len() < KEPT {
                list.push(told);
            }
        }
        let others = picture.long.iter().chain(&picture.idle_in_transaction).filter(|one| !one.carries_token);
        seen.longest_transaction_ms = seen.longest_transaction_ms.max(others.map(watch::Activity::open_ms).max());
        if let Some((lag, standby)) =
            picture.standbys.iter().filter_map(|one| Some((one.lag_ms?, one))).max_by_key(|one| one.0)
        {
            seen.replication_lag_ms = seen.replication_lag_ms.max(Some(lag));
            if lag >= seen.next_lag_ms.unwrap_or(WORTH_TELLING_MS) {
                seen.next_lag_ms = Some(lag.saturating_mul(FARTHER));
                let told = format!("standby {} is {} behind", standby.application_name, milliseconds(lag));
                self.context.progress.note(&told);
            }
        }
        for work in picture.work.iter().filter(|work| seen.sessions.contains(&work.pid)) {
            let Some(what) = work.index.as_ref().or(work.relation.as_ref()) else { continue };
            let percent = work.percent().map(|percent| format!(", {percent} %")).unwrap_or_default();
            let now = format!("{}: {}{percent}", work.command, work.phase);
            if seen.index_builds.get(what) != Some(&now) && seen.index_builds.len() < KEPT {
                tracing::info!("{what}: {now}");
                seen.index_builds.insert(what.clone(), now);
            }
        }
    }

    /// Cancels statements of the command's own that wait and hold up others.
    async fn cancel(&self, eyes: &Eyes, picture: &Picture, seen: &mut Observed) {
        let Some(limit) = self.cancel_blocked_after else { return };
        for target in policy::to_cancel(picture, limit) {
            let after = milliseconds(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
            let told = format!("cancelled {}: others waited behind it for more than {after}", target.name());
            // Noted first: the command may end, and with it this look, before the server has answered.
            seen.cancelled.push(told.clone());
            let error = match eyes.cancel(target, &sessions::token(self.run)).await {
                Ok(()) => {
                    self.context.progress.note(&told);
                    continue;
                }
                Err(error) => error,
            };
            seen.cancelled.pop();
            // Else it went by itself, mostly.
            let holdpoint_operations::Error::Watch(WatchError::NotAllowed { name, said, .. }) = &error else {
                tracing::debug!(%error, "a waiting statement could not be cancelled");
                continue;
            };
            let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            let told = format!("others wait behind {name}, which could not be cancelled: {said}{hint}");
            if !seen.not_cancelled.contains(&told) && seen.not_cancelled.len() < KEPT {
                self.context.progress.note(&told);
                seen.not_cancelled.push(told);
            }
        }
    }

    /// Looks who has the tool's own lock: only where the command's sessions are known can it be told from others.
    async fn who_migrates(&self, session: &Session, seen: &mut Observed) -> Result<(), Error> {
        if seen.beside.is_some() || seen.sessions.is_empty() {
            return Ok(());
        }
        let Some(holder) = tool_lock::holder(session, &self.keys).await? else { return Ok(()) };
        if seen.sessions.contains(&holder.pid) || holder.application_name.contains(&sessions::token(self.run)) {
            return Ok(());
        }
        let told = format!("{} has the lock of {} while the command runs", holder, holder.tool);
        self.context.progress.note(&told);
        seen.beside = Some(told);
        Ok(())
    }
}

/// Who waits for what, and what those do that it waits for.
fn with_roots(wait: &Wait, picture: &Picture) -> String {
    let roots = wait.roots.iter().filter_map(|pid| picture.session(*pid)).map(|root| {
        if root.hidden {
            return format!("what {} does, and for how long, is hidden from this role", root.name());
        }
        let does = root.state.clone().unwrap_or_else(|| "at work".to_owned());
        let query = root.query.as_ref().map(|query| format!(": {query}")).unwrap_or_default();
        format!("{} is {does}, its transaction open for {}{query}", root.name(), milliseconds(root.open_ms()))
    });
    std::iter::once(wait.sentence()).chain(roots).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use holdpoint_core::progress::Silent;
    use holdpoint_repository::{LocalDirectory, Repository};
    use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn without_a_connection_for_looking_it_is_blind_and_only_a_server_that_is_gone_is_lost() {
        let cluster = Cluster::start(ClusterOptions::major(NEWEST));
        cluster.create_database("shop");
        cluster.psql("shop", "CREATE ROLE watches LOGIN CONNECTION LIMIT 0");
        let folder = tempfile::tempdir().unwrap();
        let store = LocalDirectory::new(folder.path().join("repository")).unwrap();
        let now = chrono::DateTime::UNIX_EPOCH;
        let context = Context {
            database: "shop".parse().unwrap(),
            repository: Arc::new(Repository::init(Arc::new(store), now).await.unwrap().0),
            progress: Arc::new(Silent),
            cancel: CancellationToken::new(),
            clock: Arc::new(move || now),
            seed: 1,
            reads_for: holdpoint_operations::READS_FOR,
            rds: holdpoint_operations::rds::RdsReach::default(),
        };
        let settings = ConnectionSettings::resolve(&cluster.url_as("watches", "shop"), &Default::default()).unwrap();
        let run = "20261121T024300Z-k3f9".parse().unwrap();
        let live = Live {
            context: &context,
            settings: &settings,
            own: None,
            run: &run,
            keys: Vec::new(),
            cancel_blocked_after: None,
            lost_after: Duration::from_secs(1),
        };
        let answers = AtomicBool::new(true);
        let mut seen = Observed::default();
        // The lock's session answers: the command goes on.
        let watched = timeout(Duration::from_secs(10), live.watch(&mut seen, &answers)).await;
        assert!(watched.is_err(), "it was given up");
        let blind = seen.blind.clone().unwrap_or_default();
        assert!(blind.contains("nobody could look") && blind.contains("too many connections"), "{seen:?}");
        // That one is gone, too.
        answers.store(false, Ordering::Relaxed);
        let watched = timeout(Duration::from_secs(60), live.watch(&mut seen, &answers)).await;
        assert!(watched.is_ok(), "it was not given up");
        // Where looking works, nobody asks the lock.
        cluster.psql("shop", "ALTER ROLE watches CONNECTION LIMIT 5");
        let mut seen = Observed::default();
        assert!(timeout(Duration::from_secs(4), live.watch(&mut seen, &answers)).await.is_err());
        assert!(seen.looks > 0 && seen.blind.is_none(), "{seen:?}");
    }
}
