//! Databases that restores and verifications made on a server and did not drop.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::PointId;
use holdpoint_core::name::quote_identifier;
use holdpoint_core::quantity::counted;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};

use super::{Found, Leftover, LeftoverKind, Unseen, What, judge_age, swaps};
use crate::restore::{Mark, is_worked_on};
use crate::{Context, Error};

const WITHIN: Duration = Duration::from_secs(60);
/// DROP DATABASE makes a checkpoint.
const DROP_WITHIN: Duration = Duration::from_secs(300);
/// A replaced database's name is cut here, so that the whole fits into PostgreSQL's 63 bytes.
const CUT_AT: usize = 30;
/// Where databases are looked at from when the server's own one is closed, or gone.
const ELSEWHERE: [&str; 2] = ["postgres", "template1"];
/// The answer to a connection to a closed database (`ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE`).
pub(super) const NOT_ACCEPTING: &str = "55000";

/// A database of that server.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) oid: u32,
    pub(super) name: String,
    /// Its directory, where it lies in the default tablespace.
    pub(super) directory: Option<String>,
    pub(super) sessions: i64,
    /// Somebody may connect to it.
    pub(super) open: bool,
    /// What a restore left as its comment.
    pub(super) mark: Option<Mark>,
    /// The process that works on it, where it is a restore's.
    pub(super) worker: Option<i32>,
}

