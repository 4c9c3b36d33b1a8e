//! Databases that restores and verifications made on a server and did not drop.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::PointId;
use holdpoint_core::name::quote_identifier;
use holdpoint_core::quantity::counted;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};

use super::{Found, Leftover, LeftoverKind, Unseen, What, judge_age};
use crate::Error;
use crate::restore::REPLACED_MARK;

const WITHIN: Duration = Duration::from_secs(60);
/// DROP DATABASE makes a checkpoint.
const DROP_WITHIN: Duration = Duration::from_secs(300);
/// A replaced database's name is cut here, so that the whole fits into PostgreSQL's 63 bytes.
const CUT_AT: usize = 30;

/// A database of that server.
#[derive(Debug)]
struct Row {
    name: String,
    /// Its directory, where it lies in the default tablespace.
    directory: Option<String>,
    sessions: i64,
    /// When a restore replaced it, by the mark that the restore left as its comment.
    replaced_at: Option<DateTime<Utc>>,
}

/// Whom a name belongs to.
#[derive(Debug, PartialEq, Eq)]
enum Named<'a> {
    /// Of a verification on a given server, or a restore before its swap.
    Scratch,
    /// The one that was there before a restore, under a name that only holdpoint makes.
    Replaced { was: &'a str },
    /// It may also be somebody's own.
    Perhaps,
}

/// Finds them on a server; one that cannot be reached is named in `unseen`.
pub(super) async fn find(server: &ConnectionSettings, min_age: TimeDelta, unseen: &mut Vec<Unseen>) -> Vec<Found> {
    let asked = tokio::time::timeout(WITHIN, ask(server, min_age)).await;
    let reason = match asked {
        Ok(Ok(found)) => return found,
        Ok(Err(error)) => Error::from(error).line(),
        Err(_) => format!("no answer within {} s", WITHIN.as_secs()),
    };
    unseen.push(Unseen { place: format!("databases of {}", server.endpoint()), reason });
    Vec::new()
}

async fn ask(server: &ConnectionSettings, min_age: TimeDelta) -> Result<Vec<Found>, holdpoint_postgres::Error> {
    const WHAT: &str = "listing databases";
    let session = Session::connect(server, &SessionPurpose::new("holdpoint leftovers")).await?;
    let sql = "SELECT datname::text, CASE dattablespace WHEN 1663 THEN 'base/' || oid::text END, \
                 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid), \
                 pg_catalog.shobj_description(oid, 'pg_database') \
               FROM pg_catalog.pg_database d WHERE NOT datistemplate ORDER BY 1";
    let rows = session.query(WHAT, sql, &[]).await?;
    let rows: Vec<Row> = rows
        .iter()
        .map(|row| Row {
            name: row.get(0),
            directory: row.get(1),
            sessions: row.get(2),
            replaced_at: row.get::<_, Option<String>>(3).and_then(|mark| replaced_at(&mark)),
        })
        .collect();
    let now = holdpoint_postgres::preflight::clock(&session).await?;
    let mut found = Vec::new();
    for row in &rows {
        let Some(named) = named(&row.name) else { continue };
        let since = match named {
            Named::Scratch => created_at(&session, row).await,
            Named::Replaced { .. } | Named::Perhaps => row.replaced_at,
        };
        let (dead, reason) = judge(row, &named, &rows, since, now, min_age);
        let kind = if named == Named::Scratch { LeftoverKind::ScratchDatabase } else { LeftoverKind::ReplacedDatabase };
        let leftover = Leftover {
            kind,
            place: format!("{}/{}", server.endpoint(), row.name),
            id: row.name.clone(),
            since,
            bytes: None,
            dead,
            reason,
            removed: false,
            problem: None,
        };
        found.push(Found {
            leftover,
            what: What::Database { server: Box::new(server.clone()), name: row.name.clone() },
        });
    }
    session.close().await;
    Ok(found)
}

/// Reads when a database was created: its PG_VERSION is written then and never again. Only for superusers and
/// members of `pg_read_server_files`.
async fn created_at(session: &Session, row: &Row) -> Option<DateTime<Utc>> {
    let file = format!("{}/PG_VERSION", row.directory.as_ref()?);
    let sql = "SELECT (pg_catalog.pg_stat_file($1, true)).modification";
    let asked = session.query_one("reading a database's age", sql, &[&file]).await;
    asked.ok().and_then(|row| row.get(0))
}

fn judge(
    row: &Row,
    named: &Named<'_>,
    all: &[Row],
    since: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    min_age: TimeDelta,
) -> (bool, String) {
    if row.sessions > 0 {
        return (false, format!("in use by {}", counted(row.sessions.unsigned_abs(), "session")));
    }
    let by_hand = format!("by hand: DROP DATABASE {}", quote_identifier(&row.name));
    match named {
        Named::Scratch if since.is_none() => (false, format!("this role may not know its age; {by_hand}")),
        Named::Scratch => judge_age(since, Some(now), min_age),
        // A name proves nothing: it may be somebody's rescue copy.
        Named::Replaced { .. } if row.replaced_at.is_none() => {
            (false, format!("it does not bear the mark of a database that a restore replaced; {by_hand}"))
        }
        Named::Replaced { was } => {
            // A name that was cut may be another's: what stood there then is not known.
            let cut = was.len() >= CUT_AT - 3;
            if !cut && all.iter().any(|other| other.name == *was) {
                let (dead, age) = judge_age(since, Some(now), min_age);
                (dead, format!("replaced by a restore; {was} stands in its place; {age}"))
            } else {
                (false, format!("no database {was} is there: this may be the only copy; {by_hand}"))
            }
        }
        Named::Perhaps => (false, format!("its name is not holdpoint's for sure; {by_hand}")),
    }
}

