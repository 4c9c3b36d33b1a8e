//! What a command may leave that pg_dump does not show, and that no transaction takes back or no counter counts.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_postgres::Session;

use crate::Error;

/// Things by their words, such as `subscription shop`, each with a digest of what can be read of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unshown {
    things: BTreeMap<String, String>,
    /// What the session's role may not read.
    hidden: Vec<&'static str>,
}

/// Slots of a subscription's first copy, which come and go by themselves.
const OF_A_FIRST_COPY: &str = "pg\\_%\\_sync\\_%";

impl Unshown {
    /// Reads subscriptions and logical replication slots of this database, and of the server its physical slots and what
    /// ALTER SYSTEM wrote.
    pub(super) async fn read(session: &Session) -> Result<Self, Error> {
        const WHAT: &str = "reading what no dump shows";
        let mut all = Self::default();
        // The connection of a subscription is hidden from most, and where it skips to changes by itself.
        let columns = "SELECT pg_catalog.string_agg(pg_catalog.quote_ident(attname), ', ' ORDER BY attnum) \
                       FROM pg_catalog.pg_attribute WHERE attrelid = 'pg_catalog.pg_subscription'::pg_catalog.regclass \
                         AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('subconninfo', 'subskiplsn') \
                         AND pg_catalog.has_column_privilege(attrelid, attnum, 'SELECT')";
        let columns: Option<String> = session.query_one(WHAT, columns, &[]).await?.get(0);
        let mut queries = vec![format!(
            "SELECT pg_catalog.format('replication slot %I', slot_name), pg_catalog.concat_ws(' ', plugin, slot_type) \
             FROM pg_catalog.pg_replication_slots WHERE NOT temporary AND slot_name NOT LIKE '{OF_A_FIRST_COPY}' \
               AND COALESCE(database = pg_catalog.current_database(), true)"
        )];
        match columns {
            Some(columns) => queries.push(format!(
                "SELECT pg_catalog.format('subscription %I', subname), pg_catalog.md5(ROW({columns})::text) \
                 FROM pg_catalog.pg_subscription WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database \
                                                                  WHERE datname = pg_catalog.current_database())"
            )),
            None => all.hidden.push("subscriptions"),
        }
        let may = "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_file_settings', 'SELECT') \
                   AND pg_catalog.has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'EXECUTE')";
        if session.query_one(WHAT, may, &[]).await?.get(0) {
            queries.push(
                "SELECT pg_catalog.format('the server''s setting %I', name), \
                        pg_catalog.md5(pg_catalog.string_agg(COALESCE(setting, ''), ',' ORDER BY seqno)) \
                 FROM pg_catalog.pg_file_settings WHERE sourcefile LIKE '%postgresql.auto.conf' GROUP BY name"
                    .to_owned(),
            );
        } else {
            all.hidden.push("the server's settings (ALTER SYSTEM)");
        }
        for sql in queries {
            let rows = session.query(WHAT, &sql, &[]).await?;
            all.things.extend(rows.iter().map(|row| (row.get::<_, String>(0), row.get::<_, String>(1))));
        }
        Ok(all)
    }

    /// Lists what differs later, in words.
    pub(super) fn changes(&self, later: &Self) -> Vec<String> {
        let names: BTreeSet<&String> = self.things.keys().chain(later.things.keys()).collect();
        let differs = |name: &&String| {
            let word = match (self.things.get(*name), later.things.get(*name)) {
                (Some(before), Some(now)) if before == now => return None,
                (Some(_), Some(_)) => "changed",
                (None, _) => "new",
                (_, None) => "gone",
            };
            Some(format!("{name} ({word})"))
        };
        names.iter().filter_map(differs).collect()
    }

    /// What could not be read before or later, and so is not part of *unchanged*.
    pub(super) fn not_read(&self, later: &Self) -> Vec<&'static str> {
        let all: BTreeSet<&'static str> = self.hidden.iter().chain(&later.hidden).copied().collect();
        all.into_iter().collect()
    }
}

/// Transactions of this database that were prepared for a commit in two phases and still are.
pub(crate) async fn prepared(session: &Session) -> Result<BTreeSet<String>, Error> {
    let sql = "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()";
    let rows = session.query("looking for prepared transactions", sql, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
