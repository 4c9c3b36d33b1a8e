//! Two databases of one server exchange their places: in one transaction, while nobody is in either.
//!
//! Whatever happens before that transaction is committed, the database that was in service is in service again; a
//! process that is killed leaves it closed at worst, and the other one's mark says so to `leftovers`.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use holdpoint_core::name::quote_identifier;
use holdpoint_core::progress::Phase;
use holdpoint_postgres::{ConnectionSettings, Session, preflight};

use super::mark::{Details, Mark, Replaced};
use super::{maintenance, sessions};
use crate::{Context, Error};

/// After a lost connection: how often, and how many times, another one is tried. A server that crashed has to recover.
const TRY_EVERY: Duration = Duration::from_secs(1);
const TRIES: usize = 60;
/// Somebody whom nobody sees in the list of sessions, such as autovacuum, holds a rename up (SQLSTATE 55006).
const IN_USE: &str = "55006";
const RENAME_TRIES: usize = 3;

/// Which databases exchange their places.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// The name that is in service.
    pub(super) live: String,
    /// The OID of the database that has it now.
    pub(super) live_oid: u32,
    /// Its comment, which its mark keeps.
    pub(super) live_comment: Option<String>,
    /// The comment that the other one gets.
    pub(super) new_comment: Option<String>,
    /// The database that takes its place.
    pub(super) successor: String,
    /// The name under which the other one is kept.
    pub(super) keep_as: String,
}

/// What an exchange took.
#[derive(Debug)]
pub(super) struct Exchanged {
    /// When, by the server's clock.
    pub(super) at: DateTime<Utc>,
    /// For how long nobody could connect.
    pub(super) closed_for: Duration,
    /// How many sessions were ended.
    pub(super) ended: usize,
    /// The OID of the database that is in service now.
    pub(super) oid: u32,
    /// The connection was lost meanwhile, and this is the one that came after.
    pub(super) reconnected: Option<Session>,
}

/// Closes the database in service, ends its sessions, and exchanges the two by name. The other one stays closed.
///
/// `successor` must be closed already.
///
/// # Errors
/// Whatever failed; the database that was in service is open again, or [`Error::LeftBehind`] says that it is not.
pub(super) async fn exchange(
    context: &Context,
    target: &ConnectionSettings,
    maintenance: &Session,
    how: &Exchange,
) -> Result<Exchanged, Error> {
    let successor_oid = oid(maintenance, &how.successor).await?;
    if oid(maintenance, &how.live).await? != how.live_oid {
        return Err(Error::ReplaceRefused {
            target: how.live.clone(),
            why: "another database has taken that name meanwhile".to_owned(),
        });
    }
    context.progress.phase(Phase::Fencing, None);
    if context.cancel.is_cancelled() {
        return Err(Error::Interrupted);
    }
    let at = preflight::clock(maintenance).await?;
    let began = Instant::now();
    let done =
        |ended, reconnected| Exchanged { at, closed_for: began.elapsed(), ended, oid: successor_oid, reconnected };
    match closed(context, maintenance, how, successor_oid, at).await {
        Ok(ended) => Ok(done(ended, None)),
        Err(failure) => match settle(target, maintenance, how, successor_oid).await {
            Ok((false, _)) => Err(failure),
            // The answer to COMMIT was lost, not the COMMIT.
            Ok((true, session)) => Ok(done(0, session)),
            Err(_) => {
                let remains = format!(
                    "database {0} may still be closed: ALTER DATABASE {1} ALLOW_CONNECTIONS true, or: holdpoint \
                     leftovers --remove",
                    how.live,
                    quote_identifier(&how.live)
                );
                Err(Error::LeftBehind { failure: Box::new(failure), remains })
            }
        },
    }
}

