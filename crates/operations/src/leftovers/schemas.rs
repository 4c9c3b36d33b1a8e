//! Schemas of side tables that a recovery left in a live database.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::name::quote_identifier;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};

use super::databases::NOT_ACCEPTING;
use super::{Found, Leftover, LeftoverKind, Unseen, What, judge_age};
use crate::Error;
use crate::recover::SIDE_MARK;

const WITHIN: Duration = Duration::from_secs(60);
/// Dropping big tables waits for their files.
const DROP_WITHIN: Duration = Duration::from_secs(300);

/// Finds them in the database of the settings; one that cannot be reached is named in `unseen`.
///
/// One that is closed is not, where it is `told_as_closed` in any case: whoever opens it sees them the next time.
pub(super) async fn find(
    database: &ConnectionSettings,
    min_age: TimeDelta,
    told_as_closed: bool,
    unseen: &mut Vec<Unseen>,
) -> Vec<Found> {
    let reason = match tokio::time::timeout(WITHIN, ask(database, min_age)).await {
        Ok(Ok(found)) => return found,
        Ok(Err(error)) if told_as_closed && error.sqlstate() == Some(NOT_ACCEPTING) => return Vec::new(),
        Ok(Err(error)) => Error::from(error).line(),
        Err(_) => format!("no answer within {} s", WITHIN.as_secs()),
    };
    unseen.push(Unseen { place: format!("schemas of {}", database.redacted()), reason });
    Vec::new()
}

async fn ask(database: &ConnectionSettings, min_age: TimeDelta) -> Result<Vec<Found>, holdpoint_postgres::Error> {
    let session = Session::connect(database, &SessionPurpose::new("holdpoint leftovers")).await?;
    let sql = "SELECT n.nspname::text, pg_catalog.obj_description(n.oid, 'pg_namespace'), \
                 (SELECT pg_catalog.sum(pg_catalog.pg_total_relation_size(c.oid))::int8 FROM pg_catalog.pg_class c \
                  WHERE c.relnamespace = n.oid AND c.relkind = 'r'), \
                 pg_catalog.pg_has_role(n.nspowner, 'USAGE') \
               FROM pg_catalog.pg_namespace n WHERE n.nspname LIKE 'holdpoint\\_%' ORDER BY 1";
    let rows = session.query("listing side schemas", sql, &[]).await?;
    let now = holdpoint_postgres::preflight::clock(&session).await?;
    session.close().await;
    let mut found = Vec::new();
    for row in &rows {
        let name: String = row.get(0);
        let made = row.get::<_, Option<&str>>(1).and_then(made_at);
        let by_hand = format!("by hand: DROP SCHEMA {} CASCADE", quote_identifier(&name));
        let (dead, reason) = match (made, row.get(3)) {
            // A name proves nothing.
            (None, _) => (false, format!("it does not bear the mark of a recovery; {by_hand}")),
            (_, false) => (false, "it belongs to another role".to_owned()),
            (Some(_), true) => {
                let (dead, age) = judge_age(made, Some(now), min_age);
                (dead, format!("side tables of recover-table; {age}"))
            }
        };
        let leftover = Leftover {
            kind: LeftoverKind::SideSchema,
            place: format!("{}/{}", database.endpoint(), database.database()),
            id: name.clone(),
            since: made,
            bytes: row.get::<_, Option<i64>>(2).and_then(|bytes| u64::try_from(bytes).ok()),
            dead,
            reason,
            removed: false,
            problem: None,
        };
        found.push(Found { leftover, what: What::Schema { database: Box::new(database.clone()), name } });
    }
    Ok(found)
}

/// Reads the mark that a recovery leaves on its side schema.
fn made_at(comment: &str) -> Option<DateTime<Utc>> {
    let (at, _) = comment.strip_prefix(SIDE_MARK)?.split_once(' ')?;
    DateTime::parse_from_rfc3339(at).ok().map(|at| at.with_timezone(&Utc))
}

/// Drops a side schema with its tables; refuses where something else hangs on them.
pub(super) async fn drop_schema(database: &ConnectionSettings, name: &str) -> Result<(), Error> {
    let dropping = async {
        let session = Session::connect(database, &SessionPurpose::new("holdpoint leftovers")).await?;
        let schema = quote_identifier(name);
        // Not by CASCADE alone: a view that somebody made over side tables is theirs.
        let others = "SELECT pg_catalog.count(DISTINCT v.oid) FROM pg_catalog.pg_depend d \
                        JOIN pg_catalog.pg_class c ON c.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
                        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1::text \
                        JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass \
                        JOIN pg_catalog.pg_class v ON v.oid = r.ev_class AND v.relnamespace <> n.oid";
        let row = session.query_one("looking who reads the side tables", others, &[&name]).await?;
        if row.get::<_, i64>(0) > 0 {
            return Err(Error::Usage(format!("views of other schemas read from {schema}: drop them first")));
        }
        session.run("dropping a side schema", &format!("DROP SCHEMA IF EXISTS {schema} CASCADE")).await?;
        session.close().await;
        Ok(())
    };
    match tokio::time::timeout(DROP_WITHIN, dropping).await {
        Ok(dropped) => dropped,
        Err(_) => Err(Error::Usage(format!("no answer within {} s", DROP_WITHIN.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mark_of_ours_tells_the_age() {
        let at = DateTime::UNIX_EPOCH;
        assert_eq!(made_at(&format!("{SIDE_MARK}{} from restore point x", at.to_rfc3339())), Some(at));
        assert_eq!(made_at("side tables of mine"), None);
        assert_eq!(made_at(SIDE_MARK), None);
    }
}