fn named(name: &str) -> Option<Named<'_>> {
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    if let Some(rest) = name.strip_prefix("holdpoint_scratch_") {
        let ours = rest.split_once('_').is_some_and(|(id, _)| hex(id, 12));
        return Some(if ours { Named::Scratch } else { Named::Perhaps });
    }
    if let Some(rest) = name.strip_prefix("holdpoint_restore_") {
        return Some(if hex(rest, 8) { Named::Scratch } else { Named::Perhaps });
    }
    let (was, tail) = name.rsplit_once("_before_")?;
    let point = |tail: &str| {
        let (time, rest) = tail.split_once('_')?;
        // A number is added where the name was taken.
        let (nonce, taken) = rest.split_once('_').unwrap_or((rest, "2"));
        if taken.parse::<u8>().is_err() {
            return None;
        }
        format!("{}-{nonce}", time.to_ascii_uppercase()).parse::<PointId>().ok()
    };
    if point(tail).is_some() {
        return Some(Named::Replaced { was });
    }
    // Made from a dump, which has no id.
    (tail == "dump").then_some(Named::Perhaps)
}

/// Reads the mark that a restore leaves on the database that it replaced.
fn replaced_at(comment: &str) -> Option<DateTime<Utc>> {
    let at = comment.strip_prefix(REPLACED_MARK)?;
    DateTime::parse_from_rfc3339(at).ok().map(|at| at.with_timezone(&Utc))
}

/// Drops a database in which nobody is.
pub(super) async fn drop_database(server: &ConnectionSettings, name: &str) -> Result<(), Error> {
    let dropping = async {
        let session = Session::connect(server, &SessionPurpose::new("holdpoint leftovers")).await?;
        // Without FORCE: whoever came meanwhile shows that it is not dead.
        session.run("dropping a database", &format!("DROP DATABASE IF EXISTS {}", quote_identifier(name))).await?;
        session.close().await;
        Ok::<_, holdpoint_postgres::Error>(())
    };
    match tokio::time::timeout(DROP_WITHIN, dropping).await {
        Ok(dropped) => Ok(dropped?),
        Err(_) => Err(Error::Usage(format!("no answer within {} s", DROP_WITHIN.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_ours() {
        assert_eq!(named("holdpoint_scratch_0123456789ab_probe"), Some(Named::Scratch));
        assert_eq!(named("holdpoint_scratch_of_mine"), Some(Named::Perhaps));
        assert_eq!(named("holdpoint_restore_00c0ffee"), Some(Named::Scratch));
        assert_eq!(named("holdpoint_restore_notes"), Some(Named::Perhaps));
        let replaced = "shop_before_20261121t024300z_k3f9";
        assert_eq!(named(replaced), Some(Named::Replaced { was: "shop" }));
        assert_eq!(named("shop_before_20261121t024300z_k3f9_2"), Some(Named::Replaced { was: "shop" }));
        assert_eq!(named("shop_before_dump"), Some(Named::Perhaps));
        for other in ["shop", "shop_before_xmas", "shop_before_20261121", "holdpoint", "template1"] {
            assert_eq!(named(other), None, "{other}");
        }
    }

    #[test]
    fn the_only_copy_and_what_is_used_stay() {
        let now = DateTime::UNIX_EPOCH;
        let long_ago = now - TimeDelta::hours(2);
        let row = |name: &str, sessions| Row {
            name: name.to_owned(),
            directory: None,
            sessions,
            replaced_at: Some(long_ago),
        };
        let dead = |row: &Row, all: &[Row], since| {
            let named = named(&row.name).unwrap();
            judge(row, &named, all, since, now, TimeDelta::hours(1)).0
        };
        let replaced = row("shop_before_20261121t024300z_k3f9", 0);
        assert!(dead(&replaced, &[row("shop", 3)], Some(long_ago)));
        assert!(!dead(&replaced, &[row("shop", 3)], Some(now)), "young");
        assert!(!dead(&replaced, &[row("other", 0)], Some(long_ago)), "the only copy");
        assert!(!dead(&row(&replaced.name, 1), &[row("shop", 0)], Some(long_ago)), "in use");
        let unmarked = Row { replaced_at: None, ..row(&replaced.name, 0) };
        assert!(!dead(&unmarked, &[row("shop", 3)], None), "a rescue copy under such a name");
        assert_eq!(replaced_at("holdpoint: replaced by a restore at 1970-01-01T00:00:00+00:00"), Some(now));
        assert_eq!(replaced_at("the shop"), None);
        let scratch = row("holdpoint_scratch_0123456789ab_probe", 0);
        assert!(dead(&scratch, &[], Some(now - TimeDelta::hours(2))));
        assert!(!dead(&scratch, &[], Some(now - TimeDelta::minutes(2))), "young");
        assert!(!dead(&scratch, &[], None), "of unknown age");
    }
}