async fn closed(
    context: &Context,
    maintenance: &Session,
    how: &Exchange,
    successor_oid: u32,
    at: DateTime<Utc>,
) -> Result<usize, Error> {
    maintenance.run("closing the database", &maintenance::allow(&how.live, false)).await?;
    context.progress.phase(Phase::EndingSessions, None);
    let mut ended = sessions::end_all(maintenance, &how.live, &context.cancel).await?;
    ended += sessions::end_all(maintenance, &how.successor, &context.cancel).await?;
    context.progress.phase(Phase::Swapping, None);
    if context.cancel.is_cancelled() {
        return Err(Error::Interrupted);
    }
    let mut tries = 1;
    loop {
        match rename(maintenance, how, successor_oid, at).await {
            Err(Error::Postgres(error)) if error.sqlstate() == Some(IN_USE) && tries < RENAME_TRIES => {
                sessions::end_all(maintenance, &how.live, &context.cancel).await?;
                tries += 1;
            }
            other => return other.map(|()| ended),
        }
    }
}

/// Both renames, both comments, and the opening: all or nothing.
async fn rename(maintenance: &Session, how: &Exchange, successor_oid: u32, at: DateTime<Utc>) -> Result<(), Error> {
    const WHAT: &str = "swapping the databases";
    let rename =
        |from: &str, to: &str| format!("ALTER DATABASE {} RENAME TO {}", quote_identifier(from), quote_identifier(to));
    let more = Details { was: Some(how.live.clone()), comment: how.live_comment.clone(), takes: None };
    let mark = Mark::Replaced(Replaced { at, more }).text();
    let statements = [
        rename(&how.live, &how.keep_as),
        rename(&how.successor, &how.live),
        maintenance::comment(&how.keep_as, Some(&mark)),
        maintenance::comment(&how.live, how.new_comment.as_deref()),
        maintenance::allow(&how.live, true),
    ];
    maintenance.run(WHAT, "BEGIN").await?;
    let renamed = async {
        for statement in &statements {
            maintenance.run(WHAT, statement).await?;
        }
        // By their OIDs, so that no third database is meant under a name that somebody gave meanwhile.
        let right = oid(maintenance, &how.live).await? == successor_oid
            && oid(maintenance, &how.keep_as).await? == how.live_oid;
        if right {
            Ok(())
        } else {
            Err(Error::ReplaceRefused {
                target: how.live.clone(),
                why: "somebody else renamed databases meanwhile".to_owned(),
            })
        }
    };
    match renamed.await {
        Ok(()) => Ok(maintenance.run(WHAT, "COMMIT").await?),
        Err(failure) => {
            // A lost connection has rolled back by itself.
            maintenance.run(WHAT, "ROLLBACK").await.ok();
            Err(failure)
        }
    }
}

/// Finds out whether the exchange has happened, and opens the database that is in service; gives the session that was
/// needed for it, where the old one is lost.
async fn settle(
    target: &ConnectionSettings,
    maintenance: &Session,
    how: &Exchange,
    successor_oid: u32,
) -> Result<(bool, Option<Session>), Error> {
    if !maintenance.is_closed()
        && let Ok(settled) = look(maintenance, how, successor_oid).await
    {
        return Ok((settled, None));
    }
    let mut tries = 0;
    loop {
        tries += 1;
        let again = async {
            let session = maintenance::connect(target, &how.successor).await?;
            let exchanged = look(&session, how, successor_oid).await?;
            Ok::<_, Error>((session, exchanged))
        };
        match again.await {
            Ok((session, exchanged)) => return Ok((exchanged, Some(session))),
            Err(error) if tries >= TRIES => return Err(error),
            Err(_) => tokio::time::sleep(TRY_EVERY).await,
        }
    }
}

/// Opens whatever bears the name that is in service; then tells whether it is the successor.
///
/// The statement waits for a transaction that is still being committed, and is harmless after it.
async fn look(session: &Session, how: &Exchange, successor_oid: u32) -> Result<bool, Error> {
    session.run("opening the database again", &maintenance::allow(&how.live, true)).await?;
    Ok(oid(session, &how.live).await? == successor_oid)
}

pub(super) async fn oid(session: &Session, name: &str) -> Result<u32, Error> {
    let listed = maintenance::databases(session).await?;
    let found = listed.into_iter().find(|database| database.name == name);
    found.map(|database| database.oid).ok_or_else(|| Error::ReplaceRefused {
        target: name.to_owned(),
        why: "there is no such database any more".to_owned(),
    })
}
