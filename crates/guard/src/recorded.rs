//! What a command recorded, read once it ended: once more, and by another role, before it counts as not known.

use std::pin::Pin;
use std::time::Duration;

use holdpoint_operations::Context;
use holdpoint_review::{Catalog, MigrationSql};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::guarded::Guarded;
use crate::planned::{Migrations, Planned};
use crate::state::Change;
use crate::tools;

/// How long all of it may take, but for [`LEAST`]: a server that hangs must not keep the report.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// What one try gets at least, whatever was tried before.
const LEAST: Duration = Duration::from_secs(5);
/// The time between two tries.
const EVERY: Duration = Duration::from_secs(1);

/// What was recorded, as far as it could be read.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// What is still pending by the tool's own table; `None` where there is none, or it could not be read.
    pub(crate) still_pending: Option<Vec<String>>,
    /// The tool recorded something although nothing was pending.
    pub(crate) all_the_same: bool,
    /// The pending files of a folder without a tool, and the catalog in which they show.
    pub(crate) files: Option<(Vec<MigrationSql>, Catalog)>,
    /// What tells which of the pending migrations ran could not be read.
    pub(crate) unread: bool,
}

/// What reads, by the migrations of one role.
type Read<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

impl Guarded<'_> {
    /// Reads what the command recorded, as migrations connect, and where that fails as backups do: a role that migrates may have
    /// no connection left, or another password by now.
    pub(crate) async fn recorded(&self, planned: &Planned, change: &Change, warnings: &mut Vec<String>) -> Recorded {
        let options = self.preparation.options;
        let start = &self.start.identity;
        let context = &Context { cancel: CancellationToken::new(), ..self.preparation.context.clone() };
        let (own, other) = (&options.migrations, options.migrations.by(&self.start.settings));
        let both: Vec<&Migrations> = [own].into_iter().chain(&other).collect();
        // A server that stayed away was waited for already.
        let within = if change.objects.is_some() { READ_WITHIN } else { Duration::ZERO };
        let began = Instant::now();
        let mut found = Recorded::default();
        let mut failed = |what: &str, why: String| warnings.push(self.mask.script(&format!("{what}: {why}")));
        // Where no table of the tool's says it, nobody does.
        let told = options.found().is_some_and(|found| found.table.is_some());
        if told && planned.record.is_some() {
            match patiently((began, within), &both, |by| Box::pin(by.still_pending(context, start))).await {
                Ok(still) => found.still_pending = Some(still),
                Err(why) => {
                    failed("what is still pending could not be read", why);
                    found.unread = true;
                }
            }
        }
        if planned.migrations == Some(0) {
            match patiently((began, within), &both, |by| Box::pin(by.recorded_since(planned, start))).await {
                Ok(recorded) => found.all_the_same = recorded,
                Err(why) => failed("what was recorded could not be read", why),
            }
        }
        // Names mean what they mean to the role that migrates.
        match patiently((began, within), &[own], |by| Box::pin(by.to_be_shown(planned, start))).await {
            Ok(files) => found.files = files,
            Err(why) => {
                failed("what shows that files ran could not be read", why);
                found.unread = true;
            }
        }
        found
    }
}

/// Reads by one role after the other until that works, as long as it may work a moment later; nothing is tried again once
/// `within` is over since it `began`. Why not, in the words of the first role.
async fn patiently<'a, T, B: Copy>(
    (began, within): (Instant, Duration),
    roles: &[B],
    mut read: impl FnMut(B) -> Read<'a, T> + Send,
) -> Result<T, String> {
    loop {
        let (mut first, mut again) = (None, false);
        for (roles_left, role) in (1..=roles.len() as u32).rev().zip(roles) {
            let share = (READ_WITHIN.saturating_sub(began.elapsed()) / roles_left).max(LEAST);
            let why = match timeout(share, read(*role)).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(error)) => {
                    again |= is_transient(&error);
                    error.to_string()
                }
                Err(_) => format!("no answer within {} s", share.as_secs()),
            };
            first = first.or(Some(why));
        }
        if !again || began.elapsed() + EVERY > within {
            return Err(first.unwrap_or_default());
        }
        sleep(EVERY).await;
    }
}

/// Whether the same may work a moment later.
fn is_transient(error: &Error) -> bool {
    match error {
        Error::Postgres(error) | Error::Tools(tools::Error::Postgres(error)) => error.is_transient(),
        // Whoever migrates holds its own table.
        Error::Tools(tools::Error::Locked { .. }) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Reads with these answers, one after the other; with the roles that were asked.
    async fn tried(within: Duration, answers: Vec<Result<u32, Error>>) -> (Result<u32, String>, Vec<&'static str>) {
        let answers = Mutex::new(answers.into_iter());
        let asked = Mutex::new(Vec::new());
        let (next, note) = (&answers, &asked);
        let read = |role| -> Read<'_, u32> {
            Box::pin(async move {
                note.lock().unwrap().push(role);
                next.lock().unwrap().next().unwrap()
            })
        };
        let read = patiently((Instant::now(), within), &["migrates", "backs up"], read).await;
        (read, asked.into_inner().unwrap())
    }

    #[tokio::test]
    async fn what_one_role_cannot_read_another_one_may_now_or_later() {
        let full = || {
            Err(Error::Postgres(holdpoint_postgres::Error::TooManyConnections {
                server: "db".into(),
                said: "full".into(),
            }))
        };
        let refused = || Err(Error::Usage("refused".to_owned()));
        let long = Duration::from_secs(60);
        assert_eq!(tried(long, vec![Ok(1)]).await, (Ok(1), vec!["migrates"]));
        assert_eq!(tried(long, vec![refused(), Ok(2)]).await, (Ok(2), vec!["migrates", "backs up"]));
        let (read, asked) = tried(long, vec![full(), refused(), Ok(3)]).await;
        assert_eq!((read, asked), (Ok(3), vec!["migrates", "backs up", "migrates"]));
        // What no time mends is not tried again, nor anything once the time is over.
        assert_eq!(tried(long, vec![refused(), refused()]).await.0, Err("refused".to_owned()));
        let (read, asked) = tried(Duration::ZERO, vec![full(), full()]).await;
        assert!(read.is_err() && asked.len() == 2, "{read:?}");
    }
}