impl Row {
    /// When a restore replaced it.
    fn replaced_at(&self) -> Option<DateTime<Utc>> {
        match &self.mark {
            Some(Mark::Replaced(mark)) => Some(mark.at),
            _ => None,
        }
    }
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
pub(super) async fn find(
    context: &Context,
    server: &ConnectionSettings,
    min_age: TimeDelta,
    unseen: &mut Vec<Unseen>,
) -> Vec<Found> {
    let asked = tokio::time::timeout(WITHIN, ask(context, server, min_age)).await;
    let reason = match asked {
        Ok(Ok(found)) => return found,
        Ok(Err(error)) => error.line(),
        Err(_) => format!("no answer within {} s", WITHIN.as_secs()),
    };
    unseen.push(Unseen { place: format!("databases of {}", server.endpoint()), reason });
    Vec::new()
}

/// Connects to the server: to its configured database, or, when that one is closed or gone, to another.
async fn connect(server: &ConnectionSettings) -> Result<Session, holdpoint_postgres::Error> {
    let purpose = SessionPurpose::new("holdpoint leftovers");
    let mut outcome = Session::connect(server, &purpose).await;
    for name in ELSEWHERE {
        match &outcome {
            Err(holdpoint_postgres::Error::NoSuchDatabase { .. }) => {}
            Err(error) if error.sqlstate() == Some(NOT_ACCEPTING) => {}
            _ => break,
        }
        outcome = Session::connect(&server.with_database(name), &purpose).await;
    }
    outcome
}

async fn rows(session: &Session) -> Result<Vec<Row>, holdpoint_postgres::Error> {
    const WHAT: &str = "listing databases";
    let sql = "SELECT datname::text, CASE dattablespace WHEN 1663 THEN 'base/' || oid::text END, \
                 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid), \
                 pg_catalog.shobj_description(oid, 'pg_database'), oid, datallowconn \
               FROM pg_catalog.pg_database d WHERE NOT datistemplate ORDER BY 1";
    let mut rows: Vec<Row> = session
        .query(WHAT, sql, &[])
        .await?
        .iter()
        .map(|row| Row {
            oid: row.get(4),
            name: row.get(0),
            directory: row.get(1),
            sessions: row.get(2),
            open: row.get(5),
            mark: row.get::<_, Option<String>>(3).and_then(|comment| Mark::read(&comment)),
            worker: None,
        })
        .collect();
    for row in rows.iter_mut().filter(|row| row.mark.is_some()) {
        row.worker = is_worked_on(session, &row.name).await?;
    }
    Ok(rows)
}

async fn ask(context: &Context, server: &ConnectionSettings, min_age: TimeDelta) -> Result<Vec<Found>, Error> {
    let session = connect(server).await?;
    let rows = rows(&session).await?;
    let now = holdpoint_postgres::preflight::clock(&session).await?;
    // What is in service comes first.
    let mut found = swaps::closed(server, &rows);
    found.extend(swaps::stale_identity(context, server, &rows, now).await?);
    for row in &rows {
        let Some(named) = named(row) else { continue };
        let since = match named {
            Named::Scratch => created_at(&session, row).await,
            Named::Replaced { .. } | Named::Perhaps => row.replaced_at(),
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
    if let Some(pid) = row.worker {
        return (false, format!("a restore is at work on it: process {pid} of the server"));
    }
    if row.sessions > 0 {
        return (false, format!("in use by {}", counted(row.sessions.unsigned_abs(), "session")));
    }
    let by_hand = format!("by hand: DROP DATABASE {}", quote_identifier(&row.name));
    match named {
        Named::Scratch if let Some(Mark::Successor(mark)) = &row.mark => {
            swaps::judge_copy(mark, row, since, now, min_age)
        }
        Named::Scratch if since.is_none() => (false, format!("this role may not know its age; {by_hand}")),
        Named::Scratch => judge_age(since, Some(now), min_age),
        // A name proves nothing: it may be somebody's rescue copy.
        Named::Replaced { .. } if row.replaced_at().is_none() => {
            (false, format!("it does not bear the mark of a database that a restore replaced; {by_hand}"))
        }
        // A swap closes what it keeps: somebody opened this one, or asked for it with --keep-old.
        Named::Replaced { .. } if row.open => (
            false,
            format!(
                "kept open, for somebody to use; to have it removed: ALTER DATABASE {} ALLOW_CONNECTIONS false; or \
                 {by_hand}",
                quote_identifier(&row.name)
            ),
        ),
        Named::Replaced { was } => {
            // A name that was cut may be another's: what stood there then is not known.
            let told = matches!(&row.mark, Some(Mark::Replaced(mark)) if mark.more.was.is_some());
            let cut = was.len() >= CUT_AT - 3;
            // Itself, under its old name again, is nobody in its place.
            if (told || !cut) && all.iter().any(|other| other.name == *was && other.name != row.name) {
                let (dead, age) = judge_age(since, Some(now), min_age);
                (dead, format!("replaced by a restore; {was} stands in its place; {age}"))
            } else {
                (false, format!("no database {was} is there: this may be the only copy; {by_hand}"))
            }
        }
        Named::Perhaps => (false, format!("its name is not holdpoint's for sure; {by_hand}")),
    }
}

/// A mark counts under a name that holdpoint gives alone: it stays when somebody renames the database, such as back to
/// the one that is in service, and comes along with its backup.
fn named(row: &Row) -> Option<Named<'_>> {
    let by_name = by_name(&row.name);
    match &row.mark {
        Some(Mark::Replaced(mark)) => match (&mark.more.was, by_name) {
            (Some(was), Some(Named::Replaced { .. })) => Some(Named::Replaced { was }),
            (Some(was), _) if kept_of_a_dump(&row.name) => Some(Named::Replaced { was }),
            (_, named) => Some(named.unwrap_or(Named::Perhaps)),
        },
        _ => by_name,
    }
}

/// The name of what a restore of a dump replaced, with or without a number.
fn kept_of_a_dump(name: &str) -> bool {
    let tail = name.rsplit_once("_before_dump").map(|(_, tail)| tail);
    tail.is_some_and(|tail| {
        tail.is_empty() || tail.strip_prefix('_').is_some_and(|number| number.parse::<u8>().is_ok())
    })
}

fn by_name(name: &str) -> Option<Named<'_>> {
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

/// Drops a database in which nobody is.
pub(super) async fn drop_database(server: &ConnectionSettings, name: &str) -> Result<(), Error> {
    // Without FORCE: whoever came meanwhile shows that it is not dead.
    alter(server, "dropping a database", &format!("DROP DATABASE IF EXISTS {}", quote_identifier(name))).await
}

/// Opens a database that a killed swap left closed.
pub(super) async fn open(server: &ConnectionSettings, name: &str) -> Result<(), Error> {
    let sql = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", quote_identifier(name));
    alter(server, "opening a database", &sql).await
}

async fn alter(server: &ConnectionSettings, what: &str, sql: &str) -> Result<(), Error> {
    let altering = async {
        let session = connect(server).await?;
        session.run(what, sql).await?;
        session.close().await;
        Ok::<_, holdpoint_postgres::Error>(())
    };
    match tokio::time::timeout(DROP_WITHIN, altering).await {
        Ok(dropped) => Ok(dropped?),
        Err(_) => Err(Error::Usage(format!("no answer within {} s", DROP_WITHIN.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_ours() {
        assert_eq!(by_name("holdpoint_scratch_0123456789ab_probe"), Some(Named::Scratch));
        assert_eq!(by_name("holdpoint_scratch_of_mine"), Some(Named::Perhaps));
        assert_eq!(by_name("holdpoint_restore_00c0ffee"), Some(Named::Scratch));
        assert_eq!(by_name("holdpoint_restore_notes"), Some(Named::Perhaps));
        let replaced = "shop_before_20261121t024300z_k3f9";
        assert_eq!(by_name(replaced), Some(Named::Replaced { was: "shop" }));
        assert_eq!(by_name("shop_before_20261121t024300z_k3f9_2"), Some(Named::Replaced { was: "shop" }));
        assert_eq!(by_name("shop_before_dump"), Some(Named::Perhaps));
        for other in ["shop", "shop_before_xmas", "shop_before_20261121", "holdpoint", "template1"] {
            assert_eq!(by_name(other), None, "{other}");
        }
    }

    #[test]
    fn the_only_copy_and_what_is_used_stay() {
        let now = DateTime::UNIX_EPOCH;
        let long_ago = now - TimeDelta::hours(2);
        let mark = Mark::read("holdpoint: replaced by a restore at 1969-12-31T22:00:00+00:00");
        let row = |name: &str, sessions| Row {
            oid: 1,
            name: name.to_owned(),
            directory: None,
            sessions,
            open: false,
            mark: mark.clone(),
            worker: None,
        };
        let dead = |row: &Row, all: &[Row], since| {
            let named = named(row).unwrap();
            judge(row, &named, all, since, now, TimeDelta::hours(1)).0
        };
        let replaced = row("shop_before_20261121t024300z_k3f9", 0);
        assert!(dead(&replaced, &[row("shop", 3)], Some(long_ago)));
        let open = Row { open: true, ..row(&replaced.name, 0) };
        assert!(!dead(&open, &[row("shop", 3)], Some(long_ago)), "kept open");
        assert!(!dead(&replaced, &[row("shop", 3)], Some(now)), "young");
        assert!(!dead(&replaced, &[row("other", 0)], Some(long_ago)), "the only copy");
        assert!(!dead(&row(&replaced.name, 1), &[row("shop", 0)], Some(long_ago)), "in use");
        let unmarked = Row { mark: None, ..row(&replaced.name, 0) };
        assert!(!dead(&unmarked, &[row("shop", 3)], None), "a rescue copy under such a name");
        let was = r#"holdpoint: replaced by a restore at 1969-12-31T22:00:00+00:00 {"was":"shop"}"#;
        let back = |name: &str| Row { mark: Mark::read(was), ..row(name, 0) };
        assert!(dead(&back(&replaced.name), &[row("shop", 3)], Some(long_ago)));
        assert!(dead(&back("shop_before_dump_2"), &[row("shop", 3)], Some(long_ago)));
        assert!(!dead(&back("shop"), &[back("shop"), row("shop_bad", 0)], Some(long_ago)), "renamed back by hand");
        assert!(!dead(&back("shop_rescue"), &[row("shop", 3)], Some(long_ago)), "a name that somebody gave");
        let at_work = Row { worker: Some(7), ..row(&replaced.name, 0) };
        assert!(!dead(&at_work, &[row("shop", 3)], Some(long_ago)), "a swap puts it back");
        let scratch = Row { mark: None, ..row("holdpoint_scratch_0123456789ab_probe", 0) };
        assert!(dead(&scratch, &[], Some(now - TimeDelta::hours(2))));
        assert!(!dead(&scratch, &[], Some(now - TimeDelta::minutes(2))), "young");
        assert!(!dead(&scratch, &[], None), "of unknown age");
    }
}
