//! One look at a database.

use std::collections::BTreeMap;

use holdpoint_core::name::quote_identifier;
use holdpoint_postgres::Session;
use holdpoint_postgres::catalog::Lossy;

use super::{Activity, Picture, Unseen, Watched, activity, catalogue, progress, replication, waits};
use crate::Error;

/// Looks at the session's database.
///
/// Sets the session's `statement_timeout`, `lock_timeout` and `jit`, and asks a dozen short questions, each a statement
/// of its own; the session must not be in a transaction. What one of them is refused, or takes too long for, is named
/// in [`Picture::unseen`].
///
/// # Errors
/// When the connection is lost, or the first question, for the server's clock, is refused.
pub async fn look(session: &Session, watched: &Watched) -> Result<Picture, Error> {
    let limit = watched.answer_within.as_millis();
    let prepare = format!("SET statement_timeout = {limit}; SET lock_timeout = {limit}; SET jit = off");
    session.run("preparing to look", &prepare).await?;
    let mut picture = begin(session).await?;
    picture.token.clone_from(&watched.token);
    let mut unseen = Vec::new();

    let found = seen(session, &mut unseen, "locks", waits::read(session).await)?;
    let token = watched.token.as_deref();
    let longer_than = watched.longer_than.as_secs_f64();
    let all = activity::worth_a_look(session, token, &waits::pids(&found), longer_than).await;
    let all = seen(session, &mut unseen, "sessions", all)?;
    let by_pid: BTreeMap<i32, Activity> = all.iter().map(|one| (one.pid, one.clone())).collect();
    (picture.waits, picture.blockers) = waits::tell(&found, &by_pid, token.is_some());
    let own = |one: &&Activity| one.database.as_ref() == Some(&picture.database);
    let is_client = |one: &&Activity| one.kind.as_deref() == Some("client backend");
    let open_for = |one: &&Activity| u128::from(one.open_ms()) >= watched.longer_than.as_millis();
    let open = || all.iter().filter(own).filter(is_client);
    picture.sessions = all.iter().filter(own).filter(|one| one.carries_token).cloned().collect();
    picture.long = open().filter(open_for).filter(|one| !one.is_idle_in_transaction()).cloned().collect();
    picture.idle_in_transaction = open().filter(|one| one.is_idle_in_transaction()).cloned().collect();

    picture.work = seen(session, &mut unseen, "progress", progress::read(session).await)?;
    let indexes = catalogue::invalid_indexes(session, &picture.work).await;
    picture.invalid_indexes = seen(session, &mut unseen, "indexes", indexes)?;
    picture.prepared = seen(session, &mut unseen, "prepared transactions", catalogue::prepared(session).await)?;
    picture.standbys = seen(session, &mut unseen, "standbys", replication::standbys(session).await)?;
    picture.slots = seen(session, &mut unseen, "replication slots", replication::slots(session).await)?;
    if picture.in_recovery {
        picture.own_lag = seen(session, &mut unseen, "replay", replication::own_lag(session).await.map(Some))?;
    }
    if picture.standbys.iter().any(|standby| standby.hidden) {
        let role = quote_identifier(session.settings().user());
        unseen.push(Unseen {
            part: "lag of standbys".to_owned(),
            why: format!("this role may not see it: GRANT pg_read_all_stats TO {role}"),
        });
    }
    picture.unseen = unseen;
    Ok(picture)
}

async fn begin(session: &Session) -> Result<Picture, Error> {
    let sql = "SELECT pg_catalog.clock_timestamp(), pg_catalog.current_database()::text, pg_catalog.pg_is_in_recovery(), \
                 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity \
                  WHERE datname = pg_catalog.current_database() AND query = '<insufficient privilege>')";
    let row = session.query_one("looking at the server's clock", sql, &[]).await?;
    Ok(Picture {
        in_recovery: row.get(2),
        hidden_sessions: row.get::<_, i64>(3).unsigned_abs(),
        ..Picture::empty(row.get(0), row.get::<_, Lossy>(1).0)
    })
}

/// Passes a part on; what the server refused is noted, a lost connection ends the look.
fn seen<T: Default>(
    session: &Session,
    unseen: &mut Vec<Unseen>,
    part: &str,
    answer: Result<T, holdpoint_postgres::Error>,
) -> Result<T, Error> {
    match answer {
        Ok(found) => Ok(found),
        Err(error) if !session.is_closed() && error.sqlstate().is_some_and(|state| !state.starts_with("57P")) => {
            let why = error.said().unwrap_or_else(|| error.to_string());
            unseen.push(Unseen { part: part.to_owned(), why });
            Ok(T::default())
        }
        Err(error) => Err(error.into()),
    }
}
